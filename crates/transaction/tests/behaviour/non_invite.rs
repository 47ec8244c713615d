//! Requests other than INVITE (RFC 3261 §17.1.2, §17.2.2; RFC 4320): timers E, F, J and K.

use crate::harness::{RFC, Setup, TM, check};

#[test]
fn timer_e_doubles_to_t2_until_timer_f() {
    check(
        TM,
        "0 MESSAGE
         0 relay 1
         * end",
        "0 b0 MESSAGE
         500 b0 MESSAGE
         1500 b0 MESSAGE
         3500 b0 MESSAGE
         7500 b0 MESSAGE
         11500 b0 MESSAGE
         15500 b0 MESSAGE
         19500 b0 MESSAGE
         23500 b0 MESSAGE
         27500 b0 MESSAGE
         30000 client 408
         30000 completed 408 local
         30000 ended
         35000 forgotten
         empty",
    );
}

#[test]
fn a_408_that_comes_too_late_for_the_client_is_not_sent() {
    check(
        Setup { branch_tcp: true, ..RFC },
        "0 MESSAGE
         0 relay 1
         * end",
        "0 b0 MESSAGE
         32000 completed 408 local
         32000 ended
         empty",
    );
}

#[test]
fn after_a_provisional_response_timer_e_runs_at_t2() {
    check(
        TM,
        "0 MESSAGE
         0 relay 1
         600 b0 100
         10000 b0 202
         * end",
        "0 b0 MESSAGE
         500 b0 MESSAGE
         4600 b0 MESSAGE
         8600 b0 MESSAGE
         10000 client 202
         10000 completed 202
         10000 ended
         15000 forgotten
         empty",
    );
}

#[test]
fn timer_j_repeats_the_final_response_and_timer_k_absorbs_it() {
    check(
        RFC,
        "0 MESSAGE
         0 relay 1
         10 b0 200
         20 b0 200
         500 MESSAGE
         4500 MESSAGE
         * end",
        "0 b0 MESSAGE
         10 client 200
         10 completed 200
         10 ended
         500 absorbed
         500 client 200
         4500 absorbed
         4500 client 200
         32010 forgotten
         empty",
    );
}

#[test]
fn over_tcp_timers_j_and_k_are_zero() {
    check(
        Setup { client_tcp: true, branch_tcp: true, ..TM },
        "0 MESSAGE
         0 relay 1
         10 b0 200
         20 b0 200",
        "0 b0 MESSAGE
         10 client 200
         10 completed 200
         10 ended
         20 dropped",
    );
}

#[test]
fn a_retransmission_before_any_response_is_absorbed_silently() {
    check(
        TM,
        "0 MESSAGE
         500 MESSAGE
         600 relay 1
         1500 MESSAGE",
        "500 absorbed
         600 b0 MESSAGE
         1100 b0 MESSAGE
         1500 absorbed",
    );
}

#[test]
fn a_failure_of_the_next_hop_is_relayed_without_an_ack() {
    check(
        TM,
        "0 MESSAGE
         0 relay 1
         10 b0 404
         * end",
        "0 b0 MESSAGE
         10 client 404
         10 completed 404
         10 ended
         5010 forgotten
         empty",
    );
}

#[test]
fn of_several_2xx_the_first_is_relayed_and_nothing_is_cancelled() {
    check(
        TM,
        "0 MESSAGE
         0 relay 2
         10 b1 200
         20 b0 200
         * end",
        "0 b0 MESSAGE
         0 b1 MESSAGE
         10 client 200
         10 completed 200
         20 ended
         5020 forgotten
         empty",
    );
}

#[test]
fn a_response_that_its_user_keeps_for_a_while_is_not_late() {
    check(
        TM,
        "0 MESSAGE
         0 timeouts 2000
         0 relay 1
         1600 keep 10000
         9000 b0 200
         9100 keep 30000
         * end",
        "0 b0 MESSAGE
         500 b0 MESSAGE
         1500 b0 MESSAGE
         9000 client 200
         9000 completed 200
         9000 ended
         14000 forgotten
         empty",
    );
    // Who does not give it is no better than a next hop that does not answer; and nobody is given less than he had.
    check(
        TM,
        "0 MESSAGE
         0 timeouts 2000
         0 relay 1
         100 keep 5000
         200 keep 300
         * end",
        "0 b0 MESSAGE
         5000 client 408
         5000 completed 408 local
         5000 ended
         10000 forgotten
         empty",
    );
}
