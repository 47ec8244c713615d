//! SIP messages as bytes: scanning, typed views, URIs, edits, building and stream framing.
//!
//! Nothing here opens a socket, reads a clock or keeps state beyond its arguments.
//!
//! - [`Message`] owns the bytes of one message as they came. One pass over them records where start line, header
//!   fields and body stand; nothing is decoded or copied.
//! - Typed views are parsed on demand and borrow from those bytes: [`uri`], [`name_addr`], [`via`], [`cseq`],
//!   [`digest`], [`list`], [`feature_caps`].
//! - [`edit`] lists what to change when a message is written out again. What is not changed stays byte for byte.
//! - [`build`] writes responses and requests of our own.
//! - [`stream`] cuts messages out of a TCP stream.
//!
//! What cannot be framed is dropped and counted by the caller ([`ScanError`]). Everything else is answered by the
//! layer that objects: the checks that every element makes are in [`validate`], all others belong to the caller.
//!
//! ```
//! use seawall_sip::{Contact, Message, name_addr::contacts, response_into, validate};
//!
//! let datagram = b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
//!     From: <sip:a@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\nCall-ID: x\r\nCSeq: 1 REGISTER\r\n\
//!     Contact: <sip:a@192.0.2.1>;expires=60\r\n\r\n";
//! let request = Message::parse(datagram.to_vec()).map_err(|(_, error)| error)?;
//! assert!(validate::request(&request).is_ok());
//! for contact in contacts(&request) {
//!     if let Contact::Address(address) = contact? {
//!         assert_eq!((address.uri, address.expires()), (&b"sip:a@192.0.2.1"[..], Ok(Some(60))));
//!     }
//! }
//! let mut response = Vec::new();
//! response_into(&mut response, &request, 200, b"OK", Some(b"2"), None, b"");
//! assert!(response.starts_with(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod ascii;
pub mod build;
pub mod cseq;
mod cursor;
pub mod digest;
pub mod edit;
mod essentials;
pub mod feature_caps;
mod habit;
mod lanes;
pub mod limits;
mod lines;
pub mod list;
mod marks;
pub mod message;
pub mod method;
mod mould;
pub mod name;
pub mod name_addr;
mod onward;
pub mod params;
pub mod peek;
mod scan;
pub mod span;
pub mod stream;
mod swar;
pub mod uri;
pub mod validate;
pub mod via;

pub use build::response_into;
pub use edit::Edits;
pub use habit::Habits;
pub use message::{BadRequest, Framing, Header, Message, ScanError};
pub use method::Method;
pub use name::Name;
pub use name_addr::{Contact, NameAddr};
pub use onward::Onward;
pub use params::Params;
pub use span::Span;
pub use uri::Uri;
pub use via::{Via, ViaFix};
