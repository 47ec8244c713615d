//! The parameters of `push`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use seawall_http::Roots;
use seawall_push::{
    ApnsLogin, ApnsOptions, FcmOptions, GatewayOptions, LoadError, Options, Services, Style, Template,
    WebPushOptions,
};
use seawall_script::{Diagnostics, ModuleParameters, Parameter, ParameterKind, Program, Setup, Value};

use crate::context::Context;

/// The payload of a call through APNs.
const APNS_TEMPLATE: &str = r#"{"aps":{"alert":{"title":"{caller_name}","body":"{caller_number}"},"sound":"default","content-available":1},"reason":"{reason}","caller_name":"{caller_name}","caller_number":"{caller_number}","call_id":"{call_id}"}"#;

/// The data of a push through FCM, the payload through Web Push and the body for a gateway.
const DATA_TEMPLATE: &str = r#"{"reason":"{reason}","caller_name":"{caller_name}","caller_number":"{caller_number}","call_id":"{call_id}"}"#;

const HTTP_TEMPLATE: &str = r#"{"provider":"{provider}","param":"{param}","prid":"{prid}","reason":"{reason}","aor":"{aor}","contact":"{contact}","caller_name":"{caller_name}","caller_number":"{caller_number}","caller_uri":"{caller_uri}","call_id":"{call_id}"}"#;

/// The services of the browsers.
const WEB_HOSTS: &str =
    "fcm.googleapis.com, updates.push.services.mozilla.com, *.push.apple.com, *.notify.windows.com";

const fn text(name: &'static str, default: &'static str, doc: &'static str) -> Parameter {
    Parameter::new(name, ParameterKind::Str, default, doc)
}

/// What `modparam("push", …)` sets.
pub(super) const PARAMETERS: &[Parameter] = &[
    text("apns_key_file", "", "The key that signs tokens for APNs: Apple's .p8 file."),
    text("apns_key_id", "", "The name of that key, ten characters."),
    text("apns_team_id", "", "The team that it belongs to; pn-param has to begin with it."),
    text("apns_certificate_file", "", "A certificate for APNs instead of a key, PEM."),
    text("apns_certificate_key_file", "", "The key of that certificate, PEM; it may be the same file."),
    text("apns_url", "https://api.push.apple.com", "Where APNs is; https://api.sandbox.push.apple.com while developing.")
        .check(is_url),
    text(
        "apns_template",
        APNS_TEMPLATE,
        "The payload of calls, JSON with {caller_name}, {caller_number}, {caller_uri}, {aor}, {contact}, {reason} and \
         {call_id}. Other pushes have an empty payload.",
    )
    .check(is_json_template),
    text("fcm_service_account_file", "", "The JSON file of a service account, one for each Firebase project.").many(),
    text("fcm_url", "https://fcm.googleapis.com", "Where FCM is.").check(is_url),
    text("fcm_token_url", "", "Where access tokens come from, instead of the token_uri of the service account.")
        .check(is_url),
    text("fcm_template", DATA_TEMPLATE, "The data of the message: a JSON object whose values are strings.")
        .check(is_json_template),
    text("webpush_vapid_key_file", "", "The key that signs for Web Push, P-256 in PKCS#8 PEM."),
    text("webpush_contact", "", "Who runs this server, for the push services: mailto: or https:.").check(is_contact),
    text(
        "webpush_hosts",
        WEB_HOSTS,
        "The hosts of push resources, with commas between them and :port if it is not 443; *. in front means all below. \
         A phone chooses the URL, so no other host is asked.",
    ),
    text("webpush_template", DATA_TEMPLATE, "The payload, JSON.").check(is_json_template),
    text("http_url", "", "A gateway of one's own, for every pn-provider that has no sender here.").check(is_url),
    text("http_content_type", "application/json", "The type of what is posted to it; values are escaped accordingly."),
    text(
        "http_template",
        HTTP_TEMPLATE,
        "What is posted to it, with the names of apns_template and {provider}, {param} and {prid}.",
    )
    .check(is_template),
    text("http_authorization_file", "", "A file with the value of the Authorization that it gets."),
    text("ca_path", "", "Certificates of authorities, a file or a folder; without it, those of the system.")
        .check(is_authorities),
    Parameter::new("rate_limit", ParameterKind::Int, "0", "Pushes to each service in a second; 0 for no limit.")
        .check(is_rate),
    Parameter::new(
        "timeout",
        ParameterKind::Int,
        "10",
        "After how long a push is of no use, when nobody says otherwise: it is not tried after that.",
    )
    .unit("s")
    .check(is_timeout),
    Parameter::new(
        "on_contact_refresh",
        ParameterKind::Bool,
        "1",
        "Whether E_UL_CONTACT_REFRESH pushes by itself; else only push_send() does.",
    ),
    Parameter::new(
        "remove_dead",
        ParameterKind::Bool,
        "1",
        "Whether the binding of a phone that its service calls gone is removed, if an event has pushed.",
    ),
];

fn string(value: &Value) -> String {
    match value {
        Value::Str(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    }
}

fn is_url(value: &Value) -> Result<(), String> {
    let url = string(value);
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(()),
        _ => Err("it is a URL of https, or of http".to_owned()),
    }
}

fn is_contact(value: &Value) -> Result<(), String> {
    let contact = string(value);
    if contact.starts_with("mailto:") || contact.starts_with("https://") {
        return Ok(());
    }
    Err("it is a mailto: or https: URI (RFC 8292 section 2.1)".to_owned())
}

fn is_template(value: &Value) -> Result<(), String> {
    Template::read(&string(value), Style::Plain).map(drop)
}

fn is_json_template(value: &Value) -> Result<(), String> {
    Services::check_json(&string(value)).map_err(|error| error.to_string())
}

fn is_authorities(value: &Value) -> Result<(), String> {
    Roots::Path(PathBuf::from(string(value))).read().map(drop).map_err(|error| error.to_string())
}

fn is_rate(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(0..=1_000_000) => Ok(()),
        _ => Err("it is from 0 to 1000000".to_owned()),
    }
}

fn is_timeout(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(1..=3600) => Ok(()),
        _ => Err("it is from 1 second to an hour".to_owned()),
    }
}

/// Refuses what belongs together and is not there as a whole, and files that cannot be used.
pub(super) fn advise(setup: &Setup<'_>, diagnostics: &mut Diagnostics) {
    if diagnostics.has_errors() {
        return;
    }
    let parameters = setup.parameters;
    let place = |name: &str| parameters.all("push", name).last().map(|value| value.span);
    let together = [
        ("apns_key_file", &["apns_key_id", "apns_team_id"][..]),
        ("apns_certificate_file", &["apns_certificate_key_file"]),
        ("webpush_vapid_key_file", &["webpush_contact"]),
    ];
    for (name, needed) in together {
        let Some(span) = place(name) else { continue };
        for needed in needed.iter().filter(|needed| !parameters.is_set("push", needed)) {
            diagnostics.error(span, format!("`{name}` of push needs `{needed}`"));
        }
    }
    if let (Some(_), Some(span)) = (place("apns_key_file"), place("apns_certificate_file")) {
        diagnostics.error(span, "APNs takes a key or a certificate, not both");
    }
    if diagnostics.has_errors() {
        return;
    }
    let all = options(parameters);
    let nothing = || Options { roots: all.roots.clone(), ..Options::default() };
    let parts = [
        ("apns_key_file", Options { apns: all.apns.clone(), ..nothing() }),
        ("apns_certificate_file", Options { apns: all.apns.clone(), ..nothing() }),
        ("fcm_service_account_file", Options { fcm: all.fcm.clone(), ..nothing() }),
        ("webpush_vapid_key_file", Options { webpush: all.webpush.clone(), ..nothing() }),
        ("http_url", Options { gateway: all.gateway.clone(), ..nothing() }),
    ];
    for (name, only) in parts {
        if let (Some(span), Err(error)) = (place(name), Services::load(&only)) {
            diagnostics.error(span, error.to_string());
            return;
        }
    }
}

/// The parameters as the senders take them.
fn options(parameters: &ModuleParameters) -> Options {
    let text =
        |name: &str| String::from_utf8_lossy(parameters.str("push", name).unwrap_or_default()).into_owned();
    let file = |name: &str| Some(PathBuf::from(text(name))).filter(|path| !path.as_os_str().is_empty());
    let login = match (file("apns_key_file"), file("apns_certificate_file")) {
        (Some(key_file), _) => {
            Some(ApnsLogin::Token { key_file, key_id: text("apns_key_id"), team_id: text("apns_team_id") })
        }
        (None, Some(certificate_file)) => {
            let key_file = file("apns_certificate_key_file").unwrap_or_default();
            Some(ApnsLogin::Certificate { certificate_file, key_file })
        }
        (None, None) => None,
    };
    let accounts = parameters.all("push", "fcm_service_account_file");
    let account_files: Vec<PathBuf> =
        accounts.iter().map(|account| PathBuf::from(string(&account.value))).collect();
    Options {
        apns: login.map(|login| ApnsOptions {
            url: text("apns_url"),
            login,
            template: text("apns_template"),
        }),
        fcm: (!account_files.is_empty()).then(|| FcmOptions {
            url: text("fcm_url"),
            account_files,
            token_url: Some(text("fcm_token_url")).filter(|url| !url.is_empty()),
            template: text("fcm_template"),
        }),
        webpush: file("webpush_vapid_key_file").map(|key_file| WebPushOptions {
            key_file,
            contact: text("webpush_contact"),
            hosts: text("webpush_hosts").split(',').map(|host| host.trim().to_owned()).collect(),
            template: text("webpush_template"),
        }),
        gateway: Some(text("http_url")).filter(|url| !url.is_empty()).map(|url| GatewayOptions {
            url,
            content_type: text("http_content_type"),
            template: text("http_template"),
            authorization_file: file("http_authorization_file"),
        }),
        roots: file("ca_path").map_or(Roots::System, Roots::Path),
        rate_per_s: u32::try_from(parameters.int("push", "rate_limit")).unwrap_or(0),
    }
}

/// The parameters in the form in which functions use them.
#[derive(Clone, Debug)]
pub struct PushSettings {
    /// The senders, with their keys.
    pub services: Arc<Services>,
    /// `timeout`.
    pub patience: Duration,
    /// `on_contact_refresh`.
    pub on_refresh: bool,
    /// `remove_dead`.
    pub remove_dead: bool,
}

impl PushSettings {
    /// Reads the parameters and the files that they name; nothing when the module is not loaded.
    pub(crate) fn new(program: &Program<Context>) -> Option<Self> {
        if !program.is_loaded("push") {
            return None;
        }
        let parameters = &program.parameters;
        let services = Services::load(&options(parameters)).unwrap_or_else(|error: LoadError| {
            // The check at load found them good: they changed in between.
            tracing::error!("push cannot be used: {error}");
            Services::default()
        });
        Some(Self {
            services: Arc::new(services),
            patience: Duration::from_secs(u64::try_from(parameters.int("push", "timeout")).unwrap_or(10)),
            on_refresh: parameters.bool("push", "on_contact_refresh"),
            remove_dead: parameters.bool("push", "remove_dead"),
        })
    }
}
