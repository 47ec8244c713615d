//! `pn_process_purr()`: a request inside a dialog waits until the phone that it is for has woken (RFC 8599 §6; registrar
//! 1.5.1).

use std::sync::Arc;

use seawall_location::Domain;
use seawall_registrar::Push;
use seawall_registrar::push::read_purr;
use seawall_script::{Call, Flow};
use seawall_sip::name_addr::NameAddrs;
use seawall_sip::{Message, Name, Uri};

use super::Table;
use super::waking::{self, Asleep, Woken};
use crate::context::{Context, EventParameters};
use crate::event_routing::{MAX_SUBSCRIPTIONS, Wanted};
use crate::tm::inject;
use crate::waiting::{Await, Errand};

const NOT_LAUNCHED: Flow = Flow::Value(2);

/// How much longer than for the registration a script is parked, in milliseconds: it has to find its worker.
const MARGIN_MS: u64 = 500;

/// Routes that are looked at: our own, which `loose_route()` leaves in the message, and the one behind it.
const ROUTES: usize = 2;

pub(crate) fn process(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(domain) = call.prepared::<Table>(0).and_then(|table| table.domain(context)).cloned() else {
        return Flow::FALSE;
    };
    let configuration = Arc::clone(&context.configuration);
    let Some(push) = configuration.push().filter(|push| push.purr) else { return NOT_LAUNCHED };
    let id = purr(context, &domain);
    let Some(asleep) = asleep(context, &domain, push, id) else { return NOT_LAUNCHED };
    if context.node.subscriptions.len() >= MAX_SUBSCRIPTIONS {
        return Flow::FALSE;
    }
    let patience_ms = asleep.patience_ms();
    let wanted = Wanted::Phone(asleep.phone.clone());
    let begin = move |context: &mut Context| {
        let request = context.message().clone();
        match waking::attempt(context, &asleep, Some(&request)) {
            Woken::Waits(_) => false,
            Woken::Awake(event) => {
                goes_to(context, &event);
                true
            }
            Woken::Gone => true,
        }
    };
    let until_ms = context.now_ms + patience_ms;
    let errand = Errand::Event(Await { wanted, filters: Vec::new(), until_ms, begin: Some(Box::new(begin)) });
    context.wait_or_launch(call, errand, patience_ms + MARGIN_MS, |context, answer| {
        if let Some(event) = answer.and_then(|answer| answer.downcast::<EventParameters>().ok()) {
            goes_to(context, &event);
        }
        // One that has not registered in time is tried all the same (registrar 1.3.28).
        Flow::TRUE
    })
}

/// The contact id of the PURR in the Request-URI, or else in a Route.
fn purr(context: &Context, domain: &Domain) -> Option<u64> {
    let of_uri = |uri: &[u8]| {
        let uri = Uri::parse(uri).ok()?;
        uri.param(b"pn-purr")?.map(<[u8]>::to_vec)
    };
    let found = of_uri(context.request_uri()).or_else(|| {
        let routes = context.message().header_all(Name::Route).flat_map(|route| NameAddrs::new(route.value));
        routes.take(ROUTES).filter_map(Result::ok).find_map(|route| of_uri(route.uri))
    });
    read_purr(domain, &found.unwrap_or_default())
}

/// The phone with this contact id, if it is registered and asleep. It takes as long to find that there is none.
fn asleep(context: &Context, domain: &Arc<Domain>, push: &Arc<Push>, id: Option<u64>) -> Option<Asleep> {
    let mut aor = Vec::new();
    domain.find_contact(id.unwrap_or(0), context.now_s, &mut aor);
    let entry = domain.lock(&aor, context.now_s);
    let mut valid = entry.valid().map(|(_, binding)| binding);
    let binding = valid.find(|binding| Some(binding.numbers.contact_id) == id)?;
    push.is_asleep(&binding, context.now_s).then(|| Asleep::of(domain, push, &aor, &binding))
}

/// Sends the request to where the phone is now, unless it travels along a route or the script has decided.
fn goes_to(context: &mut Context, event: &EventParameters) {
    let configuration = Arc::clone(&context.configuration);
    let Some(branch) = inject::registered_branch(context, &configuration, event) else { return };
    let is_free = context.target.destination.is_empty() && context.target.path.is_empty();
    if !is_free || !branch.path.is_empty() || has_further_route(context) {
        return;
    }
    context.target.destination = if branch.destination.is_empty() { branch.uri } else { branch.destination };
    context.target.socket = context.target.socket.or(branch.socket);
}

/// Whether a Route leads on from here.
fn has_further_route(context: &Context) -> bool {
    let message: &Message = context.message();
    let routes = message.header_all(Name::Route).flat_map(|route| NameAddrs::new(route.value));
    let foreign = |uri: &Uri<'_>| !context.node.identity.is_own(uri.host, uri.port.unwrap_or(0));
    routes.take(ROUTES).filter_map(Result::ok).any(|route| route.parse_uri().is_ok_and(|uri| foreign(&uri)))
}
