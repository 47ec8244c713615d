//! Modules `auth_db` and `db_sqlite`.

use seawall_modules::auth_db::manage::{self, ManageError};

use crate::harness::{
    Client, Folder, Request, Run, Server, check_parameters, check_refused, check_warned, hash, program,
    refused, route, row,
};

const ALICE: &str = "INSERT INTO subscriber (username, domain, password, ha1, rpid, email_address) VALUES \
    ('alice', 'example.com', 'wonder', 'HA1', 'sip:+15550100@example.com', 'alice@mail.example');";

/// A database with alice, whose password is `wonder`, as a password and as its MD5 hash.
fn with_alice() -> Folder {
    Folder::with(&ALICE.replace("HA1", &hash("MD5", "alice:example.com:wonder")))
}

fn script(folder: &Folder, parameters: &str, statements: &str) -> String {
    let url = folder.url();
    route(statements).replacen(
        "route {",
        &format!("modparam(\"auth_db\", \"db_url\", \"{url}\")\n{parameters}\nroute {{"),
        1,
    )
}

const WWW: &str = "$var(rc) = www_authorize(\"\", \"subscriber\"); xlog(\"$var(rc)\"); \
                   if ($var(rc) < 0) www_challenge(\"\", \"auth\"); xlog(\"in as $au\");";

fn register() -> Request {
    Request::register(&["<sip:alice@198.51.100.7:5070>"])
        .from("<sip:alice@example.com>;tag=from-tag")
        .to("<sip:alice@example.com>")
}

fn log_in(server: &mut Server, user: &'static str, password: &'static str) -> Run {
    let challenge = server.receive(&register()).reply(401).header("WWW-Authenticate");
    let value = Client::new(user, password).answer(&challenge, "REGISTER", "sip:example.com", Some("auth"));
    server.receive(&register().cseq(2).header(&format!("Authorization: {value}")))
}

#[test]
fn www_authorize_looks_the_user_up_and_remembers_him() {
    let folder = with_alice();
    let mut server = Server::new(&script(&folder, "", WWW));
    // Without credentials nobody is asked.
    assert_eq!(server.receive(&register()).waits, 0);
    let first = log_in(&mut server, "alice", "wonder");
    assert_eq!((first.log, first.waits), (vec!["1".to_owned(), "in as alice".to_owned()], 1));
    let second = log_in(&mut server, "alice", "wonder");
    assert_eq!((second.log[0].as_str(), second.waits), ("1", 0));
    // Nobody is remembered too, for a moment.
    let nobody = log_in(&mut server, "bob", "wonder");
    assert_eq!((nobody.log[0].as_str(), nobody.waits), ("-1", 1));
    assert_eq!(log_in(&mut server, "bob", "wonder").waits, 0);
    server.pass(6);
    assert_eq!(log_in(&mut server, "bob", "wonder").waits, 1);
}

#[test]
fn proxy_authorize_does_the_same_for_calls() {
    let folder = with_alice();
    let statements = "$var(rc) = proxy_authorize(\"\", \"subscriber\"); xlog(\"$var(rc)\"); \
                      if ($var(rc) < 0) proxy_challenge(\"\", \"auth\"); consume_credentials(); t_relay();";
    let mut server = Server::new(&script(&folder, "", statements));
    let challenge = server.receive(&Request::invite()).reply(407).header("Proxy-Authenticate");
    let value = Client::new("alice", "wonder").answer(&challenge, "INVITE", "sip:bob@h", Some("auth"));
    let call = Request::invite().cseq(2).header(&format!("Proxy-Authorization: {value}"));
    let run = server.receive(&call.via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-2"));
    assert_eq!((run.log.as_slice(), run.waits), (&["1".to_owned()][..], 1));
    assert_eq!(run.request("INVITE").header("Proxy-Authorization"), "");
}

#[test]
fn a_changed_password_is_noticed_and_a_guess_does_not_keep_the_database_busy() {
    let folder = with_alice();
    let mut server = Server::new(&script(&folder, "", WWW));
    assert_eq!(log_in(&mut server, "alice", "wonder").log[0], "1");
    folder.sql(&format!("UPDATE subscriber SET ha1 = '{}'", hash("MD5", "alice:example.com:land")));
    server.pass(2);
    let changed = log_in(&mut server, "alice", "land");
    assert_eq!((changed.log[0].as_str(), changed.waits), ("1", 1));
    assert_eq!(log_in(&mut server, "alice", "wonder").log[0], "-2");
    let guess = log_in(&mut server, "alice", "guess");
    assert_eq!((guess.log[0].as_str(), guess.waits), ("-2", 0));
}

#[test]
fn cache_ttl_bounds_how_long_a_removed_user_gets_in() {
    let check = |ttl_s: u32, after_s: u64, expected: &str| {
        let folder = with_alice();
        let parameter = format!("modparam(\"auth_db\", \"cache_ttl\", {ttl_s})");
        let mut server = Server::new(&script(&folder, &parameter, WWW));
        assert_eq!(log_in(&mut server, "alice", "wonder").log[0], "1");
        folder.sql("DELETE FROM subscriber");
        server.pass(after_s);
        assert_eq!(log_in(&mut server, "alice", "wonder").log[0], expected, "{ttl_s} {after_s}");
    };
    check(60, 50, "1");
    check(60, 60, "-1");
    check(0, 1, "-1");
}

#[test]
fn calculate_ha1_and_password_column_say_what_is_stored() {
    let check = |parameters: &str, expected: &str| {
        let folder = with_alice();
        let mut server = Server::new(&script(&folder, parameters, WWW));
        assert_eq!(log_in(&mut server, "alice", "wonder").log[0], expected, "{parameters}");
    };
    let plain = "modparam(\"auth_db\", \"password_column\", \"password\")";
    check(&format!("{plain}\nmodparam(\"auth_db\", \"calculate_ha1\", yes)"), "1");
    check(plain, "-2");
    check("modparam(\"auth_db\", \"calculate_ha1\", 1)", "-2");
}

#[test]
fn each_algorithm_has_its_column() {
    let check = |parameters: &str, algorithm: &str, column: &str, expected: &str| {
        let made = hash(algorithm, "alice:example.com:wonder");
        let folder = Folder::with(&format!(
            "ALTER TABLE subscriber ADD COLUMN other CHAR(64) DEFAULT '' NOT NULL;
             INSERT INTO subscriber (username, domain, {column}) VALUES ('alice', 'example.com', '{made}')"
        ));
        let statements = WWW.replace("\"auth\"", &format!("\"auth\", \"{algorithm}\""));
        let mut server = Server::new(&script(&folder, parameters, &statements));
        assert_eq!(log_in(&mut server, "alice", "wonder").log[0], expected, "{algorithm} {column}");
    };
    check("", "SHA-256", "ha1_sha256", "1");
    check("", "SHA-256-sess", "ha1_sha256", "1");
    check("", "SHA-512-256", "ha1_sha512t256", "1");
    check("", "SHA-512-256", "ha1_sha256", "-2");
    check("modparam(\"auth_db\", \"hash_column_sha256\", \"other\")", "SHA-256", "other", "1");
    check("modparam(\"auth_db\", \"hash_column_sha512t256\", \"other\")", "SHA-512-256", "other", "1");
}

#[test]
fn use_domain_tells_users_of_two_domains_apart() {
    let check = |parameters: &str, user: &'static str, expected: &str| {
        let folder = Folder::with(&format!(
            "INSERT INTO subscriber (username, domain, ha1) VALUES ('alice', 'other.example', '{}')",
            hash("MD5", &format!("{user}:example.com:wonder"))
        ));
        let mut server = Server::new(&script(&folder, parameters, WWW));
        assert_eq!(log_in(&mut server, user, "wonder").log[0], expected, "{parameters} {user}");
    };
    check("", "alice", "-1");
    check("modparam(\"auth_db\", \"use_domain\", no)", "alice", "1");
    // Where the realm is the domain of the address, a user of another domain is somebody else …
    check("", "alice@other.example", "-1");
    // … and where it is a name for all, the domain in the user name counts.
    let folder = Folder::with(
        "INSERT INTO subscriber (username, domain, password) VALUES ('alice', 'other.example', 'wonder')",
    );
    let plain = "modparam(\"auth_db\", \"calculate_ha1\", 1)\nmodparam(\"auth_db\", \"password_column\", \"password\")";
    let mut server = Server::new(&script(&folder, plain, WWW));
    assert_eq!(log_in(&mut server, "alice@other.example", "wonder").log[0], "-1");
    let mut server = Server::new(&script(&folder, plain, &WWW.replace("\"\"", "\"all\"")));
    assert_eq!(log_in(&mut server, "alice@other.example", "wonder").log[0], "1");
}

#[test]
fn the_columns_of_users_can_have_other_names() {
    let folder = Folder::with(&format!(
        "CREATE TABLE members (name TEXT, home TEXT, ha1 TEXT, ha1_sha256 TEXT, ha1_sha512t256 TEXT);
         INSERT INTO members (name, home, ha1) VALUES ('alice', 'example.com', '{}')",
        hash("MD5", "alice:example.com:wonder")
    ));
    let parameters = "modparam(\"auth_db\", \"user_column\", \"name\")\n\
                      modparam(\"auth_db\", \"domain_column\", \"home\")";
    let statements = WWW.replace("subscriber", "members");
    let versioned = format!("{parameters}\nmodparam(\"auth_db\", \"skip_version_check\", 1)");
    let mut server = Server::new(&script(&folder, &versioned, &statements));
    assert_eq!(log_in(&mut server, "alice", "wonder").log[0], "1");
    // Without skip_version_check a table has to have its version.
    let mut server = Server::new(&script(&folder, parameters, &statements));
    let run = log_in(&mut server, "alice", "wonder");
    assert_eq!(run.log[0], "-5");
    assert!(run.lines.iter().any(|line| line.text.contains("has no row for `members`")), "{:?}", run.lines);
}

#[test]
fn load_credentials_keeps_columns_of_the_user_in_variables() {
    let folder = with_alice();
    let parameters = "modparam(\"auth_db\", \"load_credentials\", \"$avp(13)=rpid; email_address;id\")";
    let statements = format!("{WWW} xlog(\"$avp(13) $avp(email_address) $avp(id)\");");
    let mut server = Server::new(&script(&folder, parameters, &statements));
    for waits in [1, 0] {
        let run = log_in(&mut server, "alice", "wonder");
        assert_eq!(
            (run.log[2].as_str(), run.waits),
            ("sip:+15550100@example.com alice@mail.example 1", waits)
        );
    }
    let wrong =
        format!("{} xlog(\"$avp(13)\");", WWW.replace("www_challenge(\"\", \"auth\")", "xlog(\"no\")"));
    let mut server =
        Server::new(&script(&folder, parameters, &wrong.replace("$var(rc) < 0", "$var(rc) == -2")));
    let challenge = Server::new(&script(&folder, "", WWW)).receive(&register());
    let value = Client::new("alice", "x").answer(
        &challenge.reply(401).header("WWW-Authenticate"),
        "REGISTER",
        "sip:example.com",
        Some("auth"),
    );
    let run = server.receive(&register().header(&format!("Authorization: {value}")));
    assert_eq!((run.log[0].as_str(), run.log[1].as_str(), run.log[3].as_str()), ("-2", "no", "<null>"));
}

#[test]
fn a_database_that_fails_is_answered_with_500_and_comes_back() {
    let folder = Folder::new();
    std::fs::create_dir(folder.file()).unwrap();
    let mut server = Server::new(&script(&folder, "", WWW));
    let run = log_in(&mut server, "alice", "wonder");
    assert_eq!(run.log, ["-5"]);
    let reply = run.only();
    assert_eq!(
        (reply.start(), reply.header("Retry-After")),
        ("SIP/2.0 500 Server Internal Error", "10".to_owned())
    );
    assert!(run.lines.iter().any(|line| line.text.contains("cannot open the database")), "{:?}", run.lines);
    std::fs::remove_dir(folder.file()).unwrap();
    assert_eq!(log_in(&mut server, "alice", "wonder").log[0], "-1");
    // Nothing answers in time.
    let folder = with_alice();
    let mut server = Server::new(&script(&folder, "", WWW));
    server.deaf = true;
    assert_eq!(log_in(&mut server, "alice", "wonder").only().start(), "SIP/2.0 500 Server Internal Error");
    // Those who show no credentials are challenged as ever.
    assert_eq!(server.receive(&register()).only().start(), "SIP/2.0 401 Unauthorized");
}

#[test]
fn without_db_url_the_default_of_all_modules_counts() {
    let folder = with_alice();
    let none = route(WWW);
    assert_eq!(log_in(&mut Server::new(&none), "alice", "wonder").log, ["-5"]);
    let default = format!("db_default_url=\"{}\"\n{none}", folder.url());
    assert_eq!(log_in(&mut Server::new(&default), "alice", "wonder").log[0], "1");
}

const URIS: &str = "INSERT INTO uri (username, domain, uri_user) VALUES ('alice', 'example.com', 'office');";

#[test]
fn db_is_to_authorized_and_db_is_from_authorized_ask_who_may_be_whom() {
    let folder = with_alice();
    folder.sql(URIS);
    let statements = format!(
        "{WWW} db_is_to_authorized(\"uri\"); xlog(\"$rc\"); \
                              db_is_from_authorized(\"uri\"); xlog(\"$rc\");"
    );
    let check = |parameters: &str, to: &str, from: &str, expected: [&str; 2]| {
        let mut server = Server::new(&script(&folder, parameters, &statements));
        let request = || {
            register().to(&format!("<sip:{to}@example.com>")).from(&format!("<sip:{from}@example.com>;tag=t"))
        };
        let challenge = server.receive(&request()).reply(401).header("WWW-Authenticate");
        let mut client = Client::new("alice", "wonder");
        let value = client.answer(&challenge, "REGISTER", "sip:example.com", Some("auth"));
        let run = server.receive(&request().header(&format!("Authorization: {value}")));
        assert_eq!(run.log[2..], expected, "{to} {from}");
    };
    check("", "office", "office", ["1", "1"]);
    check("", "%6fffice", "boss", ["1", "-1"]);
    check("", "boss", "office", ["-1", "1"]);
    folder.sql("UPDATE uri SET domain = 'other.example'");
    check("", "office", "office", ["-1", "-1"]);
    check("modparam(\"auth_db\", \"use_domain\", 0)", "office", "office", ["1", "1"]);
    // The columns may have other names.
    folder.sql("UPDATE uri SET domain = 'example.com'; ALTER TABLE uri RENAME COLUMN username TO who; \
                ALTER TABLE uri RENAME COLUMN domain TO realm; ALTER TABLE uri RENAME COLUMN uri_user TO is_whom");
    let renamed = "modparam(\"auth_db\", \"uri_user_column\", \"who\")\n\
                   modparam(\"auth_db\", \"uri_domain_column\", \"realm\")\n\
                   modparam(\"auth_db\", \"uri_uriuser_column\", \"is_whom\")";
    check(renamed, "office", "boss", ["1", "-1"]);
    // Nobody was authenticated.
    let run = Server::new(&script(&folder, "", "db_is_to_authorized(\"uri\"); xlog(\"$rc\");"))
        .receive(&register());
    assert_eq!((run.log[0].as_str(), run.waits), ("-1", 0));
}

#[test]
fn db_does_uri_exist_asks_for_a_user() {
    let folder = with_alice();
    let check = |parameters: &str, uri: &str, expected: &str| {
        let statements = format!("db_does_uri_exist(\"{uri}\", \"subscriber\"); xlog(\"$rc\");");
        let run = Server::new(&script(&folder, parameters, &statements)).receive(&register());
        assert_eq!(run.log, [expected], "{uri}");
    };
    check("", "sip:alice@example.com", "1");
    check("", "sip:%61lice@Example.Com;transport=tcp", "1");
    check("", "sip:bob@example.com", "-1");
    check("", "sip:alice@other.example", "-1");
    check("", "sip:example.com", "-1");
    check("", "tel:+15550100", "-1");
    check("modparam(\"auth_db\", \"use_domain\", 0)", "sip:alice@other.example", "1");
}

#[test]
fn db_get_auth_id_finds_who_may_use_a_uri() {
    let folder = with_alice();
    folder.sql(URIS);
    let check = |uri: &str, expected: &[&str]| {
        let statements = format!(
            "if (db_get_auth_id(\"uri\", \"{uri}\", $avp(id), $var(realm))) xlog(\"$avp(id) $var(realm)\"); \
             else xlog(\"nobody\");"
        );
        assert_eq!(
            Server::new(&script(&folder, "", &statements)).receive(&register()).log,
            expected,
            "{uri}"
        );
    };
    check("sip:office@example.com", &["alice example.com"]);
    check("sip:boss@example.com", &["nobody"]);
    check("sip:example.com", &["nobody"]);
}

#[test]
fn tables_that_are_named_at_run_time_are_checked_too() {
    let folder = with_alice();
    let statements = WWW.replace("\"subscriber\"", "$var(table)");
    let check = |table: &str, expected: &str| {
        let statements = format!("$var(table) = \"{table}\"; {statements}");
        let mut server = Server::new(&script(&folder, "", &statements));
        assert_eq!(log_in(&mut server, "alice", "wonder").log[0], expected, "{table}");
    };
    check("subscriber", "1");
    check("subscriber; DROP TABLE subscriber", "-5");
}

#[test]
fn users_are_managed_and_heard_at_once() {
    let folder = Folder::new();
    let server = Server::new(&script(
        &folder,
        "modparam(\"auth_db\", \"user_realm\", \"example.com\")\n\
        modparam(\"auth_db\", \"use_domain\", 0)",
        WWW,
    ));
    let mut server = server;
    let configuration = server.node.configuration.load_full();
    let settings = configuration.settings.auth_db.as_ref().unwrap();
    let node = std::sync::Arc::clone(&server.node);
    assert_eq!(log_in(&mut server, "alice", "wonder").log[0], "-1");
    server.block_on(manage::add(settings, &node, "alice", "wonder")).unwrap();
    assert_eq!(log_in(&mut server, "alice", "wonder").log[0], "1");
    let again = server.block_on(manage::add(settings, &node, "alice", "x"));
    assert!(matches!(again, Err(ManageError::Exists)));
    server.block_on(manage::change(settings, &node, "alice", "land")).unwrap();
    assert_eq!(log_in(&mut server, "alice", "wonder").log[0], "-2");
    assert_eq!(log_in(&mut server, "alice", "land").log[0], "1");
    server.block_on(manage::add(settings, &node, "bob@b.example", "secret")).unwrap();
    assert_eq!(server.block_on(manage::list(settings, &node, 0)).unwrap(), ["alice", "bob@b.example"]);
    server.block_on(manage::remove(settings, &node, "alice")).unwrap();
    assert_eq!(log_in(&mut server, "alice", "land").log[0], "-1");
    let gone = server.block_on(manage::remove(settings, &node, "alice"));
    assert!(matches!(gone, Err(ManageError::Unknown)));
    for (name, password) in [("", "x"), ("a b", "x"), ("a\"b", "x"), ("alice", ""), ("alice", "a\nb")] {
        let refused = server.block_on(manage::add(settings, &node, name, password));
        assert!(matches!(refused, Err(ManageError::Refused(_))), "{name:?} {password:?}");
    }
    // What another program changed is read after this.
    folder.sql("DELETE FROM subscriber");
    manage::forget(settings, Some("bob@b.example"));
    manage::forget(settings, None);
}

#[test]
fn users_are_stored_as_the_script_reads_them() {
    let check = |parameters: &str, name: &str, expected: &str| {
        let folder = Folder::new();
        let mut server = Server::new(&script(&folder, parameters, WWW));
        let configuration = server.node.configuration.load_full();
        let settings = configuration.settings.auth_db.as_ref().unwrap();
        let node = std::sync::Arc::clone(&server.node);
        match server.block_on(manage::add(settings, &node, name, "wonder")) {
            Ok(()) => assert_eq!(log_in(&mut server, "alice", "wonder").log[0], expected, "{parameters}"),
            Err(ManageError::Refused(_)) => assert_eq!(expected, "refused", "{parameters}"),
            Err(other) => panic!("{other:?}"),
        }
    };
    check("", "alice@example.com", "1");
    check("", "alice@Example.Com", "1");
    check("", "alice@other.example", "-1");
    check("", "alice", "refused");
    check("modparam(\"auth_db\", \"use_domain\", 0)", "alice", "refused");
    let plain = "modparam(\"auth_db\", \"calculate_ha1\", 1)\nmodparam(\"auth_db\", \"password_column\", \"password\")";
    check(plain, "alice@example.com", "1");
    check(&format!("{plain}\nmodparam(\"auth_db\", \"use_domain\", 0)"), "alice", "1");
    // Another table for the commands than for the script: nobody is found.
    let table = "modparam(\"auth_db\", \"user_table\", \"uri\")";
    program(&script(&Folder::new(), table, WWW));
}

#[test]
fn busy_timeout_and_exec_pragma_reach_sqlite() {
    let add = |folder: &Folder, parameters: &str| {
        let users = "modparam(\"auth_db\", \"use_domain\", 0)\nmodparam(\"auth_db\", \"user_realm\", \"r\")";
        let server = Server::new(&script(folder, &format!("{parameters}\n{users}"), WWW));
        let configuration = server.node.configuration.load_full();
        let settings = configuration.settings.auth_db.as_ref().unwrap();
        match server.block_on(manage::add(settings, &server.node, "bob", "secret")) {
            Err(ManageError::Storage(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let pragmas = "modparam(\"db_sqlite\", \"exec_pragma\", \"foreign_keys=on\")\n\
                   modparam(\"db_sqlite\", \"exec_pragma\", \"query_only = 1\")";
    assert!(add(&with_alice(), pragmas).contains("may only be read"));
    // Another program writes for longer than the patience lasts.
    let folder = with_alice();
    let began = std::time::Instant::now();
    let error = folder.locked(|| add(&folder, "modparam(\"db_sqlite\", \"busy_timeout\", 900)"));
    assert!(error.contains("locked"), "{error}");
    assert!(began.elapsed() >= std::time::Duration::from_millis(900));
}

#[test]
fn wrong_arguments_are_refused() {
    for function in ["www_authorize", "proxy_authorize"] {
        check_refused(&format!("§{function}(\"\");"), &[function, "needs its argument `table`"]);
        check_refused(&format!("{function}(\"\", §\"a b\");"), &["letters, digits and underscores only"]);
        check_refused(&format!("{function}(\"\", \"t\", §1);"), &["takes 2 arguments, 3 given"]);
    }
    for function in ["db_is_to_authorized", "db_is_from_authorized"] {
        check_refused(&format!("§{function}();"), &[function, "needs its argument `table`"]);
        check_refused(&format!("{function}(§\"a;b\");"), &["letters, digits and underscores only"]);
    }
    check_refused("§db_does_uri_exist(\"sip:a@b\");", &["needs its argument `table`"]);
    check_refused("db_does_uri_exist(\"sip:a@b\", §\"1\");", &["letters, digits and underscores only"]);
    check_refused("§db_get_auth_id(\"uri\", \"sip:a@b\", $avp(a));", &["needs its argument `realm`"]);
    check_refused("db_get_auth_id(\"uri\", \"sip:a@b\", §\"a\", $avp(b));", &["`auth`"]);
    refused(
        &format!("{}\nfailure_route[x] {{ §www_authorize(\"\", \"subscriber\"); }}", route("exit;")),
        &["www_authorize", "cannot be called"],
    );
}

#[test]
fn the_parameters_of_auth_db_are_those_of_the_document() {
    const INT: &str = "takes an integer";
    const NAME: &str = "letters, digits and underscores";
    check_parameters(
        "auth_db",
        &[
            row(
                "db_url",
                "",
                "\"sqlite:///tmp/x.db\"",
                "\"oracle://u:p@h/d\"",
                "there are no oracle databases here",
            ),
            row("calculate_ha1", "0", "yes", "\"maybe\"", INT),
            row("use_domain", "1", "no", "\"maybe\"", INT),
            row(
                "load_credentials",
                "",
                "\"$avp(13)=rpid;email_address\"",
                "\"$var(x)=rpid\"",
                "a list of columns",
            ),
            row("skip_version_check", "0", "1", "\"maybe\"", INT),
            row("user_column", "username", "\"name\"", "\"a b\"", NAME),
            row("domain_column", "domain", "\"home\"", "\"a b\"", NAME),
            row("password_column", "ha1", "\"password\"", "\"a b\"", NAME),
            row("hash_column_sha256", "ha1_sha256", "\"other\"", "\"a b\"", NAME),
            row("hash_column_sha512t256", "ha1_sha512t256", "\"other\"", "\"a b\"", NAME),
            row("uri_user_column", "username", "\"who\"", "\"a b\"", NAME),
            row("uri_domain_column", "domain", "\"realm\"", "\"a b\"", NAME),
            row("uri_uriuser_column", "uri_user", "\"whom\"", "\"a b\"", NAME),
            row("cache_ttl", "3600", "60", "604801", "from 0 seconds to a week"),
            row("user_table", "subscriber", "\"members\"", "\"a b\"", NAME),
            row("user_realm", "", "\"office\"", "1", "takes a string"),
        ],
    );
    refused(
        "loadmodule \"signaling.so\"\nloadmodule \"auth.so\"\nloadmodule \"auth_db.so\"\n\
         modparam(\"auth_db\", \"db_url\", §\"users.db\")\nroute { exit; }\n",
        &["sqlite:///path/of/the/file.db"],
    );
}

#[test]
fn the_parameters_of_db_sqlite_are_those_of_the_document() {
    let script = |name: &str, value: &str| {
        let (mark, name) = name.strip_prefix('§').map_or(("", name), |name| ("§", name));
        format!(
            "loadmodule \"db_sqlite.so\"\nmodparam(\"db_sqlite\", {mark}\"{name}\", {value})\nroute {{ exit; }}\n"
        )
    };
    let names = ["alloc_limit", "load_extension", "busy_timeout", "exec_pragma"];
    let module = seawall_modules::MODULES.iter().find(|module| module.name == "db_sqlite").unwrap();
    assert_eq!(module.parameters.iter().map(|parameter| parameter.name).collect::<Vec<_>>(), names);
    program(&script("busy_timeout", "5000"));
    program(&script("exec_pragma", "\"journal_mode=wal\""));
    check_warned(&script("§alloc_limit", "25"), &["alloc_limit", "results grow as they are read"]);
    refused(&script("busy_timeout", "§60001"), &["at most a minute"]);
    refused(&script("exec_pragma", "§\"journal_mode\""), &["a setting is name=value"]);
    refused(&script("exec_pragma", "§\"a=b; DROP\""), &["a setting is name=value"]);
    refused(&script("load_extension", "§\"/usr/lib/x.so\""), &["extensions are not supported"]);
}
