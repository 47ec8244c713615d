//! A server on loopback that scripts ask over HTTP: it notes what it gets, and says what it is told to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The server.
pub struct Web {
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    folder: PathBuf,
}

static FOLDERS: AtomicUsize = AtomicUsize::new(0);

impl Web {
    /// A server that gives these answers in turn; one that is told nothing keeps silent.
    pub fn start(answers: &[&str]) -> Self {
        Self::serve(answers, None)
    }

    /// The same over TLS, with a certificate for `name` that is in [`Web::file`] `server.pem`.
    pub fn start_tls(name: &str, answers: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let tls =
            builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], secret).unwrap();
        let web = Self::serve(answers, Some(Arc::new(tls)));
        std::fs::write(web.folder.join("server.pem"), certificate.pem()).unwrap();
        web
    }

    fn serve(answers: &[&str], tls: Option<Arc<ServerConfig>>) -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("seawall-web-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, receiver) = mpsc::channel::<String>();
        answers.iter().for_each(|answer| sender.send((*answer).to_owned()).unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            // Connections without an answer stay open, so that whoever waits goes on waiting.
            let mut open: Vec<Box<dyn std::any::Any>> = Vec::new();
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                match &tls {
                    None => open.push(Box::new(answer(stream, &receiver, &noted))),
                    Some(tls) => {
                        let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
                        open.push(Box::new(answer(StreamOwned::new(connection, stream), &receiver, &noted)));
                    }
                }
            }
        });
        Self { port, seen, folder }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where a file of the server is.
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The requests that came, as text.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request that came.
    #[track_caller]
    pub fn only(&self) -> String {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen[0].clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An answer with a body; the connection closes after it.
pub fn answer_text(status: u16, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Reads a request and answers it, if there is an answer.
fn answer<S: Read + Write>(mut stream: S, answers: &mpsc::Receiver<String>, seen: &Mutex<Vec<String>>) -> S {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    while !is_whole(&text) {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(read) => text.extend_from_slice(&part[..read]),
        }
    }
    if text.is_empty() {
        return stream;
    }
    seen.lock().unwrap().push(String::from_utf8_lossy(&text).into_owned());
    if let Ok(answer) = answers.try_recv() {
        let _ = stream.write_all(answer.as_bytes());
        let _ = stream.flush();
    }
    stream
}

fn is_whole(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// A port that takes no connection: whoever connects waits. The sockets that fill its queue are kept with it.
pub fn full_port() -> (u16, Vec<socket2::Socket>, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let limit = std::time::Duration::from_millis(200);
    let filling = (0..4).filter_map(|_| TcpStream::connect_timeout(&address, limit).ok()).collect();
    (address.port(), vec![socket], filling)
}
