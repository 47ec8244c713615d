//! A user agent that calls.

use std::net::SocketAddr;

use seawall_sip::{Message, Method, Name, name_addr};

use crate::agent::{Agent, NEVER, Outbox, Repeated, T2_MS};

/// What a caller is going to do. All times in milliseconds.
#[derive(Clone, Debug)]
pub struct CallerPlan {
    /// Its address.
    pub address: SocketAddr,
    /// Where it sends everything.
    pub proxy: SocketAddr,
    /// The user part of its own address, its tags and its Call-ID; has to be unique.
    pub name: String,
    /// Whom it calls.
    pub request_uri: String,
    /// When it calls.
    pub starts_ms: u64,
    /// After what time it gives up by CANCEL; never if `None`.
    pub cancel_after_ms: Option<u64>,
    /// How long it talks before it hangs up.
    pub talk_ms: u64,
}

/// How a call ended for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has not ended.
    UnderWay,
    /// There was no final response to INVITE.
    NoAnswer,
    /// It was refused with this status.
    Refused(u16),
    /// It was taken, and the BYE was answered with this status.
    HungUp(u16),
    /// It was taken, and the BYE was not answered.
    ByeUnanswered,
}

/// A caller. One INVITE transaction, then one of BYE; ACKs are repeated as RFC 3261 §13.2.2.4 wants.
#[derive(Debug)]
pub struct Caller {
    plan: CallerPlan,
    outcome: Outcome,
    invite: Option<Repeated>,
    bye: Option<Repeated>,
    cancel: Option<Repeated>,
    /// When to give up; when to hang up.
    cancel_ms: u64,
    hang_up_ms: u64,
    provisional: bool,
    cancelled: bool,
    /// To with its tag, and the Contact, of each call that was taken.
    dialogs: Vec<(String, String)>,
}

impl Caller {
    /// A caller that waits for its time.
    #[must_use]
    pub fn new(plan: CallerPlan) -> Caller {
        Caller {
            plan,
            outcome: Outcome::UnderWay,
            invite: None,
            bye: None,
            cancel: None,
            cancel_ms: NEVER,
            hang_up_ms: NEVER,
            provisional: false,
            cancelled: false,
            dialogs: Vec::new(),
        }
    }

    /// How the call ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Number of different phones that took the call.
    #[must_use]
    pub fn dialogs(&self) -> usize {
        self.dialogs.len()
    }

    fn request(&self, method: &str, uri: &str, to: &str, branch: &str, number: u32) -> Vec<u8> {
        let (name, address) = (&self.plan.name, self.plan.address);
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{name}{branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{name}@example.org>;tag={name}\r\nTo: {to}\r\n\
             Call-ID: {name}@{}\r\nCSeq: {number} {method}\r\nContact: <sip:{name}@{address}>\r\n\
             Content-Length: 0\r\n\r\n",
            address.ip()
        )
        .into_bytes()
    }

    fn plain_to(&self) -> String {
        format!("<{}>", self.plan.request_uri)
    }

    fn invite_answered(&mut self, now_ms: u64, response: &Message, out: &mut Outbox) {
        let status = response.status();
        let to = String::from_utf8_lossy(response.value(Name::To).unwrap_or_default()).into_owned();
        if status < 200 {
            self.provisional = true;
            if let Some(invite) = &mut self.invite {
                (invite.next_ms, invite.ends_ms) = (NEVER, NEVER);
            }
            self.give_up_if_due(now_ms, out);
        } else if status < 300 {
            self.invite = None;
            self.taken(now_ms, response, to, out);
        } else {
            let ack = self.request("ACK", &self.plan.request_uri, &to, "invite", 1);
            out.push((self.plan.proxy, ack));
            if self.invite.take().is_some() && self.dialogs.is_empty() {
                self.outcome = Outcome::Refused(status);
            }
        }
    }

    fn taken(&mut self, now_ms: u64, response: &Message, to: String, out: &mut Outbox) {
        let contact = name_addr::address(response, Name::Contact).map_or(&b""[..], |contact| contact.uri);
        let contact = String::from_utf8_lossy(contact).into_owned();
        let branch = format!("ack{}", self.dialogs.iter().position(|(known, _)| *known == to).unwrap_or(9));
        out.push((self.plan.proxy, self.request("ACK", &contact, &to, &branch, 1)));
        if self.dialogs.iter().all(|(known, _)| *known != to) {
            self.dialogs.push((to, contact));
        }
        if self.hang_up_ms == NEVER && self.bye.is_none() && self.outcome == Outcome::UnderWay {
            self.hang_up_ms = now_ms + self.plan.talk_ms;
        }
    }

    fn give_up_if_due(&mut self, now_ms: u64, out: &mut Outbox) {
        if now_ms < self.cancel_ms || !self.provisional || self.cancelled || self.invite.is_none() {
            return;
        }
        self.cancelled = true;
        self.cancel_ms = NEVER;
        let bytes = self.request("CANCEL", &self.plan.request_uri, &self.plain_to(), "invite", 1);
        self.cancel = Some(Repeated::start(now_ms, self.plan.proxy, bytes, T2_MS, out));
        // Without a 487 the call counts as cancelled after this (RFC 3261 §9.1).
        if let Some(invite) = &mut self.invite {
            invite.ends_ms = now_ms + 64 * crate::agent::T1_MS;
        }
    }

    fn hang_up(&mut self, now_ms: u64, out: &mut Outbox) {
        self.hang_up_ms = NEVER;
        if let Some((to, contact)) = self.dialogs.first() {
            let bytes = self.request("BYE", contact, to, "bye", 2);
            self.bye = Some(Repeated::start(now_ms, self.plan.proxy, bytes, T2_MS, out));
        }
    }
}

impl Agent for Caller {
    fn address(&self) -> SocketAddr {
        self.plan.address
    }

    fn receive(&mut self, now_ms: u64, _from: SocketAddr, bytes: &[u8], out: &mut Outbox) {
        let Ok(response) = Message::parse(bytes.to_vec()) else { return };
        if response.is_request() {
            return;
        }
        match response.method_id() {
            Method::Invite => self.invite_answered(now_ms, &response, out),
            Method::Cancel if response.status() >= 200 => self.cancel = None,
            Method::Bye if response.status() >= 200 && self.bye.take().is_some() => {
                self.outcome = Outcome::HungUp(response.status());
            }
            _ => {}
        }
    }

    fn next_ms(&self) -> u64 {
        let started = self.invite.is_some() || self.outcome != Outcome::UnderWay || self.hang_up_ms != NEVER;
        let start_ms = if started || self.bye.is_some() { NEVER } else { self.plan.starts_ms };
        let give_up_ms = if self.provisional && self.invite.is_some() { self.cancel_ms } else { NEVER };
        let repeated = [&self.invite, &self.bye, &self.cancel].into_iter().flatten();
        let repeated_ms = repeated.map(Repeated::due_ms).min().unwrap_or(NEVER);
        start_ms.min(give_up_ms).min(self.hang_up_ms).min(repeated_ms)
    }

    fn timeout(&mut self, now_ms: u64, out: &mut Outbox) {
        let proxy = self.plan.proxy;
        let fresh = self.invite.is_none() && self.bye.is_none() && self.hang_up_ms == NEVER;
        if fresh && self.outcome == Outcome::UnderWay && now_ms >= self.plan.starts_ms {
            let bytes = self.request("INVITE", &self.plan.request_uri, &self.plain_to(), "invite", 1);
            self.invite = Some(Repeated::start(now_ms, proxy, bytes, NEVER / 4, out));
            self.cancel_ms = self.plan.cancel_after_ms.map_or(NEVER, |delay_ms| now_ms + delay_ms);
        }
        self.give_up_if_due(now_ms, out);
        if now_ms >= self.hang_up_ms {
            self.hang_up(now_ms, out);
        }
        if self.invite.as_mut().is_some_and(|invite| !invite.tick(now_ms, proxy, out)) {
            self.invite = None;
            self.outcome = Outcome::NoAnswer;
        }
        if self.cancel.as_mut().is_some_and(|cancel| !cancel.tick(now_ms, proxy, out)) {
            self.cancel = None;
        }
        if self.bye.as_mut().is_some_and(|bye| !bye.tick(now_ms, proxy, out)) {
            self.bye = None;
            self.outcome = Outcome::ByeUnanswered;
        }
    }
}
