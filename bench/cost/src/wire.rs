//! What carries a request on and its replies back, without a network: the messages, and the transaction between them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use seawall_sip::{Edits, Framing, Habits, Message, ViaFix, validate};
use seawall_transaction::proxy::forward::{Forward, MaxForwards, ViaLine};
use seawall_transaction::{
    BranchToken, Effect, Effects, Keys, Layer, NewBranch, OwnBranch, Relay, Request, ServerKey, Target,
    Timers, TransactionId,
};

use crate::Fault;
use crate::register::NOW_S;

/// Between two requests, milliseconds: so many transactions are kept as at a hundred requests a second.
const STEP_MS: u64 = 10;

/// Where requests are received, as others see it.
pub(crate) const HOST_PORT: &[u8] = b"127.0.0.1:5060";

/// Where everything goes: nowhere, by UDP.
#[derive(Clone, Copy)]
pub(crate) struct Peer;

impl Target for Peer {
    fn is_reliable(&self) -> bool {
        false
    }
}

/// Messages and buffers, used again and again, and the transactions.
pub(crate) struct Wire {
    pub(crate) keys: Keys,
    pub(crate) layer: Layer<(), Peer>,
    pub(crate) message: Message,
    pub(crate) reply: Message,
    pub(crate) edits: Edits,
    pub(crate) effects: Effects<(), Peer>,
    pub(crate) now_ms: u64,
    habits: Habits,
}

/// A request that goes on: its transaction, and the branch that it is about to have.
pub(crate) struct Opened {
    pub(crate) request: Arc<Request<Peer>>,
    id: TransactionId,
    index: u16,
    branch: Vec<u8>,
}

impl Wire {
    pub(crate) fn new() -> Wire {
        let keys = Keys::new([9; 16]);
        Wire {
            layer: Layer::new(0, keys, Timers::default()),
            keys,
            message: Message::empty(),
            reply: Message::empty(),
            edits: Edits::default(),
            effects: Vec::new(),
            now_ms: NOW_S * 1000,
            habits: Habits::default(),
        }
    }

    /// Lets the time pass that is between two requests.
    pub(crate) fn step(&mut self) {
        self.now_ms += STEP_MS;
    }

    /// Runs the timers that are due, and takes a request.
    #[inline]
    pub(crate) fn take_request(&mut self, bytes: Vec<u8>) -> Result<ServerKey, Fault> {
        self.layer.timeout(self.now_ms, &mut self.effects);
        self.effects.clear();
        *self.message.buffer_mut() = bytes;
        let is_scanned = self.message.scan_by_habit(Framing::Datagram, &mut self.habits).is_ok();
        if !is_scanned || validate::request(&self.message).is_err() {
            return Err(Fault("a request is not sound"));
        }
        self.keys.server_key(&self.message).ok_or(Fault("a request has no key"))
    }

    /// Makes a transaction of the request, which came from this port.
    #[inline]
    pub(crate) fn open(&mut self, key: &ServerKey, port: u16) -> Result<Opened, Fault> {
        let via_fix = Some(ViaFix { received: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), rport: Some(port) });
        let request = Arc::new(Request { message: self.message.clone(), reply_to: Peer, via_fix });
        let created = self.layer.create(self.now_ms, key, Arc::clone(&request), (), &mut self.effects);
        let id = created.map_err(|_| Fault("there is no transaction"))?;
        let index = self.layer.next_branch(id).map_err(|_| Fault("there is no branch"))?;
        let mut branch = Vec::new();
        self.keys.write_branch(id.branch(index), self.keys.path_hash(&request.message), &mut branch);
        Ok(Opened { request, id, index, branch })
    }

    /// Sends the request on with the edits that were made; gives what was sent.
    #[inline]
    pub(crate) fn forward(
        &mut self,
        opened: &Opened,
        request_uri: Option<&[u8]>,
        max_forwards: MaxForwards,
    ) -> Result<Vec<u8>, Fault> {
        let request = &opened.request;
        let via = ViaLine { transport: b"UDP", sent_by: HOST_PORT, branch: &opened.branch, rport: false };
        let forward =
            Forward { via, request_uri, via_fix: request.via_fix, max_forwards, first_headers: b"" };
        let mut bytes = Vec::with_capacity(1024);
        forward.write(&request.message, &mut self.edits, &mut bytes);
        self.edits.clear();
        let new = [NewBranch { index: opened.index, target: Peer, bytes: bytes.into(), timeouts_ms: None }];
        self.layer
            .forward(self.now_ms, opened.id, new, &mut self.effects)
            .map_err(|_| Fault("a request was not forwarded"))?;
        let sent = self.effects.drain(..).find_map(|effect| match effect {
            Effect::Send { bytes, branch: Some(_), .. } => Some(bytes),
            _ => None,
        });
        sent.map(|bytes| bytes.as_ref().clone()).ok_or(Fault("nothing was sent"))
    }

    /// Takes a reply to what was forwarded.
    #[inline]
    pub(crate) fn take_reply(&mut self, bytes: Vec<u8>) -> Result<BranchToken, Fault> {
        *self.reply.buffer_mut() = bytes;
        let is_scanned = self.reply.scan_by_habit(Framing::Datagram, &mut self.habits).is_ok();
        if !is_scanned || validate::response(&self.reply).is_err() {
            return Err(Fault("a reply is not sound"));
        }
        let Some(OwnBranch::Transaction(token)) = self.keys.response_branch(&self.reply) else {
            return Err(Fault("a reply has no branch of ours"));
        };
        let found = self.layer.match_response(token, &self.reply);
        if found.is_some_and(|found| found.fresh) {
            Ok(token)
        } else {
            Err(Fault("a reply has no transaction"))
        }
    }

    /// Sends the reply back.
    #[inline]
    pub(crate) fn relay(&mut self, token: BranchToken, relay: Relay) -> Result<(), Fault> {
        self.layer.response(self.now_ms, token, &self.reply, relay, &mut self.effects);
        let is_sent = self.effects.iter().any(|effect| matches!(effect, Effect::Send { branch: None, .. }));
        self.effects.clear();
        if is_sent { Ok(()) } else { Err(Fault("a reply was not sent on")) }
    }
}

/// What is answered to what was forwarded, with these header lines more.
pub(crate) fn answer(
    forwarded: &[u8],
    (status, reason): (u16, &[u8]),
    lines: impl FnOnce(&Message) -> Vec<u8>,
) -> Result<Vec<u8>, Fault> {
    let request = Message::parse(forwarded.to_vec()).map_err(|_| Fault("what was forwarded is not sound"))?;
    let lines = lines(&request);
    let mut reply = Vec::new();
    let response = seawall_sip::build::Response {
        to_tag: Some(b"other"),
        extra_headers: [&lines, b"", b""],
        ..seawall_sip::build::Response::new(status, reason)
    };
    response.write(&request, &mut reply);
    Ok(reply)
}
