//! Globally routable user agent URIs (RFC 5627, behaviour §4): made for bindings, and read from Request-URIs.
//!
//! A public GRUU is the address of record with the instance as its `gr` parameter. A temporary one hides both: its user
//! part is `tgruu.` and text that only the holder of the key can make or read. Nothing is stored for it. The text holds
//! the address of record and a mark over instance and Call-ID; a look-up compares the mark with what the bindings of
//! that address of record hold now. So it ends with the binding and with the Call-ID under which it was given out, and
//! it outlives a restart as soon as the phone has registered again.

use std::fmt;

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use seawall_location::Binding;
use seawall_sip::Uri;
use seawall_sip::uri::escape;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::aor::{self, Aor};
use crate::limits::{MAX_AOR_LEN, MAX_INSTANCE_LEN, MAX_TEMPORARY_GRUU_LEN};
use crate::policy::Policy;

mod legacy;

/// How the user part of a temporary GRUU begins (registrar 1.1.2).
const PREFIX: &[u8] = b"tgruu.";

/// Said to the cipher, so that a later form of the text cannot be taken for this one.
const FORM: &[u8] = b"seawall tgruu 1";

const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const MARK_LEN: usize = 16;
/// Issue time, mark and length of the address of record.
const HEAD_LEN: usize = 4 + MARK_LEN + 2;

/// What is encrypted is a multiple of this long: its length must not tell whose it is.
const BLOCK_LEN: usize = 32;

type Mark = [u8; MARK_LEN];

/// The keys of temporary GRUUs, made from `gruu_secret` (registrar 1.3.20).
pub struct Gruu {
    cipher: Aes256GcmSiv,
    nonce_key: [u8; 32],
    mark_key: [u8; 32],
    /// The secret itself, to read the form in which OpenSIPS writes them (`gruu_legacy`).
    legacy: Option<Box<[u8]>>,
}

impl fmt::Debug for Gruu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gruu").field("legacy", &self.legacy.is_some()).finish_non_exhaustive()
    }
}

/// What a GRUU in a Request-URI says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The address of record.
    pub aor: Aor,
    claim: Claim,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Claim {
    /// This instance, without its angle brackets.
    Instance(Vec<u8>),
    /// The instance and Call-ID of this mark.
    Mark(Mark),
    /// The instance, without angle brackets, and the Call-ID.
    Both(Vec<u8>, Vec<u8>),
}

/// A `gr` parameter that belongs to no GRUU of this server. Why is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoGruu;

impl Gruu {
    /// Keys from a secret of any length. With `legacy` the XOR form of OpenSIPS is read too; it is never written.
    pub fn new(secret: &[u8], legacy: bool) -> Gruu {
        let derive = hkdf::Hkdf::<Sha256>::new(Some(b"seawall gruu"), secret);
        let key = |purpose: &[u8]| {
            let mut key = [0; 32];
            // Fails for output longer than 255 digests only.
            let _ = derive.expand(purpose, &mut key);
            key
        };
        Gruu {
            cipher: Aes256GcmSiv::new(&Key::<Aes256GcmSiv>::from(key(b"cipher"))),
            nonce_key: key(b"nonce"),
            mark_key: key(b"mark"),
            legacy: legacy.then(|| secret.into()),
        }
    }

    /// Appends the temporary GRUU of a binding, `sip:tgruu.…@HOST:PORT;gr`. Every REGISTER that changes the binding
    /// leads to another one, and its repetition to the same. Nothing is appended for an address of record over the
    /// limit.
    pub fn write_temporary(&self, aor: &[u8], host_port: &[u8], binding: &Binding<'_>, out: &mut Vec<u8>) {
        let Some(sealed) = self.seal(aor, binding) else { return };
        let text = URL_SAFE_NO_PAD.encode(sealed);
        for part in [b"sip:", PREFIX, text.as_bytes(), b"@", host_port, b";gr"] {
            out.extend_from_slice(part);
        }
    }

    fn seal(&self, aor: &[u8], binding: &Binding<'_>) -> Option<Vec<u8>> {
        let aor_len = u16::try_from(aor.len()).ok().filter(|_| aor.len() <= MAX_AOR_LEN)?;
        let issued_s = binding.numbers.last_modified_s.to_le_bytes();
        let mut plain = Vec::with_capacity((HEAD_LEN + aor.len()).next_multiple_of(BLOCK_LEN));
        plain.extend_from_slice(&issued_s);
        plain.extend_from_slice(&self.mark(binding));
        plain.extend_from_slice(&aor_len.to_le_bytes());
        plain.extend_from_slice(aor);
        plain.resize((HEAD_LEN + aor.len()).next_multiple_of(BLOCK_LEN), 0);
        // A REGISTER is told from every other of its binding by CSeq, Call-ID and time. Should they be the same after
        // all, so is the text, which is all that this cipher reveals then (RFC 8452).
        let cseq = binding.numbers.cseq.to_le_bytes();
        let nonce = digest(&self.nonce_key, &[aor, binding.instance, binding.callid, &cseq, &issued_s]);
        let nonce: [u8; NONCE_LEN] = nonce.first_chunk().copied()?;
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), Payload { msg: &plain, aad: FORM }).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// What a URI says that has a `gr` parameter; `None` for one that has none. The address of record of a public GRUU
    /// is the URI's.
    pub fn read(&self, uri: &Uri<'_>, policy: &Policy) -> Option<Result<Wanted, NoGruu>> {
        let gr = uri.param(b"gr")?;
        Some(match gr {
            Some(value) if !value.is_empty() => read_public(uri, value, policy),
            _ => self.read_temporary(uri.user.unwrap_or_default()),
        })
    }

    fn read_temporary(&self, user: &[u8]) -> Result<Wanted, NoGruu> {
        let text = user.strip_prefix(PREFIX).filter(|text| text.len() <= MAX_TEMPORARY_GRUU_LEN);
        let text = text.ok_or(NoGruu)?;
        if let Some(wanted) = self.open(text) {
            return Ok(wanted);
        }
        let secret = self.legacy.as_deref().ok_or(NoGruu)?;
        let (aor, instance, callid) = legacy::read(text, secret).ok_or(NoGruu)?;
        Ok(Wanted { aor, claim: Claim::Both(instance, callid) })
    }

    fn open(&self, text: &[u8]) -> Option<Wanted> {
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        if sealed.len() < BLOCK_LEN + TAG_LEN {
            return None;
        }
        let payload = Payload { msg: sealed, aad: FORM };
        let plain = self.cipher.decrypt(&Nonce::from(*nonce), payload).ok()?;
        let (_issued_s, rest) = plain.split_first_chunk::<4>()?;
        let (mark, rest) = rest.split_first_chunk::<MARK_LEN>()?;
        let (aor_len, rest) = rest.split_first_chunk::<2>()?;
        let aor = rest.get(..usize::from(u16::from_le_bytes(*aor_len)))?;
        Some(Wanted { aor: Aor::from_slice(aor), claim: Claim::Mark(*mark) })
    }

    /// Whether a binding of the address of record is the one that is wanted. Takes as long for a wrong mark as for the
    /// right one.
    pub fn is_wanted(&self, wanted: &Wanted, binding: &Binding<'_>) -> bool {
        if binding.instance.is_empty() {
            return false;
        }
        let is_instance = |instance: &[u8]| bare(binding.instance).eq_ignore_ascii_case(instance);
        match &wanted.claim {
            Claim::Instance(instance) => is_instance(instance),
            Claim::Mark(mark) => self.mark(binding).ct_eq(mark).into(),
            Claim::Both(instance, callid) => is_instance(instance) & bool::from(binding.callid.ct_eq(callid)),
        }
    }

    fn mark(&self, binding: &Binding<'_>) -> Mark {
        let instance = binding.instance.to_ascii_lowercase();
        let digest = digest(&self.mark_key, &[&instance, binding.callid]);
        digest.first_chunk().copied().unwrap_or_default()
    }
}

/// Appends the public GRUU of a binding, `sip:AOR;gr=INSTANCE`. `host_port` takes the place of the host where addresses
/// of record have none.
pub fn write_public(aor: &[u8], host_port: &[u8], instance: &[u8], out: &mut Vec<u8>) {
    let at = memchr::memrchr(b'@', aor);
    let (user, host) = match at.and_then(|at| aor.split_at_checked(at)) {
        Some((user, host)) => (user, host.get(1..).unwrap_or_default()),
        None => (aor, host_port),
    };
    out.extend_from_slice(b"sip:");
    escape::escape_user_into(user, out);
    for part in [b"@", host, b";gr="] {
        out.extend_from_slice(part);
    }
    escape::escape_param_into(bare(instance), out);
}

fn read_public(uri: &Uri<'_>, value: &[u8], policy: &Policy) -> Result<Wanted, NoGruu> {
    let mut aor = Aor::new();
    aor::canonical(uri, policy, &mut aor).map_err(|_| NoGruu)?;
    let mut instance = Vec::with_capacity(value.len());
    escape::unescape_into(value, &mut instance).map_err(|_| NoGruu)?;
    if instance.len() > MAX_INSTANCE_LEN {
        return Err(NoGruu);
    }
    Ok(Wanted { aor, claim: Claim::Instance(instance) })
}

/// An instance without its angle brackets.
fn bare(instance: &[u8]) -> &[u8] {
    instance.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or(instance)
}

/// HMAC-SHA-256 over parts, each with its length, so that no two lists of parts are the same text.
fn digest(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // A key of HMAC may have any length.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
