//! MI over datagrams (`mi_datagram`): one JSON-RPC request a datagram, one datagram back.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::config::{Datagram, DatagramSocket};
use crate::execute::{Executor, stopped};
use crate::files;
use crate::limits;
use crate::pretty;

/// A bound socket of either family.
pub(crate) enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram, PathBuf),
}

/// Where a reply goes.
enum Peer {
    Udp(SocketAddr),
    Unix(PathBuf),
}

/// Binds the socket. Must be called inside the runtime.
///
/// # Errors
/// The address or path cannot be had.
pub(crate) fn bind(config: &Datagram) -> io::Result<Socket> {
    match &config.socket {
        DatagramSocket::Udp(address) => {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(Socket::Udp(UdpSocket::from_std(socket)?))
        }
        DatagramSocket::Unix(path) => Ok(Socket::Unix(bind_unix(config, path)?, path.clone())),
    }
}

fn bind_unix(config: &Datagram, path: &Path) -> io::Result<UnixDatagram> {
    // A socket that an earlier run left would be in the way; anything else is not ours to remove.
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let ids = files::owner_ids(config.user.as_ref(), config.group.as_ref())?;
    let socket = UnixDatagram::bind(path)?;
    if ids != (None, None) {
        std::os::unix::fs::lchown(path, ids.0, ids.1)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(config.mode & 0o777))?;
    Ok(socket)
}

impl Socket {
    /// The bound UDP address, with the port that the kernel chose.
    pub(crate) fn udp_address(&self) -> Option<SocketAddr> {
        match self {
            Socket::Udp(socket) => socket.local_addr().ok(),
            Socket::Unix(..) => None,
        }
    }

    /// The next datagram and its sender; `None` when the sender has no name that could be answered.
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<Peer>)> {
        match self {
            Socket::Udp(socket) => {
                let (len, peer) = socket.recv_from(buffer).await?;
                Ok((len, Some(Peer::Udp(peer))))
            }
            Socket::Unix(socket, _) => {
                let (len, peer) = socket.recv_from(buffer).await?;
                Ok((len, peer.as_pathname().map(|path| Peer::Unix(path.to_path_buf()))))
            }
        }
    }

    async fn send(&self, bytes: &[u8], peer: &Peer) -> io::Result<()> {
        match (self, peer) {
            (Socket::Udp(socket), Peer::Udp(peer)) => socket.send_to(bytes, peer).await?,
            (Socket::Unix(socket, _), Peer::Unix(peer)) => socket.send_to(bytes, peer).await?,
            _ => 0,
        };
        Ok(())
    }
}

/// Serves the socket until `stop` turns true.
pub(crate) async fn serve(
    socket: Socket,
    config: Datagram,
    executor: Arc<Executor>,
    mut stop: watch::Receiver<bool>,
) {
    let socket = Arc::new(socket);
    let config = Arc::new(config);
    let under_way = Arc::new(Semaphore::new(limits::COMMANDS_AT_ONCE));
    // One byte more than allowed shows that a request was cut.
    let limit = config.max_bytes.clamp(1, limits::DATAGRAM_BYTES);
    let mut buffer = vec![0; limit + 1];
    loop {
        let received = tokio::select! {
            received = socket.receive(&mut buffer) => received,
            () = stopped(&mut stop) => break,
        };
        let (len, peer) = match received {
            Ok(received) => received,
            Err(error) => {
                // An ICMP error of an earlier reply, at worst something lasting: do not spin.
                tracing::debug!("MI datagram socket: {error}");
                sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        if len > limit {
            tracing::warn!("MI datagram larger than {limit} bytes dropped");
            continue;
        }
        let request = buffer.get(..len).unwrap_or_default().to_vec();
        let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else { break };
        let (socket, config, executor) = (Arc::clone(&socket), Arc::clone(&config), Arc::clone(&executor));
        tokio::spawn(async move {
            if let (Some(reply), Some(peer)) = (executor.execute_whole(request, limit).await, peer) {
                respond(&socket, &config, reply, &peer, limit).await;
            }
            drop(permit);
        });
    }
    if let Socket::Unix(_, path) = socket.as_ref() {
        let _ = fs::remove_file(path);
    }
}

async fn respond(socket: &Socket, config: &Datagram, reply: Vec<u8>, peer: &Peer, limit: usize) {
    let indented = config.pretty.then(|| pretty::whole(&reply)).filter(|indented| indented.len() <= limit);
    let bytes = indented.as_deref().unwrap_or(&reply);
    match timeout(config.timeout, socket.send(bytes, peer)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("MI datagram reply not sent: {error}"),
        Err(_) => tracing::warn!("MI datagram reply not sent: the client takes none"),
    }
}
