//! A notifier beside a location table, with a clock that is moved by hand.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use seawall_location::{
    Binding, Change, Domain, Location, MADE_BY_HAND, Numbers, PERMANENT, Removal, Settings, Sink,
};
use seawall_notifier::{Dialog, Filter, Id, Limits, New, Notifier, Notify, Now, Refresh, Refused};
use seawall_sip::Message;

pub const LIMITS: Limits = Limits { subscriptions: 100, per_aor: 10, per_source: 100, pace_ms: 5000 };

const AOR: &str = "alice@example.com";
const START: Now = Now { ms: 1000, s: 1_800_000_000 };

struct Teller<'a>(&'a mut Notifier<&'static str>, &'a Filter);

impl Sink for Teller<'_> {
    fn listens(&self) -> bool {
        !self.1.is_empty()
    }

    fn change(&mut self, domain: &str, aor: &[u8], change: Change<'_>) {
        if self.1.may_have(aor) {
            self.0.change(domain, aor, change);
        }
    }
}

pub struct Bench {
    domain: Arc<Domain>,
    notifier: Notifier<&'static str>,
    filter: Arc<Filter>,
    limits: Limits,
    now: Now,
    source: IpAddr,
    ids: HashMap<String, Id>,
    cseqs: BTreeMap<String, i64>,
    register_cseq: u32,
}

pub fn subscribe_text(name: &str, to_tag: &str, cseq: i64) -> String {
    format!(
        "SUBSCRIBE sip:{AOR} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: \"W\" <sip:watcher@example.com>;tag=remote-{name}\r\nTo: <sip:{AOR}>{to_tag}\r\n\
         Call-ID: call-{name}\r\nCSeq: {cseq} SUBSCRIBE\r\nContact: <sip:watcher@192.0.2.7:5070>\r\n\
         Event: reg\r\nContent-Length: 0\r\n\r\n"
    )
}

pub fn message(text: &str) -> Message {
    Message::parse(text.as_bytes().to_vec()).map_err(|(_, error)| error).unwrap()
}

impl Bench {
    pub fn new(limits: Limits) -> Self {
        let location = Location::new(Settings { secret: [1; 16], shards: 4 });
        let notifier = Notifier::default();
        Self {
            domain: location.declare("location").unwrap(),
            filter: notifier.filter(),
            notifier,
            limits,
            now: START,
            source: [192, 0, 2, 7].into(),
            ids: HashMap::new(),
            cseqs: BTreeMap::new(),
            register_cseq: 0,
        }
    }

    pub fn source(&mut self, address: &str) {
        self.source = address.parse().unwrap();
    }

    pub fn subscribe(&mut self, name: &str, expires_s: u32) -> Result<(), Refused> {
        self.subscribe_to(name, AOR, expires_s)
    }

    pub fn subscribe_to(&mut self, name: &str, aor: &str, expires_s: u32) -> Result<(), Refused> {
        let request = message(&subscribe_text(name, "", 1));
        let id = self.notifier.subscribe(
            self.now,
            New {
                dialog: Dialog::new(&request, format!("local-{name}").as_bytes()).unwrap(),
                domain: "location",
                aor: aor.as_bytes(),
                aor_uri: format!("sip:{aor}").as_bytes(),
                gruus: false,
                expires_s,
                source: self.source.into(),
                flow: "flow",
            },
            &self.limits,
        )?;
        self.ids.insert(name.to_owned(), id);
        self.cseqs.insert(name.to_owned(), 2);
        Ok(())
    }

    pub fn next_cseq(&mut self, name: &str, step: i64) {
        *self.cseqs.get_mut(name).unwrap() += step;
    }

    pub fn refresh(&mut self, name: &str, expires_s: u32) -> Result<(), Refused> {
        self.refresh_with(name, expires_s, "", "")
    }

    pub fn refresh_with(&mut self, name: &str, expires_s: u32, from: &str, to: &str) -> Result<(), Refused> {
        let cseq = self.cseqs.get(name).copied().unwrap_or(2);
        let tag = format!("local-{name}");
        let mut text = subscribe_text(name, &format!(";tag={tag}"), cseq);
        if !from.is_empty() {
            text = text.replace(from, to);
        }
        let request = message(&text);
        let refresh = Refresh { subscribe: &request, tag: tag.as_bytes(), expires_s, flow: "flow" };
        self.notifier.refresh(self.now, refresh)?;
        self.next_cseq(name, 1);
        Ok(())
    }

    pub fn register(&mut self, contact: &str, expires_s: u64) {
        self.register_cseq += 1;
        let expires_s = u32::try_from(self.now.s + expires_s).unwrap();
        self.store(contact, b"call-register", self.register_cseq, expires_s);
    }

    pub fn create(&mut self, contact: &str) {
        self.store(contact, MADE_BY_HAND, 1, PERMANENT);
    }

    fn store(&mut self, contact: &str, callid: &[u8], cseq: u32, expires_s: u32) {
        let now_s = u32::try_from(self.now.s).unwrap();
        let numbers = Numbers { cseq, expires_s, last_modified_s: now_s, ..Numbers::default() };
        let binding = Binding { numbers, contact: contact.as_bytes(), callid, ..Binding::default() };
        let mut entry = self.domain.lock(AOR.as_bytes(), self.now.s);
        let mut sink = Teller(&mut self.notifier, &self.filter);
        let position = entry.bindings().position(|known| known.contact == contact.as_bytes());
        match position {
            Some(position) => entry.replace(position, &binding, &mut sink).unwrap(),
            None => drop(entry.insert(&binding, &mut sink).unwrap()),
        }
    }

    pub fn measure_latency(&mut self, contact: &str, latency_us: u32) {
        let mut entry = self.domain.lock(AOR.as_bytes(), self.now.s);
        let position = entry.bindings().position(|known| known.contact == contact.as_bytes()).unwrap();
        let numbers = Numbers { latency_us, ..entry.binding(position).unwrap().numbers };
        entry.set_numbers(position, &numbers, &mut Teller(&mut self.notifier, &self.filter)).unwrap();
    }

    pub fn remove(&mut self, contact: &str, why: Removal) {
        let mut entry = self.domain.lock(AOR.as_bytes(), self.now.s);
        let mut sink = Teller(&mut self.notifier, &self.filter);
        entry.remove(&mut sink, |_, binding| (binding.contact == contact.as_bytes()).then_some(why));
    }

    /// What comes next comes from a worker whose clock is so much behind.
    pub fn fall_behind(&mut self, ms: u64) {
        self.now.ms -= ms;
    }

    /// Lets seconds pass; what expires is removed.
    pub fn pass(&mut self, seconds: u64) {
        self.now = Now { ms: self.now.ms + seconds * 1000, s: self.now.s + seconds };
        let mut sink = Teller(&mut self.notifier, &self.filter);
        for shard in 0..self.domain.shard_count() {
            while self.domain.expire(shard, self.now.s, 1000, &mut sink) {}
        }
    }

    pub fn answer(&mut self, name: &str, code: u16) {
        self.notifier.answered(self.now, self.ids[name], code, None);
    }

    pub fn answer_later(&mut self, name: &str, code: u16, retry_after_s: u32) {
        self.notifier.answered(self.now, self.ids[name], code, Some(retry_after_s));
    }

    pub fn terminate(&mut self, name: &str) -> bool {
        self.notifier.terminate(self.ids[name])
    }

    /// The NOTIFYs that are sent now.
    pub fn sent(&mut self) -> Vec<Notify<&'static str>> {
        let mut sent = Vec::new();
        while let Some(due) = self.notifier.due(self.now) {
            let entry = self.domain.lock(&due.aor, self.now.s);
            let bindings = due.full.then(|| entry.valid().map(|(_, binding)| binding));
            sent.extend(self.notifier.notify(self.now, due.id, bindings, &self.limits));
        }
        sent
    }

    #[track_caller]
    pub fn expect(&mut self, expected: &[&str]) {
        let sent: Vec<String> = self.sent().iter().map(summary).collect();
        assert_eq!(sent, expected);
    }

    /// The size of the next body and the number of its contacts.
    pub fn next_size(&mut self) -> (usize, usize) {
        let body = self.sent().remove(0).body;
        let text = String::from_utf8(body).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        (text.len(), document.descendants().filter(|node| node.has_tag_name("contact")).count())
    }

    /// Nothing is left, not even in the filter.
    #[track_caller]
    pub fn is_empty(&mut self) {
        self.expect(&[]);
        assert!(self.notifier.is_empty() && self.notifier.next_due_ms().is_none() && self.filter.is_empty());
        assert!(!self.filter.may_have(AOR.as_bytes()));
    }
}

/// A NOTIFY in one line: `s1 v0 full active;expires=60 r=init [contact] …`.
fn summary(notify: &Notify<&'static str>) -> String {
    let headers = String::from_utf8(notify.headers.clone()).unwrap();
    let state = headers.lines().find_map(|line| line.strip_prefix("Subscription-State: ")).unwrap();
    assert!(headers.contains("Content-Type: application/reginfo+xml\r\n") && headers.contains("Event: reg"));
    let name = std::str::from_utf8(&notify.call_id).unwrap().strip_prefix("call-").unwrap();
    let text = std::str::from_utf8(&notify.body).unwrap();
    let document = roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let root = document.root_element();
    assert_eq!(root.tag_name().namespace(), Some("urn:ietf:params:xml:ns:reginfo"));
    let version: u32 = root.attribute("version").unwrap().parse().unwrap();
    assert_eq!(notify.cseq, version + 1);
    let registration = root.first_element_child().unwrap();
    let mut line = format!(
        "{name} v{version} {} {state} r={}",
        root.attribute("state").unwrap(),
        registration.attribute("state").unwrap()
    );
    for contact in registration.children().filter(|node| node.has_tag_name("contact")) {
        let of = |name| contact.attribute(name).unwrap_or("-");
        let uri = contact.first_element_child().unwrap().text().unwrap();
        line += &format!(" [{} {} {uri} {}]", of("state"), of("event"), of("expires"));
    }
    line
}
