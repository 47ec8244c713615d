//! A REGISTER that goes on to a main registrar, without a network: scan, checks, the mid-registrar's decision, a transaction,
//! the request as it is sent, its 200 on the way back, and what that grants.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use seawall_location::{Domain, NameId};
use seawall_registrar::methods::Memo;
use seawall_registrar::mid::{
    Decision, Main, Mid, Mode, Pending, Place, Request as MidRequest, Settings, Upstream,
};
use seawall_registrar::{Added, Familiar, Policy, SaveFlags, Source};
use seawall_sip::build::Response;
use seawall_sip::{Edits, Framing, Habits, Message, Name, Uri, ViaFix, validate};
use seawall_transaction::proxy::forward::{Forward, MaxForwards, ViaLine};
use seawall_transaction::proxy::reply;
use seawall_transaction::{Effect, Effects, Keys, Layer, NewBranch, OwnBranch, Relay, Request, Timers};

use crate::Fault;
use crate::register::{NOW_S, USERS, location, text};
use crate::relay::{Peer, STEP_MS};

/// Where the main registrar reaches us.
const PLACE: Place<'_> = Place { host_port: b"127.0.0.1:5060", transport: b"" };

/// Refreshes in contact mode, of which each is forwarded, because the main registrar's interval is as long as the phone's.
pub(crate) fn forwarded(count: u32) -> Result<(), Fault> {
    run(count, Mode::Contact)
}

/// The same in AoR mode.
pub(crate) fn forwarded_aor(count: u32) -> Result<(), Fault> {
    run(count, Mode::Aor)
}

fn run(count: u32, mode: Mode) -> Result<(), Fault> {
    let location = location();
    let domain = location.declare("location").ok_or(Fault("there is no table"))?;
    let upstream = Upstream::new([5; 16]).asking(domain.asker());
    let mut front = Front::new(&domain, &upstream, mode);
    for user in 0..USERS {
        front.now_ms += STEP_MS;
        let forwarded = front.request(text(user, 1))?;
        front.reply(answer(&forwarded)?)?;
    }
    for number in 0..count {
        front.now_ms += STEP_MS;
        let forwarded = front.measured_request(text(number % USERS, 2 + number / USERS))?;
        let reply = answer(&forwarded)?;
        front.measured_reply(reply)?;
    }
    Ok(())
}

/// What the main registrar says: it lists the contact as it came.
fn answer(forwarded: &[u8]) -> Result<Vec<u8>, Fault> {
    let request = Message::parse(forwarded.to_vec()).map_err(|_| Fault("what was forwarded is not sound"))?;
    let contact = request.value(Name::Contact).ok_or(Fault("what was forwarded has no contact"))?;
    let line = [b"Contact: ", contact, b"\r\n"].concat();
    let mut reply = Vec::new();
    let response =
        Response { to_tag: Some(b"main"), extra_headers: [&line, b"", b""], ..Response::new(200, b"OK") };
    response.write(&request, &mut reply);
    Ok(reply)
}

struct Front<'a> {
    domain: &'a Domain,
    upstream: &'a Upstream,
    policy: Policy,
    settings: Settings,
    flags: SaveFlags,
    allow: Memo,
    familiar: Familiar,
    socket: NameId,
    keys: Keys,
    layer: Layer<(), Peer>,
    message: Message,
    habits: Habits,
    response: Message,
    lines: Vec<u8>,
    edits: Edits,
    effects: Effects<(), Peer>,
    /// The request that is on its way.
    pending: Option<(Box<Pending>, Arc<Request<Peer>>)>,
    now_ms: u64,
}

impl<'a> Front<'a> {
    fn new(domain: &'a Domain, upstream: &'a Upstream, mode: Mode) -> Self {
        let keys = Keys::new([9; 16]);
        Front {
            domain,
            upstream,
            policy: Policy::default(),
            settings: Settings { mode, ..Settings::default() },
            flags: SaveFlags::default(),
            allow: Memo::default(),
            familiar: Familiar::new(1),
            socket: domain.names().intern(b"udp:127.0.0.1:5060").unwrap_or(NameId::NONE),
            layer: Layer::new(0, keys, Timers::default()),
            keys,
            message: Message::empty(),
            habits: Habits::default(),
            response: Message::empty(),
            lines: Vec::new(),
            edits: Edits::default(),
            effects: Vec::new(),
            pending: None,
            now_ms: NOW_S * 1000,
        }
    }

    /// What is counted of a REGISTER.
    #[inline(never)]
    fn measured_request(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
        self.request(bytes)
    }

    /// What is counted of its answer.
    #[inline(never)]
    fn measured_reply(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        self.reply(bytes)
    }

    /// Forwards a REGISTER; gives what was sent.
    fn request(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let now_ms = self.now_ms;
        self.layer.timeout(now_ms, &mut self.effects);
        self.effects.clear();
        *self.message.buffer_mut() = bytes;
        let is_scanned = self.message.scan_by_habit(Framing::Datagram, &mut self.habits).is_ok();
        if !is_scanned || validate::request(&self.message).is_err() {
            return Err(Fault("a REGISTER is not sound"));
        }
        let mut pending = self.decide()?;
        let key = self.keys.server_key(&self.message).ok_or(Fault("a REGISTER has no key"))?;
        let via_fix = Some(ViaFix { received: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), rport: Some(40_000) });
        let request = Arc::new(Request { message: self.message.clone(), reply_to: Peer, via_fix });
        let created = self.layer.create(now_ms, &key, Arc::clone(&request), (), &mut self.effects);
        let id = created.map_err(|_| Fault("there is no transaction"))?;
        let index = self.layer.next_branch(id).map_err(|_| Fault("there is no branch"))?;
        let mut branch = Vec::new();
        self.keys.write_branch(id.branch(index), self.keys.path_hash(&request.message), &mut branch);
        self.mid().departs(&mut pending);
        pending.edit(&request.message, &self.settings, &self.policy, PLACE, &mut self.edits);
        let via = ViaLine { transport: b"UDP", sent_by: PLACE.host_port, branch: &branch, rport: false };
        let forward =
            Forward { via, request_uri: None, via_fix, max_forwards: MaxForwards::Keep, first_headers: b"" };
        let mut bytes = Vec::with_capacity(1024);
        forward.write(&request.message, &mut self.edits, &mut bytes);
        self.edits.clear();
        let new = [NewBranch { index, target: Peer, bytes, timeouts_ms: None }];
        self.layer
            .forward(now_ms, id, new, &mut self.effects)
            .map_err(|_| Fault("a REGISTER was not forwarded"))?;
        self.pending = Some((pending, request));
        let sent = self.effects.drain(..).find_map(|effect| match effect {
            Effect::Send { bytes, branch: Some(_), .. } => Some(bytes),
            _ => None,
        });
        sent.map(|bytes| bytes.as_ref().clone()).ok_or(Fault("nothing was sent"))
    }

    fn decide(&mut self) -> Result<Box<Pending>, Fault> {
        self.lines.clear();
        let mut lines = std::mem::take(&mut self.lines);
        let request = MidRequest {
            message: &self.message,
            aor: None,
            flags: &self.flags,
            source: Source {
                received: b"",
                socket: self.socket,
                peer: (SocketAddr::from(([127, 0, 0, 1], 40_000)), b"udp"),
                host_port: PLACE.host_port,
                flags: 0,
                cflags: 0,
                attr: b"",
                ownership_tag: NameId::NONE,
                is_own: &is_own,
                random: 0,
                unproven: Some(Added { needed: 0, optional: 70 }),
            },
            outgoing_expires_s: None,
            extra: b"",
            authenticated: false,
            holds_back: &|| false,
            allow: Some(&self.allow),
            familiar: Some(&self.familiar),
        };
        let decision = self.mid().request(&request, &mut lines, &mut ());
        self.lines = lines;
        match decision {
            Decision::Forward(pending) => Ok(pending),
            Decision::Answered(_) => Err(Fault("a REGISTER was answered here")),
        }
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
        *self.response.buffer_mut() = bytes;
        let is_scanned = self.response.scan_by_habit(Framing::Datagram, &mut self.habits).is_ok();
        if !is_scanned || validate::response(&self.response).is_err() {
            return Err(Fault("an answer is not sound"));
        }
        let Some(OwnBranch::Transaction(token)) = self.keys.response_branch(&self.response) else {
            return Err(Fault("an answer has no branch of ours"));
        };
        let found = self.layer.match_response(token, &self.response);
        if !found.is_some_and(|found| found.fresh) {
            return Err(Fault("an answer has no transaction"));
        }
        let edited = self.accept()?;
        let relay = Relay::Edited(edited);
        self.layer.response(self.now_ms, token, &self.response, relay, &mut self.effects);
        let is_sent = self.effects.iter().any(|effect| matches!(effect, Effect::Send { branch: None, .. }));
        self.effects.clear();
        if is_sent { Ok(()) } else { Err(Fault("an answer was not sent on")) }
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
        let outcome = self.mid().accepted(
            &request.message,
            &pending,
            &self.response,
            &main,
            PLACE,
            &mut lines,
            &mut (),
        );
        for name in [Name::Contact, Name::Expires, Name::Path] {
            for header in self.response.header_all(name) {
                self.edits.remove_header(&header);
            }
        }
        self.edits.append_lines(&self.response, &lines);
        self.lines = lines;
        if let Some(via) = reply::top_via_extent(&self.response) {
            self.edits.delete(via);
        }
        let mut out = Vec::with_capacity(1024);
        self.edits.write(&self.response, &mut out);
        self.edits.clear();
        if outcome.status == 200 && outcome.changed { Ok(out) } else { Err(Fault("nothing was granted")) }
    }
}

/// Whether a URI is one of ours.
fn is_own(uri: &Uri<'_>) -> bool {
    uri.port == Some(5060)
}
