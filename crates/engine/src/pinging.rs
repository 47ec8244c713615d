//! Pings: the worker sends what its pinger says, and takes the answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use seawall_modules::context::{Context, Target};
use seawall_modules::nathelper::ping::{self, Pong};
use seawall_modules::nathelper::pinger::Moment;
use seawall_net::{Io, StreamTarget, Transport};
use seawall_transaction::PingToken;

use crate::worker::Worker;

impl Worker {
    /// Pings the contacts whose turn it is. True when there are some to be pinged, so that the next turn is soon.
    pub(crate) fn ping(&mut self, io: &mut Io) -> bool {
        if self.configuration.settings.nat.ping.is_none() || !self.node.pinging.load(Ordering::Relaxed) {
            return false;
        }
        let (node, configuration) = (Arc::clone(&self.node), Arc::clone(&self.configuration));
        let now = Moment { now_us: io.now_us(), now_s: io.unix_s() };
        let mut events = Vec::new();
        let links = Arc::clone(&self.links);
        // Without anybody to ask, a name has no address.
        let mut names = |host: &str, ask: bool| match links.errands.get() {
            Some(errands) => errands.addresses(host, ask),
            None => Some(Vec::new()),
        };
        let mut hand = |target: Target, bytes: &mut Vec<u8>| send(io, target, bytes);
        self.pinger.tick(&node, &configuration, now, &mut events, &mut names, &mut hand);
        self.raise(io, events);
        true
    }

    /// Takes an answer to a ping. Nobody else is told of it: it is for us.
    pub(crate) fn pong(&mut self, io: &mut Io, context: Box<Context>, token: PingToken) {
        let pong =
            Pong { token, status: context.message().status(), now_us: io.now_us(), now_s: io.unix_s() };
        self.recycle(context);
        let mut events = Vec::new();
        ping::answered(&self.node, self.index, &self.configuration, pong, &mut events);
        self.raise(io, events);
    }
}

/// Hands a ping to the net. No connection is opened for one: a phone behind a NAT could not be reached by it, and a
/// failure is no more than an unanswered ping.
fn send(io: &mut Io, target: Target, bytes: &mut Vec<u8>) {
    if target.transport == Transport::Udp {
        std::mem::swap(io.datagram_slot(target.socket, target.peer), bytes);
    } else {
        let _ = io.send_stream(StreamTarget::Open { peer: target.peer, socket: target.socket }, bytes);
    }
}
