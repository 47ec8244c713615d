//! Apple Push Notification service: one POST over HTTP/2 for each push.

use std::time::Duration;

use parking_lot::Mutex;
use seawall_http::{Method, Request, Response};
use serde_json::json;

use crate::json;
use crate::jwt::{Kept, Key};
use crate::limits::{APNS_TOKEN_S, PAYLOAD_BYTES};
use crate::message::Push;
use crate::template::Template;
use crate::topic;
use crate::verdict::Verdict;

/// How we prove who we are.
#[derive(Debug)]
pub enum Login {
    /// By a token that a key of the team signs.
    Token {
        /// The key.
        key: Key,
        /// Its name.
        key_id: String,
        /// The team.
        team: String,
        /// The token that is in use.
        kept: Mutex<Kept>,
    },
    /// By the certificate of the connection.
    Certificate,
}

/// The sender to APNs.
#[derive(Debug)]
pub struct Apns {
    pub url: String,
    pub login: Login,
    pub template: Template,
}

impl Apns {
    /// The request for a push. `now_s` and `until_s` are Unix seconds: APNs drops what it cannot deliver until then.
    pub fn request(
        &self,
        push: &Push,
        now_s: u64,
        until_s: u64,
        timeout: Duration,
    ) -> Result<Request, String> {
        let topic = topic::read(&push.param, &push.prid, push.rings())?;
        let (kind, priority) = match (topic.voip, push.is_call()) {
            (true, _) => ("voip", "10"),
            (false, true) => ("alert", "10"),
            // Apple refuses background pushes with any other priority.
            (false, false) => ("background", "5"),
        };
        let body = if kind == "background" {
            json!({ "aps": { "content-available": 1 }, "reason": push.reason }).to_string()
        } else {
            self.template.fill(push)
        };
        if body.len() > PAYLOAD_BYTES {
            return Err("the payload is too long".to_owned());
        }
        let mut request =
            Request::new(Method::Post, format!("{}/3/device/{}", self.url, topic.token), timeout)
                .header("apns-topic", topic.topic)
                .header("apns-push-type", kind)
                .header("apns-priority", priority)
                .header("apns-expiration", until_s.to_string())
                .body(body);
        if let Login::Token { key, key_id, team, kept } = &self.login {
            if *team != topic.team {
                return Err(format!("no key of team {}", topic.team));
            }
            let sign = || {
                let claims = json!({ "iss": team, "iat": now_s });
                Some((key.sign(Some(key_id), &claims)?, now_s + APNS_TOKEN_S))
            };
            let token = kept.lock().token(now_s, sign).ok_or("no token can be signed")?;
            request = request.header("authorization", format!("bearer {token}"));
        }
        Ok(request)
    }

    /// Lets the next request carry a new token.
    pub fn renew(&self) {
        if let Login::Token { kept, .. } = &self.login {
            kept.lock().forget();
        }
    }
}

/// What APNs says with an answer.
pub fn judge(response: &Response) -> Verdict {
    let said = json::read(&response.body);
    let word = json::text(&said, "reason");
    let reason = json::reason(response.status, word);
    match (response.status, word) {
        (410, _) => Verdict::Dead,
        (403, Some("ExpiredProviderToken" | "InvalidProviderToken")) => Verdict::Credentials(reason),
        _ => Verdict::common(response, reason),
    }
}
