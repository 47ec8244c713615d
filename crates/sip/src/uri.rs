//! `sip:`, `sips:` and `tel:` URIs (RFC 3261 §19.1, RFC 3966) as views over bytes.

pub mod equality;
pub mod escape;
mod numeric;
mod usual;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

pub use numeric::numeric;
pub use usual::Usual;

use crate::{
    ascii::{self, Class},
    cursor::Cursor,
    marks::{Marks, marks_and_upper_case},
    params::Params,
    span::Span,
    swar,
};

/// The scheme of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:` (RFC 3261 §19.1).
    Sip,
    /// `sips:` (RFC 3261 §19.1).
    Sips,
    /// `tel:` (RFC 3966).
    Tel,
    /// Any other; only the scheme is taken apart.
    Other,
}

/// Why bytes are not a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UriError {
    /// No scheme, or nothing after it.
    #[error("URI without scheme")]
    Scheme,
    /// An empty user part, or a byte in it that must be escaped.
    #[error("malformed user part in URI")]
    User,
    /// No host, or no host name and no IP address.
    #[error("malformed host in URI")]
    Host,
    /// A port that is no number up to 65535.
    #[error("malformed port in URI")]
    Port,
    /// An empty parameter, or a byte in one that must be escaped.
    #[error("malformed parameter in URI")]
    Param,
    /// A byte in a URI header that must be escaped.
    #[error("malformed header in URI")]
    Header,
    /// `%` without two hexadecimal digits.
    #[error("malformed escape in URI")]
    Escape,
    /// White space, a control character or a bracket.
    #[error("illegal character in URI")]
    Character,
}

/// A URI taken apart. All parts are as they were written: escapes are kept, and so are the brackets of an IPv6
/// address.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    /// The whole URI.
    pub raw: &'a [u8],
    /// The scheme.
    pub scheme: Scheme,
    /// The scheme as it was written, without the colon.
    pub scheme_name: &'a [u8],
    /// The user, without password; the number of a `tel:` URI.
    pub user: Option<&'a [u8]>,
    /// The password, which RFC 3261 §19.1.1 advises against.
    pub password: Option<&'a [u8]>,
    /// The host; empty in a `tel:` URI and in one of another scheme.
    pub host: &'a [u8],
    /// The port, if it is given.
    pub port: Option<u16>,
    /// The URI parameters.
    pub params: Params<'a>,
    /// What follows `?`, if anything does.
    pub headers: Option<&'a [u8]>,
    /// What follows the scheme in a URI of another scheme; else empty.
    pub opaque: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Takes a URI apart. Nothing may stand around it, neither white space nor brackets.
    ///
    /// # Errors
    /// The first part that breaks the grammar. What is accepted beyond it: `_` in host names, `#` and bytes over
    /// 127 in user parts, all of them in wide use.
    #[inline]
    pub fn parse(raw: &'a [u8]) -> Result<Uri<'a>, UriError> {
        match usual::read(raw) {
            Some(uri) => Ok(uri),
            None => Uri::parse_any(raw),
        }
    }

    /// The URI in brackets with which a text begins, where it is a usual one, where its parts are, and what is behind the
    /// brackets. [`Uri::parse`] takes each of them as well. `None` is no verdict.
    #[inline]
    #[must_use]
    pub fn usual_in_brackets(text: &'a [u8]) -> Option<(&'a [u8], Usual, &'a [u8])> {
        usual::read_bracketed(text)
    }

    /// As [`Uri::parse`], one way for all.
    fn parse_any(raw: &'a [u8]) -> Result<Uri<'a>, UriError> {
        let (scheme, scheme_len) = scheme(raw)?;
        let mut cursor = Cursor::new(raw);
        cursor.skip(scheme_len + 1);
        let mut uri = Uri {
            raw,
            scheme,
            scheme_name: raw.get(..scheme_len).unwrap_or_default(),
            user: None,
            password: None,
            host: b"",
            port: None,
            params: Params::default(),
            headers: None,
            opaque: b"",
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => uri.parse_sip(&mut cursor)?,
            Scheme::Tel => uri.parse_tel(&mut cursor)?,
            Scheme::Other => {
                uri.opaque = cursor.rest();
                return uri.check_opaque().map(|()| uri);
            }
        }
        uri.parse_params(&mut cursor)?;
        uri.parse_headers(&mut cursor)?;
        if cursor.is_at_end() { Ok(uri) } else { Err(UriError::Character) }
    }

    #[inline]
    fn parse_sip(&mut self, cursor: &mut Cursor<'a>) -> Result<(), UriError> {
        let start = cursor.position();
        let mut colon = None;
        loop {
            cursor.run(Class::USER);
            match cursor.peek() {
                Some(b':') if colon.is_none() => {
                    colon = Some(cursor.position());
                    cursor.skip(1);
                }
                Some(b':') => cursor.skip(1),
                Some(b'%') if !cursor.escape() => return Err(UriError::Escape),
                Some(b'%') => {}
                _ => break,
            }
        }
        if cursor.peek() == Some(b'@') {
            let user_part = cursor.slice(cursor.since(start));
            let user_len = colon.map_or(user_part.len(), |colon| colon - start);
            self.user = user_part.get(..user_len);
            self.password = user_part.get(user_len + 1..);
            if user_len == 0 {
                return Err(UriError::User);
            }
            cursor.skip(1);
        } else {
            // What was read is the host, or has a byte that may stand nowhere.
            *cursor = Cursor::new(self.raw);
            cursor.skip(start);
        }
        let host = host(cursor).ok_or(UriError::Host)?;
        self.host = cursor.slice(host);
        if cursor.eat(b':') {
            let digits = cursor.run(Class::DIGIT);
            self.port = Some(ascii::parse_port(cursor.slice(digits)).map_err(|_| UriError::Port)?);
        }
        match cursor.peek() {
            None | Some(b';' | b'?') => Ok(()),
            Some(b'@') => Err(UriError::User),
            Some(_) => Err(if self.port.is_some() { UriError::Port } else { UriError::Host }),
        }
    }

    fn parse_tel(&mut self, cursor: &mut Cursor<'a>) -> Result<(), UriError> {
        let start = cursor.position();
        cursor.eat(b'+');
        let digits_start = cursor.position();
        while let Some(byte) = cursor.peek() {
            match byte {
                b'%' if !cursor.escape() => return Err(UriError::Escape),
                b'%' => {}
                _ if byte.is_ascii_hexdigit() || b"*#-.()".contains(&byte) => cursor.skip(1),
                b';' => break,
                _ => return Err(UriError::User),
            }
        }
        self.user = Some(cursor.slice(cursor.since(start)));
        if cursor.position() == digits_start { Err(UriError::User) } else { Ok(()) }
    }

    /// `*( ";" name [ "=" value ] )`.
    #[inline]
    fn parse_params(&mut self, cursor: &mut Cursor<'a>) -> Result<(), UriError> {
        let start = cursor.position() + 1;
        while cursor.eat(b';') {
            let name = escaped_run(cursor)?;
            if name.is_empty() {
                return Err(UriError::Param);
            }
            while matches!(cursor.peek(), Some(b'=' | b'&')) {
                cursor.skip(1);
                escaped_run(cursor)?;
            }
        }
        if !matches!(cursor.peek(), None | Some(b'?')) {
            return Err(UriError::Param);
        }
        self.params = Params::new(cursor.slice(cursor.since(start)));
        Ok(())
    }

    /// `"?" name "=" value *( "&" name "=" value )`, not checked for more than its characters.
    #[inline]
    fn parse_headers(&mut self, cursor: &mut Cursor<'a>) -> Result<(), UriError> {
        if !cursor.eat(b'?') {
            return Ok(());
        }
        let start = cursor.position();
        escaped_run(cursor)?;
        while matches!(cursor.peek(), Some(b'=' | b'&' | b'?')) {
            cursor.skip(1);
            escaped_run(cursor)?;
        }
        self.headers = Some(cursor.slice(cursor.since(start)));
        if cursor.is_at_end() && cursor.position() > start { Ok(()) } else { Err(UriError::Header) }
    }

    fn check_opaque(&self) -> Result<(), UriError> {
        if self.opaque.is_empty() {
            return Err(UriError::Scheme);
        }
        let legal = |byte: &u8| *byte > 0x20 && *byte != 0x7f && !b"<>\"".contains(byte);
        if self.opaque.iter().all(legal) { Ok(()) } else { Err(UriError::Character) }
    }

    /// Whether the scheme is `sip:` or `sips:`.
    #[inline]
    #[must_use]
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }

    /// The URI parameter of a name: `None` if there is none, `Some(None)` if it has no value.
    #[inline]
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.params.param(name)
    }

    /// The `transport` parameter as it was written.
    #[inline]
    #[must_use]
    pub fn transport(&self) -> Option<&'a [u8]> {
        self.params.value(b"transport")
    }

    /// The host as an IP address, if it is one.
    #[inline]
    #[must_use]
    pub fn host_ip(&self) -> Option<IpAddr> {
        host_ip(self.host)
    }

    /// Host and port as they were written; empty for other than SIP URIs.
    #[must_use]
    pub fn host_port(&self) -> &'a [u8] {
        let Some(host) = Span::locate(self.raw, self.host).filter(|_| self.is_sip()) else { return b"" };
        let from_host = self.raw.get(host.start as usize..).unwrap_or_default();
        let end = swar::find2(from_host, b';', b'?').unwrap_or(from_host.len());
        from_host.get(..end).unwrap_or_default()
    }

    /// Whether two URIs are equivalent (RFC 3261 §19.1.4, RFC 3966 §5), see [`equality`].
    #[must_use]
    pub fn equals(&self, other: &Uri<'_>) -> bool {
        equality::equal(self, other)
    }
}

/// A URI of scheme `sip` that has a host and perhaps a user, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<'a> {
    /// What follows the scheme: user, `@` and host, or the host alone.
    pub whole: &'a [u8],
    /// The user, without any escape; empty if there is none.
    pub user: &'a [u8],
    /// The host: a name or an IPv4 address.
    pub host: &'a [u8],
}

impl<'a> Plain<'a> {
    /// Takes apart what most addresses of record and the Request-URIs of their REGISTERs are, for much less than
    /// [`Uri::parse`], which takes each of them too. `None` is no verdict.
    #[inline]
    #[must_use]
    pub fn read(raw: &'a [u8]) -> Option<Plain<'a>> {
        const SCHEME: usize = b"sip:".len();
        let whole = raw.strip_prefix(b"sip:")?;
        let mut marks = Marks::new(raw, SCHEME);
        let first = marks.next();
        if first == raw.len() {
            return (!whole.is_empty()).then_some(Plain { whole, user: b"", host: whole });
        }
        // A user may have other signs in it than the host.
        let has_signs = raw.get(first).is_some_and(|byte| Class::USER.has(*byte));
        let at = if has_signs { marks.next_outside(Class::USER) } else { first };
        let user = raw.get(SCHEME..at)?;
        let host = raw.get(at..)?.strip_prefix(b"@")?;
        let is_plain = !user.is_empty() && !host.is_empty() && marks.next() == raw.len();
        is_plain.then_some(Plain { whole, user, host })
    }

    /// As [`read`](Plain::read), for less still: user and host are of letters, digits and `-._` alone, none of the host in upper
    /// case, in 16 to 64 bytes. `None` is no verdict.
    #[inline]
    #[must_use]
    pub fn read_lower(raw: &'a [u8]) -> Option<Plain<'a>> {
        let whole = raw.strip_prefix(b"sip:")?;
        let (marks, upper_case) = marks_and_upper_case(raw)?;
        // Behind the colon of the scheme.
        let marks = marks & (u64::MAX << 4);
        let at = marks.trailing_zeros() as usize;
        let (user, host) = whole.split_at_checked(at.checked_sub(4)?)?;
        let host = host.strip_prefix(b"@")?;
        let is_only = marks & marks.wrapping_sub(1) == 0;
        let is_plain = is_only && !user.is_empty() && !host.is_empty() && upper_case & (u64::MAX << at) == 0;
        is_plain.then_some(Plain { whole, user, host })
    }
}

/// The scheme and its length without the colon.
#[inline]
fn scheme(raw: &[u8]) -> Result<(Scheme, usize), UriError> {
    match raw {
        [b's' | b'S', b'i' | b'I', b'p' | b'P', b':', ..] => Ok((Scheme::Sip, 3)),
        [b's' | b'S', b'i' | b'I', b'p' | b'P', b's' | b'S', b':', ..] => Ok((Scheme::Sips, 4)),
        [b't' | b'T', b'e' | b'E', b'l' | b'L', b':', ..] => Ok((Scheme::Tel, 3)),
        [first, ..] if first.is_ascii_alphabetic() => {
            let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
            let end = raw.iter().position(|byte| !legal(byte)).ok_or(UriError::Scheme)?;
            if raw.get(end) == Some(&b':') { Ok((Scheme::Other, end)) } else { Err(UriError::Scheme) }
        }
        _ => Err(UriError::Scheme),
    }
}

/// Takes the characters of a URI parameter or header, escapes among them.
#[inline]
fn escaped_run(cursor: &mut Cursor<'_>) -> Result<Span, UriError> {
    let start = cursor.position();
    loop {
        cursor.run(Class::URI_PARAM);
        if cursor.peek() != Some(b'%') {
            return Ok(cursor.since(start));
        }
        if !cursor.escape() {
            return Err(UriError::Escape);
        }
    }
}

/// Takes a host (RFC 3261 §25.1, `host`), an IPv6 address with its brackets; `None` if there is none.
#[inline]
pub(crate) fn host(cursor: &mut Cursor<'_>) -> Option<Span> {
    if cursor.peek() != Some(b'[') {
        let host = cursor.run(Class::HOST);
        return (!host.is_empty()).then_some(host);
    }
    let start = cursor.position();
    cursor.skip(1);
    // The characters only: the grammar of RFC 3261 allows a third colon in "[2001:db8:::192.0.2.1]", and RFC 5118
    // §4.10 asks to live with what was built to it.
    while let Some(byte) = cursor.peek()
        && (Class::HEX.has(byte) || matches!(byte, b':' | b'.'))
    {
        cursor.skip(1);
    }
    let len = cursor.position() - start;
    (len > 2 && cursor.eat(b']')).then(|| cursor.since(start))
}

/// Splits `host [":" port]` (RFC 3261 §25.1, `hostport`). The host keeps its brackets.
///
/// # Errors
/// [`UriError::Host`] or [`UriError::Port`].
#[inline]
pub fn split_host_port(text: &[u8]) -> Result<(&[u8], Option<u16>), UriError> {
    let mut cursor = Cursor::new(text);
    let host = host(&mut cursor).ok_or(UriError::Host)?.of(text);
    match cursor.rest() {
        [] => Ok((host, None)),
        [b':', digits @ ..] => {
            ascii::parse_port(digits).map(|port| (host, Some(port))).map_err(|_| UriError::Port)
        }
        _ => Err(UriError::Host),
    }
}

/// The IP address that a host is, with or without brackets around an IPv6 address; `None` for a name.
#[must_use]
pub fn host_ip(host: &[u8]) -> Option<IpAddr> {
    if let [b'[', inner @ .., b']'] = host {
        return parse_ipv6(inner).map(IpAddr::V6);
    }
    if let Some(address) = parse_ipv4(host) {
        return Some(IpAddr::V4(address));
    }
    swar::find(host, b':').and_then(|_| parse_ipv6(host)).map(IpAddr::V6)
}

/// Four numbers without leading zeros, as the standard library reads them; but it takes text and some five times as long.
fn parse_ipv4(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut address, mut number, mut digits, mut dots) = (0u32, 0u32, 0u32, 0u32);
    for &byte in text {
        match byte {
            b'0'..=b'9' if digits == 0 || number > 0 => {
                number = number * 10 + u32::from(byte - b'0');
                digits += 1;
                if number > 255 {
                    return None;
                }
            }
            b'.' if digits > 0 && dots < 3 => {
                address = address << 8 | number;
                (number, digits, dots) = (0, 0, dots + 1);
            }
            _ => return None,
        }
    }
    (dots == 3 && digits > 0).then(|| Ipv4Addr::from(address << 8 | number))
}

fn parse_ipv6(inner: &[u8]) -> Option<Ipv6Addr> {
    let text = std::str::from_utf8(inner).ok()?;
    text.parse().ok().or_else(|| {
        // RFC 5118 §4.10: an elision written with three colons.
        let elision = text.find(":::")?;
        let (before, after) = (text.get(..elision)?, text.get(elision + 1..)?);
        format!("{before}{after}").parse().ok()
    })
}

#[cfg(test)]
mod tests;
