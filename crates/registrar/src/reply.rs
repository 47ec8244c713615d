//! The header fields of the reply that list bindings (behaviour §2, "200 OK").

use seawall_location::{Binding, Entry, Numbers, PERMANENT, Q_NONE, Stored, ordered};
use seawall_sip::ascii;

use crate::gruu::{self, Gruu};
use crate::limits::PERMANENT_EXPIRES_S;
use crate::policy::Policy;

/// What the GRUUs of a reply are made of.
#[derive(Clone, Copy)]
pub(crate) struct Gruus<'a> {
    /// The keys.
    pub(crate) gruu: &'a Gruu,
    /// The address of record.
    pub(crate) aor: &'a [u8],
    /// Host and port of the socket that the request came to.
    pub(crate) host_port: &'a [u8],
}

/// Appends one Contact header field with the bindings that count, in their order; nothing when there are none.
/// With `only`, those with these contact ids; with `gruus`, each that has an instance with its GRUUs.
pub(crate) fn write_contacts(
    entry: &Entry<'_>,
    policy: &Policy,
    only: Option<&[u64]>,
    gruus: Option<&Gruus<'_>>,
    out: &mut Vec<u8>,
) {
    if gruus.is_none()
        && let Some(stored) = entry.only()
    {
        if only.is_none_or(|ids| ids.contains(&stored.contact_id())) {
            write_stored(stored, policy, entry.now_s(), out);
        }
        return;
    }
    write_several(entry, policy, only, gruus, out);
}

/// As [`write_contacts`], for the only binding that is stored.
#[inline]
pub(crate) fn write_stored(stored: Stored<'_>, policy: &Policy, now_s: u64, out: &mut Vec<u8>) {
    if !stored.is_valid(now_s) {
        return;
    }
    if stored.q() != Q_NONE || stored.reg_id() != 0 || !stored.received().is_empty() {
        return write_shown(&Shown::from(stored), policy, now_s, out);
    }
    // As nearly all are: a contact that ends some time from now, and perhaps an instance. Nothing else has to be at hand.
    let (contact, instance) = (stored.contact(), stored.instance());
    let left_s = remaining_s(stored.expires_s(), now_s);
    out.reserve(FIXED_LEN + contact.len() + instance.len());
    out.extend_from_slice(b"Contact: <");
    out.extend_from_slice(contact);
    if instance.is_empty() {
        return ascii::write_between(out, b">;expires=", left_s, b"\r\n");
    }
    ascii::write_between(out, b">;expires=", left_s, b";+sip.instance=\"");
    out.extend_from_slice(instance);
    out.extend_from_slice(b"\"\r\n");
}

#[inline(never)]
fn write_shown(shown: &Shown<'_>, policy: &Policy, now_s: u64, out: &mut Vec<u8>) {
    shown.write_only(policy, now_s, None, out);
}

/// As [`write_contacts`], for any number of bindings.
#[inline(never)]
fn write_several(
    entry: &Entry<'_>,
    policy: &Policy,
    only: Option<&[u64]>,
    gruus: Option<&Gruus<'_>>,
    out: &mut Vec<u8>,
) {
    let is_wanted = |binding: &Binding<'_>| only.is_none_or(|ids| ids.contains(&binding.numbers.contact_id));
    let mut before: &[u8] = b"Contact: <";
    for position in ordered(entry.valid(), policy.order, entry.now_s()) {
        if let Some(binding) = entry.binding(position).filter(is_wanted) {
            out.extend_from_slice(before);
            let gruus = gruus.map(|gruus| (gruus, &binding));
            Shown::from(&binding).write(policy, entry.now_s(), gruus, out);
            before = b", <";
        }
    }
    if before == b", <" {
        out.extend_from_slice(b"\r\n");
    }
}

/// As [`write_contacts`], for the only binding that there is.
#[inline]
pub(crate) fn write_contact(
    binding: &Binding<'_>,
    now_s: u64,
    policy: &Policy,
    gruus: Option<&Gruus<'_>>,
    out: &mut Vec<u8>,
) {
    if binding.is_valid(now_s) {
        Shown::from(binding).write_only(policy, now_s, gruus.map(|gruus| (gruus, binding)), out);
    }
}

/// Appends the Path header field of a reply; nothing when there is no Path.
pub(crate) fn write_path(joined: &[u8], out: &mut Vec<u8>) {
    if !joined.is_empty() {
        for part in [b"Path: ", joined, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// About what a binding takes in a reply besides its byte strings.
const FIXED_LEN: usize = 96;

/// What a reply says of a binding.
struct Shown<'a> {
    contact: &'a [u8],
    received: &'a [u8],
    instance: &'a [u8],
    expires_s: u32,
    reg_id: u32,
    q: u16,
}

impl<'a> From<Stored<'a>> for Shown<'a> {
    #[inline]
    fn from(stored: Stored<'a>) -> Shown<'a> {
        Shown {
            contact: stored.contact(),
            received: stored.received(),
            instance: stored.instance(),
            expires_s: stored.expires_s(),
            reg_id: stored.reg_id(),
            q: stored.q(),
        }
    }
}

impl<'a> From<&Binding<'a>> for Shown<'a> {
    #[inline]
    fn from(binding: &Binding<'a>) -> Shown<'a> {
        let Binding { numbers, contact, received, instance, .. } = *binding;
        let Numbers { expires_s, reg_id, q, .. } = numbers;
        Shown { contact, received, instance, expires_s, reg_id, q }
    }
}

impl Shown<'_> {
    /// A line of its own.
    #[inline(always)]
    fn write_only(
        &self,
        policy: &Policy,
        now_s: u64,
        gruus: Option<(&Gruus<'_>, &Binding<'_>)>,
        out: &mut Vec<u8>,
    ) {
        // Once for all parts of a usual binding.
        out.reserve(FIXED_LEN + self.contact.len() + self.received.len() + self.instance.len());
        out.extend_from_slice(b"Contact: <");
        self.write(policy, now_s, gruus, out);
        out.extend_from_slice(b"\r\n");
    }

    /// `uri>;q=…;expires=N;received="…";pub-gruu="…";temp-gruu="…";+sip.instance="…";reg-id=…`, only what is set.
    #[inline(always)]
    fn write(
        &self,
        policy: &Policy,
        now_s: u64,
        gruus: Option<(&Gruus<'_>, &Binding<'_>)>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(self.contact);
        if self.q == Q_NONE {
            out.extend_from_slice(b">;expires=");
        } else {
            out.extend_from_slice(b">;q=");
            write_q(self.q, out);
            out.extend_from_slice(b";expires=");
        }
        ascii::write_u32(out, remaining_s(self.expires_s, now_s));
        if !self.received.is_empty() {
            write_received(policy, self.received, out);
        }
        if !self.instance.is_empty() {
            if let Some((gruus, binding)) = gruus {
                gruus.write(binding, out);
            }
            out.extend_from_slice(b";+sip.instance=\"");
            out.extend_from_slice(self.instance);
            out.push(b'"');
        }
        if self.reg_id != 0 {
            write_reg_id(self.reg_id, out);
        }
    }
}

#[inline(never)]
fn write_received(policy: &Policy, received: &[u8], out: &mut Vec<u8>) {
    for part in [b";", &*policy.received_param, b"=\"", received, b"\""] {
        out.extend_from_slice(part);
    }
}

#[inline(never)]
fn write_reg_id(reg_id: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b";reg-id=");
    ascii::write_u32(out, reg_id);
}

impl Gruus<'_> {
    /// `;pub-gruu="…";temp-gruu="…"` (RFC 5627 §5.3).
    #[cold]
    #[inline(never)]
    fn write(&self, binding: &Binding<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b";pub-gruu=\"");
        gruu::write_public(self.aor, self.host_port, binding.instance, out);
        out.extend_from_slice(b"\";temp-gruu=\"");
        self.gruu.write_temporary(self.aor, self.host_port, binding, out);
        out.push(b'"');
    }
}

fn remaining_s(expires_s: u32, now_s: u64) -> u32 {
    match expires_s {
        PERMANENT => PERMANENT_EXPIRES_S,
        _ => u32::try_from(u64::from(expires_s).saturating_sub(now_s)).unwrap_or(u32::MAX),
    }
}

/// A q in thousandths in its shortest form: `0`, `0.5`, `0.125`, `1`.
pub fn write_q(q: u16, out: &mut Vec<u8>) {
    if q >= 1000 {
        out.push(b'1');
        return;
    }
    out.push(b'0');
    if q == 0 {
        return;
    }
    out.push(b'.');
    let digit = |number: u16| b'0' + (number % 10) as u8;
    let digits = [digit(q / 100), digit(q / 10), digit(q)];
    let used = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    out.extend_from_slice(digits.get(..used).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use seawall_location::{Location, Settings};

    use super::*;

    proptest! {
        #[test]
        fn the_only_binding_is_shown_as_one_of_several(
            contact in "sip:[a-z]{0,40}", received in "(sip:[a-z]{0,9}|)", instance in "(<urn:[a-z]{0,40}>|)",
            expires_s in prop_oneof![Just(PERMANENT), 900_u32..1_100, any::<u32>()],
            q in prop_oneof![Just(Q_NONE), 0..=1_000_u16],
            reg_id in prop_oneof![Just(0), any::<u32>()],
        ) {
            let (policy, now_s) = (Policy::default(), 1_000);
            let location = Location::new(Settings::new([1; 16]));
            let domain = location.declare("location").unwrap();
            let binding = Binding {
                numbers: Numbers { expires_s, q, reg_id, ..Numbers::default() },
                contact: contact.as_bytes(),
                received: received.as_bytes(),
                instance: instance.as_bytes(),
                ..Binding::default()
            };
            let mut entry = domain.lock(b"alice", now_s);
            entry.insert(&binding, &mut ()).unwrap();
            let (mut only, mut several) = (Vec::new(), Vec::new());
            write_contacts(&entry, &policy, None, None, &mut only);
            write_several(&entry, &policy, None, None, &mut several);
            prop_assert_eq!(only.escape_ascii().to_string(), several.escape_ascii().to_string());
        }
    }

    #[test]
    fn q_is_written_in_its_shortest_form() {
        for (q, expected) in
            [(0, "0"), (1, "0.001"), (50, "0.05"), (125, "0.125"), (500, "0.5"), (999, "0.999"), (1000, "1")]
        {
            let mut out = Vec::new();
            write_q(q, &mut out);
            assert_eq!(out, expected.as_bytes());
        }
    }
}
