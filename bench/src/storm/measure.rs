//! One storm: what a server does in the calm, what it accepts in the storm, and how it is afterwards.

use std::time::Duration;

use super::report;
use super::{StormArgs, Stormed};
use crate::error::Error;
use crate::limits;
use crate::load::{Generator, Mix, Operation, Options, Pace, Report, Storm, Wave, Work};
use crate::process;

/// The part of its capacity that the server is offered when the storm is over.
const AFTERWARDS: f64 = 0.3;
/// How many of a hundred requests are refreshes then.
const KNOWN_AFTERWARDS: u64 = 90;
/// New users at most while it is measured what they take.
const MOST_NEW: u32 = 5_000_000;
/// Requests in flight while the capacity is measured.
const WINDOW: usize = 256;

/// What a server does in the calm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Calm {
    /// Refreshes a second in a closed loop: the capacity.
    pub refreshes_per_s: f64,
    /// Processor time of a refresh, seconds.
    pub refresh_s: f64,
    /// Processor time of a new user, seconds.
    pub new_s: f64,
    /// Requests of the storm's mix that are accepted a second in a closed loop, just before the storm.
    pub mix_before_per_s: f64,
    /// The same after it.
    pub mix_after_per_s: f64,
}

/// What one storm has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What the server does in the calm.
    pub calm: Calm,
    /// What it was offered, in capacities.
    pub offered: f64,
    /// What it accepted, of its capacity.
    pub of_refreshes: f64,
    /// What it accepted, of what it accepts of the same mix in the calm.
    pub of_mix: f64,
    /// The same, with the time until the last answer instead of that of the storm: what waited in its socket at the end was
    /// served afterwards.
    pub of_mix_answered: f64,
    /// What it accepted, of its capacity, with each new user as the refreshes that he takes.
    pub weighed: f64,
    /// The part of its processor time that those who were accepted would have taken in the calm.
    pub of_use: f64,
    /// How long after the storm everything was accepted again, seconds; `None` when it was not.
    pub recovered_s: Option<f64>,
}

impl Outcome {
    /// Sets a storm, for which the server took `took_s` of processor time, against the calm.
    pub fn of(calm: Calm, storm: &Wave, took_s: f64, recovered_s: Option<f64>) -> Self {
        let capacity = calm.refreshes_per_s.max(1e-9);
        let (known, new) = (storm.known.accepted as f64, storm.new.accepted as f64);
        let storm_s = storm.elapsed.as_secs_f64().max(1e-9);
        let mix_per_s = (calm.mix_before_per_s + calm.mix_after_per_s) / 2.0;
        Outcome {
            calm,
            offered: storm.per_s(storm.sent()) / capacity,
            of_refreshes: (known + new) / storm_s / capacity,
            of_mix: (known + new) / storm_s / mix_per_s.max(1e-9),
            of_mix_answered: (known + new)
                / storm.answered.max(storm.elapsed).as_secs_f64().max(1e-9)
                / mix_per_s.max(1e-9),
            weighed: (known + new * calm.new_s / calm.refresh_s.max(1e-12)) / storm_s / capacity,
            of_use: (known * calm.refresh_s + new * calm.new_s) / took_s.max(1e-9),
            recovered_s,
        }
    }
}

/// Measures one storm over a server that has just started, and prints what becomes of it.
pub fn measure(args: &StormArgs, stormed: Stormed, pid: u32, options: Options) -> Result<Outcome, Error> {
    let mut subject = Subject {
        args,
        pid,
        generator: Generator::open(options)?,
        next_new_user: args.users,
        duration: Duration::from_secs(args.seconds),
    };
    let calm = subject.calm()?;
    println!("{}", report::calm(stormed.contender().name(), &calm));
    let began_s = subject.cpu_s()?;
    let storm = subject.storm(args.known, calm.refreshes_per_s * args.times)?;
    let took_s = subject.cpu_s()? - began_s;
    // How it recovers is looked at before what the mix is after the storm: a closed loop would hide it.
    let after = subject.storm(KNOWN_AFTERWARDS, calm.refreshes_per_s * AFTERWARDS)?;
    let mix = subject.mix()?;
    let calm = Calm { mix_after_per_s: accepted_per_s(&mix), ..calm };
    let outcome = Outcome::of(calm, &storm, took_s, report::recovered_s(&after));
    print!("{}", report::wave("storm", &storm, calm.refreshes_per_s));
    println!("{}", report::outcome(&outcome));
    print!("{}", report::wave("afterwards", &after, calm.refreshes_per_s));
    println!("recovered: {}\n", report::recovery(outcome.recovered_s));
    Ok(outcome)
}

struct Subject<'a> {
    args: &'a StormArgs,
    pid: u32,
    generator: Generator,
    /// No user from this one on has come yet.
    next_new_user: u32,
    duration: Duration,
}

impl Subject<'_> {
    fn cpu_s(&self) -> Result<f64, Error> {
        let cpu_ns = process::cpu_ns(self.pid).map_err(Error::system("cannot read /proc"))?;
        Ok(cpu_ns as f64 / 1e9)
    }

    /// Registers everybody, and measures what new ones take, what refreshes do and what both mixed do.
    fn calm(&mut self) -> Result<Calm, Error> {
        let users = self.args.users;
        let pace = Pace::Closed { window: WINDOW };
        self.generator.run(&Work { pace, ..Work::once(Operation::Register, users) })?;
        let began_s = self.cpu_s()?;
        // As many as come in the storm, about: a table that grows costs more than one that has room.
        let fresh = self.generator.run(&Work {
            first_user: self.next_new_user,
            duration: self.duration,
            pace,
            ..Work::once(Operation::Register, MOST_NEW)
        })?;
        self.have_come(fresh.started);
        let between_s = self.cpu_s()?;
        let refreshes = self.closed(None)?;
        let ended_s = self.cpu_s()?;
        let mix = self.mix()?;
        Ok(Calm {
            refreshes_per_s: refreshes.rate_per_s(),
            refresh_s: (ended_s - between_s) / refreshes.succeeded.max(1) as f64,
            new_s: (between_s - began_s) / fresh.succeeded.max(1) as f64,
            mix_before_per_s: accepted_per_s(&mix),
            mix_after_per_s: 0.0,
        })
    }

    /// As many known and new users as the storm has, in a closed loop.
    fn mix(&mut self) -> Result<Report, Error> {
        let mix = Mix { known_percent: self.args.known, first_new_user: self.next_new_user };
        let report = self.closed(Some(mix))?;
        self.have_come(report.new_users);
        Ok(report)
    }

    fn closed(&mut self, mix: Option<Mix>) -> Result<Report, Error> {
        self.generator.run(&Work {
            mix,
            count: limits::MAX_OPERATIONS,
            duration: self.duration,
            pace: Pace::Closed { window: WINDOW },
            ..Work::once(Operation::Register, self.args.users)
        })
    }

    fn storm(&mut self, known_percent: u64, rate_per_s: f64) -> Result<Wave, Error> {
        let wave = self.generator.storm(&Storm {
            users: self.args.users,
            first_new_user: self.next_new_user,
            known_percent,
            rate_per_s,
            duration: self.duration,
        })?;
        self.have_come(wave.new.sent);
        Ok(wave)
    }

    fn have_come(&mut self, new_users: u64) {
        self.next_new_user = self.next_new_user.saturating_add(u32::try_from(new_users).unwrap_or(u32::MAX));
    }
}

/// What a closed loop had accepted a second. Who is refused is answered too, and is no goodput.
fn accepted_per_s(report: &Report) -> f64 {
    report.succeeded as f64 / report.elapsed.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Share;

    #[test]
    fn goodput_is_set_against_refreshes_and_against_the_same_mix() {
        let calm = Calm {
            refreshes_per_s: 1000.0,
            refresh_s: 0.0005,
            new_s: 0.001,
            mix_before_per_s: 900.0,
            mix_after_per_s: 700.0,
        };
        let share = |sent, accepted| Share { sent, accepted, ..Share::default() };
        let storm = Wave {
            known: share(12_000, 1000),
            new: share(8_000, 400),
            elapsed: Duration::from_secs(2),
            answered: Duration::from_millis(2500),
            ..Wave::default()
        };
        let outcome = Outcome::of(calm, &storm, 1.8, Some(0.1));
        let expected = Outcome {
            calm,
            offered: 10.0,
            of_refreshes: 0.7,
            of_mix: 0.875,
            of_mix_answered: 0.7,
            weighed: 0.9,
            of_use: 0.5,
            recovered_s: Some(0.1),
        };
        let figures = |outcome: Outcome| {
            let Outcome { offered, of_refreshes, of_mix, of_mix_answered, weighed, of_use, .. } = outcome;
            [offered, of_refreshes, of_mix, of_mix_answered, weighed, of_use]
        };
        for (figure, expected) in figures(outcome).iter().zip(figures(expected)) {
            assert!((figure - expected).abs() < 1e-9, "{outcome:?}");
        }
        assert_eq!((outcome.calm, outcome.recovered_s), (calm, Some(0.1)));
    }
}
