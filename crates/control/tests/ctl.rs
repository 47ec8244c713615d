//! `seawall ctl` against a running management plane.

// Helpers of tests may fail loudly, as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use common::FakeServer;
use seawall_control::config::{Config, Http};
use seawall_control::ctl::{self, Options};
use seawall_control::serve;

/// Runs one command against a fresh server; gives status, output and errors.
fn run_with(token: Option<&str>, server: FakeServer, json: bool, words: &[&str]) -> (u8, String, String) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let http =
        Some(Http { listen, token: Some("t0ken".to_owned()).filter(|_| token.is_some()), ..Http::default() });
    let config = Config { http, ..Config::default() };
    let handle = serve(config, Arc::new(server), runtime.handle()).unwrap();
    let token = token.filter(|token| !token.is_empty()).map(str::to_owned);
    at(&Options { url: handle.mi_url().unwrap(), token, json }, words)
}

fn at(options: &Options, words: &[&str]) -> (u8, String, String) {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = ctl::run(options, &words, &mut out, &mut err);
    (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn check(words: &[&str], expected: &str) {
    let (status, out, err) = run_with(None, FakeServer::with_bindings(), false, words);
    assert_eq!((status, out.as_str(), err.as_str()), (0, expected, ""), "{words:?}");
}

fn check_error(words: &[&str], expected: &str) {
    let (status, out, err) = run_with(None, FakeServer::with_bindings(), false, words);
    assert_eq!((status, out.as_str(), err.as_str()), (1, "", expected), "{words:?}");
}

#[test]
fn a_dump_is_a_table_of_bindings() {
    check(
        &["ul_dump"],
        "Table location\n\
         AOR                Contact                                 Expires    Q    Flags  Socket              User-Agent  Received\n\
         alice@example.org  sip:alice@192.0.2.1:5060;transport=tcp  3600       0.5  0      udp:192.0.2.9:5060  phone/1\n\
         alice@example.org  sip:alice@192.0.2.2                     3600            0      udp:192.0.2.9:5060  phone/1\n\
         bob@example.org    sip:bob@192.0.2.3                       permanent       0      udp:192.0.2.9:5060  \"x\\\u{fffd}[31m\u{fffd}\n\
         \n\
         3 contacts, 2 addresses of record\n",
    );
}

#[test]
fn an_address_of_record_is_a_table_too() {
    let (status, out, _) = run_with(
        None,
        FakeServer::with_bindings(),
        false,
        &["ul_show_contact", "location", "bob@example.org"],
    );
    assert_eq!(status, 0);
    assert!(out.starts_with("AOR ") && out.ends_with("\n1 contact, 1 address of record\n"), "{out}");
}

#[test]
fn an_empty_dump_says_so() {
    let (status, out, _) = run_with(None, FakeServer::default(), false, &["ul_dump"]);
    assert_eq!((status, out.as_str()), (0, "0 contacts, 0 addresses of record\n"));
}

#[test]
fn statistics_are_grouped() {
    let all = "core\n  rcv_requests             7\n\
               usrloc\n  location-contacts             3\n  registered_users              2\n";
    check(&["get_statistics"], all);
    check(&["get_statistics", "all"], all);
    check(&["get_statistics", "statistics=core: usrloc:"], all);
    check(&["get_statistics", "rcv_requests"], "core\n  rcv_requests             7\n");
}

#[test]
fn other_results_are_lines_and_tables() {
    check(&["version"], "Server  Seawall (0.1.0 (test))\n");
    check(&["ps"], "ID  PID  Type\n0   100  main\n1   101  SIP worker 0\n");
    check(&["ul_flush"], "OK\n");
    check(
        &["uptime"],
        "Now       Thu Jan  1 00:00:00 2026\nUp since  Wed Dec 31 23:58:30 2025\nUp time   90 [sec]\n",
    );
    check(
        &["log_level"],
        "Log level  3\n\nProcesses\nPID  Log level  Type\n100  3          main\n101  3          SIP worker 0\n",
    );
}

#[test]
fn parameters_are_given_in_order_or_by_name_or_both() {
    for words in [
        &["ul_rm_contact", "location", "alice@example.org", "sip:alice@192.0.2.1:5060;transport=tcp"],
        &["ul_rm_contact", "aor=alice@example.org", "location", "sip:alice@192.0.2.1:5060;transport=tcp"],
        &[
            "ul_rm_contact",
            "contact=sip:alice@192.0.2.1:5060;transport=tcp",
            "table_name=location",
            "aor=alice@example.org",
        ],
    ] {
        check(words, "OK\n");
    }
}

#[test]
fn errors_are_sentences_and_status_1() {
    check_error(&["ul_rm", "location", "carol"], "error: AOR not found (404)\n");
    check_error(&["ul_show_contact", "other", "carol"], "error: Table not found (404)\n");
    check_error(
        &["ul_rm", "location"],
        "error: Invalid params (-32602)\nparameter `aor` is missing; usage: `ul_rm table_name aor`\n",
    );
    check_error(
        &["ul_dmp"],
        "error: Method not found (-32601)\nno command `ul_dmp`; did you mean `ul_dump`?\n",
    );
}

#[test]
fn the_reason_of_a_refused_reload_keeps_its_lines() {
    let server =
        FakeServer { reload_error: Some("error: a\n --> x.cfg:1\x1b".to_owned()), ..FakeServer::default() };
    let (status, _, err) = run_with(None, server, false, &["reload"]);
    assert_eq!(status, 1);
    assert_eq!(err, "error: The script was not loaded (500)\nerror: a\n --> x.cfg:1\u{fffd}\n");
}

#[test]
fn json_is_the_result_alone() {
    let (status, out, _) = run_with(None, FakeServer::with_bindings(), true, &["version"]);
    assert_eq!((status, out.as_str()), (0, "{\n    \"Server\": \"Seawall (0.1.0 (test))\"\n}\n"));
    let (status, out, err) = run_with(None, FakeServer::with_bindings(), true, &["ul_rm", "location", "x"]);
    assert_eq!((status, out.as_str(), err.as_str()), (1, "", "error: AOR not found (404)\n"));
}

#[test]
fn a_long_dump_is_shown_whole_in_both_forms() {
    let server = || FakeServer { synthetic_in_part: 1000, ..FakeServer::default() };
    let (_, out, _) = run_with(None, server(), false, &["ul_dump"]);
    assert_eq!(out.lines().filter(|line| line.starts_with("user-")).count(), 4000);
    assert!(out.ends_with("\n4000 contacts, 4000 addresses of record\n"));
    let (_, out, _) = run_with(None, server(), true, &["ul_dump"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["Domains"][0]["AORs"].as_array().unwrap().len(), 4000);
}

#[test]
fn a_token_goes_with_the_request() {
    let ask = |token| run_with(Some(token), FakeServer::with_bindings(), false, &["ul_flush"]);
    assert_eq!(ask("t0ken").1, "OK\n");
    assert!(ask("").2.starts_with("error: the server wants a token"));
    assert!(ask("wrong").2.starts_with("error: the server wants a token"));
}

#[test]
fn without_words_the_commands_are_listed() {
    let (status, out, _) = at(&Options::default(), &[]);
    assert_eq!(status, 0);
    for command in seawall_control::commands::all() {
        assert!(out.contains(&format!("  {}", command.name)));
    }
    let (status, out, _) = at(&Options::default(), &["help", "ul_rm"]);
    assert_eq!(status, 0);
    assert!(out.starts_with("seawall ctl ul_rm table_name aor\n"), "{out}");
    let (status, _, err) = at(&Options::default(), &["help", "ul_rn"]);
    assert_eq!((status, err.contains("did you mean `ul_rm`?")), (1, true), "{err}");
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    // Bound and dropped: the port is free again, most likely.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = Options { url: format!("http://{address}/mi"), ..Options::default() };
    let (status, _, err) = at(&options, &["ps"]);
    assert_eq!(status, 1);
    assert!(err.contains(&format!("nothing answers at http://{address}/mi")), "{err}");
    for url in ["https://x/mi", "x", "http://", "http://a b/"] {
        let options = Options { url: url.to_owned(), ..Options::default() };
        assert!(at(&options, &["ps"]).2.contains("is not a URL"), "{url}");
    }
}

/// Answers one connection with these bytes, whatever it asks.
fn check_peer(reply: &'static [u8], json: bool, command: &str, expected: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options { url: format!("http://{}/mi", listener.local_addr().unwrap()), token: None, json };
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(reply);
    });
    let (status, out, err) = at(&options, &[command]);
    peer.join().unwrap();
    assert_eq!(status, 1, "{out}");
    assert!(err.contains(expected), "{err}");
}

#[test]
fn a_peer_that_is_no_server_is_an_error() {
    for json in [false, true] {
        check_peer(b"SIP/2.0 200 OK\r\n\r\n", json, "ps", "is not HTTP");
        check_peer(b"", json, "ps", "broke");
        check_peer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nno\x1b!", json, "ps", "404 no");
        check_peer(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"jsonrpc\"", json, "ps", "broke");
        check_peer(b"HTTP/1.1 200 OK\r\n\r\n{}", json, "ps", "neither result nor error");
        check_peer(b"HTTP/1.1 200 OK\r\n\r\n[[[", json, "ps", "cannot be understood");
    }
    // A dump that breaks off is not shown as if it were complete.
    let cut =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"result\":{\"Domains\":[{\"name\":\"l";
    check_peer(cut, false, "ul_dump", "broke");
    let late = b"HTTP/1.1 200 OK\r\n\r\n{\"result\":null,\"error\":{\"code\":500,\"message\":\"late\"}}";
    check_peer(late, false, "ul_flush", "late (500)");
}
