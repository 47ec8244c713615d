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

/// Reads an object and gives each of its texts and integers to `each`, in order; values of other kinds are passed over.
/// What is no such object gives what comes before the flaw: a store that somebody else wrote is no reason to lose a
/// binding.
pub fn read(text: &[u8], mut each: impl FnMut(&[u8], Kv<'_>)) {
    members(text, |key, value, _| {
        let mut reader = Reader(value);
        match reader.next() {
            Some(b'"') => {
                if let Some(text) = reader.rest_of_string() {
                    each(key, Kv::Text(&text));
                }
            }
            Some(first) => {
                if let Some(number) = reader.rest_of_number(first).filter(|_| reader.0.is_empty()) {
                    each(key, Kv::Number(number));
                }
            }
            None => {}
        }
    });
}

/// The value of a text or number, as text; nothing when there is no such key, or another kind of value.
#[must_use]
pub fn get(text: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    read(text, |key, value| {
        if key == wanted {
            found = Some(match value {
                Kv::Text(text) => text.to_vec(),
                Kv::Number(number) => number.to_string().into_bytes(),
            });
        }
    });
    found
}

/// The object with another text under a key, or without that key; every other member stays byte by byte. Empty when none is
/// left, or when there was no object.
#[must_use]
pub fn set(text: &[u8], key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let mut kept = without(text, |known| known == key);
    if !is_object(&kept) {
        kept.clear();
    }
    match value {
        Some(value) => with(&kept, [(key, Kv::Text(value))].into_iter()),
        None => kept,
    }
}

/// The object without some of its members; the others stay byte by byte. Empty when none is left. What is no object stays
/// as it is.
#[must_use]
pub fn without(text: &[u8], goes: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut out = vec![b'{'];
    let mut has_gone = false;
    let is_whole = members(text, |key, _, member| {
        if goes(key) {
            has_gone = true;
        } else {
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(member);
        }
    });
    if !is_whole || !has_gone {
        return text.to_vec();
    }
    out.push(b'}');
    if out.len() == 2 { Vec::new() } else { out }
}

/// The object with more members behind its own. What is no object gives way to them, because nobody can read it; without
/// members to add it stays as it is.
#[must_use]
pub fn with<'a>(text: &[u8], pairs: impl Iterator<Item = (&'a [u8], Kv<'a>)>) -> Vec<u8> {
    let added = write(pairs);
    if added.len() == 2 {
        return text.to_vec();
    }
    let own = text.trim_ascii();
    let inner = own.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).map(<[u8]>::trim_ascii);
    match inner.filter(|inner| !inner.is_empty() && is_object(own)) {
        Some(inner) => [b"{", inner, b",", added.get(1..).unwrap_or_default()].concat(),
        None => added,
    }
}

/// Whether a text is a whole object.
#[must_use]
pub fn is_object(text: &[u8]) -> bool {
    members(text, |_, _, _| {})
}

/// Gives the key of each member, the bytes of its value, and those of the whole member as they stand. False when the text
/// is no whole object; then it gave the members before the flaw.
fn members<'a>(text: &'a [u8], mut each: impl FnMut(&[u8], &'a [u8], &'a [u8])) -> bool {
    let mut reader = Reader(text);
    if reader.token() != Some(b'{') {
        return false;
    }
    reader.skip_space();
    if reader.0.first() == Some(&b'}') {
        reader.next();
        reader.skip_space();
        return reader.0.is_empty();
    }
    loop {
        reader.skip_space();
        let member = reader.0;
        if reader.next() != Some(b'"') {
            return false;
        }
        let Some(key) = reader.rest_of_string() else { return false };
        if reader.token() != Some(b':') {
            return false;
        }
        reader.skip_space();
        let value = reader.0;
        if reader.skip_value().is_none() {
            return false;
        }
        let end = |from: &'a [u8]| from.get(..from.len() - reader.0.len()).unwrap_or_default();
        each(&key, end(value), end(member));
        match reader.token() {
            Some(b',') => {}
            Some(b'}') => {
                reader.skip_space();
                return reader.0.is_empty();
            }
            _ => return false,
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

    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// Passes over a value of any kind.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.token()? {
                b'"' => drop(self.rest_of_string()?),
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                b',' | b':' if depth > 0 => continue,
                byte if byte.is_ascii_alphanumeric() || byte == b'-' => {
                    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
                    let length = self.0.iter().take_while(|byte| word(byte)).count();
                    self.0 = self.0.get(length..)?;
                }
                _ => return None,
            }
            if depth == 0 {
                return Some(());
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
        check(r#"{"a":"b","c":[1,{"x":"}"}],"d":"e","f":1.5,"g":null}"#, &[("a", "b"), ("d", "e")]);
        check(r#"{"a":"b","c":[1,"d":"e"}"#, &[("a", "b")]);
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

    #[test]
    fn members_of_others_stay_byte_by_byte() {
        let ours = |key: &[u8]| key.starts_with(b"seawall_");
        let check_without = |text: &str, expected: &str| {
            assert_eq!(String::from_utf8(without(text.as_bytes(), ours)).unwrap(), expected);
        };
        check_without("", "");
        check_without("{}", "{}");
        check_without(r#"{"seawall_x":1}"#, "");
        check_without(
            r#" { "a" : [1, 2] , "seawall_x":"y", "b":{"seawall_x":1} }"#,
            r#"{"a" : [1, 2],"b":{"seawall_x":1}}"#,
        );
        check_without("no object", "no object");
        check_without(r#"{"seawall_x":1,"#, r#"{"seawall_x":1,"#);
        let check_with = |text: &str, expected: &str| {
            let added = with(text.as_bytes(), [(&b"k"[..], Kv::Number(1))].into_iter());
            assert_eq!(String::from_utf8(added).unwrap(), expected);
        };
        check_with("", r#"{"k":1}"#);
        check_with(" {} ", r#"{"k":1}"#);
        check_with(r#"{ "a": [1] }"#, r#"{"a": [1],"k":1}"#);
        check_with("{broken", r#"{"k":1}"#);
        assert_eq!(with(b"{broken", std::iter::empty()), b"{broken");
    }

    #[test]
    fn keys_are_set_replaced_and_taken_away() {
        let one = set(b"", b"a", Some(b"1"));
        assert_eq!(one, br#"{"a":"1"}"#);
        let two = set(&one, b"b\"", Some(b"x\ny"));
        assert_eq!(
            (get(&two, b"b\"").as_deref(), get(&two, b"a").as_deref()),
            (Some(&b"x\ny"[..]), Some(&b"1"[..]))
        );
        assert_eq!(set(&set(&two, b"a", Some(b"2")), b"b\"", None), br#"{"a":"2"}"#);
        assert_eq!(set(&one, b"a", None), b"");
        assert_eq!(get(br#"{"n":-5,"l":[1]}"#, b"n").as_deref(), Some(&b"-5"[..]));
        assert_eq!(get(br#"{"n":-5,"l":[1]}"#, b"l"), None);
    }
}
