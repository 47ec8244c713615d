//! When a contact that is woken by pushes should have been refreshed: the wheel looks at it then too (registrar 1.3.26).

use std::sync::atomic::Ordering;

use crate::binding::{Binding, PERMANENT};
use crate::change::Sink;
use crate::domain::{Domain, Shard};
use crate::record::Record;

impl Domain {
    /// From now on the sink of [`expire`](Domain::expire) is told of each binding with
    /// [`PUSH_FLAG`](crate::PUSH_FLAG) that was not refreshed up to `before_s` seconds before its end, once. 0 tells of
    /// none. Bindings that are stored already are seen to from their next refresh on.
    ///
    /// What lives for less than twice as long is told of after half of its life: a phone that is woken at once would be
    /// woken for ever.
    pub fn set_refresh_before(&self, before_s: u32) {
        self.refresh_before_s.store(before_s, Ordering::Relaxed);
    }

    /// When the wheel has to look at a record.
    #[inline]
    pub(crate) fn due_s(&self, record: &Record, now_s: u32) -> u32 {
        match self.refresh_before_s.load(Ordering::Relaxed) {
            0 => record.earliest_expiry_s(),
            before_s => self.earliest_due_s(record, before_s, now_s),
        }
    }

    /// Whether a record is due when its first binding ends, and never earlier.
    #[inline]
    pub(crate) fn is_due_at_end(&self) -> bool {
        self.refresh_before_s.load(Ordering::Relaxed) == 0
    }

    fn earliest_due_s(&self, record: &Record, before_s: u32, now_s: u32) -> u32 {
        let due_s = |binding: Binding<'_>| {
            refresh_s(&binding, before_s).filter(|due_s| *due_s > now_s).unwrap_or(binding.numbers.expires_s)
        };
        record.view(self.names()).bindings().map(due_s).min().unwrap_or(PERMANENT)
    }

    /// Tells of the bindings of the record in `bucket` whose refresh fell due from `armed_s` on, which is when the wheel
    /// was to look at it: what fell due earlier has been told.
    pub(crate) fn tell_refreshes(
        &self,
        shard: &Shard,
        bucket: usize,
        armed_s: u32,
        now_s: u32,
        sink: &mut dyn Sink,
    ) {
        let before_s = self.refresh_before_s.load(Ordering::Relaxed);
        let Some(record) = shard.table.get(bucket).filter(|_| before_s != 0) else { return };
        for binding in record.view(self.names()).bindings() {
            if refresh_s(&binding, before_s).is_some_and(|due_s| (armed_s..=now_s).contains(&due_s)) {
                sink.refresh_due(self.name(), record.aor(), &binding);
            }
        }
    }
}

/// The second at which a binding should have been refreshed.
fn refresh_s(binding: &Binding<'_>, before_s: u32) -> Option<u32> {
    let numbers = &binding.numbers;
    if !binding.is_pushed() || numbers.expires_s == PERMANENT {
        return None;
    }
    let half_s = numbers.expires_s.saturating_sub(numbers.last_modified_s) / 2;
    Some(numbers.expires_s.saturating_sub(before_s).max(numbers.last_modified_s.saturating_add(half_s)))
}

#[cfg(test)]
mod tests {
    use crate::binding::{Numbers, PUSH_FLAG};
    use crate::{Binding, Change, Location, Settings, Sink};

    #[derive(Default)]
    struct Told(Vec<String>);

    impl Sink for Told {
        fn listens(&self) -> bool {
            true
        }

        fn change(&mut self, _: &str, _: &[u8], change: Change<'_>) {
            if let Change::ContactDelete(binding, _) = change {
                self.0.push(format!("-{}", String::from_utf8_lossy(binding.contact)));
            }
        }

        fn refresh_due(&mut self, _: &str, aor: &[u8], binding: &Binding<'_>) {
            let text = [aor, b" ", binding.contact].concat();
            self.0.push(String::from_utf8_lossy(&text).into_owned());
        }
    }

    /// Stores contacts of alice (name, whether it is pushed, life) at second 1000 and gives what is told of, with its second.
    fn check(before_s: u32, contacts: &[(&str, bool, u32)], expected: &[(u32, &str)]) {
        let location = Location::new(Settings { secret: [1; 16], shards: 1 });
        let domain = location.declare("location").unwrap();
        domain.set_refresh_before(before_s);
        for (contact, pushed, life_s) in contacts {
            let numbers = Numbers {
                expires_s: 1000 + life_s,
                last_modified_s: 1000,
                cflags: if *pushed { PUSH_FLAG } else { 0 },
                ..Numbers::default()
            };
            let binding = Binding { numbers, contact: contact.as_bytes(), ..Binding::default() };
            domain.lock(b"alice", 1000).insert(&binding, &mut ()).unwrap();
        }
        let mut found = Vec::new();
        for now_s in 1000..1000 + 700 {
            let mut told = Told::default();
            domain.expire(0, now_s, 10, &mut told);
            found.extend(told.0.into_iter().map(|text| (now_s as u32 - 1000, text)));
        }
        let expected: Vec<_> = expected.iter().map(|(at_s, text)| (*at_s, (*text).to_owned())).collect();
        assert_eq!(found, expected, "{before_s} {contacts:?}");
    }

    #[test]
    fn a_contact_that_is_pushed_is_told_of_once_before_its_end() {
        check(120, &[("p", true, 600)], &[(480, "alice p"), (600, "-p")]);
        check(
            120,
            &[("p", true, 600), ("q", true, 500), ("plain", false, 490)],
            &[(380, "alice q"), (480, "alice p"), (490, "-plain"), (500, "-q"), (600, "-p")],
        );
        check(0, &[("p", true, 600)], &[(600, "-p")]);
        check(120, &[("plain", false, 600)], &[(600, "-plain")]);
    }

    #[test]
    fn what_lives_for_a_short_time_is_not_told_of_at_once() {
        check(120, &[("p", true, 60)], &[(30, "alice p"), (60, "-p")]);
        check(120, &[("p", true, 1)], &[(1, "-p")]);
    }

    #[test]
    fn a_refresh_in_time_is_not_told_of() {
        let location = Location::new(Settings { secret: [1; 16], shards: 1 });
        let domain = location.declare("location").unwrap();
        domain.set_refresh_before(120);
        let at = |now_s: u32| {
            let numbers = Numbers {
                expires_s: now_s + 600,
                last_modified_s: now_s,
                cflags: PUSH_FLAG,
                ..Numbers::default()
            };
            Binding { numbers, contact: b"p", ..Binding::default() }
        };
        domain.lock(b"alice", 1000).insert(&at(1000), &mut ()).unwrap();
        let mut told = Told::default();
        for now_s in 1000..1400 {
            domain.expire(0, now_s, 10, &mut told);
        }
        domain.lock(b"alice", 1400).replace(0, &at(1400), &mut ()).unwrap();
        for now_s in 1400..1880 {
            domain.expire(0, now_s, 10, &mut told);
        }
        assert!(told.0.is_empty(), "{:?}", told.0);
        domain.expire(0, 1880, 10, &mut told);
        assert_eq!(told.0, ["alice p"]);
    }
}
