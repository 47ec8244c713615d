//! Module `uac_auth`: who we are where a request of our own is challenged.

use seawall_digest::{Answer, Ha1};

use crate::harness::{Packet, Request, Run, Server, check_parameters, reply, route, row};

const PHONE: &str = "<sip:bob@198.51.100.7:5070>;expires=60";

/// A front whose main registrar grants bob's contact; bob's binding runs out, and this is the de-REGISTER.
fn leaving(credentials: &[&str]) -> (Server, Packet) {
    let credentials: String = credentials
        .iter()
        .map(|text| format!("modparam(\"uac_auth\", \"credential\", \"{text}\")\n"))
        .collect();
    let statements =
        "if (mid_registrar_save(\"location\") == 1) { $ru = \"sip:203.0.113.3:5070\"; t_relay(); }";
    let script = route(statements).replacen(
        "route {",
        &format!(
            "loadmodule \"uac_auth.so\"\nmodparam(\"mid_registrar\", \"mode\", 1)\n{credentials}\nroute {{"
        ),
        1,
    );
    let mut server = Server::new(&script);
    let sent = server.receive(&Request::register(&[PHONE])).request("REGISTER").clone();
    let uri = sent.header("Contact");
    let granted = format!("Contact: {uri}\r\n");
    server.answer(&reply(&sent.text, 200, "OK", &granted));
    let away = server.pass(62).request("REGISTER").clone();
    assert!(away.header("Contact").ends_with(";expires=0"), "{}", away.text);
    assert_eq!(away.header("Authorization"), "");
    (server, away)
}

const MD5: &str = "WWW-Authenticate: Digest realm=\"main\", nonce=\"abc\", qop=\"auth\", opaque=\"o\"\r\n";

/// Whether a request answers the challenge as this user, with "secret".
#[track_caller]
fn check_answer(request: &Packet, header: &str, user: &str) {
    let value = request.header(header);
    let answer = Answer::parse(value.as_bytes()).unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.username), user);
    let ha1 = Ha1::new(answer.algorithm.hash, user.as_bytes(), b"main", b"secret");
    assert!(answer.is_by(&ha1, b"REGISTER", b"", &mut seawall_digest::Memo::default()), "{value}");
}

fn cseq(request: &Packet) -> u32 {
    request.header("CSeq").split(' ').next().unwrap().parse().unwrap()
}

fn pending(server: &Server) -> u64 {
    server.node.fronts.waiting()
}

#[track_caller]
fn challenge(server: &mut Server, request: &Packet, code: u16, lines: &str) -> Run {
    server.answer(&reply(&request.text, code, "Who", lines))
}

#[test]
fn a_challenged_de_register_is_sent_again_with_the_credential_of_the_realm() {
    let (mut server, away) = leaving(&["other:elsewhere:x", "gate:main:secret"]);
    let again = challenge(&mut server, &away, 401, MD5).request("REGISTER").clone();
    check_answer(&again, "Authorization", "gate");
    assert_eq!((cseq(&again), again.header("Call-ID")), (cseq(&away) + 1, away.header("Call-ID")));
    assert_eq!(again.header("Contact"), away.header("Contact"));
    server.answer(&reply(&again.text, 200, "OK", ""));
    assert_eq!(server.counter("mid_registrar", "sent_deregs"), 1);
    assert_eq!(server.counter("mid_registrar", "acknowledged_deregs"), 1);
    assert_eq!((pending(&server), server.node.fronts.all()[0].upstream.len()), (0, (0, 0)));
}

#[test]
fn the_user_of_the_request_comes_first_and_a_proxy_is_answered_too() {
    let (mut server, away) = leaving(&["gate:main:secret", "bob:main:secret"]);
    let lines = MD5.replace("WWW", "Proxy");
    let again = challenge(&mut server, &away, 407, &lines).request("REGISTER").clone();
    check_answer(&again, "Proxy-Authorization", "bob");
}

#[test]
fn credentials_that_are_refused_are_tried_once_more_only_where_the_nonce_was_too_old() {
    let (mut server, away) = leaving(&["gate:main:secret"]);
    let again = challenge(&mut server, &away, 401, MD5).request("REGISTER").clone();
    let stale = MD5.replace("abc", "def").replace("qop", "stale=true, qop");
    let third = challenge(&mut server, &again, 401, &stale).request("REGISTER").clone();
    check_answer(&third, "Authorization", "gate");
    assert!(third.header("Authorization").contains("nonce=\"def\""));
    // Whatever it says now, it is not answered at once; the next attempt comes later, with a higher number.
    assert!(challenge(&mut server, &third, 401, &stale).sent.is_empty());
    assert_eq!(pending(&server), 1);
    let later = server.pass(5).request("REGISTER").clone();
    assert!(cseq(&later) > cseq(&third) - 1 && later.header("Authorization").is_empty(), "{}", later.text);
}

#[test]
fn without_a_credential_for_the_realm_it_is_tried_again_later() {
    for credentials in [&[][..], &["gate:elsewhere:secret"]] {
        let (mut server, away) = leaving(credentials);
        assert!(challenge(&mut server, &away, 401, MD5).sent.is_empty());
        assert_eq!(pending(&server), 1);
    }
}

#[test]
fn the_parameters_are_checked_where_they_stand() {
    check_parameters(
        "uac_auth",
        &[
            row(
                "credential",
                "",
                "\"gate:main:0xc17ba8157756f263d07e158504204629\"",
                "\"gate:main\"",
                "user:realm:password",
            ),
            row("auth_realm_avp", "", "\"$avp(realm)\"", "1", "takes a string"),
            row("auth_username_avp", "", "\"$avp(user)\"", "1", "takes a string"),
            row("auth_password_avp", "", "\"$avp(password)\"", "1", "takes a string"),
        ],
    );
}
