//! The parameters of a module against a table of what the documents say.

use seawall_modules::MODULES;
use seawall_modules::context::Context;
use seawall_script::{Effect, Module, Parameter};

use super::{check_warned, refused};

/// What is documented of a parameter.
pub struct Row {
    pub name: &'static str,
    /// The default as a script would write it; empty for "not set".
    pub default: &'static str,
    /// A value that is good.
    pub good: &'static str,
    /// One that is wrong, and words of its message.
    pub wrong: (&'static str, &'static str),
}

/// One row: name, default, a good value, a wrong one and words of its message.
pub const fn row(
    name: &'static str,
    default: &'static str,
    good: &'static str,
    wrong: &'static str,
    words: &'static str,
) -> Row {
    Row { name, default, good, wrong: (wrong, words) }
}

fn module(name: &str) -> &'static Module<Context> {
    MODULES.iter().find(|module| module.name == name).expect("a module")
}

/// Fails unless a module has exactly these parameters with these defaults, takes the good values, refuses the wrong
/// ones where they stand, and warns about those that do nothing here.
#[track_caller]
pub fn check_parameters(name: &str, rows: &[Row]) {
    let module = module(name);
    let documented: Vec<&str> = rows.iter().map(|row| row.name).collect();
    let declared: Vec<&str> = module.parameters.iter().map(|parameter| parameter.name).collect();
    assert_eq!(declared, documented, "the parameters of {name}");
    for (parameter, row) in module.parameters.iter().zip(rows) {
        assert_eq!(parameter.default, row.default, "the default of {name}:{}", row.name);
        check_good(module, parameter, row);
        check_wrong(module, row);
    }
}

fn script(module: &Module<Context>, name: &str, value: &str) -> String {
    let mut loads = String::new();
    let auth = module.requires.contains(&"auth");
    for required in ["signaling", "tm", "auth", "httpd", "usrloc"] {
        // What a module needs may need another.
        if module.requires.contains(&required) || auth && required == "signaling" {
            loads.push_str(&format!("loadmodule \"{required}.so\"\n"));
        }
    }
    let parameter =
        module.parameters.iter().find(|parameter| format!("\"{}\"", parameter.name) == name.replace('§', ""));
    let also = parameter.map_or("", |parameter| parameter.needs_module);
    if !also.is_empty() && !module.requires.contains(&also) {
        loads.push_str(&format!("loadmodule \"{also}.so\"\n"));
    }
    let own = module.name;
    format!("{loads}loadmodule \"{own}.so\"\nmodparam(\"{own}\", {name}, {value})\nroute {{ exit; }}\n")
}

#[track_caller]
fn check_good(module: &Module<Context>, parameter: &Parameter, row: &Row) {
    match parameter.effect {
        Effect::Used => {
            super::program(&script(module, &format!("\"{}\"", row.name), row.good));
        }
        Effect::NoEffect(reason) => {
            let marked = script(module, &format!("§\"{}\"", row.name), row.good);
            check_warned(&marked, &[row.name, "has no effect here", reason]);
        }
    }
}

#[track_caller]
fn check_wrong(module: &Module<Context>, row: &Row) {
    let (value, words) = row.wrong;
    refused(&script(module, &format!("\"{}\"", row.name), &format!("§{value}")), &[row.name, words]);
}
