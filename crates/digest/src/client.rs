//! The other side: what a request of our own answers to the challenge of somebody else (RFC 7616 section 3.4).

use seawall_sip::digest::{Challenge, challenges};
use seawall_sip::{Message, Name, ascii};

use crate::algorithm::Algorithm;
use crate::answer::{Answer, Qop};
use crate::hex::Ha1;
use crate::limits::ANSWERED_REALMS;

/// A user that we are for one realm.
#[derive(Clone, Debug)]
pub struct Login {
    user: Box<[u8]>,
    realm: Box<[u8]>,
    secret: Secret,
}

#[derive(Clone)]
enum Secret {
    Password(Box<[u8]>),
    Hash(Ha1),
}

impl std::fmt::Debug for Secret {
    /// Says nothing of the password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

impl Login {
    /// Reads `user:realm:password`. The password may be `0x` and the MD5 of `user:realm:password` in 32 hexadecimal
    /// digits, which answers MD5 challenges only. `None` when a part is missing, or one has a control character.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Login> {
        let mut parts = text.splitn(3, |byte| *byte == b':');
        let (user, realm, password) = (parts.next()?, parts.next()?, parts.next()?);
        let is_clean = !text.iter().any(u8::is_ascii_control);
        if user.is_empty() || realm.is_empty() || password.is_empty() || !is_clean {
            return None;
        }
        let hash = password.strip_prefix(b"0x").and_then(|digits| Ha1::parse(Algorithm::MD5.hash, digits));
        let secret = hash.map_or_else(|| Secret::Password(password.into()), Secret::Hash);
        Some(Login { user: user.into(), realm: realm.into(), secret })
    }

    /// What authenticates by this algorithm, if the secret is good for it.
    fn ha1(&self, algorithm: Algorithm) -> Option<Ha1> {
        match &self.secret {
            Secret::Hash(ha1) => (ha1.hash() == algorithm.hash).then_some(*ha1),
            Secret::Password(password) => Some(Ha1::new(algorithm.hash, &self.user, &self.realm, password)),
        }
    }
}

/// A request that was challenged.
#[derive(Clone, Copy, Debug)]
pub struct Challenged<'a> {
    /// Its method.
    pub method: &'a [u8],
    /// Its Request-URI.
    pub uri: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
    /// The user to be, where several logins are good for a realm.
    pub user: &'a [u8],
    /// Random digits of our own, the cnonce.
    pub cnonce: &'a [u8],
}

/// The header lines that answer the challenges of a 401 or 407: for each realm the first challenge that one of the logins
/// can answer, as the strongest stands first (RFC 8760 section 2.4). Empty when there is none.
#[must_use]
pub fn respond(response: &Message, logins: &[Login], request: &Challenged<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut done: Vec<(Name, &[u8])> = Vec::new();
    let kinds = [
        (Name::WwwAuthenticate, &b"Authorization: "[..]),
        (Name::ProxyAuthenticate, &b"Proxy-Authorization: "[..]),
    ];
    for (name, header) in kinds {
        for challenge in challenges(response, name).flatten() {
            let Some(realm) = challenge.realm().filter(|realm| !done.contains(&(name, *realm))) else {
                continue;
            };
            if done.len() < ANSWERED_REALMS && answer(&challenge, logins, request, header, &mut out) {
                done.push((name, realm));
            }
        }
    }
    out
}

/// Whether a challenge says that only the nonce was too old.
#[must_use]
pub fn is_stale(response: &Message) -> bool {
    let names = [Name::WwwAuthenticate, Name::ProxyAuthenticate].into_iter();
    let mut all = names.flat_map(|name| challenges(response, name).flatten());
    all.any(|challenge| challenge.stale().is_some_and(|stale| stale.eq_ignore_ascii_case(b"true")))
}

/// Appends the line that answers one challenge. False when it cannot be answered.
fn answer(
    challenge: &Challenge<'_>,
    logins: &[Login],
    request: &Challenged<'_>,
    header: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let read = || {
        let is_digest = challenge.scheme.eq_ignore_ascii_case(b"Digest");
        // What is given back must not break out of its line.
        let mut params = challenge.params.iter();
        let is_clean = params.all(|(_, value)| !value.iter().any(u8::is_ascii_control));
        (is_digest && is_clean).then_some(())?;
        let mut realm = Vec::new();
        ascii::unquote_into(challenge.params.raw(b"realm")?, &mut realm);
        let algorithm = challenge.algorithm().map_or(Some(Algorithm::MD5), Algorithm::from_name)?;
        let of_realm = || logins.iter().filter(|login| *login.realm == *realm);
        let login = of_realm().find(|login| *login.user == *request.user).or_else(|| of_realm().next())?;
        Some((login, algorithm, login.ha1(algorithm)?, challenge.nonce()?, quality(challenge)?))
    };
    let Some((login, algorithm, ha1, nonce, qop)) = read() else { return false };
    let answer = Answer::to_challenge(login.user.as_ref(), nonce, algorithm, qop, request);
    let response = answer.digest(&ha1, request.method, request.body);
    let mut quoted = |name: &[u8], value: &[u8]| {
        for part in [name, b"=\"", value, b"\", "] {
            out.extend_from_slice(part);
        }
    };
    quoted(&[header, b"Digest username"].concat(), &escaped(&login.user));
    quoted(b"realm", challenge.realm().unwrap_or_default());
    quoted(b"nonce", nonce);
    quoted(b"uri", request.uri);
    if let Some(opaque) = challenge.opaque() {
        quoted(b"opaque", opaque);
    }
    quoted(b"response", response.as_bytes());
    out.extend_from_slice(b"algorithm=");
    out.extend_from_slice(algorithm.name().as_bytes());
    let name: &[u8] = match qop {
        Qop::None => b"",
        Qop::Auth => b"auth",
        Qop::AuthInt => b"auth-int",
    };
    if qop != Qop::None {
        for part in [b", qop=", name, b", nc=00000001"] {
            out.extend_from_slice(part);
        }
    }
    if qop != Qop::None || algorithm.session {
        for part in [b", cnonce=\"", request.cnonce, b"\""] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    true
}

/// The quality of protection to answer with: none where none is offered; `None` where only unknown ones are.
fn quality(challenge: &Challenge<'_>) -> Option<Qop> {
    let Some(offered) = challenge.qop() else { return Some(Qop::None) };
    let offers = |name: &[u8]| {
        offered.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(name))
    };
    if offers(b"auth") { Some(Qop::Auth) } else { offers(b"auth-int").then_some(Qop::AuthInt) }
}

/// A text between quotes.
fn escaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Memo;

    const REQUEST: Challenged<'static> = Challenged {
        method: b"REGISTER",
        uri: b"sip:example.com",
        body: b"",
        user: b"alice",
        cnonce: b"c0ffee",
    };

    fn challenged(lines: &str) -> Message {
        let text = format!("SIP/2.0 401 X\r\n{}\r\n", lines.replace('\n', "\r\n"));
        Message::parse(text.into_bytes()).map_err(|(_, error)| error).unwrap()
    }

    fn logins(all: &[&str]) -> Vec<Login> {
        all.iter().map(|text| Login::parse(text.as_bytes()).unwrap()).collect()
    }

    /// What is answered proves the password to the server's side of this crate, for whom and by which algorithm.
    #[track_caller]
    fn check(lines: &str, all: &[&str], expected: &[(&str, &str, &str)]) {
        let out = respond(&challenged(lines), &logins(all), &REQUEST);
        let text = String::from_utf8(out).unwrap();
        let proven: Vec<_> = text.split_terminator("\r\n").map(proven).collect();
        let proven: Vec<_> = proven.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
        assert_eq!(proven, expected, "{text}");
    }

    fn proven(line: &str) -> (String, String, String) {
        let (header, value) = line.split_once(": ").unwrap();
        let answer = Answer::parse(value.as_bytes()).unwrap().unwrap();
        let ha1 = Ha1::new(answer.algorithm.hash, &answer.username, &answer.realm, b"secret");
        assert!(answer.is_by(&ha1, REQUEST.method, REQUEST.body, &mut Memo::default()), "{line}");
        assert_eq!(answer.uri, REQUEST.uri);
        let user = String::from_utf8(answer.username.to_vec()).unwrap();
        (header.to_owned(), user, answer.algorithm.name().to_owned())
    }

    const MD5: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"";

    #[test]
    fn every_kind_of_challenge_is_answered() {
        let all = ["alice:r:secret"];
        let expected = |algorithm| [("Authorization", "alice", algorithm)];
        check(&format!("{MD5}\n"), &all, &expected("MD5"));
        for qop in ["auth", "auth-int", "auth-int, auth"] {
            check(&format!("{MD5}, qop=\"{qop}\", opaque=\"o\"\n"), &all, &expected("MD5"));
        }
        for algorithm in ["MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256"] {
            check(&format!("{MD5}, algorithm={algorithm}, qop=\"auth\"\n"), &all, &expected(algorithm));
        }
        check(
            &format!("{}\n", MD5.replace("WWW", "Proxy")),
            &all,
            &[("Proxy-Authorization", "alice", "MD5")],
        );
        check(
            "WWW-Authenticate: Digest realm=\"a \\\"b\\\"\", nonce=\"n\"\n",
            &["alice:a \"b\":secret"],
            &expected("MD5"),
        );
    }

    #[test]
    fn the_first_that_can_be_answered_of_each_realm_is() {
        let both = format!(
            "{MD5}, algorithm=SHA-1\n{MD5}, algorithm=SHA-256\n{MD5}\n{}\n",
            MD5.replace("\"r\"", "\"q\"")
        );
        check(&both, &["alice:r:secret"], &[("Authorization", "alice", "SHA-256")]);
        check(
            &both,
            &["alice:q:secret", "alice:r:secret"],
            &[("Authorization", "alice", "SHA-256"), ("Authorization", "alice", "MD5")],
        );
        // A hash is good for its own algorithm only: this is MD5 of alice:r:secret.
        check(&both, &["alice:r:0x5a2a1586d5189f527d03bc41fbde1937"], &[("Authorization", "alice", "MD5")]);
        // Of several users the wanted one, else the first.
        let plain = format!("{MD5}\n");
        check(&plain, &["bob:r:secret", "alice:r:secret"], &[("Authorization", "alice", "MD5")]);
        check(&plain, &["bob:r:secret", "carol:r:secret"], &[("Authorization", "bob", "MD5")]);
    }

    #[test]
    fn what_cannot_be_answered_is_not() {
        let all = ["alice:r:secret"];
        for line in [
            "WWW-Authenticate: Basic realm=\"r\"",
            "WWW-Authenticate: Digest realm=\"other\", nonce=\"n\"",
            "WWW-Authenticate: Digest realm=\"r\"",
            "WWW-Authenticate: Digest nonce=\"n\"",
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth-conf\"",
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\r\n X: y\"",
            "WWW-Authenticate: nonsense",
            "X: y",
        ] {
            check(&format!("{line}\n"), &all, &[]);
        }
        assert!(is_stale(&challenged(&format!("{MD5}, stale=TRUE\n"))));
        assert!(!is_stale(&challenged(&format!("{MD5}, stale=false\n"))));
        for text in ["", "a", "a:b", "a:b:", ":b:c", "a::c", "a:b:c\nd"] {
            assert!(Login::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(!format!("{:?}", logins(&["alice:r:hidden"])).contains("hidden"));
    }
}
