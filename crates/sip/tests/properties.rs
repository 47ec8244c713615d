//! What holds for every input: nothing panics, spans lie inside, what is not edited stays, and what is written is
//! read as it was meant.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use proptest::{collection::vec, prelude::*};
use seawall_sip::{
    Edits, Framing, Habits, Message, Name, NameAddr, Span, Uri, Via,
    ascii::{unquote_into, write_u32},
    build::Response,
    cseq,
    digest::{Credentials, challenges, credentials},
    feature_caps::feature_caps,
    list,
    name_addr::{addresses, contacts},
    stream::{Frame, Framer},
    uri::escape,
    validate,
    via::vias,
};

/// Pieces that messages are made of, whole and broken, so that random sequences of them get past the first line.
const PIECES: &[&str] = &[
    "INVITE sip:b@example.com SIP/2.0\r\n",
    "SIP/2.0 200 OK\r\n",
    "REGISTER ",
    "sip:a@b",
    " SIP/2.0",
    "\r\n",
    "\r\n\r\n",
    "\r\n ",
    "Via: ",
    "v:",
    "SIP/2.0/UDP h:5060",
    ";branch=z9hG4bKx",
    ";rport",
    ";received=1.2.3.4",
    "From: ",
    "To: ",
    "Call-ID: x",
    "CSeq: ",
    "1 INVITE",
    "4294967296",
    "Contact: ",
    "Route: ",
    "<sip:a@[::1]:5;lr>",
    "<",
    ">",
    "\"",
    "\\",
    ",",
    ";",
    "=",
    ";tag=1",
    ";q=0.5",
    ";expires=60",
    "*",
    "Content-Length: ",
    "l: 4",
    "-1",
    "0",
    " ",
    "\t",
    "\r",
    "\n",
    "\0",
    "%41",
    "%",
    "?",
    "a",
    "body",
    "Authorization: Digest ",
    "realm=\"x\"",
    "Feature-Caps: *;+sip.pns=\"x\"",
    "\u{e9}",
    "@",
    ":",
    "[",
    "]",
    "tel:+1-2",
    "Supported: path, ",
];

fn message_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    let start = prop::sample::select(&["", "INVITE sip:b@example.com SIP/2.0\r\n", "SIP/2.0 200 OK\r\n"][..]);
    (start, vec(piece, 0..60)).prop_map(|(start, pieces)| [start.as_bytes(), &pieces.concat()].concat())
}

/// Reads everything that can be read of a message.
fn read_everything(message: &Message) {
    let _ = (validate::request(message), validate::response(message));
    let _ = (
        cseq::CSeq::of(message),
        cseq::expires(message),
        cseq::max_forwards(message),
        cseq::retry_after(message),
    );
    for via in vias(message).flatten() {
        assert!(message.span_of(via.raw).is_some());
        let _ = (via.rport(), via.received_ip(), via.host_ip(), via.ttl(), via.maddr());
    }
    for contact in contacts(message).flatten() {
        if let seawall_sip::Contact::Address(address) = contact {
            let _ = (address.q(), address.expires(), address.parse_uri());
            assert!(message.span_of(address.uri).is_some());
        }
    }
    for name in [Name::From, Name::To, Name::Route, Name::RecordRoute, Name::Path] {
        let _ = (addresses(message, name).count(), list::tokens(message, name).count());
    }
    let _ = credentials(message, Name::Authorization).count()
        + challenges(message, Name::WwwAuthenticate).count();
    let _ = feature_caps(message).flatten().count();
    let _ = Uri::parse(message.request_uri()).map(|uri| uri.host_ip());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop_oneof![message_bytes(), vec(any::<u8>(), 0..300)]) {
        let Ok(message) = Message::parse(bytes) else { return Ok(()) };
        read_everything(&message);
        let mut end = message.start_line_span().end();
        for header in message.headers() {
            prop_assert!(header.span.start >= end, "headers stand one after the other");
            prop_assert!(header.value_span.start >= header.span.start && header.value_span.end() <= header.span.end());
            end = header.span.end();
        }
        prop_assert!(end <= message.head_end() && message.head_end() <= message.body_span().start);
        prop_assert!(message.extent().end() as usize <= message.bytes().len());
    }

    #[test]
    fn a_message_without_edits_is_written_as_it_came_and_reads_the_same(bytes in message_bytes()) {
        let Ok(message) = Message::parse(bytes) else { return Ok(()) };
        let mut out = Vec::new();
        Edits::new().write(&message, &mut out);
        prop_assert_eq!(&out, message.wire());
        let again = Message::parse(out).unwrap();
        prop_assert_eq!(again.header_count(), message.header_count());
        prop_assert_eq!(again.body(), message.body());
        prop_assert_eq!(validate::request(&again), validate::request(&message));
    }

    #[test]
    fn a_used_message_reads_the_same_as_a_fresh_one(first in message_bytes(), second in message_bytes()) {
        let mut used = Message::empty();
        used.buffer_mut().extend_from_slice(&first);
        let _ = used.scan_in_place(Framing::Datagram);
        used.buffer_mut().clone_from(&second);
        let scanned = used.scan_in_place(Framing::Datagram);
        match Message::parse(second) {
            Ok(fresh) => {
                prop_assert_eq!(scanned, Ok(()));
                prop_assert_eq!(format!("{used:?}"), format!("{fresh:?}"));
            }
            Err((_, error)) => prop_assert_eq!(scanned, Err(error)),
        }
    }

    #[test]
    fn habits_change_nothing_that_is_found(messages in vec(message_bytes(), 1..5)) {
        let mut habits = Habits::default();
        let (mut message, mut received) = (Message::empty(), Message::empty());
        let mut other_habits = Habits::default();
        // From the second time on all of them are as expected, but where they contradict each other.
        for bytes in messages.iter().chain(&messages).chain(&messages) {
            message.buffer_mut().clone_from(bytes);
            let scanned = message.scan_by_habit(Framing::Datagram, &mut habits);
            // Nothing of one message is seen in the next, emptied before or not.
            let mut buffer = bytes.clone();
            prop_assert_eq!(received.receive(&mut buffer, Framing::Datagram, &mut other_habits), scanned);
            prop_assert_eq!(format!("{received:?}"), format!("{message:?}"));
            match Message::parse(bytes.clone()) {
                Ok(plain) => {
                    prop_assert_eq!(scanned, Ok(()));
                    prop_assert_eq!(validate::request(&message), validate::request(&plain));
                    // What is known to be right is no part of what is found.
                    let found = format!("{message:?}").replace("is_checked: true", "is_checked: false").replace("is_sound: true", "is_sound: false");
                    prop_assert_eq!(found, format!("{plain:?}"));
                }
                Err((_, error)) => prop_assert_eq!(scanned, Err(error)),
            }
        }
    }

    #[test]
    fn the_response_to_any_request_is_well_formed(bytes in message_bytes()) {
        let Ok(request) = Message::parse(bytes) else { return Ok(()) };
        let mut out = Vec::new();
        Response { to_tag: Some(b"t"), ..Response::new(400, b"Bad Request") }.write(&request, &mut out);
        let response = Message::parse(out).unwrap();
        prop_assert_eq!((response.status(), response.flaw()), (400, None));
        prop_assert_eq!(response.value(Name::ContentLength), Some(&b"0"[..]));
        if validate::request(&request).is_ok() {
            prop_assert_eq!(validate::response(&response), Ok(()));
            prop_assert_eq!(vias(&response).count(), vias(&request).count());
        }
    }

    #[test]
    fn edits_give_what_their_rules_say(edits in vec((0_u32..60, 0_u32..12, "[a-z]{0,3}"), 0..10)) {
        let message = Message::parse(b"OPTIONS sip:abcdefghijklmnop SIP/2.0\r\nl: 0\r\nX: y\r\n\r\n".to_vec()).unwrap();
        let mut list = Edits::new();
        for (start, len, text) in &edits {
            list.replace(Span { start: *start, len: *len }, text.as_bytes());
        }
        let mut out = Vec::new();
        list.write(&message, &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), model(message.bytes(), &edits));
    }

    #[test]
    fn an_ipv4_address_is_read_as_the_standard_library_does(text in "[0-9]{0,4}([.:a][0-9]{0,4}){2,4}") {
        let expected = text.parse::<std::net::Ipv4Addr>().ok();
        let found = seawall_sip::uri::host_ip(text.as_bytes()).filter(std::net::IpAddr::is_ipv4);
        prop_assert_eq!(found, expected.map(std::net::IpAddr::V4));
    }

    #[test]
    fn every_ipv4_address_is_read(number: u32) {
        let address = std::net::Ipv4Addr::from(number);
        let found = seawall_sip::uri::host_ip(address.to_string().as_bytes());
        prop_assert_eq!(found, Some(std::net::IpAddr::V4(address)));
    }

    #[test]
    fn a_stream_is_cut_the_same_however_it_arrives(bytes in message_bytes(), sizes in vec(1_usize..40, 1..40)) {
        let whole = cut(&bytes, &[bytes.len().max(1)]);
        let pieces = cut(&bytes, &sizes);
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn every_framed_message_is_scanned_to_its_end_or_refused(bytes in message_bytes()) {
        if let Frame::Message { len } = Framer::new().frame(&bytes) {
            let mut message = Message::empty();
            message.buffer_mut().extend_from_slice(&bytes[..len]);
            if message.scan_in_place(Framing::Stream).is_ok() && message.flaw().is_none() {
                prop_assert_eq!(message.wire().len(), len);
            }
        }
    }

    #[test]
    fn uris_that_are_read_equal_themselves(text in "(sips?|tel|x):[a-c%0-9:@;=?&.\\[\\]*#+-]{0,30}") {
        let Ok(uri) = Uri::parse(text.as_bytes()) else { return Ok(()) };
        let copy = text.clone();
        let other = Uri::parse(copy.as_bytes()).unwrap();
        prop_assert!(uri.equals(&other));
        let upper = text.replace("sip:", "SIP:");
        prop_assert!(uri.equals(&Uri::parse(upper.as_bytes()).unwrap()));
    }

    #[test]
    fn equality_of_uris_is_symmetric(left in "sip:([ab%46]{1,4}@)?[hH](;[axob=%6]{1,5}){0,3}", right: String) {
        let mutated = left.replace('a', "%61");
        for other in [mutated.as_str(), "sip:h;ob", "sip:a@h", &format!("sip:{right}")] {
            let (Ok(one), Ok(two)) = (Uri::parse(left.as_bytes()), Uri::parse(other.as_bytes())) else { continue };
            prop_assert_eq!(one.equals(&two), two.equals(&one));
        }
    }

    #[test]
    fn parts_that_were_written_are_read_back(
        user in vec(any::<u8>(), 1..20), host in "[a-z][a-z0-9.-]{0,20}", port: Option<u16>, tag in "[a-z0-9.!%*_+`'~-]{1,9}",
        display in vec(any::<u8>().prop_filter("no line breaks", |byte| !b"\r\n".contains(byte)), 0..20),
    ) {
        let mut uri = b"sip:".to_vec();
        escape::escape_user_into(&user, &mut uri);
        uri.extend_from_slice(b"@");
        uri.extend_from_slice(host.as_bytes());
        if let Some(port) = port {
            uri.push(b':');
            write_u32(&mut uri, u32::from(port));
        }
        let mut value = b"\"".to_vec();
        for byte in &display {
            value.extend_from_slice(&[b'\\', *byte]);
        }
        value.extend_from_slice(b"\" <");
        value.extend_from_slice(&uri);
        value.extend_from_slice(b">;tag=");
        value.extend_from_slice(tag.as_bytes());
        let address = NameAddr::parse(&value).unwrap();
        prop_assert_eq!(address.tag(), Some(tag.as_bytes()));
        let mut shown = Vec::new();
        unquote_into(address.display, &mut shown);
        prop_assert_eq!(shown, display);
        let uri = address.parse_uri().unwrap();
        prop_assert_eq!((uri.host, uri.port), (host.as_bytes(), port));
        let mut plain = Vec::new();
        escape::unescape_into(uri.user.unwrap(), &mut plain).unwrap();
        prop_assert_eq!(plain, user);
    }

    #[test]
    fn single_values_are_read_without_a_panic(bytes in prop_oneof![message_bytes(), vec(any::<u8>(), 0..80)]) {
        let _ = (Uri::parse(&bytes), NameAddr::parse(&bytes), Via::parse(&bytes), Credentials::parse(&bytes));
        let _ = (cseq::CSeq::parse(&bytes), list::Items::new(&bytes).count());
        let mut out = Vec::new();
        let _ = escape::unescape_into(&bytes, &mut out);
        unquote_into(&bytes, &mut out);
    }
}

/// The rules of `Edits` in the plainest form: for each position the texts that stand there, and which bytes go.
fn model(source: &[u8], edits: &[(u32, u32, String)]) -> String {
    let mut kept: Vec<(u32, u32, &str)> = Vec::new();
    for (start, len, text) in edits {
        let (start, end) = (*start, start + len);
        match kept.iter_mut().find(|known| end > start && (known.0, known.1) == (start, end)) {
            Some(known) => known.2 = text,
            None => kept.push((start, end, text)),
        }
    }
    let len = source.len() as u32;
    let mut out = String::new();
    // Removed so far: from a start at or before the position to an end after it.
    let mut removed_to = 0;
    for position in 0..=len {
        let here = || kept.iter().filter(move |edit| edit.0 == position);
        if position >= removed_to {
            for (_, _, text) in here().filter(|edit| edit.0 == edit.1) {
                out.push_str(text);
            }
            if let Some((_, _, text)) = here().filter(|edit| edit.1 > edit.0).max_by_key(|edit| edit.1) {
                out.push_str(text);
            }
        }
        removed_to = here().map(|edit| edit.1).chain([removed_to]).max().unwrap();
        if position < len && position >= removed_to {
            out.push(char::from(source[position as usize]));
        }
    }
    out
}

/// The messages of a stream and where it turned out to be invalid.
fn cut(stream: &[u8], sizes: &[usize]) -> (Vec<Vec<u8>>, Option<Frame>) {
    let mut framer = Framer::new();
    let (mut buffer, mut messages) = (Vec::new(), Vec::new());
    let mut rest = stream;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        (rest, buffer) = (after, [&buffer[..], piece].concat());
        loop {
            match framer.frame(&buffer) {
                Frame::Incomplete => break,
                Frame::KeepAlivePing { len } | Frame::KeepAlivePong { len } => drop(buffer.drain(..len)),
                Frame::Message { len } => messages.push(buffer.drain(..len).collect()),
                invalid @ Frame::Invalid { .. } => return (messages, Some(invalid)),
            }
        }
    }
    (messages, None)
}
