//! Answers to challenges (RFC 7616, MD5 with qop auth), for servers that want passwords.
//!
//! Each slot has a nonce of its own and counts its uses, so that requests which overtake each other do not look like
//! replays. A slot whose nonce the server does not take any more is challenged again and goes on with the new one.

use std::fmt::Write;

use md5::{Digest, Md5};

/// The end of every REGISTER of the generator; credentials are put before it.
const END: &[u8] = b"Content-Length: 0\r\n\r\n";

/// What answers challenges: the one password of all users, and the challenges of the slots.
#[derive(Debug)]
pub struct Authorizer {
    password: String,
    uri: String,
    slots: Vec<Option<Challenge>>,
}

#[derive(Clone, Debug)]
struct Challenge {
    realm: String,
    nonce: String,
    count: u32,
}

impl Authorizer {
    /// For requests with this Request-URI from so many slots.
    pub fn new(password: String, domain: &str, slots: usize) -> Self {
        Authorizer { password, uri: format!("sip:{domain}"), slots: vec![None; slots] }
    }

    /// Takes the challenge out of a 401. False when there is none that could be answered.
    pub fn learn(&mut self, slot: u16, response: &[u8]) -> bool {
        let text = String::from_utf8_lossy(response);
        let lines = text.split("\r\n").filter_map(|line| line.split_once(": Digest "));
        let mut challenges = lines
            .filter(|(name, _)| name.eq_ignore_ascii_case("WWW-Authenticate"))
            .filter_map(|(_, value)| {
                let parameter = |name: &str| {
                    let mut pairs = value.split(", ").filter_map(|part| part.split_once('='));
                    pairs
                        .find(|(known, _)| *known == name)
                        .map(|(_, value)| value.trim_matches('"').to_owned())
                };
                let is_md5 = parameter("algorithm").is_none_or(|name| name.eq_ignore_ascii_case("MD5"));
                let challenge =
                    Challenge { realm: parameter("realm")?, nonce: parameter("nonce")?, count: 0 };
                (is_md5 && parameter("qop").is_some_and(|qop| qop.contains("auth"))).then_some(challenge)
            });
        let Some(place) = self.slots.get_mut(usize::from(slot)) else { return false };
        *place = challenges.next();
        place.is_some()
    }

    /// Puts credentials of a user into a REGISTER that begins at `start`; nothing before the slot's first challenge.
    pub fn authorize(&mut self, slot: u16, user: u32, start: usize, out: &mut Vec<u8>) {
        let Some(Some(challenge)) = self.slots.get_mut(usize::from(slot)) else { return };
        if !out.get(start..).is_some_and(|message| message.ends_with(END)) {
            return;
        }
        challenge.count += 1;
        let Challenge { realm, nonce, count } = challenge;
        let uri = &self.uri;
        let (count, cnonce) = (format!("{count:08x}"), format!("{slot:04x}{user:08}"));
        let a1 =
            hex(&[format!("u{user:08}").as_bytes(), b":", realm.as_bytes(), b":", self.password.as_bytes()]);
        let a2 = hex(&[b"REGISTER:", uri.as_bytes()]);
        let response = hex(&[format!("{a1}:{nonce}:{count}:{cnonce}:auth:{a2}").as_bytes()]);
        out.truncate(out.len() - END.len());
        let line = format!(
            "Authorization: Digest username=\"u{user:08}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5, cnonce=\"{cnonce}\", qop=auth, nc={count}\r\n"
        );
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(END);
    }
}

fn hex(parts: &[&[u8]]) -> String {
    let mut digest = Md5::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().iter().fold(String::with_capacity(32), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_and_the_count_goes_on() {
        let mut authorizer = Authorizer::new("secret".to_owned(), "example.com", 2);
        let response = b"SIP/2.0 401 Unauthorized\r\n\
            WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256\r\n\
            WWW-Authenticate: Digest realm=\"r\", nonce=\"m\", qop=\"auth\"\r\n\r\n";
        let request = b"REGISTER sip:example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n";
        let mut out = request.to_vec();
        authorizer.authorize(1, 7, 0, &mut out);
        assert_eq!(out, request);
        assert!(authorizer.learn(1, response));
        for count in ["00000001", "00000002"] {
            let mut out = request.to_vec();
            authorizer.authorize(1, 7, 0, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains("username=\"u00000007\", realm=\"r\", nonce=\"m\""), "{text}");
            assert!(text.contains(&format!("nc={count}\r\nContent-Length: 0\r\n\r\n")), "{text}");
        }
        let mut other = request.to_vec();
        authorizer.authorize(0, 7, 0, &mut other);
        assert_eq!(other, request);
        assert!(!authorizer.learn(1, b"SIP/2.0 401 Unauthorized\r\n\r\n"));
    }
}
