//! What scripts do when they run.
#![allow(clippy::unwrap_used)]

mod support;

use seawall_script::{Bytes, FlagSpace, Frame, Outcome, RouteKind, Value, run};
use support::{check, check_body, program, start};

const DONE: Outcome = Outcome::Done { exit: false, drop: false, code: 1 };

#[test]
fn a_route_that_ends_returns_one() {
    assert_eq!(check_body("echo(\"a\");", &["a"]), DONE);
    assert_eq!(check_body("", &[]), DONE);
}

#[test]
fn positive_is_true_negative_is_false_and_zero_stops() {
    check_body("if (yes()) echo(\"t\"); else echo(\"f\");", &["t"]);
    check_body("if (no()) echo(\"t\"); else echo(\"f\");", &["f"]);
    check_body("if (!no()) { echo(\"t\"); }", &["t"]);
    check_body("if (value(7)) echo(\"$rc $retcode\");", &["7 7"]);
    let outcome = check_body("echo(\"a\"); value(0); echo(\"b\");", &["a"]);
    assert_eq!(outcome, Outcome::Done { exit: true, drop: false, code: 0 });
}

#[test]
fn exit_drop_and_return_end_a_route() {
    assert_eq!(check_body("exit;", &[]), Outcome::Done { exit: true, drop: false, code: 1 });
    assert_eq!(check_body("exit();", &[]), Outcome::Done { exit: true, drop: false, code: 1 });
    assert_eq!(check_body("drop;", &[]), Outcome::Done { exit: true, drop: true, code: 1 });
    assert_eq!(check_body("return(5);", &[]), Outcome::Done { exit: false, drop: false, code: 5 });
    assert_eq!(check_body("return -3;", &[]), Outcome::Done { exit: false, drop: false, code: -3 });
    assert_eq!(check_body("return;", &[]), DONE);
}

#[test]
fn conditions_are_evaluated_only_as_far_as_needed() {
    check_body("if (no() && echo(\"x\")) {} if (yes() || echo(\"x\")) echo(\"y\");", &["y"]);
    check_body("if (no() and echo(\"x\") or yes()) echo(\"y\");", &["y"]);
    check_body("if (not (yes() && no())) echo(\"y\");", &["y"]);
    check_body("if (!(no() || no()) && (yes() || no())) echo(\"y\");", &["y"]);
}

#[test]
fn not_negates_a_whole_comparison() {
    check_body("$var(a) = 1; if (!$var(a) == 2) echo(\"y\");", &["y"]);
    check_body("if ($null == NULL && !$si == \"10.0.0.2\") echo(\"y\");", &["y"]);
}

#[test]
fn values_as_conditions() {
    check_body("$var(a) = 0; if ($var(a)) echo(\"t\"); else echo(\"f\");", &["f"]);
    check_body("$var(a) = -1; if ($var(a)) echo(\"t\"); else echo(\"f\");", &["t"]);
    check_body("if ($null) echo(\"t\"); else echo(\"f\");", &["f"]);
    check_body("$var(a) = \"\"; if ($var(a)) echo(\"t\"); else echo(\"f\");", &["f"]);
    check_body("$var(a) = \"x\"; if ($var(a)) echo(\"t\"); else echo(\"f\");", &["t"]);
    check_body("if ([ 4 & 4 ]) echo(\"t\"); if ([ 4 & 3 ]) echo(\"no\");", &["t"]);
}

#[test]
fn comparisons_follow_the_types() {
    check_body("if (\"ABC\" == \"abc\") echo(\"case\");", &["case"]);
    check_body("$var(a) = \"5\"; if ($var(a) == 5 && $var(a) < 10) echo(\"number\");", &["number"]);
    check_body("if ($si == 10.0.0.1) echo(\"address\");", &["address"]);
    check_body(
        "if ($null == NULL && $si != NULL && !($null < 1) && !($null > 1)) echo(\"null\");",
        &["null"],
    );
    check_body("if (1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3 && 1 != 2) echo(\"order\");", &["order"]);
    check_body("if ($var(never) == 0) echo(\"unset\");", &["unset"]);
}

#[test]
fn patterns_match_without_regard_to_case() {
    check_body("if ($ru =~ \"^SIP:[[:alpha:]]+@\") echo(\"y\");", &["y"]);
    check_body("if ($ru !~ \"^tel:\") echo(\"y\");", &["y"]);
    check_body("$var(p) = \"^sip:bob\"; if ($ru =~ $var(p)) echo(\"y\");", &["y"]);
    check_body("if (\"+40123\" =~ \"^\\+[1-9][0-9]+$\") echo(\"y\");", &["y"]);
    check_body("if ($null =~ \".*\") echo(\"t\"); else echo(\"f\");", &["f"]);
    check_body("if ($null !~ \".*\") echo(\"t\");", &["t"]);
}

#[test]
fn a_broken_pattern_at_run_time_is_logged_and_false() {
    check_body(
        "$var(p) = \"(\"; if ($ru =~ $var(p)) echo(\"t\"); else echo(\"f\");",
        &["line 2: `(` is no regular expression: unclosed group", "f"],
    );
}

#[test]
fn arithmetic_has_the_usual_precedence() {
    check_body("$var(a) = 2 + 3 * 4 - 10 / 5 % 3; echo(\"$var(a)\");", &["12"]);
    check_body("$var(a) = 4 + ( 7 & ( ~2 ) ); echo(\"$var(a)\");", &["9"]);
    check_body("$var(a) = 1 << 4 | 3 ^ 1; echo(\"$var(a)\");", &["18"]);
    check_body("$var(a) = -3; $var(b) = -$var(a); echo(\"$var(b)\");", &["3"]);
    check_body("$var(a) = 0x1F; $var(b) = 0666; echo(\"$var(a) $var(b)\");", &["31 438"]);
    check_body("$var(a) = 5 / 0; echo(\"$var(a)\");", &["<null>"]);
}

#[test]
fn assignments_with_an_operator() {
    check_body(
        "$var(a) = 10; $var(a) += 5; $var(a) -= 3; $var(a) *= 2; $var(a) /= 4; $var(a) %= 4; echo(\"$var(a)\");",
        &["2"],
    );
    check_body("$var(a) = 6; $var(a) &= 3; $var(a) |= 8; $var(a) ^= 1; echo(\"$var(a)\");", &["11"]);
    check_body("$var(a) = \"x\"; $var(a) += 1; $var(a) += \"y\"; echo(\"$var(a)\");", &["x1y"]);
    check_body("$avp(l) = 1; $avp(l) = 2; $avp(l) := 3; echo(\"$(avp(l)[*])\");", &["3"]);
    check_body(
        "$avp(l) = 1; $avp(l) = 2; echo(\"$(avp(l)[*]) $avp(l)[1]\"); $avp(l) = NULL; if ($avp(l) == NULL) echo(\"gone\");",
        &["2,1 2[1]", "gone"],
    );
}

#[test]
fn strings_concatenate() {
    check_body("$ru = \"sip:\" + $si + \"@x\"; echo(\"$ru\");", &["sip:10.0.0.1@x"]);
}

#[test]
fn a_failed_assignment_is_logged_and_sets_the_return_code() {
    check_body(
        "$ru = \"tel:1\"; echo(\"$rc $ru\");",
        &[
            "line 2: the assignment failed: the value does not fit the variable",
            "-1 sip:bob@example.com:5070;lr",
        ],
    );
}

#[test]
fn format_strings_expand() {
    check_body(
        "$var(a) = 7; echo(\"$var(a)_$si.$$ $null $(ru{uri.user}) cost $5 $\");",
        &["7_10.0.0.1.$ <null> bob cost $5 $"],
    );
    check_body("echo('single $si', \"two\");", &["single 10.0.0.1|two"]);
    check_body(
        "echo(\"$(hdr(X)[-1]) $(hdr(X)[1]{s.toupper}) $(hdr(X)[*]) $hdr(Y)\");",
        &["three TWO one,two,three <null>"],
    );
    check_body("$var(i) = 2; $var(n) = \"X\"; echo(\"$(hdr($var(n))[$var(i)])\");", &["three"]);
    check_body("echo(\"a\tb\\\"c\\\\d\\.\");", &["a\tb\"c\\d\\."]);
    check_body("echo(\"one\ntwo\");", &["one\ntwo"]);
}

#[test]
fn transformations_chain_and_take_variables() {
    check_body("$var(k) = 4; echo(\"$(ru{s.substr,$var(k),3}{s.toupper}{s.len})\");", &["3"]);
    check_body("echo(\"$(ru{s.substr,4,3}{s.reverse})\");", &["bob"]);
    check_body("$var(l) = \"a b c\"; echo(\"$(var(l){s.select,1, })\");", &["b"]);
    check_body("$var(l) = \"a,b\"; echo(\"$(var(l){s.select,1,,})\");", &["b"]);
    check_body(
        "$var(u) = \"a;otg=1;b\"; echo(\"$(var(u){re.subst,/(.*);otg=([^;]*)(.*)/\\1\\3/})\");",
        &["a;b"],
    );
    check_body("$var(r) = \"/a/z/g\"; $var(u) = \"aba\"; echo(\"$(var(u){re.subst,$var(r)})\");", &["zbz"]);
    check_body("if ($(null{s.len}) == 0 && $(null{uri.user}) == NULL) echo(\"null\");", &["null"]);
    check_body(
        "if ($(ru{uri.param,lr}) != NULL && $(ru{uri.param,x}) == NULL) echo(\"params\");",
        &["params"],
    );
}

#[test]
fn switch_falls_through_until_break() {
    let body = |value: &str| {
        format!(
            "switch ({value}) {{ case 1: echo(\"one\"); break; case 2: case 3: echo(\"few\"); case \"Bob\": \
             echo(\"bob\"); break; default: echo(\"else\"); }} echo(\"end\");"
        )
    };
    check_body(&body("1"), &["one", "end"]);
    check_body(&body("2"), &["few", "bob", "end"]);
    check_body(&body("\"bob\""), &["bob", "end"]);
    check_body(&body("9"), &["else", "end"]);
    check_body("switch ($rc) { case 5: echo(\"no\"); } echo(\"end\");", &["end"]);
    check_body("value(-2); switch ($retcode) { case -2: echo(\"minus\"); }", &["minus"]);
}

#[test]
fn loops_end_by_condition_break_and_limit() {
    check_body("$var(i) = 0; while ($var(i) < 3) { $var(i) += 1; echo(\"$var(i)\"); }", &["1", "2", "3"]);
    check_body(
        "$var(i) = 0; while (yes()) { $var(i) += 1; if ($var(i) == 2) break; } echo(\"$var(i)\");",
        &["2"],
    );
    check_body(
        "$var(i) = 0; while (1) { $var(i) += 1; } echo(\"$var(i)\");",
        &["line 2: the loop was left after 100 rounds (max_while_loops)", "100"],
    );
    check(
        "max_while_loops = 3\nroute { $var(i) = 0; while (1) { $var(i) += 1; } echo(\"$var(i)\"); }",
        &["line 2: the loop was left after 3 rounds (max_while_loops)", "3"],
    );
}

#[test]
fn for_walks_over_all_values() {
    check_body("for ($var(h) in $(hdr(X)[*])) { echo(\"$var(h)\"); }", &["one", "two", "three"]);
    check_body(
        "for ($var(h) in $(hdr(X)[*]{s.len})) if ($var(h) == 3) echo(\"3\"); else break;",
        &["3", "3"],
    );
    check_body("for ($var(h) in $(hdr(Y)[*])) echo(\"x\"); echo(\"end\");", &["end"]);
    check_body(
        "for ($var(a) in $(hdr(X)[*])) { for ($var(b) in $(hdr(X)[*])) { if ($var(b) == \"two\") break; echo(\"$var(a)$var(b)\"); } }",
        &["oneone", "twoone", "threeone"],
    );
}

#[test]
fn routes_take_parameters_and_return_values() {
    check(
        "route { if (route(add, 2, \"x\")) echo(\"$rc $return(0) $return(1) $(return[1])\"); }
         route[add] { return($param(1) + 3, \"$param(2)y\", $param(9)); }",
        &["5 xy <null> <null>"],
    );
    check(
        "route { route(f, 1, 2); } route[f](first, second) { echo(\"$param(first) $param(second) $param(2)\"); }",
        &["1 2 2"],
    );
    check("route { if (!route(f)) echo(\"f $rc\"); } route[f] { return(-1); }", &["f -1"]);
    check("route { $var(n) = \"f\"; route(\"$var(n)\", 4); } route[f] { echo(\"$param(1)\"); }", &["4"]);
    check("route { route(1); } route[1] { echo(\"number\"); }", &["number"]);
}

#[test]
fn a_sub_route_ends_alone_unless_it_exits_or_returns_zero() {
    check("route { route(f); echo(\"after\"); } route[f] { echo(\"in\"); return; }", &["in", "after"]);
    check("route { route(f); echo(\"after\"); } route[f] { exit; }", &[]);
    let outcome = check("route { route(f); echo(\"after\"); } route[f] { return(0); }", &[]);
    assert_eq!(outcome, Outcome::Done { exit: true, drop: false, code: 0 });
}

#[test]
fn returning_from_inside_loops_and_switches_leaves_them_clean() {
    check(
        "route { $var(i) = 0; while ($var(i) < 2) { $var(i) += 1; route(f); echo(\"$var(i)\"); } }
         route[f] { switch (1) { case 1: for ($var(h) in $(hdr(X)[*])) { while (1) { return(1); } } } }",
        &["1", "2"],
    );
}

#[test]
fn endless_recursion_and_endless_scripts_are_stopped() {
    let outcome = check(
        "route { route(f); } route[f] { route(f); }",
        &["line 1: routes call each other more than 100 deep"],
    );
    assert_eq!(outcome, Outcome::Error { line: 1 });
    let program = program("max_while_loops = 100000000\nroute { while (1) { yes(); } }");
    let (mut frame, mut world) = start(&program);
    frame.limit_steps(10_000);
    assert_eq!(run(&program, &mut frame, &mut world), Outcome::StepLimit { line: 2 });
}

#[test]
fn the_running_route_knows_its_name_and_line() {
    check(
        "route { route(a); }
         route[a] { echo(\"$route $route.name $(route.name[1]) $(route.type[-1]) $cfg_line $cfg_file\"); }",
        &["route[a] a <null> route 2 test.cfg"],
    );
}

#[test]
fn arguments_arrive_as_declared() {
    check_body("if (is_method(\"INVITE\")) echo(\"y\");", &["y"]);
    check_body("$var(m) = \"INVITE\"; if (is_method(\"$var(m)\")) echo(\"y\");", &["dynamic", "y"]);
    check_body("$var(n) = \"12\"; value($var(n)); echo(\"$rc\");", &["12"]);
    check_body("echo(404, , \"c\");", &["404|c"]);
    check_body("echo(\"a\", $null);", &["a"]);
    check_body("set_out($var(x), \"out\"); echo(\"$var(x)\");", &["out"]);
    check_body("set_out(\"$avp(x)\", \"out\"); echo(\"$avp(x)\");", &["out"]);
    check_body("count_values($hdr(X));", &["3 values"]);
    check_body("if (grep(\"abc\", \"^a.c$\") && !grep(\"abc\", \"^A\")) echo(\"y\");", &["y"]);
    check_body("$var(p) = \"b\"; if (grep(\"abc\", $var(p))) echo(\"y\");", &["y"]);
    check_body("setflag(NAT); if (isflagset(\"NAT\") && !isflagset(OTHER)) echo(\"y\");", &["y"]);
    check_body(
        "setflag(NAT); $var(f) = \"nat\"; if (isflagset(\"$var(f)\")) {} else echo(\"no such flag\");",
        &["line 2: isflagset(): argument 1: no flag is named nat", "no such flag"],
    );
}

#[test]
fn a_required_argument_that_is_null_fails_the_call() {
    check_body("if (echo($null)) {} else echo(\"$rc\");", &["line 2: echo(): argument 1 is NULL", "-1"]);
    check_body(
        "$var(x) = \"abc\"; value($var(x)); echo(\"$rc\");",
        &["line 2: value(): argument 1: `abc` is no integer", "-1"],
    );
}

#[test]
fn a_function_that_breaks_stops_the_script() {
    let outcome = check_body("fail(); echo(\"x\");", &["line 2: fail() failed badly, the script is stopped"]);
    assert_eq!(outcome, Outcome::Error { line: 2 });
}

#[test]
fn logging_goes_by_level() {
    check_body(
        "xlog(\"plain $si\"); xlog(\"L_INFO\", \"info\"); xlog(L_DBG, \"hidden\"); xlog(-1, \"number\");",
        &["plain 10.0.0.1", "info", "number"],
    );
    check_body("log(1, \"raw $si\"); log(\"two\");", &["raw $si", "two"]);
    check_body("$var(l) = \"L_DBG\"; xlog(\"$var(l)\", \"hidden\"); xlog($var(l), \"hidden\");", &[]);
}

#[test]
fn assertions_count_only_when_enabled() {
    check_body("assert(1 == 2, \"no\"); echo(\"on\");", &["on"]);
    let outcome = check(
        "enable_asserts = yes\nroute { assert($si == \"x\", \"why\"); }",
        &["line 2: assertion failed: why"],
    );
    assert_eq!(outcome, Outcome::Error { line: 2 });
    check("enable_asserts = yes\nroute { assert(yes() && 1 == 1, \"why\"); echo(\"on\"); }", &["on"]);
}

#[test]
fn event_parameters_are_named() {
    let program =
        program("route {} event_route[E_SAVED] { echo(\"$param(aor) $(param(uri){uri.user}) $param(1)\"); }");
    let (name, route) = program.event_routes().next().unwrap();
    assert_eq!(name, "E_SAVED");
    let (_, mut world) = start(&program);
    let mut frame = Frame::new(route);
    frame.named_parameter("aor", Value::from("bob"));
    frame.named_parameter("uri", Value::from("sip:carol@x"));
    run(&program, &mut frame, &mut world);
    assert_eq!(world.log, ["bob carol bob"]);
}

#[test]
fn a_frame_can_be_used_again() {
    let program = program("route { $var(a) += 1; echo(\"$var(a) $avp(x)\"); $avp(x) = 1; }");
    let (mut frame, mut world) = start(&program);
    run(&program, &mut frame, &mut world);
    world.avps.clear();
    frame.clear(program.main().unwrap());
    run(&program, &mut frame, &mut world);
    assert_eq!(world.log, ["1 <null>", "1 <null>"]);
}

#[test]
fn parameters_globals_and_routes_can_be_read_back() {
    let program = program(
        "socket=udp:10.0.0.1:5060 as 1.2.3.4:5080 # comment
         listen = tcp:*:5060 use_workers 2
         alias = example.com
         log_level=4 udp_workers = 6
         server_header=\"Server: x\"
         loadmodule \"lib/registrar.so\"
         loadmodule \"usrloc.so\"
         modparam(\"registrar\", \"received_avp\", \"$avp(rcv)\")
         modparam(\"registrar\", \"tcp_persistent_flag\", \"TCP\")
         modparam(\"registrar\", \"extra\", \"a=$si\")
         modparam(\"registrar\", \"extra\", \"b\")
         modparam(\"registrar\", \"port\", 0x50)
         modparam(\"registrar\", \"report\", \"tick\")
         route { setflag(TCP); save(\"location\", \"no-reply,max-contacts=4\"); save(\"location\", , \"x\"); save(\"location\", \"c2\"); t_on_failure(\"f\"); }
         failure_route[f] {}
         timer_route[tick, 5] {}
         route[tick] {}
         startup_route {}",
    );
    assert_eq!(program.globals.sockets.len(), 2);
    assert_eq!(program.globals.sockets[0].advertised_port, Some(5080));
    assert_eq!(program.globals.aliases[0].host, "example.com");
    assert_eq!((program.globals.int("log_level"), program.globals.int("udp_workers")), (4, 6));
    assert_eq!(program.globals.str("server_header").as_deref(), Some("Server: x"));
    assert_eq!(program.globals.int("tcp_connection_lifetime"), 120);
    assert!(program.globals.bool("syslog_enabled"));
    assert_eq!(program.modules, ["core", "registrar", "usrloc"]);
    let parameters = &program.parameters;
    assert_eq!((parameters.int("registrar", "max_expires"), parameters.int("registrar", "port")), (3600, 80));
    assert!(parameters.is_set("registrar", "port") && !parameters.is_set("registrar", "max_expires"));
    assert_eq!(
        parameters.flag("registrar", "tcp_persistent_flag"),
        program.flag_bit(FlagSpace::Message, "TCP")
    );
    assert_eq!(parameters.route("registrar", "report"), program.route(RouteKind::Request, "tick"));
    assert_eq!(parameters.all("registrar", "extra").len(), 2);
    assert_eq!(
        program.timers().map(|(name, interval, _)| (name, interval)).collect::<Vec<_>>(),
        [("tick", 5)]
    );
    assert!(program.route(RouteKind::Startup, "").is_some());
    assert!(program.calls("save") && !program.calls("yes"));

    let (mut frame, mut world) = start(&program);
    run(&program, &mut frame, &mut world);
    assert_eq!(
        world.log,
        ["save Some((true, Some(4)))", "save None", "save Some((false, Some(2)))", "failure Some(\"f\")"]
    );
    let variable = parameters.variable("registrar", "received_avp").unwrap();
    program
        .write_variable(&mut world, variable, seawall_script::AssignOp::Set, Value::from("sip:x"))
        .unwrap();
    assert_eq!(program.read_variable(&world, variable), Value::from("sip:x"));
    assert!(parameters.format("registrar", "extra").is_some());
    let format = parameters.all("registrar", "extra")[0].format().unwrap();
    assert_eq!(program.expand(&world, format), Bytes::from("a=10.0.0.1"));
}

#[test]
fn files_are_included() {
    check("include_file \"extra.cfg\"\nimport_file \"missing.cfg\"\nroute { route(extra); }", &["included"]);
}

#[test]
fn comments_are_skipped() {
    check(
        "# one\n/* two\n three */ route { # four\n echo(\"# not a comment\"); /* five */ }",
        &["# not a comment"],
    );
}
