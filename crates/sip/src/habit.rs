//! Which header line follows which, and which lines are the same in every message. Phones write the lines of a request in
//! the order of their maker, servers those of a response in theirs, so that a line is nearly always known from the one
//! before it: two words are compared, where its name would have to be cut out and looked up. And what does not tell one
//! phone from the next (User-Agent, Allow, Supported) are lines that stood there before, to the last byte: then a whole run of
//! them is compared at once, and not even its ends are looked for. What is not as guessed takes the general way and is the
//! guess from then on.

use crate::{
    lanes,
    message::{Field, Kind, StartLine},
    name::{self, Name},
    scan::Fields,
    span::Span,
    swar, validate,
};

/// What was seen last, to be guessed next: kept by whoever scans message after message. It changes how fast a message is
/// scanned, never what is found.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    requests: Habit,
    responses: Habit,
}

impl Habits {
    /// The habits of what these bytes look like.
    #[inline]
    pub(crate) fn of(&mut self, bytes: &[u8]) -> &mut Habit {
        let habit = if bytes.starts_with(b"SIP/") { &mut self.responses } else { &mut self.requests };
        habit.scanned = habit.scanned.wrapping_add(1);
        habit
    }
}

/// In one of so many messages it is remembered how each line goes on, so that lines which are the same again are noticed
/// when the phones that come have changed.
const LEARNING: u32 = 64;

/// The longest run of lines that is remembered to its end, in bytes.
const LONGEST_RUN: usize = 1024;

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
    start: StartLine,
    /// The start line as it was, with its line break; empty where it is not guessed.
    start_text: Vec<u8>,
    /// Messages, to know when to learn.
    scanned: u32,
    /// Where the run began that the last line belongs to.
    run: Option<Behind>,
}

impl Default for Habit {
    fn default() -> Habit {
        Habit {
            guesses: [const { Guess::NOTHING }; Behind::COUNT],
            start: StartLine::default(),
            start_text: Vec::new(),
            scanned: 0,
            run: None,
        }
    }
}

/// How a line is expected to begin: its name as it is written, the colon and a blank.
#[derive(Clone, Debug)]
struct Guess {
    words: [u64; 2],
    /// The bits of the words that are compared.
    keep: [u64; 2],
    /// This line and those behind it, with their line breaks, as far as they are expected to be the same again; or empty.
    text: Vec<u8>,
    /// Its fields, as if it stood at 0.
    fields: Vec<Field>,
    name: Name,
    name_len: u16,
    /// What the line behind this one is guessed by, or the one behind all of the text.
    next: Behind,
}

impl Guess {
    /// Fits no line: where it would, there are NULs, and no value is found among them.
    const NOTHING: Guess = Guess {
        words: [0; 2],
        keep: [u64::MAX; 2],
        text: Vec::new(),
        fields: Vec::new(),
        name: Name::Other,
        name_len: 0,
        next: Behind::START_LINE,
    };

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
    /// The start line, and where the next line begins, if the message begins as guessed. `None` is no verdict.
    #[inline]
    pub(crate) fn start_line(&mut self, bytes: &[u8]) -> Option<(StartLine, usize)> {
        if self.start_text.is_empty() {
            return None;
        }
        if stands_at(bytes, 0, &self.start_text) {
            return Some((self.start, self.start_text.len()));
        }
        self.start_text.clear();
        None
    }

    /// Expects the same start line again, which ends in front of `next`, if it is time to learn. It is one without a flaw.
    #[inline]
    pub(crate) fn learn_start_line(&mut self, bytes: &[u8], start: &StartLine, next: usize) {
        let text = bytes.get(..next).unwrap_or_default();
        let is_usual =
            start.line.start == 0 && start.line.len as usize + 2 == next && text.ends_with(b"\r\n");
        if self.is_learning() && is_usual && next <= LONGEST_RUN && start.kind != Kind::None {
            self.start = StartLine { is_checked: validate::is_plain_start(start, bytes), ..*start };
            self.start_text.extend_from_slice(text);
        }
    }

    /// Whether lines are remembered to their ends.
    #[inline]
    fn is_learning(&self) -> bool {
        self.scanned % LEARNING == 1
    }

    /// Whether lines that were the same again are made one run.
    #[inline]
    fn is_joining(&self) -> bool {
        self.scanned % LEARNING == 2
    }

    /// Takes the header fields in the lines from `at` on, as far as they are as guessed and written as nearly all are: values
    /// without control characters in them or blanks around them, and CRLF behind each that no folded line follows. Gives
    /// where the first line begins that is not, and what it may be guessed by. That is no verdict about this line.
    #[inline(never)] // with its own registers
    pub(crate) fn take(
        &mut self,
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
            if !guess.text.is_empty() {
                if guess.fields.len() <= fields.room() && stands_at(bytes, at, &guess.text) {
                    guess.fields.iter().for_each(|field| fields.record(field.moved(at)));
                    at += guess.text.len();
                    let next = guess.next;
                    if self.is_joining() {
                        self.join(behind);
                    }
                    behind = next;
                } else {
                    self.forget(behind);
                }
                continue;
            }
            if fields.room() == 0 {
                break;
            }
            let Some(field) = guess.field(bytes, at) else { break };
            fields.record(field);
            at = field.end as usize;
            let next = guess.next;
            if self.is_learning() {
                self.learn_last(behind, bytes, fields);
            }
            behind = next;
        }
        (behind, at)
    }

    /// Makes the run that stood here a part of the one that the last line belongs to.
    #[cold]
    fn join(&mut self, behind: Behind) {
        let is_before = |guess: &Guess| !guess.text.is_empty() && guess.next == behind;
        let Some(first) = self.run.filter(|first| self.guesses.get(first.index()).is_some_and(is_before))
        else {
            self.run = Some(behind);
            return;
        };
        let Ok([longer, added]) = self.guesses.get_disjoint_mut([first.index(), behind.index()]) else {
            return;
        };
        let at = longer.text.len();
        if at + added.text.len() <= LONGEST_RUN {
            longer.text.extend_from_slice(&added.text);
            longer.fields.extend(added.fields.iter().map(|field| field.moved(at)));
            longer.next = added.next;
        }
    }

    /// Expects only the beginning of a line here again.
    #[cold]
    fn forget(&mut self, behind: Behind) {
        if let Some(guess) = self.guesses.get_mut(behind.index()) {
            guess.text.clear();
            guess.fields.clear();
            guess.next = behind.then(guess.name);
        }
        self.run = None;
    }

    /// Expects the line that was taken last here from now on.
    #[cold]
    fn learn_last(&mut self, behind: Behind, bytes: &[u8], fields: &Fields<'_>) {
        if let Some(field) = fields.last() {
            self.learn(behind, bytes, &field);
        }
    }

    /// Expects the line of this field here from now on. The field is one of a known name with a colon and one blank behind
    /// it, and it ends with CRLF.
    #[cold]
    pub(crate) fn learn(&mut self, behind: Behind, bytes: &[u8], field: &Field) {
        self.run = None;
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
        guess.next = behind.then(field.name);
        guess.text.clear();
        guess.fields.clear();
        let line = bytes.get(field.start as usize..field.end as usize).unwrap_or_default();
        if line.len() <= LONGEST_RUN {
            guess.text.extend_from_slice(line);
            let value = Span { start: field.value.start - field.start, ..field.value };
            guess.fields.push(Field { start: 0, end: line.len() as u32, value, ..*field });
        }
    }
}

impl Field {
    /// The same field of a text that stands further back by so many bytes.
    #[inline]
    fn moved(&self, by: usize) -> Field {
        let by = by as u32;
        let value = Span { start: self.value.start + by, ..self.value };
        Field { start: self.start + by, end: self.end + by, value, ..*self }
    }
}

/// Whether these lines, with their line breaks, stand at `at`, and no folded line behind them.
#[inline]
fn stands_at(bytes: &[u8], at: usize, lines: &[u8]) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.split_at_checked(lines.len())
        .is_some_and(|(found, after)| found == lines && !matches!(after.first(), None | Some(b' ' | b'\t')))
}

/// The first two words of a line.
#[inline]
fn words(bytes: &[u8], at: usize) -> Option<[u64; 2]> {
    swar::two_words(bytes.get(at..)?.first_chunk::<16>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Framing, Message};

    /// Scans the same lines with another CSeq each time; gives how many are in the longest run that is remembered then.
    fn longest_run(habits: &mut Habits, user_agent: &str, count: u32) -> usize {
        for _ in 0..count {
            let cseq = habits.requests.scanned;
            let text = format!(
                "OPTIONS sip:h SIP/2.0\r\nCSeq: {cseq} OPTIONS\r\nUser-Agent: {user_agent}\r\nAllow: OPTIONS\r\n\
                 Supported: path\r\nContent-Length: 0\r\n\r\n"
            );
            let mut message = Message::empty();
            *message.buffer_mut() = text.into_bytes();
            message.scan_by_habit(Framing::Datagram, habits).unwrap();
            assert_eq!(message.header_count(), 5);
            assert_eq!(message.value(Name::UserAgent), Some(user_agent.as_bytes()));
        }
        habits.requests.guesses.iter().map(|guess| guess.fields.len()).max().unwrap()
    }

    #[test]
    fn lines_that_are_the_same_become_one_run_and_again_when_others_come() {
        let mut habits = Habits::default();
        assert_eq!(longest_run(&mut habits, "a", 1), 1);
        assert_eq!(longest_run(&mut habits, "a", 9), 4);
        // One that differs ends the run, until it is time to learn.
        assert!(longest_run(&mut habits, "b", 1) < 4);
        assert_eq!(longest_run(&mut habits, "b", 2 * LEARNING), 4);
    }
}
