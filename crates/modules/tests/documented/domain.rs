//! Module `domain`.

use crate::harness::{
    Folder, Request, Server, check_parameters, check_quiet, check_refused, check_warned, refused, route, row,
};

const DOMAINS: &str = "INSERT INTO domain (domain, attrs, accept_subdomain) VALUES
    ('example.com', 'class=gold', 0), ('wide.example', NULL, 1), ('192.0.2.7', '', 1)";

fn script(url: &str, mode: u8, statements: &str) -> String {
    let parameters = format!(
        "modparam(\"domain\", \"db_url\", \"{url}\")\nmodparam(\"domain\", \"db_mode\", {mode})\nroute {{"
    );
    route(statements).replacen("route {", &parameters, 1)
}

/// A server with the domains above; with `db_mode` 1 it has read them.
fn server(folder: &Folder, mode: u8, statements: &str) -> Server {
    let server = Server::new(&script(&folder.url(), mode, statements));
    if mode == 1 {
        load(&server);
    }
    server
}

fn load(server: &Server) {
    let settings = server.node.configuration.load().settings.domain.clone().unwrap();
    server.block_on(seawall_modules::domain::load(&settings, &server.node)).unwrap();
}

/// What `is_domain_local()` says of a host, and its attributes.
fn check(host: &str, expected: &str) {
    let folder = Folder::with(DOMAINS);
    for mode in [0, 1] {
        let statements =
            format!("$avp(a) = \"old\"; is_domain_local(\"{host}\", $avp(a)); xlog(\"$rc $avp(a)\");");
        let run = server(&folder, mode, &statements).receive(&Request::invite());
        assert_eq!(run.log, [expected], "{host}, db_mode {mode}");
    }
}

#[test]
fn is_domain_local_looks_for_a_host_and_the_names_above_it() {
    check("example.com", "1 class=gold");
    check("EXAMPLE.com.", "1 class=gold");
    check("sub.example.com", "-1 old");
    check("wide.example", "1 <null>");
    check("a.b.Wide.example", "1 <null>");
    check("a.192.0.2.7", "1 <null>");
    check("192.0.2.7", "1 <null>");
    check("nowhere.example", "-1 old");
    check("' OR '1' = '1", "-1 old");
}

#[test]
fn the_hosts_of_from_and_of_the_request_uri_are_looked_for() {
    let folder = Folder::with(DOMAINS);
    let statements = "is_from_local($var(attrs)); xlog(\"from $rc $var(attrs)\"); is_from_local(); xlog(\"from $rc\");
        is_uri_host_local(); xlog(\"uri $rc\"); $rd = \"a.wide.example\"; is_uri_host_local($avp(x)); xlog(\"uri $rc\");";
    for mode in [0, 1] {
        let request = Request::new("INVITE sip:bob@other.example").from("<sip:alice@Example.com:5070>;tag=1");
        let run = server(&folder, mode, statements).receive(&request);
        assert_eq!(run.log, ["from 1 class=gold", "from 1", "uri -1", "uri 1"], "db_mode {mode}");
        let stranger = Request::new("INVITE sip:bob@example.com").from("<sip:alice@elsewhere.example>;tag=1");
        let run =
            server(&folder, mode, "is_from_local(); xlog(\"$rc\"); is_uri_host_local(); xlog(\"$rc\");")
                .receive(&stranger);
        assert_eq!(run.log, ["-1", "1"], "db_mode {mode}");
    }
}

#[test]
fn in_a_branch_route_the_domains_in_memory_count() {
    let folder = Folder::with(DOMAINS);
    let statements = "$rd = \"192.0.2.7\"; t_on_branch(\"out\"); t_relay();";
    for (mode, expected) in [(0, "-1"), (1, "1")] {
        let text = script(&folder.url(), mode, statements);
        let text = format!("{text}branch_route[out] {{ is_uri_host_local(); xlog(\"$rc\"); }}\n");
        let mut server = Server::new(&text);
        if mode == 1 {
            load(&server);
        }
        let log = server.receive(&Request::new("INVITE sip:bob@example.com")).log;
        assert_eq!(log, [expected], "db_mode {mode}");
    }
}

#[test]
fn a_table_in_memory_is_read_again_when_it_is_told() {
    let folder = Folder::with(DOMAINS);
    let mut server = server(&folder, 1, "is_domain_local(\"new.example\"); xlog(\"$rc\");");
    folder.sql("INSERT INTO domain (domain) VALUES ('new.example')");
    assert_eq!(server.receive(&Request::invite()).log, ["-1"]);
    load(&server);
    assert_eq!(server.receive(&Request::invite().call_id("2")).log, ["1"]);
    let settings = server.node.configuration.load().settings.domain.clone().unwrap();
    let names: Vec<_> =
        settings.list().into_iter().map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect();
    assert_eq!(names, ["192.0.2.7", "example.com", "new.example", "wide.example"]);
    // When the database fails, what was read before counts.
    folder.sql("UPDATE version SET table_version = 3 WHERE table_name = 'domain'");
    let fresh = Server::new(&script(&folder.url(), 1, "exit;"));
    let settings = fresh.node.configuration.load().settings.domain.clone().unwrap();
    let error = fresh.block_on(seawall_modules::domain::load(&settings, &fresh.node)).unwrap_err();
    assert!(error.to_string().contains("has version 3"), "{error}");
}

#[test]
fn tables_and_columns_may_have_other_names_and_a_database_that_fails_has_no_domains() {
    let folder = Folder::with(
        "CREATE TABLE ours (name CHAR(64), notes CHAR(255), below INTEGER); INSERT INTO ours VALUES ('x.example', 'n', 2)",
    );
    let names = "modparam(\"domain\", \"domain_table\", \"ours\")\nmodparam(\"domain\", \"domain_col\", \"name\")
        modparam(\"domain\", \"attrs_col\", \"notes\")\nmodparam(\"domain\", \"subdomain_col\", \"below\")\nroute {";
    let statements = "is_domain_local(\"a.x.example\", $var(a)); xlog(\"$rc $var(a)\");";
    for mode in [0, 1] {
        let mut server = Server::new(&script(&folder.url(), mode, statements).replacen("route {", names, 1));
        if mode == 1 {
            load(&server);
        }
        assert_eq!(server.receive(&Request::invite()).log, ["1 n"]);
    }
    let mut broken = Server::new(&script("sqlite:///nowhere/at/all.db", 0, statements));
    assert_eq!(broken.receive(&Request::invite()).log, ["-1 0"]);
    let mut deaf = server(&folder, 0, statements);
    deaf.deaf = true;
    assert_eq!(deaf.receive(&Request::invite()).log, ["-1 0"]);
}

#[test]
fn what_is_wrong_is_refused_at_load() {
    check_refused("§is_domain_local();", &["needs its argument `domain`"]);
    check_refused("is_domain_local(\"a\", §\"b\");", &["is a variable"]);
    check_refused("is_from_local(§\"b\");", &["is a variable"]);
    check_refused("is_uri_host_local($var(a), §$var(b));", &["2 given"]);
    let misplaced = route("exit;") + "onreply_route[x] { §is_uri_host_local(); }\n";
    refused(&misplaced, &["is_uri_host_local"]);
    let asks =
        "loadmodule \"domain.so\"\nmodparam(\"domain\", \"db_url\", §\"sqlite:///d.db\")\nroute { exit; }\n";
    check_warned(asks, &["the database is asked for each domain"]);
    check_quiet(
        "loadmodule \"domain.so\"\nmodparam(\"domain\", \"db_url\", \"sqlite:///d.db\")\n\
         modparam(\"domain\", \"db_mode\", 1)\nroute { exit; }\n",
    );
}

#[test]
fn the_parameters_are_those_of_the_document() {
    const NAME: &str = "letters, digits and underscores";
    check_parameters(
        "domain",
        &[
            row("db_url", "", "\"sqlite:///var/lib/seawall/domains.db\"", "\"sqlite:/\"", "sqlite:///"),
            row("db_mode", "0", "1", "2", "0 (ask the database) or 1"),
            row("domain_table", "domain", "\"new_name\"", "\"a table\"", NAME),
            row("domain_col", "domain", "\"domain_name\"", "\"a column\"", NAME),
            row("attrs_col", "attrs", "\"attributes\"", "\"a column\"", NAME),
            row("subdomain_col", "accept_subdomain", "\"has_subdomain\"", "\"a column\"", NAME),
        ],
    );
}
