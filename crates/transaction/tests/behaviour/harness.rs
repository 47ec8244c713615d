//! Runs a table of inputs through one shard and writes down every effect.
//!
//! An input line is `TIME COMMAND ARGUMENTS`, an effect line `TIME DESTINATION WHAT`. Timers go off by themselves
//! between the inputs, at the millisecond at which they are due; `end` lets all of them run. `ended` is the effect; a
//! transaction that only repeats its response after that is `forgotten` in the end.
//!
//! | command | what happens |
//! |---|---|
//! | `INVITE`, `MESSAGE`, `ACK`, `CANCEL` | the client sends it; a new one gets a transaction |
//! | `relay N` | it is forwarded to N further branches, `b0`, `b1` and so on |
//! | `b0 180` | a branch answers its request; `b0 C200` answers the CANCEL |
//! | `reply 486` | routing logic answers |
//! | `hold`, `finish` | routing logic wants to hear of the failure; has nothing more to say |
//! | `fail b0` | sending to a branch did not work |
//! | `cut b0`, `others b0` | routing logic cancels this branch; all others |
//! | `expect 9000`, `nomore` | more branches will come until then; no more will come |

use std::sync::Arc;

use seawall_sip::{Message, Method, response_into};
use seawall_transaction::{
    BranchSelection, Effect, Effects, Keys, Layer, NewBranch, Relay, Request, RequestMatch, Target, Timers,
    TransactionId, proxy::reply,
};

/// A place to send to: the client or a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub branch: Option<u16>,
    pub reliable: bool,
}

impl Target for Place {
    fn is_reliable(&self) -> bool {
        self.reliable
    }
}

/// What a table starts from.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub timers: Timers,
    /// Whether the client is connected by TCP.
    pub client_tcp: bool,
    /// Whether the branches are.
    pub branch_tcp: bool,
    /// Whether the client writes branches as RFC 2543 did.
    pub rfc2543: bool,
}

/// RFC timers, UDP on both sides, and no 100 unless a test is about it.
pub const RFC: Setup = Setup {
    timers: Timers { trying_ms: None, ..Timers::rfc3261() },
    client_tcp: false,
    branch_tcp: false,
    rfc2543: false,
};

/// The defaults of `tm`, and no 100.
pub const TM: Setup = Setup { timers: Timers { trying_ms: None, ..Timers::tm() }, ..RFC };

/// Runs the input and compares every effect with what is expected. Indentation and empty lines do not count.
#[track_caller]
pub fn check(setup: Setup, input: &str, expected: &str) {
    let mut bench = Bench::new(setup);
    for line in lines(input) {
        bench.run(line);
    }
    let expected: Vec<&str> = lines(expected).collect();
    assert_eq!(bench.log.join("\n"), expected.join("\n"));
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// One shard, and one transaction in it.
pub struct Bench {
    pub layer: Layer<&'static str, Place>,
    pub keys: Keys,
    pub log: Vec<String>,
    setup: Setup,
    now_ms: u64,
    method: String,
    id: Option<TransactionId>,
    sent: Vec<Message>,
    wire: Vec<String>,
}

pub const BRANCH: &str = "z9hG4bKclient";

/// A request as the client sends it.
pub fn request(method: &str, branch: &str, to_tag: &str) -> Message {
    let cseq = if matches!(method, "ACK" | "CANCEL") { "INVITE" } else { method };
    let number = if cseq == "INVITE" { 1 } else { 2 };
    let text = format!(
        "{method} sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5070;branch={branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=a\r\nTo: <sip:bob@example.org>{to_tag}\r\n\
         Call-ID: c1@192.0.2.9\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n"
    );
    Message::parse(text.into_bytes()).expect("a request")
}

impl Bench {
    pub fn new(setup: Setup) -> Bench {
        let keys = Keys::new([7; 16]);
        let layer = Layer::new(3, keys, setup.timers);
        Bench {
            layer,
            keys,
            log: Vec::new(),
            setup,
            now_ms: 0,
            method: String::new(),
            id: None,
            sent: Vec::new(),
            wire: Vec::new(),
        }
    }

    /// One line of input.
    pub fn run(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (time, command) = (words.next().expect("a time"), words.next().expect("a command"));
        let argument = words.next().unwrap_or_default();
        if time == "*" {
            self.advance(u64::MAX);
        } else {
            self.advance(time.parse().expect("a time in ms"));
        }
        let mut out = Effects::new();
        match command {
            "end" => {
                self.advance(u64::MAX);
                self.log.push(if self.layer.is_empty() { "empty" } else { "LEAK" }.to_owned());
            }
            "INVITE" | "MESSAGE" | "BYE" | "CANCEL" => self.receive(command, "", &mut out),
            "ACK" => self.receive(command, ";tag=b0", &mut out),
            branch if branch.starts_with('b') => self.respond(number(branch), argument, &mut out),
            _ => self.act(command, argument, &mut out),
        }
        self.record(&mut out);
    }

    fn act(&mut self, command: &str, argument: &str, out: &mut Effects<&'static str, Place>) {
        let (now_ms, id) = (self.now_ms, self.id.expect("a transaction"));
        let layer = &mut self.layer;
        match command {
            "relay" => self.relay(argument.parse().expect("a count"), out),
            "reply" => {
                let bytes = format!("SIP/2.0 {argument} Own\r\n\r\n").into_bytes();
                if let Err(error) = layer.reply(now_ms, id, number(argument), bytes, out) {
                    self.note(&error.to_string());
                }
            }
            "hold" => layer.hold_failure(id, true),
            "finish" => layer.finish(now_ms, id, out),
            "fail" => layer.branch_failed(now_ms, id.branch(number(argument)), out),
            "cut" => layer.cancel_branches(now_ms, id, BranchSelection::One(number(argument)), out),
            "others" => layer.cancel_branches(now_ms, id, BranchSelection::Others(number(argument)), out),
            "expect" => layer.expect_branches(now_ms, id, argument.parse().expect("a time"), out),
            "nomore" => layer.expect_no_more_branches(now_ms, id, out),
            "abandon" => layer.abandon(id, out),
            "keep" => {
                let until_ms = argument.parse().expect("a time");
                layer.keep_response(now_ms, id.branch(0), until_ms, out);
            }
            "timeouts" => layer.set_timeouts(id, argument.parse().expect("ms"), 7000),
            "wait" => {}
            other => panic!("unknown command {other}"),
        }
    }

    fn receive(&mut self, method: &str, to_tag: &str, out: &mut Effects<&'static str, Place>) {
        let branch = if self.setup.rfc2543 { "old" } else { BRANCH };
        let message = request(method, branch, to_tag);
        let key = self.keys.server_key(&message).expect("a key");
        match self.layer.request(self.now_ms, &key, &message, out) {
            RequestMatch::New if matches!(method, "ACK" | "CANCEL") => self.note("not matched"),
            RequestMatch::New => {
                self.method = method.to_owned();
                let reply_to = Place { branch: None, reliable: self.setup.client_tcp };
                let request = Arc::new(Request { message, reply_to, via_fix: None });
                match self.layer.create(self.now_ms, &key, request, "context", out) {
                    Ok(id) => self.id = Some(id),
                    Err(error) => self.note(&error.to_string()),
                }
            }
            RequestMatch::Retransmission(_) => self.note("absorbed"),
            RequestMatch::AckForFinal(_) => self.note("ack absorbed"),
            RequestMatch::AckFor2xx(_) => self.note("ack of 2xx"),
            RequestMatch::Cancel(id) => self.layer.cancel(self.now_ms, id, &message, out),
        }
    }

    fn relay(&mut self, count: u16, out: &mut Effects<&'static str, Place>) {
        let id = self.id.expect("a transaction");
        for _ in 0..count {
            let index = match self.layer.next_branch(id) {
                Ok(index) => index,
                Err(error) => return self.note(&error.to_string()),
            };
            let mut branch = Vec::new();
            self.keys.write_branch(id.branch(index), 1, &mut branch);
            let branch = String::from_utf8(branch).expect("text");
            let message = request(&self.method, &branch, "");
            let target = Place { branch: Some(index), reliable: self.setup.branch_tcp };
            let new = NewBranch { index, target, bytes: message.bytes().to_vec().into(), timeouts_ms: None };
            self.sent.push(message);
            self.layer.forward(self.now_ms, id, [new], out).expect("forwarded");
        }
    }

    fn respond(&mut self, branch: u16, what: &str, out: &mut Effects<&'static str, Place>) {
        let sent = &self.sent[usize::from(branch)];
        let mut bytes = Vec::new();
        let (request, code) = match what.strip_prefix('C') {
            Some(code) => {
                (sent.wire().to_vec().escape_ascii().to_string().replace("1 INVITE", "1 CANCEL"), code)
            }
            None => (sent.wire().escape_ascii().to_string(), what),
        };
        let request = request.replace("\\r\\n", "\r\n");
        let request = Message::parse(request.into_bytes()).expect("a request");
        let tag = format!("b{branch}");
        let extra: &[u8] = match code {
            "401" => b"WWW-Authenticate: Digest realm=\"w\"\r\n",
            "407" => b"Proxy-Authenticate: Digest realm=\"p\"\r\n",
            _ => b"",
        };
        response_into(&mut bytes, &request, number(code), b"Text", Some(tag.as_bytes()), None, extra);
        let message = Message::parse(bytes).expect("a response");
        let Some(seawall_transaction::OwnBranch::Transaction(token)) = self.keys.response_branch(&message)
        else {
            panic!("the branch is not ours");
        };
        match self.layer.match_response(token, &message) {
            None if self.layer.absorb_response(token) => {}
            None => self.note("dropped"),
            Some(found) => {
                assert_eq!(found.branch, branch);
                self.layer.response(self.now_ms, token, &message, Relay::AsReceived, out);
            }
        }
    }

    /// Number of branches so far.
    pub fn branches(&self) -> usize {
        self.sent.len()
    }

    /// All requests that were sent.
    pub fn requests(&self) -> Vec<String> {
        self.wire.iter().filter(|text| !text.starts_with("SIP/2.0")).cloned().collect()
    }

    /// All responses that were sent.
    pub fn responses(&self) -> Vec<String> {
        self.wire.iter().filter(|text| text.starts_with("SIP/2.0")).cloned().collect()
    }

    /// Lets timers go off until then, each at its own time.
    pub fn advance(&mut self, until_ms: u64) {
        let mut out = Effects::new();
        while let Some(due_ms) = self.layer.poll_timeout().filter(|&due_ms| due_ms <= until_ms) {
            assert!(due_ms >= self.now_ms, "a timer was late");
            assert!(self.log.len() < 1000, "no end: {:?}", self.log.get(..40));
            self.now_ms = due_ms;
            let (before, told) = (self.layer.len(), self.log.len());
            self.layer.timeout(due_ms, &mut out);
            self.record(&mut out);
            if self.layer.len() < before && self.log.len() == told {
                self.note("forgotten");
            }
        }
        if until_ms != u64::MAX {
            self.now_ms = until_ms;
        }
    }

    fn record(&mut self, out: &mut Effects<&'static str, Place>) {
        for effect in out.drain(..) {
            if let Effect::Spare { .. } = &effect {
                continue;
            }
            if let Effect::Send { bytes, .. } = &effect {
                self.wire.push(String::from_utf8(bytes.to_vec()).expect("text"));
            }
            let text = describe(&effect);
            self.note(&text);
        }
    }

    fn note(&mut self, text: &str) {
        self.log.push(format!("{} {text}", self.now_ms));
    }
}

fn number(text: &str) -> u16 {
    text.trim_start_matches('b').parse().expect("a number")
}

/// One effect in words.
pub fn describe(effect: &Effect<&'static str, Place>) -> String {
    match effect {
        Effect::Send { to, bytes, branch } => {
            let message = Message::parse(bytes.to_vec()).expect("what is sent can be read");
            assert_eq!(branch.map(|token| token.branch), to.branch, "the branch of what is sent");
            let place = to.branch.map_or("client".to_owned(), |branch| format!("b{branch}"));
            if message.is_request() {
                assert_ne!(message.method_id(), Method::Other);
                format!("{place} {}", String::from_utf8_lossy(message.method()))
            } else {
                let relayed = message.reason() == b"Text";
                if relayed {
                    assert_eq!(seawall_sip::via::vias(&message).count(), 0, "our Via is removed");
                    assert!(reply::next_hop(&message).is_none());
                }
                format!("{place} {}", message.status())
            }
        }
        Effect::Failure { code, branch, .. } => format!("failure {code} b{branch}"),
        Effect::Completed { code, local, request, .. } => {
            assert!(request.is_some(), "what was answered is known");
            format!("completed {code}{}", if *local { " local" } else { "" })
        }
        Effect::Result { code, response, .. } => {
            format!("result {code}{}", if response.is_some() { " received" } else { "" })
        }
        Effect::Ended { .. } => "ended".to_owned(),
        Effect::Spare { .. } => "spare".to_owned(),
    }
}
