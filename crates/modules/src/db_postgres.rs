//! Module `db_postgres`: how PostgreSQL servers are asked.

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
            "max_db_queries",
            ParameterKind::Int,
            "2",
            "How often a query is tried when the connection breaks.",
        )
        .section("max_db_queries")
        .check(is_tries),
        Parameter::new(
            "timeout",
            ParameterKind::Int,
            "5",
            "How long a server may take to be connected to, and to answer.",
        )
        .unit("s")
        .section("timeout")
        .check(is_timeout),
        Parameter::new(
            "use_tls",
            ParameterKind::Bool,
            "0",
            "Whether connections are encrypted if the server can; `?sslmode=require` or `verify-full` in the URL asks for \
             more.",
        )
        .section("use_tls"),
    ],
    ..Module::new("db_postgres", "https://docs.opensips.org/modules/devel/db_postgres/")
};

fn is_timeout(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(1..=60) => Ok(()),
        Some(..=0) => Err("nothing is waited for without end here; it is from 1 to 60 seconds".to_owned()),
        _ => Err("it is from 1 to 60 seconds".to_owned()),
    }
}

/// How a script wants servers asked.
pub(crate) fn options(program: &Program<Context>) -> Options {
    if !program.is_loaded("db_postgres") {
        return Options::default();
    }
    let parameters = &program.parameters;
    let timeout_s = u32::try_from(parameters.int("db_postgres", "timeout")).unwrap_or(5);
    Options {
        timeout_ms: timeout_s.saturating_mul(1000),
        tries: tries(program, "db_postgres"),
        use_tls: parameters.bool("db_postgres", "use_tls"),
        slow_us: slow_us(program, "db_postgres"),
        ..Options::default()
    }
}
