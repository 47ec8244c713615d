//! A REGISTER at a mid-registrar, without a network. One that is absorbed: scan, checks, the decision, the 200 OK. One that goes
//! on to a main registrar: a transaction, the request as it is sent, its 200 on the way back, and what that grants.

use std::net::SocketAddr;
use std::sync::Arc;

use seawall_location::{Domain, NameId};
use seawall_registrar::methods::Memo;
use seawall_registrar::mid::{
    Decision, Main, Mid, Mode, Pending, Place, Request as MidRequest, Settings, Upstream,
};
use seawall_registrar::{Familiar, Policy, SaveFlags};
use seawall_sip::{Message, Name};
use seawall_transaction::proxy::forward::MaxForwards;
use seawall_transaction::proxy::reply;
use seawall_transaction::{Relay, Request};

use crate::Fault;
use crate::register::{NOW_S, USERS, is_own, location, source, text, write_answer};
use crate::wire::{HOST_PORT, Peer, Wire, answer};

/// Where the main registrar reaches us.
const PLACE: Place<'_> = Place { host_port: HOST_PORT, transport: b"" };

/// What phones are granted where their refreshes are absorbed, seconds. The main registrar grants an hour.
const ABSORBED_S: u32 = 60;

/// Refreshes in contact mode, of which each is forwarded, because the main registrar's interval is as long as the phone's.
pub(crate) fn forwarded(count: u32) -> Result<(), Fault> {
    forward(count, Mode::Contact)
}

/// The same in AoR mode.
pub(crate) fn forwarded_aor(count: u32) -> Result<(), Fault> {
    forward(count, Mode::Aor)
}

fn forward(count: u32, mode: Mode) -> Result<(), Fault> {
    let location = location();
    let domain = location.declare("location").ok_or(Fault("there is no table"))?;
    let upstream = Upstream::new([5; 16]).asking(domain.asker());
    let mut front = Front::new(&domain, &upstream, mode, Policy::default());
    front.register_all()?;
    for number in 0..count {
        front.wire.step();
        let forwarded = front.measured_request(text(number % USERS, 2 + number / USERS))?;
        front.measured_reply(granted(&forwarded)?)?;
    }
    Ok(())
}

/// Refreshes in contact mode, of which each is absorbed, because the main registrar's interval is longer.
pub(crate) fn absorbed(count: u32) -> Result<(), Fault> {
    let location = location();
    let domain = location.declare("location").ok_or(Fault("there is no table"))?;
    let upstream = Upstream::new([5; 16]).asking(domain.asker());
    let policy = Policy { max_expires_s: ABSORBED_S, ..Policy::default() };
    let mut front = Front::new(&domain, &upstream, Mode::Contact, policy);
    front.outgoing_expires_s = Some(3600);
    front.register_all()?;
    // The first one that is absorbed is read, since the last one was forwarded.
    for user in 0..USERS {
        front.wire.step();
        front.absorb(text(user, 2))?;
    }
    for number in 0..count {
        front.wire.step();
        front.measured_absorbed(text(number % USERS, 3 + number / USERS))?;
    }
    Ok(())
}

/// What the main registrar says: it lists the contact as it came.
fn granted(forwarded: &[u8]) -> Result<Vec<u8>, Fault> {
    answer(forwarded, (200, b"OK"), |request| {
        [b"Contact: ", request.value(Name::Contact).unwrap_or_default(), b"\r\n"].concat()
    })
}

struct Front<'a> {
    domain: &'a Domain,
    upstream: &'a Upstream,
    policy: Policy,
    settings: Settings,
    outgoing_expires_s: Option<u32>,
    flags: SaveFlags,
    allow: Memo,
    familiar: Familiar,
    socket: NameId,
    wire: Wire,
    lines: Vec<u8>,
    answered: Vec<u8>,
    /// The request that is on its way.
    pending: Option<(Box<Pending>, Arc<Request<Peer>>)>,
}

impl<'a> Front<'a> {
    fn new(domain: &'a Domain, upstream: &'a Upstream, mode: Mode, policy: Policy) -> Self {
        Front {
            domain,
            upstream,
            policy,
            settings: Settings { mode, ..Settings::default() },
            outgoing_expires_s: None,
            flags: SaveFlags::default(),
            allow: Memo::default(),
            familiar: Familiar::new(1),
            socket: domain.names().intern(b"udp:127.0.0.1:5060").unwrap_or(NameId::NONE),
            wire: Wire::new(),
            lines: Vec::new(),
            answered: Vec::new(),
            pending: None,
        }
    }

    /// The first REGISTER of every user, which is forwarded and granted.
    fn register_all(&mut self) -> Result<(), Fault> {
        for user in 0..USERS {
            self.wire.step();
            let forwarded = self.request(text(user, 1))?;
            self.reply(granted(&forwarded)?)?;
        }
        Ok(())
    }

    /// What is counted of a REGISTER that is forwarded.
    #[inline(never)]
    fn measured_request(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
        self.request(bytes)
    }

    /// What is counted of its answer.
    #[inline(never)]
    fn measured_reply(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        self.reply(bytes)
    }

    /// What is counted of a REGISTER that is absorbed.
    #[inline(never)]
    fn measured_absorbed(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        self.absorb(bytes)
    }

    fn absorb(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        self.wire.take_request(bytes)?;
        let Decision::Answered(outcome) = self.decide() else {
            return Err(Fault("a REGISTER was forwarded"));
        };
        self.answered.clear();
        write_answer(&self.wire.message, &outcome, &self.lines, &mut self.answered);
        if outcome.status == 200 && outcome.changed { Ok(()) } else { Err(Fault("a REGISTER was refused")) }
    }

    /// Forwards a REGISTER; gives what was sent.
    fn request(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let key = self.wire.take_request(bytes)?;
        let Decision::Forward(mut pending) = self.decide() else {
            return Err(Fault("a REGISTER was answered here"));
        };
        let opened = self.wire.open(&key, 40_000)?;
        self.mid().departs(&mut pending);
        let message = &opened.request.message;
        pending.edit(message, &self.settings, &self.policy, PLACE, &mut self.wire.edits);
        let sent = self.wire.forward(&opened, None, MaxForwards::Keep)?;
        self.pending = Some((pending, opened.request));
        Ok(sent)
    }

    fn decide(&mut self) -> Decision {
        self.lines.clear();
        let mut lines = std::mem::take(&mut self.lines);
        let request = MidRequest {
            message: &self.wire.message,
            aor: None,
            flags: &self.flags,
            source: source(self.socket),
            outgoing_expires_s: self.outgoing_expires_s,
            extra: b"",
            authenticated: false,
            holds_back: &|| false,
            allow: Some(&self.allow),
            familiar: Some(&self.familiar),
        };
        let decision = self.mid().request(&request, &mut lines, &mut ());
        self.lines = lines;
        decision
    }

    fn mid(&self) -> Mid<'_> {
        Mid {
            now_s: NOW_S,
            policy: &self.policy,
            settings: &self.settings,
            domain: self.domain,
            upstream: self.upstream,
            is_own: &is_own,
        }
    }

    /// Takes the answer of the main registrar and sends the client's.
    fn reply(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        let token = self.wire.take_reply(bytes)?;
        let edited = self.accept()?;
        self.wire.relay(token, Relay::Edited(edited.into()))
    }

    /// What is granted holds here too. Gives the client's answer.
    fn accept(&mut self) -> Result<Vec<u8>, Fault> {
        let (pending, request) = self.pending.take().ok_or(Fault("nobody waits for an answer"))?;
        let main = Main {
            socket: self.socket,
            peer: SocketAddr::from(([127, 0, 0, 1], 5070)),
            uri: request.message.request_uri().into(),
        };
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        let response: &Message = &self.wire.reply;
        let outcome =
            self.mid().accepted(&request.message, &pending, response, &main, PLACE, &mut lines, &mut ());
        let edits = &mut self.wire.edits;
        for name in [Name::Contact, Name::Expires, Name::Path] {
            for header in response.header_all(name) {
                edits.remove_header(&header);
            }
        }
        edits.append_lines(response, &lines);
        self.lines = lines;
        if let Some(via) = reply::top_via_extent(response) {
            edits.delete(via);
        }
        let mut out = Vec::with_capacity(1024);
        edits.write(response, &mut out);
        edits.clear();
        if outcome.status == 200 && outcome.changed { Ok(out) } else { Err(Fault("nothing was granted")) }
    }
}
