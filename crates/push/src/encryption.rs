//! What only the phone can read: `aes128gcm` (RFC 8188) under keys of RFC 8291.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::limits::PAYLOAD_BYTES;

/// The length of an uncompressed point on P-256.
pub const POINT_BYTES: usize = 65;
/// The length of the authentication secret of a subscription (RFC 8291 section 3.2).
pub const AUTH_BYTES: usize = 16;
/// The record size that is announced; the message is one record.
const RECORD_BYTES: u32 = 4096;

/// Encrypts a payload for a subscription: its public point and its authentication secret. Nothing if the point is none,
/// the payload too long, or the system has no random numbers.
pub fn encrypt(point: &[u8], auth: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    let mut salt = [0; 16];
    random.fill(&mut salt).ok()?;
    let key = EphemeralPrivateKey::generate(&ECDH_P256, &random).ok()?;
    let own = key.compute_public_key().ok()?;
    let peer = UnparsedPublicKey::new(&ECDH_P256, point);
    agree_ephemeral(key, &peer, |shared| seal(shared, point, own.as_ref(), auth, &salt, payload)).ok()?
}

/// The message for a shared secret (RFC 8291 section 3.4, RFC 8188 section 2).
fn seal(
    shared: &[u8],
    point: &[u8],
    own: &[u8],
    auth: &[u8],
    salt: &[u8; 16],
    payload: &[u8],
) -> Option<Vec<u8>> {
    if payload.len() > PAYLOAD_BYTES || auth.len() != AUTH_BYTES || point.len() != POINT_BYTES {
        return None;
    }
    let combined = hash(auth, &[shared]);
    let secret = hash(combined.as_ref(), &[b"WebPush: info\0", point, own, &[1]]);
    let prk = hash(salt, &[secret.as_ref()]);
    let key = hash(prk.as_ref(), &[b"Content-Encoding: aes128gcm\0", &[1]]);
    let nonce = hash(prk.as_ref(), &[b"Content-Encoding: nonce\0", &[1]]);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_ref().get(..16)?).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(nonce.as_ref().get(..12)?).ok()?;
    let mut record = payload.to_vec();
    record.push(2);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record).ok()?;
    let mut message = salt.to_vec();
    message.extend_from_slice(&RECORD_BYTES.to_be_bytes());
    message.push(u8::try_from(own.len()).ok()?);
    message.extend_from_slice(own);
    message.extend_from_slice(&record);
    Some(message)
}

/// HMAC-SHA-256: both steps of HKDF when no more than 32 bytes are wanted (RFC 5869).
fn hash(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    #[test]
    fn the_example_of_rfc_8291_appendix_a() {
        let shared = bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs");
        let point =
            bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
        let own =
            bytes("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8");
        let auth = bytes("BTBZMqHH6r4Tts7J_aSIgg");
        let salt: [u8; 16] = bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let sealed = seal(&shared, &point, &own, &auth, &salt, b"When I grow up, I want to be a watermelon");
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmY\
                        WAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexS\
                        gSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(sealed.unwrap()), expected);
    }

    #[test]
    fn what_does_not_fit_is_not_encrypted() {
        let point =
            bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
        assert!(encrypt(&point, &[0; 16], &[0; PAYLOAD_BYTES]).is_some());
        assert!(encrypt(&point, &[0; 16], &[0; PAYLOAD_BYTES + 1]).is_none());
        assert!(encrypt(&point, &[0; 15], b"").is_none());
        assert!(encrypt(&[4; 65], &[0; 16], b"").is_none(), "this is no point of the curve");
    }
}
