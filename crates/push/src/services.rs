//! The senders that are configured: their keys, templates and connections.

use std::path::PathBuf;

use parking_lot::Mutex;
use seawall_http::{Client, Identity, Request, Response, Roots, TlsError, Trust, Version};
use serde_json::Value;

use crate::apns::{self, Apns, Login};
use crate::fcm::{self, Account, Fcm};
use crate::gateway::{self, Gateway};
use crate::jwt::Key;
use crate::limits::{ANSWER_BYTES, ATTEMPT};
use crate::message::{Provider, Push};
use crate::template::{Style, Template};
use crate::verdict::Verdict;
use crate::webpush::{self, WebPush};

/// What is to be set up. A sender that is `None` does not exist.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// APNs.
    pub apns: Option<ApnsOptions>,
    /// FCM.
    pub fcm: Option<FcmOptions>,
    /// Web Push.
    pub webpush: Option<WebPushOptions>,
    /// A gateway, for every `pn-provider` that has no sender here.
    pub gateway: Option<GatewayOptions>,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// How many pushes each service gets in a second; 0 for no limit.
    pub rate_per_s: u32,
}

/// APNs.
#[derive(Debug, Clone)]
pub struct ApnsOptions {
    /// `https://api.push.apple.com`, or where else APNs is.
    pub url: String,
    /// How we prove who we are.
    pub login: ApnsLogin,
    /// The payload of calls.
    pub template: String,
}

/// How we prove to APNs who we are.
#[derive(Debug, Clone)]
pub enum ApnsLogin {
    /// By tokens.
    Token {
        /// The `.p8` file.
        key_file: PathBuf,
        /// The name of the key.
        key_id: String,
        /// The team.
        team_id: String,
    },
    /// By a certificate.
    Certificate {
        /// The certificate, PEM.
        certificate_file: PathBuf,
        /// Its key, PEM.
        key_file: PathBuf,
    },
}

/// FCM.
#[derive(Debug, Clone)]
pub struct FcmOptions {
    /// `https://fcm.googleapis.com`, or where else FCM is.
    pub url: String,
    /// The files of service accounts, one for each project.
    pub account_files: Vec<PathBuf>,
    /// Where access tokens come from, instead of what the files say.
    pub token_url: Option<String>,
    /// The `data` of the message: a JSON object of strings.
    pub template: String,
}

/// Web Push.
#[derive(Debug, Clone)]
pub struct WebPushOptions {
    /// The key that signs, P-256 in PKCS#8 PEM.
    pub key_file: PathBuf,
    /// `mailto:` or `https:` of whoever runs this server.
    pub contact: String,
    /// The hosts, with `:port` if it is not 443, that pushes may go to; `*.` in front of one means all below it.
    pub hosts: Vec<String>,
    /// The payload.
    pub template: String,
}

/// A gateway of one's own.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Where it is.
    pub url: String,
    /// The type of the body; it decides how values are escaped.
    pub content_type: String,
    /// The body.
    pub template: String,
    /// A file with the value of Authorization.
    pub authorization_file: Option<PathBuf>,
}

/// Why a sender cannot be set up. No error shows what is in a file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file has not what it should.
    #[error("{path}: this is not {wanted}")]
    Key {
        /// Which.
        path: PathBuf,
        /// What it should have.
        wanted: &'static str,
    },
    /// A template is wrong.
    #[error("{0}")]
    Template(String),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

#[derive(Debug)]
enum Service {
    Apns(Apns),
    Fcm(Fcm),
    WebPush(WebPush),
    Gateway(Gateway),
}

/// The senders that are configured.
#[derive(Debug, Default)]
pub struct Services {
    services: [Option<(Service, Client)>; Provider::ALL.len()],
    rate_per_s: u32,
}

impl Services {
    /// Reads keys and templates and prepares connections; none is made yet.
    ///
    /// # Errors
    /// A file cannot be read or used, or a template is wrong.
    pub fn load(options: &Options) -> Result<Self, LoadError> {
        let mut services = Self { rate_per_s: options.rate_per_s, ..Self::default() };
        let client = |version: Version, identity: Option<Identity>| {
            Client::new(seawall_http::Options {
                connect_timeout: ATTEMPT,
                version,
                roots: options.roots.clone(),
                trust: Trust::Full,
                identity,
            })
        };
        let [apns, fcm, webpush, gateway] = &mut services.services;
        if let Some(options) = &options.apns {
            let (service, identity) = load_apns(options)?;
            *apns = Some((Service::Apns(service), client(Version::Http2, identity)?));
        }
        if let Some(options) = &options.fcm {
            *fcm = Some((Service::Fcm(load_fcm(options)?), client(Version::Negotiated, None)?));
        }
        if let Some(options) = &options.webpush {
            let service = WebPush {
                key: Key::read_ec(&options.key_file)?,
                contact: options.contact.clone(),
                hosts: options.hosts.clone(),
                template: json_template(&options.template)?,
                kept: Mutex::default(),
            };
            *webpush = Some((Service::WebPush(service), client(Version::Negotiated, None)?));
        }
        if let Some(options) = &options.gateway {
            *gateway = Some((Service::Gateway(load_gateway(options)?), client(Version::Negotiated, None)?));
        }
        Ok(services)
    }

    /// Whether a text is a template of JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_json(text: &str) -> Result<(), LoadError> {
        json_template(text).map(drop)
    }

    /// The sender that takes a `pn-provider`.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<Provider> {
        let own = Provider::ALL
            .into_iter()
            .find(|provider| *provider != Provider::Gateway && provider.name().eq_ignore_ascii_case(name));
        own.into_iter().chain([Provider::Gateway]).find(|provider| self.has(*provider))
    }

    /// Whether a sender is configured.
    #[must_use]
    pub fn has(&self, provider: Provider) -> bool {
        self.services.get(provider.index()).is_some_and(Option::is_some)
    }

    /// The public key that signs for Web Push, as a subscription is restricted to it: base64url (RFC 8292 section 3.2).
    #[must_use]
    pub fn vapid_key(&self) -> Option<String> {
        match self.services.get(Provider::WebPush.index()) {
            Some(Some((Service::WebPush(web), _))) => Some(web.public_key()),
            _ => None,
        }
    }

    /// How many pushes each service gets in a second; 0 for no limit.
    #[must_use]
    pub fn rate_per_s(&self) -> u32 {
        self.rate_per_s
    }

    /// Asks once. `now_s` and `until_s` are Unix seconds; the push is of no use after the latter. `sent` is called when a
    /// request goes out.
    pub(crate) async fn ask(
        &self,
        provider: Provider,
        push: &Push,
        (now_s, until_s): (u64, u64),
        timeout: std::time::Duration,
        sent: impl FnOnce(),
    ) -> Verdict {
        let Some(Some((service, client))) = self.services.get(provider.index()) else {
            return Verdict::Refused("the sender is gone".to_owned());
        };
        let request: Result<Request, Verdict> = match service {
            Service::Apns(apns) => apns.request(push, now_s, until_s, timeout).map_err(Verdict::Refused),
            Service::Fcm(fcm) => fcm.request(client, push, now_s, until_s, timeout).await,
            Service::WebPush(web) => web.request(push, now_s, until_s, timeout).map_err(Verdict::Refused),
            Service::Gateway(gateway) => Ok(gateway.request(push, timeout)),
        };
        let mut request = match request {
            Ok(request) => request,
            Err(verdict) => return verdict,
        };
        request.answer_bytes = ANSWER_BYTES;
        sent();
        match client.send(request).await {
            Ok(response) => service.judge(&response),
            Err(failure) => Verdict::Again { reason: failure.to_string(), after_s: None, everybody: false },
        }
    }

    /// Lets the next request prove anew who we are.
    pub(crate) fn renew(&self, provider: Provider, push: &Push) {
        match self.services.get(provider.index()) {
            Some(Some((Service::Apns(apns), _))) => apns.renew(),
            Some(Some((Service::Fcm(fcm), _))) => fcm.renew(push),
            Some(Some((Service::WebPush(web), _))) => web.renew(),
            _ => {}
        }
    }
}

impl Service {
    fn judge(&self, response: &Response) -> Verdict {
        match self {
            Service::Apns(_) => apns::judge(response),
            Service::Fcm(_) => fcm::judge(response),
            Service::WebPush(_) => webpush::judge(response),
            Service::Gateway(_) => gateway::judge(response),
        }
    }
}

fn load_apns(options: &ApnsOptions) -> Result<(Apns, Option<Identity>), LoadError> {
    let (login, identity) = match &options.login {
        ApnsLogin::Token { key_file, key_id, team_id } => {
            let (key, key_id, team) = (Key::read_ec(key_file)?, key_id.clone(), team_id.clone());
            (Login::Token { key, key_id, team, kept: Mutex::default() }, None)
        }
        ApnsLogin::Certificate { certificate_file, key_file } => {
            (Login::Certificate, Some(Identity::read(certificate_file, key_file)?))
        }
    };
    let url = options.url.trim_end_matches('/').to_owned();
    Ok((Apns { url, login, template: json_template(&options.template)? }, identity))
}

fn load_fcm(options: &FcmOptions) -> Result<Fcm, LoadError> {
    let template = json_template(&options.template)?;
    let filled: Value = serde_json::from_str(&template.fill(&Push::default())).unwrap_or(Value::Null);
    if !filled.as_object().is_some_and(|members| members.values().all(Value::is_string)) {
        return Err(LoadError::Template("FCM takes a JSON object whose values are strings".to_owned()));
    }
    let read = |path: &PathBuf| Account::read(path, options.token_url.as_deref());
    let accounts = options.account_files.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Fcm { url: options.url.trim_end_matches('/').to_owned(), accounts, template })
}

fn load_gateway(options: &GatewayOptions) -> Result<Gateway, LoadError> {
    let style = Style::of(&options.content_type);
    let template = match style {
        Style::Json => json_template(&options.template)?,
        _ => Template::read(&options.template, style).map_err(LoadError::Template)?,
    };
    let authorization = match &options.authorization_file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| LoadError::Read { path: path.clone(), source })?;
            Some(text.trim().to_owned())
        }
        None => None,
    };
    Ok(Gateway {
        url: options.url.clone(),
        content_type: options.content_type.clone(),
        template,
        authorization,
    })
}

/// A template of JSON; that it is JSON is seen now, and not when somebody calls.
fn json_template(text: &str) -> Result<Template, LoadError> {
    let template = Template::read(text, Style::Json).map_err(LoadError::Template)?;
    serde_json::from_str::<Value>(&template.fill(&Push::default()))
        .map_err(|error| LoadError::Template(format!("this is no JSON: {error}")))?;
    Ok(template)
}
