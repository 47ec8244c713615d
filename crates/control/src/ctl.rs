//! `seawall ctl`: runs one MI command and shows its result.

use std::io::{self, ErrorKind, Read, Write};

use serde_json::{Map, Value};

use crate::client::{Body, Client, ClientError, result_of};
use crate::command::{Command, ParameterKind};
use crate::commands;
use crate::dispatch::nearest;
use crate::dump_reader::{self, Record};
use crate::pretty::Pretty;
use crate::tables::{self, Bindings};

/// Where MI is unless something else is said.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8888/mi";

/// A reply up to this size is read as a whole before it is shown.
const SMALL_BYTES: usize = 256 * 1024;

/// How to ask and how to show.
#[derive(Clone, Debug)]
pub struct Options {
    /// The URL of MI.
    pub url: String,
    /// The bearer token, where the server wants one.
    pub token: Option<String>,
    /// Show the result as JSON instead of tables.
    pub json: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { url: DEFAULT_URL.to_owned(), token: None, json: false }
    }
}

/// Runs `words` (a command and its parameters, in order or as `name=value`), writes the result to `out` and errors
/// to `err`. Without words it lists the commands. Gives the exit status: 0, or 1 after an error.
pub fn run(options: &Options, words: &[String], out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let outcome = match words.split_first() {
        None => list(out).map_err(ClientError::Io),
        Some((help, rest)) if help == "help" => explain(rest, out).map_err(ClientError::Io),
        Some((name, rest)) => call(options, name, rest, out),
    };
    match outcome.and_then(|()| out.flush().map_err(ClientError::Io)) {
        Ok(()) => 0,
        // The reader of the output has seen enough: `seawall ctl ul_dump | head`.
        Err(ClientError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => 0,
        Err(error) => {
            // There is nobody to tell when even this cannot be written.
            let _ = writeln!(err, "error: {}", describe(&error));
            1
        }
    }
}

fn describe(error: &ClientError) -> String {
    match error {
        ClientError::Mi(error) => {
            let data = error.data.as_deref().map(|data| format!("\n{}", plain_lines(data)));
            format!("{} ({}){}", tables::safe(&error.message), error.code, data.unwrap_or_default())
        }
        ClientError::Connect { .. } => {
            format!("{error}\nIs the server running? `--mi URL` names another address.")
        }
        ClientError::Refused { status: 401, .. } => {
            "the server wants a token: give the one of its mi_http parameter `token` with `--token`"
                .to_owned()
        }
        other => tables::safe(&other.to_string()),
    }
}

/// Diagnostics have several lines; each must be safe on a terminal.
fn plain_lines(text: &str) -> String {
    text.lines().map(tables::safe).collect::<Vec<_>>().join("\n")
}

fn list(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Commands (`seawall ctl help COMMAND` explains one):\n")?;
    let width = commands::all().map(|command| command.name.len()).max().unwrap_or(0);
    for command in commands::all() {
        let summary = command.doc.split_inclusive(". ").next().unwrap_or("").trim_end();
        writeln!(out, "  {:width$}  {summary}", command.name)?;
    }
    Ok(())
}

fn explain(words: &[String], out: &mut dyn Write) -> io::Result<()> {
    let Some(word) = words.first() else { return list(out) };
    let Some(command) = find(word) else {
        let hint = nearest(word, commands::all().map(|command| command.name));
        let hint = hint.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        return Err(io::Error::new(ErrorKind::NotFound, format!("no command `{word}`{hint}")));
    };
    for recipe in command.recipes {
        writeln!(out, "seawall ctl {}", command.usage(recipe))?;
    }
    writeln!(out, "\n{}", command.doc)?;
    let longest = command.recipes.iter().max_by_key(|recipe| recipe.len()).copied().unwrap_or_default();
    for parameter in longest {
        writeln!(out, "\n  {} ({})\n      {}", parameter.name, parameter.kind.name(), parameter.doc)?;
    }
    Ok(())
}

fn find(name: &str) -> Option<&'static Command> {
    commands::all().find(|command| command.name == name || command.aliases.contains(&name))
}

fn call(options: &Options, name: &str, words: &[String], out: &mut dyn Write) -> Result<(), ClientError> {
    let command = find(name);
    let params = params_of(command, words);
    let body = Client::new(&options.url)?.with_token(options.token.as_deref()).call(name, &params)?;
    match command.map(|command| command.name) {
        _ if options.json => write_json(body, out),
        Some("ul_dump") => write_dump(body, out),
        Some("ul_show_contact") => {
            let record: Record = serde_json::from_value(result_of(whole(body)?)?)
                .map_err(|error| ClientError::Reply(error.to_string()))?;
            let mut bindings = Bindings::new(out);
            bindings.record("", &record)?;
            Ok(bindings.finish()?)
        }
        _ => Ok(tables::write_value(out, &result_of(whole(body)?)?)?),
    }
}

/// Makes `params` from words. `name=value` counts as named only when the command has a parameter of that name: a
/// contact URI has equals signs too.
fn params_of(command: Option<&Command>, words: &[String]) -> Value {
    let longest =
        command.and_then(|command| command.recipes.iter().max_by_key(|recipe| recipe.len()).copied());
    let recipe = longest.unwrap_or_default();
    if let [only] = recipe
        && only.kind == ParameterKind::StrArray
    {
        let prefix = format!("{}=", only.name);
        let given =
            words.iter().flat_map(|word| word.strip_prefix(&prefix).unwrap_or(word).split_whitespace());
        let mut items: Vec<Value> = given.map(Value::from).collect();
        if items.is_empty() && !only.optional {
            items.push(Value::from("all"));
        }
        return Value::Array(vec![Value::Array(items)]);
    }
    let mut named = Map::new();
    let mut positional = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((name, value)) if recipe.iter().any(|known| known.name == name) => {
                named.insert(name.to_owned(), Value::from(value));
            }
            _ => positional.push(Value::from(word.as_str())),
        }
    }
    if named.is_empty() {
        return if positional.is_empty() { Value::Null } else { Value::Array(positional) };
    }
    // Words without a name take the names that are left, in order.
    let mut free = recipe.iter().map(|known| known.name);
    for value in positional {
        if let Some(name) = free.find(|name| !named.contains_key(*name)) {
            named.insert(name.to_owned(), value);
        }
    }
    Value::Object(named)
}

fn whole(body: Body) -> Result<Value, ClientError> {
    serde_json::from_reader(body).map_err(|error| match error.is_io() {
        true => ClientError::Io(error.into()),
        false => ClientError::Reply(error.to_string()),
    })
}

/// Shows a dump as it arrives.
fn write_dump(body: Body, out: &mut dyn Write) -> Result<(), ClientError> {
    let mut bindings = Bindings::new(out);
    dump_reader::read(body, &mut |table, record| bindings.record(table, &record))?;
    Ok(bindings.finish()?)
}

/// Shows the result as indented JSON. A long reply of ours is indented as it arrives; it begins in a known way, so
/// that the result can be cut out of it without holding it.
fn write_json(mut body: Body, out: &mut dyn Write) -> Result<(), ClientError> {
    const PREFIX: &[u8] = b"{\"jsonrpc\":\"2.0\",\"result\":";
    let mut start = Vec::new();
    let limit = u64::try_from(SMALL_BYTES).unwrap_or(u64::MAX);
    body.by_ref().take(limit).read_to_end(&mut start)?;
    let Some(result) = start.strip_prefix(PREFIX).filter(|_| start.len() == SMALL_BYTES) else {
        let reply = serde_json::from_reader(start.as_slice().chain(body))
            .map_err(|error| ClientError::Reply(error.to_string()))?;
        let mut text = crate::pretty::whole(result_of(reply)?.to_string().as_bytes());
        text.push(b'\n');
        return Ok(out.write_all(&text)?);
    };
    let mut pretty = Pretty::default();
    let mut chunk = result.to_vec();
    let mut ended = false;
    while !chunk.is_empty() {
        let mut text = Vec::with_capacity(chunk.len() * 2);
        for byte in &chunk {
            // What follows the result belongs to the envelope.
            if !ended {
                pretty.feed(std::slice::from_ref(byte), &mut text);
                ended = pretty.depth() == 0 && matches!(byte, b'}' | b']');
            }
        }
        out.write_all(&text)?;
        chunk.clear();
        body.by_ref().take(limit).read_to_end(&mut chunk)?;
    }
    Ok(out.write_all(b"\n")?)
}
