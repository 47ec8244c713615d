//! Random phones, a main registrar that is a registrar of this crate, and a network that delays, reorders and loses. When
//! everything has been answered, both sides hold the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test that cannot go on fails

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use seawall_location::{Domain, Location, NameId, Settings as LocationSettings};
use seawall_registrar::mid::Mode;
use seawall_registrar::{Policy, Save, SaveFlags, Source};
use seawall_sip::Message;

use crate::harness::{Front, START_S, text};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A phone sends a REGISTER: with this life, and a new Call-ID where it was restarted.
    Register { phone: usize, expires_s: u32, restarted: bool },
    /// A phone removes everything of its user.
    Star { phone: usize },
    /// A message on its way arrives, whichever it is.
    Deliver(usize),
    /// A message on its way is lost, and its sender gives up.
    Lose(usize),
    /// Time passes.
    Wait(u64),
}

/// A message between the two.
enum Packet {
    Forwarded(usize),
    Answer(usize, u16, String),
    OwnRequest(usize),
    OwnAnswer(usize, u16, String),
}

struct World {
    front: Front,
    main: Arc<Domain>,
    policy: Policy,
    packets: Vec<Packet>,
    cseqs: [(u32, u32); 3],
    /// How long messages have been on their way.
    waited_s: u64,
}

impl World {
    fn new(mode: Mode, outgoing_s: u32) -> World {
        let location = Location::new(LocationSettings { secret: [9; 16], shards: 2 });
        let mut front = Front::new(mode);
        front.settings.outgoing_expires_s = outgoing_s;
        let policy = Policy { min_expires_s: 1, ..Policy::default() };
        World {
            front,
            main: location.declare("main").unwrap(),
            policy,
            packets: Vec::new(),
            cseqs: [(1, 0), (1, 0), (1, 0)],
            waited_s: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Register { phone, expires_s, restarted } => {
                if restarted {
                    self.cseqs[phone] = (self.cseqs[phone].0 + 1, 0);
                }
                self.send(phone, &format!("Contact: <sip:p{phone}@10.0.0.{phone}>;expires={expires_s}"));
            }
            Step::Star { phone } => self.send(phone, "Contact: *\nExpires: 0"),
            Step::Deliver(number) => self.take(number, false),
            Step::Lose(number) => self.take(number, true),
            Step::Wait(seconds) => {
                // The deadline counts from the 2xx, so no answer may be older than the margin.
                if seconds > 1 || self.waited_s > 0 {
                    self.settle();
                }
                self.waited_s = seconds;
                self.wait(seconds);
            }
        }
    }

    fn send(&mut self, phone: usize, lines: &str) {
        let (call, cseq) = &mut self.cseqs[phone];
        *cseq += 1;
        let before = self.front.flying.len();
        self.front.send(&format!("Call-ID: {phone}-{call}\nCSeq: {cseq} REGISTER\n{lines}"));
        if self.front.flying.len() > before {
            self.packets.push(Packet::Forwarded(before));
        }
    }

    fn take(&mut self, number: usize, lost: bool) {
        if self.packets.is_empty() {
            return;
        }
        let packet = self.packets.swap_remove(number % self.packets.len());
        match packet {
            Packet::Forwarded(number) | Packet::Answer(number, ..) if lost => {
                self.front.answer(number, 408, "");
            }
            Packet::OwnRequest(number) | Packet::OwnAnswer(number, ..) if lost => {
                self.front.done(number, 408, "");
            }
            Packet::Forwarded(number) => {
                let message = self.front.flying[number].as_ref().unwrap().forwarded.clone();
                let (status, lines) = self.serve(&message);
                self.packets.push(Packet::Answer(number, status, lines));
            }
            Packet::OwnRequest(number) => {
                let message = self.front.own_message(number);
                let (status, lines) = self.serve(&message);
                self.packets.push(Packet::OwnAnswer(number, status, lines));
            }
            Packet::Answer(number, status, lines) => {
                self.front.answer(number, status, &lines);
            }
            Packet::OwnAnswer(number, status, lines) => self.front.done(number, status, &lines),
        }
    }

    /// The main registrar serves a REGISTER.
    fn serve(&self, message: &Message) -> (u16, String) {
        let flags = SaveFlags::default();
        let source = Source {
            received: b"",
            peer: (([192, 0, 2, 1], 5060).into(), b"udp"),
            socket: NameId::NONE,
            host_port: b"203.0.113.1:5060",
            flags: 0,
            cflags: 0,
            attr: b"",
            ownership_tag: NameId::NONE,
            is_own: &|_| false,
            random: 0,
            unproven: None,
        };
        let save = Save {
            now_s: self.front.now_s,
            policy: &self.policy,
            flags: &flags,
            domain: &self.main,
            source,
            allow: None,
            familiar: None,
        };
        let mut reply = Vec::new();
        let outcome = save.handle(message, None, &mut reply, &mut ());
        (outcome.status, text(&reply).replace("\r\n", "\n"))
    }

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let before = self.front.errands.len();
            self.front.wait(1);
            self.packets.extend((before..self.front.errands.len()).map(Packet::OwnRequest));
        }
    }

    /// Everything is delivered, in the order in which it was sent, and what follows from it too.
    fn settle(&mut self) {
        for _ in 0..200 {
            while !self.packets.is_empty() {
                let packet = self.packets.remove(0);
                self.packets.push(packet);
                self.take(self.packets.len() - 1, false);
            }
            self.wait(1);
            if self.packets.is_empty() && self.front.upstream.waiting() == 0 {
                self.waited_s = 0;
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// The contacts that the main registrar holds.
    fn at_main(&self) -> BTreeSet<String> {
        let entry = self.main.lock(b"alice@example.com", self.front.now_s);
        entry.valid().map(|(_, binding)| text(binding.contact)).collect()
    }

    /// The contacts that it should hold by what is bound here.
    fn wanted(&self, mode: Mode) -> BTreeSet<String> {
        let entry = self.front.domain.lock(b"alice@example.com", self.front.now_s);
        let wanted = entry.valid().map(|(_, binding)| match mode {
            Mode::Aor => "sip:alice%40example.com@192.0.2.1:5060".to_owned(),
            _ => {
                let contact = text(binding.contact);
                let user = contact.split(['@', ':']).nth(1).unwrap().to_owned();
                format!("sip:{user}@192.0.2.1:5060;ctid={}", binding.numbers.contact_id)
            }
        });
        wanted.collect()
    }
}

fn step() -> impl Strategy<Value = Step> {
    let expires_s = prop_oneof![4 => 10u32..60, 2 => Just(0u32)];
    prop_oneof![
        6 => (0usize..3, expires_s, prop::bool::weighted(0.1))
            .prop_map(|(phone, expires_s, restarted)| Step::Register { phone, expires_s, restarted }),
        1 => (0usize..3).prop_map(|phone| Step::Star { phone }),
        8 => (0usize..8).prop_map(Step::Deliver),
        1 => (0usize..8).prop_map(Step::Lose),
        3 => (1u64..12).prop_map(Step::Wait),
    ]
}

fn check(mode: Mode, outgoing_s: u32, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut world = World::new(mode, outgoing_s);
    for step in steps {
        world.step(step);
    }
    world.settle();
    // What ends in this very second may stay at the main registrar for two more.
    for _ in 0..2 {
        if world.at_main() != world.wanted(mode) {
            world.wait(1);
            world.settle();
        }
    }
    prop_assert_eq!(world.at_main(), world.wanted(mode), "after {} s", world.front.now_s - START_S);
    // Once every phone has gone, nothing is left anywhere.
    for _ in 0..70 {
        world.wait(1);
        world.settle();
    }
    prop_assert!(world.at_main().is_empty(), "{:?} stay", world.at_main());
    prop_assert!(world.front.upstream.is_empty());
    prop_assert_eq!(world.front.upstream.in_flight(), 0);
    Ok(())
}

proptest! {
    #[test]
    fn contact_mode_leaves_both_sides_the_same(outgoing_s in 20u32..600, steps in prop::collection::vec(step(), 1..40)) {
        check(Mode::Contact, outgoing_s, &steps)?;
    }

    #[test]
    fn aor_mode_leaves_both_sides_the_same(outgoing_s in 20u32..600, steps in prop::collection::vec(step(), 1..40)) {
        check(Mode::Aor, outgoing_s, &steps)?;
    }
}

#[test]
fn a_lost_answer_to_a_shorter_registration_leaves_nothing_behind() {
    let register = |expires_s: u32| Step::Register { phone: 1, expires_s, restarted: false };
    let waits = [1, 4, 5, 11].map(Step::Wait);
    let steps =
        [&[register(23)], &waits[..], &[Step::Deliver(0), register(10), Step::Deliver(1), Step::Lose(1)]]
            .concat();
    check(Mode::Contact, 32, &steps).unwrap();
}
