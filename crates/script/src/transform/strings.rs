//! `s.*`: strings.

use md5::{Digest, Md5};

use super::{int, text};
use crate::value::{Bytes, Digits, Value};
use crate::{base64, limits};

pub(super) fn len(input: &[u8], _: &[Value]) -> Value {
    Value::Int(i64::try_from(input.len()).unwrap_or(i64::MAX))
}

pub(super) fn int_prefix(input: &[u8]) -> Option<i64> {
    let sign = usize::from(matches!(input.first(), Some(b'-' | b'+')));
    let digits = input.get(sign..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    crate::value::parse_decimal(input.get(..sign + digits)?)
}

pub(super) fn int_value(input: &[u8]) -> i64 {
    int_prefix(input.trim_ascii_start()).unwrap_or(0)
}

pub(super) fn to_int(input: &[u8], _: &[Value]) -> Value {
    Value::Int(int_value(input))
}

pub(super) fn md5(input: &[u8], arguments: &[Value]) -> Value {
    encode_hexa(Md5::digest(input).as_slice(), arguments)
}

pub(super) fn reverse(input: &[u8], _: &[Value]) -> Value {
    Value::from(input.iter().rev().copied().collect::<Vec<u8>>())
}

pub(super) fn substr(input: &[u8], arguments: &[Value]) -> Value {
    let (Some(offset), Some(length)) = (int(arguments, 0), int(arguments, 1)) else { return Value::Null };
    let len = i64::try_from(input.len()).unwrap_or(i64::MAX);
    let start = if offset < 0 { len.saturating_add(offset) } else { offset };
    if start < 0 || start > len || length < 0 {
        return Value::Null;
    }
    let end = if length == 0 { len } else { start.saturating_add(length).min(len) };
    let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else { return Value::Null };
    Value::optional(input.get(start..end))
}

/// The index of an element counted from the start, or from the end if it is negative.
pub(super) fn place(index: i64, count: usize) -> Option<usize> {
    let count = i64::try_from(count).ok()?;
    let index = if index < 0 { count.checked_add(index)? } else { index };
    if (0..count).contains(&index) { usize::try_from(index).ok() } else { None }
}

pub(super) fn select(input: &[u8], arguments: &[Value]) -> Value {
    let mut digits = Digits::default();
    let separator = text(arguments, 1, &mut digits).first().copied();
    let (Some(index), Some(separator)) = (int(arguments, 0), separator) else { return Value::Null };
    let count = input.iter().filter(|byte| **byte == separator).count() + 1;
    let field = place(index, count).and_then(|at| input.split(|byte| *byte == separator).nth(at));
    Value::str(field.unwrap_or_default())
}

pub(super) fn encode_hexa(input: &[u8], _: &[Value]) -> Value {
    let mut out = Bytes::new();
    for byte in input {
        out.push(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
    }
    Value::Str(out)
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

fn hex_value(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

pub(super) fn decode_hexa(input: &[u8], _: &[Value]) -> Value {
    let mut out = Bytes::new();
    for pair in input.chunks(2) {
        let &[high, low] = pair else { return Value::Null };
        let (Some(high), Some(low)) = (hex_value(high), hex_value(low)) else { return Value::Null };
        out.push(&[high << 4 | low]);
    }
    Value::Str(out)
}

pub(super) fn escape_common(input: &[u8], _: &[Value]) -> Value {
    let mut out = Bytes::new();
    for byte in input {
        match byte {
            b'\'' | b'"' | b'\\' => out.push(&[b'\\', *byte]),
            0 => out.push(b"\\0"),
            _ => out.push(&[*byte]),
        }
    }
    Value::Str(out)
}

pub(super) fn unescape_common(input: &[u8], _: &[Value]) -> Value {
    let mut out = Bytes::new();
    let mut bytes = input.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'0') => out.push(&[0]),
                Some(other) => out.push(&[*other]),
                None => out.push(b"\\"),
            },
            _ => out.push(&[*byte]),
        }
    }
    Value::Str(out)
}

fn percent(input: &[u8], kept: &[u8]) -> Value {
    let mut out = Bytes::new();
    for byte in input {
        if byte.is_ascii_alphanumeric() || kept.contains(byte) {
            out.push(&[*byte]);
        } else {
            out.push(&[b'%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
    Value::Str(out)
}

/// RFC 3261 section 25.1: unreserved and user-unreserved stay.
pub(super) fn escape_user(input: &[u8], _: &[Value]) -> Value {
    percent(input, b"-_.!~*'()&=+$,;?/")
}

/// RFC 3261 section 25.1: unreserved and param-unreserved stay.
pub(super) fn escape_param(input: &[u8], _: &[Value]) -> Value {
    percent(input, b"-_.!~*'()[]/:&+$")
}

/// RFC 3986 section 2.3: only unreserved characters stay.
pub(super) fn escape_url(input: &[u8], _: &[Value]) -> Value {
    let mut out = Bytes::new();
    for byte in input {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(&[*byte]);
        } else {
            // In upper case, as RFC 3986 section 2.1 wants it.
            out.push(format!("%{byte:02X}").as_bytes());
        }
    }
    Value::Str(out)
}

pub(super) fn unescape_percent(input: &[u8], _: &[Value]) -> Value {
    let mut out = Bytes::new();
    let mut rest = input;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            out.push(&[*byte]);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return Value::Null };
        let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low)) else { return Value::Null };
        out.push(&[high << 4 | low]);
        rest = tail;
    }
    Value::Str(out)
}

pub(super) fn escape_csv(input: &[u8], _: &[Value]) -> Value {
    let mut out = Bytes::from("\"");
    for byte in input {
        if *byte == b'"' {
            out.push(b"\"");
        }
        out.push(&[*byte]);
    }
    out.push(b"\"");
    Value::Str(out)
}

pub(super) fn to_lower(input: &[u8], _: &[Value]) -> Value {
    let mut out = Bytes::copy(input);
    out.as_mut_slice().make_ascii_lowercase();
    Value::Str(out)
}

pub(super) fn to_upper(input: &[u8], _: &[Value]) -> Value {
    let mut out = Bytes::copy(input);
    out.as_mut_slice().make_ascii_uppercase();
    Value::Str(out)
}

/// Where a search starts: an offset from the start, or from the end if negative.
fn offset(arguments: &[Value], len: usize, default: usize) -> usize {
    match int(arguments, 1) {
        Some(at) if at < 0 => len.saturating_sub(usize::try_from(at.unsigned_abs()).unwrap_or(len)),
        Some(at) => usize::try_from(at).unwrap_or(len).min(len),
        None => default,
    }
}

fn found(at: Option<usize>) -> Value {
    Value::Int(at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

pub(super) fn index(input: &[u8], arguments: &[Value]) -> Value {
    let mut digits = Digits::default();
    let needle = text(arguments, 0, &mut digits);
    let from = offset(arguments, input.len(), 0);
    if needle.is_empty() {
        return found(Some(from));
    }
    let rest = input.get(from..).unwrap_or_default();
    found(rest.windows(needle.len()).position(|window| window == needle).map(|at| from + at))
}

pub(super) fn rindex(input: &[u8], arguments: &[Value]) -> Value {
    let mut digits = Digits::default();
    let needle = text(arguments, 0, &mut digits);
    let last = offset(arguments, input.len(), input.len());
    if needle.is_empty() {
        return found(Some(last));
    }
    let end = last.saturating_add(needle.len()).min(input.len());
    let part = input.get(..end).unwrap_or_default();
    found(part.windows(needle.len()).rposition(|window| window == needle))
}

/// How much is missing to a length, and with what to fill.
fn filling(input: &[u8], arguments: &[Value]) -> Option<Vec<u8>> {
    let mut digits = Digits::default();
    let filler = text(arguments, 0, &mut digits);
    let wanted = usize::try_from(int(arguments, 1)?).ok()?.min(limits::FORMAT_BYTES);
    let missing = wanted.checked_sub(input.len())?;
    if filler.is_empty() {
        return None;
    }
    Some(filler.iter().copied().cycle().take(missing).collect())
}

pub(super) fn fill_left(input: &[u8], arguments: &[Value]) -> Value {
    let mut digits = Digits::default();
    let filler = text(arguments, 0, &mut digits);
    let Some(missing) = filling(input, arguments).map(|fill| fill.len()) else { return Value::str(input) };
    // The filler ends where the value begins, so that an incomplete one is cut on its left.
    let start = (filler.len() - missing % filler.len()) % filler.len();
    let mut out: Vec<u8> = filler.iter().copied().cycle().skip(start).take(missing).collect();
    out.extend_from_slice(input);
    Value::from(out)
}

pub(super) fn fill_right(input: &[u8], arguments: &[Value]) -> Value {
    let mut out = input.to_vec();
    out.extend(filling(input, arguments).unwrap_or_default());
    Value::from(out)
}

pub(super) fn width(input: &[u8], arguments: &[Value]) -> Value {
    let Some(width) = int(arguments, 0).and_then(|width| usize::try_from(width).ok()) else {
        return Value::Null;
    };
    let mut out = input.to_vec();
    out.resize(width.min(limits::FORMAT_BYTES), b' ');
    Value::from(out)
}

pub(super) fn trim(input: &[u8], _: &[Value]) -> Value {
    Value::str(input.trim_ascii())
}

pub(super) fn trim_left(input: &[u8], _: &[Value]) -> Value {
    Value::str(input.trim_ascii_start())
}

pub(super) fn trim_right(input: &[u8], _: &[Value]) -> Value {
    Value::str(input.trim_ascii_end())
}

pub(super) fn dec2hex(input: &[u8], _: &[Value]) -> Value {
    match int_prefix(input) {
        Some(number) => Value::from(format!("{number:x}").as_str()),
        None => Value::Null,
    }
}

pub(super) fn hex2dec(input: &[u8], _: &[Value]) -> Value {
    let digits = input.strip_prefix(b"0x").or_else(|| input.strip_prefix(b"0X")).unwrap_or(input);
    let number = std::str::from_utf8(digits).ok().and_then(|digits| i64::from_str_radix(digits, 16).ok());
    number.map_or(Value::Null, Value::Int)
}

pub(super) fn base64_encode(input: &[u8], _: &[Value]) -> Value {
    Value::from(base64::encode(input))
}

pub(super) fn base64_decode(input: &[u8], _: &[Value]) -> Value {
    base64::decode(input).map_or(Value::Null, Value::from)
}

pub(super) fn xor(input: &[u8], arguments: &[Value]) -> Value {
    let mut digits = Digits::default();
    let secret = text(arguments, 0, &mut digits);
    if secret.is_empty() {
        return Value::Null;
    }
    Value::from(input.iter().zip(secret.iter().cycle()).map(|(a, b)| a ^ b).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::value::Value;

    #[test]
    fn lengths_and_numbers() {
        check("abcde", "s.len", 5);
        check("12ab", "s.int", 12);
        check("-7", "s.int", -7);
        check("x", "s.int", 0);
        check("255", "s.dec2hex", "ff");
        check("0xFF", "s.hex2dec", 255);
    }

    #[test]
    fn parts_of_a_string() {
        check("abcde", "s.substr,1,2", "bc");
        check("abcde", "s.substr,-2,0", "de");
        check("abcde", "s.substr,2,0", "cde");
        check("abcde", "s.substr,1,99", "bcde");
        check("abcde", "s.substr,9,1", Value::Null);
        check("a:b:c", "s.select,1,:", "b");
        check("a:b:c", "s.select,-1,:", "c");
        check("a:b:c", "s.select,7,:", "");
        check(" a b ", "s.trim", "a b");
        check(" a ", "s.triml", "a ");
        check(" a ", "s.trimr", " a");
        check("abc", "s.reverse", "cba");
    }

    #[test]
    fn searching() {
        check("one two one", "s.index,one", 0);
        check("one two one", "s.index,one,1", 8);
        check("one two one", "s.index,six", -1);
        check("one two one", "s.rindex,one", 8);
        check("one two one", "s.rindex,one,7", 0);
    }

    #[test]
    fn filling_and_cutting() {
        check("485", "s.fill.left,0,6", "000485");
        check("485", "s.fill.left,0,3", "485");
        check("485", "s.fill.left,abc,8", "bcabc485");
        check("485", "s.fill.right,abc,8", "485abcab");
        check("abc", "s.width,5", "abc  ");
        check("abc", "s.width,2", "ab");
    }

    #[test]
    fn encodings_go_both_ways() {
        check("abc", "s.md5", "900150983cd24fb0d6963f7d28e17f72");
        check("a\n", "s.encode.hexa", "610a");
        check("610a", "s.decode.hexa", "a\n");
        check("6", "s.decode.hexa", Value::Null);
        check("a'b\"\\", "s.escape.common", "a\\'b\\\"\\\\");
        check("a\\'b", "s.unescape.common", "a'b");
        check("a b@c", "s.escape.user", "a%20b%40c");
        check("a%20b", "s.unescape.user", "a b");
        check("a%2", "s.unescape.param", Value::Null);
        check("a;b=c", "s.escape.param", "a%3bb%3dc");
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            check(plain, "s.b64encode", coded);
            check(coded, "s.b64decode", plain);
        }
        check("aB", "s.tolower", "ab");
        check("aB", "s.toupper", "AB");
        check("ab", "s.xor,  ", "AB");
        check("a\"b", "s.escape.csv", "\"a\"\"b\"");
    }
}
