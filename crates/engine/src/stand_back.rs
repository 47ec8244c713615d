//! Who has to stand back before the script is run, while a worker cannot keep up (`overload_early`): REGISTERs of addresses
//! of record that nobody is registered at. Whoever is known has the time that this saves.

use std::sync::Arc;

use seawall_location::Domain;
use seawall_modules::configuration::{Configuration, Overload};
use seawall_modules::node::Node;
use seawall_modules::reply;
use seawall_modules::statistics::Stat;
use seawall_net::{Io, Origin};
use seawall_registrar::{Aor, Reject, aor};
use seawall_script::RouteKind;
use seawall_sip::{Framing, peek};

use crate::limits::ANSWERED_OF_SHED;
use crate::worker::Worker;

/// What is to become of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is served as ever.
    Served,
    /// It is refused with 503.
    Refused,
    /// It is dropped.
    Dropped,
}

/// What a worker needs to know for it; of a script that does not want it, nothing.
#[derive(Default)]
pub(crate) struct Gate {
    /// The tables in which addresses of record are looked for.
    domains: Vec<Arc<Domain>>,
    /// How many were shed.
    shed: u32,
}

impl Gate {
    pub(crate) fn new(node: &Node, configuration: &Configuration) -> Gate {
        let settings = &configuration.settings.registrar;
        let is_wanted = settings.overload_early && settings.overload != Overload::Serve;
        Gate { domains: if is_wanted { node.location.domains() } else { Vec::new() }, shed: 0 }
    }

    fn judge(&mut self, node: &Node, configuration: &Configuration, bytes: &[u8], now_s: u64) -> Fate {
        let settings = &configuration.settings.registrar;
        let Some(to) = peek::register_to(bytes) else { return Fate::Served };
        let mut name = Aor::new();
        if aor::canonical_text(to, &settings.policy, &mut name).is_err() {
            return Fate::Served;
        }
        let is_known = |domain: &Arc<Domain>| {
            node.store.may_hold_more(domain) || domain.lock(&name, now_s).valid().next().is_some()
        };
        if self.domains.iter().any(is_known) {
            return Fate::Served;
        }
        self.shed = self.shed.wrapping_add(1);
        if settings.overload == Overload::Refuse && self.shed.is_multiple_of(ANSWERED_OF_SHED) {
            return Fate::Refused;
        }
        Fate::Dropped
    }
}

impl Worker {
    /// Sheds a datagram of somebody new; false if it is to be served. To be called while too many wait.
    #[cold]
    pub(crate) fn stands_back(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) -> bool {
        if self.gate.domains.is_empty() {
            return false;
        }
        match self.gate.judge(&self.node, &self.configuration, bytes, io.unix_s()) {
            Fate::Served => return false,
            Fate::Refused => self.refuse_new(io, origin, bytes),
            Fate::Dropped => {}
        }
        for stat in [Stat::RejectedRegs, Stat::ShedRegs] {
            self.node.counters.bump(self.index, stat);
        }
        true
    }

    /// Answers somebody new without running the script.
    fn refuse_new(&mut self, io: &mut Io, origin: &Origin, bytes: &mut Vec<u8>) {
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
