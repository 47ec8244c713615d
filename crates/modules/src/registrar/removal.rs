//! `remove()` and `remove_ip_port()`: taking contacts out of the table by the script.

use std::sync::Arc;

use seawall_location::Domain;
use seawall_registrar::{Filter, NextHop, aor};
use seawall_script::{Call, Flow, Prepared, RouteKind, Value};

use super::{Table, prepare_domain};
use crate::context::Context;
use crate::events::Gather;
use crate::store::{self, Drafted, Held, Known, Saved};

/// How many host names one `remove()` has resolved. An address of record has a few next hops; whoever registers more
/// names than this must not make the server ask for them all, and is matched by what they say.
const MAX_HOSTS: usize = 16;

/// What a `remove()` was asked for, kept while names are resolved.
struct Wanted {
    domain: Arc<Domain>,
    aor: aor::Aor,
    contact: Option<Vec<u8>>,
    next_hop: Option<Vec<u8>>,
    instance: Option<Vec<u8>>,
    flag: Option<u32>,
    /// How many names may still be asked for.
    hosts_left: usize,
    /// What keeps the address of record in memory.
    held: Option<Held>,
}

/// `remove(domain, aor, contact, next_hop, sip_instance, bflag)`.
pub fn remove(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(domain) = call.prepared::<Table>(0).and_then(|table| table.domain(context)) else {
        return Flow::FALSE;
    };
    let Some(aor) = canonical(context, call.str(1)) else { return Flow::FALSE };
    let text = |argument| call.str(argument).filter(|text| !text.is_empty()).map(<[u8]>::to_vec);
    let wanted = Wanted {
        domain: Arc::clone(domain),
        aor,
        contact: text(2),
        next_hop: text(3),
        instance: text(4),
        flag: call.flag(5).and_then(|bit| 1u32.checked_shl(u32::from(bit))),
        // Nothing can wait in a reply route: names are compared as they stand there.
        hosts_left: if context.route == RouteKind::Request { MAX_HOSTS } else { 0 },
        held: None,
    };
    go_on(context, wanted)
}

/// Removes what is wanted, once the names are resolved that decide it.
fn go_on(context: &mut Context, mut wanted: Wanted) -> Flow {
    let Wanted { domain, aor, .. } = &wanted;
    let resolved = std::mem::take(&mut context.rare.resolved);
    let next_hop = wanted.next_hop.as_deref().map(|host| NextHop { host, resolved: &resolved });
    let filter = Filter {
        contact: wanted.contact.as_deref(),
        next_hop,
        instance: wanted.instance.as_deref(),
        flag: wanted.flag,
    };
    if wanted.held.is_none() && store::lacks(context, domain, aor) {
        context.rare.resolved = resolved;
        let (asked, table) = (aor.clone(), Arc::clone(domain));
        return store::when_known(context, &table, asked, move |context, known| match known {
            Known::Yes(held) => go_on(context, Wanted { held, ..wanted }),
            Known::Failed => Flow::FALSE,
        });
    }
    let missing = match wanted.hosts_left {
        0 => None,
        _ => seawall_registrar::unresolved(domain, context.now_s, aor, &filter),
    };
    let removed = missing.is_none().then(|| {
        with_sink(context, |now_s, sink| {
            seawall_registrar::remove(domain, now_s, aor, &filter, sink);
        })
    });
    context.rare.resolved = resolved;
    match missing {
        None => when_kept(context, removed.flatten(), wanted.held),
        Some(host) => {
            wanted.hosts_left -= 1;
            context.wait_for_host(host, |context| go_on(context, wanted))
        }
    }
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
    let removed = with_sink(context, |now_s, sink| {
        seawall_registrar::remove_ip_port(domain, now_s, name.as_deref(), (ip, port), sink);
    });
    when_kept(context, removed, None)
}

/// The script goes on when what was removed is gone from the database too.
fn when_kept(context: &mut Context, removed: Option<Drafted>, held: Option<Held>) -> Flow {
    let Some(removed) = removed else { return Flow::TRUE };
    let saved = Saved::new(context, Some(removed));
    if !saved.has_to_wait(context) {
        return Flow::TRUE;
    }
    store::when_kept(context, saved, move |_, kept| {
        drop(held);
        Flow::bool(kept)
    })
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

/// Lets the event routes and the store know what is removed; what has to be waited for is given.
fn with_sink(context: &mut Context, act: impl FnOnce(u64, &mut Gather<'_>)) -> Option<Drafted> {
    let node = Arc::clone(&context.node);
    let (now_s, listens) = (context.now_s, context.configuration.routes.location_events);
    let mut gather = Gather::new(&node, listens, &mut context.events);
    if node.store.is_through() {
        gather.wait_for();
    }
    act(now_s, &mut gather);
    gather.finish()
}
