//! `%HH` escapes (RFC 3261 §19.1.2).

use crate::{ascii, uri::UriError};

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Appends the bytes with every `%HH` replaced by the byte that it stands for, NUL included: the result is data
/// and no longer a URI.
///
/// # Errors
/// [`UriError::Escape`] at a `%` without two hexadecimal digits; `out` then holds what came before it.
pub fn unescape_into(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), UriError> {
    let mut rest = bytes;
    while let Some(percent) = memchr::memchr(b'%', rest) {
        out.extend_from_slice(rest.get(..percent).unwrap_or_default());
        let Some([high, low, tail @ ..]) = rest.get(percent + 1..) else { return Err(UriError::Escape) };
        let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low)) else {
            return Err(UriError::Escape);
        };
        out.push(high * 16 + low);
        rest = tail;
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Appends the bytes as a user part: everything that may not stand there unescaped becomes `%HH`, so `@`, `:` and
/// `%` do.
pub fn escape_user_into(bytes: &[u8], out: &mut Vec<u8>) {
    escape_into(bytes, b"&=+$,;?/", out);
}

/// Appends the bytes as the value of a URI parameter: everything that may not stand there unescaped becomes `%HH`.
pub fn escape_param_into(bytes: &[u8], out: &mut Vec<u8>) {
    escape_into(bytes, b"[]/:&+$", out);
}

fn escape_into(bytes: &[u8], allowed: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if ascii::is_unreserved(byte) || allowed.contains(&byte) {
            out.push(byte);
            continue;
        }
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
    }
}

/// What a position of a URI stands for when URIs are compared (RFC 3261 §19.1.4): an escaped unreserved character
/// is that character, any other escaped character differs from the plain one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Plain(u8),
    Escaped(u8),
}

impl Unit {
    pub(super) fn to_lower(self) -> Unit {
        match self {
            Unit::Plain(byte) => Unit::Plain(byte.to_ascii_lowercase()),
            escaped => escaped,
        }
    }
}

/// The units of a part of a URI.
pub(super) fn units(part: &[u8]) -> impl Iterator<Item = Unit> + '_ {
    let mut rest = part;
    std::iter::from_fn(move || {
        if let [b'%', high, low, tail @ ..] = rest
            && let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low))
        {
            rest = tail;
            let byte = high * 16 + low;
            return Some(if ascii::is_unreserved(byte) { Unit::Plain(byte) } else { Unit::Escaped(byte) });
        }
        let (&byte, tail) = rest.split_first()?;
        rest = tail;
        Some(Unit::Plain(byte))
    })
}
