//! Relays a number of MESSAGEs through one shard, with their responses and all timers, so that the cost of one can be
//! counted: `valgrind --tool=callgrind target/release/examples/relay_cost 2000`, less the same with 1000.
//!
//! The count includes parsing both messages and writing the forwarded ones, which the layer itself does not do.

use std::sync::Arc;

use seawall_sip::{Edits, Message, ViaFix, response_into};
use seawall_transaction::{
    Effects, Keys, Layer, NewBranch, OwnBranch, Relay, Request, RequestMatch, Target, Timers,
    proxy::forward::{Forward, MaxForwards, ViaLine},
};

#[derive(Clone, Copy)]
struct Udp;

impl Target for Udp {
    fn is_reliable(&self) -> bool {
        false
    }
}

fn request(number: u64) -> Vec<u8> {
    format!(
        "MESSAGE sip:bob@192.0.2.7:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5070;rport;branch=z9hG4bK{number:012}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=a{number}\r\nTo: <sip:bob@example.org>\r\n\
         Call-ID: {number}@192.0.2.9\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
    )
    .into_bytes()
}

fn main() {
    let count: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1000);
    let parts = std::env::args().nth(2).unwrap_or_default();
    let keys = Keys::new([1; 16]);
    let mut layer: Layer<Arc<()>, Udp> = Layer::new(0, keys, Timers::tm());
    let (mut out, mut edits, context) = (Effects::new(), Edits::new(), Arc::new(()));
    for number in 0..count {
        let now_ms = number / 2;
        let Ok(message) = Message::parse(request(number)) else { return };
        let mut bytes = Vec::with_capacity(1024);
        if parts != "layer" {
            edits.clear();
            let via = ViaLine { transport: b"UDP", sent_by: b"192.0.2.1", branch: b"z9hG4bKx", rport: false };
            let via_fix = Some(ViaFix { received: None, rport: Some(5070) });
            let max_forwards = MaxForwards::Decrement;
            Forward { via, request_uri: None, via_fix, max_forwards, first_headers: b"" }
                .write(&message, &mut edits, &mut bytes);
        }
        if parts == "message" {
            continue;
        }
        let Some(key) = keys.server_key(&message) else { return };
        if layer.request(now_ms, &key, &message, &mut out) != RequestMatch::New {
            return;
        }
        let path = keys.path_hash(&message);
        let request = Arc::new(Request { message, reply_to: Udp, via_fix: None });
        let Ok(id) = layer.create(now_ms, &key, request.clone(), context.clone(), &mut out) else { return };
        let mut branch = Vec::with_capacity(64);
        keys.write_branch(id.branch(0), path, &mut branch);
        let new = NewBranch { index: 0, target: Udp, bytes: bytes.into(), timeouts_ms: None };
        if layer.forward(now_ms, id, [new], &mut out).is_err() {
            return;
        }
        let head =
            [b"M sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=", branch.as_slice(), b"\r\n"].concat();
        let tail =
            request.message.wire().split(|&byte| byte == b'\n').skip(1).collect::<Vec<_>>().join(&b'\n');
        let Ok(forwarded) = Message::parse([head, tail].concat()) else { return };
        let mut bytes = Vec::with_capacity(512);
        response_into(&mut bytes, &forwarded, 200, b"OK", Some(b"tag"), None, b"");
        let Ok(response) = Message::parse(bytes) else { return };
        answer(&mut layer, &keys, now_ms, &response, &mut out);
        out.clear();
        layer.timeout(now_ms, &mut out);
        out.clear();
    }
    println!("{} transactions are left", layer.len());
}

#[inline(never)]
fn answer(
    layer: &mut Layer<Arc<()>, Udp>,
    keys: &Keys,
    now_ms: u64,
    response: &Message,
    out: &mut Effects<Arc<()>, Udp>,
) {
    let Some(OwnBranch::Transaction(token)) = keys.response_branch(response) else { return };
    if layer.match_response(token, response).is_some() {
        layer.response(now_ms, token, response, Relay::AsReceived, out);
    }
}
