//! The header fields of the reply that list bindings (behaviour §2, "200 OK").

use seawall_location::{Binding, Entry, PERMANENT, Q_NONE, ordered};
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
    let mut writer = Writer { policy, gruus, now_s: entry.now_s(), count: 0, out };
    let is_wanted = |binding: &Binding<'_>| only.is_none_or(|ids| ids.contains(&binding.numbers.contact_id));
    if entry.len() <= 1 {
        for (_, binding) in entry.listed().filter(|(_, binding)| is_wanted(binding)) {
            writer.write(&binding);
        }
    } else {
        for position in ordered(entry.valid(), policy.order, entry.now_s()) {
            if let Some(binding) = entry.binding(position).filter(is_wanted) {
                writer.write(&binding);
            }
        }
    }
    if writer.count > 0 {
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
        Writer { policy, gruus, now_s, count: 0, out }.write(binding);
        out.extend_from_slice(b"\r\n");
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

struct Writer<'a> {
    policy: &'a Policy,
    gruus: Option<&'a Gruus<'a>>,
    now_s: u64,
    count: usize,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// `<uri>;q=…;expires=N;received="…";pub-gruu="…";temp-gruu="…";+sip.instance="…";reg-id=…`, only what is set.
    fn write(&mut self, binding: &Binding<'_>) {
        let numbers = &binding.numbers;
        let out = &mut *self.out;
        // Once for all parts of a usual binding.
        out.reserve(FIXED_LEN + binding.contact.len() + binding.received.len() + binding.instance.len());
        out.extend_from_slice(if self.count == 0 { b"Contact: <" } else { b", <" });
        out.extend_from_slice(binding.contact);
        out.push(b'>');
        if numbers.q != Q_NONE {
            out.extend_from_slice(b";q=");
            write_q(numbers.q, out);
        }
        out.extend_from_slice(b";expires=");
        ascii::write_u32(out, remaining_s(numbers.expires_s, self.now_s));
        if !binding.received.is_empty() {
            quoted(&self.policy.received_param, binding.received, out);
        }
        if !binding.instance.is_empty() {
            if let Some(gruus) = self.gruus {
                gruus.write(binding, out);
            }
            quoted(b"+sip.instance", binding.instance, out);
        }
        if numbers.reg_id != 0 {
            out.extend_from_slice(b";reg-id=");
            ascii::write_u32(out, numbers.reg_id);
        }
        self.count += 1;
    }
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

#[inline]
fn quoted(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [b";", name, b"=\"", value, b"\""] {
        out.extend_from_slice(part);
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
    use super::*;

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
