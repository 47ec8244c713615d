//! Values of the script's own and of the clock: `$avp`, `$json`, `$time`, `$Ts`.

use seawall_script::{AssignOp, Index, Value, VarRef, Variable, VariableArguments, WriteError};

use crate::calendar;
use crate::context::Context;

/// The variables of this file.
pub const VARIABLES: &[Variable<Context>] = &[
    Variable::<Context>::new(
        "avp",
        "A value by name; several to a name, [0] being the newest.",
        |context, reference| {
            let index = match reference.index {
                Index::Int(index) if index < 0 => {
                    let len = context.rare.avps.values(reference.name).count();
                    match len.checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)) {
                        Some(index) => index,
                        None => return Value::Null,
                    }
                }
                Index::Int(index) => usize::try_from(index).unwrap_or(usize::MAX),
                Index::None | Index::All => 0,
            };
            context.rare.avps.value(reference.name, index).cloned().unwrap_or(Value::Null)
        },
    )
    .arguments(VariableArguments::Name)
    .count(|context, reference| context.rare.avps.values(reference.name).count())
    .write(write_avp),
    Variable::<Context>::new("Ts", "Seconds since the Unix epoch.", |context, _| {
        Value::Int(i64::try_from(context.now_s).unwrap_or(i64::MAX))
    }),
    Variable::<Context>::new(
        "Tsm",
        "Microseconds within the present second, to a millisecond.",
        |context, _| Value::Int(i64::try_from(context.now_ms % 1000 * 1000).unwrap_or(0)),
    ),
    Variable::<Context>::new(
        "TS",
        "The time at which the server was started, in seconds since the Unix epoch.",
        |context, _| Value::Int(i64::try_from(context.node.started_s).unwrap_or(i64::MAX)),
    ),
    Variable::<Context>::new("Tf", "The present time as text, in UTC.", |context, _| {
        Value::from(calendar::format("%a %b %d %H:%M:%S %Y", context.now_s).as_str())
    }),
    Variable::<Context>::new(
        "time",
        "The present time in a format of strftime, in UTC.",
        |context, reference| {
            let format = std::str::from_utf8(reference.name).unwrap_or_default();
            Value::from(
                calendar::format(
                    if format.is_empty() { "%a %b %d %H:%M:%S %Y" } else { format },
                    context.now_s,
                )
                .as_str(),
            )
        },
    )
    .arguments(VariableArguments::Optional),
    Variable::<Context>::new("log_level", "The level of the log.", |context, _| {
        Value::Int(i64::from(context.configuration.log_level.load(std::sync::atomic::Ordering::Relaxed)))
    })
    .write(|context, _, _, value| {
        let level = level_of(&value)?;
        context.configuration.log_level.store(level, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }),
    Variable::<Context>::new("xlog_level", "The level of xlog.", |context, _| {
        Value::Int(i64::from(context.configuration.xlog_level.load(std::sync::atomic::Ordering::Relaxed)))
    })
    .write(|context, _, _, value| {
        let level = level_of(&value)?;
        context.configuration.xlog_level.store(level, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }),
];

fn level_of(value: &Value) -> Result<i8, WriteError> {
    let level = value.as_int().and_then(|level| i8::try_from(level).ok());
    level.filter(|level| (-3..=4).contains(level)).ok_or(WriteError::BadValue)
}

/// `=` adds a value in front, `:=` replaces all, an index replaces one; NULL removes.
fn write_avp(
    context: &mut Context,
    reference: &VarRef<'_>,
    op: AssignOp,
    value: Value,
) -> Result<(), WriteError> {
    let name = reference.name;
    let avps = &mut context.rare.avps;
    match (reference.index, value.is_null()) {
        (Index::All, true) => avps.remove_all(name),
        (Index::None, true) if op == AssignOp::Replace => avps.remove_all(name),
        (Index::None, true) => avps.remove(name, 0),
        (Index::All, false) => {
            avps.remove_all(name);
            avps.add(name, value);
        }
        (Index::None, false) => {
            if op == AssignOp::Replace {
                avps.remove_all(name);
            }
            if !avps.add(name, value) {
                return Err(WriteError::Full);
            }
        }
        (Index::Int(index), null) => {
            let len = avps.values(name).count();
            let index = if index < 0 {
                len.checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX))
            } else {
                usize::try_from(index).ok()
            };
            let index = index.ok_or(WriteError::NoTarget)?;
            if null {
                avps.remove(name, index);
            } else if !avps.set(name, index, value) {
                return Err(WriteError::NoTarget);
            }
        }
    }
    Ok(())
}
