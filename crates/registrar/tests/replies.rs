//! Every row of the table of replies (behaviour §1), and the limits.

mod common;

use common::{Registrar, START_S, message};
use seawall_registrar::{Added, MinExpiresMode, Policy, Reject};

const CONTACT: &str = "Contact: <sip:alice@10.0.0.1>";

/// One request with default parameters is refused with this status and text, and nothing is stored.
#[track_caller]
fn check(lines: &str, status: u16, error: &str) {
    check_with(Policy::default(), "path-lazy", lines, &format!("{status} | P-Registrar-Error: {error}"));
}

#[track_caller]
fn check_with(policy: Policy, flags: &str, lines: &str, expected: &str) {
    let mut registrar = Registrar::new(policy);
    registrar.check(flags, lines, expected);
    assert_eq!(registrar.domain.statistics().contacts, 0, "{lines}");
    assert!(registrar.log.0.is_empty());
}

#[test]
fn headers_that_are_missing_or_malformed_give_400() {
    check("CSeq: abc REGISTER", 400, "Invalid CSeq number");
    check("CSeq: 2147483648 REGISTER", 400, "Invalid CSeq number");
    check(&format!("-To\n{CONTACT}"), 400, "To header not found");
    check(&format!("-Call-ID\n{CONTACT}"), 400, "Call-ID header not found");
    check(&format!("-CSeq\n{CONTACT}"), 400, "CSeq header not found");
    check(&format!("Call-ID: {}\n{CONTACT}", "c".repeat(256)), 400, "Callid too long");
    check(&format!("Expires:\n{CONTACT}"), 400, "Expires parse error");
}

#[test]
fn an_address_of_record_that_is_none_gives_400_and_a_long_one_500() {
    check("To: <sip:example.com>", 400, "No username in To URI");
    check("To: <tel:+4930>", 400, "Error while parsing AOR");
    check("To: <isbn:2983792873>", 400, "Error while parsing AOR");
    check("To: <sip:alice@exa mple.com>", 400, "Error while parsing AOR");
    check("To: <sip:a%zz@example.com>", 400, "Error while unescaping username");
    check(&format!("To: <sip:{}@h>", "u".repeat(65)), 500, "Address Of Record too long");
    check(&format!("To: <sip:u@{}>", "h".repeat(65)), 500, "Address Of Record too long");
}

#[test]
fn malformed_contacts_give_400() {
    check("Contact: <sip:alice@10.0.0.1>;expires=", 400, "Invalid expires param in contact");
    check("Contact: <sip:alice@10.0.0.1>;expires", 400, "Invalid expires param in contact");
    check("Contact: <sip:alice@10.0.0.1>;q=1.5", 400, "Invalid q param in contact");
    check("Contact: <sip:alice@10.0.0.1>;q=", 400, "Invalid q param in contact");
    for contact in [
        "",
        "<sip:alice@10.0.0.1",
        "\"alice <sip:alice@10.0.0.1>",
        "sip:alice@10.0.0.1?Route=x",
        "<sip:alice@>",
        "<sip:a b@10.0.0.1>",
        "<mailto:alice@example.com>",
        "<name:John_Smith>",
        "<tel:+4930>",
        "<sip:alice@10.0.0.1>,",
        "<sip:alice@10.0.0.1>;+sip.instance=\"open",
    ] {
        check(&format!("Contact: {contact}"), 400, "Contact parse error");
    }
    check(&format!("Contact: <sip:a@10.0.0.1;x={}>", "y".repeat(512)), 400, "Contact/received too long");
    let instance = format!("Contact: <sip:a@10.0.0.1>;+sip.instance=\"<{}>\"", "y".repeat(254));
    check(&instance, 400, "Contact/received too long");
}

#[test]
fn the_first_contact_is_checked_like_the_others() {
    let long = format!("<sip:a@10.0.0.1;x={}>", "y".repeat(512));
    check(&format!("Contact: {long}, <sip:b@10.0.0.1>"), 400, "Contact/received too long");
    check(&format!("Contact: <sip:b@10.0.0.1>, {long}"), 400, "Contact/received too long");
}

#[test]
fn a_star_needs_expires_0_and_no_other_contact() {
    check("Contact: *", 400, "* used in contact and expires is not zero");
    check("Contact: *\nExpires: 60", 400, "* used in contact and expires is not zero");
    check("Contact: *\nExpires: x", 400, "* used in contact and expires is not zero");
    let more = "* used in contact and more than 1 contact";
    check("Contact: *\nContact: *\nExpires: 0", 400, more);
    check("Contact: *, <sip:alice@10.0.0.1>\nExpires: 0", 400, more);
    check("Contact: <sip:alice@10.0.0.1>\nContact: *\nExpires: 0", 400, more);
}

#[test]
fn path_errors_give_400_or_420() {
    check(&format!("Path: <sip:p>\n{CONTACT}"), 400, "Path parse error");
    check(&format!("Path: <sip:p;lr;x={}>\n{CONTACT}", "y".repeat(2048)), 400, "Path parse error");
    let expected =
        "420 | P-Registrar-Error: No support for found Path indicated | Unsupported: path | Path: <sip:p;lr>";
    check_with(Policy::default(), "path-strict", &format!("Path: <sip:p;lr>\n{CONTACT}"), expected);
}

#[test]
fn an_unknown_require_gives_420_with_all_unknown_tags() {
    let expected =
        "420 | P-Registrar-Error: Required extension not supported | Unsupported: foo | Unsupported: bar";
    check_with(Policy::default(), "", &format!("Require: foo, path, bar\n{CONTACT}"), expected);
}

#[test]
fn too_many_contacts_give_503_with_retry_after_where_it_is_set() {
    let two = "Contact: <sip:a@10.0.0.1>, <sip:b@10.0.0.1>";
    let policy = Policy { max_contacts: 1, retry_after_s: 30, ..Policy::default() };
    let expected = "503 | P-Registrar-Error: Too many registered contacts | Retry-After: 30";
    check_with(policy, "", two, expected);
    check_with(
        Policy::default(),
        "max-contacts=1",
        two,
        "503 | P-Registrar-Error: Too many registered contacts",
    );
    check_with(
        Policy::default(),
        "max-contacts=1,force-registration",
        two,
        "503 | P-Registrar-Error: Too many registered contacts",
    );
    let many: Vec<_> = (0..65).map(|number| format!("<sip:{number}@10.0.0.1>")).collect();
    check(&format!("Contact: {}", many.join(",")), 503, "Too many registered contacts");
}

#[test]
fn retry_after_is_for_5xx_only() {
    let policy = Policy { retry_after_s: 30, ..Policy::default() };
    check_with(policy.clone(), "", "CSeq: x REGISTER", "400 | P-Registrar-Error: Invalid CSeq number");
    let long = format!("To: <sip:{}@h>", "u".repeat(65));
    check_with(policy, "", &long, "500 | P-Registrar-Error: Address Of Record too long | Retry-After: 30");
}

#[test]
fn a_contact_that_points_at_this_server_or_at_no_host_gives_403() {
    for host in [
        "192.0.2.1",
        "192.0.2.1:5060",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "[::]",
        "[ff02::1]",
        "[::ffff:0.0.0.0]",
    ] {
        check(&format!("Contact: <sip:alice@{host}>"), 403, "Contact not allowed");
    }
}

#[test]
fn an_interval_below_the_minimum_is_raised_or_gives_423() {
    let mut registrar = Registrar::default();
    let brief = format!("{CONTACT};expires=10");
    registrar.check("", &brief, "200 | Contact: <sip:alice@10.0.0.1>;expires=60");
    let policy = Policy { min_expires_mode: MinExpiresMode::Refuse, ..Policy::default() };
    let expected = "423 | P-Registrar-Error: Interval too brief | Min-Expires: 60";
    check_with(policy.clone(), "", &brief, expected);
    let expected = "423 | P-Registrar-Error: Interval too brief | Min-Expires: 90";
    check_with(policy.clone(), "min-expires=90", &brief, expected);
    let default_is_brief = Policy { default_expires_s: 10, ..policy };
    let mut registrar = Registrar::new(default_is_brief);
    registrar.check("", CONTACT, "200 | Contact: <sip:alice@10.0.0.1>;expires=60");
}

#[test]
fn status_and_reason_go_together() {
    let pairs = [
        (Reject::NoTo, 400, "Bad Request"),
        (Reject::ContactForbidden, 403, "Forbidden"),
        (Reject::PathUnsupported, 420, "Bad Extension"),
        (Reject::IntervalTooBrief(60), 423, "Interval Too Brief"),
        (Reject::AorTooLong, 500, "Server Internal Error"),
        (Reject::TooManyContacts, 503, "Service Unavailable"),
    ];
    for (reject, status, reason) in pairs {
        let answer = reject.answer();
        assert_eq!((answer.0, answer.1), (status, reason));
    }
}

#[test]
fn a_message_with_a_flaw_gives_400() {
    let mut registrar = Registrar::default();
    let text = "REGISTER sip:h SIP/2.0\r\nTo: <sip:a@h>\r\nCall-ID: a\r\nCSeq: 1 REGISTER\r\nbroken\r\n\r\n";
    let message = seawall_sip::Message::parse(text.into()).unwrap();
    assert!(message.flaw().is_some());
    let (outcome, headers) = registrar.serve("", None, &message);
    assert_eq!((outcome.status, headers.as_str()), (400, "P-Registrar-Error: Message parse error\r\n"));
}

#[test]
fn limits_are_inclusive() {
    let mut registrar = Registrar::default();
    let contact = format!("<sip:a@10.0.0.1;x={}>", "y".repeat(512 - 17));
    let lines = format!("Call-ID: {}\nContact: {contact}", "c".repeat(255));
    let (outcome, _) = registrar.serve("", None, &message(&lines));
    assert_eq!(outcome.status, 200);
    let agent = format!("CSeq: 2 REGISTER\n{CONTACT}\nUser-Agent: {}", "u".repeat(255));
    registrar.serve("", None, &message(&agent));
    let fits = format!("CSeq: 3 REGISTER\nContact: <sip:c@10.0.0.1>\nUser-Agent: {}", "u".repeat(254));
    registrar.serve("", None, &message(&fits));
    let entry = registrar.domain.lock(b"alice@example.com", START_S);
    let agents: Vec<_> = entry.bindings().map(|binding| binding.user_agent.len()).collect();
    assert_eq!(agents, [0, 3, 254]);
    assert_eq!(entry.binding(1).unwrap().user_agent, b"n/a");
}

/// What is added to a reply for somebody who is not known: Date and Server.
const STRANGER: Option<Added> = Some(Added { needed: 0, optional: 60 });

/// Three phones of alice, stored by somebody who was known.
fn three() -> Registrar {
    let mut registrar = Registrar::default();
    for number in 1..=3 {
        let lines = format!("Call-ID: {number}\nContact: <sip:alice@10.0.0.{number};transport=udp>");
        registrar.serve("", None, &message(&lines));
    }
    Registrar { unproven: STRANGER, ..registrar }
}

#[test]
fn a_stranger_over_udp_gets_no_reply_much_longer_than_his_request() {
    let own = "Call-ID: 1\nCSeq: 2 REGISTER\nContact: <sip:alice@10.0.0.1;transport=udp>";
    let listed = "200 | Contact: <sip:alice@10.0.0.1;transport=udp>;expires=3600";
    three().check("", own, listed);
    // A longer request may be answered in full, and so may everybody where there is no limit or proof.
    let all = format!(
        "{listed}, <sip:alice@10.0.0.2;transport=udp>;expires=3600, <sip:alice@10.0.0.3;transport=udp>;expires=3600"
    );
    three().check("", &format!("{own}\nX-Long: {}", "x".repeat(200)), &all);
    Registrar { unproven: None, ..three() }.check("", own, &all);
    let mut unlimited = three();
    unlimited.policy.max_reply_percent = 0;
    unlimited.check("", own, &all);
    let mut generous = three();
    generous.policy.max_reply_percent = 300;
    generous.check("", own, &all);
    let mut strict = three();
    strict.policy.max_reply_percent = 100;
    strict.check("", &format!("{own}\nX-Long: {}", "x".repeat(300)), &all);
    strict.check("", &own.replace("CSeq: 2", "CSeq: 3"), listed);
}

#[test]
fn a_stranger_who_only_asks_for_a_long_list_is_refused() {
    let refused = "403 | P-Registrar-Error: Too many contacts to list without authentication over UDP";
    three().check("", "Call-ID: 9", refused);
    // A short list is told, and a removal is never refused for what is left.
    let mut registrar = Registrar::default();
    registrar.serve("", None, &message("Contact: <sip:a@h>"));
    let mut registrar = Registrar { unproven: STRANGER, ..registrar };
    let fetch = message("Call-ID: 9\nX: yz");
    let (outcome, headers) = registrar.serve("", None, &fetch);
    assert_eq!((outcome.status, &*headers), (200, "Contact: <sip:a@h>;expires=3600\r\n"));
    // It fits because what is optional is left out.
    assert!(outcome.is_brief);
    let gone = "Call-ID: 1\nCSeq: 2 REGISTER\nContact: <sip:alice@10.0.0.1;transport=udp>;expires=0";
    let mut registrar = three();
    registrar.check("", gone, "200");
    registrar.check_dump(&[
        "sip:alice@10.0.0.2;transport=udp 3600s cseq=1 callid=2",
        "sip:alice@10.0.0.3;transport=udp 3600s cseq=1 callid=3",
    ]);
}
