//! Starts and stops the transports.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::config::{Config, DatagramSocket, Http};
use crate::dispatch::Dispatcher;
use crate::execute::Executor;
use crate::server::Server;
use crate::{datagram, fifo, http, limits};

/// Why the management plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listening address is taken or not of this host.
    #[error("MI over HTTP cannot listen on {address}: {source}")]
    Http {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// `mi_http` `root` is not a plain path.
    #[error("mi_http `root` must be letters, digits and `-._~/`, and not `metrics`: {0:?}")]
    Root(String),
    /// The datagram socket cannot be bound.
    #[error("MI over datagrams cannot listen on {socket:?}: {source}")]
    Datagram {
        /// What was to be bound.
        socket: DatagramSocket,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The running management plane. [`Handle::shutdown`] ends it in order; dropping the handle ends it without waiting.
#[derive(Debug)]
pub struct Handle {
    http: Vec<SocketAddr>,
    mi_path: String,
    fifo: Option<PathBuf>,
    datagram: Option<DatagramSocket>,
    warnings: Vec<String>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts what `config` names, on `runtime`.
///
/// A FIFO that cannot be made is a warning only: the usual cause is a directory that the packaging of another
/// server would have made.
///
/// # Errors
/// An address of HTTP or datagrams cannot be had; nothing is left running then.
pub fn serve(
    config: Config,
    server: Arc<dyn Server>,
    runtime: &runtime::Handle,
) -> Result<Handle, ServeError> {
    serve_with(config, Dispatcher::new(server), runtime)
}

/// As [`serve`], with a dispatcher that has further commands.
///
/// # Errors
/// As [`serve`].
pub fn serve_with(
    config: Config,
    dispatcher: Dispatcher,
    runtime: &runtime::Handle,
) -> Result<Handle, ServeError> {
    let _inside = runtime.enter();
    let executor = Arc::new(Executor::new(dispatcher));
    let (stop, stopped) = watch::channel(false);
    let mut handle = Handle {
        http: Vec::new(),
        mi_path: String::new(),
        fifo: None,
        datagram: None,
        warnings: Vec::new(),
        stop,
        tasks: Vec::new(),
    };
    // All sockets before the first task: an error leaves nothing behind.
    let listeners = match &config.http {
        Some(http) => handle.listen(http)?,
        None => Vec::new(),
    };
    if let Some(config) = config.datagram {
        let socket = datagram::bind(&config)
            .map_err(|source| ServeError::Datagram { socket: config.socket.clone(), source })?;
        let bound = socket.udp_address().map_or(config.socket.clone(), DatagramSocket::Udp);
        handle.warn_open(&bound);
        handle.datagram = Some(bound);
        let task = datagram::serve(socket, config, Arc::clone(&executor), stopped.clone());
        handle.tasks.push(runtime.spawn(task));
    }
    if let Some(config) = config.http {
        let connections = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS));
        for listener in listeners {
            let (connections, executor) = (Arc::clone(&connections), Arc::clone(&executor));
            let task = http::serve(listener, config.clone(), executor, connections, stopped.clone());
            handle.tasks.push(runtime.spawn(task));
        }
    }
    if let Some(config) = config.fifo {
        match fifo::create(&config) {
            Ok(file) => {
                handle.fifo = Some(config.path.clone());
                handle.tasks.push(runtime.spawn(fifo::serve(file, config, executor, stopped)));
            }
            Err(error) => {
                let path = config.path.display();
                handle.warnings.push(format!("MI over FIFO is off: {path} cannot be made: {error}"));
            }
        }
    }
    Ok(handle)
}

impl Handle {
    fn listen(&mut self, config: &Http) -> Result<Vec<std::net::TcpListener>, ServeError> {
        let root = config.root.trim_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        if !root.bytes().all(plain) || root.contains("//") || root == "metrics" {
            return Err(ServeError::Root(config.root.clone()));
        }
        self.mi_path = format!("/{root}");
        let mut listeners = Vec::new();
        for address in &config.listen {
            match http::bind(*address) {
                Ok(listener) => {
                    self.http.push(listener.local_addr().unwrap_or(*address));
                    listeners.push(listener);
                }
                // `*` on a host without IPv6 still has IPv4.
                Err(error) if address.is_ipv6() && !listeners.is_empty() => {
                    self.warnings.push(format!("MI over HTTP is not on {address}: {error}"));
                }
                Err(source) => return Err(ServeError::Http { address: *address, source }),
            }
        }
        if config.token.is_none()
            && let Some(open) = self.http.iter().find(|address| !address.ip().is_loopback())
        {
            self.warnings.push(format!(
                "MI over HTTP listens on {open} without a token: whoever can reach it can change the server. \
                 Set the mi_http parameter `token`, or listen on 127.0.0.1."
            ));
        }
        Ok(listeners)
    }

    fn warn_open(&mut self, socket: &DatagramSocket) {
        if let DatagramSocket::Udp(address) = socket
            && !address.ip().is_loopback()
        {
            self.warnings.push(format!(
                "MI over datagrams listens on {address}: whoever can reach it can change the server."
            ));
        }
    }

    /// The addresses that HTTP listens on, with the ports that the kernel chose.
    pub fn http(&self) -> &[SocketAddr] {
        &self.http
    }

    /// The URL of MI, for people and for `seawall ctl`.
    pub fn mi_url(&self) -> Option<String> {
        self.http.first().map(|address| format!("http://{address}{}", self.mi_path))
    }

    /// The URL of the metrics page.
    pub fn metrics_url(&self) -> Option<String> {
        self.http.first().map(|address| format!("http://{address}/metrics"))
    }

    /// The named pipe, when it could be made.
    pub fn fifo(&self) -> Option<&Path> {
        self.fifo.as_deref()
    }

    /// The datagram socket.
    pub fn datagram(&self) -> Option<&DatagramSocket> {
        self.datagram.as_ref()
    }

    /// What the operator should know about this configuration, a sentence or two each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Stops accepting, lets replies under way finish for at most `grace`, removes pipe and socket files.
    pub async fn shutdown(self, grace: Duration) {
        // Nobody listens any more when all tasks have ended by themselves.
        let _ = self.stop.send(true);
        let deadline = tokio::time::Instant::now() + grace;
        for mut task in self.tasks {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}
