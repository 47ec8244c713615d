//! The core's older functions that set the Request-URI and the next hop; scripts of today assign to `$ru` and `$du`.

use seawall_script::{Argument, ArgumentKind, Call, Flow, Function, Module, Routes};
use seawall_sip::Uri;
use seawall_sip::uri::split_host_port;

use crate::context::Context;
use crate::uris;

const ROUTES: Routes = Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::LOCAL);

/// A function that replaces a part of the Request-URI.
const fn setter(
    name: &'static str,
    argument: &'static [Argument],
    doc: &'static str,
    call: fn(&mut Context, &mut Call<'_, Context>) -> Flow,
) -> Function<Context> {
    Function::<Context>::new(name, argument, ROUTES, doc, call)
        .returns(&[(1, "It was set."), (-1, "It would not be a SIP URI.")])
}

/// A part of the core's table.
pub static MODULE: Module<Context> = Module {
    functions: &[
        setter(
            "seturi",
            &[Argument::new("uri", ArgumentKind::Str, "The URI.")],
            "Sets the Request-URI.",
            |context, call| {
                let uri = call.str(0).filter(|uri| is_uri(uri)).map(<[u8]>::to_vec);
                store(context, uri)
            },
        ),
        setter(
            "setuser",
            &[Argument::new("user", ArgumentKind::Str, "The user part.")],
            "Sets the user part of the Request-URI.",
            |context, call| {
                let uri = uris::with_user(context.request_uri(), call.str(0));
                store(context, uri)
            },
        ),
        setter(
            "sethost",
            &[Argument::new("host", ArgumentKind::Str, "The host.")],
            "Sets the host of the Request-URI.",
            |context, call| {
                let uri = uris::with_host(context.request_uri(), call.str(0).unwrap_or_default());
                store(context, uri)
            },
        ),
        setter(
            "setport",
            &[Argument::new("port", ArgumentKind::Int, "The port.")],
            "Sets the port of the Request-URI.",
            |context, call| {
                let port = call.int(0).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
                let uri = port.and_then(|port| uris::with_port(context.request_uri(), Some(port)));
                store(context, uri)
            },
        ),
        setter(
            "sethostport",
            &[Argument::new("hostport", ArgumentKind::Str, "The host, and the port behind a colon.")],
            "Sets the host and the port of the Request-URI.",
            |context, call| {
                let parts = split_host_port(call.str(0).unwrap_or_default()).ok();
                let uri = parts.and_then(|(host, port)| {
                    uris::with_port(&uris::with_host(context.request_uri(), host)?, port)
                });
                store(context, uri)
            },
        ),
        Function::<Context>::new(
            "revert_uri",
            &[],
            ROUTES,
            "Brings back the Request-URI as it came.",
            |context, _| {
                context.target.uri.clear();
                Flow::TRUE
            },
        ),
        setter(
            "setdsturi",
            &[Argument::new("uri", ArgumentKind::Str, "The URI.")],
            "Sets the next hop, $du.",
            |context, call| match call.str(0).filter(|uri| is_uri(uri)) {
                Some(uri) => {
                    context.target.destination = uri.to_vec();
                    Flow::TRUE
                }
                None => Flow::FALSE,
            },
        ),
        Function::<Context>::new("resetdsturi", &[], ROUTES, "Takes the next hop away.", |context, _| {
            context.target.destination.clear();
            Flow::TRUE
        }),
        Function::<Context>::new(
            "isdsturiset",
            &[],
            ROUTES,
            "Whether there is a next hop besides the Request-URI.",
            |context, _| Flow::bool(!context.target.destination.is_empty()),
        )
        .returns(&[(1, "There is."), (-1, "There is none.")]),
    ],
    ..Module::new("core", "https://docs.opensips.org/manual/devel/script-corefunctions")
};

/// Whether a text may become the Request-URI or the next hop.
fn is_uri(text: &[u8]) -> bool {
    let bare = !text.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'<' | b'>'));
    bare && uris::is_clean(text) && Uri::parse(text).is_ok_and(|uri| uri.is_sip())
}

fn store(context: &mut Context, uri: Option<Vec<u8>>) -> Flow {
    match uri {
        Some(uri) => {
            context.target.uri = uri;
            Flow::TRUE
        }
        None => Flow::FALSE,
    }
}
