//! Messages that are rendered once; only the digits that differ are written for each request.

/// What differs from request to request.
#[derive(Clone, Copy, Debug)]
pub struct Values {
    /// The operation's number in its run.
    pub operation: u32,
    /// The slot that the operation occupies.
    pub slot: u16,
    /// The user's number.
    pub user: u32,
    /// The CSeq number.
    pub cseq: u32,
}

/// A placeholder in a pattern, and the digits that replace it. Widths are fixed so that offsets are.
const PLACEHOLDERS: [(&str, Field, usize); 4] = [
    ("{operation}", Field::Operation, 8),
    ("{slot}", Field::Slot, 4),
    ("{user}", Field::User, 8),
    ("{cseq}", Field::Cseq, 8),
];

#[derive(Clone, Copy, Debug)]
enum Field {
    Operation,
    Slot,
    User,
    Cseq,
}

/// A message with gaps of fixed width.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    gaps: Vec<(usize, Field)>,
}

impl Template {
    /// Makes a template of a pattern with `{operation}`, `{slot}`, `{user}` and `{cseq}` in it.
    pub fn new(pattern: &str) -> Self {
        let mut template = Template { bytes: Vec::with_capacity(pattern.len()), gaps: Vec::new() };
        let mut rest = pattern;
        while !rest.is_empty() {
            let found = PLACEHOLDERS.iter().find_map(|(name, field, width)| {
                rest.strip_prefix(name).map(|after| (after, *field, *width))
            });
            rest = match found {
                Some((after, field, width)) => {
                    template.gaps.push((template.bytes.len(), field));
                    template.bytes.resize(template.bytes.len() + width, b'0');
                    after
                }
                None => {
                    let next = rest.char_indices().nth(1).map_or(rest.len(), |(at, _)| at);
                    let (literal, after) = rest.split_at(next);
                    template.bytes.extend_from_slice(literal.as_bytes());
                    after
                }
            };
        }
        template
    }

    /// Bytes of every message made of this template.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a message to `out`.
    pub fn render(&self, values: Values, out: &mut Vec<u8>) {
        let operation = hexadecimal::<8>(values.operation);
        let slot = hexadecimal::<4>(u32::from(values.slot));
        let user = decimal::<8>(values.user);
        let cseq = decimal::<8>(values.cseq);
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for (offset, field) in &self.gaps {
            let digits: &[u8] = match field {
                Field::Operation => &operation,
                Field::Slot => &slot,
                Field::User => &user,
                Field::Cseq => &cseq,
            };
            let from = start + offset;
            if let Some(gap) = out.get_mut(from..from + digits.len()) {
                gap.copy_from_slice(digits);
            }
        }
    }
}

fn hexadecimal<const WIDTH: usize>(mut number: u32) -> [u8; WIDTH] {
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        let nibble = (number & 15) as u8;
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        number >>= 4;
    }
    digits
}

fn decimal<const WIDTH: usize>(mut number: u32) -> [u8; WIDTH] {
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, expected: &str) {
        let mut out = b">".to_vec();
        let values = Values { operation: 0xbeef, slot: 0x2a, user: 1_234, cseq: 10_000_007 };
        Template::new(pattern).render(values, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!(">{expected}"));
    }

    #[test]
    fn placeholders_become_digits_of_fixed_width() {
        check("{operation}.{slot} u{user} {cseq}!", "0000beef.002a u00001234 10000007!");
    }

    #[test]
    fn a_placeholder_may_come_twice_and_other_braces_stay() {
        check("{user}{user}{x}", "0000123400001234{x}");
    }

    #[test]
    fn text_without_placeholders_is_kept() {
        check("Ünïcode\r\n", "Ünïcode\r\n");
    }
}
