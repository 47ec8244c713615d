//! One datagram: scan, read every view, validate, answer, edit and write. The torture messages are good seeds:
//! `cargo +nightly fuzz run message fuzz/corpus/message crates/sip/tests/corpora/rfc4475`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seawall_sip::{
    Contact, Edits, Message, Name, Uri, Via, ViaFix,
    build::Response,
    cseq, digest, feature_caps,
    limits::MAX_HEADERS,
    list,
    name_addr::{addresses, contacts},
    validate,
    via::vias,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::parse(bytes.to_vec()) else { return };
    read_everything(&message);
    let accepted = validate::request(&message).is_ok();
    if message.is_request() {
        answer(&message, accepted);
    }
    write(&message);
});

fn read_everything(message: &Message) {
    for header in message.headers() {
        assert_eq!(message.span_of(header.value).unwrap_or(header.value_span), header.value_span);
        let _ = list::Items::new(header.value).count();
    }
    for via in vias(message).flatten() {
        let _ = (via.branch(), via.rport(), via.received_ip(), via.ttl(), via.host_ip());
    }
    for contact in contacts(message).flatten() {
        if let Contact::Address(address) = contact {
            let _ = (address.q(), address.expires(), address.tag(), address.parse_uri());
        }
    }
    for name in [Name::From, Name::To, Name::Route, Name::RecordRoute, Name::Path, Name::Supported] {
        let _ = (addresses(message, name).count(), list::tokens(message, name).count());
    }
    let _ = digest::credentials(message, Name::Authorization).count();
    let _ = digest::challenges(message, Name::WwwAuthenticate).count();
    let _ = feature_caps::feature_caps(message).flatten().count();
    let _ = (cseq::CSeq::of(message), cseq::expires(message), cseq::max_forwards(message));
    let _ = (Uri::parse(message.request_uri()), validate::response(message));
}

/// The answer to whatever came is a message without a fault; to a request that was accepted it is a response that
/// its sender accepts.
fn answer(request: &Message, accepted: bool) {
    let source = ([192, 0, 2, 1], 5060).into();
    let via_fix = Via::top(request).ok().and_then(|via| ViaFix::for_source(&via, source));
    let mut out = Vec::new();
    let response =
        Response { via_fix, to_tag: Some(b"t"), record_route: true, ..Response::new(400, b"Bad Request") };
    response.write(request, &mut out);
    let response = Message::parse(out).expect("our own response is framed");
    assert_eq!(response.flaw(), None);
    assert_eq!(response.body(), b"");
    if accepted {
        assert_eq!(validate::response(&response), Ok(()));
    }
}

/// Without edits nothing changes; with edits the rest reads as before.
fn write(message: &Message) {
    let mut edits = Edits::new();
    let mut out = Vec::new();
    edits.write(message, &mut out);
    assert_eq!(out, message.wire());
    if message.flaw().is_some() {
        return;
    }
    edits.insert_header_first(message, b"X-First: 1");
    edits.append_header(message, b"X-Last: 2");
    edits.replace_body(message, b"another body");
    out.clear();
    edits.write(message, &mut out);
    let added = 2 + usize::from(message.header(Name::ContentLength).is_none());
    let Ok(edited) = Message::parse(out) else { return };
    if message.header_count() + added <= MAX_HEADERS {
        assert_eq!(edited.header_count(), message.header_count() + added);
        assert_eq!(edited.body(), b"another body");
    }
}
