//! `remove()` and `remove_ip_port()`: taking contacts out of the table by the script.

use std::net::IpAddr;
use std::sync::Arc;

use seawall_registrar::{Filter, aor};
use seawall_script::{Call, Flow, Prepared, Value};

use super::{Table, prepare_domain};
use crate::context::Context;
use crate::events::Gather;

/// `remove(domain, aor, contact, next_hop, sip_instance, bflag)`.
pub fn remove(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(domain) = call.prepared::<Table>(0).and_then(|table| table.domain(context)) else {
        return Flow::FALSE;
    };
    let Some(name) = canonical(context, call.str(1)) else { return Flow::FALSE };
    let next_hop = call.str(3).filter(|host| !host.is_empty());
    let addresses: Vec<IpAddr> = next_hop.and_then(seawall_sip::uri::host_ip).into_iter().collect();
    let filter = Filter {
        contact: call.str(2).filter(|contact| !contact.is_empty()),
        next_hop: next_hop.map(|host| (host, addresses.as_slice())),
        instance: call.str(4).filter(|instance| !instance.is_empty()),
        flag: call.flag(5).and_then(|bit| 1u32.checked_shl(u32::from(bit))),
    };
    with_sink(context, |now_s, sink| {
        seawall_registrar::remove(domain, now_s, &name, &filter, sink);
    });
    Flow::TRUE
}

/// `remove_ip_port(ip, port, domain, aor)`.
pub fn remove_ip_port(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(domain) = call.prepared::<Table>(2).and_then(|table| table.domain(context)) else {
        return Flow::FALSE;
    };
    let Some(ip) = call.str(0).and_then(seawall_sip::uri::host_ip) else { return Flow::FALSE };
    let Some(port) = call.int(1).and_then(|port| u16::try_from(port).ok()) else { return Flow::FALSE };
    let name = match call.str(3) {
        None => None,
        given => match canonical(context, given) {
            Some(name) => Some(name),
            None => return Flow::FALSE,
        },
    };
    with_sink(context, |now_s, sink| {
        seawall_registrar::remove_ip_port(domain, now_s, name.as_deref(), (ip, port), sink);
    });
    Flow::TRUE
}

/// Checks the constant arguments of `remove_ip_port`.
///
/// # Errors
/// A sentence for the person who wrote the script.
pub fn prepare_ip_port(argument: usize, value: &Value) -> Result<Prepared, String> {
    match (argument, value) {
        (0, Value::Str(text)) if seawall_sip::uri::host_ip(text).is_none() => {
            Err(format!("\"{}\" is no IP address", String::from_utf8_lossy(text)))
        }
        (1, Value::Int(port)) if u16::try_from(*port).is_err() => Err("a port is from 0 to 65535".to_owned()),
        (2, name) => prepare_domain(0, name),
        _ => Ok(Prepared::new(())),
    }
}

fn canonical(context: &Context, uri: Option<&[u8]>) -> Option<aor::Aor> {
    let mut name = aor::Aor::new();
    aor::canonical_text(uri?, &context.configuration.settings.registrar.policy, &mut name).ok()?;
    Some(name)
}

/// Lets the event routes know what is removed.
fn with_sink(context: &mut Context, act: impl FnOnce(u64, &mut Gather<'_>)) {
    let node = Arc::clone(&context.node);
    let (now_s, listens) = (context.now_s, context.configuration.routes.location_events);
    act(
        now_s,
        &mut Gather {
            events: &mut context.events,
            names: node.location.names(),
            listens,
            watchers: &node.watchers,
            now_s,
        },
    );
}
