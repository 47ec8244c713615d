//! The parameters of `auth`.

use seawall_digest::NonceKey;
use seawall_script::{Parameter, ParameterKind, Program, Value, VariableId};

use crate::context::Context;

/// What `modparam("auth", …)` sets.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "secret",
        ParameterKind::Str,
        "",
        "The phrase that nonces are signed with, for servers that take each other's nonces: 32 characters. Without it \
         each run of the server has a random key, which is safer.",
    )
    .section("secret")
    .check(is_secret),
    Parameter::new("nonce_expire", ParameterKind::Int, "30", "How long a nonce may be used.")
        .unit("s")
        .section("nonce_expire")
        .check(is_lifetime),
    Parameter::new("rpid_prefix", ParameterKind::Str, "", "What append_rpid_hf() writes before the URI.")
        .section("rpid_prefix"),
    Parameter::new(
        "rpid_suffix",
        ParameterKind::Str,
        ";party=calling;id-type=subscriber;screen=yes",
        "What append_rpid_hf() writes behind the URI.",
    )
    .section("rpid_suffix"),
    Parameter::new(
        "realm_prefix",
        ParameterKind::Str,
        "",
        "What is taken off the front of a host that becomes a realm.",
    )
    .section("realm_prefix"),
    Parameter::new(
        "rpid_avp",
        ParameterKind::Variable,
        "",
        "The variable with the URI for Remote-Party-ID. If it is not set, $avp(rpid).",
    )
    .section("rpid_avp"),
    Parameter::new(
        "username_spec",
        ParameterKind::Variable,
        "",
        "The variable with the user name for the pv functions.",
    )
    .section("username_spec"),
    Parameter::new(
        "password_spec",
        ParameterKind::Variable,
        "",
        "The variable with the password, or its hash, for the pv functions.",
    )
    .section("password_spec"),
    Parameter::new(
        "calculate_ha1",
        ParameterKind::Bool,
        "0",
        "Whether password_spec holds a password; else it holds the hash of user, realm and password.",
    )
    .section("calculate_ha1"),
    Parameter::new(
        "disable_nonce_check",
        ParameterKind::Bool,
        "0",
        "Whether a response may be used again while its nonce lives: for several servers behind one name.",
    )
    .section("disable_nonce_check"),
];

fn is_secret(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if text.len() == 32 => Ok(()),
        _ => Err("it has exactly 32 characters".to_owned()),
    }
}

fn is_lifetime(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(1..=86_400) => Ok(()),
        _ => Err("a nonce lives from 1 second to a day".to_owned()),
    }
}

/// The parameters in the form in which functions use them.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// The key of `secret`, when it is set.
    pub(crate) key: Option<NonceKey>,
    /// `nonce_expire`.
    pub(crate) nonce_expire_s: u64,
    /// Not `disable_nonce_check`.
    pub(crate) refuses_reuse: bool,
    /// `realm_prefix`.
    pub(crate) realm_prefix: Vec<u8>,
    /// `username_spec`.
    pub(crate) username: Option<VariableId>,
    /// `password_spec`.
    pub(crate) password: Option<VariableId>,
    /// `calculate_ha1`.
    pub(crate) calculate_ha1: bool,
    /// `rpid_avp`, when it is set.
    pub(crate) rpid: Option<VariableId>,
    /// `rpid_prefix`.
    pub(crate) rpid_prefix: Vec<u8>,
    /// `rpid_suffix`.
    pub(crate) rpid_suffix: Vec<u8>,
}

impl AuthSettings {
    /// Reads the parameters.
    pub(crate) fn new(program: &Program<Context>) -> Self {
        let parameters = &program.parameters;
        let text = |name: &str| parameters.str("auth", name).unwrap_or_default().to_vec();
        let secret = text("secret");
        Self {
            key: (!secret.is_empty()).then(|| NonceKey::from_phrase(&secret)),
            nonce_expire_s: u64::try_from(parameters.int("auth", "nonce_expire")).unwrap_or(30),
            refuses_reuse: !parameters.bool("auth", "disable_nonce_check"),
            realm_prefix: text("realm_prefix"),
            username: parameters.variable("auth", "username_spec"),
            password: parameters.variable("auth", "password_spec"),
            calculate_ha1: parameters.bool("auth", "calculate_ha1"),
            rpid: parameters.variable("auth", "rpid_avp"),
            rpid_prefix: text("rpid_prefix"),
            rpid_suffix: text("rpid_suffix"),
        }
    }
}
