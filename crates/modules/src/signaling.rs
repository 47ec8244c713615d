//! Module `signaling`: replies, by the transaction when there is one and stateless when there is none.

use seawall_script::{Call, Flow, Function, Module, Routes, Value, Variable};

use crate::context::Context;
use crate::reply;
use crate::sl::{REPLY_ARGUMENTS, check_code, code_and_reason};

/// The module's table.
pub static MODULE: Module<Context> = Module {
    functions: &[Function::<Context>::new(
        "send_reply",
        REPLY_ARGUMENTS,
        Routes::REQUEST.or(Routes::ERROR).or(Routes::FAILURE).or(Routes::ONREPLY),
        "Sends a reply: statefully when the request has a transaction, statelessly otherwise.",
        send_reply,
    )
    .section("1.4.1")
    .returns(&[(1, "The reply is on its way."), (-1, "No reply can be sent.")])
    .prepare(check_code)],
    variables: &[Variable::<Context>::new(
        "sig_local_totag",
        "The To tag of replies that are made here; NULL when the request has one already.",
        |context, _| crate::reply::tag_of(context).map_or(Value::Null, Value::str),
    )],
    ..Module::new("signaling", "https://docs.opensips.org/modules/devel/signaling/")
};

fn send_reply(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some((code, reason)) = code_and_reason(call) else { return Flow::FALSE };
    Flow::bool(reply::send(context, code, reason, b""))
}
