//! The parameters of `rest_client`.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use seawall_http::{Client, Options, Roots, Trust, Version};
use seawall_script::{Parameter, ParameterKind, Program, Value};

use crate::context::Context;

const NO_BLOCKING: &str = "a transfer holds up no worker here";

/// What `modparam("rest_client", …)` sets.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "curl_timeout",
        ParameterKind::Int,
        "20",
        "The longest that a transfer may take, the connection included.",
    )
    .unit("s")
    .section("1.4.1")
    .check(is_time),
    Parameter::new("connection_timeout", ParameterKind::Int, "20", "The longest that a connection may take to come up.")
        .unit("s")
        .section("1.4.2")
        .check(is_time),
    Parameter::new("connect_poll_interval", ParameterKind::Int, "20", "How often a connection is looked at.")
        .unit("ms")
        .section("1.4.3")
        .no_effect("connections are not polled here"),
    Parameter::new("max_async_transfers", ParameterKind::Int, "100", "Transfers of one worker that do not block it.")
        .section("1.4.4")
        .no_effect(NO_BLOCKING),
    Parameter::new(
        "max_transfer_size",
        ParameterKind::Int,
        "10240",
        "The longest answer; a longer one ends with -10. 0 means 65536, which is also the most.",
    )
    .unit("KB")
    .section("1.4.5")
    .check(is_size),
    Parameter::new("ssl_verifypeer", ParameterKind::Bool, "1", "Whether the certificate of a server has to be good.")
        .section("1.4.6"),
    Parameter::new("ssl_verifyhost", ParameterKind::Bool, "1", "Whether it has to be for the host of the URL.")
        .section("1.4.7"),
    Parameter::new(
        "ssl_capath",
        ParameterKind::Str,
        "",
        "Certificates of authorities: a file of PEM, or a folder of such files. Without it, those of the system.",
    )
    .section("1.4.8")
    .check(is_authorities),
    Parameter::new(
        "curl_http_version",
        ParameterKind::Int,
        "0",
        "The version of HTTP: 0, 3 and 4 negotiate HTTP/2 over TLS and speak HTTP/1.1 without, 1 is HTTP/1.0, 2 is \
         HTTP/1.1, 5 is HTTP/2 always.",
    )
    .section("1.4.9")
    .check(is_version),
    Parameter::new(
        "enable_expect_100",
        ParameterKind::Bool,
        "0",
        "Whether a body of more than 1024 bytes is announced by `Expect: 100-continue`. It follows at once.",
    )
    .section("1.4.10"),
    Parameter::new("no_concurrent_connects", ParameterKind::Bool, "0", "Whether only one worker connects to a host.")
        .section("1.4.11")
        .no_effect(NO_BLOCKING),
    Parameter::new("curl_conn_lifetime", ParameterKind::Int, "0", "What no_concurrent_connects takes for connected.")
        .unit("s")
        .section("1.4.12")
        .no_effect("it belongs to no_concurrent_connects"),
];

fn is_time(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(1..=3600) => Ok(()),
        _ => Err("it is from 1 second to an hour".to_owned()),
    }
}

fn is_size(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(0..=65_536) => Ok(()),
        _ => Err("it is from 0 to 65536 KB".to_owned()),
    }
}

fn is_version(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(0..=5) => Ok(()),
        _ => Err("it is from 0 to 5".to_owned()),
    }
}

fn is_authorities(value: &Value) -> Result<(), String> {
    let Value::Str(path) = value else { return Ok(()) };
    let roots = Roots::Path(PathBuf::from(String::from_utf8_lossy(path).into_owned()));
    roots.read().map(drop).map_err(|error| error.to_string())
}

/// The parameters in the form in which functions use them, and the connections.
#[derive(Clone, Debug)]
pub struct RestSettings {
    options: Options,
    /// Made by the first transfer: it reads the certificates of the system, which no worker should wait for.
    client: Arc<OnceLock<Option<Client>>>,
    pub(super) timeout: Duration,
    pub(super) answer_bytes: usize,
    pub(super) expect_100: bool,
}

impl RestSettings {
    /// Reads the parameters; nothing when the module is not loaded.
    pub(crate) fn new(program: &Program<Context>) -> Option<Self> {
        if !program.is_loaded("rest_client") {
            return None;
        }
        let parameters = &program.parameters;
        let seconds = |name: &str| {
            Duration::from_secs(u64::try_from(parameters.int("rest_client", name)).unwrap_or(20))
        };
        let size = usize::try_from(parameters.int("rest_client", "max_transfer_size")).unwrap_or(0);
        let capath = parameters.str("rest_client", "ssl_capath").filter(|path| !path.is_empty());
        let options = Options {
            connect_timeout: seconds("connection_timeout"),
            version: match parameters.int("rest_client", "curl_http_version") {
                1 => Version::Http10,
                2 => Version::Http1,
                5 => Version::Http2,
                _ => Version::Negotiated,
            },
            roots: capath.map_or(Roots::System, |path| {
                Roots::Path(PathBuf::from(String::from_utf8_lossy(path).into_owned()))
            }),
            trust: match (
                parameters.bool("rest_client", "ssl_verifypeer"),
                parameters.bool("rest_client", "ssl_verifyhost"),
            ) {
                (true, true) => Trust::Full,
                (true, false) => Trust::AnyName,
                (false, _) => Trust::Anybody,
            },
            identity: None,
        };
        Some(Self {
            options,
            client: Arc::default(),
            timeout: seconds("curl_timeout"),
            answer_bytes: if size == 0 { usize::MAX } else { size * 1024 },
            expect_100: parameters.bool("rest_client", "enable_expect_100"),
        })
    }

    /// The client; nothing when it cannot be made. For the control side only.
    pub(super) fn client(&self) -> Option<Client> {
        let make = || {
            Client::new(self.options.clone())
                .inspect_err(|error| tracing::error!("rest_client cannot be used: {error}"))
                .ok()
        };
        self.client.get_or_init(make).clone()
    }
}
