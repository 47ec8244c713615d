//! A push service on loopback: HTTP/2 and HTTP/1.1 over TLS, with a certificate of an authority made for the test.
//!
//! It answers what a test tells it to ([`PushService::script`], [`PushService::always`]), or judges its requests as a real
//! service does ([`PushService::judge`] with [`Apns`], [`Fcm`] or [`WebPush`]).

mod rules;
mod subscription;
pub mod tokens;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::{Condvar, Mutex};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio_rustls::TlsAcceptor;

pub use rules::{Apns, Fcm, WebPush};
pub use subscription::Subscription;

/// Long enough for anything that works.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the service does with its next request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Breaks the connection without an answer.
    Break,
    /// Never answers.
    Silence,
    /// Answers 200 and says GOAWAY.
    GoAway,
}

impl Reply {
    /// Answers with a status and a body.
    #[must_use]
    pub fn status(status: u16, body: &str) -> Self {
        Reply::Status(status, Vec::new(), body.to_owned())
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(self, name: &'static str, value: &str) -> Self {
        match self {
            Reply::Status(status, mut headers, body) => {
                headers.push((name, value.to_owned()));
                Reply::Status(status, headers, body)
            }
            other => other,
        }
    }
}

/// A request as the service saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `POST` and the like.
    pub method: String,
    /// `HTTP/2.0` and the like.
    pub version: String,
    /// Path and query.
    pub path: String,
    /// Headers, by their names in small letters.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// When it came.
    pub at: Instant,
}

impl Seen {
    /// A header; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a service says to a request that no script speaks of.
type Judge = Box<dyn Fn(&Seen) -> Reply + Send + Sync>;

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    script: Mutex<VecDeque<Reply>>,
    judge: Mutex<Option<Judge>>,
    connections: AtomicUsize,
    arrived: Notify,
    /// The same for those who wait without a runtime.
    came: Condvar,
}

/// The service.
pub struct PushService {
    /// Its port.
    pub port: u16,
    state: Arc<State>,
    /// Certificates, keys and the like: `ca.pem`, `client.pem` and `client.key`.
    pub folder: PathBuf,
    /// How many requests [`PushService::asked`] has shown.
    shown: AtomicUsize,
    /// Ends the thread of its own, if it has one.
    _ends: Option<oneshot::Sender<()>>,
}

static FOLDERS: AtomicUsize = AtomicUsize::new(0);

impl PushService {
    /// A service on the present runtime that answers 200 until it is told something else.
    pub async fn start() -> Self {
        Self::with_clients(false).await
    }

    /// One that lets in clients with a certificate of its authority only, if `certified`.
    pub async fn with_clients(certified: bool) -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("seawall-push-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_certificate = authority.self_signed(&authority_key).unwrap();
        std::fs::write(folder.join("ca.pem"), authority_certificate.pem()).unwrap();
        let issuer = Issuer::from_params(&authority, &authority_key);

        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let server = server.signed_by(&server_key, &issuer).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let mut client = CertificateParams::new(vec!["org.example.phone".to_owned()]).unwrap();
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client = client.signed_by(&client_key, &issuer).unwrap();
        std::fs::write(folder.join("client.pem"), client.pem()).unwrap();
        std::fs::write(folder.join("client.key"), client_key.serialize_pem()).unwrap();

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if certified {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(authority_certificate.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let chain: Vec<CertificateDer<'static>> = vec![server.der().clone()];
        let key = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
        let mut tls = builder.with_single_cert(chain, key).unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), Arc::clone(&state)));
        Self { port, state, folder, shown: AtomicUsize::new(0), _ends: None }
    }

    /// The same on a thread of its own, for tests without a runtime.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start_apart(certified: bool) -> Self {
        let (started, service) = std::sync::mpsc::channel();
        let (ends, end) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                started.send(Self::with_clients(certified).await).unwrap_or_default();
                let _ = end.await;
            });
        });
        let mut service = service.recv().unwrap();
        service._ends = Some(ends);
        service
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Puts a file beside the certificates.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A signing key in a file, and its public point.
    pub fn key(&self, name: &str) -> (PathBuf, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        (self.file(name, &key.serialize_pem()), key.public_key_raw().to_vec())
    }

    /// Says what to do with the next requests.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.script.lock().extend(replies);
    }

    /// Says what to do with all further requests.
    pub fn always(&self, reply: Reply) {
        self.judge(move |_| reply.clone());
    }

    /// Says who decides about all requests that [`PushService::script`] does not speak of.
    pub fn judge(&self, judge: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        *self.state.judge.lock() = Some(Box::new(judge));
    }

    /// All requests that came.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().clone()
    }

    /// The only request that came.
    ///
    /// # Panics
    /// None came, or several did.
    #[must_use]
    #[track_caller]
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen[0].clone()
    }

    /// Waits for the next request, without a runtime. Each is given once, in their order.
    ///
    /// # Panics
    /// None came.
    #[must_use]
    #[track_caller]
    pub fn asked(&self) -> Seen {
        let place = self.shown.fetch_add(1, Ordering::Relaxed);
        let until = Instant::now() + PATIENCE;
        let mut seen = self.state.seen.lock();
        while seen.len() <= place {
            let late = self.state.came.wait_until(&mut seen, until).timed_out();
            assert!(!late || seen.len() > place, "no request came");
        }
        seen[place].clone()
    }

    /// How many connections were made to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Waits until so many requests have come.
    pub async fn requests(&self, count: usize) {
        loop {
            let arrived = self.state.arrived.notified();
            if self.state.seen.lock().len() >= count {
                return;
            }
            arrived.await;
        }
    }
}

impl Drop for PushService {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            state.connections.fetch_add(1, Ordering::Relaxed);
            let (broken, leaving) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let service = service_fn(|request| {
                handle(request, Arc::clone(&state), Arc::clone(&broken), Arc::clone(&leaving))
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let mut going = false;
            loop {
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = broken.notified() => return,
                    () = leaving.notified(), if !going => {
                        going = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        });
    }
}

async fn handle(
    request: hyper::Request<Incoming>,
    state: Arc<State>,
    broken: Arc<Notify>,
    leaving: Arc<Notify>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), value.to_str().unwrap().to_owned())
    };
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let headers = head.headers.iter().map(header).collect();
    let (method, version) = (head.method.to_string(), format!("{:?}", head.version));
    let seen = Seen { method, version, path, headers, body, at: Instant::now() };
    // What is judged is judged before anybody is told that it came.
    let next = state.script.lock().pop_front();
    let judged = || state.judge.lock().as_ref().map(|judge| judge(&seen));
    let reply = next.or_else(judged).unwrap_or_else(|| Reply::status(200, ""));
    state.seen.lock().push(seen);
    state.arrived.notify_waiters();
    state.came.notify_all();
    match reply {
        Reply::Status(status, headers, body) => {
            let mut response = hyper::Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(Bytes::from(body))).unwrap())
        }
        Reply::GoAway => {
            leaving.notify_one();
            Ok(hyper::Response::new(Full::new(Bytes::new())))
        }
        Reply::Break => {
            broken.notify_one();
            std::future::pending().await
        }
        Reply::Silence => std::future::pending().await,
    }
}
