//! The HTTP client of Seawall: what `rest_client` and the push senders ask other servers with.
//!
//! Connections are kept and shared, HTTP/2 is negotiated, and every request has a bound on its time and on the size of
//! its answer. It follows no redirects, keeps no cookies and knows no proxies. It runs on the control side's runtime;
//! a worker only builds a [`Request`] and waits for its [`Response`].

mod client;
pub mod limits;
mod tls;

pub use client::{Client, Failure, Method, Options, Request, Response, Version, header_field};
pub use tls::{Identity, Roots, TlsError, Trust};
