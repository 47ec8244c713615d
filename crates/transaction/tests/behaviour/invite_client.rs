//! The INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2): timers A, B, C, D and M.

use crate::harness::{RFC, Setup, TM, check};

#[test]
fn timer_a_doubles_until_timer_b_ends_the_branch_with_408() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         32000 ACK
         * end",
        "0 b0 INVITE
         500 b0 INVITE
         1500 b0 INVITE
         3500 b0 INVITE
         7500 b0 INVITE
         15500 b0 INVITE
         31500 b0 INVITE
         32000 client 408
         32000 completed 408 local
         32000 ack absorbed
         64000 ended
         empty",
    );
}

#[test]
fn over_tcp_the_request_is_sent_once() {
    check(
        Setup { branch_tcp: true, ..RFC },
        "0 INVITE
         0 relay 1
         32000 ACK
         * end",
        "0 b0 INVITE
         32000 client 408
         32000 completed 408 local
         32000 ack absorbed
         37000 ended
         empty",
    );
}

#[test]
fn a_provisional_response_stops_timer_a_and_is_relayed_unless_it_is_100() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 100
         700 b0 180
         900 b0 183
         5000 wait",
        "0 b0 INVITE
         700 client 180
         900 client 183",
    );
}

#[test]
fn timer_c_starts_anew_with_each_provisional_response_and_then_cancels() {
    check(
        TM,
        "0 INVITE
         0 relay 1
         1000 b0 180
         100000 b0 183
         220010 b0 C200
         220020 b0 487
         220030 ACK
         * end",
        "0 b0 INVITE
         500 b0 INVITE
         1000 client 180
         100000 client 183
         220000 b0 CANCEL
         220000 client 408
         220000 completed 408 local
         220020 b0 ACK
         220030 ack absorbed
         225030 ended
         empty",
    );
}

#[test]
fn timer_c_can_be_left_to_the_first_provisional_response() {
    let mut setup = TM;
    setup.timers.restart_fr_on_each_reply = false;
    check(
        setup,
        "0 INVITE
         0 relay 1
         100 b0 100
         60000 b0 180
         120100 b0 C200
         120200 b0 487",
        "0 b0 INVITE
         60000 client 180
         120100 b0 CANCEL
         120100 client 408
         120100 completed 408 local
         120200 b0 ACK",
    );
}

#[test]
fn a_2xx_after_timer_c_still_goes_upstream() {
    check(
        TM,
        "0 INVITE
         0 relay 1
         1 b0 180
         120002 b0 200",
        "0 b0 INVITE
         1 client 180
         120001 b0 CANCEL
         120001 client 408
         120001 completed 408 local
         120002 client 200",
    );
}

#[test]
fn a_final_response_is_acknowledged_on_its_hop_and_timer_d_acknowledges_repetitions() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 486
         110 ACK
         600 b0 486
         32099 b0 486
         32100 wait
         32101 b0 486
         * end",
        "0 b0 INVITE
         100 b0 ACK
         100 client 486
         100 completed 486
         110 ack absorbed
         600 b0 ACK
         32099 b0 ACK
         32100 ended
         32101 dropped
         empty",
    );
}

#[test]
fn over_tcp_timer_d_is_zero() {
    check(
        Setup { branch_tcp: true, client_tcp: true, ..RFC },
        "0 INVITE
         0 relay 1
         100 b0 486
         110 ACK",
        "0 b0 INVITE
         100 b0 ACK
         100 client 486
         100 completed 486
         110 ack absorbed
         110 ended",
    );
}

#[test]
fn a_2xx_is_relayed_with_every_repetition_until_timer_m() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 200
         600 b0 200
         32099 b0 200
         32101 b0 200",
        "0 b0 INVITE
         100 client 200
         100 completed 200
         600 client 200
         32099 client 200
         32100 ended
         32101 dropped",
    );
}

#[test]
fn a_late_2xx_overrides_the_timeout_of_its_branch() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 180
         181100 ACK
         181101 b0 200
         181601 b0 200",
        "0 b0 INVITE
         100 client 180
         181100 b0 CANCEL
         181100 client 408
         181100 completed 408 local
         181100 ack absorbed
         181101 client 200
         181600 b0 CANCEL
         181601 client 200",
    );
}

#[test]
fn a_branch_that_cannot_be_sent_counts_as_503_and_is_told_as_500() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         1 fail b0",
        "0 b0 INVITE
         1 client 500
         1 completed 500 local",
    );
}

#[test]
fn a_received_503_is_told_as_500() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         1 b0 503",
        "0 b0 INVITE
         1 b0 ACK
         1 client 500
         1 completed 500",
    );
}

#[test]
fn timeouts_can_be_set_for_one_transaction() {
    check(
        TM,
        "0 INVITE
         0 timeouts 400
         0 relay 1
         400 wait",
        "0 b0 INVITE
         400 client 408
         400 completed 408 local",
    );
}
