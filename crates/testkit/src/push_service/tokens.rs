//! Signed tokens (RFC 7519) as push services check them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde_json::Value;

/// The file of a service account that exists in tests only: project `phones`, `push@phones.example`.
pub const SERVICE_ACCOUNT: &str = include_str!("../../data/service-account.json");

/// The header and the claims of a token whose ES256 signature is good.
#[must_use]
pub fn es256(token: &str, point: &[u8]) -> Option<(Value, Value)> {
    verified(token, &ECDSA_P256_SHA256_FIXED, point)
}

/// The header and the claims of a token that [`SERVICE_ACCOUNT`] has signed (RS256).
///
/// # Panics
/// The file of the account is broken.
#[must_use]
pub fn of_service_account(token: &str) -> Option<(Value, Value)> {
    let account: Value = serde_json::from_str(SERVICE_ACCOUNT).unwrap();
    let key = account["private_key"].as_str().unwrap();
    let base64: String = key.lines().filter(|line| !line.starts_with("---")).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(base64).unwrap()).unwrap();
    verified(token, &RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref())
}

fn verified(
    token: &str,
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
) -> Option<(Value, Value)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    UnparsedPublicKey::new(algorithm, key).verify(signed.as_bytes(), &signature).ok()?;
    let read = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    Some((read(header)?, read(claims)?))
}

/// The present time in Unix seconds.
///
/// # Panics
/// It is before 1970.
#[must_use]
pub fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
