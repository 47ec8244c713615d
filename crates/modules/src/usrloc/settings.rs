//! What the parameters of `usrloc` say about the database.

use seawall_script::{Program, Value};
use seawall_storage::location::{Column, Columns};
use seawall_storage::{DatabaseUrl, Identifier, Options};

use crate::context::Context;
use crate::databases;

/// The columns by the parameter that renames them.
pub(crate) const COLUMNS: &[(&str, Column)] = &[
    ("contact_id_column", Column::ContactId),
    ("user_column", Column::Username),
    ("domain_column", Column::Domain),
    ("contact_column", Column::Contact),
    ("expires_column", Column::Expires),
    ("q_column", Column::Q),
    ("callid_column", Column::Callid),
    ("cseq_column", Column::Cseq),
    ("methods_column", Column::Methods),
    ("flags_column", Column::Flags),
    ("cflags_column", Column::Cflags),
    ("user_agent_column", Column::UserAgent),
    ("received_column", Column::Received),
    ("socket_column", Column::Socket),
    ("path_column", Column::Path),
    ("sip_instance_column", Column::SipInstance),
    ("kv_store_column", Column::KvStore),
    ("attr_column", Column::Attr),
    ("last_modified_column", Column::LastModified),
];

/// When changes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Never: bindings are loaded at the start only.
    Never,
    /// Before they are answered.
    Through,
    /// Every `timer_interval`.
    Back,
}

/// Where bindings are kept besides memory.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSettings {
    /// The database, and how it is opened; none when the script names none.
    pub source: Option<(DatabaseUrl, Options)>,
    /// The names of the columns.
    pub columns: Columns,
    /// When changes are written.
    pub write: Write,
    /// Whether memory is no cache (`sql-only`).
    pub is_sql_only: bool,
    /// `timer_interval`.
    pub interval_s: u32,
    /// `regen_broken_contactid`.
    pub renews_ids: bool,
    /// `use_domain`.
    pub use_domain: bool,
}

impl StoreSettings {
    /// Reads the parameters; nothing when bindings are in memory only.
    pub(crate) fn new(program: &Program<Context>) -> Option<Self> {
        if !program.is_loaded("usrloc") {
            return None;
        }
        let parameters = &program.parameters;
        let given = |name: &str| parameters.is_set("usrloc", name).then(|| text(program, name));
        let write = mode(given)?;
        let url = Some(text(program, "db_url")).filter(|url| !url.is_empty());
        let url = url.or_else(|| program.globals.str("db_default_url"));
        let url = url.and_then(|url| DatabaseUrl::parse(&url).ok());
        let mut columns = Columns::default();
        for (name, column) in COLUMNS {
            // Names were checked at load.
            if let Ok(identifier) = Identifier::new(&text(program, name)) {
                columns.rename(*column, identifier);
            }
        }
        Some(Self {
            source: url.map(|url| {
                let options = databases::options(program, &url);
                (url, options)
            }),
            columns,
            write,
            is_sql_only: is_sql_only(given),
            interval_s: u32::try_from(parameters.int("usrloc", "timer_interval")).unwrap_or(60).max(1),
            renews_ids: parameters.bool("usrloc", "regen_broken_contactid"),
            use_domain: parameters.bool("usrloc", "use_domain"),
        })
    }
}

fn text(program: &Program<Context>, name: &str) -> String {
    String::from_utf8_lossy(program.parameters.str("usrloc", name).unwrap_or_default()).into_owned()
}

/// When changes are written, by `working_mode_preset` (1.3.2), else by `restart_persistency` and `sql_write_mode`; nothing
/// when there is no database. `given` is what the script gave to a parameter.
fn mode(given: impl Fn(&str) -> Option<String>) -> Option<Write> {
    if let Some(preset) = given("working_mode_preset") {
        return match preset.as_str() {
            "single-instance-sql-write-through" | "sql-only" => Some(Write::Through),
            "single-instance-sql-write-back" => Some(Write::Back),
            _ => None,
        };
    }
    if is_sql_only(&given) {
        return Some(Write::Through);
    }
    if given("restart_persistency").as_deref() != Some("load-from-sql") {
        return None;
    }
    Some(match given("sql_write_mode").as_deref() {
        Some("none") => Write::Never,
        Some("write-through") => Write::Through,
        _ => Write::Back,
    })
}

/// Whether there is no cache: by the preset, else by `cluster_mode`.
fn is_sql_only(given: impl Fn(&str) -> Option<String>) -> bool {
    given("working_mode_preset").or_else(|| given("cluster_mode")).as_deref() == Some("sql-only")
}

/// What `db_url` may be.
pub(crate) fn is_url(value: &Value) -> Result<(), String> {
    let Value::Str(text) = value else { return Ok(()) };
    DatabaseUrl::parse(&String::from_utf8_lossy(text)).map(drop).map_err(|error| error.to_string())
}

/// What a column may be called.
pub(crate) fn is_column(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text)
            if std::str::from_utf8(text).ok().is_none_or(|text| Identifier::new(text).is_err()) =>
        {
            Err("the name of a column has letters, digits and underscores".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preset_wins_over_the_single_parameters() {
        let check = |given: &[(&str, &str)], expected: Option<Write>| {
            let find = |name: &str| {
                given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(mode(find), expected, "{given:?}");
        };
        check(&[], None);
        check(&[("working_mode_preset", "single-instance-no-db")], None);
        check(&[("working_mode_preset", "single-instance-sql-write-through")], Some(Write::Through));
        check(&[("working_mode_preset", "single-instance-sql-write-back")], Some(Write::Back));
        check(&[("restart_persistency", "load-from-sql")], Some(Write::Back));
        check(&[("restart_persistency", "load-from-sql"), ("sql_write_mode", "none")], Some(Write::Never));
        check(
            &[("restart_persistency", "load-from-sql"), ("sql_write_mode", "write-through")],
            Some(Write::Through),
        );
        check(&[("restart_persistency", "none"), ("sql_write_mode", "write-through")], None);
        check(&[("sql_write_mode", "write-through")], None);
        check(&[("working_mode_preset", "sql-only")], Some(Write::Through));
        check(&[("cluster_mode", "sql-only")], Some(Write::Through));
        check(&[("working_mode_preset", "single-instance-no-db"), ("cluster_mode", "sql-only")], None);
        let both =
            [("working_mode_preset", "single-instance-no-db"), ("restart_persistency", "load-from-sql")];
        check(&both, None);
    }
}
