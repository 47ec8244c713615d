//! When two URIs are the same: RFC 3261 §19.1.4 for SIP and SIPS, RFC 3966 §5 for tel.

use memchr::memchr;

use super::{Scheme, Uri, escape::units, host_ip};
use crate::{
    limits::MAX_COMPARED_PARAMS,
    params::{Param, Params},
};

/// Compares two URIs.
///
/// SIP and SIPS: scheme, user, password, host, port and headers must match, and so must every parameter that both
/// have. A parameter that one of them lacks is ignored, unless it decides where or how a request is delivered:
/// `transport`, `user`, `ttl`, `maddr`, `method` (RFC 3261), `pn-*` (RFC 8599), `ob` (RFC 5626), `gr` (RFC 5627).
/// A port that is given never equals one that is not. User and password are case-sensitive, the rest is not.
///
/// tel: numbers without visual separators, and all parameters. Other schemes: the bytes after the scheme.
#[must_use]
pub fn equal(left: &Uri<'_>, right: &Uri<'_>) -> bool {
    if left.raw == right.raw {
        return true;
    }
    if left.scheme != right.scheme {
        return false;
    }
    match left.scheme {
        Scheme::Sip | Scheme::Sips => {
            left.port == right.port
                && equal_parts(left.user, right.user, equal_exactly)
                && equal_parts(left.password, right.password, equal_exactly)
                && equal_hosts(left.host, right.host)
                && equal_params(left.params, right.params, decides_delivery)
                && equal_parts(left.headers, right.headers, equal_headers)
        }
        Scheme::Tel => {
            equal_numbers(left.user.unwrap_or_default(), right.user.unwrap_or_default())
                && equal_params(left.params, right.params, |_| true)
        }
        Scheme::Other => {
            left.scheme_name.eq_ignore_ascii_case(right.scheme_name) && left.opaque == right.opaque
        }
    }
}

fn equal_parts(left: Option<&[u8]>, right: Option<&[u8]>, equal: fn(&[u8], &[u8]) -> bool) -> bool {
    match (left, right) {
        (None, None) => true,
        (Some(left), Some(right)) => equal(left, right),
        _ => false,
    }
}

fn equal_exactly(left: &[u8], right: &[u8]) -> bool {
    left == right || units(left).eq(units(right))
}

fn equal_without_case(left: &[u8], right: &[u8]) -> bool {
    left.eq_ignore_ascii_case(right)
        || units(left).map(|unit| unit.to_lower()).eq(units(right).map(|unit| unit.to_lower()))
}

/// Hosts are compared as text, and IP addresses as addresses, because IPv6 has many spellings of one.
fn equal_hosts(left: &[u8], right: &[u8]) -> bool {
    left.eq_ignore_ascii_case(right) || host_ip(left).is_some_and(|address| host_ip(right) == Some(address))
}

fn equal_numbers(left: &[u8], right: &[u8]) -> bool {
    let digits = |number| -> Vec<u8> {
        let separator = |byte: &u8| matches!(byte, b'-' | b'.' | b'(' | b')');
        let digits = <[u8]>::iter(number).filter(|byte| !separator(byte));
        digits.map(u8::to_ascii_lowercase).collect()
    };
    digits(left) == digits(right)
}

fn decides_delivery(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 7] = [b"transport", b"user", b"ttl", b"maddr", b"method", b"ob", b"gr"];
    NAMES.iter().any(|known| equal_without_case(known, name))
        || name.get(..3).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"pn-"))
}

/// Whether every parameter that both have matches, and none that must be on both sides is on one only.
fn equal_params(left: Params<'_>, right: Params<'_>, must_be_on_both: fn(&[u8]) -> bool) -> bool {
    if left.as_bytes() == right.as_bytes() {
        return true;
    }
    let count = |params: Params<'_>| params.iter().take(MAX_COMPARED_PARAMS + 1).count();
    if count(left) > MAX_COMPARED_PARAMS || count(right) > MAX_COMPARED_PARAMS {
        return false;
    }
    let covered = |from: Params<'_>, by: Params<'_>| {
        from.iter().all(|param| match find(by, param.name) {
            Some(other) => equal_values(param, other),
            None => !must_be_on_both(param.name),
        })
    };
    covered(left, right) && covered(right, left)
}

fn find<'a>(params: Params<'a>, name: &[u8]) -> Option<Param<'a>> {
    params.iter().find(|param| equal_without_case(param.name, name))
}

fn equal_values(left: Param<'_>, right: Param<'_>) -> bool {
    equal_parts(left.value, right.value, equal_without_case)
}

/// Whether both have the same URI headers, in any order.
fn equal_headers(left: &[u8], right: &[u8]) -> bool {
    if left == right {
        return true;
    }
    if left.split(is_ampersand).count() > MAX_COMPARED_PARAMS
        || right.split(is_ampersand).count() > MAX_COMPARED_PARAMS
    {
        return false;
    }
    let covered = |from: &[u8], by: &[u8]| {
        from.split(is_ampersand).all(|header| {
            by.split(is_ampersand).any(|other| {
                let ((name, value), (other_name, other_value)) = (split_header(header), split_header(other));
                equal_without_case(name, other_name) && equal_without_case(value, other_value)
            })
        })
    };
    covered(left, right) && covered(right, left)
}

fn is_ampersand(byte: &u8) -> bool {
    *byte == b'&'
}

fn split_header(header: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b'=', header) {
        Some(equals) => {
            (header.get(..equals).unwrap_or_default(), header.get(equals + 1..).unwrap_or_default())
        }
        None => (header, b""),
    }
}
