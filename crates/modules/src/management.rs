//! Modules `httpd`, `mi_http`, `mi_fifo` and `mi_datagram`: where the management interface listens.

use seawall_script::{Module, Parameter, ParameterKind, Value};

use crate::context::Context;

const STREAMED: &str = "large answers are streamed, so there is no buffer to size";

/// The table of `httpd`.
pub static HTTPD: Module<Context> = Module {
    parameters: &[
        Parameter::new("ip", ParameterKind::Str, "127.0.0.1", "The address to listen on; * for all.")
            .section("1.4.1"),
        Parameter::new("port", ParameterKind::Int, "8888", "The port to listen on.").section("1.4.2"),
        Parameter::new("buf_size", ParameterKind::Int, "0", "The size of the answer buffer.")
            .unit("bytes")
            .section("1.4.3")
            .no_effect(STREAMED),
        Parameter::new("post_buf_size", ParameterKind::Int, "1024", "The size of the request buffer.")
            .unit("bytes")
            .section("1.4.4")
            .no_effect("requests are bounded at one mebibyte"),
        Parameter::new("receive_buf_size", ParameterKind::Int, "1024", "The size of the receive buffer.")
            .unit("bytes")
            .no_effect("requests are bounded at one mebibyte"),
        Parameter::new("max_connections", ParameterKind::Int, "1024", "How many clients at a time.")
            .no_effect("the number of connections is bounded already"),
        Parameter::new("conn_timeout", ParameterKind::Int, "30", "How long an idle client is kept.")
            .unit("s")
            .no_effect("idle clients are closed already"),
        Parameter::new("tls_cert_file", ParameterKind::Str, "", "The certificate of HTTPS.").check(no_tls),
        Parameter::new("tls_key_file", ParameterKind::Str, "", "The key of that certificate.").check(no_tls),
        Parameter::new("tls_ciphers", ParameterKind::Str, "", "The ciphers of HTTPS.").check(no_tls),
        Parameter::new("auth_realm", ParameterKind::Str, "OpenSIPS MI", "The realm of the login.")
            .no_effect("there is no login by name and password; `token` of mi_http protects the interface"),
        Parameter::new("auth_username", ParameterKind::Str, "", "The name to log in with.").check(no_login),
        Parameter::new("auth_password", ParameterKind::Str, "", "The password to log in with.")
            .check(no_login),
    ],
    ..Module::new("httpd", "https://docs.opensips.org/modules/devel/httpd/")
};

/// A script that asks for protection which is not there must not run without it.
fn no_tls(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if !text.is_empty() => Err("HTTPS is not provided yet".to_owned()),
        _ => Ok(()),
    }
}

fn no_login(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if !text.is_empty() => {
            Err("a login by name and password is not provided; set `token` of mi_http".to_owned())
        }
        _ => Ok(()),
    }
}

/// The table of `mi_http`.
pub static MI_HTTP: Module<Context> = Module {
    parameters: &[
        Parameter::new("root", ParameterKind::Str, "mi", "The path of the interface: POST /mi.")
            .section("1.3.1"),
        Parameter::new(
            "token",
            ParameterKind::Str,
            "",
            "The bearer token that a request must carry; none if empty. Not in OpenSIPS.",
        ),
        Parameter::new("trace_destination", ParameterKind::Str, "", "Where commands are traced to.")
            .no_effect("tracing is not provided"),
        Parameter::new("trace_bwlist", ParameterKind::Str, "", "Which commands are traced.")
            .no_effect("tracing is not provided"),
    ],
    requires: &["httpd"],
    ..Module::new("mi_http", "https://docs.opensips.org/modules/devel/mi_http/")
};

/// The table of `mi_fifo`.
pub static MI_FIFO: Module<Context> = Module {
    parameters: &[
        Parameter::new("fifo_name", ParameterKind::Str, "", "The file that commands are written to.")
            .section("1.3.1"),
        Parameter::new("fifo_mode", ParameterKind::Int, "0660", "The file's permissions.").section("1.3.2"),
        Parameter::new("fifo_group", ParameterKind::IntOrStr, "", "The file's group.").section("1.3.3"),
        Parameter::new("fifo_user", ParameterKind::IntOrStr, "", "The file's owner.").section("1.3.4"),
        Parameter::new("reply_dir", ParameterKind::Str, "/tmp/", "Where reply files are.").section("1.3.5"),
        Parameter::new("pretty_printing", ParameterKind::Int, "0", "Whether answers are indented.")
            .section("1.3.6"),
        Parameter::new("trace_destination", ParameterKind::Str, "", "Where commands are traced to.")
            .no_effect("tracing is not provided"),
        Parameter::new("trace_bwlist", ParameterKind::Str, "", "Which commands are traced.")
            .no_effect("tracing is not provided"),
    ],
    ..Module::new("mi_fifo", "https://docs.opensips.org/modules/devel/mi_fifo/")
};

/// The table of `mi_datagram`.
pub static MI_DATAGRAM: Module<Context> = Module {
    parameters: &[
        Parameter::new("socket_name", ParameterKind::Str, "", "udp:host:port, or the path of a Unix socket.")
            .section("1.3.1"),
        Parameter::new("children_count", ParameterKind::Int, "1", "How many processes answer.")
            .section("1.3.2")
            .no_effect("one task answers as fast as commands come"),
        Parameter::new("unix_socket_mode", ParameterKind::Int, "0660", "The Unix socket's permissions.")
            .section("1.3.3"),
        Parameter::new("unix_socket_group", ParameterKind::IntOrStr, "", "The Unix socket's group.")
            .section("1.3.4"),
        Parameter::new("unix_socket_user", ParameterKind::IntOrStr, "", "The Unix socket's owner.")
            .section("1.3.5"),
        Parameter::new(
            "socket_timeout",
            ParameterKind::Int,
            "2000",
            "How long an answer may wait to be sent.",
        )
        .unit("ms")
        .section("1.3.6"),
        Parameter::new("pretty_printing", ParameterKind::Int, "0", "Whether answers are indented.")
            .section("1.3.7"),
        Parameter::new("socket_buf_size", ParameterKind::Int, "65457", "The size of an answer buffer.")
            .unit("bytes")
            .no_effect("buffers size themselves"),
        Parameter::new("trace_destination", ParameterKind::Str, "", "Where commands are traced to.")
            .no_effect("tracing is not provided"),
        Parameter::new("trace_bwlist", ParameterKind::Str, "", "Which commands are traced.")
            .no_effect("tracing is not provided"),
    ],
    ..Module::new("mi_datagram", "https://docs.opensips.org/modules/devel/mi_datagram/")
};
