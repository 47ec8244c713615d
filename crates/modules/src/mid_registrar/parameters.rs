//! The parameters of `mid_registrar`, and how they become a policy.

use std::sync::Arc;

use seawall_location::Order;
use seawall_registrar::mid::{self, Insertion, Mode, OnReject, Trust, UpstreamDown};
use seawall_registrar::{Familiar, Gruu, MatchingMode, MinExpiresMode, Policy};
use seawall_script::{Diagnostics, FlagSpace, Parameter, ParameterKind, Program, Setup, Value, VariableId};

use crate::configuration::Overload;
use crate::context::Context;
use crate::registrar::parameters::{overload, overload_word};
use crate::registrar::push;

/// The name of the module.
const MODULE: &str = "mid_registrar";

/// A number of seconds that is not negative.
const fn seconds(
    name: &'static str,
    section: &'static str,
    default: &'static str,
    doc: &'static str,
) -> Parameter {
    Parameter::new(name, ParameterKind::Int, default, doc).unit("s").section(section).check(not_negative)
}

/// A number that is not negative.
const fn number(
    name: &'static str,
    section: &'static str,
    default: &'static str,
    doc: &'static str,
) -> Parameter {
    Parameter::new(name, ParameterKind::Int, default, doc).section(section).check(not_negative)
}

/// Every parameter of the document, in its order, then ours.
pub const ALL: &[Parameter] = &[
    Parameter::new(
        "mode",
        ParameterKind::Int,
        "0",
        "How registrations reach the main registrar: 0 mirrored, 1 throttled by contact, 2 throttled by address of record.",
    )
    .section("1.5.1")
    .check(|value| mode(value).map(drop)),
    Parameter::new(
        "contact_id_insertion",
        ParameterKind::IntOrStr,
        "ct-param",
        "Where the contact id stands in a forwarded Contact: \"ct-param\" (0) or \"ct-username\" (1).",
    )
    .section("1.5.2")
    .check(|value| insertion(value).map(drop)),
    Parameter::new(
        "contact_id_param",
        ParameterKind::Str,
        "ctid",
        "The URI parameter with the contact id.",
    )
    .section("1.5.3")
    .check(is_token),
    Parameter::new(
        "at_escape_str",
        ParameterKind::Str,
        "%40",
        "What stands for the @ of an address of record in the user of a forwarded Contact.",
    )
    .section("1.5.4")
    .check(is_user_text),
    seconds(
        "outgoing_expires",
        "1.5.5",
        "3600",
        "The shortest life that is asked for at the main registrar in the throttling modes.",
    ),
    Parameter::new(
        "received_avp",
        ParameterKind::Variable,
        "",
        "The variable with the address that the client is reached at.",
    )
    .section("1.5.6"),
    Parameter::new(
        "received_param",
        ParameterKind::Str,
        "received",
        "The parameter of replies that tells that address.",
    )
    .section("1.5.7")
    .check(is_token),
    Parameter::new(
        "extra_contact_params_avp",
        ParameterKind::Variable,
        "",
        "The variable with URI parameters for forwarded Contacts, each with its semicolon.",
    )
    .section("1.5.8"),
    Parameter::new(
        "attr_avp",
        ParameterKind::Variable,
        "",
        "The variable with further information to keep with a contact.",
    )
    .section("1.5.9"),
    seconds("min_expires", "1.5.10", "10", "The shortest life; a shorter one is raised to it. 0 for no limit."),
    seconds("default_expires", "1.5.11", "3600", "The life of a contact whose request names none."),
    seconds("max_expires", "1.5.12", "3600", "The longest life; a longer one is lowered to it. 0 for no limit."),
    Parameter::new(
        "default_q",
        ParameterKind::Int,
        "0",
        "The q value of a contact that has none, in thousandths.",
    )
    .section("1.5.13")
    .check(check_q),
    Parameter::new(
        "tcp_persistent_flag",
        ParameterKind::Flag(FlagSpace::Message),
        "",
        "The message flag with which mid_registrar_save() keeps the TCP connection as long as the contact.",
    )
    .section("1.5.14"),
    Parameter::new("realm_prefix", ParameterKind::Str, "", "A prefix of the host that does not count.")
        .section("1.5.15"),
    Parameter::new("case_sensitive", ParameterKind::Bool, "1", "Whether user names differ by case.")
        .section("1.5.16"),
    seconds(
        "expires_max_deviation",
        "1.5.17",
        "0",
        "By how much a life is made longer or shorter at random.",
    ),
    number("max_contacts", "1.5.18", "0", "The most contacts of an address of record. 0 for no limit."),
    number("max_username_len", "1.5.19", "64", "The longest user of an address of record.").unit("bytes"),
    number("max_domain_len", "1.5.20", "64", "The longest domain of an address of record.").unit("bytes"),
    number("max_aor_len", "1.5.21", "256", "The longest address of record.").unit("bytes"),
    number(
        "max_contact_len",
        "1.5.22",
        "512",
        "The longest Contact URI. The document says 255, which locks out phones with push tokens.",
    )
    .unit("bytes"),
    seconds("retry_after", "1.5.23", "0", "What Retry-After says in 5xx replies. 0 adds none."),
    Parameter::new("disable_gruu", ParameterKind::Int, "1", "Whether GRUU is off.")
        .section("1.5.24")
        .check(zero_or_one),
    Parameter::new(
        "gruu_secret",
        ParameterKind::Str,
        "0p3nS1pS",
        "The secret that temporary GRUUs are encrypted with. Whoever knows it can make them.",
    )
    .section("1.5.25")
    .check(not_empty),
    Parameter::new(
        "pn_enable",
        ParameterKind::Bool,
        "0",
        "Whether contacts may be woken by pushes (RFC 8599). Needs event_routing.",
    )
    .section("1.5.26"),
    Parameter::new(
        "pn_providers",
        ParameterKind::Str,
        "",
        "The push providers that are supported, comma separated: apns, fcm, webpush, or others.",
    )
    .section("1.5.27")
    .check(push::is_list),
    Parameter::new(
        "pn_ct_match_params",
        ParameterKind::Str,
        "pn-provider, pn-prid, pn-param",
        "The URI parameters that a contact which has them all is matched by, and by nothing else. They are taken out of \
         the Request-URI before a request is sent to it. A contact of webpush needs no pn-param, which RFC 8599 does \
         not give it.",
    )
    .section("1.5.28")
    .check(push::is_match_list),
    Parameter::new(
        "pn_pnsreg_interval",
        ParameterKind::Int,
        "130",
        "How long before the end of its registration a phone that wakes by itself is told to refresh it.",
    )
    .unit("s")
    .section("1.5.29")
    .check(not_negative),
    Parameter::new(
        "pn_trigger_interval",
        ParameterKind::Int,
        "120",
        "How long before the end of its registration a phone that has not refreshed it is woken; see contact_refresh_timer \
         of usrloc.",
    )
    .unit("s")
    .section("1.5.30")
    .check(not_negative),
    Parameter::new(
        "pn_skip_pn_interval",
        ParameterKind::Int,
        "0",
        "How long after a registration a phone counts as awake: requests are sent to it at once.",
    )
    .unit("s")
    .section("1.5.31")
    .check(not_negative),
    Parameter::new(
        "pn_refresh_timeout",
        ParameterKind::Int,
        "6",
        "How long a request waits for a phone to wake and register, 1 to 180.",
    )
    .unit("s")
    .section("1.5.32")
    .check(push::is_wait),
    Parameter::new(
        "pn_enable_purr",
        ParameterKind::Bool,
        "0",
        "Whether phones are told a PURR, by which pn_process_purr() finds them inside a dialog.",
    )
    .section("1.5.33"),
    Parameter::new(
        "absorb",
        ParameterKind::Str,
        "any",
        "Whose refreshes are answered without the main registrar: \"any\" as documented, or \"verified\": only what \
         comes from the source that the main registrar accepted the contact from, or what the script has \
         authenticated. Not in OpenSIPS.",
    )
    .check(|value| trust(value).map(drop)),
    Parameter::new(
        "on_reject",
        ParameterKind::Str,
        "keep",
        "What a 403 or 404 of the main registrar to a refresh does: \"keep\" lets the contact run out, \"remove\" \
         removes it at once. Not in OpenSIPS.",
    )
    .check(|value| on_reject(value).map(drop)),
    Parameter::new(
        "upstream_down",
        ParameterKind::Str,
        "pass",
        "How clients are answered while the main registrar does not answer: \"pass\" passes the failure on, \
         \"absorb\" answers from what is known here until the main registrar's own deadline. Not in OpenSIPS.",
    )
    .check(|value| upstream_down(value).map(drop)),
    Parameter::new(
        "overload",
        ParameterKind::Str,
        "off",
        "What becomes of a REGISTER with a new contact that would have to be forwarded, while more requests wait in the \
         kernel than the server will soon get through: \"reply\" refuses it with 503 and Retry-After (`retry_after`, or 10 to \
         29 s), \"drop\" leaves it unanswered, \"off\" forwards it. With the first two a refresh is absorbed then up to the \
         main registrar's own deadline, and what else is about known contacts is served as ever. Not in OpenSIPS.",
    )
    .check(overload_word),
];

/// Functions that say who a client is.
const AUTHORIZE: [&str; 4] = ["www_authorize", "proxy_authorize", "pv_www_authorize", "pv_proxy_authorize"];

/// Said of a script that lets anybody add contacts to anybody without a password, and of one that has GRUU on and leaves
/// the secret as everybody knows it.
pub fn advise(setup: &Setup<'_>, diagnostics: &mut Diagnostics) {
    push::advise(setup, MODULE, diagnostics);
    let parameters = setup.parameters;
    let is_open = parameters.str(MODULE, "absorb") == Some(b"any")
        && parameters.int(MODULE, "mode") == 2
        && !AUTHORIZE.iter().any(|function| setup.calls(function));
    if let Some(mode) = parameters.all(MODULE, "mode").last().filter(|_| is_open) {
        diagnostics
            .warning(
                mode.span,
                "in this mode anybody may add a contact to a registered user, without a password",
            )
            .help("set `absorb` of mid_registrar to \"verified\", or authorize clients in the script");
    }
    for (name, value) in [("working_mode_preset", &b"sql-only"[..]), ("cluster_mode", b"sql-only")] {
        let found = parameters.all("usrloc", name).last();
        if let Some(found) = found.filter(|_| parameters.str("usrloc", name) == Some(value)) {
            diagnostics
                .error(found.span, "mid_registrar does not work with \"sql-only\"")
                .help("what is absorbed is decided by bindings in memory: use a single-instance preset");
        }
    }
    let is_on = !parameters.bool(MODULE, "disable_gruu");
    let is_default = parameters.str(MODULE, "gruu_secret") == Some(b"0p3nS1pS");
    let switch = parameters.all(MODULE, "disable_gruu").last();
    if let Some(switch) = switch.filter(|_| is_on && is_default) {
        diagnostics
            .warning(switch.span, "GRUU is on with the secret that everybody knows")
            .help("anybody can forge temporary GRUUs: set `gruu_secret` of mid_registrar");
    }
}

/// The parameters in the form in which functions use them.
#[derive(Debug, Clone)]
pub struct MidSettings {
    /// What it shares with a registrar.
    pub policy: Policy,
    /// Tells refreshes that say nothing new. What was stored under another configuration is new to it.
    pub familiar: Familiar,
    /// What it has besides.
    pub mid: mid::Settings,
    /// `received_avp`.
    pub received: Option<VariableId>,
    /// `extra_contact_params_avp`.
    pub extra: Option<VariableId>,
    /// `attr_avp`.
    pub attribute: Option<VariableId>,
    /// The name under which lookup attaches the attribute to a branch.
    pub attribute_name: Vec<u8>,
    /// `tcp_persistent_flag` as a mask, 0 for none.
    pub tcp_persistent_flag: u32,
    /// `overload`: what becomes of new contacts while the server cannot keep up.
    pub overload: Overload,
}

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

fn is_token(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if seawall_sip::ascii::is_token(text) => Ok(()),
        _ => Err("it is the name of a parameter".to_owned()),
    }
}

/// Whether a text can stand in the user part of a URI, and can be found there again.
fn is_user_text(value: &Value) -> Result<(), String> {
    let fits = |byte: &u8| seawall_sip::ascii::is_unreserved(*byte) || b"&=+$,;?/%".contains(byte);
    let is_escape = |text: &[u8]| {
        let uri = [b"sip:a", text, b"b@host"].concat();
        seawall_sip::Uri::parse(&uri).is_ok()
    };
    match value {
        Value::Str(text) if !text.is_empty() && text.iter().all(fits) && is_escape(text) => Ok(()),
        _ => Err("it stands in the user part of a URI, such as \"%40\" or \"___\"".to_owned()),
    }
}

fn mode(value: &Value) -> Result<Mode, String> {
    match value.as_int() {
        Some(0) => Ok(Mode::Mirror),
        Some(1) => Ok(Mode::Contact),
        Some(2) => Ok(Mode::Aor),
        _ => Err("it is 0 (mirror), 1 (contact throttling) or 2 (AoR throttling)".to_owned()),
    }
}

fn insertion(value: &Value) -> Result<Insertion, String> {
    match value {
        Value::Int(0) => Ok(Insertion::Parameter),
        Value::Int(1) => Ok(Insertion::Username),
        Value::Str(text) if **text == *b"ct-param" => Ok(Insertion::Parameter),
        Value::Str(text) if **text == *b"ct-username" => Ok(Insertion::Username),
        _ => Err("it is \"ct-param\" or \"ct-username\"".to_owned()),
    }
}

fn trust(value: &Value) -> Result<Trust, String> {
    match word(value) {
        b"any" => Ok(Trust::Any),
        b"verified" => Ok(Trust::Verified),
        _ => Err("it is \"any\" or \"verified\"".to_owned()),
    }
}

fn on_reject(value: &Value) -> Result<OnReject, String> {
    match word(value) {
        b"keep" => Ok(OnReject::Keep),
        b"remove" => Ok(OnReject::Remove),
        _ => Err("it is \"keep\" or \"remove\"".to_owned()),
    }
}

fn upstream_down(value: &Value) -> Result<UpstreamDown, String> {
    match word(value) {
        b"pass" => Ok(UpstreamDown::Pass),
        b"absorb" => Ok(UpstreamDown::Absorb),
        _ => Err("it is \"pass\" or \"absorb\"".to_owned()),
    }
}

fn word(value: &Value) -> &[u8] {
    match value {
        Value::Str(text) => text,
        _ => b"",
    }
}

impl MidSettings {
    /// Reads the parameters, and those of `usrloc` that concern the module. `None` when it is not loaded.
    pub(crate) fn new(program: &Program<Context>) -> Option<Arc<MidSettings>> {
        if !program.is_loaded(MODULE) {
            return None;
        }
        let parameters = &program.parameters;
        let text = |name: &str| parameters.str(MODULE, name).unwrap_or_default().to_vec();
        let number = |name: &str| u32::try_from(parameters.int(MODULE, name)).unwrap_or(0);
        let mask = |flag: Option<u8>| flag.and_then(|bit| 1u32.checked_shl(u32::from(bit))).unwrap_or(0);
        let value = |name: &str| parameters.value(MODULE, name);
        // Every value was checked at load.
        let settings = mid::Settings {
            mode: mode(value("mode")).unwrap_or_default(),
            insertion: insertion(value("contact_id_insertion")).unwrap_or_default(),
            contact_id_param: text("contact_id_param").into(),
            at_escape: text("at_escape_str").into(),
            outgoing_expires_s: number("outgoing_expires"),
            trust: trust(value("absorb")).unwrap_or_default(),
            on_reject: on_reject(value("on_reject")).unwrap_or_default(),
            upstream_down: upstream_down(value("upstream_down")).unwrap_or_default(),
        };
        Some(Arc::new(MidSettings {
            policy: policy(program),
            familiar: Familiar::new(crate::context::seed()),
            mid: settings,
            received: parameters.variable(MODULE, "received_avp"),
            extra: parameters.variable(MODULE, "extra_contact_params_avp"),
            attribute: parameters.variable(MODULE, "attr_avp"),
            attribute_name: parameters.all(MODULE, "attr_avp").last().map(avp_name).unwrap_or_default(),
            tcp_persistent_flag: mask(parameters.flag(MODULE, "tcp_persistent_flag")),
            overload: overload(&text("overload")).unwrap_or(Overload::Serve),
        }))
    }
}

/// What the module shares with a registrar.
fn policy(program: &Program<Context>) -> Policy {
    let parameters = &program.parameters;
    let number = |name: &str| u32::try_from(parameters.int(MODULE, name)).unwrap_or(0);
    let size = |name: &str| usize::try_from(parameters.int(MODULE, name)).unwrap_or(0);
    let text = |name: &str| parameters.str(MODULE, name).unwrap_or_default().to_vec();
    let mask = |flag: Option<u8>| flag.and_then(|bit| 1u32.checked_shl(u32::from(bit))).unwrap_or(0);
    let newest_first = parameters.bool("usrloc", "desc_time_order");
    Policy {
        default_expires_s: number("default_expires"),
        min_expires_s: number("min_expires"),
        max_expires_s: number("max_expires"),
        min_expires_mode: MinExpiresMode::Raise,
        default_q: u16::try_from(number("default_q")).unwrap_or(0),
        expires_max_deviation_s: number("expires_max_deviation"),
        max_contacts: number("max_contacts"),
        retry_after_s: number("retry_after"),
        realm_prefix: text("realm_prefix").into(),
        case_sensitive: parameters.bool(MODULE, "case_sensitive"),
        use_domain: parameters.bool("usrloc", "use_domain"),
        received_param: text("received_param").into(),
        trust_contact_received: false,
        matching: match parameters.int("usrloc", "matching_mode") {
            1 => MatchingMode::UriAndCallId,
            _ => MatchingMode::Uri,
        },
        cseq_delay_s: u32::try_from(parameters.int("usrloc", "cseq_delay")).unwrap_or(20),
        order: if newest_first { Order::NewestFirst } else { Order::Preference },
        nat_flag: mask(parameters.flag("usrloc", "nat_bflag")),
        socket_header: Box::default(),
        max_username_len: size("max_username_len"),
        max_domain_len: size("max_domain_len"),
        max_aor_len: size("max_aor_len"),
        max_contact_len: size("max_contact_len"),
        gruu: (!parameters.bool(MODULE, "disable_gruu"))
            .then(|| Arc::new(Gruu::new(&text("gruu_secret"), false))),
        push: push::settings(parameters, MODULE),
        ..Policy::default()
    }
}

/// The name inside `$avp(name)`: branch attributes have the same.
fn avp_name(value: &seawall_script::ParameterValue) -> Vec<u8> {
    let Value::Str(text) = &value.value else { return Vec::new() };
    let inner = text.strip_prefix(b"$avp(").and_then(|rest| rest.strip_suffix(b")"));
    inner.unwrap_or(text).to_vec()
}
