//! Module `db_mysql`: how MySQL and MariaDB servers are asked.

use seawall_script::{Module, Parameter, ParameterKind, Program, Value};
use seawall_storage::Options;

use crate::context::Context;
use crate::databases::{is_time_us, is_tries, slow_us, tries};

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[
        Parameter::new(
            "exec_query_threshold",
            ParameterKind::Int,
            "0",
            "Queries that take longer are logged; none with 0.",
        )
        .unit("us")
        .section("exec_query_threshold")
        .check(is_time_us),
        Parameter::new(
            "timeout_interval",
            ParameterKind::Int,
            "2",
            "A third of the time that a server may take to be connected to, and to answer.",
        )
        .unit("s")
        .section("timeout_interval")
        .check(is_interval),
        Parameter::new(
            "max_db_queries",
            ParameterKind::Int,
            "2",
            "How often a query is tried when the connection breaks.",
        )
        .section("max_db_queries")
        .check(is_tries),
        Parameter::new("max_db_retries", ParameterKind::Int, "3", "How often a connection is tried.")
            .section("max_db_retries")
            .no_effect("a connection is tried until timeout_interval is over"),
        Parameter::new("ps_max_col_size", ParameterKind::Int, "1024", "The longest value that is read.")
            .unit("bytes")
            .section("ps_max_col_size")
            .no_effect("values of any length are read, none is cut"),
        Parameter::new(
            "use_tls",
            ParameterKind::Bool,
            "0",
            "Whether connections are encrypted if the server can; `?sslmode=require` or `verify-full` in the URL asks for \
             more.",
        )
        .section("use_tls"),
    ],
    ..Module::new("db_mysql", "https://docs.opensips.org/modules/devel/db_mysql/")
};

fn is_interval(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(1..=20) => Ok(()),
        _ => Err("it is from 1 to 20 seconds".to_owned()),
    }
}

/// How a script wants servers asked.
pub(crate) fn options(program: &Program<Context>) -> Options {
    if !program.is_loaded("db_mysql") {
        return Options { timeout_ms: 6000, ..Options::default() };
    }
    let parameters = &program.parameters;
    let interval_s = u32::try_from(parameters.int("db_mysql", "timeout_interval")).unwrap_or(2);
    Options {
        timeout_ms: interval_s.saturating_mul(3000),
        tries: tries(program, "db_mysql"),
        use_tls: parameters.bool("db_mysql", "use_tls"),
        slow_us: slow_us(program, "db_mysql"),
        ..Options::default()
    }
}
