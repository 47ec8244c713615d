//! Modules `proto_udp` and `proto_tcp`: which transports the script may use, and how TCP connections are kept.

use seawall_script::{Module, Parameter, ParameterKind};

use crate::context::Context;

/// Why a parameter that tunes reading from a socket has no effect.
const BATCHES: &str = "messages are received in batches and buffers size themselves";

/// The table of `proto_udp`.
pub static UDP: Module<Context> = Module {
    parameters: &[Parameter::new(
        "udp_port",
        ParameterKind::Int,
        "5060",
        "The port of a socket that names none.",
    )
    .section("1.3.1")],
    ..Module::new("proto_udp", "https://docs.opensips.org/modules/devel/proto_udp/")
};

/// The table of `proto_tcp`.
pub static TCP: Module<Context> = Module {
    parameters: &[
        Parameter::new("tcp_port", ParameterKind::Int, "5060", "The port of a socket that names none.")
            .section("1.3.1"),
        Parameter::new("tcp_send_timeout", ParameterKind::Int, "100", "How long a blocked write may take.")
            .unit("ms")
            .no_effect("writing never blocks; what a slow reader may leave pending is bounded in bytes"),
        Parameter::new(
            "tcp_max_msg_chunks",
            ParameterKind::Int,
            "4",
            "In how many pieces a message may arrive.",
        )
        .no_effect("a message may come byte by byte; it is bounded in bytes and in time"),
        Parameter::new(
            "tcp_crlf_pingpong",
            ParameterKind::Int,
            "1",
            "Whether CRLF CRLF is answered (RFC 5626).",
        )
        .no_effect("a keep-alive is always answered"),
        Parameter::new("tcp_crlf_drop", ParameterKind::Int, "0", "Whether a single CRLF is dropped.")
            .no_effect("line breaks between messages are always skipped (RFC 3261 section 7.5)"),
        Parameter::new("tcp_async", ParameterKind::Int, "1", "Whether connecting and writing wait.")
            .no_effect("nothing ever waits"),
        Parameter::new(
            "tcp_async_max_postponed_chunks",
            ParameterKind::Int,
            "32",
            "Writes kept for a slow peer.",
        )
        .no_effect(BATCHES),
        Parameter::new(
            "tcp_async_local_connect_timeout",
            ParameterKind::Int,
            "100",
            "How long to wait for a connection.",
        )
        .unit("ms")
        .no_effect("connecting never holds up a worker"),
        Parameter::new(
            "tcp_async_local_write_timeout",
            ParameterKind::Int,
            "10",
            "How long to wait for a write.",
        )
        .unit("ms")
        .no_effect("writing never holds up a worker"),
        Parameter::new(
            "tcp_parallel_handling",
            ParameterKind::Int,
            "0",
            "Whether messages of a connection overlap.",
        )
        .no_effect("messages of one connection are handled in order"),
        Parameter::new("trace_destination", ParameterKind::Str, "", "Where to trace connections to.")
            .no_effect("tracing is not provided"),
        Parameter::new("trace_on", ParameterKind::Int, "0", "Whether connections are traced.")
            .no_effect("tracing is not provided"),
    ],
    ..Module::new("proto_tcp", "https://docs.opensips.org/modules/devel/proto_tcp/")
};
