//! Module `rr`: staying in the path of a dialog (Record-Route) and following it (Route).

use seawall_script::{
    Argument, ArgumentKind, Call, Flow, Function, Module, Parameter, ParameterKind, Prepared, Routes, Value,
    Variable,
};
use seawall_sip::{Name, NameAddr, Uri};
use seawall_transaction::proxy::route::{self, RouteKind};

use crate::context::Context;
use crate::node::Socket;
use crate::uris;

/// What `record_route` asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordRoute {
    /// Whether `record_route` or its preset form was called; `add_rr_param` alone adds nothing.
    pub decided: bool,
    /// Parameters of the URI, each with its `;`.
    pub params: Vec<u8>,
    /// Host and port given by `record_route_preset`; empty for our own.
    pub preset: Vec<u8>,
    /// The second one of a double Record-Route given by `record_route_preset`: the side on which the request came.
    pub preset_second: Vec<u8>,
}

/// What `loose_route` found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LooseRoute {
    /// Whether it ran and a Route drives the request.
    pub driven: bool,
    /// The parameters of our own URI.
    pub params: Vec<u8>,
}

const RECORD: Routes = Routes::REQUEST.or(Routes::BRANCH).or(Routes::FAILURE);

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[
        Parameter::new(
            "append_fromtag",
            ParameterKind::Bool,
            "1",
            "Whether the From tag goes into the Record-Route, so that is_direction works.",
        )
        .section("1.4.1"),
        Parameter::new(
            "enable_double_rr",
            ParameterKind::Bool,
            "1",
            "Whether two Record-Routes are written when the transport or socket changes.",
        )
        .section("1.4.2"),
        Parameter::new(
            "add_username",
            ParameterKind::Bool,
            "0",
            "Whether the user of the Request-URI goes into the Record-Route.",
        )
        .section("1.4.3"),
        Parameter::new(
            "enable_socket_mismatch_warning",
            ParameterKind::Bool,
            "1",
            "Whether it is logged that a Route names another socket than the one that a request came to.",
        )
        .no_effect("such a request is routed as it says, and nothing is logged"),
    ],
    variables: &[Variable::<Context>::new(
        "rr_params",
        "The parameters of our own Route, once loose_route has found it.",
        |context, _| {
            let params = &context.rare.loose_route.params;
            Value::optional(Some(&**params).filter(|params| !params.is_empty()))
        },
    )],
    functions: &[
        Function::<Context>::new(
            "loose_route",
            &[],
            Routes::REQUEST,
            "Follows the Route headers of a request.",
            loose_route,
        )
        .section("1.5.1")
        .returns(&[
            (1, "A Route says where the request goes."),
            (-1, "There is no Route, or it cannot be read, or that of a first request names us alone."),
        ]),
        Function::<Context>::new(
            "record_route",
            &[Argument::new("parameters", ArgumentKind::Str, "Parameters for the URI, \";nat=yes\".")
                .optional()],
            RECORD,
            "Adds a Record-Route when the request is forwarded.",
            record_route,
        )
        .section("1.5.2")
        .returns(&[
            (1, "It will be added."),
            (-1, "One is there already, or the parameters are not usable."),
        ]),
        Function::<Context>::new(
            "record_route_preset",
            &[
                Argument::new("host", ArgumentKind::Str, "Host, port and parameters of the URI; with a second one, of the side on which the request leaves."),
                Argument::new("second", ArgumentKind::Str, "The same for the side on which it came.").optional(),
            ],
            RECORD,
            "Adds a Record-Route with a given host when the request is forwarded.",
            record_route_preset,
        )
        .section("1.5.3")
        .returns(&[(1, "It will be added."), (-1, "One is there already, or the host is not usable.")]),
        Function::<Context>::new(
            "add_rr_param",
            &[Argument::new("parameters", ArgumentKind::Str, "Parameters for the URI, \";nat=yes\".")],
            RECORD,
            "Adds parameters to the Record-Route.",
            add_parameter,
        )
        .section("1.5.4")
        .returns(&[(1, "They will be added."), (-1, "They are not usable.")]),
        Function::<Context>::new(
            "check_route_param",
            &[Argument::new("expression", ArgumentKind::Regex, "A regular expression.")],
            Routes::REQUEST.or(Routes::BRANCH).or(Routes::FAILURE).or(Routes::ONREPLY).or(Routes::LOCAL),
            "Whether the parameters of our own Route match.",
            check_parameter,
        )
        .section("1.5.5")
        .returns(&[(1, "They match."), (-1, "They do not, or loose_route did not find our Route.")]),
        Function::<Context>::new(
            "is_direction",
            &[Argument::new("direction", ArgumentKind::StaticStr, "\"upstream\" or \"downstream\".")],
            Routes::REQUEST.or(Routes::BRANCH).or(Routes::FAILURE).or(Routes::ONREPLY),
            "Whether a request inside a dialog goes the way of the first request, or against it.",
            is_direction,
        )
        .section("1.5.6")
        .returns(&[(1, "It goes that way."), (-1, "It does not, or the way cannot be told.")])
        .prepare(check_direction),
    ],
    ..Module::new("rr", "https://docs.opensips.org/modules/devel/rr/")
};

fn loose_route(context: &mut Context, _: &mut Call<'_, Context>) -> Flow {
    if context.message().header(Name::Route).is_none() {
        return Flow::FALSE;
    }
    let node = std::sync::Arc::clone(&context.node);
    let is_own = |uri: &Uri<'_>| node.identity.is_own(uri.host, uri.port.unwrap_or(default_port(uri)));
    let Ok(routing) = route::preprocess(context.packet.message(), is_own) else { return Flow::FALSE };
    if routing.kind == RouteKind::None {
        return Flow::FALSE;
    }
    let message = context.packet.message();
    routing.apply(message, &mut context.rare.edits);
    let params = routing.own_params(message).as_bytes().to_vec();
    // Of a double Record-Route the second names the side on which the request leaves; of a single one the only.
    let side = routing.own_second.or(routing.own).and_then(|span| Uri::parse(message.slice(span)).ok());
    let socket = side.and_then(|uri| socket_of(&node.sockets, &uri)).map(|socket| socket.id);
    // Behind our own Path stands the phone that registered through us.
    let uses_received = context.configuration.settings.path.use_received && routing.next_hop.is_none();
    let received = if uses_received { crate::path::received_of(&params) } else { None };
    if routing.own_second.is_some() || received.is_some() {
        context.target.socket = socket;
    }
    let ends_here = routing.next_hop.is_none() && routing.request_uri.is_none() && received.is_none();
    if routing.preloaded && ends_here {
        // A first request whose Route names nobody but us: the client uses us as its outbound proxy. The
        // Request-URI alone says where it goes.
        return Flow::FALSE;
    }
    if let Some(next) = routing.next_hop.map(|span| message.slice(span).to_vec()).or(received) {
        context.target.destination = next;
    }
    if let Some(uri) = routing.request_uri.map(|span| message.slice(span).to_vec()) {
        context.target.uri = uri;
    }
    context.rare.loose_route = LooseRoute { driven: true, params };
    Flow::TRUE
}

fn default_port(uri: &Uri<'_>) -> u16 {
    if uri.scheme == seawall_sip::uri::Scheme::Sips { 5061 } else { 5060 }
}

/// The socket that a URI of ours names.
fn socket_of<'a>(sockets: &'a [Socket], uri: &Uri<'_>) -> Option<&'a Socket> {
    let transport = uri.transport().unwrap_or(b"udp");
    let port = uri.port.unwrap_or(default_port(uri));
    sockets.iter().find(|socket| {
        socket.transport.to_string().as_bytes().eq_ignore_ascii_case(transport)
            && socket.port == port
            && (socket.host.eq_ignore_ascii_case(uri.host) || uri.host_ip() == Some(socket.address.ip()))
    })
}

fn record_route(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let params = call.str(0).unwrap_or_default();
    if context.rare.record_route.as_ref().is_some_and(|wanted| wanted.decided) || !is_parameters(params) {
        return Flow::FALSE;
    }
    let wanted = context.rare.record_route.get_or_insert_default();
    wanted.decided = true;
    push_parameters(&mut wanted.params, params);
    Flow::TRUE
}

fn record_route_preset(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let host = call.str(0).unwrap_or_default();
    let second = call.str(1).unwrap_or_default();
    let usable = |text: &[u8]| Uri::parse(&[b"sip:", text].concat()).is_ok_and(|uri| uri.headers.is_none());
    if context.rare.record_route.as_ref().is_some_and(|wanted| wanted.decided)
        || !usable(host)
        || (!second.is_empty() && !usable(second))
    {
        return Flow::FALSE;
    }
    let (preset, preset_second) = (host.to_vec(), second.to_vec());
    let wanted = context.rare.record_route.get_or_insert_default();
    wanted.decided = true;
    wanted.preset = preset;
    wanted.preset_second = preset_second;
    Flow::TRUE
}

fn add_parameter(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let params = call.str(0).unwrap_or_default();
    if params.is_empty() || !is_parameters(params) {
        return Flow::FALSE;
    }
    push_parameters(&mut context.rare.record_route.get_or_insert_default().params, params);
    Flow::TRUE
}

/// Whether a text can stand behind a URI inside `<>` as its parameters.
fn is_parameters(text: &[u8]) -> bool {
    uris::is_clean(text) && !text.iter().any(|byte| matches!(byte, b'<' | b'>' | b'?' | b'"' | b' ' | b','))
}

fn push_parameters(params: &mut Vec<u8>, text: &[u8]) {
    if !text.is_empty() && !text.starts_with(b";") {
        params.push(b';');
    }
    params.extend_from_slice(text);
}

fn check_parameter(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(regex) = call.regex(0) else { return Flow::FALSE };
    Flow::bool(context.rare.loose_route.driven && regex.is_match(&context.rare.loose_route.params))
}

fn check_direction(_: usize, value: &Value) -> Result<Prepared, String> {
    match value {
        Value::Str(text) if **text == *b"downstream" || **text == *b"upstream" => Ok(Prepared::new(())),
        _ => Err("the direction is \"downstream\" or \"upstream\"".to_owned()),
    }
}

fn is_direction(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let upstream = call.str(0) == Some(b"upstream");
    match is_upstream(context) {
        Some(found) => Flow::bool(found == upstream),
        None => Flow::FALSE,
    }
}

/// Whether the request goes against the direction of the one that made the dialog: its From tag is not the one
/// that the Record-Route carries. None when that cannot be told.
#[must_use]
pub fn is_upstream(context: &Context) -> Option<bool> {
    if !context.rare.loose_route.driven {
        return None;
    }
    let params = seawall_sip::Params::new(&context.rare.loose_route.params);
    let recorded = params.value(b"ftag")?;
    let from = NameAddr::parse(context.message().value(Name::From)?).ok()?;
    Some(from.tag()? != recorded)
}
