//! PURRs, Proxy Unique Registration References (RFC 8599 §6; registrar 1.3.29): a text that stands for a contact, which
//! the phone puts into the Contact of its dialogs and which comes back with requests inside them.
//!
//! It holds the contact id and the second of the registration under a key of the table: nothing is stored for it, nobody
//! else can make or read one, and every REGISTER of a contact leads to another, so that dialogs cannot be linked by it.
//! It is good as long as the contact is bound.

use std::hash::Hasher;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use seawall_location::{Binding, Domain};
use siphasher::sip128::{Hasher128, SipHasher24};
use subtle::ConstantTimeEq;

const MAC_LEN: usize = 15;
const PLAIN_LEN: usize = 12;
const SEALED_LEN: usize = MAC_LEN + PLAIN_LEN;

/// The length of every PURR. One of another length is foreign and not decoded.
pub const PURR_LEN: usize = SEALED_LEN / 3 * 4;

/// Appends the PURR of a binding.
pub fn write_purr(domain: &Domain, binding: &Binding<'_>, out: &mut Vec<u8>) {
    let mut plain = [0; PLAIN_LEN];
    let (id, time) = plain.split_at_mut(8);
    id.copy_from_slice(&binding.numbers.contact_id.to_le_bytes());
    time.copy_from_slice(&binding.numbers.last_modified_s.to_le_bytes());
    let mac = mac(domain, &plain);
    apply_stream(domain, &mac, &mut plain);
    let sealed = [&mac[..], &plain].concat();
    out.extend_from_slice(URL_SAFE_NO_PAD.encode(sealed).as_bytes());
}

/// The contact id in a PURR of this table; `None` for whatever was not made here. Whether the contact is bound still is
/// for the table to say.
#[must_use]
pub fn read_purr(domain: &Domain, text: &[u8]) -> Option<u64> {
    let mut sealed = [0; SEALED_LEN];
    if text.len() != PURR_LEN || URL_SAFE_NO_PAD.decode_slice(text, &mut sealed).ok()? != SEALED_LEN {
        return None;
    }
    let (given, rest) = sealed.split_first_chunk::<MAC_LEN>()?;
    let mut plain: [u8; PLAIN_LEN] = rest.first_chunk().copied()?;
    apply_stream(domain, given, &mut plain);
    let is_ours: bool = mac(domain, &plain).ct_eq(given).into();
    let id = plain.first_chunk::<8>().copied()?;
    is_ours.then_some(u64::from_le_bytes(id))
}

/// The MAC over the plain text, which is the nonce of its encryption too: the same text is the same PURR, and no two texts
/// share a stream.
fn mac(domain: &Domain, plain: &[u8; PLAIN_LEN]) -> [u8; MAC_LEN] {
    let bytes = prf(domain, b"purr mac", plain);
    bytes.first_chunk().copied().unwrap_or_default()
}

fn apply_stream(domain: &Domain, mac: &[u8; MAC_LEN], text: &mut [u8; PLAIN_LEN]) {
    let stream = prf(domain, b"purr stream", mac);
    text.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
}

fn prf(domain: &Domain, purpose: &[u8], text: &[u8]) -> [u8; 16] {
    let mut hasher = SipHasher24::new_with_key(&domain.key(purpose));
    hasher.write(text);
    hasher.finish128().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall_location::{Location, Numbers, Settings};

    fn made(domain: &Domain, contact_id: u64, last_modified_s: u32) -> String {
        let numbers = Numbers { contact_id, last_modified_s, ..Numbers::default() };
        let mut out = Vec::new();
        write_purr(domain, &Binding { numbers, ..Binding::default() }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_purr_leads_to_its_contact_and_to_no_other_table() {
        let location = Location::new(Settings { secret: [7; 16], shards: 1 });
        let (domain, other) = (location.declare("location").unwrap(), location.declare("other").unwrap());
        let purr = made(&domain, 77, 1000);
        assert_eq!(purr.len(), PURR_LEN);
        assert!(purr.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{purr}");
        assert_eq!(read_purr(&domain, purr.as_bytes()), Some(77));
        assert_eq!(purr, made(&domain, 77, 1000), "a retransmission gets the same");
        assert_ne!(purr, made(&domain, 77, 1001), "two registrations cannot be linked");
        assert_eq!(read_purr(&other, purr.as_bytes()), None);
    }

    #[test]
    fn what_was_not_made_here_is_refused() {
        let location = Location::new(Settings { secret: [7; 16], shards: 1 });
        let domain = location.declare("location").unwrap();
        let purr = made(&domain, 77, 1000);
        for at in 0..purr.len() {
            let mut forged = purr.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(read_purr(&domain, &forged), None, "{at}");
        }
        for bad in ["", "A", &purr[1..], &format!("{purr}A"), &"!".repeat(PURR_LEN), &"A".repeat(100_000)] {
            assert_eq!(read_purr(&domain, bad.as_bytes()), None);
        }
    }
}
