//! Calls through a proxy over a network that loses, doubles and reorders: whatever happens, everybody comes to an
//! end, and nothing is left behind.

use std::{net::SocketAddr, sync::Arc};

use proptest::prelude::*;
use seawall_sip::{Edits, Message, Method, Uri, Via, ViaFix, response_into};
use seawall_testkit::{
    Agent, Answer, Callee, Caller, CallerPlan, Faults, NEVER, Network, Outbox, Outcome, run,
};
use seawall_transaction::{
    Effect, Effects, Keys, Layer, NewBranch, OwnBranch, Relay, Request, RequestMatch, ServerKey, Target,
    Timers,
    proxy::{
        forward::{Forward, MaxForwards, ViaLine},
        reply,
    },
};

#[derive(Clone, Copy, Debug, PartialEq)]
struct Udp(SocketAddr);

impl Target for Udp {
    fn is_reliable(&self) -> bool {
        false
    }
}

/// A proxy that forks calls for `group` to all phones, and sends everything else where the Request-URI says.
struct Proxy {
    address: SocketAddr,
    phones: Vec<SocketAddr>,
    keys: Keys,
    layer: Layer<(), Udp>,
    effects: Effects<(), Udp>,
    completed: Vec<u16>,
}

impl Proxy {
    fn new(address: SocketAddr, phones: Vec<SocketAddr>) -> Proxy {
        let keys = Keys::new([3; 16]);
        let layer = Layer::new(0, keys, Timers::tm());
        Proxy { address, phones, keys, layer, effects: Effects::new(), completed: Vec::new() }
    }

    fn targets(&self, message: &Message) -> Vec<SocketAddr> {
        let uri = Uri::parse(message.request_uri()).expect("a URI");
        match uri.host_ip() {
            Some(ip) => vec![SocketAddr::new(ip, uri.port.expect("a port"))],
            None => self.phones.clone(),
        }
    }

    fn written(&self, message: &Message, fix: Option<ViaFix>, branch: &[u8]) -> Vec<u8> {
        let sent_by = self.address.to_string();
        let via = ViaLine { transport: b"UDP", sent_by: sent_by.as_bytes(), branch, rport: false };
        let max_forwards = MaxForwards::Decrement;
        let forward = Forward { via, request_uri: None, via_fix: fix, max_forwards, first_headers: b"" };
        let mut out = Vec::new();
        forward.write(message, &mut Edits::new(), &mut out);
        out
    }

    fn request(&mut self, now_ms: u64, from: SocketAddr, message: Message, out: &mut Outbox) {
        let key = self.keys.server_key(&message).expect("a key");
        let via = Via::top(&message).expect("a Via");
        let reply_to = Udp(reply::address(&via, from, false));
        let via_fix = ViaFix::for_source(&via, from);
        match (self.layer.request(now_ms, &key, &message, &mut self.effects), message.method_id()) {
            (RequestMatch::New | RequestMatch::AckFor2xx(_), Method::Ack) => {
                let mut branch = Vec::new();
                self.keys.write_stateless_branch(&key, 0, self.keys.path_hash(&message), &mut branch);
                for target in self.targets(&message).into_iter().take(1) {
                    out.push((target, self.written(&message, via_fix, &branch)));
                }
            }
            (RequestMatch::New, Method::Cancel) => {
                self.answer_cancel(&key, &message, via_fix, reply_to, 481, out)
            }
            (RequestMatch::Cancel(id), _) => {
                self.answer_cancel(&key, &message, via_fix, reply_to, 200, out);
                self.layer.cancel(now_ms, id, &message, &mut self.effects);
            }
            (RequestMatch::New, _) => self.relay(now_ms, &key, Request { message, reply_to, via_fix }),
            _ => {}
        }
    }

    fn answer_cancel(
        &self,
        key: &ServerKey,
        cancel: &Message,
        fix: Option<ViaFix>,
        reply_to: Udp,
        status: u16,
        out: &mut Outbox,
    ) {
        let (mut tag, mut bytes) = (Vec::new(), Vec::new());
        self.keys.write_tag(key, &mut tag);
        response_into(&mut bytes, cancel, status, b"Cancel", Some(&tag), fix, b"");
        out.push((reply_to.0, bytes));
    }

    fn relay(&mut self, now_ms: u64, key: &ServerKey, request: Request<Udp>) {
        let request = Arc::new(request);
        let Ok(id) = self.layer.create(now_ms, key, request.clone(), (), &mut self.effects) else { return };
        let path = self.keys.path_hash(&request.message);
        let targets = self.targets(&request.message);
        let branches = targets.into_iter().zip(0..).map(|(target, index)| {
            let mut branch = Vec::new();
            self.keys.write_branch(id.branch(index), path, &mut branch);
            let bytes = self.written(&request.message, request.via_fix, &branch);
            NewBranch { index, target: Udp(target), bytes: bytes.into(), timeouts_ms: None }
        });
        let branches: Vec<_> = branches.collect();
        self.layer.forward(now_ms, id, branches, &mut self.effects).expect("forwarded");
    }

    fn response(&mut self, now_ms: u64, message: Message) {
        let Some(OwnBranch::Transaction(token)) = self.keys.response_branch(&message) else { return };
        if self.layer.match_response(token, &message).is_some() {
            self.layer.response(now_ms, token, &message, Relay::AsReceived, &mut self.effects);
        }
    }

    fn carry_out(&mut self, out: &mut Outbox) {
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Send { to, bytes, .. } => out.push((to.0, bytes.to_vec())),
                Effect::Completed { code, .. } => self.completed.push(code),
                _ => {}
            }
        }
    }
}

impl Agent for Proxy {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn receive(&mut self, now_ms: u64, from: SocketAddr, bytes: &[u8], out: &mut Outbox) {
        let message = Message::parse(bytes.to_vec()).expect("a message");
        if message.is_request() {
            self.request(now_ms, from, message, out);
        } else {
            self.response(now_ms, message);
        }
        self.carry_out(out);
    }

    fn next_ms(&self) -> u64 {
        self.layer.poll_timeout().unwrap_or(NEVER)
    }

    fn timeout(&mut self, now_ms: u64, out: &mut Outbox) {
        self.layer.timeout(now_ms, &mut self.effects);
        self.carry_out(out);
    }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], 5060 + u16::from(last)))
}

#[derive(Clone, Debug)]
struct Scene {
    seed: u64,
    faults: Faults,
    answers: Vec<Answer>,
    callers: u64,
    cancel_after_ms: Option<u64>,
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => (0_u64..20_000).prop_map(|ring_ms| Answer::Take { ring_ms }),
        2 => (0_u64..20_000, prop_oneof![Just(486_u16), Just(603), Just(302), Just(503), Just(404)])
            .prop_map(|(ring_ms, status)| Answer::Refuse { ring_ms, status }),
        1 => (100_000_u64..300_000).prop_map(|ring_ms| Answer::Take { ring_ms }),
        1 => Just(Answer::Silent),
    ]
}

fn scenes() -> impl Strategy<Value = Scene> {
    let faults = (0_u16..200, 0_u16..200, 0_u64..60, 0_u64..400).prop_map(
        |(loss_per_mille, duplicate_per_mille, delay_ms, jitter_ms)| Faults {
            loss_per_mille,
            duplicate_per_mille,
            delay_ms,
            jitter_ms,
        },
    );
    let answers = proptest::collection::vec(answers(), 1..4);
    let cancel = proptest::option::weighted(0.4, 0_u64..25_000);
    (any::<u64>(), faults, answers, 1_u64..4, cancel).prop_map(|(seed, faults, answers, callers, cancel)| {
        Scene { seed, faults, answers, callers, cancel_after_ms: cancel }
    })
}

struct Ending {
    outcomes: Vec<Outcome>,
    dialogs: usize,
    proxy: Proxy,
    phones: Vec<Callee>,
    sent: u64,
}

fn play(scene: &Scene) -> Ending {
    let mut network = Network::new(scene.faults, scene.seed);
    let places: Vec<SocketAddr> = (0..scene.answers.len()).map(|index| address(20 + index as u8)).collect();
    let mut phones: Vec<Callee> =
        places.iter().zip(&scene.answers).map(|(place, answer)| Callee::new(*place, *answer)).collect();
    let mut proxy = Proxy::new(address(1), places);
    let mut callers: Vec<Caller> = (0..scene.callers)
        .map(|number| {
            Caller::new(CallerPlan {
                address: address(100 + number as u8),
                proxy: address(1),
                name: format!("caller{number}"),
                request_uri: "sip:group@example.org".to_owned(),
                starts_ms: number * 700,
                cancel_after_ms: scene.cancel_after_ms,
                talk_ms: 3000,
            })
        })
        .collect();
    let mut agents: Vec<&mut dyn Agent> = vec![&mut proxy];
    agents.extend(phones.iter_mut().map(|phone| phone as &mut dyn Agent));
    agents.extend(callers.iter_mut().map(|caller| caller as &mut dyn Agent));
    run(&mut network, &mut agents, NEVER - 1);
    let outcomes = callers.iter().map(Caller::outcome).collect();
    let dialogs = callers.iter().map(Caller::dialogs).sum();
    Ending { outcomes, dialogs, proxy, phones, sent: network.sent() }
}

fn check(scene: &Scene) {
    let ending = play(scene);
    assert!(ending.proxy.layer.is_empty(), "transactions are left");
    let phones = scene.answers.len() as u64;
    // An INVITE is sent 7 times on a hop, its response 11 times, a CANCEL 11 times, a BYE 11 times, all with answers.
    let most = scene.callers * (phones + 1) * 120;
    assert!(ending.sent <= most, "{} datagrams, at most {most} expected", ending.sent);
    for phone in &ending.phones {
        assert_eq!(phone.unexpected(), [""; 0]);
        assert_eq!(phone.ringing(), 0, "a phone rings on");
        assert!(phone.hung_up() <= phone.taken());
    }
    for outcome in &ending.outcomes {
        assert_ne!(*outcome, Outcome::UnderWay, "a caller waits for ever");
        if let Outcome::Refused(status) = outcome {
            assert!((300..700).contains(status));
            assert_ne!(*status, 503, "a 503 is not passed on");
        }
    }
    let talked = ending.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::HungUp(_))).count();
    let taken: usize = ending.phones.iter().map(Callee::taken).sum();
    assert!(talked <= taken, "somebody talked to nobody");
    let acknowledged: usize = ending.phones.iter().map(Callee::acknowledged).sum();
    assert!(
        acknowledged <= ending.dialogs && ending.dialogs <= taken,
        "a call that one side knows nothing of"
    );
    // With more loss than this all eleven repetitions of a 200, or of its ACK, are lost once in a while.
    if scene.faults.loss_per_mille < 60 {
        let reached: usize = ending.phones.iter().map(Callee::reached).sum();
        assert_eq!(reached, taken, "a phone was picked up and nobody was there");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_and_nothing_is_left(scene in scenes()) {
        check(&scene);
    }
}

const GOOD: Scene = Scene {
    seed: 1,
    faults: Faults { loss_per_mille: 0, duplicate_per_mille: 0, delay_ms: 5, jitter_ms: 0 },
    answers: Vec::new(),
    callers: 1,
    cancel_after_ms: None,
};

#[test]
fn a_call_over_a_good_network_takes_as_many_messages_as_it_should() {
    let ending = play(&Scene { answers: vec![Answer::Take { ring_ms: 1000 }], ..GOOD });
    assert_eq!(ending.outcomes, [Outcome::HungUp(200)]);
    assert_eq!((ending.phones[0].acknowledged(), ending.phones[0].hung_up()), (1, 1));
    // INVITE, 100; INVITE; 180 twice; 200 twice; ACK twice; BYE twice; 200 twice.
    assert_eq!(ending.sent, 13);
    assert_eq!(ending.proxy.completed, [200, 200]);
}

#[test]
fn of_three_phones_one_takes_the_call_and_the_others_stop_ringing() {
    let answers = vec![
        Answer::Take { ring_ms: 9000 },
        Answer::Take { ring_ms: 1000 },
        Answer::Refuse { ring_ms: 500, status: 486 },
    ];
    let ending = play(&Scene { answers, ..GOOD });
    assert_eq!(ending.outcomes, [Outcome::HungUp(200)]);
    assert_eq!(ending.phones.iter().map(Callee::taken).collect::<Vec<_>>(), [0, 1, 0]);
}

#[test]
fn a_caller_who_gives_up_gets_487() {
    let answers = vec![Answer::Take { ring_ms: 9000 }, Answer::Take { ring_ms: 8000 }];
    let ending = play(&Scene { answers, cancel_after_ms: Some(2000), ..GOOD });
    assert_eq!(ending.outcomes, [Outcome::Refused(487)]);
    assert_eq!(ending.phones.iter().map(Callee::taken).sum::<usize>(), 0);
}

#[test]
fn a_phone_that_is_switched_off_gives_408() {
    let ending = play(&Scene { answers: vec![Answer::Silent], ..GOOD });
    assert_eq!(ending.outcomes, [Outcome::Refused(408)]);
}
