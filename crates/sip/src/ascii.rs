//! Character classes and small helpers over bytes. Nothing here assumes UTF-8.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr},
};

use thiserror::Error;

use crate::{marks, swar};

/// A set of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u8);

impl Class {
    /// RFC 3261 §25.1, `token`.
    pub(crate) const TOKEN: Class = Class(1);
    pub(crate) const DIGIT: Class = Class(1 << 1);
    pub(crate) const HEX: Class = Class(1 << 2);
    /// Host names and IPv4 addresses, and `_`, which is in use on Windows and container networks.
    pub(crate) const HOST: Class = Class(1 << 3);
    /// RFC 3261 §25.1, `unreserved`.
    pub(crate) const UNRESERVED: Class = Class(1 << 4);
    /// What stands in the user part of a URI, but for the password's `:` and escapes. `#` should be escaped, but
    /// dialled feature codes arrive with it; bytes over 127 should be, too.
    pub(crate) const USER: Class = Class(1 << 5);
    /// What stands in the parameters and headers of a URI, but for their delimiters and escapes.
    pub(crate) const URI_PARAM: Class = Class(1 << 6);
    /// What stands unquoted as the value of a header parameter. Wider than RFC 3261's `token / host`: what cannot be
    /// taken for a delimiter is let through.
    pub(crate) const VALUE: Class = Class(1 << 7);

    #[inline]
    pub(crate) fn has(self, byte: u8) -> bool {
        CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & self.0 != 0)
    }

    /// How many bytes at the start are in the class.
    #[inline]
    pub(crate) fn run_len(self, bytes: &[u8]) -> usize {
        let of = |byte: u8| CLASSES.get(usize::from(byte)).copied().unwrap_or_default();
        // Four at a time with one branch: half the instructions of a loop over bytes.
        let (fours, _) = bytes.as_chunks::<4>();
        let outside = |&[a, b, c, d]: &[u8; 4]| of(a) & of(b) & of(c) & of(d) & self.0 == 0;
        let len = 4 * fours.iter().position(outside).unwrap_or(fours.len());
        let rest = bytes.get(len..).unwrap_or_default();
        len + rest.iter().position(|&byte| of(byte) & self.0 == 0).unwrap_or(rest.len())
    }

    /// Whether all bytes are in the class; so it is for no bytes.
    #[inline]
    pub(crate) fn has_all(self, bytes: &[u8]) -> bool {
        // No early exit: nearly always all of them are, and without branches this is two instructions a byte.
        let classes = |byte: &u8| CLASSES.get(usize::from(*byte)).copied().unwrap_or_default();
        bytes.iter().fold(self.0, |common, byte| common & classes(byte)) != 0
    }
}

const CLASSES: [u8; 256] = classes();

const fn contains(set: &[u8], byte: u8) -> bool {
    let mut rest = set;
    while let [first, tail @ ..] = rest {
        if *first == byte {
            return true;
        }
        rest = tail;
    }
    false
}

#[allow(clippy::indexing_slicing)] // evaluated by the compiler only
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        let alphanumeric = byte.is_ascii_alphanumeric();
        let visible = byte > 0x20 && byte != 0x7f;
        let members = [
            (Class::TOKEN, alphanumeric || contains(b"-.!%*_+`'~", byte)),
            (Class::DIGIT, byte.is_ascii_digit()),
            (Class::HEX, byte.is_ascii_hexdigit()),
            (Class::HOST, alphanumeric || contains(b"-._", byte)),
            (Class::UNRESERVED, alphanumeric || contains(b"-_.!~*'()", byte)),
            (Class::USER, alphanumeric || contains(b"-_.!~*'()&=+$,;?/#", byte) || byte >= 0x80),
            (Class::URI_PARAM, visible && !contains(b"<>\"\\@#^`{|}%;?&=", byte)),
            (Class::VALUE, visible && !contains(b"\"\\<>,;", byte)),
        ];
        let mut member = 0;
        while member < members.len() {
            if members[member].1 {
                table[index] |= members[member].0.0;
            }
            member += 1;
        }
        index += 1;
    }
    table
}

/// Whether the bytes are a token (RFC 3261 §25.1): at least one, all of them token characters.
#[inline]
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && Class::TOKEN.has_all(bytes)
}

/// Whether the byte is a token character (RFC 3261 §25.1).
#[inline]
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    Class::TOKEN.has(byte)
}

/// Whether the byte may stand unescaped everywhere in a URI (RFC 3261 §25.1, `unreserved`).
#[inline]
#[must_use]
pub fn is_unreserved(byte: u8) -> bool {
    Class::UNRESERVED.has(byte)
}

/// Whether the byte is linear white space: SP, HTAB, and CR or LF of a folded line (RFC 3261 §25.1).
#[inline]
#[must_use]
pub fn is_lws(byte: u8) -> bool {
    byte <= b' ' && matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The bytes without linear white space at both ends.
#[inline]
#[must_use]
pub fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// The bytes without linear white space at the start.
#[inline]
#[must_use]
pub fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_lws(*first) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// The bytes without linear white space at the end.
#[inline]
#[must_use]
pub fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes {
        if !is_lws(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// Whether two byte strings are equal when ASCII letters are compared without their case.
#[inline]
#[must_use]
pub fn eq_ignore_case(left: &[u8], right: &[u8]) -> bool {
    swar::eq_ignore_case(left, right)
}

/// Whether there is an ASCII letter in upper case, for texts of the length of a host.
#[inline]
#[must_use]
pub fn has_upper_case(text: &[u8]) -> bool {
    swar::has_upper_case(text)
}

/// Position of the first occurrence of a byte, for texts of the length of a header value: in those `memchr` takes longer.
#[inline]
#[must_use]
pub fn find(text: &[u8], wanted: u8) -> Option<usize> {
    swar::find(text, wanted)
}

/// Position of the first occurrence of one of two bytes; else as [`find`].
#[inline]
#[must_use]
pub fn find2(text: &[u8], one: u8, other: u8) -> Option<usize> {
    swar::find2(text, one, other)
}

/// Position of the first quote or backslash, for texts that are some dozen bytes long, like an instance.
#[inline]
#[must_use]
pub fn find_quoted_end(text: &[u8]) -> Option<usize> {
    marks::find_quoted_end(text)
}

/// Why bytes are not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NumberError {
    /// There is no digit, or something that is no digit.
    #[error("not a number")]
    NotANumber,
    /// All digits, but larger than the type, or the field, allows.
    #[error("number out of range")]
    OutOfRange,
}

/// Reads an unsigned decimal number: digits only, leading zeros allowed, no sign, no white space.
///
/// # Errors
/// [`NumberError::OutOfRange`] for digits that do not fit, [`NumberError::NotANumber`] for everything else.
#[inline]
pub fn parse_u32(bytes: &[u8]) -> Result<u32, NumberError> {
    let mut value = 0_u32;
    // Up to nine digits fit whatever they are.
    if matches!(bytes.len(), 1..=9) {
        for byte in bytes {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return Err(NumberError::NotANumber);
            }
            value = value.wrapping_mul(10).wrapping_add(u32::from(digit));
        }
        return Ok(value);
    }
    parse_long_u32(bytes)
}

/// As [`parse_u32`], for what is empty or has ten bytes and more.
#[cold]
fn parse_long_u32(bytes: &[u8]) -> Result<u32, NumberError> {
    if bytes.is_empty() || !Class::DIGIT.has_all(bytes) {
        return Err(NumberError::NotANumber);
    }
    bytes
        .iter()
        .try_fold(0_u32, |value, byte| value.checked_mul(10)?.checked_add(u32::from(byte - b'0')))
        .ok_or(NumberError::OutOfRange)
}

/// The number that a text begins with, and how many digits it has; `None` where it begins with no digit, or the number is too
/// large.
#[inline]
#[must_use]
pub fn leading_number(text: &[u8]) -> Option<(u32, usize)> {
    swar::leading_number(text).or_else(|| leading_number_of_any(text))
}

/// As [`leading_number`], for any number, and at the end of a message.
#[inline(never)]
fn leading_number_of_any(text: &[u8]) -> Option<(u32, usize)> {
    let len = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    Some((parse_u32(text.get(..len)?).ok()?, len))
}

/// Reads a port: like [`parse_u32`], up to 65535.
///
/// # Errors
/// As [`parse_u32`].
#[inline]
pub fn parse_port(bytes: &[u8]) -> Result<u16, NumberError> {
    u16::try_from(parse_u32(bytes)?).map_err(|_| NumberError::OutOfRange)
}

/// Appends a decimal number.
#[inline]
pub fn write_u32(out: &mut Vec<u8>, number: u32) {
    if number >= EIGHT_DIGITS {
        return write_long_u32(out, number);
    }
    let (digits, len) = short_digits(number);
    push_start(out, &digits, len);
}

/// The digits of a number below 10^8 without leading zeros, with anything behind them, and how many there are.
#[inline]
pub(crate) const fn short_digits(number: u32) -> ([u8; 8], usize) {
    // Half the work for most ports and lifetimes.
    let digits = if number < 10_000 { (four_digits(number) as u64) << 32 } else { eight_digits(number) };
    // Leading zeros are the lowest bytes that are zero, but for the last digit.
    let zeros = (digits | 1 << 56).trailing_zeros() / 8;
    (((digits | 0x3030_3030_3030_3030) >> (8 * zeros)).to_le_bytes(), 8 - zeros as usize)
}

/// Appends the first `len` bytes of an array. All of them are appended, and what is too much is taken away again: that is a
/// store or two, where a copy of a length that the compiler does not know is a call.
#[inline]
pub(crate) fn push_start<const LEN: usize>(out: &mut Vec<u8>, bytes: &[u8; LEN], len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(bytes);
    out.truncate(end);
}

/// Appends a text, a number and another text, for less than one after the other takes. The texts are short ones, and have 32
/// bytes together at most.
#[inline]
pub fn write_between<const BEFORE: usize, const BEHIND: usize>(
    out: &mut Vec<u8>,
    before: &[u8; BEFORE],
    number: u32,
    behind: &[u8; BEHIND],
) {
    const { assert!(BEFORE + BEHIND <= 32) };
    if number >= EIGHT_DIGITS {
        out.extend_from_slice(before);
        write_long_u32(out, number);
        return out.extend_from_slice(behind);
    }
    let mut text = [0; 40];
    let (digits, len) = short_digits(number);
    put(&mut text, 0, *before);
    put(&mut text, BEFORE, digits);
    put(&mut text, BEFORE + len, *behind);
    push_start(out, &text, BEFORE + len + BEHIND);
}

/// As [`write_u32`], for a number of up to twenty digits.
#[inline]
pub fn write_u64(out: &mut Vec<u8>, number: u64) {
    let (high, low) = (number / u64::from(EIGHT_DIGITS), (number % u64::from(EIGHT_DIGITS)) as u32);
    match u32::try_from(high) {
        Ok(0) => return write_u32(out, low),
        Ok(high) if high < EIGHT_DIGITS => write_u32(out, high),
        _ => {
            // Below 1845 for the largest number there is.
            write_u32(out, (high / u64::from(EIGHT_DIGITS)) as u32);
            push_eight_digits(out, (high % u64::from(EIGHT_DIGITS)) as u32);
        }
    }
    push_eight_digits(out, low);
}

/// Appends eight digits of a number below 10^8, zeros first.
#[inline]
fn push_eight_digits(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&(eight_digits(number) | 0x3030_3030_3030_3030).to_le_bytes());
}

const EIGHT_DIGITS: u32 = 100_000_000;

/// As [`write_u32`], for a number of nine or ten digits.
#[cold]
fn write_long_u32(out: &mut Vec<u8>, number: u32) {
    let (digits, len) = short_digits(number / EIGHT_DIGITS);
    push_start(out, &digits, len);
    push_eight_digits(out, number % EIGHT_DIGITS);
}

/// The digits of a number below 10^8, one a byte, the first one lowest. Each step splits all numbers in the word
/// in two at once: 4 and 4 digits, then 2 and 2, then 1 and 1.
#[inline]
const fn eight_digits(number: u32) -> u64 {
    let number = number as u64;
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

/// As [`eight_digits`], of a number below 10^4.
#[inline]
const fn four_digits(number: u32) -> u32 {
    let hundreds = (number * 10_486) >> 20;
    let twos = hundreds | ((number - 100 * hundreds) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f;
    tens | ((twos - 10 * tens) << 8)
}

/// Every octet in decimal with a dot after it, and how long that is.
static OCTETS: [([u8; 4], u8); 256] = octets();

#[allow(clippy::indexing_slicing)] // evaluated by the compiler only
const fn octets() -> [([u8; 4], u8); 256] {
    let mut table = [([0; 4], 0); 256];
    let mut octet = 0;
    while octet < table.len() {
        let (hundreds, tens, ones) =
            (b'0' + (octet / 100) as u8, b'0' + (octet / 10 % 10) as u8, b'0' + (octet % 10) as u8);
        table[octet] = match octet {
            0..10 => ([ones, b'.', 0, 0], 2),
            10..100 => ([tens, ones, b'.', 0], 3),
            _ => ([hundreds, tens, ones, b'.'], 4),
        };
        octet += 1;
    }
    table
}

/// Appends an IP address, an IPv6 address without brackets.
pub fn write_ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let mut text = [0; 16];
            let len = put_v4(&mut text, 0, address);
            push_start(out, &text, len);
        }
        IpAddr::V6(address) => {
            // Writing to a vector does not fail.
            let _ = write!(out, "{address}");
        }
    }
}

/// Writes an IPv4 address at a place of a text with room for 16 bytes behind it; gives the place behind the address.
#[inline]
pub(crate) fn put_v4(text: &mut [u8], at: usize, address: Ipv4Addr) -> usize {
    let mut end = at;
    for octet in address.octets() {
        let (digits, len) = OCTETS.get(usize::from(octet)).copied().unwrap_or_default();
        put(text, end, digits);
        end += usize::from(len);
    }
    // Without the dot after the last octet.
    end - 1
}

/// Writes an array at a place of a text, if there is room for it.
#[inline]
pub(crate) fn put<const LEN: usize>(text: &mut [u8], at: usize, bytes: [u8; LEN]) {
    if let Some(place) = text.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = bytes;
    }
}

/// Appends an address and a port as they stand in URIs and Via, an IPv6 address in brackets.
pub fn write_socket_address(out: &mut Vec<u8>, address: IpAddr, port: u16) {
    let brackets = address.is_ipv6();
    if brackets {
        out.push(b'[');
    }
    write_ip(out, address);
    if brackets {
        out.push(b']');
    }
    out.push(b':');
    write_u32(out, u32::from(port));
}

/// Position of the quote that ends a quoted string. `after_quote` starts after the opening quote; a backslash
/// takes the next byte literally (RFC 3261 §25.1). `None` if the string does not end.
#[must_use]
pub fn find_closing_quote(after_quote: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let found = from + swar::find2(after_quote.get(from..)?, b'"', b'\\')?;
        if after_quote.get(found) == Some(&b'"') {
            return Some(found);
        }
        from = found + 2;
    }
}

/// The text of a quoted string without its quotes and backslashes, appended to `out`. Bytes that are not a quoted
/// string are appended as they are.
pub fn unquote_into(bytes: &[u8], out: &mut Vec<u8>) {
    let [b'"', inner @ .., b'"'] = bytes else {
        out.extend_from_slice(bytes);
        return;
    };
    let mut escaped = false;
    for &byte in inner {
        if byte == b'\\' && !escaped {
            escaped = true;
        } else {
            out.push(byte);
            escaped = false;
        }
    }
}

/// The bytes between the quotes of a quoted string, backslashes kept; other bytes as they are. Enough for values
/// that never hold an escape, such as `+sip.instance`.
#[must_use]
pub fn strip_quotes(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str, expected: Result<u32, NumberError>) {
        assert_eq!(parse_u32(text.as_bytes()), expected, "{text:?}");
    }

    #[test]
    fn numbers_and_addresses_are_written_as_the_standard_library_does() {
        let around =
            (0..10).map(|power| 10_u32.pow(power)).flat_map(|number| [number - 1, number, number + 1]);
        let some = (0..2000).map(|step| step * 2_147_483);
        for number in (0..10_010).chain(around).chain(some).chain([u32::MAX, 40_000, 65_535, 100_000_007]) {
            let mut out = Vec::new();
            write_u32(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
            out.clear();
            write_between(&mut out, b"expires=", number, b" or about that\r\n");
            assert_eq!(out, format!("expires={number} or about that\r\n").as_bytes());
        }
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let long = powers.flat_map(|number| [number - 1, number, number + 1, number / 7 * 5]);
        for number in long.chain([u64::from(u32::MAX) + 1, 619_244_948_763_447_138, u64::MAX]) {
            let mut out = Vec::new();
            write_u64(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
        for octet in 0..=255_u8 {
            let address = IpAddr::from([octet, 255 - octet, octet, octet / 3]);
            let mut out = Vec::new();
            write_ip(&mut out, address);
            assert_eq!(out, address.to_string().as_bytes());
        }
    }

    #[test]
    fn numbers_are_digits_only_and_checked() {
        number("0", Ok(0));
        number("0068", Ok(68));
        number("4294967295", Ok(u32::MAX));
        number("4294967296", Err(NumberError::OutOfRange));
        number("36893488147419103232", Err(NumberError::OutOfRange));
        number("", Err(NumberError::NotANumber));
        number("-1", Err(NumberError::NotANumber));
        number("+1", Err(NumberError::NotANumber));
        number(" 1", Err(NumberError::NotANumber));
        number("1x", Err(NumberError::NotANumber));
        assert_eq!(parse_port(b"65536"), Err(NumberError::OutOfRange));
        assert_eq!(parse_port(b"65535"), Ok(65535));
    }

    #[test]
    fn numbers_are_written_without_leading_zeros() {
        for number in [0, 7, 10, 4096, 1_000_000_000, u32::MAX] {
            let mut out = Vec::new();
            write_u32(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_backslash_hides_a_quote() {
        assert_eq!(find_closing_quote(br#"ab" rest"#), Some(2));
        assert_eq!(find_closing_quote(br#"a\"b" rest"#), Some(4));
        assert_eq!(find_closing_quote(br#"a\\" rest"#), Some(3));
        assert_eq!(find_closing_quote(br#"a\""#), None);
        assert_eq!(find_closing_quote(br"a\"), None);
        assert_eq!(find_closing_quote(b""), None);
    }

    #[test]
    fn unquoting_removes_quotes_and_backslashes() {
        let check = |input: &[u8], expected: &[u8]| {
            let mut out = Vec::new();
            unquote_into(input, &mut out);
            assert_eq!(out, expected);
        };
        check(br#""a\"b\\c""#, br#"a"b\c"#);
        check(b"plain", b"plain");
        check(b"\"", b"\"");
        check(b"\"\"", b"");
    }
}
