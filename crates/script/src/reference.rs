//! The reference for users, written from the tables that the loader checks scripts against.

use std::fmt::Write as _;

use crate::compile::{OWN_FUNCTIONS, OWN_VARIABLES, signature};
use crate::declare::{
    ArgumentKind, Effect, FlagDecl, Function, Module, Parameter, ParameterKind, Routes, Variable,
    VariableArguments,
};
use crate::globals::{GLOBALS, GlobalKind};
use crate::transform;

/// The pages: file name and text in Markdown. One for the language, one for the settings, one for each module name.
pub fn markdown<C>(modules: &[&'static Module<C>]) -> Vec<(String, String)> {
    let mut names: Vec<&str> = Vec::new();
    for module in modules {
        if !names.contains(&module.name) {
            names.push(module.name);
        }
    }
    let mut pages = vec![
        ("language.md".to_string(), language()),
        ("settings.md".to_string(), settings()),
        ("README.md".to_string(), contents(&names)),
    ];
    for name in names {
        let parts: Vec<&'static Module<C>> =
            modules.iter().copied().filter(|module| module.name == name).collect();
        pages.push((format!("{name}.md"), page(name, &parts)));
    }
    pages
}

fn contents(names: &[&str]) -> String {
    let mut text = String::from(
        "# Reference\n\nWritten by `cargo xtask docs` from the tables that scripts are checked against; \
         do not edit. Section numbers are those of the OpenSIPS manuals.\n\n- [The language](language.md)\n- [Settings](settings.md)\n",
    );
    for name in names {
        let _ = writeln!(text, "- [Module {name}]({name}.md)");
    }
    text
}

fn language() -> String {
    let mut text = String::from(
        "# The language\n\nScripts are written in the routing language of OpenSIPS 3.x and 4.x, in its full \
         grammar. This page lists what belongs to the language itself; functions and further variables come with the modules.\n\n\
         ## Statements in the form of a call\n\n| name | what it does |\n|---|---|\n",
    );
    for (name, doc) in OWN_FUNCTIONS {
        let _ = writeln!(text, "| `{name}` | {} |", cell(doc));
    }
    text.push_str("\n## Variables of the language\n\n| name | what it is |\n|---|---|\n");
    for (name, doc) in OWN_VARIABLES {
        let _ = writeln!(text, "| `${name}` | {} |", cell(doc));
    }
    text.push_str("\n## Transformations\n\n| transformation | what it gives |\n|---|---|\n");
    for (name, (least, most), doc) in transform::describe() {
        let arguments = match (least, most) {
            (0, _) => String::new(),
            (least, most) => format!("{}{}", ",…".repeat(least), "[,…]".repeat(most - least)),
        };
        let _ = writeln!(text, "| `{{{name}{arguments}}}` | {} |", cell(doc));
    }
    text
}

fn settings() -> String {
    let mut text = String::from(
        "# Settings\n\n`name=value`, outside of routes. One without an effect here is accepted with a \
         warning.\n\n| name | type | default | what it does |\n|---|---|---|---|\n",
    );
    for global in GLOBALS {
        let kind = match global.kind {
            GlobalKind::Int => "integer",
            GlobalKind::Bool => "yes or no",
            GlobalKind::Str => "string",
            GlobalKind::Socket => "socket",
            GlobalKind::Alias => "name",
        };
        let doc = with_effect(global.doc, global.effect);
        let _ = writeln!(text, "| `{}` | {kind} | {} | {doc} |", global.name, code(global.default));
    }
    text
}

/// The page of one module, which may be declared in several tables.
fn page<C>(name: &str, parts: &[&'static Module<C>]) -> String {
    let mut text = format!("# Module {name}\n\n");
    let mut documents: Vec<&str> = parts.iter().map(|part| part.document).collect();
    documents.dedup();
    for document in documents {
        let _ = writeln!(text, "Document: <{document}>");
    }
    let requires: Vec<&str> = parts.iter().flat_map(|part| part.requires).copied().collect();
    if !requires.is_empty() {
        let _ = writeln!(text, "\nNeeds: {}", requires.join(", "));
    }
    let parameters = parts.iter().flat_map(|part| part.parameters);
    let head = "\n## Parameters\n\n| name | type | default | unit | section | what it does |\n|---|---|---|---|---|---|\n";
    section(&mut text, head, parameters, parameter_row);
    let functions = parts.iter().flat_map(|part| part.functions);
    section(&mut text, "\n## Functions\n", functions, function_section);
    let variables = parts.iter().flat_map(|part| part.variables);
    let head = "\n## Variables\n\n| name | writable | what it is |\n|---|---|---|\n";
    section(&mut text, head, variables, variable_row);
    let statistics = parts.iter().flat_map(|part| part.statistics);
    section(
        &mut text,
        "\n## Statistics\n\n| name | what it counts |\n|---|---|\n",
        statistics,
        |one, text| {
            let _ = writeln!(text, "| `{}` | {} |", one.name, cell(one.doc));
        },
    );
    let events = parts.iter().flat_map(|part| part.events);
    section(
        &mut text,
        "\n## Events\n\n| name | parameters | when |\n|---|---|---|\n",
        events,
        |one, text| {
            let _ = writeln!(text, "| `{}` | {} | {} |", one.name, one.parameters.join(", "), cell(one.doc));
        },
    );
    text
}

/// A heading and what stands under it, if anything does.
fn section<T>(text: &mut String, head: &str, rows: impl Iterator<Item = T>, row: impl Fn(T, &mut String)) {
    let mut rows = rows.peekable();
    if rows.peek().is_some() {
        text.push_str(head);
        rows.for_each(|one| row(one, text));
    }
}

fn parameter_row(parameter: &Parameter, text: &mut String) {
    let kind = match parameter.kind {
        ParameterKind::Int => "integer",
        ParameterKind::Str => "string",
        ParameterKind::Bool => "yes or no",
        ParameterKind::IntOrStr => "integer or string",
        ParameterKind::Flag(_) => "flag",
        ParameterKind::Variable => "variable",
        ParameterKind::Format => "format string",
        ParameterKind::Route(_) => "route",
    };
    let many = if parameter.many { ", several" } else { "" };
    let _ = writeln!(
        text,
        "| `{}` | {kind}{many} | {} | {} | {} | {} |",
        parameter.name,
        code(parameter.default),
        parameter.unit,
        parameter.section,
        with_effect(parameter.doc, parameter.effect) + &needs(parameter.needs_module),
    );
}

/// The sentence that says which module a parameter needs.
fn needs(module: &str) -> String {
    if module.is_empty() { String::new() } else { format!(" Needs `{module}`.") }
}

fn function_section<C>(function: &Function<C>, text: &mut String) {
    let _ = writeln!(text, "\n### `{}`\n\n{}", signature(function), function.doc);
    if !function.section.is_empty() {
        let _ = writeln!(text, "\nSection {} of the document.", function.section);
    }
    let _ = writeln!(text, "\nRoutes: {}.", routes(function.routes));
    if !function.needs_parameter.is_empty() {
        let _ = writeln!(text, "\nNeeds the parameter `{}`.", function.needs_parameter);
    }
    match (function.asynchronous, function.only_asynchronous) {
        (_, true) => text.push_str("\nOnly in `async` and `launch`.\n"),
        (true, _) => text.push_str("\nAlso in `async` and `launch`.\n"),
        _ => {}
    }
    if !function.arguments.is_empty() {
        text.push('\n');
    }
    for argument in function.arguments {
        let kind = match argument.kind {
            ArgumentKind::Str => "string",
            ArgumentKind::StaticStr => "static string",
            ArgumentKind::Int => "integer",
            ArgumentKind::IntOrStr => "integer or string",
            ArgumentKind::Variable => "variable, written",
            ArgumentKind::ReadVariable => "variable",
            ArgumentKind::Route(_) => "route",
            ArgumentKind::Flag(_) => "flag",
            ArgumentKind::Flags(_) => "flags",
            ArgumentKind::Regex => "regular expression",
        };
        let optional = if argument.optional { ", optional" } else { "" };
        let _ = writeln!(text, "- `{}` ({kind}{optional}): {}", argument.name, argument.doc);
        if let ArgumentKind::Flags(flags) = argument.kind {
            flag_list(flags, text);
        }
        flag_list(argument.words, text);
    }
    if !function.returns.is_empty() {
        text.push_str("\n| value | meaning |\n|---|---|\n");
        for (value, meaning) in function.returns {
            let _ = writeln!(text, "| {value} | {} |", cell(meaning));
        }
    }
}

fn flag_list(flags: &[FlagDecl], text: &mut String) {
    for flag in flags {
        let value = if flag.value == crate::declare::FlagValue::None { "" } else { "=…" };
        let old = if flag.old.is_empty() { String::new() } else { format!(" (older form `{}`)", flag.old) };
        let _ = writeln!(text, "  - `{}{value}`{old}: {}", flag.name, flag.doc);
    }
}

fn variable_row<C>(variable: &Variable<C>, text: &mut String) {
    let name = match variable.arguments {
        VariableArguments::None => String::new(),
        VariableArguments::Name => "(name)".to_string(),
        VariableArguments::Optional => "[(name)]".to_string(),
    };
    let index = match (variable.indexable, variable.count.is_some()) {
        (_, true) => "[n], [*]",
        (true, _) => "[n]",
        _ => "",
    };
    let index = if index.is_empty() { String::new() } else { format!(" with {index}") };
    let writable = if variable.write.is_some() { "yes" } else { "no" };
    let _ = writeln!(text, "| `${}{name}`{index} | {writable} | {} |", variable.name, cell(variable.doc));
}

fn routes(routes: Routes) -> String {
    if routes == Routes::ALL {
        return "all".to_string();
    }
    let names = [
        (Routes::REQUEST, "request"),
        (Routes::FAILURE, "failure"),
        (Routes::BRANCH, "branch"),
        (Routes::ONREPLY, "onreply"),
        (Routes::LOCAL, "local"),
        (Routes::STARTUP, "startup"),
        (Routes::TIMER, "timer"),
        (Routes::EVENT, "event"),
        (Routes::ERROR, "error"),
    ];
    let allowed: Vec<&str> =
        names.iter().filter(|(set, _)| routes.allows(*set)).map(|(_, name)| *name).collect();
    allowed.join(", ")
}

fn with_effect(doc: &str, effect: Effect) -> String {
    match effect {
        Effect::Used => cell(doc),
        Effect::NoEffect(reason) => {
            format!("{}. No effect here: {}.", cell(doc.trim_end_matches('.')), cell(reason))
        }
    }
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", cell(text)) }
}

/// A text that fits into a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
