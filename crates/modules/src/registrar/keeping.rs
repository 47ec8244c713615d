//! `tcp_persistent_flag` (registrar 1.3.5): a connection lives as long as the TCP contacts that were registered over it.
//!
//! Each contact is a holder of the connection by its contact id, so a connection that several contacts or addresses of
//! record share lives as long as the longest of them, and goes when the last is removed or shortened.

use std::sync::Arc;

use seawall_location::{Binding, Change, Domain, PERMANENT, RecordView, Sink};
use seawall_net::ConnectionId;
use seawall_sip::cseq::CSeq;
use seawall_sip::name_addr::address;
use seawall_sip::{Name, Uri};

use super::aor;
use crate::context::Context;
use crate::events::Gather;

/// By how much a connection outlives its contact: a refresh that is a little late still finds it, and so does the last
/// word of a call that came just before the end.
const MARGIN_S: u64 = 5;

/// What one holder wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The connection.
    pub connection: ConnectionId,
    /// The contact id.
    pub holder: u64,
    /// Until when, in seconds since the Unix epoch; 0 to let go.
    pub until_s: u64,
}

/// Notes what changes about the contacts of a connection, and passes every change on.
pub struct Keeping<'a, 'g> {
    /// Who else listens.
    pub gather: &'a mut Gather<'g>,
    /// The connection that the REGISTER came over.
    pub connection: ConnectionId,
    /// Where the leases go.
    pub leases: &'a mut Vec<Lease>,
}

impl Sink for Keeping<'_, '_> {
    fn listens(&self) -> bool {
        true
    }

    fn before(&mut self, domain: &str, aor: &[u8], record: Option<RecordView<'_>>) {
        self.gather.before(domain, aor, record);
    }

    fn change(&mut self, domain: &str, aor: &[u8], change: Change<'_>) {
        match change {
            Change::ContactInsert(binding) | Change::ContactUpdate(binding) => {
                self.leases.push(lease(self.connection, &binding));
            }
            Change::ContactDelete(binding, _) => {
                let holder = binding.numbers.contact_id;
                self.leases.push(Lease { connection: self.connection, holder, until_s: 0 });
            }
            Change::AorInsert | Change::AorDelete | Change::KeysUpdate(_) => {}
        }
        if self.gather.listens() {
            self.gather.change(domain, aor, change);
        }
    }
}

/// The leases of a REGISTER that repeats what is stored: nothing changes, but it may have come over another connection.
pub fn repeated(context: &mut Context, domain: &Domain, given: Option<&[u8]>, connection: ConnectionId) {
    let configuration = Arc::clone(&context.configuration);
    let message = context.packet.message();
    let to = address(message, Name::To).map(|to| to.uri).ok();
    let mut name = aor::Aor::new();
    let policy = &configuration.settings.registrar.policy;
    let is_read = given.or(to).is_some_and(|uri| aor::canonical_text(uri, policy, &mut name).is_ok());
    let (true, Ok(cseq)) = (is_read, CSeq::of(message)) else { return };
    let callid = message.value(Name::CallId).unwrap_or_default();
    let entry = domain.lock(&name, context.now_s);
    let same = |binding: &Binding<'_>| binding.callid == callid && binding.numbers.cseq == cseq.number;
    let leases = entry.valid().map(|(_, binding)| binding).filter(same);
    context.keep_connection.extend(leases.map(|binding| lease(connection, &binding)));
}

fn lease(connection: ConnectionId, binding: &Binding<'_>) -> Lease {
    let until_s = match binding.numbers.expires_s {
        PERMANENT => u64::from(PERMANENT),
        expires_s => u64::from(expires_s) + MARGIN_S,
    };
    let until_s = if is_reached_by_stream(binding.contact) { until_s } else { 0 };
    Lease { connection, holder: binding.numbers.contact_id, until_s }
}

/// Whether requests for a contact go over a connection: where its URI names no transport, the socket of its binding does.
fn is_reached_by_stream(contact: &[u8]) -> bool {
    let transport = Uri::parse(contact).ok().and_then(|uri| uri.transport());
    transport.is_none_or(|name| !name.eq_ignore_ascii_case(b"udp"))
}
