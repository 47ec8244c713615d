//! The packed form of an address of record: one allocation that holds its name and all of its bindings.
//!
//! ```text
//! armed_s u32 | count u16 | aor_len u16 | aor … | (keys_len u16 | keys …) | binding | binding | …
//! binding = size u24, unanswered u8, the fixed numbers, the mark, the lengths (HEAD_LEN bytes in all), then the byte
//!           strings and, where the length of `attr` says so, the number of the ownership tag and a key/value store
//! ```
//!
//! The key/value store of the address of record is there where `aor_len` says so.
//!
//! A typical phone takes about 250 bytes this way, and reading it touches neighbouring cache lines only. Bindings
//! stand in the order of their arrival. A record is never partly written: a change of sizes builds a new one.

use crate::binding::{Binding, Numbers, PERMANENT};
use crate::names::{NameId, Names};

const AOR_AT: usize = 8;
const HEAD_LEN: usize = 68;

/// Set in the length of `attr`, which is at most 4096, when the number of an ownership tag follows the byte strings: few
/// bindings have one, and the others pay nothing for it.
const HAS_TAG: u16 = 0x8000;
const TAG_LEN: usize = 2;

/// Set in the length of `attr` when a key/value store with its length follows.
const HAS_KEYS: u16 = 0x4000;

/// Set in the length of the address of record, which is at most 4096, when its key/value store with its length follows.
const HAS_AOR_KEYS: u16 = 0x8000;
const KEYS_LEN: usize = 2;

/// `armed_s` of a record without an entry in the wheel.
pub(crate) const NOT_ARMED: u32 = u32::MAX;

/// One address of record with its bindings, packed.
pub(crate) struct Record(Box<[u8]>);

/// A view over a packed record: what a table slot or a snapshot holds.
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    names: &'a Names,
}

impl<'a> RecordView<'a> {
    pub(crate) fn new(bytes: &'a [u8], names: &'a Names) -> RecordView<'a> {
        RecordView { bytes, names }
    }

    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The address of record.
    pub fn aor(&self) -> &'a [u8] {
        aor_of(self.bytes)
    }

    /// Its key/value store as text; empty when it has none.
    pub fn keys(&self) -> &'a [u8] {
        keys_of(self.bytes)
    }

    /// How many bindings it has, expired ones that were not removed yet included.
    pub fn len(&self) -> usize {
        count_of(self.bytes)
    }

    /// Whether it has no binding.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bindings in the order of their arrival, expired ones that were not removed yet included.
    #[inline]
    pub fn bindings(&self) -> Bindings<'a> {
        let rest = self.bytes.get(head_len(self.bytes)..).unwrap_or(&[]);
        Bindings { rest, names: self.names, aor_keys: keys_of(self.bytes) }
    }
}

/// The bindings of a record, in the order of their arrival.
#[derive(Clone)]
pub struct Bindings<'a> {
    rest: &'a [u8],
    names: &'a Names,
    aor_keys: &'a [u8],
}

impl<'a> Iterator for Bindings<'a> {
    type Item = Binding<'a>;

    #[inline]
    fn next(&mut self) -> Option<Binding<'a>> {
        let (packed, rest) = self.rest.split_at_checked(size_of_first(self.rest)?)?;
        self.rest = rest;
        unpack(packed, self.names, self.aor_keys)
    }
}

impl Record {
    pub(crate) fn aor(&self) -> &[u8] {
        aor_of(&self.0)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A record from a copy of its bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Record {
        Record(bytes.into())
    }

    /// Its key/value store as text.
    pub(crate) fn keys(&self) -> &[u8] {
        keys_of(&self.0)
    }

    /// Replaces its key/value store, whose length was checked.
    pub(crate) fn set_keys(&mut self, keys: &[u8]) {
        let head = self.0.get(..AOR_AT + self.aor().len()).unwrap_or(&[]);
        let rest = self.0.get(head_len(&self.0)..).unwrap_or(&[]);
        let extra = if keys.is_empty() { 0 } else { KEYS_LEN + keys.len() };
        let mut bytes = Vec::with_capacity(head.len() + extra + rest.len());
        bytes.extend_from_slice(head);
        let mark = if keys.is_empty() { 0 } else { HAS_AOR_KEYS };
        let aor_len = self.aor().len() as u16 | mark;
        write_at(&mut bytes, 6, &aor_len.to_le_bytes());
        if !keys.is_empty() {
            bytes.extend_from_slice(&(keys.len() as u16).to_le_bytes());
            bytes.extend_from_slice(keys);
        }
        bytes.extend_from_slice(rest);
        self.0 = bytes.into_boxed_slice();
    }

    pub(crate) fn view<'a>(&'a self, names: &'a Names) -> RecordView<'a> {
        RecordView::new(&self.0, names)
    }

    pub(crate) fn len(&self) -> usize {
        count_of(&self.0)
    }

    /// The second for which the wheel holds this record's entry.
    pub(crate) fn armed_s(&self) -> u32 {
        Reader(&self.0).u32().unwrap_or(NOT_ARMED)
    }

    pub(crate) fn set_armed_s(&mut self, armed_s: u32) {
        write_at(&mut self.0, 0, &armed_s.to_le_bytes());
    }

    /// The earliest second at which one of the bindings ends; `PERMANENT` when none does.
    #[inline]
    pub(crate) fn earliest_expiry_s(&self) -> u32 {
        self.packed().filter_map(expires_s_of).min().unwrap_or(PERMANENT)
    }

    /// A record with one binding. The parts were checked by [`Binding::check`] and the name by its own limit.
    pub(crate) fn first(aor: &[u8], binding: &Binding<'_>, names: &Names) -> Record {
        let agent = Agent::of(binding.user_agent, names);
        let mut bytes = Vec::with_capacity(AOR_AT + aor.len() + packed_len(binding, &agent));
        bytes.extend_from_slice(&NOT_ARMED.to_le_bytes());
        bytes.extend_from_slice(&1u16.to_le_bytes());
        bytes.extend_from_slice(&(aor.len() as u16).to_le_bytes());
        bytes.extend_from_slice(aor);
        pack(&mut bytes, binding, &agent);
        Record(bytes.into_boxed_slice())
    }

    /// Adds a binding behind the others.
    pub(crate) fn push(&mut self, binding: &Binding<'_>, names: &Names) {
        let agent = Agent::of(binding.user_agent, names);
        let mut bytes = Vec::with_capacity(self.0.len() + packed_len(binding, &agent));
        bytes.extend_from_slice(&self.0);
        pack(&mut bytes, binding, &agent);
        self.rebuilt(bytes, self.len() + 1);
    }

    /// Writes new numbers into the binding at `position`.
    pub(crate) fn set_numbers(&mut self, position: usize, numbers: &Numbers) {
        if let Some((start, _)) = self.locate(position) {
            write_numbers(&mut self.0, start, numbers);
        }
    }

    /// Where the binding is that bears this mark, which is not 0, and its numbers.
    #[inline]
    pub(crate) fn marked(&self, mark: u64) -> Option<(usize, Numbers)> {
        let is_marked = |packed: &&[u8]| mark_of(packed) == Some(mark);
        let (position, packed) = self.packed().enumerate().find(|(_, packed)| is_marked(packed))?;
        let numbers = Reader(packed.get(4..)?).numbers()?;
        Some((position, numbers))
    }

    /// Marks the binding at `position`.
    pub(crate) fn set_mark(&mut self, position: usize, mark: u64) {
        if let Some((start, _)) = self.locate(position) {
            write_at(&mut self.0, start + MARK_AT, &mark.to_le_bytes());
        }
    }

    /// Writes a new end, time and CSeq into the binding at `position`, which answers; its mark stays.
    #[inline]
    pub(crate) fn renew(&mut self, position: usize, (expires_s, now_s): (u32, u32), cseq: u32) {
        let Some((start, _)) = self.locate(position) else { return };
        let Some(head) = self.0.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<16>) else { return };
        let [_, _, _, unanswered, numbers @ ..] = head;
        *unanswered = 0;
        let ([expires, modified, last], _) = numbers.as_chunks_mut::<4>() else { return };
        *expires = expires_s.to_le_bytes();
        *modified = now_s.to_le_bytes();
        *last = cseq.to_le_bytes();
    }

    /// The contact id of the binding at `position`.
    #[inline]
    pub(crate) fn contact_id(&self, position: usize) -> Option<u64> {
        let (start, _) = self.locate(position)?;
        Reader(self.0.get(start + CONTACT_ID_AT..)?).array().map(u64::from_le_bytes)
    }

    /// Counts one more unanswered ping of the binding at `position`.
    pub(crate) fn count_ping(&mut self, position: usize) {
        if let Some((start, _)) = self.locate(position)
            && let Some(count) = self.0.get_mut(start + UNANSWERED_AT)
        {
            *count = count.saturating_add(1);
        }
    }

    /// The binding at `position` has answered a ping after so many microseconds. Its mark stays.
    pub(crate) fn set_answered(&mut self, position: usize, latency_us: u32) {
        if let Some((start, _)) = self.locate(position) {
            write_at(&mut self.0, start + UNANSWERED_AT, &[0]);
            write_at(&mut self.0, start + LATENCY_AT, &latency_us.to_le_bytes());
        }
    }

    /// Replaces the binding at `position`, which keeps its place in the order and its key/value store. Equal byte strings
    /// leave the allocation as it is.
    pub(crate) fn replace(&mut self, position: usize, binding: &Binding<'_>, names: &Names) {
        let Some((start, end)) = self.locate(position) else { return };
        let old = self.0.get(start..end).and_then(|packed| unpack(packed, names, &[]));
        let keys = old.map_or(&[][..], |old| old.keys);
        let binding = &Binding { keys, aor_keys: &[], ..*binding };
        if old.is_some_and(|old| Binding { numbers: binding.numbers, ..old } == *binding) {
            let numbers = binding.numbers;
            write_numbers(&mut self.0, start, &numbers);
            return;
        }
        let agent = Agent::of(binding.user_agent, names);
        let (before, after) = (self.0.get(..start).unwrap_or(&[]), self.0.get(end..).unwrap_or(&[]));
        let mut bytes = Vec::with_capacity(before.len() + after.len() + packed_len(binding, &agent));
        bytes.extend_from_slice(before);
        pack(&mut bytes, binding, &agent);
        bytes.extend_from_slice(after);
        self.rebuilt(bytes, self.len());
    }

    /// Removes the bindings for which `keep` says false.
    pub(crate) fn retain(&mut self, names: &Names, mut keep: impl FnMut(usize, &Binding<'_>) -> bool) {
        let start = head_len(&self.0);
        let mut bytes = Vec::with_capacity(self.0.len());
        bytes.extend_from_slice(self.0.get(..start).unwrap_or(&[]));
        let mut count = 0;
        for (position, packed) in self.packed().enumerate() {
            if unpack(packed, names, keys_of(&self.0)).is_some_and(|binding| keep(position, &binding)) {
                bytes.extend_from_slice(packed);
                count += 1;
            }
        }
        self.rebuilt(bytes, count);
    }

    fn rebuilt(&mut self, mut bytes: Vec<u8>, count: usize) {
        write_at(&mut bytes, 4, &(count as u16).to_le_bytes());
        self.0 = bytes.into_boxed_slice();
    }

    fn packed(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.get(head_len(&self.0)..).unwrap_or(&[]);
        std::iter::from_fn(move || {
            let (packed, after) = rest.split_at_checked(size_of_first(rest)?)?;
            rest = after;
            Some(packed)
        })
    }

    fn locate(&self, position: usize) -> Option<(usize, usize)> {
        let mut start = head_len(&self.0);
        for _ in 0..position {
            start += size_of_first(self.0.get(start..)?)?;
        }
        Some((start, start + size_of_first(self.0.get(start..)?)?))
    }
}

/// A User-Agent as a binding stores it: the number of its name, or its bytes where names are full.
struct Agent<'a> {
    id: NameId,
    inline: &'a [u8],
}

impl<'a> Agent<'a> {
    fn of(user_agent: &'a [u8], names: &Names) -> Agent<'a> {
        match names.intern(user_agent) {
            Some(id) => Agent { id, inline: &[] },
            None => Agent { id: NameId::NONE, inline: user_agent },
        }
    }
}

/// The length of the address of record with its mark.
#[inline]
fn marked_len(bytes: &[u8]) -> u16 {
    bytes.get(6..AOR_AT).and_then(|len| Reader(len).u16()).unwrap_or(0)
}

#[inline]
fn aor_of(bytes: &[u8]) -> &[u8] {
    let len = usize::from(marked_len(bytes) & !HAS_AOR_KEYS);
    bytes.get(AOR_AT..AOR_AT + len).unwrap_or(&[])
}

#[inline]
fn keys_of(bytes: &[u8]) -> &[u8] {
    let len = marked_len(bytes);
    if len & HAS_AOR_KEYS == 0 {
        return &[];
    }
    let rest = bytes.get(AOR_AT + usize::from(len & !HAS_AOR_KEYS)..).unwrap_or(&[]);
    Reader(rest).text().unwrap_or(&[])
}

/// Where the bindings begin.
#[inline]
fn head_len(bytes: &[u8]) -> usize {
    let len = marked_len(bytes);
    let aor_end = AOR_AT + usize::from(len & !HAS_AOR_KEYS);
    if len & HAS_AOR_KEYS == 0 { aor_end } else { aor_end + KEYS_LEN + keys_of(bytes).len() }
}

fn count_of(bytes: &[u8]) -> usize {
    bytes.get(4..6).and_then(|count| Reader(count).u16()).map_or(0, usize::from)
}

fn size_of_first(bytes: &[u8]) -> Option<usize> {
    Reader(bytes).u32().map(|size| (size & MAX_SIZE) as usize).filter(|size| *size >= HEAD_LEN)
}

fn packed_len(binding: &Binding<'_>, agent: &Agent<'_>) -> usize {
    let parts =
        [binding.contact, binding.callid, binding.received, binding.path, binding.instance, binding.attr];
    let tag_len = if binding.ownership_tag == NameId::NONE { 0 } else { TAG_LEN };
    let keys_len = if binding.keys.is_empty() { 0 } else { KEYS_LEN + binding.keys.len() };
    HEAD_LEN + parts.iter().map(|part| part.len()).sum::<usize>() + agent.inline.len() + tag_len + keys_len
}

fn pack(bytes: &mut Vec<u8>, binding: &Binding<'_>, agent: &Agent<'_>) {
    let start = bytes.len();
    bytes.extend_from_slice(&(packed_len(binding, agent) as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; NUMBERS_LEN + MARK_LEN]);
    write_numbers(bytes, start, &binding.numbers);
    let has_tag = binding.ownership_tag != NameId::NONE;
    let has_keys = !binding.keys.is_empty();
    let marks = if has_tag { HAS_TAG } else { 0 } | if has_keys { HAS_KEYS } else { 0 };
    let attr_len = binding.attr.len() as u16 | marks;
    for number in [agent.id.0, binding.contact.len() as u16, binding.path.len() as u16, attr_len] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let short = [binding.callid, binding.received, binding.instance, agent.inline];
    bytes.extend_from_slice(&short.map(|part| part.len() as u8));
    for part in [
        binding.contact,
        binding.callid,
        binding.received,
        binding.path,
        binding.instance,
        binding.attr,
        agent.inline,
    ] {
        bytes.extend_from_slice(part);
    }
    if has_tag {
        bytes.extend_from_slice(&binding.ownership_tag.0.to_le_bytes());
    }
    if has_keys {
        bytes.extend_from_slice(&(binding.keys.len() as u16).to_le_bytes());
        bytes.extend_from_slice(binding.keys);
    }
}

#[inline]
fn unpack<'a>(packed: &'a [u8], names: &'a Names, aor_keys: &'a [u8]) -> Option<Binding<'a>> {
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
const MARK_AT: usize = 4 + NUMBERS_LEN;
const MARK_LEN: usize = 8;

/// The largest size of a binding, which leaves the highest byte of the word to the count of unanswered pings. The
/// limits of the parts add up to less than a hundredth of it.
const MAX_SIZE: u32 = 0x00ff_ffff;

/// Where the count of unanswered pings stands in a binding.
const UNANSWERED_AT: usize = 3;

/// Where the latency stands: it is the eighth of the numbers.
const LATENCY_AT: usize = 4 + 7 * 4;

/// Where the contact id stands: behind eight numbers.
const CONTACT_ID_AT: usize = 4 + 8 * 4;

fn expires_s_of(packed: &[u8]) -> Option<u32> {
    Reader(packed.get(4..)?).u32()
}

#[inline]
fn mark_of(packed: &[u8]) -> Option<u64> {
    Reader(packed.get(MARK_AT..)?).array().map(u64::from_le_bytes)
}

/// Writes the numbers of a binding, which has no mark any more then.
fn write_numbers(bytes: &mut [u8], binding_start: usize, numbers: &Numbers) {
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
    let (wide, rest) = packed.split_at_mut(4 * words.len());
    for (place, word) in wide.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    let (long, narrow) = rest.split_at_mut(8);
    long.copy_from_slice(&numbers.contact_id.to_le_bytes());
    for (place, half) in narrow.chunks_exact_mut(2).zip([numbers.q, numbers.socket.0]) {
        place.copy_from_slice(&half.to_le_bytes());
    }
    write_at(bytes, binding_start + 4, &packed);
    write_at(bytes, binding_start + UNANSWERED_AT, &[numbers.unanswered]);
}

fn write_at(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Takes little-endian numbers and slices from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    #[inline]
    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    #[inline]
    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// A text behind its length in two bytes.
    #[inline]
    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    #[inline]
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    fn numbers(&mut self) -> Option<Numbers> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Key;

    fn names() -> Names {
        Names::new(Key::from_bytes([1; 16]))
    }

    fn binding<'a>(contact: &'a [u8], callid: &'a [u8]) -> Binding<'a> {
        let numbers = Numbers { contact_id: 7, expires_s: 100, cseq: 3, q: 500, ..Numbers::default() };
        Binding {
            numbers,
            contact,
            callid,
            user_agent: b"Phone/1",
            instance: b"<urn:x>",
            ..Binding::default()
        }
    }

    fn check(record: &Record, names: &Names, expected: &[Binding<'_>]) {
        let bindings: Vec<_> = record.view(names).bindings().collect();
        assert_eq!(bindings, expected);
        assert_eq!(record.len(), expected.len());
        assert_eq!(record.aor(), b"alice@example.com");
    }

    #[test]
    fn what_is_packed_is_read_back() {
        let names = names();
        let first = binding(b"sip:a@1.2.3.4", b"call 1");
        let second =
            Binding { path: b"<sip:p;lr>", attr: b"x", received: b"sip:9.9.9.9", ..binding(b"sip:b", b"") };
        let mut record = Record::first(b"alice@example.com", &first, &names);
        check(&record, &names, &[first]);
        record.push(&second, &names);
        check(&record, &names, &[first, second]);
        assert_eq!(record.armed_s(), NOT_ARMED);
        record.set_armed_s(55);
        assert_eq!(record.armed_s(), 55);
        check(&record, &names, &[first, second]);
    }

    #[test]
    fn replacing_keeps_the_place_and_removing_keeps_the_others() {
        let names = names();
        let [a, b, c] = [&b"sip:a"[..], b"sip:b", b"sip:c"].map(|contact| binding(contact, b"1"));
        let mut record = Record::first(b"alice@example.com", &a, &names);
        record.push(&b, &names);
        record.push(&c, &names);
        let longer = binding(b"sip:a-longer-contact", b"2");
        record.replace(0, &longer, &names);
        check(&record, &names, &[longer, b, c]);
        let numbers = Numbers { expires_s: 9, ..b.numbers };
        record.set_numbers(1, &numbers);
        check(&record, &names, &[longer, Binding { numbers, ..b }, c]);
        assert_eq!(record.earliest_expiry_s(), 9);
        for _ in 0..300 {
            record.count_ping(1);
        }
        let numbers = Numbers { unanswered: 255, ..numbers };
        check(&record, &names, &[longer, Binding { numbers, ..b }, c]);
        record.replace(1, &Binding { numbers: Numbers { unanswered: 2, ..numbers }, ..b }, &names);
        let numbers = Numbers { unanswered: 2, ..numbers };
        check(&record, &names, &[longer, Binding { numbers, ..b }, c]);
        record.retain(&names, |position, _| position != 1);
        check(&record, &names, &[longer, c]);
        record.retain(&names, |_, _| false);
        check(&record, &names, &[]);
    }

    #[test]
    fn an_ownership_tag_is_kept_and_costs_nothing_where_there_is_none() {
        let names = names();
        let plain = binding(b"sip:a", b"1");
        let vip = Binding { ownership_tag: names.intern(b"vip").unwrap(), attr: &[b'x'; 4096], ..plain };
        let mut record = Record::first(b"alice@example.com", &plain, &names);
        let len = record.bytes().len();
        record.push(&vip, &names);
        check(&record, &names, &[plain, vip]);
        record.replace(0, &Binding { ownership_tag: vip.ownership_tag, ..plain }, &names);
        record.retain(&names, |position, _| position == 0);
        assert_eq!(record.bytes().len(), len + TAG_LEN);
        record.replace(0, &plain, &names);
        check(&record, &names, &[plain]);
        assert_eq!(record.bytes().len(), len);
    }

    #[test]
    fn key_value_stores_stay_through_every_change() {
        let names = names();
        let [a, b] = [&b"sip:a"[..], b"sip:b"].map(|contact| binding(contact, b"1"));
        let kept = Binding { keys: b"{\"k\":1}", ownership_tag: names.intern(b"vip").unwrap(), ..a };
        let mut record = Record::first(b"alice@example.com", &kept, &names);
        let len = record.bytes().len();
        check(&record, &names, &[kept]);
        record.set_keys(b"{\"x\":\"y\"}");
        record.set_armed_s(7);
        record.push(&b, &names);
        let told = |binding| Binding { aor_keys: b"{\"x\":\"y\"}", ..binding };
        check(&record, &names, &[told(kept), told(b)]);
        // What a phone sends has no store, and takes none away.
        let refreshed =
            Binding { numbers: Numbers { cseq: 4, ..a.numbers }, ownership_tag: kept.ownership_tag, ..a };
        let address = record.bytes().as_ptr();
        record.replace(0, &refreshed, &names);
        assert_eq!(record.bytes().as_ptr(), address);
        let longer = Binding { contact: b"sip:a-longer-contact", ..refreshed };
        record.replace(0, &longer, &names);
        check(&record, &names, &[told(Binding { keys: kept.keys, ..longer }), told(b)]);
        assert_eq!((record.armed_s(), record.earliest_expiry_s()), (7, 100));
        record.retain(&names, |position, _| position == 0);
        record.replace(0, &a, &names);
        record.replace(0, &kept, &names);
        check(&record, &names, &[told(kept)]);
        record.set_keys(&[b'x'; 65_535]);
        assert_eq!(record.keys().len(), 65_535);
        record.set_keys(b"");
        check(&record, &names, &[kept]);
        assert_eq!(record.bytes().len(), len);
    }

    #[test]
    fn equal_strings_leave_the_allocation_alone() {
        let names = names();
        let a = binding(b"sip:a", b"1");
        let mut record = Record::first(b"alice@example.com", &a, &names);
        let address = record.bytes().as_ptr();
        let refreshed = Binding { numbers: Numbers { cseq: 4, expires_s: 200, ..a.numbers }, ..a };
        record.replace(0, &refreshed, &names);
        check(&record, &names, &[refreshed]);
        assert_eq!(record.bytes().as_ptr(), address);
    }
}
