//! Remote-Party-ID: who a caller is, as the subscriber table knows it.

use seawall_script::{Bytes, Call, Flow};
use seawall_sip::{NameAddr, Uri};

use crate::context::Context;
use crate::uris;

/// The variable that holds the URI where `rpid_avp` is not set.
const DEFAULT_AVP: &[u8] = b"rpid";

/// The URI, if there is one.
fn rpid(context: &Context, call: &Call<'_, Context>) -> Option<Bytes> {
    let value = match context.configuration.settings.auth.rpid {
        Some(variable) => call.parameter(context, variable),
        None => context.rare.avps.value(DEFAULT_AVP, 0)?.clone(),
    };
    value.into_bytes().filter(|text| !text.is_empty())
}

/// `is_rpid_user_e164()`.
pub(super) fn is_e164(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(text) = rpid(context, call) else { return Flow::FALSE };
    let uri = NameAddr::parse(&text).map_or(&*text, |address| address.uri);
    let user = Uri::parse(uri).ok().and_then(|uri| uri.user);
    let digits = user.and_then(|user| user.strip_prefix(b"+"));
    Flow::bool(
        digits
            .is_some_and(|digits| (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)),
    )
}

/// `append_rpid_hf()`.
pub(super) fn append(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(text) = rpid(context, call) else { return Flow::FALSE };
    let settings = &context.configuration.settings.auth;
    let given = |argument: usize| call.present(argument).then(|| call.str(argument)).flatten();
    let (prefix, suffix) = match (given(0), given(1)) {
        (None, None) => (&*settings.rpid_prefix, &*settings.rpid_suffix),
        (prefix, suffix) => (prefix.unwrap_or_default(), suffix.unwrap_or_default()),
    };
    let mut line = b"Remote-Party-ID: ".to_vec();
    for part in [prefix, &text, suffix] {
        uris::push_clean(&mut line, part);
    }
    line.extend_from_slice(b"\r\n");
    context.rare.edits.append_header(context.packet.message(), &line);
    Flow::TRUE
}
