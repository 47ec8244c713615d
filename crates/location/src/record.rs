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
use crate::names::Names;
use crate::packing::{
    Agent, KEYS_LEN, LATENCY_AT, MARK_AT, Reader, Stored, UNANSWERED_AT, pack, packed_len, unpack, write_at,
    write_numbers,
};

const AOR_AT: usize = 8;

/// Set in the length of the address of record, which is at most 4096, when its key/value store with its length follows.
const HAS_AOR_KEYS: u16 = 0x8000;

/// `armed_s` of a record without an entry in the wheel.
pub(crate) const NOT_ARMED: u32 = u32::MAX;

/// Bytes that memory hands over at once.
const LINE_LEN: usize = 64;

/// Lines of a record that are asked for ahead of time: a phone with one contact has four or five.
const LINES_AHEAD: usize = 5;

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
        let (packed, rest) = self.rest.split_at_checked(Stored::first(self.rest)?.size())?;
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

    /// Asks memory for its first lines, or for what is behind it where it has fewer. Reads nothing.
    #[inline]
    pub(crate) fn expect(&self, ask: fn(*const u8)) {
        // Always as many, so that nothing is counted.
        for line in 0..LINES_AHEAD {
            ask(self.0.as_ptr().wrapping_add(line * LINE_LEN));
        }
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
        let mut rest = self.bindings();
        let mut earliest_s = PERMANENT;
        while let Some(stored) = Stored::first(rest) {
            earliest_s = earliest_s.min(stored.expires_s());
            rest = rest.get(stored.size()..).unwrap_or_default();
        }
        earliest_s
    }

    /// Its binding, if it has no other.
    #[inline]
    pub(crate) fn only(&self) -> Option<Stored<'_>> {
        if self.len() == 1 { Stored::first(self.bindings()) } else { None }
    }

    /// A record with one binding, which bears this mark, and an entry in the wheel. The parts were checked by [`Binding::check`]
    /// and the name by its own limit.
    #[inline]
    pub(crate) fn first(
        aor: &[u8],
        binding: &Binding<'_>,
        (armed_s, mark): (u32, u64),
        names: &Names,
    ) -> Record {
        let agent = Agent::of(binding.user_agent, names);
        let len = packed_len(binding, &agent);
        let mut bytes = Vec::with_capacity(AOR_AT + aor.len() + len);
        let head = u64::from(armed_s) | 1 << 32 | u64::from(aor.len() as u16) << 48;
        bytes.extend_from_slice(&head.to_le_bytes());
        bytes.extend_from_slice(aor);
        pack(&mut bytes, binding, &agent, mark, len);
        Record(bytes.into_boxed_slice())
    }

    /// Adds a binding with this mark behind the others.
    pub(crate) fn push(&mut self, binding: &Binding<'_>, mark: u64, names: &Names) {
        let agent = Agent::of(binding.user_agent, names);
        let len = packed_len(binding, &agent);
        let mut bytes = Vec::with_capacity(self.0.len() + len);
        bytes.extend_from_slice(&self.0);
        pack(&mut bytes, binding, &agent, mark, len);
        self.rebuilt(bytes, self.len() + 1);
    }

    /// Writes new numbers into the binding at `position`.
    pub(crate) fn set_numbers(&mut self, position: usize, numbers: &Numbers) {
        if let Some((start, _)) = self.locate(position) {
            write_numbers(&mut self.0, start, numbers);
        }
    }

    /// The binding that bears this mark, which is not 0, and its position.
    #[inline]
    pub(crate) fn marked(&self, mark: u64) -> Option<(usize, Stored<'_>)> {
        let mut rest = self.bindings();
        let mut position = 0;
        loop {
            let stored = Stored::first(rest)?;
            if stored.mark() == mark {
                return Some((position, stored));
            }
            rest = rest.get(stored.size()..)?;
            position += 1;
        }
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
        let Some(start) = self.start_of(position) else { return };
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
        let stored = Stored::first(self.0.get(self.start_of(position)?..)?)?;
        Some(stored.contact_id())
    }

    /// Whether a binding has this contact id.
    pub(crate) fn has_contact_id(&self, contact_id: u64) -> bool {
        self.packed().filter_map(Stored::first).any(|stored| stored.contact_id() == contact_id)
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
        let len = packed_len(binding, &agent);
        let mut bytes = Vec::with_capacity(before.len() + after.len() + len);
        bytes.extend_from_slice(before);
        pack(&mut bytes, binding, &agent, 0, len);
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

    /// The packed bindings.
    #[inline]
    fn bindings(&self) -> &[u8] {
        self.0.get(head_len(&self.0)..).unwrap_or_default()
    }

    fn packed(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bindings();
        std::iter::from_fn(move || {
            let (packed, after) = rest.split_at_checked(Stored::first(rest)?.size())?;
            rest = after;
            Some(packed)
        })
    }

    /// Where the binding at `position` begins.
    #[inline]
    fn start_of(&self, position: usize) -> Option<usize> {
        let mut start = head_len(&self.0);
        for _ in 0..position {
            start += Stored::first(self.0.get(start..)?)?.size();
        }
        Some(start)
    }

    fn locate(&self, position: usize) -> Option<(usize, usize)> {
        let start = self.start_of(position)?;
        Some((start, start + Stored::first(self.0.get(start..)?)?.size()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Key;
    use crate::packing::TAG_LEN;

    fn names() -> Names {
        Names::new(Key::from_bytes([1; 16]))
    }

    fn binding<'a>(contact: &'a [u8], callid: &'a [u8]) -> Binding<'a> {
        let numbers = Numbers {
            contact_id: 7,
            expires_s: 100,
            last_modified_s: 40,
            cseq: 3,
            cflags: 4,
            reg_id: 2,
            q: 500,
            ..Numbers::default()
        };
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
        let mut rest = record.bindings();
        for binding in expected {
            let stored = Stored::first(rest).unwrap();
            check_parts(stored, binding);
            rest = &rest[stored.size()..];
        }
        assert!(rest.is_empty());
        assert_eq!(record.only().is_some(), expected.len() == 1);
        let earliest_s = expected.iter().map(|binding| binding.numbers.expires_s).min();
        assert_eq!(record.earliest_expiry_s(), earliest_s.unwrap_or(PERMANENT));
    }

    fn check_parts(stored: Stored<'_>, binding: &Binding<'_>) {
        let numbers = Numbers {
            expires_s: stored.expires_s(),
            last_modified_s: stored.last_modified_s(),
            cseq: stored.cseq(),
            cflags: stored.cflags(),
            reg_id: stored.reg_id(),
            contact_id: stored.contact_id(),
            q: stored.q(),
            ..binding.numbers
        };
        assert_eq!(numbers, binding.numbers);
        let parts = [stored.contact(), stored.received(), stored.instance()];
        assert_eq!(parts, [binding.contact, binding.received, binding.instance]);
    }

    #[test]
    fn what_is_packed_is_read_back() {
        let names = names();
        let first = binding(b"sip:a@1.2.3.4", b"call 1");
        let second =
            Binding { path: b"<sip:p;lr>", attr: b"x", received: b"sip:9.9.9.9", ..binding(b"sip:b", b"") };
        let mut record = Record::first(b"alice@example.com", &first, (NOT_ARMED, 0), &names);
        check(&record, &names, &[first]);
        record.push(&second, 0, &names);
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
        let mut record = Record::first(b"alice@example.com", &a, (NOT_ARMED, 0), &names);
        record.push(&b, 0, &names);
        record.push(&c, 0, &names);
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
        let mut record = Record::first(b"alice@example.com", &plain, (NOT_ARMED, 0), &names);
        let len = record.bytes().len();
        record.push(&vip, 0, &names);
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
        let mut record = Record::first(b"alice@example.com", &kept, (NOT_ARMED, 0), &names);
        let len = record.bytes().len();
        check(&record, &names, &[kept]);
        record.set_keys(b"{\"x\":\"y\"}");
        record.set_armed_s(7);
        record.push(&b, 0, &names);
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
        let mut record = Record::first(b"alice@example.com", &a, (NOT_ARMED, 0), &names);
        let address = record.bytes().as_ptr();
        let refreshed = Binding { numbers: Numbers { cseq: 4, expires_s: 200, ..a.numbers }, ..a };
        record.replace(0, &refreshed, &names);
        check(&record, &names, &[refreshed]);
        assert_eq!(record.bytes().as_ptr(), address);
    }
}
