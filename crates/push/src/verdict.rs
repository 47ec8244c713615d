//! What the answer of a push service means.

use seawall_http::Response;

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Taken.
    Accepted,
    /// The phone is gone for good.
    Dead,
    /// Never to be taken.
    Refused(String),
    /// Our token is not accepted: make another, and ask again once.
    Credentials(String),
    /// Ask again.
    Again {
        /// Why.
        reason: String,
        /// Not before these many seconds.
        after_s: Option<u64>,
        /// Whether all pushes to the service should wait, not only this one.
        everybody: bool,
    },
}

impl Verdict {
    /// The meaning of a status that is the same everywhere: too many requests, and an ailing server.
    pub fn common(response: &Response, reason: String) -> Self {
        match response.status {
            200..=299 => Verdict::Accepted,
            429 | 500..=599 => Verdict::Again {
                reason,
                after_s: response.retry_after_s,
                everybody: response.status != 500 && response.retry_after_s.is_some(),
            },
            _ => Verdict::Refused(reason),
        }
    }
}
