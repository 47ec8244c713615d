//! The client: one pool of connections, and requests with a bound on time and size.

use std::io;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Uri, http};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::limits;
use crate::tls::{self, Identity, Roots, TlsError, Trust};

/// Which versions of HTTP are spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/2 where TLS negotiates it, else HTTP/1.1.
    #[default]
    Negotiated,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/1.1 on connections that close after each request, its request line saying 1.0.
    Http10,
    /// HTTP/2 only; without TLS by prior knowledge (RFC 9113 section 3.3).
    Http2,
}

/// How a client is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a connection may take to come up, TLS not included.
    pub connect_timeout: Duration,
    /// Which versions of HTTP are spoken.
    pub version: Version,
    /// Whose certificates are believed.
    pub roots: Roots,
    /// What has to be right about them.
    pub trust: Trust,
    /// How the client proves who it is, when the server asks.
    pub identity: Option<Identity>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            version: Version::default(),
            roots: Roots::default(),
            trust: Trust::default(),
            identity: None,
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The URL, `http` or `https`.
    pub url: String,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long everything may take, the connection included.
    pub timeout: Duration,
    /// The longest body that is taken; [`limits::ANSWER_BYTES`] at most.
    pub answer_bytes: usize,
}

impl Request {
    /// A request without header fields and body.
    #[must_use]
    pub fn new(method: Method, url: impl Into<String>, timeout: Duration) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout,
            answer_bytes: limits::ANSWER_BYTES,
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The value of Content-Type, if there is one.
    pub content_type: Option<Vec<u8>>,
    /// The seconds of Retry-After; those until its date, if it is one.
    pub retry_after_s: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The request cannot be sent as it is: its URL or a header field is no such thing.
    #[error("{0}")]
    Unusable(&'static str),
    /// The server refuses connections, or there is none with this name.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection did not come up in time.
    #[error("the connection did not come up in time")]
    ConnectTimeout,
    /// The answer was not complete in time; what there was of it. Status 0: nothing.
    #[error("the answer was not complete in time")]
    Timeout(Box<Response>),
    /// The answer is longer than it may be.
    #[error("the answer is too long")]
    TooLong,
    /// The connection broke, or what came is no HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// A client. It is cheap to clone, and all clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    pool: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    version: Version,
}

impl Client {
    /// A client that has no connections yet. Reads the certificates that it believes, so it may take some
    /// milliseconds; never call it on a worker.
    ///
    /// # Errors
    /// A certificate cannot be read or used.
    pub fn new(options: Options) -> Result<Self, TlsError> {
        let Options { connect_timeout, version, roots, trust, identity } = options;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        let tls = tls::configuration(&roots, trust, identity)?;
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = match version {
            Version::Negotiated => builder.enable_all_versions().wrap_connector(tcp),
            Version::Http1 | Version::Http10 => builder.enable_http1().wrap_connector(tcp),
            Version::Http2 => builder.enable_http2().wrap_connector(tcp),
        };
        let mut pool = legacy::Client::builder(TokioExecutor::new());
        pool.timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::IDLE)
            .pool_max_idle_per_host(limits::IDLE_PER_HOST)
            .http2_only(version == Version::Http2)
            .http2_max_header_list_size(limits::HEADER_BYTES)
            .http2_keep_alive_interval(limits::PING)
            .http2_keep_alive_timeout(limits::PONG);
        Ok(Self { pool: pool.build(connector), version })
    }

    /// Sends a request and takes its answer, whatever its status.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn send(&self, request: Request) -> Result<Response, Failure> {
        let deadline = Instant::now() + request.timeout;
        let longest = request.answer_bytes.min(limits::ANSWER_BYTES);
        let request = build(request, self.version)?;
        let answered = match tokio::time::timeout_at(deadline, self.pool.request(request)).await {
            Err(_) => return Err(Failure::Timeout(Box::default())),
            Ok(Err(error)) => return Err(failure(&error)),
            Ok(Ok(answered)) => answered,
        };
        let mut response = Response {
            status: answered.status().as_u16(),
            content_type: value(answered.headers(), &http::header::CONTENT_TYPE).map(<[u8]>::to_vec),
            retry_after_s: value(answered.headers(), &http::header::RETRY_AFTER)
                .and_then(|value| seconds(value, SystemTime::now())),
            body: Vec::new(),
        };
        let body = answered.into_body();
        if body.size_hint().lower() > u64::try_from(longest).unwrap_or(u64::MAX) {
            return Err(Failure::TooLong);
        }
        match tokio::time::timeout_at(deadline, collect(body, longest, &mut response.body)).await {
            Ok(Ok(())) => Ok(response),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::Timeout(Box::new(response))),
        }
    }
}

/// Whether a text is a header field that may be sent, `Name: value`; its parts.
#[must_use]
pub fn header_field(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once(':')?;
    let (name, value) = (name.trim_end(), value.trim());
    let fits =
        HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_bytes(value.as_bytes()).is_ok();
    fits.then_some((name, value))
}

fn build(request: Request, version: Version) -> Result<http::Request<Full<Bytes>>, Failure> {
    let uri: Uri = request.url.parse().map_err(|_| Failure::Unusable("this is no URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(Failure::Unusable("this is no URL of http or https"));
    }
    let method = match request.method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
    };
    let mut built = http::Request::new(Full::new(Bytes::from(request.body)));
    *built.method_mut() = method;
    *built.uri_mut() = uri;
    if version == Version::Http10 {
        *built.version_mut() = http::Version::HTTP_10;
        // Without this the pool would wait for an answer that keeps the connection.
        built.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, text) in request.headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Failure::Unusable("this is no name of a header field"))?;
        let value = HeaderValue::from_str(&text)
            .map_err(|_| Failure::Unusable("this is no value of a header field"))?;
        built.headers_mut().append(name, value);
    }
    Ok(built)
}

async fn collect(mut body: Incoming, longest: usize, into: &mut Vec<u8>) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::Broken(error.to_string()))?;
        let Some(data) = frame.data_ref() else { continue };
        if into.len() + data.len() > longest {
            return Err(Failure::TooLong);
        }
        into.extend_from_slice(data);
    }
    Ok(())
}

fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}

/// The seconds of a Retry-After (RFC 9110 section 10.2.3); a date that has passed is now.
fn seconds(value: &[u8], now: SystemTime) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(
        date.duration_since(now)
            .map_or(0, |left| left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0))),
    )
}

fn failure(error: &PoolError) -> Failure {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    let mut timed_out = false;
    while let Some(inner) = source {
        text = inner.to_string();
        timed_out |=
            inner.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        source = inner.source();
    }
    match (error.is_connect(), timed_out) {
        (true, true) => Failure::ConnectTimeout,
        (true, false) => Failure::Connect(text),
        (false, _) => Failure::Broken(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_number_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 22 Nov 2026 02:00:00 GMT").unwrap();
        let check = |value: &str, expected| assert_eq!(seconds(value.as_bytes(), now), expected, "{value}");
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("Sun, 22 Nov 2026 02:00:30 GMT", Some(30));
        check("Sun, 22 Nov 2026 01:00:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
    }

    #[test]
    fn header_fields_are_read_and_nothing_is_smuggled_in() {
        assert_eq!(header_field("X-A : b c "), Some(("X-A", "b c")));
        assert_eq!(header_field("X-A:"), Some(("X-A", "")));
        for wrong in ["X-A", ": b", "X A: b", "X-A: b\r\nC: d", "X-A: \u{1}"] {
            assert_eq!(header_field(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn only_urls_of_http_are_asked() {
        for wrong in ["", "x", "ftp://a/", "http://", "/path", "http://a b/"] {
            let request = Request::new(Method::Get, wrong, Duration::from_secs(1));
            assert!(matches!(build(request, Version::Http1), Err(Failure::Unusable(_))), "{wrong:?}");
        }
    }
}
