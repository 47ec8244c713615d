//! Accounting to a database: records wait in a bounded queue, and the engine writes them. No call waits for that.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use seawall_script::{Program, Value};
use seawall_storage::{Cell, Identifier};

use super::Extra;
use super::extra;
use crate::avps::Avps;
use crate::context::Context;
use crate::databases::Source;
use crate::store::limits::ACCOUNTS;

/// How many characters the columns of OpenSIPS's tables take; what is longer is cut, so that the rest is kept.
const METHOD: usize = 16;
const TAG: usize = 64;
const REASON: usize = 32;
const EXTRA: usize = 255;

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSettings {
    /// The database.
    pub source: Source,
    /// The table of completed transactions.
    pub completed: Identifier,
    /// The table of missed calls.
    pub missed_calls: Identifier,
    /// The columns: method, tags of From and To, Call-ID, code, reason, time, and those of `extra_fields`.
    pub columns: Vec<Identifier>,
}

impl DatabaseSettings {
    /// Reads the parameters; nothing when no database is named.
    pub(crate) fn new(program: &Program<Context>, extra: &Extra) -> Option<DatabaseSettings> {
        if !program.is_loaded("acc") {
            return None;
        }
        let named = |parameter: &str| name(program.parameters.str("acc", parameter).unwrap_or_default());
        let columns = ["method", "from_tag", "to_tag", "callid", "sip_code", "sip_reason", "time"];
        let columns = columns.iter().map(|column| named(&format!("acc_{column}_column")));
        let columns: Option<Vec<Identifier>> =
            columns.chain(extra.db.iter().map(|(_, column)| Some(column.clone()))).collect();
        Some(DatabaseSettings {
            source: Source::new(program, "acc")?,
            completed: named("db_table_acc")?,
            missed_calls: named("db_table_missed_calls")?,
            columns: columns?,
        })
    }
}

/// A name of a table or column.
pub(super) fn name(text: &[u8]) -> Option<Identifier> {
    Identifier::new(std::str::from_utf8(text).ok()?).ok()
}

/// Checks such a name.
pub(super) fn is_name(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if name(text).is_none() => {
            Err("the name of a table or column has letters, digits and underscores".to_owned())
        }
        _ => Ok(()),
    }
}

/// What is accounted of a request.
pub(super) struct Fields<'a> {
    pub(super) method: &'a [u8],
    pub(super) from_tag: &'a [u8],
    pub(super) to_tag: &'a [u8],
    pub(super) callid: &'a [u8],
    pub(super) code: u16,
    pub(super) reason: &'a [u8],
    pub(super) now_s: u64,
}

/// A record on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it goes.
    pub settings: Arc<DatabaseSettings>,
    /// The table.
    pub table: Identifier,
    /// Its values, in the order of the columns.
    pub cells: Vec<Cell>,
}

impl Entry {
    pub(super) fn new(
        settings: Arc<DatabaseSettings>,
        table: Identifier,
        fields: &Fields<'_>,
        extra: &Extra,
        avps: &Avps,
    ) -> Entry {
        let mut cells = vec![
            text(fields.method, METHOD),
            text(fields.from_tag, TAG),
            text(fields.to_tag, TAG),
            text(fields.callid, TAG),
            Cell::Text(format!("{:03}", fields.code)),
            text(fields.reason, REASON),
            Cell::Time(i64::try_from(fields.now_s).unwrap_or(i64::MAX)),
        ];
        let value = |tag: &[u8]| extra::value(avps, tag).map_or(Cell::Null, |value| text(&value, EXTRA));
        cells.extend(extra.db.iter().map(|(tag, _)| value(tag)));
        Entry { settings, table, cells }
    }
}

/// Bytes as the text that a column takes.
fn text(bytes: &[u8], most: usize) -> Cell {
    match Cell::of_bytes(bytes) {
        Cell::Text(text) if text.chars().count() > most => Cell::Text(text.chars().take(most).collect()),
        cell => cell,
    }
}

/// Tells the engine that there is something to write.
type Bell = Box<dyn Fn() + Send + Sync>;

/// The records that wait, and what became of the others.
#[derive(Default)]
pub struct Accounts {
    waiting: Mutex<VecDeque<Entry>>,
    bell: OnceLock<Bell>,
    /// Records that are in a database.
    pub written: AtomicU64,
    /// Records that were dropped, because too many waited.
    pub dropped: AtomicU64,
    /// Records that a database did not take.
    pub failed: AtomicU64,
}

impl Accounts {
    /// Sets what is called when a record waits.
    pub fn on_work(&self, bell: impl Fn() + Send + Sync + 'static) {
        let _ = self.bell.set(Box::new(bell));
    }

    /// Leaves a record to be written. When too many wait it is dropped and counted.
    pub(super) fn leave(&self, entry: Entry) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= ACCOUNTS {
            drop(waiting);
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // The log must not be the next victim.
            if dropped.is_power_of_two() {
                tracing::error!("acc: {dropped} records dropped: the database does not keep up");
            }
            return;
        }
        waiting.push_back(entry);
        drop(waiting);
        if let Some(bell) = self.bell.get() {
            bell();
        }
    }

    /// Takes the oldest records, those of one table.
    pub fn take(&self, most: usize) -> Vec<Entry> {
        let mut waiting = self.waiting.lock();
        let mut taken: Vec<Entry> = Vec::new();
        while taken.len() < most
            && let Some(next) = waiting.front()
            && taken.first().is_none_or(|first| first.table == next.table && first.settings == next.settings)
        {
            taken.extend(waiting.pop_front());
        }
        taken
    }

    /// Puts records back that could not be written yet.
    pub fn put_back(&self, entries: Vec<Entry>) {
        let mut waiting = self.waiting.lock();
        entries.into_iter().rev().for_each(|entry| waiting.push_front(entry));
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }
}
