//! `nat_uac_test`: signs that a message has crossed a NAT.

use std::net::{IpAddr, Ipv4Addr};

use seawall_script::{Call, FlagDecl, Flow};
use seawall_sip::uri::Scheme;
use seawall_sip::{Contact, Name, Uri, Via, name_addr};

use super::{flags, sdp};
use crate::context::Context;

const PRIVATE_CONTACT: u32 = 1;
const OTHER_ADDRESS_THAN_VIA: u32 = 2;
const PRIVATE_VIA: u32 = 4;
const PRIVATE_SDP: u32 = 8;
const OTHER_PORT_THAN_VIA: u32 = 16;
const OTHER_ADDRESS_THAN_CONTACT: u32 = 32;
const OTHER_PORT_THAN_CONTACT: u32 = 64;
const CARRIER_GRADE: u32 = 128;

/// The tests, in the order of their bits.
pub const FLAGS: &[FlagDecl] = &[
    FlagDecl::new("private-contact", "1", "A Contact has a private address (RFC 1918, RFC 6598)."),
    FlagDecl::new(
        "diff-ip-src-via",
        "2",
        "The topmost Via names another address than the message came from, or a host name.",
    ),
    FlagDecl::new("private-via", "4", "The topmost Via has a private address."),
    FlagDecl::new("private-sdp", "8", "A `c=` line of the session description has a private address."),
    FlagDecl::new(
        "diff-port-src-via",
        "16",
        "The topmost Via names another port than the message came from.",
    ),
    FlagDecl::new(
        "diff-ip-src-contact",
        "32",
        "A Contact names another address than the message came from, or a host name.",
    ),
    FlagDecl::new("diff-port-src-contact", "64", "A Contact names another port than the message came from."),
    FlagDecl::new(
        "carrier-grade-nat",
        "128",
        "No test by itself: the addresses of RFC 6333 (192.0.0.0/29) count as private in the other tests too.",
    ),
];

/// `nat_uac_test(flags)`.
pub fn nat_uac_test(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(tests) = flags::of_argument(call, 0, FLAGS) else { return Flow::FALSE };
    let has = |test: u32| tests & test != 0;
    let is_private = |address: IpAddr| is_private(address, has(CARRIER_GRADE));
    Flow::bool(
        (has(OTHER_ADDRESS_THAN_VIA | PRIVATE_VIA | OTHER_PORT_THAN_VIA) && via(context, has, is_private))
            || (has(PRIVATE_CONTACT | OTHER_ADDRESS_THAN_CONTACT | OTHER_PORT_THAN_CONTACT)
                && contact(context, has, is_private))
            || (has(PRIVATE_SDP) && description(context, is_private)),
    )
}

fn via(context: &Context, has: impl Fn(u32) -> bool, is_private: impl Fn(IpAddr) -> bool) -> bool {
    let Ok(via) = Via::top(context.message()) else { return false };
    let address = via.host_ip().map(|address| address.to_canonical());
    let source = context.origin.peer;
    (has(PRIVATE_VIA) && address.is_some_and(is_private))
        || (has(OTHER_ADDRESS_THAN_VIA) && address != Some(source.ip().to_canonical()))
        || (has(OTHER_PORT_THAN_VIA) && via.port.unwrap_or(5060) != source.port())
}

fn contact(context: &Context, has: impl Fn(u32) -> bool, is_private: impl Fn(IpAddr) -> bool) -> bool {
    let source = context.origin.peer;
    name_addr::contacts(context.message()).any(|contact| {
        let Ok(Contact::Address(contact)) = contact else { return false };
        let Some(uri) = contact.parse_uri().ok().filter(Uri::is_sip) else { return false };
        let address = uri.host_ip().map(|address| address.to_canonical());
        let port = uri.port.unwrap_or(if uri.scheme == Scheme::Sips { 5061 } else { 5060 });
        (has(PRIVATE_CONTACT) && address.is_some_and(&is_private))
            || (has(OTHER_ADDRESS_THAN_CONTACT) && address != Some(source.ip().to_canonical()))
            || (has(OTHER_PORT_THAN_CONTACT) && port != source.port())
    })
}

fn description(context: &Context, is_private: impl Fn(IpAddr) -> bool) -> bool {
    let message = context.message();
    let kind = message.value(Name::ContentType).unwrap_or_default();
    let found = sdp::locate(kind, message.body()).and_then(|range| message.body().get(range));
    found.is_some_and(|text| sdp::media_addresses(text).any(is_private))
}

/// Whether an address cannot be reached from the Internet: RFC 1918 and RFC 6598, and with `carrier_grade` the
/// addresses between a carrier's customer and its NAT too (RFC 6333 section 5.7).
fn is_private(address: IpAddr, carrier_grade: bool) -> bool {
    let IpAddr::V4(v4) = address.to_canonical() else { return false };
    let within = |net: Ipv4Addr, bits: u32| (v4.to_bits() ^ net.to_bits()) >> (32 - bits) == 0;
    v4.is_private()
        || within(Ipv4Addr::new(100, 64, 0, 0), 10)
        || (carrier_grade && within(Ipv4Addr::new(192, 0, 0, 0), 29))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_those_of_the_documents() {
        let check = |address: &str, carrier_grade: bool, expected: bool| {
            assert_eq!(is_private(address.parse().unwrap(), carrier_grade), expected, "{address}");
        };
        for address in
            ["10.255.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255"]
        {
            check(address, false, true);
        }
        check("::ffff:10.0.0.1", false, true);
        for address in
            ["9.255.255.255", "172.32.0.1", "192.167.0.1", "100.63.0.1", "100.128.0.0", "192.0.0.8", "::1"]
        {
            check(address, true, false);
        }
        check("192.0.0.7", false, false);
        check("192.0.0.7", true, true);
    }
}
