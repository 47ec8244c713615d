//! Nothing that a module declares goes without a test, and nothing of the document goes without a declaration.

use seawall_modules::MODULES;
use seawall_script::{Effect, ParameterKind};

/// The tests, by the module that they are for; the harness proves nothing by itself.
const TESTS: &[(&str, &str)] = &[
    ("acc", include_str!("acc.rs")),
    ("auth", include_str!("auth.rs")),
    ("auth_db", include_str!("auth_db.rs")),
    ("db_mysql", include_str!("databases.rs")),
    ("db_postgres", include_str!("databases.rs")),
    ("db_sqlite", include_str!("auth_db.rs")),
    ("core", include_str!("core.rs")),
    ("core", include_str!("event_routing.rs")),
    ("core", include_str!("serial.rs")),
    ("core", include_str!("variables.rs")),
    ("core", include_str!("tm.rs")),
    ("core", include_str!("tm_routes.rs")),
    ("event_routing", include_str!("event_routing.rs")),
    ("domain", include_str!("domain.rs")),
    ("httpd", include_str!("management.rs")),
    ("maxfwd", include_str!("maxfwd.rs")),
    ("mi_datagram", include_str!("management.rs")),
    ("mid_registrar", include_str!("mid_examples.rs")),
    ("mid_registrar", include_str!("mid_registrar/answers.rs")),
    ("mid_registrar", include_str!("mid_registrar/crowd.rs")),
    ("mid_registrar", include_str!("mid_registrar/forms.rs")),
    ("mid_registrar", include_str!("mid_registrar/lookup.rs")),
    ("mid_registrar", include_str!("mid_registrar/parameters.rs")),
    ("mid_registrar", include_str!("mid_registrar/saving.rs")),
    ("mid_registrar", include_str!("waking.rs")),
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
    ("registrar", include_str!("waking.rs")),
    ("rr", include_str!("rr.rs")),
    ("signaling", include_str!("signaling.rs")),
    ("sipmsgops", include_str!("sipmsgops.rs")),
    ("sl", include_str!("sl.rs")),
    ("tm", include_str!("tm.rs")),
    ("tm", include_str!("tm_routes.rs")),
    ("tm", include_str!("event_routing.rs")),
    ("uac_auth", include_str!("uac_auth.rs")),
    ("usrloc", include_str!("pinging.rs")),
    ("usrloc", include_str!("usrloc.rs")),
    ("usrloc", include_str!("waking.rs")),
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
