//! Whether a request has the right credentials: from the header to the code that the script sees.
//!
//! What costs nothing comes first: a request without credentials, or with a nonce that is not ours or too old, is
//! refused before any user is looked for.

use std::borrow::Cow;

use seawall_digest::{Answer, Ha1, Nonce, Use};
use seawall_script::Flow;
use seawall_sip::message::{Header, Message};
use seawall_sip::{Method, Name, Span, Uri, name_addr};

use crate::context::Context;

/// Whom a challenge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The server itself: 401, WWW-Authenticate, Authorization.
    Www,
    /// A proxy: 407, Proxy-Authenticate, Proxy-Authorization.
    Proxy,
}

impl Kind {
    /// The name of the header that challenges.
    pub(crate) fn challenge_header(self) -> &'static str {
        match self {
            Kind::Www => "WWW-Authenticate",
            Kind::Proxy => "Proxy-Authenticate",
        }
    }

    /// The reply that challenges.
    pub(crate) fn challenge_reply(self) -> (u16, &'static [u8]) {
        match self {
            Kind::Www => (401, b"Unauthorized"),
            Kind::Proxy => (407, b"Proxy Authentication Required"),
        }
    }

    fn credentials(self) -> Name {
        match self {
            Kind::Www => Name::Authorization,
            Kind::Proxy => Name::ProxyAuthorization,
        }
    }
}

/// What the authorize functions found out about a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Verdict {
    /// The header with the right credentials, by its position and one more; 0 for none.
    header: u32,
    /// Where the user name stands in the message, when it stands there as it is; `$au` is asked for in every script.
    username: Option<Span>,
    /// Whether the next challenge says that only the nonce was wrong.
    pub stale: bool,
    /// Whether the users could not be looked up.
    pub unavailable: bool,
}

impl Verdict {
    /// The header with the credentials that were found right.
    #[must_use]
    pub fn header<'a>(&self, message: &'a Message) -> Option<Header<'a>> {
        let index = usize::try_from(self.header.checked_sub(1)?).ok()?;
        message.header_at(index)
    }

    /// The user name of those credentials, without quotes.
    #[must_use]
    pub fn username<'a>(&self, message: &'a Message) -> Option<&'a [u8]> {
        self.username.map(|span| message.slice(span))
    }
}

/// What is known about the user that credentials name.
pub enum Known {
    /// The hash of the password.
    Ha1(Ha1),
    /// There is no such user.
    Nobody,
    /// Nothing yet: somebody has to be asked.
    Later,
    /// Nothing, because nobody can be asked.
    Unavailable,
    /// What is stored is no hash for the algorithm of the credentials.
    Unusable,
}

/// How credentials were judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// They are right; the header at this position has them, and the user name stands there.
    Right(usize, Option<Span>),
    /// There is nothing to judge: ACK and CANCEL cannot be challenged (RFC 3261 section 22.1).
    Exempt,
    /// They are not; the code for the script.
    Wrong(i64),
    /// The users cannot be looked up.
    Unavailable,
    /// The user has to be looked up first.
    Later,
}

/// The realm that is meant: the given one, else the host of To in a REGISTER and of From in other requests, without
/// `realm_prefix`. Hosts are compared without regard to case, so the realm made of one is in lower case.
pub fn realm<'a>(context: &'a Context, given: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    if !given.is_empty() {
        return crate::uris::is_clean(given).then_some(Cow::Borrowed(given));
    }
    let message = context.message();
    let of = if message.method_id() == Method::Register { Name::To } else { Name::From };
    let host = Uri::parse(name_addr::address(message, of).ok()?.uri).ok()?.host;
    let prefix = &*context.configuration.settings.auth.realm_prefix;
    let start = if host.len() > prefix.len() { host.get(..prefix.len()) } else { None };
    let host = match start {
        Some(start) if start.eq_ignore_ascii_case(prefix) => host.get(prefix.len()..)?,
        _ => host,
    };
    if host.iter().any(u8::is_ascii_uppercase) {
        return Some(Cow::Owned(host.to_ascii_lowercase()));
    }
    (!host.is_empty()).then_some(Cow::Borrowed(host))
}

/// Judges the credentials of the context's request for a realm. `known` is asked for the user that they name.
pub fn judge(
    context: &Context,
    kind: Kind,
    given_realm: &[u8],
    known: impl FnOnce(&Answer<'_>, &[u8]) -> Known,
) -> Judged {
    let message = context.message();
    if matches!(message.method_id(), Method::Ack | Method::Cancel) {
        return Judged::Exempt;
    }
    let Some(realm) = realm(context, given_realm) else { return Judged::Wrong(-5) };
    let (header, answer) = match find(message, kind, &realm) {
        Ok(found) => found,
        Err(code) => return Judged::Wrong(code),
    };
    let settings = &context.configuration.settings.auth;
    let nonces = &context.node.authentication;
    let nonce = nonces.key(settings).read(answer.nonce);
    let Some(nonce) = nonce.filter(|nonce| nonce.is_fresh(context.now_s, settings.nonce_expire_s)) else {
        return Judged::Wrong(-3);
    };
    // A client may not choose less than it was offered: MD5 where the script wants SHA-256.
    if answer.algorithm != nonce.algorithm || !nonce.qops.allow(answer.qop) {
        return Judged::Wrong(-5);
    }
    let ha1 = match known(&answer, &realm) {
        Known::Ha1(ha1) => ha1,
        Known::Nobody => return Judged::Wrong(-1),
        Known::Unusable => return Judged::Wrong(-2),
        Known::Later => return Judged::Later,
        Known::Unavailable => return Judged::Unavailable,
    };
    let mut memo = context.digest_memo.take();
    let is_right = answer.is_by(&ha1, message.method(), message.body(), &mut memo);
    context.digest_memo.set(memo);
    if !is_right {
        return Judged::Wrong(-2);
    }
    if settings.refuses_reuse && is_replay(context, &nonce, &answer) {
        return Judged::Wrong(-3);
    }
    let username = match &answer.username {
        Cow::Borrowed(name) => message.span_of(name),
        Cow::Owned(_) => None,
    };
    Judged::Right(header, username)
}

/// The first Digest credentials for the realm.
fn find<'a>(message: &'a Message, kind: Kind, realm: &[u8]) -> Result<(usize, Answer<'a>), i64> {
    let mut code = -4;
    for header in message.header_all(kind.credentials()) {
        match Answer::parse(header.value) {
            Ok(Some(answer)) if *answer.realm == *realm => return Ok((header.index, answer)),
            Ok(_) => {}
            Err(_) => code = -5,
        }
    }
    Err(code)
}

fn is_replay(context: &Context, nonce: &Nonce, answer: &Answer<'_>) -> bool {
    let settings = &context.configuration.settings.auth;
    let nonces = &context.node.authentication;
    let port = context.origin.peer.port().to_be_bytes();
    let request = match context.origin.peer.ip() {
        std::net::IpAddr::V4(ip) => {
            nonces.process_key().fingerprint(&[context.message().wire(), &ip.octets(), &port])
        }
        std::net::IpAddr::V6(ip) => {
            nonces.process_key().fingerprint(&[context.message().wire(), &ip.octets(), &port])
        }
    };
    let used = nonces.replays().note(nonce, answer.count, request, context.now_s, settings.nonce_expire_s);
    used == Use::Replay
}

/// Keeps what was found out, and gives the function's value. [`Judged::Later`] is for the caller.
pub fn settle(context: &mut Context, judged: Judged) -> Flow {
    let verdict = &mut context.rare.authentication;
    *verdict = Verdict::default();
    match judged {
        Judged::Right(index, username) => {
            verdict.username = username;
            verdict.header = u32::try_from(index).map_or(0, |index| index.saturating_add(1));
            Flow::TRUE
        }
        Judged::Exempt => Flow::TRUE,
        Judged::Wrong(code) => {
            verdict.stale = code == -3;
            Flow::Value(code)
        }
        Judged::Unavailable | Judged::Later => {
            verdict.unavailable = true;
            Flow::Value(-5)
        }
    }
}
