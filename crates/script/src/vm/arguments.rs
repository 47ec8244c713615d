//! Arguments that are only known at run time, made into what the function declared.

use crate::call::Dynamic;
use crate::code::{ArgumentForm, CallSite};
use crate::declare::{ArgumentKind, FlagSpace};
use crate::flags;
use crate::frame::Frame;
use crate::host::Host;
use crate::program::Program;
use crate::value::{Digits, Value};

/// Converts the arguments that stand on the stack from `base` on. The error is a line for the log.
pub(super) fn prepare<C: Host>(
    program: &Program<C>,
    frame: &mut Frame,
    site: &CallSite<C>,
    base: usize,
) -> Result<Vec<(u8, Dynamic)>, String> {
    let mut list = Vec::new();
    for (index, argument) in site.arguments.iter().enumerate() {
        let ArgumentForm::Stack(place) = &argument.form else { continue };
        let Some(value) = frame.operands.get_mut(base + *place as usize) else { continue };
        if value.is_null() {
            if argument.optional {
                continue;
            }
            return Err(format!("argument {} is NULL", index + 1));
        }
        let made = convert(program, argument.kind, value)
            .map_err(|problem| format!("argument {}: {problem}", index + 1))?;
        if let Some(made) = made {
            list.push((u8::try_from(index).unwrap_or(u8::MAX), made));
        }
    }
    Ok(list)
}

/// Makes a value what its argument's kind asks for.
fn convert<C: Host>(
    program: &Program<C>,
    kind: ArgumentKind,
    value: &mut Value,
) -> Result<Option<Dynamic>, String> {
    match kind {
        ArgumentKind::Int => {
            let number = value.as_int().ok_or_else(|| not_integer(value))?;
            *value = Value::Int(number);
            return Ok(None);
        }
        ArgumentKind::IntOrStr => return Ok(None),
        _ => {}
    }
    let text = std::mem::take(value).into_bytes().unwrap_or_default();
    let made = match kind {
        ArgumentKind::Regex => Some(Dynamic::Regex(program.cache.get(&text, false)?)),
        ArgumentKind::Flags(declared) => {
            Some(Dynamic::Flags(flags::parse(declared, &text).map_err(|error| error.message)?))
        }
        ArgumentKind::Route(kind) => {
            let name = String::from_utf8_lossy(&text);
            Some(Dynamic::Route(
                program
                    .route(kind, &name)
                    .ok_or_else(|| format!("there is no {}[{name}]", kind.keyword()))?,
            ))
        }
        ArgumentKind::Flag(space) => Some(Dynamic::Flag(flag(program, space, &text)?)),
        _ => None,
    };
    *value = Value::Str(text);
    Ok(made)
}

fn not_integer(value: &Value) -> String {
    let mut digits = Digits::default();
    format!("`{}` is no integer", value.as_bytes(&mut digits).unwrap_or_default().escape_ascii())
}

fn flag<C: Host>(program: &Program<C>, space: FlagSpace, name: &[u8]) -> Result<u8, String> {
    let name = String::from_utf8_lossy(name);
    program.flag_bit(space, &name).ok_or_else(|| format!("no flag is named {name}"))
}
