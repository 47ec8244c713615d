//! What must be true after every step.

use std::collections::BTreeMap;
use std::fmt;

use seawall_location::Domain;
use seawall_registrar::mid::{Mode, State};

use super::front::{Front, Word, aor_of, second};
use super::main_registrar::{Held, MainRegistrar};
use super::text;

/// A contact that the main registrar holds, and the contacts here that it leads to.
type Lead<'a> = (&'a Held, Vec<Vec<u8>>);

/// How long after its end a contact may stay at the main registrar.
const LATE_MS: u64 = 2000;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub kind: Kind,
    /// When, in milliseconds from the start.
    pub at_ms: u64,
    /// What was seen.
    pub what: String,
}

/// The invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// (a) A contact for which a client holds an unexpired 200 is not reachable through the main registrar.
    Unreachable,
    /// (b) A contact has stayed at the main registrar after it was gone.
    Stale,
    /// (c) Two records contradict each other.
    Contradiction,
    /// (d) Absorbed, refused and forwarded requests are not those that were received.
    Miscounted,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.3} s: {:?}: {}", self.at_ms as f64 / 1000.0, self.kind, self.what)
    }
}

/// What is remembered from step to step.
#[derive(Debug, Default)]
pub struct Witness {
    /// Until which Unix second a client holds a 200, by user and contact.
    promises: BTreeMap<String, BTreeMap<Vec<u8>, u64>>,
    /// Since when a contact at the main registrar leads nowhere.
    stale_since: BTreeMap<(String, Vec<u8>), u64>,
}

impl Witness {
    /// Clients have been told something.
    pub fn note(&mut self, words: impl IntoIterator<Item = Word>) {
        for word in words {
            match word {
                Word::Holds(user, uri, until_s) => {
                    self.promises.entry(user).or_default().insert(uri, until_s);
                }
                Word::Ends(user, uri) => {
                    self.promises.entry(user).or_default().remove(&uri);
                }
                Word::AllEnd(user, kept) => {
                    self.promises.entry(user).or_default().retain(|uri, _| kept.contains(uri));
                }
            }
        }
    }

    /// Seawall has lost its memory: what it promised cannot hold before clients register again, and what it has
    /// registered is forgotten by the main registrar in its own time.
    pub fn crash(&mut self) {
        self.promises.clear();
        self.stale_since.clear();
    }

    /// How many promises hold.
    pub fn holds(&self, now_ms: u64) -> usize {
        let now_s = second(now_ms);
        self.promises.values().flat_map(BTreeMap::values).filter(|until_s| **until_s > now_s).count()
    }

    /// Looks at one user. With `is_quiet` nothing is excused that will be set right later.
    pub fn check(
        &mut self,
        now_ms: u64,
        user: &str,
        front: &Front,
        main: &MainRegistrar,
        is_quiet: bool,
    ) -> Result<(), Violation> {
        let held = main.bindings.get(user).map_or(&[][..], Vec::as_slice);
        let valid = held.iter().filter(|held| held.ends_ms > now_ms);
        let leads: Vec<Lead<'_>> = valid.map(|held| (held, front.lookup(now_ms, &held.uri))).collect();
        self.check_reachable(now_ms, user, front, main, &leads, is_quiet)?;
        if front.settings.mode != Mode::Mirror {
            self.check_stale(now_ms, user, front, main, &leads)?;
        }
        check_records(now_ms, user, front, main, &leads)
    }

    fn check_reachable(
        &mut self,
        now_ms: u64,
        user: &str,
        front: &Front,
        main: &MainRegistrar,
        leads: &[Lead<'_>],
        is_quiet: bool,
    ) -> Result<(), Violation> {
        let now_s = second(now_ms);
        let Some(promised) = self.promises.get_mut(user) else { return Ok(()) };
        promised.retain(|_, until_s| *until_s > now_s);
        if promised.is_empty() {
            return Ok(());
        }
        let is_reached = |uri: &Vec<u8>| leads.iter().any(|(_, reached)| reached.contains(uri));
        for (uri, until_s) in promised.iter().filter(|(uri, _)| !is_reached(uri)) {
            // What the main registrar has dropped or refuses by itself nobody can know before it is asked.
            let its_own = has_its_own_way(user, main);
            let mends = front.is_busy(user)
                || front.upstream.show(&aor_of(user)).iter().any(|shown| shown.state == State::Renewing);
            let is_excused = !main.is_up || !is_quiet && its_own || mends;
            if !is_excused {
                let what = format!(
                    "{} of {user} is promised for {} s more and not reached; main registrar: {}; known: {:?}",
                    text::text(uri),
                    until_s - now_s,
                    shown(leads, now_ms),
                    known(front, user, now_ms),
                );
                return Err(Violation { kind: Kind::Unreachable, at_ms: now_ms, what });
            }
        }
        Ok(())
    }

    fn check_stale(
        &mut self,
        now_ms: u64,
        user: &str,
        front: &Front,
        main: &MainRegistrar,
        leads: &[Lead<'_>],
    ) -> Result<(), Violation> {
        let leads_nowhere =
            |uri: &[u8]| leads.iter().any(|(held, reached)| held.uri == uri && reached.is_empty());
        self.stale_since.retain(|(known, uri), _| known != user || leads_nowhere(uri));
        let ours = leads.iter().filter(|(held, reached)| held.epoch == front.epoch && reached.is_empty());
        for (one, _) in ours {
            let key = (user.to_owned(), one.uri.clone());
            // It takes its retries while the main registrar does not answer.
            let retries = front
                .upstream
                .show(&aor_of(user))
                .iter()
                .any(|shown| shown.state == State::Leaving && shown.attempt > 0);
            let since_ms = self.stale_since.entry(key).or_insert(now_ms);
            if !main.is_up || retries || front.is_busy(user) {
                *since_ms = now_ms;
            } else if now_ms.saturating_sub(*since_ms) > LATE_MS {
                let what = format!(
                    "{} of {user} leads nowhere since {:.3} s; known: {:?}",
                    text::text(&one.uri),
                    *since_ms as f64 / 1000.0,
                    known(front, user, now_ms)
                );
                return Err(Violation { kind: Kind::Stale, at_ms: now_ms, what });
            }
        }
        Ok(())
    }
}

/// Whether the main registrar has dropped, shortened or refused something of a user by itself, and Seawall cannot know.
fn has_its_own_way(user: &str, main: &MainRegistrar) -> bool {
    main.denied.contains(user)
        || main.cut.keys().any(|(cut, _)| cut == user)
        || main.lost.iter().any(|(lost, _)| lost == user)
}

/// (c): nothing is there twice, and what is there here is known to be there.
fn check_records(
    now_ms: u64,
    user: &str,
    front: &Front,
    main: &MainRegistrar,
    leads: &[Lead<'_>],
) -> Result<(), Violation> {
    let aor = aor_of(user);
    let wrong = |what: String| Err(Violation { kind: Kind::Contradiction, at_ms: now_ms, what });
    let shown = front.upstream.show(&aor);
    let mut keys: Vec<Option<u64>> = shown.iter().map(|shown| shown.contact_id).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair.first() == pair.last()) {
        return wrong(format!("{user}: two registrations for the same: {keys:?}"));
    }
    let local = bindings(&front.domain, &aor, second(now_ms));
    for (at, (id, uri)) in local.iter().enumerate() {
        let same = |(other, known): &(u64, Vec<u8>)| other == id || known == uri;
        if local.iter().skip(at + 1).any(same) {
            return wrong(format!("{user}: {} is bound twice", text::text(uri)));
        }
        let key = (front.settings.mode != Mode::Aor).then_some(*id);
        // What the main registrar has given up, or let run out while it was down, it is not known to hold.
        let is_excused = has_its_own_way(user, main) || !main.is_up || front.is_busy(user);
        if !keys.contains(&key) && !is_excused {
            return wrong(format!(
                "{user}: {} is bound here, and nothing is known of it there",
                text::text(uri)
            ));
        }
    }
    let ours = leads.iter().filter(|(held, reached)| held.epoch == front.epoch && !reached.is_empty());
    for (at, (_, reached)) in ours.clone().enumerate() {
        if ours.clone().skip(at + 1).any(|(_, other)| other == reached) {
            let first = reached.first().map(|uri| text::text(uri));
            return wrong(format!("{user}: two contacts there lead to {first:?}"));
        }
    }
    Ok(())
}

/// (d): every request has one fate.
pub fn check_counts(now_ms: u64, front: &Front) -> Result<(), Violation> {
    let counts = front.counts;
    let told = counts.absorbed + counts.refused + counts.forwarded;
    let waiting = counts.forwarded.saturating_sub(counts.ended);
    let in_flight = front.upstream.in_flight();
    if told == counts.received && waiting == front.in_flight() as u64 && in_flight == front.in_flight() {
        return Ok(());
    }
    let what = format!("{counts:?}, {} under way, {in_flight} of them known", front.in_flight());
    Err(Violation { kind: Kind::Miscounted, at_ms: now_ms, what })
}

fn bindings(domain: &Domain, aor: &[u8], now_s: u64) -> Vec<(u64, Vec<u8>)> {
    let entry = domain.lock(aor, now_s);
    entry.valid().map(|(_, binding)| (binding.numbers.contact_id, binding.contact.to_vec())).collect()
}

fn shown(leads: &[Lead<'_>], now_ms: u64) -> String {
    let one = |(held, _): &Lead<'_>| {
        let left_s = (held.ends_ms as f64 - now_ms as f64) / 1000.0;
        format!("{} for {left_s:.3} s", text::text(&held.uri))
    };
    let all: Vec<String> = leads.iter().map(one).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

fn known(front: &Front, user: &str, now_ms: u64) -> Vec<String> {
    let now_s = second(now_ms) as i64;
    let all = front.upstream.show(&aor_of(user));
    all.iter()
        .map(|shown| {
            format!(
                "{} {:?} deadline {} limit {} attempt {}",
                text::text(&shown.contact),
                shown.state,
                i64::from(shown.deadline_s) - now_s,
                i64::from(shown.limit_s) - now_s,
                shown.attempt
            )
        })
        .collect()
}
