//! Modules `httpd`, `mi_http`, `mi_fifo`, `mi_datagram`, `proto_udp` and `proto_tcp`, which have parameters alone.

use crate::harness::{check_parameters, refused, row};

const INT: &str = "takes an integer";
const STR: &str = "takes a string";

#[test]
fn the_parameters_of_httpd_are_those_of_the_document() {
    check_parameters(
        "httpd",
        &[
            row("ip", "127.0.0.1", "\"*\"", "1", STR),
            row("port", "8888", "9999", "\"http\"", INT),
            row("buf_size", "0", "8192", "\"x\"", INT),
            row("post_buf_size", "1024", "4096", "\"x\"", INT),
            row("receive_buf_size", "1024", "4096", "\"x\"", INT),
            row("max_connections", "1024", "10", "\"x\"", INT),
            row("conn_timeout", "30", "60", "\"x\"", INT),
            row("tls_cert_file", "", "\"\"", "\"/etc/cert.pem\"", "HTTPS is not provided yet"),
            row("tls_key_file", "", "\"\"", "\"/etc/key.pem\"", "HTTPS is not provided yet"),
            row("tls_ciphers", "", "\"\"", "\"SECURE256\"", "HTTPS is not provided yet"),
            row("auth_realm", "OpenSIPS MI", "\"x\"", "1", STR),
            // Running without the login that the script asks for would open the interface to everybody.
            row("auth_username", "", "\"\"", "\"admin\"", "set `token` of mi_http"),
            row("auth_password", "", "\"\"", "\"secret\"", "set `token` of mi_http"),
        ],
    );
}

#[test]
fn the_parameters_of_mi_http_are_those_of_the_document() {
    check_parameters(
        "mi_http",
        &[
            row("root", "mi", "\"opensips_mi\"", "1", STR),
            row("token", "", "\"secret\"", "1", STR),
            row("trace_destination", "", "\"hep\"", "1", STR),
            row("trace_bwlist", "", "\"b: ps\"", "1", STR),
        ],
    );
}

#[test]
fn the_parameters_of_mi_fifo_are_those_of_the_document() {
    check_parameters(
        "mi_fifo",
        &[
            // The document's "/tmp/opensips_fifo" would open one in a folder that everybody writes to, unasked.
            row("fifo_name", "", "\"/run/fifo\"", "1", STR),
            row("fifo_mode", "0660", "0600", "\"x\"", INT),
            row("fifo_group", "", "\"root\"", "root", INT),
            row("fifo_user", "", "0", "root", INT),
            row("reply_dir", "/tmp/", "\"/run/\"", "1", STR),
            row("pretty_printing", "0", "1", "\"x\"", INT),
            row("trace_destination", "", "\"hep\"", "1", STR),
            row("trace_bwlist", "", "\"b: ps\"", "1", STR),
        ],
    );
}

#[test]
fn the_parameters_of_mi_datagram_are_those_of_the_document() {
    check_parameters(
        "mi_datagram",
        &[
            row("socket_name", "", "\"udp:127.0.0.1:8080\"", "1", STR),
            row("children_count", "1", "3", "\"x\"", INT),
            row("unix_socket_mode", "0660", "0600", "\"x\"", INT),
            row("unix_socket_group", "", "\"root\"", "root", INT),
            row("unix_socket_user", "", "0", "root", INT),
            row("socket_timeout", "2000", "1000", "\"x\"", INT),
            row("pretty_printing", "0", "1", "\"x\"", INT),
            row("socket_buf_size", "65457", "8192", "\"x\"", INT),
            row("trace_destination", "", "\"hep\"", "1", STR),
            row("trace_bwlist", "", "\"b: ps\"", "1", STR),
        ],
    );
}

#[test]
fn the_parameters_of_the_transports_are_those_of_the_documents() {
    check_parameters("proto_udp", &[row("udp_port", "5060", "5065", "\"sip\"", INT)]);
    check_parameters(
        "proto_tcp",
        &[
            row("tcp_port", "5060", "5065", "\"sip\"", INT),
            row("tcp_send_timeout", "100", "200", "\"x\"", INT),
            row("tcp_max_msg_chunks", "4", "8", "\"x\"", INT),
            row("tcp_crlf_pingpong", "1", "0", "\"x\"", INT),
            row("tcp_crlf_drop", "0", "1", "\"x\"", INT),
            row("tcp_async", "1", "0", "\"x\"", INT),
            row("tcp_async_max_postponed_chunks", "32", "16", "\"x\"", INT),
            row("tcp_async_local_connect_timeout", "100", "200", "\"x\"", INT),
            row("tcp_async_local_write_timeout", "10", "20", "\"x\"", INT),
            row("tcp_parallel_handling", "0", "1", "\"x\"", INT),
            row("trace_destination", "", "\"hep\"", "1", STR),
            row("trace_on", "0", "1", "\"x\"", INT),
        ],
    );
}

#[test]
fn mi_http_needs_httpd() {
    refused("loadmodule §\"mi_http.so\"\nroute { exit; }\n", &["httpd"]);
}

#[test]
fn an_unknown_parameter_or_module_is_refused_with_the_nearest_one() {
    refused(
        "loadmodule \"httpd.so\"\nmodparam(\"httpd\", §\"prt\", 1)\nroute { exit; }\n",
        &["no parameter `prt`", "`port`"],
    );
    refused("loadmodule §\"htpd.so\"\nroute { exit; }\n", &["there is no module `htpd`", "httpd.so"]);
    refused(
        "modparam(\"§httpd\", \"port\", 1)\nroute { exit; }\n",
        &["`httpd` is not loaded", "loadmodule \"httpd.so\""],
    );
    refused(
        "loadmodule §\"proto_wss.so\"\nroute { exit; }\n",
        &["`proto_wss` is not provided by this version"],
    );
}
