//! Small helpers for JSON that others sent.

use serde_json::Value;

/// The JSON of a body, `null` if it is none.
pub fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or(Value::Null)
}

/// A member that is a string.
pub fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

/// The reason of a refusal for logs: the status, and what the service says if that is a short word.
pub fn reason(status: u16, said: Option<&str>) -> String {
    let word = said.filter(|said| {
        said.len() <= 64
            && said.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    });
    match word {
        Some(word) => format!("{status} {word}"),
        None => status.to_string(),
    }
}
