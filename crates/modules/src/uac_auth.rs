//! Module `uac_auth`: who we are where a request of our own is challenged.
//!
//! It has parameters only. What they say is used for the REGISTERs that `mid_registrar` sends by itself; those of clients are
//! answered by the clients.

use std::sync::Arc;

use seawall_digest::Login;
use seawall_script::{Module, Parameter, ParameterKind, Program, Value};

use crate::context::Context;

/// The name of the module.
const MODULE_NAME: &str = "uac_auth";

/// Most credentials that a script gives: they are searched one by one for a challenge.
const MOST_LOGINS: usize = 1000;

/// Said of the parameters that one route sets for one request.
const NO_UAC: &str = "only uac_auth() of the uac module reads it, which is not provided";

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[
        Parameter::new(
            "credential",
            ParameterKind::Str,
            "",
            "Who we are in a realm: \"user:realm:password\". The password may be 0x and 32 hexadecimal digits, the MD5 of \
             all three. It can be set many times; of several for a realm the one whose user is that of the request counts.",
        )
        .section("credential")
        .check(is_login),
        Parameter::new(
            "auth_realm_avp",
            ParameterKind::Variable,
            "",
            "The variable with the realm for uac_auth().",
        )
        .section("auth_realm_avp")
        .no_effect(NO_UAC),
        Parameter::new(
            "auth_username_avp",
            ParameterKind::Variable,
            "",
            "The variable with the user for uac_auth().",
        )
        .section("auth_username_avp")
        .no_effect(NO_UAC),
        Parameter::new(
            "auth_password_avp",
            ParameterKind::Variable,
            "",
            "The variable with the password for uac_auth().",
        )
        .section("auth_password_avp")
        .no_effect(NO_UAC),
    ],
    ..Module::new("uac_auth", "https://docs.opensips.org/modules/devel/uac_auth/")
};

fn is_login(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if text.is_empty() || Login::parse(text).is_some() => Ok(()),
        _ => Err("it is \"user:realm:password\"".to_owned()),
    }
}

/// All credentials.
#[derive(Debug, Clone)]
pub struct Logins(Vec<Login>);

impl Logins {
    /// Reads the parameters. `None` when there are none.
    pub(crate) fn new(program: &Program<Context>) -> Option<Arc<Logins>> {
        if !program.is_loaded(MODULE_NAME) {
            return None;
        }
        let all = program.parameters.all(MODULE_NAME, "credential").iter();
        let logins: Vec<Login> = all
            .filter_map(|given| match &given.value {
                Value::Str(text) => Login::parse(text),
                _ => None,
            })
            .take(MOST_LOGINS)
            .collect();
        (!logins.is_empty()).then(|| Arc::new(Logins(logins)))
    }

    /// In the order of the script.
    #[must_use]
    pub fn all(&self) -> &[Login] {
        &self.0
    }
}
