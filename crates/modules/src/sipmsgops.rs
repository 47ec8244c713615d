//! Module `sipmsgops`: looking at a message and changing it.

use seawall_script::{Argument, ArgumentKind, Call, Flow, Function, Module, Prepared, Routes, Value};
use seawall_sip::{Header, Message, Method, Name, Uri, ascii, list, name_addr};

use crate::context::Context;
use crate::uris;

mod body;

const EVERYWHERE: Routes =
    Routes::REQUEST.or(Routes::ONREPLY).or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::LOCAL);

/// Where the Request-URI may be changed.
const REWRITE: Routes = Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::LOCAL);

const HEADER_NAME: &[Argument] = &[Argument::new("name", ArgumentKind::Str, "The name of the header.")];
const OPTION: &[Argument] = &[
    Argument::new("header", ArgumentKind::Str, "The name of a header with a list: \"Supported\"."),
    Argument::new("option", ArgumentKind::Str, "The option: \"path\"."),
];

/// The module's table.
pub static MODULE: Module<Context> = Module {
    functions: &[
        Function::<Context>::new(
            "is_method",
            &[Argument::new("methods", ArgumentKind::Str, "Methods, joined by \"|\".")],
            EVERYWHERE,
            "Whether the method is one of those named; of a reply, the method of CSeq.",
            is_method,
        )
        .returns(&[(1, "It is."), (-1, "It is not.")])
        .prepare(prepare_methods),
        Function::<Context>::new(
            "has_totag",
            &[],
            EVERYWHERE,
            "Whether To has a tag: the request is inside a dialog.",
            |context, _| {
                Flow::bool(name_addr::address(context.message(), Name::To).is_ok_and(|to| to.tag().is_some()))
            },
        )
        .returns(&[(1, "It has."), (-1, "It has not.")]),
        Function::<Context>::new(
            "append_hf",
            &[
                Argument::new("line", ArgumentKind::Str, "The header line, ending with \\r\\n."),
                Argument::new(
                    "after",
                    ArgumentKind::Str,
                    "The name of the header to put it behind, the first of that name; the last header if left out.",
                )
                .optional(),
            ],
            EVERYWHERE,
            "Adds a header behind another.",
            |context, call| add_header(context, call, true),
        )
        .returns(&[(1, "It was added."), (-1, "It is not a header line, or the other header is not there.")]),
        Function::<Context>::new(
            "insert_hf",
            &[
                Argument::new("line", ArgumentKind::Str, "The header line, ending with \\r\\n."),
                Argument::new(
                    "before",
                    ArgumentKind::Str,
                    "The name of the header to put it before; the first header if left out.",
                )
                .optional(),
            ],
            EVERYWHERE,
            "Adds a header before another.",
            |context, call| add_header(context, call, false),
        )
        .returns(&[(1, "It was added."), (-1, "It is not a header line, or the other header is not there.")]),
        Function::<Context>::new(
            "remove_hf",
            HEADER_NAME,
            EVERYWHERE,
            "Removes all headers of a name.",
            |context, call| {
                let name = call.str(0).unwrap_or_default().to_vec();
                remove_headers(context, |header| {
                    header.name.eq_ignore_ascii_case(&name)
                        || (header.name_id != Name::Other && header.name_id == Name::from_bytes(&name))
                })
            },
        )
        .returns(&[(1, "At least one was removed."), (-1, "There was none.")]),
        Function::<Context>::new(
            "remove_hf_re",
            &[Argument::new("expression", ArgumentKind::Regex, "A regular expression for the name.")],
            EVERYWHERE,
            "Removes all headers whose name matches an expression.",
            |context, call| match call.regex(0) {
                Some(regex) => remove_headers(context, |header| regex.is_match(header.name)),
                None => Flow::FALSE,
            },
        )
        .returns(&[(1, "At least one was removed."), (-1, "There was none.")]),
        Function::<Context>::new(
            "remove_hf_glob",
            &[Argument::new("pattern", ArgumentKind::Str, "A pattern with * and ? for the name.")],
            EVERYWHERE,
            "Removes all headers whose name matches a pattern.",
            |context, call| {
                let pattern = call.str(0).unwrap_or_default().to_ascii_lowercase();
                remove_headers(context, |header| globs(&pattern, &header.name.to_ascii_lowercase()))
            },
        )
        .returns(&[(1, "At least one was removed."), (-1, "There was none.")]),
        Function::<Context>::new(
            "is_present_hf",
            HEADER_NAME,
            EVERYWHERE,
            "Whether there is a header of a name.",
            |context, call| {
                let name = call.str(0).unwrap_or_default();
                Flow::bool(context.message().header_named(name).next().is_some())
            },
        )
        .returns(&[(1, "There is."), (-1, "There is none.")]),
        Function::<Context>::new(
            "append_to_reply",
            &[Argument::new("line", ArgumentKind::Str, "The header line, ending with \\r\\n.")],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::ERROR),
            "Adds a header to the replies that are made here.",
            append_to_reply,
        )
        .returns(&[(1, "It will be added."), (-1, "It is not a header line.")]),
        Function::<Context>::new(
            "append_urihf",
            &[
                Argument::new(
                    "prefix",
                    ArgumentKind::Str,
                    "What stands before the URI: \"CC-Diversion: <\".",
                ),
                Argument::new("suffix", ArgumentKind::Str, "What stands behind it: \">\\r\\n\"."),
            ],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH),
            "Adds a header with the Request-URI as it came.",
            append_uri_header,
        ),
        Function::<Context>::new(
            "append_time",
            &[],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::LOCAL),
            "Adds a Date header to the reply.",
            |context, _| {
                let line = format!("Date: {}\r\n", crate::calendar::sip_date(context.now_s));
                context.rare.reply_headers.extend_from_slice(line.as_bytes());
                Flow::TRUE
            },
        ),
        Function::<Context>::new(
            "append_time_to_request",
            &[],
            EVERYWHERE,
            "Adds a Date header to the request.",
            |context, _| {
                let line = format!("Date: {}\r\n", crate::calendar::sip_date(context.now_s));
                context.rare.edits.append_header(context.packet.message(), line.as_bytes());
                Flow::TRUE
            },
        ),
        Function::<Context>::new(
            "has_body",
            &[Argument::new("type", ArgumentKind::Str, "The Content-Type: \"application/sdp\".").optional()],
            EVERYWHERE,
            "Whether there is a body (of a type).",
            body::has_body,
        )
        .returns(&[(1, "There is."), (-1, "There is none.")]),
        Function::<Context>::new(
            "has_body_part",
            &[Argument::new("mime", ArgumentKind::Str, "The Content-Type: \"application/sdp\".").optional()],
            EVERYWHERE,
            "Whether the body, or a part of a multipart body, is of a type; without one, whether there is a body.",
            body::has_body_part,
        )
        .returns(&[(1, "There is."), (-1, "There is none.")]),
        Function::<Context>::new(
            "is_privacy",
            &[Argument::new("privacy_type", ArgumentKind::Str, "The type: \"id\".")],
            EVERYWHERE,
            "Whether the Privacy header asks for a type of privacy (RFC 3323).",
            |context, call| {
                let wanted = call.str(0).unwrap_or_default();
                let mut values = context.message().header_named(b"Privacy");
                Flow::bool(values.any(|header| {
                    let mut types = header.value.split(|byte| matches!(byte, b';' | b','));
                    types.any(|known| known.trim_ascii().eq_ignore_ascii_case(wanted))
                }))
            },
        )
        .returns(&[(1, "It does."), (-1, "It does not.")]),
        Function::<Context>::new(
            "is_audio_on_hold",
            &[],
            EVERYWHERE,
            "Whether the SDP body puts the audio on hold.",
            |context, _| Flow::bool(body::audio_on_hold(context.message().body())),
        )
        .returns(&[(1, "It does."), (-1, "It does not.")]),
        Function::<Context>::new(
            "ruri_has_param",
            &[
                Argument::new("name", ArgumentKind::Str, "The name of the parameter."),
                Argument::new("value", ArgumentKind::Str, "Its value; if left out, it must have none.").optional(),
            ],
            EVERYWHERE,
            "Whether the Request-URI has a parameter.",
            |context, call| {
                let Ok(uri) = Uri::parse(context.request_uri()) else { return Flow::FALSE };
                let found = uri.param(call.str(0).unwrap_or_default());
                Flow::bool(match (found, call.str(1)) {
                    (None, _) => false,
                    (Some(value), None) => value.is_none(),
                    (Some(value), Some(wanted)) => {
                        value.is_some_and(|value| value.eq_ignore_ascii_case(wanted))
                    }
                })
            },
        ),
        Function::<Context>::new(
            "ruri_add_param",
            &[Argument::new("parameter", ArgumentKind::Str, "The parameter: \"newparam=10\".")],
            REWRITE,
            "Adds a parameter to the Request-URI.",
            |context, call| change_uri_param(context, call.str(0), true),
        ),
        Function::<Context>::new(
            "ruri_del_param",
            &[Argument::new("name", ArgumentKind::Str, "The name of the parameter.")],
            REWRITE,
            "Removes a parameter from the Request-URI.",
            |context, call| change_uri_param(context, call.str(0), false),
        ),
        Function::<Context>::new(
            "is_uri_user_e164",
            &[Argument::new("uri", ArgumentKind::Str, "The URI.")],
            EVERYWHERE,
            "Whether the user part of a URI is an E.164 number.",
            |_, call| {
                let user = Uri::parse(call.str(0).unwrap_or_default()).ok().and_then(|uri| uri.user);
                Flow::bool(user.and_then(|user| user.strip_prefix(b"+")).is_some_and(|digits| {
                    (2..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
                }))
            },
        ),
        Function::<Context>::new(
            "list_hdr_has_option",
            OPTION,
            EVERYWHERE,
            "Whether a list header names an option.",
            |context, call| {
                let (header, option) = (call.str(0).unwrap_or_default(), call.str(1).unwrap_or_default());
                Flow::bool(has_option(context, header, option))
            },
        ),
        Function::<Context>::new(
            "list_hdr_add_option",
            OPTION,
            EVERYWHERE,
            "Adds an option to a list header.",
            add_option,
        ),
        Function::<Context>::new(
            "list_hdr_remove_option",
            OPTION,
            EVERYWHERE,
            "Removes an option from a list header.",
            remove_option,
        ),
        Function::<Context>::new(
            "change_reply_status",
            &[
                Argument::new("code", ArgumentKind::Int, "The new code."),
                Argument::new("reason", ArgumentKind::Str, "The new reason phrase."),
            ],
            Routes::ONREPLY,
            "Changes the code and reason of a reply that is relayed. A 1xx stays a 1xx and a 2xx a 2xx; nothing else becomes one.",
            change_reply_status,
        )
        .prepare(crate::sl::check_code),
    ],
    ..Module::new("sipmsgops", "https://docs.opensips.org/modules/devel/sipmsgops/")
};

/// The methods that `is_method` was asked for, as known at load.
#[derive(Debug, Default)]
struct Methods {
    known: u32,
    others: Vec<Vec<u8>>,
}

fn read_methods(text: &[u8]) -> Methods {
    let mut methods = Methods::default();
    for name in text.split(|byte| *byte == b'|') {
        let name = name.trim_ascii();
        // Methods of SIP are case-sensitive; in scripts the known ones are written either way.
        match Method::from_bytes(&name.to_ascii_uppercase()) {
            Method::Other => methods.others.push(name.to_vec()),
            known => methods.known |= 1 << known as u32,
        }
    }
    methods
}

fn prepare_methods(_: usize, value: &Value) -> Result<Prepared, String> {
    let Value::Str(text) = value else { return Err("methods are names".to_owned()) };
    let methods = read_methods(text);
    match methods.others.iter().find(|name| !ascii::is_token(name)) {
        Some(name) => Err(format!("\"{}\" is no method", String::from_utf8_lossy(name))),
        None => Ok(Prepared::new(methods)),
    }
}

fn is_method(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let read;
    let methods = match call.prepared::<Methods>(0) {
        Some(methods) => methods,
        None => {
            read = read_methods(call.str(0).unwrap_or_default());
            &read
        }
    };
    Flow::bool(match context.message().method_id() {
        Method::Other => is_other_method(context.message(), methods),
        known => methods.known & (1 << known as u32) != 0,
    })
}

/// Whether the method of a message, which no RFC defines, is one of these.
fn is_other_method(message: &Message, methods: &Methods) -> bool {
    let cseq = seawall_sip::cseq::CSeq::of(message);
    let name =
        if message.is_request() { message.method() } else { cseq.map_or(&b""[..], |cseq| cseq.method) };
    methods.others.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// Whether a text is one or more complete header lines, and nothing that could end the header section.
#[must_use]
pub fn is_header_block(text: &[u8]) -> bool {
    let Some(lines) = text.strip_suffix(b"\r\n") else { return false };
    let lines_fit = lines.split(|byte| *byte == b'\n').enumerate().all(|(index, line)| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let folded = index > 0 && line.first().is_some_and(|first| ascii::is_lws(*first));
        let named = memchr_colon(line).is_some_and(|(name, _)| ascii::is_token(ascii::trim_end(name)));
        (folded || named) && !line.contains(&b'\r') && !line.contains(&0)
    });
    !lines.is_empty()
        && lines_fit
        && !lines.windows(2).any(|pair| matches!(pair, [before, b'\n'] if *before != b'\r'))
}

fn memchr_colon(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = line.iter().position(|byte| *byte == b':')?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

/// The header lines of an argument; a missing line end is added, since scripts often leave it out.
fn header_block(text: &[u8]) -> Option<Vec<u8>> {
    let mut block = text.to_vec();
    if !block.ends_with(b"\r\n") {
        if block.last() == Some(&b'\n') {
            block.pop();
        }
        block.extend_from_slice(b"\r\n");
    }
    is_header_block(&block).then_some(block)
}

fn add_header(context: &mut Context, call: &mut Call<'_, Context>, behind: bool) -> Flow {
    let Some(block) = call.str(0).and_then(header_block) else { return Flow::FALSE };
    let message = context.packet.message();
    match call.str(1) {
        None if behind => context.rare.edits.append_header(message, &block),
        None => context.rare.edits.insert_header_first(message, &block),
        Some(name) => {
            let mut headers = message.header_named(name);
            let Some(anchor) = headers.next() else { return Flow::FALSE };
            if behind {
                context.rare.edits.insert_header_after(&anchor, &block);
            } else {
                context.rare.edits.insert_header_before(&anchor, &block);
            }
        }
    }
    Flow::TRUE
}

fn remove_headers(context: &mut Context, matches: impl Fn(&Header<'_>) -> bool) -> Flow {
    let mut removed = false;
    for header in context.packet.message().headers().filter(|header| matches(header)) {
        context.rare.edits.remove_header(&header);
        removed = true;
    }
    Flow::bool(removed)
}

/// Whether a name matches a pattern in which `*` stands for any text and `?` for one character.
fn globs(pattern: &[u8], name: &[u8]) -> bool {
    // The place to go back to: behind the last star, and where in the name it was tried last.
    let (mut p, mut n, mut back) = (0, 0, None);
    while let Some(byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, n));
                p += 1;
            }
            Some(wanted) if wanted == byte || *wanted == b'?' => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((behind, tried)) = back else { return false };
                back = Some((behind, tried + 1));
                (p, n) = (behind, tried + 1);
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

fn append_to_reply(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(block) = call.str(0).and_then(header_block) else { return Flow::FALSE };
    match &context.transaction {
        Some((_, state)) => state.lock().reply_headers.extend_from_slice(&block),
        None => context.rare.reply_headers.extend_from_slice(&block),
    }
    Flow::TRUE
}

fn append_uri_header(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let (prefix, suffix) = (call.str(0).unwrap_or_default(), call.str(1).unwrap_or_default());
    let line = [prefix, context.message().request_uri(), suffix].concat();
    let Some(block) = header_block(&line) else { return Flow::FALSE };
    context.rare.edits.append_header(context.packet.message(), &block);
    Flow::TRUE
}

fn change_uri_param(context: &mut Context, param: Option<&[u8]>, add: bool) -> Flow {
    let param = param.unwrap_or_default();
    let name = param.split(|byte| *byte == b'=').next().unwrap_or_default();
    let current = context.request_uri();
    let Ok(uri) = Uri::parse(current) else { return Flow::FALSE };
    if !uri.is_sip() || !uris::is_clean(param) || name.is_empty() {
        return Flow::FALSE;
    }
    let params = uri.params.as_bytes();
    let kept: Vec<&[u8]> = uri
        .params
        .iter()
        .filter(|known| !known.name.eq_ignore_ascii_case(name))
        .map(|known| known.raw)
        .collect();
    if !add && kept.len() == uri.params.iter().count() {
        return Flow::FALSE;
    }
    let head_len = current.len() - params.len() - uri.headers.map_or(0, |headers| headers.len() + 1);
    let mut out = current.get(..head_len).unwrap_or_default().to_vec();
    while out.last() == Some(&b';') {
        out.pop();
    }
    for known in kept.into_iter().chain(add.then_some(param)) {
        out.push(b';');
        out.extend_from_slice(known);
    }
    if let Some(headers) = uri.headers {
        out.push(b'?');
        out.extend_from_slice(headers);
    }
    if Uri::parse(&out).is_err() {
        return Flow::FALSE;
    }
    context.target.uri = out;
    Flow::TRUE
}

fn options<'a>(context: &'a Context, header: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let headers = context.message().header_named(header);
    headers.flat_map(|header| list::Items::new(context.rare.edits.value(&header)).collect::<Vec<_>>())
}

fn has_option(context: &Context, header: &[u8], option: &[u8]) -> bool {
    options(context, header).any(|known| known.eq_ignore_ascii_case(option))
}

fn add_option(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let (name, option) = (call.str(0).unwrap_or_default(), call.str(1).unwrap_or_default());
    if !ascii::is_token(option) || !ascii::is_token(name) {
        return Flow::FALSE;
    }
    // Naming an option twice means nothing more.
    if has_option(context, name, option) {
        return Flow::TRUE;
    }
    let message = context.packet.message();
    let Some(header) = message.header_named(name).next() else { return Flow::FALSE };
    let value = context.rare.edits.value(&header);
    let value = if value.is_empty() { option.to_vec() } else { [value, b", ", option].concat() };
    context.rare.edits.replace_value(&header, &value);
    Flow::TRUE
}

fn remove_option(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let (name, option) = (call.str(0).unwrap_or_default(), call.str(1).unwrap_or_default());
    let mut removed = false;
    for header in context.packet.message().header_named(name) {
        let value = context.rare.edits.value(&header);
        let kept: Vec<&[u8]> =
            list::Items::new(value).filter(|known| !known.eq_ignore_ascii_case(option)).collect();
        if kept.len() == list::Items::new(value).count() {
            continue;
        }
        removed = true;
        let (is_empty, kept) = (kept.is_empty(), kept.join(&b", "[..]));
        if is_empty {
            context.rare.edits.remove_header(&header);
        } else {
            context.rare.edits.replace_value(&header, &kept);
        }
    }
    Flow::bool(removed)
}

fn change_reply_status(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some((code, reason)) = crate::sl::code_and_reason(call) else { return Flow::FALSE };
    let message = context.packet.message();
    // To make a dialog out of a refusal, or the other way round, would leave both sides with different views.
    let same_class = message.status() / 100 == code / 100;
    let both_negative = message.status() >= 300 && code >= 300;
    if !message.is_response() || !(same_class || both_negative) || !uris::is_clean(reason) {
        return Flow::FALSE;
    }
    let line = [b"SIP/2.0 ", code.to_string().as_bytes(), b" ", reason].concat();
    context.rare.edits.replace(message.start_line_span(), &line);
    Flow::TRUE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_block_cannot_end_the_header_section() {
        for good in ["A: b\r\n", "A:\r\n", "A: b\r\n folded\r\nC: d\r\n"] {
            assert!(is_header_block(good.as_bytes()), "{good:?}");
        }
        for bad in [
            "",
            "\r\n",
            "A: b",
            "A: b\r\n\r\n",
            "A: b\r\n\r\nbody\r\n",
            "A b\r\n",
            "A: b\nC: d\r\n",
            " A: b\r\n",
        ] {
            assert!(!is_header_block(bad.as_bytes()), "{bad:?}");
        }
    }
}
