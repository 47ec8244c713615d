//! The course of one run: what is next happens, and then everything is looked at.

use std::collections::BTreeSet;

use super::Fault;
use super::front::{self, Counts, Front};
use super::invariants::{Violation, Witness, check_counts};
use super::main_registrar::{Conduct, MainRegistrar};
use super::outbox::{Outbox, Wake};
use super::phone::Phone;
use super::script::{DISORDER_MS, Deed, QUIET_MS, Script};
use super::text;
use crate::network::{Faults, Network, Packet};

/// How often Seawall looks for what is due.
const TICK_MS: u64 = 500;

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// What Seawall did, over all its lives.
    pub counts: Counts,
    /// How many 200s held in the end.
    pub holds: usize,
    /// How many steps there were.
    pub steps: u64,
}

/// The world.
struct World<'a> {
    script: &'a Script,
    fault: Fault,
    now_ms: u64,
    wakes: BTreeSet<(u64, u64, Wake)>,
    order: u64,
    network: Network,
    front: Front,
    main: MainRegistrar,
    phones: Vec<Phone>,
    users: Vec<String>,
    witness: Witness,
    summary: Summary,
    is_quiet: bool,
    tell: &'a mut dyn FnMut(String),
}

/// Lets a script happen.
///
/// # Errors
/// The first thing that must not be.
pub fn run(script: &Script, fault: Fault) -> Result<Summary, Violation> {
    run_told(script, fault, &mut |_| {})
}

/// As [`run`], and tells of every packet that arrives.
///
/// # Errors
/// The first thing that must not be.
pub fn run_told(script: &Script, fault: Fault, tell: &mut dyn FnMut(String)) -> Result<Summary, Violation> {
    let seed = script.seed;
    let mut world = World {
        script,
        fault,
        now_ms: 0,
        wakes: BTreeSet::new(),
        order: 0,
        network: Network::new(script.faults, seed),
        front: Front::new(script, fault, 1),
        main: MainRegistrar::new(seed),
        phones: (0..script.phones).map(|index| Phone::new(index, script.aors, seed)).collect(),
        users: (0..script.aors).map(|user| format!("u{user}")).collect(),
        witness: Witness::default(),
        summary: Summary::default(),
        is_quiet: false,
        tell,
    };
    for (number, (at_ms, _)) in script.deeds.iter().enumerate() {
        world.wake_at(*at_ms, Wake::Deed(number));
    }
    world.wake_at(0, Wake::Tick);
    world.wake_at(DISORDER_MS, Wake::Quiet);
    world.wake_at(DISORDER_MS + QUIET_MS, Wake::End);
    while world.step()? {}
    world.summary.holds = world.witness.holds(world.now_ms);
    world.retire();
    Ok(world.summary)
}

impl World<'_> {
    fn wake_at(&mut self, at_ms: u64, wake: Wake) {
        self.order += 1;
        self.wakes.insert((at_ms, self.order, wake));
    }

    /// The next thing happens. False at the end.
    fn step(&mut self) -> Result<bool, Violation> {
        let wake_ms = self.wakes.first().map_or(u64::MAX, |(at_ms, ..)| *at_ms);
        let packet_ms = self.network.next_ms().unwrap_or(u64::MAX);
        self.now_ms = self.now_ms.max(wake_ms.min(packet_ms));
        self.summary.steps += 1;
        let mut out = Outbox::default();
        let mut touched = None;
        if packet_ms <= wake_ms {
            if let Some(packet) = self.network.receive(self.now_ms) {
                touched = text::parse(&packet.bytes).map(|message| text::user(&message));
                self.deliver(packet, &mut out);
            }
        } else if let Some((_, _, wake)) = self.wakes.pop_first() {
            match wake {
                Wake::End => {
                    self.check_all()?;
                    return Ok(false);
                }
                wake => self.wake(wake, &mut out),
            }
            // Everything here is counted in whole seconds: between them nothing ends by itself.
            let is_full = matches!(wake, Wake::Tick) && self.now_ms.is_multiple_of(1000);
            if is_full || matches!(wake, Wake::Deed(_)) {
                self.settle(out);
                self.check_all()?;
                return Ok(true);
            }
        }
        self.settle(out);
        if let Some(user) = touched {
            self.witness.check(self.now_ms, &user, &self.front, &self.main, false)?;
        }
        Ok(true)
    }

    fn check_all(&mut self) -> Result<(), Violation> {
        // In the quiet everything is set right by the time of the last refresh.
        let is_quiet = self.is_quiet && self.now_ms >= DISORDER_MS + QUIET_MS - 2 * TICK_MS;
        for user in &self.users {
            self.witness.check(self.now_ms, user, &self.front, &self.main, is_quiet)?;
        }
        // This looks at every shard, so it is not done at every tick.
        if self.now_ms.is_multiple_of(10 * TICK_MS) { check_counts(self.now_ms, &self.front) } else { Ok(()) }
    }

    fn settle(&mut self, out: Outbox) {
        for packet in out.packets {
            self.network.send(self.now_ms, packet);
        }
        for (at_ms, wake) in out.wakes {
            self.wake_at(at_ms.max(self.now_ms), wake);
        }
        self.witness.note(self.front.words.drain(..));
    }

    fn deliver(&mut self, packet: Packet, out: &mut Outbox) {
        let main = front::MAIN.into();
        let (at_s, text) = (self.now_ms as f64 / 1000.0, text::text(&packet.bytes));
        (self.tell)(format!("{at_s:.3} {} -> {}\n{}", packet.from, packet.to, text.trim_end()));
        if packet.to == main {
            self.main.receive(self.now_ms, packet, out);
        } else if packet.to == front::ADDRESS.into() {
            if packet.from == main {
                let Some(response) = text::parse(&packet.bytes) else { return };
                let branch = text::branch(&response);
                // From now on Seawall knows what was shortened.
                if self.front.awaits(branch) {
                    self.main.cut.retain(|_, told| *told != branch);
                }
                self.front.response(self.now_ms, &response, out);
            } else {
                self.front.request(self.now_ms, &packet, out);
            }
        } else if let Some(response) = text::parse(&packet.bytes)
            && let Some(phone) = Phone::index_of(packet.to).and_then(|index| self.phones.get_mut(index))
        {
            phone.receive(self.now_ms, &response, out);
        }
    }

    fn wake(&mut self, wake: Wake, out: &mut Outbox) {
        let now_ms = self.now_ms;
        match wake {
            Wake::Deed(number) => {
                if let Some((_, deed)) = self.script.deeds.get(number) {
                    self.act(deed, out);
                }
            }
            Wake::Phone(index) => {
                if let Some(phone) = self.phones.get_mut(index) {
                    phone.wake(now_ms, out);
                }
            }
            Wake::Transaction(branch) => self.front.wake(now_ms, branch, out),
            Wake::Main => self.main.work(now_ms, out),
            Wake::Answer(branch) => self.main.answer(branch, out),
            Wake::Tick => {
                self.front.tick(now_ms, out);
                out.wakes.push((now_ms + TICK_MS, Wake::Tick));
            }
            Wake::Quiet => {
                self.is_quiet = true;
                self.network.set_faults(Faults { delay_ms: 5, ..Faults::default() });
                self.main.is_up = true;
                self.main.conduct = Conduct::default();
                self.front.resync(now_ms);
            }
            Wake::End => {}
        }
    }

    fn act(&mut self, deed: &Deed, out: &mut Outbox) {
        let now_ms = self.now_ms;
        if let Deed::Register(index)
        | Deed::Unregister(index)
        | Deed::Star(index)
        | Deed::Vanish(index)
        | Deed::Reboot(index)
        | Deed::Rebind(index)
        | Deed::Move(index) = deed
        {
            let Some(phone) = self.phones.get_mut(*index) else { return };
            match deed {
                Deed::Register(_) => phone.register(now_ms, out),
                Deed::Unregister(_) => phone.unregister(now_ms, out),
                Deed::Star(_) => phone.star(now_ms, out),
                Deed::Vanish(_) => phone.vanish(),
                Deed::Rebind(_) => phone.rebind(),
                Deed::Reboot(_) => {
                    phone.reboot();
                    phone.register(now_ms, out);
                }
                _ => {
                    phone.moves();
                    phone.reboot();
                    phone.register(now_ms, out);
                }
            }
            return;
        }
        match deed {
            Deed::RemoveHere(user) => {
                if let Some(user) = self.users.get(*user) {
                    self.front.remove(now_ms, user);
                }
            }
            Deed::RemoveThere(user) => {
                if let Some(user) = self.users.get(*user) {
                    self.main.drop_user(user);
                }
            }
            Deed::MainStops => self.main.stop(),
            Deed::MainStarts => self.main.is_up = true,
            Deed::MainForgets => self.main.forget(),
            Deed::MainTurns(conduct) => self.main.conduct = conduct.clone(),
            Deed::MainStalls(stall) => self.main.stall(now_ms, *stall),
            Deed::Resync => self.front.resync(now_ms),
            Deed::Crash => {
                self.retire();
                self.front = Front::new(self.script, self.fault, self.front.epoch + 1);
                self.witness.crash();
            }
            Deed::Network(faults) => self.network.set_faults(*faults),
            _ => {}
        }
    }

    /// Adds what this life of Seawall did to the summary.
    fn retire(&mut self) {
        let (sum, counts) = (&mut self.summary.counts, self.front.counts);
        sum.received += counts.received;
        sum.absorbed += counts.absorbed;
        sum.refused += counts.refused;
        sum.forwarded += counts.forwarded;
        sum.ended += counts.ended;
        sum.own += counts.own;
    }
}
