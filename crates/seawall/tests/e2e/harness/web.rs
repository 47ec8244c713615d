//! A server that the one under test asks over HTTP: it shows what it gets and says what the test wants.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Long enough for anything that works.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server.
pub struct Web {
    pub port: u16,
    arrived: Receiver<Asked>,
}

/// A request that waits for its answer.
pub struct Asked {
    pub text: String,
    stream: TcpStream,
}

impl Web {
    pub fn start() -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, arrived) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    if let Some(asked) = read(stream) {
                        let _ = sender.send(asked);
                    }
                });
            }
        });
        Web { port, arrived }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next request.
    #[track_caller]
    pub fn asked(&self) -> Asked {
        self.arrived.recv_timeout(PATIENCE).expect("a request")
    }
}

impl Asked {
    /// Its body.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }

    /// Answers it.
    pub fn answer(mut self, status: u16, body: &str) {
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} Said\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n");
        write!(self.stream, "{head}Connection: close\r\n\r\n{body}").unwrap();
    }
}

fn read(mut stream: TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(Asked { text, stream });
            }
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
        }
    }
}
