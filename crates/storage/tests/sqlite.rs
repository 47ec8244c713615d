//! SQLite files: made, opened, refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sqlx::{Connection, Executor};

use seawall_storage::{
    Cell, Columns, Database, DatabaseUrl, Identifier, Options, Secrets, Select, Storage, StorageError,
    Subscribers,
};

/// A folder of its own for each test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("seawall-storage-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn database(&self, file: &str) -> Database {
        let url = DatabaseUrl::parse(&format!("sqlite://{}", self.0.join(file).display())).unwrap();
        Storage::default().database(&url, &Options::default())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn name(text: &str) -> Identifier {
    Identifier::new(text).unwrap()
}

fn subscribers(database: &Database) -> Subscribers {
    let columns = Columns { user: name("username"), domain: name("domain") };
    Subscribers::new(database.clone(), name("subscriber"), columns)
}

fn secrets(text: &str) -> Secrets {
    Secrets::new(vec![(name("ha1"), text.to_owned()), (name("ha1_sha256"), format!("{text}{text}"))])
}

async fn hashes(database: &Database, user: &str) -> Vec<Vec<Cell>> {
    let select =
        Select::new(&name("subscriber"), &[&name("ha1"), &name("ha1_sha256")], &[&name("username")], 10);
    database.select(&select, &[Cell::from(user)]).await.unwrap()
}

#[tokio::test]
async fn a_missing_file_is_made_with_its_tables_for_its_owner_only() {
    let folder = Folder::new("made");
    let database = folder.database("users.db");
    database.open().await.unwrap();
    database.check_version(&name("subscriber")).await.unwrap();
    database.check_version(&name("uri")).await.unwrap();
    let mode = std::fs::metadata(folder.0.join("users.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(subscribers(&database).list(0).await.unwrap().is_empty());
}

#[tokio::test]
async fn users_come_change_and_go() {
    let folder = Folder::new("users");
    let database = folder.database("users.db");
    let users = subscribers(&database);
    assert!(users.add("bob", "", &secrets("b")).await.unwrap());
    assert!(users.add("alice", "", &secrets("a")).await.unwrap());
    assert!(users.add("alice", "example.com", &secrets("e")).await.unwrap());
    assert!(!users.add("alice", "", &secrets("x")).await.unwrap());
    let listed = users.list(0).await.unwrap();
    let expected = [("alice", ""), ("alice", "example.com"), ("bob", "")];
    assert_eq!(listed, expected.map(|(user, domain)| (user.to_owned(), domain.to_owned())));
    assert_eq!(users.list(2).await.unwrap().len(), 1);
    assert!(users.change("bob", "", &secrets("c")).await.unwrap());
    assert!(!users.change("carol", "", &secrets("c")).await.unwrap());
    assert_eq!(hashes(&database, "bob").await, [[Cell::from("c"), Cell::from("cc")]]);
    assert!(users.remove("alice", "").await.unwrap());
    assert!(!users.remove("alice", "").await.unwrap());
    // Another process, or the next run, sees the same.
    let again = folder.database("users.db");
    assert_eq!(subscribers(&again).list(0).await.unwrap().len(), 2);
}

#[tokio::test]
async fn values_are_data_whatever_they_look_like() {
    let folder = Folder::new("values");
    let database = folder.database("users.db");
    let users = subscribers(&database);
    let name = "x'; DROP TABLE subscriber; --";
    assert!(users.add(name, "", &secrets("a")).await.unwrap());
    assert_eq!(users.list(0).await.unwrap(), [(name.to_owned(), String::new())]);
    assert!(hashes(&database, "x' OR '1'='1").await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_opened_is_an_error_and_tried_again() {
    let folder = Folder::new("broken");
    let missing = folder.database("no/such/folder/users.db");
    assert!(matches!(missing.open().await, Err(StorageError::Open { .. })));
    std::fs::create_dir_all(folder.0.join("no/such/folder")).unwrap();
    missing.open().await.unwrap();

    std::fs::write(folder.0.join("text.db"), "this is no database, but long enough to look at".repeat(50))
        .unwrap();
    assert!(subscribers(&folder.database("text.db")).list(0).await.is_err());
}

#[tokio::test]
async fn a_column_that_does_not_exist_is_an_error_and_no_text() {
    let folder = Folder::new("column");
    let database = folder.database("users.db");
    subscribers(&database).add("alice", "", &secrets("a")).await.unwrap();
    let select = Select::new(&name("subscriber"), &[&name("no_such")], &[&name("username")], 1);
    let error = database.select(&select, &[Cell::from("alice")]).await.unwrap_err();
    assert!(error.to_string().contains("no_such"), "{error}");
    assert!(!error.to_string().contains("alice"), "{error}");
}

#[tokio::test]
async fn tables_of_another_version_are_told() {
    let folder = Folder::new("version");
    let database = folder.database("users.db");
    let error = database.check_version(&name("members")).await.unwrap_err();
    assert!(matches!(&error, StorageError::NoVersion { table } if table == "members"), "{error}");
    let file = format!("sqlite://{}", folder.0.join("users.db").display());
    let mut other = sqlx::sqlite::SqliteConnection::connect(&file).await.unwrap();
    other.execute("UPDATE version SET table_version = 7 WHERE table_name = 'subscriber'").await.unwrap();
    let error = database.check_version(&name("subscriber")).await.unwrap_err();
    assert!(matches!(error, StorageError::Version { found: 7, known: 8, .. }), "{error}");
    // What was wrong once is asked for again.
    other.execute("UPDATE version SET table_version = 8 WHERE table_name = 'subscriber'").await.unwrap();
    database.check_version(&name("subscriber")).await.unwrap();
}
