//! Module `usrloc`.

use crate::harness::{Request, Run, Server, check_parameters, check_refused, refused, route, row};

const BOB: &str = "<sip:bob@198.51.100.7:5070>";

fn register(contact: &str) -> Request {
    Request::register(&[contact]).call_id("registration")
}

fn server(parameters: &str, statements: &str, routes: &str) -> Server {
    let script =
        route(&format!("if (is_method(\"REGISTER\")) {{ save(\"location\"); exit; }}\n{statements}"));
    Server::new(&format!("{}{routes}\n", script.replacen("route {", &format!("{parameters}\nroute {{"), 1)))
}

/// A server whose event routes log the event and the parameters of a contact.
fn listening() -> Server {
    let of = |event: &str, text: &str| format!("event_route[{event}] {{ xlog(\"{event} {text}\"); }}\n");
    let contact = "$param(domain) $param(aor) $param(uri) $param(expires) $param(callid) $param(cseq) \
                   $param(socket) $param(user_agent) $param(qval) $param(bflags) [$param(received)] [$param(path)] \
                   [$param(attr)] $param(latency) [$param(shtag)]";
    let aor = "$param(domain) $param(aor)";
    let routes = [
        of("E_UL_AOR_INSERT", aor),
        of("E_UL_AOR_DELETE", aor),
        of("E_UL_CONTACT_INSERT", contact),
        of("E_UL_CONTACT_UPDATE", contact),
        of("E_UL_CONTACT_DELETE", contact),
    ];
    server("", "exit;", &routes.concat())
}

/// What the parameters above are for the phone of these tests.
fn contact(server: &Server, event: &str, cseq: u32) -> String {
    let expires = server.now_s + 3600;
    format!(
        "{event} location bob@example.com sip:bob@198.51.100.7:5070 {expires} registration {cseq} \
         udp:192.0.2.1:5060 Phone/1 5 0 [] [] [] 0 []"
    )
}

fn phone() -> Request {
    register(&format!("{BOB};q=0.5")).header("User-Agent: Phone/1")
}

#[test]
fn events_tell_what_happens_to_a_binding() {
    let mut server = listening();
    let log = server.receive(&phone()).log;
    let inserted = contact(&server, "E_UL_CONTACT_INSERT", 1);
    assert_eq!(log, ["E_UL_AOR_INSERT location bob@example.com".to_owned(), inserted]);
    let log = server.receive(&phone().cseq(2)).log;
    assert_eq!(log, [contact(&server, "E_UL_CONTACT_UPDATE", 2)]);
    let gone = register(&format!("{BOB};expires=0")).cseq(3);
    let run = server.receive(&gone);
    assert!(
        run.log[0].starts_with("E_UL_CONTACT_DELETE location bob@example.com sip:bob@198.51.100.7:5070"),
        "{:?}",
        run.log
    );
    assert_eq!(run.log[1..], ["E_UL_AOR_DELETE location bob@example.com"]);
}

#[test]
fn qval_of_an_event_goes_from_0_to_10() {
    for (q, expected) in
        [("", "-1"), (";q=0", "0"), (";q=0.04", "0"), (";q=0.55", "6"), (";q=0.7", "7"), (";q=1", "10")]
    {
        let mut server =
            server("", "exit;", "event_route[E_UL_CONTACT_INSERT] { xlog(\"$param(qval)\"); }\n");
        assert_eq!(server.receive(&register(&format!("{BOB}{q}"))).log, [expected], "{q}");
    }
}

#[test]
fn events_tell_of_an_expiry() {
    let mut server = listening();
    server.receive(&register(&format!("{BOB};expires=60")));
    assert!(server.pass(59).log.is_empty());
    let run: Run = server.pass(3);
    let names: Vec<&str> = run.events.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["E_UL_CONTACT_DELETE", "E_UL_AOR_DELETE"]);
}

#[test]
fn a_binding_that_nobody_listens_to_raises_nothing() {
    assert!(server("", "exit;", "").receive(&phone()).events.is_empty());
}

#[test]
fn the_table_counts_users_contacts_and_expired_ones() {
    let mut server = server("", "exit;", "");
    server.receive(&register(BOB));
    server.receive(&register("<sip:bob@198.51.100.8>;expires=60").cseq(2));
    server.receive(&register("<sip:carol@198.51.100.9>").to("<sip:carol@example.com>").call_id("other"));
    let count = |server: &Server| {
        // "registered_users", "location-users", "location-contacts", "location-expires". Those of the database
        // ("store_commits", "store_rows", "store_failures", "store_replays", "store_refused", "store_unwritten",
        // "store_lost", "store_loading", "loaded_rows", "broken_rows") are counted by the running server, whose tests look at them.
        let statistics = server.node.location.domain("location").unwrap().statistics();
        (statistics.users, statistics.contacts, statistics.expires)
    };
    assert_eq!(count(&server), (2, 3, 0));
    server.pass(62);
    assert_eq!(count(&server), (2, 2, 1));
}

#[test]
fn use_domain_says_whether_the_host_counts() {
    let found = |parameter: &str| {
        let mut server =
            server(parameter, "is_registered(\"location\", \"sip:bob@other.example\"); xlog(\"$rc\");", "");
        server.receive(&register(BOB));
        server.receive(&Request::invite()).log.join("")
    };
    assert_eq!(found(""), "-1");
    assert_eq!(found("modparam(\"usrloc\", \"use_domain\", 0)"), "1");
}

#[test]
fn desc_time_order_puts_the_newest_contact_first() {
    let first = |parameter: &str| {
        let mut server = server(parameter, "lookup(\"location\"); xlog(\"$rU\");", "");
        server.receive(&register("<sip:old@198.51.100.7>;q=0.9"));
        server.pass(2);
        server.receive(&register("<sip:new@198.51.100.8>;q=0.1").cseq(2));
        server.receive(&Request::new("INVITE sip:bob@example.com")).log.join("")
    };
    assert_eq!(first(""), "old");
    assert_eq!(first("modparam(\"usrloc\", \"desc_time_order\", 1)"), "new");
}

#[test]
fn matching_mode_1_compares_the_call_id_too() {
    let contacts = |parameter: &str| {
        let mut server = server(parameter, "exit;", "");
        server.receive(&register(BOB));
        server.receive(&register(BOB).call_id("after a restart").cseq(2));
        server.node.location.domain("location").unwrap().statistics().contacts
    };
    assert_eq!(contacts(""), 1);
    assert_eq!(contacts("modparam(\"usrloc\", \"matching_mode\", 1)"), 2);
}

#[test]
fn cseq_delay_says_how_long_an_equal_cseq_is_a_retransmission() {
    let again = |parameter: &str, after_s: u64| {
        let mut server = server(parameter, "exit;", "");
        server.receive(&register(BOB));
        server.pass(after_s);
        server.receive(&register(BOB)).only().start().to_owned()
    };
    assert_eq!(again("", 19), "SIP/2.0 200 OK");
    assert_eq!(again("", 21), "SIP/2.0 400 Bad Request");
    assert_eq!(again("modparam(\"usrloc\", \"cseq_delay\", 5)", 7), "SIP/2.0 400 Bad Request");
}

#[test]
fn nat_bflag_marks_contacts_whose_source_the_path_names() {
    let script = "if (is_method(\"REGISTER\")) { save(\"location\", \"path-off,path-received\"); exit; }
        lookup(\"location\"); isbflagset(NAT); xlog(\"$rc\");";
    let flagged = |parameter: &str| {
        let mut server =
            Server::new(&route(script).replacen("route {", &format!("{parameter}\nroute {{"), 1));
        server.receive(&register(BOB).header("Path: <sip:192.0.2.50;lr;received=sip:203.0.113.5:4444>"));
        server.receive(&Request::new("INVITE sip:bob@example.com")).log.join("")
    };
    assert_eq!(flagged("modparam(\"usrloc\", \"nat_bflag\", \"NAT\")"), "1");
    assert_eq!(flagged(""), "-1");
}

#[test]
fn presets_that_are_not_provided_are_refused_by_name() {
    let script = |preset: &str| {
        route("exit;").replacen(
            "route {",
            &format!("modparam(\"usrloc\", \"working_mode_preset\", §\"{preset}\")\nroute {{"),
            1,
        )
    };
    for preset in ["full-sharing-cluster", "federation-cluster"] {
        refused(&script(preset), &["is not provided yet", preset]);
    }
    refused(&script("single"), &["there is no such preset"]);
}

const BOBS_KEY: &str = "\"location\", \"bob@example.com\", \"route\"";

/// What statements log about bob, who is registered.
fn about_bob(parameters: &str, statements: &str) -> Vec<String> {
    let mut server = server(parameters, statements, "");
    server.receive(&register(BOB));
    server.receive(&Request::new("OPTIONS sip:bob@example.com").header("X-Route: <sip:r;lr>, \"q\\\"")).log
}

#[test]
fn values_are_kept_with_an_address_of_record() {
    let statements = format!(
        "ul_get_key({BOBS_KEY}, $var(none)); xlog(\"$rc $var(none)\");
         ul_add_key(\"location\", \"sip:bob@EXAMPLE.com\", \"route\", \"$hdr(X-Route)\"); xlog(\"$rc\");
         ul_add_key(\"location\", \"bob@example.com\", \"n\", \"1\"); xlog(\"$rc\");
         ul_get_key({BOBS_KEY}, $var(v)); xlog(\"$rc $var(v)\");
         ul_del_key({BOBS_KEY}); xlog(\"$rc\");
         ul_get_key({BOBS_KEY}, $avp(v)); xlog(\"$rc $avp(v)\");
         ul_add_key(\"location\", \"bob@example.com\", \"n\", \"2\");
         ul_get_key(\"location\", \"bob@example.com\", \"n\", $avp(v)); xlog(\"$rc $avp(v)\");
         ul_add_key(\"location\", \"bob@example.com\", \"n\"); xlog(\"$rc\");
         ul_add_key(\"location\", \"bob@example.com\", \"m\", \"\"); xlog(\"$rc\");
         ul_get_key(\"location\", \"bob@example.com\", \"n\", $var(n)); xlog(\"$rc\");"
    );
    let expected = ["-1 0", "1", "1", "1 <sip:r;lr>, \"q\\\"", "1", "-1 <null>", "1 2", "1", "1", "-1"];
    assert_eq!(about_bob("", &statements), expected);
}

#[test]
fn values_need_a_record_and_have_a_bound() {
    let statements = "ul_add_key(\"location\", \"carol@example.com\", \"k\", \"v\"); xlog(\"$rc\");
        ul_del_key(\"location\", \"carol@example.com\", \"k\"); xlog(\"$rc\");
        ul_add_key(\"location\", \"sip:no user\", \"k\", \"v\"); xlog(\"$rc\");
        $var(long) = \"0123456789abcdef\"; $var(i) = 0;
        while ($var(i) < 8) { $var(long) = $var(long) + $var(long); $var(i) = $var(i) + 1; }
        ul_add_key(\"location\", \"bob@example.com\", \"k\", \"v\"); xlog(\"$rc\");
        ul_add_key(\"location\", \"bob@example.com\", \"k\", $var(long)); xlog(\"$rc\");
        ul_get_key(\"location\", \"bob@example.com\", \"k\", $var(v)); xlog(\"$rc $var(v)\");";
    assert_eq!(about_bob("", statements), ["-1", "-1", "-1", "1", "-1", "1 v"]);
    let statements = "ul_add_key(\"location\", \"bob\", \"k\", \"v\"); xlog(\"$rc\");
        ul_get_key(\"location\", \"sip:bob@anywhere\", \"k\", $var(v)); xlog(\"$rc $var(v)\");";
    assert_eq!(about_bob("modparam(\"usrloc\", \"use_domain\", 0)", statements), ["1", "1 v"]);
    assert_eq!(about_bob("", statements), ["-1", "-1 0"]);
}

#[test]
fn values_stay_through_a_refresh_and_end_with_the_last_binding() {
    let statements = "if ($hdr(X-Set) != NULL) ul_add_key(\"location\", \"bob@example.com\", \"k\", \"v\");
        ul_get_key(\"location\", \"bob@example.com\", \"k\", $var(v)); xlog(\"$rc $var(v)\");";
    let mut server = server("", statements, "");
    let ask = Request::new("OPTIONS sip:bob@example.com");
    server.receive(&register(BOB));
    assert_eq!(server.receive(&ask.clone().header("X-Set: 1")).log, ["1 v"]);
    server.receive(&register(BOB).cseq(2));
    server.receive(&register("<sip:bob@198.51.100.8>").cseq(3));
    server.receive(&register(&format!("{BOB};expires=0")).cseq(4));
    assert_eq!(server.receive(&ask.clone().call_id("2")).log, ["1 v"]);
    server.pass(3601);
    assert_eq!(server.receive(&ask.clone().call_id("3")).log, ["-1 0"]);
    server.receive(&register(BOB).cseq(5));
    assert_eq!(server.receive(&ask.call_id("4")).log, ["-1 0"]);
}

#[test]
fn key_value_functions_have_their_arguments() {
    check_refused("§ul_add_key(\"location\", \"a\");", &["needs its argument `key`"]);
    check_refused("ul_add_key(§\"a b\", \"a\", \"k\");", &["letters, digits and _"]);
    check_refused("§ul_get_key(\"location\", \"a\", \"k\");", &["needs its argument `destination`"]);
    check_refused("ul_get_key(\"location\", \"a\", \"k\", §\"v\");", &["is a variable"]);
    check_refused("§ul_del_key(\"location\", \"a\");", &["needs its argument `key`"]);
    check_refused("ul_del_key(\"location\", \"a\", \"k\", §\"v\");", &["4 given"]);
}

#[test]
fn the_parameters_are_those_of_the_document() {
    const INT: &str = "takes an integer";
    const STR: &str = "takes a string";
    let mut rows = vec![
        row("nat_bflag", "", "\"NAT\"", "3", STR),
        row(
            "working_mode_preset",
            "single-instance-no-db",
            "\"single-instance-no-db\"",
            "\"x\"",
            "no such preset",
        ),
        row("use_domain", "1", "0", "\"no\"", INT),
        row("desc_time_order", "0", "1", "\"no\"", INT),
        row("timer_interval", "60", "30", "0", "from 1 second to a day"),
        row("matching_mode", "0", "1", "2", "0 (contact URI) or 1"),
        row("cseq_delay", "20", "5", "\"soon\"", INT),
        row("hash_size", "9", "14", "\"big\"", INT),
        row("regen_broken_contactid", "0", "1", "\"no\"", INT),
        row("contact_refresh_timer", "0", "true", "\"no\"", INT),
        row("mi_dump_kv_store", "0", "1", "\"no\"", INT),
        row("latency_event_min_us", "0", "425000", "\"x\"", INT),
        row("latency_event_min_us_delta", "0", "300000", "\"x\"", INT),
        row("pinging_mode", "", "\"cooperation\"", "1", STR),
        row("db_url", "", "\"sqlite:///var/lib/seawall/location.db\"", "\"sqlite:/\"", "sqlite:///"),
        row(
            "restart_persistency",
            "none",
            "\"load-from-sql\"",
            "\"sync-from-cluster\"",
            "clustering is not provided yet",
        ),
        row("sql_write_mode", "none", "\"write-back\"", "\"sometimes\"", "none, write-through or write-back"),
        row(
            "cluster_mode",
            "none",
            "\"sql-only\"",
            "\"federation-cachedb\"",
            "clustering is not provided yet",
        ),
        row("location_cluster", "0", "1", "\"one\"", INT),
        row("ha_cluster", "0", "1", "\"one\"", INT),
        row("ha_shtag", "", "\"vip\"", "1", STR),
        row("skip_replicated_db_ops", "0", "1", "\"no\"", INT),
        row("shared_pinging", "0", "1", "\"no\"", INT),
        row("cachedb_url", "", "\"mongodb://10.0.0.4:27017/db.col\"", "1", STR),
        row("max_contact_delete", "10", "20", "\"x\"", INT),
    ];
    for (name, default) in [
        ("contact_id_column", "contact_id"),
        ("user_column", "username"),
        ("domain_column", "domain"),
        ("contact_column", "contact"),
        ("expires_column", "expires"),
        ("q_column", "q"),
        ("callid_column", "callid"),
        ("cseq_column", "cseq"),
        ("methods_column", "methods"),
        ("flags_column", "flags"),
        ("cflags_column", "cflags"),
        ("user_agent_column", "user_agent"),
        ("received_column", "received"),
        ("socket_column", "socket"),
        ("path_column", "path"),
        ("sip_instance_column", "sip_instance"),
        ("kv_store_column", "kv_store"),
        ("attr_column", "attr"),
        ("last_modified_column", "last_modified"),
    ] {
        rows.push(row(name, default, "\"other\"", "\"a column\"", "letters, digits and underscores"));
    }
    check_parameters("usrloc", &rows);
}

#[test]
fn a_register_is_refused_when_too_much_waits_for_the_database_and_look_ups_go_on() {
    let store = "modparam(\"usrloc\", \"working_mode_preset\", \"single-instance-sql-write-through\")
        modparam(\"usrloc\", \"db_url\", \"sqlite:///nowhere/location.db\")
        modparam(\"registrar\", \"retry_after\", 9)
        modparam(\"mid_registrar\", \"retry_after\", 8)";
    for (save, after) in [("save(\"location\")", "9"), ("mid_registrar_save(\"location\")", "8")] {
        let script = route(&format!(
            "if (is_method(\"REGISTER\")) {{ {save}; xlog(\"$rc\"); exit; }} lookup(\"location\"); xlog(\"$rU $rc\");"
        ));
        let mut server = Server::new(&script.replacen("route {", &format!("{store}\nroute {{"), 1));
        let journal = &server.node.store.journal;
        for _ in 0..seawall_modules::store::limits::JOURNAL {
            journal.open(0, b"somebody");
        }
        let run = server.receive(&register(BOB));
        assert_eq!(run.log, ["-1"], "{save}");
        assert_eq!(run.reply(503).header("Retry-After"), after, "{save}");
        assert_eq!(server.node.location.domain("location").unwrap().statistics().contacts, 0);
        let asked = server.receive(&Request::new("OPTIONS sip:bob@example.com").call_id("2"));
        assert_eq!(asked.log, ["bob -1"], "{save}");
    }
}
