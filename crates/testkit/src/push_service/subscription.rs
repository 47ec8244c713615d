//! A browser's subscription to Web Push (RFC 8030), and how it reads a message (RFC 8291, RFC 8188).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// The keys of one subscription. They read one message.
pub struct Subscription {
    private: EphemeralPrivateKey,
    point: Vec<u8>,
    auth: [u8; 16],
}

impl Default for Subscription {
    fn default() -> Self {
        let random = SystemRandom::new();
        let private = EphemeralPrivateKey::generate(&ECDH_P256, &random).unwrap();
        let point = private.compute_public_key().unwrap().as_ref().to_vec();
        let mut auth = [0; 16];
        random.fill(&mut auth).unwrap();
        Self { private, point, auth }
    }
}

impl Subscription {
    /// Its public key and its secret, as they stand in `pn-param`.
    #[must_use]
    pub fn param(&self) -> String {
        format!("{}.{}", URL_SAFE_NO_PAD.encode(&self.point), URL_SAFE_NO_PAD.encode(self.auth))
    }

    /// What a message says.
    ///
    /// # Panics
    /// It is not for this subscription, or not made as RFC 8291 says.
    #[must_use]
    pub fn decrypt(self, message: &[u8]) -> Vec<u8> {
        let (salt, rest) = message.split_at(16);
        assert_eq!(rest[..5], [0, 0, 16, 0, 65], "one record of 4096 bytes, and a key of 65");
        let (sender, record) = rest[5..].split_at(65);
        let peer = UnparsedPublicKey::new(&ECDH_P256, sender);
        let info: [&[u8]; 3] = [b"WebPush: info\0", &self.point, sender];
        let agreed = agree_ephemeral(self.private, &peer, |shared| expand(&self.auth, shared, &info, 32));
        let secret = agreed.unwrap();
        let key = expand(salt, &secret, &[b"Content-Encoding: aes128gcm\0"], 16);
        let nonce = expand(salt, &secret, &[b"Content-Encoding: nonce\0"], 12);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let mut record = record.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        let plain = key.open_in_place(nonce, Aad::empty(), &mut record).expect("a message for us");
        let (end, plain) = plain.split_last().unwrap();
        assert_eq!(*end, 2, "the last record");
        plain.to_vec()
    }
}

/// How many bytes HKDF is to give.
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(salt: &[u8], secret: &[u8], info: &[&[u8]], length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Bytes(length)).unwrap().fill(&mut out).unwrap();
    out
}
