//! The reference of all MI commands, made from their declarations.

use std::fmt::Write;

use crate::command::{Command, Recipe};
use crate::commands;

/// `docs/reference/mi.md`: every command with its parameters.
pub fn reference_markdown() -> String {
    let mut text = String::from(
        "# MI commands\n\n\
         JSON-RPC 2.0 over HTTP (`POST /mi`), a named pipe or datagrams. `params` is an object of named parameters, \
         or an array of them in the order given here. `seawall ctl COMMAND` takes them as words, in that order or \
         as `name=value`.\n\n\
         Errors: -32700 the request is not JSON, -32600 it is not a JSON-RPC 2.0 request, -32601 no such command, \
         -32602 wrong parameters, -32603 an internal error; positive codes come from the command itself.\n",
    );
    for command in commands::all() {
        describe(&mut text, command);
    }
    text
}

fn describe(text: &mut String, command: &Command) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## {}\n\n", command.name);
    for recipe in command.recipes {
        let _ = writeln!(text, "    {}", command.usage(recipe));
    }
    let _ = write!(text, "\n{}\n\n", command.doc);
    if !command.aliases.is_empty() {
        let names: Vec<String> = command.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let _ = write!(text, "Also: {}.\n\n", names.join(", "));
    }
    let longest = command.recipes.iter().max_by_key(|recipe| recipe.len()).copied().unwrap_or_default();
    parameters(text, longest);
    let _ = writeln!(text, "Documented in: {}.", command.section);
}

fn parameters(text: &mut String, recipe: Recipe) {
    if recipe.is_empty() {
        return;
    }
    text.push_str("| parameter | type | needed | meaning |\n| --- | --- | --- | --- |\n");
    for parameter in recipe {
        let needed = if parameter.optional { "no" } else { "yes" };
        let (name, kind, doc) = (parameter.name, parameter.kind.name(), parameter.doc);
        let _ = writeln!(text, "| `{name}` | {kind} | {needed} | {doc} |");
    }
    text.push('\n');
}
