//! Which header line follows which. Phones write the lines of a request in the order of their maker, servers those of a
//! response in theirs, so that a line is nearly always known from the one before it: two words are compared, where its name
//! would have to be cut out and looked up. What is not as guessed takes the general way and is the guess from then on.

use crate::{
    message::{Field, Kind},
    name::{self, Name},
    span::Span,
    swar,
};

/// What was seen last, to be guessed next: kept by whoever scans message after message. It changes how fast a message is
/// scanned, never what is found.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    requests: Habit,
    responses: Habit,
}

impl Habits {
    #[inline]
    pub(crate) fn of(&mut self, kind: Kind) -> &mut Habit {
        if kind == Kind::Response { &mut self.responses } else { &mut self.requests }
    }
}

/// The lines of one kind of message, by the name of the line before.
#[derive(Clone, Debug)]
pub(crate) struct Habit {
    after: [Guess; Name::COUNT],
}

impl Default for Habit {
    fn default() -> Habit {
        Habit { after: [Guess::NOTHING; Name::COUNT] }
    }
}

/// How a line is expected to begin: its name as it is written, the colon and a blank.
#[derive(Clone, Copy, Debug)]
struct Guess {
    words: [u64; 2],
    /// The bits of the words that are compared.
    keep: [u64; 2],
    name: Name,
    name_len: u16,
}

impl Guess {
    /// Fits no line: none has NULs where the scan looks for guesses.
    const NOTHING: Guess = Guess { words: [0; 2], keep: [u64::MAX; 2], name: Name::Other, name_len: 0 };
}

impl Habit {
    /// The header field in the line from `at` to `end` behind one of the name `before`, if it is as guessed, with a value
    /// without blanks around it. `None` is no verdict.
    #[inline]
    pub(crate) fn field(&self, before: Name, bytes: &[u8], at: usize, end: usize) -> Option<Field> {
        let guess = self.after.get(before.index())?;
        let [first, second] = words(bytes, at)?;
        let [expected_first, expected_second] = guess.words;
        let [keep_first, keep_second] = guess.keep;
        if (first ^ expected_first) & keep_first | (second ^ expected_second) & keep_second != 0 {
            return None;
        }
        let value_start = at + usize::from(guess.name_len) + 2;
        let value = bytes.get(value_start..end)?;
        if *value.first()? <= b' ' || *value.last()? <= b' ' {
            return None;
        }
        Some(Field {
            name: guess.name,
            name_len: guess.name_len,
            start: at as u32,
            end: end as u32 + 2,
            value: Span { start: value_start as u32, len: value.len() as u32 },
        })
    }

    /// Expects the line of this field behind one of the name `before` from now on. The field is one of a known name with
    /// a colon and one blank behind it.
    #[inline]
    pub(crate) fn learn(&mut self, before: Name, bytes: &[u8], field: &Field) {
        let (Some(guess), Some(words)) =
            (self.after.get_mut(before.index()), words(bytes, field.start as usize))
        else {
            return;
        };
        // With its colon and blank. What is longer than two words is not guessed.
        let Some(&[keep_first, keep_second, 0]) = name::KEEP.get(usize::from(field.name_len) + 2) else {
            return;
        };
        let [first, second] = words;
        *guess = Guess {
            words: [first & keep_first, second & keep_second],
            keep: [keep_first, keep_second],
            name: field.name,
            name_len: field.name_len,
        };
    }
}

/// The first two words of a line.
#[inline]
fn words(bytes: &[u8], at: usize) -> Option<[u64; 2]> {
    swar::two_words(bytes.get(at..)?.first_chunk::<16>()?)
}
