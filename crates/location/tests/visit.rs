//! Walking over a table: who is visited, what is counted, who is removed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall_location::{
    Binding, Change, Domain, Location, Numbers, Part, Removal, Settings, Sink, Step, Visited,
};

const NOW_S: u64 = 1000;

/// A table of one shard with so many addresses of record of one binding each.
fn table(count: usize) -> Arc<Domain> {
    let location = Location::new(Settings { secret: [5; 16], shards: 1 });
    let domain = location.declare("location").unwrap();
    (0..count).for_each(|number| insert(&domain, &format!("user{number}"), "sip:a@192.0.2.1", 2000));
    domain
}

fn insert(domain: &Domain, aor: &str, contact: &str, expires_s: u32) {
    let numbers = Numbers { expires_s, ..Numbers::default() };
    let binding = Binding { numbers, contact: contact.as_bytes(), ..Binding::default() };
    domain.lock(aor.as_bytes(), NOW_S).insert(&binding, &mut ()).unwrap();
}

fn part(from: Visited, until: u32, most: usize) -> Part {
    Part { shard: 0, from, until, most }
}

/// Visits everything from a place on, in steps, and counts how often each address of record was met.
fn walk(domain: &Domain, from: Visited, seen: &mut BTreeMap<String, usize>, step: Step) -> Visited {
    let mut visited = from;
    loop {
        visited = domain.visit(part(visited, 1 << 16, 7), NOW_S, &mut (), &mut |aor, _| {
            *seen.entry(String::from_utf8(aor.to_vec()).unwrap()).or_default() += 1;
            step
        });
        if visited.is_done {
            return visited;
        }
    }
}

fn unanswered(domain: &Domain, aor: &str) -> Vec<u8> {
    domain.lock(aor.as_bytes(), NOW_S).bindings().map(|binding| binding.numbers.unanswered).collect()
}

#[test]
fn a_walk_meets_every_valid_binding_once() {
    let domain = table(500);
    insert(&domain, "gone", "sip:a@192.0.2.1", 1000);
    insert(&domain, "user7", "sip:b@192.0.2.2", 2000);
    let mut seen = BTreeMap::new();
    walk(&domain, Visited::default(), &mut seen, Step::Leave);
    assert_eq!(seen.len(), 500);
    assert!(seen.iter().all(|(aor, count)| *count == if aor == "user7" { 2 } else { 1 }), "{seen:?}");
}

#[test]
fn a_part_ends_at_its_share_and_at_its_number() {
    let domain = table(2000);
    let visit =
        |from, until, most| domain.visit(part(from, until, most), NOW_S, &mut (), &mut |_, _| Step::Leave);
    let half = visit(Visited::default(), 1 << 15, usize::MAX);
    assert!(half.is_done && half.place == half.places / 2);
    assert!((800..1200).contains(&half.bindings), "{half:?}");
    let few = visit(half, 1 << 16, 10);
    assert_eq!((few.is_done, few.bindings), (false, 10));
    assert_eq!(visit(half, 1 << 15, 10), Visited { bindings: 0, ..half });
    assert!(
        domain.visit(Part { shard: 1, ..part(half, 1, 1) }, NOW_S, &mut (), &mut |_, _| Step::Leave).is_done
    );
}

#[test]
fn a_table_that_has_grown_is_walked_from_its_start() {
    let domain = table(100);
    let mut seen = BTreeMap::new();
    let half =
        domain.visit(part(Visited::default(), 1 << 15, usize::MAX), NOW_S, &mut (), &mut |_, _| Step::Leave);
    (100..1000).for_each(|number| insert(&domain, &format!("user{number}"), "sip:a@192.0.2.1", 2000));
    walk(&domain, half, &mut seen, Step::Leave);
    assert_eq!(seen.len(), 1000);
}

#[test]
fn pings_are_counted_until_one_is_answered_or_the_contact_registers_anew() {
    let domain = table(1);
    insert(&domain, "user0", "sip:b@192.0.2.2", 2000);
    let mut seen = BTreeMap::new();
    for _ in 0..3 {
        walk(&domain, Visited::default(), &mut seen, Step::Count);
    }
    assert_eq!(unanswered(&domain, "user0"), [3, 3]);
    let id = domain.lock(b"user0", NOW_S).binding(0).unwrap().numbers.contact_id;
    let mut was = None;
    assert!(domain.answered(id, NOW_S, |aor, binding| {
        was = Some((aor.to_vec(), binding.numbers.unanswered, binding.numbers.latency_us));
        Some(77)
    }));
    assert_eq!(was, Some((b"user0".to_vec(), 3, 0)));
    assert_eq!(unanswered(&domain, "user0"), [0, 3]);
    assert!(domain.answered(id, NOW_S, |_, _| None));
    let latencies: Vec<u32> =
        domain.lock(b"user0", NOW_S).bindings().map(|binding| binding.numbers.latency_us).collect();
    assert_eq!(latencies, [77, 0]);
    // Whom nobody knows, and who has expired.
    assert!(!domain.answered(id ^ 1, NOW_S, |_, _| panic!("shown")));
    assert!(!domain.answered(id, 2000, |_, _| panic!("shown")));
}

#[derive(Default)]
struct Log(Vec<String>);

impl Sink for Log {
    fn listens(&self) -> bool {
        true
    }

    fn change(&mut self, _: &str, aor: &[u8], change: Change<'_>) {
        let aor = String::from_utf8_lossy(aor);
        self.0.push(match change {
            Change::ContactDelete(binding, Removal::Administrative) => {
                format!("{aor} {}", String::from_utf8_lossy(binding.contact))
            }
            Change::AorDelete => format!("{aor} gone"),
            other => panic!("{other:?}"),
        });
    }
}

#[test]
fn what_is_to_go_is_removed_and_told() {
    let domain = table(1);
    insert(&domain, "user0", "sip:b@192.0.2.2", 2000);
    let mut log = Log::default();
    let all = part(Visited::default(), 1 << 16, usize::MAX);
    domain.visit(all, NOW_S, &mut log, &mut |_, binding| {
        if binding.contact == b"sip:a@192.0.2.1" { Step::Remove } else { Step::Count }
    });
    assert_eq!(log.0, ["user0 sip:a@192.0.2.1"]);
    assert_eq!(unanswered(&domain, "user0"), [1]);
    domain.visit(all, NOW_S, &mut log, &mut |_, _| Step::Remove);
    assert_eq!(log.0[1..], ["user0 sip:b@192.0.2.2", "user0 gone"]);
    assert_eq!(domain.statistics().contacts, 0);
}
