//! Runs requests for the transports: a bounded number at once, off the runtime's own threads, long replies piece
//! by piece.

use std::io;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::dispatch::{Dispatcher, Response};
use crate::error::MiError;
use crate::limits;

/// The reply to one request.
pub(crate) enum Answer {
    /// There is nothing to say: only notifications came.
    Nothing,
    /// A reply of moderate size.
    Whole(Vec<u8>),
    /// A long reply, made as fast as the receiver takes it. An error means that it ends early.
    Stream(mpsc::Receiver<io::Result<Vec<u8>>>),
}

/// Ends when the management plane is to stop, or its handle is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Shared by all transports.
pub(crate) struct Executor {
    dispatcher: Dispatcher,
    running: Semaphore,
}

impl Executor {
    pub(crate) fn new(dispatcher: Dispatcher) -> Self {
        Executor { dispatcher, running: Semaphore::new(limits::COMMANDS_AT_ONCE) }
    }

    /// Runs a request; the reply may be of any length.
    pub(crate) async fn execute(self: &Arc<Self>, request: Vec<u8>) -> Answer {
        let executor = Arc::clone(self);
        let first = self
            .blocking(move || {
                let mut response = executor.dispatcher.handle(&request)?;
                let mut bytes = Vec::new();
                let more = response.fill(&mut bytes, limits::CHUNK_BYTES);
                Some((response, bytes, more))
            })
            .await;
        match first {
            Err(whole) => Answer::Whole(whole),
            Ok(None) => Answer::Nothing,
            Ok(Some((_, bytes, false))) => Answer::Whole(bytes),
            Ok(Some((response, bytes, true))) => {
                let (sender, receiver) = mpsc::channel(limits::CHUNKS_AHEAD);
                tokio::spawn(Arc::clone(self).pump(response, bytes, sender));
                Answer::Stream(receiver)
            }
        }
    }

    /// Runs a request whose reply must fit `limit` bytes; a longer one becomes an error reply.
    pub(crate) async fn execute_whole(self: &Arc<Self>, request: Vec<u8>, limit: usize) -> Option<Vec<u8>> {
        let executor = Arc::clone(self);
        self.blocking(move || {
            let response = executor.dispatcher.handle(&request)?;
            let too_large = || Response::error(&MiError::reply_too_large(limit)).into_bytes(usize::MAX);
            response.into_bytes(limit).or_else(too_large)
        })
        .await
        .unwrap_or_else(Some)
    }

    /// The metrics page.
    pub(crate) async fn metrics(self: &Arc<Self>) -> Vec<u8> {
        let executor = Arc::clone(self);
        let page =
            self.blocking(move || crate::metrics::page(executor.dispatcher.server()).into_bytes()).await;
        page.unwrap_or_default()
    }

    /// Makes the rest of a long reply. Ends when the receiver is gone or takes nothing for too long.
    async fn pump(
        self: Arc<Self>,
        mut response: Response,
        mut bytes: Vec<u8>,
        sender: mpsc::Sender<io::Result<Vec<u8>>>,
    ) {
        let mut more = true;
        loop {
            match timeout(limits::REPLY_STALLED, sender.send(Ok(bytes))).await {
                Ok(Ok(())) if more => {}
                _ => return,
            }
            let step = self.blocking(move || {
                let mut bytes = Vec::with_capacity(limits::CHUNK_BYTES + limits::CHUNK_BYTES / 4);
                let more = response.fill(&mut bytes, limits::CHUNK_BYTES);
                (response, bytes, more)
            });
            match step.await {
                Ok((rest, next, again)) => (response, bytes, more) = (rest, next, again),
                // What was sent so far must not look like a complete reply.
                Err(_) => {
                    let _ = sender.send(Err(io::Error::other("the reply could not be completed"))).await;
                    return;
                }
            }
        }
    }

    /// Runs `work` on a blocking thread. A command that panics becomes an error reply: the others go on.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Vec<u8>> {
        // The semaphore is never closed; without a permit the work would only be less bounded.
        let _permit = self.running.acquire().await.ok();
        spawn_blocking(work).await.map_err(|error| {
            tracing::error!("MI command failed: {error}");
            let internal = Response::error(&MiError::new(-32603, "Internal error"));
            internal.into_bytes(usize::MAX).unwrap_or_default()
        })
    }
}
