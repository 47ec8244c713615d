//! The INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1): timers G, H, I and L.

use seawall_transaction::Timers;

use crate::harness::{RFC, Setup, TM, check};

#[test]
fn an_invite_is_answered_100_at_once_by_default_and_the_100_is_repeated() {
    let setup = Setup { timers: Timers::tm(), ..TM };
    check(
        setup,
        "0 INVITE
         500 INVITE
         600 relay 1
         700 b0 100
         1500 INVITE",
        "0 client 100
         500 absorbed
         500 client 100
         600 b0 INVITE
         1500 absorbed
         1500 client 100",
    );
}

#[test]
fn a_100_can_wait_until_nothing_else_was_sent_for_200_ms() {
    let setup = Setup { timers: Timers::rfc3261(), ..RFC };
    check(setup, "0 INVITE\n300 wait", "200 client 100");
    check(setup, "0 INVITE\n100 reply 180\n300 wait", "100 client 180");
}

#[test]
fn other_requests_get_no_100() {
    check(Setup { timers: Timers::tm(), ..TM }, "0 MESSAGE\n1000 MESSAGE", "1000 absorbed");
}

#[test]
fn the_last_provisional_response_answers_a_retransmission() {
    check(
        RFC,
        "0 INVITE
         0 reply 180
         500 INVITE
         600 reply 183
         1500 INVITE",
        "0 client 180
         500 absorbed
         500 client 180
         600 client 183
         1500 absorbed
         1500 client 183",
    );
}

#[test]
fn timer_g_repeats_a_final_response_at_t1_doubling_to_t2_until_timer_h() {
    check(
        RFC,
        "0 INVITE
         0 reply 486
         * end",
        "0 client 486
         0 completed 486 local
         500 client 486
         1500 client 486
         3500 client 486
         7500 client 486
         11500 client 486
         15500 client 486
         19500 client 486
         23500 client 486
         27500 client 486
         31500 client 486
         32000 ended
         empty",
    );
}

#[test]
fn an_ack_stops_timer_g_and_timer_i_absorbs_its_repetitions() {
    check(
        RFC,
        "0 INVITE
         0 reply 486
         100 ACK
         200 ACK
         300 INVITE
         * end",
        "0 client 486
         0 completed 486 local
         100 ack absorbed
         200 ack absorbed
         300 absorbed
         5100 ended
         empty",
    );
}

#[test]
fn over_tcp_nothing_is_repeated_and_the_ack_ends_the_transaction() {
    check(
        Setup { client_tcp: true, ..RFC },
        "0 INVITE
         0 reply 486
         9000 ACK",
        "0 client 486
         0 completed 486 local
         9000 ack absorbed
         9000 ended",
    );
}

#[test]
fn over_tcp_timer_h_still_runs() {
    check(
        Setup { client_tcp: true, ..RFC },
        "0 INVITE
         0 reply 486
         * end",
        "0 client 486
         0 completed 486 local
         32000 ended
         empty",
    );
}

#[test]
fn timer_l_absorbs_retransmissions_after_a_2xx_without_an_answer() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 200
         600 INVITE
         700 ACK
         * end",
        "0 b0 INVITE
         100 client 200
         100 completed 200
         600 absorbed
         700 ack of 2xx
         32100 ended
         empty",
    );
}

#[test]
fn a_second_final_response_is_refused() {
    check(
        RFC,
        "0 INVITE
         0 reply 486
         1 reply 200
         2 reply 180",
        "0 client 486
         0 completed 486 local
         1 the request has been answered
         2 the request has been answered",
    );
}

#[test]
fn a_transaction_that_routing_logic_forgets_is_answered_408() {
    check(
        TM,
        "0 INVITE
         120000 ACK
         * end",
        "120000 client 408
         120000 completed 408 local
         120000 ack absorbed
         125000 ended
         empty",
    );
}
