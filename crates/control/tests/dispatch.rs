//! What each request is answered with, without any transport.

// Helpers of tests may fail loudly, as tests do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::sync::Arc;

use common::FakeServer;
use proptest::prelude::*;
use seawall_control::{Dispatcher, Server};
use serde_json::{Value, json};

fn dispatcher() -> Dispatcher {
    Dispatcher::new(Arc::new(FakeServer::with_bindings()))
}

fn ask(dispatcher: &Dispatcher, request: &[u8]) -> Option<Value> {
    let reply = dispatcher.handle(request)?.into_bytes(usize::MAX).unwrap();
    Some(serde_json::from_slice(&reply).unwrap_or_else(|error| {
        panic!("not JSON: {error}: {}", String::from_utf8_lossy(&reply));
    }))
}

/// Asks a fresh server; `request` may be any text.
fn check(request: &str, expected: Value) {
    assert_eq!(ask(&dispatcher(), request.as_bytes()).unwrap_or(Value::Null), expected, "{request}");
}

/// Asks for one method and compares the result, or `{"code", "message"}` of an error.
fn check_call_on(dispatcher: &Dispatcher, method: &str, params: Value, expected: Value) {
    let request = json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": "1" });
    let mut reply = ask(dispatcher, request.to_string().as_bytes()).unwrap();
    assert_eq!((&reply["jsonrpc"], &reply["id"]), (&json!("2.0"), &json!("1")));
    if let Some(error) = reply["error"].as_object_mut() {
        error.remove("data");
    }
    let found = if reply["error"].is_null() { &reply["result"] } else { &reply["error"] };
    assert_eq!(*found, expected, "{request}");
}

fn check_call(method: &str, params: Value, expected: Value) {
    check_call_on(&dispatcher(), method, params, expected);
}

fn error(code: i64, message: &str) -> Value {
    json!({ "code": code, "message": message })
}

fn invalid_params() -> Value {
    error(-32602, "Invalid params")
}

fn without_data(mut reply: Value) -> Value {
    if let Some(error) = reply["error"].as_object_mut() {
        error.remove("data");
    }
    reply
}

fn check_malformed(request: &str, id: Value, code: i64, message: &str) {
    let reply = without_data(ask(&dispatcher(), request.as_bytes()).unwrap());
    assert_eq!(reply, json!({ "jsonrpc": "2.0", "error": error(code, message), "id": id }), "{request}");
}

#[test]
fn what_is_no_json_is_a_parse_error() {
    for request in ["", "{", "nonsense", "{\"jsonrpc\":\"2.0\"", "{}{}", "\"\\ud800\""] {
        check_malformed(request, Value::Null, -32700, "Parse error");
    }
    let reply = ask(&dispatcher(), b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\xfe\",\"id\":1}").unwrap();
    assert_eq!(reply["error"]["code"], -32700);
}

#[test]
fn deep_nesting_is_a_parse_error() {
    check_malformed(&"[".repeat(100_000), Value::Null, -32700, "Parse error");
    check_malformed(&"{\"a\":".repeat(100_000), Value::Null, -32700, "Parse error");
}

#[test]
fn what_is_no_request_is_invalid_and_keeps_its_id() {
    for (request, id) in [
        ("1", json!(null)),
        ("[]", json!(null)),
        ("{}", json!(null)),
        (r#"{"jsonrpc":"1.0","method":"ps","id":5}"#, json!(5)),
        (r#"{"method":"ps","id":"x"}"#, json!("x")),
        (r#"{"jsonrpc":"2.0","method":5,"id":5}"#, json!(5)),
        (r#"{"jsonrpc":"2.0","id":5}"#, json!(5)),
        (r#"{"jsonrpc":"2.0","method":"get_statistics","params":"all","id":1}"#, json!(1)),
        (r#"{"jsonrpc":"2.0","method":"ps","id":{}}"#, json!(null)),
    ] {
        check_malformed(request, id, -32600, "Invalid Request");
    }
}

#[test]
fn ids_of_every_kind_come_back() {
    for id in ["7", "\"a\\\"b\"", "null", "1.5", "-1"] {
        let request = format!(r#"{{"jsonrpc":"2.0","method":"ul_flush","id":{id}}}"#);
        check(
            &request,
            json!({ "jsonrpc": "2.0", "result": "OK", "id": serde_json::from_str::<Value>(id).unwrap() }),
        );
    }
}

#[test]
fn notifications_are_run_and_not_answered() {
    let server = Arc::new(FakeServer::with_bindings());
    let dispatcher = Dispatcher::new(server.clone());
    let request = r#"{"jsonrpc":"2.0","method":"log_level","params":{"level":4}}"#;
    assert_eq!(ask(&dispatcher, request.as_bytes()), None);
    assert_eq!(server.log_level(), 4);
    assert_eq!(ask(&dispatcher, format!("[{request},{request}]").as_bytes()), None);
}

#[test]
fn a_batch_is_answered_in_order_without_its_notifications() {
    let one = |id: u64| format!(r#"{{"jsonrpc":"2.0","method":"ul_flush","id":{id}}}"#);
    let note = r#"{"jsonrpc":"2.0","method":"ul_flush"}"#;
    let dump = r#"{"jsonrpc":"2.0","method":"ul_dump","id":3}"#;
    let reply = ask(&dispatcher(), format!("[{},{note},{dump},7,{}]", one(1), one(2)).as_bytes()).unwrap();
    let ids: Vec<&Value> = reply.as_array().unwrap().iter().map(|reply| &reply["id"]).collect();
    assert_eq!(ids, [&json!(1), &json!(3), &json!(null), &json!(2)]);
    assert_eq!(reply[2]["error"]["code"], -32600);
}

#[test]
fn a_batch_has_a_limit() {
    let batch = format!("[{}]", vec!["1"; 1001].join(","));
    check_malformed(&batch, Value::Null, -32600, "Invalid Request");
}

#[test]
fn an_unknown_command_is_named_with_a_suggestion() {
    check_call("nonsense", json!([]), error(-32601, "Method not found"));
    let reply = ask(&dispatcher(), br#"{"jsonrpc":"2.0","method":"ul_dmup","id":1}"#).unwrap();
    assert_eq!(reply["error"]["data"], "no command `ul_dmup`; did you mean `ul_dump`?");
}

#[test]
fn parameters_are_checked_against_the_declaration() {
    for params in [
        json!([]),
        json!(["location"]),
        json!(["location", "a", "b"]),
        json!({ "table_name": "location" }),
        json!({ "table_name": "location", "aor": "a", "other": 1 }),
        json!({ "table_name": "location", "aor": ["a"] }),
        json!({ "table_name": "location", "aor": null }),
        json!({ "table_name": "location", "aor": "" }),
        json!({ "table_name": "location", "aor": "a\r\nb" }),
        json!({ "table_name": "location", "aor": "x".repeat(5000) }),
    ] {
        check_call("ul_rm", params, invalid_params());
    }
    let reply = ask(&dispatcher(), br#"{"jsonrpc":"2.0","method":"ul_rm","params":["location"],"id":1}"#);
    let expected = "parameter `aor` is missing; usage: `ul_rm table_name aor`";
    assert_eq!(reply.unwrap()["error"]["data"], expected);
}

#[test]
fn uptime_version_ps_and_which_have_their_documented_shapes() {
    let uptime = json!({
        "Now": "Thu Jan  1 00:00:00 2026", "Up since": "Wed Dec 31 23:58:30 2025", "Up time": "90 [sec]"
    });
    check_call("uptime", json!({}), uptime);
    check_call("version", json!({}), json!({ "Server": "Seawall (0.1.0 (test))" }));
    let processes = json!({ "Processes": [
        { "ID": 0, "PID": 100, "Type": "main" }, { "ID": 1, "PID": 101, "Type": "SIP worker 0" }
    ] });
    check_call("ps", json!([]), processes);
    check_call(
        "which",
        json!([]),
        json!([
            "ul_dump",
            "ul_show_contact",
            "ul_rm",
            "ul_rm_contact",
            "ul_add",
            "ul_flush",
            "mid_reg_show",
            "mid_reg_resync",
            "reg_event_list",
            "reg_event_end",
            "get_statistics",
            "list_statistics",
            "reset_statistics",
            "nh_enable_ping",
            "push_status",
            "push_wake",
            "domain_reload",
            "domain_dump",
            "user_add",
            "user_password",
            "user_remove",
            "user_list",
            "user_flush",
            "uptime",
            "version",
            "ps",
            "which",
            "log_level",
            "reload",
            "event_subscribe",
            "events_list",
            "subscribers_list",
            "raise_event"
        ]),
    );
    check_call(
        "which",
        json!(["statistics"]),
        json!(["statistics:get", "statistics:list", "statistics:reset"]),
    );
}

/// The result of `reg_event_list`: how many there are, the first, and where the next page begins.
#[track_caller]
fn check_page(params: Value, count: usize, first: u64, next: Option<u64>) {
    let request = json!({ "jsonrpc": "2.0", "method": "reg_event_list", "params": params, "id": 1 });
    let reply = ask(&dispatcher(), request.to_string().as_bytes()).unwrap();
    let listed = reply["result"]["Subscriptions"].as_array().unwrap();
    assert_eq!((listed.len(), listed[0]["ID"].as_u64()), (count, Some(first)));
    assert_eq!(reply["result"]["Next"].as_u64(), next);
}

#[test]
fn subscriptions_are_listed_in_pages() {
    check_page(json!({}), 1000, 1, Some(1001));
    check_page(json!({ "from": 1001 }), 1, 1001, None);
    check_page(json!({ "aor": "even@example.org" }), 500, 2, None);
    check_page(json!(["odd@example.org", 1000]), 1, 1001, None);
    check_call("reg_event_list", json!({ "aor": "nobody@example.org" }), json!({ "Subscriptions": [] }));
    check_call("reg_event_list", json!({ "from": -1 }), invalid_params());
    let shown = json!({ "Subscriptions": [{
        "ID": 1001, "Table": "location", "AOR": "odd@example.org", "Subscriber": "<sip:w@example.org>;tag=1",
        "Contact": "sip:w@192.0.2.1", "Callid": "call\u{fffd}", "Expires": 60, "Notifies": 2
    }] });
    check_call("reg_event:list", json!({ "from": 1001 }), shown);
}

#[test]
fn push_status_shows_every_service() {
    let shown = json!({ "Services": [{ "Name": "apns", "Held": true, "sent": 3, "latency_us": 1500 }] });
    check_call("push_status", json!({}), shown.clone());
    check_call("push:status", json!({}), shown);
    check_call("push_status", json!({ "x": 1 }), invalid_params());
}

#[test]
fn push_wake_says_to_how_many_contacts_it_pushes() {
    check_call("push_wake", json!(["location", "bob@example.org"]), json!({ "Pushes": 1 }));
    check_call("push:wake", json!(["location", "bob@example.org", "ini-INVITE"]), json!({ "Pushes": 2 }));
    check_call("push_wake", json!(["location", "carol"]), error(404, "AOR not found"));
    check_call("push_wake", json!(["elsewhere", "bob"]), error(404, "Table not found"));
    check_call("push_wake", json!(["location"]), invalid_params());
}

#[test]
fn programs_outside_subscribe_to_events() {
    check_call("evi:subscribe", json!(["E_X", "udp:127.0.0.1:1", 1200]), json!("OK"));
    check_call("event_subscribe", json!(["E_X", "udp:127.0.0.1:1"]), json!("OK"));
    check_call("event_subscribe", json!(["E_X", "nowhere"]), error(400, "Bad socket"));
    check_call("event_subscribe", json!(["E_X", "udp:127.0.0.1:1", -1]), invalid_params());
    check_call("event_subscribe", json!(["E_X"]), invalid_params());
    check_call(
        "evi:list",
        json!({}),
        json!({ "Events": [{ "name": "E_X", "id": 0 }, { "name": "E_Y", "id": 1 }] }),
    );
    let (udp, unix) = (
        json!({ "socket": "udp:127.0.0.1:1", "expire": 5 }),
        json!({ "socket": "unix:/x", "expire": "never" }),
    );
    let both = json!({ "Events": [{ "name": "E_X", "subscribers": [udp, unix] }] });
    check_call("evi:subscribers", json!({}), both.clone());
    check_call("subscribers_list", json!(["E_X"]), both);
    let one = json!({ "Events": [{ "name": "E_X", "subscribers": [unix] }] });
    check_call("subscribers_list", json!(["E_X", "unix:/x"]), one);
    check_call("subscribers_list", json!(["E_Y"]), json!({ "Events": [] }));
}

#[test]
fn an_event_is_raised_with_values_in_every_form() {
    check_call("evi:raise", json!(["E_X"]), json!("OK"));
    check_call("raise_event", json!(["E_ONE", "127.0.0.1"]), json!("OK"));
    for list in [json!(["E_LIST", "a", "b"]), json!(["E_LIST", ["a", "b"]])] {
        check_call("raise_event", list, json!("OK"));
    }
    let named = json!({ "ip": "127.0.0.1", "n": 1 });
    check_call("evi:raise", json!({ "event": "E_NAMED", "params": named }), json!("OK"));
    check_call("evi:raise", json!(["E_NAMED", named.to_string()]), json!("OK"));
    check_call("evi:raise", json!(["no name"]), error(400, "Bad event"));
    for wrong in [json!([]), json!(["E_X", { "a": [] }]), json!(["E_X", [1.5]]), json!(["E_X", true])] {
        check_call("evi:raise", wrong, invalid_params());
    }
    check_call("evi:raise", json!(["E_X", vec![1; 65]]), invalid_params());
}

#[test]
fn a_subscription_is_ended_by_its_number() {
    check_call("reg_event_end", json!({ "id": 1001 }), json!("OK"));
    check_call("reg_event_end", json!({ "id": 1002 }), error(404, "Subscription not found"));
    check_call("reg_event_end", json!({ "id": -1 }), invalid_params());
    check_call("reg_event_end", json!({}), invalid_params());
}

#[test]
fn mid_reg_show_tells_what_the_main_registrar_holds() {
    let shown = json!({ "AOR": "alice@example.org", "Registrations": [
        {
            "ContactID": "7", "Contact": "sip:alice@192.0.2.1", "Expires": 60,
            "Upstream-Contact": "<sip:alice@192.0.2.9;ctid=7>", "Upstream-State": "live",
            "Upstream-Expires": 3600, "Forward-In": 3530, "Main": "udp:203.0.113.1:5060",
            "Main-URI": "sip:example.org", "Callid": "call\u{fffd}", "Cseq": 3
        },
        {
            "Upstream-Contact": "<sip:alice@192.0.2.9;ctid=7>", "Upstream-State": "leaving",
            "Upstream-Expires": 3600, "Main": "udp:203.0.113.1:5060", "Main-URI": "sip:example.org",
            "Callid": "call\u{fffd}", "Cseq": 3, "Attempts": 2
        }
    ] });
    check_call("mid_reg_show", json!(["alice@example.org"]), shown.clone());
    check_call("mid_registrar:show", json!({ "aor": "alice@example.org" }), shown);
    check_call("mid_reg_show", json!(["bob@example.org"]), error(404, "AOR not found"));
    check_call("mid_reg_show", json!({}), invalid_params());
}

#[test]
fn mid_reg_resync_registers_all_or_one_again() {
    check_call("mid_reg_resync", json!({}), json!({ "Registrations": 12 }));
    check_call("mid_registrar:resync", json!(["alice@example.org"]), json!({ "Registrations": 1 }));
    check_call("mid_reg_resync", json!(["bob@example.org"]), error(404, "AOR not found"));
}

#[test]
fn local_domains_are_shown_and_read_again() {
    let shown = json!({ "Domains": [
        { "name": "example.com", "accept_subdomain": 1, "attributes": "a=\"b\"" },
        { "name": "example.org", "accept_subdomain": 0 }
    ] });
    check_call("domain_dump", json!({}), shown.clone());
    check_call("domain:dump", json!([]), shown);
    let failed = error(500, "The database fails; the domains stay as they were");
    check_call("domain_reload", json!({}), failed.clone());
    check_call("domain:reload", json!({}), failed);
    check_call("domain_dump", json!([1]), invalid_params());
}

#[test]
fn nh_enable_ping_shows_and_sets_whether_contacts_are_pinged() {
    check_call("nh_enable_ping", json!({}), json!({ "Status": 0 }));
    check_call("nh_enable_ping", json!([1]), error(400, "Pinging is off in the script"));
    let server = FakeServer { pinging: Some(true).into(), ..FakeServer::default() };
    let dispatcher = Dispatcher::new(Arc::new(server));
    let check =
        |params: Value, expected: Value| check_call_on(&dispatcher, "nh_enable_ping", params, expected);
    check(json!([]), json!({ "Status": 1 }));
    check(json!({ "status": 0 }), json!("OK"));
    check(json!({}), json!({ "Status": 0 }));
    check(json!(["5"]), json!("OK"));
    check_call_on(&dispatcher, "nathelper:nh_enable_ping", json!({}), json!({ "Status": 1 }));
    check(json!([-1]), invalid_params());
    check(json!(["on"]), invalid_params());
}

#[test]
fn log_level_is_shown_and_set_within_its_range() {
    let dispatcher = dispatcher();
    let listed = json!({ "Log level": 3, "Processes": [
        { "PID": 100, "Log level": 3, "Type": "main" }, { "PID": 101, "Log level": 3, "Type": "SIP worker 0" }
    ] });
    check_call_on(&dispatcher, "log_level", json!({}), listed);
    let set = json!({ "New global log level": -3, "Log level": -3 });
    check_call_on(&dispatcher, "log_level", json!(["-3"]), set.clone());
    check_call_on(&dispatcher, "log_level", json!({ "level": -3, "pid": 100 }), set);
    check_call_on(&dispatcher, "log_level", json!([5]), invalid_params());
    check_call_on(&dispatcher, "log_level", json!([-4]), invalid_params());
    check_call_on(&dispatcher, "log_level", json!(["high"]), invalid_params());
    check_call_on(&dispatcher, "log_level", json!([1, 999]), error(404, "Bad PID"));
}

#[test]
fn statistics_are_selected_by_group_name_both_or_all() {
    let requests = json!({ "core:rcv_requests": 7 });
    let usrloc = json!({ "usrloc:location-contacts": 3, "usrloc:registered_users": 2 });
    for (selection, expected) in [
        (json!([["rcv_requests"]]), requests.clone()),
        (json!({ "statistics": ["core:rcv_requests"] }), requests.clone()),
        (json!({ "statistics": "core:" }), requests),
        (json!([["usrloc:"]]), usrloc.clone()),
        (json!(["registered_users", "location-contacts"]), usrloc),
        (
            json!([["all"]]),
            json!({
                "core:rcv_requests": 7, "usrloc:location-contacts": 3, "usrloc:registered_users": 2
            }),
        ),
        (json!([["nothing"]]), error(404, "Statistics Not Found")),
        (json!([["core"]]), error(404, "Statistics Not Found")),
        (json!([]), invalid_params()),
        (json!([[1, {}]]), invalid_params()),
    ] {
        check_call("get_statistics", selection, expected);
    }
}

#[test]
fn statistics_are_listed_with_their_kind() {
    let usrloc = json!({
        "usrloc:location-contacts": "non-incremental", "usrloc:registered_users": "non-incremental"
    });
    check_call("list_statistics", json!([["usrloc:"]]), usrloc);
    check_call(
        "list_statistics",
        json!({}),
        json!({
            "core:rcv_requests": "incremental",
            "usrloc:location-contacts": "non-incremental", "usrloc:registered_users": "non-incremental"
        }),
    );
}

#[test]
fn only_counters_are_reset() {
    let dispatcher = dispatcher();
    check_call_on(&dispatcher, "reset_statistics", json!([["all"]]), json!("OK"));
    check_call_on(
        &dispatcher,
        "get_statistics",
        json!([["all"]]),
        json!({
            "core:rcv_requests": 0, "usrloc:location-contacts": 3, "usrloc:registered_users": 2
        }),
    );
    check_call_on(&dispatcher, "reset_statistics", json!([["nothing"]]), error(404, "Statistics Not Found"));
}

fn bob() -> Value {
    json!({ "AOR": "bob@example.org", "Contacts": [{
        "Contact": "sip:bob@192.0.2.3", "ContactID": "3846035968840385594", "Expires": "permanent", "Q": "",
        "Callid": "call-1", "Cseq": 42, "User-agent": "\"x\\\u{1b}[31m\u{fffd}", "State": "CS_NEW", "Flags": 0,
        "Cflags": "", "Socket": "udp:192.0.2.9:5060", "Methods": 5951
    }] })
}

#[test]
fn a_record_is_shown_with_every_field_in_its_type() {
    check_call("ul_show_contact", json!(["location", "bob@example.org"]), bob());
    check_call(
        "usrloc:ul_show_contact",
        json!({ "table_name": "location", "aor": "bob@example.org" }),
        bob(),
    );
    check_call("ul_show_contact", json!(["location", "carol"]), error(404, "AOR not found"));
    check_call("ul_show_contact", json!(["elsewhere", "bob"]), error(404, "Table not found"));
}

#[test]
fn a_dump_has_all_records_of_all_tables() {
    let reply = ask(&dispatcher(), br#"{"jsonrpc":"2.0","method":"ul_dump","id":1}"#).unwrap();
    let table = &reply["result"]["Domains"][0];
    assert_eq!((&table["name"], &table["hash_size"]), (&json!("location"), &json!(512)));
    let mut records = table["AORs"].as_array().unwrap().clone();
    records.sort_by_key(|record| record["AOR"].to_string());
    assert_eq!(records.len(), 2);
    assert_eq!(records[1], bob());
    assert_eq!(records[0]["Contacts"][0]["Q"], "0.5");
}

#[test]
fn a_brief_dump_has_only_addresses_and_contacts() {
    for brief in [json!(["brief"]), json!([1]), json!({ "brief": "1" })] {
        let request = json!({ "jsonrpc": "2.0", "method": "usrloc:dump", "params": brief, "id": 1 });
        let reply = ask(&dispatcher(), request.to_string().as_bytes()).unwrap();
        let records = reply["result"]["Domains"][0]["AORs"].as_array().unwrap();
        let contacts = json!([{ "Contact": "sip:bob@192.0.2.3" }]);
        assert!(records.contains(&json!({ "AOR": "bob@example.org", "Contacts": contacts })));
    }
}

#[test]
fn an_empty_table_is_dumped_as_an_empty_list() {
    let dispatcher = Dispatcher::new(Arc::new(FakeServer::default()));
    let empty = json!({ "Domains": [{ "name": "location", "hash_size": 512, "AORs": [] }] });
    check_call_on(&dispatcher, "ul_dump", json!({}), empty);
}

#[test]
fn records_and_contacts_are_removed() {
    let dispatcher = dispatcher();
    let contact = json!(["location", "alice@example.org", "sip:alice@192.0.2.2"]);
    check_call_on(&dispatcher, "ul_rm_contact", contact.clone(), json!("OK"));
    check_call_on(&dispatcher, "ul_rm_contact", contact, error(404, "Contact not found"));
    check_call_on(&dispatcher, "ul_rm", json!(["location", "alice@example.org"]), json!("OK"));
    check_call_on(
        &dispatcher,
        "ul_rm",
        json!(["location", "alice@example.org"]),
        error(404, "AOR not found"),
    );
    check_call_on(&dispatcher, "ul_rm", json!(["other", "alice@example.org"]), error(404, "Table not found"));
}

#[test]
fn a_contact_is_added_in_both_documented_forms() {
    let dispatcher = dispatcher();
    let old = json!(["location", "carol", "sip:carol@192.0.2.7", "0", "0.25", "0", "5", "0", "32767"]);
    check_call_on(&dispatcher, "ul_add", old, json!("OK"));
    let new = json!({
        "table_name": "location", "aor": "carol", "contact": "sip:carol@192.0.2.8", "expires": 60, "q": "1.0",
        "flags": 0, "cflags": "NAT", "methods": 32767
    });
    check_call_on(&dispatcher, "ul_add", new, json!("OK"));
    let request = br#"{"jsonrpc":"2.0","method":"ul_show_contact","params":["location","carol"],"id":1}"#;
    let contacts = ask(&dispatcher, request).unwrap()["result"]["Contacts"].clone();
    let fields = |at: usize| {
        let contact = &contacts[at];
        json!([contact["Expires"], contact["Q"], contact["Flags"], contact["Methods"]])
    };
    assert_eq!(fields(0), json!(["permanent", "0.25", 5, 32767]));
    assert_eq!(fields(1), json!([60, "1", 0, 32767]));
}

#[test]
fn a_wrong_contact_is_not_added() {
    let add =
        |contact: &str, expires: Value, q: &str| json!(["location", "c", contact, expires, q, 0, "", 0]);
    check_call("ul_add", add("tel:+1", json!(1), ""), error(400, "Bad contact URI"));
    for params in [
        add("sip:a\u{0}b", json!(1), ""),
        add("sip:a\r\nEvil: 1", json!(1), ""),
        add("sip:a", json!(-1), ""),
        add("sip:a", json!(4_294_967_296_i64), ""),
        add("sip:a", json!("soon"), ""),
        add("sip:a", json!(1), "2"),
        add("sip:a", json!(1), "1.001"),
        add("sip:a", json!(1), "0.1234"),
        add("sip:a", json!(1), "0.+1"),
    ] {
        check_call("ul_add", params, invalid_params());
    }
}

#[test]
fn reload_gives_the_reason_when_it_fails() {
    check_call("reload", json!({}), json!("the script is loaded"));
    let reload_error = Some("line 3: unknown function `sav`".to_owned());
    let dispatcher = Dispatcher::new(Arc::new(FakeServer { reload_error, ..FakeServer::default() }));
    let reply = ask(&dispatcher, br#"{"jsonrpc":"2.0","method":"reload_routes","id":1}"#).unwrap();
    assert_eq!(reply["error"]["data"], "line 3: unknown function `sav`");
}

#[test]
fn every_command_is_in_the_reference() {
    let text = seawall_control::reference_markdown();
    for command in seawall_control::commands::all() {
        assert!(text.contains(&format!("\n## {}\n", command.name)), "{}", command.name);
        assert!(!command.doc.is_empty() && !command.section.is_empty());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered_with_json_or_not_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        ask(&dispatcher(), &bytes);
    }

    #[test]
    fn any_parameters_are_answered_with_json(
        which in 0..15_usize,
        words in proptest::collection::vec("\\PC{0,12}|[0-9]{1,20}", 0..10),
    ) {
        let method = seawall_control::commands::all().nth(which).unwrap().name;
        let request = json!({ "jsonrpc": "2.0", "method": method, "params": words, "id": 1 });
        prop_assert!(ask(&dispatcher(), request.to_string().as_bytes()).is_some());
    }

    #[test]
    fn any_bytes_become_a_json_string_of_the_same_text(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut text = Vec::new();
        seawall_control::record_json::string(&mut text, &bytes);
        let back: String = serde_json::from_slice(&text).unwrap();
        prop_assert_eq!(back, String::from_utf8_lossy(&bytes));
        prop_assert!(text.iter().all(|byte| *byte >= 0x20 && *byte != 0x7F));
    }
}

#[test]
fn users_are_added_changed_listed_and_removed() {
    let server = FakeServer { users: Some(std::sync::Mutex::default()), ..FakeServer::default() };
    let server = Arc::new(server);
    let dispatcher = Dispatcher::new(Arc::clone(&server) as _);
    let check = |method: &str, params: Value, expected: Value| {
        check_call_on(&dispatcher, method, params, expected);
    };
    check("user_add", json!(["alice", "wonder"]), json!("OK"));
    check("user_add", json!({ "user": "bob", "password": "builder" }), json!("OK"));
    check("user_add", json!(["alice", "x"]), error(409, "There is a user of that name already"));
    check("user_add", json!(["carol", ""]), error(400, "no password"));
    check("user_add", json!(["carol", "disk full"]), error(500, "The database fails"));
    check("user_add", json!(["carol"]), invalid_params());
    check("user_list", json!([]), json!({ "Users": [{ "User": "alice" }, { "User": "bob" }] }));
    check("user_list", json!({ "from": 1 }), json!({ "Users": [{ "User": "bob" }] }));
    check("user_list", json!({ "from": -1 }), invalid_params());
    check("user_password", json!(["bob", "other"]), json!("OK"));
    check("user_password", json!(["carol", "other"]), error(404, "User not found"));
    assert_eq!(server.users.as_ref().unwrap().lock().unwrap()["bob"], "other");
    check("user_remove", json!(["bob"]), json!("OK"));
    check("user_remove", json!(["bob"]), error(404, "User not found"));
    check("user_flush", json!([]), json!("OK"));
    check("user_flush", json!(["stranger"]), error(404, "User not found"));
}

#[test]
fn a_server_without_users_says_so() {
    for (method, params) in
        [("user_add", json!(["a", "b"])), ("user_list", json!([])), ("user_flush", json!([]))]
    {
        check_call(method, params, error(501, "The script keeps no users"));
    }
}
