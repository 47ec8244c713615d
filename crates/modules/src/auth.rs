//! Module `auth`: digest challenges, and credentials checked against a name and a password that the script has.
//!
//! How a request is judged stands in [`check`]; `auth_db` uses the same with users from a database.

pub mod check;
mod nonces;
mod parameters;
mod rpid;

use seawall_digest::{BadTerms, Ha1, Qops, Terms};
use seawall_script::{Argument, ArgumentKind, Call, Digits, Flow, Function, Module, Prepared, Routes, Value};

use crate::auth::check::{Kind, Known};
use crate::context::Context;
use crate::reply;

pub use check::Verdict;
pub use nonces::Nonces;
pub use parameters::AuthSettings;

/// The codes of every function that checks credentials.
pub const CODES: &[(i64, &str)] = &[
    (1, "The credentials are right; ACK and CANCEL, which nobody can challenge, pass."),
    (-1, "There is no such user."),
    (-2, "The password is wrong."),
    (-3, "The nonce is too old, not ours or used before; a challenge will say so."),
    (-4, "There are no credentials for the realm."),
    (
        -5,
        "They cannot be checked: malformed, not what was offered, or the database fails. No reply was sent.",
    ),
];

/// The argument that names a realm.
pub const REALM: Argument = Argument::new(
    "realm",
    ArgumentKind::Str,
    "The realm. If it is empty, the host of To in a REGISTER and of From in other requests.",
);

const CHALLENGE_ARGUMENTS: &[Argument] = &[
    REALM,
    Argument::new("qop", ArgumentKind::Str, "What the challenge offers: auth, auth-int, or both with a comma.")
        .optional(),
    Argument::new(
        "algorithms",
        ArgumentKind::Str,
        "The algorithms, separated by commas: MD5, SHA-256, SHA-512-256, each with or without -sess. Without any, MD5.",
    )
    .optional(),
];

const CHALLENGED: &[(i64, &str)] = &[(0, "The reply is on its way, and the script ends.")];

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: parameters::PARAMETERS,
    functions: &[
        Function::<Context>::new(
            "www_challenge",
            CHALLENGE_ARGUMENTS,
            Routes::REQUEST,
            "Answers 401 with a challenge for each algorithm, the strongest first, and ends the script. After a check that \
             failed because of the database it answers 500 instead: a password would not help.",
            |context, call| challenge(context, call, Kind::Www),
        )
        .returns(CHALLENGED)
        .section("www_challenge")
        .prepare(check_terms),
        Function::<Context>::new(
            "proxy_challenge",
            CHALLENGE_ARGUMENTS,
            Routes::REQUEST,
            "As www_challenge, with 407 and Proxy-Authenticate.",
            |context, call| challenge(context, call, Kind::Proxy),
        )
        .returns(CHALLENGED)
        .section("proxy_challenge")
        .prepare(check_terms),
        Function::<Context>::new(
            "consume_credentials",
            &[],
            Routes::REQUEST,
            "Takes the credentials that were found right out of the request, so that nobody behind sees them.",
            consume_credentials,
        )
        .returns(&[(1, "They are gone."), (-1, "No credentials were checked and found right.")])
        .section("consume_credentials"),
        Function::<Context>::new(
            "is_rpid_user_e164",
            &[],
            Routes::REQUEST,
            "Whether the user part of the URI in rpid_avp is + and up to 15 digits.",
            rpid::is_e164,
        )
        .returns(&[(1, "It is."), (-1, "It is not, or there is no URI.")])
        .section("is_rpid_user_e164"),
        Function::<Context>::new(
            "append_rpid_hf",
            &[
                Argument::new("prefix", ArgumentKind::Str, "What stands before the URI, instead of rpid_prefix.")
                    .optional(),
                Argument::new("suffix", ArgumentKind::Str, "What stands behind it, instead of rpid_suffix.")
                    .optional(),
            ],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH),
            "Adds a Remote-Party-ID header with the URI in rpid_avp.",
            rpid::append,
        )
        .returns(&[(1, "The header was added."), (-1, "There is no URI.")])
        .section("append_rpid_hf"),
        Function::<Context>::new(
            "pv_www_authorize",
            &[REALM],
            Routes::REQUEST,
            "Checks the credentials in Authorization against the variables that username_spec and password_spec name.",
            |context, call| pv_authorize(context, call, Kind::Www),
        )
        .returns(CODES)
        .section("pv_www_authorize"),
        Function::<Context>::new(
            "pv_proxy_authorize",
            &[REALM],
            Routes::REQUEST,
            "Checks the credentials in Proxy-Authorization against the variables that username_spec and password_spec \
             name.",
            |context, call| pv_authorize(context, call, Kind::Proxy),
        )
        .returns(CODES)
        .section("pv_proxy_authorize"),
    ],
    requires: &["signaling"],
    ..Module::new("auth", "https://docs.opensips.org/modules/devel/auth/")
};

fn check_terms(argument: usize, value: &Value) -> Result<Prepared, String> {
    let Value::Str(text) = value else { return Ok(Prepared::new(())) };
    let checked = match argument {
        1 => Qops::read(text).map(drop),
        2 => Terms::read(b"", text).map(drop),
        _ => Ok(()),
    };
    checked.map(|()| Prepared::new(())).map_err(|error: BadTerms| error.to_string())
}

fn challenge(context: &mut Context, call: &mut Call<'_, Context>, kind: Kind) -> Flow {
    // Whatever happens, the script does not go on to do what only authenticated users may.
    const END: Flow = Flow::Value(0);
    if context.rare.authentication.unavailable {
        reply::send(context, 500, b"Server Internal Error", b"Retry-After: 10\r\n");
        return END;
    }
    let settings = &context.configuration.settings.auth;
    let realm = check::realm(context, call.str(0).unwrap_or_default());
    let terms = Terms::read(call.str(1).unwrap_or_default(), call.str(2).unwrap_or_default());
    let (Some(realm), Ok(terms)) = (realm, terms) else {
        tracing::error!("line {}: no challenge can be made of these arguments", call.line());
        reply::send(context, 500, b"Server Internal Error", b"");
        return END;
    };
    let nonces = &context.node.authentication;
    let mut headers = Vec::with_capacity(160);
    nonces.key(settings).challenge(
        &mut headers,
        kind.challenge_header(),
        (&realm, terms, context.rare.authentication.stale),
        context.now_s,
        || nonces.next_serial(),
    );
    let (code, reason) = kind.challenge_reply();
    reply::send(context, code, reason, &headers);
    END
}

fn consume_credentials(context: &mut Context, _: &mut Call<'_, Context>) -> Flow {
    let Some(header) = context.rare.authentication.header(context.packet.message()) else {
        return Flow::FALSE;
    };
    context.rare.edits.remove_header(&header);
    Flow::TRUE
}

fn pv_authorize(context: &mut Context, call: &mut Call<'_, Context>, kind: Kind) -> Flow {
    let settings = &context.configuration.settings.auth;
    let (Some(username), Some(password)) = (settings.username, settings.password) else {
        tracing::error!("line {}: username_spec and password_spec of auth are not set", call.line());
        return Flow::Value(-5);
    };
    let username = call.parameter(context, username);
    let password = call.parameter(context, password);
    let (mut digits, mut more_digits) = (Digits::default(), Digits::default());
    let username = username.as_bytes(&mut digits).unwrap_or_default();
    let password = password.as_bytes(&mut more_digits).unwrap_or_default();
    let calculate = settings.calculate_ha1;
    let judged = check::judge(context, kind, call.str(0).unwrap_or_default(), |answer, realm| {
        let known =
            !username.is_empty() && (*answer.username == *username || answer.user_and_domain().0 == username);
        if !known {
            return Known::Nobody;
        }
        let hash = answer.algorithm.hash;
        if calculate {
            return Known::Ha1(Ha1::new(hash, &answer.username, realm, password));
        }
        Ha1::parse(hash, password).map_or(Known::Unusable, Known::Ha1)
    });
    check::settle(context, judged)
}
