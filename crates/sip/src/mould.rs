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
    lanes::{self, Block, Expected},
    limits::{MAX_CSEQ, MAX_HEAD_BYTES},
    marks,
    message::{Field, Framing, Message, StartLine},
    name::Name,
    name_addr::PlainAddress,
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
    /// `host:port;branch=token`, these three as nearly all write them, and how long the first two are in the mould.
    Sender {
        host_len: u32,
        port_len: u32,
    },
    /// The URI of From in brackets, and the tag.
    FromUri,
    FromTag,
    /// `uri>;tag=token`, these two.
    Caller,
    ToUri,
    ToTag,
    /// The URI of From once more, as that of To.
    Again,
    /// The number of CSeq.
    Number,
    /// All of a value.
    Value,
}

/// What stands between port and branch of a [`Gap::Sender`].
const BEFORE_BRANCH: &[u8; 8] = b";branch=";

/// What stands between URI and tag of a [`Gap::Caller`].
const BEFORE_TAG: &[u8; 6] = b">;tag=";

/// Text that is the same in all messages, and the gap behind it.
#[derive(Clone, Copy, Debug)]
struct Piece {
    text: Expected,
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
    /// The texts of all pieces, but for the first block of each.
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
    /// Whether every message that fits is one of [those](crate::build::Usual) that are answered quickly.
    is_usual: bool,
}

/// Topmost Via and CSeq of a message in which these, From and To are written as nearly all are.
#[derive(Clone, Copy, Debug)]
struct Parts {
    via: ViaSpans,
    cseq: CSeqSpans,
}

impl Parts {
    fn of(message: &Message) -> Option<Parts> {
        let Essentials { via, from, to, cseq } = message.essentials;
        from.ok()?.as_plain(message.value_span(Name::From)?)?;
        to.ok()?.as_plain(message.value_span(Name::To)?)?;
        Some(Parts { via: via.ok()?, cseq: cseq.ok()? })
    }

    /// Gives the same to another message, of which everything else is known.
    #[inline]
    fn fill(&self, message: &mut Message, found: &Found) {
        let via = message.value_span(Name::Via).unwrap_or_default();
        let port = self.via.port().map(|_| found.port);
        message.essentials.via = Ok(self.via.moved(via.start, found.sender, port));
        let from = message.value_span(Name::From).unwrap_or_default();
        message.essentials.from = Ok(found.from.at(from.start));
        let to = message.value_span(Name::To).unwrap_or_default();
        message.essentials.to = Ok(found.to.at(to.start));
        let cseq = message.value_span(Name::CSeq).unwrap_or_default();
        message.essentials.cseq = Ok(self.cseq.moved(cseq, found.number));
    }
}

/// What was found in the gaps of a message.
#[derive(Debug, Default)]
struct Found {
    /// By how much the Request-URI is longer than that of the mould, modulo 2^32 as all differences.
    request_uri: u32,
    /// By how much host, port and branch of the topmost Via are longer.
    sender: [u32; 3],
    from: PlainAddress,
    to: PlainAddress,
    port: u16,
    number: u32,
    /// By how much all gaps are longer up to the first, the second, and so on.
    moved: [u32; GAPS + 1],
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
        // What is in the message from the URI of From on.
        let mut from_uri: &[u8] = b"";
        let Found { request_uri, sender, from, to, port, number, moved: moved_until } = found;
        let [_, moved_until @ ..] = moved_until;
        for (piece, moved_until) in self.pieces.iter().zip(moved_until) {
            if !piece.text.begins(rest, &mut blocks) {
                return None;
            }
            rest = rest.get(piece.text.len()..)?;
            let longer = |len: usize| (len as u32).wrapping_sub(piece.len);
            let len = match piece.gap {
                Gap::Value => value_len(rest)?,
                Gap::RequestUri => {
                    let len = lanes::find_bracket_end(rest);
                    *request_uri = longer(len);
                    len
                }
                Gap::FromUri => {
                    let len = lanes::find_bracket_end(rest);
                    (from_uri, from.uri_len) = (rest, len as u32);
                    len
                }
                Gap::FromTag => {
                    let len = marks::len_inside::<16>(Class::TOKEN, rest);
                    from.tag_len = len as u32;
                    len
                }
                Gap::Caller => {
                    let uri = lanes::find_bracket_end(rest);
                    let (before, behind) = rest.get(uri..)?.split_first_chunk()?;
                    let tag = marks::len_inside::<16>(Class::TOKEN, behind);
                    if before != BEFORE_TAG || uri == 0 || tag == 0 {
                        return None;
                    }
                    from_uri = rest;
                    (from.uri_len, from.tag_len) = (uri as u32, tag as u32);
                    uri + BEFORE_TAG.len() + tag
                }
                Gap::ToUri => {
                    let len = lanes::find_bracket_end(rest);
                    to.uri_len = len as u32;
                    len
                }
                Gap::Again => {
                    let len = from.uri_len as usize;
                    if !lanes::begin_alike(rest, from_uri, len) {
                        return None;
                    }
                    to.uri_len = from.uri_len;
                    len
                }
                Gap::ToTag => {
                    let len = marks::len_inside::<16>(Class::TOKEN, rest);
                    to.tag_len = len as u32;
                    len
                }
                Gap::Host => {
                    let len = marks::plain_len::<16>(rest);
                    sender[0] = longer(len);
                    len
                }
                Gap::Port => {
                    let (value, len) = ascii::leading_number(rest)?;
                    *port = u16::try_from(value).ok()?;
                    sender[1] = longer(len);
                    len
                }
                Gap::Branch => {
                    let len = marks::len_inside::<48>(Class::VALUE, rest);
                    sender[2] = longer(len);
                    len
                }
                Gap::Sender { host_len, port_len } => {
                    let host = marks::plain_len::<16>(rest);
                    let [b':', behind @ ..] = rest.get(host..)? else { return None };
                    let (value, digits) = ascii::leading_number(behind)?;
                    *port = u16::try_from(value).ok()?;
                    let (before, behind) = behind.get(digits..)?.split_first_chunk()?;
                    let branch = marks::len_inside::<48>(Class::VALUE, behind);
                    if before != BEFORE_BRANCH || host == 0 || branch == 0 {
                        return None;
                    }
                    let len = host + 1 + digits + BEFORE_BRANCH.len() + branch;
                    let host = (host as u32).wrapping_sub(host_len);
                    let port = (digits as u32).wrapping_sub(port_len);
                    *sender = [host, port, longer(len).wrapping_sub(host).wrapping_sub(port)];
                    len
                }
                Gap::Number => {
                    let (value, len) = ascii::leading_number(rest)?;
                    *number = value;
                    len
                }
            };
            rest = rest.get(len..)?;
            if len == 0 {
                return None;
            }
            moved = moved.wrapping_add(longer(len));
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
        let longer = found.request_uri;
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
        (message.is_sound, message.is_usual) = (self.is_sound, self.is_usual);
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
    let value = rest.get(..lanes::find_control_soon(rest))?;
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
