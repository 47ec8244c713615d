//! MariaDB, which speaks MySQL's protocol.

use seawall_storage::StorageError;

use crate::common::{row, table, upsert};
use crate::server::{check_server, database};
use crate::servers::{Kind, Server};

#[tokio::test]
async fn holds_what_every_database_holds() {
    let mut server = Server::start(Kind::Mysql);
    let location = check_server(&mut server).await;

    // A table in another character set, as many of OpenSIPS are: bytes stay what they are.
    server.sql("ALTER TABLE location CONVERT TO CHARACTER SET latin1");
    let mut strange = row(1, "caf\u{e9}");
    strange.user_agent = b"\xe9\xff\0".to_vec();
    location.apply(vec![upsert(&strange)]).await.unwrap();
    assert_eq!(location.rows_of(&strange.username, None).await.unwrap(), [strange.clone()]);
    assert_eq!(server.sql("SELECT hex(username) FROM location"), "636166C3A9");
    server.sql("UPDATE location SET user_agent = x'636166e9'");
    assert_eq!(location.page(None, 10).await.unwrap().rows[0].user_agent, b"caf\xe9");

    server.sql("SET GLOBAL read_only = 1; REVOKE ALL ON seawall.* FROM seawall@'%'; GRANT SELECT ON seawall.* TO seawall@'%'");
    let reader = table(&database(&server.url()));
    let error = reader.apply(vec![upsert(&row(1, "alice"))]).await.unwrap_err();
    assert!(matches!(error, StorageError::ReadOnly), "{error}");
    assert_eq!(reader.count().await.unwrap(), 1);

    let wrong = server.url().replace("p%40ss", "wrong");
    let error = database(&wrong).open().await.unwrap_err();
    assert!(matches!(error, StorageError::Unreachable(_)), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
}
