//! The parameters of `nathelper`, and what is made of them.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use seawall_script::{FlagSpace, Parameter, ParameterKind, Program, Value};
use seawall_sip::Uri;

use super::NatSettings;
use super::ping::PingSettings;
use crate::context::Context;

/// Said of the parameters that need nodes which know of each other.
const NO_CLUSTER: &str = "clustering is not provided yet: every node pings its own contacts";

/// Said of the parameters that divide the work among processes or moments.
const SPREAD: &str = "every worker pings its part of the contacts, evenly over the interval";

/// Every parameter of the document, in its order.
pub const ALL: &[Parameter] = &[
    Parameter::new(
        "natping_interval",
        ParameterKind::Int,
        "0",
        "How often each contact is pinged; 0 for never. The contacts of one interval are spread evenly over it.",
    )
    .unit("s")
    .section("1.4.1")
    .needs_module("usrloc")
    .check(check_interval),
    Parameter::new(
        "ping_nated_only",
        ParameterKind::Bool,
        "0",
        "Whether only contacts with the flag `nat_bflag` of `usrloc` are pinged.",
    )
    .section("1.4.2"),
    Parameter::new("natping_partitions", ParameterKind::Int, "1", "Into how many portions an interval is divided.")
        .section("1.4.3")
        .no_effect(SPREAD),
    Parameter::new("natping_processes", ParameterKind::Int, "1", "How many processes ping.").no_effect(SPREAD),
    Parameter::new(
        "natping_socket",
        ParameterKind::Str,
        "",
        "The UDP socket that keep-alive packets leave from, \"192.0.2.1:5060\", instead of that of the registration. It has \
         to be one of this server: source addresses of others are not forged.",
    )
    .section("1.4.4")
    .check(check_source),
    Parameter::new(
        "received_avp",
        ParameterKind::Variable,
        "",
        "The variable that fix_nated_register() fills; the parameter of the same name of `registrar` has to name it too.",
    )
    .section("1.4.5"),
    Parameter::new(
        "force_socket",
        ParameterKind::Str,
        "",
        "The socket that pings leave from, \"host:port\", where that of the registration is not known.",
    )
    .section("1.4.6")
    .check(check_socket),
    Parameter::new(
        "sipping_bflag",
        ParameterKind::Flag(FlagSpace::Branch),
        "",
        "The branch flag of contacts that are pinged with a SIP request, instead of a keep-alive packet.",
    )
    .section("1.4.7"),
    Parameter::new(
        "remove_on_timeout_bflag",
        ParameterKind::Flag(FlagSpace::Branch),
        "",
        "The branch flag of contacts that are removed when they do not answer `max_pings_lost` SIP pings in a row.",
    )
    .section("1.4.8"),
    Parameter::new(
        "sipping_latency_flag",
        ParameterKind::Flag(FlagSpace::Branch),
        "",
        "The branch flag of contacts whose latency is measured by SIP pings, shown by MI, used by lookup() and told by \
         E_UL_LATENCY_UPDATE.",
    )
    .section("1.4.9"),
    Parameter::new(
        "sipping_ignore_rpl_codes",
        ParameterKind::Str,
        "",
        "Codes of replies, comma separated, that do not count as an answer to a ping.",
    )
    .section("1.4.10")
    .check(|value| codes(value).map(|_| ())),
    Parameter::new(
        "sipping_from",
        ParameterKind::Str,
        "",
        "The URI in From of SIP pings. Without it there are none, and keep-alive packets take their place.",
    )
    .section("1.4.11")
    .check(check_from),
    Parameter::new("sipping_method", ParameterKind::Str, "OPTIONS", "The method of SIP pings.")
        .section("1.4.12")
        .check(check_method),
    Parameter::new(
        "nortpproxy_str",
        ParameterKind::Str,
        "a=nortpproxy:yes",
        "The line that marks a session description as changed; empty for none. A line break at its end may be left out.",
    )
    .section("1.4.13")
    .check(check_marker),
    Parameter::new(
        "natping_tcp",
        ParameterKind::Bool,
        "0",
        "Whether contacts over TCP are pinged too: with SIP requests, over the connection that is open.",
    )
    .section("1.4.14"),
    Parameter::new(
        "oldip_skip",
        ParameterKind::Str,
        "",
        "Which old addresses fix_nated_sdp() does not keep: `o` that of the origin (`a=oldoip`), `c` that of media (`a=oldcip`).",
    )
    .section("1.4.15")
    .check(check_skip),
    Parameter::new("ping_threshold", ParameterKind::Int, "3", "How late the answer to a SIP ping may be.")
        .unit("s")
        .section("1.4.16")
        .check(one_to_hundred),
    Parameter::new(
        "max_pings_lost",
        ParameterKind::Int,
        "3",
        "After how many SIP pings in a row without an answer a contact is removed.",
    )
    .section("1.4.17")
    .check(one_to_hundred),
    Parameter::new("cluster_id", ParameterKind::Int, "0", "The cluster that this node is part of.")
        .section("1.4.18")
        .no_effect(NO_CLUSTER),
    Parameter::new("cluster_sharing_tag", ParameterKind::Str, "", "The sharing tag of the node that pings.")
        .section("1.4.19")
        .no_effect(NO_CLUSTER),
];

fn check_interval(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(0..=86_400) => Ok(()),
        _ => Err("it is a number of seconds up to a day".to_owned()),
    }
}

fn one_to_hundred(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(1..=100) => Ok(()),
        _ => Err("it is from 1 to 100".to_owned()),
    }
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(&value.clone().into_bytes().unwrap_or_default()).into_owned()
}

/// The address of a socket: `host:port`, with `udp:` or `tcp:` in front or not. A host name is looked up, which a load
/// may wait for.
fn socket(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix("udp:").or_else(|| text.strip_prefix("tcp:")).unwrap_or(text);
    bare.to_socket_addrs().ok()?.next()
}

fn check_source(value: &Value) -> Result<(), String> {
    let is_source = text(value).parse::<SocketAddr>().is_ok_and(|address| address.is_ipv4());
    if is_source { Ok(()) } else { Err("it is an IPv4 address with a port, \"192.0.2.1:5060\"".to_owned()) }
}

fn check_socket(value: &Value) -> Result<(), String> {
    match socket(&text(value)) {
        Some(_) => Ok(()),
        None => Err("it is a host with a port, \"192.0.2.1:5060\"".to_owned()),
    }
}

fn codes(value: &Value) -> Result<Vec<u16>, String> {
    let text = text(value);
    let codes = text.split(',').map(str::trim).filter(|code| !code.is_empty()).map(|code| {
        let number = code.parse().ok().filter(|number| (100..700).contains(number));
        number.ok_or_else(|| format!("\"{code}\" is no code of a reply"))
    });
    codes.collect()
}

fn check_from(value: &Value) -> Result<(), String> {
    let uri = value.clone().into_bytes().unwrap_or_default();
    let is_plain = Uri::parse(&uri).is_ok_and(|uri| uri.is_sip() && uri.headers.is_none());
    if is_plain { Ok(()) } else { Err("it is a SIP URI, \"sip:pinger@example.com\"".to_owned()) }
}

fn check_method(value: &Value) -> Result<(), String> {
    let method = value.clone().into_bytes().unwrap_or_default();
    if !seawall_sip::ascii::is_token(&method) {
        return Err("it is no method".to_owned());
    }
    match &*method {
        b"INVITE" | b"ACK" | b"CANCEL" => Err(format!("{} is no request that stands alone", text(value))),
        _ => Ok(()),
    }
}

fn check_marker(value: &Value) -> Result<(), String> {
    let text = value.clone().into_bytes().unwrap_or_default();
    let line = text.strip_suffix(b"\r\n").unwrap_or(&text);
    let fields = [b"\r\n", line].concat();
    if line.is_empty() || super::sdp::is_fields(&fields) {
        Ok(())
    } else {
        Err("it is a line of a session description, \"a=nortpproxy:yes\\r\\n\"".to_owned())
    }
}

fn check_skip(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if text.iter().all(|letter| matches!(letter, b'o' | b'c')) => Ok(()),
        _ => Err("it is made of the letters o and c".to_owned()),
    }
}

impl NatSettings {
    /// Reads the parameters of `nathelper`.
    pub(crate) fn new(program: &Program<Context>) -> Self {
        if !program.is_loaded("nathelper") {
            return Self::default();
        }
        let parameters = &program.parameters;
        let text = |name: &str| parameters.str("nathelper", name).unwrap_or_default();
        Self {
            received: parameters.variable("nathelper", "received_avp"),
            keep_media: !text("oldip_skip").contains(&b'c'),
            keep_origin: !text("oldip_skip").contains(&b'o'),
            marker: text("nortpproxy_str").trim_ascii_end().to_vec(),
            ping: PingSettings::new(program).map(Box::new),
        }
    }
}

impl PingSettings {
    /// Reads the parameters that pinging goes by; none when it is off.
    fn new(program: &Program<Context>) -> Option<Self> {
        let parameters = &program.parameters;
        let number = |module: &str, name: &str| u32::try_from(parameters.int(module, name)).unwrap_or(0);
        let own = |name: &str| number("nathelper", name);
        let bytes = |name: &str| parameters.str("nathelper", name).unwrap_or_default().to_vec();
        let address = |name: &str| socket(&text(parameters.value("nathelper", name)));
        let mask = |module: &str, name: &str| {
            parameters.flag(module, name).and_then(|bit| 1u32.checked_shl(u32::from(bit))).unwrap_or(0)
        };
        let interval_s = own("natping_interval");
        (interval_s > 0).then(|| Self {
            interval_ms: u64::from(interval_s) * 1000,
            only: parameters.bool("nathelper", "ping_nated_only").then(|| mask("usrloc", "nat_bflag")),
            tcp: parameters.bool("nathelper", "natping_tcp"),
            source: address("natping_socket"),
            force: address("force_socket"),
            sip_flag: mask("nathelper", "sipping_bflag"),
            remove_flag: mask("nathelper", "remove_on_timeout_bflag"),
            latency_flag: mask("nathelper", "sipping_latency_flag"),
            ignored: codes(parameters.value("nathelper", "sipping_ignore_rpl_codes")).unwrap_or_default(),
            from: bytes("sipping_from"),
            method: bytes("sipping_method"),
            threshold: Duration::from_secs(u64::from(own("ping_threshold"))),
            max_lost: u8::try_from(own("max_pings_lost")).unwrap_or(u8::MAX),
            event_min_us: number("usrloc", "latency_event_min_us"),
            event_min_us_delta: number("usrloc", "latency_event_min_us_delta"),
        })
    }
}
