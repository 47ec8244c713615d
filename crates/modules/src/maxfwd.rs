//! Module `maxfwd`: the Max-Forwards header (RFC 3261 sections 8.1.1.6 and 16.3).

use seawall_script::{
    Argument, ArgumentKind, Call, Flow, Function, Module, Parameter, ParameterKind, Prepared, Routes, Value,
};
use seawall_sip::Name;
use seawall_sip::ascii;

use crate::context::Context;

/// The largest value that the header may have (RFC 3261 section 20.22).
const LARGEST: i64 = 255;

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[Parameter::new(
        "max_limit",
        ParameterKind::Int,
        "256",
        "The largest value that is sent; a larger one in a request is lowered to it.",
    )
    .section("1.3.1")],
    functions: &[
        Function::<Context>::new(
            "mf_process_maxfwd_header",
            &[Argument::new(
                "max_value",
                ArgumentKind::Int,
                "The value to add when there is no header, 1 to 255.",
            )],
            Routes::REQUEST,
            "Lowers Max-Forwards by one, or adds it.",
            process,
        )
        .returns(&[
            (1, "The header was lowered."),
            (2, "There was none; it was added with max_value."),
            (-1, "It is 0 already: answer 483."),
            (-2, "It cannot be read."),
        ])
        .section("1.4.1")
        .prepare(check_limit),
        Function::<Context>::new(
            "is_maxfwd_lt",
            &[Argument::new("max_value", ArgumentKind::Int, "The value to compare with, 1 to 255.")],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::ONREPLY).or(Routes::LOCAL),
            "Whether Max-Forwards, as it will be sent, is lower than a value.",
            is_lower,
        )
        .returns(&[
            (1, "It is lower."),
            (-1, "It is not."),
            (-2, "There is none."),
            (-3, "It cannot be read."),
        ])
        .section("1.4.2")
        .prepare(check_limit),
    ],
    ..Module::new("maxfwd", "https://docs.opensips.org/modules/devel/maxfwd/")
};

fn check_limit(_: usize, value: &Value) -> Result<Prepared, String> {
    match value.as_int() {
        Some(limit) if (1..=LARGEST).contains(&limit) => Ok(Prepared::new(limit)),
        _ => Err(format!("Max-Forwards is from 1 to {LARGEST}")),
    }
}

/// The value of the header; an error when it is there and not a number.
fn max_forwards(context: &Context) -> Option<Result<u32, ()>> {
    context.message().value(Name::MaxForwards).map(|value| ascii::parse_u32(value).map_err(|_| ()))
}

fn process(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let limit = call.int(0).unwrap_or(LARGEST).clamp(1, LARGEST);
    match max_forwards(context) {
        None => {
            let line = format!("Max-Forwards: {limit}\r\n");
            context.rare.edits.append_header(context.packet.message(), line.as_bytes());
            context.rare.max_forwards = u32::try_from(limit).ok();
            Flow::Value(2)
        }
        Some(Err(())) => Flow::Value(-2),
        Some(Ok(0)) => Flow::FALSE,
        Some(Ok(value)) => {
            let lowered = (value - 1).min(context.configuration.settings.max_forwards_limit);
            context.rare.max_forwards = Some(lowered);
            Flow::TRUE
        }
    }
}

fn is_lower(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    match context.rare.max_forwards.map(Ok).or_else(|| max_forwards(context)) {
        None => Flow::Value(-2),
        Some(Err(())) => Flow::Value(-3),
        Some(Ok(value)) => Flow::bool(i64::from(value) < call.int(0).unwrap_or(0)),
    }
}
