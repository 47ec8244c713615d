//! Firebase Cloud Messaging, HTTP v1: an access token for the service account, then one POST for each push.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use seawall_http::{Client, Method, Request, Response};
use serde_json::{Value, json};

use crate::json;
use crate::jwt::{Kept, Key};
use crate::limits::{ANSWER_BYTES, FCM_TOKEN_MARGIN_S, PAYLOAD_BYTES};
use crate::message::Push;
use crate::services::LoadError;
use crate::template::Template;
use crate::verdict::Verdict;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";

/// One service account: it may push to the phones of its project.
pub struct Account {
    project: String,
    email: String,
    key_id: Option<String>,
    key: Key,
    token_url: String,
    kept: Mutex<Kept>,
    /// One request for a token at a time.
    asking: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("project", &self.project).finish_non_exhaustive()
    }
}

impl Account {
    /// Reads the JSON file of a service account. `token_url` replaces the `token_uri` in it.
    pub fn read(path: &Path, token_url: Option<&str>) -> Result<Self, LoadError> {
        let text = std::fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let wrong = || LoadError::Key {
            path: path.to_owned(),
            wanted: "a service account in JSON, with project_id, client_email, token_uri and an RSA private_key",
        };
        let file = json::read(&text);
        let text = |name: &str| json::text(&file, name).filter(|text| !text.is_empty()).map(str::to_owned);
        let token_url = token_url.map(str::to_owned).or_else(|| text("token_uri")).ok_or_else(wrong)?;
        let key = text("private_key").and_then(|pem| Key::rsa(pem.as_bytes())).ok_or_else(wrong)?;
        Ok(Self {
            project: text("project_id").ok_or_else(wrong)?,
            email: text("client_email").ok_or_else(wrong)?,
            key_id: text("private_key_id"),
            key,
            token_url,
            kept: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        })
    }

    fn kept(&self, now_s: u64) -> Option<String> {
        self.kept.lock().token(now_s, || None)
    }

    /// The access token, fetched when there is none (RFC 7523 section 2.1).
    async fn token(&self, client: &Client, now_s: u64, timeout: Duration) -> Result<String, Verdict> {
        if let Some(token) = self.kept(now_s) {
            return Ok(token);
        }
        let _asking = self.asking.lock().await;
        if let Some(token) = self.kept(now_s) {
            return Ok(token);
        }
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": self.token_url, "iat": now_s, "exp": now_s + 3600,
        });
        let Some(assertion) = self.key.sign(self.key_id.as_deref(), &claims) else {
            return Err(Verdict::Refused("no token can be signed".to_owned()));
        };
        let mut request = Request::new(Method::Post, &self.token_url, timeout)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("grant_type={GRANT}&assertion={assertion}"));
        request.answer_bytes = ANSWER_BYTES;
        let again = |reason| Verdict::Again { reason, after_s: None, everybody: false };
        let response = client.send(request).await.map_err(|failure| again(format!("token: {failure}")))?;
        let said = json::read(&response.body);
        if response.status != 200 {
            let reason = format!("token: {}", json::reason(response.status, json::text(&said, "error")));
            return Err(Verdict::common(&response, reason));
        }
        let token = json::text(&said, "access_token").map(str::to_owned);
        let token = token.ok_or_else(|| again("token: there is none in the answer".to_owned()))?;
        let lasts_s = said.get("expires_in").and_then(Value::as_u64).unwrap_or(3600);
        let until_s = now_s + lasts_s.saturating_sub(FCM_TOKEN_MARGIN_S).max(1);
        self.kept.lock().token(now_s, || Some((token.clone(), until_s)));
        Ok(token)
    }
}

/// The sender to FCM.
#[derive(Debug)]
pub struct Fcm {
    pub url: String,
    pub accounts: Vec<Account>,
    pub template: Template,
}

impl Fcm {
    fn account(&self, push: &Push) -> Option<&Account> {
        self.accounts.iter().find(|account| account.project == push.param)
    }

    /// The request for a push, once there is an access token.
    pub async fn request(
        &self,
        client: &Client,
        push: &Push,
        now_s: u64,
        until_s: u64,
        timeout: Duration,
    ) -> Result<Request, Verdict> {
        let Some(account) = self.account(push) else {
            return Err(Verdict::Refused("no service account for this project".to_owned()));
        };
        let body = self.body(push, until_s.saturating_sub(now_s)).map_err(Verdict::Refused)?;
        let token = account.token(client, now_s, timeout).await?;
        let url = format!("{}/v1/projects/{}/messages:send", self.url, account.project);
        Ok(Request::new(Method::Post, url, timeout)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(body))
    }

    fn body(&self, push: &Push, lasts_s: u64) -> Result<String, String> {
        if push.prid.is_empty() {
            return Err("pn-prid is empty".to_owned());
        }
        let text = self.template.fill(push);
        if text.len() > PAYLOAD_BYTES {
            return Err("the payload is too long".to_owned());
        }
        let data: Value = serde_json::from_str(&text).map_err(|_| "the payload is no JSON".to_owned())?;
        Ok(json!({
            "message": {
                "token": push.prid,
                "data": data,
                "android": { "priority": "HIGH", "ttl": format!("{lasts_s}s") },
            }
        })
        .to_string())
    }

    /// Lets the next request for this push's project fetch a new access token.
    pub fn renew(&self, push: &Push) {
        if let Some(account) = self.account(push) {
            account.kept.lock().forget();
        }
    }
}

/// What FCM says with an answer.
pub fn judge(response: &Response) -> Verdict {
    let said = json::read(&response.body);
    let error = said.get("error").unwrap_or(&Value::Null);
    let details = error.get("details").and_then(Value::as_array);
    let code = details.and_then(|details| details.iter().find_map(|detail| json::text(detail, "errorCode")));
    let word = code.or_else(|| json::text(error, "status"));
    let reason = json::reason(response.status, word);
    match (response.status, word) {
        (404, Some("UNREGISTERED")) => Verdict::Dead,
        (401, _) => Verdict::Credentials(reason),
        _ => Verdict::common(response, reason),
    }
}
