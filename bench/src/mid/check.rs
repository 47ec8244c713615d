//! What the main registrar holds against who is there.

use std::collections::HashSet;
use std::fmt;

use super::Mode;
use super::agent::{Agent, Standing};
use super::crowd::digits;
use super::main_registrar::Contact;

/// The seconds after which nothing may be left of a contact that is gone (behaviour of the mid-registrar), and one more
/// because registrars count in whole seconds.
const LEAVES_WITHIN_MS: u64 = 3_000;

/// What a sample has found. Everything but the first two is an inconsistency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Contacts that the main registrar holds.
    pub contacts: u64,
    /// Phones that held a 200 during the whole sample.
    pub held: u64,
    /// Phones that hold a 200 and that the main registrar does not know.
    pub missing: u64,
    /// Contacts of phones that went long ago.
    pub stale: u64,
    /// Contacts that no phone has ever had, or that stand there twice.
    pub foreign: u64,
    /// The first of them.
    pub example: Option<String>,
}

impl Found {
    /// How many inconsistencies there are.
    pub fn wrong(&self) -> u64 {
        self.missing + self.stale + self.foreign
    }
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { contacts, held, missing, stale, foreign, .. } = self;
        write!(
            formatter,
            "{contacts} contacts, {held} phones held, {missing} missing, {stale} stale, {foreign} foreign"
        )?;
        match &self.example {
            Some(example) => write!(formatter, " ({example})"),
            None => Ok(()),
        }
    }
}

/// A reading of the main registrar's table.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was begun, Unix milliseconds.
    pub begun_ms: u64,
    /// When it was complete.
    pub ended_ms: u64,
    /// What it holds.
    pub contacts: Vec<Contact>,
}

/// Compares a sample with the phones as they are now, which is after it. `slack_ms` is what a busy machine may take
/// longer. Notes with each phone until when it is held.
pub fn compare(mode: Mode, phones_each: u32, agents: &mut [Agent], sample: &Sample, slack_ms: u64) -> Found {
    let mut found = Found { contacts: sample.contacts.len() as u64, ..Found::default() };
    let mut known: HashSet<(u32, u32)> = HashSet::new();
    for contact in &sample.contacts {
        let until_ms = sample.begun_ms + u64::from(contact.expires_s) * 1000;
        let verdict = match mode {
            Mode::Contact => one(agents, contact, until_ms, sample, slack_ms, &mut known),
            Mode::Aor => all(agents, contact, until_ms, sample, (slack_ms, phones_each), &mut known),
        };
        match verdict {
            Verdict::Fine => continue,
            Verdict::Stale => found.stale += 1,
            Verdict::Foreign => found.foreign += 1,
        }
        found.example.get_or_insert_with(|| format!("{verdict:?}: {}", contact.uri));
    }
    for (number, agent) in agents.iter_mut().enumerate() {
        let Standing::Held { since_ms, until_ms } = agent.standing else { continue };
        if since_ms > sample.begun_ms || until_ms < sample.ended_ms {
            continue;
        }
        found.held += 1;
        let number = number as u32;
        let key = match mode {
            Mode::Contact => (number, agent.life),
            Mode::Aor => (number / phones_each.max(1), 0),
        };
        if !known.contains(&key) {
            agent.upstream_until_ms = 0;
            found.missing += 1;
            found.example.get_or_insert_with(|| format!("Missing: phone {number}, life {}", agent.life));
        }
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Stale,
    Foreign,
}

/// A contact `sip:a<phone>l<life>@…`.
fn one(
    agents: &mut [Agent],
    contact: &Contact,
    until_ms: u64,
    sample: &Sample,
    slack_ms: u64,
    known: &mut HashSet<(u32, u32)>,
) -> Verdict {
    let read = || -> Option<(u32, u32)> {
        let rest = contact.uri.strip_prefix("sip:a")?;
        Some((digits(rest.as_bytes())?, digits(rest.get(9..)?.as_bytes())?))
    };
    let Some((number, life)) = read() else { return Verdict::Foreign };
    let Some(agent) = agents.get_mut(number as usize) else { return Verdict::Foreign };
    if !known.insert((number, life)) || life > agent.life {
        return Verdict::Foreign;
    }
    let gone_ms = if life == agent.life {
        agent.upstream_until_ms = until_ms;
        match agent.standing {
            Standing::Gone { since_ms } => since_ms,
            Standing::Held { .. } | Standing::Unsure => u64::MAX,
        }
    } else if life + 1 == agent.life {
        agent.before_gone_ms
    } else {
        0
    };
    if gone_ms.saturating_add(LEAVES_WITHIN_MS + slack_ms) < sample.begun_ms {
        Verdict::Stale
    } else {
        Verdict::Fine
    }
}

/// The one contact of a user, `sip:u<user>%40…`.
fn all(
    agents: &mut [Agent],
    contact: &Contact,
    until_ms: u64,
    sample: &Sample,
    (slack_ms, phones_each): (u64, u32),
    known: &mut HashSet<(u32, u32)>,
) -> Verdict {
    let user = contact.uri.strip_prefix("sip:u").and_then(|rest| digits(rest.as_bytes()));
    let Some(user) = user.filter(|user| known.insert((*user, 0))) else { return Verdict::Foreign };
    let first = user as usize * phones_each as usize;
    let Some(phones) = agents.get_mut(first..first + phones_each as usize) else { return Verdict::Foreign };
    let mut gone_ms = 0;
    for agent in phones {
        agent.upstream_until_ms = until_ms;
        gone_ms = gone_ms.max(match agent.standing {
            Standing::Gone { since_ms } => since_ms,
            Standing::Held { .. } | Standing::Unsure => u64::MAX,
        });
    }
    if gone_ms.saturating_add(LEAVES_WITHIN_MS + slack_ms) < sample.begun_ms {
        Verdict::Stale
    } else {
        Verdict::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(life: u32, standing: Standing, before_gone_ms: u64) -> Agent {
        Agent { life, standing, before_gone_ms, ..Agent::new(0) }
    }

    /// Three phones: one that is there, one that went, one that came back.
    fn crowd() -> Vec<Agent> {
        let held = |since_ms| Standing::Held { since_ms, until_ms: 60_000 };
        vec![
            agent(1, held(1_000), 0),
            agent(1, Standing::Gone { since_ms: 40_000 }, 0),
            agent(2, held(45_000), 30_000),
        ]
    }

    #[track_caller]
    fn check(mode: Mode, contacts: &[&str], expected: (u64, u64, u64, u64)) {
        let contacts = contacts.iter().map(|uri| Contact { uri: (*uri).to_owned(), expires_s: 9 }).collect();
        let sample = Sample { begun_ms: 50_000, ended_ms: 51_000, contacts };
        let found = compare(mode, 3, &mut crowd(), &sample, 0);
        assert_eq!((found.held, found.missing, found.stale, found.foreign), expected, "{found}");
    }

    #[test]
    fn every_difference_is_found() {
        let (first, gone, back) = ("sip:a00000000l1@h;ctid=1", "sip:a00000001l1@h", "sip:a00000002l2@h");
        check(Mode::Contact, &[first, back], (2, 0, 0, 0));
        check(Mode::Contact, &[back], (2, 1, 0, 0));
        check(Mode::Contact, &[first, gone, back], (2, 0, 1, 0));
        check(Mode::Contact, &[first, back, "sip:a00000002l1@h"], (2, 0, 1, 0));
        check(Mode::Contact, &[first, back, first, "sip:x@h", "sip:a00000009l1@h"], (2, 0, 0, 3));
        check(Mode::Aor, &["sip:u00000000%40mid.example@h"], (2, 0, 0, 0));
        check(Mode::Aor, &[], (2, 2, 0, 0));
        check(Mode::Aor, &["sip:u00000000%40mid.example@h", "sip:u00000001%40mid.example@h"], (2, 0, 0, 1));
    }
}
