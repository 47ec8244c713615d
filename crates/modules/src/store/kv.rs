//! The key/value store of a binding as text: one flat JSON object of strings and integers, as OpenSIPS writes it.

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kv<'a> {
    /// A text.
    Text(&'a [u8]),
    /// A number.
    Number(i64),
}

/// Writes an object. Bytes that are not UTF-8 are written as the characters of Latin-1, because JSON has no others.
pub fn write<'a>(pairs: impl Iterator<Item = (&'a [u8], Kv<'a>)>) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (key, value) in pairs {
        if out.len() > 1 {
            out.push(b',');
        }
        string(&mut out, key);
        out.push(b':');
        match value {
            Kv::Text(text) => string(&mut out, text),
            Kv::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        }
    }
    out.push(b'}');
    out
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut put = |character: char| match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        control if control < ' ' => out.extend_from_slice(format!("\\u{:04x}", control as u32).as_bytes()),
        other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
    };
    match std::str::from_utf8(text) {
        Ok(text) => text.chars().for_each(&mut put),
        Err(_) => text.iter().for_each(|byte| put(char::from(*byte))),
    }
    out.push(b'"');
}

/// Reads an object and gives each of its texts and integers to `each`, in order. What is no such object gives what comes
/// before the flaw: a store that somebody else wrote is no reason to lose a binding.
pub fn read(text: &[u8], mut each: impl FnMut(&[u8], Kv<'_>)) {
    let mut reader = Reader(text);
    if reader.token() != Some(b'{') {
        return;
    }
    loop {
        if reader.token() != Some(b'"') {
            return;
        }
        let Some(key) = reader.rest_of_string() else { return };
        if reader.token() != Some(b':') {
            return;
        }
        match reader.token() {
            Some(b'"') => match reader.rest_of_string() {
                Some(text) => each(&key, Kv::Text(&text)),
                None => return,
            },
            Some(first) => match reader.rest_of_number(first) {
                Some(number) => each(&key, Kv::Number(number)),
                None => return,
            },
            None => return,
        }
        if reader.token() != Some(b',') {
            return;
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next byte that is no white space.
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.next()? {
                b' ' | b'\t' | b'\r' | b'\n' => {}
                byte => return Some(byte),
            }
        }
    }

    fn rest_of_string(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Some(out),
                b'\\' => {
                    let character = match self.next()? {
                        b'n' => '\n',
                        b't' => '\t',
                        b'r' => '\r',
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'u' => self.escaped()?,
                        other => char::from(other),
                    };
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                byte => out.push(byte),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let first = self.unit()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        if (self.next()?, self.next()?) != (b'\\', b'u') {
            return None;
        }
        let second = self.unit()?;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low)
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = [self.next()?, self.next()?, self.next()?, self.next()?];
        u32::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
    }

    fn rest_of_number(&mut self, first: u8) -> Option<i64> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(&[&[first], digits].concat()).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let mut found = Vec::new();
        read(text.as_bytes(), |key, value| {
            let value = match value {
                Kv::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Kv::Number(number) => format!("#{number}"),
            };
            found.push((String::from_utf8_lossy(key).into_owned(), value));
        });
        let expected: Vec<_> =
            expected.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn objects_are_read() {
        check("", &[]);
        check("{}", &[]);
        check("{ \"a\" : \"b\", \"n\": -12 }", &[("a", "b"), ("n", "#-12")]);
        check(r#"{"a":"\"\\\n\u00e9\ud83d\ude00"}"#, &[("a", "\"\\\n\u{e9}\u{1f600}")]);
        check(r#"{"a":"b","c":[1],"d":"e"}"#, &[("a", "b")]);
        check(r#"{"a":"b","c":"\ud83d"}"#, &[("a", "b")]);
        check(r#"{"a":99999999999999999999}"#, &[]);
        check("[\"a\"]", &[]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = write(
            [(&b"a \"key\""[..], Kv::Text(b"x\r\n\\")), (b"n", Kv::Number(-7)), (b"raw", Kv::Text(b"\xff"))]
                .into_iter(),
        );
        check(
            std::str::from_utf8(&text).unwrap(),
            &[("a \"key\"", "x\r\n\\"), ("n", "#-7"), ("raw", "\u{ff}")],
        );
        assert_eq!(write(std::iter::empty()), b"{}");
    }
}
