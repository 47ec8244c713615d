//! `save()` in an `onreply_route`: cached registrations (registrar 1.3.18, 1.4.1).
//!
//! The REGISTER was relayed and the main registrar has accepted it. What it granted is stored here with the contacts
//! of the request, under the same flags, values and address of record as in a request route. Nothing is answered: the
//! reply passes to the client.

use std::sync::Arc;

use seawall_location::{Domain, NameId};
use seawall_registrar::{Save, SaveFlags, Source};
use seawall_script::{Flow, VariableId};
use seawall_sip::{Contact, Message, Method, Uri, name_addr};
use seawall_transaction::TransactionId;

use super::is_own_socket;
use super::keeping::Keeping;
use crate::context::Context;
use crate::events::Gather;
use crate::statistics::Stat;
use crate::tm::state::TransactionState;

/// What the transaction's variables say about a registration.
struct Values {
    received: Vec<u8>,
    attribute: Vec<u8>,
    /// The contacts as they were sent, in the order of the request.
    sent: Vec<Vec<u8>>,
}

/// Stores what a 2xx to a REGISTER grants. False, and no change, for any other reply, for one without a transaction, and
/// where a request route would have refused the REGISTER.
pub fn save(
    context: &mut Context,
    domain: &Domain,
    flags: &SaveFlags,
    aor: Option<&[u8]>,
    tag: NameId,
) -> Flow {
    let Some((id, state)) = context.transaction.clone() else { return Flow::FALSE };
    if !(200..300).contains(&context.message().status()) {
        return Flow::FALSE;
    }
    let request = context.node.shard(id.shard).and_then(|shard| shard.lock().request_of(id));
    let Some(request) = request.filter(|request| request.message.method_id() == Method::Register) else {
        return Flow::FALSE;
    };
    if context.node.store.is_back() && context.node.store.ownership.is_doubtful(context.now_ms) {
        // With write-through the database says so, and the client is told.
        tracing::warn!("save: another server has the table now; what was granted upstream is not stored");
        return Flow::FALSE;
    }
    let values = values(context, id, &state);
    let configuration = Arc::clone(&context.configuration);
    let settings = &configuration.settings.registrar;
    let node = Arc::clone(&context.node);
    let is_own = |uri: &Uri<'_>| is_own_socket(&node, uri);
    let save = Save {
        now_s: context.now_s,
        policy: &settings.policy,
        flags,
        domain,
        source: Source {
            received: &values.received,
            socket: node.socket_name(state.origin.socket),
            peer: (state.origin.peer, super::transport_name(state.origin.transport)),
            host_port: node.socket(state.origin.socket).map_or(b"", |socket| &socket.sent_by),
            flags: context.target.flags,
            cflags: 0,
            attr: &values.attribute,
            ownership_tag: tag,
            is_own: &is_own,
            random: context.random(),
            // Nothing is answered here.
            unproven: None,
        },
        allow: None,
        familiar: None,
    };
    let listens = configuration.routes.location_events;
    let mut sink = Gather::new(&node, listens, &mut context.events);
    if node.store.is_through() {
        // The reply waits until the database has it.
        sink.wait_for();
    }
    let reply = context.packet.message();
    let kept = state.origin.connection.filter(|_| context.flags & settings.tcp_persistent_flag != 0);
    let outcome = match kept {
        None => save.cache(&request.message, aor, &values.sent, reply, &mut sink),
        Some(connection) => {
            let leases = &mut context.keep_connection;
            let mut keeping = Keeping { gather: &mut sink, connection, leases };
            save.cache(&request.message, aor, &values.sent, reply, &mut keeping)
        }
    };
    context.rare.drafted = sink.finish().or(context.rare.drafted.take());
    let accepted = outcome.reject.is_none();
    node.counters.bump(context.worker, if accepted { Stat::AcceptedRegs } else { Stat::RejectedRegs });
    if let Some(reject) = outcome.reject {
        // Nobody is answered, so this is the only trace.
        tracing::warn!(
            "save: a registration that was accepted upstream is not stored: {}",
            reject.answer().2
        );
    }
    Flow::bool(accepted)
}

/// Reads the variables with the transaction's values in sight, whatever `onreply_avp_mode` of tm shows the route.
fn values(context: &mut Context, id: TransactionId, state: &TransactionState) -> Values {
    let configuration = Arc::clone(&context.configuration);
    let settings = &configuration.settings.registrar;
    let hidden = !configuration.settings.tm.onreply_avp_mode;
    let own = hidden.then(|| {
        let kept = state.lock().avps.clone();
        std::mem::replace(&mut context.rare.avps, kept)
    });
    let text = |context: &Context, variable: Option<VariableId>| {
        let value = variable.map(|variable| configuration.program.read_variable(context, variable));
        value.and_then(seawall_script::Value::into_bytes).map(|bytes| bytes.to_vec()).unwrap_or_default()
    };
    let received = text(context, settings.received);
    let attribute = text(context, settings.attribute);
    let name = &settings.sent_contact_name;
    // The newest value comes first; they were set in the order of the contacts.
    let mut sent: Vec<Vec<u8>> = context
        .rare
        .avps
        .values(name)
        .filter_map(|value| value.clone().into_bytes())
        .map(|b| b.to_vec())
        .collect();
    if let Some(own) = own {
        context.rare.avps = own;
    }
    if sent.is_empty() {
        sent = as_sent(context, id);
    } else {
        let request = context.node.shard(id.shard).and_then(|shard| shard.lock().request_of(id));
        let asked = request.map_or(0, |request| name_addr::contacts(&request.message).count());
        sent.truncate(asked.max(1));
        sent.reverse();
    }
    Values { received, attribute, sent }
}

/// Without `mcontact_avp`: the contacts that stand in the request as it left.
fn as_sent(context: &Context, id: TransactionId) -> Vec<Vec<u8>> {
    let bytes =
        context.node.shard(id.shard).and_then(|shard| shard.lock().sent(id, context.rare.branch_index));
    let Some(message) = bytes.and_then(|bytes| Message::parse(bytes.to_vec()).ok()) else {
        return Vec::new();
    };
    let uri = |contact| match contact {
        Ok(Contact::Address(address)) => Some(address.uri.to_vec()),
        _ => None,
    };
    name_addr::contacts(&message).filter_map(uri).collect()
}
