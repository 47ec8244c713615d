//! The parameters `pn_*` of `registrar` and `mid_registrar`, which mean the same in both (registrar 1.3.22 to 1.3.29).

use std::sync::Arc;

use seawall_registrar::Push;
use seawall_registrar::limits::MAX_MATCH_PARAMS;
use seawall_registrar::push::MatchParams;
use seawall_script::{Diagnostics, ModuleParameters, Setup, Value};
use seawall_sip::ascii;

/// The longest wait for a phone: as long as the longest timer of a call, in seconds.
const MOST_WAIT_S: i64 = 180;

/// Whether a text is a list of tokens, comma separated.
pub(crate) fn is_list(value: &Value) -> Result<(), String> {
    let Value::Str(text) = value else { return Err("it is a list of names".to_owned()) };
    let is_name = |name: &[u8]| ascii::is_token(name);
    match text.is_empty() || names(text).all(is_name) {
        true => Ok(()),
        false => Err("it is a list of names, comma separated".to_owned()),
    }
}

/// Whether a text is a list of parameters that a contact is told from others by.
pub(crate) fn is_match_list(value: &Value) -> Result<(), String> {
    is_list(value)?;
    match value {
        Value::Str(text) if names(text).count() > MAX_MATCH_PARAMS => {
            Err(format!("it has at most {MAX_MATCH_PARAMS} names"))
        }
        Value::Str(text) if names(text).any(|name| name.eq_ignore_ascii_case(b"pn-prid")) => Ok(()),
        _ => Err("without pn-prid phones cannot be told apart".to_owned()),
    }
}

pub(crate) fn is_wait(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(1..=MOST_WAIT_S) => Ok(()),
        _ => Err(format!("it is from 1 to {MOST_WAIT_S} seconds")),
    }
}

fn names(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// The parameters of a module; nothing where `pn_enable` is off.
pub(crate) fn settings(parameters: &ModuleParameters, module: &str) -> Option<Arc<Push>> {
    if !parameters.bool(module, "pn_enable") {
        return None;
    }
    let number = |name: &str| u32::try_from(parameters.int(module, name)).unwrap_or(0);
    let list = |name: &str| {
        let text = parameters.str(module, name).unwrap_or_default();
        names(text).filter(|name| !name.is_empty()).map(Box::from).collect()
    };
    Some(Arc::new(Push {
        providers: list("pn_providers"),
        match_params: MatchParams::new(list("pn_ct_match_params")),
        pnsreg_interval_s: number("pn_pnsreg_interval"),
        trigger_interval_s: number("pn_trigger_interval"),
        skip_interval_s: number("pn_skip_pn_interval"),
        refresh_timeout_s: number("pn_refresh_timeout"),
        purr: parameters.bool(module, "pn_enable_purr"),
        // The senders know it.
        vapid: None,
    }))
}

/// What is said of a script that has push notifications on.
pub(crate) fn advise(setup: &Setup<'_>, module: &str, diagnostics: &mut Diagnostics) {
    let parameters = setup.parameters;
    let switch = parameters.all(module, "pn_enable").last();
    let Some(switch) = switch.filter(|_| parameters.bool(module, "pn_enable")) else { return };
    if !setup.is_loaded("event_routing") {
        diagnostics
            .error(switch.span, "push notifications need the module `event_routing`")
            .help("load it: loadmodule \"event_routing.so\"");
    }
    if parameters.str(module, "pn_providers").unwrap_or_default().is_empty() {
        diagnostics
            .warning(switch.span, "push notifications are on without a provider")
            .help("every phone that names one is refused with 555: set `pn_providers`");
    }
    let purr = parameters.all(module, "pn_enable_purr").last();
    if let Some(purr) = purr.filter(|_| parameters.bool(module, "pn_enable_purr"))
        && !setup.calls("pn_process_purr")
    {
        diagnostics
            .warning(purr.span, "phones get a PURR and no route calls pn_process_purr()")
            .help("a phone that sleeps misses the requests inside its dialogs");
    }
}
