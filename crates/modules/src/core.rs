//! The core: functions that need no `loadmodule`.

use seawall_script::{
    Argument, ArgumentKind, Call, FlagDecl, FlagSpace, Flow, Function, Module, Routes, Statistic,
};
use seawall_sip::uri::Uri;

use crate::branch::{Branch, NO_Q};
use crate::context::Context;
use crate::{events, forward, uris, variables};

/// How many destinations one message may have besides the first: RFC 3261 gives no number; the fork of a large
/// hunt group stays below, and one request cannot be made into hundreds.
pub const MAX_BRANCHES: usize = 31;

const FLAG: &[Argument] =
    &[Argument::new("flag", ArgumentKind::Flag(FlagSpace::Message), "The name of the flag.")];
const BRANCH_FLAG: &[Argument] = &[
    Argument::new("flag", ArgumentKind::Flag(FlagSpace::Branch), "The name of the flag."),
    Argument::new("branch", ArgumentKind::Int, "The branch, 0 for the Request-URI.").optional(),
];

const BRANCH_INDEX: &[Argument] =
    &[Argument::new("index", ArgumentKind::Int, "Its position, 0 for the first added one.")];

/// The flags of `append_msg_branch`, spelled as its document spells them.
const INHERIT: &[FlagDecl] = &[FlagDecl::new(
    "inherite",
    "",
    "Next hop, q, path, socket and branch flags are those of the first destination.",
)];

/// The table of the core.
pub static MODULE: Module<Context> = Module {
    functions: &[
        Function::<Context>::new("setflag", FLAG, Routes::ALL, "Sets a message flag.", |context, call| {
            change_flag(call, |bit| context.flags |= bit)
        }),
        Function::<Context>::new(
            "resetflag",
            FLAG,
            Routes::ALL,
            "Clears a message flag.",
            |context, call| change_flag(call, |bit| context.flags &= !bit),
        ),
        Function::<Context>::new(
            "isflagset",
            FLAG,
            Routes::ALL,
            "Whether a message flag is set.",
            |context, call| Flow::bool(flag_bit(call).is_some_and(|bit| context.flags & bit != 0)),
        ),
        Function::<Context>::new(
            "setbflag",
            BRANCH_FLAG,
            Routes::ALL,
            "Sets a branch flag.",
            |context, call| change_branch_flag(context, call, |flags, bit| flags | bit),
        ),
        Function::<Context>::new(
            "resetbflag",
            BRANCH_FLAG,
            Routes::ALL,
            "Clears a branch flag.",
            |context, call| change_branch_flag(context, call, |flags, bit| flags & !bit),
        ),
        Function::<Context>::new(
            "isbflagset",
            BRANCH_FLAG,
            Routes::ALL,
            "Whether a branch flag is set.",
            is_branch_flag_set,
        ),
        Function::<Context>::new(
            "force_rport",
            &[],
            Routes::REQUEST,
            "Sends replies to the source port, as if the request had asked for it (RFC 3581).",
            |context, _| {
                context.rare.force_rport = true;
                Flow::TRUE
            },
        ),
        Function::<Context>::new(
            "add_local_rport",
            &[],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::LOCAL),
            "Asks the next hop for rport in our Via (RFC 3581).",
            |context, _| {
                context.rare.add_local_rport = true;
                Flow::TRUE
            },
        ),
        Function::<Context>::new(
            "is_myself",
            &[
                Argument::new("host", ArgumentKind::Str, "A host name or address, or a SIP URI."),
                Argument::new("port", ArgumentKind::Int, "A port; any if left out.").optional(),
            ],
            Routes::ALL,
            "Whether a host (and port) is this server: a socket, an advertised address or an alias.",
            is_myself,
        )
        .returns(&[(1, "It is this server."), (-1, "It is not.")]),
        Function::<Context>::new(
            "strip",
            &[Argument::new("count", ArgumentKind::Int, "How many characters.")],
            REWRITE,
            "Removes characters from the start of the user part of the Request-URI.",
            |context, call| rewrite_user(context, call.int(0), |user, count| user.get(count..)),
        ),
        Function::<Context>::new(
            "strip_tail",
            &[Argument::new("count", ArgumentKind::Int, "How many characters.")],
            REWRITE,
            "Removes characters from the end of the user part of the Request-URI.",
            |context, call| {
                rewrite_user(context, call.int(0), |user, count| user.get(..user.len().checked_sub(count)?))
            },
        ),
        Function::<Context>::new(
            "prefix",
            &[Argument::new("text", ArgumentKind::Str, "What to put in front.")],
            REWRITE,
            "Puts a text in front of the user part of the Request-URI.",
            prefix,
        ),
        Function::<Context>::new(
            "append_branch",
            &[
                Argument::new(
                    "uri",
                    ArgumentKind::Str,
                    "The destination; the present Request-URI if left out.",
                )
                .optional(),
                Argument::new("q", ArgumentKind::Int, "Its priority in thousandths.").optional(),
            ],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::ONREPLY),
            "Adds a destination.",
            append_branch,
        )
        .returns(&[(1, "The branch was added."), (-1, "It is not a URI, or there are too many branches.")]),
        Function::<Context>::new(
            "append_msg_branch",
            &[
                Argument::new("uri", ArgumentKind::Str, "The destination."),
                Argument::new("q", ArgumentKind::Int, "Its priority in thousandths.").optional(),
                Argument::new("flags", ArgumentKind::Flags(INHERIT), "Whether to take over more.").optional(),
            ],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::ONREPLY),
            "Adds a destination, as append_branch.",
            append_branch,
        )
        .returns(&[(1, "The branch was added."), (-1, "It is not a URI, or there are too many branches.")]),
        Function::<Context>::new(
            "remove_branch",
            BRANCH_INDEX,
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::ONREPLY),
            "Removes a destination that was added.",
            remove_branch,
        )
        .returns(&[(1, "It is gone."), (-1, "There is none there.")]),
        Function::<Context>::new(
            "remove_msg_branch",
            BRANCH_INDEX,
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::ONREPLY),
            "Removes a destination that was added, as remove_branch.",
            remove_branch,
        )
        .returns(&[(1, "It is gone."), (-1, "There is none there.")]),
        Function::<Context>::new(
            "serialize_branches",
            &[
                Argument::new("clear", ArgumentKind::Int, "Not 0: forgets those that still wait."),
                Argument::new(
                    "keep_order",
                    ArgumentKind::Int,
                    "Not 0: each destination is tried for itself, in the present order, whatever its q.",
                )
                .optional(),
            ],
            Routes::REQUEST.or(Routes::FAILURE),
            "Lets the Request-URI and the branches be tried one after the other by next_branches(), the highest q \
             first and those of the same q together. If all have the same q they stay parallel branches.",
            crate::serial::serialize,
        )
        .returns(&[(1, "They are in order."), (-1, "Too many wait already.")]),
        Function::<Context>::new(
            "next_branches",
            &[],
            Routes::REQUEST.or(Routes::FAILURE),
            "Takes the next destinations that serialize_branches() has put in order.",
            crate::serial::next,
        )
        .returns(&[
            (1, "They are the destinations now, and others still wait."),
            (2, "They are the destinations now, and were the last."),
            (-1, "None is left."),
        ]),
        Function::<Context>::new(
            "forward",
            &[Argument::new(
                "destination",
                ArgumentKind::Str,
                "A URI or host[:port]; where the request goes anyway if left out.",
            )
            .optional()],
            Routes::REQUEST,
            "Forwards the request without keeping state (RFC 3261 section 16.11).",
            forward::stateless,
        )
        .returns(&[(1, "The request is on its way."), (-1, "It has no usable destination.")]),
        Function::<Context>::new(
            "send",
            &[
                Argument::new("destination", ArgumentKind::Str, "A URI or host[:port]."),
                Argument::new("headers", ArgumentKind::Str, "Header lines to add.").optional(),
            ],
            Routes::REQUEST,
            "Sends the request as it came, with no Via of ours, to a destination.",
            forward::send_raw,
        )
        .returns(&[(1, "The request is on its way."), (-1, "The destination is not usable.")]),
        Function::<Context>::new(
            "force_send_socket",
            &[Argument::new("socket", ArgumentKind::Str, "proto:address[:port] of one of our sockets.")],
            Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::LOCAL),
            "Sends from this socket.",
            |context, call| {
                let socket = call.str(0).and_then(|text| variables::transport::parse_socket(context, text));
                context.target.socket = socket.or(context.target.socket);
                Flow::bool(socket.is_some())
            },
        ),
        Function::<Context>::new(
            "raise_event",
            &[
                Argument::new("event", ArgumentKind::Str, "The name of the event, E_NAME."),
                Argument::new(
                    "names",
                    ArgumentKind::ReadVariable,
                    "An $avp with the names of the parameters.",
                )
                .optional(),
                Argument::new("values", ArgumentKind::ReadVariable, "An $avp with their values.").optional(),
            ],
            Routes::ALL,
            "Raises an event of the script's own. Values without names are an array, which an event route reads by number; names \
             without values are nothing.",
            events::raise,
        ),
        Function::<Context>::new(
            "subscribe_event",
            &[
                Argument::new("event", ArgumentKind::Str, "The name of the event."),
                Argument::new("socket", ArgumentKind::Str, "Where to: udp:ADDRESS:PORT or unix:PATH."),
                Argument::new("expire", ArgumentKind::Int, "For how many seconds; for ever if left out.").optional(),
            ],
            Routes::ALL,
            "Sends an event to a program outside from now on, each time. Needs event_datagram.",
            crate::event_datagram::subscribe_event,
        )
        .returns(&[(1, "It will be told."), (-1, "The event, the socket or the time is none, or there are too many.")]),
    ],
    statistics: &[
        Statistic { name: "rcv_requests", doc: "Requests received.", resettable: true },
        Statistic { name: "rcv_replies", doc: "Replies received.", resettable: true },
        Statistic { name: "fwd_requests", doc: "Requests forwarded.", resettable: true },
        Statistic { name: "fwd_replies", doc: "Replies forwarded.", resettable: true },
        Statistic { name: "drop_requests", doc: "Requests dropped.", resettable: true },
        Statistic { name: "drop_replies", doc: "Replies dropped.", resettable: true },
        Statistic {
            name: "err_requests",
            doc: "Requests refused because they break RFC 3261.",
            resettable: true,
        },
        Statistic {
            name: "err_replies",
            doc: "Replies discarded because they break RFC 3261.",
            resettable: true,
        },
        Statistic { name: "bad_URIs_rcvd", doc: "Messages refused because of a URI.", resettable: true },
        Statistic { name: "unsupported_methods", doc: "Requests with an unknown method.", resettable: true },
        Statistic { name: "bad_msg_hdr", doc: "Messages with an unusable header section.", resettable: true },
        Statistic { name: "timestamp", doc: "Seconds since the start.", resettable: false },
    ],
    ..Module::new("core", "https://docs.opensips.org/manual/devel/script-corefunctions")
};

/// Where the Request-URI may be rewritten.
const REWRITE: Routes = Routes::REQUEST.or(Routes::FAILURE).or(Routes::BRANCH).or(Routes::LOCAL);

fn flag_bit(call: &Call<'_, Context>) -> Option<u32> {
    1u32.checked_shl(u32::from(call.flag(0)?))
}

fn change_flag(call: &Call<'_, Context>, change: impl FnOnce(u32)) -> Flow {
    match flag_bit(call) {
        Some(bit) => {
            change(bit);
            Flow::TRUE
        }
        None => Flow::FALSE,
    }
}

/// The flags of the branch that the second argument of a branch flag function names.
fn branch_flags<'a>(context: &'a mut Context, call: &Call<'_, Context>) -> Option<&'a mut u32> {
    match usize::try_from(call.int(1).unwrap_or(0)).ok()?.checked_sub(1) {
        None => Some(&mut context.target.flags),
        Some(index) => context.rare.branches.get_mut(index).map(|branch| &mut branch.flags),
    }
}

fn change_branch_flag(
    context: &mut Context,
    call: &mut Call<'_, Context>,
    change: impl FnOnce(u32, u32) -> u32,
) -> Flow {
    let Some(bit) = flag_bit(call) else { return Flow::FALSE };
    match branch_flags(context, call) {
        Some(flags) => {
            *flags = change(*flags, bit);
            Flow::TRUE
        }
        None => Flow::FALSE,
    }
}

fn is_branch_flag_set(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(bit) = flag_bit(call) else { return Flow::FALSE };
    Flow::bool(branch_flags(context, call).is_some_and(|flags| *flags & bit != 0))
}

fn is_myself(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(text) = call.str(0) else { return Flow::FALSE };
    let port = call.int(1).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    if text.starts_with(b"sip:") || text.starts_with(b"sips:") {
        let Ok(uri) = Uri::parse(text) else { return Flow::FALSE };
        let port = if port == 0 { uri.port.unwrap_or(0) } else { port };
        return Flow::bool(context.node.identity.is_own(uri.host, port));
    }
    Flow::bool(context.node.identity.is_own(text, port))
}

/// Replaces the user part of the Request-URI by what `change` makes of it.
fn rewrite_user(
    context: &mut Context,
    count: Option<i64>,
    change: impl FnOnce(&[u8], usize) -> Option<&[u8]>,
) -> Flow {
    let Some(count) = count.and_then(|count| usize::try_from(count).ok()) else { return Flow::FALSE };
    let current = context.request_uri();
    let Ok(uri) = Uri::parse(current) else { return Flow::FALSE };
    let Some(user) = uri.user else { return Flow::FALSE };
    let Some(kept) = change(user, count).map(<[u8]>::to_vec) else { return Flow::FALSE };
    let rewritten = uris::with_user(current, Some(&kept));
    store(context, rewritten)
}

fn prefix(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(text) = call.str(0) else { return Flow::FALSE };
    let current = context.request_uri();
    let Ok(uri) = Uri::parse(current) else { return Flow::FALSE };
    let user = [text, uri.user.unwrap_or_default()].concat();
    let rewritten = uris::with_user(current, Some(&user));
    store(context, rewritten)
}

fn store(context: &mut Context, rewritten: Option<Vec<u8>>) -> Flow {
    match rewritten {
        Some(uri) => {
            context.target.uri = uri;
            Flow::TRUE
        }
        None => Flow::FALSE,
    }
}

fn remove_branch(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    match call.int(0).and_then(|index| usize::try_from(index).ok()) {
        Some(index) if index < context.rare.branches.len() => {
            context.rare.branches.remove(index);
            Flow::TRUE
        }
        _ => Flow::FALSE,
    }
}

fn append_branch(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    if context.rare.branches.len() >= MAX_BRANCHES {
        return Flow::FALSE;
    }
    let q = match call.int(1) {
        None => NO_Q,
        Some(q) => match u16::try_from(q) {
            Ok(q) if q <= 1000 => q,
            _ => return Flow::FALSE,
        },
    };
    let branch = match call.str(0) {
        Some(uri) if !uri.is_empty() => {
            if Uri::parse(uri).is_err() {
                return Flow::FALSE;
            }
            // Only `append_msg_branch` has a third argument.
            match call.flags(2) {
                Some(flags) if flags.has(0) => {
                    let first = context.target.clone();
                    Branch { uri: uri.to_vec(), q: if q == NO_Q { first.q } else { q }, ..first }
                }
                _ => Branch { uri: uri.to_vec(), q, ..Branch::default() },
            }
        }
        // Without a URI the present destination becomes a branch as it is.
        _ => Branch { uri: context.request_uri().to_vec(), q, ..context.target.clone() },
    };
    context.rare.branches.push(branch);
    Flow::TRUE
}
