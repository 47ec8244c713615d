//! A table that is prepared before its first use, whoever comes first.

use std::sync::Arc;

use seawall_modules::store::{Backend, Doing};
use seawall_storage::StorageError;
use seawall_storage::location::{LocationTable, Page, Row, RowChange};
use tokio::sync::OnceCell;

/// The table, and whether it is prepared.
pub struct PreparedTable {
    table: LocationTable,
    /// Whether it is nobody else's, so that it is made when it is missing.
    is_own: bool,
    ready: OnceCell<()>,
}

impl PreparedTable {
    /// Not prepared yet.
    pub fn new(table: LocationTable) -> Self {
        Self { table, is_own: false, ready: OnceCell::new() }
    }

    /// A table that is this server's alone, not prepared yet.
    pub fn own(table: LocationTable) -> Self {
        Self { is_own: true, ..Self::new(table) }
    }

    async fn ready(&self) -> Result<&LocationTable, StorageError> {
        let prepare = async || {
            if self.is_own {
                self.table.prepare_own().await?
            } else {
                self.table.prepare().await?
            }
            self.table.take().await
        };
        self.ready.get_or_try_init(prepare).await?;
        Ok(&self.table)
    }
}

impl Backend for PreparedTable {
    fn prepare(&self) -> Doing<'_, ()> {
        Box::pin(async { self.ready().await.map(drop) })
    }

    fn apply(&self, changes: Vec<RowChange>) -> Doing<'_, Vec<RowChange>> {
        Box::pin(async { self.ready().await?.apply(changes).await })
    }

    fn apply_shared(&self, changes: Arc<Vec<RowChange>>) -> Doing<'_, ()> {
        Box::pin(async { self.ready().await?.apply_shared(changes).await })
    }

    fn rows_of<'a>(&'a self, username: &'a [u8], domain: Option<&'a [u8]>) -> Doing<'a, Vec<Row>> {
        Box::pin(async move { self.ready().await?.rows_of(username, domain).await })
    }

    fn page(&self, after_contact_id: Option<u64>, rows: u32) -> Doing<'_, Page> {
        Box::pin(async move { self.ready().await?.page_at_start(after_contact_id, rows).await })
    }

    fn count(&self) -> Doing<'_, u64> {
        Box::pin(async { self.ready().await?.count().await })
    }

    fn delete_expired(&self, before_s: i64) -> Doing<'_, u64> {
        Box::pin(async move { self.ready().await?.delete_expired(before_s).await })
    }

    fn settle(&self) -> Doing<'_, ()> {
        Box::pin(async { self.ready().await?.settle().await })
    }

    fn settle_few(&self, changes: usize) -> Doing<'_, bool> {
        Box::pin(async move { self.ready().await?.settle_few(changes).await })
    }

    fn can_be_taken(&self) -> bool {
        self.table.can_be_taken()
    }

    fn check_owner(&self) -> Doing<'_, ()> {
        Box::pin(self.table.check_owner())
    }

    fn end(&self) -> Doing<'_, ()> {
        Box::pin(async { self.ready().await?.end().await })
    }
}
