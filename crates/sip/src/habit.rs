//! Which header line follows which. Phones write the lines of a request in the order of their maker, servers those of a
//! response in theirs, so that a line is nearly always known from the one before it: two words are compared, where its name would
//! have to be cut out and looked up. What is not as guessed takes the general way and is the guess from then on. Whole heads
//! that were there before are for [`mould`](crate::mould); this is for what fits none of them.

use crate::{
    lanes,
    message::Field,
    mould::Moulds,
    name::{self, Name},
    scan::Fields,
    span::Span,
    swar,
};

/// What was seen last, to be guessed next: kept by whoever scans message after message. It changes how fast a message is
/// scanned, never what is found.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    requests: Habit,
    responses: Habit,
    pub(crate) moulds: Moulds,
}

impl Habits {
    /// The habits of what these bytes look like.
    #[inline]
    pub(crate) fn of(&mut self, bytes: &[u8]) -> &mut Habit {
        if bytes.starts_with(b"SIP/") { &mut self.responses } else { &mut self.requests }
    }
}

/// What the lines before say about the next one: the name of the last line, and whether the one before that had the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind(u8);

impl Behind {
    /// Before the first header field.
    pub(crate) const START_LINE: Behind = Behind(Name::Other.index() as u8);
    /// How many there are.
    const COUNT: usize = 2 * Name::COUNT;

    /// What follows when a line of this name comes next.
    #[inline]
    pub(crate) fn then(self, name: Name) -> Behind {
        let index = name.index();
        let is_again = usize::from(self.0) % Name::COUNT == index;
        Behind((index + if is_again { Name::COUNT } else { 0 }) as u8)
    }

    #[inline]
    fn index(self) -> usize {
        self.0.into()
    }
}

/// The lines of one kind of message, by the lines before.
#[derive(Clone, Debug)]
pub(crate) struct Habit {
    guesses: [Guess; Behind::COUNT],
}

impl Default for Habit {
    fn default() -> Habit {
        Habit { guesses: [Guess::NOTHING; Behind::COUNT] }
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
    /// Fits no line: where it would, there are NULs, and no value is found among them.
    const NOTHING: Guess = Guess { words: [0; 2], keep: [u64::MAX; 2], name: Name::Other, name_len: 0 };

    /// The field in the line that begins at `at`, which begins as is guessed here, if it is written as nearly all are.
    #[inline]
    fn field(&self, bytes: &[u8], at: usize) -> Option<Field> {
        let value_start = at + usize::from(self.name_len) + 2;
        let rest = bytes.get(value_start..)?;
        let len = lanes::find_control(rest);
        let (value, behind) = rest.split_at_checked(len)?;
        let &[cr, lf, after] = behind.first_chunk()?;
        if [cr, lf] != *b"\r\n" || matches!(after, b' ' | b'\t') {
            return None;
        }
        // A tab would be a control character.
        if *value.first()? == b' ' || *value.last()? == b' ' {
            return None;
        }
        Some(Field {
            name: self.name,
            name_len: self.name_len,
            start: at as u32,
            end: (value_start + len + 2) as u32,
            value: Span { start: value_start as u32, len: len as u32 },
        })
    }
}

impl Habit {
    /// Takes the header fields in the lines from `at` on, as far as they are as guessed and written as nearly all are: values
    /// without control characters in them or blanks around them, and CRLF behind each that no folded line follows. Gives
    /// where the first line begins that is not, and what it may be guessed by. That is no verdict about this line.
    #[inline(never)] // with its own registers
    pub(crate) fn take(
        &self,
        mut behind: Behind,
        bytes: &[u8],
        mut at: usize,
        fields: &mut Fields<'_>,
    ) -> (Behind, usize) {
        while let Some(guess) = self.guesses.get(behind.index())
            && let Some([first, second]) = words(bytes, at)
        {
            let [expected_first, expected_second] = guess.words;
            let [keep_first, keep_second] = guess.keep;
            if (first ^ expected_first) & keep_first | (second ^ expected_second) & keep_second != 0 {
                break;
            }
            if fields.room() == 0 {
                break;
            }
            let Some(field) = guess.field(bytes, at) else { break };
            fields.record(field);
            at = field.end as usize;
            behind = behind.then(guess.name);
        }
        (behind, at)
    }

    /// Expects the line of this field here from now on. The field is one of a known name with a colon and one blank behind
    /// it, and it ends with CRLF.
    #[cold]
    pub(crate) fn learn(&mut self, behind: Behind, bytes: &[u8], field: &Field) {
        let (Some(guess), Some(words)) =
            (self.guesses.get_mut(behind.index()), words(bytes, field.start as usize))
        else {
            return;
        };
        // With its colon and blank. What is longer than two words is not guessed.
        let Some(&[keep_first, keep_second, 0]) = name::KEEP.get(usize::from(field.name_len) + 2) else {
            return;
        };
        let [first, second] = words;
        guess.words = [first & keep_first, second & keep_second];
        guess.keep = [keep_first, keep_second];
        guess.name = field.name;
        guess.name_len = field.name_len;
    }
}

/// The first two words of a line.
#[inline]
fn words(bytes: &[u8], at: usize) -> Option<[u64; 2]> {
    swar::two_words(bytes.get(at..)?.first_chunk::<16>()?)
}
