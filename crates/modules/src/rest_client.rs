//! Module `rest_client`: asking other servers over HTTP.
//!
//! A script that asks is parked until the answer is there, in line as in `async`; after `launch` it goes on at once.
//! Connections belong to the configuration and are shared by all workers.

mod parameters;
mod transfer;

use seawall_script::{Argument, ArgumentKind, Call, Flow, Function, Module, Routes};

use crate::context::Context;

pub use parameters::RestSettings;

/// Header fields that may wait for the next request, and the longest of them: what servers take.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 8192;

/// Where a script can wait.
const ROUTES: Routes = Routes::REQUEST
    .or(Routes::FAILURE)
    .or(Routes::LOCAL)
    .or(Routes::TIMER)
    .or(Routes::EVENT)
    .or(Routes::ERROR);

const URL: Argument = Argument::new("url", ArgumentKind::Str, "Whom to ask: a URL of http or https.");
const SEND_BODY: Argument = Argument::new("send_body", ArgumentKind::Str, "The body of the request.");
const SEND_TYPE: Argument = Argument::new(
    "send_ctype",
    ArgumentKind::Str,
    "The type of the body; application/x-www-form-urlencoded if it is left out.",
)
.optional();
const BODY: Argument = Argument::new("body_pv", ArgumentKind::Variable, "Gets the body of the answer.");
const TYPE: Argument =
    Argument::new("ctype_pv", ArgumentKind::Variable, "Gets the Content-Type of the answer.").optional();
const CODE: Argument =
    Argument::new("retcode_pv", ArgumentKind::Variable, "Gets the status code; 0 without an answer.")
        .optional();

const CODES: &[(i64, &str)] = &[
    (1, "There is an answer, whatever its status code."),
    (-1, "The server refuses connections, or is not known."),
    (-2, "No connection within connection_timeout."),
    (-3, "The answer was not complete within curl_timeout; what there is of it stands in the variables."),
    (-10, "Something else went wrong: the URL, a header field, the connection, an answer that is too long."),
];

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: parameters::PARAMETERS,
    functions: &[
        Function::<Context>::new(
            "rest_get",
            &[URL, BODY, TYPE, CODE],
            ROUTES,
            "Asks with GET. The script waits for the answer; redirects are not followed.",
            transfer::get,
        )
        .returns(CODES)
        .section("1.5.1")
        .asynchronous(),
        Function::<Context>::new(
            "rest_post",
            &[URL, SEND_BODY, SEND_TYPE, BODY, TYPE, CODE],
            ROUTES,
            "Asks with POST. The script waits for the answer.",
            transfer::post,
        )
        .returns(CODES)
        .section("1.5.2")
        .asynchronous(),
        Function::<Context>::new(
            "rest_put",
            &[URL, SEND_BODY, SEND_TYPE, BODY, TYPE, CODE],
            ROUTES,
            "Asks with PUT. The script waits for the answer.",
            transfer::put,
        )
        .returns(CODES)
        .section("1.5.3")
        .asynchronous(),
        Function::<Context>::new(
            "rest_append_hf",
            &[Argument::new("txt", ArgumentKind::Str, "A header field, `Name: value`.")],
            Routes::ALL,
            "Adds a header field to the next request of this run of the script.",
            append_header,
        )
        .returns(&[(1, "It will be sent."), (-1, "It is no header field, or there are too many.")])
        .section("1.5.4"),
    ],
    ..Module::new("rest_client", "https://docs.opensips.org/modules/devel/rest_client/")
};

fn append_header(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let text = call.str(0).and_then(|text| std::str::from_utf8(text).ok());
    let Some((name, value)) = text.and_then(seawall_http::header_field) else { return Flow::FALSE };
    if context.rare.http_headers.len() >= MAX_HEADERS || name.len() + value.len() > MAX_HEADER_BYTES {
        return Flow::FALSE;
    }
    context.rare.http_headers.push((name.to_owned(), value.to_owned()));
    Flow::TRUE
}
