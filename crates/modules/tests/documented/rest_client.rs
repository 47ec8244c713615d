//! Module `rest_client`.

use crate::harness::{
    Request, Server, Web, answer_text, check_loads, check_parameters, check_refused, full_port, refused,
    route, row,
};

const SHOW: &str = "xlog(\"$var(rc) [$var(body)] [$var(ct)] [$var(code)]\");";

/// Runs statements with these parameters of the module; `URL` is where the server listens.
fn run(web: &Web, parameters: &str, statements: &str) -> Vec<String> {
    let script = route(&statements.replace("URL", &web.url()));
    let set = format!("modparam(\"rest_client\", \"curl_timeout\", 2)\n{parameters}\nroute {{");
    let mut server = Server::new(&script.replacen("route {", &set, 1));
    server.receive(&Request::invite()).log
}

fn get(web: &Web, parameters: &str) -> String {
    let call = "$var(rc) = rest_get(\"URL/x\", $var(body), $var(ct), $var(code));";
    run(web, parameters, &format!("{call} {SHOW}")).concat()
}

#[test]
fn rest_get_waits_for_the_answer_and_writes_its_variables() {
    let web = Web::start(&[&answer_text(200, "text/plain", "credit=5")]);
    let call = "$var(rc) = rest_get(\"URL/credit?of=$fU\", $var(body), $var(ct), $var(code));";
    let log = run(&web, "", &format!("{call} {SHOW} xlog(\"still $rm\");"));
    assert_eq!(log, ["1 [credit=5] [text/plain] [200]", "still INVITE"]);
    assert!(web.only().starts_with("GET /credit?of=alice HTTP/1.1\r\n"), "{}", web.only());
}

#[test]
fn every_status_is_an_answer_and_variables_may_be_left_out() {
    let web = Web::start(&[&answer_text(404, "application/json", "{}"), &answer_text(500, "a/b", "oops")]);
    let one =
        "$var(rc) = rest_get(\"URL/x\", $var(body), , $var(code)); xlog(\"$var(rc) $var(body) $var(code)\");";
    let two = "$var(rc) = rest_get(\"URL/x\", $avp(body)); xlog(\"$var(rc) $avp(body)\");";
    assert_eq!(run(&web, "", &format!("{one} {two}")), ["1 {} 404", "1 oops"]);
}

#[test]
fn rest_post_and_rest_put_send_a_body_with_its_type() {
    let answers = [answer_text(201, "text/plain", "made"), answer_text(200, "text/plain", "kept")];
    let web = Web::start(&[&answers[0], &answers[1]]);
    let post = "$var(rc) = rest_post(\"URL/p\", \"user=$fU\", , $var(body), $var(ct), $var(code));";
    let put =
        "$var(rc) = rest_put(\"URL/q\", \"{}\", \"application/json\", $var(body), $var(ct), $var(code));";
    let log = run(&web, "", &format!("{post} {SHOW} {put} {SHOW}"));
    assert_eq!(log, ["1 [made] [text/plain] [201]", "1 [kept] [text/plain] [200]"]);
    let seen = web.seen();
    assert!(seen[0].starts_with("POST /p HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(seen[0].contains("content-type: application/x-www-form-urlencoded\r\n"), "{}", seen[0]);
    assert!(seen[0].ends_with("\r\n\r\nuser=alice"), "{}", seen[0]);
    assert!(seen[1].starts_with("PUT /q HTTP/1.1\r\n"), "{}", seen[1]);
    assert!(seen[1].contains("content-type: application/json\r\n") && seen[1].ends_with("{}"), "{}", seen[1]);
}

#[test]
fn rest_append_hf_is_for_the_next_request_only() {
    let answer = answer_text(200, "text/plain", "");
    let web = Web::start(&[&answer, &answer]);
    let log = run(
        &web,
        "",
        "rest_append_hf(\"Authorization: Bearer mF_9\"); rest_append_hf(\"X-User: $fU\");
         rest_get(\"URL/1\", $var(body)); rest_get(\"URL/2\", $var(body));
         $var(rc) = rest_append_hf(\"no header\"); xlog(\"$var(rc)\");
         $var(rc) = rest_append_hf(\"A B: c\"); xlog(\"$var(rc)\");",
    );
    assert_eq!(log, ["-1", "-1"]);
    let seen = web.seen();
    assert!(seen[0].contains("authorization: Bearer mF_9\r\n") && seen[0].contains("x-user: alice\r\n"));
    assert!(!seen[1].contains("authorization") && !seen[1].contains("x-user"), "{}", seen[1]);
}

#[test]
fn a_header_cannot_be_smuggled_in_by_a_value() {
    let web = Web::start(&[]);
    let statements =
        "$var(bad) = \"x\\r\\nY: z\"; $var(rc) = rest_append_hf(\"X: $var(bad)\"); xlog(\"$var(rc)\");";
    assert_eq!(run(&web, "", statements), ["-1"]);
}

#[test]
fn whoever_does_not_listen_is_minus_1() {
    let web = Web::start(&[]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let call =
        format!("$var(rc) = rest_get(\"http://127.0.0.1:{free}/\", $var(body), $var(ct), $var(code));");
    assert_eq!(run(&web, "", &format!("{call} xlog(\"$var(rc) $var(code)\");")), ["-1 0"]);
}

#[test]
fn a_connection_that_does_not_come_up_is_minus_2() {
    let (port, _listening, _filling) = full_port();
    let web = Web::start(&[]);
    let call =
        format!("$var(rc) = rest_get(\"http://127.0.0.1:{port}/\", $var(body), $var(ct), $var(code));");
    let set = "modparam(\"rest_client\", \"connection_timeout\", 1)";
    assert_eq!(run(&web, set, &format!("{call} xlog(\"$var(rc) $var(code)\");")), ["-2 0"]);
}

#[test]
fn an_answer_that_does_not_come_or_does_not_end_is_minus_3() {
    let set = "modparam(\"rest_client\", \"curl_timeout\", 1)";
    let silent = Web::start(&[]);
    assert_eq!(get(&silent, set), "-3 [<null>] [<null>] [0]");
    let half = Web::start(&["HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 100\r\n\r\nhalf of"]);
    assert_eq!(get(&half, set), "-3 [half of] [a/b] [200]", "what there is stands in the variables");
}

#[test]
fn what_is_too_long_or_no_http_or_no_url_is_minus_10() {
    let long = "x".repeat(3000);
    let web = Web::start(&[&answer_text(200, "a/b", &long), &answer_text(200, "a/b", &long)]);
    let limit = |size: u32| format!("modparam(\"rest_client\", \"max_transfer_size\", {size})");
    assert!(get(&web, &limit(2)).starts_with("-10 "));
    assert!(get(&web, &limit(0)).starts_with("1 [xxx"));
    let odd = Web::start(&["SSH-2.0-OpenSSH\r\n"]);
    assert!(get(&odd, "").starts_with("-10 "));
    for url in ["ftp://127.0.0.1/", "nonsense", "http://"] {
        let call = format!("$var(rc) = rest_get(\"{url}\", $var(body)); xlog(\"$var(rc)\");");
        assert_eq!(run(&odd, "", &call), ["-10"], "{url}");
    }
}

#[test]
fn async_goes_on_in_its_resume_route_with_the_variables() {
    let web = Web::start(&[&answer_text(200, "text/plain", "later")]);
    let script =
        route(&"async(rest_get(\"URL/x\", $var(body), , $var(code)), resume);".replace("URL", &web.url()))
            + "route[resume] { xlog(\"$rc [$var(body)] [$var(code)] $rm\"); }";
    assert_eq!(Server::new(&script).receive(&Request::invite()).log, ["1 [later] [200] INVITE"]);
}

#[test]
fn launch_goes_on_at_once_and_runs_its_route_afterwards() {
    let web = Web::start(&[&answer_text(200, "text/plain", "posted"), &answer_text(200, "text/plain", "")]);
    let statements = "launch(rest_post(\"URL/x\", \"b\", , $var(body), , $var(code)), report, \"job 1\");
                      launch(rest_post(\"URL/y\", \"c\", , $var(body)));
                      xlog(\"on\");";
    let script = route(&statements.replace("URL", &web.url()))
        + "route[report] { xlog(\"$rc [$var(body)] [$var(code)] $param(1)\"); }";
    assert_eq!(Server::new(&script).receive(&Request::invite()).log, ["on", "1 [posted] [200] job 1"]);
    assert_eq!(web.seen().len(), 2, "a launch without a route is done as well");
}

#[test]
fn without_an_answer_from_the_control_side_it_is_minus_3() {
    let web = Web::start(&[]);
    let script = route(&format!("$var(rc) = rest_get(\"{}\", $var(body)); xlog(\"$var(rc)\");", web.url()));
    let mut server = Server::new(&script);
    server.deaf = true;
    assert_eq!(server.receive(&Request::invite()).log, ["-3"]);
}

#[test]
fn certificates_are_believed_as_the_parameters_say() {
    let here = |web: &Web, parameters: &str| {
        let call = format!(
            "$var(rc) = rest_get(\"https://localhost:{}/x\", $var(body)); xlog(\"$var(rc)\");",
            web.port
        );
        run(web, parameters, &call).concat()
    };
    let answer = answer_text(200, "text/plain", "ok");
    let web = Web::start_tls("localhost", &[&answer, &answer]);
    let authorities = format!("modparam(\"rest_client\", \"ssl_capath\", \"{}\")", web.file("server.pem"));
    let no_peer = "modparam(\"rest_client\", \"ssl_verifypeer\", 0)";
    let no_host = "modparam(\"rest_client\", \"ssl_verifyhost\", 0)";
    assert_eq!(here(&web, ""), "-1", "a certificate of nobody");
    assert_eq!(here(&web, &authorities), "1");
    assert_eq!(here(&web, no_peer), "1");
    assert_eq!(here(&web, no_host), "-1", "the name is right, its authority is not known");
    let other = Web::start_tls("other.example", &[&answer]);
    let authorities = format!("modparam(\"rest_client\", \"ssl_capath\", \"{}\")", other.file("server.pem"));
    assert_eq!(here(&other, &authorities), "-1", "a certificate for another name");
    assert_eq!(here(&other, &format!("{authorities}\n{no_host}")), "1");
}

#[test]
fn the_version_of_http_is_the_one_that_was_asked_for() {
    for (version, first) in [
        (0, "GET /x HTTP/1.1\r\n"),
        (1, "GET /x HTTP/1.0\r\n"),
        (2, "GET /x HTTP/1.1\r\n"),
        (5, "PRI * HTTP/2.0\r\n"),
    ] {
        let web = Web::start(&[&answer_text(200, "text/plain", "")]);
        get(&web, &format!("modparam(\"rest_client\", \"curl_http_version\", {version})"));
        assert!(web.seen()[0].starts_with(first), "{version}: {}", web.seen()[0]);
    }
}

#[test]
fn a_long_body_is_announced_when_enable_expect_100_is_on() {
    for (on, length, announced) in [(1, 1025, true), (1, 1024, false), (0, 5000, false)] {
        let web = Web::start(&[&answer_text(200, "text/plain", "")]);
        let body = "b".repeat(length);
        let call = format!("rest_post(\"URL/x\", \"{body}\", , $var(body));");
        run(&web, &format!("modparam(\"rest_client\", \"enable_expect_100\", {on})"), &call);
        assert_eq!(web.only().contains("expect: 100-continue\r\n"), announced, "{on} {length}");
    }
}

#[test]
fn the_parameters() {
    check_parameters(
        "rest_client",
        &[
            row("curl_timeout", "20", "10", "0", "from 1 second"),
            row("connection_timeout", "20", "4", "-1", "from 1 second"),
            row("connect_poll_interval", "20", "2", "\"often\"", "integer"),
            row("max_async_transfers", "100", "300", "\"many\"", "integer"),
            row("max_transfer_size", "10240", "0", "70000", "from 0 to 65536"),
            row("ssl_verifypeer", "1", "0", "\"maybe\"", ""),
            row("ssl_verifyhost", "1", "0", "\"maybe\"", ""),
            row("ssl_capath", "", "\"/etc/ssl/certs\"", "\"/nowhere/at/all\"", "/nowhere/at/all"),
            row("curl_http_version", "0", "3", "6", "from 0 to 5"),
            row("enable_expect_100", "0", "1", "\"maybe\"", ""),
            row("no_concurrent_connects", "0", "1", "\"maybe\"", ""),
            row("curl_conn_lifetime", "0", "1800", "\"long\"", "integer"),
        ],
    );
}

#[test]
fn wrong_calls_are_refused_where_they_stand() {
    check_refused("§rest_get(\"http://a/\");", &["rest_get"]);
    check_refused("rest_get(\"http://a/\", §\"body\");", &["body_pv"]);
    check_refused("§rest_post(\"http://a/\", \"b\", );", &["rest_post"]);
    check_refused("rest_put(\"http://a/\", \"b\", , $var(b), $var(c), $var(d), §\"e\");", &["rest_put"]);
    check_refused("§rest_append_hf();", &["rest_append_hf"]);
    check_refused("§rest_init_client_tls(\"dom1\");", &["rest_init_client_tls", "tls_mgm"]);
    let in_reply = route("exit;") + "onreply_route { §rest_get(\"http://a/\", $var(b)); }";
    refused(&in_reply, &["rest_get", "onreply_route"]);
    check_loads("async(rest_put(\"http://a/\", \"b\", , $var(b)), x, 5); } route[x] { exit;");
}

#[test]
fn rest_escape_and_rest_unescape_are_the_escapes_of_urls() {
    let web = Web::start(&[]);
    let log = run(
        &web,
        "",
        "$var(tmp) = \"call@example.com&safe=false\"; xlog(\"$(var(tmp){rest.escape})\");
         $var(tmp) = \"1%2B1%3D2%21\"; xlog(\"$(var(tmp){rest.unescape})\");
         $var(tmp) = \"100%\"; xlog(\"$(var(tmp){rest.unescape})\");",
    );
    assert_eq!(log, ["call%40example.com%26safe%3Dfalse", "1+1=2!", "<null>"]);
}
