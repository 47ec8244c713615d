//! Pushes over real connections to services that speak HTTP/2 over TLS, check what they get, and misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod apns;
mod common;
mod fcm;
mod gateway;
mod trouble;
mod webpush;
