//! The flags argument of functions such as `save("location", "max-contacts=10,no-reply")`, and its older form `"c10r"`.

use crate::call::FlagSet;
use crate::declare::{FlagDecl, FlagValue};
use crate::suggest;
use crate::value::{Bytes, Value};

/// Why a flags string is wrong, and which bytes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FlagError {
    pub(crate) message: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) suggestion: Option<String>,
    /// Whether there is no such flag, rather than a wrong value of one.
    pub(crate) unknown: bool,
}

/// Reads flags: comma-separated names with values, or, if no element is a known name, the older letters in a row.
pub(crate) fn parse(declared: &[FlagDecl], text: &[u8]) -> Result<FlagSet, FlagError> {
    let mut set = FlagSet::default();
    for (start, element) in elements(text) {
        let (name, value) = match element.iter().position(|byte| *byte == b'=') {
            Some(at) => (element.get(..at).unwrap_or_default(), element.get(at + 1..)),
            None => (element, None),
        };
        let name = name.trim_ascii();
        match declared.iter().position(|flag| flag.name.as_bytes() == name) {
            Some(index) => long(declared, index, value, element, start, &mut set)?,
            None => letters(declared, element, start, &mut set)?,
        }
    }
    Ok(set)
}

/// The elements between commas, trimmed, with their places; a comma between slashes belongs to a pattern.
fn elements(text: &[u8]) -> Vec<(usize, &[u8])> {
    let mut list = Vec::new();
    let mut start = 0;
    let mut slashes = 0;
    for at in 0..=text.len() {
        let byte = text.get(at);
        if byte == Some(&b'/') {
            slashes += 1;
        }
        let ends = byte.is_none() || (byte == Some(&b',') && slashes % 2 == 0);
        if ends {
            let element = text.get(start..at).unwrap_or_default();
            let lead = element.len() - element.trim_ascii_start().len();
            if !element.trim_ascii().is_empty() {
                list.push((start + lead, element.trim_ascii()));
            }
            start = at + 1;
        }
    }
    list
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn long(
    declared: &[FlagDecl],
    index: usize,
    value: Option<&[u8]>,
    element: &[u8],
    start: usize,
    set: &mut FlagSet,
) -> Result<(), FlagError> {
    let Some(flag) = declared.get(index) else { return Ok(()) };
    let error = |message: String| {
        Err(FlagError { message, start, end: start + element.len(), suggestion: None, unknown: false })
    };
    let value = value.map(<[u8]>::trim_ascii);
    match (flag.value, value) {
        (FlagValue::None, None) => set.add(index, None),
        (FlagValue::None, Some(_)) => return error(format!("the flag `{}` takes no value", flag.name)),
        (_, None | Some(b"")) => {
            return error(format!("the flag `{}` needs a value: `{}=…`", flag.name, flag.name));
        }
        (FlagValue::Int, Some(value)) => match crate::value::parse_decimal(value) {
            Some(number) => set.add(index, Some(Value::Int(number))),
            None => return error(format!("the value of `{}` is no integer: `{}`", flag.name, shown(value))),
        },
        (FlagValue::Str, Some(value)) => set.add(index, Some(Value::str(angles(value)))),
    }
    Ok(())
}

fn angles(value: &[u8]) -> &[u8] {
    match value {
        [b'<', inner @ .., b'>'] => inner,
        _ => value,
    }
}

/// Reads letters in a row: `c10f`, `p2v`, `M<rinstance>`, `u/regexp/`.
fn letters(declared: &[FlagDecl], element: &[u8], start: usize, set: &mut FlagSet) -> Result<(), FlagError> {
    let unknown = || {
        let name = shown(element);
        let word = name.split('=').next().unwrap_or_default();
        FlagError {
            message: format!("unknown flag `{word}`"),
            start,
            end: start + element.len(),
            suggestion: suggest::nearest(word, declared.iter().map(|flag| flag.name)).map(str::to_string),
            unknown: true,
        }
    };
    let mut found = Vec::new();
    let mut rest = element;
    while !rest.is_empty() {
        let matching = declared
            .iter()
            .enumerate()
            .filter(|(_, flag)| !flag.old.is_empty() && rest.starts_with(flag.old.as_bytes()))
            .max_by_key(|(_, flag)| flag.old.len());
        let Some((index, flag)) = matching else { return Err(unknown()) };
        rest = rest.get(flag.old.len()..).unwrap_or_default();
        let (value, len) = match flag.value {
            FlagValue::None => (None, 0),
            FlagValue::Int => {
                let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let number = crate::value::parse_decimal(rest.get(..len).unwrap_or_default());
                (Some(Value::Int(number.ok_or_else(unknown)?)), len)
            }
            FlagValue::Str => {
                let len = old_string(rest).ok_or_else(unknown)?;
                let text = angles(rest.get(..len).unwrap_or_default());
                (Some(Value::Str(Bytes::copy(text))), len)
            }
        };
        found.push((index, value));
        rest = rest.get(len..).unwrap_or_default();
    }
    for (index, value) in found {
        set.add(index, value);
    }
    Ok(())
}

/// The length of a string value of the older form: `<…>`, `/…/` or digits.
fn old_string(rest: &[u8]) -> Option<usize> {
    let close = match rest.first()? {
        b'<' => b'>',
        b'/' => b'/',
        _ => {
            let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            return (len > 0).then_some(len);
        }
    };
    rest.iter().skip(1).position(|byte| *byte == close).map(|at| at + 2)
}

impl FlagSet {
    fn add(&mut self, index: usize, value: Option<Value>) {
        let (Ok(place), true) = (u8::try_from(index), index < 64) else { return };
        self.present |= 1 << index;
        self.values.retain(|(known, _)| *known != place);
        self.values.extend(value.map(|value| (place, value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[FlagDecl] = &[
        FlagDecl::new("no-reply", "r", ""),
        FlagDecl::int("max-contacts", "c", ""),
        FlagDecl::new("path-off", "p0", ""),
        FlagDecl::new("path-lazy", "p1", ""),
        FlagDecl::str("matching-mode", "M", ""),
        FlagDecl::str("ua-filtering", "u", ""),
        FlagDecl::new("force-registration", "f", ""),
    ];

    fn check(text: &str, present: &[usize], strings: &[(usize, &str)]) {
        let set = parse(FLAGS, text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let found: Vec<usize> = (0..FLAGS.len()).filter(|flag| set.has(*flag)).collect();
        assert_eq!(found, present, "{text}");
        for (flag, value) in strings {
            assert_eq!(set.value_text(*flag).as_deref(), Some(*value), "{text}");
        }
    }

    impl FlagSet {
        fn value_text(&self, flag: usize) -> Option<String> {
            let int = self.int(flag).map(|number| number.to_string());
            int.or_else(|| self.str(flag).map(|text| String::from_utf8_lossy(text).into_owned()))
        }
    }

    #[test]
    fn long_names_and_old_letters_mean_the_same() {
        check("", &[], &[]);
        check("no-reply, max-contacts=10", &[0, 1], &[(1, "10")]);
        check("rc10f", &[0, 1, 6], &[(1, "10")]);
        check("p1", &[3], &[]);
        check("matching-mode=rinstance", &[4], &[(4, "rinstance")]);
        check("M<rinstance>r", &[0, 4], &[(4, "rinstance")]);
        check("M1", &[4], &[(4, "1")]);
        check("ua-filtering=/a,b/,no-reply", &[0, 5], &[(5, "/a,b/")]);
        check("u/a,b/r", &[0, 5], &[(5, "/a,b/")]);
    }

    #[test]
    fn wrong_flags_are_pointed_at() {
        let error = parse(FLAGS, b"no-reply,max-contact=3").unwrap_err();
        assert_eq!((error.start, error.end), (9, 22));
        assert_eq!(error.suggestion.as_deref(), Some("max-contacts"));
        for text in ["max-contacts", "max-contacts=x", "no-reply=1", "c", "x", "M<a"] {
            assert!(parse(FLAGS, text.as_bytes()).is_err(), "{text}");
        }
    }
}
