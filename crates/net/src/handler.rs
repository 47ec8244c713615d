//! What a user of this crate implements.

use std::net::SocketAddr;

use crate::endpoint::{ConnectionId, Origin};
use crate::io::Io;

/// One worker's application: called with everything that arrives, always on the worker's thread.
///
/// A panic in a call is caught, counted and logged, the send slot that was being written is dropped, and the worker
/// goes on with the next message.
pub trait Handler: Send + 'static {
    /// What other threads may send to this worker.
    type Command: Send + 'static;

    /// One datagram, never empty. The handler may take the vector and leave another one; one with a large capacity
    /// saves an allocation at the next receive.
    fn datagram(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>);

    /// Whether [`Handler::sift`] wants to see the datagrams of a worker that is behind ([`Io::is_behind`]).
    fn sifts(&self) -> bool {
        false
    }

    /// Announces a datagram of a batch before [`Handler::sift`] is asked about any of them, so that what deciding about it
    /// has to read can be asked of memory. `place` is its number in the batch, below 64.
    fn expect(&mut self, place: usize, bytes: &[u8]) {
        let _ = (place, bytes);
    }

    /// What is to become of the datagram announced under this number, at this time of day in seconds since 1970.
    fn sift(&mut self, place: usize, now_s: u64) -> Fate {
        let _ = (place, now_s);
        Fate::Served
    }

    /// Answers a datagram that [`Handler::sift`] wants refused. As for the vector, see [`Handler::datagram`].
    fn refuse(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) {
        let _ = (io, origin, bytes);
    }

    /// How many messages this handler has refused so far because [`Io::is_behind`] said so, and those of
    /// [`Handler::refuse`]. Only its growth is looked at, to know how much time goes into refusing.
    fn refused(&self) -> u64 {
        0
    }

    /// One framed message from a connection; messages of one connection come in order. As for the vector, see
    /// [`Handler::datagram`].
    fn stream_message(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>);

    /// A connection has been closed, by whichever side. Its id is not valid any more.
    fn connection_closed(&mut self, io: &mut Io, connection: ConnectionId, peer: SocketAddr) {
        let _ = (io, connection, peer);
    }

    /// A message which was accepted by [`Io::send_stream`] could not be handed to the kernel in full: the connection
    /// could not be opened or broke. May be called on another worker than the one that sent. The transaction layer
    /// treats it as a transport error (RFC 3261 §17.1.4, §17.2.4).
    fn send_failed(&mut self, io: &mut Io, peer: SocketAddr, bytes: &[u8]) {
        let _ = (io, peer, bytes);
    }

    /// A command from another thread.
    fn command(&mut self, io: &mut Io, command: Self::Command);

    /// When [`Handler::timer`] wants to be called next, in monotonic milliseconds ([`Io::now_ms`]). Asked after every
    /// batch, so it must be cheap. `None`: never, unless something else happens first.
    fn next_deadline_ms(&self) -> Option<u64> {
        None
    }

    /// The deadline has come.
    fn timer(&mut self, io: &mut Io) {
        let _ = io;
    }

    /// Whether nothing is under way: a shutdown waits for this on all workers, see [`crate::Running::shutdown`].
    /// New work while [`Io::draining`] should be refused by the handler, else the grace may run out.
    fn idle(&self) -> bool;

    /// A framer for a new connection.
    fn framer(&self) -> Box<dyn StreamFramer>;
}

/// What is to become of a datagram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fate {
    /// It is handled as ever.
    #[default]
    Served,
    /// [`Handler::refuse`] answers it.
    Refused,
    /// Nothing.
    Dropped,
}

/// Finds where a message ends on a stream.
pub trait StreamFramer: Send {
    /// Looks at the bytes which have arrived and are not consumed yet (at least one). After
    /// [`StreamFrame::Incomplete`] the next call has the same first byte and more bytes behind it, so an
    /// implementation may remember how far it has looked.
    fn frame(&mut self, buffered: &[u8]) -> StreamFrame;
}

/// What a [`StreamFramer`] has found at the start of the buffered bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamFrame {
    /// More bytes are needed.
    Incomplete,
    /// Bytes which are no message, such as a keep-alive (RFC 5626 §3.5.1).
    Skip {
        /// How many bytes to pass over; not 0.
        len: usize,
        /// What to answer at once.
        reply: Option<&'static [u8]>,
    },
    /// A message.
    Message {
        /// Its length in bytes; not 0, not more than are buffered.
        len: usize,
    },
    /// No way to go on: the connection is closed after the reply has been written.
    Invalid {
        /// What to answer before closing.
        reply: Option<Vec<u8>>,
    },
}
