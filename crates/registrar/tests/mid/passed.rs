//! What the main registrar tells a client besides contacts is told again when it is not asked (RFC 3608 §6.3, RFC 7315
//! §4.1).

use seawall_registrar::Added;
use seawall_registrar::mid::{Mode, Trust, UpstreamDown};

use crate::harness::Front;

const ALICE: &str = "Contact: <sip:a@10.0.0.1>;expires=60";
const PASSED: &str =
    "Service-Route: <sip:route.example.com;lr>\nP-Associated-URI: <sip:alice@example.com>, <tel:+1555>";
const TOLD: &str =
    "Service-Route: <sip:route.example.com;lr> | P-Associated-URI: <sip:alice@example.com>, <tel:+1555>";

fn cseq(number: u32) -> String {
    format!("CSeq: {number} REGISTER\n{ALICE}")
}

/// A front of this mode where alice is registered for an hour by a 200 with these lines.
fn registered(mode: Mode, lines: &str) -> Front {
    registered_for(3600, mode, lines)
}

fn registered_for(expires_s: u32, mode: Mode, lines: &str) -> Front {
    let mut front = Front::new(mode);
    front.send(ALICE);
    let contact = match mode {
        Mode::Aor => "<sip:alice%40example.com@192.0.2.1:5060>",
        _ => "<sip:a@192.0.2.1:5060;ctid=#1>",
    };
    assert!(
        front.answer(0, 200, &format!("Contact: {contact};expires={expires_s}\n{lines}")).starts_with("200")
    );
    front
}

#[test]
fn an_absorbed_refresh_is_told_what_the_last_2xx_said() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = registered(mode, PASSED);
        let told = format!("200 | {TOLD} | {ALICE}");
        front.check(&cseq(2), &told);
        // A repetition gets the same, and so does who only asks.
        front.check(&cseq(2), &told);
        front.check("CSeq: 3 REGISTER", &told);
        // One that was never told anything is told nothing.
        let mut front = registered(mode, "");
        front.check(&cseq(2), &format!("200 | {ALICE}"));
    }
}

#[test]
fn the_last_2xx_counts() {
    let mut front = registered(Mode::Contact, PASSED);
    front.now_s += 3590;
    assert!(front.send(&cseq(2)).starts_with("-> "));
    front.answer(
        1,
        200,
        "Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=3600\nService-Route: <sip:other;lr>",
    );
    front.check(&cseq(3), &format!("200 | Service-Route: <sip:other;lr> | {ALICE}"));
    // Our own renewal has an answer, too.
    front.resync(None);
    front.due();
    front.done(0, 200, "Contact: <sip:a@192.0.2.1:5060;ctid=#1>;expires=3600\nService-Route: <sip:third;lr>");
    front.check(&cseq(4), &format!("200 | Service-Route: <sip:third;lr> | {ALICE}"));
}

#[test]
fn a_stranger_is_not_told_the_identities_of_others() {
    for mode in [Mode::Contact, Mode::Aor] {
        let mut front = registered(mode, PASSED);
        front.settings.trust = Trust::Verified;
        front.port = 6666;
        front.check("Call-ID: x", &format!("200 | {ALICE}"));
        front.port = 5070;
        front.check("Call-ID: x", &format!("200 | {TOLD} | {ALICE}"));
    }
}

#[test]
fn what_is_too_long_to_be_kept_is_asked_for_each_time() {
    for mode in [Mode::Contact, Mode::Aor] {
        let long = format!("P-Associated-URI: <sip:{}@example.com>", "x".repeat(2048));
        let mut front = registered(mode, &long);
        assert!(front.send(&cseq(2)).starts_with("-> "), "{mode:?}");
    }
}

#[test]
fn an_answer_over_udp_that_would_be_too_long_is_left_to_the_main_registrar() {
    let mut front = registered(Mode::Contact, PASSED);
    front.unproven = Some(Added { needed: 0, optional: 0 });
    assert!(front.send(&cseq(2)).starts_with("-> "));
    // A request that is long enough itself is answered.
    let long = format!("{}\nUser-Agent: {}", cseq(3), "x".repeat(400));
    front.check(&long, &format!("200 | {TOLD} | {ALICE}"));
}

#[test]
fn in_an_outage_the_client_is_told_the_same() {
    for mode in [Mode::Mirror, Mode::Contact, Mode::Aor] {
        let mut front = registered_for(60, mode, PASSED);
        front.settings.upstream_down = UpstreamDown::Absorb;
        front.now_s += 30;
        front.send(&cseq(2));
        front.check_answer(1, 503, "", &format!("200 | {TOLD} | Contact: <sip:a@10.0.0.1>;expires=30"));
    }
}
