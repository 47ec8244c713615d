//! How requests and responses find their transaction (RFC 3261 §17.1.3, §17.2.3).

use seawall_sip::Message;
use seawall_transaction::{BranchToken, Keys, OwnBranch, PingToken, RequestKind};

use crate::harness::{BRANCH, Bench, RFC, Setup, check, request};

const OLD: Setup = Setup { rfc2543: true, ..RFC };

#[test]
fn rfc2543_requests_are_matched_without_a_branch() {
    check(
        OLD,
        "0 INVITE
         500 INVITE
         600 relay 1
         700 b0 180
         800 CANCEL
         810 b0 C200
         820 b0 487
         830 ACK",
        "500 absorbed
         600 b0 INVITE
         700 client 180
         800 b0 CANCEL
         820 b0 ACK
         820 client 487
         820 completed 487
         830 ack absorbed",
    );
}

#[test]
fn an_rfc2543_ack_with_another_to_tag_is_not_for_this_response() {
    let mut bench = Bench::new(OLD);
    for line in ["0 INVITE", "0 relay 2", "1 b1 302", "2 b0 404", "3 ACK"] {
        bench.run(line);
    }
    // The 302 of b1 was sent, but the ACK carries the tag of b0.
    assert_eq!(bench.log.last().map(String::as_str), Some("3 not matched"), "{:?}", bench.log);
}

fn key_text(keys: &Keys, message: &Message) -> String {
    format!("{:?}", keys.server_key(message).expect("a key"))
        .replace("Ack", "Invite")
        .replace("Cancel", "Invite")
}

#[test]
fn branch_sent_by_and_method_make_the_key() {
    let keys = Keys::new([1; 16]);
    let key = |message: &Message| key_text(&keys, message);
    let invite = key(&request("INVITE", BRANCH, ""));
    assert_eq!(invite, key(&request("INVITE", BRANCH, ";tag=x")));
    assert_eq!(invite, key(&request("ACK", BRANCH, ";tag=x")));
    assert_eq!(invite, key(&request("CANCEL", BRANCH, "")));
    assert_ne!(invite, key(&request("BYE", BRANCH, "")));
    assert_ne!(invite, key(&request("INVITE", "z9hG4bKother", "")));
    assert_ne!(invite, key_text(&Keys::new([2; 16]), &request("INVITE", BRANCH, "")));
    let other_host = String::from_utf8(request("INVITE", BRANCH, "").into_bytes()).expect("text");
    let other_host = Message::parse(other_host.replace("192.0.2.9:5070", "192.0.2.8:5070").into_bytes());
    assert_ne!(invite, key(&other_host.expect("a request")));
    assert_eq!(keys.server_key(&request("ACK", BRANCH, "")).map(|key| key.kind()), Some(RequestKind::Ack));
}

#[test]
fn a_request_without_a_usable_via_has_no_key() {
    let bytes = b"INVITE sip:a SIP/2.0\r\nVia: garbage\r\n\r\n".to_vec();
    assert_eq!(Keys::new([1; 16]).server_key(&Message::parse(bytes).expect("a request")), None);
}

#[test]
fn the_tag_of_a_stateless_reply_is_the_same_for_a_retransmission_only() {
    let keys = Keys::new([1; 16]);
    let tag = |branch: &str| keys.stateless_tag(&request("REGISTER", branch, ""));
    assert!(tag(BRANCH).is_some_and(|tag| tag.iter().all(u8::is_ascii_hexdigit)));
    assert_eq!(tag(BRANCH), tag(BRANCH));
    assert_ne!(tag(BRANCH), tag("z9hG4bKother"));
    assert_ne!(tag(BRANCH), Keys::new([2; 16]).stateless_tag(&request("REGISTER", BRANCH, "")));
    assert_eq!(tag("old"), None, "a branch of RFC 2543 tells nothing");
    assert_eq!(tag("z9hG4bK"), None);
}

fn own_branch() -> (Keys, BranchToken, Vec<u8>) {
    let mut bench = Bench::new(RFC);
    bench.run("0 INVITE");
    let key = bench.keys.server_key(&request("INVITE", BRANCH, "")).expect("a key");
    let token = bench.layer.find(&key).expect("a transaction").branch(5);
    let mut branch = Vec::new();
    bench.keys.write_branch(token, 77, &mut branch);
    (bench.keys, token, branch)
}

#[test]
fn a_branch_of_ours_is_read_back() {
    let (keys, token, branch) = own_branch();
    assert_eq!(keys.read_branch(&branch), Some(OwnBranch::Transaction(token)));
    assert_eq!(keys.branch_path(&branch), Some(77));
    assert_eq!(token.id.shard, 3);
    let shouted = [b"z9hG4bK", branch[7..].to_ascii_uppercase().as_slice()].concat();
    assert_eq!(keys.read_branch(&shouted), Some(OwnBranch::Transaction(token)));
}

#[test]
fn a_forged_branch_is_not_ours() {
    let (keys, _, branch) = own_branch();
    for position in 0..branch.len() {
        let mut forged = branch.clone();
        forged[position] = if forged[position] == b'0' { b'1' } else { b'0' };
        assert_eq!(keys.read_branch(&forged), None, "changed at {position}");
    }
    assert_eq!(keys.read_branch(&branch[..branch.len() - 1]), None);
    assert_eq!(keys.read_branch(b""), None);
    assert_eq!(Keys::new([9; 16]).read_branch(&branch), None, "the branch of another server");
}

#[test]
fn the_branch_of_a_ping_says_whom_and_when_and_cannot_be_made_up() {
    let keys = Keys::new([1; 16]);
    let token = PingToken { domain: 3, contact_id: (1 << 62) - 5, sent_us: u64::MAX - 1 };
    let mut branch = Vec::new();
    keys.write_ping_branch(token, &mut branch);
    assert_eq!(keys.read_branch(&branch), Some(OwnBranch::Ping(token)));
    for position in 0..branch.len() {
        let mut forged = branch.clone();
        forged[position] = if forged[position] == b'0' { b'1' } else { b'0' };
        assert_eq!(keys.read_branch(&forged), None, "changed at {position}");
    }
}

#[test]
fn a_branch_of_an_earlier_transaction_in_the_same_place_reaches_nothing() {
    let mut bench = Bench::new(RFC);
    for line in ["0 INVITE", "0 abandon", "1 MESSAGE", "1 relay 1"] {
        bench.run(line);
    }
    let key = bench.keys.server_key(&request("MESSAGE", BRANCH, "")).expect("a key");
    let now = bench.layer.find(&key).expect("a transaction");
    assert_eq!(bench.layer.len(), 1);
    assert_eq!(now.number() >> 32, 0, "the place is used again");
    assert_eq!(bench.log, ["0 ended", "1 b0 MESSAGE"]);
}

#[test]
fn a_stateless_branch_is_the_same_for_a_request_and_its_cancel() {
    let keys = Keys::new([1; 16]);
    let branch = |method: &str, index: u16| {
        let mut out = Vec::new();
        let key = keys.server_key(&request(method, BRANCH, "")).expect("a key");
        keys.write_stateless_branch(&key, index, 5, &mut out);
        out
    };
    assert_eq!(branch("INVITE", 0), branch("CANCEL", 0));
    assert_ne!(branch("INVITE", 0), branch("INVITE", 1));
    assert_ne!(branch("INVITE", 0), branch("BYE", 0));
    assert_eq!(keys.read_branch(&branch("INVITE", 0)), Some(OwnBranch::Stateless));
}

#[test]
fn the_response_of_a_transaction_that_has_ended_is_dropped() {
    check(
        RFC,
        "0 MESSAGE
         0 relay 1
         1 b0 200
         40000 b0 200",
        "0 b0 MESSAGE
         1 client 200
         1 completed 200
         1 ended
         32001 forgotten
         40000 dropped",
    );
}
