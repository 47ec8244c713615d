//! What a proxy does to messages (RFC 3261 §16), as functions without state: a message goes in, edits or bytes come
//! out, and everything that is not changed stays byte for byte.
//!
//! - [`check`]: may it be forwarded at all (§16.3)?
//! - [`route`]: what its Route and Request-URI say about where it goes (§16.4).
//! - [`record_route`]: the lines by which the proxy stays in the path (§16.6 step 4).
//! - [`forward`]: the forwarded request (§16.6).
//! - [`reply`]: the response on its way back (§16.7 step 3, §18.2.2).
//!
//! Not here: choosing targets (the routing script, RFC 3263), and syntax, which `seawall_sip::validate` checks.

pub mod check;
pub mod forward;
pub mod record_route;
pub mod reply;
pub mod route;
