//! A small blocking client: JSON-RPC over HTTP/1.1, with the reply's body as a stream, so that a dump of any size
//! needs little memory.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::MiError;

/// How long to wait for the connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long to wait for the next bytes of a reply: a reload may take a while.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest line of a reply's head, and most lines: the peer may be anything.
const HEAD_LINE_BYTES: u64 = 16 * 1024;
const HEAD_LINES: usize = 200;
/// How much of a refusal's text is shown.
const REFUSAL_BYTES: u64 = 2000;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL is not `http://host[:port][/path]`.
    #[error("{0:?} is not a URL of the form http://host:port/mi")]
    Url(String),
    /// Nobody answers.
    #[error("nothing answers at {url}: {source}")]
    Connect {
        /// Where.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The HTTP server refused.
    #[error("the server refused: {status} {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        text: String,
    },
    /// The reply is not one of JSON-RPC.
    #[error("the reply cannot be understood: {0}")]
    Reply(String),
    /// The command answered with an error.
    #[error("{0}")]
    Mi(#[from] MiError),
}

/// Where to send requests.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    authority: String,
    path: String,
    token: Option<String>,
}

impl Client {
    /// A client for the MI at `url`.
    ///
    /// # Errors
    /// The URL has another scheme than http, or no host.
    pub fn new(url: &str) -> Result<Client, ClientError> {
        let wrong = || ClientError::Url(url.to_owned());
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/mi" } else { path };
        if host.is_empty() || url.chars().any(|letter| letter.is_control() || letter == ' ') {
            return Err(wrong());
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let authority = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Client { url: url.to_owned(), authority, path: path.to_owned(), token: None })
    }

    /// Sends this bearer token with every request.
    #[must_use]
    pub fn with_token(mut self, token: Option<&str>) -> Client {
        // A line end would end the header.
        self.token = token.map(|token| token.chars().filter(|letter| !letter.is_control()).collect());
        self
    }

    /// Calls a command and gives the body of the reply, as it arrives.
    ///
    /// # Errors
    /// There is no connection, or HTTP refuses.
    pub fn call(&self, method: &str, params: &Value) -> Result<Body, ClientError> {
        let mut request = json!({ "jsonrpc": "2.0", "method": method, "id": 1 });
        if let (false, Some(members)) = (params.is_null(), request.as_object_mut()) {
            members.insert("params".to_owned(), params.clone());
        }
        let body = request.to_string();
        let authorization =
            self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n{authorization}\r\n",
            self.path,
            self.authority,
            body.len()
        );
        let mut stream = self.connect()?;
        stream.write_all((head + &body).as_bytes())?;
        Body::read_head(BufReader::with_capacity(64 * 1024, stream))
    }

    /// Calls a command and gives its result as a whole.
    ///
    /// # Errors
    /// There is no connection, HTTP refuses, or the command answers with an error.
    pub fn result(&self, method: &str, params: &Value) -> Result<Value, ClientError> {
        let reply = serde_json::from_reader(self.call(method, params)?)
            .map_err(|error| ClientError::Reply(error.to_string()))?;
        result_of(reply)
    }

    fn connect(&self) -> Result<TcpStream, ClientError> {
        let failed = |source| ClientError::Connect { url: self.url.clone(), source };
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in self.authority.to_socket_addrs().map_err(failed)? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(SILENCE))?;
                    stream.set_write_timeout(Some(SILENCE))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }
}

/// The `error` member of a reply.
#[derive(Deserialize)]
pub(crate) struct WireError {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

impl From<WireError> for MiError {
    fn from(error: WireError) -> Self {
        let data = error.data.map(|data| data.as_str().map_or_else(|| data.to_string(), str::to_owned));
        MiError { data, ..MiError::new(error.code, error.message) }
    }
}

/// The result inside a reply.
///
/// # Errors
/// The reply is an error, or neither.
pub(crate) fn result_of(mut reply: Value) -> Result<Value, ClientError> {
    if let Some(error) = reply.get_mut("error").map(Value::take) {
        let error: WireError =
            serde_json::from_value(error).map_err(|error| ClientError::Reply(error.to_string()))?;
        return Err(ClientError::Mi(error.into()));
    }
    let missing = || ClientError::Reply("it has neither result nor error".to_owned());
    reply.get_mut("result").map(Value::take).ok_or_else(missing)
}

/// The body of a reply; read it to its end. A body that breaks off is an error, never a shorter body.
#[derive(Debug)]
pub struct Body {
    stream: BufReader<TcpStream>,
    rest: Rest,
}

/// How the body ends.
#[derive(Debug, PartialEq)]
enum Rest {
    /// After so many more bytes.
    Sized(u64),
    /// Chunk by chunk; so many bytes are left of this one.
    Chunked(u64),
    /// When the connection closes.
    UntilClose,
    /// It has ended.
    Done,
}

impl Body {
    fn read_head(mut stream: BufReader<TcpStream>) -> Result<Body, ClientError> {
        let status_line = line(&mut stream)?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let Some(status) = status.filter(|_| status_line.starts_with("HTTP/1.")) else {
            return Err(ClientError::Reply("it is not HTTP".to_owned()));
        };
        let mut rest = Rest::UntilClose;
        for _ in 0..HEAD_LINES {
            let header = line(&mut stream)?;
            let Some((name, value)) = header.split_once(':') else { break };
            if name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked")
            {
                rest = Rest::Chunked(0);
            } else if name.eq_ignore_ascii_case("content-length") && rest == Rest::UntilClose {
                let length = value.trim().parse().map_err(|_| ClientError::Reply("bad length".to_owned()))?;
                rest = Rest::Sized(length);
            }
        }
        let mut body = Body { stream, rest };
        if status == 200 {
            return Ok(body);
        }
        let mut text = Vec::new();
        // A refusal without a readable text is still a refusal.
        let _ = body.by_ref().take(REFUSAL_BYTES).read_to_end(&mut text);
        Err(ClientError::Refused { status, text: String::from_utf8_lossy(&text).trim().to_owned() })
    }

    /// Begins the next chunk: reads its size (RFC 9112 section 7.1).
    fn next_chunk(&mut self) -> io::Result<()> {
        let size = line(&mut self.stream)?;
        let digits = size.split(';').next().unwrap_or("").trim();
        let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "bad chunk size");
        let size = u64::from_str_radix(digits, 16).map_err(wrong)?;
        self.rest = if size == 0 { Rest::Done } else { Rest::Chunked(size) };
        Ok(())
    }
}

/// A line without its end.
fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.by_ref().take(HEAD_LINE_BYTES).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest == Rest::Chunked(0) {
            self.next_chunk()?;
        }
        let left = match self.rest {
            Rest::Done | Rest::Sized(0) => return Ok(0),
            Rest::Sized(left) | Rest::Chunked(left) => left,
            Rest::UntilClose => return self.stream.read(buffer),
        };
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let got = self.stream.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        if got == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = left.saturating_sub(u64::try_from(got).unwrap_or(left));
        match self.rest {
            Rest::Sized(_) => self.rest = Rest::Sized(left),
            _ => {
                self.rest = Rest::Chunked(left);
                if left == 0 {
                    // The line end after the chunk's data.
                    line(&mut self.stream)?;
                }
            }
        }
        Ok(got)
    }
}
