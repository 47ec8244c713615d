//! `save()`: serving a REGISTER, and waiting for the database where bindings are kept in one.

use std::sync::Arc;

use seawall_location::{Domain, NameId};
use seawall_registrar::{Aor, Outcome, Policy, Reject, Save, SaveFlags, Source, aor};
use seawall_script::{Bytes, Call, Flow, VariableId};
use seawall_sip::name_addr::to_uri;
use seawall_sip::{Method, Uri};

use super::{Table, is_own_socket, keeping, onreply, ownership, transport_name, unproven};
use crate::configuration::{Configuration, Overload};
use crate::context::Context;
use crate::events::Gather;
use crate::reply;
use crate::statistics::Stat;
use crate::store::{self, Drafted, Held, Known, Refused, Saved};

/// How `save()` was called.
#[derive(Clone, Copy)]
struct Asked<'a> {
    domain: &'a Arc<Domain>,
    flags: &'a SaveFlags,
    aor: Option<&'a [u8]>,
    tag: NameId,
}

/// What a script that names no flags asks for.
static NO_FLAGS: SaveFlags = SaveFlags::NONE;

/// `save(domain, flags, aor, ownership_tag)`.
pub(super) fn save(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(domain) = call.prepared::<Table>(0).and_then(|table| table.domain(context)) else {
        return Flow::FALSE;
    };
    // Most scripts name nothing but the table.
    if call.given() == 1 && is_plain(context, domain) {
        let asked = Asked { domain, flags: &NO_FLAGS, aor: None, tag: NameId::NONE };
        return serve(context, asked, None);
    }
    save_as_asked(context, call, domain)
}

/// Whether the message is a REGISTER that nothing stands in the way of.
#[inline]
fn is_plain(context: &Context, domain: &Domain) -> bool {
    let message = context.message();
    message.method_id() == Method::Register
        && message.is_request()
        && !context.is_behind
        && !store::may_lack(context, domain)
}

/// As [`save`], whatever was asked for.
fn save_as_asked(context: &mut Context, call: &Call<'_, Context>, domain: &Arc<Domain>) -> Flow {
    let is_reply = !context.message().is_request();
    if !is_reply && context.message().method_id() != Method::Register {
        return Flow::FALSE;
    }
    let parsed;
    let flags = match call.prepared::<SaveFlags>(1) {
        Some(flags) => flags,
        None => match call.str(1).map(|text| SaveFlags::parse(std::str::from_utf8(text).unwrap_or("?"))) {
            None => &NO_FLAGS,
            Some(Ok(flags)) => {
                parsed = flags;
                &parsed
            }
            Some(Err(error)) => {
                tracing::error!("line {}: save: {error}", call.line());
                return Flow::FALSE;
            }
        },
    };
    let Some(tag) = ownership::tag(context, call, 3) else { return Flow::FALSE };
    if is_reply {
        return onreply::save(context, domain, flags, call.str(2), tag);
    }
    let strict;
    let flags = if context.is_behind && overload(context) != Overload::Serve {
        strict = SaveFlags { known_only: true, ..flags.clone() };
        &strict
    } else {
        flags
    };
    let asked = Asked { domain, flags, aor: call.str(2), tag };
    match missing(context, asked) {
        None => serve_with(context, asked, None),
        Some(name) => when_known(context, asked, name),
    }
}

/// The address of record, if the database has to be asked about it first.
fn missing(context: &Context, asked: Asked<'_>) -> Option<Aor> {
    if !store::may_lack(context, asked.domain) {
        return None;
    }
    let uri = match asked.aor {
        Some(aor) => aor,
        None => to_uri(context.message()).ok()?,
    };
    let mut name = Aor::new();
    // What cannot be read is refused by who reads it next.
    aor::canonical_text(uri, &context.configuration.settings.registrar.policy, &mut name).ok()?;
    store::lacks(context, asked.domain, &name).then_some(name)
}

/// Serves the REGISTER when the database has said what it knows about the address of record.
fn when_known(context: &mut Context, asked: Asked<'_>, name: Aor) -> Flow {
    let (domain, flags) = (Arc::clone(asked.domain), asked.flags.clone());
    let (aor, tag) = (asked.aor.map(<[u8]>::to_vec), asked.tag);
    store::when_known(context, asked.domain, name, move |context, known| {
        let asked = Asked { domain: &domain, flags: &flags, aor: aor.as_deref(), tag };
        match known {
            Known::Yes(held) => serve_with(context, asked, held),
            Known::Failed => refuse(context, asked.flags.no_reply, Refused::Failed),
        }
    })
}

/// As [`serve`], for what does not come on the plain path.
fn serve_with(context: &mut Context, asked: Asked<'_>, held: Option<Held>) -> Flow {
    serve(context, asked, held)
}

/// Changes what is asked for, and answers when that is kept.
/// `held` is what keeps its address of record in memory until then.
// A part of the plain path, on which calls of this size cost a tenth of what they do.
#[inline(always)]
fn serve(context: &mut Context, asked: Asked<'_>, held: Option<Held>) -> Flow {
    if let Some(refused) = store::refuse(context) {
        return refuse(context, asked.flags.no_reply, refused);
    }
    let before = (context.events.len(), context.keep_connection.len());
    let mut headers = std::mem::take(&mut context.scratch);
    headers.clear();
    let mut drafted = None;
    let outcome = run(context, asked, &mut headers, &mut drafted);
    let no_reply = asked.flags.no_reply;
    if outcome.reject.is_none() && context.node.store.is_through() && !asked.flags.memory_only {
        let saved = Saved::new(context, drafted);
        if saved.has_to_wait(context) {
            return store::when_kept(context, saved, move |context, kept| {
                drop(held);
                if kept {
                    return answer_kept(context, no_reply, &outcome, headers);
                }
                // Nothing has happened, so nothing is told of it.
                context.events.truncate(before.0);
                context.keep_connection.truncate(before.1);
                refuse(context, no_reply, Refused::Failed)
            });
        }
    }
    answer(context, no_reply, &outcome, headers)
}

/// What becomes of new contacts while the server cannot keep up.
fn overload(context: &Context) -> Overload {
    context.configuration.settings.registrar.overload
}

/// As [`answer`], for what was waited for.
fn answer_kept(context: &mut Context, no_reply: bool, outcome: &Outcome, headers: Vec<u8>) -> Flow {
    answer(context, no_reply, outcome, headers)
}

#[inline(always)]
fn answer(context: &mut Context, no_reply: bool, outcome: &Outcome, mut headers: Vec<u8>) -> Flow {
    let accepted = outcome.reject.is_none();
    let counted = if accepted { Stat::AcceptedRegs } else { Stat::RejectedRegs };
    context.node.counters.bump(context.worker, counted);
    let is_shed = matches!(outcome.reject, Some(Reject::Overloaded(_)));
    if is_shed {
        context.node.counters.bump(context.worker, Stat::ShedRegs);
    }
    let is_silent = no_reply || is_shed && overload(context) == Overload::Drop;
    if !is_silent {
        context.brief_reply = outcome.is_brief;
        if outcome.status == 200 {
            if !outcome.is_brief {
                context.push_date(&mut headers);
            }
            headers.extend_from_slice(&context.configuration.settings.registrar.service_route);
        }
        reply::send(context, outcome.status, outcome.reason.as_bytes(), &headers);
    }
    context.scratch = headers;
    Flow::bool(accepted)
}

/// Answers that the store does not take the change.
fn refuse(context: &mut Context, no_reply: bool, refused: Refused) -> Flow {
    context.node.counters.bump(context.worker, Stat::RejectedRegs);
    let configuration = Arc::clone(&context.configuration);
    answer_refused(context, &configuration.settings.registrar.policy, no_reply, refused)
}

/// The answer to a REGISTER that the store does not take.
pub(crate) fn answer_refused(
    context: &mut Context,
    policy: &Policy,
    no_reply: bool,
    refused: Refused,
) -> Flow {
    let reject: Reject = refused.reject();
    let (status, reason, _) = reject.answer();
    if !no_reply {
        let mut headers = Vec::new();
        reject.write_headers(context.packet.message(), policy, &mut headers);
        reply::send(context, status, reason.as_bytes(), &headers);
    }
    Flow::FALSE
}

/// Changes what is asked for, and appends to the header fields of the answer. `drafted` gets what the database has to write.
#[inline(always)]
fn run(
    context: &mut Context,
    asked: Asked<'_>,
    headers: &mut Vec<u8>,
    drafted: &mut Option<Drafted>,
) -> Outcome {
    let Asked { domain, flags, aor, tag } = asked;
    let values;
    let (received, attr) = if has_variables(context) {
        values = variables(context);
        (values.0.as_deref().unwrap_or_default(), values.1.as_deref().unwrap_or_default())
    } else {
        (&b""[..], &b""[..])
    };
    let unproven = if flags.no_reply { None } else { unproven(context) };
    let random = context.random();
    // Neither is counted: all workers would count in the same place.
    let (node, configuration) = (&*context.node, &*context.configuration);
    let settings = &configuration.settings.registrar;
    let is_own = |uri: &Uri<'_>| is_own_socket(node, uri);
    let save = Save {
        now_s: context.now_s,
        policy: &settings.policy,
        flags,
        domain,
        source: Source {
            received,
            socket: node.socket_name(context.origin.socket),
            peer: (context.origin.peer, transport_name(context.origin.transport)),
            host_port: node.socket(context.origin.socket).map_or(b"", |socket| &socket.sent_by),
            flags: context.target.flags,
            cflags: 0,
            attr,
            ownership_tag: tag,
            is_own: &is_own,
            random,
            unproven,
        },
        allow: Some(&context.allow),
        familiar: Some(&settings.familiar),
    };
    let listens = configuration.routes.location_events;
    let mut sink = Gather::new(node, listens, &mut context.events);
    if flags.memory_only {
        sink.only_forget();
    } else if node.store.is_through() {
        sink.wait_for();
    }
    let kept = context.origin.connection.filter(|_| context.flags & settings.tcp_persistent_flag != 0);
    let Some(connection) = kept else {
        let outcome = save.handle(context.packet.message(), aor, headers, &mut sink);
        *drafted = sink.finish();
        return outcome;
    };
    let leases = &mut context.keep_connection;
    let mut keeping = keeping::Keeping { gather: &mut sink, connection, leases };
    let outcome = save.handle(context.packet.message(), aor, headers, &mut keeping);
    *drafted = sink.finish();
    drop(sink);
    if outcome.retransmission {
        keeping::repeated(context, domain, aor, connection);
    }
    outcome
}

/// Whether the script has set `received_avp` or `attr_avp`.
#[inline]
fn has_variables(context: &Context) -> bool {
    let settings = &context.configuration.settings.registrar;
    settings.received.is_some() || settings.attribute.is_some()
}

/// The values of `received_avp` and `attr_avp`; nothing for one that is not set.
fn variables(context: &Context) -> (Option<Bytes>, Option<Bytes>) {
    let Configuration { program, settings, .. } = &*context.configuration;
    let text = |variable: Option<VariableId>| {
        variable.and_then(|variable| program.read_variable(context, variable).into_bytes())
    };
    (text(settings.registrar.received), text(settings.registrar.attribute))
}
