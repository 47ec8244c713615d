//! A gateway of one's own: a POST with a body from a template.

use std::time::Duration;

use seawall_http::{Method, Request, Response};

use crate::json;
use crate::message::Push;
use crate::template::Template;
use crate::verdict::Verdict;

/// The sender to a gateway.
pub struct Gateway {
    pub url: String,
    pub content_type: String,
    pub template: Template,
    /// The value of Authorization.
    pub authorization: Option<String>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("content_type", &self.content_type).finish_non_exhaustive()
    }
}

impl Gateway {
    /// The request for a push.
    pub fn request(&self, push: &Push, timeout: Duration) -> Request {
        let request = Request::new(Method::Post, &self.url, timeout)
            .header("content-type", &self.content_type)
            .body(self.template.fill(push));
        match &self.authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        }
    }
}

/// What a gateway says with an answer: 410 means that the phone is gone.
pub fn judge(response: &Response) -> Verdict {
    match response.status {
        410 => Verdict::Dead,
        _ => Verdict::common(response, json::reason(response.status, None)),
    }
}
