//! The declaration of an MI command, and how the `params` of a request are fitted to it.

use std::sync::Arc;

use serde_json::Value;

use crate::error::MiError;
use crate::server::Server;

/// The type of a parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParameterKind {
    /// A string. A JSON number is taken as its digits.
    Str,
    /// An integer. A string of digits is taken too, since command lines send everything as strings.
    Int,
    /// An array of strings.
    StrArray,
    /// Values with names (an object, or a string that holds one) or without (an array, or one value); values that stand
    /// side by side at the end of a call are an array too.
    Values,
}

impl ParameterKind {
    /// The type's name in documents and error messages.
    pub fn name(self) -> &'static str {
        match self {
            ParameterKind::Str => "string",
            ParameterKind::Int => "integer",
            ParameterKind::StrArray => "array of strings",
            ParameterKind::Values => "array or object",
        }
    }
}

/// One parameter of a command.
#[derive(Debug)]
pub struct MiParameter {
    /// Its name in an object of named parameters.
    pub name: &'static str,
    /// Its type.
    pub kind: ParameterKind,
    /// Whether it may be left out. Optional parameters come last.
    pub optional: bool,
    /// One sentence for the reference.
    pub doc: &'static str,
}

impl MiParameter {
    /// A parameter that must be given.
    pub const fn new(name: &'static str, kind: ParameterKind, doc: &'static str) -> Self {
        MiParameter { name, kind, optional: false, doc }
    }

    /// A parameter that may be left out.
    pub const fn optional(name: &'static str, kind: ParameterKind, doc: &'static str) -> Self {
        MiParameter { name, kind, optional: true, doc }
    }
}

/// One way to call a command: its parameters in their order.
pub type Recipe = &'static [MiParameter];

/// An MI command: the dispatcher, `which`, the command line and the reference are all made from this.
#[derive(Debug)]
pub struct Command {
    /// The name in `method`.
    pub name: &'static str,
    /// Other names with the same meaning.
    pub aliases: &'static [&'static str],
    /// The ways to call it; tried in order.
    pub recipes: &'static [Recipe],
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// Where the behaviour is documented.
    pub section: &'static str,
    /// Does it.
    pub run: fn(&Arc<dyn Server>, &Params) -> Result<Reply, MiError>,
}

impl Command {
    /// The command as one types it: `ul_rm_contact table_name aor contact`, optional ones in brackets.
    pub fn usage(&self, recipe: Recipe) -> String {
        let mut text = self.name.to_owned();
        for parameter in recipe {
            text.push(' ');
            if parameter.optional {
                text.push('[');
            }
            text.push_str(parameter.name);
            if matches!(parameter.kind, ParameterKind::StrArray | ParameterKind::Values) {
                text.push('…');
            }
            if parameter.optional {
                text.push(']');
            }
        }
        text
    }
}

/// What a command answers.
pub enum Reply {
    /// A value, rendered as it is.
    Value(Value),
    /// JSON text that is ready.
    Json(Vec<u8>),
    /// JSON text that is made piece by piece as the client takes it.
    Stream(Box<dyn ChunkSource>),
}

impl Reply {
    /// The `"OK"` of commands that have nothing to show.
    pub fn ok() -> Self {
        Reply::Value(Value::from("OK"))
    }
}

/// A long reply in pieces. The whole of the pieces is one JSON value.
pub trait ChunkSource: Send {
    /// Appends the next piece to `out`. Gives `false` when that was the last one.
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> bool;
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq)]
enum Argument {
    Str(String),
    Int(i64),
    List(Vec<String>),
    Values(Value),
}

/// The parameters of one call, checked against a recipe.
#[derive(Debug, Default)]
pub struct Params {
    values: Vec<(&'static str, Argument)>,
}

impl Params {
    /// The string parameter of that name; `None` when it was left out.
    pub fn str(&self, name: &str) -> Option<&str> {
        match self.find(name)? {
            Argument::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The integer parameter of that name; `None` when it was left out.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.find(name)? {
            Argument::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The array parameter of that name; empty when it was left out.
    pub fn list(&self, name: &str) -> &[String] {
        match self.find(name) {
            Some(Argument::List(items)) => items,
            _ => &[],
        }
    }

    /// The values of that name: an array or an object; `None` when they were left out.
    pub fn values(&self, name: &str) -> Option<&Value> {
        match self.find(name)? {
            Argument::Values(values) => Some(values),
            _ => None,
        }
    }

    fn find(&self, name: &str) -> Option<&Argument> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Fits `params` of a request (an object, an array or nothing) to the first recipe that takes it.
    ///
    /// # Errors
    /// -32602 with what is wrong: the only recipe's objection, or the list of all recipes.
    pub fn bind(command: &Command, params: Option<&Value>) -> Result<Params, MiError> {
        let mut objection = None;
        for recipe in command.recipes {
            match fit(recipe, params) {
                Ok(found) => return Ok(found),
                Err(reason) => objection = Some(reason),
            }
        }
        let usages: Vec<String> = command.recipes.iter().map(|recipe| command.usage(recipe)).collect();
        let usage = usages.join("` or `");
        Err(MiError::invalid_params(match objection {
            Some(reason) if usages.len() == 1 => format!("{reason}; usage: `{usage}`"),
            _ => format!("usage: `{usage}`"),
        }))
    }
}

fn fit(recipe: Recipe, params: Option<&Value>) -> Result<Params, String> {
    match params {
        None | Some(Value::Null) => fit_named(recipe, &serde_json::Map::new()),
        Some(Value::Object(named)) => fit_named(recipe, named),
        Some(Value::Array(values)) => fit_positional(recipe, values),
        Some(_) => Err("params is neither an object nor an array".to_owned()),
    }
}

fn fit_named(recipe: Recipe, named: &serde_json::Map<String, Value>) -> Result<Params, String> {
    if let Some(stranger) = named.keys().find(|key| !recipe.iter().any(|known| known.name == key.as_str())) {
        return Err(format!("unknown parameter `{}`", stranger.chars().take(64).collect::<String>()));
    }
    let mut values = Vec::with_capacity(recipe.len());
    for parameter in recipe {
        match named.get(parameter.name) {
            Some(value) => values.push((parameter.name, convert(parameter, value)?)),
            None if parameter.optional => {}
            None => return Err(format!("parameter `{}` is missing", parameter.name)),
        }
    }
    Ok(Params { values })
}

fn fit_positional(recipe: Recipe, given: &[Value]) -> Result<Params, String> {
    // A lone array parameter also takes its items side by side: that is how command lines send them.
    if let [only] = recipe
        && only.kind == ParameterKind::StrArray
        && given.iter().any(|value| !value.is_array())
    {
        let items = convert(only, &Value::Array(given.to_vec()))?;
        return Ok(Params { values: vec![(only.name, items)] });
    }
    // So does one at the end.
    let together;
    let mut given = given;
    if let Some((last, before)) = recipe.split_last()
        && last.kind == ParameterKind::Values
        && let Some((first, rest)) = given.split_at_checked(before.len())
        && rest.len() > 1
    {
        together = [first, &[Value::Array(rest.to_vec())]].concat();
        given = &together;
    }
    if given.len() > recipe.len() {
        return Err(format!("{} parameters given, at most {} taken", given.len(), recipe.len()));
    }
    let mut values = Vec::with_capacity(given.len());
    for (at, parameter) in recipe.iter().enumerate() {
        match given.get(at) {
            Some(value) => values.push((parameter.name, convert(parameter, value)?)),
            None if parameter.optional => {}
            None => return Err(format!("parameter `{}` is missing", parameter.name)),
        }
    }
    Ok(Params { values })
}

fn convert(parameter: &MiParameter, value: &Value) -> Result<Argument, String> {
    let converted = match parameter.kind {
        ParameterKind::Str => text_of(value).map(Argument::Str),
        ParameterKind::Int => integer_of(value).map(Argument::Int),
        ParameterKind::StrArray => match value {
            Value::Array(items) => items.iter().map(text_of).collect::<Option<Vec<_>>>().map(Argument::List),
            // One string is an array of one.
            single => text_of(single).map(|text| Argument::List(vec![text])),
        },
        ParameterKind::Values => values_of(value).map(Argument::Values),
    };
    converted.ok_or_else(|| format!("parameter `{}` must be {}", parameter.name, article(parameter.kind)))
}

fn article(kind: ParameterKind) -> String {
    let name = kind.name();
    format!("{} {name}", if kind == ParameterKind::Str { "a" } else { "an" })
}

/// An array or an object; a string may hold an object, and anything else is an array of one.
fn values_of(value: &Value) -> Option<Value> {
    let single = |value: &Value| Value::Array(vec![value.clone()]);
    match value {
        Value::Array(_) | Value::Object(_) => Some(value.clone()),
        Value::String(text) => {
            let object = serde_json::from_str(text).ok().filter(Value::is_object);
            Some(object.unwrap_or_else(|| single(value)))
        }
        Value::Number(_) => Some(single(value)),
        Value::Null | Value::Bool(_) => None,
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn integer_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
