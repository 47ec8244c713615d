//! The table of domains: asked each time, or in memory.

use std::collections::HashMap;

use arc_swap::ArcSwapOption;
use seawall_script::Program;
use seawall_storage::{Cell, Database, Identifier, Select, StorageError};

use crate::context::Context;
use crate::databases::Source;
use crate::node::Node;

/// Domains that are kept in memory: more than any provider serves, and some megabytes.
const MAX_DOMAINS: u32 = 100_000;

/// How many names above a host the database is asked for: names of the DNS that mean anything have fewer labels, and a
/// request must not cost a hundred queries.
const MAX_PARENTS: usize = 8;

/// The table whose version is known.
const KNOWN_TABLE: &str = "domain";

/// A domain that is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// Its attributes.
    pub attributes: Option<Box<[u8]>>,
    /// Whether the names below it are ours, too.
    pub accepts_subdomains: bool,
}

/// The domains by name, in lower case.
type Names = HashMap<Box<[u8]>, Local>;

/// What `modparam("domain", …)` sets, and what was read.
#[derive(Debug)]
pub struct DomainSettings {
    source: Option<Source>,
    table: Identifier,
    columns: [Identifier; 3],
    /// Whether all domains are kept in memory.
    pub is_cached: bool,
    cache: ArcSwapOption<Names>,
}

impl DomainSettings {
    /// Reads the parameters; nothing when the module is not loaded.
    #[must_use]
    pub fn new(program: &Program<Context>) -> Option<DomainSettings> {
        if !program.is_loaded("domain") {
            return None;
        }
        let name = |parameter: &str| {
            let text = program.parameters.str("domain", parameter).unwrap_or_default();
            // It was checked at load.
            Identifier::new(&String::from_utf8_lossy(text)).ok()
        };
        Some(DomainSettings {
            source: Source::new(program, "domain"),
            table: name("domain_table")?,
            columns: [name("domain_col")?, name("attrs_col")?, name("subdomain_col")?],
            is_cached: program.parameters.int("domain", "db_mode") == 1,
            cache: ArcSwapOption::empty(),
        })
    }

    /// The database, if the script names one.
    #[must_use]
    pub fn database(&self, node: &Node) -> Option<Database> {
        self.source.as_ref().map(|source| source.database(node))
    }

    /// Whether a host is ours, if that is known in memory; nothing when the database has to be asked.
    pub(super) fn known(&self, host: &[u8]) -> Option<Option<Local>> {
        let names = self.cache.load();
        let names = names.as_ref()?;
        Some(candidates(&lower(host)).find_map(|(name, is_parent)| {
            names.get(name).filter(|local| !is_parent || local.accepts_subdomains).cloned()
        }))
    }

    /// Asks the database whether a host is ours.
    ///
    /// # Errors
    /// It fails.
    pub(super) async fn ask(&self, database: &Database, host: &[u8]) -> Result<Option<Local>, StorageError> {
        self.check_version(database).await?;
        let host = lower(host);
        let [domain, attributes, subdomain] = &self.columns;
        let select = Select::new(&self.table, &[attributes, subdomain], &[domain], 1);
        for (name, is_parent) in candidates(&host).take(MAX_PARENTS + 1) {
            // A name that is not UTF-8 is in no table.
            let Ok(name) = std::str::from_utf8(name) else { return Ok(None) };
            let rows = database.select(&select, &[Cell::from(name)]).await?;
            let found = rows.into_iter().next().map(|row| local(row.into_iter()));
            if let Some(local) = found.filter(|local| !is_parent || local.accepts_subdomains) {
                return Ok(Some(local));
            }
        }
        Ok(None)
    }

    /// Reads all domains; how many there are.
    ///
    /// # Errors
    /// The database fails, or has more domains than are kept: what was read before counts.
    pub(super) async fn load(&self, database: &Database) -> Result<usize, StorageError> {
        self.check_version(database).await?;
        let [domain, attributes, subdomain] = &self.columns;
        let select = Select::new(&self.table, &[domain, attributes, subdomain], &[], MAX_DOMAINS + 1);
        let rows = database.select(&select, &[]).await?;
        if rows.len() > usize::try_from(MAX_DOMAINS).unwrap_or(usize::MAX) {
            return Err(StorageError::Data(format!("there are more than {MAX_DOMAINS} domains")));
        }
        let named = rows.into_iter().filter_map(|row| {
            let mut cells = row.into_iter();
            let name = cells.next().and_then(Cell::into_text)?;
            Some((lower(name.trim().as_bytes()).into_boxed_slice(), local(cells)))
        });
        let names: Names = named.filter(|(name, _)| !name.is_empty()).collect();
        let count = names.len();
        self.cache.store(Some(names.into()));
        Ok(count)
    }

    async fn check_version(&self, database: &Database) -> Result<(), StorageError> {
        // A table with another name is taken to be right.
        if self.table.as_str() == KNOWN_TABLE { database.check_version(&self.table).await } else { Ok(()) }
    }

    /// The domains in memory by their names, in order.
    #[must_use]
    pub fn list(&self) -> Vec<(Box<[u8]>, Local)> {
        let names = self.cache.load();
        let all = names.iter().flat_map(|names| names.iter());
        let mut list: Vec<_> = all.map(|(name, local)| (name.clone(), local.clone())).collect();
        list.sort_by(|(one, _), (other, _)| one.cmp(other));
        list
    }
}

/// Attributes and `accept_subdomain` of a row.
fn local(mut cells: impl Iterator<Item = Cell>) -> Local {
    let attributes = cells.next().and_then(Cell::into_text).filter(|text| !text.is_empty());
    Local {
        attributes: attributes.map(|text| text.into_bytes().into_boxed_slice()),
        accepts_subdomains: cells.next().and_then(|cell| cell.as_integer()).is_some_and(|number| number > 0),
    }
}

/// A host in lower case, without the dot at its end.
fn lower(host: &[u8]) -> Vec<u8> {
    host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase()
}

/// A host, and then the names above it, which count only if they accept subdomains.
fn candidates(host: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    // An address has no names above it.
    let is_address = seawall_sip::uri::host_ip(host).is_some();
    let dots = host.iter().enumerate().filter(move |(_, byte)| **byte == b'.' && !is_address);
    let parents = dots.filter_map(|(at, _)| Some((host.get(at + 1..)?, true)));
    std::iter::once((host, false)).chain(parents).filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_above_a_host_are_tried_from_below() {
        let check = |host: &str, expected: &[(&str, bool)]| {
            let host = lower(host.as_bytes());
            let found: Vec<_> = candidates(&host)
                .map(|(name, up)| (String::from_utf8_lossy(name).into_owned(), up))
                .collect();
            let expected: Vec<_> = expected.iter().map(|(name, up)| ((*name).to_owned(), *up)).collect();
            assert_eq!(found, expected);
        };
        check("A.B.c", &[("a.b.c", false), ("b.c", true), ("c", true)]);
        check("example.", &[("example", false)]);
        check("192.0.2.1", &[("192.0.2.1", false)]);
        check("[2001:db8::1]", &[("[2001:db8::1]", false)]);
        check("a..b", &[("a..b", false), (".b", true), ("b", true)]);
        check("", &[]);
    }
}
