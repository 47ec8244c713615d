//! Module `options`: an OPTIONS request to the server itself is answered with what it can do (RFC 3261 §11.2).

use seawall_script::{Call, Flow, Function, Module, Parameter, ParameterKind, Program, Routes, Value};
use seawall_sip::{Method, Name, Uri, ascii, validate};

use crate::context::Context;
use crate::reply;

/// Parameters of `options`, as header lines.
#[derive(Debug, Clone, Default)]
pub struct OptionsSettings {
    /// The header lines of the 200.
    lines: Vec<u8>,
    /// The option tags of `support`.
    support: Vec<Vec<u8>>,
}

/// What stands in which header.
const HEADERS: &[(&str, &str)] = &[
    ("accept", "Accept"),
    ("accept_encoding", "Accept-Encoding"),
    ("accept_language", "Accept-Language"),
    ("support", "Supported"),
    ("allow", "Allow"),
];

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[
        Parameter::new("accept", ParameterKind::Str, "*/*", "The value of Accept; empty for no such header.")
            .section("1.3.1")
            .check(one_line),
        Parameter::new(
            "accept_encoding",
            ParameterKind::Str,
            "",
            "The value of Accept-Encoding; empty for no such header.",
        )
        .section("1.3.2")
        .check(one_line),
        Parameter::new(
            "accept_language",
            ParameterKind::Str,
            "en",
            "The value of Accept-Language; empty for no such header.",
        )
        .section("1.3.3")
        .check(one_line),
        Parameter::new(
            "support",
            ParameterKind::Str,
            "",
            "The option tags of Supported, comma separated, and what a Require may ask for; empty for none.",
        )
        .section("1.3.4")
        .check(tokens),
        Parameter::new(
            "allow",
            ParameterKind::Str,
            "INVITE, ACK, CANCEL, OPTIONS, BYE, REGISTER, MESSAGE, INFO, UPDATE, PRACK, REFER, SUBSCRIBE, NOTIFY, PUBLISH",
            "The methods of Allow, comma separated; empty for no such header. Not in OpenSIPS.",
        )
        .check(tokens),
    ],
    functions: &[Function::<Context>::new(
        "options_reply",
        &[],
        Routes::REQUEST,
        "Answers an OPTIONS request whose Request-URI has no user part: 200 with what the server can do, 420 when \
         Require asks for something else. Call it for requests to the server itself only.",
        options_reply,
    )
    .section("1.4.1")
    .returns(&[
        (1, "It is answered."),
        (-1, "It is no OPTIONS request, its Request-URI has a user part, or no reply can be sent."),
    ])],
    requires: &["signaling"],
    ..Module::new("options", "https://docs.opensips.org/modules/devel/options/")
};

impl OptionsSettings {
    /// Reads the parameters.
    pub(crate) fn new(program: &Program<Context>) -> Self {
        let mut settings = Self::default();
        if !program.is_loaded("options") {
            return settings;
        }
        for (parameter, header) in HEADERS {
            let value = program.parameters.str("options", parameter).unwrap_or_default();
            if !value.is_empty() {
                settings.lines.extend_from_slice(&reply::header_line(header, value));
            }
        }
        let support = program.parameters.str("options", "support").unwrap_or_default();
        settings.support = listed(support).map(<[u8]>::to_vec).collect();
        settings
    }
}

/// The items of a comma-separated list, none for an empty text.
fn listed(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let items = text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    items.filter(move |_| !text.trim_ascii().is_empty())
}

fn tokens(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) => match listed(text).find(|item| !ascii::is_token(item)) {
            Some(item) => Err(format!("\"{}\" is no token", String::from_utf8_lossy(item))),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn one_line(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if text.iter().any(u8::is_ascii_control) => {
            Err("a header value has no control characters".to_owned())
        }
        _ => Ok(()),
    }
}

fn options_reply(context: &mut Context, _: &mut Call<'_, Context>) -> Flow {
    let is_for_us = Uri::parse(context.request_uri()).is_ok_and(|uri| uri.is_sip() && uri.user.is_none());
    if context.message().method_id() != Method::Options || !is_for_us {
        return Flow::FALSE;
    }
    let configuration = std::sync::Arc::clone(&context.configuration);
    let settings = &configuration.settings.options;
    let support: Vec<&[u8]> = settings.support.iter().map(Vec::as_slice).collect();
    let mut lines = Vec::new();
    for tag in validate::unsupported(context.message(), Name::Require, &support) {
        lines.extend_from_slice(&reply::header_line("Unsupported", tag));
    }
    if lines.is_empty() {
        return Flow::bool(reply::send(context, 200, b"OK", &settings.lines));
    }
    Flow::bool(reply::send(context, 420, b"Bad Extension", &lines))
}
