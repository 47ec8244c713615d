//! A service on loopback: HTTP/2 and HTTP/1.1 over TLS, with a certificate of an authority made for the test.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use seawall_http::Roots;
use seawall_push::{Cancel, Options, Outcome, Push, Sender, Services};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

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
    pub fn status(status: u16, body: &str) -> Self {
        Reply::Status(status, Vec::new(), body.to_owned())
    }

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
    pub version: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
pub struct State {
    pub seen: Mutex<Vec<Seen>>,
    script: Mutex<VecDeque<Reply>>,
    usual: Mutex<Option<Reply>>,
    connections: AtomicUsize,
    arrived: Notify,
}

/// The service.
pub struct Fake {
    pub port: u16,
    pub state: Arc<State>,
    /// Certificates, keys and the like.
    pub folder: PathBuf,
}

static FOLDERS: AtomicUsize = AtomicUsize::new(0);

impl Fake {
    /// A service that answers 200 until it is told something else.
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
        Self { port, state, folder }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub fn roots(&self) -> Roots {
        Roots::Path(self.folder.join("ca.pem"))
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
        *self.state.usual.lock() = Some(reply);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().clone()
    }

    /// The only request that came.
    #[track_caller]
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen[0].clone()
    }

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

impl Drop for Fake {
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
    state.seen.lock().push(Seen { version: format!("{:?}", head.version), path, headers, body });
    state.arrived.notify_waiters();
    let next = state.script.lock().pop_front();
    let usual = || state.usual.lock().clone();
    let reply = next.or_else(usual).unwrap_or_else(|| Reply::status(200, ""));
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

/// A sender with these services.
pub fn sender(options: &Options) -> Sender {
    let services = Services::load(options).expect("services that can be loaded");
    Sender::new(services, tokio::runtime::Handle::current())
}

/// Pushes, and waits for what becomes of it.
pub async fn push(sender: &Sender, push: Push, patience: Duration) -> Outcome {
    sender.deliver(push, patience, Cancel::default()).await
}

/// The claims of a token whose signature is good, and its header.
pub fn claims(token: &str, point: &[u8]) -> (Value, Value) {
    let mut parts = token.split('.');
    let (header, claims, signature) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let signed = format!("{header}.{claims}");
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &signature)
        .expect("a good signature");
    let read = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    (read(header), read(claims))
}

/// The present time in Unix seconds.
pub fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Long enough for anything that works.
pub const PATIENCE: Duration = Duration::from_secs(20);
