//! What routing logic does to a transaction: failure routes, serial forking, waiting for branches, own answers.

use crate::harness::{RFC, TM, check};

#[test]
fn a_held_failure_is_told_and_waits_for_an_answer() {
    check(
        RFC,
        "0 INVITE
         0 hold
         0 relay 1
         100 b0 486
         200 finish",
        "0 b0 INVITE
         100 b0 ACK
         100 failure 486 b0
         200 client 486
         200 completed 486",
    );
}

#[test]
fn further_branches_after_a_failure_make_a_new_round() {
    check(
        RFC,
        "0 INVITE
         0 hold
         0 relay 1
         100 b0 486
         110 relay 1
         120 finish
         200 b1 500",
        "0 b0 INVITE
         100 b0 ACK
         100 failure 486 b0
         110 b1 INVITE
         200 b1 ACK
         200 client 500
         200 completed 500",
    );
}

#[test]
fn a_failure_is_told_again_only_if_asked_again() {
    check(
        RFC,
        "0 INVITE
         0 hold
         0 relay 1
         100 b0 486
         110 hold
         110 relay 1
         200 b1 500
         210 reply 480",
        "0 b0 INVITE
         100 b0 ACK
         100 failure 486 b0
         110 b1 INVITE
         200 b1 ACK
         200 failure 500 b1
         210 client 480
         210 completed 480 local",
    );
}

#[test]
fn a_timeout_is_told_as_a_failure() {
    check(
        TM,
        "0 MESSAGE
         0 timeouts 400
         0 hold
         0 relay 1
         400 wait
         500 relay 1
         600 b1 200",
        "0 b0 MESSAGE
         400 failure 408 b0
         500 b1 MESSAGE
         600 client 200
         600 completed 200
         600 ended",
    );
}

#[test]
fn a_cancelled_request_is_told_as_a_failure_and_takes_no_branches() {
    check(
        RFC,
        "0 INVITE
         0 hold
         0 relay 1
         100 b0 180
         200 CANCEL
         210 b0 C200
         220 b0 487
         230 relay 1
         240 finish",
        "0 b0 INVITE
         100 client 180
         200 b0 CANCEL
         220 b0 ACK
         220 failure 487 b0
         230 the request has been cancelled
         240 client 487
         240 completed 487",
    );
}

#[test]
fn a_failure_that_nobody_answers_is_answered_in_the_end() {
    check(
        TM,
        "0 INVITE
         0 hold
         0 relay 1
         100 b0 486
         120100 wait",
        "0 b0 INVITE
         100 b0 ACK
         100 failure 486 b0
         120100 client 486
         120100 completed 486",
    );
}

#[test]
fn a_late_2xx_beats_a_failure_that_is_waiting() {
    check(
        TM,
        "0 INVITE
         0 timeouts 400
         0 hold
         0 relay 1
         400 wait
         450 b0 200
         460 relay 1
         470 finish",
        "0 b0 INVITE
         400 failure 408 b0
         450 client 200
         450 completed 200
         460 the request has been answered",
    );
}

#[test]
fn an_answer_of_routing_logic_cancels_the_branches() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         100 b0 180
         200 reply 480
         210 b0 C200
         220 b0 487",
        "0 b0 INVITE
         100 client 180
         200 client 480
         200 completed 480 local
         200 b0 CANCEL
         220 b0 ACK",
    );
}

#[test]
fn one_branch_or_all_others_can_be_cancelled() {
    check(
        RFC,
        "0 INVITE
         0 relay 3
         1 b0 180
         2 b1 180
         3 b2 180
         10 cut b0
         11 b0 C200
         12 b0 487
         20 others b1
         21 b2 C200
         22 b2 487
         30 b1 200",
        "0 b0 INVITE
         0 b1 INVITE
         0 b2 INVITE
         1 client 180
         2 client 180
         3 client 180
         10 b0 CANCEL
         12 b0 ACK
         20 b2 CANCEL
         22 b2 ACK
         30 client 200
         30 completed 200",
    );
}

#[test]
fn branches_that_are_expected_keep_the_transaction_open() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         0 expect 9000
         100 b0 480
         5000 relay 1
         5100 b1 200",
        "0 b0 INVITE
         100 b0 ACK
         5000 b1 INVITE
         5100 client 200
         5100 completed 200",
    );
}

#[test]
fn when_no_expected_branch_comes_the_best_response_is_sent() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         0 expect 9000
         100 b0 480
         9000 wait",
        "0 b0 INVITE
         100 b0 ACK
         9000 client 480
         9000 completed 480",
    );
    check(RFC, "0 INVITE\n0 expect 9000\n9000 wait", "9000 client 408\n9000 completed 408 local");
    check(
        RFC,
        "0 INVITE
         0 expect 9000
         100 nomore",
        "100 client 408
         100 completed 408 local",
    );
}

#[test]
fn waiting_for_branches_after_a_failure_does_not_last_for_ever() {
    check(
        TM,
        "0 INVITE
         0 hold
         0 relay 1
         100 b0 486
         200 expect 300
         120100 ACK
         * end",
        "0 b0 INVITE
         100 b0 ACK
         100 failure 486 b0
         120100 client 486
         120100 completed 486
         120100 ack absorbed
         125100 ended
         empty",
    );
    check(
        TM,
        "0 INVITE
         0 expect 150000
         150000 ACK",
        "150000 client 408
         150000 completed 408 local
         150000 ack absorbed",
    );
}

#[test]
fn a_cancel_ends_the_wait_for_branches() {
    check(
        RFC,
        "0 INVITE
         0 relay 1
         0 expect 9000
         100 b0 480
         200 CANCEL",
        "0 b0 INVITE
         100 b0 ACK
         200 client 480
         200 completed 480",
    );
}

#[test]
fn a_request_that_is_not_wanted_is_forgotten_without_a_word() {
    check(RFC, "0 INVITE\n0 abandon\n1 INVITE", "0 ended");
}
