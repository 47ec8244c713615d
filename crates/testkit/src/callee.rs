//! A user agent that is called.

use std::{collections::BTreeMap, net::SocketAddr};

use seawall_sip::{Message, Method, Name, Via, build::Response};

use crate::agent::{Agent, NEVER, Outbox, Repeated, T2_MS, cseq_number};

/// What a phone does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It takes the call after so many milliseconds of ringing.
    Take {
        /// How long it rings.
        ring_ms: u64,
    },
    /// It refuses with this status after so many milliseconds of ringing.
    Refuse {
        /// How long it rings.
        ring_ms: u64,
        /// The status.
        status: u16,
    },
    /// It is switched off.
    Silent,
}

/// A phone. It answers INVITE, ACK, CANCEL and BYE, repeats its final responses until the ACK, and remembers what it
/// has answered.
#[derive(Debug)]
pub struct Callee {
    address: SocketAddr,
    answer: Answer,
    calls: BTreeMap<Vec<u8>, Call>,
    unexpected: Vec<String>,
}

#[derive(Debug)]
struct Call {
    peer: SocketAddr,
    invite: Message,
    branch: Vec<u8>,
    answer_ms: u64,
    last: Vec<u8>,
    status: u16,
    repeated: Option<Repeated>,
    acknowledged: bool,
    hung_up: bool,
}

impl Callee {
    /// A phone at an address.
    #[must_use]
    pub fn new(address: SocketAddr, answer: Answer) -> Callee {
        Callee { address, answer, calls: BTreeMap::new(), unexpected: Vec::new() }
    }

    /// Number of calls that it has taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.calls.values().filter(|call| (200..300).contains(&call.status)).count()
    }

    /// Number of calls that it has taken and whose ACK has come.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.calls.values().filter(|call| (200..300).contains(&call.status) && call.acknowledged).count()
    }

    /// Number of calls that it has taken and whose caller was heard of again: by ACK, or by a BYE that came while the
    /// ACK was still being lost.
    #[must_use]
    pub fn reached(&self) -> usize {
        let is_it = |call: &&Call| (200..300).contains(&call.status) && (call.acknowledged || call.hung_up);
        self.calls.values().filter(is_it).count()
    }

    /// Number of calls that were ended by BYE.
    #[must_use]
    pub fn hung_up(&self) -> usize {
        self.calls.values().filter(|call| call.hung_up).count()
    }

    /// Number of calls that still ring.
    #[must_use]
    pub fn ringing(&self) -> usize {
        self.calls.values().filter(|call| call.status < 200).count()
    }

    /// What came that should not have come.
    #[must_use]
    pub fn unexpected(&self) -> &[String] {
        &self.unexpected
    }

    fn respond(&self, request: &Message, status: u16) -> Vec<u8> {
        let contact = format!("Contact: <sip:phone@{}>\r\n", self.address);
        let tag = format!("t{}", self.address.port());
        let mut out = Vec::new();
        let reason: &[u8] = if status < 300 { b"OK" } else { b"No" };
        let response = Response::new(status, reason);
        Response { to_tag: Some(tag.as_bytes()), extra_headers: [contact.as_bytes(), b"", b""], ..response }
            .write(request, &mut out);
        out
    }

    fn invite(&mut self, now_ms: u64, from: SocketAddr, request: Message, out: &mut Outbox) {
        let id = call_id(&request);
        let branch = branch(&request);
        if let Some(call) = self.calls.get(&id) {
            if call.branch != branch {
                self.unexpected.push("the same INVITE over another branch".to_owned());
            } else if !call.acknowledged {
                out.push((call.peer, call.last.clone()));
            }
            return;
        }
        let ring_ms = match self.answer {
            Answer::Silent => return,
            Answer::Take { ring_ms } | Answer::Refuse { ring_ms, .. } => ring_ms,
        };
        let last = self.respond(&request, 180);
        out.push((from, last.clone()));
        let answer_ms = now_ms + ring_ms;
        let call = Call {
            peer: from,
            invite: request,
            branch,
            answer_ms,
            last,
            status: 180,
            repeated: None,
            acknowledged: false,
            hung_up: false,
        };
        self.calls.insert(id, call);
    }

    /// Sends the final response to an INVITE and repeats it until the ACK.
    fn finish(&mut self, now_ms: u64, id: &[u8], status: u16, out: &mut Outbox) {
        let Some(call) = self.calls.get(id) else { return };
        let bytes = self.respond(&call.invite, status);
        let Some(call) = self.calls.get_mut(id) else { return };
        call.answer_ms = NEVER;
        call.status = status;
        call.last.clone_from(&bytes);
        call.repeated = Some(Repeated::start(now_ms, call.peer, bytes, T2_MS, out));
    }

    fn cancel(&mut self, now_ms: u64, from: SocketAddr, request: &Message, out: &mut Outbox) {
        let id = call_id(request);
        let known = self.calls.get(&id).filter(|call| call.branch == branch(request));
        let Some(call) = known else {
            out.push((from, self.respond(request, 481)));
            return;
        };
        let ringing = call.status < 200;
        out.push((from, self.respond(request, 200)));
        if ringing {
            self.finish(now_ms, &id, 487, out);
        }
    }

    fn acknowledge(&mut self, request: &Message) {
        let Some(call) = self.calls.get_mut(&call_id(request)) else {
            self.unexpected.push("an ACK without a call".to_owned());
            return;
        };
        if call.status < 200 || cseq_number(request) != cseq_number(&call.invite) {
            self.unexpected.push("an ACK before the final response".to_owned());
        }
        call.acknowledged = true;
        call.repeated = None;
    }

    fn bye(&mut self, from: SocketAddr, request: &Message, out: &mut Outbox) {
        let status = match self.calls.get_mut(&call_id(request)) {
            Some(call) if (200..300).contains(&call.status) => {
                call.hung_up = true;
                // A BYE proves that the 200 has arrived.
                call.repeated = None;
                200
            }
            _ => 481,
        };
        out.push((from, self.respond(request, status)));
    }
}

impl Agent for Callee {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn receive(&mut self, now_ms: u64, from: SocketAddr, bytes: &[u8], out: &mut Outbox) {
        let Ok(request) = Message::parse(bytes.to_vec()) else {
            self.unexpected.push("something that is not SIP".to_owned());
            return;
        };
        match request.method_id() {
            _ if !request.is_request() => self.unexpected.push("a response".to_owned()),
            Method::Invite => self.invite(now_ms, from, request, out),
            Method::Ack => self.acknowledge(&request),
            Method::Cancel => self.cancel(now_ms, from, &request, out),
            Method::Bye => self.bye(from, &request, out),
            _ if self.answer == Answer::Silent => {}
            _ => out.push((from, self.respond(&request, 200))),
        }
    }

    fn next_ms(&self) -> u64 {
        let due = |call: &Call| call.answer_ms.min(call.repeated.as_ref().map_or(NEVER, Repeated::due_ms));
        self.calls.values().map(due).min().unwrap_or(NEVER)
    }

    fn timeout(&mut self, now_ms: u64, out: &mut Outbox) {
        let mut due: Vec<Vec<u8>> = Vec::new();
        for (id, call) in &mut self.calls {
            if call.answer_ms <= now_ms {
                due.push(id.clone());
            } else if call.repeated.as_mut().is_some_and(|repeated| !repeated.tick(now_ms, call.peer, out)) {
                call.repeated = None;
            }
        }
        due.sort();
        for id in due {
            match self.answer {
                Answer::Take { .. } => self.finish(now_ms, &id, 200, out),
                Answer::Refuse { status, .. } => self.finish(now_ms, &id, status, out),
                Answer::Silent => {}
            }
        }
    }
}

fn call_id(message: &Message) -> Vec<u8> {
    message.value(Name::CallId).unwrap_or_default().to_vec()
}

fn branch(message: &Message) -> Vec<u8> {
    Via::top(message).ok().and_then(|via| via.branch()).unwrap_or_default().to_vec()
}
