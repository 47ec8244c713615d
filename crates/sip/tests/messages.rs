//! Scanning and validation: what is found where, which faults are told, and who is answered.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use seawall_sip::{
    BadRequest, Framing, Header, Message, Method, Name, ScanError,
    limits::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_MESSAGE_BYTES},
    validate::{self, Discard},
};

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:a@example.com>;tag=1\r\n\
    t: <sip:a@example.com>\r\n\
    i: id@192.0.2.1\r\n\
    CSeq: 1 REGISTER\r\n\
    l: 0\r\n\r\n";

fn parse(text: &str) -> Message {
    Message::parse(text.as_bytes().to_vec()).unwrap_or_else(|(_, error)| panic!("{text:?}: {error}"))
}

fn values<'a>(headers: impl Iterator<Item = Header<'a>>) -> Vec<&'a str> {
    headers.map(|header| std::str::from_utf8(header.value).unwrap()).collect()
}

#[test]
fn a_request_line_is_taken_apart() {
    let message = parse(REGISTER);
    assert!(message.is_request() && !message.is_response());
    assert_eq!((message.method(), message.method_id()), (&b"REGISTER"[..], Method::Register));
    assert_eq!(message.request_uri(), b"sip:example.com");
    assert_eq!((message.version(), message.status(), message.reason()), (&b"SIP/2.0"[..], 0, &b""[..]));
    assert_eq!(message.slice(message.request_uri_span()), b"sip:example.com");
}

#[test]
fn a_status_line_is_taken_apart() {
    let message = parse("SIP/2.0 183 Session Progress\r\nCSeq: 7 INVITE\r\n\r\n");
    assert!(message.is_response() && !message.is_request());
    assert_eq!((message.status(), message.reason()), (183, &b"Session Progress"[..]));
    assert_eq!((message.method(), message.request_uri()), (&b""[..], &b""[..]));
    assert_eq!(message.method_id(), Method::Invite);
    assert_eq!(parse("SIP/2.0 200\r\n\r\n").status(), 200);
    assert_eq!(parse("SIP/2.0 200 \r\n\r\n").reason(), b"");
}

#[test]
fn methods_are_case_sensitive() {
    assert_eq!(parse("register sip:a SIP/2.0\r\n\r\n").method_id(), Method::Other);
    assert_eq!(parse("REGISTERS sip:a SIP/2.0\r\n\r\n").method_id(), Method::Other);
}

#[test]
fn header_names_are_found_in_any_case_and_in_compact_form() {
    let message = parse(
        "OPTIONS sip:a SIP/2.0\r\nv: 1\r\nVIA:2\r\nvia  :  3 \r\nX-Own: 4\r\nx-own: 5\r\nCALL-id:6\r\n\r\n",
    );
    assert_eq!(values(message.header_all(Name::Via)), ["1", "2", "3"]);
    assert_eq!(values(message.header_named(b"v")), ["1", "2", "3"]);
    assert_eq!(values(message.header_named(b"Via")), ["1", "2", "3"]);
    assert_eq!(values(message.header_named(b"X-OWN")), ["4", "5"]);
    assert_eq!(values(message.header_named(b"X-Other")), [""; 0]);
    assert_eq!(message.header(Name::CallId).unwrap().index, 5);
    assert_eq!(message.header(Name::CallId).unwrap().name, b"CALL-id");
    assert!(message.is_repeated(Name::Via) && !message.is_repeated(Name::CallId));
    assert!(message.header(Name::To).is_none());
    assert_eq!(values(message.header_all(Name::To)), [""; 0]);
    assert_eq!(message.header_count(), 6);
}

#[test]
fn folded_values_are_one_value() {
    let message =
        parse("OPTIONS sip:a SIP/2.0\r\nSubject: one\r\n two\r\n\tthree\r\nAllow:\r\n A\r\n\r\nbody");
    assert_eq!(values(message.headers()), ["one\r\n two\r\n\tthree", "A"]);
    assert_eq!(
        message.slice(message.header(Name::Subject).unwrap().span),
        b"Subject: one\r\n two\r\n\tthree\r\n"
    );
    assert_eq!(message.body(), b"body");
    assert_eq!(message.flaw(), None);
}

#[test]
fn empty_values_are_empty() {
    let message = parse("OPTIONS sip:a SIP/2.0\r\nSubject:\r\nSupported: \r\ns :   \r\n\r\n");
    assert_eq!(values(message.headers()), ["", "", ""]);
    assert_eq!(message.flaw(), None);
}

#[test]
fn spans_are_found_again_from_the_parts_and_foreign_bytes_are_not() {
    let message = parse(REGISTER);
    let value = message.value(Name::CallId).unwrap();
    let span = message.span_of(value).unwrap();
    assert_eq!((message.slice(span), span), (value, message.header(Name::CallId).unwrap().value_span));
    assert_eq!(message.span_of(b"id@192.0.2.1"), None);
}

#[test]
fn content_length_ends_the_body_and_the_rest_is_noise() {
    let message = parse("OPTIONS sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\nbody and noise");
    assert_eq!(message.body(), b"body");
    assert!(message.wire().ends_with(b"\r\n\r\nbody"));
    assert_eq!(parse("OPTIONS sip:a SIP/2.0\r\n\r\nall of it").body(), b"all of it");
    assert_eq!(parse("OPTIONS sip:a SIP/2.0\r\nl: 2\r\nContent-Length: 2\r\n\r\nabc").body(), b"ab");
    let mut stream = Message::empty();
    stream.buffer_mut().extend_from_slice(b"OPTIONS sip:a SIP/2.0\r\n\r\nnext message");
    stream.scan_in_place(Framing::Stream).unwrap();
    assert_eq!(stream.body(), b"");
}

#[test]
fn line_breaks_before_the_start_line_are_ignored() {
    let message = parse(&format!("\r\n\r\n{REGISTER}"));
    assert_eq!(message.method(), b"REGISTER");
    assert_eq!(message.wire(), REGISTER.as_bytes());
    assert_eq!(validate::request(&message), Ok(()));
}

#[test]
fn a_message_is_reused_without_a_trace_of_the_one_before() {
    let mut message = parse("INVITE sip:a@b SIP/2.0\r\nVia: x\r\nVia: y\r\nSubject: s\r\n bare\r\n\r\nbody");
    message.buffer_mut().clear();
    assert!(!message.is_request() && message.headers().next().is_none() && message.body().is_empty());
    message.buffer_mut().extend_from_slice(REGISTER.as_bytes());
    message.scan_in_place(Framing::Datagram).unwrap();
    assert_eq!(validate::request(&message), Ok(()));
    assert!(!message.is_repeated(Name::Via) && message.header(Name::Subject).is_none());
    message.buffer_mut().truncate(3);
    assert_eq!(message.scan_in_place(Framing::Datagram), Err(ScanError::NotSip));
    assert!(!message.is_request() && message.header_count() == 0);
}

#[test]
fn what_cannot_be_framed_is_dropped() {
    let drop = |bytes: &[u8], expected| {
        let (back, error) = Message::parse(bytes.to_vec()).unwrap_err();
        assert_eq!((back.as_slice(), error), (bytes, expected));
    };
    drop(b"", ScanError::Empty);
    drop(b"\r\n\r\n", ScanError::Empty);
    drop(b"\0\0\0\0", ScanError::Empty);
    drop(b" \r\n", ScanError::Empty);
    drop(b"GET / HTTP/1.1\r\n\r\n", ScanError::NotSip);
    drop(b"REGISTER sip:a\r\n\r\n", ScanError::NotSip);
    drop(b"REGISTER SIP/2.0\r\n\r\n", ScanError::NotSip);
    drop(b"REGISTER", ScanError::NotSip);
    drop(b" REGISTER sip:a SIP/2.0\r\n\r\n", ScanError::NotSip);
    drop(b"REG(ISTER sip:a SIP/2.0\r\n\r\n", ScanError::NotSip);
    drop(&vec![b'x'; MAX_MESSAGE_BYTES + 1], ScanError::TooLarge);
    let long_head = format!("OPTIONS sip:a SIP/2.0\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES));
    drop(long_head.as_bytes(), ScanError::TooLarge);
}

/// A REGISTER in which one line is replaced.
fn with(line: &str, replacement: &str) -> String {
    assert!(REGISTER.contains(line));
    REGISTER.replace(line, replacement)
}

fn flawed(text: &str, flaw: BadRequest) {
    let message = parse(text);
    assert_eq!(message.flaw(), Some(flaw), "{text:?}");
    assert_eq!(validate::request(&message).unwrap_err().status, 400, "{text:?}");
    assert!(message.header(Name::Via).is_some(), "the answer needs it");
}

#[test]
fn faults_of_the_sender_are_told_and_leave_an_answerable_message() {
    flawed(&with("l: 0", "l: -1"), BadRequest::ContentLength);
    flawed(&with("l: 0", "l: 0x0"), BadRequest::ContentLength);
    flawed(&with("l: 0", "l:"), BadRequest::ContentLength);
    flawed(&with("l: 0", "l: 99999999999999999999"), BadRequest::ContentLength);
    flawed(&with("l: 0", "l: 4294967295"), BadRequest::ContentLengthTooLarge);
    flawed(&with("l: 0", "l: 1"), BadRequest::ContentLengthTooLarge);
    flawed(&with("l: 0", "l: 0\r\nContent-Length: 1"), BadRequest::ContentLengthTwice);
    flawed(&with("l: 0", "no colon"), BadRequest::HeaderLine);
    flawed(&with("l: 0", ": no name"), BadRequest::HeaderLine);
    flawed(&with("l: 0", "bad name: x"), BadRequest::HeaderLine);
    flawed(&with("l: 0", "X: a\rb"), BadRequest::ControlCharacter);
    flawed(&with("l: 0", "X: a\nY: b"), BadRequest::ControlCharacter);
    flawed(&with("l: 0", "X: a\0b"), BadRequest::ControlCharacter);
    flawed(&with("l: 0", "X: a\\\0b"), BadRequest::ControlCharacter);
    flawed(&with("l: 0", "X: \"a\\\\\0b\""), BadRequest::ControlCharacter);
    flawed(&with("l: 0\r\n\r\n", "l: 0\r\n"), BadRequest::NoEmptyLine);
    flawed(&with("l: 0\r\n\r\n", "l: 0"), BadRequest::NoEmptyLine);
    flawed(&with("\r\n\r\n", "\r\n\n"), BadRequest::ControlCharacter);
    flawed(&with("sip:example.com SIP", " sip:example.com SIP"), BadRequest::StartLine);
    flawed(&with("SIP/2.0\r\nv:", "SIP/2.0 \r\nv:"), BadRequest::StartLine);
    flawed(&with("l: 0", &"X: y\r\n".repeat(MAX_HEADERS)), BadRequest::TooManyHeaders);
}

#[test]
fn a_quoted_pair_may_hold_any_control_character_but_line_breaks() {
    let message = parse(&with("t: <", "t: \"\\\0 \\\x07\" <"));
    assert_eq!((message.flaw(), validate::request(&message)), (None, Ok(())));
}

#[test]
fn a_message_of_too_many_headers_keeps_those_before_the_limit() {
    let message = parse(&format!("OPTIONS sip:a SIP/2.0\r\n{}\r\n", "X: y\r\n".repeat(5000)));
    assert_eq!(message.flaw(), Some(BadRequest::TooManyHeaders));
    assert_eq!(message.header_count(), MAX_HEADERS);
}

fn refused(text: &str, status: u16, reason: &str) {
    let objection = validate::request(&parse(text)).unwrap_err();
    assert_eq!((objection.status, objection.text), (status, reason), "{text:?}");
}

#[test]
fn a_correct_request_passes() {
    assert_eq!(validate::request(&parse(REGISTER)), Ok(()));
    assert_eq!(validate::request(&parse(&with("Max-Forwards: 70\r\n", ""))), Ok(()));
    assert_eq!(validate::request(&parse(&with("sip:example.com SIP", "tel:+1234 SIP"))), Ok(()));
    assert_eq!(validate::request(&parse(&with("SIP/2.0\r\nv:", "sip/2.0\r\nv:"))), Ok(()));
}

#[test]
fn each_rule_of_every_element_has_its_answer() {
    refused(&with("SIP/2.0\r\nv:", "SIP/3.0\r\nv:"), 505, "Not SIP/2.0");
    refused(&with("v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n", ""), 400, "Via header not found");
    refused(&with("From: <sip:a@example.com>;tag=1\r\n", ""), 400, "From header not found");
    refused(&with("t: <sip:a@example.com>\r\n", ""), 400, "To header not found");
    refused(&with("i: id@192.0.2.1\r\n", ""), 400, "Call-ID header not found");
    refused(&with("i: id@192.0.2.1\r\n", "i: \r\n"), 400, "Call-ID header not found");
    refused(&with("CSeq: 1 REGISTER\r\n", ""), 400, "CSeq header not found");
    refused(&with("l: 0", "To: <sip:b@c>"), 400, "More than one To header");
    refused(&with("l: 0", "f: <sip:b@c>"), 400, "More than one From header");
    refused(&with("l: 0", "Call-ID: x"), 400, "More than one Call-ID header");
    refused(&with("l: 0", "CSeq: 1 REGISTER"), 400, "More than one CSeq header");
    refused(&with("l: 0", "Max-Forwards: 70"), 400, "More than one Max-Forwards header");
    refused(&with("1 REGISTER", "2147483648 REGISTER"), 400, "Invalid CSeq number");
    refused(&with("1 REGISTER", "-1 REGISTER"), 400, "Invalid CSeq number");
    refused(&with("1 REGISTER", "1"), 400, "Invalid CSeq number");
    refused(&with("1 REGISTER", "1 INVITE"), 400, "CSeq method differs from the request method");
    refused(&with("1 REGISTER", "1 register"), 400, "CSeq method differs from the request method");
    refused(&with("Max-Forwards: 70", "Max-Forwards: 256"), 400, "Invalid Max-Forwards");
    refused(&with("Max-Forwards: 70", "Max-Forwards: x"), 400, "Invalid Max-Forwards");
    refused(&with("192.0.2.1;branch", ";branch"), 400, "Malformed Via");
    refused(&with("<sip:a@example.com>;tag=1", "<sip:a@example.com"), 400, "Malformed From");
    refused(&with("t: <sip:a@example.com>", "t: \"a <sip:a@example.com>"), 400, "Malformed To");
    refused(&with("sip:example.com SIP", "<sip:example.com> SIP"), 400, "Malformed Request-URI");
    refused(&with("sip:example.com SIP", "sip:exam ple.com SIP"), 400, "Malformed Request-URI");
    refused(&with("sip:example.com SIP", "sip:example.com?X=y SIP"), 400, "Headers in Request-URI");
    refused(&with("sip:example.com SIP", "http://example.com SIP"), 416, "Unsupported Request-URI scheme");
}

#[test]
fn unknown_extensions_are_refused_and_named() {
    let message = parse(&with("l: 0", "Require: path, x-one\r\nRequire: X-Two,,PATH"));
    assert_eq!(validate::extensions(&message, Name::Require, &[b"path"]).unwrap_err().status, 420);
    let tags: Vec<_> = validate::unsupported(&message, Name::Require, &[b"path"]).collect();
    assert_eq!(tags, [&b"x-one"[..], b"X-Two"]);
    assert!(validate::extensions(&message, Name::Require, &[b"path", b"x-one", b"x-two"]).is_ok());
    assert!(validate::extensions(&message, Name::ProxyRequire, &[]).is_ok());
}

#[test]
fn malformed_responses_are_thrown_away() {
    let response = REGISTER.replace("REGISTER sip:example.com SIP/2.0", "SIP/2.0 200 OK");
    let verdict = |from: &str, to: &str| validate::response(&parse(&response.replace(from, to)));
    assert_eq!(verdict("", ""), Ok(()));
    assert_eq!(verdict("SIP/2.0 200", "SIP/2.1 200"), Err(Discard::Version));
    assert_eq!(verdict("200 OK", "700 OK"), Err(Discard::Status));
    assert_eq!(verdict("200 OK", "99 OK"), Err(Discard::Status));
    assert_eq!(verdict("200 OK", "2000 OK"), Err(Discard::Status));
    assert_eq!(verdict("200 OK", "OK"), Err(Discard::Status));
    assert_eq!(verdict("l: 0", "l: 7"), Err(Discard::Flaw(BadRequest::ContentLengthTooLarge)));
    assert_eq!(verdict("1 REGISTER", "4294967296 REGISTER"), Err(Discard::Header));
    assert_eq!(verdict("i: id@192.0.2.1\r\n", ""), Err(Discard::Header));
    assert_eq!(verdict("l: 0", "t: <sip:x>"), Err(Discard::Header));
    assert_eq!(verdict(";tag=1", ";tag=1;;"), Err(Discard::Header));
    assert_eq!(verdict("UDP 192.0.2.1", "UDP"), Err(Discard::Header));
}
