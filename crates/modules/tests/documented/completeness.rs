//! Nothing that a module declares goes without a test, and nothing of the document goes without a declaration.

use crate::harness::check_loads;
use seawall_modules::MODULES;
use seawall_script::{Effect, ParameterKind};

/// The tests, by the module that they are for; the harness proves nothing by itself.
const TESTS: &[(&str, &str)] = &[
    ("acc", include_str!("acc.rs")),
    ("auth", include_str!("auth.rs")),
    ("auth_db", include_str!("auth_db.rs")),
    ("db_sqlite", include_str!("auth_db.rs")),
    ("core", include_str!("core.rs")),
    ("core", include_str!("serial.rs")),
    ("core", include_str!("variables.rs")),
    ("core", include_str!("tm.rs")),
    ("core", include_str!("tm_routes.rs")),
    ("httpd", include_str!("management.rs")),
    ("maxfwd", include_str!("maxfwd.rs")),
    ("mi_datagram", include_str!("management.rs")),
    ("mi_fifo", include_str!("management.rs")),
    ("mi_http", include_str!("management.rs")),
    ("options", include_str!("options.rs")),
    ("path", include_str!("path.rs")),
    ("nathelper", include_str!("nathelper.rs")),
    ("nathelper", include_str!("pinging.rs")),
    ("proto_tcp", include_str!("management.rs")),
    ("proto_udp", include_str!("management.rs")),
    ("push", include_str!("push.rs")),
    ("rest_client", include_str!("rest_client.rs")),
    ("registrar", include_str!("gruu.rs")),
    ("registrar", include_str!("cached.rs")),
    ("registrar", include_str!("examples.rs")),
    ("reg_event", include_str!("reg_event.rs")),
    ("registrar", include_str!("lookup.rs")),
    ("registrar", include_str!("registrar.rs")),
    ("registrar", include_str!("save.rs")),
    ("rr", include_str!("rr.rs")),
    ("signaling", include_str!("signaling.rs")),
    ("sipmsgops", include_str!("sipmsgops.rs")),
    ("sl", include_str!("sl.rs")),
    ("tm", include_str!("tm.rs")),
    ("tm", include_str!("tm_routes.rs")),
    ("usrloc", include_str!("pinging.rs")),
    ("usrloc", include_str!("usrloc.rs")),
];

/// Counters of the core that the engine counts; they are proven where messages come over the network.
const COUNTED_BY_THE_ENGINE: &[&str] = &[
    "rcv_requests",
    "rcv_replies",
    "fwd_requests",
    "fwd_replies",
    "drop_requests",
    "drop_replies",
    "err_requests",
    "err_replies",
    "bad_URIs_rcvd",
    "unsupported_methods",
    "bad_msg_hdr",
    "timestamp",
];

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// Whether the tests of a module have a text that is not part of a longer name.
fn has(module: &str, text: &str) -> bool {
    TESTS.iter().filter(|(of, _)| *of == module).any(|(_, source)| {
        source.match_indices(text).any(|(at, _)| {
            let before = at.checked_sub(1).map(|before| source.as_bytes()[before]);
            let after = source.as_bytes().get(at + text.len()).copied();
            let joined = |byte: Option<u8>| byte.is_some_and(|byte| is_word(byte) && byte != b'.');
            !(joined(after) || is_word(text.as_bytes()[0]) && joined(before))
        })
    })
}

#[test]
fn everything_that_a_module_declares_is_named_in_its_tests() {
    let mut missing = Vec::new();
    for module in MODULES {
        let mut need = |text: String| {
            if !has(module.name, &text) {
                missing.push(format!("{}: {text}", module.name));
            }
        };
        for function in module.functions {
            need(format!("{}(", function.name).trim_end_matches('(').to_owned());
        }
        for parameter in module.parameters {
            need(format!("\"{}\"", parameter.name));
        }
        for variable in module.variables {
            need(if has(module.name, &format!("${}", variable.name)) {
                format!("${}", variable.name)
            } else {
                format!("$({}", variable.name)
            });
        }
        for statistic in module.statistics {
            if module.name != "core" || !COUNTED_BY_THE_ENGINE.contains(&statistic.name) {
                need(format!("\"{}\"", statistic.name));
            }
        }
        for event in module.events {
            need(event.name.to_owned());
            event.parameters.iter().for_each(|parameter| need(format!("$param({parameter})")));
        }
    }
    assert!(missing.is_empty(), "no test names {missing:#?}");
}

#[test]
fn every_declaration_says_what_it_is() {
    for module in MODULES {
        assert!(module.document.starts_with("https://"), "{}", module.name);
        for parameter in module.parameters {
            assert!(
                parameter.doc.ends_with(['.', ';']) || parameter.doc.contains(". "),
                "{}",
                parameter.name
            );
            if let Effect::NoEffect(reason) = parameter.effect {
                assert!(!reason.is_empty() && !reason.ends_with('.'), "{}", parameter.name);
            }
        }
        for function in module.functions {
            assert!(function.doc.ends_with('.'), "{}", function.name);
        }
    }
}

#[test]
fn defaults_are_values_of_their_kind() {
    for module in MODULES {
        for parameter in module.parameters.iter().filter(|parameter| !parameter.default.is_empty()) {
            match parameter.kind {
                ParameterKind::Int | ParameterKind::Bool => {
                    assert!(parameter.default.parse::<i64>().is_ok(), "{}:{}", module.name, parameter.name);
                }
                ParameterKind::Str | ParameterKind::IntOrStr => {}
                _ => panic!("{}:{} names something by default", module.name, parameter.name),
            }
        }
    }
}

/// Sections 1.3.1 to 1.3.29 of the registrar's document: name and default, as it says them.
const DOCUMENTED: &[(&str, &str, &str)] = &[
    ("1.3.1", "default_expires", "3600"),
    ("1.3.2", "min_expires", "60"),
    ("1.3.3", "max_expires", "0"),
    ("1.3.4", "default_q", "0"),
    ("1.3.5", "tcp_persistent_flag", ""),
    ("1.3.6", "realm_prefix", ""),
    ("1.3.7", "case_sensitive", "1"),
    ("1.3.8", "received_avp", ""),
    ("1.3.9", "received_param", "received"),
    ("1.3.10", "expires_max_deviation", "0"),
    ("1.3.11", "max_contacts", "0"),
    ("1.3.12", "max_username_len", "64"),
    ("1.3.13", "max_domain_len", "64"),
    ("1.3.14", "max_aor_len", "256"),
    // 255 in the document; see the parameter for why it is more here.
    ("1.3.15", "max_contact_len", "512"),
    ("1.3.16", "retry_after", "0"),
    ("1.3.17", "sock_hdr_name", ""),
    ("1.3.18", "mcontact_avp", ""),
    ("1.3.19", "attr_avp", ""),
    ("1.3.20", "gruu_secret", "OpenSIPS"),
    ("1.3.21", "disable_gruu", "1"),
    ("1.3.22", "pn_enable", "0"),
    ("1.3.23", "pn_providers", ""),
    ("1.3.24", "pn_ct_match_params", "pn-provider, pn-prid, pn-param"),
    ("1.3.25", "pn_pnsreg_interval", "130"),
    ("1.3.26", "pn_trigger_interval", "120"),
    ("1.3.27", "pn_skip_pn_interval", "0"),
    ("1.3.28", "pn_refresh_timeout", "6"),
    ("1.3.29", "pn_enable_purr", "0"),
];

/// Functions of the registrar's document: section, name, how many arguments it needs and takes.
const DOCUMENTED_FUNCTIONS: &[(&str, &str, usize, usize)] = &[
    ("1.4.1", "save", 1, 4),
    ("1.4.2", "remove", 2, 6),
    ("1.4.3", "remove_ip_port", 3, 4),
    ("1.4.4", "lookup", 1, 3),
    ("1.4.5", "is_registered", 1, 2),
    ("1.4.6", "is_contact_registered", 1, 4),
    ("1.4.7", "is_ip_registered", 3, 4),
    ("1.4.8", "add_sock_hdr", 1, 1),
];

/// Flags of `save()` (1.4.1) and `lookup()` (1.4.4): by name, and by the older letter.
const DOCUMENTED_FLAGS: &[(&str, &str, &str)] = &[
    ("save", "memory-only", "m"),
    ("save", "no-reply", "r"),
    ("save", "max-contacts=5", "c5"),
    ("save", "force-registration", "f"),
    ("save", "matching-mode=1", "M1"),
    ("save", "path-off", "p0"),
    ("save", "path-lazy", "p1"),
    ("save", "path-strict", "p2"),
    ("save", "path-received", "v"),
    ("save", "only-request-contacts", "o"),
    ("save", "socket-header", "s"),
    ("save", "min-expires=5", "e5"),
    ("save", "max-expires=5", "E5"),
    ("lookup", "no-branches", "b"),
    ("lookup", "to-branches-only", "B"),
    ("lookup", "branch", "r"),
    ("lookup", "method-filtering", "m"),
    ("lookup", "ua-filtering=/x/", "u/x/"),
    ("lookup", "case-insensitive", "i"),
    ("lookup", "extended-regexp", "e"),
    ("lookup", "global", "g"),
    ("lookup", "max-ping-latency=5", "y5"),
    ("lookup", "sort-by-latency", "Y"),
];

#[test]
fn every_flag_of_the_document_is_taken_and_tested() {
    for (function, name, letter) in DOCUMENTED_FLAGS {
        check_loads(&format!("{function}(\"location\", \"{name}\");"));
        check_loads(&format!("{function}(\"location\", \"{letter}\");"));
        let name = name.split('=').next().unwrap();
        let source = if *function == "save" { include_str!("save.rs") } else { include_str!("lookup.rs") };
        assert!(source.contains(name), "{function} {name}");
    }
}

#[test]
fn the_registrar_has_what_its_document_has() {
    let module = MODULES.iter().find(|module| module.name == "registrar").unwrap();
    for (section, name, default) in DOCUMENTED {
        let parameter = module.parameters.iter().find(|parameter| parameter.name == *name).unwrap();
        assert_eq!((parameter.section, parameter.default), (*section, *default), "{name}");
    }
    // What is ours alone stands behind and has no section.
    let ours: Vec<_> = module.parameters.iter().filter(|parameter| parameter.section.is_empty()).collect();
    assert_eq!(
        ours.iter().map(|own| own.name).collect::<Vec<_>>(),
        [
            "min_expires_mode",
            "max_reply_percent",
            "trust_contact_received",
            "gruu_legacy",
            "outbound_mode",
            "service_route"
        ]
    );
    assert_eq!(module.parameters.len(), DOCUMENTED.len() + ours.len());

    for (section, name, least, most) in DOCUMENTED_FUNCTIONS {
        let function = module.functions.iter().find(|function| function.name == *name).unwrap();
        let needed = function.arguments.iter().filter(|argument| !argument.optional).count();
        let shape = (function.section, needed, function.arguments.len());
        // The address of record of is_ip_registered may be left empty although an argument follows it.
        let least = if *name == "is_ip_registered" { least - 1 } else { *least };
        assert_eq!(shape, (*section, least, *most), "{name}");
    }
    assert_eq!(module.functions.len(), DOCUMENTED_FUNCTIONS.len());

    let statistics: Vec<&str> = module.statistics.iter().map(|statistic| statistic.name).collect();
    assert_eq!(
        statistics,
        ["max_expires", "max_contacts", "defaults_expires", "accepted_regs", "rejected_regs"]
    );
}
