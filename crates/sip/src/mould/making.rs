//! How a message becomes a mould: which of its lines have gaps, and how a mould gets more of them.

use super::{BEFORE_BRANCH, BEFORE_TAG, Found, GAPS, Gap, LONGEST, Mould, Parts, Piece, value_len};
use crate::{
    build,
    lanes::{Block, Expected},
    message::{Field, Kind, Message, StartLine},
    name::Name,
    span::Span,
    swar, validate,
};

/// Lines whose values differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    request_uri: bool,
    /// A bit for each header field, the first one lowest.
    fields: u64,
}

impl Open {
    /// What differs from one message to the next whoever sends it.
    pub(super) fn usual(message: &Message) -> Open {
        let differs = |field: &Field| {
            matches!(
                field.name,
                Name::CallId | Name::Contact | Name::Authorization | Name::ProxyAuthorization
            )
        };
        let bit = |(index, field): (usize, &Field)| {
            u64::from(differs(field)).checked_shl(index as u32).unwrap_or(0)
        };
        Open { request_uri: false, fields: message.headers.iter().enumerate().map(bit).sum() }
    }

    fn has(self, index: usize) -> bool {
        self.fields >> index & 1 != 0
    }
}

impl Mould {
    /// The mould of a message in which nothing is wrong, with these lines open.
    pub(super) fn new(message: &Message, open: Open) -> Option<Mould> {
        let bytes = message.bytes.as_slice();
        let (start, end) = (&message.start, message.head_end as usize + 2);
        let is_usual = message.flaw.is_none()
            && start.kind != Kind::None
            && start.line.start == 0
            && message.headers.len() <= 64
            && end <= LONGEST
            && bytes.get(message.head_end as usize..end)? == b"\r\n";
        if !is_usual {
            return None;
        }
        let mut maker =
            Maker { message, open, pieces: Vec::new(), blocks: Vec::new(), at: 0, is_read: false };
        if open.request_uri {
            maker.start_line()?;
        }
        let mut fields = Vec::with_capacity(message.headers.len());
        let mut expected = start.line.end() + 2;
        for (index, field) in message.headers.iter().enumerate() {
            if field.start != expected {
                return None;
            }
            expected = field.end;
            maker.line(index, field);
            fields.push((*field, maker.pieces.len() as u8));
        }
        let Maker { pieces, blocks, at, is_read, .. } = maker;
        if expected != message.head_end || pieces.len() > GAPS {
            return None;
        }
        let has_open = |name| {
            message.headers.iter().enumerate().any(|(index, field)| field.name == name && open.has(index))
        };
        let essentials = Parts::of(message).filter(|_| !is_read);
        let is_sound =
            essentials.is_some() && !has_open(Name::MaxForwards) && validate::has_sound_headers(message);
        let is_checked = !open.request_uri && validate::is_plain_start(start, bytes);
        Some(Mould {
            key: swar::first_word(bytes)?,
            text: bytes.get(..end)?.to_vec(),
            pieces,
            blocks,
            last: Span::between(at as usize, end),
            is_whole: bytes.len() == end && !has_open(Name::ContentLength),
            open,
            start: StartLine { is_checked, ..*start },
            fields,
            first: message.first,
            repeated: message.repeated,
            essentials,
            is_sound,
            is_usual: essentials.is_some() && build::is_usual(message),
        })
    }

    /// A mould that fits what this one fits and a message that does not, if they differ in nothing but values. `mould` is that of
    /// the message alone.
    pub(super) fn widened(&self, message: &Message, mould: &Mould) -> Option<Mould> {
        let is_alike =
            self.key == mould.key
                && self.fields.len() == mould.fields.len()
                && self.fields.iter().zip(&mould.fields).all(|((ours, _), (theirs, _))| {
                    ours.name == theirs.name && ours.name_len == theirs.name_len
                });
        if !is_alike {
            return None;
        }
        let differs = |(ours, theirs): (&(Field, u8), &(Field, u8))| {
            let value = |field: &Field, text| field.value.of(text);
            value(&ours.0, &self.text) != value(&theirs.0, &mould.text)
        };
        let bit = |(index, differs): (usize, bool)| u64::from(differs) << index;
        let differing: u64 = self.fields.iter().zip(&mould.fields).map(differs).enumerate().map(bit).sum();
        let open = Open {
            request_uri: self.open.request_uri
                || self.start.middle.of(&self.text) != mould.start.middle.of(&mould.text),
            fields: self.open.fields | mould.open.fields | differing,
        };
        let mut common = Mould::new(message, open)?;
        common.is_whole &= self.is_whole;
        let fits = common.ends(&self.text) && common.measure(&self.text, &mut Found::default()).is_some();
        fits.then_some(common)
    }
}

/// A mould that is being made.
struct Maker<'a> {
    message: &'a Message,
    open: Open,
    pieces: Vec<Piece>,
    blocks: Vec<Block>,
    /// Where the text begins that is the same in all messages.
    at: u32,
    is_read: bool,
}

impl Maker<'_> {
    fn gap(&mut self, gap: Gap, span: Span) {
        let same = Span::between(self.at as usize, span.start as usize);
        let text = Expected::new(same.of(&self.message.bytes), &mut self.blocks);
        self.pieces.push(Piece { text, gap, len: span.len });
        self.at = span.end();
    }

    /// Whether this stands between two parts of the message.
    fn has_between(&self, before: Span, behind: Span, expected: &[u8]) -> bool {
        Span::between(before.end() as usize, behind.start as usize).of(&self.message.bytes) == expected
    }

    /// `METHOD SP Request-URI SP SIP/2.0`, its URI open.
    fn start_line(&mut self) -> Option<()> {
        let StartLine { kind, line, first, middle, last, .. } = self.message.start;
        let is_usual = kind == Kind::Request
            && first.end() + 1 == middle.start
            && middle.end() + 1 == last.start
            && last.end() == line.end();
        is_usual.then(|| self.gap(Gap::RequestUri, middle))
    }

    /// A header line. Where it cannot be written with gaps it has to be the same.
    fn line(&mut self, index: usize, field: &Field) {
        let message = self.message;
        if message.is_first(field, index)
            && let Name::Via | Name::From | Name::To | Name::CSeq = field.name
        {
            if self.essential(field).is_some() {
                return;
            }
            self.is_read = true;
        } else if !self.open.has(index) {
            return;
        }
        let value = field.value;
        let rest = message.bytes.get(value.start as usize..).unwrap_or_default();
        if value_len(rest) == Some(value.len as usize) {
            self.gap(Gap::Value, value);
        }
    }

    /// One of the header fields that every element looks at, written as nearly all are. `None` is no verdict.
    fn essential(&mut self, field: &Field) -> Option<()> {
        let (message, value) = (self.message, field.value);
        let essentials = &message.essentials;
        match field.name {
            Name::Via => {
                let via = essentials.via.as_ref().ok()?;
                let [host, port, branch] = via.plain_parts(&message.bytes, value)?;
                let host = host?;
                if let (Some(port), Some(branch)) = (port, branch)
                    && self.has_between(host, port, b":")
                    && self.has_between(port, branch, BEFORE_BRANCH)
                {
                    let sender = Span::between(host.start as usize, branch.end() as usize);
                    self.gap(Gap::Sender { host_len: host.len, port_len: port.len }, sender);
                    return Some(());
                }
                self.gap(Gap::Host, host);
                port.into_iter().for_each(|port| self.gap(Gap::Port, port));
                branch.into_iter().for_each(|branch| self.gap(Gap::Branch, branch));
            }
            Name::From => {
                let (uri, tag) = essentials.from.as_ref().ok()?.plain_parts(value)?;
                if let Some(tag) = tag
                    && self.has_between(uri, tag, BEFORE_TAG)
                {
                    let caller = Span::between(uri.start as usize, tag.end() as usize);
                    self.gap(Gap::Caller, caller);
                    return Some(());
                }
                self.gap(Gap::FromUri, uri);
                tag.into_iter().for_each(|tag| self.gap(Gap::FromTag, tag));
            }
            Name::To => {
                let (uri, tag) = essentials.to.as_ref().ok()?.plain_parts(value)?;
                let is_again =
                    self.pieces.iter().any(|piece| matches!(piece.gap, Gap::FromUri | Gap::Caller))
                        && essentials.from.is_ok_and(|from| from.again(&message.bytes, value).is_some());
                self.gap(if is_again { Gap::Again } else { Gap::ToUri }, uri);
                tag.into_iter().for_each(|tag| self.gap(Gap::ToTag, tag));
            }
            _ => self.gap(Gap::Number, essentials.cseq.as_ref().ok()?.plain_number(value)?),
        }
        Some(())
    }
}
