//! What fits a mould, and that it is what scanning finds.

use proptest::prelude::*;

use super::*;
use crate::{Habits, validate};

/// A REGISTER of this user, with these lines at its end.
fn register(user: &str, number: u32, lines: &str) -> String {
    format!(
        "REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP {user}.example:5060;branch=z9hG4bK{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@h>;tag=t{number}\r\nTo: <sip:{user}@h>\r\nCall-ID: {user}@h\r\n\
         CSeq: {number} REGISTER\r\nContact: <sip:{user}@{user}.example>\r\n{lines}Content-Length: 0\r\n\r\n"
    )
}

fn filled(text: &str) -> Message {
    let mut message = Message::empty();
    *message.buffer_mut() = text.as_bytes().to_vec();
    message
}

/// Whether a message fits a mould of those that were scanned before.
#[track_caller]
fn check(before: &[String], text: &str, expected: bool) {
    let mut habits = Habits::default();
    for text in before {
        filled(text).scan_by_habit(Framing::Datagram, &mut habits).unwrap();
    }
    assert_eq!(habits.moulds.fit(&mut filled(text), Framing::Datagram), expected, "{text}");
}

#[test]
fn what_differs_in_its_gaps_alone_fits() {
    let first = register("alice", 1, "User-Agent: a\r\n");
    check(&[], &first, false);
    let before = [first.clone()];
    for fitting in [first.clone(), register("bobby-tables", 123_456, "User-Agent: a\r\n")] {
        check(&before, &fitting, true);
    }
    for other in [
        register("bob", 2, "User-Agent: b\r\n"),
        register("bob", 2, ""),
        first.replace("Content-Length: 0", "Content-Length: 1"),
        first.replace("alice@h\r\nCSeq", "alice@h\r\n \r\nCSeq"),
        first.replace("CSeq: 1", "CSeq: 2147483648"),
        first.replace("CSeq: 1", "CSeq: 99999999999"),
        first.replace(":5060", ":99999"),
        first.replace("branch=", "branch= "),
        first + "noise",
    ] {
        check(&before, &other, false);
    }
}

#[test]
fn a_value_that_differs_becomes_a_gap() {
    let agents = ["a", "b"].map(|agent| register("alice", 1, &format!("User-Agent: {agent}\r\n")));
    check(&agents, &register("bob", 2, "User-Agent: another one\r\n"), true);
    check(&agents, &register("bob", 2, "User-Agent:\r\n"), false);
    let calls =
        ["a", "b"].map(|user| format!("MESSAGE sip:{user}@h SIP/2.0\r\nTo: <sip:{user}@h>\r\n\r\nbody"));
    check(&calls, &calls[0].replace("sip:a", "sip:another"), true);
    check(&calls, &calls[0].replace("sip:a@h SIP", "sip:a@h  SIP"), false);
}

#[test]
fn kinds_of_phones_are_told_apart() {
    let kinds: Vec<String> =
        (0..MOULDS).map(|kind| register("alice", 1, &format!("X-{kind}: a\r\n"))).collect();
    for kind in &kinds {
        check(&kinds, &kind.replace("alice", "bob"), true);
    }
    // One kind more has to come again and again.
    let other = register("alice", 1, "User-Agent: a\r\n");
    let many: Vec<String> = kinds.iter().cloned().chain(vec![other.clone(); LEARNING as usize - 1]).collect();
    check(&many, &other, false);
    check(&[many.as_slice(), std::slice::from_ref(&other)].concat(), &other, true);
}

#[test]
fn what_a_message_lacks_is_not_taken_from_the_one_before() {
    let whole = register("alice", 1, "");
    let lacks = |name: &str| {
        whole.lines().filter(|line| !line.starts_with(name)).collect::<Vec<_>>().join("\r\n") + "\r\n"
    };
    for name in ["Via", "From", "To", "CSeq"] {
        let (mut habits, mut used) = (Habits::default(), Message::empty());
        let mut objections = Vec::new();
        for text in [&whole, &lacks(name)].repeat(3) {
            used.receive(&mut text.clone().into_bytes(), Framing::Datagram, &mut habits).unwrap();
            objections.push(validate::request(&used).is_err());
        }
        assert_eq!(objections, [false, true].repeat(3), "{name}");
    }
}

/// Lines as they come, plain and odd.
fn message() -> impl Strategy<Value = String> {
    let start = prop_oneof![
        4 => Just("REGISTER sip:h SIP/2.0".to_owned()),
        2 => "(MESSAGE|FOO) sip:[a-z]{1,9}(@h|>| ) SIP/2.0",
        1 => "SIP/2.0 200 (OK|Fine)",
    ];
    let via = prop_oneof![
        4 => "Via: SIP/2.0/(UDP|TCP) [a-z.]{1,20}(:[0-9]{1,6}|);branch=z9hG4bK[a-z0-9@=-]{0,20}(;rport|)",
        1 => "v: SIP/2.0/UDP [a-z.]{1,20};(rport;|)branch=[a-z;]{0,9}(, SIP/2.0/UDP h|;received=1.2.3.4|)",
    ];
    let address = "(From|To|f): (<sip:[a-z?@;]{1,20}>|\"B\" <sip:b@h>|sip:b@h)(;tag=[a-z%;]{0,9}|;x| |)";
    let other = prop_oneof![
        3 => "CSeq: [0-9]{1,11} (REGISTER|MESSAGE| FOO)",
        1 => "(Call-ID|Contact|X|Max-Forwards):[ \t]{0,2}[ -~]{0,30}(\r\n [a-z]{0,3}| |)",
        1 => "Content-Length: [0-9]{1,2}",
    ];
    let line = prop_oneof![via, address, other];
    let body = prop_oneof![3 => "", 1 => "[a-z]{1,9}"];
    (start, prop::collection::vec(line, 0..9), body, any::<bool>()).prop_map(
        |(start, mut lines, body, sorted)| {
            if sorted {
                lines.sort();
            }
            lines.insert(0, start);
            lines.join("\r\n") + "\r\n\r\n" + &body
        },
    )
}

/// The same message with some other values.
fn varied(text: &str, from: char, to: &str) -> String {
    let at = text.find("\r\n").unwrap_or(0);
    text.char_indices().fold(String::new(), |mut varied, (place, char)| {
        if place > at && char == from {
            varied.push_str(to)
        } else {
            varied.push(char)
        }
        varied
    })
}

proptest! {
    #[test]
    fn what_fits_is_what_scanning_finds(
        kinds in prop::collection::vec(message(), 1..4),
        variations in prop::collection::vec(("[a-z0-9]", "[a-z0-9. @;>]{0,3}"), 0..6),
    ) {
        let (mut habits, mut used) = (Habits::default(), Message::empty());
        for kind in &kinds {
            let variations = variations.iter().map(|(from, to)| varied(kind, from.chars().next().unwrap_or('a'), to));
            for text in [kind.clone(), kind.clone()].into_iter().chain(variations).chain([kind.clone()]) {
                let mut one = filled(&text);
                let scanned = one.scan_in_place(Framing::Datagram);
                prop_assert_eq!(scanned, used.receive(&mut text.into_bytes(), Framing::Datagram, &mut habits));
                // Known to be right or not, it is the same line.
                prop_assert_eq!(validate::request(&one), validate::request(&used));
                (one.start.is_checked, one.is_sound) = (used.start.is_checked, used.is_sound);
                one.is_usual = used.is_usual;
                prop_assert_eq!(format!("{:?}", one), format!("{:?}", used));
            }
        }
    }
}
