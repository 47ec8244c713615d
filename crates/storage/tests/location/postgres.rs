//! PostgreSQL.

use seawall_storage::StorageError;

use crate::common::{row, table, upsert};
use crate::server::{check_server, database};
use crate::servers::{Kind, Server};

#[tokio::test]
async fn holds_what_every_database_holds() {
    let mut server = Server::start(Kind::Postgres);
    let location = check_server(&mut server).await;

    server.sql("ALTER DATABASE seawall SET default_transaction_read_only = on");
    let reader = table(&database(&server.url()));
    let error = reader.apply(vec![upsert(&row(1, "alice"))]).await.unwrap_err();
    assert!(matches!(error, StorageError::ReadOnly), "{error}");
    assert_eq!(reader.count().await.unwrap(), 0);

    let elsewhere = format!("{}_not", server.url());
    let error = database(&elsewhere).open().await.unwrap_err();
    assert!(matches!(error, StorageError::Schema(_)), "{error}");
    drop(server);
    let error = location.count().await.unwrap_err();
    assert!(matches!(error, StorageError::Unreachable(_)), "{error}");
}
