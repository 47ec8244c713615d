//! Module `event_routing`: scripts that wait for events.

mod pattern;
mod subscriptions;

use std::sync::Arc;

use seawall_script::{Argument, ArgumentKind, Call, Flow, Function, Mode, Module, RouteKind, Routes, Value};

use crate::context::{Context, EventParameters};
use crate::waiting::{Await, Errand};

pub use pattern::Pattern;
pub use subscriptions::{
    Delivery, Filter, MAX_SUBSCRIPTIONS, Notify, Phone, Subscription, Subscriptions, Then, Wanted,
};

/// The longest time that anybody waits, in seconds.
const MOST_S: i64 = 86_400;

/// How much longer than the event a script is parked, in milliseconds: the event has to find its worker.
const MARGIN_MS: u64 = 500;

const EVENT: Argument = Argument::new("event", ArgumentKind::Str, "The name of the event.");
const FILTER: Argument = Argument::new(
    "filter",
    ArgumentKind::ReadVariable,
    "A variable whose values are conditions, each \"attribute=pattern\"; all have to hold. A pattern may have *, ? and [...].",
);
const TIMEOUT: Argument =
    Argument::new("timeout", ArgumentKind::Int, "For how many seconds it is waited, 1 to 86400.");

const WAITING: Routes = Routes::REQUEST
    .or(Routes::FAILURE)
    .or(Routes::LOCAL)
    .or(Routes::TIMER)
    .or(Routes::EVENT)
    .or(Routes::ERROR);

/// The module's table.
pub static MODULE: Module<Context> = Module {
    functions: &[
        Function::<Context>::new(
            "notify_on_event",
            &[
                EVENT,
                FILTER,
                Argument::new(
                    "route",
                    ArgumentKind::Route(RouteKind::Request),
                    "The route that runs each time, with the attributes of the event as $avp values.",
                ),
                TIMEOUT,
            ],
            Routes::REQUEST,
            "Runs a route for each of the events to come. The route inherits nothing but the transaction, which \
             t_inject_branches can add branches to.",
            notify_on_event,
        )
        .returns(&[
            (1, "It is waited for."),
            (-1, "A condition cannot be read, the timeout is none, or too many wait already."),
        ]),
        Function::<Context>::new(
            "wait_for_event",
            &[EVENT, FILTER, TIMEOUT],
            WAITING,
            "Waits for an event. The script is parked meanwhile; then the attributes of the event are $avp values.",
            wait_for_event,
        )
        .returns(&[
            (1, "The event has come."),
            (-1, "A condition cannot be read, the timeout is none, or too many wait already."),
            (-2, "It has not come in time."),
        ])
        .asynchronous(),
    ],
    requires: &["tm"],
    ..Module::new("event_routing", "https://docs.opensips.org/modules/devel/event_routing/")
};

/// What a script says about the event that it waits for: the name, the conditions, and for how many milliseconds.
fn asked(
    context: &Context,
    call: &Call<'_, Context>,
    timeout: usize,
) -> Option<(Box<str>, Vec<Filter>, u64)> {
    let name = std::str::from_utf8(call.str(0)?).ok()?;
    let texts = call.read_all(context, 1);
    let filters = texts.into_iter().filter(|text| !text.is_null());
    let filters = filters.map(|text| text.into_bytes().and_then(|text| Filter::parse(&text)));
    let filters: Option<Vec<Filter>> = filters.collect();
    let Some(filters) = filters else {
        tracing::error!("line {}: a filter is written attribute=pattern", call.line());
        return None;
    };
    let timeout_s = call.int(timeout).filter(|seconds| (1..=MOST_S).contains(seconds))?;
    Some((name.into(), filters, timeout_s.unsigned_abs() * 1000))
}

fn notify_on_event(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let (Some((name, filters, timeout_ms)), Some(route)) = (asked(context, call, 3), call.route(2)) else {
        return Flow::FALSE;
    };
    let notify = Notify {
        route,
        configuration: Arc::clone(&context.configuration),
        transaction: context.transaction.clone(),
    };
    let subscription = Subscription {
        wanted: Wanted::Named(name),
        filters,
        until_ms: context.now_ms + timeout_ms,
        then: Then::Route(Arc::new(notify)),
    };
    Flow::bool(context.node.subscriptions.add(subscription).is_some())
}

fn wait_for_event(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some((name, filters, mut timeout_ms)) = asked(context, call, 2) else { return Flow::FALSE };
    if let Mode::Async { timeout_s: Some(timeout_s) } = call.mode() {
        timeout_ms = timeout_ms.min(u64::try_from(timeout_s).unwrap_or(0).saturating_mul(1000));
    }
    let errand = Errand::Event(Await {
        wanted: Wanted::Named(name),
        filters,
        until_ms: context.now_ms + timeout_ms,
        begin: None,
    });
    context.wait_or_launch(call, errand, timeout_ms + MARGIN_MS, |context, answer| {
        match answer.and_then(|answer| answer.downcast::<EventParameters>().ok()) {
            Some(event) => {
                expose(context, &event);
                Flow::TRUE
            }
            None => Flow::Value(-2),
        }
    })
}

/// Gives a script the attributes of an event as `$avp` values.
pub fn expose(context: &mut Context, event: &EventParameters) {
    for (name, value) in event.values.iter().filter(|(name, _)| !name.is_empty()) {
        context.rare.avps.remove_all(name.as_bytes());
        if *value != Value::Null {
            context.rare.avps.add(name.as_bytes(), value.clone());
        }
    }
}
