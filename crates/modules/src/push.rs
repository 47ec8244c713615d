//! Module `push`: waking phones through APNs, FCM, Web Push or a gateway (RFC 8599), without a script's help or by
//! `push_send()`. Not in OpenSIPS.
//!
//! Whoever raises `E_UL_CONTACT_REFRESH` calls [`wake`]; the senders of `seawall-push` do the rest, and a phone that its
//! service calls gone loses its binding.

mod link;
mod parameters;
mod script;

use seawall_script::{Argument, ArgumentKind, Function, Module, Routes, Statistic};

use crate::context::Context;

pub use link::{Link, PushedContact, Wake, wake};
pub use parameters::PushSettings;

const ROUTES: Routes = Routes::REQUEST
    .or(Routes::FAILURE)
    .or(Routes::LOCAL)
    .or(Routes::TIMER)
    .or(Routes::EVENT)
    .or(Routes::ERROR);

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: parameters::PARAMETERS,
    functions: &[
        Function::<Context>::new(
            "push_send",
            &[
                Argument::new(
                    "uri",
                    ArgumentKind::Str,
                    "The contact, with pn-provider, pn-param and pn-prid in its URI.",
                ),
                Argument::new(
                    "reason",
                    ArgumentKind::Str,
                    "Why: reg-refresh, or ini- or mid- and a method. Without it, ini- and the method of the request.",
                )
                .optional(),
                Argument::new(
                    "timeout",
                    ArgumentKind::Int,
                    "Seconds after which the push is of no use; the parameter timeout if it is left out.",
                )
                .optional(),
            ],
            ROUTES,
            "Pushes to a contact, and waits until its service has taken it. The caller is the one in From.",
            script::send,
        )
        .returns(&[
            (1, "The service took it."),
            (-1, "The URI does not say how to push, or the timeout is none."),
            (-2, "There is no sender for its pn-provider."),
            (-3, "The phone is gone for good."),
            (-4, "The service will not take it."),
            (-5, "The service did not take it in time, or too many pushes wait."),
        ])
        .asynchronous(),
    ],
    statistics: &[
        Statistic { name: "sent", doc: "Requests to push services, repeated ones included.", resettable: false },
        Statistic { name: "accepted", doc: "Pushes that a service took.", resettable: false },
        Statistic { name: "dead", doc: "Pushes to phones that are gone for good.", resettable: false },
        Statistic { name: "refused", doc: "Pushes that a service will never take.", resettable: false },
        Statistic { name: "failed", doc: "Pushes that a service did not take in time.", resettable: false },
        Statistic { name: "late", doc: "Pushes that had no turn before their deadline.", resettable: false },
        Statistic { name: "cancelled", doc: "Pushes whose caller gave up first.", resettable: false },
        Statistic {
            name: "latency_us",
            doc: "Time from the call to the answer, of all pushes that were taken, in microseconds.",
            resettable: false,
        },
        Statistic { name: "waiting", doc: "Pushes that wait for their turn or for an answer.", resettable: false },
    ],
    advise: Some(parameters::advise),
    ..Module::new("push", "https://www.rfc-editor.org/rfc/rfc8599")
};
