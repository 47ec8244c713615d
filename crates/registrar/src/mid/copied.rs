//! Contact parameters on their way to the main registrar: as they stand, less what is ours to say.

use seawall_sip::ascii;

/// Parameters, each with the semicolon before it, less one `expires` of digits only: those before it, and those behind.
/// `None` where they cannot be copied as they stand but have to be looked at one by one: there is white space among them or a
/// comma, which may begin another contact, or an empty one, or a second one that is ours to say.
pub(super) fn copied(params: &[u8]) -> Option<[&[u8]; 2]> {
    // Without a way out of the loop it looks at many bytes at a time.
    if !params.iter().fold(true, |plain, byte| plain & (*byte > b' ') & (*byte != b',')) {
        return None;
    }
    let mut interval = None;
    let mut rest = params;
    while let Some((b';', after)) = rest.split_first() {
        let (param, next) = after.split_at_checked(param_len(after)?)?;
        match Ours::of(param)? {
            Ours::Not => {}
            Ours::Interval if interval.is_none() => {
                interval = Some((params.len() - rest.len(), params.len() - next.len()));
            }
            Ours::Interval | Ours::Other => return None,
        }
        rest = next;
    }
    if !rest.is_empty() {
        return None;
    }
    let (start, end) = interval.unwrap_or((params.len(), params.len()));
    Some([params.get(..start)?, params.get(end..)?])
}

/// How long the parameter at the start is; `None` when a quotation mark of it has no end.
fn param_len(text: &[u8]) -> Option<usize> {
    match ascii::find2(text, b';', b'"') {
        None => Some(text.len()),
        Some(end) if text.get(end) == Some(&b';') => Some(end),
        Some(quote) => {
            let inside = text.get(quote + 1..)?;
            let end = quote + 1 + ascii::find2(inside, b'"', b'\\')? + 1;
            let ends_there = text.get(end - 1) == Some(&b'"') && matches!(text.get(end), None | Some(b';'));
            ends_there.then_some(end)
        }
    }
}

/// Whether a parameter is for us to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    Not,
    /// An `expires` of digits.
    Interval,
    /// `received`.
    Other,
}

impl Ours {
    /// `None` for an empty one, and for an interval that is no number.
    fn of(param: &[u8]) -> Option<Ours> {
        match param.first()? | 0x20 {
            b'e' if is_named(param, b"expires") => {
                let digits = param.get(b"expires=".len()..).filter(|digits| !digits.is_empty())?;
                digits.iter().all(u8::is_ascii_digit).then_some(Ours::Interval)
            }
            b'r' if is_named(param, b"received") => Some(Ours::Other),
            _ => Some(Ours::Not),
        }
    }
}

/// Whether this is the name of a parameter; `name` has letters only, in lower case.
fn is_named<const LEN: usize>(param: &[u8], name: &[u8; LEN]) -> bool {
    let start = param.first_chunk::<LEN>().is_some_and(|start| start.map(|byte| byte | 0x20) == *name);
    start && matches!(param.get(LEN), None | Some(b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_copied_without_the_one_that_is_ours() {
        let check = |params: &str, expected: Option<&str>| {
            let found = copied(params.as_bytes()).map(|parts| String::from_utf8(parts.concat()).unwrap());
            assert_eq!(found.as_deref(), expected, "{params}");
        };
        check("", Some(""));
        check(";q=1;+sip.instance=\"<urn:uuid:1>\"", Some(";q=1;+sip.instance=\"<urn:uuid:1>\""));
        check(";expires=60", Some(""));
        check(";Expires=60", Some(""));
        check(";expires=60;q=1", Some(";q=1"));
        check(";q=1;expires=60", Some(";q=1"));
        check(";q=1;expires=60;x;y=\"z\"", Some(";q=1;x;y=\"z\""));
        check(";x=\";expires=60\";expires=7;z", Some(";x=\";expires=60\";z"));
        check(";expiresnot=1;receiver=2;+expires=3", Some(";expiresnot=1;receiver=2;+expires=3"));
        // These are looked at one by one.
        for other in [
            ";expires=60;expires=70",
            ";expires=60;EXPIRES=70",
            ";expires=",
            ";expires",
            ";expires=6x",
            ";expires=\"60\"",
            ";expires=60 ;q=1",
            ";q=1;\r\n x=y",
            ";x=\"\\\";expires=1\"",
            ";x=\"y",
            ";x=\"y\"z",
            ";x=y,<sip:v@h>",
            ";received=1;expires=60",
            ";Received",
            ";q=1;expires=60;",
            ";q=1;;x",
            " ;q=1",
            "junk",
        ] {
            check(other, None);
        }
    }
}
