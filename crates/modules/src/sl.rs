//! Module `sl`: stateless replies.

use seawall_script::{
    Argument, ArgumentKind, Call, Flow, Function, Module, Parameter, ParameterKind, Prepared, Routes,
    Statistic, Value,
};

use crate::context::Context;
use crate::reply;
use crate::statistics::Stat;

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[Parameter::new("enable_stats", ParameterKind::Bool, "1", "Whether replies are counted.")
        .section("1.3.1")
        .no_effect("counting costs nothing worth saving, so replies are always counted")],
    functions: &[
        Function::<Context>::new(
            "sl_send_reply",
            REPLY_ARGUMENTS,
            Routes::REQUEST.or(Routes::ERROR),
            "Sends a reply without making a transaction.",
            send_reply,
        )
        .section("1.4.1")
        .returns(&[(1, "The reply is on its way."), (-1, "No reply can be sent: the request is an ACK.")])
        .prepare(check_code),
        Function::<Context>::new(
            "sl_reply_error",
            &[],
            Routes::REQUEST.or(Routes::ERROR),
            "Sends a reply that says what went wrong while the request was handled.",
            reply_error,
        )
        .section("1.4.2")
        .returns(&[(1, "The reply is on its way."), (-1, "No reply can be sent: the request is an ACK.")]),
    ],
    statistics: &[
        Statistic { name: "1xx_replies", doc: "Replies with a 1xx code.", resettable: true },
        Statistic {
            name: "2xx_replies",
            doc: "Replies with a 2xx code other than 200 and 202.",
            resettable: true,
        },
        Statistic { name: "200_replies", doc: "Replies with code 200.", resettable: true },
        Statistic { name: "202_replies", doc: "Replies with code 202.", resettable: true },
        Statistic { name: "3xx_replies", doc: "Replies with a 3xx code.", resettable: true },
        Statistic { name: "4xx_replies", doc: "Replies with a 4xx code.", resettable: true },
        Statistic { name: "5xx_replies", doc: "Replies with a 5xx code.", resettable: true },
        Statistic { name: "6xx_replies", doc: "Replies with a 6xx code.", resettable: true },
        Statistic { name: "sent_replies", doc: "All replies.", resettable: true },
        Statistic { name: "sent_err_replies", doc: "Replies of sl_reply_error.", resettable: true },
        Statistic { name: "received_ACKs", doc: "ACKs to such replies.", resettable: true },
    ],
    ..Module::new("sl", "https://docs.opensips.org/modules/devel/sl/")
};

/// The arguments that every function which sends a reply has.
pub const REPLY_ARGUMENTS: &[Argument] = &[
    Argument::new("code", ArgumentKind::Int, "The status code, 100 to 699."),
    Argument::new("reason", ArgumentKind::Str, "The reason phrase."),
];

/// Refuses status codes that are none, at load.
///
/// # Errors
/// A sentence for the person who wrote the script.
pub fn check_code(argument: usize, value: &Value) -> Result<Prepared, String> {
    if argument != 0 {
        return Ok(Prepared::new(()));
    }
    match value.as_int() {
        Some(code) if (100..700).contains(&code) => Ok(Prepared::new(code)),
        _ => Err("a status code is from 100 to 699".to_owned()),
    }
}

/// Reads the code and the reason of a reply function.
pub fn code_and_reason<'a>(call: &'a Call<'_, Context>) -> Option<(u16, &'a [u8])> {
    let code = u16::try_from(call.int(0)?).ok().filter(|code| (100..700).contains(code))?;
    Some((code, call.str(1)?))
}

fn send_reply(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some((code, reason)) = code_and_reason(call) else { return Flow::FALSE };
    Flow::bool(reply::stateless(context, code, reason, b""))
}

fn reply_error(context: &mut Context, _: &mut Call<'_, Context>) -> Flow {
    context.node.counters.bump(context.worker, Stat::SentErrors);
    let (code, reason): (u16, &[u8]) = match context.rare.error {
        Some((code, reason)) => (code, reason.as_bytes()),
        None => (500, b"Server Internal Error"),
    };
    Flow::bool(reply::stateless(context, code, reason, b""))
}
