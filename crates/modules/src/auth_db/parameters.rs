//! The parameters of `auth_db`.

use std::sync::Arc;

use seawall_script::{Bytes, Parameter, ParameterKind, Program, Value};
use seawall_storage::{Database, Identifier};

use crate::auth_db::identifier;
use crate::auth_db::users::Users;
use crate::context::Context;
use crate::databases::{Source, is_url};
use crate::node::Node;

/// A parameter that renames a column.
macro_rules! column {
    ($name:literal, $default:literal, $doc:literal) => {
        Parameter::new($name, ParameterKind::Str, $default, $doc).section($name).check(is_column)
    };
}

/// What `modparam("auth_db", …)` sets.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "db_url",
        ParameterKind::Str,
        "",
        "The database with the users: sqlite:///path/of/the/file.db, postgres://user:password@host/database or \
         mysql://user:password@host/database. Without it, db_default_url. A file that is missing is made.",
    )
    .section("db_url")
    .check(is_url),
    Parameter::new(
        "calculate_ha1",
        ParameterKind::Bool,
        "0",
        "Whether password_column holds passwords; else it and the other two hold hashes of user, realm and password.",
    )
    .section("calculate_ha1"),
    Parameter::new("use_domain", ParameterKind::Bool, "1", "Whether users of two domains may have one name.")
        .section("use_domain"),
    Parameter::new(
        "load_credentials",
        ParameterKind::Str,
        "",
        "Columns to keep in variables when a user is authenticated: \"$avp(name)=column;other_column\".",
    )
    .section("load_credentials")
    .check(is_list),
    Parameter::new(
        "skip_version_check",
        ParameterKind::Bool,
        "0",
        "Whether tables are used whatever version the table `version` says.",
    )
    .section("skip_version_check"),
    column!("user_column", "username", "The column with the user in a table of users."),
    column!("domain_column", "domain", "The column with the domain in a table of users."),
    column!("password_column", "ha1", "The column with the MD5 hash, or with the password."),
    column!("hash_column_sha256", "ha1_sha256", "The column with the SHA-256 hash."),
    column!("hash_column_sha512t256", "ha1_sha512t256", "The column with the SHA-512/256 hash."),
    column!("uri_user_column", "username", "The column with the user who authenticates in a table of URIs."),
    column!("uri_domain_column", "domain", "The column with the realm in a table of URIs."),
    column!("uri_uriuser_column", "uri_user", "The column with the user part of the URI in a table of URIs."),
    Parameter::new(
        "cache_ttl",
        ParameterKind::Int,
        "3600",
        "How long a user who was looked up is remembered, 0 for not at all. A changed password is noticed at once, a user \
         removed behind the server's back after this. Not in OpenSIPS.",
    )
    .unit("s")
    .check(is_ttl),
    Parameter::new(
        "user_table",
        ParameterKind::Str,
        "subscriber",
        "The table that the MI commands of users change. Not in OpenSIPS.",
    )
    .check(is_column),
    Parameter::new(
        "user_realm",
        ParameterKind::Str,
        "",
        "The realm that the MI commands hash passwords for, the one that www_authorize() gets. Without it, the user's \
         domain. Not in OpenSIPS.",
    ),
];

fn is_column(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if identifier(text).is_none() => {
            Err("the name of a table or column has letters, digits and underscores".to_owned())
        }
        _ => Ok(()),
    }
}

fn is_ttl(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(0..=604_800) => Ok(()),
        _ => Err("it is from 0 seconds to a week".to_owned()),
    }
}

fn is_list(value: &Value) -> Result<(), String> {
    let Value::Str(text) = value else { return Ok(()) };
    load_list(text).map(drop).ok_or_else(|| {
        "it is a list of columns with semicolons between them, each with \"$avp(name)=\" before it or not"
            .to_owned()
    })
}

/// Reads `load_credentials`: names of variables and their columns.
fn load_list(text: &[u8]) -> Option<Vec<(Bytes, Identifier)>> {
    let text = std::str::from_utf8(text).ok()?;
    let items = text.split(';').map(str::trim).filter(|item| !item.is_empty());
    let read = |item: &str| match item.split_once('=') {
        None => Some((Bytes::copy(item.as_bytes()), Identifier::new(item).ok()?)),
        Some((variable, column)) => {
            let name = variable.trim().strip_prefix("$avp(")?.strip_suffix(')')?.trim();
            let name = (!name.is_empty()).then(|| Bytes::copy(name.as_bytes()))?;
            Some((name, Identifier::new(column.trim()).ok()?))
        }
    };
    items.map(read).collect()
}

/// The parameters in the form in which functions use them, and the users that were looked up under them.
#[derive(Clone, Debug)]
pub struct AuthDbSettings {
    source: Option<Source>,
    pub(super) calculate_ha1: bool,
    /// `use_domain`.
    pub use_domain: bool,
    pub(super) load: Vec<(Bytes, Identifier)>,
    pub(super) checks_version: bool,
    pub(super) columns: UserColumns,
    pub(super) uri: UriColumns,
    pub(super) cache_ttl_s: u64,
    pub(super) user_table: Option<Identifier>,
    pub(super) user_realm: String,
    pub(super) users: Arc<Users>,
}

/// The columns of a table of users.
#[derive(Clone, Debug)]
pub(super) struct UserColumns {
    pub user: Identifier,
    pub domain: Identifier,
    pub password: Identifier,
    pub sha256: Identifier,
    pub sha512t256: Identifier,
}

/// The columns of a table of URIs.
#[derive(Clone, Debug)]
pub(super) struct UriColumns {
    pub user: Identifier,
    pub domain: Identifier,
    pub uri_user: Identifier,
}

impl AuthDbSettings {
    /// Reads the parameters; nothing when the module is not loaded.
    pub(crate) fn new(program: &Program<Context>) -> Option<Self> {
        if !program.is_loaded("auth_db") {
            return None;
        }
        let parameters = &program.parameters;
        let text = |name: &str| {
            String::from_utf8_lossy(parameters.str("auth_db", name).unwrap_or_default()).into_owned()
        };
        // Names were checked at load.
        let column = |name: &str| Identifier::new(&text(name)).ok();
        Some(Self {
            source: Source::new(program, "auth_db"),
            calculate_ha1: parameters.bool("auth_db", "calculate_ha1"),
            use_domain: parameters.bool("auth_db", "use_domain"),
            load: load_list(parameters.str("auth_db", "load_credentials").unwrap_or_default())
                .unwrap_or_default(),
            checks_version: !parameters.bool("auth_db", "skip_version_check"),
            columns: UserColumns {
                user: column("user_column")?,
                domain: column("domain_column")?,
                password: column("password_column")?,
                sha256: column("hash_column_sha256")?,
                sha512t256: column("hash_column_sha512t256")?,
            },
            uri: UriColumns {
                user: column("uri_user_column")?,
                domain: column("uri_domain_column")?,
                uri_user: column("uri_uriuser_column")?,
            },
            cache_ttl_s: u64::try_from(parameters.int("auth_db", "cache_ttl")).unwrap_or(0),
            user_table: column("user_table"),
            user_realm: text("user_realm"),
            users: Arc::default(),
        })
    }

    /// The database; nothing when the script names none.
    #[must_use]
    pub fn database(&self, node: &Node) -> Option<Database> {
        self.source.as_ref().map(|source| source.database(node))
    }
}
