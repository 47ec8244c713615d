//! The temporary GRUUs that OpenSIPS has given out, read for the time of a migration (`gruu_legacy`).
//!
//! Base64 of `TIME AOR INSTANCE CALL-ID`, parted by blanks and XORed with the secret again and again. Whoever knows the
//! secret, or one address of record and what it became, can make them: hence the switch.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::bare;
use crate::aor::Aor;
use crate::limits::{MAX_AOR_LEN, MAX_CALLID_LEN, MAX_INSTANCE_LEN};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Address of record, instance without angle brackets, and Call-ID.
pub(super) fn read(text: &[u8], secret: &[u8]) -> Option<(Aor, Vec<u8>, Vec<u8>)> {
    if secret.is_empty() {
        return None;
    }
    let mut plain = BASE64.decode(text).ok()?;
    for (byte, key) in plain.iter_mut().zip(secret.iter().cycle()) {
        *byte ^= key;
    }
    let mut fields = plain.splitn(4, |byte| *byte == b' ');
    let (time, aor, instance, callid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_time = !time.is_empty() && time.iter().all(u8::is_ascii_digit);
    let instance = bare(instance);
    let fits = (1..=MAX_AOR_LEN).contains(&aor.len())
        && (1..=MAX_INSTANCE_LEN).contains(&instance.len())
        && (1..=MAX_CALLID_LEN).contains(&callid.len());
    (is_time && fits).then(|| (Aor::from_slice(aor), instance.to_vec(), callid.to_vec()))
}
