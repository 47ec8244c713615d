//! The tables of OpenSIPS that are kept here, and their versions.

/// The version of the `subscriber` table that has columns for SHA-256 and SHA-512/256.
pub(crate) const SUBSCRIBER_VERSION: i64 = 8;

/// The version of the `uri` table.
pub(crate) const URI_VERSION: i64 = 2;

/// The version that a table of this name is known with; nothing for one with a name of its own, which is taken to be
/// like `subscriber`.
pub(crate) fn known_version(table: &str) -> i64 {
    if table == "uri" { URI_VERSION } else { SUBSCRIBER_VERSION }
}

/// The table of versions.
pub(crate) const VERSION_TABLE: &str = "CREATE TABLE version (
        table_name CHAR(32) NOT NULL,
        table_version INTEGER DEFAULT 0 NOT NULL,
        CONSTRAINT t_name_idx UNIQUE (table_name))";

/// What a new SQLite file begins with. Columns, types and names are those that tools for OpenSIPS know.
pub(crate) const NEW_FILE: &[&str] = &[
    VERSION_TABLE,
    "CREATE TABLE subscriber (
        id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
        username CHAR(64) DEFAULT '' NOT NULL,
        domain CHAR(64) DEFAULT '' NOT NULL,
        password CHAR(25) DEFAULT '' NOT NULL,
        email_address CHAR(64) DEFAULT '' NOT NULL,
        ha1 CHAR(64) DEFAULT '' NOT NULL,
        ha1_sha256 CHAR(64) DEFAULT '' NOT NULL,
        ha1_sha512t256 CHAR(64) DEFAULT '' NOT NULL,
        rpid CHAR(64) DEFAULT NULL,
        CONSTRAINT account_idx UNIQUE (username, domain))",
    "CREATE INDEX username_idx ON subscriber (username)",
    "CREATE TABLE uri (
        id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
        username CHAR(64) DEFAULT '' NOT NULL,
        domain CHAR(64) DEFAULT '' NOT NULL,
        uri_user CHAR(64) DEFAULT '' NOT NULL,
        last_modified DATETIME DEFAULT '1900-01-01 00:00:01' NOT NULL,
        CONSTRAINT uri_account_idx UNIQUE (username, domain, uri_user))",
    "INSERT INTO version (table_name, table_version) VALUES ('subscriber', 8), ('uri', 2)",
];
