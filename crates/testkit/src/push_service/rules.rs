//! What the real services refuse: as much of their manuals as a sender can get wrong.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::tokens::{es256, now_s, of_service_account};
use super::{Reply, Seen};

/// The longest body that APNs takes.
const APNS_BYTES: usize = 4096;

/// The rules of APNs, for one team.
#[derive(Debug, Default)]
pub struct Apns {
    /// The team.
    pub team: String,
    /// The name and the public point of its key; without it, the certificate of the connection has to do.
    pub key: Option<(String, Vec<u8>)>,
    /// Its topics.
    pub topics: Vec<String>,
    /// Devices that have thrown the app away.
    pub gone: Mutex<HashSet<String>>,
}

impl Apns {
    /// What APNs answers.
    #[must_use]
    pub fn judge(&self, seen: &Seen) -> Reply {
        match self.objection(seen) {
            None => Reply::status(200, ""),
            Some((status, reason)) => Reply::status(status, &json!({ "reason": reason }).to_string()),
        }
    }

    fn objection(&self, seen: &Seen) -> Option<(u16, &'static str)> {
        if seen.method != "POST" || seen.version != "HTTP/2.0" {
            return Some((405, "MethodNotAllowed"));
        }
        let Some(device) = seen.path.strip_prefix("/3/device/") else { return Some((404, "BadPath")) };
        if device.is_empty() || !device.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Some((400, "BadDeviceToken"));
        }
        if let Some(reason) = self.login(seen) {
            return Some((403, reason));
        }
        let topic = seen.header("apns-topic");
        if !self.topics.iter().any(|known| known == topic) {
            return Some((400, "TopicDisallowed"));
        }
        match (seen.header("apns-push-type"), seen.header("apns-priority")) {
            ("voip", "10") if topic.ends_with(".voip") => {}
            ("alert", "10") | ("background", "5") if !topic.ends_with(".voip") => {}
            ("voip" | "alert" | "background", "5" | "10") => return Some((400, "InvalidPushType")),
            _ => return Some((400, "BadPriority")),
        }
        if seen.header("apns-expiration").parse::<u64>().is_err() {
            return Some((400, "BadExpirationDate"));
        }
        if seen.body.len() > APNS_BYTES {
            return Some((413, "PayloadTooLarge"));
        }
        let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        if !body["aps"].is_object() {
            return Some((400, "PayloadEmpty"));
        }
        self.gone.lock().contains(device).then_some((410, "Unregistered"))
    }

    fn login(&self, seen: &Seen) -> Option<&'static str> {
        let (key_id, point) = self.key.as_ref()?;
        let Some(token) = seen.header("authorization").strip_prefix("bearer ") else {
            return Some("MissingProviderToken");
        };
        let Some((header, claims)) = es256(token, point) else { return Some("InvalidProviderToken") };
        let is_ours = header["alg"] == "ES256" && header["kid"] == **key_id && claims["iss"] == *self.team;
        let issued_s = claims["iat"].as_u64().filter(|_| is_ours);
        match issued_s {
            None => Some("InvalidProviderToken"),
            Some(at_s) if now_s().abs_diff(at_s) > 3600 => Some("ExpiredProviderToken"),
            Some(_) => None,
        }
    }
}

/// The rules of FCM, for the project of [`SERVICE_ACCOUNT`](super::tokens::SERVICE_ACCOUNT). It gives access tokens too, at
/// `/token`.
#[derive(Debug, Default)]
pub struct Fcm {
    /// The URL of `/token`, as an assertion has to name it.
    pub token_url: String,
    /// Devices that have thrown the app away.
    pub gone: Mutex<HashSet<String>>,
    issued: Mutex<u32>,
}

impl Fcm {
    /// Rules without a device that is gone.
    #[must_use]
    pub fn new(token_url: String) -> Self {
        Self { token_url, ..Self::default() }
    }

    /// What FCM and the token service answer.
    #[must_use]
    pub fn judge(&self, seen: &Seen) -> Reply {
        let error = |status: u16, word: &str| {
            let details = json!([{
                "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": word,
            }]);
            let body = json!({ "error": { "code": status, "status": word, "details": details } });
            Reply::status(status, &body.to_string())
        };
        if seen.method != "POST" {
            return error(405, "METHOD_NOT_ALLOWED");
        }
        if seen.path == "/token" {
            return self.grant(seen);
        }
        if seen.path != "/v1/projects/phones/messages:send" {
            return error(404, "NOT_FOUND");
        }
        let number = seen.header("authorization").strip_prefix("Bearer access-");
        let number = number.and_then(|number| number.parse::<u32>().ok());
        if !number.is_some_and(|number| (1..=*self.issued.lock()).contains(&number)) {
            return error(401, "UNAUTHENTICATED");
        }
        let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let message = &body["message"];
        let are_strings = message["data"].as_object().is_some_and(|data| data.values().all(Value::is_string));
        let Some(device) = message["token"].as_str().filter(|_| are_strings) else {
            return error(400, "INVALID_ARGUMENT");
        };
        if self.gone.lock().contains(device) {
            return error(404, "UNREGISTERED");
        }
        Reply::status(200, r#"{"name":"projects/phones/messages/1"}"#)
    }

    /// The exchange of an assertion for a token (RFC 7523).
    fn grant(&self, seen: &Seen) -> Reply {
        let refused = || Reply::status(400, r#"{"error":"invalid_grant"}"#);
        let form = String::from_utf8_lossy(&seen.body).into_owned();
        let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
        let Some(assertion) = form.strip_prefix(grant) else { return refused() };
        let Some((header, claims)) = of_service_account(assertion) else { return refused() };
        let number = |name: &str| claims[name].as_u64().unwrap_or_default();
        let (from_s, until_s, now_s) = (number("iat"), number("exp"), now_s());
        let is_good = header["alg"] == "RS256"
            && claims["iss"] == "push@phones.example"
            && claims["aud"] == *self.token_url
            && claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
            && from_s <= now_s + 60
            && (now_s..=from_s + 3600).contains(&until_s);
        if !is_good {
            return refused();
        }
        let mut issued = self.issued.lock();
        *issued += 1;
        let token =
            json!({ "access_token": format!("access-{issued}"), "expires_in": 3599, "token_type": "Bearer" });
        Reply::status(200, &token.to_string())
    }
}

/// The rules of a Web Push service whose subscriptions are restricted to one sender (RFC 8292 section 4).
#[derive(Debug, Default)]
pub struct WebPush {
    /// Its origin.
    pub origin: String,
    /// The public point of the sender.
    pub point: Vec<u8>,
    /// Paths of subscriptions that have ended.
    pub gone: Mutex<HashSet<String>>,
}

impl WebPush {
    /// What the service answers.
    #[must_use]
    pub fn judge(&self, seen: &Seen) -> Reply {
        let status = if seen.method != "POST" {
            405
        } else if !self.is_sender(seen) {
            403
        } else if seen.header("ttl").parse::<u64>().is_err() {
            400
        } else if !seen.body.is_empty() && seen.header("content-encoding") != "aes128gcm" {
            415
        } else if self.gone.lock().contains(&seen.path) {
            410
        } else {
            201
        };
        Reply::status(status, "")
    }

    fn is_sender(&self, seen: &Seen) -> bool {
        let login = seen.header("authorization").strip_prefix("vapid t=");
        let Some((token, shown)) = login.and_then(|login| login.split_once(", k=")) else { return false };
        if URL_SAFE_NO_PAD.decode(shown).ok().as_deref() != Some(&*self.point) {
            return false;
        }
        let Some((header, claims)) = es256(token, &self.point) else { return false };
        let contact = claims["sub"].as_str().unwrap_or_default();
        let until_s = claims["exp"].as_u64().unwrap_or_default();
        header["alg"] == "ES256"
            && claims["aud"] == *self.origin
            && (contact.starts_with("mailto:") || contact.starts_with("https://"))
            && (now_s()..=now_s() + 24 * 3600).contains(&until_s)
    }
}
