//! Who has to stand back before the script is run, while a worker cannot keep up (`overload_early`): REGISTERs of addresses
//! of record that nobody is registered at. Whoever is known has the time that this saves.

use std::sync::Arc;

use seawall_location::{Domain, Place};
use seawall_modules::configuration::{Configuration, Overload};
use seawall_modules::node::Node;
use seawall_modules::reply;
use seawall_modules::statistics::Stat;
use seawall_net::{Fate, Io, Origin};
use seawall_registrar::{Aor, Policy, Reject, aor};
use seawall_script::RouteKind;
use seawall_sip::{Framing, peek::Peek};

use crate::limits::ANSWERED_OF_SHED;
use crate::worker::Worker;

/// What a worker needs to know for it; of a script that does not want it, nothing.
#[derive(Default)]
pub(crate) struct Gate {
    /// The tables in which addresses of record are looked for.
    domains: Vec<Arc<Domain>>,
    peek: Peek,
    /// Who was seen in the batch that is being judged, by the number of the datagram.
    seen: Vec<Seen>,
    /// How many were shed.
    shed: u32,
}

/// Whom a REGISTER is for.
#[derive(Clone, Default)]
struct Seen {
    /// Empty where that is not plain to see.
    name: Aor,
    /// Where that is in the first table.
    place: Option<Place>,
}

impl Seen {
    /// Reads it anew.
    fn read(&mut self, peek: &Peek, policy: &Policy, bytes: &[u8]) {
        self.name.clear();
        let Some(to) = peek.register_to(bytes) else { return };
        if let Some(plain) = aor::plain(to, policy) {
            self.name.extend_from_slice(plain);
        } else if aor::canonical_text(to, policy, &mut self.name).is_err() {
            self.name.clear();
        }
    }
}

impl Gate {
    pub(crate) fn new(node: &Node, configuration: &Configuration) -> Gate {
        let settings = &configuration.settings.registrar;
        let is_wanted = settings.overload_early && settings.overload != Overload::Serve;
        Gate { domains: if is_wanted { node.location.domains() } else { Vec::new() }, ..Gate::default() }
    }

    /// Whether anybody has to stand back.
    pub(crate) fn is_used(&self) -> bool {
        !self.domains.is_empty()
    }

    /// Reads whom a datagram of a batch is for, and asks memory for what says whether they are known.
    pub(crate) fn expect(&mut self, policy: &Policy, place: usize, bytes: &[u8]) {
        if self.seen.len() <= place {
            self.seen.resize(place + 1, Seen::default());
        }
        let Some(seen) = self.seen.get_mut(place) else { return };
        seen.read(&self.peek, policy, bytes);
        seen.place = None;
        if let (Some(domain), false) = (self.domains.first(), seen.name.is_empty()) {
            let place = domain.place(&seen.name);
            domain.expect(place);
            seen.place = Some(place);
        }
    }

    /// What is to become of a datagram of the batch. `tells_some`: of those who are shed, only some are told so.
    fn judge(&mut self, node: &Node, overload: Overload, place: usize, now_s: u64, tells_some: bool) -> Fate {
        let Some(seen) = self.seen.get(place).filter(|seen| !seen.name.is_empty()) else {
            return Fate::Served;
        };
        let mut place = seen.place;
        let mut is_known = |domain: &Arc<Domain>| {
            let place = place.take().unwrap_or_else(|| domain.place(&seen.name));
            node.store.may_hold_more(domain)
                || domain.lock_at(place, &seen.name, now_s).valid().next().is_some()
        };
        if self.domains.iter().any(&mut is_known) {
            return Fate::Served;
        }
        self.shed = self.shed.wrapping_add(1);
        if overload == Overload::Refuse && (!tells_some || self.shed.is_multiple_of(ANSWERED_OF_SHED)) {
            return Fate::Refused;
        }
        Fate::Dropped
    }
}

impl Worker {
    /// What is to become of a datagram that was shown to [`Gate::expect`].
    pub(crate) fn judge(&mut self, place: usize, now_s: u64) -> Fate {
        let overload = self.configuration.settings.registrar.overload;
        let fate = self.gate.judge(&self.node, overload, place, now_s, true);
        self.count_shed(fate);
        fate
    }

    /// Sheds a message of somebody new that came over a connection; false if it is to be served. To be called while too many
    /// wait. Nobody says anything again over a connection, so whoever is refused is told.
    #[cold]
    pub(crate) fn stands_back(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) -> bool {
        let configuration = Arc::clone(&self.configuration);
        let settings = &configuration.settings.registrar;
        self.gate.expect(&settings.policy, 0, bytes);
        let fate = self.gate.judge(&self.node, settings.overload, 0, io.unix_s(), false);
        self.count_shed(fate);
        if fate == Fate::Refused {
            self.refuse_new(io, origin, bytes);
        }
        fate != Fate::Served
    }

    fn count_shed(&self, fate: Fate) {
        if fate != Fate::Served {
            for stat in [Stat::RejectedRegs, Stat::ShedRegs] {
                self.node.counters.bump(self.index, stat);
            }
        }
    }

    /// Answers somebody new without running the script.
    pub(crate) fn refuse_new(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) {
        let mut context = self.take_context(io, origin, RouteKind::Request);
        let is_read = context.packet.own_mut().is_some_and(|message| {
            std::mem::swap(message.buffer_mut(), bytes);
            message.scan_in_place(Framing::Datagram).is_ok()
        });
        if !is_read {
            self.recycle(context);
            return;
        }
        let policy = &self.configuration.settings.registrar.policy;
        let reject = Reject::overloaded(policy, context.random());
        let (status, reason, _) = reject.answer();
        let mut headers = Vec::new();
        reject.write_headers(context.packet.message(), policy, &mut headers);
        reply::stateless(&mut context, status, reason.as_bytes(), &headers);
        self.finish_quietly(io, context);
    }
}
