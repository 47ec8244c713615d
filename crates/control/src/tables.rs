//! Replies as tables for people.

use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::dump_reader::{Binding, Record};

/// Rows that decide the widths of the columns; later rows are written as they come.
const ROWS_MEASURED: usize = 200;
/// A cell is padded at most to this width, so that one long value does not push the others away.
const WIDEST: usize = 60;
const GAP: &str = "  ";

/// A table that is written row by row.
pub(crate) struct Table<'a> {
    out: &'a mut dyn Write,
    waiting: Vec<Vec<String>>,
    widths: Vec<usize>,
    flowing: bool,
}

impl<'a> Table<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, heads: &[&str]) -> Self {
        let mut table = Table { out, widths: Vec::new(), waiting: Vec::new(), flowing: false };
        table.restart(heads.iter().map(|head| (*head).to_owned()).collect());
        table
    }

    /// Begins another table of these columns; what came before must have flowed.
    fn restart(&mut self, heads: Vec<String>) {
        self.widths.clear();
        self.flowing = false;
        self.waiting = if heads.is_empty() { Vec::new() } else { vec![heads] };
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) -> io::Result<()> {
        if self.flowing {
            return write_row(self.out, &self.widths, &cells);
        }
        self.waiting.push(cells);
        if self.waiting.len() > ROWS_MEASURED { self.flow() } else { Ok(()) }
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flow()
    }

    fn flow(&mut self) -> io::Result<()> {
        for row in &self.waiting {
            for (at, cell) in row.iter().enumerate() {
                let width = cell.chars().count().min(WIDEST);
                match self.widths.get_mut(at) {
                    Some(known) => *known = width.max(*known),
                    None => self.widths.push(width),
                }
            }
        }
        self.flowing = true;
        for row in std::mem::take(&mut self.waiting) {
            write_row(self.out, &self.widths, &row)?;
        }
        Ok(())
    }
}

fn write_row(out: &mut dyn Write, widths: &[usize], cells: &[String]) -> io::Result<()> {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let fill = width.saturating_sub(cell.chars().count());
        line.push_str(cell);
        line.push_str(&" ".repeat(fill));
        line.push_str(GAP);
    }
    writeln!(out, "{}", line.trim_end())
}

/// Text that is safe on a terminal: a client's User-Agent may hold escape sequences.
pub(crate) fn safe(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{FFFD}' } else { letter }).collect()
}

/// A scalar as people read it.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => safe(text),
        Some(other) => safe(&other.to_string()),
    }
}

/// The columns of a table of bindings: what they are called, and the member they show.
const BINDING_COLUMNS: [(&str, &str); 7] = [
    ("Contact", "Contact"),
    ("Expires", "Expires"),
    ("Q", "Q"),
    ("Flags", "Flags"),
    ("Socket", "Socket"),
    ("User-Agent", "User-agent"),
    ("Received", "Received"),
];

/// Writes records as they come, a table for each location table.
pub(crate) struct Bindings<'a> {
    table: Table<'a>,
    location: String,
    records: u64,
    contacts: u64,
}

impl<'a> Bindings<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Bindings { table: Table::new(out, &[]), location: String::new(), records: 0, contacts: 0 }
    }

    /// Takes the next record of the location table of this name; the name may be empty.
    pub(crate) fn record(&mut self, location: &str, record: &Record) -> io::Result<()> {
        if self.records == 0 || self.location != location {
            self.begin(location)?;
        }
        self.records += 1;
        for binding in &record.contacts {
            self.contacts += 1;
            self.table.row(binding_row(&record.aor, binding))?;
        }
        Ok(())
    }

    fn begin(&mut self, location: &str) -> io::Result<()> {
        self.table.flow()?;
        if self.records > 0 {
            writeln!(self.table.out)?;
        }
        if !location.is_empty() {
            writeln!(self.table.out, "Table {}", safe(location))?;
        }
        self.location = location.to_owned();
        let heads = std::iter::once("AOR").chain(BINDING_COLUMNS.iter().map(|(head, _)| *head));
        self.table.restart(heads.map(str::to_owned).collect());
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.table.flow()?;
        if self.records > 0 {
            writeln!(self.table.out)?;
        }
        let (contacts, records) = (count(self.contacts, "contact"), count(self.records, "address"));
        writeln!(self.table.out, "{contacts}, {records} of record")
    }
}

fn count(number: u64, what: &str) -> String {
    match (number, what.ends_with('s')) {
        (1, _) => format!("1 {what}"),
        (_, true) => format!("{number} {what}es"),
        _ => format!("{number} {what}s"),
    }
}

fn binding_row(aor: &str, binding: &Binding) -> Vec<String> {
    let mut row = vec![safe(aor)];
    row.extend(BINDING_COLUMNS.iter().map(|(_, member)| cell(binding.get(*member))));
    row
}

/// Writes any result in the form that suits its shape.
pub(crate) fn write_value(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    match value {
        Value::Array(items) if items.iter().any(Value::is_object) => write_objects(out, items),
        Value::Array(items) => items.iter().try_for_each(|item| writeln!(out, "{}", cell(Some(item)))),
        Value::Object(members) if is_statistics(members) => write_statistics(out, members),
        Value::Object(members) => write_object(out, members),
        Value::String(text) => text.lines().try_for_each(|line| writeln!(out, "{}", safe(line))),
        scalar => writeln!(out, "{}", cell(Some(scalar))),
    }
}

/// An object: its plain members first, then each list under its name.
fn write_object(out: &mut dyn Write, members: &Map<String, Value>) -> io::Result<()> {
    let is_plain = |value: &Value| !value.is_object() && !value.is_array();
    let width =
        members.iter().filter(|(_, value)| is_plain(value)).map(|(name, _)| name.chars().count()).max();
    for (name, value) in members.iter().filter(|(_, value)| is_plain(value)) {
        let width = width.unwrap_or(0);
        writeln!(out, "{:width$}{GAP}{}", safe(name), cell(Some(value)))?;
    }
    for (name, value) in members.iter().filter(|(_, value)| !is_plain(value)) {
        if members.len() > 1 {
            writeln!(out, "\n{}", safe(name))?;
        }
        write_value(out, value)?;
    }
    Ok(())
}

fn write_objects(out: &mut dyn Write, items: &[Value]) -> io::Result<()> {
    let mut heads: Vec<&str> = Vec::new();
    for member in items.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !heads.contains(&member.as_str()) {
            heads.push(member);
        }
    }
    let shown: Vec<String> = heads.iter().map(|head| safe(head)).collect();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    let mut table = Table::new(out, &shown);
    for item in items {
        table.row(heads.iter().map(|head| cell(item.get(head))).collect())?;
    }
    table.finish()
}

/// Whether all members are named `group:name`.
fn is_statistics(members: &Map<String, Value>) -> bool {
    !members.is_empty() && members.keys().all(|name| name.contains(':'))
}

fn write_statistics(out: &mut dyn Write, members: &Map<String, Value>) -> io::Result<()> {
    let mut groups: Vec<(&str, Vec<(&str, &Value)>)> = Vec::new();
    for (full, value) in members {
        let (group, name) = full.split_once(':').unwrap_or(("", full));
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, names)) => names.push((name, value)),
            None => groups.push((group, vec![(name, value)])),
        }
    }
    for (group, names) in groups {
        writeln!(out, "{}", safe(group))?;
        let width = names.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in names {
            writeln!(out, "{GAP}{:width$}{GAP}{:>12}", safe(name), cell(Some(value)))?;
        }
    }
    Ok(())
}
