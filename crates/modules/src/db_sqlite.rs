//! Module `db_sqlite`: how SQLite files are opened.

use seawall_script::{Module, Parameter, ParameterKind, Program, Value};
use seawall_storage::Options;

use crate::context::Context;

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[
        Parameter::new("alloc_limit", ParameterKind::Int, "10", "How many rows more than counted have room.")
            .section("alloc_limit")
            .no_effect("results grow as they are read"),
        Parameter::new("load_extension", ParameterKind::Str, "", "A library for SQLite to load.")
            .many()
            .section("load_extension")
            .check(no_extension),
        Parameter::new(
            "busy_timeout",
            ParameterKind::Int,
            "500",
            "How long a statement waits for another process that has locked the file; not at all with 0 or less.",
        )
        .unit("ms")
        .section("busy_timeout")
        .check(is_timeout),
        Parameter::new(
            "exec_pragma",
            ParameterKind::Str,
            "",
            "A setting of SQLite for each connection, as name=value.",
        )
        .many()
        .section("exec_pragma")
        .check(is_pragma),
    ],
    ..Module::new("db_sqlite", "https://docs.opensips.org/modules/devel/db_sqlite/")
};

fn no_extension(_: &Value) -> Result<(), String> {
    Err("foreign code is not loaded into the server; extensions are not supported".to_owned())
}

fn is_timeout(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(time_ms) if time_ms <= 60_000 => Ok(()),
        _ => Err("it is at most a minute".to_owned()),
    }
}

fn is_pragma(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if pragma(text).is_none() => {
            Err("a setting is name=value, both of letters, digits, underscores and minus".to_owned())
        }
        _ => Ok(()),
    }
}

fn pragma(text: &[u8]) -> Option<(String, String)> {
    let (name, value) = std::str::from_utf8(text).ok()?.split_once('=')?;
    let word = |text: &str| {
        let text = text.trim();
        let legal = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        (legal && !text.is_empty()).then(|| text.to_owned())
    };
    Some((word(name)?, word(value)?))
}

/// How a script wants its SQLite files opened.
pub(crate) fn options(program: &Program<Context>) -> Options {
    let parameters = &program.parameters;
    if !program.is_loaded("db_sqlite") {
        return Options::default();
    }
    let pragmas = parameters.all("db_sqlite", "exec_pragma").iter();
    let pragmas = pragmas.filter_map(|set| match &set.value {
        Value::Str(text) => pragma(text),
        _ => None,
    });
    Options {
        busy_timeout_ms: u32::try_from(parameters.int("db_sqlite", "busy_timeout")).unwrap_or(0),
        pragmas: pragmas.collect(),
        ..Options::default()
    }
}
