//! Module `acc`: accounting to the log.

use seawall_script::{
    Argument, ArgumentKind, Call, Flow, Function, Module, Parameter, ParameterKind, Prepared, Routes, Value,
    level,
};
use seawall_sip::name_addr::NameAddr;
use seawall_sip::{Message, Name};

use crate::context::Context;

/// What accounting was asked for a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accounting {
    /// Log the transaction when it completes with a 2xx.
    pub log: bool,
    /// Log it when it completes otherwise too.
    pub failed: bool,
    /// Log the branches that did not answer (`missed`).
    pub missed: bool,
    /// The level of the lines (`log_level`).
    pub level: i8,
    /// Whether caller and callee are swapped: the request goes against the direction of its dialog
    /// (`detect_direction`).
    pub swapped: bool,
}

/// Said of what needs a database or another backend.
const LOG_ONLY: &str = "accounting goes to the log; other backends are not provided yet";

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[
        Parameter::new("early_media", ParameterKind::Bool, "0", "Whether a provisional reply with a body is logged too.")
            .section("1.5.1"),
        Parameter::new("report_cancels", ParameterKind::Bool, "0", "Whether a CANCEL is logged.").section("1.5.2"),
        Parameter::new("detect_direction", ParameterKind::Bool, "0", "Whether caller and callee are swapped for requests that go upstream (needs append_fromtag of rr).")
            .section("1.5.3"),
        Parameter::new("log_level", ParameterKind::Int, "2", "The level of the log lines, -3 (alert) to 4 (debug).")
            .section("1.5.5")
            .check(check_level),
        Parameter::new("log_facility", ParameterKind::Str, "LOG_DAEMON", "The syslog facility of the log lines.")
            .section("1.5.6")
            .no_effect("the log has one destination; filter on the target \"acc\""),
        Parameter::new("multi_leg_info", ParameterKind::Str, "", "Values logged for each leg.").no_effect(LOG_ONLY),
        Parameter::new("multi_leg_bye_info", ParameterKind::Str, "", "Values logged for each leg of a BYE.")
            .no_effect(LOG_ONLY),
        Parameter::new("extra_fields", ParameterKind::Str, "", "Further values.")
            .many()
            .no_effect("further values are not provided yet"),
        Parameter::new("leg_fields", ParameterKind::Str, "", "Further values of a leg.")
            .many()
            .no_effect("further values are not provided yet"),
        Parameter::new("db_url", ParameterKind::Str, "", "The database.").no_effect(LOG_ONLY),
        Parameter::new("db_table_acc", ParameterKind::Str, "acc", "The table of completed transactions.")
            .no_effect(LOG_ONLY),
        Parameter::new("db_table_missed_calls", ParameterKind::Str, "missed_calls", "The table of missed calls.")
            .no_effect(LOG_ONLY),
    ],
    functions: &[
        Function::<Context>::new(
            "do_accounting",
            &[
                Argument::new("type", ArgumentKind::StaticStr, "Where to: \"log\"."),
                Argument::new("flags", ArgumentKind::StaticStr, "What besides success: \"failed\", \"missed\", joined by \"|\".")
                    .optional(),
                Argument::new("table", ArgumentKind::Str, "The table of a database.").optional(),
            ],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::ONREPLY).or(Routes::LOCAL),
            "Logs the transaction when it completes.",
            do_accounting,
        )
        .section("1.6.1")
        .prepare(prepare),
        Function::<Context>::new(
            "drop_accounting",
            &[
                Argument::new("type", ArgumentKind::StaticStr, "Where to: \"log\"; all if left out.").optional(),
                Argument::new("flags", ArgumentKind::StaticStr, "\"failed\" or \"missed\"; all if left out.").optional(),
            ],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::ONREPLY).or(Routes::LOCAL),
            "Takes back what do_accounting asked for.",
            drop_accounting,
        )
        .section("1.6.2")
        .prepare(prepare),
        Function::<Context>::new(
            "acc_log_request",
            &[Argument::new("comment", ArgumentKind::Str, "The code and reason to log: \"404 Not found\".")],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::ONREPLY).or(Routes::LOCAL),
            "Logs the request at once.",
            log_request,
        )
        .section("1.6.3"),
    ],
    requires: &["tm"],
    ..Module::new("acc", "https://docs.opensips.org/modules/devel/acc/")
};

/// The flags argument, read at load.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    failed: bool,
    missed: bool,
}

fn prepare(argument: usize, value: &Value) -> Result<Prepared, String> {
    let Value::Str(text) = value else { return Err("a name is needed here".to_owned()) };
    if argument == 0 {
        return text.split(|byte| *byte == b'|').try_for_each(check_type).map(Prepared::new);
    }
    if argument > 1 {
        return Ok(Prepared::new(()));
    }
    let mut wanted = Wanted { failed: false, missed: false };
    for word in text.split(|byte| *byte == b'|' || *byte == b',') {
        match word.trim_ascii() {
            b"" => {}
            b"failed" => wanted.failed = true,
            b"missed" => wanted.missed = true,
            b"cdr" => return Err("\"cdr\" needs the dialog module, which is not provided".to_owned()),
            other => {
                return Err(format!(
                    "there is no flag \"{}\"; there are \"failed\" and \"missed\"",
                    String::from_utf8_lossy(other)
                ));
            }
        }
    }
    Ok(Prepared::new(wanted))
}

/// One of the types of accounting that stand between `|`.
fn check_type(name: &[u8]) -> Result<(), String> {
    match name.trim_ascii() {
        b"log" => Ok(()),
        name @ (b"db" | b"aaa" | b"evi" | b"diam") => Err(format!(
            "accounting to \"{}\" is not provided yet; \"log\" is",
            String::from_utf8_lossy(name)
        )),
        name => Err(format!("there is no accounting to \"{}\"; \"log\" is", String::from_utf8_lossy(name))),
    }
}

fn check_level(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(-3..=4) => Ok(()),
        _ => Err("a level is from -3 (alert) to 4 (debug)".to_owned()),
    }
}

/// What the parameters say about a request that is accounted.
fn settings(context: &Context) -> Accounting {
    let settings = &context.configuration.settings.acc;
    let swapped = settings.detect_direction && crate::rr::is_upstream(context) == Some(true);
    Accounting { level: settings.log_level, swapped, ..Accounting::default() }
}

fn change(context: &mut Context, change: impl Fn(&mut Accounting)) -> Flow {
    change(&mut context.accounting);
    if let Some((_, state)) = &context.transaction {
        change(&mut state.lock().accounting);
    }
    Flow::TRUE
}

fn do_accounting(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let wanted = call.prepared::<Wanted>(1).copied().unwrap_or(Wanted { failed: false, missed: false });
    let settings = settings(context);
    change(context, |accounting| {
        accounting.level = settings.level;
        accounting.swapped = settings.swapped;
        accounting.log = true;
        accounting.failed |= wanted.failed;
        accounting.missed |= wanted.missed;
    })
}

fn drop_accounting(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let wanted = call.prepared::<Wanted>(1).copied();
    change(context, |accounting| match wanted {
        None => *accounting = Accounting::default(),
        Some(wanted) => {
            accounting.failed &= !wanted.failed;
            accounting.missed &= !wanted.missed;
        }
    })
}

fn log_request(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let comment = call.str(0).unwrap_or_default();
    let (code, reason) = match comment.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok())
    {
        Some(code) => (code, comment.get(3..).unwrap_or_default().trim_ascii()),
        None => (0, comment),
    };
    write(settings(context), context.message(), b"", "request accounted", code, reason, context.now_s);
    Flow::TRUE
}

/// Logs a completed transaction if that was asked for.
pub fn completed(
    accounting: Accounting,
    request: &Message,
    to_tag: &[u8],
    code: u16,
    reason: &[u8],
    now_s: u64,
) {
    let answered = (200..300).contains(&code);
    if answered && accounting.log {
        write(accounting, request, to_tag, "transaction answered", code, reason, now_s);
    } else if !answered && accounting.log && accounting.failed {
        write(accounting, request, to_tag, "transaction failed", code, reason, now_s);
    }
}

/// Logs a call that one branch did not answer, if that was asked for.
pub fn missed(accounting: Accounting, request: &Message, code: u16, reason: &[u8], now_s: u64) {
    if accounting.missed {
        write(accounting, request, b"", "call missed", code, reason, now_s);
    }
}

/// Logs a provisional reply that carries media, if requests of this transaction are logged (`early_media`).
pub fn early_media(accounting: Accounting, request: &Message, reply: &Message, now_s: u64) {
    let provisional = (101..200).contains(&reply.status()) && !reply.body().is_empty();
    if accounting.log && provisional {
        let to = reply.value(Name::To).and_then(|to| NameAddr::parse(to).ok());
        let to_tag = to.and_then(|to| to.tag()).unwrap_or_default();
        write(accounting, request, to_tag, "early media", reply.status(), reply.reason(), now_s);
    }
}

/// Logs that the caller gave up, if requests of this transaction are logged.
pub fn cancelled(accounting: Accounting, request: &Message, now_s: u64) {
    if accounting.log {
        write(accounting, request, b"", "call cancelled", 487, b"Request Terminated", now_s);
    }
}

/// Writes one line. Values are escaped, so that nothing that a client sends can look like another field or line.
fn write(
    accounting: Accounting,
    request: &Message,
    to_tag: &[u8],
    what: &str,
    code: u16,
    reason: &[u8],
    now_s: u64,
) {
    let tag = |name: Name| {
        let value = request.value(name).unwrap_or_default();
        NameAddr::parse(value).ok().and_then(|address| address.tag()).unwrap_or_default()
    };
    let own_to_tag = tag(Name::To);
    let to_tag = if own_to_tag.is_empty() { to_tag } else { own_to_tag };
    let (from_tag, to_tag) =
        if accounting.swapped { (to_tag, tag(Name::From)) } else { (tag(Name::From), to_tag) };
    let line = format!(
        "ACC: {what}: timestamp={now_s};method={};from_tag={};to_tag={};call_id={};code={code};reason={}",
        escape(request.method()),
        escape(from_tag),
        escape(to_tag),
        escape(request.value(Name::CallId).unwrap_or_default()),
        escape(reason),
    );
    match accounting.level {
        ..=level::ERR => tracing::error!(target: "acc", "{line}"),
        0 | level::WARN => tracing::warn!(target: "acc", "{line}"),
        level::NOTICE | level::INFO => tracing::info!(target: "acc", "{line}"),
        _ => tracing::debug!(target: "acc", "{line}"),
    }
}

/// A value as it may stand in a line: no control characters and no separator.
fn escape(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for &byte in value {
        match byte {
            b';' => text.push_str("%3B"),
            0x20..=0x7e => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_value_can_end_its_field_or_the_line() {
        assert_eq!(escape(b"a;code=200\r\nACC: x"), "a%3Bcode=200%0D%0AACC: x");
    }

    #[test]
    fn only_the_log_is_a_backend() {
        let check = |argument: usize, text: &str| prepare(argument, &Value::from(text)).map(|_| ());
        assert!(check(0, "log").is_ok());
        assert!(check(0, "db|log").is_err_and(|text| text.contains("not provided yet")));
        assert!(check(1, "missed|failed").is_ok());
        assert!(check(1, "cdr").is_err_and(|text| text.contains("dialog")));
        assert!(check(1, "mised").is_err_and(|text| text.contains("no flag")));
    }
}
