//! Challenges: WWW-Authenticate and Proxy-Authenticate header lines (RFC 7616 section 3.3, RFC 8760 section 2).

use thiserror::Error;

use crate::algorithm::Algorithm;
use crate::answer::Qop;
use crate::nonce::NonceKey;

/// Why a list of algorithms or qualities of protection is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadTerms {
    /// A word in the list of qualities of protection.
    #[error("a quality of protection is auth or auth-int")]
    Qop,
    /// A word in the list of algorithms.
    #[error("an algorithm is MD5, SHA-256 or SHA-512-256, each with or without -sess")]
    Algorithm,
}

/// The qualities of protection that a challenge offers; none of them is RFC 2069.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Qops {
    /// `auth`.
    pub auth: bool,
    /// `auth-int`.
    pub auth_int: bool,
}

impl Qops {
    /// Reads a list as scripts write it: `auth`, `auth-int`, both with a comma, or nothing.
    ///
    /// # Errors
    /// A word that is none of them.
    pub fn read(list: &[u8]) -> Result<Qops, BadTerms> {
        let mut qops = Qops::default();
        for word in words(list) {
            match word.to_ascii_lowercase().as_slice() {
                b"auth" => qops.auth = true,
                b"auth-int" => qops.auth_int = true,
                _ => return Err(BadTerms::Qop),
            }
        }
        Ok(qops)
    }

    /// Whether an answer with this quality keeps to the offer. One without any does: RFC 2069 clients ignore the offer
    /// (RFC 7616 section 3.3 lets them).
    #[must_use]
    pub fn allow(self, qop: Qop) -> bool {
        match qop {
            Qop::None => true,
            Qop::Auth => self.auth,
            Qop::AuthInt => self.auth_int,
        }
    }

    fn text(self) -> &'static str {
        match (self.auth, self.auth_int) {
            (true, true) => "auth,auth-int",
            (true, false) => "auth",
            (false, true) => "auth-int",
            (false, false) => "",
        }
    }
}

/// What a challenge offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The qualities of protection.
    pub qops: Qops,
    /// The numbers of the algorithms as bits.
    algorithms: u8,
}

impl Terms {
    /// Reads the lists that `www_challenge` takes. No algorithm means MD5 alone, which every client has.
    ///
    /// # Errors
    /// A word that is not known.
    pub fn read(qops: &[u8], algorithms: &[u8]) -> Result<Terms, BadTerms> {
        let mut numbers = 0;
        for word in words(algorithms) {
            numbers |= 1 << Algorithm::from_name(word).ok_or(BadTerms::Algorithm)?.number();
        }
        let default = 1 << Algorithm::MD5.number();
        Ok(Terms { qops: Qops::read(qops)?, algorithms: if numbers == 0 { default } else { numbers } })
    }

    /// The algorithms, the strongest first: a client takes the first that it knows (RFC 8760 section 2.4).
    fn strongest_first(self) -> impl Iterator<Item = Algorithm> {
        (0..8u8)
            .rev()
            .filter(move |number| self.algorithms & (1 << number) != 0)
            .filter_map(Algorithm::from_number)
    }
}

/// The words of a comma-separated list; empty ones count for nothing.
fn words(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
}

/// Appends one header line for each algorithm. `realm` must hold no control characters; quotes are escaped. `stale`
/// tells the client that its password was not the problem.
pub fn write_challenge(
    out: &mut Vec<u8>,
    header: &str,
    realm: &[u8],
    terms: Terms,
    stale: bool,
    mut nonce: impl FnMut(Algorithm, Qops) -> [u8; crate::NONCE_LEN],
) {
    for algorithm in terms.strongest_first() {
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(b": Digest realm=\"");
        for byte in realm {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        out.extend_from_slice(b"\", nonce=\"");
        out.extend_from_slice(&nonce(algorithm, terms.qops));
        out.push(b'"');
        let qops = terms.qops.text();
        if !qops.is_empty() {
            out.extend_from_slice(b", qop=\"");
            out.extend_from_slice(qops.as_bytes());
            out.push(b'"');
        }
        // MD5 alone goes without saying: the answer to somebody unknown stays small.
        if terms.algorithms != 1 {
            out.extend_from_slice(b", algorithm=");
            out.extend_from_slice(algorithm.name().as_bytes());
        }
        if stale {
            out.extend_from_slice(b", stale=true");
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl NonceKey {
    /// Appends the challenges of a reply made at `now_s`; `serial` gives a number for each nonce.
    pub fn challenge(
        &self,
        out: &mut Vec<u8>,
        header: &str,
        (realm, terms, stale): (&[u8], Terms, bool),
        now_s: u64,
        mut serial: impl FnMut() -> u32,
    ) {
        write_challenge(out, header, realm, terms, stale, |algorithm, qops| {
            self.write(algorithm, qops, now_s, serial())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(realm: &str, qops: &str, algorithms: &str, stale: bool, expected: &str) {
        let terms = Terms::read(qops.as_bytes(), algorithms.as_bytes()).unwrap();
        let mut out = Vec::new();
        write_challenge(&mut out, "WWW-Authenticate", realm.as_bytes(), terms, stale, |_, _| {
            [b'N'; crate::NONCE_LEN]
        });
        let nonce = "N".repeat(crate::NONCE_LEN);
        let text = String::from_utf8(out).unwrap().replace(&nonce, "N");
        assert_eq!(text, expected.replace('|', "\r\n"));
    }

    #[test]
    fn the_usual_challenge_is_short() {
        check("h", "auth", "", false, "WWW-Authenticate: Digest realm=\"h\", nonce=\"N\", qop=\"auth\"|");
        check("h", "", "MD5", true, "WWW-Authenticate: Digest realm=\"h\", nonce=\"N\", stale=true|");
        check("a\"b\\", "", "", false, "WWW-Authenticate: Digest realm=\"a\\\"b\\\\\", nonce=\"N\"|");
    }

    #[test]
    fn several_algorithms_stand_from_strong_to_weak() {
        let line = |name: &str| {
            format!(
                "WWW-Authenticate: Digest realm=\"h\", nonce=\"N\", qop=\"auth,auth-int\", algorithm={name}|"
            )
        };
        let expected: String =
            ["SHA-512-256", "SHA-256-sess", "SHA-256", "MD5"].iter().map(|name| line(name)).collect();
        check("h", "auth-int, auth", "md5,SHA-256-sess,SHA-512-256,sha-256", false, &expected);
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        assert_eq!(Terms::read(b"auth-conf", b""), Err(BadTerms::Qop));
        assert_eq!(Terms::read(b"auth", b"SHA-1"), Err(BadTerms::Algorithm));
    }
}
