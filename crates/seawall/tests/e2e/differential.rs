//! The same REGISTERs to Seawall and to Kamailio: the same codes and the same bindings wherever RFC 3261 decides.
//!
//! Where the two differ on purpose there is a test of its own that shows both sides; the random sequences keep clear of
//! these cases. The same list stands in `docs/guide/differences-from-kamailio.md`.

use crate::harness::kamailio::Kamailio;
use crate::harness::scripts::registrar;
use crate::harness::{Message, Phone, Server, unique};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// One REGISTER of a sequence.
#[derive(Clone, Debug)]
struct Step {
    /// Which of two Call-IDs.
    call: usize,
    /// How its CSeq follows the highest one of that Call-ID.
    cseq: Order,
    contacts: Vec<Wish>,
    /// The Expires header.
    expires: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    /// Above all of that Call-ID.
    Next,
    /// Below all of that Call-ID.
    Lower,
    /// That of the step before.
    Same,
}

/// One Contact of a REGISTER.
#[derive(Clone, Debug)]
enum Wish {
    Star,
    Uri { number: usize, q: Option<u16>, expires: Option<u32> },
}

/// The URIs of the sequences: no two are equal by RFC 3261 section 19.1.4, by whatever rules.
const URIS: [&str; 4] =
    ["sip:one@192.0.2.1:5070", "sip:two@192.0.2.2", "sip:three@192.0.2.3:5090;line=7", "sip:one@192.0.2.4"];

/// What was answered.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    /// URI → q in thousandths and seconds left.
    bindings: BTreeMap<String, (Option<u16>, u32)>,
}

impl Answer {
    fn of(message: &Message) -> Answer {
        let binding = |contact: &String| {
            let (uri, rest) = contact.split_once('>').unwrap();
            let value = |name: &str| {
                rest.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
            };
            let q = value("q").map(|q| (q.parse::<f64>().unwrap() * 1000.0).round() as u16);
            (uri.trim_start_matches('<').to_owned(), (q, value("expires").unwrap().parse().unwrap()))
        };
        Answer { status: message.status(), bindings: message.contacts().iter().map(binding).collect() }
    }

    /// Whether two servers said the same. Seconds may pass between the two answers.
    fn agrees(&self, other: &Answer) -> bool {
        let near = |a: u32, b: u32| a.abs_diff(b) <= 2;
        // A refusal changes nothing; whether it lists what there is, is left to the registrar.
        self.status == 400 && other.status == 400
            || self.status == other.status
                && self.bindings.len() == other.bindings.len()
                && self.bindings.iter().zip(&other.bindings).all(|(own, theirs)| {
                    own.0 == theirs.0 && own.1.0 == theirs.1.0 && near(own.1.1, theirs.1.1)
                })
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    let expires = prop_oneof![
        2 => Just(None),
        2 => Just(Some(0)),
        1 => Just(Some(10)),
        3 => (60..7200u32).prop_map(Some)
    ];
    (0..URIS.len(), expires).prop_map(|(number, expires)| Wish::Uri { number, q: None, expires })
}

fn step() -> impl Strategy<Value = Step> {
    let contacts = prop_oneof![
        2 => Just(Vec::new()),
        1 => Just(vec![Wish::Star]),
        1 => wish().prop_map(|wish| vec![Wish::Star, wish]),
        12 => prop::collection::vec(wish(), 1..4)
    ];
    let q = prop_oneof![Just(None), (0..=10u16).prop_map(|tenths| Some(tenths * 100))];
    let order = prop_oneof![8 => Just(Order::Next), 2 => Just(Order::Lower)];
    let expires = prop_oneof![4 => Just(None), 2 => Just(Some(0)), 2 => (60..7200u32).prop_map(Some)];
    (0..2usize, order, contacts, q, expires).prop_map(|(call, cseq, mut contacts, q, expires)| {
        let mut seen = [false; URIS.len()];
        contacts.retain_mut(|wish| match wish {
            Wish::Star => true,
            Wish::Uri { number, q: own, .. } => {
                // Either all contacts of a request have a q or none: see the test of its own.
                *own = q;
                // A URI that stands twice in one request is nothing that RFC 3261 decides.
                !std::mem::replace(&mut seen[*number], true)
            }
        });
        // What a lower CSeq does to several contacts, or to all, has tests of its own too.
        let one = contacts.len() == 1 && matches!(contacts[0], Wish::Uri { .. });
        Step { call, cseq: if one { cseq } else { Order::Next }, contacts, expires }
    })
}

/// The two servers with a phone at each.
struct Pair {
    _seawall: Server,
    _kamailio: Kamailio,
    phones: [Phone; 2],
}

impl Pair {
    fn start() -> Pair {
        let seawall = Server::start(&registrar(
            "modparam(\"registrar\", \"max_reply_percent\", 0)",
            "save(\"location\")",
        ));
        let kamailio = Kamailio::registrar();
        let phones = [Phone::udp(&seawall, "nobody"), Phone::udp_to(kamailio.address, "nobody")];
        Pair { _seawall: seawall, _kamailio: kamailio, phones }
    }

    /// Sends a sequence for a fresh address of record to both and gives their answers, a fetch at the end included.
    fn run(&mut self, steps: &[Step]) -> [Vec<Answer>; 2] {
        let user = format!("user-{}", unique());
        let fetch = Step { call: 0, cseq: Order::Next, contacts: Vec::new(), expires: None };
        [0, 1].map(|side| {
            let phone = &mut self.phones[side];
            phone.user.clone_from(&user);
            let mut cseqs = [Numbers { highest: 1000, lowest: 1000, last: 1000 }; 2];
            let steps = steps.iter().chain(std::iter::once(&fetch));
            steps.map(|step| Answer::of(&send(phone, step, &user, &mut cseqs))).collect()
        })
    }
}

/// The CSeq numbers that a Call-ID has used.
#[derive(Clone, Copy)]
struct Numbers {
    highest: u32,
    lowest: u32,
    last: u32,
}

impl Numbers {
    fn take(&mut self, order: Order) -> u32 {
        self.last = match order {
            Order::Next => self.highest + 1,
            Order::Lower => self.lowest - 1,
            Order::Same => self.last,
        };
        self.highest = self.highest.max(self.last);
        self.lowest = self.lowest.min(self.last);
        self.last
    }
}

fn send(phone: &mut Phone, step: &Step, user: &str, cseqs: &mut [Numbers; 2]) -> Message {
    let mut request = phone.register_request();
    request.call_id = format!("{user}-{}", step.call);
    request.cseq = cseqs[step.call].take(step.cseq);
    for wish in &step.contacts {
        request = request.with(match wish {
            Wish::Star => "Contact: *".to_owned(),
            Wish::Uri { number, q, expires } => {
                let q = q.map(|q| format!(";q={:.1}", f64::from(q) / 1000.0)).unwrap_or_default();
                let expires = expires.map(|expires| format!(";expires={expires}")).unwrap_or_default();
                format!("Contact: <{}>{q}{expires}", URIS[*number])
            }
        });
    }
    if let Some(expires) = step.expires {
        request = request.with(format!("Expires: {expires}"));
    }
    phone.ask(&request)
}

/// A step of the tests that show a difference: Call-ID 0.
fn register(cseq: Order, contacts: &[Wish]) -> Step {
    Step { call: 0, cseq, contacts: contacts.to_vec(), expires: None }
}

fn contact(number: usize) -> Wish {
    Wish::Uri { number, q: None, expires: Some(600) }
}

/// The bindings after some steps: the numbers of the URIs, each with its q.
fn left(answers: &[Answer]) -> Vec<(usize, Option<u16>)> {
    let bindings = &answers.last().unwrap().bindings;
    let number = |uri: &String| URIS.iter().position(|known| known == uri).unwrap();
    let mut left: Vec<_> = bindings.iter().map(|(uri, (q, _))| (number(uri), *q)).collect();
    left.sort_unstable();
    left
}

#[test]
fn random_registrations_end_as_they_do_at_kamailio() {
    let pair = RefCell::new(Pair::start());
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&prop::collection::vec(step(), 1..10), |steps| {
        let [own, theirs] = pair.borrow_mut().run(&steps);
        for (at, (own, theirs)) in own.iter().zip(&theirs).enumerate() {
            if !own.agrees(theirs) {
                let text = format!("step {at}: Seawall {own:?}, Kamailio {theirs:?}");
                return Err(TestCaseError::fail(text));
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// RFC 3261 section 10.3 step 7: one contact that fails, and none is changed. Kamailio keeps what it did before it came
/// to that one.
#[test]
fn a_low_cseq_for_one_contact_stops_all_of_them_here_only() {
    let steps = [register(Order::Next, &[contact(0)]), register(Order::Lower, &[contact(1), contact(0)])];
    let [own, theirs] = Pair::start().run(&steps);
    assert_eq!((own[1].status, left(&own)), (400, vec![(0, None)]));
    assert_eq!((theirs[1].status, left(&theirs)), (400, vec![(0, None), (1, None)]));
    // A refusal lists nothing here, and what there is there.
    assert_eq!((own[1].bindings.len(), theirs[1].bindings.len()), (0, 2));
}

/// RFC 3261 section 10.3 step 6: the star, too, has to be newer than what it removes. Kamailio does not look.
#[test]
fn a_star_with_a_low_cseq_removes_nothing_here_only() {
    let star = Step { expires: Some(0), ..register(Order::Lower, &[Wish::Star]) };
    let [own, theirs] = Pair::start().run(&[register(Order::Next, &[contact(0)]), star]);
    assert_eq!((own[1].status, left(&own)), (400, vec![(0, None)]));
    assert_eq!((theirs[1].status, left(&theirs)), (200, vec![]));
}

/// RFC 3261 section 10.3 step 7 wants a higher CSeq for a change; an equal one is a repetition only with the same
/// content. Kamailio answers 200 and leaves the binding as it was.
#[test]
fn an_equal_cseq_with_another_expiry_is_refused_here_only() {
    let longer = Wish::Uri { number: 0, q: None, expires: Some(900) };
    let steps = [register(Order::Next, &[contact(0)]), register(Order::Same, &[longer])];
    let [own, theirs] = Pair::start().run(&steps);
    assert_eq!((own[1].status, theirs[1].status), (400, 200));
    for bindings in [&own[2].bindings, &theirs[2].bindings] {
        assert!(bindings[URIS[0]].1 <= 600, "{bindings:?}");
    }
}

/// RFC 3261 section 20.10: q is a parameter of one contact. Kamailio binds the second contact of a request with the q of
/// the first when that one is a removal of something unknown.
#[test]
fn the_q_of_one_contact_is_not_that_of_the_next_here_only() {
    let unknown = Wish::Uri { number: 1, q: Some(700), expires: Some(0) };
    let [own, theirs] = Pair::start().run(&[register(Order::Next, &[unknown, contact(0)])]);
    assert_eq!(left(&own), [(0, None)]);
    assert_eq!(left(&theirs), [(0, Some(700))]);
}

/// RFC 3261 section 10.3 step 7 compares URIs by the rules of section 19.1.4, where hosts have no case. Kamailio
/// compares their text.
#[test]
fn a_uri_in_other_letters_is_the_same_binding_here_only() {
    let mut pair = Pair::start();
    let counts = [0, 1].map(|side| {
        let phone = &mut pair.phones[side];
        let register = |host: &str| format!("Contact: <sip:one@{host}:5070>;expires=600");
        let request = phone.register_request().with(register("phone.example.org"));
        phone.ask(&request);
        let mut again = request.next();
        again.headers = vec![register("PHONE.Example.org")];
        phone.ask(&again).contacts().len()
    });
    assert_eq!(counts, [1, 2]);
}
