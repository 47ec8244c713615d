//! `ip.*`: IP addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::text;
use crate::value::{Digits, Value};

/// An address as text, with or without the brackets of IPv6.
fn parse(input: &[u8]) -> Option<IpAddr> {
    let input = match input {
        [b'[', inner @ .., b']'] => inner,
        _ => input,
    };
    std::str::from_utf8(input).ok()?.parse().ok()
}

fn binary(input: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(input) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    <[u8; 16]>::try_from(input).ok().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
}

pub(super) fn pton(input: &[u8], _: &[Value]) -> Value {
    match parse(input) {
        Some(IpAddr::V4(address)) => Value::str(address.octets()),
        Some(IpAddr::V6(address)) => Value::str(address.octets()),
        None => Value::Null,
    }
}

pub(super) fn ntop(input: &[u8], _: &[Value]) -> Value {
    binary(input).map_or(Value::Null, |address| Value::from(address.to_string().as_str()))
}

pub(super) fn is_ip(input: &[u8], _: &[Value]) -> Value {
    Value::Int(i64::from(parse(input).is_some()))
}

pub(super) fn family(input: &[u8], _: &[Value]) -> Value {
    match binary(input).or_else(|| parse(input)) {
        Some(IpAddr::V4(_)) => Value::from("INET"),
        Some(IpAddr::V6(_)) => Value::from("INET6"),
        None => Value::Null,
    }
}

/// The address as a number, and how many bits its family has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

fn in_network(address: IpAddr, network: &[u8]) -> Option<bool> {
    let slash = network.iter().position(|byte| *byte == b'/');
    let (base, mask) = match slash {
        Some(at) => (network.get(..at)?, network.get(at + 1..)),
        None => (network, None),
    };
    let ((base, size), (address, address_size)) = (bits(parse(base)?), bits(address));
    if size != address_size {
        return Some(false);
    }
    let len = match mask {
        None => size,
        Some(mask) => match parse(mask) {
            // A netmask such as 255.255.255.0.
            Some(mask) => bits(mask).0.count_ones(),
            None => std::str::from_utf8(mask).ok()?.parse().ok()?,
        },
    };
    let host_bits = size.checked_sub(len)?;
    let shifted = |number: u128| number.checked_shr(host_bits).unwrap_or(0);
    Some(shifted(base) == shifted(address))
}

pub(super) fn matches(input: &[u8], arguments: &[Value]) -> Value {
    let mut digits = Digits::default();
    let network = text(arguments, 0, &mut digits).trim_ascii();
    match parse(input) {
        Some(address) => Value::Int(i64::from(in_network(address, network).unwrap_or(false))),
        None => Value::Null,
    }
}

pub(super) fn is_private(input: &[u8], _: &[Value]) -> Value {
    let private = match parse(input) {
        // RFC 1918, RFC 6598, loopback and link-local.
        Some(IpAddr::V4(address)) => {
            let shared = matches!(address.octets(), [100, second, ..] if second & 0xc0 == 64);
            address.is_private() || address.is_loopback() || address.is_link_local() || shared
        }
        // RFC 4193, loopback and link-local.
        Some(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        None => return Value::Null,
    };
    Value::Int(i64::from(private))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::value::Value;

    #[test]
    fn addresses_are_recognised() {
        check("1.2.3.4", "ip.isip", 1);
        check("[::1]", "ip.isip", 1);
        check("host", "ip.isip", 0);
        check("1.2.3.4", "ip.pton", "\x01\x02\x03\x04");
        check("\x01\x02\x03\x04", "ip.ntop", "1.2.3.4");
        check("::1", "ip.family", "INET6");
        check("\x01\x02\x03\x04", "ip.family", "INET");
        check("x", "ip.family", Value::Null);
    }

    #[test]
    fn networks_match() {
        check("192.168.1.77", "ip.matches,192.168.1.1/24", 1);
        check("192.168.2.77", "ip.matches,192.168.1.1/24", 0);
        check("192.168.1.77", "ip.matches,192.168.1.0/255.255.255.0", 1);
        check("10.0.0.1", "ip.matches,0.0.0.0/0", 1);
        check("10.0.0.1", "ip.matches,10.0.0.1", 1);
        check("10.0.0.1", "ip.matches,::/0", 0);
        check("10.0.0.1", "ip.matches,10.0.0.0/99", 0);
        check("10.0.0.1", "ip.isprivate", 1);
        check("100.64.1.1", "ip.isprivate", 1);
        check("8.8.8.8", "ip.isprivate", 0);
        check("fd00::1", "ip.isprivate", 1);
    }
}
