//! Taking connections from the kernel and handing them out.

use std::io;
use std::net::SocketAddr;

use super::Worker;
use crate::endpoint::SocketId;
use crate::handler::Handler;
use crate::limits::{ACCEPT_RETRY_MS, ACCEPTS_PER_TURN};
use crate::tcp::Post;

impl<H: Handler> Worker<H> {
    /// Accepts what is ready, up to a number; `true` if there was something.
    pub(super) fn accept_turn(&mut self) -> bool {
        let now_ms = self.io.clock.now_ms();
        let mut was_busy = false;
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTS_PER_TURN {
                let Some(listener) = self.listeners.get_mut(index).filter(|listener| listener.is_ready)
                else {
                    break;
                };
                if listener.retry_ms.is_some_and(|retry_ms| retry_ms > now_ms) {
                    break;
                }
                listener.retry_ms = None;
                let id = listener.id;
                match listener.listener.accept() {
                    Ok((stream, peer)) => {
                        was_busy = true;
                        self.hand_out(id, stream, peer);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => listener.is_ready = false,
                    Err(error) if is_about_one_connection(&error) => {}
                    Err(error) => {
                        tracing::error!(worker = self.index, %error, "connections cannot be accepted for now");
                        listener.retry_ms = Some(now_ms + ACCEPT_RETRY_MS);
                    }
                }
            }
        }
        was_busy
    }

    /// Gives an accepted connection to the worker whose turn it is.
    fn hand_out(&mut self, socket: SocketId, stream: mio::net::TcpStream, peer: SocketAddr) {
        let now_ms = self.io.clock.now_ms();
        let Some(permit) = self.io.shared.admission.accept(peer.ip()) else {
            self.io.shared.row(self.index).tcp_refused.add(1);
            return;
        };
        let owner = self.next_owner;
        self.next_owner = (owner + 1) % self.io.shared.workers().max(1);
        let post = Post::Accepted { stream, peer, socket, permit };
        // While shutting down the other worker may be about to end.
        if owner == self.index || self.io.draining() {
            self.io.streams.handle_post(now_ms, post);
        } else if let Err(post) = self.io.shared.post(owner, post) {
            // Its queue is full: better served here than not at all.
            self.io.streams.handle_post(now_ms, post);
        }
    }
}

/// Errors of accept which belong to the connection that was to be accepted; the next one may be fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) || matches!(
        error.raw_os_error(),
        Some(libc::EPROTO | libc::EPERM | libc::ENETDOWN | libc::EHOSTUNREACH)
    )
}
