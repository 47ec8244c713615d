//! Bytes in columns that take text only.
//!
//! SIP carries bytes. SQLite keeps them as they are; PostgreSQL and MySQL refuse what is not UTF-8, and NUL. Such a byte
//! is stored as one character of Unicode's private use area, U+EE00 with the byte added; text that holds these characters
//! already has their bytes stored so, one by one. Everything else, which is all but everything that is ever stored, looks in
//! the table as it does on the wire, and other programs read it so.

use std::borrow::Cow;

const BASE: u32 = 0xEE00;

fn is_ours(character: char) -> bool {
    (BASE..=BASE + 0xff).contains(&u32::from(character))
}

fn escaped(byte: u8) -> char {
    char::from_u32(BASE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Bytes as text that every database takes.
pub(crate) fn encode(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(|character| character == '\0' || is_ours(character))
    {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() * 3);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\0' || is_ours(character) {
                let mut buffer = [0; 4];
                text.extend(character.encode_utf8(&mut buffer).bytes().map(escaped));
            } else {
                text.push(character);
            }
        }
        text.extend(chunk.invalid().iter().copied().map(escaped));
    }
    Cow::Owned(text)
}

/// The bytes of what [`encode`] made; text that somebody else wrote stays as it is.
pub(crate) fn decode(text: Vec<u8>) -> Vec<u8> {
    // The first byte of all our characters; most texts have none.
    if !text.contains(&0xEE) {
        return text;
    }
    let mut bytes = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match u8::try_from(u32::from(character).wrapping_sub(BASE)) {
                Ok(byte) => bytes.push(byte),
                Err(_) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        bytes.extend_from_slice(chunk.invalid());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_of_bytes_comes_back() {
        let check = |bytes: &[u8], text: &str| {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(encode(bytes).into_owned().into_bytes()), bytes);
        };
        check(b"sip:alice@example.com", "sip:alice@example.com");
        check("caf\u{e9} \u{1f600}".as_bytes(), "caf\u{e9} \u{1f600}");
        check(b"a\xffb", "a\u{eeff}b");
        check(b"a\0b\x80", "a\u{ee00}b\u{ee80}");
        check("\u{ee41}".as_bytes(), "\u{eeee}\u{eeb9}\u{ee81}");
        check("\u{ed41}\u{ef41}".as_bytes(), "\u{ed41}\u{ef41}");
        check(b"\xee\xb8", "\u{eeee}\u{eeb8}");
        check(b"", "");
        let all: Vec<u8> = (0..=255).cycle().step_by(7).take(2000).collect();
        assert_eq!(decode(encode(&all).into_owned().into_bytes()), all);
        // What another program wrote as Latin-1 is not changed.
        assert_eq!(decode(b"caf\xe9 \xee".to_vec()), b"caf\xe9 \xee");
    }
}
