//! What a REGISTER changes (behaviour §2), step by step on a virtual clock.

mod common;

use common::{Registrar, message};
use seawall_registrar::{MatchingMode, Policy, SaveFlags};

#[test]
fn a_first_registration_is_stored_and_listed() {
    let mut registrar = Registrar::default();
    registrar.check("", "Contact: <sip:alice@10.0.0.1>", "200 | Contact: <sip:alice@10.0.0.1>;expires=3600");
    registrar.check_dump(&["sip:alice@10.0.0.1 3600s cseq=1 callid=a"]);
    assert_eq!(registrar.log.0, ["+aor", "+sip:alice@10.0.0.1"]);
}

#[test]
fn a_fetch_lists_what_is_left_and_changes_nothing() {
    let mut registrar = Registrar::default();
    registrar.check("", "", "200");
    registrar.check(
        "",
        "Contact: <sip:alice@10.0.0.1>;q=0.5\nExpires: 600",
        "200 | Contact: <sip:alice@10.0.0.1>;q=0.5;expires=600",
    );
    registrar.now_s += 100;
    registrar.check("", "CSeq: 1 REGISTER", "200 | Contact: <sip:alice@10.0.0.1>;q=0.5;expires=500");
    registrar.now_s += 500;
    registrar.check("", "CSeq: 2 REGISTER", "200");
}

#[test]
fn the_reply_lists_what_is_set_in_one_header_in_order() {
    let mut registrar = Registrar { received: "sip:1.2.3.4:5080;transport=udp", ..Registrar::default() };
    let lines =
        "Contact: \"A, B\" <sip:a@10.0.0.1>;q=0.25;expires=100;+sip.instance=\"<urn:uuid:1>\";reg-id=1";
    let a = "<sip:a@10.0.0.1>;q=0.25;expires=100;received=\"sip:1.2.3.4:5080;transport=udp\";+sip.instance=\"<urn:uuid:1>\";reg-id=1";
    let b = "<sip:b@10.0.0.2>;q=1;expires=3600;received=\"sip:1.2.3.4:5080;transport=udp\"";
    registrar.check("", lines, &format!("200 | Contact: {a}"));
    let lines = "CSeq: 2 REGISTER\nContact: sip:b@10.0.0.2;q=1";
    registrar.check("", lines, &format!("200 | Contact: {b}, {a}"));
    registrar.policy.received_param = (*b"rcv").into();
    registrar.check("", "CSeq: 3 REGISTER", &format!("200 | Contact: {b}, {a}").replace("received", "rcv"));
}

#[test]
fn the_interval_comes_from_the_contact_then_expires_then_the_default() {
    let ends = |lines: &str, policy: Policy, flags: &str| {
        let mut registrar = Registrar::new(policy);
        let (outcome, reply) = registrar.serve(flags, None, &message(lines));
        assert_eq!(outcome.status, 200);
        assert_eq!(
            outcome.expires_s as u64,
            if reply.is_empty() { 0 } else { registrar.now_s + granted(&reply) }
        );
        granted(&reply)
    };
    let check = |lines: &str, expected| assert_eq!(ends(lines, Policy::default(), ""), expected, "{lines}");
    check("Contact: <sip:a@h>;expires=100\nExpires: 200", 100);
    check("Contact: <sip:a@h>\nExpires: 200", 200);
    check("Contact: <sip:a@h>", 3600);
    check("Contact: <sip:a@h>;expires=abc\nExpires: 200", 3600);
    check("Contact: <sip:a@h>\nExpires: Thu, 01 Dec 1994 16:00:00 GMT", 3600);
    check("Contact: <sip:a@h>;expires=280297596632815", 3600);
    check("Contact: <sip:a@h>;expires=\"200\"", 200);
    check("Contact: <sip:a@h>;expires=0", 0);
    let bounds = Policy { min_expires_s: 100, max_expires_s: 200, ..Policy::default() };
    let clamped = |lines: &str, expected| assert_eq!(ends(lines, bounds.clone(), ""), expected, "{lines}");
    clamped("Contact: <sip:a@h>;expires=1", 100);
    clamped("Contact: <sip:a@h>;expires=150", 150);
    clamped("Contact: <sip:a@h>;expires=4000000000", 200);
    clamped("Contact: <sip:a@h>", 200);
    clamped("Contact: <sip:a@h>;expires=0", 0);
    let by_flags =
        |lines: &str, flags: &str, expected| assert_eq!(ends(lines, bounds.clone(), flags), expected);
    by_flags("Contact: <sip:a@h>;expires=1", "min-expires=50", 50);
    by_flags("Contact: <sip:a@h>;expires=1", "min-expires=0", 1);
    by_flags("Contact: <sip:a@h>;expires=900", "max-expires=300", 300);
    by_flags("Contact: <sip:a@h>;expires=900", "max-expires=0", 900);
    check("Contact: <sip:a@h>;expires=4294967295", 4_294_967_294 - common::START_S);
}

#[allow(clippy::unwrap_used)]
fn granted(reply: &str) -> u64 {
    reply.split(";expires=").nth(1).map_or(0, |rest| rest.trim_end().parse().unwrap())
}

#[test]
fn the_deviation_stays_within_its_bounds_and_is_clamped_again() {
    let policy = Policy { expires_max_deviation_s: 100, max_expires_s: 1850, ..Policy::default() };
    let mut seen = std::collections::BTreeSet::new();
    for random in 0..2000u64 {
        let mut registrar = Registrar::new(policy.clone());
        registrar.random = random * 0x0101_0101_0101;
        let (_, reply) = registrar.serve("", None, &message("Contact: <sip:a@h>;expires=1800"));
        seen.insert(granted(&reply));
    }
    assert_eq!((seen.first(), seen.last()), (Some(&1700), Some(&1850)));
    assert!(seen.len() > 140, "{}", seen.len());
}

#[test]
fn a_star_removes_every_binding() {
    let mut registrar = Registrar::default();
    registrar.check("", "Contact: *\nExpires: 0", "200");
    registrar.serve("", None, &message("Contact: <sip:a@h>, <sip:b@h>"));
    registrar.serve("", None, &message("Call-ID: other\nContact: <sip:c@h>"));
    registrar.check("", "CSeq: 2 REGISTER\nContact: *\nExpires: 0", "200");
    registrar.check_dump(&[]);
    assert_eq!(registrar.domain.statistics().users, 0);
    assert_eq!(registrar.log.0.last().unwrap(), "-aor");
}

#[test]
fn a_star_with_an_old_cseq_removes_nothing() {
    let mut registrar = Registrar::default();
    registrar.serve("", None, &message("CSeq: 5 REGISTER\nContact: <sip:a@h>"));
    registrar.check(
        "",
        "CSeq: 5 REGISTER\nContact: *\nExpires: 0",
        "400 | P-Registrar-Error: Invalid CSeq number",
    );
    registrar.check_dump(&["sip:a@h 3600s cseq=5 callid=a"]);
}

#[test]
fn contacts_match_by_rfc_3261_19_1_4() {
    let mut registrar = Registrar::default();
    registrar.serve("", None, &message("Contact: <sip:alice@HOST;x=1>"));
    registrar.check(
        "",
        "CSeq: 2 REGISTER\nContact: <sip:%61lice@host>",
        "200 | Contact: <sip:%61lice@host>;expires=3600",
    );
    registrar.check_dump(&["sip:%61lice@host 3600s cseq=2 callid=a"]);
    for different in
        ["sip:alice@host;transport=tcp", "sip:alice@host:5060", "sip:alice@host;ob", "sip:Alice@host"]
    {
        let before = registrar.dump().lines().count();
        registrar.serve("", None, &message(&format!("CSeq: 3 REGISTER\nContact: <{different}>")));
        assert_eq!(registrar.dump().lines().count(), before + 1, "{different}");
    }
}

#[test]
fn matching_modes_are_those_of_the_flag_or_the_parameter() {
    let bindings = |policy: Policy, flags: &str, second: &str| {
        let mut registrar = Registrar::new(policy);
        registrar.serve(flags, None, &message("Contact: <sip:a@1.1.1.1;rinstance=7>"));
        let (outcome, _) = registrar.serve(flags, None, &message(second));
        assert_eq!(outcome.status, 200);
        registrar.dump().lines().count()
    };
    let other_call = "Call-ID: other\nContact: <sip:a@1.1.1.1;rinstance=7>";
    let other_host = "CSeq: 2 REGISTER\nContact: <sip:a@2.2.2.2;rinstance=7>";
    let none = "CSeq: 2 REGISTER\nContact: <sip:a@1.1.1.1>";
    let by_callid = Policy { matching: MatchingMode::UriAndCallId, ..Policy::default() };
    assert_eq!(bindings(Policy::default(), "", other_call), 1);
    assert_eq!(bindings(Policy::default(), "matching-mode=1", other_call), 2);
    assert_eq!(bindings(by_callid.clone(), "", other_call), 2);
    assert_eq!(bindings(by_callid, "matching-mode=0", other_call), 1);
    assert_eq!(bindings(Policy::default(), "", other_host), 2);
    assert_eq!(bindings(Policy::default(), "matching-mode=rinstance", other_host), 1);
    assert_eq!(bindings(Policy::default(), "matching-mode=rinstance", none), 2);
    assert_eq!(bindings(Policy::default(), "matching-mode=<other>", none), 1);
}

#[test]
fn reg_id_and_instance_replace_the_contact_of_the_same_flow() {
    let mut registrar = Registrar::default();
    let flow = |uri: &str, reg_id: u32, cseq: u32| {
        message(&format!(
            "CSeq: {cseq} REGISTER\nContact: <{uri}>;+sip.instance=\"<urn:uuid:1>\";reg-id={reg_id}"
        ))
    };
    registrar.serve("", None, &flow("sip:a@1.1.1.1", 1, 1));
    registrar.serve("", None, &flow("sip:a@2.2.2.2", 1, 2));
    registrar.check_dump(&["sip:a@2.2.2.2 3600s cseq=2 callid=a"]);
    registrar.serve("", None, &flow("sip:a@2.2.2.2", 2, 3));
    assert_eq!(registrar.dump().lines().count(), 2);
}

#[test]
fn cseq_is_compared_under_the_same_call_id_only() {
    let mut registrar = Registrar::default();
    let lines = |callid: &str, cseq: u32, contact: &str| {
        format!("Call-ID: {callid}\nCSeq: {cseq} REGISTER\nContact: <sip:a@h>{contact}")
    };
    registrar.check("", &lines("a", 10, ""), "200 | Contact: <sip:a@h>;expires=3600");
    registrar.check("", &lines("a", 9, ""), "400 | P-Registrar-Error: Invalid CSeq number");
    registrar.check("", &lines("a", 9, ";expires=0"), "400 | P-Registrar-Error: Invalid CSeq number");
    registrar.check("", &lines("a", 10, ";expires=0"), "400 | P-Registrar-Error: Invalid CSeq number");
    registrar.check("", &lines("a", 10, ";expires=500"), "400 | P-Registrar-Error: Invalid CSeq number");
    registrar.check("", &lines("a", 10, ";q=1"), "400 | P-Registrar-Error: Invalid CSeq number");
    registrar.check_dump(&["sip:a@h 3600s cseq=10 callid=a"]);
    registrar.check("", &lines("b", 1, ""), "200 | Contact: <sip:a@h>;expires=3600");
    registrar.check_dump(&["sip:a@h 3600s cseq=1 callid=b"]);
    registrar.check("", &lines("b", 2, ";expires=0"), "200");
}

#[test]
fn an_equal_cseq_is_a_retransmission_for_a_while() {
    let mut registrar = Registrar::default();
    let request = message("CSeq: 7 REGISTER\nContact: <sip:a@h>");
    registrar.serve("", None, &request);
    registrar.log.0.clear();
    registrar.now_s += 20;
    let (outcome, reply) = registrar.serve("", None, &request);
    assert!(outcome.retransmission && !outcome.changed);
    assert_eq!(reply, "Contact: <sip:a@h>;expires=3580\r\n");
    assert!(registrar.log.0.is_empty());
    registrar.now_s += 1;
    registrar.check(
        "",
        "CSeq: 7 REGISTER\nContact: <sip:a@h>",
        "400 | P-Registrar-Error: Invalid CSeq number",
    );
}

#[test]
fn a_rebooted_phone_with_a_low_cseq_is_accepted_after_its_binding_expired() {
    let mut registrar = Registrar::default();
    registrar.serve("", None, &message("CSeq: 900 REGISTER\nContact: <sip:a@h>;expires=60"));
    registrar.now_s += 59;
    registrar.check(
        "",
        "CSeq: 1 REGISTER\nContact: <sip:a@h>",
        "400 | P-Registrar-Error: Invalid CSeq number",
    );
    registrar.now_s += 1;
    registrar.check("", "CSeq: 1 REGISTER\nContact: <sip:a@h>", "200 | Contact: <sip:a@h>;expires=3600");
    assert_eq!(registrar.log.0, ["+aor", "+sip:a@h", "-sip:a@h Expired", "-aor", "+aor", "+sip:a@h"]);
}

#[test]
fn one_bad_contact_and_nothing_changes() {
    let stored = ["sip:a@h 3600s cseq=5 callid=a", "sip:b@h 3600s cseq=5 callid=b"];
    for lines in [
        "CSeq: 6 REGISTER\nContact: <sip:a@h>;expires=0, <sip:new@h>, <sip:x@>",
        "CSeq: 6 REGISTER\nContact: <sip:new@h>, <sip:a@h>;expires=100, <sip:x@h>;q=7",
        "CSeq: 6 REGISTER\nContact: <sip:new@h>, <sip:a@h>;expires=0, <sip:x@224.0.0.1>",
        "CSeq: 5 REGISTER\nCall-ID: b\nContact: <sip:new@h>, <sip:a@h>;expires=0, <sip:b@h>;expires=7",
        "CSeq: 6 REGISTER\nContact: <sip:1@h>, <sip:2@h>, <sip:3@h>, <sip:a@h>;expires=0",
    ] {
        let mut registrar = Registrar::new(Policy { max_contacts: 3, ..Policy::default() });
        registrar.serve("", None, &message("CSeq: 5 REGISTER\nContact: <sip:a@h>"));
        registrar.serve("", None, &message("CSeq: 5 REGISTER\nCall-ID: b\nContact: <sip:b@h>"));
        registrar.log.0.clear();
        let (outcome, _) = registrar.serve("", None, &message(lines));
        assert!(outcome.reject.is_some() && !outcome.changed, "{lines}");
        registrar.check_dump(&stored);
        assert!(registrar.log.0.is_empty());
    }
}

#[test]
fn of_two_contacts_that_mean_the_same_the_later_one_holds() {
    let mut registrar = Registrar::default();
    registrar.check(
        "",
        "Contact: <sip:a@h>;expires=100, <sip:a@H>;expires=200",
        "200 | Contact: <sip:a@H>;expires=200",
    );
    registrar.check("", "CSeq: 2 REGISTER\nContact: <sip:a@h>;expires=100, <sip:a@h>;expires=0", "200");
    registrar.check(
        "",
        "CSeq: 3 REGISTER\nContact: <sip:a@h>;expires=0, <sip:a@h>;expires=100",
        "200 | Contact: <sip:a@h>;expires=100",
    );
}

#[test]
fn with_force_registration_the_least_recently_refreshed_go() {
    let mut registrar = Registrar::new(Policy { max_contacts: 3, ..Policy::default() });
    for (number, contact) in ["sip:a@h", "sip:b@h", "sip:c@h", "sip:a@h"].iter().enumerate() {
        registrar.serve("", None, &message(&format!("CSeq: {} REGISTER\nContact: <{contact}>", number + 1)));
        registrar.now_s += 1;
    }
    registrar.check(
        "",
        "CSeq: 9 REGISTER\nContact: <sip:d@h>",
        "503 | P-Registrar-Error: Too many registered contacts",
    );
    registrar.log.0.clear();
    let (outcome, _) =
        registrar.serve("force-registration", None, &message("CSeq: 9 REGISTER\nContact: <sip:d@h>"));
    assert_eq!(outcome.status, 200);
    assert_eq!(registrar.log.0, ["-sip:b@h Evicted", "+sip:d@h"]);
    // A contact that the request itself removes makes room, and one that it refreshes does not go.
    let lines = "CSeq: 10 REGISTER\nContact: <sip:c@h>, <sip:e@h>, <sip:d@h>;expires=0";
    registrar.log.0.clear();
    registrar.serve("force-registration", None, &message(lines));
    assert_eq!(registrar.log.0, ["=sip:c@h", "-sip:d@h Asked", "+sip:e@h"]);
    // The flag overrides the parameter, and 0 lifts it.
    registrar.check(
        "max-contacts=0,only-request-contacts",
        "CSeq: 11 REGISTER\nContact: <sip:f@h>",
        "200 | Contact: <sip:f@h>;expires=3600",
    );
}

#[test]
fn a_refresh_is_accepted_where_there_are_too_many_already() {
    let mut registrar = Registrar::default();
    registrar.serve("", None, &message("Contact: <sip:a@h>, <sip:b@h>"));
    registrar.check(
        "max-contacts=1,only-request-contacts",
        "CSeq: 2 REGISTER\nContact: <sip:a@h>",
        "200 | Contact: <sip:a@h>;expires=3600",
    );
}

#[test]
fn contacts_are_listed_by_q_then_arrival_or_newest_first() {
    let mut registrar = Registrar::default();
    registrar.serve(
        "",
        None,
        &message("Contact: <sip:a@h>, <sip:b@h>;q=0.3, <sip:c@h>;q=0.7, <sip:d@h>;q=0.3"),
    );
    let order = |registrar: &mut Registrar| {
        let (_, reply) = registrar.serve("", None, &message("CSeq: 9 REGISTER"));
        reply.match_indices("sip:").map(|(at, _)| reply[at + 4..at + 5].to_owned()).collect::<String>()
    };
    assert_eq!(order(&mut registrar), "cbda");
    registrar.now_s += 1;
    registrar.serve("", None, &message("CSeq: 2 REGISTER\nContact: <sip:b@h>;q=0.3"));
    assert_eq!(order(&mut registrar), "cbda");
    registrar.policy.order = seawall_location::Order::NewestFirst;
    assert_eq!(order(&mut registrar), "bdca");
}

#[test]
fn only_request_contacts_leaves_the_others_out_of_the_reply() {
    let mut registrar = Registrar::default();
    registrar.serve("", None, &message("Contact: <sip:a@h>, <sip:b@h>"));
    let lines = "CSeq: 2 REGISTER\nContact: <sip:b@h>;expires=70, <sip:c@h>;expires=80, <sip:a@h>;expires=0";
    registrar.check(
        "only-request-contacts",
        lines,
        "200 | Contact: <sip:b@h>;expires=70, <sip:c@h>;expires=80",
    );
}

#[test]
fn path_is_stored_and_returned_as_the_flags_say() {
    let stored = |flags: &str, supported: &str| {
        let mut registrar = Registrar::default();
        let lines = format!("Path: <sip:p1;lr>\nPath: <sip:p2;lr>\n{supported}Contact: <sip:a@h>");
        let (outcome, reply) = registrar.serve(flags, None, &message(&lines));
        let entry = registrar.domain.lock(b"alice@example.com", registrar.now_s);
        let path = entry.binding(0).map_or(String::new(), |binding| common::text(binding.path));
        (outcome.status, path, reply.contains("Path: <sip:p1;lr>,<sip:p2;lr>\r\n"))
    };
    let (supported, joined) = ("Supported: gruu, path\n", "<sip:p1;lr>,<sip:p2;lr>".to_owned());
    assert_eq!(stored("", supported), (200, String::new(), false));
    assert_eq!(stored("path-off", supported), (200, joined.clone(), false));
    assert_eq!(stored("path-lazy", ""), (200, joined.clone(), false));
    assert_eq!(stored("path-lazy", supported), (200, joined.clone(), true));
    assert_eq!(stored("path-strict", supported), (200, joined, true));
    assert_eq!(stored("path-strict", ""), (420, String::new(), false));
}

#[test]
fn received_comes_from_the_path_then_the_avp_then_the_contact_if_trusted() {
    let received = |flags: &str, avp: &'static str, trusted: bool| {
        let policy = Policy { trust_contact_received: trusted, nat_flag: 8, ..Policy::default() };
        let mut registrar = Registrar { received: avp, flags: 1, ..Registrar::new(policy) };
        let path = "Path: <sip:p;lr;received=sip:9.9.9.9%3Btransport%3Dtcp>";
        let lines = format!("{path}\nContact: <sip:a@h>;received=\"sip:7.7.7.7\"");
        registrar.serve(flags, None, &message(&lines));
        let entry = registrar.domain.lock(b"alice@example.com", registrar.now_s);
        let binding = entry.binding(0).unwrap();
        (common::text(binding.received), binding.numbers.flags)
    };
    assert_eq!(
        received("path-off,path-received", "sip:8.8.8.8", true),
        ("sip:9.9.9.9;transport=tcp".into(), 9)
    );
    assert_eq!(received("path-off", "sip:8.8.8.8", true), ("sip:8.8.8.8".into(), 1));
    assert_eq!(received("", "", true), ("sip:7.7.7.7".into(), 1));
    assert_eq!(received("", "", false), (String::new(), 1));
}

#[test]
fn a_received_uri_that_could_break_out_of_its_quotes_is_refused() {
    let policy = Policy { trust_contact_received: true, ..Policy::default() };
    let mut registrar = Registrar::new(policy);
    let lines = "Contact: <sip:a@h>;received=\"sip:1.1.1.1\\\";x=\\\"y\"";
    registrar.check("", lines, "400 | P-Registrar-Error: Contact parse error");
}

#[test]
fn the_socket_header_names_the_socket_where_the_flag_is_set() {
    let socket = |flags: &str, value: &str| {
        let policy = Policy { socket_header: (*b"Sock-Info").into(), ..Policy::default() };
        let mut registrar = Registrar::new(policy);
        registrar.serve(flags, None, &message(&format!("Sock-Info: {value}\nContact: <sip:a@h>")));
        let entry = registrar.domain.lock(b"alice@example.com", registrar.now_s);
        let id = entry.binding(0).unwrap().numbers.socket;
        common::text(registrar.domain.names().name(id))
    };
    assert_eq!(socket("socket-header", "tcp:10.1.1.1:5060"), "tcp:10.1.1.1:5060");
    assert_eq!(socket("", "tcp:10.1.1.1:5060"), "udp:192.0.2.1:5060");
    assert_eq!(socket("socket-header", "nonsense"), "udp:192.0.2.1:5060");
}

#[test]
fn a_given_address_of_record_replaces_that_of_to() {
    let mut registrar = Registrar { attr: "vip", ..Registrar::default() };
    let request = message("Contact: <sip:a@h>\nAllow: INVITE, BYE\nUser-Agent: Phone/1");
    let (outcome, _) = registrar.serve("", Some("sip:BOB@Example.com"), &request);
    assert_eq!(outcome.status, 200);
    let entry = registrar.domain.lock(b"BOB@example.com", registrar.now_s);
    let binding = entry.binding(0).unwrap();
    assert_eq!(
        (binding.attr, binding.user_agent, binding.numbers.methods),
        (&b"vip"[..], &b"Phone/1"[..], 9)
    );
}

#[test]
fn one_flag_does_not_reset_the_other_parameters() {
    let policy = Policy { max_contacts: 1, max_expires_s: 100, ..Policy::default() };
    let mut registrar = Registrar::new(policy);
    registrar.check("path-lazy", "Contact: <sip:a@h>", "200 | Contact: <sip:a@h>;expires=100");
    registrar.check(
        "min-expires=5",
        "CSeq: 2 REGISTER\nContact: <sip:b@h>",
        "503 | P-Registrar-Error: Too many registered contacts",
    );
    assert_eq!(SaveFlags::parse("no-reply").unwrap(), SaveFlags { no_reply: true, ..SaveFlags::default() });
}

#[test]
fn default_q_is_stored_where_it_is_set() {
    let mut registrar = Registrar::new(Policy { default_q: 380, ..Policy::default() });
    registrar.check(
        "",
        "Contact: <sip:a@h>, <sip:b@h>;q=0",
        "200 | Contact: <sip:a@h>;q=0.38;expires=3600, <sip:b@h>;q=0;expires=3600",
    );
}

#[test]
fn unusual_but_legal_registrations_of_rfc_4475_are_bound() {
    let bound = |lines: &str| {
        let mut registrar = Registrar::default();
        let (outcome, reply) = registrar.serve("", None, &message(lines));
        assert_eq!(outcome.status, 200, "{lines}");
        reply
    };
    // escnull: a name is not cut at NUL.
    let reply = bound(
        "To: <sip:null-%00-null@example.com>\nContact: <sip:%00@host5.example.com>\nContact: <sip:%00%00@host5.example.com>",
    );
    assert_eq!(reply.matches("expires=").count(), 2);
    // cparam01 and cparam02: whose parameter it is depends on the brackets.
    assert!(
        bound("Contact: sip:+19725552222@gw1.example.net;unknownparam")
            .contains("<sip:+19725552222@gw1.example.net>;exp")
    );
    assert!(bound("Contact: <sip:+19725552222@gw1.example.net;unknownparam>").contains("net;unknownparam>"));
    // regescrt: an escaped Route header in the URI is kept.
    assert!(
        bound("Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>")
            .contains("?Route=%3Csip:sip.example.com%3E>")
    );
}
