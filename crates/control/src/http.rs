//! MI and metrics over HTTP/1.1 (`httpd`, `mi_http`).
//!
//! Who may ask: with a token, whoever presents it. Without one, whoever can connect, except web pages of other
//! sites: a browser names the page's origin, and only pages that were served from an address of this host by its
//! number (or `localhost`) pass. Otherwise any page an operator visits could drive the server.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use crate::config::Http;
use crate::execute::{Answer, Executor, stopped};
use crate::limits;
use crate::metrics;
use crate::patient::Patient;

/// Opens a listening socket. IPv6 sockets take IPv6 only, so that `*` can have one of each.
///
/// # Errors
/// The system refuses the address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    // A restart must not wait for connections of the last run to fade.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(128)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

struct Shared {
    executor: Arc<Executor>,
    config: Http,
}

/// Serves one listening socket until `stop` turns true, then lets requests under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    config: Http,
    executor: Arc<Executor>,
    connections: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("MI over HTTP cannot start: {error}"),
    };
    let root = format!("/{}", config.root.trim_matches('/'));
    let shared = Arc::new(Shared { executor, config });
    let router = Router::new()
        .route(&root, post(answer_mi))
        .route("/metrics", get(answer_metrics))
        .with_state(Arc::clone(&shared));
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Collecting finished connections keeps the set small.
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&connections).try_acquire_owned() {
                Ok(permit) => {
                    let connection = converse(stream, router.clone(), shared.config.clone(), stop.clone());
                    open.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(_) => tracing::warn!("MI connection refused: {} are open", limits::HTTP_CONNECTIONS),
            },
            // Out of descriptors, most likely: they come back as connections end.
            Err(error) => {
                tracing::warn!("MI accept failed: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

async fn converse(stream: TcpStream, router: Router, config: Http, mut stop: watch::Receiver<bool>) {
    // Replies go out in one piece; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Patient::new(stream, limits::REPLY_STALLED));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).max_buf_size(limits::REQUEST_HEAD_BYTES);
    // 0 means never, as documented for conn_timeout.
    builder.header_read_timeout((!config.idle.is_zero()).then_some(config.idle));
    let connection = builder.serve_connection(io, TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        // A client that breaks the protocol or goes away is its own affair.
        _ = connection.as_mut() => {}
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn answer_mi(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if let Some(refusal) = refusal(&shared.config, request.headers()) {
        return refusal;
    }
    if !is_json(request.headers()) {
        let hint = "send the header `Content-Type: application/json`\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, hint).into_response();
    }
    let limit = shared.config.max_request_bytes.max(1);
    let body = axum::body::to_bytes(request.into_body(), limit);
    let body = match timeout(limits::HTTP_BODY, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let reason = format!("the request is larger than {limit} bytes, or broke off\n");
            return (StatusCode::PAYLOAD_TOO_LARGE, reason).into_response();
        }
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
    };
    let body = match shared.executor.execute(body.into()).await {
        Answer::Nothing => return StatusCode::NO_CONTENT.into_response(),
        Answer::Whole(bytes) => Body::from(bytes),
        Answer::Stream(chunks) => Body::from_stream(ReceiverStream::new(chunks)),
    };
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

async fn answer_metrics(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if let Some(refusal) = refusal(&shared.config, request.headers()) {
        return refusal;
    }
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], shared.executor.metrics().await).into_response()
}

/// The reply to a request that may not be answered.
fn refusal(config: &Http, headers: &HeaderMap) -> Option<Response> {
    let Some(token) = &config.token else {
        let text = "web pages of other sites may not ask\n";
        return is_foreign_page(headers).then(|| (StatusCode::FORBIDDEN, text).into_response());
    };
    let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let challenge = [(WWW_AUTHENTICATE, "Bearer")];
    let refuse = || (StatusCode::UNAUTHORIZED, challenge, "a bearer token is needed\n").into_response();
    (!is_bearer(given, token.as_bytes())).then(refuse)
}

/// Whether the value of an Authorization header is `Bearer` with this token (RFC 6750 section 2.1). The time it
/// takes tells at most the token's length.
fn is_bearer(value: &[u8], token: &[u8]) -> bool {
    let Some((scheme, given)) = value.split_at_checked(7) else { return false };
    let mut difference = u8::from(!scheme.eq_ignore_ascii_case(b"bearer "));
    difference |= u8::from(given.len() != token.len());
    for (a, b) in given.iter().zip(token) {
        difference |= a ^ b;
    }
    std::hint::black_box(difference) == 0
}

/// Whether a browser sent this on behalf of a page that this server did not serve. A host name in `Origin` may
/// resolve to us by its owner's trick, so only addresses and `localhost` count as ours.
fn is_foreign_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    match (authority, host) {
        (Some(authority), Some(host)) => !authority.eq_ignore_ascii_case(host) || !is_numeric(authority),
        _ => true,
    }
}

fn is_numeric(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

/// A request without a type is taken as JSON; forms and plain text, which any web page can send, are not.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or("").split(';').next().unwrap_or("").trim();
    kind.eq_ignore_ascii_case("application/json") || kind.eq_ignore_ascii_case("application/json-rpc")
}
