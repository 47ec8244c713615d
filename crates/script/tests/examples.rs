//! The notations that documents and scripts in the field use can all be read. What they mean is tested elsewhere.
#![allow(clippy::unwrap_used)]

/// Parses the top of a file.
fn check(text: &str) {
    let diagnostics = seawall_script::parse(text.as_bytes());
    assert!(diagnostics.is_empty(), "{text}\n{}", diagnostics.render(false));
}

/// Parses statements.
fn check_body(text: &str) {
    check(&format!("route {{\n{text}\n}}\n"));
}

#[test]
fn settings_and_modules() {
    check("log_level=3 # three\nstderror_enabled=no\nsyslog_facility=LOG_LOCAL0\nudp_workers = 4\n");
    check(
        "socket=udp:127.0.0.1:5060   # CUSTOMIZE ME\nsocket=tcp:[2001:db8::1]:5060 as sip.example.com:5062 use_workers 2 tag a\n",
    );
    check(
        "socket = udp:*:5060\nsocket= udp:lo\nsocket=10.0.0.1\nalias=\"example.com\"\nalias=udp:example.com:5060;\n",
    );
    check("mpath=\"/usr/lib/modules/\"\nloadmodule \"a.so\"\nloadmodule \"modules/b/b.so\";\n");
    check(
        "modparam(\"a\", \"b\", 0666)\nmodparam(\"a|b\", \"c\", -1)\nmodparam('a', 'b', yes)\nmodparam(\"a\", \"b\",\n   \"two\nlines\")\n",
    );
    check(
        "dst_blacklist = gw:{( tcp , 192.168.2.200 , 5060 , \"\" ),\n ( udp , 10.0.0.0/255.0.0.0 , 0 , \"\" )}\nlog_level=1\n",
    );
    check("server_header=\"Server: x\"\nadvertised_address=\"1.2.3.4\" advertised_port=5061\n");
}

#[test]
fn routes_of_every_kind() {
    check(
        "route{ exit; }\nroute[relay]{ drop; }\nroute [two] (a, b)\n{\n}\nroute[3] {}\nroute[GW-FAIL] {}\n",
    );
    check(
        "branch_route[b] {}\nfailure_route [f] {}\nonreply_route {}\nonreply_route[r] {}\nerror_route {}\nlocal_route {}\n",
    );
    check(
        "startup_route {}\ntimer_route[tick, 30] {}\nevent_route[E_UL_CONTACT_REFRESH] {}\nevent_route[E_X, sync] {}\n",
    );
}

#[test]
fn conditions_and_statements() {
    check_body("if (!mf_process_maxfwd_header(10)) { send_reply(483,\"Too Many Hops\"); exit; }");
    check_body(
        "if ( is_method(\"ACK\") && t_check_trans() ) t_relay(); else if (has_totag()) { ; } else exit();",
    );
    check_body(
        "if (is_method(\"INVITE\") and $si == \"10.0.0.3\" and $sp == 5070) { } else if (not yes()) { }",
    );
    check_body("if ($rU==NULL || $(hdr(X)[-1]) != NULL) { return; } if (($si==11.22.33.44 && $sp==5060)) {}");
    check_body(
        "switch ($retcode) { case 1: t_relay(); break; case 2: case -3: drop; default: xlog(\"L_ERR\", \"x\\n\"); }",
    );
    check_body("while ($(msg.branch.uri[$var(i)])!=NULL) { $var(i) = $var(i) + 1; }");
    check_body("for ($var(c) in $(ct[*])) { xlog(\"$var(c)\\n\"); }");
    check_body("if (lookup(\"location\", \"method-filtering\")) { # found\n } ; else { exit; }");
    check_body(
        "return(-1); return (1); return -1; return(1, $var(x), \"y\"); return $var(x) + 1; return (1) + 2;",
    );
    check_body("{ exit; } { { drop; } }");
}

#[test]
fn calls() {
    check_body(
        "save(\"location\", \"path-lazy, max-contacts=3\", $avp(aor), \"vip\"); save(\"location\", , , \"vip\");",
    );
    check_body("route(relay); route(\"$var(name)\"); route(add, 1, \"$fu\", $var(x)); if (route(1)) exit;");
    check_body("setflag(NAT); setbflag(\"NAT\"); t_on_failure(\"f\"); t_on_branch(f-1);");
    check_body("async(pn_process_purr(\"location\"), resume_route\n); async (sleep(\"2\"), done, 5);");
    check_body("launch(exec(\"push $avp(token)\"), report, \"$ru\"); launch(sleep(2));");
    check_body(
        "xlog(\"L_INFO\", \"[$rm] $(ru{uri.user}) $$\"); xlog(\"$var(level)\", \"x\"); log(1, \"x\"); xlog(L_DBG, \"x\");",
    );
    check_body(
        "if (is_contact_registered(\"location\", $tu, , $ci)) { } assert($var(x) == 1 && yes(), \"text\");",
    );
    check_body("forward(); forward( 127.0.0.1, 9 ); force_send_socket(udp:10.0.0.1:5060);");
}

#[test]
fn variables_and_transformations() {
    check_body(
        "$avp(attr) = \"contact_info\"; $avp(x) := NULL; $(avp(x)[0]) = 1; $var(a) += 1; $du = \"sip:\" + $si;",
    );
    check_body("xlog(\"Attributes $T_branch_idx: $(avp(attr)[$T_branch_idx])\\n\");");
    check_body(
        "$var(p) = $(param(uri){uri.param,pn-provider}); $var(b) = $(<request>ru); $var(c) = $(<reply>hdr(Contact)[1]);",
    );
    check_body(
        "$var(a) = $(var(x){re.subst,/^sip:([^@]{2,3})@(.*)$/\\2,\\1/g}); $var(b) = $(hdr(X){s.select,1, }{s.trim}{s.int});",
    );
    check_body(
        "$json(a/b[0]/$var(k)) = \"{}\"; $var(x) = $time(%Y-%m-%d); $msg.branch.uri = \"sip:x\"; $var(y) = $hdr($var(n));",
    );
    check_body("$var(a) = $avp(x)[1] + $(avp(y)[$var(i)]{s.substr,$var(b),-1}) - 0x1F * ~3 << 2 | 1;");
    check_body("if ($ru =~ '^sip:[[:digit:]]+@' && $fU !~ \"^\\+?[0-9]{3,}$\" && [ $var(m) & 2 ]) { }");
}
