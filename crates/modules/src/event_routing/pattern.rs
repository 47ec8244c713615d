//! What the value of an event's attribute has to look like: a shell pattern with `*`, `?` and `[…]`.

/// A pattern. Matching takes time in the product of both lengths at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Any bytes, none included.
    Many,
    /// Any byte.
    One,
    /// This byte.
    Byte(u8),
    /// A byte in, or with `true` outside of, these ranges.
    Among(bool, Vec<(u8, u8)>),
}

impl Pattern {
    /// Reads a pattern. A backslash takes the meaning from the byte behind it; a `[` without its `]` stands for itself.
    #[must_use]
    pub fn new(text: &[u8]) -> Pattern {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            let part = match byte {
                b'*' => Part::Many,
                b'?' => Part::One,
                b'\\' => match tail.split_first() {
                    Some((&escaped, tail)) => {
                        rest = tail;
                        Part::Byte(escaped)
                    }
                    None => Part::Byte(b'\\'),
                },
                b'[' => match among(tail) {
                    Some((part, tail)) => {
                        rest = tail;
                        part
                    }
                    None => Part::Byte(b'['),
                },
                byte => Part::Byte(byte),
            };
            // Two stars mean what one means.
            if part != Part::Many || parts.last() != Some(&Part::Many) {
                parts.push(part);
            }
        }
        Pattern { parts }
    }

    /// The one text that it matches, if there is only one.
    #[must_use]
    pub fn literal(&self) -> Option<Vec<u8>> {
        let byte = |part: &Part| if let Part::Byte(byte) = part { Some(*byte) } else { None };
        self.parts.iter().map(byte).collect()
    }

    /// Whether a text matches.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut part, mut at) = (0, 0);
        // Where to go on when what follows the last star does not fit.
        let mut star: Option<(usize, usize)> = None;
        while at < text.len() || part < self.parts.len() {
            let byte = text.get(at).copied();
            let fits = match (self.parts.get(part), byte) {
                (Some(Part::Many), _) => {
                    star = Some((part, at));
                    part += 1;
                    continue;
                }
                (Some(Part::One), Some(_)) => true,
                (Some(Part::Byte(wanted)), Some(byte)) => *wanted == byte,
                (Some(Part::Among(negated, ranges)), Some(byte)) => {
                    ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *negated
                }
                _ => false,
            };
            match star {
                _ if fits => (part, at) = (part + 1, at + 1),
                Some((of, from)) if from < text.len() => {
                    star = Some((of, from + 1));
                    (part, at) = (of + 1, from + 1);
                }
                _ => return false,
            }
        }
        true
    }
}

/// What stands behind a `[`, and the text behind its `]`.
fn among(text: &[u8]) -> Option<(Part, &[u8])> {
    let (negated, text) = match text.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        _ => (false, text),
    };
    // A `]` in the first place is one of the bytes.
    let end = text.iter().skip(1).position(|byte| *byte == b']')? + 1;
    let (inside, rest) = text.split_at_checked(end)?;
    let mut ranges = Vec::new();
    let mut left = inside;
    while let Some((&low, tail)) = left.split_first() {
        (ranges, left) = match tail {
            [b'-', high, tail @ ..] => (with(ranges, (low, *high)), tail),
            _ => (with(ranges, (low, low)), tail),
        };
    }
    Some((Part::Among(negated, ranges), rest.get(1..)?))
}

fn with(mut ranges: Vec<(u8, u8)>, range: (u8, u8)) -> Vec<(u8, u8)> {
    ranges.push(range);
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let pattern = Pattern::new(pattern.as_bytes());
        for text in yes {
            assert!(pattern.matches(text.as_bytes()), "{pattern:?} {text}");
        }
        for text in no {
            assert!(!pattern.matches(text.as_bytes()), "{pattern:?} {text}");
        }
    }

    #[test]
    fn shell_patterns_match_as_in_a_shell() {
        check("bob@*", &["bob@", "bob@example.com"], &["bob", "xbob@a", ""]);
        check("*@opensips.org", &["a@opensips.org", "@opensips.org"], &["a@opensips.orgs"]);
        check("a*b*c", &["abc", "aXbYc", "abbcc", "abcbc"], &["ab", "acb", "abcx"]);
        check("?b[ac-e]", &["xba", "xbd"], &["b", "xbb", "xb", "xbaa"]);
        check("[!a]", &["b"], &["a", ""]);
        check("[]x]", &["]", "x"], &["[", "y"]);
        check("[a", &["[a"], &["a"]);
        check("\\*\\?\\", &["*?\\"], &["ab\\"]);
        check("", &[""], &["a"]);
        check("**", &["", "anything"], &[]);
    }

    #[test]
    fn what_matches_one_text_only_says_which() {
        assert_eq!(Pattern::new(b"bob@example.com").literal(), Some(b"bob@example.com".to_vec()));
        assert_eq!(Pattern::new(b"a\\*").literal(), Some(b"a*".to_vec()));
        assert_eq!(Pattern::new(b"bob@*").literal(), None);
    }

    #[test]
    fn a_hostile_pattern_takes_no_more_than_the_product_of_the_lengths() {
        let pattern = Pattern::new("*a".repeat(2000).as_bytes());
        assert!(!pattern.matches(&[b'b'; 20_000]));
        assert!(!pattern.matches("a".repeat(1999).as_bytes()));
    }
}
