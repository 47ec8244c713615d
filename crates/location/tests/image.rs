//! Taking back what an address of record was changed to.

#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use seawall_location::{
    Binding, Change, Domain, Image, Location, Numbers, RecordView, Removal, Settings, Sink,
};

const NOW_S: u64 = 1_800_000_000;

fn binding(contact: &str, cseq: u32) -> Binding<'_> {
    let numbers = Numbers { expires_s: NOW_S as u32 + 60, cseq, ..Numbers::default() };
    Binding { numbers, contact: contact.as_bytes(), ..Binding::default() }
}

/// Keeps the first image of an operation, and writes down what is told.
#[derive(Default)]
struct Store {
    image: Option<Image>,
    told: Vec<String>,
}

impl Sink for Store {
    fn listens(&self) -> bool {
        true
    }

    fn before(&mut self, _: &str, aor: &[u8], record: Option<RecordView<'_>>) {
        assert_eq!(aor, b"alice");
        self.image.get_or_insert_with(|| record.map_or(Image::NOTHING, Image::from));
    }

    fn change(&mut self, _: &str, _: &[u8], change: Change<'_>) {
        let text = |binding: Binding<'_>| String::from_utf8_lossy(binding.contact).into_owned();
        self.told.push(match change {
            Change::AorInsert => "aor insert".to_owned(),
            Change::AorDelete => "aor delete".to_owned(),
            Change::ContactInsert(binding) => format!("insert {}", text(binding)),
            Change::ContactUpdate(binding) => format!("update {} {}", text(binding), binding.numbers.cseq),
            Change::KeysUpdate(binding) => format!("keys {}", text(binding)),
            Change::ContactDelete(binding, _) => format!("delete {}", text(binding)),
        });
    }
}

fn contents(domain: &Domain) -> Vec<(String, u32)> {
    let entry = domain.lock(b"alice", NOW_S);
    let shown =
        |binding: Binding<'_>| (String::from_utf8_lossy(binding.contact).into_owned(), binding.numbers.cseq);
    entry.bindings().map(shown).collect()
}

/// Fills alice with `before`, lets `act` change her, takes that back, and expects what she had and what was told of it.
fn check(before: &[&str], act: impl FnOnce(&Domain, &mut Store), told: &[&str]) {
    let location = Location::new(Settings { secret: [9; 16], shards: 4 });
    let domain = location.declare("location").unwrap();
    for contact in before {
        domain.lock(b"alice", NOW_S).insert(&binding(contact, 1), &mut ()).unwrap();
    }
    let held = contents(&domain);
    let mut store = Store::default();
    act(&domain, &mut store);
    let image = store.image.unwrap();
    let mut store = Store::default();
    domain.lock(b"alice", NOW_S).restore(&image, &mut store);
    assert_eq!(contents(&domain), held);
    assert_eq!(store.told, told);
    assert_eq!(domain.statistics().contacts, before.len() as u64);
    assert_eq!(domain.statistics().users, u64::from(!before.is_empty()));
    // What came back ends when it would have ended.
    for shard in 0..domain.shard_count() {
        while domain.expire(shard, NOW_S + 60, 10, &mut ()) {}
    }
    assert_eq!(domain.statistics().contacts, 0);
}

#[test]
fn what_is_taken_back_is_as_it_was() {
    let insert = |domain: &Domain, store: &mut Store| {
        domain.lock(b"alice", NOW_S).insert(&binding("sip:new", 1), store).unwrap();
    };
    check(&[], insert, &["delete sip:new", "aor delete"]);
    check(&["sip:a"], insert, &["delete sip:new"]);
    let replace = |domain: &Domain, store: &mut Store| {
        domain.lock(b"alice", NOW_S).replace(1, &binding("sip:b", 7), store).unwrap();
    };
    check(&["sip:a", "sip:b"], replace, &["update sip:b 1"]);
    let remove = |domain: &Domain, store: &mut Store| {
        domain.lock(b"alice", NOW_S).remove(store, |position, _| (position == 0).then_some(Removal::Asked));
    };
    check(&["sip:a", "sip:b"], remove, &["insert sip:a"]);
    check(&["sip:a"], remove, &["aor insert", "insert sip:a"]);
    let all_of_it = |domain: &Domain, store: &mut Store| {
        let mut entry = domain.lock(b"alice", NOW_S);
        entry.replace(0, &binding("sip:a", 9), store).unwrap();
        entry.remove(store, |position, _| (position == 1).then_some(Removal::Asked));
        entry.insert(&binding("sip:new", 9), store).unwrap();
    };
    check(&["sip:a", "sip:b", "sip:c"], all_of_it, &["delete sip:new", "update sip:a 1", "insert sip:b"]);
}

#[test]
fn an_image_of_nothing_is_empty() {
    let location = Location::new(Settings { secret: [9; 16], shards: 4 });
    let domain = location.declare("location").unwrap();
    let mut entry = domain.lock(b"alice", NOW_S);
    assert!(entry.image().is_empty());
    entry.insert(&binding("sip:a", 1), &mut ()).unwrap();
    let image = entry.image();
    assert!(!image.is_empty());
    entry.restore(&Image::NOTHING, &mut ());
    assert!(entry.is_empty());
}

#[test]
fn an_id_leads_to_its_address_of_record_only() {
    let location = Location::new(Settings { secret: [9; 16], shards: 4 });
    let domain = location.declare("location").unwrap();
    let id = domain.lock(b"alice", NOW_S).insert(&binding("sip:a", 1), &mut ()).unwrap();
    assert!(domain.leads_to(id, b"alice"));
    assert!(!domain.leads_to(id, b"bob"));
    assert!(!domain.leads_to(0, b"alice"));
    assert!(!domain.leads_to(id | 1 << 63, b"alice"));
}
