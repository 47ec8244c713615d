//! `mid_reg_show`, `mid_reg_resync`: what the main registrars hold. Not in OpenSIPS.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::command::{Command, MiParameter, ParameterKind, Params, Reply};
use crate::error::MiError;
use crate::server::{Registration, Server};

/// The commands of this file.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "mid_reg_show",
        aliases: &["mid_registrar:show"],
        recipes: &[&[MiParameter::new("aor", ParameterKind::Str, "The address-of-record.")]],
        doc: "For each binding of an address-of-record: what the main registrar holds for it, until when, and when the \
              next REGISTER is forwarded.",
        section: "mid_registrar",
        run: show,
    },
    Command {
        name: "mid_reg_resync",
        aliases: &["mid_registrar:resync"],
        recipes: &[&[MiParameter::optional(
            "aor",
            ParameterKind::Str,
            "Only this address-of-record; all if left out.",
        )]],
        doc: "Registers again what a main registrar may have lost, a bounded number at a time.",
        section: "mid_registrar",
        run: resync,
    },
];

fn show(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let aor = params.str("aor").unwrap_or_default();
    let mut listed = Vec::new();
    server.registrations(aor.as_bytes(), &mut |registration| listed.push(describe(registration)))?;
    Ok(Reply::Value(json!({ "AOR": aor, "Registrations": listed })))
}

fn resync(server: &Arc<dyn Server>, params: &Params) -> Result<Reply, MiError> {
    let aor = params.str("aor").filter(|aor| !aor.is_empty());
    let count = server.resync(aor.map(str::as_bytes))?;
    Ok(Reply::Value(json!({ "Registrations": count })))
}

fn describe(registration: &Registration<'_>) -> Value {
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    if let Some(id) = registration.contact_id {
        put("ContactID", id.to_string().into());
    }
    if !registration.contact.is_empty() {
        put("Contact", text(registration.contact));
        put("Expires", registration.expires_s.into());
    }
    put("Upstream-Contact", text(registration.upstream_contact));
    put("Upstream-State", registration.state.into());
    put("Upstream-Expires", registration.upstream_expires_s.into());
    if let Some(forward_in_s) = registration.forward_in_s {
        put("Forward-In", forward_in_s.into());
    }
    put("Main", text(registration.main));
    put("Main-URI", text(registration.main_uri));
    put("Callid", text(registration.callid));
    put("Cseq", registration.cseq.into());
    if registration.attempts > 0 {
        put("Attempts", registration.attempts.into());
    }
    Value::Object(shown)
}
