//! A request to a registered user without a network: scan, checks, `lookup()`, a transaction, what is forwarded, and the
//! replies on their way back.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use seawall_location::Domain;
use seawall_registrar::{Aor, Found, Lookup, LookupFlags, Policy, Targets, aor};
use seawall_sip::build::Response;
use seawall_sip::{Edits, Framing, Habits, Message, Method, ViaFix, validate};
use seawall_transaction::proxy::forward::{Forward, MaxForwards, ViaLine};
use seawall_transaction::{
    Effect, Effects, Keys, Layer, NewBranch, OwnBranch, Relay, Request, RequestMatch, Target, Timers,
};

use crate::Fault;
use crate::register::{NOW_S, Registrar, USERS, location, text};

/// Between two requests, milliseconds: so many transactions are kept as at a hundred requests a second.
pub(crate) const STEP_MS: u64 = 10;

/// MESSAGEs, each answered 200.
pub(crate) fn message(count: u32) -> Result<(), Fault> {
    run(count, b"MESSAGE", &[(200, b"OK")])
}

/// INVITEs, each answered 180 and 200.
pub(crate) fn invite(count: u32) -> Result<(), Fault> {
    run(count, b"INVITE", &[(180, b"Ringing"), (200, b"OK")])
}

fn run(count: u32, method: &[u8], replies: &[(u16, &[u8])]) -> Result<(), Fault> {
    let location = location();
    let domain = location.declare("location").ok_or(Fault("there is no table"))?;
    let mut registrar = Registrar::new(&domain);
    (0..USERS).try_for_each(|user| registrar.serve(text(user, 1)))?;
    let mut proxy = Proxy::new(&domain);
    for number in 0..count {
        proxy.now_ms += STEP_MS;
        let forwarded = proxy.measured_request(request(method, number, number % USERS))?;
        for (status, reason) in replies {
            let reply = answer(&forwarded, *status, reason)?;
            proxy.measured_reply(reply)?;
        }
    }
    Ok(())
}

fn request(method: &[u8], number: u32, user: u32) -> Vec<u8> {
    let method = String::from_utf8_lossy(method);
    format!(
        "{method} sip:u{user:08}@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:40001;branch=z9hG4bK{number:08x}.0001.b;rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:caller@example.com>;tag=c{number:08x}\r\n\
         To: <sip:u{user:08}@example.com>\r\n\
         Call-ID: {number:08x}-asks-71c2@127.0.0.1\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:caller@127.0.0.1:40001>\r\n\
         User-Agent: Phone/1.0 (a name of usual length)\r\n\
         Content-Type: text/plain\r\n\
         Content-Length: 5\r\n\r\nhello"
    )
    .into_bytes()
}

/// What the phone says to what was forwarded.
fn answer(forwarded: &[u8], status: u16, reason: &[u8]) -> Result<Vec<u8>, Fault> {
    let request = Message::parse(forwarded.to_vec()).map_err(|_| Fault("what was forwarded is not sound"))?;
    let mut reply = Vec::new();
    Response { to_tag: Some(b"phone"), ..Response::new(status, reason) }.write(&request, &mut reply);
    Ok(reply)
}

/// Where everything goes: nowhere, by UDP.
#[derive(Clone, Copy)]
pub(crate) struct Peer;

impl Target for Peer {
    fn is_reliable(&self) -> bool {
        false
    }
}

struct Proxy<'a> {
    domain: &'a Domain,
    policy: Policy,
    flags: LookupFlags,
    keys: Keys,
    layer: Layer<(), Peer>,
    message: Message,
    habits: Habits,
    reply: Message,
    targets: Targets,
    edits: Edits,
    effects: Effects<(), Peer>,
    now_ms: u64,
}

impl<'a> Proxy<'a> {
    fn new(domain: &'a Domain) -> Self {
        let keys = Keys::new([9; 16]);
        Proxy {
            domain,
            policy: Policy::default(),
            flags: LookupFlags::default(),
            layer: Layer::new(0, keys, Timers::default()),
            keys,
            message: Message::empty(),
            habits: Habits::default(),
            reply: Message::empty(),
            targets: Targets::default(),
            edits: Edits::default(),
            effects: Vec::new(),
            now_ms: NOW_S * 1000,
        }
    }

    /// What is counted of a request. Gives what was forwarded.
    #[inline(never)]
    fn measured_request(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let now_ms = self.now_ms;
        self.layer.timeout(now_ms, &mut self.effects);
        self.effects.clear();
        *self.message.buffer_mut() = bytes;
        let is_scanned = self.message.scan_by_habit(Framing::Datagram, &mut self.habits).is_ok();
        if !is_scanned || validate::request(&self.message).is_err() {
            return Err(Fault("a request is not sound"));
        }
        let key = self.keys.server_key(&self.message).ok_or(Fault("a request has no key"))?;
        if self.layer.request(now_ms, &key, &self.message, &mut self.effects) != RequestMatch::New {
            return Err(Fault("a request is not new"));
        }
        self.look_up()?;
        let via_fix = Some(ViaFix { received: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), rport: Some(40_001) });
        let request = Arc::new(Request { message: self.message.clone(), reply_to: Peer, via_fix });
        let created = self.layer.create(now_ms, &key, Arc::clone(&request), (), &mut self.effects);
        let id = created.map_err(|_| Fault("there is no transaction"))?;
        let index = self.layer.next_branch(id).map_err(|_| Fault("there is no branch"))?;
        let mut branch = Vec::new();
        self.keys.write_branch(id.branch(index), self.keys.path_hash(&request.message), &mut branch);
        let uri = self.targets.iter().next().map(|target| target.uri).ok_or(Fault("nobody was found"))?;
        let via = ViaLine { transport: b"UDP", sent_by: b"127.0.0.1:5060", branch: &branch, rport: false };
        let forward = Forward {
            via,
            request_uri: Some(uri),
            via_fix,
            max_forwards: MaxForwards::Decrement,
            first_headers: b"",
        };
        let mut bytes = Vec::with_capacity(1024);
        forward.write(&request.message, &mut self.edits, &mut bytes);
        self.edits.clear();
        let new = [NewBranch { index, target: Peer, bytes, timeouts_ms: None }];
        self.layer
            .forward(now_ms, id, new, &mut self.effects)
            .map_err(|_| Fault("a request was not forwarded"))?;
        let sent = self.effects.drain(..).find_map(|effect| match effect {
            Effect::Send { bytes, branch: Some(_), .. } => Some(bytes),
            _ => None,
        });
        sent.map(|bytes| bytes.as_ref().clone()).ok_or(Fault("nothing was sent"))
    }

    fn look_up(&mut self) -> Result<(), Fault> {
        let mut name = Aor::new();
        aor::canonical_text(self.message.request_uri(), &self.policy, &mut name)
            .map_err(|_| Fault("there is no address of record"))?;
        let lookup = Lookup {
            now_s: NOW_S,
            policy: &self.policy,
            flags: &self.flags,
            domain: self.domain,
            method: self.message.method_id(),
            user_agent: None,
        };
        self.targets.clear();
        match lookup.run(&name, &mut self.targets) {
            Found::Contacts(1) => Ok(()),
            _ => Err(Fault("the user was not found")),
        }
    }

    /// What is counted of a reply.
    #[inline(never)]
    fn measured_reply(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        *self.reply.buffer_mut() = bytes;
        let is_scanned = self.reply.scan_by_habit(Framing::Datagram, &mut self.habits).is_ok();
        if !is_scanned || validate::response(&self.reply).is_err() {
            return Err(Fault("a reply is not sound"));
        }
        let Some(OwnBranch::Transaction(token)) = self.keys.response_branch(&self.reply) else {
            return Err(Fault("a reply has no branch of ours"));
        };
        let found =
            self.layer.match_response(token, &self.reply).ok_or(Fault("a reply has no transaction"))?;
        if !found.fresh || self.reply.method_id() == Method::Other {
            return Err(Fault("a reply is not fresh"));
        }
        self.layer.response(self.now_ms, token, &self.reply, Relay::AsReceived, &mut self.effects);
        let is_sent = self.effects.iter().any(|effect| matches!(effect, Effect::Send { branch: None, .. }));
        self.effects.clear();
        if is_sent { Ok(()) } else { Err(Fault("a reply was not sent on")) }
    }
}
