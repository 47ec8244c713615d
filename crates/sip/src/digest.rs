//! The Authorization family: Authorization, Proxy-Authorization, WWW-Authenticate, Proxy-Authenticate
//! (RFC 3261 §20.7, RFC 7616, RFC 8760). Parsing only; nothing is computed or compared here.

use thiserror::Error;

use crate::{
    ascii::{self, Class},
    list::Items,
    message::Message,
    name::Name,
};

/// Why a value is neither credentials nor a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthError {
    /// No scheme, or one that is no token.
    #[error("malformed authentication scheme")]
    Scheme,
    /// A parameter that is not `name=value`, or a quote that is not closed.
    #[error("malformed authentication parameter")]
    Param,
}

/// The comma separated `name=value` pairs after the scheme.
#[derive(Clone, Copy, Debug)]
pub struct AuthParams<'a> {
    text: &'a [u8],
}

impl<'a> AuthParams<'a> {
    /// All pairs in order; values as they were written, quotes included.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
        Items::new(self.text).filter_map(split_pair)
    }

    /// The value of the first parameter of a name, without its quotes. Backslashes inside are kept:
    /// [`ascii::unquote_into`] on [`raw`](AuthParams::raw) removes them.
    #[must_use]
    pub fn value(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.raw(name).map(ascii::strip_quotes)
    }

    /// The value of the first parameter of a name as it was written.
    #[must_use]
    pub fn raw(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn check(&self) -> Result<(), AuthError> {
        for item in Items::new(self.text) {
            let (name, value) = split_pair(item).ok_or(AuthError::Param)?;
            let closed = match value {
                [b'"', inner @ ..] => {
                    ascii::find_closing_quote(inner).is_some_and(|end| end + 1 == inner.len())
                }
                other => Class::VALUE.has_all(other),
            };
            if !closed || !ascii::is_token(name) {
                return Err(AuthError::Param);
            }
        }
        Ok(())
    }
}

fn split_pair(item: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = memchr::memchr(b'=', item)?;
    Some((ascii::trim(item.get(..equals)?), ascii::trim(item.get(equals + 1..)?)))
}

fn parse(value: &[u8]) -> Result<(&[u8], AuthParams<'_>), AuthError> {
    let value = ascii::trim(value);
    let scheme_end = value.iter().position(|&byte| ascii::is_lws(byte)).unwrap_or(value.len());
    let scheme = value.get(..scheme_end).unwrap_or_default();
    if !ascii::is_token(scheme) {
        return Err(AuthError::Scheme);
    }
    let params = AuthParams { text: ascii::trim_start(value.get(scheme_end..).unwrap_or_default()) };
    params.check()?;
    Ok((scheme, params))
}

macro_rules! fields {
    ($($(#[$doc:meta])* $method:ident $name:literal,)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $method(&self) -> Option<&'a [u8]> {
            self.params.value($name)
        })*
    };
}

/// The value of an Authorization or Proxy-Authorization header field.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The scheme, such as `Digest`; compare without regard to case.
    pub scheme: &'a [u8],
    /// The parameters.
    pub params: AuthParams<'a>,
}

impl<'a> Credentials<'a> {
    /// Takes a value apart.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(value: &'a [u8]) -> Result<Credentials<'a>, AuthError> {
        parse(value).map(|(scheme, params)| Credentials { scheme, params })
    }

    /// Whether the scheme is Digest.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case(b"Digest")
    }

    fields! {
        /// The user name, without quotes.
        username b"username",
        /// The realm, without quotes.
        realm b"realm",
        /// The nonce, without quotes.
        nonce b"nonce",
        /// The URI that the digest was computed over, without quotes.
        uri b"uri",
        /// The digest, hexadecimal.
        response b"response",
        /// The algorithm; MD5 if it is absent.
        algorithm b"algorithm",
        /// The quality of protection that the client chose.
        qop b"qop",
        /// The nonce count, eight hexadecimal digits.
        nc b"nc",
        /// The client's nonce.
        cnonce b"cnonce",
        /// What the server gave as opaque.
        opaque b"opaque",
    }
}

/// One challenge of a WWW-Authenticate or Proxy-Authenticate header field.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    /// The scheme, such as `Digest`; compare without regard to case.
    pub scheme: &'a [u8],
    /// The parameters.
    pub params: AuthParams<'a>,
}

impl<'a> Challenge<'a> {
    /// Takes a value apart.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(value: &'a [u8]) -> Result<Challenge<'a>, AuthError> {
        parse(value).map(|(scheme, params)| Challenge { scheme, params })
    }

    fields! {
        /// The realm, without quotes.
        realm b"realm",
        /// The nonce, without quotes.
        nonce b"nonce",
        /// The algorithm; MD5 if it is absent.
        algorithm b"algorithm",
        /// The qualities of protection on offer, a comma separated list without quotes.
        qop b"qop",
        /// To be given back as it is.
        opaque b"opaque",
        /// `true` if only the nonce was too old.
        stale b"stale",
    }
}

/// All credentials of a message under Authorization or Proxy-Authorization. Each header field holds one
/// (RFC 3261 §20.7).
pub fn credentials(
    message: &Message,
    name: Name,
) -> impl Iterator<Item = Result<Credentials<'_>, AuthError>> + Clone {
    message.header_all(name).map(|header| Credentials::parse(header.value))
}

/// All challenges of a message under WWW-Authenticate or Proxy-Authenticate. Each header field holds one.
pub fn challenges(
    message: &Message,
    name: Name,
) -> impl Iterator<Item = Result<Challenge<'_>, AuthError>> + Clone {
    message.header_all(name).map(|header| Challenge::parse(header.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_credentials_are_read_with_and_without_quotes() {
        let value =
            b"Digest username=\"bob\",realm=\"a, \\\"b\\\"\", nonce=\"n=\" ,uri=\"sip:example.com\",\r\n \
            response=\"0123\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\"";
        let credentials = Credentials::parse(value).unwrap();
        assert!(credentials.is_digest());
        assert_eq!(credentials.username(), Some(&b"bob"[..]));
        assert_eq!(credentials.realm(), Some(&b"a, \\\"b\\\""[..]));
        assert_eq!(credentials.nonce(), Some(&b"n="[..]));
        assert_eq!(credentials.algorithm(), Some(&b"SHA-256"[..]));
        assert_eq!(credentials.qop(), Some(&b"auth"[..]));
        assert_eq!(credentials.opaque(), None);
    }

    #[test]
    fn unknown_schemes_are_no_digest() {
        let credentials = Credentials::parse(b"NoOneKnowsThisScheme opaque-data=here").unwrap();
        assert!(!credentials.is_digest());
        assert_eq!(credentials.params.value(b"opaque-data"), Some(&b"here"[..]));
    }

    #[test]
    fn malformed_credentials_are_told() {
        let check = |value: &[u8], expected| assert_eq!(Credentials::parse(value).err(), Some(expected));
        check(b"", AuthError::Scheme);
        check(b"Digest,", AuthError::Scheme);
        check(b"Digest username", AuthError::Param);
        check(b"Digest username=\"open", AuthError::Param);
        check(b"Digest username=\"", AuthError::Param);
        check(b"Digest a=1,,b=2", AuthError::Param);
        check(b"Digest =1", AuthError::Param);
    }

    #[test]
    fn challenges_are_read() {
        let challenge = Challenge::parse(b"Digest realm=\"r\", qop=\"auth,auth-int\", stale=TRUE").unwrap();
        assert_eq!(challenge.qop(), Some(&b"auth,auth-int"[..]));
        assert_eq!(challenge.stale(), Some(&b"TRUE"[..]));
    }
}
