//! The routing scripts that the tests start from. None names a socket: `-l` does.

use std::fs;

/// Modules that most scripts need, with MI on a port that the kernel chooses.
pub const MODULES: &str = r#"
log_level=3
xlog_level=3
stderror_enabled=yes
udp_workers=2
loadmodule "proto_udp.so"
loadmodule "proto_tcp.so"
loadmodule "signaling.so"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "maxfwd.so"
loadmodule "sipmsgops.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "acc.so"
loadmodule "httpd.so"
modparam("httpd", "port", 0)
loadmodule "mi_http.so"
"#;

/// Routing of a plain exchange: registrations, dialogs along recorded routes, look-up, relay.
pub const EXCHANGE: &str = r#"
route {
	if (!mf_process_maxfwd_header(10)) { send_reply(483, "Too Many Hops"); exit; }
	if (has_totag()) {
		if (is_method("ACK") && t_check_trans()) { t_relay(); exit; }
		if (!loose_route()) { if (!is_method("ACK")) send_reply(404, "Not Here"); exit; }
		t_relay();
		exit;
	}
	if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
	t_check_trans();
	if (is_method("REGISTER")) { save("location"); exit; }
	if (!is_method("MESSAGE")) record_route();
	if (!lookup("location")) { t_reply(404, "Not Found"); exit; }
	if (!t_relay()) send_reply(500, "Relay Failed");
}
"#;

/// A plain exchange.
pub fn exchange() -> String {
    format!("{MODULES}{EXCHANGE}")
}

/// A registrar whose REGISTERs run through `save` with these arguments and module parameters.
pub fn registrar(parameters: &str, save: &str) -> String {
    format!(
        "{MODULES}{parameters}\nroute {{ if (is_method(\"REGISTER\")) {{ {save}; exit; }} send_reply(405, \"No\"); }}\n"
    )
}

/// One of the examples that a user would start from, with its ports left to the kernel.
pub fn example(name: &str) -> String {
    let path = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(text.contains("127.0.0.1:5060"), "{name} has no socket to replace");
    text.replace("127.0.0.1:5060", "127.0.0.1:0").replace("\"port\", 8888", "\"port\", 0")
}
