//! The journal of a SQLite file between two processes: what is left at an end, and read at a start.

use std::hash::Hasher;

use rusqlite::Connection;
use seawall_storage::location::{Row, RowChange};
use seawall_storage::{DatabaseUrl, Options, Storage};
use siphasher::sip::SipHasher13;

use crate::common::{all, row, table, upsert};
use crate::sqlite::{Folder, at_start};

/// Rows of many users, none of them in order.
fn rows(count: u64) -> Vec<Row> {
    (1..=count)
        .map(|id| Row { cseq: 1, ..row(id.wrapping_mul(0x9e37_79b9_7f4a_7c15), &format!("u{}", id % 97)) })
        .collect()
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| row.contact_id.cast_signed());
    rows
}

#[tokio::test]
async fn a_server_that_ends_leaves_much_in_the_journal_and_little_not() {
    let folder = Folder::new("end");
    let rows = rows(5000);
    {
        let location = folder.reopened().await;
        location.end().await.unwrap();
        location.apply(rows.iter().map(upsert).collect()).await.unwrap();
        assert!(!location.settle_few(4999).await.unwrap());
        let tool = Connection::open(folder.path()).unwrap();
        let count =
            || tool.query_row("SELECT count(*) FROM location", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count(), 0);
        let copy = folder.crashed("end-copy");
        let reopened = copy.reopened().await;
        assert_eq!(at_start(&reopened, 700).await, sorted(rows.clone()));
        assert!(location.settle_few(5000).await.unwrap());
        assert_eq!(count(), 5000);
    }
    assert_eq!(at_start(&folder.reopened().await, 700).await, sorted(rows));
}

#[tokio::test]
async fn what_is_read_while_the_journal_goes_into_the_table_is_whole() {
    let folder = Folder::new("whole");
    let url = DatabaseUrl::parse(&format!("sqlite://{}", folder.path().display())).unwrap();
    let options = Options { busy_timeout_ms: 20, ..Options::default() };
    let location = table(&Storage::default().database(&url, &options));
    location.prepare().await.unwrap();
    let tool = Connection::open(folder.path()).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    let rows = rows(6000);
    // Both files have something, and some rows are in both.
    location.apply(rows.iter().map(upsert).collect()).await.unwrap();
    assert!(location.count().await.is_err());
    let newer: Vec<Row> = rows.iter().step_by(3).map(|row| Row { cseq: 2, ..row.clone() }).collect();
    location.apply(newer.iter().map(upsert).collect()).await.unwrap();
    let mut expected = rows;
    expected.iter_mut().step_by(3).for_each(|row| row.cseq = 2);
    let expected = sorted(expected);
    for round in 0..6 {
        let copy = folder.crashed("whole-copy");
        let reopened = copy.reopened().await;
        let (settling, reading, expected) = (reopened.clone(), reopened.clone(), &expected);
        let settle = async move {
            // Twice, with something new between, so that both files are written again.
            for id in 1..=2_u64 {
                settling.settle().await.unwrap();
                settling.apply(vec![upsert(&row(id, "new"))]).await.unwrap();
            }
            settling.settle().await.unwrap();
        };
        let read = async move {
            for user in 0..30 {
                let user = format!("u{user}").into_bytes();
                let of_user: Vec<&Row> = expected.iter().filter(|row| row.username == user).collect();
                let found = reading.rows_of(&user, None).await.unwrap();
                assert_eq!(found.iter().collect::<Vec<_>>(), of_user, "round {round}");
            }
            let found = at_start(&reading, 500).await;
            let known: Vec<Row> = found.into_iter().filter(|row| row.username != b"new").collect();
            assert!(known == *expected, "round {round}: {} rows", known.len());
        };
        let ((), ()) = tokio::join!(settle, read);
        assert_eq!(all(&reopened, 1000).await.len(), expected.len() + 2);
    }
}

#[tokio::test]
async fn a_deletion_that_is_on_its_way_holds_up_nobody_who_reads() {
    let folder = Folder::new("deletion");
    let location = folder.reopened().await;
    location.apply((1..=4).map(|id| upsert(&row(id, "alice"))).collect()).await.unwrap();
    location.apply(vec![upsert(&row(9, "bob"))]).await.unwrap();
    location.settle().await.unwrap();
    // The table cannot be written.
    let tool = Connection::open(folder.path()).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    location.apply([2, 9].map(|contact_id| RowChange::Delete { contact_id }).into()).await.unwrap();
    assert_eq!(location.rows_of(b"alice", None).await.unwrap(), [1, 3, 4].map(|id| row(id, "alice")));
    assert_eq!(location.rows_of(b"bob", None).await.unwrap(), []);
    tool.execute_batch("ROLLBACK").unwrap();
    // What is written again is there again.
    location.apply(vec![upsert(&row(9, "bob"))]).await.unwrap();
    assert_eq!(location.rows_of(b"bob", None).await.unwrap(), [row(9, "bob")]);
}

#[tokio::test]
async fn a_journal_of_an_earlier_version_is_read() {
    let folder = Folder::new("earlier");
    let location = folder.reopened().await;
    let tool = Connection::open(folder.path()).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    location.apply(vec![upsert(&row(1, "alice")), upsert(&row(2, "bob"))]).await.unwrap();
    let copy = folder.crashed("earlier-copy");
    let path = copy.journal("b");
    let mut bytes = std::fs::read(&path).unwrap();
    // The first group is the empty one with which the file begins.
    for start in [0, 20] {
        let generation = u64::from_le_bytes(bytes[start..start + 8].try_into().unwrap());
        let length = u32::from_le_bytes(bytes[start + 8..start + 12].try_into().unwrap());
        let mut hasher = SipHasher13::new_with_keys(generation, u64::from(length));
        hasher.write(&bytes[start + 20..start + 20 + length as usize]);
        bytes[start + 12..start + 20].copy_from_slice(&hasher.finish().to_le_bytes());
    }
    std::fs::write(&path, &bytes).unwrap();
    let reopened = copy.reopened().await;
    assert_eq!(at_start(&reopened, 10).await, [row(1, "alice"), row(2, "bob")]);
    // One that nobody has written is not.
    let copy = folder.crashed("earlier-copy-too");
    bytes[32] ^= 1;
    std::fs::write(copy.journal("b"), &bytes).unwrap();
    assert_eq!(at_start(&copy.reopened().await, 10).await, []);
}

/// The journal goes by generations and places and never by the hour: what was appended last holds after a crash, wherever the
/// clock was meanwhile, also when it is in the other file.
#[tokio::test]
async fn what_a_crash_leaves_is_in_the_order_of_the_changes_whatever_the_clock_said() {
    const YEAR_S: i64 = 365 * 86_400;
    let folder = Folder::new("clock");
    let location = folder.reopened().await;
    let tool = Connection::open(folder.path()).unwrap();
    let at = |id: u64, cseq: u32, shift_s: i64| {
        let usual = row(id, "alice");
        Row { cseq, last_modified: usual.last_modified + shift_s, expires: usual.expires + shift_s, ..usual }
    };
    location.apply((1..=3).map(|id| upsert(&at(id, 1, 0))).collect()).await.unwrap();
    location.settle().await.unwrap();
    // The table cannot be written, so that the one file waits and the other one is begun.
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    location.apply(vec![upsert(&at(1, 2, YEAR_S)), upsert(&at(2, 2, -YEAR_S))]).await.unwrap();
    assert!(location.count().await.is_err());
    location.apply(vec![upsert(&at(1, 3, -YEAR_S)), RowChange::Delete { contact_id: 3 }]).await.unwrap();
    let expected = [at(1, 3, -YEAR_S), at(2, 2, -YEAR_S)];
    let copy = folder.crashed("clock-copy");
    let reopened = copy.reopened().await;
    assert_eq!(at_start(&reopened, 10).await, expected);
    assert_eq!(reopened.rows_of(b"alice", None).await.unwrap(), expected);
    reopened.settle().await.unwrap();
    assert_eq!(all(&reopened, 10).await, expected);
}
