//! The management interface: JSON-RPC over HTTP, FIFO and datagram, and the metrics page.

use crate::harness::mi::{call, contacts, error, metrics, post, result, statistic};
use crate::harness::scripts::{EXCHANGE, MODULES, exchange};
use crate::harness::server::temporary_folder;
use crate::harness::{PATIENCE, Phone, Server};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

#[test]
fn an_event_is_raised_by_a_command_and_its_route_runs() {
    let route = "event_route[E_OURS] { xlog(\"L_ERR\", \"ours [$param(1)] [$param(ip)]\\n\"); }\n";
    let server = Server::start(&format!("{}{route}", exchange()));
    let named = json!({ "event": "E_OURS", "params": { "ip": "192.0.2.1" } });
    assert_eq!(result(&server, "evi:raise", named), json!("OK"));
    server.wait_for_log("ours [192.0.2.1] [192.0.2.1]");
    result(&server, "raise_event", json!(["E_OURS", "one", "two"]));
    server.wait_for_log("ours [one] [<null>]");
    assert_eq!(error(&server, "evi:raise", json!(["no name"])), 400);
}

#[test]
fn a_dump_shows_every_binding() {
    let server = Server::start(&exchange());
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::tcp(&server, "bob"));
    alice.ask(&alice.register_for(600).with("User-Agent: Test \"Phone\"/1.0"));
    bob.register();
    let dump = result(&server, "ul_dump", json!({}));
    let domain = &dump["Domains"][0];
    assert_eq!(domain["name"], "location");
    let records = domain["AORs"].as_array().unwrap();
    assert_eq!(records.len(), 2);
    let record = records.iter().find(|record| record["AOR"] == "alice@127.0.0.1").unwrap();
    let contact = &record["Contacts"][0];
    assert_eq!(contact["Contact"], alice.contact());
    assert_eq!(contact["User-agent"], "Test \"Phone\"/1.0");
    assert_eq!(contact["Cseq"], 1);
    assert!(contact["ContactID"].is_string());
    assert!(contact["Expires"].as_i64().unwrap() > 590);
    assert_eq!(contact["Socket"], format!("udp:{}", server.udp()));
    assert!(contact.get("Path").is_none());
}

#[test]
fn contacts_are_shown_removed_and_missed() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    alice.ask(&alice.register_request().with("Contact: <sip:a@192.0.2.1>, <sip:a@192.0.2.2>"));
    assert_eq!(contacts(&server, "alice@127.0.0.1").len(), 2);
    let one = json!({"table_name": "location", "aor": "alice@127.0.0.1", "contact": "sip:a@192.0.2.1"});
    result(&server, "ul_rm_contact", one.clone());
    assert_eq!(contacts(&server, "alice@127.0.0.1").len(), 1);
    assert_eq!(error(&server, "ul_rm_contact", one), 404);
    let all = json!({"table_name": "location", "aor": "alice@127.0.0.1"});
    result(&server, "ul_rm", all.clone());
    assert_eq!(error(&server, "ul_show_contact", all), 404);
}

#[test]
fn a_contact_added_by_hand_is_called() {
    let server = Server::start(&exchange());
    let (mut alice, mut bob) = (Phone::udp(&server, "alice"), Phone::udp(&server, "bob"));
    result(
        &server,
        "ul_add",
        json!({"table_name": "location", "aor": "bob@127.0.0.1", "contact": bob.contact(), "expires": 0, "q": "1.0",
               "unused": 0, "flags": 0, "cflags": "", "methods": 8191}),
    );
    assert_eq!(contacts(&server, "bob@127.0.0.1")[0]["Expires"], "permanent");
    alice.send(&alice.request("MESSAGE", &bob.aor()).bytes());
    bob.expect_request("MESSAGE");
}

#[test]
fn statistics_count_list_and_reset() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    assert_eq!(statistic(&server, "registrar:accepted_regs"), 1);
    assert_eq!(statistic(&server, "usrloc:registered_users"), 1);
    let group = result(&server, "get_statistics", json!({"statistics": ["registrar:"]}));
    assert_eq!(group["registrar:rejected_regs"], 0);
    let list = result(&server, "list_statistics", json!({}));
    assert!(list.to_string().contains("accepted_regs"));
    result(&server, "reset_statistics", json!({"statistics": ["registrar:accepted_regs"]}));
    assert_eq!(statistic(&server, "registrar:accepted_regs"), 0);
}

#[test]
fn the_server_tells_about_itself() {
    let server = Server::start(&exchange());
    assert!(
        result(&server, "version", json!({}))["Server"].as_str().unwrap().to_lowercase().contains("seawall")
    );
    assert!(result(&server, "uptime", json!({}))["Up time"].as_str().unwrap().ends_with("[sec]"));
    let which = result(&server, "which", json!({}));
    for name in [
        "ul_dump",
        "ul_show_contact",
        "ul_rm",
        "ul_rm_contact",
        "ul_add",
        "ul_flush",
        "get_statistics",
        "list_statistics",
        "reset_statistics",
        "uptime",
        "version",
        "which",
        "log_level",
    ] {
        assert!(which.as_array().unwrap().contains(&Value::from(name)), "{name} in {which}");
    }
    result(&server, "log_level", json!({"level": 4}));
    assert_eq!(result(&server, "log_level", json!({}))["Log level"], 4);
    result(&server, "ul_flush", json!({}));
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_json_rpc_terms() {
    let server = Server::start(&exchange());
    assert_eq!(error(&server, "no_such_command", json!({})), -32601);
    assert_eq!(error(&server, "ul_show_contact", json!({"table_name": "location"})), -32602);
    let code = |body: &str| -> Value {
        let (_, text) = post(server.http(), "/mi", body);
        serde_json::from_str::<Value>(&text).unwrap()["error"]["code"].clone()
    };
    assert_eq!(code("{\"jsonrpc\": "), -32700);
    assert_eq!(code("{\"id\": 1}"), -32600);
    assert_eq!(code(&"[".repeat(100_000)), -32700);
}

#[test]
fn parameters_may_come_by_place_and_requests_in_batches() {
    let server = Server::start(&exchange());
    Phone::udp(&server, "alice").register();
    let by_place = call(&server, "ul_show_contact", json!(["location", "alice@127.0.0.1"]));
    assert!(by_place["result"]["Contacts"].is_array(), "{by_place}");
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"uptime"},{"jsonrpc":"2.0","id":2,"method":"version"}]"#;
    let (_, text) = post(server.http(), "/mi", batch);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn a_token_keeps_strangers_out() {
    let script = format!("{MODULES}modparam(\"mi_http\", \"token\", \"open sesame\")\n{EXCHANGE}");
    let server = Server::start(&script);
    let (status, _) = post(server.http(), "/mi", r#"{"jsonrpc":"2.0","id":1,"method":"uptime"}"#);
    assert_eq!(status, 401);
}

#[test]
fn a_large_dump_comes_whole_while_phones_register() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    for batch in 0..40 {
        let requests: Vec<_> = (0..50)
            .map(|n| {
                let user = Phone::udp_to(server.udp(), &format!("user{}", batch * 50 + n));
                let mut request = alice.register_request().with(format!("Contact: <{}>", user.contact()));
                request.to = format!("<{}>", user.aor());
                request
            })
            .collect();
        requests.iter().for_each(|request| alice.send(&request.bytes()));
        // The workers answer in whatever order they get to it.
        (0..requests.len()).for_each(|_| assert_eq!(alice.receive().status(), 200));
    }
    std::thread::scope(|scope| {
        let dump = scope.spawn(|| result(&server, "ul_dump", json!({})));
        for _ in 0..50 {
            alice.register();
        }
        let count = dump.join().unwrap()["Domains"][0]["AORs"].as_array().unwrap().len();
        assert!((2000..=2001).contains(&count), "{count}");
    });
}

#[test]
fn the_fifo_answers_where_it_is_told_to() {
    let folder = temporary_folder();
    let fifo = folder.join("requests");
    let module = format!(
        "loadmodule \"mi_fifo.so\"\nmodparam(\"mi_fifo\", \"fifo_name\", \"{}\")\n\
         modparam(\"mi_fifo\", \"reply_dir\", \"{}/\")\n",
        fifo.display(),
        folder.display(),
    );
    let server = Server::start(&format!("{MODULES}{module}{EXCHANGE}"));
    let reply = folder.join("answers");
    assert!(Command::new("mkfifo").arg(&reply).status().unwrap().success());
    let answer = std::thread::spawn(move || fs::read_to_string(reply).unwrap());
    fs::write(&fifo, ":answers:{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"version\"}\n").unwrap();
    let answer: Value = serde_json::from_str(&answer.join().unwrap()).unwrap();
    assert_eq!(answer["id"], 9);
    assert!(answer["result"]["Server"].is_string());
    drop(server);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_datagram_is_answered_with_a_datagram() {
    let folder = temporary_folder();
    let socket = folder.join("mi");
    let module = format!(
        "loadmodule \"mi_datagram.so\"\nmodparam(\"mi_datagram\", \"socket_name\", \"{}\")\n",
        socket.display()
    );
    let server = Server::start(&format!("{MODULES}{module}{EXCHANGE}"));
    let own = UnixDatagram::bind(folder.join("client")).unwrap();
    own.set_read_timeout(Some(PATIENCE)).unwrap();
    own.send_to(b"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"uptime\"}", &socket).unwrap();
    let mut buffer = vec![0; 65536];
    let length = own.recv(&mut buffer).unwrap();
    let answer: Value = serde_json::from_slice(&buffer[..length]).unwrap();
    assert_eq!(answer["id"], 3);
    assert!(answer["result"]["Up time"].is_string());
    drop(server);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_metrics_are_prometheus_text_and_count() {
    let server = Server::start(&exchange());
    Phone::udp(&server, "alice").register();
    let page = metrics(&server);
    for line in page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        assert!(value.parse::<f64>().is_ok(), "{line:?}");
        assert!(name.starts_with(|letter: char| letter.is_ascii_alphabetic()), "{line:?}");
    }
    assert!(page.lines().any(|line| line.contains("accepted_regs") && line.ends_with(" 1")), "{page}");
}

#[test]
fn ctl_shows_a_table_and_json() {
    let server = Server::start(&exchange());
    let mut alice = Phone::udp(&server, "alice");
    alice.register();
    let url = format!("http://{}/mi", server.http());
    let table = crate::harness::server::run(&["ctl", "--mi", &url, "ul_dump"]);
    assert!(table.status.success(), "{}", String::from_utf8_lossy(&table.stderr));
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(text.contains("alice@127.0.0.1") && text.contains(&alice.contact()), "{text}");
    let json = crate::harness::server::run(&["ctl", "--mi", &url, "ul_dump", "--json"]);
    let dump: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(dump["Domains"][0]["AORs"][0]["AOR"], "alice@127.0.0.1");
    let wrong = crate::harness::server::run(&[
        "ctl",
        "--mi",
        &url,
        "ul_show_contact",
        "location",
        "nobody@127.0.0.1",
    ]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("AOR not found"));
}
