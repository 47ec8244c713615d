//! Whole lines of a message by the names of their header fields, neighbours together: a hash or a copy of some of them takes
//! a few long parts then, where it would take each value by itself.

use crate::{
    message::{ABSENT, Message},
    name::Name,
};

/// Header fields of a message that has bits for them: one fewer than there are bits.
const MOST: usize = 63;

/// Where the header fields of some names stand in a message: a bit for each, the first header field lowest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places(u64);

impl Places {
    /// Those of these names. `None` where one of them occurs more than once, or the message has more than [`MOST`] header
    /// fields.
    #[inline]
    pub(crate) fn of<const COUNT: usize>(message: &Message, names: &[Name; COUNT]) -> Option<Places> {
        let set = names.iter().fold(0_u64, |set, name| set | 1 << name.index());
        if message.repeated & set != 0 || message.headers.len() > MOST {
            return None;
        }
        let place = |name: &Name| message.first.get(name.index()).copied().unwrap_or(ABSENT);
        // A shift by this wraps around to the last bit, which is left out below: that saves a comparison for each name.
        const { assert!(ABSENT as usize % 64 == MOST) };
        let bit = |name| 1_u64.wrapping_shl(place(name).into());
        let places = names.iter().fold(0, |places, name| places | bit(name));
        Some(Places(places & (u64::MAX >> 1)))
    }
}

/// The runs of neighbours, each by its first and its last position.
impl Iterator for Places {
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        if self.0 == 0 {
            return None;
        }
        let first = self.0.trailing_zeros();
        let len = (self.0 >> first).trailing_ones();
        // The carry goes through the whole run.
        self.0 &= self.0.wrapping_add(1 << first);
        Some((first as usize, (first + len - 1) as usize))
    }
}

impl Message {
    /// The lines of the header fields of these names with their line breaks, in the order of the message; neighbours are one
    /// part. `None` where one of the names occurs more than once, or there are more than 63 header fields.
    #[inline]
    pub fn lines_of<const COUNT: usize>(&self, names: &[Name; COUNT]) -> Option<impl Iterator<Item = &[u8]>> {
        Some(Places::of(self, names)?.map(|run| {
            let (start, end) = self.extent_of(run);
            self.bytes.get(start as usize..end as usize).unwrap_or_default()
        }))
    }

    /// From where to where the lines of neighbouring header fields reach.
    #[inline]
    pub(crate) fn extent_of(&self, (first, last): (usize, usize)) -> (u32, u32) {
        let start = self.headers.get(first).map_or(0, |field| field.start);
        (start, self.headers.get(last).map_or(start, |field| field.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &str, expected: Option<&[&str]>) {
        let text = format!("OPTIONS sip:h SIP/2.0\r\n{lines}\r\n");
        let message = Message::parse(text.into_bytes()).unwrap();
        let found = message.lines_of(&[Name::Allow, Name::CallId, Name::To]);
        let found = found.map(|lines| lines.map(|part| str::from_utf8(part).unwrap()).collect::<Vec<_>>());
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn neighbours_are_one_part() {
        check("", Some(&[]));
        check("X: 1\r\n", Some(&[]));
        check("To: a\r\n", Some(&["To: a\r\n"]));
        check(
            "i:  1\r\nX: 1\r\nTo: a\r\n b\r\nAllow:\r\n",
            Some(&["i:  1\r\n", "To: a\r\n b\r\nAllow:\r\n"]),
        );
        check("Allow: A\r\nX: 1\r\nAllow: B\r\n", None);
        let filler = |count| "X: 1\r\n".repeat(count);
        check(&(filler(61) + "To: a\r\nAllow: B\r\n"), Some(&["To: a\r\nAllow: B\r\n"]));
        check(&(filler(63) + "To: a\r\n"), None);
    }
}
