//! Edits, and building responses and requests.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use seawall_sip::{
    Edits, Message, Name, Span, ViaFix,
    build::{Request, Response, response_into},
};

const INVITE: &str = "INVITE sip:b@example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bK1, SIP/2.0/UDP 10.0.0.2\r\n\
    Record-Route: <sip:p;lr>\r\n\
    v: SIP/2.0/UDP 10.0.0.3\r\n\
    Route: <sip:r1;lr>, <sip:r2;lr>\r\n\
    Route: <sip:r3;lr>\r\n\
    f: <sip:a@example.com>;tag=1\r\n\
    To: <sip:b@example.com>\r\n\
    Call-ID: id\r\n\
    CSeq: 1 INVITE\r\n\
    Subject:\r\n\
    Timestamp: 54\r\n\
    Content-Length: 4\r\n\
    \r\n\
    body";

fn parse(text: &str) -> Message {
    Message::parse(text.as_bytes().to_vec()).unwrap()
}

/// The INVITE after edits, compared with the INVITE after text replacements.
fn check(edit: impl Fn(&Message, &mut Edits), replacements: &[(&str, &str)]) {
    let message = parse(INVITE);
    let mut edits = Edits::new();
    edit(&message, &mut edits);
    let mut expected = INVITE.to_owned();
    for (from, to) in replacements {
        assert!(expected.contains(from), "{from:?}");
        expected = expected.replacen(from, to, 1);
    }
    assert_eq!(written(&message, &edits), expected);
}

fn written(message: &Message, edits: &Edits) -> String {
    let mut out = b"before ".to_vec();
    edits.write(message, &mut out);
    String::from_utf8(out).unwrap().split_off("before ".len())
}

#[test]
fn without_edits_every_byte_stays() {
    check(|_, _| {}, &[]);
    let with_noise = parse(&format!("\r\n{INVITE}noise"));
    assert_eq!(written(&with_noise, &Edits::new()), INVITE);
}

#[test]
fn header_fields_are_added_replaced_and_removed() {
    check(
        |message, edits| edits.insert_header_first(message, b"Via: SIP/2.0/UDP proxy"),
        &[("SIP/2.0\r\nVia", "SIP/2.0\r\nVia: SIP/2.0/UDP proxy\r\nVia")],
    );
    check(
        |message, edits| edits.append_header(message, b"X: y\r\n"),
        &[("Content-Length: 4\r\n", "Content-Length: 4\r\nX: y\r\n")],
    );
    check(
        |message, edits| edits.remove_header(&message.header(Name::Subject).unwrap()),
        &[("Subject:\r\n", "")],
    );
    check(
        |message, edits| edits.replace_value(&message.header(Name::CallId).unwrap(), b"other"),
        &[("Call-ID: id", "Call-ID: other")],
    );
    check(
        |message, edits| edits.replace_value(&message.header(Name::Subject).unwrap(), b"s"),
        &[("Subject:", "Subject: s")],
    );
    check(
        |message, edits| {
            let to = message.header(Name::To).unwrap();
            edits.insert_header_after(&to, b"X-After: 1");
            edits.insert_header_before(&to, b"X-Before: 1");
        },
        &[("To: <sip:b@example.com>\r\n", "X-Before: 1\r\nTo: <sip:b@example.com>\r\nX-After: 1\r\n")],
    );
    check(
        |message, edits| edits.append_lines(message, b"X: y\r\nX: z\r\n"),
        &[("Content-Length: 4\r\n", "Content-Length: 4\r\nX: y\r\nX: z\r\n")],
    );
    check(|message, edits| edits.append_lines(message, b""), &[]);
}

#[test]
fn what_is_made_where_it_stays_reads_like_what_is_given() {
    check(
        |message, edits| {
            edits.write_first_headers(message, |text| {
                text.extend_from_slice(b"Via: SIP/2.0/UDP proxy\r\nX: y\r\n")
            });
        },
        &[("SIP/2.0\r\nVia", "SIP/2.0\r\nVia: SIP/2.0/UDP proxy\r\nX: y\r\nVia")],
    );
    check(
        |message, edits| {
            for (name, value) in
                [(Name::CallId, b"first"), (Name::CallId, b"other"), (Name::Subject, b"empty")]
            {
                let header = message.header(name).unwrap();
                edits.replace_value_with(&header, |text| text.extend_from_slice(value));
            }
        },
        &[("Call-ID: id", "Call-ID: other"), ("Subject:", "Subject: empty")],
    );
}

#[test]
fn edits_taken_over_from_others_are_theirs_alone() {
    let message = parse(INVITE);
    let (mut from, mut to) = (Edits::new(), Edits::new());
    from.set_request_uri(&message, b"sip:c");
    to.replace_body(&message, b"x");
    to.clone_from(&from);
    to.append_header(&message, b"X: y");
    from.clear();
    let expected =
        INVITE.replace("sip:b@example.com SIP", "sip:c SIP").replace("4\r\n\r\n", "4\r\nX: y\r\n\r\n");
    assert_eq!(written(&message, &to), expected);
    assert_eq!(written(&message, &from), INVITE);
}

#[test]
fn the_request_uri_is_replaced() {
    check(|message, edits| edits.set_request_uri(message, b"sip:c"), &[("sip:b@example.com", "sip:c")]);
    let response = parse("SIP/2.0 200 OK\r\n\r\n");
    let mut edits = Edits::new();
    edits.set_request_uri(&response, b"sip:c");
    assert_eq!(written(&response, &edits), "SIP/2.0 200 OK\r\n\r\n");
}

#[test]
fn a_new_body_brings_its_length() {
    check(
        |message, edits| edits.replace_body(message, b"longer than it"),
        &[("Content-Length: 4", "Content-Length: 14"), ("\r\n\r\nbody", "\r\n\r\nlonger than it")],
    );
    check(
        |message, edits| edits.replace_body(message, b""),
        &[("Content-Length: 4", "Content-Length: 0"), ("\r\n\r\nbody", "\r\n\r\n")],
    );
    let bare = parse("OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n");
    let mut edits = Edits::new();
    edits.replace_body(&bare, b"new");
    assert_eq!(written(&bare, &edits), "OPTIONS sip:a SIP/2.0\r\nVia: x\r\nContent-Length: 3\r\n\r\nnew");
}

#[test]
fn the_first_values_of_a_list_are_removed_over_lines() {
    let remove = |count| {
        move |message: &Message, edits: &mut Edits| {
            edits.remove_first_values(message, Name::Route, count);
        }
    };
    check(remove(0), &[]);
    check(remove(1), &[("<sip:r1;lr>, ", "")]);
    check(remove(2), &[("Route: <sip:r1;lr>, <sip:r2;lr>\r\n", "")]);
    check(remove(3), &[("Route: <sip:r1;lr>, <sip:r2;lr>\r\nRoute: <sip:r3;lr>\r\n", "")]);
    check(remove(9), &[("Route: <sip:r1;lr>, <sip:r2;lr>\r\nRoute: <sip:r3;lr>\r\n", "")]);
    check(
        |message, edits| edits.remove_first_values(message, Name::Via, 2),
        &[("Via: SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bK1, SIP/2.0/UDP 10.0.0.2\r\n", "")],
    );
}

#[test]
fn the_topmost_via_is_fixed_and_the_others_stay() {
    let fix = ViaFix { received: Some([192, 0, 2, 7].into()), rport: Some(4711) };
    check(
        |message, edits| edits.fix_top_via(message, &fix),
        &[("rport;branch=z9hG4bK1", "rport=4711;branch=z9hG4bK1;received=192.0.2.7")],
    );
    let broken = parse("OPTIONS sip:a SIP/2.0\r\nVia: broken\r\n\r\n");
    let mut edits = Edits::new();
    edits.fix_top_via(&broken, &fix);
    assert!(edits.is_empty());
}

/// Writes edits to a message whose request line starts with "0123456789".
fn overlap(edit: impl Fn(&mut Edits), expected: &str) {
    let message = parse("0123456789 sip:a SIP/2.0\r\n\r\n");
    let mut edits = Edits::new();
    edit(&mut edits);
    let text = written(&message, &edits);
    assert_eq!(text.strip_suffix(" sip:a SIP/2.0\r\n\r\n"), Some(expected));
}

fn span(start: usize, end: usize) -> Span {
    Span::between(start, end)
}

#[test]
fn insertions_at_one_place_stand_in_the_order_of_the_calls() {
    overlap(
        |edits| {
            edits.insert_before(3, b"a");
            edits.insert_before(1, b"b");
            edits.insert_before(3, b"c");
            edits.insert_after(span(1, 3), b"d");
        },
        "0b12acd3456789",
    );
}

#[test]
fn the_last_of_two_replacements_of_the_same_bytes_counts() {
    overlap(
        |edits| {
            edits.replace(span(2, 4), b"first");
            edits.replace(span(2, 4), b"second");
        },
        "01second456789",
    );
    overlap(
        |edits| {
            edits.replace(span(2, 4), b"first");
            edits.delete(span(2, 4));
        },
        "01456789",
    );
}

#[test]
fn a_removed_range_swallows_what_starts_inside() {
    let inner_then_outer = |edits: &mut Edits| {
        edits.replace(span(3, 5), b"x");
        edits.insert_before(4, b"y");
        edits.delete(span(2, 7));
    };
    let outer_then_inner = |edits: &mut Edits| {
        edits.delete(span(2, 7));
        edits.insert_before(4, b"y");
        edits.replace(span(3, 5), b"x");
    };
    overlap(inner_then_outer, "01789");
    overlap(outer_then_inner, "01789");
    let overlapping = |edits: &mut Edits| {
        edits.replace(span(4, 8), b"late");
        edits.replace(span(2, 6), b"early");
    };
    overlap(overlapping, "01early89");
    let same_start = |edits: &mut Edits| {
        edits.replace(span(2, 4), b"short");
        edits.replace(span(2, 6), b"long");
    };
    overlap(same_start, "01long6789");
}

#[test]
fn insertions_at_the_ends_of_a_removed_range_stay() {
    overlap(
        |edits| {
            edits.replace(span(2, 5), b"new");
            edits.insert_before(2, b"<");
            edits.insert_before(5, b">");
        },
        "01<new>56789",
    );
}

#[test]
fn edits_outside_the_message_do_nothing() {
    overlap(
        |edits| {
            edits.delete(span(5000, 6000));
            edits.insert_before(u32::MAX, b"x");
        },
        "0123456789",
    );
    let message = parse("\r\nOPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\nnoise");
    let mut edits = Edits::new();
    edits.insert_before(0, b"x");
    edits.replace(span(message.bytes().len() - 2, message.bytes().len()), b"y");
    assert_eq!(written(&message, &edits).as_bytes(), message.wire());
}

#[test]
fn cleared_edits_are_forgotten() {
    let message = parse(INVITE);
    let mut edits = Edits::new();
    edits.replace_body(&message, b"x");
    edits.clear();
    assert!(edits.is_empty());
    assert_eq!(written(&message, &edits), INVITE);
}

fn respond(request: &str, response: Response<'_>) -> String {
    let mut out = Vec::new();
    response.write(&parse(request), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_response_copies_what_rfc_3261_asks_for() {
    let fix = ViaFix { received: Some([192, 0, 2, 7].into()), rport: Some(4711) };
    let mut out = Vec::new();
    response_into(&mut out, &parse(INVITE), 200, b"OK", Some(b"tt"), Some(fix), b"Contact: <sip:x>\r\n");
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "SIP/2.0 200 OK\r\n\
         Via: SIP/2.0/UDP 10.0.0.1;rport=4711;branch=z9hG4bK1;received=192.0.2.7, SIP/2.0/UDP 10.0.0.2\r\n\
         v: SIP/2.0/UDP 10.0.0.3\r\n\
         f: <sip:a@example.com>;tag=1\r\n\
         To: <sip:b@example.com>;tag=tt\r\n\
         Call-ID: id\r\n\
         CSeq: 1 INVITE\r\n\
         Contact: <sip:x>\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn record_route_body_and_timestamp_are_copied_where_they_belong() {
    let dialog =
        respond(INVITE, Response { record_route: true, body: b"sdp", ..Response::new(180, b"Ringing") });
    assert!(
        dialog.contains("\r\nRecord-Route: <sip:p;lr>\r\n")
            && dialog.ends_with("Content-Length: 3\r\n\r\nsdp")
    );
    assert!(dialog.contains("\r\nTo: <sip:b@example.com>\r\n") && !dialog.contains("Timestamp"));
    let trying = respond(INVITE, Response::new(100, b"Trying"));
    assert!(trying.contains("\r\nTimestamp: 54\r\n") && !trying.contains("Record-Route"));
}

#[test]
fn a_tag_is_added_once() {
    let respond = |to: &str| {
        let request = INVITE.replace("To: <sip:b@example.com>", to);
        let text = respond(&request, Response { to_tag: Some(b"new"), ..Response::new(404, b"Not Found") });
        text.lines().find(|line| line.starts_with("To")).unwrap().to_owned()
    };
    assert_eq!(respond("To: sip:b"), "To: sip:b;tag=new");
    assert_eq!(respond("To: <sip:b;tag=uri>"), "To: <sip:b;tag=uri>;tag=new");
    assert_eq!(respond("To: <sip:b>;Tag=old"), "To: <sip:b>;Tag=old");
    assert_eq!(respond("To: \"open <sip:b>;tag=old"), "To: \"open <sip:b>;tag=old");
}

#[test]
fn stray_control_characters_of_a_request_do_not_reach_its_response() {
    let request = INVITE
        .replace("Call-ID: id", "Call-ID: id\rX: 1")
        .replace("CSeq: 1 INVITE\r\n", "CSeq: 1 INVITE\n")
        .replace("To: <sip:b@example.com>", "To: \"a\0b\" <sip:b@example.com>");
    let fix = ViaFix { received: Some([192, 0, 2, 7].into()), rport: Some(4711) };
    let response = Response { to_tag: Some(b"t"), via_fix: Some(fix), ..Response::new(400, b"Bad Request") };
    let text = respond(&request, response);
    assert!(text.contains("\r\nCall-ID: id X: 1\r\n") && text.contains("\r\nCSeq: 1 INVITE\r\n"));
    assert!(text.contains("\"a b\"") && text.contains(";tag=t\r\n"));
    assert_eq!(text.matches(['\n', '\r', '\0']).count(), 2 * text.matches("\r\n").count());
}

#[test]
fn a_request_without_mandatory_headers_gets_a_response_of_what_it_has() {
    let text = respond("OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h", Response::new(400, b"Bad Request"));
    assert_eq!(text, "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP h\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn repeated_headers_are_answered_with_the_first() {
    let request = INVITE.replace("Subject:", "Call-ID: second\r\nTo: <sip:second>");
    let text = respond(&request, Response { to_tag: Some(b"t"), ..Response::new(400, b"Bad Request") });
    assert!(!text.contains("second") && text.contains("Call-ID: id\r\n"));
}

#[test]
fn a_request_of_our_own_reads_as_it_was_meant() {
    let request = Request {
        method: b"CANCEL",
        uri: b"sip:b@example.com",
        via: b"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1",
        from: b"<sip:a@example.com>;tag=1",
        to: b"<sip:b@example.com>",
        call_id: b"id",
        cseq: 2_147_483_647,
        max_forwards: 70,
        extra_headers: b"Route: <sip:r;lr>\r\n",
        body: b"",
    };
    let mut out = Vec::new();
    request.write(&mut out);
    assert_eq!(
        String::from_utf8(out.clone()).unwrap(),
        "CANCEL sip:b@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n\
         From: <sip:a@example.com>;tag=1\r\n\
         To: <sip:b@example.com>\r\n\
         Call-ID: id\r\n\
         CSeq: 2147483647 CANCEL\r\n\
         Max-Forwards: 70\r\n\
         Route: <sip:r;lr>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    assert_eq!(seawall_sip::validate::request(&Message::parse(out).unwrap()), Ok(()));
}
