//! Web Push: an encrypted message (RFC 8291) to the push resource of a phone (RFC 8030), signed by VAPID (RFC 8292).

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use seawall_http::{Method, Request, Response};
use serde_json::json;

use crate::encryption::{self, AUTH_BYTES, POINT_BYTES};
use crate::json;
use crate::jwt::{Kept, Key};
use crate::limits::{PRID_BYTES, VAPID_TOKEN_S, VAPID_TOKENS};
use crate::message::Push;
use crate::template::Template;
use crate::verdict::Verdict;

/// The sender to Web Push services.
#[derive(Debug)]
pub struct WebPush {
    pub key: Key,
    /// `mailto:` or `https:`, for whoever runs the service.
    pub contact: String,
    /// The hosts that pushes may go to; `*.` in front of one means all below it.
    pub hosts: Vec<String>,
    pub template: Template,
    /// The tokens in use, by origin.
    pub kept: Mutex<HashMap<String, Kept>>,
}

impl WebPush {
    /// The request for a push. `pn-prid` is the push resource; `pn-param` is the public key and the authentication secret
    /// of the subscription, both in base64url with a dot between them. Without them the push has no payload.
    pub fn request(
        &self,
        push: &Push,
        now_s: u64,
        until_s: u64,
        timeout: Duration,
    ) -> Result<Request, String> {
        let origin = self.origin(&push.prid)?;
        let token = self.token(origin, now_s).ok_or("no token can be signed")?;
        let key = self.public_key();
        let request = Request::new(Method::Post, &push.prid, timeout)
            .header("authorization", format!("vapid t={token}, k={key}"))
            .header("ttl", until_s.saturating_sub(now_s).to_string())
            .header("urgency", if push.is_call() { "high" } else { "normal" });
        if push.param.is_empty() {
            return Ok(request);
        }
        let (point, auth) = subscription(&push.param).ok_or("pn-param is not the keys of a subscription")?;
        let sealed = encryption::encrypt(&point, &auth, self.template.fill(push).as_bytes());
        let sealed = sealed.ok_or("the payload cannot be encrypted")?;
        Ok(request
            .header("content-encoding", "aes128gcm")
            .header("content-type", "application/octet-stream")
            .body(sealed))
    }

    /// The origin of a push resource that we may talk to. The phone chooses the resource: without a list it could
    /// make us ask any server that we can reach.
    fn origin<'a>(&self, resource: &'a str) -> Result<&'a str, String> {
        let wrong = || "pn-prid is no push resource".to_owned();
        if resource.len() > PRID_BYTES || !resource.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        let rest = resource.strip_prefix("https://").ok_or_else(wrong)?;
        let end = rest.find(['/', '?', '#']).ok_or_else(wrong)?;
        let authority = rest.get(..end).unwrap_or_default();
        if authority.contains('@') {
            return Err(wrong());
        }
        let listed = self.hosts.iter().any(|listed| match listed.strip_prefix("*.") {
            Some(domain) => authority.strip_suffix(domain).is_some_and(|label| label.ends_with('.')),
            None => authority.eq_ignore_ascii_case(listed),
        });
        if !listed {
            return Err("the push resource is at a host that is not listed".to_owned());
        }
        resource.get(.."https://".len() + end).ok_or_else(wrong)
    }

    /// The public key in base64url.
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.key.public_point())
    }

    fn token(&self, origin: &str, now_s: u64) -> Option<String> {
        let mut kept = self.kept.lock();
        if kept.len() >= VAPID_TOKENS && !kept.contains_key(origin) {
            kept.clear();
        }
        kept.entry(origin.to_owned()).or_default().token(now_s, || {
            let until_s = now_s + VAPID_TOKEN_S;
            let claims = json!({ "aud": origin, "exp": until_s, "sub": self.contact });
            // Half of its time is left for a service whose clock is wrong.
            Some((self.key.sign(None, &claims)?, now_s + VAPID_TOKEN_S / 2))
        })
    }

    /// Lets the next requests carry new tokens.
    pub fn renew(&self) {
        self.kept.lock().clear();
    }
}

/// The keys of a subscription: its public point and its authentication secret.
fn subscription(param: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (point, auth) = param.split_once('.')?;
    let read = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let (point, auth) = (read(point)?, read(auth)?);
    (point.len() == POINT_BYTES && auth.len() == AUTH_BYTES).then_some((point, auth))
}

/// What a Web Push service says with an answer (RFC 8030 section 5 and 7.3).
pub fn judge(response: &Response) -> Verdict {
    let reason = json::reason(response.status, None);
    match response.status {
        404 | 410 => Verdict::Dead,
        401 | 403 => Verdict::Credentials(reason),
        _ => Verdict::common(response, reason),
    }
}
