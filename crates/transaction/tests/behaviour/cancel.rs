//! CANCEL and its races (RFC 3261 §9, §16.10).

use crate::harness::{Bench, RFC, Setup, TM, check};

#[test]
fn a_ringing_branch_is_cancelled_and_its_487_relayed() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 180
         200 CANCEL
         210 b0 C200
         220 b0 487
         230 ACK
         * end",
        "0 b0 INVITE
         100 client 180
         200 b0 CANCEL
         220 b0 ACK
         220 client 487
         220 completed 487
         230 ack absorbed
         32220 ended
         empty",
    );
}

#[test]
fn a_cancel_waits_for_the_first_provisional_response() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 CANCEL
         600 b0 100
         610 b0 C200
         620 b0 487",
        "0 b0 INVITE
         500 b0 INVITE
         600 b0 CANCEL
         620 b0 ACK
         620 client 487
         620 completed 487",
    );
}

#[test]
fn no_cancel_goes_out_when_the_final_response_comes_first() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 CANCEL
         200 b0 486",
        "0 b0 INVITE
         200 b0 ACK
         200 client 486
         200 completed 486",
    );
}

#[test]
fn a_200_that_crosses_the_cancel_wins() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 180
         200 CANCEL
         210 b0 200
         220 b0 C481",
        "0 b0 INVITE
         100 client 180
         200 b0 CANCEL
         210 client 200
         210 completed 200",
    );
}

#[test]
fn a_cancel_after_the_final_response_has_no_effect() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 200
         200 CANCEL
         300 wait",
        "0 b0 INVITE
         100 client 200
         100 completed 200",
    );
}

#[test]
fn a_repeated_cancel_changes_nothing() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 180
         200 CANCEL
         210 b0 C200
         700 CANCEL
         710 b0 487",
        "0 b0 INVITE
         100 client 180
         200 b0 CANCEL
         710 b0 ACK
         710 client 487
         710 completed 487",
    );
}

#[test]
fn a_cancel_is_repeated_until_it_is_answered_or_given_up() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 180
         200 CANCEL
         32200 ACK
         * end",
        "0 b0 INVITE
         100 client 180
         200 b0 CANCEL
         700 b0 CANCEL
         1700 b0 CANCEL
         3700 b0 CANCEL
         7700 b0 CANCEL
         11700 b0 CANCEL
         15700 b0 CANCEL
         19700 b0 CANCEL
         23700 b0 CANCEL
         27700 b0 CANCEL
         31700 b0 CANCEL
         32200 client 487
         32200 completed 487 local
         32200 ack absorbed
         64200 ended
         empty",
    );
}

#[test]
fn over_tcp_a_cancel_is_sent_once() {
    check(
        Setup { branch_tcp: true, ..RFC },
        "0 INVITE
         0 relay 1
         100 b0 180
         200 CANCEL
         5000 b0 487",
        "0 b0 INVITE
         100 client 180
         200 b0 CANCEL
         5000 b0 ACK
         5000 client 487
         5000 completed 487",
    );
}

#[test]
fn a_request_that_was_not_forwarded_yet_is_answered_487_and_cannot_be_forwarded() {
    check(
        RFC,
        "0 INVITE
         10 CANCEL
         20 relay 1",
        "10 client 487
         10 completed 487 local
         20 the request has been answered",
    );
}

#[test]
fn a_branch_that_never_answers_ends_a_cancelled_request_with_487() {
    check(
        TM,
        "0 INVITE
         0 relay 1
         27600 CANCEL
         30000 wait",
        "0 b0 INVITE
         500 b0 INVITE
         1500 b0 INVITE
         3500 b0 INVITE
         7500 b0 INVITE
         15500 b0 INVITE
         30000 client 487
         30000 completed 487 local",
    );
}

#[test]
fn a_cancelled_request_takes_no_further_branches() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 180
         200 CANCEL
         210 relay 1",
        "0 b0 INVITE
         100 client 180
         200 b0 CANCEL
         210 the request has been cancelled",
    );
}

#[test]
fn a_cancel_for_another_request_than_invite_is_ignored() {
    check(RFC, "0 MESSAGE\n0 relay 1\n100 CANCEL", "0 b0 MESSAGE\n100 not matched");
}

#[test]
fn a_cancel_without_its_invite_matches_nothing() {
    check(RFC, "0 CANCEL", "0 not matched");
}

#[test]
fn cancel_and_ack_are_built_from_the_invite_of_their_branch() {
    let mut bench = Bench::new(RFC);
    for line in ["0 INVITE", "0 relay 1", "1 b0 180", "2 CANCEL", "3 b0 487"] {
        bench.run(line);
    }
    let sent = bench.requests();
    let [invite, cancel, ack] = sent.as_slice() else { panic!("three requests") };
    let via = invite.lines().nth(1).expect("a Via");
    let same = "From: <sip:alice@example.org>;tag=a";
    for (request, method, to) in
        [(cancel, "CANCEL", "To: <sip:bob@example.org>"), (ack, "ACK", "To: <sip:bob@example.org>;tag=b0")]
    {
        let lines: Vec<&str> = request.lines().collect();
        assert_eq!(
            lines,
            [
                &format!("{method} sip:bob@example.org SIP/2.0"),
                via,
                "Max-Forwards: 70",
                same,
                to,
                "Call-ID: c1@192.0.2.9",
                &format!("CSeq: 1 {method}"),
                "Content-Length: 0",
                "",
            ]
        );
    }
}
