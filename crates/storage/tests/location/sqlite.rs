//! SQLite: the same as everywhere, and what only a file can do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use seawall_storage::{Database, DatabaseUrl, Identifier, Options, Storage, StorageError};

use seawall_storage::location::{Column, Columns, LocationTable, Row, RowChange};

use crate::common::{all, check, row, table, table_named, upsert};

/// A folder of its own, removed at the end. Each has another path: who had the files of the one before may still be closing them.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("seawall-location-{}-{number}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> PathBuf {
        self.0.join("location.db")
    }

    fn database_with(&self, pragmas: &[(&str, &str)]) -> Database {
        let url = DatabaseUrl::parse(&format!("sqlite://{}", self.path().display())).unwrap();
        let pragmas = pragmas.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Storage::default().database(&url, &Options { pragmas, ..Options::default() })
    }

    pub fn database(&self) -> Database {
        self.database_with(&[])
    }

    /// The table, once whoever had the file before has closed it.
    pub async fn reopened(&self) -> LocationTable {
        let location = table(&self.database());
        while let Err(error) = location.prepare().await {
            assert!(matches!(error, StorageError::Owned { .. }), "{error}");
            tokio::task::yield_now().await;
        }
        location
    }

    /// A copy of all files as they are now: what a crash would leave.
    pub fn crashed(&self, name: &str) -> Folder {
        let copy = Folder::new(name);
        for file in std::fs::read_dir(&self.0).unwrap().flatten() {
            let name = file.file_name();
            // The shared memory of SQLite does not outlive a machine.
            if !name.to_string_lossy().ends_with("-shm") {
                std::fs::copy(file.path(), copy.0.join(name)).unwrap();
            }
        }
        copy
    }

    pub fn journal(&self, which: &str) -> PathBuf {
        self.0.join(format!("location.db.location.journal-{which}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn holds_what_every_database_holds() {
    let folder = Folder::new("common");
    let database = folder.database();
    let location = table(&database);
    location.prepare().await.unwrap();
    check(&location).await;
    // A second table of the same file, under a name of its own.
    let other = table_named(&database, "phones");
    other.prepare().await.unwrap();
    other.apply(vec![upsert(&row(1, "alice"))]).await.unwrap();
    assert_eq!((location.count().await.unwrap(), other.count().await.unwrap()), (0, 1));
}

#[tokio::test]
async fn a_new_file_gets_the_columns_that_are_named() {
    let folder = Folder::new("renamed");
    let database = folder.database();
    // The file is made by whoever comes first, and that may be somebody who looks for users.
    database.open().await.unwrap();
    let mut columns = Columns::default();
    columns.rename(Column::Username, Identifier::new("who").unwrap());
    let location = LocationTable::new(database, &Identifier::new("location").unwrap(), &columns);
    location.prepare().await.unwrap();
    check(&location).await;
    let tool = Connection::open(folder.path()).unwrap();
    assert!(tool.prepare("SELECT who FROM location").is_ok());
}

#[tokio::test]
async fn a_shared_table_is_written_at_once() {
    let folder = Folder::new("shared");
    let kept = table(&folder.database());
    kept.prepare().await.unwrap();
    kept.apply(vec![upsert(&row(1, "alice")), upsert(&row(2, "alice"))]).await.unwrap();
    let shared = kept.shared();
    let tool = Connection::open(folder.path()).unwrap();
    let count = || tool.query_row("SELECT count(*) FROM location", [], |row| row.get::<_, i64>(0)).unwrap();
    shared.apply(vec![RowChange::Delete { contact_id: 1 }]).await.unwrap();
    assert_eq!(count(), 1);
    check_after(&shared).await;
    assert_eq!(count(), 0);
    // What cannot be done now is not done later either.
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = shared.apply(vec![upsert(&row(3, "bob"))]).await.unwrap_err();
    assert!(matches!(error, StorageError::Busy), "{error}");
    tool.execute_batch("ROLLBACK").unwrap();
    assert_eq!(shared.count().await.unwrap(), 0);
}

/// Empties the table, and goes through everything with it.
async fn check_after(table: &LocationTable) {
    let changes =
        all(table, 10).await.iter().map(|row| RowChange::Delete { contact_id: row.contact_id }).collect();
    table.apply(changes).await.unwrap();
    check(table).await;
    table.apply((1..=4).map(|contact_id| RowChange::Delete { contact_id }).collect()).await.unwrap();
}

#[tokio::test]
async fn rows_are_there_when_the_file_is_opened_again() {
    let folder = Folder::new("again");
    {
        let location = table(&folder.database());
        location.prepare().await.unwrap();
        location.apply(vec![upsert(&row(u64::MAX, "alice")), upsert(&row(1, "bob"))]).await.unwrap();
        location.state_put("secret", b"x").await.unwrap();
    }
    let location = folder.reopened().await;
    assert_eq!(all(&location, 1).await, [row(1, "bob"), row(u64::MAX, "alice")]);
    assert_eq!(location.state_get("secret").await.unwrap(), Some(b"x".to_vec()));
}

#[tokio::test]
async fn a_second_server_on_the_file_is_refused_and_a_tool_is_not() {
    let folder = Folder::new("owned");
    let first = table(&folder.database());
    first.prepare().await.unwrap();
    let second = table(&folder.database());
    let error = second.prepare().await.unwrap_err();
    assert!(matches!(error, StorageError::Owned { .. }), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    // What `seawall ctl` and sqlite3 do.
    folder.database().open().await.unwrap();
    let tool = Connection::open(folder.path()).unwrap();
    first.apply(vec![upsert(&row(1, "alice"))]).await.unwrap();
    first.settle().await.unwrap();
    tool.execute("UPDATE location SET attr = 'seen' WHERE username = 'alice'", []).unwrap();
    assert_eq!(all(&first, 10).await[0].attr, b"seen");
}

#[tokio::test]
async fn a_table_as_tools_for_opensips_make_it_is_read_and_written_as_it_is() {
    let folder = Folder::new("foreign");
    let tool = Connection::open(folder.path()).unwrap();
    tool.execute_batch(
        "CREATE TABLE version (table_name CHAR(32) NOT NULL, table_version INTEGER DEFAULT 0 NOT NULL);
        INSERT INTO version VALUES ('location', 1013);
        CREATE TABLE location (attr CHAR(255) DEFAULT NULL, contact_id INTEGER PRIMARY KEY NOT NULL,
            username CHAR(64) DEFAULT '' NOT NULL, domain CHAR(64) DEFAULT NULL, contact TEXT NOT NULL,
            received CHAR(255) DEFAULT NULL, path CHAR(255) DEFAULT NULL, expires INTEGER NOT NULL,
            q FLOAT(10,2) DEFAULT 1.0 NOT NULL, callid CHAR(255) DEFAULT 'Default-Call-ID' NOT NULL,
            cseq INTEGER DEFAULT 13 NOT NULL, last_modified DATETIME DEFAULT '1900-01-01 00:00:01' NOT NULL,
            flags INTEGER DEFAULT 0 NOT NULL, cflags CHAR(255) DEFAULT NULL,
            user_agent CHAR(255) DEFAULT '' NOT NULL, socket CHAR(64) DEFAULT NULL, methods INTEGER DEFAULT NULL,
            sip_instance CHAR(255) DEFAULT NULL, kv_store TEXT DEFAULT NULL, something_else INTEGER DEFAULT 5);
        INSERT INTO location (contact_id, username, contact, expires) VALUES (5, 'alice', 'sip:a@192.0.2.1', 1900000000);
        INSERT INTO location (contact_id, username, contact, expires, last_modified, flags, q)
            VALUES (6, 4711, 'sip:b@192.0.2.1', '1900000000', 1700000000, -1, 1);",
    )
    .unwrap();
    let location = table(&folder.database());
    location.prepare().await.unwrap();
    let rows = all(&location, 10).await;
    assert_eq!((rows[0].username.as_slice(), rows[0].cseq, rows[0].q), (&b"alice"[..], 13, 1.0));
    assert_eq!((rows[0].last_modified, rows[0].methods), (-2_208_988_799, None));
    assert_eq!((rows[1].username.as_slice(), rows[1].last_modified), (&b"4711"[..], 1_700_000_000));
    assert_eq!((rows[1].expires, rows[1].flags), (1_900_000_000, u32::MAX));
    location.apply(vec![upsert(&row(5, "alice"))]).await.unwrap();
    location.settle().await.unwrap();
    let columns =
        "SELECT username || cseq || typeof(contact) || last_modified || something_else FROM location";
    let found: String = tool.query_row(columns, [], |row| row.get(0)).unwrap();
    assert_eq!(found, "alice2147483647text2023-11-14 22:13:205");
}

#[tokio::test]
async fn rows_that_make_no_sense_are_told_and_the_others_load() {
    let folder = Folder::new("broken");
    let location = table(&folder.database());
    location.prepare().await.unwrap();
    location.apply((1..=6).map(|id| upsert(&row(id, "alice"))).collect()).await.unwrap();
    location.settle().await.unwrap();
    let tool = Connection::open(folder.path()).unwrap();
    tool.execute_batch(
        "UPDATE location SET expires = 'soon' WHERE contact_id = 2;
        UPDATE location SET contact = '' WHERE contact_id = 3;
        UPDATE location SET cseq = -1 WHERE contact_id = 5;
        UPDATE location SET last_modified = 'long ago' WHERE contact_id = 6;",
    )
    .unwrap();
    let page = location.page(None, 10).await.unwrap();
    let ids: Vec<u64> = page.rows.iter().map(|row| row.contact_id).collect();
    let broken: Vec<u64> = page.broken.iter().map(|row| row.contact_id).collect();
    assert_eq!((ids, broken), (vec![1, 4, 6], vec![2, 3, 5]));
    assert!(page.broken[0].reason.contains("expires"), "{:?}", page.broken);
    assert_eq!(location.rows_of(b"alice", None).await.unwrap().len(), 3);
    // A page that ends with a broken row goes on behind it.
    assert_eq!(location.page(None, 3).await.unwrap().last, Some(3));
}

#[tokio::test]
async fn another_version_or_another_table_is_refused() {
    let folder = Folder::new("version");
    let tool = Connection::open(folder.path()).unwrap();
    tool.execute_batch(
        "CREATE TABLE version (table_name CHAR(32) NOT NULL, table_version INTEGER DEFAULT 0 NOT NULL);
        CREATE TABLE location (contact_id INTEGER PRIMARY KEY, username TEXT);",
    )
    .unwrap();
    let location = table(&folder.database());
    let error = location.prepare().await.unwrap_err().to_string();
    assert!(error.contains("no row for `location`"), "{error}");
    tool.execute_batch("INSERT INTO version VALUES ('location', 1011)").unwrap();
    let error = location.prepare().await.unwrap_err().to_string();
    assert!(error.contains("1011") && error.contains("1013"), "{error}");
    tool.execute_batch("UPDATE version SET table_version = 1013").unwrap();
    let error = location.prepare().await.unwrap_err();
    assert!(matches!(&error, StorageError::Schema(text) if text.contains("domain")), "{error}");
}

#[tokio::test]
async fn what_a_full_table_does_not_take_stays_in_the_journal() {
    let folder = Folder::new("full");
    let rows: Vec<Row> = (1..3000).map(|id| row(id, "bob")).collect();
    {
        let location = table(&folder.database_with(&[("max_page_count", "60")]));
        location.prepare().await.unwrap();
        location.apply(rows.iter().map(upsert).collect()).await.unwrap();
        let error = location.count().await.unwrap_err();
        assert!(matches!(error, StorageError::Full) && error.may_pass(), "{error}");
        location.apply(vec![upsert(&row(1, "alice"))]).await.unwrap();
        assert!(matches!(location.settle().await, Err(StorageError::Full)));
    }
    let location = folder.reopened().await;
    let found = all(&location, 5000).await;
    assert_eq!((found.len(), &found[0], &found[1..]), (2999, &row(1, "alice"), &rows[1..]));
}

#[tokio::test]
async fn what_may_only_be_read_is_told_and_can_be_read() {
    let folder = Folder::new("read-only");
    {
        let location = table(&folder.database());
        location.prepare().await.unwrap();
        location.apply(vec![upsert(&row(1, "alice"))]).await.unwrap();
        location.settle().await.unwrap();
    }
    let location = table(&folder.database_with(&[("query_only", "1")]));
    let error = loop {
        match location.apply(vec![upsert(&row(2, "bob"))]).await.unwrap_err() {
            StorageError::Owned { .. } => tokio::task::yield_now().await,
            error => break error,
        }
    };
    assert!(matches!(error, StorageError::ReadOnly), "{error}");
    assert_eq!(all(&location, 10).await, [row(1, "alice")]);
}

#[tokio::test]
async fn a_tool_that_locks_the_file_is_waited_for_and_then_told() {
    let folder = Folder::new("busy");
    let url = DatabaseUrl::parse(&format!("sqlite://{}", folder.path().display())).unwrap();
    let options = Options { busy_timeout_ms: 20, ..Options::default() };
    let location = table(&Storage::default().database(&url, &options));
    location.prepare().await.unwrap();
    let tool = Connection::open(folder.path()).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Nobody who registers notices.
    location.apply(vec![upsert(&row(1, "alice"))]).await.unwrap();
    let error = location.count().await.unwrap_err();
    assert!(matches!(error, StorageError::Busy) && error.may_pass(), "{error}");
    tool.execute_batch("ROLLBACK").unwrap();
    assert_eq!(location.count().await.unwrap(), 1);
}

#[tokio::test]
async fn what_was_applied_outlives_a_crash_at_any_moment() {
    let folder = Folder::new("crash");
    let location = table(&folder.database());
    location.prepare().await.unwrap();
    let mut model: BTreeMap<u64, Row> = BTreeMap::new();
    // The same numbers each time.
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for round in 0..150 {
        let mut group = Vec::new();
        for _ in 0..random(40) {
            let id = random(60) + 1;
            if random(4) == 0 {
                model.remove(&id);
                group.push(RowChange::Delete { contact_id: id });
            } else {
                let changed = Row { cseq: round, ..row(id, &format!("user{}", random(2) * id)) };
                group.push(upsert(&changed));
                model.insert(id, changed);
            }
        }
        location.apply(group).await.unwrap();
        match random(10) {
            0..3 => location.settle().await.unwrap(),
            3 => {
                let copy = folder.crashed("crash-copy");
                // Twice: what was put into the table at the first start is not put in again.
                for _ in 0..2 {
                    let reopened = copy.reopened().await;
                    let expected: Vec<Row> = model.values().cloned().collect();
                    // What the journal has is read before it is in the table, and then from there.
                    let most = u32::try_from(random(70) + 1).unwrap();
                    assert_eq!(at_start(&reopened, most).await, expected, "round {round}, pages of {most}");
                    for user in expected.iter().map(|row| row.username.clone()).chain([b"user0".to_vec()]) {
                        let of_user: Vec<Row> =
                            expected.iter().filter(|row| row.username == user).cloned().collect();
                        assert_eq!(reopened.rows_of(&user, None).await.unwrap(), of_user, "round {round}");
                        let elsewhere = reopened.rows_of(&user, Some(b"example.org")).await.unwrap();
                        assert_eq!(elsewhere, [], "round {round}");
                    }
                    assert_eq!(all(&reopened, 1000).await, expected, "round {round}");
                }
            }
            4 => {
                let user = format!("user{}", random(60));
                let expected: Vec<Row> =
                    model.values().filter(|row| row.username == user.as_bytes()).cloned().collect();
                let mut found = location.rows_of(user.as_bytes(), None).await.unwrap();
                // A row that somebody else has been given, as no contact id ever is, may still be told until then.
                found.retain(|row| model.get(&row.contact_id).is_none_or(|now| now.username == row.username));
                assert_eq!(found, expected, "round {round}");
            }
            _ => {}
        }
    }
    assert_eq!(all(&location, 7).await, model.into_values().collect::<Vec<_>>());
}

/// All rows, as who loads them at a start reads them.
pub async fn at_start(table: &LocationTable, rows: u32) -> Vec<Row> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = table.page_at_start(after, rows).await.unwrap();
        assert!(page.broken.is_empty(), "{:?}", page.broken);
        assert!(page.rows.len() <= 2 * rows as usize, "{} of {rows}", page.rows.len());
        found.extend(page.rows);
        after = page.last;
        if after.is_none() {
            found.sort_by_key(|row| row.contact_id.cast_signed());
            return found;
        }
    }
}

#[tokio::test]
async fn a_start_reads_the_journal_while_nothing_can_be_put_into_the_table() {
    let folder = Folder::new("left");
    let location = table(&folder.database());
    location.prepare().await.unwrap();
    location.apply((1..=9).map(|id| upsert(&row(id, "alice"))).collect()).await.unwrap();
    location.settle().await.unwrap();
    let tool = Connection::open(folder.path()).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    location.apply(vec![upsert(&row(3, "bob")), RowChange::Delete { contact_id: 4 }]).await.unwrap();
    location.apply(vec![upsert(&row(u64::MAX, "carol")), upsert(&row(10, "bob"))]).await.unwrap();
    let copy = folder.crashed("left-copy");
    let reopened = copy.reopened().await;
    let locked = Connection::open(copy.path()).unwrap();
    locked.execute_batch("BEGIN IMMEDIATE").unwrap();
    let alice = [1, 2, 5, 6, 7, 8, 9].map(|id| row(id, "alice"));
    let bob = [row(3, "bob"), row(10, "bob")];
    for rows in [1, 2, 3, 4, 100] {
        let found = at_start(&reopened, rows).await;
        let ids: Vec<u64> = found.iter().map(|row| row.contact_id).collect();
        assert_eq!(ids, [u64::MAX, 1, 2, 3, 5, 6, 7, 8, 9, 10], "pages of {rows}");
    }
    assert_eq!(reopened.rows_of(b"alice", None).await.unwrap(), alice);
    assert_eq!(reopened.rows_of(b"bob", None).await.unwrap(), bob);
    assert_eq!(reopened.rows_of(b"dave", None).await.unwrap(), []);
    // What is said now counts, and is waited for.
    locked.execute_batch("ROLLBACK").unwrap();
    reopened.apply(vec![RowChange::Delete { contact_id: 3 }]).await.unwrap();
    assert_eq!(reopened.rows_of(b"bob", None).await.unwrap(), bob[1..]);
    assert_eq!(all(&reopened, 100).await.len(), 9);
}

#[tokio::test]
async fn a_group_that_was_being_written_when_the_power_went_is_left_out() {
    let folder = Folder::new("torn");
    let location = table(&folder.database());
    location.prepare().await.unwrap();
    // Nothing goes into the table meanwhile.
    let tool = Connection::open(folder.path()).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    location.apply(vec![upsert(&row(1, "alice"))]).await.unwrap();
    let whole = std::fs::read(folder.journal("b")).unwrap();
    location.apply(vec![upsert(&row(2, "bob")), upsert(&row(1, "carol"))]).await.unwrap();
    let both = std::fs::read(folder.journal("b")).unwrap();
    let first = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let second = both.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for (cut, at) in [(false, first + 4), (false, second - 1), (true, second - 1), (true, first + 30)] {
        let copy = folder.crashed("torn-copy");
        let mut damaged = both.clone();
        if cut {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 0x10;
        }
        std::fs::write(copy.journal("b"), damaged).unwrap();
        assert_eq!(all(&copy.reopened().await, 10).await, [row(1, "alice")], "{cut} {at}");
    }
}
