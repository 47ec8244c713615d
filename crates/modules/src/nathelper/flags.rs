//! Flags that a script gives as names or, in the older form, as the sum of their numbers.

use seawall_script::{Call, FlagDecl, Prepared, Value, nearest};

use crate::context::Context;

/// The bits of a flags argument, each flag by its place in the declaration. Names are comma separated; a number, in
/// quotes or not, is the older bit mask.
///
/// # Errors
/// What is wrong, as part of a sentence.
pub fn parse(value: &Value, declared: &[FlagDecl]) -> Result<u32, String> {
    let all = (1u32 << declared.len().min(31)) - 1;
    let mask = |number: i64| {
        u32::try_from(number)
            .ok()
            .filter(|mask| mask & !all == 0)
            .ok_or_else(|| format!("the numbers of the flags add up to {all} at most"))
    };
    let text = match value {
        Value::Int(number) => return mask(*number),
        Value::Str(text) => String::from_utf8_lossy(text),
        Value::Null => return Ok(0),
    };
    let text = text.trim();
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16)
            .map_err(|_| format!("\"{text}\" is no number"))
            .and_then(mask);
    }
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return text.parse().map_err(|_| format!("\"{text}\" is no number")).and_then(mask);
    }
    let mut bits = 0;
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let Some(place) = declared.iter().position(|flag| flag.name == name) else {
            return Err(unknown(name, declared));
        };
        bits |= 1 << place;
    }
    Ok(bits)
}

fn unknown(name: &str, declared: &[FlagDecl]) -> String {
    match nearest(name, declared.iter().map(|flag| flag.name)) {
        Some(near) => format!("there is no flag \"{name}\"; did you mean \"{near}\"?"),
        None => {
            let names: Vec<&str> = declared.iter().map(|flag| flag.name).collect();
            format!("there is no flag \"{name}\"; the flags are {}", names.join(", "))
        }
    }
}

/// The bits of an argument: those made of a constant at load, else read now. None, and a line in the log, when what a
/// variable held is wrong.
pub fn of_argument(call: &Call<'_, Context>, argument: usize, declared: &[FlagDecl]) -> Option<u32> {
    if let Some(bits) = call.prepared::<u32>(argument) {
        return Some(*bits);
    }
    match parse(call.value(argument).unwrap_or(&Value::Null), declared) {
        Ok(bits) => Some(bits),
        Err(problem) => {
            tracing::error!("line {}: {problem}", call.line());
            None
        }
    }
}

/// As [`parse`], for `Function::prepare`.
///
/// # Errors
/// What is wrong, as part of a sentence.
pub fn prepare(value: &Value, declared: &[FlagDecl]) -> Result<Prepared, String> {
    parse(value, declared).map(Prepared::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[FlagDecl] =
        &[FlagDecl::new("private-contact", "1", ""), FlagDecl::new("private-via", "2", "")];

    fn check(value: Value, expected: Result<u32, &str>) {
        match (parse(&value, FLAGS), expected) {
            (Ok(bits), Ok(wanted)) => assert_eq!(bits, wanted, "{value:?}"),
            (Err(said), Err(words)) => assert!(said.contains(words), "{said}"),
            (found, _) => panic!("{value:?}: {found:?}"),
        }
    }

    #[test]
    fn names_and_numbers_mean_the_same() {
        check(Value::Int(3), Ok(3));
        check(Value::from("3"), Ok(3));
        check(Value::from("0x2"), Ok(2));
        check(Value::from("private-via"), Ok(2));
        check(Value::from(" private-contact , private-via "), Ok(3));
        check(Value::from(""), Ok(0));
        check(Value::Null, Ok(0));
    }

    #[test]
    fn what_is_no_flag_is_refused() {
        check(Value::Int(4), Err("3 at most"));
        check(Value::Int(-1), Err("3 at most"));
        check(Value::from("2x"), Err("no number"));
        check(Value::from("0xg"), Err("no number"));
        check(Value::from("private-vai"), Err("did you mean \"private-via\""));
        check(Value::from("nothing-like-it"), Err("the flags are private-contact, private-via"));
    }
}
