//! Dialogs and documents: what a SUBSCRIBE must have, where NOTIFYs go, and that nothing breaks out of the XML.

use crate::bench::{Bench, LIMITS, message, subscribe_text};
use proptest::prelude::*;
use seawall_notifier::reginfo::{Contact, ContactEvent, Document, Head, RegistrationState};
use seawall_notifier::{BadSubscribe, Dialog};

fn dialog(from: &str, to: &str) -> Result<Dialog, BadSubscribe> {
    let text = subscribe_text("s1", "", 7);
    assert!(from.is_empty() || text.contains(from), "{from}");
    Dialog::new(&message(&if from.is_empty() { text } else { text.replace(from, to) }), b"ours")
}

/// The Request-URI, the next hop and the Route lines for these Record-Route lines.
#[track_caller]
fn check_route(record_route: &str, uri: &str, next_hop: &str, routes: &str) {
    let dialog = dialog("Event: reg", &format!("{record_route}Event: reg")).unwrap();
    let (got, lines) = dialog.request_uri_and_routes();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!((text(&got).as_str(), text(&lines).as_str()), (uri, routes));
    assert_eq!(text(&dialog.next_hop()), next_hop);
}

#[test]
fn requests_follow_the_route_set() {
    let target = "sip:watcher@192.0.2.7:5070";
    check_route("", target, "", "");
    check_route(
        "Record-Route: <sip:p1;lr>, <sip:p2:5080;lr>\r\nRecord-Route: <sip:p3;lr>\r\n",
        target,
        "sip:p1;lr",
        "Route: <sip:p1;lr>\r\nRoute: <sip:p2:5080;lr>\r\nRoute: <sip:p3;lr>\r\n",
    );
    // A strict router (RFC 3261 section 12.2.1.1).
    check_route(
        "Record-Route: <sip:p1>, <sip:p2;lr>\r\n",
        "sip:p1",
        "sip:p1",
        "Route: <sip:p2;lr>\r\nRoute: <sip:watcher@192.0.2.7:5070>\r\n",
    );
}

#[test]
fn both_ends_of_the_dialog_are_kept() {
    let dialog = dialog("", "").unwrap();
    assert_eq!(dialog.local, b"<sip:alice@example.com>;tag=ours");
    assert_eq!(dialog.remote, b"\"W\" <sip:watcher@example.com>;tag=remote-s1");
    assert_eq!((dialog.remote_cseq, dialog.local_cseq), (7, 0));
    assert_eq!(dialog_id("Event: reg;id=5;x=y"), b"5");
    assert_eq!(dialog_id("o: REG ;ID=7"), b"7");
}

fn dialog_id(event: &str) -> Vec<u8> {
    dialog("Event: reg", event).unwrap().event_id
}

#[test]
fn a_subscribe_that_lacks_something_is_refused() {
    let header = |name| Err(BadSubscribe::Header(name));
    assert_eq!(dialog("Event: reg\r\n", ""), Err(BadSubscribe::Event));
    assert_eq!(dialog("Event: reg", "Event: presence"), Err(BadSubscribe::Event));
    assert_eq!(dialog("Event: reg", "Event: reg.winfo"), Err(BadSubscribe::Event));
    assert_eq!(dialog("Contact: <sip:watcher@192.0.2.7:5070>\r\n", ""), header("Contact"));
    assert_eq!(dialog("<sip:watcher@192.0.2.7:5070>", "*"), header("Contact"));
    assert_eq!(dialog("<sip:watcher@192.0.2.7:5070>", "<tel:1>"), header("Contact"));
    assert_eq!(dialog("<sip:watcher@192.0.2.7:5070>", "<sip:a@b?X=y>"), header("Contact"));
    assert_eq!(dialog("<sip:watcher@192.0.2.7:5070>", "<sip:a@b>, <sip:c@d>"), header("Contact"));
    assert_eq!(dialog(";tag=remote-s1", ""), header("From"));
    assert_eq!(dialog("Event: reg", "Record-Route: x\r\nEvent: reg"), header("Record-Route"));
    let long = format!("Record-Route: <sip:{};lr>\r\nEvent: reg", "a".repeat(5000));
    assert_eq!(dialog("Event: reg", &long), Err(BadSubscribe::TooLarge));
    let long = format!("Event: reg;id={}", "a".repeat(500));
    assert_eq!(dialog("Event: reg", &long), Err(BadSubscribe::TooLarge));
}

fn document(contact: &Contact<'_>, aor: &[u8]) -> String {
    shown(contact, Head { version: 3, full: false, aor, state: RegistrationState::Active, gruus: false })
}

fn shown(contact: &Contact<'_>, head: Head<'_>) -> String {
    let mut document = Document::new(head, 10_000);
    assert!(document.contact(contact));
    String::from_utf8(document.finish()).unwrap()
}

const CONTACT: Contact<'_> = Contact {
    id: 42,
    uri: b"sip:a@b",
    event: ContactEvent::Refreshed,
    expires_s: Some(7),
    q: Some(50),
    call_id: b"c",
    cseq: 9,
    instance: b"<urn:uuid:1>",
};

#[test]
fn a_document_has_what_rfc_3680_says() {
    assert_eq!(
        document(&CONTACT, b"sip:joe@example.com"),
        "<?xml version=\"1.0\"?>\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"3\" state=\"partial\">\n  \
         <registration aor=\"sip:joe@example.com\" id=\"r\" state=\"active\">\n    \
         <contact id=\"42\" state=\"active\" event=\"refreshed\" expires=\"7\" q=\"0.050\" callid=\"c\" cseq=\"9\">\n      \
         <uri>sip:a@b</uri>\n      \
         <unknown-param name=\"+sip.instance\">\"&lt;urn:uuid:1&gt;\"</unknown-param>\n    </contact>\n  \
         </registration>\n</reginfo>\n"
    );
}

#[test]
fn public_gruus_are_shown_where_they_are_on() {
    let head = Head {
        version: 0,
        full: true,
        aor: b"sip:joe%3B@example.com",
        state: RegistrationState::Active,
        gruus: true,
    };
    let instance = b"<urn:uuid:1&2>";
    let text = shown(&Contact { instance, ..CONTACT }, head);
    let parsed = roxmltree::Document::parse(&text).unwrap();
    let name = ("urn:ietf:params:xml:ns:gruuinfo", "pub-gruu");
    let gruu = parsed.descendants().find(|node| node.has_tag_name(name)).unwrap();
    assert_eq!(gruu.attribute("uri"), Some("sip:joe%3B@example.com;gr=urn:uuid:1&2"));
    assert!(gruu.parent().unwrap().has_tag_name("contact"));
    for contact in
        [Contact { instance: b"", ..CONTACT }, Contact { instance, event: ContactEvent::Expired, ..CONTACT }]
    {
        assert!(!shown(&contact, head).contains("pub-gruu"));
    }
    assert!(!shown(&Contact { instance, ..CONTACT }, Head { gruus: false, ..head }).contains("gr"));
}

#[test]
fn what_xml_cannot_carry_is_encoded() {
    let text = document(
        &Contact { uri: b"sip:a\x01\xff\"<b>&'\xc3\xa9@h", call_id: b"\xff\x07\"x", ..CONTACT },
        b"sip:\x0b@h",
    );
    let parsed = roxmltree::Document::parse(&text).unwrap();
    let uri = parsed.descendants().find(|node| node.has_tag_name("uri")).unwrap();
    assert_eq!(uri.text(), Some("sip:a%01%FF\"<b>&'\u{e9}@h"));
    let contact = uri.parent().unwrap();
    assert_eq!(contact.attribute("callid"), Some("\u{fffd}\u{fffd}\"x"));
    assert_eq!(contact.parent().unwrap().attribute("aor"), Some("sip:%0B@h"));
}

#[test]
fn every_notify_of_a_dialog_can_be_told_apart() {
    let mut bench = Bench::new(LIMITS);
    bench.subscribe("s1", 60).unwrap();
    let first = bench.sent().remove(0);
    bench.answer("s1", 200);
    bench.refresh("s1", 60).unwrap();
    let second = bench.sent().remove(0);
    assert_eq!((first.cseq, second.cseq), (1, 2));
    assert_eq!((&first.call_id, &first.from, &first.to), (&second.call_id, &second.from, &second.to));
    assert_eq!(first.flow, "flow");
}

proptest! {
    #[test]
    fn no_bytes_break_out_of_a_document(uri in prop::collection::vec(any::<u8>(), 0..60),
                                        call_id in prop::collection::vec(any::<u8>(), 1..60),
                                        instance in prop::collection::vec(any::<u8>(), 0..60),
                                        aor in prop::collection::vec(any::<u8>(), 0..60)) {
        let text = document(&Contact { uri: &uri, call_id: &call_id, instance: &instance, ..CONTACT }, &aor);
        let parsed = roxmltree::Document::parse(&text).unwrap();
        let root = parsed.root_element();
        let names: Vec<_> = root.descendants().filter(roxmltree::Node::is_element)
            .map(|node| node.tag_name().name().to_owned()).collect();
        let mut expected = vec!["reginfo", "registration", "contact", "uri"];
        if !instance.is_empty() {
            expected.push("unknown-param");
        }
        prop_assert_eq!(names, expected);
    }
}
