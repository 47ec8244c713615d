//! The message as a whole: method, status, body, length, and what the server knows about it.

use seawall_script::{RouteKind, Value, VarRef, Variable, VariableArguments, WriteError};

use crate::context::Context;

/// The variables of this file.
pub const VARIABLES: &[Variable<Context>] = &[
    Variable::<Context>::new("rm", "The method; in a reply that of CSeq.", |context, _| {
        let message = context.message();
        if message.is_request() {
            return Value::str(message.method());
        }
        seawall_sip::cseq::CSeq::of(message).map_or(Value::Null, |cseq| Value::str(cseq.method))
    }),
    Variable::<Context>::new("rs", "The status code of a reply; NULL in a request.", |context, _| {
        match context.message().status() {
            0 => Value::Null,
            code => Value::Int(i64::from(code)),
        }
    }),
    Variable::<Context>::new("rr", "The reason phrase of a reply; NULL in a request.", |context, _| {
        let message = context.message();
        if message.is_request() { Value::Null } else { Value::str(message.reason()) }
    }),
    Variable::<Context>::new("rv", "The SIP version.", |context, _| Value::str(context.message().version())),
    Variable::<Context>::new("rT", "The kind of message: request or reply.", |context, _| {
        Value::from(if context.message().is_request() { "request" } else { "reply" })
    }),
    Variable::<Context>::new("rb", "The body.", |context, _| {
        let body = context.message().body();
        Value::optional(Some(body).filter(|body| !body.is_empty()))
    }),
    Variable::<Context>::new("bs", "The size of the body in bytes.", |context, _| {
        int(context.message().body().len())
    }),
    Variable::<Context>::new("mb", "The whole message.", |context, _| Value::str(context.message().wire())),
    Variable::<Context>::new("ml", "The size of the message in bytes.", |context, _| {
        int(context.message().wire().len())
    }),
    Variable::<Context>::new("mf", "The message flags, as a number.", |context, _| {
        Value::Int(i64::from(context.flags))
    }),
    Variable::<Context>::new("msg.is_request", "Whether the message is a request: 1 or 0.", |context, _| {
        Value::Int(i64::from(context.message().is_request()))
    }),
    Variable::<Context>::new("msg.type", "The kind of message: request or reply.", |context, _| {
        Value::from(if context.message().is_request() { "request" } else { "reply" })
    }),
    Variable::<Context>::new("msg.flag", "Whether a message flag is set: 1 or 0.", |context, reference| {
        let program = &context.configuration.program;
        let name = std::str::from_utf8(reference.name).unwrap_or_default();
        let bit = program.flag_bit(seawall_script::FlagSpace::Message, name);
        Value::Int(i64::from(bit.is_some_and(|bit| context.flags & (1 << bit) != 0)))
    })
    .arguments(VariableArguments::Name),
    Variable::<Context>::new("bf", "The branch flags of the Request-URI, as a number.", |context, _| {
        Value::Int(i64::from(context.target.flags))
    }),
    Variable::<Context>::new("T_id", "A number for the transaction.", |context, _| {
        match &context.transaction {
            Some((id, _)) => Value::from(format!("{}:{}", id.shard, id.number()).as_str()),
            None => Value::Null,
        }
    }),
    Variable::<Context>::new(
        "T_reply_code",
        "The code of the reply that a failure or reply route runs for.",
        reply_code,
    ),
    Variable::<Context>::new(
        "T_branch_idx",
        "The number of the branch whose branch, reply or failure route runs; NULL elsewhere.",
        |context, _| match context.route {
            RouteKind::Branch | RouteKind::Reply | RouteKind::Failure => {
                Value::Int(i64::from(context.rare.branch_index))
            }
            _ => Value::Null,
        },
    ),
    Variable::<Context>::new(
        "T_fr_timeout",
        "How long the transaction waits for any reply, in seconds; NULL brings fr_timeout back.",
        |context, _| Value::Int(i64::from(timeouts(context).0 / 1000)),
    )
    .write(|context, _, _, value| {
        let default_ms = context.configuration.settings.tm.timers.fr_timeout_ms;
        let invite_ms = timeouts(context).1;
        set_timeouts(context, (milliseconds(&value, default_ms)?, invite_ms));
        Ok(())
    }),
    Variable::<Context>::new(
        "T_fr_inv_timeout",
        "How long the transaction waits for a final reply after a provisional one, in seconds; NULL brings \
         fr_inv_timeout back. It counts for branches that are yet to be sent.",
        |context, _| Value::Int(i64::from(timeouts(context).1 / 1000)),
    )
    .write(|context, _, _, value| {
        let default_ms = context.configuration.settings.tm.timers.fr_inv_timeout_ms;
        let first_ms = timeouts(context).0;
        set_timeouts(context, (first_ms, milliseconds(&value, default_ms)?));
        Ok(())
    }),
    Variable::<Context>::new("T_ruri", "The Request-URI of the branch.", |context, _| {
        Value::str(context.request_uri())
    }),
    Variable::<Context>::new("pp", "The number of the process.", |_, _| {
        Value::Int(i64::from(std::process::id()))
    }),
    Variable::<Context>::new("err.class", "The class of the last error of a message.", |context, _| {
        match context.rare.error {
            Some((code, _)) => Value::Int(i64::from(code / 100)),
            None => Value::Null,
        }
    }),
    Variable::<Context>::new("err.level", "The level of the last error.", |context, _| {
        match context.rare.error {
            Some(_) => Value::Int(-1),
            None => Value::Null,
        }
    }),
    Variable::<Context>::new("err.info", "What the last error was.", error_text),
    Variable::<Context>::new(
        "err.rcode",
        "The code that the last error would be answered with.",
        |context, _| match context.rare.error {
            Some((code, _)) => Value::Int(i64::from(code)),
            None => Value::Null,
        },
    ),
    Variable::<Context>::new(
        "err.rreason",
        "The reason phrase that the last error would be answered with.",
        error_text,
    ),
    Variable::<Context>::new("stat", "A statistic by its name.", |context, reference| {
        let wanted = std::str::from_utf8(reference.name).unwrap_or_default();
        let name = wanted.rsplit(':').next().unwrap_or(wanted);
        let found = crate::statistics::COUNTED.iter().position(|(_, known, _)| *known == name);
        found.map_or(Value::Null, |index| {
            Value::Int(i64::try_from(context.node.counters.value(index)).unwrap_or(i64::MAX))
        })
    })
    .arguments(VariableArguments::Name),
];

/// `fr_timeout` and `fr_inv_timeout` of the transaction, in milliseconds.
fn timeouts(context: &Context) -> (u32, u32) {
    let timers = &context.configuration.settings.tm.timers;
    context.rare.timeouts_ms.unwrap_or((timers.fr_timeout_ms, timers.fr_inv_timeout_ms))
}

fn set_timeouts(context: &mut Context, timeouts_ms: (u32, u32)) {
    context.rare.timeouts_ms = Some(timeouts_ms);
    if let Some((id, _)) = &context.transaction
        && let Some(shard) = context.node.shard(id.shard)
    {
        shard.lock().set_timeouts(*id, timeouts_ms.0, timeouts_ms.1);
    }
}

fn milliseconds(value: &Value, default_ms: u32) -> Result<u32, WriteError> {
    if value.is_null() {
        return Ok(default_ms);
    }
    let seconds =
        value.as_int().and_then(|seconds| u32::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    seconds.and_then(|seconds| seconds.checked_mul(1000)).ok_or(WriteError::BadValue)
}

fn int(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn error_text(context: &Context, _: &VarRef<'_>) -> Value {
    context.rare.error.map_or(Value::Null, |(_, text)| Value::from(text))
}

fn reply_code(context: &Context, _: &VarRef<'_>) -> Value {
    match (context.rare.failure, context.route) {
        (Some(failure), _) => Value::Int(i64::from(failure.code)),
        (None, RouteKind::Reply) => Value::Int(i64::from(context.message().status())),
        _ => Value::Int(i64::from(context.replied)),
    }
}
