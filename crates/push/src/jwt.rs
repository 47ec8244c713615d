//! Signed tokens (RFC 7519, RFC 7515): ES256 for APNs and VAPID, RS256 for Google.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::services::LoadError;

/// A key that signs tokens.
pub enum Key {
    /// On P-256: ES256.
    Ec(Box<EcdsaKeyPair>),
    /// RSA: RS256.
    Rsa(Box<RsaKeyPair>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads a P-256 key from a PKCS#8 PEM file, as Apple's `.p8` is one.
    pub fn read_ec(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        Self::ec(&text)
            .ok_or_else(|| LoadError::Key { path: path.to_owned(), wanted: "a P-256 key in PKCS#8 PEM" })
    }

    fn ec(pem: &[u8]) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?;
        let key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            der.secret_pkcs8_der(),
            &SystemRandom::new(),
        );
        Some(Key::Ec(Box::new(key.ok()?)))
    }

    /// Reads an RSA key from PKCS#8 PEM, as it stands in a service account's file.
    pub fn rsa(pem: &[u8]) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?;
        Some(Key::Rsa(Box::new(RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()?)))
    }

    /// The public point of a P-256 key, uncompressed; empty for RSA.
    pub fn public_point(&self) -> &[u8] {
        match self {
            Key::Ec(key) => key.public_key().as_ref(),
            Key::Rsa(_) => &[],
        }
    }

    /// A token with these claims, naming the key in its header if it has a name. Nothing if the system has no random
    /// numbers.
    pub fn sign(&self, key_id: Option<&str>, claims: &Value) -> Option<String> {
        let algorithm = match self {
            Key::Ec(_) => "ES256",
            Key::Rsa(_) => "RS256",
        };
        let mut header = json!({ "alg": algorithm, "typ": "JWT" });
        if let (Some(key_id), Some(members)) = (key_id, header.as_object_mut()) {
            members.insert("kid".to_owned(), Value::from(key_id));
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = format!("{}.{}", encode(&header), encode(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Key::Ec(key) => key.sign(&random, token.as_bytes()).ok()?.as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, token.as_bytes(), &mut signature).ok()?;
                signature
            }
        };
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Some(token)
    }
}

/// A token that is used until it is too old.
#[derive(Debug, Default)]
pub struct Kept(Option<(String, u64)>);

impl Kept {
    /// The token, or the one that `make` gives with the Unix second until which it is to be used.
    pub fn token(&mut self, now_s: u64, make: impl FnOnce() -> Option<(String, u64)>) -> Option<String> {
        if self.0.as_ref().is_none_or(|(_, until_s)| *until_s <= now_s) {
            self.0 = make();
        }
        self.0.as_ref().map(|(token, _)| token.clone())
    }

    /// Forgets the token, which its reader did not accept.
    pub fn forget(&mut self) {
        self.0 = None;
    }
}
