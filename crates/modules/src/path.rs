//! Module `path`: an edge proxy that puts itself into the Path of a REGISTER (RFC 3327), and finds the phone behind
//! itself again.

use std::net::SocketAddr;

use seawall_net::Transport;
use seawall_script::{
    Argument, ArgumentKind, Call, Diagnostics, Flow, Function, Module, Parameter, ParameterKind, Routes,
    Setup,
};
use seawall_sip::uri::escape;
use seawall_sip::{Params, Uri, ascii};

use crate::context::Context;
use crate::node::Socket;

/// What `add_path` or `add_path_received` asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathHeader {
    /// The user part of the URI; empty for none.
    user: Vec<u8>,
    /// Where the request came from, with `add_path_received`.
    received: Option<(SocketAddr, Transport)>,
}

/// Parameters of `path`.
#[derive(Debug, Clone, Copy, Default)]
pub struct PathSettings {
    /// `use_received`.
    pub use_received: bool,
    /// `enable_double_path`.
    pub double: bool,
}

const USER: &[Argument] =
    &[Argument::new("user", ArgumentKind::Str, "The user part of the URI, to know it again by.").optional()];

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[
        Parameter::new(
            "use_received",
            ParameterKind::Bool,
            "0",
            "Whether loose_route() sends a request to the `received` parameter of our own Route.",
        )
        .section("1.3.1"),
        Parameter::new(
            "enable_double_path",
            ParameterKind::Bool,
            "1",
            "Whether two Path headers are written when the transport or socket changes.",
        )
        .section("1.3.2"),
    ],
    functions: &[
        Function::<Context>::new(
            "add_path",
            USER,
            Routes::REQUEST,
            "Adds a Path with our address when the request is forwarded, so that calls to the phone come this way.",
            |context, call| add(context, call, false),
        )
        .section("1.4.1")
        .returns(ADDED),
        Function::<Context>::new(
            "add_path_received",
            USER,
            Routes::REQUEST,
            "The same, with the address that the request came from as the parameter `received`.",
            |context, call| add(context, call, true),
        )
        .section("1.4.2")
        .returns(ADDED),
    ],
    advise: Some(advise),
    ..Module::new("path", "https://docs.opensips.org/modules/devel/path/")
};

const ADDED: &[(i64, &str)] =
    &[(1, "It will be added."), (-1, "One will be added already, or the user cannot stand in a URI.")];

/// Received addresses are read by `loose_route()`, which is a function of another module.
fn advise(setup: &Setup<'_>, diagnostics: &mut Diagnostics) {
    let on = setup.parameters.all("path", "use_received").last();
    if let Some(on) = on.filter(|_| setup.parameters.bool("path", "use_received") && !setup.is_loaded("rr")) {
        diagnostics
            .warning(on.span, "`use_received` of path has no effect without the module rr")
            .help("loose_route() of rr reads the parameter: load rr");
    }
}

fn add(context: &mut Context, call: &mut Call<'_, Context>, received: bool) -> Flow {
    let user = call.str(0).unwrap_or_default();
    let is_user = user.is_empty()
        || Uri::parse(&[b"sip:", user, b"@h"].concat())
            .is_ok_and(|uri| uri.user == Some(user) && uri.host == b"h");
    if context.rare.path_header.is_some() || !is_user {
        return Flow::FALSE;
    }
    let source = (context.origin.peer, context.origin.transport);
    context.rare.path_header =
        Some(Box::new(PathHeader { user: user.to_vec(), received: received.then_some(source) }));
    Flow::TRUE
}

/// Appends the Path lines of a request that leaves from a socket: one, or two when it came in on another (the side
/// towards the registrar first, as it meets that first). They go in front of the Path of proxies before us
/// (RFC 3327 §5.2).
pub(crate) fn write_header(context: &Context, outgoing: &Socket, out: &mut Vec<u8>) {
    let Some(wanted) = context.rare.path_header.as_deref() else { return };
    let double = context.configuration.settings.path.double;
    let incoming =
        context.node.socket(context.origin.socket).filter(|socket| socket.id != outgoing.id && double);
    write_line(wanted, outgoing, incoming.is_some(), out);
    if let Some(incoming) = incoming {
        write_line(wanted, incoming, true, out);
    }
}

fn write_line(wanted: &PathHeader, socket: &Socket, double: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Path: <sip:");
    if !wanted.user.is_empty() {
        out.extend_from_slice(&wanted.user);
        out.push(b'@');
    }
    out.extend_from_slice(&socket.host);
    if socket.port != 5060 {
        out.push(b':');
        ascii::write_u32(out, u32::from(socket.port));
    }
    if socket.transport != Transport::Udp {
        out.extend_from_slice(b";transport=tcp");
    }
    if let Some((source, transport)) = wanted.received {
        let mut uri = Vec::with_capacity(64);
        uri.extend_from_slice(b"sip:");
        ascii::write_socket_address(&mut uri, source.ip().to_canonical(), source.port());
        if transport != Transport::Udp {
            uri.extend_from_slice(b";transport=tcp");
        }
        out.extend_from_slice(b";received=");
        escape::escape_param_into(&uri, out);
    }
    if double {
        out.extend_from_slice(b";r2=on");
    }
    out.extend_from_slice(b";lr>\r\n");
}

/// The URI that the `received` parameter of our own Route names: where the phone is that registered through us.
pub(crate) fn received_of(params: &[u8]) -> Option<Vec<u8>> {
    let mut uri = Vec::new();
    escape::unescape_into(Params::new(params).value(b"received")?, &mut uri).ok()?;
    Uri::parse(&uri).is_ok_and(|uri| uri.is_sip() && uri.host_ip().is_some()).then_some(uri)
}
