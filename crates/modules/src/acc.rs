//! Module `acc`: accounting to the log and to a database.

mod database;
mod extra;

use std::sync::Arc;

use seawall_location::NameId;
use seawall_script::{
    Argument, ArgumentKind, Call, Flow, Function, Module, Parameter, ParameterKind, Prepared, Routes,
    Statistic, Value, Variable, VariableArguments, level,
};
use seawall_sip::name_addr::NameAddr;
use seawall_sip::{Message, Name};

use crate::avps::Avps;
use crate::configuration::Configuration;
use crate::context::Context;
use crate::databases::is_url;
use crate::node::Node;

pub use database::{Accounts, DatabaseSettings, Entry};
pub use extra::Extra;

/// What one backend is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The transaction when it completes with a 2xx.
    pub is_on: bool,
    /// Also when it completes otherwise.
    pub failed: bool,
    /// The branches that did not answer (`missed`).
    pub missed: bool,
}

impl Wanted {
    fn add(&mut self, flags: Flags) {
        self.is_on = true;
        self.failed |= flags.failed;
        self.missed |= flags.missed;
    }

    fn drop(&mut self, flags: Option<Flags>) {
        match flags {
            None => *self = Wanted::default(),
            Some(flags) => {
                self.failed &= !flags.failed;
                self.missed &= !flags.missed;
            }
        }
    }
}

/// What accounting was asked for a transaction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accounting {
    /// The log.
    pub log: Wanted,
    /// The database.
    pub db: Wanted,
    /// Its table, an interned name; none for the usual ones.
    pub table: NameId,
    /// The level of the lines (`log_level`).
    pub level: i8,
    /// Whether caller and callee are swapped: the request goes against the direction of its dialog
    /// (`detect_direction`).
    pub swapped: bool,
}

impl Accounting {
    /// Whether anything is accounted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.log.is_on || self.db.is_on
    }

    /// A call is missed once.
    pub fn forget_missed(&mut self) {
        self.log.missed = false;
        self.db.missed = false;
    }
}

/// Said of other backends.
const TWO_BACKENDS: &str = "accounting goes to the log and to databases; other backends are not provided yet";

/// Said of what is logged for each leg.
const NO_LEGS: &str = "values of a leg are not provided yet";

/// A parameter that renames a column.
macro_rules! column {
    ($name:literal, $default:literal, $doc:literal) => {
        Parameter::new($name, ParameterKind::Str, $default, $doc).section($name).check(database::is_name)
    };
}

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
        Parameter::new("multi_leg_info", ParameterKind::Str, "", "Values logged for each leg.").no_effect(NO_LEGS),
        Parameter::new("multi_leg_bye_info", ParameterKind::Str, "", "Values logged for each leg of a BYE.")
            .no_effect(NO_LEGS),
        Parameter::new(
            "extra_fields",
            ParameterKind::Str,
            "",
            "Further values of a backend: \"db: tag->column; other_tag\". A script sets them by $acc_extra(tag).",
        )
        .many()
        .section("extra_fields")
        .check(extra::check),
        Parameter::new("leg_fields", ParameterKind::Str, "", "Further values of a leg.").many().no_effect(NO_LEGS),
        Parameter::new(
            "db_url",
            ParameterKind::Str,
            "",
            "The database: sqlite:///path/of/the/file.db, postgres://user:password@host/database or \
             mysql://user:password@host/database. Without it, db_default_url.",
        )
        .section("db_url")
        .check(is_url),
        Parameter::new("db_table_acc", ParameterKind::Str, "acc", "The table of completed transactions.")
            .section("db_table_acc")
            .check(database::is_name),
        Parameter::new("db_table_missed_calls", ParameterKind::Str, "missed_calls", "The table of missed calls.")
            .section("db_table_missed_calls")
            .check(database::is_name),
        column!("acc_method_column", "method", "The column with the method."),
        column!("acc_from_tag_column", "from_tag", "The column with the tag of From."),
        column!("acc_to_tag_column", "to_tag", "The column with the tag of To."),
        column!("acc_callid_column", "callid", "The column with the Call-ID."),
        column!("acc_sip_code_column", "sip_code", "The column with the code of the final reply, as text."),
        column!("acc_sip_reason_column", "sip_reason", "The column with the reason of the final reply."),
        column!("acc_time_column", "time", "The column with the time of the completion, in UTC."),
    ],
    functions: &[
        Function::<Context>::new(
            "do_accounting",
            &[
                Argument::new("type", ArgumentKind::StaticStr, "Where to: \"log\", \"db\", joined by \"|\"."),
                Argument::new("flags", ArgumentKind::StaticStr, "What besides success: \"failed\", \"missed\", joined by \"|\".")
                    .optional(),
                Argument::new("table", ArgumentKind::Str, "The table of the database; the usual ones if left out.").optional(),
            ],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::ONREPLY).or(Routes::LOCAL),
            "Accounts the transaction when it completes. Several calls add up; nobody waits for a database.",
            do_accounting,
        )
        .section("1.6.1")
        .prepare(prepare),
        Function::<Context>::new(
            "drop_accounting",
            &[
                Argument::new("type", ArgumentKind::StaticStr, "Where to: \"log\", \"db\"; all if left out.").optional(),
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
        Function::<Context>::new(
            "acc_db_request",
            &[
                Argument::new("comment", ArgumentKind::Str, "The code and reason to account: \"404 Not found\"."),
                Argument::new("table", ArgumentKind::Str, "The table of the database."),
            ],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::ONREPLY).or(Routes::LOCAL),
            "Accounts the request to the database at once.",
            db_request,
        )
        .section("1.6.4")
        .returns(&[(1, "It is on its way."), (-1, "There is no database, or the table has no name.")]),
    ],
    variables: &[Variable::<Context>::new(
        "acc_extra",
        "A further value that is accounted (`extra_fields`), by its tag; it stays through the transaction.",
        extra::read,
    )
    .arguments(VariableArguments::Name)
    .write(extra::write)],
    statistics: &[
        Statistic { name: "db_written", doc: "Records that are in a database.", resettable: false },
        Statistic {
            name: "db_dropped",
            doc: "Records that were dropped because too many waited for a database.",
            resettable: false,
        },
        Statistic {
            name: "db_failed",
            doc: "Records that a database did not take, or of which it is not known whether it did.",
            resettable: false,
        },
        Statistic { name: "db_waiting", doc: "Records that wait for a database.", resettable: false },
    ],
    requires: &["tm"],
    ..Module::new("acc", "https://docs.opensips.org/modules/devel/acc/")
};

/// The flags argument, read at load.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    failed: bool,
    missed: bool,
}

/// The type argument, read at load.
#[derive(Debug, Clone, Copy, Default)]
struct Backends {
    log: bool,
    db: bool,
}

fn prepare(argument: usize, value: &Value) -> Result<Prepared, String> {
    let Value::Str(text) = value else { return Err("a name is needed here".to_owned()) };
    match argument {
        0 => backends(text).map(Prepared::new),
        1 => flags(text).map(Prepared::new),
        _ => database::is_name(value).map(Prepared::new),
    }
}

fn flags(text: &[u8]) -> Result<Flags, String> {
    let mut flags = Flags::default();
    for word in text.split(|byte| *byte == b'|' || *byte == b',') {
        match word.trim_ascii() {
            b"" => {}
            b"failed" => flags.failed = true,
            b"missed" => flags.missed = true,
            b"cdr" => return Err("\"cdr\" needs the dialog module, which is not provided".to_owned()),
            other => {
                return Err(format!(
                    "there is no flag \"{}\"; there are \"failed\" and \"missed\"",
                    String::from_utf8_lossy(other)
                ));
            }
        }
    }
    Ok(flags)
}

/// The types of accounting that stand between `|`.
fn backends(text: &[u8]) -> Result<Backends, String> {
    let mut backends = Backends::default();
    for name in text.split(|byte| *byte == b'|') {
        match name.trim_ascii() {
            b"log" => backends.log = true,
            b"db" => backends.db = true,
            name @ (b"aaa" | b"evi" | b"diam") => {
                return Err(format!("\"{}\": {TWO_BACKENDS}", String::from_utf8_lossy(name)));
            }
            name => {
                let name = String::from_utf8_lossy(name);
                return Err(format!("there is no accounting to \"{name}\"; \"log\" and \"db\" are"));
            }
        }
    }
    Ok(backends)
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
    change(&mut context.rare.accounting);
    if let Some((_, state)) = &context.transaction {
        change(&mut state.lock().accounting);
    }
    Flow::TRUE
}

fn do_accounting(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let backends = call.prepared::<Backends>(0).copied().unwrap_or_default();
    let flags = call.prepared::<Flags>(1).copied().unwrap_or_default();
    if backends.db && !has_database(context, call.line()) {
        return Flow::FALSE;
    }
    let table = match call.str(2).filter(|table| !table.is_empty()) {
        None => NameId::NONE,
        Some(table) => {
            match database::name(table).and_then(|_| context.node.location.names().intern(table)) {
                Some(name) => name,
                None => {
                    tracing::error!(
                        "line {}: do_accounting: a table has letters, digits and underscores",
                        call.line()
                    );
                    return Flow::FALSE;
                }
            }
        }
    };
    let settings = settings(context);
    change(context, |accounting| {
        accounting.level = settings.level;
        accounting.swapped = settings.swapped;
        if backends.log {
            accounting.log.add(flags);
        }
        if backends.db {
            accounting.db.add(flags);
            accounting.table = table;
        }
    })
}

fn has_database(context: &Context, line: u32) -> bool {
    let has = context.configuration.settings.acc.database.is_some();
    if !has {
        tracing::error!("line {line}: acc: there is no database: set its db_url");
    }
    has
}

fn drop_accounting(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let backends = call.prepared::<Backends>(0).copied().unwrap_or(Backends { log: true, db: true });
    let flags = call.prepared::<Flags>(1).copied();
    change(context, |accounting| {
        if backends.log {
            accounting.log.drop(flags);
        }
        if backends.db {
            accounting.db.drop(flags);
        }
        if !accounting.is_on() {
            *accounting = Accounting::default();
        }
    })
}

/// The code and the reason of a comment.
fn code_and_reason(comment: &[u8]) -> (u16, &[u8]) {
    match comment.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok()) {
        Some(code) => (code, comment.get(3..).unwrap_or_default().trim_ascii()),
        None => (0, comment),
    }
}

fn log_request(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let comment = call.str(0).unwrap_or_default();
    let (code, reason) = code_and_reason(comment);
    let report = Report::new(context, settings(context));
    report.log("request accounted", b"", code, reason);
    Flow::TRUE
}

fn db_request(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(table) = call.str(1).and_then(database::name) else {
        tracing::error!("line {}: acc_db_request: a table has letters, digits and underscores", call.line());
        return Flow::FALSE;
    };
    if !has_database(context, call.line()) {
        return Flow::FALSE;
    }
    let comment = call.str(0).unwrap_or_default();
    let (code, reason) = code_and_reason(comment);
    let report = Report::new(context, settings(context));
    report.store(table, b"", code, reason);
    Flow::TRUE
}

/// A transaction or request that is to be accounted, under the script that it began with.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// The server.
    pub node: &'a Node,
    /// The script and its parameters.
    pub configuration: &'a Configuration,
    /// What was asked for.
    pub accounting: Accounting,
    /// The values of the transaction.
    pub avps: &'a Avps,
    /// The request.
    pub request: &'a Message,
    /// Unix seconds.
    pub now_s: u64,
}

impl<'a> Report<'a> {
    /// Of the context's own request.
    #[must_use]
    pub fn new(context: &'a Context, accounting: Accounting) -> Report<'a> {
        Report {
            node: &context.node,
            configuration: &context.configuration,
            accounting,
            avps: &context.rare.avps,
            request: context.message(),
            now_s: context.now_s,
        }
    }

    /// Accounts a completed transaction if that was asked for.
    pub fn completed(&self, to_tag: &[u8], code: u16, reason: &[u8]) {
        let answered = (200..300).contains(&code);
        let counts = |wanted: Wanted| wanted.is_on && (answered || wanted.failed);
        if counts(self.accounting.log) {
            let what = if answered { "transaction answered" } else { "transaction failed" };
            self.log(what, to_tag, code, reason);
        }
        if counts(self.accounting.db) {
            self.store_usual(false, to_tag, code, reason);
        }
    }

    /// Accounts a call that one branch did not answer, if that was asked for.
    pub fn missed(&self, code: u16, reason: &[u8]) {
        if self.accounting.log.missed {
            self.log("call missed", b"", code, reason);
        }
        if self.accounting.db.missed {
            self.store_usual(true, b"", code, reason);
        }
    }

    /// Accounts a provisional reply that carries media, if requests of this transaction are accounted (`early_media`).
    pub fn early_media(&self, reply: &Message) {
        let provisional = (101..200).contains(&reply.status()) && !reply.body().is_empty();
        if !provisional {
            return;
        }
        let to = reply.value(Name::To).and_then(|to| NameAddr::parse(to).ok());
        let to_tag = to.and_then(|to| to.tag()).unwrap_or_default();
        if self.accounting.log.is_on {
            self.log("early media", to_tag, reply.status(), reply.reason());
        }
        if self.accounting.db.is_on {
            self.store_usual(false, to_tag, reply.status(), reply.reason());
        }
    }

    /// Accounts that the caller gave up, if requests of this transaction are accounted.
    pub fn cancelled(&self) {
        if self.accounting.log.is_on {
            self.log("call cancelled", b"", 487, b"Request Terminated");
        }
        if self.accounting.db.is_on {
            self.store_usual(false, b"", 487, b"Request Terminated");
        }
    }

    /// The tags of From and To, those of caller and callee.
    fn tags<'b>(&'b self, to_tag: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        let tag = |name: Name| {
            let value = self.request.value(name).unwrap_or_default();
            NameAddr::parse(value).ok().and_then(|address| address.tag()).unwrap_or_default()
        };
        let own_to_tag = tag(Name::To);
        let to_tag = if own_to_tag.is_empty() { to_tag } else { own_to_tag };
        if self.accounting.swapped { (to_tag, tag(Name::From)) } else { (tag(Name::From), to_tag) }
    }

    /// Writes one line. Values are escaped, so that nothing that a client sends can look like another field or line.
    fn log(&self, what: &str, to_tag: &[u8], code: u16, reason: &[u8]) {
        let (from_tag, to_tag) = self.tags(to_tag);
        let mut line = format!(
            "ACC: {what}: timestamp={};method={};from_tag={};to_tag={};call_id={};code={code};reason={}",
            self.now_s,
            escape(self.request.method()),
            escape(from_tag),
            escape(to_tag),
            escape(self.request.value(Name::CallId).unwrap_or_default()),
            escape(reason),
        );
        for (tag, name) in &self.configuration.settings.acc.extra.log {
            let value = extra::value(self.avps, tag).unwrap_or_default();
            line.push_str(&format!(";{name}={}", escape(&value)));
        }
        match self.accounting.level {
            ..=level::ERR => tracing::error!(target: "acc", "{line}"),
            0 | level::WARN => tracing::warn!(target: "acc", "{line}"),
            level::NOTICE | level::INFO => tracing::info!(target: "acc", "{line}"),
            _ => tracing::debug!(target: "acc", "{line}"),
        }
    }

    /// Leaves a record for the table that was named, or for the usual one.
    fn store_usual(&self, is_missed: bool, to_tag: &[u8], code: u16, reason: &[u8]) {
        let Some(settings) = &self.configuration.settings.acc.database else { return };
        let named = self.node.location.names().name(self.accounting.table);
        let usual = if is_missed { &settings.missed_calls } else { &settings.completed };
        self.store(database::name(named).unwrap_or_else(|| usual.clone()), to_tag, code, reason);
    }

    /// Leaves a record for a table. It is written later, and nobody waits for that.
    fn store(&self, table: seawall_storage::Identifier, to_tag: &[u8], code: u16, reason: &[u8]) {
        let Some(settings) = &self.configuration.settings.acc.database else { return };
        let (from_tag, to_tag) = self.tags(to_tag);
        let fields = database::Fields {
            method: self.request.method(),
            from_tag,
            to_tag,
            callid: self.request.value(Name::CallId).unwrap_or_default(),
            code,
            reason,
            now_s: self.now_s,
        };
        let extra = &self.configuration.settings.acc.extra;
        self.node.accounts.leave(Entry::new(Arc::clone(settings), table, &fields, extra, self.avps));
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
    fn the_log_and_databases_are_the_backends() {
        let check = |argument: usize, text: &str| prepare(argument, &Value::from(text)).map(|_| ());
        assert!(check(0, "log").is_ok() && check(0, "db| log").is_ok());
        assert!(check(0, "aaa|log").is_err_and(|text| text.contains("not provided yet")));
        assert!(check(1, "missed|failed").is_ok());
        assert!(check(1, "cdr").is_err_and(|text| text.contains("dialog")));
        assert!(check(1, "mised").is_err_and(|text| text.contains("no flag")));
        assert!(check(2, "my_acc").is_ok() && check(2, "my acc").is_err());
    }
}
