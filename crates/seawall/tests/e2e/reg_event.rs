//! Subscriptions to registrations over real sockets, with a subscriber of our own and documents read by an XML parser.

use crate::harness::scripts::MODULES;
use crate::harness::server::temporary_folder;
use crate::harness::{Message, Phone, Request, Server, mi};
use crate::sipp::{free_port, must_pass, sipp};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often a NOTIFY that nobody answers is sent in the first four seconds: at 0, 0.5, 1.5 and 3.5 s.
const REPEATED: usize = 4;

fn script(parameters: &str, more: &str) -> String {
    format!(
        "{MODULES}loadmodule \"reg_event.so\"\nmodparam(\"reg_event\", \"notify_interval\", 0)\n{parameters}\n\
         modparam(\"registrar\", \"min_expires\", 1)\nmodparam(\"reg_event\", \"min_expires\", 1)\n\
         route {{\n\tif (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}\n\
         \tif (is_method(\"SUBSCRIBE\")) {{ reg_event_subscribe(\"location\"); exit; }}\n\
         \tif (!is_method(\"ACK\")) send_reply(405, \"No\");\n}}\n{more}\n"
    )
}

fn start() -> Server {
    Server::start(&script("", ""))
}

/// A watcher with the dialog of its subscription.
struct Watcher {
    phone: Phone,
    request: Request,
}

impl Watcher {
    fn new(phone: Phone, user: &str) -> Watcher {
        let request = phone
            .request("SUBSCRIBE", &format!("sip:{user}@127.0.0.1"))
            .with("Event: reg")
            .with("Accept: application/reginfo+xml")
            .with(format!("Contact: <{}>", phone.contact()));
        Watcher { phone, request }
    }

    /// Subscribes, and gives the 200.
    fn subscribe(&mut self, expires_s: u32) -> Message {
        let request = self.request.clone().with(format!("Expires: {expires_s}"));
        let accepted = self.phone.ask(&request);
        assert_eq!(accepted.status(), 200, "{}", accepted.start);
        assert_eq!(accepted.need("Expires"), expires_s.to_string());
        self.request.to = accepted.need("To").to_owned();
        self.request.uri = accepted.addresses("Contact").remove(0);
        self.request = self.request.next();
        accepted
    }

    /// The next NOTIFY, answered with 200.
    fn notified(&mut self) -> Message {
        self.notified_with(200)
    }

    fn notified_with(&mut self, code: u16) -> Message {
        let notify = self.phone.expect_request("NOTIFY");
        self.phone.send(&notify.reply(code, "Code", "", "", ""));
        notify
    }
}

/// What a document says in one line: `v1 partial active [active registered sip:…]`, contacts sorted by URI.
fn summary(notify: &Message) -> String {
    assert_eq!(notify.need("Content-Type"), "application/reginfo+xml");
    assert_eq!(notify.need("Event"), "reg");
    assert_eq!(notify.need("Content-Length"), notify.body.len().to_string());
    let text = std::str::from_utf8(&notify.body).unwrap();
    let document = roxmltree::Document::parse(text).unwrap();
    let root = document.root_element();
    assert_eq!(root.tag_name().namespace(), Some("urn:ietf:params:xml:ns:reginfo"));
    let registration = root.first_element_child().unwrap();
    let mut contacts: Vec<String> = registration
        .children()
        .filter(|node| node.has_tag_name("contact"))
        .map(|contact| {
            let uri = contact.first_element_child().unwrap().text().unwrap().trim();
            let of = |name| contact.attribute(name).unwrap();
            format!(" {uri} {} {}", of("state"), of("event"))
        })
        .collect();
    contacts.sort();
    let of = |node: roxmltree::Node<'_, '_>, name: &str| node.attribute(name).unwrap().to_owned();
    format!(
        "v{} {} {}{}",
        of(root, "version"),
        of(root, "state"),
        of(registration, "state"),
        contacts.concat()
    )
}

fn state(notify: &Message) -> &str {
    notify.need("Subscription-State")
}

#[test]
fn a_watcher_follows_two_phones_from_registration_to_expiry() {
    let server = start();
    let (mut desk, mut mobile) = (Phone::udp(&server, "alice"), Phone::tcp(&server, "alice"));
    desk.register();
    let mut watcher = Watcher::new(Phone::udp(&server, "watcher"), "alice");
    watcher.subscribe(600);
    let first = watcher.notified();
    assert_eq!(summary(&first), format!("v0 full active {} active registered", desk.contact()));
    assert_eq!((first.uri(), state(&first)), (&*watcher.phone.contact(), "active;expires=600"));

    mobile.register();
    let notify = watcher.notified();
    assert_eq!(summary(&notify), format!("v1 partial active {} active registered", mobile.contact()));

    let soon = mobile.register_for(1);
    assert_eq!(mobile.ask(&soon).status(), 200);
    let notify = watcher.notified();
    assert_eq!(summary(&notify), format!("v2 partial active {} active shortened", mobile.contact()));
    let notify = watcher.notified();
    assert_eq!(summary(&notify), format!("v3 partial active {} terminated expired", mobile.contact()));

    assert_eq!(desk.ask(&desk.register_for(0)).status(), 200);
    let last = watcher.notified();
    assert_eq!(summary(&last), format!("v4 partial terminated {} terminated unregistered", desk.contact()));
    assert_eq!(last.need("CSeq"), "5 NOTIFY");
    assert_eq!(last.need("To"), first.need("To"));
    assert_eq!(last.parameter("From", "tag"), first.parameter("From", "tag"));
}

#[test]
fn a_subscription_is_refreshed_listed_and_ended_by_its_watcher() {
    let server = start();
    let mut watcher = Watcher::new(Phone::udp(&server, "watcher"), "alice");
    watcher.subscribe(60);
    assert_eq!(summary(&watcher.notified()), "v0 full init");
    watcher.subscribe(120);
    let notify = watcher.notified();
    assert_eq!((summary(&notify).as_str(), state(&notify)), ("v1 full init", "active;expires=120"));
    let listed = mi::result(&server, "reg_event_list", json!({"aor": "alice@127.0.0.1"}));
    let entry = &listed["Subscriptions"][0];
    assert_eq!(entry["Contact"], json!(watcher.phone.contact()));
    assert_eq!(entry["Callid"], json!(watcher.request.call_id));
    assert!(entry["Expires"].as_u64().is_some_and(|left| (100..=120).contains(&left)), "{listed}");
    assert_eq!(mi::statistic(&server, "reg_event:subscriptions"), 1);
    watcher.subscribe(0);
    assert_eq!(state(&watcher.notified()), "terminated;reason=timeout");
    let late = watcher.request.clone().with("Expires: 60");
    assert_eq!(watcher.phone.ask(&late).status(), 481);
    mi::wait_for_statistic(&server, "reg_event:subscriptions", 0);
}

#[test]
fn a_subscription_ends_when_its_time_is_over() {
    let server = start();
    let mut watcher = Watcher::new(Phone::udp(&server, "watcher"), "alice");
    watcher.subscribe(1);
    watcher.notified();
    assert_eq!(state(&watcher.notified()), "terminated;reason=timeout");
}

#[test]
fn an_operator_ends_a_subscription_and_removes_a_contact() {
    let server = start();
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    let mut watcher = Watcher::new(Phone::udp(&server, "watcher"), "alice");
    watcher.subscribe(600);
    watcher.notified();
    mi::result(&server, "ul_rm", json!({"table_name": "location", "aor": "alice@127.0.0.1"}));
    let gone = format!("v1 partial terminated {} terminated deactivated", alice.contact());
    assert_eq!(summary(&watcher.notified()), gone);
    let listed = mi::result(&server, "reg_event_list", json!({}));
    let id = listed["Subscriptions"][0]["ID"].clone();
    mi::result(&server, "reg_event_end", json!({"id": id}));
    assert_eq!(state(&watcher.notified()), "terminated;reason=deactivated");
}

#[test]
fn a_lost_notify_is_repeated_and_further_changes_wait_for_it() {
    let server = start();
    let mut watcher = Watcher::new(Phone::udp(&server, "watcher"), "alice");
    watcher.subscribe(600);
    watcher.notified();
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    let begin = Instant::now();
    let first = watcher.phone.expect_request("NOTIFY");
    // Two more changes of the same contact: they become one, and it comes after the answer to the first.
    let request = alice.register_for(700);
    assert_eq!(alice.ask(&request).status(), 200);
    let mut seen = 1;
    while seen < REPEATED {
        let again = watcher.phone.expect_request("NOTIFY");
        assert_eq!(again.bytes, first.bytes);
        seen += 1;
    }
    assert!(begin.elapsed() > Duration::from_secs(3), "{:?}", begin.elapsed());
    watcher.phone.send(&first.reply(200, "OK", "", "", ""));
    let next = watcher.notified();
    assert!(summary(&next).starts_with("v2 partial active"), "{}", summary(&next));
}

#[test]
fn a_watcher_that_does_not_know_the_dialog_is_forgotten() {
    let server = start();
    let mut watcher = Watcher::new(Phone::udp(&server, "watcher"), "alice");
    watcher.subscribe(600);
    watcher.notified_with(481);
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    watcher.phone.expect_silence();
    mi::wait_for_statistic(&server, "reg_event:subscriptions", 0);
    mi::wait_for_statistic(&server, "reg_event:failed_notifies", 1);
}

#[test]
fn a_watcher_over_tcp_is_told_over_its_connection() {
    let server = start();
    let mut watcher = Watcher::new(Phone::tcp(&server, "watcher"), "alice");
    watcher.subscribe(600);
    assert_eq!(summary(&watcher.notified()), "v0 full init");
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    assert!(summary(&watcher.notified()).starts_with("v1 partial active"));
}

#[test]
fn a_next_hop_with_a_name_is_resolved_and_local_route_sees_every_notify() {
    let more = "local_route { xlog(\"own $rm to $ru\\n\"); $du = \"sip:localhost:\" + $(ru{uri.port}); \
                append_hf(\"X-Local: yes\\r\\n\"); }";
    let server = Server::start(&script("", more));
    let mut watcher = Watcher::new(Phone::udp(&server, "watcher"), "alice");
    watcher.subscribe(600);
    let notify = watcher.notified();
    assert_eq!(notify.need("X-Local"), "yes");
    server.wait_for_log(&format!("own NOTIFY to {}", watcher.phone.contact()));
    assert_eq!(mi::statistic(&server, "core:own_requests"), 1);
    // A name that has no address ends the subscription.
    let server = Server::start(&script("", "local_route { $du = \"sip:nowhere.invalid\"; }"));
    let mut watcher = Watcher::new(Phone::udp(&server, "watcher"), "alice");
    watcher.subscribe(600);
    let deadline = Instant::now() + crate::harness::PATIENCE;
    while mi::statistic(&server, "reg_event:subscriptions") > 0 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn hostile_contacts_do_not_break_the_document() {
    let server = start();
    let mut alice = Phone::udp(&server, "alice");
    let contact = "Contact: \"<x>&'\" <sip:alice@127.0.0.1:9;x=%3C%26;y='&amp>;+sip.instance=\"<urn:\\\"&>\"";
    assert_eq!(alice.ask(&alice.register_request().with(contact).with("Expires: 60")).status(), 200);
    let mut watcher = Watcher::new(Phone::udp(&server, "watcher"), "alice");
    watcher.subscribe(600);
    let line = summary(&watcher.notified());
    assert_eq!(line, "v0 full active sip:alice@127.0.0.1:9;x=%3C%26;y='&amp active registered");
}

#[test]
fn many_watchers_of_one_phone_are_all_told() {
    let server = Server::start(&script("modparam(\"reg_event\", \"max_subscriptions_per_aor\", 50)", ""));
    let mut watchers: Vec<Watcher> =
        (0..50).map(|_| Watcher::new(Phone::udp(&server, "watcher"), "alice")).collect();
    for watcher in &mut watchers {
        watcher.subscribe(600);
        watcher.notified();
    }
    let mut alice = Phone::udp(&server, "alice");
    for round in 1..=3 {
        let request = alice.register_for(600 + round);
        assert_eq!(alice.ask(&request).status(), 200);
        for watcher in &mut watchers {
            assert!(summary(&watcher.notified()).starts_with(&format!("v{round} partial active")));
        }
    }
    assert_eq!(mi::statistic(&server, "reg_event:sent_notifies"), 200);
}

#[test]
fn sipp_subscribes_and_unsubscribes() {
    let server = Server::start(&script("modparam(\"reg_event\", \"max_subscriptions_per_aor\", 50)", ""));
    let folder = temporary_folder();
    let port = free_port();
    let arguments = ["-s", "alice", "-m", "30", "-r", "30", "-p", &port];
    must_pass(sipp("subscriber", &folder, server.udp(), &arguments), "subscriber");
    assert_eq!(mi::statistic(&server, "reg_event:accepted_subscribes"), 60);
    assert_eq!(mi::statistic(&server, "reg_event:failed_notifies"), 0);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_subscription_over_ipv6_is_told_over_ipv6() {
    let server = Server::start_with(&script("", ""), &["-l", "udp:[::1]:0"]);
    let mut watcher = Watcher::new(Phone::udp_to(server.udp(), "watcher"), "alice");
    let accepted = watcher.subscribe(600);
    assert_eq!(accepted.addresses("Contact"), [format!("sip:{}", server.udp())]);
    assert_eq!(summary(&watcher.notified()), "v0 full init");
}

/// What a watcher has learned: the contacts that are registered, by their id. Follows RFC 3680 section 5.5: a version must
/// follow upon the last.
#[derive(Default)]
struct Known {
    version: Option<u32>,
    contacts: BTreeMap<String, String>,
}

impl Known {
    /// Answers a NOTIFY, and learns from it unless it is a repeated one.
    fn answer(&mut self, watcher: &mut Watcher, notify: &Message) {
        watcher.phone.send(&notify.reply(200, "OK", "", "", ""));
        let last = self.version.map(|last| format!("{} NOTIFY", last + 1));
        if last.as_deref() != Some(notify.need("CSeq")) {
            self.learn(notify);
        }
    }

    fn learn(&mut self, notify: &Message) {
        let text = std::str::from_utf8(&notify.body).unwrap();
        let document = roxmltree::Document::parse(text).unwrap();
        let root = document.root_element();
        let version: u32 = root.attribute("version").unwrap().parse().unwrap();
        assert_eq!(self.version.map_or(0, |last| last + 1), version);
        self.version = Some(version);
        if root.attribute("state") == Some("full") {
            self.contacts.clear();
        }
        for contact in root.descendants().filter(|node| node.has_tag_name("contact")) {
            let id = contact.attribute("id").unwrap().to_owned();
            if contact.attribute("state") == Some("terminated") {
                self.contacts.remove(&id);
            } else {
                let uri = contact.first_element_child().unwrap().text().unwrap();
                self.contacts.insert(id, uri.to_owned());
            }
        }
    }
}

#[test]
fn a_watcher_ends_up_with_what_the_table_holds_however_requests_overtake_each_other() {
    let server = start();
    let mut watcher = Watcher::new(Phone::udp(&server, "watcher"), "alice");
    watcher.subscribe(600);
    let mut known = Known::default();
    known.learn(&watcher.notified());
    let mut phones: Vec<Phone> = (0..8).map(|_| Phone::udp(&server, "alice")).collect();
    let requests: Vec<Request> = phones.iter().map(|phone| phone.register_request()).collect();
    // Register and unregister in turn without waiting for answers: the workers take them in any order.
    for round in 0..40_u32 {
        for (number, (phone, request)) in phones.iter_mut().zip(&requests).enumerate() {
            let expires = if (round as usize + number).is_multiple_of(3) { 0 } else { 600 + round };
            let contact = format!("Contact: <{}>;expires={expires}", phone.contact());
            let mut request = request.clone().with(contact);
            request.cseq = round + 1;
            request.branch = format!("{}-{round}", request.branch);
            phone.send(&request.bytes());
        }
        while let Some(notify) = watcher.phone.receive_within(Duration::from_millis(2)) {
            known.answer(&mut watcher, &notify);
        }
    }
    let deadline = Instant::now() + crate::harness::PATIENCE;
    loop {
        if let Some(notify) = watcher.phone.receive_within(Duration::from_millis(300)) {
            known.answer(&mut watcher, &notify);
            continue;
        }
        let stored = mi::contacts(&server, "alice@127.0.0.1");
        let mut stored: Vec<&str> =
            stored.iter().map(|contact| contact["Contact"].as_str().unwrap()).collect();
        let mut learned: Vec<&str> = known.contacts.values().map(String::as_str).collect();
        stored.sort_unstable();
        learned.sort_unstable();
        if stored == learned {
            break;
        }
        assert!(Instant::now() < deadline, "{stored:?}\n{learned:?}");
    }
    assert!(known.version.unwrap() > 20, "{:?}", known.version);
}
