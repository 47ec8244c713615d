//! The mid-registrar between thousands of phones and a main registrar, in virtual time.
//!
//! Seawall's part is its real core, `seawall_registrar::mid`, with its real location table; around it are transactions
//! that send again until they are answered. The phones, the main registrar ([`Conduct`]) and the [`Network`] are models
//! that behave as badly as real ones do. Everything follows from one seed: [`Script::new`] makes of it the parameters of
//! Seawall and a list of [`Deed`]s, [`check`] lets it happen, and a script that breaks an invariant is made short.
//!
//! The invariants, looked at after every step ([`Kind`]):
//!
//! - (a) A contact for which a client holds an unexpired 200 is reachable: the main registrar holds a contact that
//!   [`Settings::lookup`] leads to it. It is excused while the main registrar is down, while it has dropped or refused
//!   something of that address of record by itself, and while a request that sets it right is due or on its way. What a
//!   forwarded 200 grants counts from when the REGISTER was forwarded; nobody knows better when the main registrar began
//!   to count.
//! - (b) A contact at the main registrar that leads nowhere is taken away within 2 s, not counting the time for which
//!   the main registrar does not answer. Mirror mode takes nothing away, since both end together.
//! - (c) No contact and no registration is there twice, no two contacts there lead to the same here, and nothing is bound
//!   here without a registration there.
//! - (d) Absorbed, refused and forwarded requests make those that were received; each forwarded one ends once.
//!
//! A crash of Seawall loses its memory: what it promised does not hold before the clients register again, and what the
//! main registrar holds from before stays until that forgets it. (a) and (b) speak of the present life only.
//!
//! After the disorder comes a time of quiet, with one `mid_reg_resync`: at its end nothing is excused.
//!
//! [`Network`]: crate::Network
//! [`Settings::lookup`]: seawall_registrar::mid::Settings::lookup

mod front;
mod invariants;
mod main_registrar;
mod outbox;
mod phone;
mod script;
mod shrink;
mod text;
mod world;

use std::fmt;

pub use self::front::Counts;
pub use self::invariants::{Kind, Violation};
pub use self::main_registrar::{Conduct, Stall};
pub use self::script::{Deed, Script};
pub use self::world::Summary;

/// A mistake that is made on purpose in how the core is used, to see whether the simulator notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// None.
    #[default]
    None,
    /// Bindings are made when a REGISTER is forwarded, not when it is accepted.
    CommitsOnForward,
    /// The deadline of the main registrar counts from when a refresh is forwarded, whatever comes of it.
    ProlongsOnForward,
    /// What was asked for is taken for granted.
    IgnoresWhatIsGranted,
    /// Nobody is told of contacts that went away.
    ForgetsWhatIsGone,
    /// De-REGISTERs are not sent.
    NeverTakesAway,
    /// A request without an answer is taken for one that was never served.
    ForgetsSilence,
    /// Nobody notices that a request was repeated while its answer was waited for.
    ForgetsCopies,
    /// Forwarded requests are not counted.
    CountsForwardsBadly,
}

/// A script that breaks an invariant, made short.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The script.
    pub script: Script,
    /// What is broken.
    pub violation: Violation,
    /// How many deeds it had before.
    pub deeds_before: usize,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}\n(of {} deeds)", self.script, self.violation, self.deeds_before)
    }
}

/// Lets a script happen, with a fault or with none.
///
/// # Errors
/// The first thing that must not be.
pub fn happen(script: &Script, fault: Fault) -> Result<Summary, Violation> {
    world::run(script, fault)
}

/// As [`happen`], and tells of every packet that arrives.
///
/// # Errors
/// The first thing that must not be.
pub fn watch(script: &Script, tell: &mut dyn FnMut(String)) -> Result<Summary, Violation> {
    world::run_told(script, Fault::None, tell)
}

/// As [`happen`], and makes a script that fails short.
///
/// # Errors
/// An invariant is broken; the script that comes back is a short one.
pub fn check(script: &Script, fault: Fault) -> Result<Summary, Box<Failure>> {
    world::run(script, fault).map_err(|violation| {
        let (short, violation) = shrink::shrink(script, fault, violation);
        Box::new(Failure { script: short, violation, deeds_before: script.deeds.len() })
    })
}
