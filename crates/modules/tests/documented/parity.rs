//! A module against the facts of its document: `parity/NAME.facts` lists what the document declares, and everything of it
//! stands in the module's table as it does there, loads, and has a test by its name.

use std::collections::HashMap;
use std::path::Path;

use seawall_modules::MODULES;
use seawall_modules::context::Context;
use seawall_script::{ArgumentKind, Effect, Function, Module, ParameterKind, Routes};

use crate::harness::{check_loads, check_refused};

/// One line of the facts.
struct Fact<'a> {
    line: &'a str,
    fields: Vec<&'a str>,
}

impl<'a> Fact<'a> {
    fn kind(&self) -> &'a str {
        self.fields[0]
    }

    fn section(&self) -> &'a str {
        self.fields[1]
    }

    fn state(&self) -> &'a str {
        self.fields[self.fields.len() - 2]
    }

    fn is_later(&self) -> bool {
        self.state().starts_with("later: ")
    }

    fn tests(&self) -> impl Iterator<Item = &'a str> {
        self.fields.last().unwrap().split(", ")
    }

    /// The word that a test of it has to have.
    fn word(&self) -> &'a str {
        match self.kind() {
            "flag" => self.fields[3].split('=').next().unwrap(),
            "parameter" | "function" | "argument" | "return" | "statistic" => self.fields[2],
            _ => "",
        }
    }
}

fn facts(text: &str) -> Vec<Fact<'_>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| Fact { line, fields: line.split('|').map(str::trim).collect() }).collect()
}

/// Holds a module's facts against its table and its tests.
fn check(text: &str) {
    let facts = facts(text);
    let head = facts.iter().find(|fact| fact.kind() == "module").expect("a line `module`");
    let module = *MODULES.iter().find(|module| module.name == head.fields[1]).expect("the module");
    assert_eq!(module.document, head.fields[2]);
    let of = |kind: &'static str| facts.iter().filter(move |fact| fact.kind() == kind);
    for fact in &facts {
        match fact.kind() {
            "module" => continue,
            "parameter" => parameter(module, fact),
            "function" => function(module, fact),
            "flag" => flag(module, fact),
            "return" => return_code(module, fact),
            "statistic" => {
                assert!(module.statistics.iter().any(|one| one.name == fact.fields[2]), "{}", fact.line);
            }
            "argument" | "example" => {}
            other => panic!("what is a {other}?"),
        }
        let is_known = ["yes", "differs: ", "later: "].iter().any(|state| fact.state().starts_with(state));
        assert!(is_known, "{}", fact.line);
        tested(fact);
    }
    for function in module.functions {
        arguments(
            function,
            &of("argument").filter(|fact| fact.fields[2] == function.name).collect::<Vec<_>>(),
        );
    }

    // Nothing is declared with a section that the document does not have.
    let count = |kind| of(kind).count();
    let documented = |section: &str| !section.is_empty();
    assert_eq!(count("parameter"), module.parameters.iter().filter(|one| documented(one.section)).count());
    let later = of("function").filter(|fact| fact.is_later()).count();
    assert_eq!(count("function") - later, module.functions.len());
    let ours = |doc: &str| doc.ends_with("Not in OpenSIPS.");
    assert_eq!(count("statistic"), module.statistics.iter().filter(|one| !ours(one.doc)).count());
    for function in module.functions {
        for declared in function.arguments.iter().flat_map(|argument| argument.words) {
            let mut known = of("flag").filter(|fact| fact.fields[2] == function.name);
            assert!(known.any(|fact| fact.word() == declared.name), "{}: {}", function.name, declared.name);
        }
    }
}

#[track_caller]
fn find<'m>(module: &'m Module<Context>, name: &str) -> Option<&'m Function<Context>> {
    module.functions.iter().find(|function| function.name == name)
}

fn parameter(module: &Module<Context>, fact: &Fact<'_>) {
    let [_, section, name, kind, default, state, _] = fact.fields[..] else { panic!("{}", fact.line) };
    let found = module.parameters.iter().find(|parameter| parameter.name == name).expect(name);
    assert_eq!(found.section, section, "{name}");
    let fits = match kind {
        "integer" => matches!(found.kind, ParameterKind::Int | ParameterKind::Bool | ParameterKind::IntOrStr),
        "boolean" => found.kind == ParameterKind::Bool,
        "string" => !matches!(found.kind, ParameterKind::Int | ParameterKind::Bool | ParameterKind::IntOrStr),
        _ => false,
    };
    assert!(fits, "{name} is no {kind}");
    assert_eq!(found.default == default, !state.starts_with("differs: "), "the default of {name}");
    // What has no effect yet says so, and nothing else does.
    let works = found.effect == Effect::Used
        && found.check.is_none_or(|check| {
            let on = seawall_script::Value::Int(i64::from(default == "0"));
            found.kind != ParameterKind::Bool || check(&on).is_ok()
        });
    assert_eq!(works, !fact.is_later(), "{name}");
}

fn function(module: &Module<Context>, fact: &Fact<'_>) {
    let [_, section, name, routes, ..] = fact.fields[..] else { panic!("{}", fact.line) };
    let Some(found) = find(module, name) else {
        assert!(fact.is_later(), "{name}");
        check_refused(&format!("§{name}(\"location\");"), &["not provided"]);
        return;
    };
    assert_eq!(found.section, section, "{name}");
    let all = [
        ("request", Routes::REQUEST),
        ("failure", Routes::FAILURE),
        ("branch", Routes::BRANCH),
        ("onreply", Routes::ONREPLY),
        ("local", Routes::LOCAL),
        ("startup", Routes::STARTUP),
        ("timer", Routes::TIMER),
        ("event", Routes::EVENT),
    ];
    assert_eq!(found.only_asynchronous, routes.split(", ").any(|known| known == "async"), "{name}");
    for (route, kind) in all {
        let allowed = routes == "all" || routes.split(", ").any(|known| known == route);
        assert_eq!(found.routes.allows(kind), allowed, "{name} in {route}");
    }
}

fn arguments(function: &Function<Context>, facts: &[&Fact<'_>]) {
    let documented: Vec<String> = facts.iter().map(|fact| fact.fields[3].to_lowercase()).collect();
    let declared: Vec<&str> = function.arguments.iter().map(|argument| argument.name).collect();
    // Names of variables end in `var` in the document.
    let plain: Vec<&str> = documented.iter().map(|name| name.strip_suffix("var").unwrap_or(name)).collect();
    assert_eq!(plain, declared, "{}", function.name);
    for (argument, fact) in function.arguments.iter().zip(facts) {
        let (kind, optional) = match fact.fields[4].split_once(", ") {
            Some((kind, "optional")) => (kind, true),
            _ => (fact.fields[4], false),
        };
        let fits = match argument.kind {
            ArgumentKind::StaticStr => kind == "static string",
            ArgumentKind::Str | ArgumentKind::Flag(_) | ArgumentKind::Flags(_) => kind == "string",
            ArgumentKind::Int => kind == "integer",
            ArgumentKind::ReadVariable | ArgumentKind::Variable => kind == "variable",
            _ => false,
        };
        assert!(fits, "{}: {} is no {kind}", function.name, argument.name);
        assert_eq!(argument.optional, optional, "{}: {}", function.name, argument.name);
    }
}

fn flag(module: &Module<Context>, fact: &Fact<'_>) {
    let [_, _, name, flag, old, ..] = fact.fields[..] else { panic!("{}", fact.line) };
    let function = find(module, name).expect(name);
    let mut declared = function.arguments.iter().flat_map(|argument| argument.words);
    let declared = declared.find(|declared| declared.name == fact.word()).expect(flag);
    assert!(old.starts_with(declared.old), "{flag}");
    check_loads(&format!("{name}(\"location\", \"{flag}\");"));
    check_loads(&format!("{name}(\"location\", \"{old}\");"));
}

fn return_code(module: &Module<Context>, fact: &Fact<'_>) {
    let function = find(module, fact.fields[2]).expect("the function");
    let value: i64 = fact.fields[3].parse().unwrap();
    let known = function.returns.iter().any(|(code, _)| *code == value);
    assert_eq!(known, !fact.is_later(), "{}", fact.line);
}

/// The source of a test: everything from its name to the end of its function.
fn test_source(name: &str) -> Option<String> {
    let (file, function) = name.split_once("::")?;
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = match file.strip_prefix("e2e/") {
        Some(file) => own.join(format!("../seawall/tests/e2e/{file}.rs")),
        None => own.join(format!("tests/documented/{file}.rs")),
    };
    let text = std::fs::read_to_string(path).ok()?;
    let start = text.find(&format!("#[test]\nfn {function}("))?;
    let rest = &text[start..];
    Some(rest[..rest.find("\n}\n")?].to_owned())
}

/// Each fact has a test, and the first one is about it: it has its word, or the functions that it calls have.
fn tested(fact: &Fact<'_>) {
    for name in fact.tests() {
        assert!(test_source(name).is_some(), "there is no test {name}: {}", fact.line);
    }
    let first = fact.tests().next().unwrap();
    let file = first.split("::").next().unwrap();
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/documented/{file}.rs"));
    let whole = std::fs::read_to_string(whole).unwrap();
    assert!(whole.contains(fact.word()), "{first} does not name {}", fact.word());
}

#[test]
fn the_registrar_has_what_its_document_has() {
    check(include_str!("parity/registrar.facts"));
}

#[test]
fn the_mid_registrar_has_what_its_document_has() {
    check(include_str!("parity/mid_registrar.facts"));
}

#[test]
fn no_fact_stands_twice_and_the_examples_are_those_of_the_document() {
    listed_once(include_str!("parity/registrar.facts"), include_str!("parity/registrar.examples"));
    listed_once(include_str!("parity/mid_registrar.facts"), include_str!("parity/mid_registrar.examples"));
}

fn listed_once(text: &str, examples: &str) {
    let mut seen = HashMap::new();
    for fact in facts(text) {
        let key = match fact.kind() {
            "flag" | "argument" | "return" => {
                format!("{} {} {}", fact.kind(), fact.fields[2], fact.fields[3])
            }
            _ => format!("{} {} {}", fact.kind(), fact.section(), fact.fields[2]),
        };
        assert!(seen.insert(key, fact.line).is_none(), "{}", fact.line);
    }
    let listed = facts(text).into_iter().filter(|fact| fact.kind() == "example");
    let listed: Vec<String> = listed.map(|fact| format!("{} {}", fact.section(), fact.fields[2])).collect();
    let quoted = examples.split("\n=== ").skip(1);
    let quoted: Vec<&str> = quoted.map(|part| part.lines().next().unwrap()).collect();
    assert_eq!(listed, quoted);
}
