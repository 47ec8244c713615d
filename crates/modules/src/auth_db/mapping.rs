//! Who may be whom: the table of URIs, and whether a URI is a user's.

use std::sync::Arc;

use seawall_script::{Call, Flow, Value};
use seawall_sip::uri::escape::unescape_into;
use seawall_sip::{Name, Uri, name_addr};
use seawall_storage::{Cell, Identifier, Select, StorageError};

use crate::auth_db::authorize::authenticated;
use crate::context::Context;
use crate::waiting::{self, Errand};

/// The codes of these functions.
pub(super) const YES_OR_NO: &[(i64, &str)] = &[(1, "Yes."), (-1, "No, or the database fails.")];

type Rows = Result<Vec<Vec<Cell>>, StorageError>;

/// Runs a look-up; `then` gets the first row.
fn first(
    context: &mut Context,
    table: &Identifier,
    (select, values): (Select, Vec<Cell>),
    then: impl FnOnce(&mut Context, Vec<Cell>) + Send + 'static,
) -> Flow {
    let configuration = Arc::clone(&context.configuration);
    let settings = configuration.settings.auth_db.as_ref();
    let Some((settings, database)) =
        settings.and_then(|settings| Some((settings, settings.database(&context.node)?)))
    else {
        tracing::error!("auth_db: there is no database: set db_url");
        return Flow::FALSE;
    };
    let checked = settings.checks_version.then(|| table.clone());
    let task = async move {
        let rows: Rows = async {
            if let Some(table) = checked {
                database.check_version(&table).await?;
            }
            database.select(&select, &values).await
        }
        .await;
        let answer: waiting::Answer = Box::new(rows);
        answer
    };
    context.wait(Errand::Task(Box::pin(task)), move |context, answer| {
        match answer.and_then(|answer| answer.downcast::<Rows>().ok()).map(|answer| *answer) {
            Some(Ok(rows)) => match rows.into_iter().next() {
                Some(row) => {
                    then(context, row);
                    Flow::TRUE
                }
                None => Flow::FALSE,
            },
            Some(Err(error)) => {
                tracing::error!("auth_db: {error}");
                Flow::FALSE
            }
            None => {
                tracing::error!("auth_db: the database did not answer in time");
                Flow::FALSE
            }
        }
    })
}

/// The user, unescaped, and the host of a URI.
fn user_and_host(uri: &[u8]) -> Option<(String, String)> {
    let uri = Uri::parse(uri).ok().filter(Uri::is_sip)?;
    let mut user = Vec::new();
    unescape_into(uri.user.filter(|user| !user.is_empty())?, &mut user).ok()?;
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    Some((text(&user)?, text(uri.host)?.to_ascii_lowercase()))
}

pub(super) fn to_is_authorized(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    is_authorized(context, call, Name::To)
}

pub(super) fn from_is_authorized(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    is_authorized(context, call, Name::From)
}

fn is_authorized(context: &mut Context, call: &mut Call<'_, Context>, header: Name) -> Flow {
    let Some(table) = super::table(call, 0) else { return Flow::FALSE };
    let Some((user, realm)) = authenticated(context) else {
        tracing::error!("line {}: nobody was authenticated before", call.line());
        return Flow::FALSE;
    };
    let address = name_addr::address(context.message(), header).ok();
    let Some((uri_user, _)) = address.and_then(|address| user_and_host(address.uri)) else {
        return Flow::FALSE;
    };
    let Some(settings) = &context.configuration.settings.auth_db else { return Flow::FALSE };
    let columns = &settings.uri;
    let mut keys = vec![&columns.user, &columns.uri_user];
    let mut values = vec![Cell::Text(user), Cell::Text(uri_user)];
    if settings.use_domain {
        keys.push(&columns.domain);
        values.push(Cell::Text(realm));
    }
    let query = (Select::new(&table, &[], &keys, 1), values);
    first(context, &table, query, |_, _| {})
}

pub(super) fn uri_exists(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(table) = super::table(call, 1) else { return Flow::FALSE };
    let Some((user, host)) = call.str(0).and_then(user_and_host) else { return Flow::FALSE };
    let Some(settings) = &context.configuration.settings.auth_db else { return Flow::FALSE };
    let columns = &settings.columns;
    let mut keys = vec![&columns.user];
    let mut values = vec![Cell::Text(user)];
    if settings.use_domain {
        keys.push(&columns.domain);
        values.push(Cell::Text(host));
    }
    let query = (Select::new(&table, &[], &keys, 1), values);
    first(context, &table, query, |_, _| {})
}

pub(super) fn auth_id(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(table) = super::table(call, 0) else { return Flow::FALSE };
    let Some((user, host)) = call.str(1).and_then(user_and_host) else { return Flow::FALSE };
    let outputs = [call.output(context, 2), call.output(context, 3)];
    let Some(settings) = &context.configuration.settings.auth_db else { return Flow::FALSE };
    let columns = &settings.uri;
    let mut keys = vec![&columns.uri_user];
    let mut values = vec![Cell::Text(user)];
    if settings.use_domain {
        keys.push(&columns.domain);
        values.push(Cell::Text(host));
    }
    let query = (Select::new(&table, &[&columns.user, &columns.domain], &keys, 1), values);
    first(context, &table, query, |context, row| {
        for (output, cell) in outputs.into_iter().zip(row) {
            let value = cell.into_text().map_or(Value::Null, Value::str);
            context.rare.outputs.extend(output.map(|output| (output, value)));
        }
    })
}
