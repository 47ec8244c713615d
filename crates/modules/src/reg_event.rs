//! Module `reg_event`: the event package of RFC 3680. Who subscribes to an address of record is told of every change of
//! its contacts. The module is Seawall's own.

mod settings;
mod watchers;

use std::sync::Arc;

use seawall_notifier::reginfo::CONTENT_TYPE;
use seawall_notifier::{BadSubscribe, Dialog, New, Refresh, Refused, Source};
use seawall_registrar::aor::{self, Aor};
use seawall_script::{Argument, ArgumentKind, Call, Flow, Function, Module, Routes, Statistic};
use seawall_sip::uri::escape;
use seawall_sip::{Message, Method, Name, Uri, ascii, cseq, list, name_addr, validate};

use crate::context::Context;
use crate::registrar::{Table, prepare_domain};
use crate::reply;
use crate::statistics::Stat;
use crate::tm::relay;
use crate::{forward, uris};

pub use settings::RegEventSettings;
pub use watchers::{Watchers, Way, take_due};
use watchers::{contact_line, now};

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: settings::PARAMETERS,
    functions: &[Function::<Context>::new(
        "reg_event_subscribe",
        &[
            Argument::new("domain", ArgumentKind::StaticStr, "The name of the location table."),
            Argument::new(
                "aor",
                ArgumentKind::Str,
                "The address of record as a URI; the Request-URI if left out. Inside a dialog it is that of the \
                 subscription, whatever is given.",
            )
            .optional(),
            Argument::new(
                "next_hop",
                ArgumentKind::Str,
                "Where NOTIFYs go instead of the subscriber's Contact or route set, as a URI or \
                 [proto:]host[:port]: for subscribers behind a NAT.",
            )
            .optional(),
        ],
        Routes::REQUEST,
        "Serves a SUBSCRIBE to the event package reg: makes, refreshes or ends a subscription, answers, and sends \
         NOTIFY. Who may subscribe is for the script to decide before.",
        subscribe,
    )
    .returns(&[
        (1, "The subscription stands, or has ended as it was asked to; the request was answered with 200."),
        (-1, "The request was refused and answered."),
        (-2, "It is no SUBSCRIBE, or cannot be answered; nothing was done."),
    ])
    .prepare(prepare_domain)],
    statistics: &[
        Statistic { name: "subscriptions", doc: "Subscriptions that stand.", resettable: false },
        Statistic { name: "accepted_subscribes", doc: "SUBSCRIBEs answered with 200.", resettable: true },
        Statistic { name: "rejected_subscribes", doc: "SUBSCRIBEs answered with an error.", resettable: true },
        Statistic { name: "sent_notifies", doc: "NOTIFYs made.", resettable: true },
        Statistic {
            name: "failed_notifies",
            doc: "NOTIFYs that were not answered with a 2xx.",
            resettable: true,
        },
    ],
    requires: &["usrloc", "tm"],
    ..Module::new("reg_event", "https://www.rfc-editor.org/rfc/rfc3680")
};

/// Longest next hop that a subscription keeps, in bytes: a host name and a port with room to spare.
const NEXT_HOP_BYTES: usize = 512;

/// Why a SUBSCRIBE is refused: code, reason and header lines.
struct Refusal(u16, &'static str, String);

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let later = || "Retry-After: 60\r\n".to_owned();
        match refused {
            Refused::TooMany | Refused::TooManyForAor | Refused::TooManyForSource => {
                Refusal(503, "Too Many Subscriptions", later())
            }
            Refused::Unknown => Refusal(481, "Subscription Does Not Exist", String::new()),
            Refused::OutOfOrder => Refusal(500, "Request Out Of Order", String::new()),
            Refused::Bad(bad) => bad.into(),
        }
    }
}

impl From<BadSubscribe> for Refusal {
    fn from(bad: BadSubscribe) -> Self {
        match bad {
            BadSubscribe::Event => Refusal(489, "Bad Event", "Allow-Events: reg\r\n".to_owned()),
            BadSubscribe::TooLarge => Refusal(513, "Message Too Large", String::new()),
            BadSubscribe::Header(name) => Refusal(
                400,
                "Bad Request",
                format!("Warning: 399 seawall \"{name} missing or malformed\"\r\n"),
            ),
        }
    }
}

fn subscribe(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    if context.message().method_id() != Method::Subscribe {
        return Flow::Value(-2);
    }
    // With a transaction, a repeated SUBSCRIBE gets the same answer and makes no second subscription.
    if context.transaction.is_none() {
        match relay::create(context) {
            relay::Created::New => {}
            relay::Created::Absorbed => return Flow::Value(0),
            relay::Created::Failed => return Flow::Value(-2),
        }
    }
    let (code, reason, lines) = match serve(context, call) {
        Ok(expires_s) => (200, "OK", format!("Expires: {expires_s}\r\n")),
        Err(Refusal(code, reason, lines)) => (code, reason, lines),
    };
    let mut lines = lines.into_bytes();
    if code == 200 {
        lines.extend_from_slice(&contact_line(context, context.origin.socket));
    }
    let stat = if code == 200 { Stat::AcceptedSubscribes } else { Stat::RejectedSubscribes };
    context.node.counters.bump(context.worker, stat);
    add_reply_headers(context, &lines);
    reply::stateful(context, code, reason.as_bytes(), b"");
    Flow::bool(code == 200)
}

/// Header lines for the reply of the context's transaction.
fn add_reply_headers(context: &mut Context, lines: &[u8]) {
    if let Some((_, state)) = &context.transaction {
        state.lock().reply_headers.extend_from_slice(lines);
    }
}

/// Does what the SUBSCRIBE asks for and leaves the NOTIFY in the context. Gives the seconds that were granted.
fn serve(context: &mut Context, call: &Call<'_, Context>) -> Result<u32, Refusal> {
    understood(context.message())?;
    acceptable(context.message())?;
    let expires_s = granted_s(context)?;
    let way = Way {
        socket: context.origin.socket,
        connection: context.origin.connection,
        next_hop: call.str(2).filter(|hop| !hop.is_empty()).map(forward::as_uri).unwrap_or_default(),
    };
    let usable = uris::is_clean(&way.next_hop) && way.next_hop.len() <= NEXT_HOP_BYTES;
    if !usable || !way.next_hop.is_empty() && Uri::parse(&way.next_hop).is_err() {
        tracing::error!("line {}: reg_event_subscribe: the next hop is no URI", call.line());
        return Err(Refusal(500, "Server Internal Error", String::new()));
    }
    let to = name_addr::address(context.message(), Name::To).ok().and_then(|to| to.tag().map(<[u8]>::to_vec));
    match to {
        Some(tag) => refresh(context, &tag, expires_s, way)?,
        None => begin(context, call, expires_s, way)?,
    }
    Ok(expires_s)
}

/// Makes a subscription.
fn begin(context: &mut Context, call: &Call<'_, Context>, expires_s: u32, way: Way) -> Result<(), Refusal> {
    let not_found = || Refusal(404, "Not Found", String::new());
    let table = call.prepared::<Table>(0).and_then(|table| table.domain(context)).ok_or_else(not_found)?;
    let uri = call.str(1).filter(|uri| !uri.is_empty()).unwrap_or(context.request_uri());
    let mut name = Aor::new();
    let policy = &context.configuration.settings.registrar.policy;
    aor::canonical_text(uri, policy, &mut name).map_err(|_| not_found())?;
    let aor_uri = uri_of_aor(&name, uri, policy.use_domain).ok_or_else(not_found)?;
    // Without a domain a GRUU names the socket that its phone registered at, which the subscriber may not reach.
    let gruus = policy.gruu.is_some() && policy.use_domain;
    let tag = reply::tag_of(context).ok_or(Refusal(400, "Bad Request", String::new()))?;
    let new = New {
        dialog: Dialog::new(context.message(), &tag)?,
        domain: table.name(),
        aor: &name,
        aor_uri: &aor_uri,
        gruus,
        expires_s,
        source: Source::from(context.origin.peer.ip()),
        flow: way,
    };
    let (now, limits) = (now(context), context.configuration.settings.reg_event.limits);
    let entry = table.lock(&name, now.s);
    let mut watchers = context.node.watchers.lock();
    let id = watchers.subscribe(now, new, &limits)?;
    let bindings = entry.valid().map(|(_, binding)| binding);
    let notify = watchers.notify(now, id, Some(bindings), &limits);
    drop(watchers);
    drop(entry);
    if let Some(notify) = notify {
        watchers::send(context, notify);
    }
    Ok(())
}

/// Refreshes or ends a subscription.
fn refresh(context: &mut Context, tag: &[u8], expires_s: u32, way: Way) -> Result<(), Refusal> {
    let node = Arc::clone(&context.node);
    let (now, limits) = (now(context), context.configuration.settings.reg_event.limits);
    let (domain, name) = node.watchers.lock().watched_by(tag).ok_or(Refused::Unknown)?;
    let domain = node.location.domain(&domain).ok_or(Refused::Unknown)?;
    let entry = domain.lock(&name, now.s);
    let mut watchers = node.watchers.lock();
    let refresh = Refresh { subscribe: context.message(), tag, expires_s, flow: way };
    let id = watchers.refresh(now, refresh)?;
    let bindings = entry.valid().map(|(_, binding)| binding);
    // None while another is on its way: this one follows it then.
    let notify = watchers.notify(now, id, Some(bindings), &limits);
    drop(watchers);
    drop(entry);
    if let Some(notify) = notify {
        watchers::send(context, notify);
    }
    Ok(())
}

/// How long the subscription will live: what was asked for, or the default, and no longer than allowed.
fn granted_s(context: &Context) -> Result<u32, Refusal> {
    let settings = &context.configuration.settings.reg_event;
    let asked = cseq::expires(context.message())
        .map_err(|_| Refusal::from(BadSubscribe::Header("Expires")))?
        .unwrap_or(settings.default_expires_s.max(settings.min_expires_s));
    // RFC 6665 section 4.2.1.1.
    if asked > 0 && asked < settings.min_expires_s {
        let line = format!("Min-Expires: {}\r\n", settings.min_expires_s);
        return Err(Refusal(423, "Interval Too Brief", line));
    }
    Ok(asked.min(settings.max_expires_s))
}

/// Whether nothing is insisted on that is not provided: no extension is (RFC 3261 section 8.2.2.3).
fn understood(message: &Message) -> Result<(), Refusal> {
    let tags: Vec<_> =
        validate::unsupported(message, Name::Require, &[]).map(String::from_utf8_lossy).collect();
    if tags.is_empty() {
        return Ok(());
    }
    Err(Refusal(420, "Bad Extension", format!("Unsupported: {}\r\n", tags.join(", "))))
}

/// Whether the subscriber takes the only kind of document that there is (RFC 3680 section 4.5).
fn acceptable(message: &Message) -> Result<(), Refusal> {
    if message.header(Name::Accept).is_none() {
        return Ok(());
    }
    let is_ours = |item: &[u8]| {
        let kind = item.split(|byte| *byte == b';').next().map(ascii::trim).unwrap_or_default();
        [CONTENT_TYPE, b"application/*", b"*/*"].iter().any(|ours| kind.eq_ignore_ascii_case(ours))
    };
    if list::items(message, Name::Accept).any(is_ours) {
        return Ok(());
    }
    let line = format!("Accept: {}\r\n", String::from_utf8_lossy(CONTENT_TYPE));
    Err(Refusal(406, "Not Acceptable", line))
}

/// The address of record as a URI, for the documents: as its GRUUs have it, without password, port and parameters. Where
/// addresses of record have no host, that of the subscriber's URI stands in.
fn uri_of_aor(name: &[u8], uri: &[u8], use_domain: bool) -> Option<Vec<u8>> {
    let given = Uri::parse(uri).ok()?;
    let at = name.iter().rposition(|byte| *byte == b'@').filter(|_| use_domain);
    let (user, host) = match at {
        Some(at) => (name.get(..at)?, name.get(at + 1..)?),
        None => (name, given.host),
    };
    let mut out = b"sip:".to_vec();
    escape::escape_user_into(user, &mut out);
    out.push(b'@');
    out.extend_from_slice(&host.to_ascii_lowercase());
    Some(out)
}
