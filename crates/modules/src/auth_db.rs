//! Module `auth_db`: credentials checked against a table of users in a database.
//!
//! A user who was looked up is remembered for a while ([`users`]), so that a refresh costs no query and its script
//! does not wait. Who changes a password through MI is heard at once; a change behind our back is heard when the old
//! hash does not fit any more, and a removal when `cache_ttl` is over.

mod authorize;
pub mod manage;
mod mapping;
mod parameters;
mod users;

use seawall_script::{Argument, ArgumentKind, Call, Function, Module, Prepared, Routes, Value};
use seawall_storage::Identifier;

use crate::auth::check::Kind;
use crate::auth::{CODES, REALM};
use crate::context::Context;

pub use parameters::AuthDbSettings;

const USER_TABLE: Argument =
    Argument::new("table", ArgumentKind::Str, "The table of users, such as subscriber.");

const URI_TABLE: Argument =
    Argument::new("table", ArgumentKind::Str, "The table that says which user may be whom, such as uri.");

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: parameters::PARAMETERS,
    functions: &[
        Function::<Context>::new(
            "www_authorize",
            &[REALM, USER_TABLE],
            Routes::REQUEST,
            "Checks the credentials in Authorization against a table of users. The script waits for the database, unless \
             the user was looked up not long ago.",
            |context, call| authorize::authorize(context, call, Kind::Www),
        )
        .returns(CODES)
        .section("www_authorize")
        .prepare(check_table::<1>),
        Function::<Context>::new(
            "proxy_authorize",
            &[REALM, USER_TABLE],
            Routes::REQUEST,
            "Checks the credentials in Proxy-Authorization against a table of users, as www_authorize does.",
            |context, call| authorize::authorize(context, call, Kind::Proxy),
        )
        .returns(CODES)
        .section("proxy_authorize")
        .prepare(check_table::<1>),
        Function::<Context>::new(
            "db_is_to_authorized",
            &[URI_TABLE],
            Routes::REQUEST,
            "Whether the user who was authenticated may be the one in To.",
            mapping::to_is_authorized,
        )
        .returns(mapping::YES_OR_NO)
        .section("db_is_to_authorized")
        .prepare(check_table::<0>),
        Function::<Context>::new(
            "db_is_from_authorized",
            &[URI_TABLE],
            Routes::REQUEST,
            "Whether the user who was authenticated may be the one in From.",
            mapping::from_is_authorized,
        )
        .returns(mapping::YES_OR_NO)
        .section("db_is_from_authorized")
        .prepare(check_table::<0>),
        Function::<Context>::new(
            "db_does_uri_exist",
            &[Argument::new("uri", ArgumentKind::Str, "A SIP URI with a user."), USER_TABLE],
            Routes::REQUEST,
            "Whether a URI is that of a user in a table of users.",
            mapping::uri_exists,
        )
        .returns(mapping::YES_OR_NO)
        .section("db_does_uri_exist")
        .prepare(check_table::<1>),
        Function::<Context>::new(
            "db_get_auth_id",
            &[
                URI_TABLE,
                Argument::new("uri", ArgumentKind::Str, "A SIP URI with a user."),
                Argument::new("auth", ArgumentKind::Variable, "Gets the user who may be that."),
                Argument::new("realm", ArgumentKind::Variable, "Gets the domain of that user."),
            ],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::LOCAL),
            "Finds the user who may use a URI.",
            mapping::auth_id,
        )
        .returns(mapping::YES_OR_NO)
        .section("db_get_auth_id")
        .prepare(check_table::<0>),
    ],
    requires: &["auth"],
    ..Module::new("auth_db", "https://docs.opensips.org/modules/devel/auth_db/")
};

/// Checks the name of a table that is known at load.
fn check_table<const AT: usize>(argument: usize, value: &Value) -> Result<Prepared, String> {
    match value {
        Value::Str(text) if argument == AT => match identifier(text) {
            Some(name) => Ok(Prepared::new(name)),
            None => Err("the name of a table has letters, digits and underscores only".to_owned()),
        },
        _ => Ok(Prepared::new(())),
    }
}

/// A name of a table or column.
fn identifier(text: &[u8]) -> Option<Identifier> {
    Identifier::new(std::str::from_utf8(text).ok()?).ok()
}

/// The table that a call names.
fn table(call: &Call<'_, Context>, argument: usize) -> Option<Identifier> {
    if let Some(known) = call.prepared::<Identifier>(argument) {
        return Some(known.clone());
    }
    let found = identifier(call.str(argument)?);
    if found.is_none() {
        tracing::error!("line {}: this is not the name of a table", call.line());
    }
    found
}
