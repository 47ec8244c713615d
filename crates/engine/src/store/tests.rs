//! The writer and the loader over a table that is slow, fails, or says nothing.

mod flusher;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use seawall_location::{Binding, Domain, Numbers, Removal};
use seawall_modules::configuration::Configuration;
use seawall_modules::events::Gather;
use seawall_modules::node::Node;
use seawall_modules::store::{Backend, Doing, Drafted, Fate, Loading, StoredTable, granted};
use seawall_storage::location::{BrokenRow, Page, Row, RowChange};
use seawall_storage::{Storage, StorageError};
use tokio::sync::{Notify, Semaphore, watch};

use super::writer::Writer;
use crate::script::{Source, load_script};

const NOW_S: u64 = 1_800_000_000;
const SCRIPT: &str = r#"
loadmodule "signaling.so"
loadmodule "sl.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "db_sqlite.so"
modparam("usrloc", "working_mode_preset", "@PRESET@")
modparam("usrloc", "db_url", "sqlite:///nowhere/location.db")
route { exit; }
"#;

/// What the table does with the next group.
enum Next {
    Refuse(StorageError),
    /// It does it and loses the connection before it says so.
    KeepAndLose,
}

/// A table in memory.
#[derive(Default)]
struct Fake {
    rows: Mutex<BTreeMap<u64, Row>>,
    next: Mutex<VecDeque<Next>>,
    /// No value of this user is taken.
    poison: Mutex<Option<Vec<u8>>>,
    groups: AtomicUsize,
    /// While there is none, groups wait.
    permits: Mutex<Option<Arc<Semaphore>>>,
    broken: Mutex<Vec<BrokenRow>>,
    /// Called with the changes of each group.
    seen: Mutex<Option<Seen>>,
}

type Seen = Box<dyn Fn(&[RowChange]) + Send>;

impl Fake {
    fn keep(&self, changes: &[RowChange]) {
        let mut rows = self.rows.lock();
        for change in changes {
            match change {
                RowChange::Upsert(row) => drop(rows.insert(row.contact_id, (**row).clone())),
                RowChange::Delete { contact_id } => drop(rows.remove(contact_id)),
            }
        }
    }

    fn contacts(&self) -> Vec<String> {
        let text = |row: &Row| String::from_utf8_lossy(&row.contact).into_owned();
        let mut contacts: Vec<String> = self.rows.lock().values().map(text).collect();
        contacts.sort();
        contacts
    }
}

impl Backend for Fake {
    fn prepare(&self) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn apply(&self, changes: Vec<RowChange>) -> Doing<'_, Vec<RowChange>> {
        Box::pin(async move {
            self.groups.fetch_add(1, Ordering::Relaxed);
            if let Some(seen) = &*self.seen.lock() {
                seen(&changes);
            }
            let permits = self.permits.lock().clone();
            if let Some(permits) = permits {
                permits.acquire().await.unwrap().forget();
            }
            let is_poison = |change: &RowChange| match change {
                RowChange::Upsert(row) => Some(&row.username) == self.poison.lock().as_ref(),
                RowChange::Delete { .. } => false,
            };
            if changes.iter().any(is_poison) {
                return Err(StorageError::Data("too long".to_owned()));
            }
            match self.next.lock().pop_front() {
                Some(Next::Refuse(error)) => return Err(error),
                Some(Next::KeepAndLose) => {
                    self.keep(&changes);
                    return Err(StorageError::Unknown("cut".to_owned()));
                }
                None => self.keep(&changes),
            }
            Ok(changes)
        })
    }

    fn rows_of<'a>(&'a self, username: &'a [u8], _: Option<&'a [u8]>) -> Doing<'a, Vec<Row>> {
        let of = move |row: &&Row| row.username == username;
        Box::pin(async move { Ok(self.rows.lock().values().filter(of).cloned().collect()) })
    }

    fn page(&self, after: Option<u64>, _: u32) -> Doing<'_, Page> {
        // Two rows a page, so that there are several.
        let from = after.map_or(0, |after| after + 1);
        let rows: Vec<Row> = self.rows.lock().range(from..).take(2).map(|(_, row)| row.clone()).collect();
        let last = rows.last().map(|row| row.contact_id).filter(|_| rows.len() == 2);
        let broken = std::mem::take(&mut *self.broken.lock());
        Box::pin(async move { Ok(Page { rows, broken, last }) })
    }

    fn count(&self) -> Doing<'_, u64> {
        Box::pin(async { Ok(self.rows.lock().len() as u64) })
    }

    fn delete_expired(&self, before_s: i64) -> Doing<'_, u64> {
        self.rows.lock().retain(|_, row| row.expires == 0 || row.expires >= before_s);
        Box::pin(async { Ok(0) })
    }

    fn settle(&self) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// A server with a table, and what writes it.
struct Bench {
    node: Arc<Node>,
    table: Arc<Fake>,
    stored: Arc<StoredTable>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new(loading: Loading) -> Bench {
        Bench::with("single-instance-sql-write-through", loading)
    }

    fn with(preset: &str, loading: Loading) -> Bench {
        let text = SCRIPT.replace("@PRESET@", preset);
        let source = Source::Text { name: "test".to_owned(), text };
        let configuration = Configuration::new(load_script(&source, false).unwrap().program);
        let node = crate::start::node(configuration, Vec::new(), 1, Storage::default(), None).unwrap();
        let (node, table) = (Arc::new(node), Arc::new(Fake::default()));
        let stored = node.store.add(Bench::domain_of(&node), Arc::clone(&table) as _, loading);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        Bench { node, table, stored, runtime: runtime.unwrap() }
    }

    fn domain_of(node: &Node) -> Arc<Domain> {
        node.location.domain("location").unwrap()
    }

    /// Makes a change that somebody waits for.
    fn change(
        &self,
        aor: &str,
        act: impl FnOnce(&mut seawall_location::Entry<'_>, &mut Gather<'_>),
    ) -> Drafted {
        let mut events = Vec::new();
        let mut gather = Gather::new(&self.node, false, &mut events);
        gather.wait_for();
        act(&mut self.stored.domain.lock(aor.as_bytes(), NOW_S), &mut gather);
        gather.finish().unwrap()
    }

    fn register(&self, aor: &str, contact: &str) -> Drafted {
        self.change(aor, |entry, gather| assert!(entry.insert(&binding(contact), gather).is_ok()))
    }

    /// Writes until everything is decided.
    fn write(&self) {
        let work = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(true);
        let told = Box::new(|| ());
        let writer = Writer { node: Arc::clone(&self.node), work, stop: stopped, told };
        self.runtime.block_on(writer.run());
        drop(stop);
        assert!(self.node.store.journal.is_empty());
    }

    fn contacts(&self, aor: &str) -> Vec<String> {
        let entry = self.stored.domain.lock(aor.as_bytes(), NOW_S);
        entry.bindings().map(|binding| String::from_utf8_lossy(binding.contact).into_owned()).collect()
    }
}

fn binding(contact: &str) -> Binding<'_> {
    let numbers = Numbers { expires_s: NOW_S as u32 + 600, ..Numbers::default() };
    Binding { numbers, contact: contact.as_bytes(), ..Binding::default() }
}

#[test]
fn many_operations_share_a_group_and_are_kept_in_their_order() {
    let bench = Bench::new(Loading::done());
    let first = bench.register("alice@a", "sip:one@a");
    let more: Vec<Drafted> = (0..50).map(|user| bench.register(&format!("u{user}@a"), "sip:u@a")).collect();
    let gone = bench.change("alice@a", |entry, gather| {
        entry.remove(gather, |_, _| Some(Removal::Asked));
        entry.insert(&binding("sip:two@a"), gather).unwrap();
    });
    assert_eq!(first.ticket.fate(), Fate::Open);
    bench.write();
    assert!(more.iter().chain([&first, &gone]).all(|drafted| drafted.ticket.fate() == Fate::Kept));
    assert_eq!(bench.table.groups.load(Ordering::Relaxed), 1);
    assert_eq!(
        bench.table.contacts().iter().filter(|contact| *contact != "sip:u@a").collect::<Vec<_>>(),
        ["sip:two@a"]
    );
}

#[test]
fn what_fails_is_taken_back_with_all_that_followed_it() {
    let bench = Bench::new(Loading::done());
    bench.register("alice@a", "sip:old@a");
    bench.write();
    bench.table.next.lock().push_back(Next::Refuse(StorageError::Full));
    let failed = bench.register("alice@a", "sip:new@a");
    let other = bench.register("bob@a", "sip:bob@a");
    let behind = bench.change("alice@a", |entry, gather| {
        entry.remove(gather, |_, binding| (binding.contact == b"sip:old@a").then_some(Removal::Asked));
    });
    assert_eq!(bench.contacts("alice@a"), ["sip:new@a"]);
    bench.write();
    for drafted in [failed, other, behind] {
        assert_eq!(drafted.ticket.fate(), Fate::Failed);
    }
    assert_eq!(bench.contacts("alice@a"), ["sip:old@a"]);
    assert_eq!(bench.contacts("bob@a"), [""; 0]);
    assert_eq!(bench.table.contacts(), ["sip:old@a"]);
    // The next one is served as if nothing had been.
    let again = bench.register("alice@a", "sip:new@a");
    bench.write();
    assert_eq!(again.ticket.fate(), Fate::Kept);
    assert_eq!(bench.table.contacts(), ["sip:new@a", "sip:old@a"]);
}

#[test]
fn what_another_server_has_taken_is_taken_back_and_lost_for_good() {
    let bench = Bench::new(Loading::done());
    bench.register("alice@a", "sip:old@a");
    bench.write();
    let by = "another server".to_owned();
    bench.table.next.lock().push_back(Next::Refuse(StorageError::TakenOver { table: "location".into(), by }));
    let failed = bench.register("alice@a", "sip:new@a");
    bench.write();
    assert_eq!(failed.ticket.fate(), Fate::Failed);
    assert_eq!(
        (bench.contacts("alice@a"), bench.table.contacts()),
        (vec!["sip:old@a".into()], vec!["sip:old@a".into()])
    );
    assert!(bench.node.store.ownership.is_lost() && bench.node.store.ownership.is_doubtful(1));
}

#[test]
fn one_value_that_is_not_taken_harms_nobody_else() {
    let bench = Bench::new(Loading::done());
    *bench.table.poison.lock() = Some(b"u7".to_vec());
    let drafted: Vec<Drafted> =
        (0..20).map(|user| bench.register(&format!("u{user}@a"), "sip:u@a")).collect();
    let behind = bench.change("u7@a", |entry, gather| {
        entry.remove(gather, |_, _| Some(Removal::Asked));
    });
    bench.write();
    for (user, drafted) in drafted.iter().enumerate() {
        let expected = if user == 7 { Fate::Failed } else { Fate::Kept };
        assert_eq!(drafted.ticket.fate(), expected, "{user}");
    }
    assert_eq!(behind.ticket.fate(), Fate::Failed);
    assert!(bench.contacts("u7@a").is_empty());
    assert_eq!(bench.table.rows.lock().len(), 19);
}

#[test]
fn an_unknown_end_is_made_sure_of_by_doing_it_again() {
    let bench = Bench::new(Loading::done());
    bench.table.next.lock().push_back(Next::KeepAndLose);
    bench.table.next.lock().push_back(Next::Refuse(StorageError::Unknown("cut".to_owned())));
    let drafted = bench.register("alice@a", "sip:alice@a");
    bench.write();
    assert_eq!(drafted.ticket.fate(), Fate::Kept);
    assert_eq!(bench.table.contacts(), ["sip:alice@a"]);
    assert_eq!(bench.node.store.figures.replays.load(Ordering::Relaxed), 2);
}

#[test]
fn while_one_group_is_on_its_way_the_next_gathers_and_looking_up_goes_on() {
    let bench = Bench::new(Loading::done());
    let permits = Arc::new(Semaphore::new(0));
    *bench.table.permits.lock() = Some(Arc::clone(&permits));
    let first = bench.register("alice@a", "sip:alice@a");
    let work = Arc::new(Notify::new());
    let (stop, stopped) = watch::channel(false);
    let writer = Writer { node: Arc::clone(&bench.node), work, stop: stopped, told: Box::new(|| ()) };
    let later = bench.runtime.block_on(async {
        let writing = tokio::spawn(writer.run());
        while bench.table.groups.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let later: Vec<Drafted> =
            (0..9).map(|user| bench.register(&format!("u{user}@a"), "sip:u@a")).collect();
        assert_eq!(first.ticket.fate(), Fate::Open);
        assert_eq!(bench.contacts("alice@a"), ["sip:alice@a"]);
        assert_eq!(bench.node.store.journal.len(), 10);
        permits.add_permits(2);
        let _ = stop.send(true);
        writing.await.unwrap();
        later
    });
    assert!(later.iter().all(|drafted| drafted.ticket.fate() == Fate::Kept));
    assert_eq!(bench.table.groups.load(Ordering::Relaxed), 2);
}

/// A writer that waits for permits, while `act` goes on; then all that there is to write is written.
fn while_it_stands_still(bench: &Bench, permits: usize, act: impl FnOnce()) {
    let semaphore = Arc::new(Semaphore::new(0));
    *bench.table.permits.lock() = Some(Arc::clone(&semaphore));
    let groups = bench.table.groups.load(Ordering::Relaxed);
    let work = Arc::new(Notify::new());
    let (stop, stopped) = watch::channel(false);
    let writer = Writer { node: Arc::clone(&bench.node), work, stop: stopped, told: Box::new(|| ()) };
    bench.runtime.block_on(async {
        let writing = tokio::spawn(writer.run());
        while bench.table.groups.load(Ordering::Relaxed) == groups {
            tokio::task::yield_now().await;
        }
        act();
        semaphore.add_permits(permits);
        let _ = stop.send(true);
        writing.await.unwrap();
    });
    *bench.table.permits.lock() = None;
}

#[test]
fn what_is_kept_after_its_client_was_told_otherwise_is_taken_back() {
    let bench = Bench::new(Loading::done());
    bench.register("alice@a", "sip:old@a");
    bench.write();
    let late = bench.register("alice@a", "sip:new@a");
    let other = bench.register("bob@a", "sip:bob@a");
    while_it_stands_still(&bench, 2, || {
        assert!(!granted::is_kept(&bench.node, &late, NOW_S), "its client has no patience left");
        // What is on its way stays in sight until it is known what becomes of it.
        assert_eq!(bench.contacts("alice@a"), ["sip:old@a", "sip:new@a"]);
    });
    assert_eq!((late.ticket.fate(), other.ticket.fate()), (Fate::Failed, Fate::Kept));
    assert_eq!(bench.contacts("alice@a"), ["sip:old@a"]);
    assert_eq!(bench.table.contacts(), ["sip:bob@a", "sip:old@a"]);
    // Who tries again meanwhile is not undone with it.
    let late = bench.register("alice@a", "sip:new@a");
    let mut again = None;
    while_it_stands_still(&bench, 2, || {
        assert!(!granted::is_kept(&bench.node, &late, NOW_S));
        again = Some(bench.register("alice@a", "sip:third@a"));
    });
    assert_eq!(again.unwrap().ticket.fate(), Fate::Kept);
    assert_eq!(bench.table.contacts(), ["sip:bob@a", "sip:new@a", "sip:old@a", "sip:third@a"]);
}

fn row(contact_id: u64, user: &str, contact: &str, expires: i64) -> Row {
    Row {
        contact_id,
        username: user.as_bytes().to_vec(),
        domain: b"a".to_vec(),
        contact: contact.as_bytes().to_vec(),
        expires,
        ..Row::default()
    }
}

#[test]
fn a_table_is_loaded_without_what_is_over_or_broken_and_its_ids_are_made_ours() {
    let bench = Bench::new(Loading::default());
    let later = NOW_S as i64 * 2;
    for row in [
        row(1, "alice", "sip:one@a", later),
        row(2, "alice", "sip:two@a", 0),
        row(3, "alice", "sip:over@a", 1),
        row(4, "bob", "no uri", later),
        row(5, "", "sip:nobody@a", later),
    ] {
        bench.table.rows.lock().insert(row.contact_id, row);
    }
    bench.table.broken.lock().push(BrokenRow { contact_id: 6, reason: "it has no q".to_owned() });
    let (_stop, stopped) = watch::channel(false);
    let (node, stored) = (Arc::clone(&bench.node), Arc::clone(&bench.stored));
    bench.runtime.block_on(super::loader::load(node, stored, stopped));
    assert_eq!(bench.contacts("alice@a"), ["sip:one@a", "sip:two@a"]);
    assert!(bench.stored.loading.is_done());
    assert_eq!(bench.node.store.figures.broken.load(Ordering::Relaxed), 3);
    bench.write();
    let ids: Vec<u64> = bench.table.rows.lock().keys().copied().collect();
    let entry = bench.stored.domain.lock(b"alice@a", NOW_S);
    for binding in entry.bindings() {
        assert!(bench.stored.domain.leads_to(binding.numbers.contact_id, b"alice@a"));
        assert!(ids.contains(&binding.numbers.contact_id));
    }
    assert!(!ids.contains(&1) && !ids.contains(&2) && ids.contains(&4));
}

#[test]
fn what_is_asked_for_before_its_turn_is_not_loaded_again() {
    let bench = Bench::new(Loading::default());
    let later = NOW_S as i64 * 2;
    bench.table.rows.lock().insert(1, row(1, "alice", "sip:one@a", later));
    let stale = row(2, "alice", "sip:two@a", later);
    bench.table.rows.lock().insert(2, stale.clone());
    let read = || bench.runtime.block_on(bench.node.store.read(&bench.stored.domain, b"alice@a", NOW_S));
    assert!(read());
    assert_eq!(bench.contacts("alice@a"), ["sip:one@a", "sip:two@a"]);
    bench.change("alice@a", |entry, gather| {
        entry.remove(gather, |_, binding| (binding.contact == b"sip:two@a").then_some(Removal::Asked));
    });
    // The loader has read the row before it was removed.
    bench.node.store.take_one(&bench.stored, &stale, NOW_S);
    assert!(read());
    assert_eq!(bench.contacts("alice@a"), ["sip:one@a"]);
    bench.write();
    assert_eq!(bench.table.contacts(), ["sip:one@a"]);
}
