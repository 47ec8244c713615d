//! The tables of OpenSIPS that are kept here, their versions, and how they are made. Names, types and versions are those
//! that tools for OpenSIPS know; columns are wider only where what SIP allows is longer.

use crate::identifier::Identifier;
use crate::url::Kind;

/// The version of the `subscriber` table that has columns for SHA-256 and SHA-512/256.
pub(crate) const SUBSCRIBER_VERSION: i64 = 8;

/// The version that a table of this name is known with; that of `subscriber` for one with a name of its own, which is
/// taken to be like it.
pub(crate) fn known_version(table: &str) -> i64 {
    TABLES.iter().find(|known| known.name == table).map_or(SUBSCRIBER_VERSION, |known| known.version)
}

/// What a column holds.
#[derive(Clone, Copy, Debug)]
enum Holds {
    /// A number that the database counts, the primary key.
    Id,
    /// A number of 64 bits that we make, the primary key.
    Key,
    /// A short text that is the primary key.
    NameKey,
    /// A text of so many characters.
    Char(u16),
    Text,
    Integer,
    Big,
    Float,
    Date,
    Blob,
}

/// What a column holds when nothing is said.
#[derive(Clone, Copy, Debug)]
enum Else {
    Null,
    /// It is an error.
    Nothing,
    /// A literal of SQL.
    Default(&'static str),
}

type Definition = (&'static str, Holds, Else);

/// A table that is made by `seawall ctl db-init`.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) version: i64,
    columns: &'static [Definition],
    /// Name and columns of an index, and whether values are there once only.
    indexes: &'static [(&'static str, &'static str, bool)],
}

use Else::{Default, Nothing, Null};
use Holds::{Big, Blob, Char, Date, Float, Id, Integer, Key, NameKey, Text};

const EMPTY: Else = Default("''");
const LONG_AGO: Else = Default("'1900-01-01 00:00:01'");

/// The columns of `location`, in the order of `location::columns::ALL`.
const LOCATION: &[Definition] = &[
    ("contact_id", Key, Nothing),
    ("username", Char(64), EMPTY),
    ("domain", Char(64), Null),
    ("contact", Text, Nothing),
    ("received", Char(255), Null),
    // The document of OpenSIPS has 255 characters; two proxies with tokens in their Path need more.
    ("path", Text, Null),
    ("expires", Big, Nothing),
    ("q", Float, Default("1.0")),
    ("callid", Char(255), Default("'Default-Call-ID'")),
    ("cseq", Integer, Default("13")),
    ("last_modified", Date, LONG_AGO),
    ("flags", Integer, Default("0")),
    ("cflags", Char(255), Null),
    ("user_agent", Char(255), EMPTY),
    ("socket", Char(64), Null),
    ("methods", Integer, Null),
    ("sip_instance", Char(255), Null),
    ("kv_store", Text, Null),
    ("attr", Char(255), Null),
];

/// The columns that `acc` and `missed_calls` share.
macro_rules! accounted {
    ($($more:expr),*) => {
        &[
            ("id", Id, Nothing),
            ("method", Char(16), EMPTY),
            ("from_tag", Char(64), EMPTY),
            ("to_tag", Char(64), EMPTY),
            ("callid", Char(64), EMPTY),
            ("sip_code", Char(3), EMPTY),
            ("sip_reason", Char(32), EMPTY),
            ("time", Date, Nothing),
            $($more),*
        ]
    };
}

/// All tables but `version`, which says the versions of the others.
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: LOCATION_NAME,
        version: crate::location::VERSION,
        columns: LOCATION,
        indexes: &[("location_username_idx", "username", false)],
    },
    Table {
        name: "subscriber",
        version: SUBSCRIBER_VERSION,
        columns: &[
            ("id", Id, Nothing),
            ("username", Char(64), EMPTY),
            ("domain", Char(64), EMPTY),
            ("password", Char(25), EMPTY),
            ("email_address", Char(64), EMPTY),
            ("ha1", Char(64), EMPTY),
            ("ha1_sha256", Char(64), EMPTY),
            ("ha1_sha512t256", Char(64), EMPTY),
            ("rpid", Char(64), Null),
        ],
        indexes: &[("account_idx", "username, domain", true), ("subscriber_username_idx", "username", false)],
    },
    Table {
        name: "uri",
        version: 2,
        columns: &[
            ("id", Id, Nothing),
            ("username", Char(64), EMPTY),
            ("domain", Char(64), EMPTY),
            ("uri_user", Char(64), EMPTY),
            ("last_modified", Date, LONG_AGO),
        ],
        indexes: &[("uri_account_idx", "username, domain, uri_user", true)],
    },
    Table {
        name: "domain",
        version: 4,
        columns: &[
            ("id", Id, Nothing),
            ("domain", Char(64), EMPTY),
            ("attrs", Char(255), Null),
            ("accept_subdomain", Integer, Default("0")),
            ("last_modified", Date, LONG_AGO),
        ],
        indexes: &[("domain_idx", "domain", true)],
    },
    Table {
        name: "acc",
        version: 7,
        columns: accounted!(
            ("duration", Integer, Default("0")),
            ("ms_duration", Integer, Default("0")),
            ("setuptime", Integer, Default("0")),
            ("created", Date, Null)
        ),
        indexes: &[("acc_callid_idx", "callid", false)],
    },
    Table {
        name: "missed_calls",
        version: 5,
        columns: accounted!(("setuptime", Integer, Default("0")), ("created", Date, Null)),
        indexes: &[("missed_calls_callid_idx", "callid", false)],
    },
    Table {
        name: "seawall_state",
        version: 1,
        columns: &[("name", NameKey, Nothing), ("value", Blob, Nothing)],
        indexes: &[],
    },
];

/// A column as `CREATE TABLE` takes it.
fn definition(kind: Kind, name: &str, holds: Holds, otherwise: Else) -> String {
    let is_file = kind == Kind::Sqlite;
    let holds = match (holds, kind) {
        (Id, Kind::Sqlite) => "INTEGER PRIMARY KEY AUTOINCREMENT".to_owned(),
        (Id, Kind::Postgres) => "SERIAL PRIMARY KEY".to_owned(),
        (Id, Kind::Mysql) => "INT UNSIGNED AUTO_INCREMENT PRIMARY KEY".to_owned(),
        (Key, Kind::Sqlite) => "INTEGER PRIMARY KEY".to_owned(),
        (Key, Kind::Postgres) => "BIGINT PRIMARY KEY".to_owned(),
        (Key, Kind::Mysql) => "BIGINT UNSIGNED PRIMARY KEY".to_owned(),
        (NameKey, Kind::Mysql) => "VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY".to_owned(),
        (NameKey, _) => "VARCHAR(64) PRIMARY KEY".to_owned(),
        (Char(length), Kind::Postgres) => format!("VARCHAR({length})"),
        (Char(length), _) => format!("CHAR({length})"),
        (Text, _) => "TEXT".to_owned(),
        (Integer, _) => "INTEGER".to_owned(),
        (Big, _) if is_file => "INTEGER".to_owned(),
        (Big, _) => "BIGINT".to_owned(),
        (Float, Kind::Postgres) => "REAL".to_owned(),
        (Float, _) => "FLOAT".to_owned(),
        (Date, Kind::Postgres) => "TIMESTAMP".to_owned(),
        (Date, _) => "DATETIME".to_owned(),
        (Blob, Kind::Postgres) => "BYTEA".to_owned(),
        (Blob, Kind::Mysql) => "LONGBLOB".to_owned(),
        (Blob, Kind::Sqlite) => "BLOB".to_owned(),
    };
    let otherwise = match otherwise {
        Null => " DEFAULT NULL".to_owned(),
        Nothing => " NOT NULL".to_owned(),
        Default(value) => format!(" DEFAULT {value} NOT NULL"),
    };
    format!("`{name}` {holds}{otherwise}")
}

/// Statements that make a table, under a name of its own, with names of columns of its own.
fn create(
    kind: Kind,
    table: &Table,
    name: &str,
    rename: impl Fn(usize, &'static str) -> String,
) -> Vec<String> {
    let columns: Vec<String> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, (column, holds, otherwise))| {
            definition(kind, &rename(index, column), *holds, *otherwise)
        })
        .collect();
    let mut statements = vec![format!("CREATE TABLE `{name}` ({})", columns.join(", "))];
    for (index, columns, is_unique) in table.indexes {
        let unique = if *is_unique { "UNIQUE " } else { "" };
        let index = if name == table.name { (*index).to_owned() } else { format!("{name}_{index}") };
        let columns: Vec<String> = columns
            .split(", ")
            .map(|column| {
                let at = table.columns.iter().position(|(known, ..)| *known == column);
                let (at, known) = at.zip(Some(column)).unwrap_or((usize::MAX, column));
                format!("`{}`", if at == usize::MAX { known.to_owned() } else { rename(at, known) })
            })
            .collect();
        statements.push(format!("CREATE {unique}INDEX `{index}` ON `{name}` ({})", columns.join(", ")));
    }
    statements
}

/// Statements that make the table of versions.
pub(crate) fn create_version(kind: Kind) -> Vec<String> {
    let name = definition(kind, "table_name", Char(32), Nothing);
    let version = definition(kind, "table_version", Integer, Default("0"));
    vec![
        format!("CREATE TABLE `version` ({name}, {version})"),
        "CREATE UNIQUE INDEX `t_name_idx` ON `version` (`table_name`)".to_owned(),
    ]
}

/// The statement that says which version a table has.
pub(crate) fn set_version(name: &str, version: i64) -> String {
    format!("INSERT INTO `version` (`table_name`, `table_version`) VALUES ('{name}', {version})")
}

/// Statements that make the location table under a name of its own, with names of columns of its own in the order of
/// `location::columns::ALL`.
pub(crate) fn create_location(kind: Kind, name: &Identifier, columns: &[&str]) -> Vec<String> {
    let rename = |index: usize, known: &str| (*columns.get(index).unwrap_or(&known)).to_owned();
    let table = TABLES.iter().find(|table| table.name == LOCATION_NAME);
    table.map(|table| create(kind, table, name.as_str(), rename)).unwrap_or_default()
}

/// Statements that make the table of our own.
pub(crate) fn create_state(kind: Kind) -> Vec<String> {
    let table = TABLES.iter().find(|table| table.name == "seawall_state");
    table.map(|table| create(kind, table, table.name, |_, name| name.to_owned())).unwrap_or_default()
}

/// The name that the location table has when nobody says otherwise.
pub(crate) const LOCATION_NAME: &str = "location";

/// Statements that make all tables.
pub(crate) fn create_all(kind: Kind) -> Vec<String> {
    let mut statements = create_version(kind);
    TABLES.iter().for_each(|table| statements.extend(create_as_known(kind, table)));
    statements
}

/// Statements that make the tables of a new SQLite file but the location table, which may be wanted with names of its own.
pub(crate) fn create_file() -> Vec<String> {
    let mut statements = create_version(Kind::Sqlite);
    let others = TABLES.iter().filter(|table| table.name != LOCATION_NAME);
    others.for_each(|table| statements.extend(create_as_known(Kind::Sqlite, table)));
    statements
}

/// Statements that make the location table with the names that everybody knows.
pub(crate) fn create_known_location(kind: Kind) -> Vec<String> {
    let table = TABLES.iter().find(|table| table.name == LOCATION_NAME);
    table.map(|table| create_as_known(kind, table)).unwrap_or_default()
}

fn create_as_known(kind: Kind, table: &Table) -> Vec<String> {
    let mut statements = create(kind, table, table.name, |_, name| name.to_owned());
    statements.push(set_version(table.name, table.version));
    statements
}
