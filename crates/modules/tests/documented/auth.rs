//! Module `auth`.

use crate::harness::{
    Client, Request, Run, Server, check_parameters, check_refused, check_value, refused, route, row,
};

/// A script that has a user of its own: alice with the password `wonder`.
fn script(parameters: &str, statements: &str) -> String {
    route(&format!("$var(user) = \"alice\"; $var(password) = \"wonder\";\n{statements}")).replacen(
        "route {",
        &format!(
            "modparam(\"auth\", \"username_spec\", \"$var(user)\")\n\
             modparam(\"auth\", \"password_spec\", \"$var(password)\")\n\
             modparam(\"auth\", \"calculate_ha1\", 1)\n{parameters}\nroute {{"
        ),
        1,
    )
}

const WWW: &str = "$var(rc) = pv_www_authorize(\"\"); xlog(\"$var(rc)\"); if ($var(rc) < 0) www_challenge(\"\", \"auth\"); \
                   xlog(\"in as $au\");";

fn register() -> Request {
    Request::register(&["<sip:alice@198.51.100.7:5070>"]).from("<sip:alice@example.com>;tag=from-tag")
}

/// Sends a REGISTER, answers the challenge, and gives what came of the second request.
fn log_in(server: &mut Server, client: &mut Client, qop: Option<&str>) -> Run {
    let challenge = server.receive(&register()).reply(401).header("WWW-Authenticate");
    answer(server, client, &challenge, qop, 2)
}

fn answer(server: &mut Server, client: &mut Client, challenge: &str, qop: Option<&str>, cseq: u32) -> Run {
    let value = client.answer(challenge, "REGISTER", "sip:example.com", qop);
    server.receive(&register().cseq(cseq).header(&format!("Authorization: {value}")))
}

#[test]
fn www_challenge_asks_and_pv_www_authorize_believes_the_right_password() {
    let mut server = Server::new(&script("", WWW));
    let first = server.receive(&register());
    // The script ends with the challenge.
    assert_eq!(first.log, ["-4"]);
    let challenge = first.only();
    assert_eq!(challenge.start(), "SIP/2.0 401 Unauthorized");
    let value = challenge.header("WWW-Authenticate");
    assert!(value.starts_with("Digest realm=\"example.com\", nonce=\""), "{value}");
    assert!(value.ends_with("\", qop=\"auth\""), "{value}");
    for qop in [Some("auth"), None] {
        let mut server = Server::new(&script("", WWW));
        let run = log_in(&mut server, &mut Client::new("alice", "wonder"), qop);
        assert_eq!(run.log, ["1", "in as alice"], "{qop:?}");
    }
}

#[test]
fn every_code_of_the_document_is_given() {
    let check = |user, password, expected: &str| {
        let mut server = Server::new(&script("", WWW));
        assert_eq!(log_in(&mut server, &mut Client::new(user, password), Some("auth")).log[0], expected);
    };
    check("bob", "wonder", "-1");
    check("alice", "Wonder", "-2");
    check("alice@example.com", "wonder", "1");
    let value = |credentials: &str, expected: i64| {
        let request = register().header(&format!("Authorization: {credentials}"));
        let run = Server::new(&script("", WWW)).receive(&request);
        assert_eq!(run.log, [expected.to_string()], "{credentials}");
    };
    let foreign = "Digest username=\"alice\", realm=\"example.com\", nonce=\"NONCE\", uri=\"sip:example.com\", \
                   response=\"0123456789abcdef0123456789abcdef\"";
    value(foreign, -3);
    value(&foreign.replace("NONCE", &"A".repeat(32)), -3);
    value(&foreign.replace("\"example.com\"", "\"elsewhere.example\""), -4);
    value(&foreign.replace("Digest", "Basic"), -4);
    value(&foreign.replace("uri=\"sip:example.com\", ", ""), -5);
    value(&format!("{foreign}, qop=auth"), -5);
    value("Digest username=\"open", -5);
    // Without the variables nothing can be checked.
    check_value("pv_www_authorize(\"\")", &register(), -5);
    check_value("pv_proxy_authorize(\"\")", &register(), -5);
    let nobody = script("", WWW).replace("$var(user) = \"alice\";", "$var(user) = NULL;");
    let run = log_in(&mut Server::new(&nobody), &mut Client::new("alice", "wonder"), Some("auth"));
    assert_eq!(run.log, ["-1"]);
}

#[test]
fn proxy_challenge_asks_a_caller_and_pv_proxy_authorize_believes_him() {
    let statements = "$var(rc) = pv_proxy_authorize(\"\"); xlog(\"$var(rc)\"); if ($var(rc) < 0) proxy_challenge(\"\", \"auth\"); \
                      consume_credentials(); xlog(\"$rc $au $ar\"); t_relay();";
    let mut server = Server::new(&script("", statements));
    let call = || Request::invite().from("<sip:alice@Home.Example>;tag=from-tag");
    let first = server.receive(&call());
    let reply = first.only();
    assert_eq!(reply.start(), "SIP/2.0 407 Proxy Authentication Required");
    // The realm is the host of From, and the same for each way to write it.
    let challenge = reply.header("Proxy-Authenticate");
    assert!(challenge.starts_with("Digest realm=\"home.example\", "), "{challenge}");
    let value = Client::new("alice", "wonder").answer(&challenge, "INVITE", "sip:bob@203.0.113.9:5080", None);
    let other = "Digest username=\"x\", realm=\"y\", nonce=\"z\", uri=\"sip:b\", response=\"0\"";
    let request = call()
        .cseq(2)
        .via("SIP/2.0/UDP 198.51.100.7:5070;branch=z9hG4bK-2")
        .header(&format!("Proxy-Authorization: {other}"))
        .header(&format!("Proxy-Authorization: {value}"));
    let run = server.receive(&request);
    assert_eq!(run.log, ["1", "1 alice home.example"]);
    // Only the credentials for us are gone.
    assert_eq!(run.request("INVITE").header("Proxy-Authorization"), other);
}

#[test]
fn consume_credentials_needs_some_that_were_found_right() {
    check_value("consume_credentials()", &register(), -1);
    let statements = format!("{WWW} consume_credentials(); xlog(\"$rc\");");
    let run =
        log_in(&mut Server::new(&script("", &statements)), &mut Client::new("alice", "wonder"), Some("auth"));
    assert_eq!(run.log, ["1", "in as alice", "1"]);
}

#[test]
fn ack_and_cancel_pass_because_nobody_can_challenge_them() {
    for method in ["ACK", "CANCEL"] {
        let request = Request::new(&format!("{method} sip:bob@example.com"));
        let run = Server::new(&script("", "pv_proxy_authorize(\"\"); xlog(\"$rc\");")).receive(&request);
        assert_eq!(run.log, ["1"], "{method}");
        let run = Server::new(&script("", "proxy_challenge(\"\"); xlog(\"on\");")).receive(&request);
        assert_eq!(run.log.len(), 0, "{method}");
    }
}

#[test]
fn a_challenge_names_the_realm_the_quality_and_the_algorithms_that_are_asked_for() {
    let check = |call: &str, expected: &[&str]| {
        let run = Server::new(&route(call)).receive(&register());
        let reply = run.reply(401);
        let mut seen = reply.header("WWW-Authenticate");
        while let Some(at) = seen.find(", nonce=\"") {
            seen.replace_range(at..at + 32, "");
        }
        assert_eq!(seen.split(" | ").collect::<Vec<_>>(), expected, "{call}");
    };
    check("www_challenge(\"office\");", &["Digest realm=\"office\""]);
    check("www_challenge(\"of\\\"fice\");", &["Digest realm=\"of\\\"fice\""]);
    check("www_challenge(\"\", \"auth-int\");", &["Digest realm=\"example.com\", qop=\"auth-int\""]);
    check(
        "$var(all) = \"sha-256,MD5,SHA-512-256-sess\"; www_challenge(\"r\", \"auth,auth-int\", $var(all));",
        &[
            "Digest realm=\"r\", qop=\"auth,auth-int\", algorithm=SHA-512-256-sess",
            "Digest realm=\"r\", qop=\"auth,auth-int\", algorithm=SHA-256",
            "Digest realm=\"r\", qop=\"auth,auth-int\", algorithm=MD5",
        ],
    );
    // What only shows at run time is an error of the server, and the script does not go on.
    let run = Server::new(&route("$var(q) = \"strong\"; www_challenge(\"r\", $var(q)); xlog(\"on\");"))
        .receive(&register());
    assert_eq!((run.only().start(), run.log.len()), ("SIP/2.0 500 Server Internal Error", 0));
}

#[test]
fn all_algorithms_and_qualities_of_rfc_8760_log_in() {
    for algorithm in ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"] {
        for qop in [None, Some("auth"), Some("auth-int")] {
            let statements = format!(
                "$var(rc) = pv_www_authorize(\"\"); xlog(\"$var(rc)\"); if ($var(rc) < 0) www_challenge(\"\", \"auth,auth-int\", \"{algorithm}\");"
            );
            let mut server = Server::new(&script("", &statements));
            let run = log_in(&mut server, &mut Client::new("alice", "wonder"), qop);
            assert_eq!(run.log, ["1"], "{algorithm} {qop:?}");
        }
    }
}

#[test]
fn a_client_cannot_choose_less_than_it_was_offered() {
    let statements = "$var(rc) = pv_www_authorize(\"\"); xlog(\"$var(rc)\"); \
                      if ($var(rc) < 0) www_challenge(\"\", \"auth\", \"SHA-256\");";
    let mut server = Server::new(&script("", statements));
    let challenge = server.receive(&register()).reply(401).header("WWW-Authenticate");
    let mut client = Client::new("alice", "wonder");
    let weaker = challenge.replace("SHA-256", "MD5");
    assert_eq!(answer(&mut server, &mut client, &weaker, Some("auth"), 2).log, ["-5"]);
    assert_eq!(answer(&mut server, &mut client, &challenge, Some("auth-int"), 3).log, ["-5"]);
    assert_eq!(answer(&mut server, &mut client, &challenge, Some("auth"), 4).log, ["1"]);
}

#[test]
fn an_old_nonce_is_stale_and_the_next_challenge_says_so() {
    let mut server = Server::new(&script("modparam(\"auth\", \"nonce_expire\", 15)", WWW));
    let mut client = Client::new("alice", "wonder");
    let challenge = server.receive(&register()).reply(401).header("WWW-Authenticate");
    server.pass(15);
    assert_eq!(answer(&mut server, &mut client, &challenge, Some("auth"), 2).log[0], "1");
    server.pass(1);
    let late = answer(&mut server, &mut client, &challenge, Some("auth"), 3);
    assert_eq!(late.log, ["-3"]);
    assert!(late.reply(401).header("WWW-Authenticate").ends_with(", stale=true"));
    // A wrong password is no stale nonce.
    let wrong = log_in(&mut server, &mut Client::new("alice", "x"), Some("auth"));
    assert_eq!(wrong.log, ["-2"]);
    assert!(!wrong.reply(401).header("WWW-Authenticate").contains("stale"));
}

#[test]
fn what_was_overheard_is_of_no_use() {
    let mut server = Server::new(&script("", WWW));
    let mut client = Client::new("alice", "wonder");
    let challenge = server.receive(&register()).reply(401).header("WWW-Authenticate");
    let value = client.answer(&challenge, "REGISTER", "sip:example.com", Some("auth"));
    let own = register().cseq(2).header(&format!("Authorization: {value}"));
    assert_eq!(server.receive(&own).log[0], "1");
    // The answer was lost: the very same bytes from the same place are a retransmission, for some seconds.
    assert_eq!(server.receive(&own).log[0], "1");
    assert_eq!(server.receive_at(0, "192.0.2.66:5060", &own.text()).log[0], "-3");
    assert_eq!(server.receive(&own.clone().call_id("another")).log[0], "-3");
    server.pass(6);
    assert_eq!(server.receive(&own).log[0], "-3");
    // The client itself goes on with the next nonce count.
    assert_eq!(answer(&mut server, &mut client, &challenge, Some("auth"), 3).log[0], "1");
}

#[test]
fn disable_nonce_check_lets_a_response_be_used_again() {
    let mut server = Server::new(&script("modparam(\"auth\", \"disable_nonce_check\", 1)", WWW));
    let mut client = Client::new("alice", "wonder");
    let challenge = server.receive(&register()).reply(401).header("WWW-Authenticate");
    let value = client.answer(&challenge, "REGISTER", "sip:example.com", Some("auth"));
    for call_id in ["one", "two"] {
        let request = register().call_id(call_id).header(&format!("Authorization: {value}"));
        assert_eq!(server.receive(&request).log[0], "1");
    }
    server.pass(31);
    assert_eq!(answer(&mut server, &mut client, &challenge, Some("auth"), 3).log[0], "-3");
}

#[test]
fn servers_with_one_secret_take_each_others_nonces() {
    let with = |secret: &str| {
        let parameter = format!("modparam(\"auth\", \"secret\", \"{secret}\")");
        Server::new(&script(if secret.is_empty() { "" } else { &parameter }, WWW))
    };
    let check = |first: &str, second: &str, expected: &str| {
        let challenge = with(first).receive(&register()).reply(401).header("WWW-Authenticate");
        let mut client = Client::new("alice", "wonder");
        let run = answer(&mut with(second), &mut client, &challenge, Some("auth"), 2);
        assert_eq!(run.log[0], expected, "{first} {second}");
    };
    let secret = "0123456789abcdef0123456789abcdef";
    check(secret, secret, "1");
    check(secret, &secret.replace('0', "x"), "-3");
    check(secret, "", "-3");
}

#[test]
fn realm_prefix_is_taken_off_hosts() {
    let check = |host: &str, expected: &str| {
        let script = script("modparam(\"auth\", \"realm_prefix\", \"sip.\")", WWW);
        let request = register().to(&format!("<sip:alice@{host}>"));
        let challenge = Server::new(&script).receive(&request).reply(401).header("WWW-Authenticate");
        assert!(challenge.starts_with(&format!("Digest realm=\"{expected}\", ")), "{challenge}");
    };
    check("sip.example.com", "example.com");
    check("SIP.example.com", "example.com");
    check("example.com", "example.com");
    check("sip.", "sip.");
}

#[test]
fn calculate_ha1_says_what_password_spec_holds() {
    let hash = crate::harness::hash("MD5", "alice:example.com:wonder");
    let check = |calculate: u8, password: &str, expected: &str| {
        let script = script("", WWW)
            .replace("wonder", password)
            .replace("\"calculate_ha1\", 1", &format!("\"calculate_ha1\", {calculate}"));
        let run = log_in(&mut Server::new(&script), &mut Client::new("alice", "wonder"), Some("auth"));
        assert_eq!(run.log[0], expected, "{calculate} {password}");
    };
    check(1, "wonder", "1");
    check(1, &hash, "-2");
    check(0, &hash, "1");
    check(0, &hash.to_uppercase(), "1");
    check(0, "wonder", "-2");
}

#[test]
fn append_rpid_hf_adds_the_stored_identity() {
    let check = |parameters: &str, statements: &str, expected: &str| {
        let script = script(parameters, &format!("{statements} t_relay();"));
        let run = Server::new(&script).receive(&Request::invite());
        assert_eq!(run.request("INVITE").header("Remote-Party-ID"), expected, "{statements}");
    };
    let set = "$avp(rpid) = \"sip:+15550100@example.com\";";
    let usual = "sip:+15550100@example.com;party=calling;id-type=subscriber;screen=yes";
    check("", &format!("{set} append_rpid_hf();"), usual);
    check("", &format!("{set} append_rpid_hf(\"<\", \">;x=y\");"), "<sip:+15550100@example.com>;x=y");
    check("", &format!("{set} append_rpid_hf(\"\", \";x=y\");"), "sip:+15550100@example.com;x=y");
    check("", "append_rpid_hf();", "");
    let parameters = "modparam(\"auth\", \"rpid_prefix\", \"<\")\nmodparam(\"auth\", \"rpid_suffix\", \">\")\n\
                      modparam(\"auth\", \"rpid_avp\", \"$avp(caller)\")";
    check(parameters, "$avp(caller) = \"sip:x@y\"; append_rpid_hf();", "<sip:x@y>");
    check(parameters, &format!("{set} append_rpid_hf();"), "");
}

#[test]
fn is_rpid_user_e164_wants_a_plus_and_digits() {
    let check = |value: &str, expected: i64| {
        check_value(&format!("$avp(rpid) = \"{value}\"; is_rpid_user_e164()"), &Request::invite(), expected);
    };
    check("sip:+15550100@example.com", 1);
    check("<sip:+123456789012345@example.com>;x=y", 1);
    check("sip:+1234567890123456@example.com", -1);
    check("sip:+@example.com", -1);
    check("sip:15550100@example.com", -1);
    check("sip:+1555x@example.com", -1);
    check_value("is_rpid_user_e164()", &Request::invite(), -1);
    check_value("append_rpid_hf()", &Request::invite(), -1);
}

#[test]
fn wrong_arguments_are_refused() {
    for function in ["www_challenge", "proxy_challenge"] {
        check_refused(&format!("§{function}();"), &[function, "needs its argument `realm`"]);
        check_refused(
            &format!("{function}(\"r\", §\"strong\");"),
            &["a quality of protection is auth or auth-int"],
        );
        check_refused(
            &format!("{function}(\"r\", \"auth\", §\"SHA-1\");"),
            &["an algorithm is MD5, SHA-256"],
        );
        check_refused(
            &format!("{function}(\"r\", \"auth\", \"MD5\", §1);"),
            &["takes 1 to 3 arguments, 4 given"],
        );
    }
    for function in ["pv_www_authorize", "pv_proxy_authorize"] {
        check_refused(&format!("§{function}();"), &[function, "needs its argument `realm`"]);
        check_refused(&format!("{function}(\"r\", §1);"), &["takes 1 argument, 2 given"]);
    }
    for function in ["consume_credentials", "is_rpid_user_e164"] {
        check_refused(&format!("{function}(§1);"), &[function, "takes no arguments, 1 given"]);
    }
    check_refused("append_rpid_hf(\"a\", \"b\", §\"c\");", &["takes 0 to 2 arguments, 3 given"]);
    refused(
        &format!("{}\nonreply_route {{ §www_challenge(\"\"); }}", route("exit;")),
        &["www_challenge", "cannot be called"],
    );
}

#[test]
fn the_parameters_are_those_of_the_document() {
    const STR: &str = "takes a string";
    const INT: &str = "takes an integer";
    check_parameters(
        "auth",
        &[
            row("secret", "", "\"0123456789abcdef0123456789abcdef\"", "\"short\"", "exactly 32 characters"),
            row("nonce_expire", "30", "15", "0", "from 1 second to a day"),
            row("rpid_prefix", "", "\"<\"", "1", STR),
            row("rpid_suffix", ";party=calling;id-type=subscriber;screen=yes", "\">\"", "1", STR),
            row("realm_prefix", "", "\"sip.\"", "1", STR),
            row("rpid_avp", "", "\"$avp(caller)\"", "1", STR),
            row("username_spec", "", "\"$var(user)\"", "1", STR),
            row("password_spec", "", "\"$avp(password)\"", "1", STR),
            row("calculate_ha1", "0", "1", "\"maybe\"", INT),
            row("disable_nonce_check", "0", "1", "\"maybe\"", INT),
        ],
    );
}
