//! The notifier over virtual time and a real location table; documents are read back by an XML parser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod bench;
mod documents;
mod subscriptions;
