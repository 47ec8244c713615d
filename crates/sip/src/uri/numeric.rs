//! URIs that are an IPv4 address as phones write it: where a request goes that is relayed to one.

use std::net::Ipv4Addr;

use crate::{ascii::Class, swar};

/// The address, and the port if one is written, of `sip:user@192.0.2.1:5060`: without parameters, headers and escapes, with a
/// user or without. It takes a third of what [`Uri::parse`](super::Uri::parse) and [`host_ip`](super::host_ip) do, which come to
/// the same. `None` is no verdict.
#[must_use]
pub fn numeric(raw: &[u8]) -> Option<(Ipv4Addr, Option<u16>)> {
    let whole = raw.strip_prefix(b"sip:")?;
    let host = match swar::find(whole, b'@') {
        Some(0) => return None,
        Some(at) if Class::USER.has_all(whole.get(..at)?) => whole.get(at + 1..)?,
        Some(_) => return None,
        None => whole,
    };
    let (a, rest) = octet(host)?;
    let (b, rest) = octet(behind_dot(rest)?)?;
    let (c, rest) = octet(behind_dot(rest)?)?;
    let (d, rest) = octet(behind_dot(rest)?)?;
    Some((Ipv4Addr::new(a, b, c, d), port(rest)?))
}

#[inline]
fn behind_dot(text: &[u8]) -> Option<&[u8]> {
    let [b'.', rest @ ..] = text else { return None };
    Some(rest)
}

/// A number up to 255 without leading zeros, and what stands behind it.
#[inline]
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let (first, rest) = with_digit(text)?;
    let Some((second, behind)) = with_digit(rest) else { return Some((first, rest)) };
    if first == 0 {
        return None;
    }
    let two = first * 10 + second;
    match with_digit(behind) {
        None => Some((two, behind)),
        Some((third, behind)) => Some((two.checked_mul(10)?.checked_add(third)?, behind)),
    }
}

/// The digit at the start, if there is one.
#[inline]
fn with_digit(text: &[u8]) -> Option<(u8, &[u8])> {
    let (first, rest) = text.split_first()?;
    let digit = first.wrapping_sub(b'0');
    (digit < 10).then_some((digit, rest))
}

/// What stands behind the host: nothing, or a port of up to five digits.
#[inline]
fn port(rest: &[u8]) -> Option<Option<u16>> {
    let [b':', digits @ ..] = rest else { return rest.is_empty().then_some(None) };
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    let mut port = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    u16::try_from(port).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::uri::Uri;

    #[test]
    fn what_phones_write_takes_the_short_way() {
        let check = |text: &str, expected: Option<([u8; 4], Option<u16>)>| {
            let expected = expected.map(|(address, port)| (Ipv4Addr::from(address), port));
            assert_eq!(numeric(text.as_bytes()), expected, "{text}");
        };
        check("sip:u@192.0.2.1", Some(([192, 0, 2, 1], None)));
        check("sip:u-1.x@192.0.2.1:5070", Some(([192, 0, 2, 1], Some(5070))));
        check("sip:10.0.0.255:65535", Some(([10, 0, 0, 255], Some(65535))));
        for other in [
            "sips:u@192.0.2.1",
            "sip:u:p@192.0.2.1",
            "sip:u%20@192.0.2.1",
            "sip:u @192.0.2.1",
            "sip:@192.0.2.1",
            "sip:u@192.0.2.1;lr",
            "sip:u@192.0.2.1?a=b",
            "sip:u@192.0.2",
            "sip:u@192.0.2.",
            "sip:u@192.0.2.256",
            "sip:u@192.0.2.01",
            "sip:u@192.0.2.1.",
            "sip:u@192.0.2.1.5",
            "sip:u@192.0.2.1:",
            "sip:u@192.0.2.1:65536",
            "sip:u@192.0.2.1:5a",
            "sip:u@192.0.2.1:123456",
            "sip:u@host",
            "",
        ] {
            check(other, None);
        }
    }

    proptest! {
        #[test]
        fn it_reads_as_the_long_way_does(
            text in "[sS]ip:([a-c:%;?= ]{0,3}@)?[0-9]{1,3}(\\.[0-9]{0,3}){2,4}(:[0-9]{0,6})?[;?=@ ]?"
        ) {
            if let Some((address, port)) = numeric(text.as_bytes()) {
                let uri = Uri::parse(text.as_bytes());
                let long = uri.map(|uri| (uri.is_sip(), uri.host_ip(), uri.port, uri.params.is_empty()));
                prop_assert_eq!(long, Ok((true, Some(IpAddr::V4(address)), port, true)));
            }
        }
    }
}
