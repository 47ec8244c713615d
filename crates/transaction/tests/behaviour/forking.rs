//! Several branches, and the best response (RFC 3261 §16.7).

use crate::harness::{Bench, RFC, TM, check};

#[test]
fn the_first_2xx_is_relayed_and_cancels_the_others() {
    check(
        RFC,
        "0 INVITE
         0 relay 3
         100 b0 180
         110 b1 180
         200 b1 200
         210 b0 C200
         220 b0 487
         300 b2 100
         310 b2 C200
         320 b2 487",
        "0 b0 INVITE
         0 b1 INVITE
         0 b2 INVITE
         100 client 180
         110 client 180
         200 client 200
         200 completed 200
         200 b0 CANCEL
         220 b0 ACK
         300 b2 CANCEL
         320 b2 ACK",
    );
}

#[test]
fn a_second_2xx_is_relayed_too() {
    check(
        RFC,
        "0 INVITE
         0 relay 2
         100 b0 180
         110 b1 180
         200 b0 200
         201 b1 200
         210 b1 C481",
        "0 b0 INVITE
         0 b1 INVITE
         100 client 180
         110 client 180
         200 client 200
         200 completed 200
         200 b1 CANCEL
         201 client 200",
    );
}

#[test]
fn failures_are_collected_and_the_best_is_sent_when_all_have_ended() {
    check(
        RFC,
        "0 INVITE
         0 relay 3
         100 b0 486
         200 b1 302
         300 b2 404",
        "0 b0 INVITE
         0 b1 INVITE
         0 b2 INVITE
         100 b0 ACK
         200 b1 ACK
         300 b2 ACK
         300 client 302
         300 completed 302",
    );
}

#[test]
fn a_6xx_cancels_the_others_and_is_sent_when_they_have_ended() {
    check(
        RFC,
        "0 INVITE
         0 relay 2
         100 b0 180
         200 b1 603
         210 b0 C200
         220 b0 487",
        "0 b0 INVITE
         0 b1 INVITE
         100 client 180
         200 b1 ACK
         200 b0 CANCEL
         220 b0 ACK
         220 client 603
         220 completed 603",
    );
}

#[test]
fn a_2xx_that_crosses_a_6xx_wins() {
    check(
        RFC,
        "0 INVITE
         0 relay 2
         100 b0 180
         200 b1 603
         210 b0 200",
        "0 b0 INVITE
         0 b1 INVITE
         100 client 180
         200 b1 ACK
         200 b0 CANCEL
         210 client 200
         210 completed 200",
    );
}

#[test]
fn a_provisional_response_after_the_final_one_is_not_relayed() {
    check(
        RFC,
        "0 INVITE
         0 relay 2
         100 b0 200
         150 b1 180
         160 b1 C200
         170 b1 487",
        "0 b0 INVITE
         0 b1 INVITE
         100 client 200
         100 completed 200
         150 b1 CANCEL
         170 b1 ACK",
    );
}

#[test]
fn a_timeout_of_one_branch_loses_against_any_answer_of_another() {
    check(
        TM,
        "0 INVITE
         0 relay 2
         100 b0 100
         200 b1 480
         120100 b0 C200",
        "0 b0 INVITE
         0 b1 INVITE
         200 b1 ACK
         120100 b0 CANCEL
         120100 client 480
         120100 completed 480",
    );
}

#[test]
fn challenges_of_all_branches_go_upstream_together() {
    let mut bench = Bench::new(RFC);
    for line in ["0 MESSAGE", "0 relay 4", "1 b0 407", "2 b1 401", "3 b2 404", "4 b3 401"] {
        bench.run(line);
    }
    let responses = bench.responses();
    let [response] = responses.as_slice() else { panic!("one response") };
    let challenges: Vec<&str> = response.lines().filter(|line| line.contains("Authenticate")).collect();
    assert!(response.starts_with("SIP/2.0 407 "));
    assert_eq!(
        challenges,
        [
            "Proxy-Authenticate: Digest realm=\"p\"",
            "WWW-Authenticate: Digest realm=\"w\"",
            "WWW-Authenticate: Digest realm=\"w\"",
        ]
    );
    assert!(response.ends_with("\r\n\r\n"));
}
