//! Heads of messages that came before, and where others of their kind differ. A phone writes its requests in the order and
//! the words of its maker; what differs from one to the next are the branch, the user, the tag, the Call-ID, the number of CSeq
//! and the Contact. So a head is compared with an earlier one between gaps, whose ends are found by vectors, and what was found in
//! that one is moved by as much as the gaps are longer or shorter here. What fits no mould is scanned line by line.

mod making;

use wide::u32x4;

use self::making::Open;
use crate::{
    ascii::{self, Class},
    cseq::CSeqSpans,
    essentials::Essentials,
    lanes::{self, Block},
    limits::{MAX_CSEQ, MAX_HEAD_BYTES},
    marks,
    message::{Field, Framing, Message, StartLine},
    name::Name,
    name_addr::AddressSpans,
    scan,
    span::Span,
    swar,
    via::ViaSpans,
};

/// Moulds that are kept. Each is tried with one comparison of its beginning and one of its end as a rule, and nearly all messages
/// fit one of the first: so many kinds of phones and of messages are told apart for less than scanning one of them takes.
const MOULDS: usize = 32;

/// When there is no more room, one of so many messages that fit no mould becomes one.
const LEARNING: u32 = 32;

/// The longest head that becomes a mould, in bytes.
const LONGEST: usize = 4096;

/// The most gaps of a mould.
const GAPS: usize = 31;

/// The moulds of whoever scans message after message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moulds {
    /// Those that fit more often come first. Boxed, because they change places.
    #[allow(clippy::vec_box)]
    moulds: Vec<Box<Mould>>,
    /// Messages that fitted none since the last one became a mould.
    missed: u32,
}

impl Moulds {
    /// Fills in everything but the bytes of a message, if its head fits a mould; it stays as it is if not.
    #[inline]
    pub(crate) fn fit(&mut self, message: &mut Message, framing: Framing) -> bool {
        let Some(key) = swar::first_word(&message.bytes) else { return false };
        for place in 0..self.moulds.len() {
            let fits = self.moulds.get(place).is_some_and(|mould| {
                mould.key == key && mould.ends(&message.bytes) && mould.fill(message, framing)
            });
            if fits {
                if place > 0 {
                    self.moulds.swap(place, place - 1);
                }
                return true;
            }
        }
        false
    }

    /// Makes a mould of a message that fitted none, if it is time for one.
    #[inline]
    pub(crate) fn learn(&mut self, message: &Message) {
        self.missed += 1;
        if self.moulds.len() < MOULDS || self.missed >= LEARNING {
            self.take(message);
        }
    }

    #[cold]
    fn take(&mut self, message: &Message) {
        let Some(mould) = Mould::new(message, Open::usual(message)) else { return };
        self.missed = 0;
        for known in &mut self.moulds {
            if let Some(common) = known.widened(message, &mould) {
                **known = common;
                return;
            }
        }
        self.moulds.truncate(MOULDS - 1);
        self.moulds.push(Box::new(mould));
    }
}

/// What stands in a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    RequestUri,
    /// The host of sent-by in the topmost Via, its port and its branch.
    Host,
    Port,
    Branch,
    /// The URI of From in brackets, and the tag.
    FromUri,
    FromTag,
    ToUri,
    ToTag,
    /// The URI of From once more, as that of To.
    Again,
    /// The number of CSeq.
    Number,
    /// All of a value.
    Value,
}

impl Gap {
    const COUNT: usize = 1 + Gap::Value as usize;
}

/// Text that is the same in all messages, and the gap behind it.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// How many blocks the text has.
    blocks: u32,
    gap: Gap,
    /// The length of what stands in the gap of the mould.
    len: u32,
}

/// What a message has between the gaps and in them, and everything that was found in it.
#[derive(Clone, Debug)]
struct Mould {
    /// The first eight bytes.
    key: u64,
    /// The head with its empty line.
    text: Vec<u8>,
    pieces: Vec<Piece>,
    /// The texts of all pieces.
    blocks: Vec<Block>,
    /// What stands behind the last gap.
    last: Span,
    /// Whether there is never a body, and no word of one.
    is_whole: bool,
    open: Open,
    start: StartLine,
    /// The header fields, and how many gaps there are up to the end of each.
    fields: Vec<(Field, u8)>,
    first: [u16; Name::COUNT],
    repeated: u64,
    /// Nothing if they are to be read each time.
    essentials: Option<Parts>,
    /// Whether nothing is wrong in the header fields of any message that fits.
    is_sound: bool,
}

/// Topmost Via, From, To and CSeq, which are written as nearly all are.
#[derive(Clone, Copy, Debug)]
struct Parts {
    via: ViaSpans,
    from: AddressSpans,
    to: AddressSpans,
    cseq: CSeqSpans,
}

impl Parts {
    fn of(message: &Message) -> Option<Parts> {
        let Essentials { via, from, to, cseq } = message.essentials;
        Some(Parts { via: via.ok()?, from: from.ok()?, to: to.ok()?, cseq: cseq.ok()? })
    }

    /// Gives the same to another message, of which everything else is known.
    #[inline]
    fn fill(&self, message: &mut Message, found: &Found) {
        let longer = |gap| found.longer(gap);
        let via = message.value_span(Name::Via).unwrap_or_default();
        let port = self.via.port().map(|_| found.port);
        let parts = [longer(Gap::Host), longer(Gap::Port), longer(Gap::Branch)];
        message.essentials.via = Ok(self.via.moved(via.start, parts, port));
        let from = message.value_span(Name::From).unwrap_or_default();
        message.essentials.from = Ok(self.from.moved(from.start, longer(Gap::FromUri), longer(Gap::FromTag)));
        let to = message.value_span(Name::To).unwrap_or_default();
        let uri = longer(Gap::ToUri).wrapping_add(longer(Gap::Again));
        message.essentials.to = Ok(self.to.moved(to.start, uri, longer(Gap::ToTag)));
        let cseq = message.value_span(Name::CSeq).unwrap_or_default();
        message.essentials.cseq = Ok(self.cseq.moved(cseq, found.number));
    }
}

/// How the gaps of a message differ from those of a mould. Lengths are differences, modulo 2^32.
#[derive(Debug, Default)]
struct Found {
    /// By how much each gap is longer.
    longer: [u32; Gap::COUNT],
    /// By how much all gaps are longer up to the first, the second, and so on.
    moved: [u32; GAPS + 1],
    port: u16,
    number: u32,
}

impl Found {
    #[inline]
    fn longer(&self, gap: Gap) -> u32 {
        self.longer.get(gap as usize).copied().unwrap_or(0)
    }
}

impl Mould {
    /// Whether a message ends as this mould does, which tells nearly all that do not fit.
    #[inline]
    fn ends(&self, bytes: &[u8]) -> bool {
        !self.is_whole || bytes.ends_with(self.last.of(&self.text))
    }

    /// Finds the gaps in a message, of which is known that it [ends](Mould::ends) in the right way; gives where its head ends,
    /// empty line included.
    #[inline]
    fn measure(&self, bytes: &[u8], found: &mut Found) -> Option<usize> {
        let (mut rest, mut blocks, mut moved) = (bytes, self.blocks.iter(), 0_u32);
        let mut from_uri = Span::default();
        let Found { longer, moved: moved_until, port, number } = found;
        let [_, moved_until @ ..] = moved_until;
        for (piece, moved_until) in self.pieces.iter().zip(moved_until) {
            for _ in 0..piece.blocks {
                rest = blocks.next()?.behind(rest)?;
            }
            let len = match piece.gap {
                Gap::Value => value_len(rest)?,
                Gap::RequestUri | Gap::ToUri => lanes::find_bracket_end(rest, 0),
                Gap::FromUri => {
                    let len = lanes::find_bracket_end(rest, 0);
                    from_uri = Span { start: (bytes.len() - rest.len()) as u32, len: len as u32 };
                    len
                }
                Gap::Again => {
                    if !lanes::begins_with(rest, bytes, from_uri) {
                        return None;
                    }
                    from_uri.len as usize
                }
                Gap::Host => marks::plain_len(rest),
                Gap::Port => {
                    let (value, len) = ascii::leading_number(rest)?;
                    *port = u16::try_from(value).ok()?;
                    len
                }
                Gap::Branch => marks::len_inside(Class::VALUE, rest),
                Gap::FromTag | Gap::ToTag => marks::len_inside(Class::TOKEN, rest),
                Gap::Number => {
                    let (value, len) = ascii::leading_number(rest)?;
                    *number = value;
                    len
                }
            };
            rest = rest.get(len..)?;
            let len = len as u32;
            if len == 0 {
                return None;
            }
            let more = len.wrapping_sub(piece.len);
            if let Some(longer) = longer.get_mut(piece.gap as usize) {
                *longer = more;
            }
            moved = moved.wrapping_add(more);
            *moved_until = moved;
        }
        let len = self.last.len as usize;
        let fits = if self.is_whole { rest.len() == len } else { rest.starts_with(self.last.of(&self.text)) };
        fits.then(|| bytes.len() - rest.len() + len)
    }

    /// Fills in everything but the bytes of a message, if its head fits.
    #[inline(never)] // with its own registers
    fn fill(&self, message: &mut Message, framing: Framing) -> bool {
        let mut found = Found::default();
        let Some(end) = self.measure(&message.bytes, &mut found) else { return false };
        if end > MAX_HEAD_BYTES || found.number > MAX_CSEQ {
            return false;
        }
        let longer = found.longer(Gap::RequestUri);
        message.start = self.start.moved(longer);
        message.flaw = None;
        message.headers.clear();
        let (mut before, mut whole_line) = (longer, By::whole_line(longer));
        message.headers.extend(self.fields.iter().map(|(field, gaps)| {
            let after = found.moved.get(usize::from(*gaps) % (GAPS + 1)).copied().unwrap_or(0);
            if after == before {
                return field.moved(whole_line);
            }
            let by = By::line(before, after);
            (before, whole_line) = (after, By::whole_line(after));
            field.moved(by)
        }));
        message.is_sound = self.is_sound;
        message.first = self.first;
        message.repeated = self.repeated;
        message.head_end = end as u32 - 2;
        message.body = match self.is_whole {
            true => Span { start: end as u32, len: 0 },
            false => scan::body(message, end, framing),
        };
        match &self.essentials {
            Some(parts) => parts.fill(message, &found),
            None => {
                // Those of the message before may still be there.
                message.essentials = Essentials::ABSENT;
                Essentials::read(message);
            }
        }
        true
    }
}

/// The length of a value that begins here: without control characters in it, or blanks around it.
#[inline]
fn value_len(rest: &[u8]) -> Option<usize> {
    let value = rest.get(..lanes::find_control(rest))?;
    // A tab would be a control character.
    (*value.first()? != b' ' && *value.last()? != b' ').then_some(value.len())
}

/// By how much a line is moved, as it is added to its places.
#[derive(Clone, Copy)]
struct By(u32x4);

impl By {
    /// A line of the same length.
    #[inline]
    fn whole_line(by: u32) -> By {
        By(u32x4::new([by, by, by, 0]))
    }

    /// A line that begins `before` bytes further back and ends `after` further back.
    #[inline]
    fn line(before: u32, after: u32) -> By {
        By(u32x4::new([before, after, before, after.wrapping_sub(before)]))
    }
}

impl Field {
    /// The same field of another message, in which its line is moved.
    #[inline]
    fn moved(&self, By(by): By) -> Field {
        let places = u32x4::new([self.start, self.end, self.value.start, self.value.len]);
        let [start, end, value_start, len] = (places + by).to_array();
        Field { start, end, value: Span { start: value_start, len }, ..*self }
    }
}

impl StartLine {
    /// The same start line with a Request-URI that is longer by so much.
    #[inline]
    fn moved(&self, longer: u32) -> StartLine {
        StartLine {
            line: self.line.longer(longer),
            middle: self.middle.longer(longer),
            last: self.last.moved(longer),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests;
