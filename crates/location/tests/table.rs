//! The table against a naive model, its events, its counters and its expiry.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::BTreeMap;

use proptest::prelude::*;
use seawall_location::{
    Binding, Change, Domain, Location, Numbers, Order, PERMANENT, Q_NONE, Refused, Removal, Settings, Sink,
    Snapshot, TooLong, Updates, limits, ordered,
};

const NOW_S: u64 = 1_800_000_000;

fn domain() -> std::sync::Arc<Domain> {
    Location::new(Settings { secret: [9; 16], shards: 4 }).declare("location").unwrap()
}

fn binding(contact: &str, expires_s: u64) -> Binding<'_> {
    let numbers = Numbers { expires_s: expires_s as u32, ..Numbers::default() };
    Binding { numbers, contact: contact.as_bytes(), user_agent: b"Phone/1.0", ..Binding::default() }
}

/// Writes every change down as a line.
#[derive(Default)]
struct Log(Vec<String>);

impl Sink for Log {
    fn listens(&self) -> bool {
        true
    }

    fn change(&mut self, domain: &str, aor: &[u8], change: Change<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let what = match change {
            Change::AorInsert => "aor insert".to_owned(),
            Change::AorDelete => "aor delete".to_owned(),
            Change::ContactInsert(binding) => format!("insert {}", text(binding.contact)),
            Change::ContactUpdate(binding) => format!("update {}", text(binding.contact)),
            Change::KeysUpdate(binding) => format!("keys {}", text(binding.contact)),
            Change::ContactDelete(binding, why) => format!("delete {} {why:?}", text(binding.contact)),
        };
        self.0.push(format!("{domain} {}: {what}", text(aor)));
    }
}

fn contacts(domain: &Domain, aor: &str, now_s: u64) -> Vec<String> {
    let entry = domain.lock(aor.as_bytes(), now_s);
    entry.valid().map(|(_, binding)| String::from_utf8_lossy(binding.contact).into_owned()).collect()
}

fn expire_all(domain: &Domain, now_s: u64, sink: &mut dyn Sink) {
    for shard in 0..domain.shard_count() {
        while domain.expire(shard, now_s, 3, sink) {}
    }
}

#[test]
fn the_table_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Location>();
    is_shared::<Domain>();
}

#[test]
fn changes_are_told_in_order() {
    let domain = domain();
    let mut log = Log::default();
    let mut entry = domain.lock(b"alice", NOW_S);
    entry.insert(&binding("sip:a", NOW_S + 10), &mut log).unwrap();
    entry.insert(&binding("sip:b", NOW_S + 20), &mut log).unwrap();
    entry.replace(1, &binding("sip:b", NOW_S + 30), &mut log).unwrap();
    drop(entry);
    expire_all(&domain, NOW_S + 9, &mut log);
    expire_all(&domain, NOW_S + 10, &mut log);
    domain.lock(b"alice", NOW_S + 10).remove(&mut log, |_, _| Some(Removal::Asked));
    let expected = [
        "location alice: aor insert",
        "location alice: insert sip:a",
        "location alice: insert sip:b",
        "location alice: update sip:b",
        "location alice: delete sip:a Expired",
        "location alice: delete sip:b Asked",
        "location alice: aor delete",
    ];
    assert_eq!(log.0, expected);
    assert!(domain.lock(b"alice", NOW_S).is_empty());
    let statistics = domain.statistics();
    assert_eq!((statistics.users, statistics.contacts, statistics.expires), (0, 0, 1));
    domain.reset_expires();
    assert_eq!(domain.statistics().expires, 0);
}

#[test]
fn a_key_value_store_is_told_with_each_binding() {
    let domain = domain();
    let mut log = Log::default();
    let mut entry = domain.lock(b"alice", NOW_S);
    assert_eq!(entry.set_keys(b"{}", &mut log), Err(Refused::NoSuchBinding));
    entry.insert(&binding("sip:a", NOW_S + 10), &mut ()).unwrap();
    entry.insert(&binding("sip:b", NOW_S + 20), &mut ()).unwrap();
    entry.set_keys(b"{\"k\":1}", &mut log).unwrap();
    assert_eq!(log.0, ["location alice: keys sip:a", "location alice: keys sip:b"]);
    assert_eq!(entry.set_keys(&[b' '; 65_536], &mut log), Err(Refused::TooLong(TooLong::Keys)));
    let image = entry.image();
    entry.set_keys(b"", &mut ()).unwrap();
    entry.restore(&image, &mut ());
    assert_eq!(entry.keys(), b"{\"k\":1}");
    entry.replace(0, &binding("sip:a", NOW_S + 30), &mut ()).unwrap();
    assert!(entry.bindings().all(|binding| binding.aor_keys == b"{\"k\":1}"));
    drop(entry);
    expire_all(&domain, NOW_S + 30, &mut ());
    domain.lock(b"alice", NOW_S + 30).insert(&binding("sip:a", NOW_S + 90), &mut ()).unwrap();
    assert!(domain.lock(b"alice", NOW_S + 30).keys().is_empty());
}

#[test]
fn a_permanent_binding_stays() {
    let domain = domain();
    domain.lock(b"alice", NOW_S).insert(&binding("sip:a", u64::from(PERMANENT)), &mut ()).unwrap();
    expire_all(&domain, NOW_S + 1_000_000_000, &mut ());
    assert_eq!(contacts(&domain, "alice", NOW_S + 1_000_000_000), ["sip:a"]);
}

#[test]
fn a_refreshed_binding_lives_until_its_new_end() {
    let domain = domain();
    domain.lock(b"alice", NOW_S).insert(&binding("sip:a", NOW_S + 60), &mut ()).unwrap();
    for second in 1..=500 {
        if second % 50 == 0 {
            let numbers = binding("sip:a", NOW_S + second + 60).numbers;
            domain.lock(b"alice", NOW_S + second).set_numbers(0, &numbers, &mut ()).unwrap();
        }
        expire_all(&domain, NOW_S + second, &mut ());
        assert_eq!(domain.statistics().contacts, 1, "second {second}");
    }
    expire_all(&domain, NOW_S + 559, &mut ());
    assert_eq!(domain.statistics().contacts, 1);
    expire_all(&domain, NOW_S + 560, &mut ());
    assert_eq!(domain.statistics().contacts, 0);
}

#[test]
fn an_expired_binding_does_not_count_before_the_wheel_has_come_to_it() {
    let domain = domain();
    domain.lock(b"alice", NOW_S).insert(&binding("sip:a", NOW_S + 60), &mut ()).unwrap();
    assert_eq!(contacts(&domain, "alice", NOW_S + 59), ["sip:a"]);
    assert_eq!(contacts(&domain, "alice", NOW_S + 60), Vec::<String>::new());
    let mut entry = domain.lock(b"alice", NOW_S + 60);
    assert_eq!(entry.len(), 1);
    entry.purge(&mut ());
    assert_eq!(entry.len(), 0);
}

#[test]
fn registering_and_unregistering_in_a_circle_keeps_expiry_right() {
    let domain = domain();
    for round in 0..5000 {
        let mut entry = domain.lock(b"alice", NOW_S);
        entry.insert(&binding("sip:a", NOW_S + 3600 + round % 7), &mut ()).unwrap();
        entry.remove(&mut (), |_, _| Some(Removal::Asked));
    }
    domain.lock(b"alice", NOW_S).insert(&binding("sip:a", NOW_S + 3600), &mut ()).unwrap();
    expire_all(&domain, NOW_S + 3599, &mut ());
    assert_eq!(domain.statistics().contacts, 1);
    expire_all(&domain, NOW_S + 3600, &mut ());
    assert_eq!(domain.statistics().contacts, 0);
}

#[test]
fn of_many_records_that_end_in_the_same_second_none_is_forgotten() {
    let domain = domain();
    for number in 0..100_000 {
        let aor = format!("user{number}@example.com");
        domain.lock(aor.as_bytes(), 1000).insert(&binding("sip:a@192.0.2.1", 1060), &mut ()).unwrap();
    }
    expire_all(&domain, 1060, &mut ());
    assert_eq!(domain.statistics().contacts, 0);
    assert_eq!(domain.statistics().expires, 100_000);
}

#[test]
fn a_contact_is_found_by_its_id() {
    let domain = domain();
    let mut ids = Vec::new();
    for number in 0..200 {
        let (aor, contact) = (format!("user{number}"), format!("sip:{number}"));
        let mut entry = domain.lock(aor.as_bytes(), NOW_S);
        ids.push((entry.insert(&binding(&contact, NOW_S + 60), &mut ()).unwrap(), aor.clone()));
    }
    let mut found = Vec::new();
    for (id, aor) in &ids {
        assert!(domain.find_contact(*id, NOW_S, &mut found));
        assert_eq!(found, aor.as_bytes());
        assert!(!domain.find_contact(*id, NOW_S + 60, &mut found), "expired");
    }
    assert!(!domain.find_contact(ids[0].0 ^ 1, NOW_S, &mut found));
}

#[test]
fn ids_are_the_same_with_the_same_secret_and_differ_between_domains() {
    let id = |secret: u8, name: &str| {
        let location = Location::new(Settings::new([secret; 16]));
        let domain = location.declare(name).unwrap();
        let mut entry = domain.lock(b"alice@example.com", NOW_S);
        entry.insert(&binding("sip:a", NOW_S + 60), &mut ()).unwrap()
    };
    assert_eq!(id(1, "location"), id(1, "location"));
    assert_ne!(id(1, "location"), id(2, "location"));
    assert_ne!(id(1, "location"), id(1, "aliases"));
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let domain = domain();
    let mut entry = domain.lock(b"alice", NOW_S);
    let long = "x".repeat(256);
    let callid = Binding { callid: long.as_bytes(), ..binding("sip:a", NOW_S + 1) };
    assert_eq!(entry.insert(&callid, &mut ()), Err(Refused::TooLong(TooLong::CallId)));
    assert_eq!(entry.replace(0, &binding("sip:a", NOW_S + 1), &mut ()), Err(Refused::NoSuchBinding));
    assert!(entry.is_empty());
    for number in 0..limits::MAX_BINDINGS_PER_AOR {
        entry.insert(&binding(&format!("sip:{number}"), NOW_S + 1), &mut ()).unwrap();
    }
    assert_eq!(entry.insert(&binding("sip:x", NOW_S + 1), &mut ()), Err(Refused::TooMany));
    assert_eq!(entry.len(), limits::MAX_BINDINGS_PER_AOR);
}

#[test]
fn order_is_by_q_and_arrival_or_by_time_or_by_latency() {
    let all = [(500, 10, 0), (Q_NONE, 30, 5), (1000, 20, 9), (500, 30, 0), (0, 5, 7)];
    let bindings = all.map(|(q, last_modified_s, latency_us)| Binding {
        numbers: Numbers { q, last_modified_s, latency_us, ..Numbers::default() },
        ..Binding::default()
    });
    let check = |order, now_s, expected: [usize; 5]| {
        let found = ordered(bindings.into_iter().enumerate(), order, now_s);
        assert_eq!(found.as_slice(), expected, "{order:?} at {now_s}");
    };
    for now_s in [5, 40] {
        check(Order::Preference, now_s, [2, 0, 3, 4, 1]);
        check(Order::FastestFirst, now_s, [1, 4, 2, 0, 3]);
    }
    check(Order::NewestFirst, 40, [3, 1, 2, 0, 4]);
    check(Order::NewestFirst, 20, [3, 1, 2, 0, 4]);
    // Those of after 15 are of before the clock was set back.
    check(Order::NewestFirst, 5, [0, 4, 3, 1, 2]);
}

#[test]
fn a_snapshot_holds_everything_once() {
    let domain = domain();
    for number in 0..100 {
        let (aor, contact) = (format!("user{number}"), format!("sip:{number}"));
        let mut entry = domain.lock(aor.as_bytes(), NOW_S);
        entry.insert(&binding(&contact, NOW_S + 60), &mut ()).unwrap();
        entry.insert(&binding("sip:second", NOW_S + 60), &mut ()).unwrap();
    }
    let mut copy = Snapshot::default();
    let mut seen = BTreeMap::new();
    for shard in 0..domain.shard_count() {
        domain.snapshot(shard, &mut copy);
        for record in copy.records(domain.names()) {
            assert!(record.bindings().all(|binding| binding.user_agent == b"Phone/1.0"));
            *seen.entry(record.aor().to_vec()).or_insert(0) += record.len();
        }
    }
    assert_eq!(seen.len(), 100);
    assert!(seen.values().all(|count| *count == 2));
    let mut log = Log::default();
    for shard in 0..domain.shard_count() {
        domain.clear(shard, &mut log);
    }
    assert_eq!(log.0.len(), 300);
    assert_eq!(domain.statistics().users, 0);
}

#[test]
fn domains_are_declared_once_and_share_their_names() {
    let location = Location::new(Settings::new([1; 16]));
    let first = location.declare("location").unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &location.declare("location").unwrap()));
    assert!(location.domain("aliases").is_none());
    let id = location.names().intern(b"udp:10.0.0.1:5060").unwrap();
    assert_eq!(first.names().name(id), b"udp:10.0.0.1:5060");
    for number in 1..limits::MAX_DOMAINS {
        assert!(location.declare(&format!("domain {number}")).is_some());
    }
    assert!(location.declare("one more").is_none());
}

#[derive(Clone, Debug)]
enum Step {
    Insert { user: u8, contact: u8, lasts_s: u16 },
    Refresh { user: u8, position: u8, lasts_s: u16 },
    Rewrite { user: u8, position: u8, contact: u16, lasts_s: u16 },
    Remove { user: u8, contact: u8 },
    Wait { seconds: u16 },
    Expire { budget: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12u8, any::<u8>(), 1..9000u16).prop_map(|(user, contact, lasts_s)| Step::Insert { user, contact, lasts_s }),
        4 => (0..12u8, 0..4u8, 1..9000u16).prop_map(|(user, position, lasts_s)| Step::Refresh { user, position, lasts_s }),
        2 => (0..12u8, 0..4u8, any::<u16>(), 1..300u16)
            .prop_map(|(user, position, contact, lasts_s)| Step::Rewrite { user, position, contact, lasts_s }),
        2 => (0..12u8, any::<u8>()).prop_map(|(user, contact)| Step::Remove { user, contact }),
        3 => (0..5000u16).prop_map(|seconds| Step::Wait { seconds }),
        3 => (1..50u8).prop_map(|budget| Step::Expire { budget }),
    ]
}

/// What the table should hold: for each user the contacts with their ends, in the order of arrival.
type Model = BTreeMap<String, Vec<(String, u32)>>;

fn valid_in(model: &Model, user: &str, now_s: u64) -> Vec<String> {
    let contacts = model.get(user).into_iter().flatten();
    contacts.filter(|(_, end_s)| u64::from(*end_s) > now_s).map(|(contact, _)| contact.clone()).collect()
}

fn apply(step: &Step, domain: &Domain, model: &mut Model, now_s: &mut u64) {
    let end = |lasts_s: u16| (*now_s + u64::from(lasts_s)) as u32;
    let name = |user: u8| format!("user{user}@example.com");
    match *step {
        Step::Insert { user, contact, lasts_s } => {
            let (aor, contact) = (name(user), format!("sip:{contact}@host"));
            domain
                .lock(aor.as_bytes(), *now_s)
                .insert(&binding(&contact, end(lasts_s).into()), &mut ())
                .unwrap();
            model.entry(aor).or_default().push((contact, end(lasts_s)));
        }
        Step::Refresh { user, position, lasts_s } | Step::Rewrite { user, position, lasts_s, .. } => {
            // Positions are of what is valid; the table may hold expired ones in between, until they are purged.
            let aor = name(user);
            let mut entry = domain.lock(aor.as_bytes(), *now_s);
            entry.purge(&mut ());
            let contacts = model.entry(aor.clone()).or_default();
            contacts.retain(|(_, end_s)| u64::from(*end_s) > *now_s);
            let Some(stored) = contacts.get_mut(usize::from(position)) else { return };
            if let Step::Rewrite { contact, .. } = step {
                stored.0 = format!("sip:{contact}@another.host");
            }
            stored.1 = end(lasts_s);
            entry.replace(position.into(), &binding(&stored.0, stored.1.into()), &mut ()).unwrap();
        }
        Step::Remove { user, contact } => {
            let (aor, contact) = (name(user), format!("sip:{contact}@host"));
            let is_it = |binding: &Binding<'_>| binding.contact == contact.as_bytes();
            let which = |_: usize, binding: &Binding<'_>| is_it(binding).then_some(Removal::Asked);
            domain.lock(aor.as_bytes(), *now_s).remove(&mut (), which);
            model.entry(aor).or_default().retain(|(other, _)| *other != contact);
        }
        Step::Wait { seconds } => *now_s += u64::from(seconds),
        Step::Expire { budget } => {
            for shard in 0..domain.shard_count() {
                domain.expire(shard, *now_s, budget.into(), &mut ());
            }
        }
    }
}

proptest! {
    #[test]
    fn the_table_holds_what_a_naive_map_holds(steps in prop::collection::vec(step(), 1..120)) {
        let domain = domain();
        let mut model = Model::new();
        let mut now_s = NOW_S;
        for step in &steps {
            apply(step, &domain, &mut model, &mut now_s);
            for user in 0..12u8 {
                let user = format!("user{user}@example.com");
                prop_assert_eq!(contacts(&domain, &user, now_s), valid_in(&model, &user, now_s));
            }
        }
        // The wheel loses nothing and is never early: when it has caught up, exactly the valid ones are left.
        expire_all(&domain, now_s, &mut ());
        let left: usize = model.keys().map(|user| valid_in(&model, user, now_s).len()).sum();
        prop_assert_eq!(domain.statistics().contacts, left as u64);
        expire_all(&domain, now_s + 10_000, &mut ());
        prop_assert_eq!(domain.statistics().users, 0);
    }
}

/// Writes down which bindings were refreshed, and what else it is told.
#[derive(Default)]
struct IdsOnly(Vec<u64>, usize);

impl Sink for IdsOnly {
    fn listens(&self) -> bool {
        true
    }

    fn listens_to_updates(&self) -> Updates {
        Updates::Ids
    }

    fn refreshed(&mut self, domain: &str, contact_id: u64) {
        assert_eq!(domain, "location");
        self.0.push(contact_id);
    }

    fn change(&mut self, _domain: &str, _aor: &[u8], change: Change<'_>) {
        assert!(!matches!(change, Change::ContactUpdate(_)));
        self.1 += 1;
    }
}

#[test]
fn who_wants_ids_only_is_told_which_bindings_were_refreshed() {
    let domain = domain();
    let mut sink = IdsOnly::default();
    let mut entry = domain.lock(b"alice", NOW_S);
    let ids = ["sip:a", "sip:b"].map(|uri| entry.insert(&binding(uri, NOW_S + 60), &mut sink).unwrap());
    assert_eq!((&*sink.0, sink.1), (&[][..], 3));
    entry.replace(1, &binding("sip:b;longer=yes", NOW_S + 90), &mut sink).unwrap();
    entry.renew(0, NOW_S as u32 + 90, 2, &mut sink);
    entry.renew(1, NOW_S as u32 + 90, 2, &mut sink);
    assert_eq!((&*sink.0, sink.1), (&[ids[1], ids[0], ids[1]][..], 3));
    entry.remove(&mut sink, |position, _| (position == 0).then_some(Removal::Asked));
    assert_eq!((sink.0.len(), sink.1), (3, 4));
}
