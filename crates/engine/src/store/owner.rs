//! Looks whether another server has taken the tables of this one, which must change nothing then.
//!
//! The database refuses each write of a server that has lost its tables, so nothing is written in any case. This is for what
//! is answered without a write or long before it: a REGISTER under write-back, one that changes nothing, a de-REGISTER
//! to a main registrar. It is looked every second, and a process that stood still does none of that until it has looked.

use std::sync::Arc;
use std::time::Duration;

use seawall_modules::node::Node;
use seawall_net::monotonic_ms;
use seawall_storage::StorageError;
use tokio::sync::watch::Receiver;

use crate::limits::{LOOK_FOR_OWNER_MS, OWNER_WITHIN_MS};

/// Looks until the server stops or has lost its tables.
pub async fn watch(node: Arc<Node>, mut stop: Receiver<bool>) {
    while !*stop.borrow() {
        let began_ms = monotonic_ms();
        let tables = node.store.tables();
        let mut is_watched = false;
        for table in tables.iter().filter(|table| table.backend.can_be_taken()) {
            is_watched = true;
            // A database that does not answer is no reason to refuse anybody: that is what write-back is for.
            let within = Duration::from_millis(OWNER_WITHIN_MS);
            if let Ok(Err(error)) = tokio::time::timeout(within, table.backend.check_owner()).await
                && note_loss(&node, &error)
            {
                return;
            }
        }
        if is_watched {
            node.store.ownership.looked(began_ms);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(LOOK_FOR_OWNER_MS)) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Whether an error says that another server has the tables now; then everybody is told.
pub fn note_loss(node: &Node, error: &StorageError) -> bool {
    if !matches!(error, StorageError::TakenOver { .. }) {
        return false;
    }
    if let Some(lost) = node.store.lose() {
        tracing::error!(
            "{error}: this server writes nothing any more and answers REGISTERs with 500 until it is started again; \
             {lost} changes of write-back are lost"
        );
    }
    true
}
