//! Arithmetic and comparisons.

use std::cmp::Ordering;

use crate::code::{Arithmetic, Comparison};
use crate::limits;
use crate::value::{Digits, Value};

/// `left op right`. NULL counts as 0 or as the empty string in a sum; elsewhere what is no number makes the result NULL.
pub(super) fn arithmetic(operation: Arithmetic, left: Value, right: Value) -> Value {
    if operation == Arithmetic::Add && (matches!(left, Value::Str(_)) || matches!(right, Value::Str(_))) {
        return concatenate(left, &right);
    }
    let number = |value: &Value| if value.is_null() { Some(0) } else { value.as_int() };
    let (Some(a), Some(b)) = (number(&left), number(&right)) else { return Value::Null };
    let result = match operation {
        Arithmetic::Add => Some(a.wrapping_add(b)),
        Arithmetic::Subtract => Some(a.wrapping_sub(b)),
        Arithmetic::Multiply => Some(a.wrapping_mul(b)),
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Modulo => a.checked_rem(b),
        Arithmetic::And => Some(a & b),
        Arithmetic::Or => Some(a | b),
        Arithmetic::Xor => Some(a ^ b),
        Arithmetic::ShiftLeft => u32::try_from(b).ok().and_then(|places| a.checked_shl(places)),
        Arithmetic::ShiftRight => u32::try_from(b).ok().and_then(|places| a.checked_shr(places)),
    };
    result.map_or(Value::Null, Value::Int)
}

fn concatenate(left: Value, right: &Value) -> Value {
    let mut text = left.into_bytes().unwrap_or_default();
    let mut digits = Digits::default();
    let tail = right.as_bytes(&mut digits).unwrap_or_default();
    let room = limits::FORMAT_BYTES.saturating_sub(text.len());
    text.push(tail.get(..room).unwrap_or(tail));
    Value::Str(text)
}

/// `left op right`. NULL equals only NULL and is neither less nor greater than anything. Strings are compared without regard to
/// case, as scripts rely on. A number and a string are compared as numbers if the string is one.
pub(super) fn compare(comparison: Comparison, left: &Value, right: &Value) -> bool {
    let ordering = match (left, right) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Str(a), Value::Str(b)) => Some(without_case(a, b)),
        (Value::Int(_), Value::Str(_)) | (Value::Str(_), Value::Int(_)) => {
            match (left.as_int(), right.as_int()) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => {
                    let (mut first, mut second) = (Digits::default(), Digits::default());
                    let a = left.as_bytes(&mut first).unwrap_or_default();
                    Some(without_case(a, right.as_bytes(&mut second).unwrap_or_default()))
                }
            }
        }
    };
    let both_null = left.is_null() && right.is_null();
    match comparison {
        Comparison::Equal => ordering == Some(Ordering::Equal),
        Comparison::NotEqual => ordering != Some(Ordering::Equal),
        _ if both_null => false,
        Comparison::Less => ordering == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => ordering == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
    }
}

fn without_case(a: &[u8], b: &[u8]) -> Ordering {
    if a.eq_ignore_ascii_case(b) {
        return Ordering::Equal;
    }
    a.iter().map(u8::to_ascii_lowercase).cmp(b.iter().map(u8::to_ascii_lowercase))
}
