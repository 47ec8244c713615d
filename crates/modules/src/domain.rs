//! Module `domain`: whether a host is one of the domains that this server is responsible for.

mod names;

use std::sync::Arc;

use seawall_script::{
    Argument, ArgumentKind, Call, Flow, Function, Module, Parameter, ParameterKind, RouteKind, Routes, Setup,
    Value,
};
use seawall_script::{Bytes, Diagnostics};
use seawall_sip::{Name, Uri, name_addr};
use seawall_storage::{Identifier, StorageError};

use crate::context::Context;
use crate::databases::is_url;
use crate::waiting::{Answer, Errand};

pub use names::{DomainSettings, Local};

/// The variable that takes the attributes of the domain.
const ATTRS: Argument = Argument::new(
    "attrs_var",
    ArgumentKind::Variable,
    "Where the attributes of the domain go; NULL when it has none.",
)
.optional();

/// What the functions say.
const YES_OR_NO: &[(i64, &str)] = &[(1, "It is one of ours."), (-1, "It is not, or the database fails.")];

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[
        Parameter::new(
            "db_url",
            ParameterKind::Str,
            "",
            "The database with the domains: sqlite:///path/of/the/file.db, postgres://user:password@host/database or \
             mysql://user:password@host/database. Without it, db_default_url.",
        )
        .section("db_url")
        .check(is_url),
        Parameter::new(
            "db_mode",
            ParameterKind::Int,
            "0",
            "0: the database is asked each time. 1: all domains are read at the start, at a reload of the script and by MI \
             `domain_reload`.",
        )
        .section("db_mode")
        .check(check_mode),
        Parameter::new("domain_table", ParameterKind::Str, "domain", "The table of domains.")
            .section("domain_table")
            .check(is_name),
        Parameter::new("domain_col", ParameterKind::Str, "domain", "The column with the domain, in lower case.")
            .section("domain_col")
            .check(is_name),
        Parameter::new("attrs_col", ParameterKind::Str, "attrs", "The column with the attributes of the domain.")
            .section("attrs_col")
            .check(is_name),
        Parameter::new(
            "subdomain_col",
            ParameterKind::Str,
            "accept_subdomain",
            "The column that says whether all names below the domain are ours, too: above 0 they are.",
        )
        .section("subdomain_col")
        .check(is_name),
    ],
    functions: &[
        Function::<Context>::new(
            "is_from_local",
            &[ATTRS],
            Routes::REQUEST,
            "Whether the host of the From URI is one of ours.",
            is_from_local,
        )
        .section("is_from_local")
        .returns(YES_OR_NO),
        Function::<Context>::new(
            "is_uri_host_local",
            &[ATTRS],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH),
            "Whether the host of the Request-URI is one of ours; in a branch route that of the branch, which only works with \
             db_mode 1, because nothing can wait there.",
            is_uri_host_local,
        )
        .section("is_uri_host_local")
        .returns(YES_OR_NO),
        Function::<Context>::new(
            "is_domain_local",
            &[Argument::new("domain", ArgumentKind::Str, "The host."), ATTRS],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH),
            "Whether a host is one of ours; in a branch route only with db_mode 1.",
            is_domain_local,
        )
        .section("is_domain_local")
        .returns(YES_OR_NO),
    ],
    advise: Some(advise),
    ..Module::new("domain", "https://docs.opensips.org/modules/devel/domain/")
};

fn advise(setup: &Setup<'_>, diagnostics: &mut Diagnostics) {
    let asks = setup.parameters.int("domain", "db_mode") == 0;
    if let Some(url) = setup.parameters.all("domain", "db_url").last().filter(|_| asks) {
        diagnostics
            .warning(url.span, "the database is asked for each domain that a script looks at")
            .help("set `db_mode` of domain to 1; MI `domain_reload` reads the table again");
    }
}

fn check_mode(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(0 | 1) => Ok(()),
        _ => Err("the mode is 0 (ask the database) or 1 (read it at the start)".to_owned()),
    }
}

fn is_name(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text)
            if std::str::from_utf8(text).ok().is_none_or(|text| Identifier::new(text).is_err()) =>
        {
            Err("the name of a table or column has letters, digits and underscores".to_owned())
        }
        _ => Ok(()),
    }
}

fn is_from_local(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let from = name_addr::address(context.message(), Name::From).ok().map(|address| address.uri);
    let Some(host) = from.and_then(host_of) else { return Flow::FALSE };
    check(context, call, host, 0)
}

fn is_uri_host_local(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(host) = host_of(context.request_uri()) else { return Flow::FALSE };
    check(context, call, host, 0)
}

fn is_domain_local(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(host) = call.str(0).map(<[u8]>::to_vec) else { return Flow::FALSE };
    check(context, call, host, 1)
}

fn host_of(uri: &[u8]) -> Option<Vec<u8>> {
    Uri::parse(uri).ok().filter(Uri::is_sip).map(|uri| uri.host.to_vec())
}

/// Says whether a host is ours, after a query where that is not known in memory.
fn check(context: &mut Context, call: &mut Call<'_, Context>, host: Vec<u8>, output: usize) -> Flow {
    let Some(settings) = context.configuration.settings.domain.clone() else { return Flow::FALSE };
    if let Some(known) = settings.known(&host) {
        let Some(local) = known else { return Flow::FALSE };
        if call.present(output) && call.write(context, output, attributes(&local)).is_err() {
            return Flow::FALSE;
        }
        return Flow::TRUE;
    }
    if context.route == RouteKind::Branch {
        tracing::error!("line {}: domain: nothing can wait in a branch route; set db_mode to 1", call.line());
        return Flow::FALSE;
    }
    let Some(database) = settings.database(&context.node) else {
        tracing::error!("domain: there is no database: set its db_url");
        return Flow::FALSE;
    };
    let output = call.output(context, output);
    let task = async move {
        let answer: Answer = Box::new(settings.ask(&database, &host).await);
        answer
    };
    context.wait(Errand::Task(Box::pin(task)), move |context, answer| {
        let answer = answer.and_then(|answer| answer.downcast::<Result<Option<Local>, StorageError>>().ok());
        match answer.map(|answer| *answer) {
            Some(Ok(Some(local))) => {
                context.rare.outputs.extend(output.map(|output| (output, attributes(&local))));
                Flow::TRUE
            }
            Some(Ok(None)) => Flow::FALSE,
            Some(Err(error)) => {
                tracing::error!("domain: {error}");
                Flow::FALSE
            }
            None => {
                tracing::error!("domain: the database did not answer in time");
                Flow::FALSE
            }
        }
    })
}

fn attributes(local: &Local) -> Value {
    local.attributes.as_deref().map_or(Value::Null, |text| Value::Str(Bytes::from(text)))
}

/// Reads all domains again, if the script wants them in memory; how many there are. What was read before counts until
/// then, and when the database fails.
///
/// # Errors
/// The database fails, or the script names none.
pub async fn load(settings: &Arc<DomainSettings>, node: &crate::node::Node) -> Result<usize, StorageError> {
    match settings.database(node) {
        Some(database) => settings.load(&database).await,
        None => Err(StorageError::Query("domain: there is no database: set its db_url".to_owned())),
    }
}
