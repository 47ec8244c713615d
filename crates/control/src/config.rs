//! What is to be served where. The engine fills this from the parameters of `httpd`, `mi_http`, `mi_fifo` and
//! `mi_datagram`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::limits;

/// All of the management plane. What is `None` is not served.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// MI and metrics over HTTP.
    pub http: Option<Http>,
    /// MI over a named pipe.
    pub fifo: Option<Fifo>,
    /// MI over UDP or a unix datagram socket.
    pub datagram: Option<Datagram>,
}

/// The HTTP server (`httpd`) with MI (`mi_http`) and `/metrics`.
#[derive(Clone)]
pub struct Http {
    /// Where to listen; see [`Http::addresses`]. Port 0 lets the kernel choose.
    pub listen: Vec<SocketAddr>,
    /// `mi_http` `root`: the path of MI without the slash.
    pub root: String,
    /// `mi_http` `token`: when set, every request must carry `Authorization: Bearer <token>`.
    pub token: Option<String>,
    /// `httpd` `conn_timeout`: an idle connection is closed after this time.
    pub idle: Duration,
    /// `httpd` `post_buf_size`, but never below what a honest batch needs: the largest request body in bytes.
    pub max_request_bytes: usize,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of logs.
        out.debug_struct("Http")
            .field("listen", &self.listen)
            .field("root", &self.root)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("idle", &self.idle)
            .field("max_request_bytes", &self.max_request_bytes)
            .finish()
    }
}

impl Default for Http {
    /// The documented defaults: 127.0.0.1:8888, `/mi`, no token, 30 s (httpd 1.5, mi_http 1.4).
    fn default() -> Self {
        Http {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8888))],
            root: "mi".to_owned(),
            token: None,
            idle: limits::HTTP_IDLE,
            max_request_bytes: limits::REQUEST_BYTES,
        }
    }
}

impl Http {
    /// The socket addresses that the parameters `ip` and `port` of `httpd` name; `*` is every IPv4 and IPv6
    /// address of the host.
    ///
    /// # Errors
    /// `ip` is not an IP address.
    pub fn addresses(ip: &str, port: u16) -> Result<Vec<SocketAddr>, std::net::AddrParseError> {
        if ip == "*" {
            let any4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            return Ok(vec![any4, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))]);
        }
        let ip: IpAddr = ip.trim_start_matches('[').trim_end_matches(']').parse()?;
        Ok(vec![SocketAddr::from((ip, port))])
    }
}

/// The owner of a file: a numeric id or a name from the system's list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Owner {
    /// A numeric id.
    Id(u32),
    /// A name, looked up when the file is made.
    Name(String),
}

/// The named pipe (`mi_fifo`).
#[derive(Clone, Debug)]
pub struct Fifo {
    /// `fifo_name`.
    pub path: PathBuf,
    /// `fifo_mode`.
    pub mode: u32,
    /// `fifo_user`.
    pub user: Option<Owner>,
    /// `fifo_group`.
    pub group: Option<Owner>,
    /// `reply_dir`: the only directory that replies are written to.
    pub reply_dir: PathBuf,
    /// `pretty_printing`.
    pub pretty: bool,
}

impl Default for Fifo {
    /// The documented defaults (mi_fifo 1.5).
    fn default() -> Self {
        Fifo {
            path: PathBuf::from("/tmp/opensips_fifo"),
            mode: 0o660,
            user: None,
            group: None,
            reply_dir: PathBuf::from("/tmp/"),
            pretty: false,
        }
    }
}

/// Where datagrams come in (`mi_datagram` `socket_name`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DatagramSocket {
    /// `udp:host:port`.
    Udp(SocketAddr),
    /// A path in the file system.
    Unix(PathBuf),
}

/// The datagram transport (`mi_datagram`).
#[derive(Clone, Debug)]
pub struct Datagram {
    /// `socket_name`.
    pub socket: DatagramSocket,
    /// `unix_socket_mode`.
    pub mode: u32,
    /// `unix_socket_user`.
    pub user: Option<Owner>,
    /// `unix_socket_group`.
    pub group: Option<Owner>,
    /// `socket_timeout`: how long a reply may take to be sent.
    pub timeout: Duration,
    /// `pretty_printing`.
    pub pretty: bool,
    /// `socket_buf_size`: the largest request and reply in bytes, 65 457 at most.
    pub max_bytes: usize,
}

impl Datagram {
    /// The documented defaults (mi_datagram 1.4) on this socket.
    pub fn new(socket: DatagramSocket) -> Self {
        Datagram {
            socket,
            mode: 0o660,
            user: None,
            group: None,
            timeout: Duration::from_millis(2000),
            pretty: false,
            max_bytes: limits::DATAGRAM_BYTES,
        }
    }

    /// Reads `socket_name`: `udp:host:port` with an IP address as host (or `*`), or else a path.
    ///
    /// # Errors
    /// The text begins with `udp:` and an IP address with a port does not follow.
    pub fn parse_socket(name: &str) -> Result<DatagramSocket, std::net::AddrParseError> {
        let Some(address) = name.strip_prefix("udp:") else {
            return Ok(DatagramSocket::Unix(PathBuf::from(name)));
        };
        let any = address.strip_prefix("*:").map(|port| format!("0.0.0.0:{port}"));
        Ok(DatagramSocket::Udp(any.as_deref().unwrap_or(address).parse()?))
    }
}
