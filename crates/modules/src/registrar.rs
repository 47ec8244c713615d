//! Module `registrar`: REGISTER requests and the way to registered contacts.

mod asking;
mod expression;
pub(crate) mod flags;
mod keeping;
mod onreply;
pub mod outstanding;
pub(crate) mod ownership;
pub(crate) mod parameters;
pub(crate) mod purr;
pub(crate) mod push;
mod removal;
mod saving;
pub mod waking;

use std::sync::{Arc, OnceLock};

use regex::bytes::Regex;
use seawall_location::{Domain, Q_NONE};
use seawall_net::Transport;
use seawall_registrar::gruu::{NoGruu, Wanted};
use seawall_registrar::{
    Added, Aor, Found, Gruu, Lookup, LookupFlags, Policy, Reject, SaveFlags, Target, aor,
};
use seawall_script::{
    Argument, ArgumentKind, Call, FlagSpace, Flow, Function, Module, Prepared, Routes, Statistic, Value,
};
use seawall_sip::Uri;

pub(crate) use keeping::Keeping;
pub use keeping::Lease;
pub(crate) use saving::answer_refused;

use crate::branch::{Branch, NO_Q};
use crate::context::Context;
use crate::node::Node;
use crate::store::{self, Held, Known};

const DOMAIN: Argument = Argument::new("domain", ArgumentKind::StaticStr, "The name of the location table.");
const AOR: Argument = Argument::new(
    "aor",
    ArgumentKind::Str,
    "The address of record as a URI; if left out, that of To in a REGISTER and of From in others.",
)
.optional();
const ASKING: Routes =
    Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::ONREPLY).or(Routes::LOCAL);

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: parameters::ALL,
    functions: &[
        Function::<Context>::new(
            "save",
            &[
                DOMAIN,
                Argument::new("flags", ArgumentKind::Str, "What to do differently, comma separated.")
                    .optional()
                    .words(flags::SAVE),
                Argument::new("aor", ArgumentKind::Str, "The address of record; that of To if left out.")
                    .optional(),
                Argument::new("ownership_tag", ArgumentKind::Str, "The sharing tag that owns the contacts.")
                    .optional(),
            ],
            Routes::REQUEST.or(Routes::ONREPLY),
            "Serves a REGISTER: changes its address of record's contacts and answers. In an onreply_route: stores \
             what the main registrar has granted to the contacts of the request.",
            saving::save,
        )
        .section("1.4.1")
        .returns(&[
            (1, "The request was served and answered, or what was granted is stored."),
            (-1, "It was refused and answered; in an onreply_route: nothing was stored."),
        ])
        .prepare(prepare_save),
        Function::<Context>::new(
            "remove",
            &[
                DOMAIN,
                Argument::new("aor", ArgumentKind::Str, "The address of record."),
                Argument::new("contact", ArgumentKind::Str, "The contact URI; any if left out.").optional(),
                Argument::new(
                    "next_hop",
                    ArgumentKind::Str,
                    "Address or name of the next hop: of Path, else of received, else of the contact. Names are \
                     resolved while the script waits; in an onreply_route, where nothing waits, they are compared \
                     as they stand.",
                )
                .optional(),
                Argument::new(
                    "sip_instance",
                    ArgumentKind::Str,
                    "Its +sip.instance, with the angle brackets.",
                )
                .optional(),
                Argument::new("bflag", ArgumentKind::Flag(FlagSpace::Branch), "A branch flag that it has.")
                    .optional(),
            ],
            Routes::REQUEST.or(Routes::ONREPLY),
            "Removes the contacts of an address of record, all or those that fit.",
            removal::remove,
        )
        .section("1.4.2")
        .returns(&[(1, "They are gone, if there were any."), (-1, "The address of record cannot be read.")])
        .prepare(prepare_domain),
        Function::<Context>::new(
            "remove_ip_port",
            &[
                Argument::new("ip", ArgumentKind::Str, "The address."),
                Argument::new("port", ArgumentKind::Int, "The port."),
                Argument::new("domain", ArgumentKind::StaticStr, "The name of the location table."),
                Argument::new("aor", ArgumentKind::Str, "The address of record; all if left out.").optional(),
            ],
            Routes::ALL,
            "Removes the contacts behind an address and port.",
            removal::remove_ip_port,
        )
        .section("1.4.3")
        .returns(&[
            (1, "They are gone, if there were any."),
            (-1, "The address or the address of record cannot be read."),
        ])
        .prepare(removal::prepare_ip_port),
        Function::<Context>::new(
            "lookup",
            &[
                DOMAIN,
                Argument::new("flags", ArgumentKind::Str, "What to do differently, comma separated.")
                    .optional()
                    .words(flags::LOOKUP),
                Argument::new(
                    "aor",
                    ArgumentKind::Str,
                    "The address of record; the Request-URI if left out.",
                )
                .optional(),
            ],
            Routes::REQUEST.or(Routes::FAILURE),
            "Makes the contacts of an address of record the destinations of the request.",
            lookup,
        )
        .section("1.4.4")
        .returns(&[
            (1, "Contacts were found. Those that have to be woken are being woken."),
            (2, "All contacts that were found are being woken: the request needs no t_relay()."),
            (-1, "There is no contact."),
            (-2, "There are contacts, but none supports the method."),
            (-3, "Internal error: the address of record cannot be read."),
        ])
        .prepare(prepare_lookup),
        Function::<Context>::new(
            "is_registered",
            &[DOMAIN, AOR],
            ASKING,
            "Whether an address of record has a contact.",
            asking::is_registered,
        )
        .section("1.4.5")
        .returns(&[(1, "It has."), (-1, "It has none.")])
        .prepare(prepare_domain),
        Function::<Context>::new(
            "is_contact_registered",
            &[
                DOMAIN,
                AOR,
                Argument::new(
                    "contact",
                    ArgumentKind::Str,
                    "The contact URI; that of Contact if left out, without a Call-ID.",
                )
                .optional(),
                Argument::new(
                    "callid",
                    ArgumentKind::Str,
                    "The Call-ID that the contact was registered with.",
                )
                .optional(),
            ],
            ASKING,
            "Whether an address of record has this contact.",
            asking::is_contact_registered,
        )
        .section("1.4.6")
        .returns(&[(1, "It has."), (-1, "It has not.")])
        .prepare(prepare_domain),
        Function::<Context>::new(
            "is_ip_registered",
            &[
                DOMAIN,
                AOR,
                Argument::new("ip", ArgumentKind::ReadVariable, "A variable with addresses."),
                Argument::new("port", ArgumentKind::ReadVariable, "A variable with as many ports.")
                    .optional(),
            ],
            ASKING,
            "Whether a contact of an address of record is at one of these addresses.",
            asking::is_ip_registered,
        )
        .section("1.4.7")
        .returns(&[(1, "One is."), (-1, "None is.")])
        .prepare(prepare_domain),
        Function::<Context>::new(
            "add_sock_hdr",
            &[Argument::new("hdr_name", ArgumentKind::Str, "The name of the header.")],
            Routes::REQUEST,
            "Adds a header that names the socket which received the REGISTER.",
            add_socket_header,
        )
        .section("1.4.8")
        .returns(&[(1, "It will be added."), (-1, "The name is no header name.")]),
        Function::<Context>::new(
            "pn_process_purr",
            &[DOMAIN],
            Routes::REQUEST,
            "Wakes the phone that a request inside a dialog is for, by the PURR in the Request-URI or a Route, and waits for \
             its registration, for pn_refresh_timeout at most.",
            purr::process,
        )
        .section("1.5.1")
        .returns(&[
            (1, "The phone was woken; it may not have registered in time."),
            (2, "It was not: there is no PURR of this server, or its contact is awake or not registered."),
            (-1, "Internal error."),
        ])
        .prepare(prepare_domain)
        .only_asynchronous(),
    ],
    statistics: &[
        Statistic { name: "max_expires", doc: "The parameter max_expires.", resettable: false },
        Statistic { name: "max_contacts", doc: "The parameter max_contacts.", resettable: false },
        Statistic { name: "defaults_expires", doc: "The parameter default_expires.", resettable: false },
        Statistic { name: "accepted_regs", doc: "Registrations accepted.", resettable: true },
        Statistic { name: "rejected_regs", doc: "Registrations rejected.", resettable: true },
        Statistic {
            name: "shed_regs",
            doc: "Registrations of new contacts that were rejected because too many requests waited; counted as \
                  rejected too. Not in OpenSIPS.",
            resettable: true,
        },
    ],
    requires: &["usrloc", "signaling"],
    advise: Some(parameters::advise),
    ..Module::new("registrar", "https://docs.opensips.org/modules/devel/registrar/")
};

/// A location table named by a script, found at its first use.
pub(crate) struct Table {
    name: String,
    domain: OnceLock<Arc<Domain>>,
}

impl Table {
    #[inline]
    pub(crate) fn domain(&self, context: &Context) -> Option<&Arc<Domain>> {
        match self.domain.get() {
            None => self.declare(context),
            known => known,
        }
    }

    #[cold]
    fn declare(&self, context: &Context) -> Option<&Arc<Domain>> {
        let declared = context.node.location.declare(&self.name)?;
        declared.set_refresh_before(context.configuration.refresh_before_s());
        context.node.store.attach(&declared);
        Some(self.domain.get_or_init(|| declared))
    }
}

/// The flags of a lookup with its compiled expression.
#[derive(Clone, Default)]
pub(crate) struct LookupPlan {
    pub(crate) flags: LookupFlags,
    pub(crate) user_agent: Option<Regex>,
}

pub(crate) fn prepare_domain(argument: usize, value: &Value) -> Result<Prepared, String> {
    if argument != 0 {
        return Ok(Prepared::new(()));
    }
    table(value).map(Prepared::new)
}

/// The location table that a constant names.
pub(crate) fn table(value: &Value) -> Result<Table, String> {
    match value {
        Value::Str(name)
            if !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') =>
        {
            let name = String::from_utf8_lossy(name).into_owned();
            Ok(Table { name, domain: OnceLock::new() })
        }
        _ => Err("a location table has a name of letters, digits and _".to_owned()),
    }
}

pub(crate) fn flags_text(value: &Value) -> Result<String, String> {
    match value {
        Value::Str(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        _ => Err("flags are names, comma separated".to_owned()),
    }
}

fn prepare_save(argument: usize, value: &Value) -> Result<Prepared, String> {
    match argument {
        1 => {
            let text = flags_text(value)?;
            SaveFlags::parse(&text).map(Prepared::new).map_err(|error| flags::explain(error, flags::SAVE))
        }
        3 => ownership::prepare(value),
        _ => prepare_domain(argument, value),
    }
}

pub(crate) fn prepare_lookup(argument: usize, value: &Value) -> Result<Prepared, String> {
    match argument {
        1 => {
            let plan = lookup_plan(&flags_text(value)?)?;
            let asks_others = plan.flags.global;
            let prepared = Prepared::new(plan);
            Ok(if asks_others { prepared.warn(flags::NO_FEDERATION) } else { prepared })
        }
        _ => prepare_domain(argument, value),
    }
}

pub(crate) fn lookup_plan(text: &str) -> Result<LookupPlan, String> {
    let flags = LookupFlags::parse(text).map_err(|error| flags::explain(error, flags::LOOKUP))?;
    let user_agent = match &flags.user_agent {
        None => None,
        Some(filter) => Some(expression::compile(filter)?),
    };
    Ok(LookupPlan { flags, user_agent })
}

/// What every reply of this server has besides, for a REGISTER over UDP without credentials that were found
/// right: its source address may be somebody else's.
#[inline]
pub(crate) fn unproven(context: &Context) -> Option<Added> {
    let authentication = &context.rare.authentication;
    if context.origin.transport != Transport::Udp || authentication.header(context.message()).is_some() {
        return None;
    }
    let server_len = context.configuration.settings.server_header.as_ref().map_or(0, Vec::len);
    Some(Added {
        needed: context.rare.reply_headers.len(),
        optional: server_len + crate::calendar::DATE_LINE_LEN,
    })
}

/// A transport as a URI names it.
pub(crate) fn transport_name(transport: Transport) -> &'static [u8] {
    if transport == Transport::Udp { b"udp" } else { b"tcp" }
}

/// Whether a contact points at one of our own sockets: calls to it would come back for ever. The same port of another
/// transport is somebody else's.
pub(crate) fn is_own_socket(node: &crate::node::Node, uri: &Uri<'_>) -> bool {
    let port = uri.port.unwrap_or(5060);
    // Few phones have the port of a server, so the host is not read.
    if !node.sockets.iter().any(|socket| socket.address.port() == port) {
        return false;
    }
    let Some(address) = uri.host_ip() else { return false };
    let at = std::net::SocketAddr::new(address, port);
    let transport = uri.transport().unwrap_or(b"udp");
    let is_it = |socket: &crate::node::Socket| {
        socket.address == at && socket.transport.to_string().as_bytes().eq_ignore_ascii_case(transport)
    };
    node.sockets.iter().any(is_it)
}

fn lookup(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(domain) = call.prepared::<Table>(0).and_then(|table| table.domain(context)) else {
        return Flow::Value(-3);
    };
    let parsed;
    let plan = match call.prepared::<LookupPlan>(1) {
        Some(plan) => plan,
        None => match call.str(1).map(|text| lookup_plan(std::str::from_utf8(text).unwrap_or("?"))) {
            None => &LookupPlan::default(),
            Some(Ok(plan)) => {
                parsed = plan;
                &parsed
            }
            Some(Err(error)) => {
                tracing::error!("line {}: lookup: {error}", call.line());
                return Flow::Value(-3);
            }
        },
    };
    let mut uri = std::mem::take(&mut context.scratch);
    uri.clear();
    uri.extend_from_slice(call.str(2).unwrap_or_else(|| context.request_uri()));
    if let Some(name) = missing(context, domain, plan, &uri, &[]) {
        return look_up_when_known(context, Arc::clone(domain), plan.clone(), uri, name, Vec::new());
    }
    let flow = look_up(context, domain, plan, &uri);
    context.scratch = uri;
    flow
}

/// The first address of record that is looked up and that the database has to be asked about before; it was about `held`.
fn missing(
    context: &Context,
    domain: &Domain,
    plan: &LookupPlan,
    uri: &[u8],
    held: &[(Aor, Option<Held>)],
) -> Option<Aor> {
    if !store::may_lack(context, domain) {
        return None;
    }
    let policy = &context.configuration.settings.registrar.policy;
    let branches = context.rare.branches.iter().map(|branch| &*branch.uri).filter(|_| plan.flags.branch);
    let name_of = |uri: &[u8]| match gruu(uri, policy) {
        Some((_, wanted)) => Some(wanted.ok()?.aor),
        None => {
            let mut name = Aor::new();
            aor::canonical_text(uri, policy, &mut name).ok().map(|()| name)
        }
    };
    let is_missing =
        |name: &Aor| held.iter().all(|(known, _)| known != name) && store::lacks(context, domain, name);
    std::iter::once(uri).chain(branches).filter_map(name_of).find(is_missing)
}

/// Asks the database about one address of record after the other. `held` keeps those in memory that it was asked about.
fn look_up_when_known(
    context: &mut Context,
    domain: Arc<Domain>,
    plan: LookupPlan,
    uri: Vec<u8>,
    name: Aor,
    mut held: Vec<(Aor, Option<Held>)>,
) -> Flow {
    let (asked, known_name) = (Arc::clone(&domain), name.clone());
    store::when_known(context, &asked, name, move |context, known| {
        let Known::Yes(hold) = known else { return Flow::Value(-3) };
        held.push((known_name, hold));
        match missing(context, &domain, &plan, &uri, &held) {
            None => look_up(context, &domain, &plan, &uri),
            Some(name) => look_up_when_known(context, domain, plan, uri, name, held),
        }
    })
}

fn look_up(context: &mut Context, domain: &Arc<Domain>, plan: &LookupPlan, uri: &[u8]) -> Flow {
    let old_branches =
        if plan.flags.branch { std::mem::take(&mut context.rare.branches) } else { Vec::new() };
    let awoken = context.rare.wakes.len();
    let found = find(context, domain, plan, uri);
    waking::note_own(context, domain);
    let mut place = Place::new(plan);
    if matches!(found, Ok(Found::Contacts(_))) {
        place.take(context, None);
    }
    let mut extra = false;
    for branch in old_branches {
        let found = find(context, domain, plan, &branch.uri);
        waking::note_own(context, domain);
        if matches!(found, Ok(Found::Contacts(_))) {
            place.take(context, None);
            extra = true;
        }
    }
    let has_woken = context.rare.wakes.len() > awoken;
    waking::answer(context, found.ok(), extra, has_woken)
}

/// The GRUU in a URI, where they are on (registrar 1.1.2).
fn gruu<'p>(uri: &[u8], policy: &'p Policy) -> Option<(&'p Gruu, Result<Wanted, NoGruu>)> {
    let gruu = policy.gruu.as_deref()?;
    Some((gruu, gruu.read(&Uri::parse(uri).ok()?, policy)?))
}

fn find(context: &mut Context, domain: &Domain, plan: &LookupPlan, uri: &[u8]) -> Result<Found, Reject> {
    let method = context.message().method_id();
    let policy = &context.configuration.settings.registrar.policy;
    let gruu = gruu(uri, policy);
    let mut name = aor::Aor::new();
    match aor::canonical_text(uri, policy, &mut name) {
        _ if gruu.is_some() => {}
        Ok(()) => {}
        // A request for no user is a request for nobody.
        Err(Reject::NoUsername) => return Ok(Found::Nothing),
        Err(reject) => return Err(reject),
    }
    let passes = plan.user_agent.as_ref().map(|regex| |agent: &[u8]| regex.is_match(agent));
    let lookup = Lookup {
        now_s: context.now_s,
        policy,
        flags: &plan.flags,
        domain,
        method,
        user_agent: passes.as_ref().map(|passes| passes as &dyn Fn(&[u8]) -> bool),
    };
    context.targets.clear();
    Ok(match gruu {
        Some((gruu, wanted)) => lookup.run_gruu(gruu, wanted, &mut context.targets),
        None => lookup.run(&name, &mut context.targets),
    })
}

/// Where the next contact goes: into the Request-URI first, unless that is to stay.
pub(crate) struct Place {
    main: bool,
}

impl Place {
    /// For a lookup with these flags.
    pub(crate) fn new(plan: &LookupPlan) -> Self {
        Self { main: !plan.flags.to_branches_only }
    }

    /// Makes the contacts that were found destinations of the request. Their attributes stand under this name, or the
    /// registrar's own one.
    pub(crate) fn take(&mut self, context: &mut Context, attribute: Option<&[u8]>) {
        let Context { node, configuration, targets, target, rare, .. } = context;
        let attribute = attribute.unwrap_or(&configuration.settings.registrar.attribute_name);
        for found in targets.iter() {
            if std::mem::take(&mut self.main) {
                fill(target, node, &found, attribute);
            } else if rare.branches.len() < crate::core::MAX_BRANCHES {
                let mut branch = Branch::default();
                fill(&mut branch, node, &found, attribute);
                rare.branches.push(branch);
            }
        }
    }
}

/// Makes a destination of a contact, in the memory that the destination has.
fn fill(branch: &mut Branch, node: &Node, found: &Target<'_>, attribute: &[u8]) {
    branch.clear();
    branch.uri.extend_from_slice(found.uri);
    branch.destination.extend_from_slice(found.destination().unwrap_or_default());
    branch.path.extend_from_slice(found.path);
    branch.socket = node.socket_by_name(found.socket);
    branch.q = if found.q == Q_NONE { NO_Q } else { found.q };
    branch.flags = found.flags;
    if !attribute.is_empty() && !found.attr.is_empty() {
        branch.set_attribute(attribute, Value::str(found.attr));
    }
}

fn add_socket_header(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let name = call.str(0).unwrap_or_default();
    let Some(socket) = context.node.socket(context.origin.socket) else { return Flow::FALSE };
    if !seawall_sip::ascii::is_token(name) {
        return Flow::FALSE;
    }
    let line = [name, b": ", socket.description.as_bytes(), b"\r\n"].concat();
    context.rare.edits.append_header(context.packet.message(), &line);
    Flow::TRUE
}
