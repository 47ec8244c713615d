//! Re-indents JSON text as it streams by, without parsing it into values.

/// State between two pieces of text.
#[derive(Debug, Default)]
pub struct Pretty {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// A bracket was just opened; if it is closed at once it stays on the line.
    just_opened: bool,
}

/// Deeper nesting is not indented further: the text comes from outside, and its depth must not multiply its size.
const MAX_INDENT: usize = 32;

impl Pretty {
    /// Appends the next piece of the text to `out`, indented by four spaces a level.
    pub fn feed(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for byte in text {
            if self.in_string {
                self.inside_string(*byte, out);
            } else if !byte.is_ascii_whitespace() {
                self.outside_string(*byte, out);
            }
        }
    }

    /// How many brackets are open.
    pub fn depth(&self) -> usize {
        self.depth
    }

    fn inside_string(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.push(byte);
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_string = false;
        }
    }

    fn outside_string(&mut self, byte: u8, out: &mut Vec<u8>) {
        let closes = matches!(byte, b'}' | b']');
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        if self.just_opened != closes && (closes || self.just_opened) {
            self.new_line(out);
        }
        self.just_opened = matches!(byte, b'{' | b'[');
        out.push(byte);
        match byte {
            b'{' | b'[' => self.depth += 1,
            b',' => self.new_line(out),
            b':' => out.push(b' '),
            b'"' => self.in_string = true,
            _ => {}
        }
    }

    fn new_line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        for _ in 0..self.depth.min(MAX_INDENT) {
            out.extend_from_slice(b"    ");
        }
    }
}

/// A complete JSON text, indented.
pub fn whole(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2);
    Pretty::default().feed(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_indented_like_a_parser_would() {
        for text in [r#"{"a":[1,{"b":"x\"y, {z}"},[]],"c":{},"d":null}"#, "[]", "\"s\"", "[[[1]]]", "12"] {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            let expected = serde_json::to_string_pretty(&value).unwrap().replace("  ", "    ");
            assert_eq!(String::from_utf8(whole(text.as_bytes())).unwrap(), expected);
        }
    }

    #[test]
    fn pieces_give_the_same_as_the_whole() {
        let text = r#"{"a":[1,2,"q\\\"r"],"b":{"c":{}}}"#.as_bytes();
        let mut pieces = (Pretty::default(), Vec::new());
        text.iter().for_each(|byte| pieces.0.feed(&[*byte], &mut pieces.1));
        assert_eq!(pieces.1, whole(text));
    }
}
