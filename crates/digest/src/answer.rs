//! What a client answers to a challenge, and whether it proves the password (RFC 7616 section 3.4).

use std::borrow::Cow;

use seawall_sip::ascii;
use thiserror::Error;

use crate::algorithm::{Algorithm, Hash};
use crate::client::Challenged;
use crate::hex::{Ha1, Hex};
use crate::scan::{self, Scan};

/// Why credentials are no answer that could be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadAnswer {
    /// It is not a scheme with `name=value` behind it.
    #[error("the credentials are malformed")]
    Malformed,
    /// One of username, realm, nonce, uri, response is missing.
    #[error("a parameter of the credentials is missing")]
    Incomplete,
    /// The algorithm is not known.
    #[error("the algorithm is not known")]
    Algorithm,
    /// qop is not known, or comes without cnonce or nc, or nc is no number of 8 digits above 0.
    #[error("the quality of protection is not usable")]
    Qop,
}

/// The quality of protection of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qop {
    /// None, as RFC 2069 had it.
    None,
    /// `auth`.
    Auth,
    /// `auth-int`: the body is covered too.
    AuthInt,
}

/// Digest credentials, taken apart.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// The user name.
    pub username: Cow<'a, [u8]>,
    /// The realm.
    pub realm: Cow<'a, [u8]>,
    /// The nonce.
    pub nonce: &'a [u8],
    /// What the digest was computed over as URI.
    pub uri: &'a [u8],
    /// The digest.
    pub response: &'a [u8],
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The quality of protection.
    pub qop: Qop,
    /// The nonce count: none without qop.
    pub count: Option<u32>,
    nc: &'a [u8],
    cnonce: &'a [u8],
}

/// The hash of the last method and URI, H(A2) of RFC 7616 section 3.4.3: the phones of a platform register at one URI, so
/// that it is seldom computed. There is nothing secret in it.
#[derive(Clone, Debug, Default)]
pub struct Memo {
    /// Method and URI with a colon between them.
    text: Vec<u8>,
    digest: Option<(Hash, Hex)>,
}

impl Memo {
    fn a2(&mut self, hash: Hash, method: &[u8], uri: &[u8]) -> &Hex {
        let is_same = self.text.len() == method.len() + 1 + uri.len()
            && self.text.ends_with(uri)
            && self.text.starts_with(method)
            && matches!(self.digest, Some((of, _)) if of == hash);
        if !is_same {
            self.text.clear();
            [method, b":", uri].into_iter().for_each(|part| self.text.extend_from_slice(part));
            self.digest = None;
        }
        let Memo { text, digest } = self;
        &digest.get_or_insert_with(|| (hash, hash.digest(&[text]))).1
    }
}

/// The value inside quotes; backslashes are resolved in the few values that have some. `is_escaped` says whether any
/// value of the credentials has.
fn unquoted(raw: &[u8], is_escaped: bool) -> Cow<'_, [u8]> {
    let inner = ascii::strip_quotes(raw);
    if !is_escaped || !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(raw.len());
    ascii::unquote_into(raw, &mut out);
    Cow::Owned(out)
}

impl<'a> Answer<'a> {
    /// Reads the value of an Authorization or Proxy-Authorization header; nothing for another scheme than Digest.
    ///
    /// # Errors
    /// What is malformed, missing or not known.
    pub fn parse(value: &'a [u8]) -> Result<Option<Answer<'a>>, BadAnswer> {
        let (is_digest, mut scan) = Scan::scheme(value).ok_or(BadAnswer::Malformed)?;
        if !is_digest {
            return Ok(None);
        }
        let mut found: [Option<&'a [u8]>; 9] = [None; 9];
        let mut is_escaped = false;
        while !scan.is_done() {
            let pair = scan.pair().ok_or(BadAnswer::Malformed)?;
            // By length first: all but two names differ in it.
            let place = match (pair.name.len(), pair.key) {
                (8, key) if key == const { scan::key(b"username") } => 0,
                (5, key) if key == const { scan::key(b"realm") } => 1,
                (5, key) if key == const { scan::key(b"nonce") } => 2,
                (3, key) if key == const { scan::key(b"uri") } => 3,
                (8, key) if key == const { scan::key(b"response") } => 4,
                (9, key)
                    if key == const { scan::key(b"algorithm") } && matches!(pair.name, [b'a' | b'A', ..]) =>
                {
                    5
                }
                (3, key) if key == const { scan::key(b"qop") } => 6,
                (2, key) if key == const { scan::key(b"nc") } => 7,
                (6, key) if key == const { scan::key(b"cnonce") } => 8,
                _ => continue,
            };
            is_escaped |= pair.is_escaped;
            let value = pair.value;
            if let Some(slot) = found.get_mut(place) {
                slot.get_or_insert(value);
            }
        }
        let [username, realm, nonce, uri, response, algorithm, qop, nc, cnonce] = found;
        let required = (username, realm, nonce, uri, response);
        let (Some(username), Some(realm), Some(nonce), Some(uri), Some(response)) = required else {
            return Err(BadAnswer::Incomplete);
        };
        let algorithm = match algorithm {
            None => Algorithm::MD5,
            Some(name) => Algorithm::from_name(ascii::strip_quotes(name)).ok_or(BadAnswer::Algorithm)?,
        };
        let plain = |value: Option<&'a [u8]>| ascii::strip_quotes(value.unwrap_or_default());
        let (qop, nc, cnonce) = (plain(qop), plain(nc), plain(cnonce));
        let qop = match qop {
            b"" => Qop::None,
            other if other.eq_ignore_ascii_case(b"auth") => Qop::Auth,
            other if other.eq_ignore_ascii_case(b"auth-int") => Qop::AuthInt,
            _ => return Err(BadAnswer::Qop),
        };
        let count = if qop == Qop::None { None } else { Some(nonce_count(nc).ok_or(BadAnswer::Qop)?) };
        if cnonce.is_empty() && (qop != Qop::None || algorithm.session) {
            return Err(BadAnswer::Qop);
        }
        Ok(Some(Answer {
            username: unquoted(username, is_escaped),
            realm: unquoted(realm, is_escaped),
            nonce: ascii::strip_quotes(nonce),
            uri: ascii::strip_quotes(uri),
            response: ascii::strip_quotes(response),
            algorithm,
            qop,
            count,
            nc,
            cnonce,
        }))
    }

    /// The user name before an `@`, and the domain behind it.
    #[must_use]
    pub fn user_and_domain(&self) -> (&[u8], Option<&[u8]>) {
        let name = &*self.username;
        match name.iter().position(|byte| *byte == b'@') {
            Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..)),
            None => (name, None),
        }
    }

    /// Whether it was made by somebody who knows `ha1`, for a request with this method and body. False for an HA1
    /// of another hash function. `memo` is any that the caller has at hand, best the one of the last call.
    #[must_use]
    pub fn is_by(&self, ha1: &Ha1, method: &[u8], body: &[u8], memo: &mut Memo) -> bool {
        ha1.hash() == self.algorithm.hash && self.expected(ha1, method, body, memo).matches(self.response)
    }

    /// The answer of a request of our own, still without its digest.
    pub(crate) fn to_challenge(
        username: &'a [u8],
        nonce: &'a [u8],
        algorithm: Algorithm,
        qop: Qop,
        request: &Challenged<'a>,
    ) -> Answer<'a> {
        Answer {
            username: Cow::Borrowed(username),
            realm: Cow::Borrowed(b""),
            nonce,
            uri: request.uri,
            response: b"",
            algorithm,
            qop,
            count: Some(1),
            nc: b"00000001",
            cnonce: request.cnonce,
        }
    }

    /// Its digest.
    pub(crate) fn digest(&self, ha1: &Ha1, method: &[u8], body: &[u8]) -> Hex {
        self.expected(ha1, method, body, &mut Memo::default())
    }

    /// The digest that knowing `ha1` leads to.
    fn expected(&self, ha1: &Ha1, method: &[u8], body: &[u8], memo: &mut Memo) -> Hex {
        let hash: Hash = self.algorithm.hash;
        let session;
        let a1 = if self.algorithm.session {
            session = hash.digest(&[ha1.digits(), b":", self.nonce, b":", self.cnonce]);
            session.as_bytes()
        } else {
            ha1.digits()
        };
        let of_body;
        let a2 = if self.qop == Qop::AuthInt {
            let body = hash.digest(&[body]);
            of_body = hash.digest(&[method, b":", self.uri, b":", body.as_bytes()]);
            &of_body
        } else {
            memo.a2(hash, method, self.uri)
        };
        let qop: &[u8] = match self.qop {
            Qop::None => return hash.digest(&[a1, b":", self.nonce, b":", a2.as_bytes()]),
            Qop::Auth => b"auth",
            Qop::AuthInt => b"auth-int",
        };
        hash.digest(&[a1, b":", self.nonce, b":", self.nc, b":", self.cnonce, b":", qop, b":", a2.as_bytes()])
    }
}

/// Eight hexadecimal digits above 0 (RFC 7616 section 3.4).
fn nonce_count(text: &[u8]) -> Option<u32> {
    let digits: &[u8; 8] = text.try_into().ok()?;
    let mut count = 0;
    for digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            b'A'..=b'F' => digit - b'A' + 10,
            _ => return None,
        };
        count = count << 4 | u32::from(value);
    }
    Some(count).filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, password: &str, method: &str, body: &str, expected: bool) {
        let answer = Answer::parse(value.as_bytes()).unwrap().unwrap();
        let hash = answer.algorithm.hash;
        let ha1 = Ha1::new(hash, &answer.username, &answer.realm, password.as_bytes());
        let mut memo = Memo::default();
        let mut is_by = || answer.is_by(&ha1, method.as_bytes(), body.as_bytes(), &mut memo);
        assert_eq!(is_by(), expected, "{value}");
        assert_eq!(is_by(), expected, "{value}, with the memo of the last time");
    }

    #[test]
    fn a_memo_serves_what_it_was_made_for_only() {
        let mut memo = Memo::default();
        let mut check = |hash: Hash, method: &str, uri: &str| {
            let expected = hash.digest(&[method.as_bytes(), b":", uri.as_bytes()]);
            let found = memo.a2(hash, method.as_bytes(), uri.as_bytes());
            assert_eq!(found.as_bytes(), expected.as_bytes(), "{method} {uri}");
        };
        check(Hash::Md5, "REGISTER", "sip:a");
        check(Hash::Md5, "REGISTER", "sip:a");
        check(Hash::Md5, "REGISTER", "sip:b");
        check(Hash::Md5, "REGISTRE", "sip:b");
        check(Hash::Sha256, "REGISTRE", "sip:b");
        check(Hash::Md5, "REGISTRE", "sip:b");
        check(Hash::Md5, "REGISTRE:sip", "b");
        check(Hash::Md5, "REGISTER", "sip:");
        check(Hash::Md5, "", "");
    }

    const RFC_2617: &str = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
        nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, nc=00000001, \
        cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\"";

    #[test]
    fn the_examples_of_the_rfcs_are_right() {
        check(RFC_2617, "Circle Of Life", "GET", "", true);
        // RFC 7616 section 3.9.1, both algorithms.
        let rfc_7616 = |algorithm: &str, response: &str| {
            format!(
                "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
                 cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\""
            )
        };
        check(&rfc_7616("MD5", "8ca523f5e9506fed4657c9700eebdbec"), "Circle of Life", "GET", "", true);
        let sha = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        check(&rfc_7616("SHA-256", sha), "Circle of Life", "GET", "", true);
    }

    #[test]
    fn anything_else_is_wrong() {
        check(RFC_2617, "Circle of Life", "GET", "", false);
        check(RFC_2617, "Circle Of Life", "PUT", "", false);
        check(&RFC_2617.replace("index", "Index"), "Circle Of Life", "GET", "", false);
        check(&RFC_2617.replace("nc=00000001", "nc=00000002"), "Circle Of Life", "GET", "", false);
        check(&RFC_2617.replace("7c4ef1", "7c4ef"), "Circle Of Life", "GET", "", false);
    }

    /// Values from an independent implementation: Python's hashlib.
    #[test]
    fn every_algorithm_and_quality_is_computed_as_others_do() {
        let value = |rest: &str| {
            format!(
                "Digest username=\"alice\", realm=\"example.com\", nonce=\"n0nce\", uri=\"sip:example.com\", {rest}"
            )
        };
        let body = "v=0\r\n";
        let all = [
            ("response=\"PLAIN\"", "aa955a2b3a7ad96bd48d80764c258057"),
            (
                "algorithm=MD5-sess, qop=auth, nc=0000000a, cnonce=\"c\", response=\"X\"",
                "0ca2e0790c800e61cd10d5b6739b942d",
            ),
            (
                "algorithm=MD5, qop=auth-int, nc=00000001, cnonce=\"c\", response=\"X\"",
                "feba15127a6476d217347fae11ae2260",
            ),
            (
                "algorithm=SHA-256-sess, qop=auth, nc=00000001, cnonce=\"c\", response=\"X\"",
                "c4d1ad26948f9f746915c4f02f070c0080092473096962dfa19d99215035eb80",
            ),
            (
                "algorithm=SHA-512-256, qop=auth, nc=00000001, cnonce=\"c\", response=\"X\"",
                "f6ebc5957faaa7e772b0be18ca6079bf064fb0866ba2388fbb3e91cbb41828d8",
            ),
            (
                "algorithm=SHA-512-256-sess, qop=auth-int, nc=00000001, cnonce=\"c\", response=\"X\"",
                "9ce7affe3a2b15d95cf57f9bf8adc149fe585b77012267d77ccee664d5aa972e",
            ),
        ];
        for (rest, response) in all {
            let rest = rest.replace("\"PLAIN\"", &format!("\"{response}\""));
            check(
                &value(&rest.replace("\"X\"", &format!("\"{response}\""))),
                "secret",
                "REGISTER",
                body,
                true,
            );
        }
    }

    #[test]
    fn what_cannot_be_checked_is_told() {
        let check = |value: &str, expected: BadAnswer| {
            assert_eq!(Answer::parse(value.as_bytes()).unwrap_err(), expected, "{value}");
        };
        check("", BadAnswer::Malformed);
        check("Digest username", BadAnswer::Malformed);
        check("Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"d\"", BadAnswer::Incomplete);
        check(&RFC_2617.replace("qop=auth", "qop=auth, algorithm=SHA-1"), BadAnswer::Algorithm);
        for nc in ["nc=00000000", "nc=1", "nc=0000000x", "nc=+0000001"] {
            check(&RFC_2617.replace("nc=00000001", nc), BadAnswer::Qop);
        }
        check(&RFC_2617.replace("cnonce=\"0a4f113b\"", "cnonce=\"\""), BadAnswer::Qop);
        check(&RFC_2617.replace("qop=auth", "qop=auth-conf"), BadAnswer::Qop);
    }

    #[test]
    fn names_are_taken_out_of_their_quotes() {
        let value = RFC_2617.replace("Mufasa", "mu\\\"f@home");
        let answer = Answer::parse(value.as_bytes()).unwrap().unwrap();
        assert_eq!(&*answer.username, b"mu\"f@home");
        assert_eq!(answer.user_and_domain(), (&b"mu\"f"[..], Some(&b"home"[..])));
    }
}
