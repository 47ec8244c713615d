//! What happens in one run: everything comes from one seed, and what comes from outside is a list that can be shortened.

use std::fmt;

use seawall_registrar::mid::{Insertion, Mode, OnReject, Settings, Trust, UpstreamDown};

use super::main_registrar::{Conduct, Stall};
use crate::network::Faults;
use crate::random::Random;

/// How long the disorder lasts, in milliseconds. What follows is quiet, and at its end everything must be in order.
pub const DISORDER_MS: u64 = 300_000;

/// How long the quiet lasts: the longest pause between two attempts, two transactions that time out, and a refresh.
pub const QUIET_MS: u64 = 160_000;

/// Something that happens from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A phone is switched on, or sends a refresh at once.
    Register(usize),
    /// A phone takes its contacts away.
    Unregister(usize),
    /// A phone takes all contacts of its address of record away (`*`).
    Star(usize),
    /// A phone loses its power.
    Vanish(usize),
    /// A phone forgets its Call-ID and its request, and registers.
    Reboot(usize),
    /// The phone's NAT gives it another port.
    Rebind(usize),
    /// A phone gets another address, and registers.
    Move(usize),
    /// An operator removes an address of record here.
    RemoveHere(usize),
    /// An operator of the main registrar removes an address of record there.
    RemoveThere(usize),
    /// The main registrar is stopped; it keeps its bindings in a database.
    MainStops,
    /// It is started again.
    MainStarts,
    /// It is restarted without its bindings.
    MainForgets,
    /// It behaves so from now on.
    MainTurns(Conduct),
    /// It stands still for a while.
    MainStalls(Stall),
    /// `mid_reg_resync`.
    Resync,
    /// Seawall loses its memory.
    Crash,
    /// The network behaves so from now on.
    Network(Faults),
}

/// One run.
#[derive(Clone, Debug)]
pub struct Script {
    /// Where it comes from.
    pub seed: u64,
    /// The parameters of Seawall.
    pub settings: Settings,
    /// Whether the script in Seawall says that clients are authenticated.
    pub authenticated: bool,
    /// How many phones there are.
    pub phones: usize,
    /// How many addresses of record they share.
    pub aors: usize,
    /// What the network does at first.
    pub faults: Faults,
    /// What happens and when, in milliseconds from the start.
    pub deeds: Vec<(u64, Deed)>,
}

impl Script {
    /// The run that belongs to a seed.
    #[must_use]
    pub fn new(seed: u64) -> Script {
        let mut random = Random::new(seed ^ 0x5ea_3a11);
        let phones = 1 + random.below(6) as usize;
        let aors = 1 + random.below(phones as u64) as usize;
        Script::with(seed, phones, aors, 4 + phones * 3, &mut random)
    }

    /// A run with a population of a given size, in which only a few phones do more than register.
    #[must_use]
    pub fn populous(seed: u64, phones: usize) -> Script {
        let mut random = Random::new(seed ^ 0x5ea_3a11);
        Script::with(seed, phones, phones / 2 + 1, 60, &mut random)
    }

    fn with(seed: u64, phones: usize, aors: usize, count: usize, random: &mut Random) -> Script {
        let settings = settings(random);
        let faults = faults(random);
        let starts = (0..phones).map(|phone| (random.below(30_000), Deed::Register(phone)));
        let mut deeds: Vec<(u64, Deed)> = starts.collect();
        for _ in 0..random.below(count as u64) {
            let at_ms = random.below(DISORDER_MS);
            let deed = deed(random, phones, aors);
            // Whatever stops is started again; the longest outage is shorter than the attempts of a renewal.
            if deed == Deed::MainStops {
                let back_ms = (at_ms + 1000 + random.below(120_000)).min(DISORDER_MS);
                deeds.push((back_ms, if random.chance(700) { Deed::MainStarts } else { Deed::MainForgets }));
            }
            deeds.push((at_ms, deed));
        }
        deeds.sort_by_key(|(at_ms, _)| *at_ms);
        Script { seed, settings, authenticated: random.chance(300), phones, aors, faults, deeds }
    }
}

fn settings(random: &mut Random) -> Settings {
    let mode = [Mode::Mirror, Mode::Contact, Mode::Aor, Mode::Contact, Mode::Aor];
    Settings {
        mode: mode.get(random.below(5) as usize).copied().unwrap_or_default(),
        insertion: if random.chance(300) { Insertion::Username } else { Insertion::Parameter },
        outgoing_expires_s: [40, 100, 200, 3600].get(random.below(4) as usize).copied().unwrap_or(3600),
        trust: if random.chance(500) { Trust::Verified } else { Trust::Any },
        on_reject: if random.chance(500) { OnReject::Remove } else { OnReject::Keep },
        upstream_down: if random.chance(500) { UpstreamDown::Absorb } else { UpstreamDown::Pass },
        ..Settings::default()
    }
}

fn faults(random: &mut Random) -> Faults {
    let is_bad = random.chance(600);
    let part = |random: &mut Random, most: u64| if is_bad { random.below(most) } else { 0 };
    Faults {
        loss_per_mille: part(random, 200) as u16,
        duplicate_per_mille: part(random, 200) as u16,
        delay_ms: 1 + random.below(40),
        jitter_ms: part(random, 400),
    }
}

fn conduct(random: &mut Random) -> Conduct {
    let mut conduct = Conduct::default();
    for _ in 0..1 + random.below(2) {
        match random.below(7) {
            0 => conduct.longest_s = Some(12 + random.below(40) as u32),
            1 => conduct.least_s = Some(30 + random.below(300) as u32),
            2 => {
                let status = [403, 404, 503, 500].get(random.below(4) as usize).copied().unwrap_or(403);
                conduct.refuses = Some((status, 200 + random.below(801) as u16));
            }
            3 => conduct.authenticates = true,
            4 => conduct.serves_after_ms = random.below(3000),
            5 => conduct.answers_after_ms = random.below(40_000),
            _ => {}
        }
    }
    conduct
}

fn stall(random: &mut Random) -> Stall {
    // A second that a machine was busy elsewhere, or nearly the time after which nobody waits for an answer.
    let longest_ms = if random.chance(500) { 4_000 } else { 40_000 };
    let spread_ms = if random.chance(600) { random.below(4_000) } else { 0 };
    Stall { for_ms: 300 + random.below(longest_ms), spread_ms }
}

fn deed(random: &mut Random, phones: usize, aors: usize) -> Deed {
    let phone = random.below(phones as u64) as usize;
    let aor = random.below(aors as u64) as usize;
    match random.below(27) {
        0..=2 => Deed::Register(phone),
        3..=5 => Deed::Unregister(phone),
        6 => Deed::Star(phone),
        7 | 8 => Deed::Vanish(phone),
        9 | 10 => Deed::Reboot(phone),
        11 => Deed::Rebind(phone),
        12 => Deed::Move(phone),
        13 => Deed::RemoveHere(aor),
        14 => Deed::RemoveThere(aor),
        15 | 16 => Deed::MainStops,
        17 => Deed::MainForgets,
        18..=20 => Deed::MainTurns(conduct(random)),
        21 => Deed::Resync,
        22 => Deed::Crash,
        23..=25 => Deed::MainStalls(stall(random)),
        _ => Deed::Network(faults(random)),
    }
}

impl fmt::Display for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { mode, insertion, outgoing_expires_s, trust, on_reject, upstream_down, .. } =
            &self.settings;
        writeln!(
            formatter,
            "seed {}: {mode:?} mode, {insertion:?}, outgoing_expires {outgoing_expires_s}, absorb {trust:?}, \
             on_reject {on_reject:?}, upstream_down {upstream_down:?}, authenticated {}",
            self.seed, self.authenticated
        )?;
        writeln!(formatter, "{} phones, {} addresses of record, {:?}", self.phones, self.aors, self.faults)?;
        for (at_ms, deed) in &self.deeds {
            writeln!(formatter, "  {:>8.3} s  {deed:?}", *at_ms as f64 / 1000.0)?;
        }
        Ok(())
    }
}
