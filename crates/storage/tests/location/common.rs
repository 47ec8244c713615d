//! What must hold in every database: [`check`] goes through it with an empty table.

use seawall_storage::location::{Columns, LocationTable, Row, RowChange};
use seawall_storage::{Database, Identifier};

pub fn table_named(database: &Database, name: &str) -> LocationTable {
    LocationTable::new(database.clone(), &Identifier::new(name).unwrap(), &Columns::default())
}

pub fn table(database: &Database) -> LocationTable {
    table_named(database, "location")
}

/// A row with something in every column.
pub fn row(contact_id: u64, username: &str) -> Row {
    Row {
        contact_id,
        username: username.into(),
        domain: b"example.com".to_vec(),
        contact: format!("sip:{username}@192.0.2.1:5060;x={contact_id}").into(),
        received: b"sip:198.51.100.7:1024".to_vec(),
        path: b"<sip:proxy.example.com;lr>,<sip:192.0.2.9;lr>".to_vec(),
        expires: 1_800_000_000,
        q: 0.5,
        callid: format!("call-{contact_id}").into(),
        cseq: 2_147_483_647,
        last_modified: 1_700_000_000,
        flags: u32::MAX,
        cflags: b"NAT".to_vec(),
        user_agent: b"Phone 1.0".to_vec(),
        socket: b"udp:192.0.2.2:5060".to_vec(),
        methods: Some(5951),
        sip_instance: b"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>".to_vec(),
        kv_store: b"{\"a\": \"b\"}".to_vec(),
        attr: b"attr".to_vec(),
    }
}

/// A row with nothing in the columns that may be NULL.
pub fn bare_row(contact_id: u64, username: &str) -> Row {
    Row {
        contact_id,
        username: username.into(),
        contact: b"sip:bare@192.0.2.1".to_vec(),
        q: -1.0,
        callid: b"bare".to_vec(),
        last_modified: 1_700_000_001,
        ..Row::default()
    }
}

pub fn upsert(row: &Row) -> RowChange {
    RowChange::Upsert(Box::new(row.clone()))
}

pub async fn all(table: &LocationTable, rows: u32) -> Vec<Row> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = table.page(after, rows).await.unwrap();
        assert!(page.broken.is_empty(), "{:?}", page.broken);
        assert!(page.rows.len() <= rows as usize);
        found.extend(page.rows);
        after = page.last;
        if after.is_none() {
            found.sort_by_key(|row| row.contact_id);
            return found;
        }
    }
}

/// Everything that all databases must do. The table is empty before.
pub async fn check(table: &LocationTable) {
    comes_back_as_it_was(table).await;
    the_last_change_wins(table).await;
    the_order_of_changes_counts_and_not_their_time(table).await;
    all_or_nothing_of_a_group(table).await;
    pages_hold_every_row_once(table).await;
    expired_rows_go(table).await;
    state_is_kept(table).await;
}

async fn clear(table: &LocationTable) {
    let changes =
        all(table, 1000).await.iter().map(|row| RowChange::Delete { contact_id: row.contact_id }).collect();
    table.apply(changes).await.unwrap();
    assert_eq!(table.count().await.unwrap(), 0);
}

async fn comes_back_as_it_was(table: &LocationTable) {
    let strange = Row {
        contact: b"sip:x'; DROP TABLE location; --\"\\`%00@[2001:db8::1]".to_vec(),
        user_agent: b"caf\xc3\xa9 \xff\xfe \xef\xbe\x80 \xee\xbe\x80 raw\0zero \xf0\x9f\x98\x80".to_vec(),
        attr: vec![0x80; 40],
        ..row(7, "o'brien\\")
    };
    let rows = [row(1, "alice"), row(2, "alice"), bare_row(3, "bob"), row(1 << 62, "carol"), strange];
    table.apply(rows.iter().map(upsert).collect()).await.unwrap();
    let mut expected = rows.to_vec();
    expected.sort_by_key(|row| row.contact_id);
    assert_eq!(all(table, 100).await, expected);
    assert_eq!(table.count().await.unwrap(), 5);
    assert_eq!(table.rows_of(b"alice", None).await.unwrap(), rows[..2]);
    assert_eq!(table.rows_of(b"alice", Some(b"example.com")).await.unwrap(), rows[..2]);
    assert_eq!(table.rows_of(b"alice", Some(b"example.org")).await.unwrap(), []);
    assert_eq!(table.rows_of(b"ALICE", None).await.unwrap(), []);
    assert_eq!(table.rows_of(b"bob", None).await.unwrap(), rows[2..3]);
    assert_eq!(table.rows_of(b"bob", Some(b"")).await.unwrap(), rows[2..3]);
    assert_eq!(table.rows_of(b"o'brien\\", None).await.unwrap(), rows[4..]);
    assert_eq!(table.rows_of(b"nobody' OR '1'='1", None).await.unwrap(), []);
    clear(table).await;
}

async fn the_last_change_wins(table: &LocationTable) {
    let older = row(1, "alice");
    let newer =
        Row { cseq: 3, contact: b"sip:new@192.0.2.1".to_vec(), received: Vec::new(), ..older.clone() };
    let other = row(2, "bob");
    let delete = RowChange::Delete { contact_id: 1 };
    let group = vec![upsert(&other), upsert(&older), delete.clone(), upsert(&older), upsert(&newer)];
    // Applied twice, as after an outcome that nobody knows.
    let group = table.apply(group).await.unwrap();
    assert_eq!(group.len(), 5, "the group comes back");
    table.apply(group).await.unwrap();
    assert_eq!(all(table, 10).await, [newer.clone(), other.clone()]);
    table.apply(vec![upsert(&newer), delete.clone(), RowChange::Delete { contact_id: 99 }]).await.unwrap();
    assert_eq!(all(table, 10).await, [other]);
    table.apply(vec![delete.clone(), upsert(&older)]).await.unwrap();
    table.apply(Vec::new()).await.unwrap();
    assert_eq!(table.rows_of(b"alice", None).await.unwrap(), [older]);
    clear(table).await;
}

/// The clock is set back by a year, and forward by two: what was changed last is what holds.
async fn the_order_of_changes_counts_and_not_their_time(table: &LocationTable) {
    const YEAR_S: i64 = 365 * 86_400;
    let at = |cseq, shift_s: i64| {
        let usual = row(1, "alice");
        let (last_modified, expires) = (usual.last_modified + shift_s, usual.expires + shift_s);
        Row { cseq, last_modified, expires, ..usual }
    };
    let [first, back, forward] = [at(1, 0), at(2, -YEAR_S), at(3, YEAR_S)];
    for together in [true, false] {
        for order in [[&first, &back], [&back, &forward], [&forward, &back]] {
            if together {
                table.apply(order.into_iter().map(upsert).collect()).await.unwrap();
            } else {
                for row in order {
                    table.apply(vec![upsert(row)]).await.unwrap();
                }
            }
            assert_eq!(all(table, 10).await, [order[1].clone()]);
        }
    }
    clear(table).await;
}

/// Something that no database can do in the middle of a group leaves nothing of it.
async fn all_or_nothing_of_a_group(table: &LocationTable) {
    table.apply(vec![upsert(&row(1, "alice"))]).await.unwrap();
    let missing = Row { callid: b"other".to_vec(), ..row(1, "alice") };
    let wrong = table_named(table.database(), "no_such_table");
    wrong.apply(vec![upsert(&missing)]).await.unwrap_err();
    assert_eq!(all(table, 10).await, [row(1, "alice")]);
    clear(table).await;
}

async fn pages_hold_every_row_once(table: &LocationTable) {
    let rows: Vec<Row> = (0..250).map(|id| row(id * 7919 + 1, &format!("user{id}"))).collect();
    table.apply(rows.iter().map(upsert).collect()).await.unwrap();
    for size in [1000, 250, 249, 100, 7] {
        assert_eq!(all(table, size).await, rows, "pages of {size}");
    }
    clear(table).await;
    assert_eq!(table.page(None, 10).await.unwrap(), seawall_storage::location::Page::default());
}

async fn expired_rows_go(table: &LocationTable) {
    let with = |id: u64, expires: i64| Row { expires, ..row(id, "alice") };
    let rows = [with(1, 0), with(2, 99), with(3, 100), with(4, 101)];
    table.apply(rows.iter().map(upsert).collect()).await.unwrap();
    assert_eq!(table.delete_expired(100).await.unwrap(), 1);
    assert_eq!(table.delete_expired(100).await.unwrap(), 0);
    let left: Vec<u64> = all(table, 10).await.iter().map(|row| row.contact_id).collect();
    assert_eq!(left, [1, 3, 4]);
    clear(table).await;
}

async fn state_is_kept(table: &LocationTable) {
    assert_eq!(table.state_get("secret").await.unwrap(), None);
    table.state_put("secret", b"\0\xff'one").await.unwrap();
    table.state_put("other", b"").await.unwrap();
    table.state_put("secret", &[7; 100_000]).await.unwrap();
    assert_eq!(table.state_get("secret").await.unwrap(), Some(vec![7; 100_000]));
    assert_eq!(table.state_get("other").await.unwrap(), Some(Vec::new()));
}
