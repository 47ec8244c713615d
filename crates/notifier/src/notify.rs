//! A NOTIFY as it is to be sent (RFC 6665 section 4.2.2).

use crate::dialog::Dialog;
use crate::reginfo::CONTENT_TYPE;
use crate::subscription::{Id, Reason};

/// A NOTIFY. What the way to the subscriber needs besides is the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify<F> {
    /// The subscription that it belongs to.
    pub id: Id,
    /// The Request-URI.
    pub uri: Vec<u8>,
    /// The next hop, if it is not the Request-URI.
    pub next_hop: Vec<u8>,
    /// The From value.
    pub from: Vec<u8>,
    /// The To value.
    pub to: Vec<u8>,
    /// The Call-ID.
    pub call_id: Vec<u8>,
    /// The CSeq number.
    pub cseq: u32,
    /// Route, Event, Subscription-State and Content-Type: complete lines.
    pub headers: Vec<u8>,
    /// The document.
    pub body: Vec<u8>,
    /// As given to [`subscribe`](crate::Notifier::subscribe).
    pub flow: F,
}

/// Where a subscription stands, for Subscription-State.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It goes on for so many seconds.
    Active(u64),
    /// This is the last NOTIFY.
    Over(Reason),
}

impl<F> Notify<F> {
    pub(crate) fn new(id: Id, dialog: &Dialog, standing: Standing, body: Vec<u8>, flow: F) -> Self {
        let (uri, mut headers) = dialog.request_uri_and_routes();
        headers.extend_from_slice(b"Event: reg");
        if !dialog.event_id.is_empty() {
            headers.extend_from_slice(b";id=");
            headers.extend_from_slice(&dialog.event_id);
        }
        let state = match standing {
            Standing::Active(left_s) => format!("active;expires={left_s}"),
            Standing::Over(reason) => format!("terminated;reason={}", reason.word()),
        };
        headers.extend_from_slice(format!("\r\nSubscription-State: {state}\r\nContent-Type: ").as_bytes());
        headers.extend_from_slice(CONTENT_TYPE);
        headers.extend_from_slice(b"\r\n");
        Self {
            id,
            uri,
            next_hop: dialog.next_hop(),
            from: dialog.local.clone(),
            to: dialog.remote.clone(),
            call_id: dialog.call_id.clone(),
            cseq: dialog.local_cseq,
            headers,
            body,
            flow,
        }
    }
}
