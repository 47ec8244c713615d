//! Module `mid_registrar`: a registrar in front of a main registrar.

mod fronts;
mod journey;
pub mod kept;
mod known;
mod parameters;
mod silence;

use std::sync::{Arc, OnceLock};

use seawall_location::{Domain, NameId, Sink};
use seawall_net::ConnectionId;
use seawall_registrar::mid::{Decision, Request, contact};
use seawall_registrar::{Found, Lookup, Outcome, Reject, SaveFlags, Source};
use seawall_script::{
    Argument, ArgumentKind, Call, Flow, Function, Module, Prepared, Routes, Statistic, Value, VariableId,
};
use seawall_sip::{Method, Uri};
use seawall_transaction::RequestMatch;

use crate::configuration::Overload;
use crate::context::{Context, EventParameters};
use crate::events::Gather;
use crate::node::{Node, Socket};
use crate::registrar::{self, Keeping, LookupPlan, Place, Table, flags, waking};
use crate::reply;
use crate::statistics::Stat;
use crate::store::{self, Drafted, Refused, Saved};
use crate::tm::relay;

pub use fronts::{Front, Fronts, gauges, tick};
pub use journey::{Answered, Journey, abandoned, answered, completed, fell_silent, is_open, survive};
pub use parameters::MidSettings;

const DOMAIN: Argument = Argument::new("domain", ArgumentKind::StaticStr, "The name of the location table.");

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: parameters::ALL,
    functions: &[
        Function::<Context>::new(
            "mid_registrar_save",
            &[
                DOMAIN,
                Argument::new("flags", ArgumentKind::Str, "What to do differently, comma separated.")
                    .optional()
                    .words(flags::MID_SAVE),
                Argument::new("aor", ArgumentKind::Str, "The address of record; that of To if left out.")
                    .optional(),
                Argument::new(
                    "outgoing_expires",
                    ArgumentKind::Int,
                    "Instead of the parameter `outgoing_expires`, in seconds.",
                )
                .optional(),
                Argument::new("ownership_tag", ArgumentKind::Str, "The sharing tag that owns the contacts.")
                    .optional(),
            ],
            Routes::REQUEST,
            "Serves a REGISTER: answers it from what is known here, or prepares it for the main registrar. The answer of \
             the main registrar is handled without any scripting.",
            save,
        )
        .section("1.6.1")
        .returns(&[
            (1, "The script has to relay it to the main registrar."),
            (2, "It was absorbed and answered."),
            (-1, "It was refused and answered."),
        ])
        .prepare(prepare_save),
        Function::<Context>::new(
            "mid_registrar_lookup",
            &[
                DOMAIN,
                Argument::new("flags", ArgumentKind::Str, "What to do differently, comma separated.")
                    .optional()
                    .words(flags::LOOKUP),
                Argument::new(
                    "aor",
                    ArgumentKind::Str,
                    "The address of record; that of the Request-URI if left out.",
                )
                .optional(),
            ],
            Routes::REQUEST,
            "Makes the contacts that a request of the main registrar is for its destinations.",
            lookup,
        )
        .section("1.6.2")
        .returns(&[
            (1, "Contacts were found. Those that have to be woken are being woken."),
            (2, "All contacts that were found are being woken: the request needs no t_relay()."),
            (-1, "There is no contact."),
            (-2, "There are contacts, but none supports the method."),
            (-3, "Internal error: the address of record cannot be read."),
        ])
        .prepare(registrar::prepare_lookup),
        Function::<Context>::new(
            "pn_process_purr",
            &[DOMAIN],
            Routes::REQUEST,
            "Wakes the phone that a request inside a dialog is for, by the PURR in the Request-URI or a Route, and waits for \
             its registration, for pn_refresh_timeout at most.",
            registrar::purr::process,
        )
        .section("1.7.1")
        .returns(&[
            (1, "The phone was woken; it may not have registered in time."),
            (2, "It was not: there is no PURR of this server, or its contact is awake or not registered."),
            (-1, "Internal error."),
        ])
        .prepare(registrar::prepare_domain)
        .only_asynchronous(),
    ],
    statistics: &[
        Statistic { name: "absorbed_regs", doc: "REGISTERs answered here.", resettable: true },
        Statistic { name: "forwarded_regs", doc: "REGISTERs for the main registrar.", resettable: true },
        Statistic { name: "refused_regs", doc: "REGISTERs refused here.", resettable: true },
        Statistic {
            name: "shed_regs",
            doc: "REGISTERs of new contacts refused because too many requests waited; counted as refused too.",
            resettable: true,
        },
        Statistic {
            name: "accepted_forwards",
            doc: "Forwarded REGISTERs that the main registrar accepted.",
            resettable: true,
        },
        Statistic {
            name: "rejected_forwards",
            doc: "Forwarded REGISTERs that it rejected or did not answer.",
            resettable: true,
        },
        Statistic {
            name: "survived_forwards",
            doc: "Forwarded REGISTERs that were answered here because it did not answer.",
            resettable: true,
        },
        Statistic { name: "sent_deregs", doc: "De-REGISTERs sent.", resettable: true },
        Statistic {
            name: "acknowledged_deregs",
            doc: "De-REGISTERs that the main registrar has answered with 2xx or 404.",
            resettable: true,
        },
        Statistic {
            name: "pending_deregs",
            doc: "De-REGISTERs and renewals that wait to be sent, or sent again.",
            resettable: false,
        },
        Statistic {
            name: "absorb_ratio",
            doc: "How many of 10000 REGISTERs were absorbed.",
            resettable: false,
        },
        Statistic {
            name: "upstream_latency",
            doc: "How long the main registrar takes to answer, in milliseconds: a moving average.",
            resettable: false,
        },
        Statistic {
            name: "upstream_silent",
            doc: "Location tables whose main registrar has stopped answering.",
            resettable: false,
        },
    ],
    requires: &["usrloc", "signaling", "tm"],
    advise: Some(parameters::advise),
    ..Module::new("mid_registrar", "https://docs.opensips.org/modules/devel/mid_registrar/")
};

/// A location table named by a script, and what its main registrars hold; found at its first use.
struct Desk {
    table: Table,
    front: OnceLock<Arc<Front>>,
}

impl Desk {
    fn front(&self, context: &Context) -> Option<&Arc<Front>> {
        if let Some(front) = self.front.get() {
            return Some(front);
        }
        let domain = self.table.domain(context)?;
        Some(self.front.get_or_init(|| context.node.fronts.front(domain)))
    }
}

fn prepare_save(argument: usize, value: &Value) -> Result<Prepared, String> {
    match argument {
        0 => Ok(Prepared::new(Desk { table: registrar::table(value)?, front: OnceLock::new() })),
        1 => save_flags(&registrar::flags_text(value)?).map(Prepared::new),
        3 => match value.as_int() {
            Some(seconds) if u32::try_from(seconds).is_ok() => Ok(Prepared::new(())),
            _ => Err("it must not be negative".to_owned()),
        },
        4 => registrar::ownership::prepare(value),
        _ => Ok(Prepared::new(())),
    }
}

/// The flags of `mid_registrar_save()`: those of `save()` but three, which its document does not have.
fn save_flags(text: &str) -> Result<SaveFlags, String> {
    let flags = SaveFlags::parse(text).map_err(|error| flags::explain(error, flags::MID_SAVE))?;
    if flags.socket_header || flags.min_expires_s.is_some() || flags.max_expires_s.is_some() {
        let known: Vec<&str> = flags::MID_SAVE.iter().map(|flag| flag.name).collect();
        return Err(format!("a flag is one of save() only; the flags are {}", known.join(", ")));
    }
    Ok(flags)
}

fn save(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    if context.message().method_id() != Method::Register || !context.message().is_request() {
        reply::send(context, 501, b"Not Implemented", b"");
        return Flow::FALSE;
    }
    // What was forwarded and repeats is answered by its transaction, or will be.
    if context.transaction.is_none() && is_repeated(context) {
        return Flow::Value(0);
    }
    let Some(front) = call.prepared::<Desk>(0).and_then(|place| place.front(context)) else {
        return Flow::FALSE;
    };
    let Some(settings) = context.configuration.settings.mid.clone() else { return Flow::FALSE };
    let parsed;
    let flags = match call.prepared::<SaveFlags>(1) {
        Some(flags) => flags,
        None => match call.str(1).map(|text| save_flags(std::str::from_utf8(text).unwrap_or("?"))) {
            None => &SaveFlags::default(),
            Some(Ok(flags)) => {
                parsed = flags;
                &parsed
            }
            Some(Err(error)) => {
                tracing::error!("line {}: mid_registrar_save: {error}", call.line());
                return Flow::FALSE;
            }
        },
    };
    let strict;
    let flags = if context.is_behind && settings.overload != Overload::Serve {
        strict = SaveFlags { known_only: true, ..flags.clone() };
        &strict
    } else {
        flags
    };
    let Some(tag) = registrar::ownership::tag(context, call, 4) else { return Flow::FALSE };
    let kept = context.flags & settings.tcp_persistent_flag != 0;
    let asked = Asked {
        flags,
        aor: call.str(2),
        outgoing_expires_s: call.int(3).and_then(|seconds| u32::try_from(seconds).ok()),
        tag,
        connection: context.origin.connection.filter(|_| kept),
        values: Values::read(context, &settings, call.line()),
    };
    match known::missing(context, front, &settings, asked.aor) {
        None => serve(context, front, settings, &asked),
        Some(name) => known::serve_when_known(context, Arc::clone(front), settings, &asked, name),
    }
}

/// Whether a REGISTER was forwarded before and has come again.
fn is_repeated(context: &mut Context) -> bool {
    matches!(relay::matching_register(context), RequestMatch::Retransmission(_))
}

/// Answers the REGISTER, or prepares it for the main registrar.
fn serve(context: &mut Context, front: &Arc<Front>, settings: Arc<MidSettings>, asked: &Asked<'_>) -> Flow {
    let flags = asked.flags;
    if let Some(refused) = store::refuse(context) {
        return refuse(context, &settings, flags.no_reply, refused);
    }
    let mut headers = std::mem::take(&mut context.scratch);
    headers.clear();
    let before = (context.events.len(), context.keep_connection.len());
    let (decision, drafted) = decide(context, front, &settings, asked, &mut headers);
    let flow = match decision {
        Decision::Forward(pending) => {
            context.node.counters.bump(context.worker, Stat::ForwardedRegs);
            let journey = Journey::new(Arc::clone(front), settings, asked.connection, pending);
            context.rare.journey = Some(Arc::new(journey));
            Flow::TRUE
        }
        Decision::Answered(outcome) => {
            let waits = outcome.reject.is_none() && context.node.store.is_through() && !flags.memory_only;
            let saved =
                waits.then(|| Saved::new(context, drafted)).filter(|saved| saved.has_to_wait(context));
            let Some(saved) = saved else {
                let flow = answer(context, flags.no_reply, &outcome, &mut headers);
                context.scratch = headers;
                return flow;
            };
            return answer_when_kept(context, saved, flags.no_reply, outcome, headers, before);
        }
    };
    context.scratch = headers;
    flow
}

/// How `mid_registrar_save()` was called.
#[derive(Clone)]
struct Asked<'a> {
    flags: &'a SaveFlags,
    aor: Option<&'a [u8]>,
    outgoing_expires_s: Option<u32>,
    tag: NameId,
    /// The connection to keep as long as the contact.
    connection: Option<ConnectionId>,
    values: Values,
}

/// Asks the pure part what becomes of the REGISTER.
fn decide(
    context: &mut Context,
    front: &Front,
    settings: &MidSettings,
    asked: &Asked<'_>,
    headers: &mut Vec<u8>,
) -> (Decision, Option<Drafted>) {
    let random = context.random();
    let authenticated = context.rare.authentication.header(context.message()).is_some();
    let unproven = if asked.flags.no_reply { None } else { registrar::unproven(context) };
    let Context { node, packet, configuration, events, keep_connection, origin, target, allow, .. } = context;
    let (now_s, now_ms) = (context.now_s, context.now_ms);
    let node: &Node = node;
    let (listens, waits) = (configuration.routes.location_events, node.store.is_through());
    let changes = Changes { node, events, leases: keep_connection };
    changes.gather_waiting(listens, asked.connection, waits, |sink| {
        front.with(node, settings, now_s, |mid| {
            let request = Request {
                message: packet.message(),
                aor: asked.aor,
                flags: asked.flags,
                source: Source {
                    received: &asked.values.received,
                    peer: (origin.peer, registrar::transport_name(origin.transport)),
                    socket: node.socket_name(origin.socket),
                    host_port: node.socket(origin.socket).map_or(b"", |socket| &socket.sent_by),
                    flags: target.flags,
                    cflags: 0,
                    attr: &asked.values.attribute,
                    ownership_tag: asked.tag,
                    is_own: mid.is_own,
                    random,
                    unproven,
                },
                outgoing_expires_s: asked.outgoing_expires_s,
                extra: &asked.values.extra,
                authenticated,
                holds_back: &|| front.silence.holds_back(now_ms),
                allow: Some(&*allow),
                familiar: Some(&settings.familiar),
            };
            mid.request(&request, headers, sink)
        })
    })
}

/// Answers what was absorbed or refused, and gives the value of the function.
fn answer(context: &mut Context, no_reply: bool, outcome: &Outcome, headers: &mut Vec<u8>) -> Flow {
    let refused = outcome.reject.is_some();
    let counted = if refused { Stat::RefusedRegs } else { Stat::AbsorbedRegs };
    context.node.counters.bump(context.worker, counted);
    let is_shed = matches!(outcome.reject, Some(Reject::Overloaded(_)));
    if is_shed {
        context.node.counters.bump(context.worker, Stat::ShedMidRegs);
    }
    let is_silent = no_reply || is_shed && is_dropped(context);
    if !is_silent {
        context.brief_reply = outcome.is_brief;
        if !refused && !outcome.is_brief {
            context.push_date(headers);
        }
        reply::send(context, outcome.status, outcome.reason.as_bytes(), headers);
    }
    match (refused, outcome.retransmission) {
        (true, _) => Flow::FALSE,
        // What repeats an absorbed request has its answer again, and the script has nothing left to do.
        (false, true) if !no_reply => Flow::Value(0),
        (false, _) => Flow::Value(2),
    }
}

/// Whether whoever is shed in an overload is left without an answer.
fn is_dropped(context: &Context) -> bool {
    context.configuration.settings.mid.as_ref().is_some_and(|settings| settings.overload == Overload::Drop)
}

/// Answers what was absorbed when it is on disk. `before` is how many events and leases there were without it.
fn answer_when_kept(
    context: &mut Context,
    saved: Saved,
    no_reply: bool,
    outcome: Outcome,
    mut headers: Vec<u8>,
    before: (usize, usize),
) -> Flow {
    store::when_kept(context, saved, move |context, kept| {
        if kept {
            return answer(context, no_reply, &outcome, &mut headers);
        }
        context.events.truncate(before.0);
        context.keep_connection.truncate(before.1);
        match context.configuration.settings.mid.clone() {
            Some(settings) => refuse(context, &settings, no_reply, Refused::Failed),
            None => Flow::FALSE,
        }
    })
}

/// Answers that the store does not take the change.
fn refuse(context: &mut Context, settings: &MidSettings, no_reply: bool, refused: Refused) -> Flow {
    context.node.counters.bump(context.worker, Stat::RefusedRegs);
    registrar::answer_refused(context, &settings.policy, no_reply, refused)
}

/// What the script says about a REGISTER in variables.
#[derive(Clone)]
struct Values {
    received: Vec<u8>,
    attribute: Vec<u8>,
    extra: Vec<u8>,
}

impl Values {
    fn read(context: &Context, settings: &MidSettings, line: u32) -> Values {
        let text = |variable: Option<VariableId>| {
            let program = &context.configuration.program;
            let value = variable.and_then(|variable| program.read_variable(context, variable).into_bytes());
            value.map(|bytes| bytes.to_vec()).unwrap_or_default()
        };
        let mut extra = text(settings.extra);
        if !contact::is_extra(&extra) {
            tracing::error!(
                "line {line}: mid_registrar_save: extra_contact_params_avp holds no URI parameters"
            );
            extra.clear();
        }
        Values { received: text(settings.received), attribute: text(settings.attribute), extra }
    }
}

/// Lets event routes, subscribers and the main registrars know what changes, and a connection live as long as its
/// contacts. These parts of a context are all that it takes, so that the others can be lent out meanwhile.
struct Changes<'a> {
    node: &'a Node,
    events: &'a mut Vec<EventParameters>,
    leases: &'a mut Vec<registrar::Lease>,
}

impl<'a> Changes<'a> {
    fn of(context: &'a mut Context) -> Changes<'a> {
        let Context { node, events, keep_connection, .. } = context;
        Changes { node, events, leases: keep_connection }
    }

    fn gather<R>(
        self,
        listens: bool,
        connection: Option<ConnectionId>,
        act: impl FnOnce(&mut dyn Sink) -> R,
    ) -> R {
        self.gather_waiting(listens, connection, false, act).0
    }

    /// The same; if it `waits` for the store, what changes is given, and is taken back when the store fails.
    fn gather_waiting<R>(
        self,
        listens: bool,
        connection: Option<ConnectionId>,
        waits: bool,
        act: impl FnOnce(&mut dyn Sink) -> R,
    ) -> (R, Option<Drafted>) {
        let mut gather = Gather::new(self.node, listens, self.events);
        if waits {
            gather.wait_for();
        }
        let result = match connection {
            None => act(&mut gather),
            Some(connection) => act(&mut Keeping { gather: &mut gather, connection, leases: self.leases }),
        };
        (result, gather.finish())
    }
}

/// The transport of a socket as a URI names it, nothing where a URI without means it.
fn transport_in_uri(socket: &Socket) -> &'static [u8] {
    match registrar::transport_name(socket.transport) {
        b"udp" => b"",
        name => name,
    }
}

fn lookup(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(domain) = call.prepared::<Table>(0).and_then(|table| table.domain(context)) else {
        return Flow::Value(-3);
    };
    let domain = Arc::clone(domain);
    let parsed;
    let plan = match call.prepared::<LookupPlan>(1) {
        Some(plan) => plan,
        None => {
            match call.str(1).map(|text| registrar::lookup_plan(std::str::from_utf8(text).unwrap_or("?"))) {
                None => &LookupPlan::default(),
                Some(Ok(plan)) => {
                    parsed = plan;
                    &parsed
                }
                Some(Err(error)) => {
                    tracing::error!("line {}: mid_registrar_lookup: {error}", call.line());
                    return Flow::Value(-3);
                }
            }
        }
    };
    let Some(settings) = context.configuration.settings.mid.clone() else { return Flow::Value(-3) };
    let given = call.str(2).map(<[u8]>::to_vec);
    known::look_up(context, domain, settings, plan, given)
}

/// Looks up what is in memory.
fn look_up(
    context: &mut Context,
    domain: &Arc<Domain>,
    settings: &MidSettings,
    plan: &LookupPlan,
    given: Option<&[u8]>,
) -> Flow {
    let old_branches =
        if plan.flags.branch { std::mem::take(&mut context.rare.branches) } else { Vec::new() };
    let uri = context.request_uri().to_vec();
    let awoken = context.rare.wakes.len();
    let found = find(context, settings, domain, plan, &uri, given);
    let push = settings.policy.push.as_ref();
    waking::note(context, domain, push);
    let mut place = Place::new(plan);
    if matches!(found, Ok(Found::Contacts(_))) {
        place.take(context, Some(&settings.attribute_name));
    }
    let mut extra = false;
    for branch in old_branches {
        let found = find(context, settings, domain, plan, &branch.uri, None);
        waking::note(context, domain, push);
        if matches!(found, Ok(Found::Contacts(_))) {
            place.take(context, Some(&settings.attribute_name));
            extra = true;
        }
    }
    let has_woken = context.rare.wakes.len() > awoken;
    waking::answer(context, found.ok(), extra, has_woken)
}

fn find(
    context: &mut Context,
    settings: &MidSettings,
    domain: &Domain,
    plan: &LookupPlan,
    uri: &[u8],
    aor: Option<&[u8]>,
) -> Result<Found, Reject> {
    let policy = &settings.policy;
    let passes = plan.user_agent.as_ref().map(|regex| |agent: &[u8]| regex.is_match(agent));
    let lookup = Lookup {
        now_s: context.now_s,
        policy,
        flags: &plan.flags,
        domain,
        method: context.message().method_id(),
        user_agent: passes.as_ref().map(|passes| passes as &dyn Fn(&[u8]) -> bool),
    };
    context.targets.clear();
    if aor.is_none()
        && let Some(gruu) = policy.gruu.as_deref()
        && let Some(wanted) = Uri::parse(uri).ok().and_then(|uri| gruu.read(&uri, policy))
    {
        return Ok(lookup.run_gruu(gruu, wanted, &mut context.targets));
    }
    settings.mid.lookup(&lookup, uri, aor, &mut context.targets)
}
