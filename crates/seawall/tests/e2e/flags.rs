//! Every flag of `save()` and `lookup()`, new and old name, with SIPp as the client.

use crate::harness::scripts::{MODULES, registrar};
use crate::harness::server::temporary_folder;
use crate::harness::{Phone, Server, mi};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What a SIPp scenario is filled in with.
struct Scenario {
    name: &'static str,
    service: &'static str,
    values: Vec<(&'static str, String)>,
}

impl Scenario {
    fn new(name: &'static str, service: &'static str) -> Scenario {
        Scenario { name, service, values: Vec::new() }
    }

    fn with(mut self, key: &'static str, value: impl Into<String>) -> Scenario {
        self.values.push((key, value.into()));
        self
    }

    /// Starts SIPp with the scenario.
    fn start(&self, server: &Server) -> Running {
        let folder = temporary_folder();
        let template = format!("{}/tests/sipp/{}.xml", env!("CARGO_MANIFEST_DIR"), self.name);
        let mut text = std::fs::read_to_string(&template).unwrap();
        for (key, value) in &self.values {
            text = text.replace(&format!("@{key}@"), value);
        }
        let file = folder.join("scenario.xml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("sipp");
        command.arg("-sf").arg(&file).args(["-i", "127.0.0.1", "-nostdin", "-m", "1", "-s", self.service]);
        command
            .args(["-timeout", "20s", "-timeout_error", "-trace_err", "-error_file"])
            .arg(folder.join("errors"));
        command.arg(server.udp().to_string()).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().unwrap_or_else(|error| panic!("sipp: {error}; `cargo xtask setup` installs it"));
        Running { child, folder }
    }
}

struct Running {
    child: Child,
    folder: PathBuf,
}

impl Running {
    /// Waits for the end, which must be a good one.
    #[track_caller]
    fn must_pass(mut self, what: &str) {
        let status = self.child.wait().unwrap();
        let errors = std::fs::read_to_string(self.folder.join("errors")).unwrap_or_default();
        assert!(status.success(), "{what}: {status}\n{errors}");
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// A text as the value of an attribute.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// A pattern that no message has.
const NEVER: &str = "no such text";

/// Registers with these header lines; the answer has this status, this pattern, and not that one.
#[track_caller]
fn register(server: &Server, headers: &[&str], status: u16, has: &str, lacks: &str) {
    let lines: Vec<String> = headers.iter().map(|line| format!("      {line}")).collect();
    let scenario = Scenario::new("save", "alice")
        .with("HEADERS", lines.join("\n"))
        .with("AGENT", "SIPp")
        .with("ALLOW", "INVITE, ACK, BYE, CANCEL, MESSAGE")
        .with("STATUS", status.to_string())
        .with("HAS", attribute(has))
        .with("LACKS", attribute(lacks));
    scenario.start(server).must_pass(&format!("{headers:?}: {status} {has} / {lacks}"));
}

/// A server whose REGISTERs run through `save()` with these flags. Replies are in full, whoever asks.
fn saving(flags: &str) -> Server {
    let parameters = "modparam(\"registrar\", \"sock_hdr_name\", \"Sock-Info\")
        modparam(\"registrar\", \"max_reply_percent\", 0)";
    Server::start(&registrar(parameters, &format!("save(\"location\", \"{flags}\")")))
}

fn contacts(server: &Server) -> Vec<serde_json::Value> {
    mi::contacts(server, "alice@127.0.0.1")
}

const DESK: &str = "Contact: <sip:alice@192.0.2.1>";
const MOBILE: &str = "Contact: <sip:alice@192.0.2.2>";

#[test]
fn sipp_save_memory_only_and_no_reply() {
    for flags in ["memory-only", "m"] {
        let server = saving(flags);
        register(&server, &[DESK], 200, "Contact: <sip:alice@192.0.2.1>;expires=3600", NEVER);
        assert_eq!(contacts(&server).len(), 1, "{flags}");
    }
    for flags in ["no-reply", "r"] {
        let server = saving(flags);
        let silent = Scenario::new("save-silent", "alice").with("HEADERS", format!("      {DESK}"));
        silent.start(&server).must_pass(flags);
        assert_eq!(contacts(&server).len(), 1, "{flags}");
    }
}

#[test]
fn sipp_save_max_contacts_and_force_registration() {
    for flags in ["max-contacts=1", "c1"] {
        let server = saving(flags);
        register(&server, &[DESK], 200, "192.0.2.1", NEVER);
        register(&server, &[MOBILE], 503, "P-Registrar-Error: Too many registered contacts", "192.0.2.1>");
    }
    for flags in ["max-contacts=1,force-registration", "c1f"] {
        let server = saving(flags);
        register(&server, &[DESK], 200, "192.0.2.1", NEVER);
        register(&server, &[MOBILE], 200, "192.0.2.2", "192.0.2.1>");
        assert_eq!(contacts(&server)[0]["Contact"], "sip:alice@192.0.2.2");
    }
}

#[test]
fn sipp_save_matching_mode() {
    let stored = |flags: &str, second: &str| {
        let server = saving(flags);
        register(&server, &["Contact: <sip:alice@192.0.2.1;rinstance=7>"], 200, "rinstance=7", NEVER);
        register(&server, &[second], 200, "rinstance=7", NEVER);
        contacts(&server).len()
    };
    let (same, moved) =
        ("Contact: <sip:alice@192.0.2.1;rinstance=7>", "Contact: <sip:alice@192.0.2.9;rinstance=7>");
    // Every run of SIPp has a Call-ID of its own.
    assert_eq!((stored("matching-mode=0", same), stored("M0", same)), (1, 1));
    assert_eq!((stored("matching-mode=1", same), stored("M1", same)), (2, 2));
    assert_eq!((stored("matching-mode=<rinstance>", moved), stored("M<rinstance>", moved)), (1, 1));
    assert_eq!(stored("matching-mode=0", moved), 2);
}

#[test]
fn sipp_save_path_modes() {
    let path = "Path: <sip:edge@192.0.2.50;lr;received=sip:203.0.113.5:4444>";
    let supporting = [DESK, path, "Supported: path"];
    for flags in ["path-off", "p0"] {
        register(&saving(flags), &supporting, 200, "192.0.2.1", "Path:");
    }
    for flags in ["path-lazy", "p1"] {
        register(&saving(flags), &supporting, 200, "Path: <sip:edge@192.0.2.50;lr", NEVER);
        register(&saving(flags), &supporting[..2], 200, "192.0.2.1", "Path:");
    }
    for flags in ["path-strict", "p2"] {
        register(&saving(flags), &supporting, 200, "Path: <sip:edge@192.0.2.50;lr", NEVER);
        let server = saving(flags);
        register(&server, &supporting[..2], 420, "Unsupported: path", NEVER);
        assert!(contacts(&server).is_empty());
    }
    for flags in ["path-off,path-received", "p0v"] {
        let server = saving(flags);
        register(&server, &supporting, 200, "received=\"sip:203.0.113.5:4444\"", NEVER);
        assert_eq!(contacts(&server)[0]["Received"], "sip:203.0.113.5:4444");
    }
}

#[test]
fn sipp_save_only_request_contacts_and_socket_header() {
    for flags in ["only-request-contacts", "o"] {
        let server = saving(flags);
        register(&server, &[DESK], 200, "192.0.2.1", NEVER);
        register(&server, &[MOBILE], 200, "192.0.2.2", "192.0.2.1>");
        assert_eq!(contacts(&server).len(), 2);
    }
    for (flags, socket) in [("socket-header", "udp:192.0.2.7:5062"), ("s", "udp:192.0.2.7:5062"), ("", "")] {
        let server = saving(flags);
        register(&server, &[DESK, "Sock-Info: udp:192.0.2.7:5062"], 200, "192.0.2.1", NEVER);
        let own = format!("udp:{}", server.udp());
        let expected = if socket.is_empty() { own.as_str() } else { socket };
        assert_eq!(contacts(&server)[0]["Socket"], expected, "{flags}");
    }
}

#[test]
fn sipp_save_min_expires_and_max_expires() {
    for flags in ["min-expires=100", "e100"] {
        register(&saving(flags), &[DESK, "Expires: 70"], 200, "expires=100", NEVER);
    }
    for flags in ["max-expires=900", "E900"] {
        register(&saving(flags), &[DESK, "Expires: 7200"], 200, "expires=900", NEVER);
    }
    register(&saving("E900e30"), &[DESK, "Expires: 31"], 200, "expires=31", NEVER);
}

/// A server that looks up with these flags, relays, and answers by the return code.
fn looking(flags: &str, before: &str) -> Server {
    Server::start(&format!(
        "{MODULES}
         route {{
            if (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}
            {before}
            lookup(\"location\", \"{flags}\");
            switch ($rc) {{
                case -1: send_reply(404, \"Nobody\"); exit;
                case -2: send_reply(405, \"Not By Them\"); exit;
                case -3: send_reply(500, \"Failed\"); exit;
            }}
            t_relay();
         }}\n"
    ))
}

/// Two phones of bob, registered by SIPp: the first with q 0.9, its own User-Agent, and without MESSAGE.
fn phones(server: &Server) -> [Phone; 2] {
    let phones = [Phone::udp(server, "bob"), Phone::udp(server, "bob")];
    let described = [("0.9", "Desk Phone 2", "INVITE, ACK, BYE"), ("0.1", "Softclient", "INVITE, MESSAGE")];
    for (phone, (q, agent, allow)) in phones.iter().zip(described) {
        let scenario = Scenario::new("save", "bob")
            .with("HEADERS", format!("      Contact: <{}>;q={q}", phone.contact()))
            .with("AGENT", agent)
            .with("ALLOW", allow)
            .with("STATUS", "200")
            .with("HAS", "Contact:")
            .with("LACKS", NEVER);
        scenario.start(server).must_pass(agent);
    }
    phones
}

/// Sends a MESSAGE to bob; these phones get it, answer, and nobody else does.
#[track_caller]
fn reaches(server: &Server, phones: &mut [Phone; 2], expected: [bool; 2]) {
    let call = Scenario::new("lookup", "bob").with("STATUS", "202").start(server);
    let received: Vec<_> = phones
        .iter_mut()
        .zip(expected)
        .filter(|(_, expected)| *expected)
        .map(|(phone, _)| {
            let message = phone.expect_request("MESSAGE");
            (message.reply(202, "Accepted", "callee", "", ""), phone)
        })
        .collect();
    for (answer, phone) in received {
        phone.send(&answer);
    }
    call.must_pass(&format!("{expected:?}"));
    for (phone, _) in phones.iter_mut().zip(expected).filter(|(_, expected)| !expected) {
        phone.expect_silence();
    }
}

#[track_caller]
fn check_lookup(flags: &[&str], before: &str, expected: [bool; 2]) {
    for flags in flags {
        let server = looking(flags, before);
        reaches(&server, &mut phones(&server), expected);
    }
}

#[test]
fn sipp_lookup_forks_and_no_branches_does_not() {
    check_lookup(&["", "global", "g"], "", [true, true]);
    check_lookup(&["no-branches", "b"], "", [true, false]);
}

#[test]
fn sipp_lookup_filters_by_method_and_user_agent() {
    check_lookup(&["method-filtering", "m"], "", [false, true]);
    check_lookup(
        &["ua-filtering=/phone/i", "ua-filtering=/phone/,case-insensitive", "u/phone/i"],
        "",
        [true, false],
    );
    check_lookup(
        &["ua-filtering=/^(Soft|Web)client$/,extended-regexp", "u/^Softclient$/"],
        "",
        [false, true],
    );
}

#[test]
fn sipp_lookup_branches() {
    // Bob is in a branch; whom the Request-URI names is nobody.
    let before = "append_branch($ru); $rU = \"nobody\";";
    check_lookup(&["branch", "r"], before, [true, true]);
    // All contacts are branches, and the Request-URI is free for somebody else.
    for flags in ["to-branches-only", "B"] {
        let first = format!("lookup(\"location\", \"{flags}\"); $rU = \"carol\";");
        let server = looking("no-branches", &first);
        let mut carol = Phone::udp(&server, "carol");
        carol.register();
        let [mut desk, mut soft] = phones(&server);
        let call = Scenario::new("lookup", "bob").with("STATUS", "202").start(&server);
        for phone in [&mut desk, &mut soft, &mut carol] {
            let message = phone.expect_request("MESSAGE");
            phone.send(&message.reply(202, "Accepted", "callee", "", ""));
        }
        call.must_pass(flags);
    }
}

#[test]
fn sipp_lookup_latency_flags_find_what_was_never_pinged() {
    check_lookup(&["max-ping-latency=1000", "y1000", "sort-by-latency", "Y"], "", [true, true]);
}

#[test]
fn sipp_lookup_return_codes() {
    let answered = |flags: &str, before: &str, status: &str, registered: bool| {
        let server = looking(flags, before);
        let _phones = registered.then(|| phones(&server));
        Scenario::new("lookup", "bob").with("STATUS", status).start(&server).must_pass(status);
    };
    answered("", "", "404", false);
    answered("ua-filtering=/nothing like it/", "", "404", true);
    answered("method-filtering,ua-filtering=/Desk/", "", "405", true);
    answered("", "$ru = \"tel:+49301234\";", "500", true);
}
