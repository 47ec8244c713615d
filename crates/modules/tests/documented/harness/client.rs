//! A client that answers challenges, computed here by the letter of RFC 7616 and not by the code under test.

use md5::{Digest, Md5};
use sha2::{Sha256, Sha512_256};

/// Somebody with a password.
#[derive(Debug, Clone)]
pub struct Client {
    pub user: &'static str,
    pub password: &'static str,
    /// The nonce count of the next answer.
    pub count: u32,
    /// The body of the request, for auth-int.
    pub body: &'static str,
}

/// The value of a challenge's parameter, without quotes.
pub fn parameter(challenge: &str, name: &str) -> Option<String> {
    let rest = challenge.trim_start().strip_prefix("Digest ").unwrap_or(challenge);
    let mut quoted = false;
    let parts = rest.split(|letter: char| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    });
    let mut pairs = parts.filter_map(|part| part.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value.trim_matches('"').to_owned())
}

/// The hash of an `algorithm`, hexadecimal.
pub fn hash(algorithm: &str, text: &str) -> String {
    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
    match algorithm.trim_end_matches("-sess") {
        "SHA-256" => hex(&Sha256::digest(text)),
        "SHA-512-256" => hex(&Sha512_256::digest(text)),
        _ => hex(&Md5::digest(text)),
    }
}

impl Client {
    pub fn new(user: &'static str, password: &'static str) -> Self {
        Self { user, password, count: 1, body: "" }
    }

    /// The answer to a challenge for a request, as the value of Authorization. `qop` is what is chosen of the offer; none
    /// answers as RFC 2069 did.
    pub fn answer(&mut self, challenge: &str, method: &str, uri: &str, qop: Option<&str>) -> String {
        let given = |name: &str| parameter(challenge, name);
        let (realm, nonce) = (given("realm").unwrap(), given("nonce").unwrap());
        let algorithm = given("algorithm").unwrap_or_else(|| "MD5".to_owned());
        let (nc, cnonce) = (format!("{:08x}", self.count), "0a4f113b");
        let mut a1 = hash(&algorithm, &format!("{}:{realm}:{}", self.user, self.password));
        if algorithm.ends_with("-sess") {
            a1 = hash(&algorithm, &format!("{a1}:{nonce}:{cnonce}"));
        }
        let a2 = match qop {
            Some("auth-int") => format!("{method}:{uri}:{}", hash(&algorithm, self.body)),
            _ => format!("{method}:{uri}"),
        };
        let a2 = hash(&algorithm, &a2);
        let middle = qop.map(|qop| format!("{nc}:{cnonce}:{qop}:")).unwrap_or_default();
        let response = hash(&algorithm, &format!("{a1}:{nonce}:{middle}{a2}"));
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
             algorithm={algorithm}",
            self.user
        );
        if let Some(qop) = qop {
            value.push_str(&format!(", qop={qop}, nc={nc}, cnonce=\"{cnonce}\""));
            self.count += 1;
        } else if algorithm.ends_with("-sess") {
            value.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        value
    }
}
