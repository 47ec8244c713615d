//! The packed form of a binding: what is fixed, then its byte strings.

use crate::binding::{Binding, Numbers, PERMANENT};
use crate::names::{NameId, Names};

/// Bytes in front of the byte strings.
const HEAD_LEN: usize = 68;

/// Set in the length of `attr`, which is at most 4096, when the number of an ownership tag follows the byte strings: few
/// bindings have one, and the others pay nothing for it.
const HAS_TAG: u16 = 0x8000;
pub(crate) const TAG_LEN: usize = 2;

/// Set in the length of `attr` when a key/value store with its length follows.
const HAS_KEYS: u16 = 0x4000;

/// Bytes of the length of a key/value store.
pub(crate) const KEYS_LEN: usize = 2;

/// A User-Agent as a binding stores it: the number of its name, or its bytes where names are full.
pub(crate) struct Agent<'a> {
    id: NameId,
    inline: &'a [u8],
}

impl<'a> Agent<'a> {
    pub(crate) fn of(user_agent: &'a [u8], names: &Names) -> Agent<'a> {
        match names.intern(user_agent) {
            Some(id) => Agent { id, inline: &[] },
            None => Agent { id: NameId::NONE, inline: user_agent },
        }
    }
}

/// How many bytes [`pack`] appends.
pub(crate) fn packed_len(binding: &Binding<'_>, agent: &Agent<'_>) -> usize {
    let parts =
        [binding.contact, binding.callid, binding.received, binding.path, binding.instance, binding.attr];
    let tag_len = if binding.ownership_tag == NameId::NONE { 0 } else { TAG_LEN };
    let keys_len = if binding.keys.is_empty() { 0 } else { KEYS_LEN + binding.keys.len() };
    HEAD_LEN + parts.iter().map(|part| part.len()).sum::<usize>() + agent.inline.len() + tag_len + keys_len
}

/// Appends a binding with this mark, whose [`packed_len`] is `len`.
pub(crate) fn pack(bytes: &mut Vec<u8>, binding: &Binding<'_>, agent: &Agent<'_>, mark: u64, len: usize) {
    let mut head = [0; HEAD_LEN];
    write_at(&mut head, 0, &(len as u32).to_le_bytes());
    write_numbers(&mut head, 0, &binding.numbers);
    write_at(&mut head, MARK_AT, &mark.to_le_bytes());
    let has_tag = binding.ownership_tag != NameId::NONE;
    let has_keys = !binding.keys.is_empty();
    let marks = if has_tag { HAS_TAG } else { 0 } | if has_keys { HAS_KEYS } else { 0 };
    let attr_len = binding.attr.len() as u16 | marks;
    let long = [agent.id.0, binding.contact.len() as u16, binding.path.len() as u16, attr_len];
    write_at(&mut head, LENGTHS_AT, long.map(u16::to_le_bytes).as_flattened());
    let short = [binding.callid, binding.received, binding.instance, agent.inline];
    write_at(&mut head, SHORTS_AT, &short.map(|part| part.len() as u8));
    bytes.extend_from_slice(&head);
    for part in [
        binding.contact,
        binding.callid,
        binding.received,
        binding.path,
        binding.instance,
        binding.attr,
        agent.inline,
    ] {
        // Most have three of them.
        if !part.is_empty() {
            bytes.extend_from_slice(part);
        }
    }
    if has_tag {
        bytes.extend_from_slice(&binding.ownership_tag.0.to_le_bytes());
    }
    if has_keys {
        bytes.extend_from_slice(&(binding.keys.len() as u16).to_le_bytes());
        bytes.extend_from_slice(binding.keys);
    }
}

/// Reads a packed binding.
#[inline]
pub(crate) fn unpack<'a>(packed: &'a [u8], names: &'a Names, aor_keys: &'a [u8]) -> Option<Binding<'a>> {
    let (head, strings) = packed.split_at_checked(HEAD_LEN)?;
    let mut head = Reader(head);
    let [.., unanswered] = head.array::<4>()?;
    let numbers = Numbers { unanswered, ..head.numbers()? };
    head.take(MARK_LEN)?;
    let agent = NameId(head.u16()?);
    let (contact, path, attr) = (head.u16()?, head.u16()?, head.u16()?);
    let (callid, received, instance, inline) = (head.u8()?, head.u8()?, head.u8()?, head.u8()?);
    let mut strings = Reader(strings);
    let contact = strings.take(usize::from(contact))?;
    let callid = strings.take(usize::from(callid))?;
    let received = strings.take(usize::from(received))?;
    let path = strings.take(usize::from(path))?;
    let instance = strings.take(usize::from(instance))?;
    let marks = attr & (HAS_TAG | HAS_KEYS);
    let attr = strings.take(usize::from(attr & !(HAS_TAG | HAS_KEYS)))?;
    let inline = strings.take(usize::from(inline))?;
    let user_agent = if agent == NameId::NONE { inline } else { names.name(agent) };
    let ownership_tag = if marks & HAS_TAG != 0 { NameId(strings.u16()?) } else { NameId::NONE };
    let keys = if marks & HAS_KEYS != 0 { strings.text()? } else { &[] };
    Some(Binding {
        numbers,
        contact,
        callid,
        received,
        path,
        instance,
        attr,
        user_agent,
        ownership_tag,
        keys,
        aor_keys,
    })
}

const NUMBERS_LEN: usize = 44;

/// The mark of a binding ([`crate::Entry::mark`]) stands behind its numbers.
pub(crate) const MARK_AT: usize = 4 + NUMBERS_LEN;
const MARK_LEN: usize = 8;

/// Where the number of the User-Agent and the lengths begin.
const LENGTHS_AT: usize = MARK_AT + MARK_LEN;

/// Where the lengths of one byte begin.
const SHORTS_AT: usize = HEAD_LEN - 4;

/// The largest size of a binding, which leaves the highest byte of the word to the count of unanswered pings. The
/// limits of the parts add up to less than a hundredth of it.
const MAX_SIZE: u32 = 0x00ff_ffff;

/// Where the count of unanswered pings stands in a binding.
pub(crate) const UNANSWERED_AT: usize = 3;

/// Where the latency stands: it is the eighth of the numbers.
pub(crate) const LATENCY_AT: usize = 4 + 7 * 4;

/// Where the contact id stands: behind eight numbers.
pub(crate) const CONTACT_ID_AT: usize = 4 + 8 * 4;

/// A stored binding of which single parts are wanted: each is read where it stands when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    head: &'a [u8; HEAD_LEN],
    /// The byte strings, and whatever stands behind them.
    strings: &'a [u8],
}

impl<'a> Stored<'a> {
    /// The first of several packed bindings.
    #[inline]
    pub(crate) fn first(bytes: &'a [u8]) -> Option<Stored<'a>> {
        let (head, strings) = bytes.split_first_chunk()?;
        Some(Stored { head, strings })
    }

    /// The number at a place of the head, which is known to the compiler.
    #[inline]
    fn array<const LEN: usize>(&self, at: usize) -> [u8; LEN] {
        self.head.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; LEN])
    }

    #[inline]
    fn word(&self, number: usize) -> u32 {
        u32::from_le_bytes(self.array(4 + 4 * number))
    }

    /// A length of [`LENGTHS_AT`], by its number.
    #[inline]
    fn long(&self, number: usize) -> usize {
        usize::from(u16::from_le_bytes(self.array(LENGTHS_AT + 2 * number)))
    }

    /// A length of the last of the head, by its number.
    #[inline]
    fn short(&self, number: usize) -> usize {
        let [len] = self.array(SHORTS_AT + number);
        usize::from(len)
    }

    /// How many bytes it takes: never so few that somebody who goes from one to the next would stand still.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        ((u32::from_le_bytes(self.array(0)) & MAX_SIZE) as usize).max(HEAD_LEN)
    }

    /// The second at which it ends.
    #[inline]
    pub fn expires_s(&self) -> u32 {
        self.word(0)
    }

    /// Whether it counts at `now_s`, as [`Binding::is_valid`] says.
    #[inline]
    pub fn is_valid(&self, now_s: u64) -> bool {
        u64::from(self.expires_s()) > now_s || self.expires_s() == PERMANENT
    }

    /// The second of its last REGISTER.
    #[inline]
    pub fn last_modified_s(&self) -> u32 {
        self.word(1)
    }

    /// The CSeq number of that.
    #[inline]
    pub fn cseq(&self) -> u32 {
        self.word(2)
    }

    /// Its internal flags.
    #[inline]
    pub fn cflags(&self) -> u32 {
        self.word(4)
    }

    /// Its `reg-id`; 0 when there is none.
    #[inline]
    pub fn reg_id(&self) -> u32 {
        self.word(6)
    }

    /// Its id.
    #[inline]
    pub fn contact_id(&self) -> u64 {
        u64::from_le_bytes(self.array(CONTACT_ID_AT))
    }

    /// Its q in thousandths, or [`Q_NONE`](crate::Q_NONE).
    #[inline]
    pub fn q(&self) -> u16 {
        u16::from_le_bytes(self.array(CONTACT_ID_AT + 8))
    }

    /// Its mark; 0 is none.
    #[inline]
    pub(crate) fn mark(&self) -> u64 {
        u64::from_le_bytes(self.array(MARK_AT))
    }

    #[inline]
    fn string(&self, at: usize, len: usize) -> &'a [u8] {
        self.strings.get(at..at + len).unwrap_or_default()
    }

    /// The Contact URI.
    #[inline]
    pub fn contact(&self) -> &'a [u8] {
        self.string(0, self.long(1))
    }

    /// Where requests really have to go; empty where that is the contact.
    #[inline]
    pub fn received(&self) -> &'a [u8] {
        self.string(self.long(1) + self.short(0), self.short(1))
    }

    /// The value of `+sip.instance`; empty when there is none.
    #[inline]
    pub fn instance(&self) -> &'a [u8] {
        self.string(self.long(1) + self.short(0) + self.short(1) + self.long(2), self.short(2))
    }
}

/// Writes the numbers of a binding, which has no mark any more then.
pub(crate) fn write_numbers(bytes: &mut [u8], binding_start: usize, numbers: &Numbers) {
    let mut packed = [0; NUMBERS_LEN + MARK_LEN];
    let words = [
        numbers.expires_s,
        numbers.last_modified_s,
        numbers.cseq,
        numbers.flags,
        numbers.cflags,
        numbers.methods,
        numbers.reg_id,
        numbers.latency_us,
    ];
    let narrow = [numbers.q, numbers.socket.0];
    write_at(&mut packed, 0, words.map(u32::to_le_bytes).as_flattened());
    write_at(&mut packed, CONTACT_ID_AT - 4, &numbers.contact_id.to_le_bytes());
    write_at(&mut packed, CONTACT_ID_AT + 4, narrow.map(u16::to_le_bytes).as_flattened());
    write_at(bytes, binding_start + 4, &packed);
    write_at(bytes, binding_start + UNANSWERED_AT, &[numbers.unanswered]);
}

/// Writes over what stands at a place.
#[inline]
pub(crate) fn write_at(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Takes little-endian numbers and slices from the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    #[inline]
    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// A text behind its length in two bytes.
    #[inline]
    pub(crate) fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn numbers(&mut self) -> Option<Numbers> {
        Some(Numbers {
            expires_s: self.u32()?,
            last_modified_s: self.u32()?,
            cseq: self.u32()?,
            flags: self.u32()?,
            cflags: self.u32()?,
            methods: self.u32()?,
            reg_id: self.u32()?,
            latency_us: self.u32()?,
            contact_id: self.array().map(u64::from_le_bytes)?,
            q: self.u16()?,
            unanswered: 0,
            socket: NameId(self.u16()?),
        })
    }
}
