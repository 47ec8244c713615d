//! The mid-registrar: a registrar in front of a main registrar (the mid_registrar document, behaviour §7).
//!
//! [`Mid`] is a state machine over two tables: the bindings in a [`Domain`] and the registrations in [`Upstream`].
//! What happens is told by calls, and what they give back is to be done:
//!
//! 1. A REGISTER: [`Mid::request`] answers it from what is known here ([`Decision::Answered`]) or says how it is
//!    forwarded ([`Decision::Forward`], [`Pending::edit`]).
//! 2. It is sent: [`Mid::departs`]. From now on other requests know that they cross it.
//! 3. Its answer comes, and exactly one of these is called: [`Mid::accepted`] for a 2xx, which alone changes bindings;
//!    [`Mid::rejected`] for any other answer; [`Mid::unanswered`] when none says anything. A 423 may be worth another
//!    attempt, [`Pending::raise`]. [`Mid::survive`] answers from what is known here in place of a 5xx or a timeout.
//! 4. A binding goes away, whoever removed it: [`Mid::gone`], after the location table is unlocked.
//! 5. Time passes: [`Mid::due`] gives the requests of our own that are to be sent, [`Mid::done`] takes their answers.
//! 6. A request comes from the main registrar: [`Settings::lookup`].
//!
//! What must stay true: no binding and no registration is made but by a 2xx; an answer that comes late undoes nothing
//! that a later request has changed; a contact that is gone here is taken away from the main registrar, and one that
//! the main registrar has dropped is not.
//!
//! What it does NOT do: send, resolve names, read a clock, hold a lock between calls.

mod absorb;
mod answer;
pub mod contact;
mod copied;
mod echo;
mod errands;
mod granted;
mod kept;
pub mod limits;
mod lookup;
mod passed;
mod pending;
mod registration;
mod renewed;
mod repeated;
mod request;
mod settings;
mod show;
mod upstream;
mod written;

use seawall_location::Domain;
use seawall_sip::{Message, Uri};

pub use self::contact::Place;
pub use self::errands::{Errand, ErrandKind};
pub use self::kept::Kept;
pub use self::lookup::Sought;
pub use self::pending::Pending;
pub use self::registration::State;
pub use self::request::Decision;
pub use self::settings::{Insertion, Mode, OnReject, Settings, Trust, UpstreamDown};
pub use self::show::Shown;
pub use self::upstream::{Main, Upstream};

use crate::familiar::Familiar;
use crate::flags::SaveFlags;
use crate::methods::Memo;
use crate::policy::Policy;
use crate::save::{Save, Source};

/// Everything that the mid-registrar goes by.
#[derive(Clone, Copy)]
pub struct Mid<'a> {
    /// Unix seconds.
    pub now_s: u64,
    /// The parameters that it shares with a registrar.
    pub policy: &'a Policy,
    /// Its own parameters.
    pub settings: &'a Settings,
    /// The bindings.
    pub domain: &'a Domain,
    /// What the main registrars hold.
    pub upstream: &'a Upstream,
    /// Whether a URI points at this server itself.
    pub is_own: &'a dyn Fn(&Uri<'_>) -> bool,
}

/// A REGISTER and what is known about it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The message as it came.
    pub message: &'a Message,
    /// The address of record as a URI; `None` takes it from To.
    pub aor: Option<&'a [u8]>,
    /// The flags of `mid_registrar_save()`.
    pub flags: &'a SaveFlags,
    /// What is known besides its bytes.
    pub source: Source<'a>,
    /// The `outgoing_expires` argument; `None` takes the parameter.
    pub outgoing_expires_s: Option<u32>,
    /// What `extra_contact_params_avp` adds to Contact URIs; see [`contact::is_extra`].
    pub extra: &'a [u8],
    /// Whether the script has authenticated the client in this transaction.
    pub authenticated: bool,
    /// Whether the request is not to be sent to a main registrar that is known not to answer, if `upstream_down` lets it
    /// be answered here. Asked only for one that would be forwarded.
    pub holds_back: &'a dyn Fn() -> bool,
    /// Lists of methods that were read before, if the caller keeps them.
    pub allow: Option<&'a Memo>,
    /// Tells refreshes that say nothing new, if the caller has it.
    pub familiar: Option<&'a Familiar>,
}

impl<'a> Mid<'a> {
    fn save<'b>(&self, flags: &'b SaveFlags, source: Source<'b>) -> Save<'b>
    where
        'a: 'b,
    {
        Save {
            now_s: self.now_s,
            policy: self.policy,
            flags,
            domain: self.domain,
            source,
            allow: None,
            familiar: None,
        }
    }

    /// The present second in 32 bits.
    fn second(&self) -> u32 {
        u32::try_from(self.now_s).unwrap_or(u32::MAX)
    }
}
