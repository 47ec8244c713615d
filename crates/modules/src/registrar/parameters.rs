//! The parameters of `registrar`, and how they become a policy.

use std::sync::Arc;

use seawall_location::Order;
use seawall_registrar::{Familiar, Gruu, MatchingMode, MinExpiresMode, Policy};
use seawall_script::{
    Diagnostics, FlagSpace, ModuleParameters, Parameter, ParameterKind, Program, Setup, Value,
};

use seawall_sip::name_addr::{NameAddr, NameAddrs};

use crate::configuration::{Overload, RegistrarSettings};
use crate::context::Context;

/// Every parameter of the document, in its order, then ours.
pub const ALL: &[Parameter] = &[
    Parameter::new(
        "default_expires",
        ParameterKind::Int,
        "3600",
        "The life of a contact whose request names none.",
    )
    .unit("s")
    .section("1.3.1")
    .check(not_negative),
    Parameter::new(
        "min_expires",
        ParameterKind::Int,
        "60",
        "The shortest life; a shorter one is raised to it. 0 for no limit.",
    )
    .unit("s")
    .section("1.3.2")
    .check(not_negative),
    Parameter::new(
        "max_expires",
        ParameterKind::Int,
        "0",
        "The longest life; a longer one is lowered to it. 0 for no limit.",
    )
    .unit("s")
    .section("1.3.3")
    .check(not_negative),
    Parameter::new(
        "default_q",
        ParameterKind::Int,
        "0",
        "The q value of a contact that has none, in thousandths.",
    )
    .section("1.3.4")
    .check(check_q),
    Parameter::new(
        "tcp_persistent_flag",
        ParameterKind::Flag(FlagSpace::Message),
        "",
        "The message flag with which save() keeps the TCP connection as long as the contact.",
    )
    .section("1.3.5"),
    Parameter::new("realm_prefix", ParameterKind::Str, "", "A prefix of the host that does not count.")
        .section("1.3.6"),
    Parameter::new("case_sensitive", ParameterKind::Bool, "1", "Whether user names differ by case.")
        .section("1.3.7"),
    Parameter::new(
        "received_avp",
        ParameterKind::Variable,
        "",
        "The variable with the URI that a request came from.",
    )
    .section("1.3.8"),
    Parameter::new(
        "received_param",
        ParameterKind::Str,
        "received",
        "The Contact parameter of the 200 OK with that URI.",
    )
    .section("1.3.9"),
    Parameter::new(
        "expires_max_deviation",
        ParameterKind::Int,
        "0",
        "By how much a life may differ at random, either way.",
    )
    .unit("s")
    .section("1.3.10")
    .check(not_negative),
    Parameter::new(
        "max_contacts",
        ParameterKind::Int,
        "0",
        "How many contacts an address of record may have. 0 for no limit.",
    )
    .section("1.3.11")
    .check(not_negative),
    Parameter::new("max_username_len", ParameterKind::Int, "64", "The longest user part.")
        .unit("bytes")
        .section("1.3.12")
        .check(not_negative),
    Parameter::new("max_domain_len", ParameterKind::Int, "64", "The longest host.")
        .unit("bytes")
        .section("1.3.13")
        .check(not_negative),
    Parameter::new("max_aor_len", ParameterKind::Int, "256", "The longest address of record.")
        .unit("bytes")
        .section("1.3.14")
        .check(not_negative),
    Parameter::new(
        "max_contact_len",
        ParameterKind::Int,
        "512",
        "The longest contact URI. The document says 255, which locks out phones with push parameters.",
    )
    .unit("bytes")
    .section("1.3.15")
    .check(not_negative),
    Parameter::new("retry_after", ParameterKind::Int, "0", "The Retry-After of 5xx replies. 0 for none.")
        .unit("s")
        .section("1.3.16")
        .check(not_negative),
    Parameter::new(
        "sock_hdr_name",
        ParameterKind::Str,
        "",
        "The header that names the socket, for save() with socket-header.",
    )
    .section("1.3.17"),
    Parameter::new(
        "mcontact_avp",
        ParameterKind::Variable,
        "",
        "The $avp with the contact that was sent to the main registrar: save() in an onreply_route takes the \
         life that was granted from there. If it is not set, the request is looked at as it was sent.",
    )
    .section("1.3.18")
    .check(is_avp),
    Parameter::new(
        "attr_avp",
        ParameterKind::Variable,
        "",
        "The variable with further information to keep with a contact.",
    )
    .section("1.3.19"),
    Parameter::new(
        "gruu_secret",
        ParameterKind::Str,
        "OpenSIPS",
        "The secret that temporary GRUUs are encrypted with. Whoever knows it can make them.",
    )
    .section("1.3.20")
    .check(not_empty),
    Parameter::new("disable_gruu", ParameterKind::Int, "1", "Whether GRUU is off.")
        .section("1.3.21")
        .check(zero_or_one),
    Parameter::new(
        "pn_enable",
        ParameterKind::Bool,
        "0",
        "Whether contacts may be woken by pushes (RFC 8599). Needs event_routing.",
    )
    .section("1.3.22"),
    Parameter::new(
        "pn_providers",
        ParameterKind::Str,
        "",
        "The push providers that are supported, comma separated: apns, fcm, webpush, or others.",
    )
    .section("1.3.23")
    .check(super::push::is_list),
    Parameter::new(
        "pn_ct_match_params",
        ParameterKind::Str,
        "pn-provider, pn-prid, pn-param",
        "The URI parameters that a contact which has them all is matched by, and by nothing else. They are taken out of \
         the Request-URI before a request is sent to it. A contact of webpush needs no pn-param, which RFC 8599 does \
         not give it.",
    )
    .section("1.3.24")
    .check(super::push::is_match_list),
    Parameter::new(
        "pn_pnsreg_interval",
        ParameterKind::Int,
        "130",
        "How long before the end of its registration a phone that wakes by itself is told to refresh it.",
    )
    .unit("s")
    .section("1.3.25")
    .check(not_negative),
    Parameter::new(
        "pn_trigger_interval",
        ParameterKind::Int,
        "120",
        "How long before the end of its registration a phone that has not refreshed it is woken; see contact_refresh_timer \
         of usrloc.",
    )
    .unit("s")
    .section("1.3.26")
    .check(not_negative),
    Parameter::new(
        "pn_skip_pn_interval",
        ParameterKind::Int,
        "0",
        "How long after a registration a phone counts as awake: requests are sent to it at once.",
    )
    .unit("s")
    .section("1.3.27")
    .check(not_negative),
    Parameter::new(
        "pn_refresh_timeout",
        ParameterKind::Int,
        "6",
        "How long a request waits for a phone to wake and register, 1 to 180.",
    )
    .unit("s")
    .section("1.3.28")
    .check(super::push::is_wait),
    Parameter::new(
        "pn_enable_purr",
        ParameterKind::Bool,
        "0",
        "Whether phones are told a PURR, by which pn_process_purr() finds them inside a dialog.",
    )
    .section("1.3.29"),
    Parameter::new(
        "min_expires_mode",
        ParameterKind::Int,
        "0",
        "What becomes of a life below min_expires: 0 raised, 1 refused with 423. Not in OpenSIPS.",
    )
    .check(zero_or_one),
    Parameter::new(
        "max_reply_percent",
        ParameterKind::Int,
        "150",
        "How long a 200 over UDP to a REGISTER without credentials may be, in percent of the request; a longer one lists \
         the contacts of the request only. 0 for no limit. Not in OpenSIPS.",
    )
    .unit("%")
    .check(zero_or_from_100),
    Parameter::new(
        "overload",
        ParameterKind::Str,
        "reply",
        "What becomes of new contacts while more requests wait in the kernel than the server will soon get through: \"reply\" \
         refuses them with 503 and Retry-After (`retry_after`, or 10 to 29 s), \"drop\" leaves them unanswered, \"off\" serves \
         them. Known contacts are served in any case. Not in OpenSIPS.",
    )
    .check(overload_word),
    Parameter::new(
        "overload_early",
        ParameterKind::Bool,
        "0",
        "Whether `overload` applies to a REGISTER before the script sees it, where nobody is registered at the address of \
         record in To; over UDP one of eight is answered then, over TCP every one. For scripts that save every REGISTER under \
         that address. Not in OpenSIPS.",
    ),
    Parameter::new(
        "trust_contact_received",
        ParameterKind::Bool,
        "0",
        "Whether a client may name its own received URI. Not in OpenSIPS.",
    ),
    Parameter::new(
        "gruu_legacy",
        ParameterKind::Bool,
        "0",
        "Whether temporary GRUUs that OpenSIPS gave out are understood. They can be forged. Not in OpenSIPS.",
    ),
    Parameter::new(
        "outbound_mode",
        ParameterKind::Int,
        "1",
        "How contacts with reg-id are served: 1 as RFC 5626 says, 0 as OpenSIPS does, which knows no flows. Not in OpenSIPS.",
    )
    .check(zero_or_one),
    Parameter::new(
        "service_route",
        ParameterKind::Str,
        "",
        "The Service-Route of every 200 (RFC 3608): the proxies, each as <sip:HOST;lr>, that a phone is to send its \
         requests through. Not in OpenSIPS.",
    )
    .check(route_set),
];

fn not_negative(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(number) if (0..=i64::from(u32::MAX)).contains(&number) => Ok(()),
        _ => Err("it must not be negative".to_owned()),
    }
}

fn check_q(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(0..=1000) => Ok(()),
        _ => Err("q in thousandths is from 0 to 1000".to_owned()),
    }
}

fn is_avp(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if text.starts_with(b"$avp(") && text.ends_with(b")") => Ok(()),
        _ => Err("it is a variable of the form $avp(name)".to_owned()),
    }
}

fn zero_or_from_100(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(0 | 100..=100_000) => Ok(()),
        _ => Err("it is 0 or from 100 to 100000".to_owned()),
    }
}

fn zero_or_one(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(0 | 1) => Ok(()),
        _ => Err("it is 0 or 1".to_owned()),
    }
}

fn not_empty(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if text.is_empty() => Err("it must not be empty".to_owned()),
        _ => Ok(()),
    }
}

/// Whether a text is a list of loose routes, as it stands in Service-Route (RFC 3608 §5).
fn route_set(value: &Value) -> Result<(), String> {
    let Value::Str(text) = value else { return Ok(()) };
    let is_loose = |address: Result<NameAddr<'_>, _>| {
        address
            .ok()
            .filter(|address| address.bracketed)
            .and_then(|address| address.parse_uri().ok())
            .is_some_and(|uri| uri.is_sip() && uri.params.has(b"lr") && uri.headers.is_none())
    };
    let is_sound =
        text.is_empty() || (!text.iter().any(u8::is_ascii_control) && NameAddrs::new(text).all(is_loose));
    if is_sound { Ok(()) } else { Err("routes are written <sip:HOST;lr>, comma separated".to_owned()) }
}

/// A secret below this many bytes can be found by trying.
const LEAST_SECRET_LEN: usize = 16;

/// Said of a script that has GRUU on and leaves the secret as everybody knows it.
pub(super) fn advise(setup: &Setup<'_>, diagnostics: &mut Diagnostics) {
    super::push::advise(setup, "registrar", diagnostics);
    let parameters = setup.parameters;
    let switch = parameters.all("registrar", "disable_gruu").last();
    let is_on = !parameters.bool("registrar", "disable_gruu");
    let Some(switch) = switch.filter(|_| is_on) else { return };
    let secret = parameters.str("registrar", "gruu_secret").unwrap_or_default();
    if secret == b"OpenSIPS" {
        diagnostics
            .warning(switch.span, "GRUU is on with the secret that everybody knows")
            .help("anybody can forge temporary GRUUs: set `gruu_secret` of registrar");
    } else if secret.len() < LEAST_SECRET_LEN {
        diagnostics
            .warning(switch.span, "GRUU is on with a short secret")
            .help("who has a temporary GRUU can try secrets out: make `gruu_secret` of registrar longer");
    }
}

impl RegistrarSettings {
    /// Reads the parameters of `registrar`, and those of `usrloc` that concern it.
    pub(crate) fn new(program: &Program<Context>) -> Self {
        let parameters = &program.parameters;
        let number = |name: &str| u32::try_from(parameters.int("registrar", name)).unwrap_or(0);
        let size = |name: &str| usize::try_from(parameters.int("registrar", name)).unwrap_or(0);
        let text = |name: &str| parameters.str("registrar", name).unwrap_or_default().to_vec();
        let mask = |flag: Option<u8>| flag.and_then(|bit| 1u32.checked_shl(u32::from(bit))).unwrap_or(0);
        if !program.is_loaded("registrar") {
            return Self {
                policy: Policy::default(),
                familiar: Familiar::new(0),
                received: None,
                service_route: Vec::new(),
                attribute: None,
                attribute_name: Vec::new(),
                sent_contact_name: Vec::new(),
                tcp_persistent_flag: 0,
                overload: Overload::Refuse,
                overload_early: false,
            };
        }
        let policy = Policy {
            default_expires_s: number("default_expires"),
            min_expires_s: number("min_expires"),
            max_expires_s: number("max_expires"),
            min_expires_mode: if number("min_expires_mode") == 1 {
                MinExpiresMode::Refuse
            } else {
                MinExpiresMode::Raise
            },
            default_q: u16::try_from(number("default_q")).unwrap_or(0),
            expires_max_deviation_s: number("expires_max_deviation"),
            max_contacts: number("max_contacts"),
            retry_after_s: number("retry_after"),
            realm_prefix: text("realm_prefix").into(),
            case_sensitive: parameters.bool("registrar", "case_sensitive"),
            use_domain: parameters.bool("usrloc", "use_domain"),
            received_param: text("received_param").into(),
            trust_contact_received: parameters.bool("registrar", "trust_contact_received"),
            matching: match parameters.int("usrloc", "matching_mode") {
                1 => MatchingMode::UriAndCallId,
                _ => MatchingMode::Uri,
            },
            cseq_delay_s: u32::try_from(parameters.int("usrloc", "cseq_delay")).unwrap_or(20),
            order: if parameters.bool("usrloc", "desc_time_order") {
                Order::NewestFirst
            } else {
                Order::Preference
            },
            nat_flag: mask(parameters.flag("usrloc", "nat_bflag")),
            socket_header: text("sock_hdr_name").into(),
            max_username_len: size("max_username_len"),
            max_domain_len: size("max_domain_len"),
            max_aor_len: size("max_aor_len"),
            max_contact_len: size("max_contact_len"),
            outbound: parameters.bool("registrar", "outbound_mode"),
            max_reply_percent: number("max_reply_percent"),
            gruu: gruu(parameters),
            push: super::push::settings(parameters, "registrar"),
        };
        Self {
            policy,
            familiar: Familiar::new(crate::context::seed()),
            received: parameters.variable("registrar", "received_avp"),
            service_route: service_route(&text("service_route")),
            attribute: parameters.variable("registrar", "attr_avp"),
            attribute_name: parameters.all("registrar", "attr_avp").last().map(avp_name).unwrap_or_default(),
            sent_contact_name: parameters
                .all("registrar", "mcontact_avp")
                .last()
                .map(avp_name)
                .unwrap_or_default(),
            tcp_persistent_flag: mask(parameters.flag("registrar", "tcp_persistent_flag")),
            overload: overload(&text("overload")).unwrap_or(Overload::Refuse),
            overload_early: parameters.bool("registrar", "overload_early"),
        }
    }
}

/// What `overload` says, that of `mid_registrar` too; nothing when it is no word that is known.
pub(crate) fn overload(text: &[u8]) -> Option<Overload> {
    match text {
        b"off" => Some(Overload::Serve),
        b"reply" => Some(Overload::Refuse),
        b"drop" => Some(Overload::Drop),
        _ => None,
    }
}

pub(crate) fn overload_word(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if overload(text).is_some() => Ok(()),
        _ => Err("it is \"reply\", \"drop\" or \"off\"".to_owned()),
    }
}

/// The keys of GRUUs, unless they are off.
fn gruu(parameters: &ModuleParameters) -> Option<Arc<Gruu>> {
    let secret = parameters.str("registrar", "gruu_secret").unwrap_or_default();
    let legacy = parameters.bool("registrar", "gruu_legacy");
    (!parameters.bool("registrar", "disable_gruu")).then(|| Arc::new(Gruu::new(secret, legacy)))
}

/// The header line, nothing without routes.
fn service_route(routes: &[u8]) -> Vec<u8> {
    if routes.is_empty() { Vec::new() } else { [b"Service-Route: ", routes, b"\r\n"].concat() }
}

/// The name inside `$avp(name)`: branch attributes have the same.
fn avp_name(value: &seawall_script::ParameterValue) -> Vec<u8> {
    let Value::Str(text) = &value.value else { return Vec::new() };
    let inner = text.strip_prefix(b"$avp(").and_then(|rest| rest.strip_suffix(b")"));
    inner.unwrap_or(text).to_vec()
}
