//! What a script computes with: NULL, integers and byte strings.

use std::fmt;
use std::ops::Deref;

use smallvec::SmallVec;

/// A byte string that keeps up to 40 bytes inline: most users, hosts and methods need no allocation.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(SmallVec<[u8; 40]>);

impl Bytes {
    /// An empty string.
    pub fn new() -> Self {
        Bytes(SmallVec::new())
    }

    /// A copy of the given bytes.
    pub fn copy(bytes: &[u8]) -> Self {
        Bytes(SmallVec::from_slice(bytes))
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends the decimal digits of a number.
    pub fn push_int(&mut self, number: i64) {
        let mut digits = Digits::default();
        self.push(digits.format(number));
    }

    /// Empties the string and keeps its memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Shortens the string to `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// The bytes, for changes in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Bytes::copy(bytes)
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Bytes::copy(text.as_bytes())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(SmallVec::from_vec(bytes))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Room for the decimal form of any `i64`; `Value::as_bytes` borrows from it.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    text: [u8; 20],
}

impl Default for Digits {
    fn default() -> Self {
        Digits { text: [b'0'; 20] }
    }
}

impl Digits {
    /// Writes `number` in decimal and gives the text.
    pub fn format(&mut self, number: i64) -> &[u8] {
        let mut rest = number.unsigned_abs();
        let mut used = 0;
        for place in self.text.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        // An i64 has at most 19 digits, so one place is always left for the sign.
        if number < 0 {
            used += 1;
            let sign = self.text.len() - used;
            if let Some(place) = self.text.get_mut(sign) {
                *place = b'-';
            }
        }
        let start = self.text.len() - used;
        self.text.get(start..).unwrap_or_default()
    }
}

/// A value of the language. A string that looks like a number is used as a number where one is asked for, and a number
/// is used as its decimal text where a string is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// No value: `NULL`.
    #[default]
    Null,
    /// An integer.
    Int(i64),
    /// Bytes; nothing says that they are UTF-8.
    Str(Bytes),
}

impl Value {
    /// A string value.
    pub fn str(bytes: impl AsRef<[u8]>) -> Value {
        Value::Str(Bytes::copy(bytes.as_ref()))
    }

    /// A string, or NULL when there is none.
    pub fn optional(bytes: Option<&[u8]>) -> Value {
        bytes.map_or(Value::Null, Value::str)
    }

    /// True for NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The integer, or the integer that the whole string spells in decimal; nothing otherwise.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Null => None,
            Value::Int(number) => Some(*number),
            Value::Str(bytes) => parse_decimal(bytes),
        }
    }

    /// The text of the value, borrowed from it or from `digits`; nothing for NULL.
    pub fn as_bytes<'a>(&'a self, digits: &'a mut Digits) -> Option<&'a [u8]> {
        match self {
            Value::Null => None,
            Value::Int(number) => Some(digits.format(*number)),
            Value::Str(bytes) => Some(bytes),
        }
    }

    /// The value as a string of its own; nothing for NULL.
    pub fn into_bytes(self) -> Option<Bytes> {
        match self {
            Value::Null => None,
            Value::Int(number) => {
                let mut text = Bytes::new();
                text.push_int(number);
                Some(text)
            }
            Value::Str(bytes) => Some(bytes),
        }
    }

    /// What the value means as a condition: an integer other than 0, a string that is not empty.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Null => false,
            Value::Int(number) => *number != 0,
            Value::Str(bytes) => !bytes.is_empty(),
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Str(Bytes::copy(bytes))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(Bytes::from(text))
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Value::Str(bytes)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Str(Bytes::from(bytes))
    }
}

/// Reads a whole string as a decimal integer with an optional sign.
pub(crate) fn parse_decimal(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number: i64 = 0;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        let digit = i64::from(byte - b'0');
        number = number.checked_mul(10)?;
        number = if negative { number.checked_sub(digit)? } else { number.checked_add(digit)? };
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_digits(number: i64) {
        let mut digits = Digits::default();
        assert_eq!(digits.format(number), number.to_string().as_bytes());
        assert_eq!(parse_decimal(number.to_string().as_bytes()), Some(number));
    }

    #[test]
    fn integers_print_and_read_in_decimal() {
        for number in [0, 1, -1, 9, 10, -10, 12_345, i64::MAX, i64::MIN] {
            check_digits(number);
        }
    }

    #[test]
    fn only_a_whole_number_reads_as_an_integer() {
        for text in ["", "-", "1a", " 1", "9223372036854775808", "0x10"] {
            assert_eq!(parse_decimal(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn null_zero_and_the_empty_string_are_false() {
        assert!(!Value::Null.is_true());
        assert!(!Value::Int(0).is_true());
        assert!(!Value::from("").is_true());
        assert!(Value::Int(-1).is_true());
        assert!(Value::from("0").is_true());
    }
}
