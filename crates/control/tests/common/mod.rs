//! A made-up server: a small location table, a few statistics, a clock that stands still.

#![allow(dead_code)] // Each test file uses its own part of this.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI8, AtomicU64, Ordering};

use seawall_control::users::{UserError, Users};

use seawall_control::server::{
    Contact, Domain, EventSubscriber, EventValue, Expires, LocalDomain, LocationError, NewContact, Process,
    PushService, RecordSink, Registration, Server, State, Statistic, StatisticKind, Subscription,
};

/// 1 January 2026, 00:00:00 UTC.
pub const NOW_S: u64 = 1_767_225_600;

#[derive(Clone)]
pub struct Stored {
    pub contact: Vec<u8>,
    pub expires: Expires,
    pub q_per_mille: Option<u16>,
    pub user_agent: Vec<u8>,
    pub flags: u32,
    pub methods: u32,
}

impl Stored {
    pub fn new(contact: &[u8]) -> Self {
        Stored {
            contact: contact.to_vec(),
            expires: Expires::In(3600),
            q_per_mille: None,
            user_agent: b"phone/1".to_vec(),
            flags: 0,
            methods: 5951,
        }
    }
}

#[derive(Default)]
pub struct FakeServer {
    pub table: Mutex<BTreeMap<Vec<u8>, Vec<Stored>>>,
    /// Further bindings that are made up as they are dumped, so many in each part.
    pub synthetic_in_part: usize,
    /// Parts of the table beyond the first four.
    pub more_parts: usize,
    pub level: AtomicI8,
    pub requests: AtomicU64,
    pub reload_error: Option<String>,
    /// Whether contacts are pinged; nothing where the script pings nobody.
    pub pinging: Mutex<Option<bool>>,
    /// Users and their passwords, where the server keeps some.
    pub users: Option<Mutex<BTreeMap<String, String>>>,
}

impl FakeServer {
    /// Two addresses-of-record with three bindings, and statistics that are not 0.
    pub fn with_bindings() -> Self {
        let server =
            FakeServer { requests: AtomicU64::new(7), level: AtomicI8::new(3), ..FakeServer::default() };
        let mut table = server.table.lock().unwrap();
        let mut desk = Stored::new(b"sip:alice@192.0.2.1:5060;transport=tcp");
        desk.q_per_mille = Some(500);
        table.insert(b"alice@example.org".to_vec(), vec![desk, Stored::new(b"sip:alice@192.0.2.2")]);
        let mut strange = Stored::new(b"sip:bob@192.0.2.3");
        strange.user_agent = b"\"x\\\x1b[31m\xff".to_vec();
        strange.expires = Expires::Permanent;
        table.insert(b"bob@example.org".to_vec(), vec![strange]);
        drop(table);
        server
    }

    fn check_table(domain: &str) -> Result<(), LocationError> {
        if domain == "location" { Ok(()) } else { Err(LocationError::TableNotFound) }
    }
}

fn part_of(aor: &[u8], parts: usize) -> usize {
    aor.iter().map(|byte| usize::from(*byte)).sum::<usize>() % parts
}

fn show(aor: &[u8], contacts: &[Stored], sink: &mut dyn RecordSink) {
    sink.aor(aor);
    for stored in contacts {
        sink.contact(&Contact {
            contact: &stored.contact,
            contact_id: 3_846_035_968_840_385_594,
            expires: stored.expires,
            q_per_mille: stored.q_per_mille,
            call_id: b"call-1",
            cseq: 42,
            user_agent: &stored.user_agent,
            received: None,
            path: None,
            state: State::New,
            flags: stored.flags,
            cflags: b"",
            socket: Some(b"udp:192.0.2.9:5060"),
            methods: stored.methods,
            attr: None,
            sip_instance: None,
            ping_latency_us: None,
            ownership_tag: None,
            kv_store: None,
        });
    }
}

/// How many subscriptions the server has: one more than a page.
pub const SUBSCRIPTIONS: u64 = 1001;

impl Server for FakeServer {
    fn version(&self) -> String {
        "Seawall (0.1.0 (test))".to_owned()
    }

    fn now_s(&self) -> u64 {
        NOW_S
    }

    fn started_s(&self) -> u64 {
        NOW_S - 90
    }

    fn processes(&self) -> Vec<Process> {
        vec![
            Process { id: 0, pid: 100, kind: "main".to_owned() },
            Process { id: 1, pid: 101, kind: "SIP worker 0".to_owned() },
        ]
    }

    fn reload_domains(&self) -> Result<usize, LocationError> {
        Err(LocationError::Failed("The database fails; the domains stay as they were"))
    }

    fn local_domains(&self, each: &mut dyn FnMut(&LocalDomain<'_>)) -> Result<(), LocationError> {
        each(&LocalDomain { name: b"example.com", attributes: Some(b"a=\"b\""), accepts_subdomains: true });
        each(&LocalDomain { name: b"example.org", attributes: None, accepts_subdomains: false });
        Ok(())
    }

    fn pinging(&self) -> bool {
        self.pinging.lock().unwrap().unwrap_or(false)
    }

    fn set_pinging(&self, on: bool) -> bool {
        let mut pinging = self.pinging.lock().unwrap();
        let possible = pinging.is_some();
        *pinging = pinging.map(|_| on);
        possible
    }

    fn log_level(&self) -> i8 {
        self.level.load(Ordering::Relaxed)
    }

    fn set_log_level(&self, level: i8) {
        self.level.store(level, Ordering::Relaxed);
    }

    fn statistics(&self, each: &mut dyn FnMut(&Statistic<'_>)) {
        let contacts = self.table.lock().unwrap().values().map(Vec::len).sum::<usize>() as u64;
        let requests = self.requests.load(Ordering::Relaxed);
        for (group, name, value, kind) in [
            ("core", "rcv_requests", requests, StatisticKind::Counter),
            ("usrloc", "location-contacts", contacts, StatisticKind::Gauge),
            ("usrloc", "registered_users", 2, StatisticKind::Gauge),
        ] {
            each(&Statistic { group, name, value, kind, doc: "A test." });
        }
    }

    fn reset_statistic(&self, group: &str, name: &str) {
        assert_eq!((group, name), ("core", "rcv_requests"), "only counters are reset");
        self.requests.store(0, Ordering::Relaxed);
    }

    fn reload(&self) -> Result<String, String> {
        self.reload_error.clone().map_or_else(|| Ok("the script is loaded".to_owned()), Err)
    }

    fn users(&self) -> Option<&dyn Users> {
        self.users.is_some().then_some(self as _)
    }

    fn domains(&self) -> Vec<Domain> {
        vec![Domain { name: "location".to_owned(), hash_size: 512, parts: 4 + self.more_parts }]
    }

    fn dump_part(&self, _: &str, part: usize, sink: &mut dyn RecordSink) {
        for (aor, contacts) in self.table.lock().unwrap().iter().filter(|(aor, _)| part_of(aor, 4) == part) {
            show(aor, contacts, sink);
        }
        for at in 0..self.synthetic_in_part {
            let aor = format!("user-{part}-{at}@example.org");
            show(aor.as_bytes(), &[Stored::new(format!("sip:{aor};transport=udp").as_bytes())], sink);
        }
    }

    fn show_aor(&self, domain: &str, aor: &[u8], sink: &mut dyn RecordSink) -> Result<(), LocationError> {
        Self::check_table(domain)?;
        let table = self.table.lock().unwrap();
        let contacts = table.get(aor).ok_or(LocationError::AorNotFound)?;
        show(aor, contacts, sink);
        Ok(())
    }

    fn remove_aor(&self, domain: &str, aor: &[u8]) -> Result<(), LocationError> {
        Self::check_table(domain)?;
        assert_ne!(aor, b"panic@example.org", "a command that panics");
        self.table.lock().unwrap().remove(aor).map(|_| ()).ok_or(LocationError::AorNotFound)
    }

    fn remove_contact(&self, domain: &str, aor: &[u8], contact: &[u8]) -> Result<(), LocationError> {
        Self::check_table(domain)?;
        let mut table = self.table.lock().unwrap();
        let contacts = table.get_mut(aor).ok_or(LocationError::AorNotFound)?;
        let before = contacts.len();
        contacts.retain(|stored| stored.contact != contact);
        if contacts.len() < before { Ok(()) } else { Err(LocationError::ContactNotFound) }
    }

    fn add_contact(&self, domain: &str, aor: &[u8], new: &NewContact<'_>) -> Result<(), LocationError> {
        Self::check_table(domain)?;
        if !new.contact.starts_with(b"sip:") {
            return Err(LocationError::Refused("Bad contact URI"));
        }
        let expires = if new.expires_s == 0 { Expires::Permanent } else { Expires::In(new.expires_s) };
        let (q_per_mille, flags, methods) = (new.q_per_mille, new.flags, new.methods);
        let stored = Stored { expires, q_per_mille, flags, methods, ..Stored::new(new.contact) };
        self.table.lock().unwrap().entry(aor.to_vec()).or_default().push(stored);
        Ok(())
    }

    fn flush(&self) -> Result<(), LocationError> {
        Ok(())
    }

    fn subscriptions(&self, from: u64, count: usize, each: &mut dyn FnMut(&Subscription<'_>)) {
        for id in (from.max(1)..=SUBSCRIPTIONS).take(count) {
            each(&Subscription {
                id,
                domain: b"location",
                aor: if id % 2 == 0 { b"even@example.org" } else { b"odd@example.org" },
                subscriber: b"<sip:w@example.org>;tag=1",
                target: b"sip:w@192.0.2.1",
                call_id: b"call\xff",
                expires_s: 60,
                notifies: 2,
            });
        }
    }

    fn event_subscribe(&self, event: &str, socket: &str, _: u64) -> Result<(), LocationError> {
        match (event, socket) {
            ("E_X", "udp:127.0.0.1:1") => Ok(()),
            _ => Err(LocationError::Refused("Bad socket")),
        }
    }

    fn event_subscribers(&self, each: &mut dyn FnMut(&EventSubscriber<'_>)) {
        each(&EventSubscriber { event: "E_X", socket: "udp:127.0.0.1:1", expires_s: Some(5) });
        each(&EventSubscriber { event: "E_X", socket: "unix:/x", expires_s: None });
    }

    fn events(&self, each: &mut dyn FnMut(&str)) {
        each("E_X");
        each("E_Y");
    }

    fn event_raise(&self, event: &str, values: &[(String, EventValue)]) -> Result<(), LocationError> {
        let text = |name: &str, value: &str| (name.to_owned(), EventValue::Text(value.to_owned()));
        let number = ("n".to_owned(), EventValue::Int(1));
        match (event, values) {
            ("E_X", []) => Ok(()),
            ("E_LIST", given) if *given == [text("", "a"), text("", "b")] => Ok(()),
            ("E_ONE", given) if *given == [text("", "127.0.0.1")] => Ok(()),
            ("E_NAMED", given) if *given == [text("ip", "127.0.0.1"), number] => Ok(()),
            _ => Err(LocationError::Refused("Bad event")),
        }
    }

    fn push_wake(&self, domain: &str, aor: &[u8], reason: &[u8]) -> Result<usize, LocationError> {
        Self::check_table(domain)?;
        let known = self.table.lock().unwrap().get(aor).map(Vec::len).ok_or(LocationError::AorNotFound)?;
        // Those who are told why are told twice, so that a test sees the reason.
        Ok(if reason == b"reg-refresh" { known } else { 2 * known })
    }

    fn push_services(&self, each: &mut dyn FnMut(&PushService<'_>)) {
        each(&PushService { name: "apns", held: true, counters: &[("sent", 3), ("latency_us", 1500)] });
    }

    fn registrations(
        &self,
        aor: &[u8],
        each: &mut dyn FnMut(&Registration<'_>),
    ) -> Result<(), LocationError> {
        if aor != b"alice@example.org" {
            return Err(LocationError::AorNotFound);
        }
        let one = Registration {
            contact_id: Some(7),
            contact: b"sip:alice@192.0.2.1",
            expires_s: 60,
            upstream_contact: b"<sip:alice@192.0.2.9;ctid=7>",
            state: "live",
            upstream_expires_s: 3600,
            forward_in_s: Some(3530),
            main: b"udp:203.0.113.1:5060",
            main_uri: b"sip:example.org",
            callid: b"call\xff",
            cseq: 3,
            attempts: 0,
        };
        each(&one);
        each(&Registration {
            contact_id: None,
            contact: b"",
            state: "leaving",
            forward_in_s: None,
            attempts: 2,
            ..one
        });
        Ok(())
    }

    fn resync(&self, aor: Option<&[u8]>) -> Result<usize, LocationError> {
        match aor {
            None => Ok(12),
            Some(b"alice@example.org") => Ok(1),
            Some(_) => Err(LocationError::AorNotFound),
        }
    }

    fn end_subscription(&self, id: u64) -> bool {
        (1..=SUBSCRIPTIONS).contains(&id)
    }
}

impl Users for FakeServer {
    fn add(&self, name: &str, password: &str) -> Result<(), UserError> {
        let mut users = self.users.as_ref().ok_or(UserError::NoUsers)?.lock().unwrap();
        match password {
            "" => return Err(UserError::Refused("no password")),
            "disk full" => return Err(UserError::Failed("the disk is full".to_owned())),
            _ => {}
        }
        if users.contains_key(name) {
            return Err(UserError::Exists);
        }
        users.insert(name.to_owned(), password.to_owned());
        Ok(())
    }

    fn change(&self, name: &str, password: &str) -> Result<(), UserError> {
        let mut users = self.users.as_ref().ok_or(UserError::NoUsers)?.lock().unwrap();
        *users.get_mut(name).ok_or(UserError::Unknown)? = password.to_owned();
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), UserError> {
        let mut users = self.users.as_ref().ok_or(UserError::NoUsers)?.lock().unwrap();
        users.remove(name).map(drop).ok_or(UserError::Unknown)
    }

    fn list(&self, from: u32) -> Result<Vec<String>, UserError> {
        let users = self.users.as_ref().ok_or(UserError::NoUsers)?.lock().unwrap();
        Ok(users.keys().skip(usize::try_from(from).unwrap()).cloned().collect())
    }

    fn flush(&self, name: Option<&str>) -> Result<(), UserError> {
        match name {
            Some("stranger") => Err(UserError::Unknown),
            _ => Ok(()),
        }
    }
}
