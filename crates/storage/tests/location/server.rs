//! What servers do that files do not: they end, they are full, they take texts of one character set only.

use seawall_storage::location::{LocationTable, Row};
use seawall_storage::{Database, DatabaseUrl, Options, Storage, StorageError};

use crate::common::{all, check, row, table, upsert};
use crate::servers::Server;

pub fn database(url: &str) -> Database {
    Storage::default().database(&DatabaseUrl::parse(url).unwrap(), &Options::default())
}

/// Goes through everything with a new server; it is left with an empty table.
pub async fn check_server(server: &mut Server) -> LocationTable {
    let database = database(&server.url());
    let location = table(&database);
    let error = location.prepare().await.unwrap_err().to_string();
    assert!(error.contains("seawall ctl db-init") && !error.contains("p@ss"), "{error}");
    let made = database.create_tables().await.unwrap();
    assert!(made.contains(&"location") && made.contains(&"acc"), "{made:?}");
    let error = database.create_tables().await.unwrap_err().to_string();
    assert!(error.contains("`version` already"), "{error}");
    location.prepare().await.unwrap();
    check(&location).await;
    a_value_that_does_not_fit_spoils_its_group_only(&location).await;
    another_version_is_refused(server, &location).await;
    broken_rows_are_told(server, &location).await;
    crate::owner::check(server).await;
    a_server_that_ends_is_found_again(server, &location).await;
    location
}

async fn a_value_that_does_not_fit_spoils_its_group_only(location: &LocationTable) {
    let long = Row { username: vec![b'x'; 65], ..row(2, "x") };
    let error = location.apply(vec![upsert(&row(1, "alice")), upsert(&long)]).await.unwrap_err();
    assert!(matches!(error, StorageError::Data(_)) && !error.may_pass(), "{error}");
    assert_eq!(location.count().await.unwrap(), 0);
    location.apply(vec![upsert(&row(1, "alice"))]).await.unwrap();
    assert_eq!(all(location, 10).await, [row(1, "alice")]);
    location.apply(vec![seawall_storage::location::RowChange::Delete { contact_id: 1 }]).await.unwrap();
}

async fn another_version_is_refused(server: &Server, location: &LocationTable) {
    server.sql("UPDATE version SET table_version = 1011 WHERE table_name = 'location'");
    let error = location.prepare().await.unwrap_err();
    assert!(matches!(&error, StorageError::Schema(text) if text.contains("1011")), "{error}");
    server.sql("UPDATE version SET table_version = 1013 WHERE table_name = 'location'");
    server.sql("ALTER TABLE location RENAME COLUMN attr TO other");
    let error = location.prepare().await.unwrap_err();
    assert!(matches!(&error, StorageError::Schema(text) if text.contains("attr")), "{error}");
    server.sql("ALTER TABLE location RENAME COLUMN other TO attr");
    location.prepare().await.unwrap();
}

async fn broken_rows_are_told(server: &Server, location: &LocationTable) {
    location.apply((1..=3).map(|id| upsert(&row(id, "alice"))).collect()).await.unwrap();
    server.sql("UPDATE location SET contact = '' WHERE contact_id = 1");
    server.sql("UPDATE location SET cseq = -5 WHERE contact_id = 3");
    let page = location.page(None, 10).await.unwrap();
    assert_eq!(page.rows, [row(2, "alice")]);
    let broken: Vec<u64> = page.broken.iter().map(|row| row.contact_id).collect();
    assert_eq!(broken, [1, 3]);
    assert!(page.broken[1].reason.contains("cseq"), "{:?}", page.broken);
    assert_eq!(location.rows_of(b"alice", None).await.unwrap(), [row(2, "alice")]);
    server.sql("DELETE FROM location");
}

/// Connections that are cut, in the middle of a group or between two, lose nothing that was answered.
async fn a_server_that_ends_is_found_again(server: &mut Server, location: &LocationTable) {
    location.apply(vec![upsert(&row(1, "alice"))]).await.unwrap();
    server.kill();
    let error = location.apply(vec![upsert(&row(2, "bob"))]).await.unwrap_err();
    assert!(error.may_pass(), "{error}");
    assert!(location.rows_of(b"alice", None).await.is_err());
    server.run();
    location.apply(vec![upsert(&row(2, "bob"))]).await.unwrap();
    assert_eq!(all(location, 10).await, [row(1, "alice"), row(2, "bob")]);

    // Groups one after the other until the server goes away in one of them.
    let writer = location.clone();
    let groups = tokio::spawn(async move {
        for group in 1_u64.. {
            let rows =
                (0..300).map(|id| upsert(&Row { expires: group.cast_signed(), ..row(100 + id, "many") }));
            if let Err(error) = writer.apply(rows.collect()).await {
                return (group, error);
            }
        }
        unreachable!()
    });
    while location.page(Some(2), 1).await.unwrap().rows.is_empty() {}
    server.kill();
    let (group, error) = groups.await.unwrap();
    assert!(error.may_pass(), "{error}");
    server.run();
    let rows = all(location, 1000).await;
    let found: Vec<i64> = rows.iter().filter(|row| row.username == b"many").map(|row| row.expires).collect();
    assert_eq!(found.len(), 300);
    // The group that failed is there as a whole or not at all; the one before it is.
    assert!(found.iter().all(|expires| *expires == found[0]), "{found:?}");
    assert!([group, group - 1].contains(&found[0].cast_unsigned()), "{group} {}", found[0]);
    server.sql("DELETE FROM location");
}
