//! Reading and writing variables, and expanding format strings. Nothing here can park: variables hold no calls.

use crate::call::{Index, Output, VarRef};
use crate::code::{IndexExpr, Name, ParamKey, Part, RoutePart, Source, Template, VarExpr};
use crate::declare::{AssignOp, WriteError};
use crate::frame::Frame;
use crate::host::Host;
use crate::limits;
use crate::program::Program;
use crate::transform::{self, Argument, Transformation};
use crate::value::{Bytes, Value};

/// What a `$var` holds before it is assigned, as documented.
pub(super) const UNSET: Value = Value::Int(0);

/// What NULL looks like in a format string.
const NULL_TEXT: &[u8] = b"<null>";

/// The value of a variable with its transformations.
pub(crate) fn read<C: Host>(program: &Program<C>, frame: &Frame, host: &C, variable: &VarExpr<C>) -> Value {
    let value = match (&variable.source, &variable.index) {
        (Source::Host(declared), IndexExpr::All) if declared.count.is_some() => {
            return join(&read_all(program, frame, host, variable));
        }
        (Source::Host(declared), _) => {
            with_ref(program, frame, host, variable, None, |reference| (declared.read)(host, reference))
        }
        (_, _) => local(program, frame, host, variable),
    };
    transformed(program, frame, host, &variable.transformations, value)
}

/// All values of a variable: those that `[*]` walks over, or the one that it has. Without an index it is taken as `[*]`.
pub(crate) fn read_all<C: Host>(
    program: &Program<C>,
    frame: &Frame,
    host: &C,
    variable: &VarExpr<C>,
) -> Vec<Value> {
    let Source::Host(declared) = &variable.source else { return one(read(program, frame, host, variable)) };
    let (Some(count), IndexExpr::All | IndexExpr::None) = (declared.count, &variable.index) else {
        return one(read(program, frame, host, variable));
    };
    let total =
        with_ref(program, frame, host, variable, Some(Index::All), |reference| count(host, reference));
    let mut values = Vec::new();
    for index in 0..total.min(limits::FOR_ITEMS) {
        let index = Some(Index::Int(i64::try_from(index).unwrap_or(i64::MAX)));
        let value =
            with_ref(program, frame, host, variable, index, |reference| (declared.read)(host, reference));
        values.push(transformed(program, frame, host, &variable.transformations, value));
    }
    values
}

fn one(value: Value) -> Vec<Value> {
    if value.is_null() { Vec::new() } else { vec![value] }
}

fn join(values: &[Value]) -> Value {
    if values.is_empty() {
        return Value::Null;
    }
    let mut text = Bytes::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(b",");
        }
        append(value, &mut text);
    }
    Value::Str(text)
}

fn append(value: &Value, text: &mut Bytes) {
    match value {
        Value::Null => text.push(NULL_TEXT),
        Value::Int(number) => text.push_int(*number),
        Value::Str(bytes) => text.push(bytes),
    }
}

/// Calls `action` with the evaluated name and index of a variable.
fn with_ref<C: Host, T>(
    program: &Program<C>,
    frame: &Frame,
    host: &C,
    variable: &VarExpr<C>,
    index: Option<Index>,
    action: impl FnOnce(&VarRef<'_>) -> T,
) -> T {
    let index = index.unwrap_or_else(|| evaluate_index(program, frame, host, &variable.index));
    let context = variable.context;
    match &variable.name {
        Name::None => action(&VarRef { name: b"", index, context, prepared: None }),
        Name::Fixed { text, prepared } => {
            action(&VarRef { name: text, index, context, prepared: prepared.as_ref() })
        }
        Name::Dynamic(template) => {
            let mut name = Bytes::new();
            expand(program, frame, host, template, &mut name);
            action(&VarRef { name: &name, index, context, prepared: None })
        }
    }
}

fn evaluate_index<C: Host>(program: &Program<C>, frame: &Frame, host: &C, index: &IndexExpr<C>) -> Index {
    match index {
        IndexExpr::None => Index::None,
        IndexExpr::All => Index::All,
        IndexExpr::Fixed(number) => Index::Int(*number),
        // An index that is no number points at nothing rather than at the first value.
        IndexExpr::Dynamic(variable) => {
            Index::Int(read(program, frame, host, variable).as_int().unwrap_or(i64::MAX))
        }
    }
}

/// The value of a variable of the VM itself.
fn local<C: Host>(program: &Program<C>, frame: &Frame, host: &C, variable: &VarExpr<C>) -> Value {
    let VarExpr { source, name, index, .. } = variable;
    match source {
        Source::Slot(slot) => frame.vars.get(*slot as usize).cloned().unwrap_or_default(),
        Source::DynamicSlot => {
            let name = evaluate_name(program, frame, host, name);
            match program.slots.get(&*name) {
                Some(slot) => frame.vars.get(*slot as usize).cloned().unwrap_or_default(),
                None => {
                    let found = frame.dynamic_vars.iter().find(|(known, _)| **known == *name);
                    found.map_or(UNSET, |(_, value)| value.clone())
                }
            }
        }
        Source::Param(key) => param(program, frame, host, key),
        Source::Return(key) => {
            let index = key_number(program, frame, host, key);
            index.and_then(|index| frame.returns.get(index)).cloned().unwrap_or_default()
        }
        Source::ReturnCode => Value::Int(frame.rc),
        Source::Route(part) => route(program, frame, *part, evaluate_index(program, frame, host, index)),
        Source::Line(line) => Value::Int(i64::from(*line)),
        Source::File(file) => Value::from(&**file),
        Source::Constant(value) => value.clone(),
        Source::Host(_) => Value::Null,
    }
}

fn evaluate_name<C: Host>(program: &Program<C>, frame: &Frame, host: &C, name: &Name<C>) -> Bytes {
    match name {
        Name::None => Bytes::new(),
        Name::Fixed { text, .. } => Bytes::copy(text),
        Name::Dynamic(template) => {
            let mut text = Bytes::new();
            expand(program, frame, host, template, &mut text);
            text
        }
    }
}

/// The number in `$param(2)` or `$return(0)` as it was written; nothing if it is a name.
fn key_number<C: Host>(program: &Program<C>, frame: &Frame, host: &C, key: &ParamKey<C>) -> Option<usize> {
    match key {
        ParamKey::Number(number) => Some(*number),
        ParamKey::Name(_) => None,
        ParamKey::Dynamic(template) => {
            let mut text = Bytes::new();
            expand(program, frame, host, template, &mut text);
            usize::try_from(Value::Str(text).as_int()?).ok()
        }
    }
}

/// `$param(2)` or `$param(name)`: the route's own by number or declared name, else the event's by name.
fn param<C: Host>(program: &Program<C>, frame: &Frame, host: &C, key: &ParamKey<C>) -> Value {
    let Some(activation) = frame.calls.last() else { return Value::Null };
    let own = frame.params.get(activation.params..).unwrap_or_default();
    if let Some(number) = key_number(program, frame, host, key) {
        return number.checked_sub(1).and_then(|index| own.get(index)).cloned().unwrap_or_default();
    }
    let mut dynamic = Bytes::new();
    let name: &[u8] = match key {
        ParamKey::Name(name) => name.as_bytes(),
        ParamKey::Dynamic(template) => {
            expand(program, frame, host, template, &mut dynamic);
            &dynamic
        }
        ParamKey::Number(_) => return Value::Null,
    };
    let declared = program.describe(activation.route).map(|route| &*route.parameters).unwrap_or_default();
    if let Some(index) = declared.iter().position(|known| known.as_bytes() == name) {
        return own.get(index).cloned().unwrap_or_default();
    }
    let found = frame.named.iter().find(|(known, _)| !known.is_empty() && **known == *name);
    found.map_or(Value::Null, |(_, value)| value.clone())
}

/// `$route`, `$route.name` and `$route.type`: of the running route, its caller and so on; negative from the outermost on.
fn route<C: Host>(program: &Program<C>, frame: &Frame, part: RoutePart, index: Index) -> Value {
    let active = frame.calls.len();
    let place = match index {
        Index::None | Index::All => active.checked_sub(1),
        Index::Int(back) if back >= 0 => {
            usize::try_from(back).ok().and_then(|back| active.checked_sub(back + 1))
        }
        Index::Int(forth) => usize::try_from(forth.unsigned_abs() - 1).ok(),
    };
    let activation = place.and_then(|place| frame.calls.get(place));
    let Some(route) = activation.and_then(|activation| program.describe(activation.route)) else {
        return Value::Null;
    };
    match part {
        RoutePart::Kind => Value::from(route.kind.keyword()),
        RoutePart::Name if route.name.is_empty() => Value::Null,
        RoutePart::Name => Value::from(&*route.name),
        RoutePart::Whole if route.name.is_empty() => Value::from(route.kind.keyword()),
        RoutePart::Whole => Value::from(format!("{}[{}]", route.kind.keyword(), route.name).as_str()),
    }
}

fn transformed<C: Host>(
    program: &Program<C>,
    frame: &Frame,
    host: &C,
    transformations: &[Transformation<C>],
    mut value: Value,
) -> Value {
    for transformation in transformations {
        let arguments: smallvec::SmallVec<[Value; 2]> = transformation
            .arguments
            .iter()
            .map(|argument| match argument {
                Argument::Fixed(value) => value.clone(),
                Argument::Var(variable) => read(program, frame, host, variable),
                Argument::Format(template) => {
                    let mut text = Bytes::new();
                    expand(program, frame, host, template, &mut text);
                    Value::Str(text)
                }
            })
            .collect();
        value = transform::apply(transformation, &value, &arguments);
    }
    value
}

/// Appends an expanded format string to `text`, up to the limit.
pub(crate) fn expand<C: Host>(
    program: &Program<C>,
    frame: &Frame,
    host: &C,
    template: &Template<C>,
    text: &mut Bytes,
) {
    for part in &template.parts {
        match part {
            Part::Text(literal) => text.push(literal),
            Part::Var(variable) => append(&read(program, frame, host, variable), text),
        }
        if text.len() > limits::FORMAT_BYTES {
            text.truncate(limits::FORMAT_BYTES);
            return;
        }
    }
}

/// Writes a variable; NULL deletes it.
pub(crate) fn write<C: Host>(
    program: &Program<C>,
    frame: &mut Frame,
    host: &mut C,
    variable: &VarExpr<C>,
    op: AssignOp,
    value: Value,
) -> Result<(), WriteError> {
    match &variable.source {
        Source::Slot(slot) => {
            *frame.vars.get_mut(*slot as usize).ok_or(WriteError::NoTarget)? = value;
            Ok(())
        }
        Source::Host(declared) => {
            let write = declared.write.ok_or(WriteError::ReadOnly)?;
            // The common case has no name that depends on the host, which is about to be changed.
            let index = evaluate_index(program, frame, host, &variable.index);
            let context = variable.context;
            match &variable.name {
                Name::None => write(host, &VarRef { name: b"", index, context, prepared: None }, op, value),
                Name::Fixed { text, prepared } => {
                    let prepared = prepared.as_ref();
                    write(host, &VarRef { name: text, index, context, prepared }, op, value)
                }
                Name::Dynamic(_) => {
                    let name = evaluate_name(program, frame, host, &variable.name);
                    write(host, &VarRef { name: &name, index, context, prepared: None }, op, value)
                }
            }
        }
        Source::DynamicSlot => {
            let name = evaluate_name(program, frame, host, &variable.name);
            write_named(program, frame, name, value)
        }
        Source::ReturnCode => {
            frame.rc = value.as_int().ok_or(WriteError::BadValue)?;
            Ok(())
        }
        _ => Err(WriteError::ReadOnly),
    }
}

/// Writes `$var($…)`.
fn write_named<C: Host>(
    program: &Program<C>,
    frame: &mut Frame,
    name: Bytes,
    value: Value,
) -> Result<(), WriteError> {
    if let Some(slot) = program.slots.get(&*name) {
        *frame.vars.get_mut(*slot as usize).ok_or(WriteError::NoTarget)? = value;
        return Ok(());
    }
    if let Some(known) = frame.dynamic_vars.iter_mut().find(|(known, _)| *known == name) {
        known.1 = value;
        return Ok(());
    }
    if frame.dynamic_vars.len() >= limits::DYNAMIC_VARIABLES {
        return Err(WriteError::Full);
    }
    frame.dynamic_vars.push((name, value));
    Ok(())
}

/// The evaluated name and index of a variable, for writing it later.
pub(crate) fn resolve<C: Host>(
    program: &Program<C>,
    frame: &Frame,
    host: &C,
    variable: &VarExpr<C>,
) -> (Bytes, Index) {
    let name = evaluate_name(program, frame, host, &variable.name);
    (name, evaluate_index(program, frame, host, &variable.index))
}

/// Writes a variable whose name and index were evaluated earlier.
pub(crate) fn write_resolved<C: Host>(
    program: &Program<C>,
    frame: &mut Frame,
    host: &mut C,
    variable: &VarExpr<C>,
    output: &Output,
    value: Value,
) -> Result<(), WriteError> {
    match &variable.source {
        Source::Host(declared) => {
            let write = declared.write.ok_or(WriteError::ReadOnly)?;
            let prepared = match &variable.name {
                Name::Fixed { prepared, .. } => prepared.as_ref(),
                _ => None,
            };
            let reference =
                VarRef { name: &output.name, index: output.index, context: variable.context, prepared };
            write(host, &reference, AssignOp::Set, value)
        }
        Source::DynamicSlot => write_named(program, frame, output.name.clone(), value),
        _ => write(program, frame, host, variable, AssignOp::Set, value),
    }
}
