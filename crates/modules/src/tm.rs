//! Module `tm`: the script's side of the transaction layer.

pub mod inject;
pub mod relay;
pub mod state;

use seawall_script::{
    Argument, ArgumentKind, Call, FlagDecl, Flow, Function, Module, Parameter, ParameterKind, RouteKind,
    Routes, Statistic,
};
use seawall_sip::Method;
use seawall_transaction::{BranchSelection, RequestMatch, Status, TransactionId};

use crate::context::Context;
use crate::reply;
use crate::sl::{REPLY_ARGUMENTS, check_code, code_and_reason};

/// The flags of `t_relay`.
const RELAY_FLAGS: &[FlagDecl] = &[
    FlagDecl::new("no-auto-477", "", "Sends no 477 when no branch could be sent."),
    FlagDecl::new("no-dns-failover", "", "Does not try further addresses of a destination."),
    FlagDecl::new(
        "pass-reason-hdr",
        "",
        "Passes on the Reason header of a received CANCEL; that is always done.",
    ),
];

/// `no-auto-477` in [`RELAY_FLAGS`].
const NO_AUTO_477: usize = 0;

/// The flags of `t_cancel_branch`.
const CANCEL_FLAGS: &[FlagDecl] =
    &[FlagDecl::new("a", "", "All branches."), FlagDecl::new("o", "", "All branches but the present one.")];

const ROUTES: Routes = Routes::REQUEST.or(Routes::FAILURE);

const fn arm(kind: RouteKind) -> Argument {
    Argument::new("route", ArgumentKind::Route(kind), "The name of the route.")
}

static BRANCH_ROUTE: [Argument; 1] = [arm(RouteKind::Branch)];
static REPLY_ROUTE: [Argument; 1] = [arm(RouteKind::Reply)];
static FAILURE_ROUTE: [Argument; 1] = [arm(RouteKind::Failure)];

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[
        Parameter::new(
            "fr_timeout",
            ParameterKind::Int,
            "30",
            "How long a request waits for any reply (timers B and F).",
        )
        .unit("s")
        .section("1.3.1"),
        Parameter::new(
            "fr_inv_timeout",
            ParameterKind::Int,
            "120",
            "How long an INVITE waits for a final reply after a provisional one (timer C).",
        )
        .unit("s")
        .section("1.3.2"),
        Parameter::new(
            "wt_timer",
            ParameterKind::Int,
            "5",
            "How long a transaction that has ended absorbs retransmissions.",
        )
        .unit("s")
        .section("1.3.3"),
        Parameter::new("delete_timer", ParameterKind::Int, "2", "How long a transaction stays after that.")
            .unit("s")
            .section("1.3.4")
            .no_effect("a transaction is freed as soon as nothing refers to it"),
        Parameter::new("T1_timer", ParameterKind::Int, "500", "The first interval of a retransmission (T1).")
            .unit("ms")
            .section("1.3.5"),
        Parameter::new(
            "T2_timer",
            ParameterKind::Int,
            "4000",
            "The longest interval of a retransmission (T2).",
        )
        .unit("ms")
        .section("1.3.6"),
        Parameter::new(
            "ruri_matching",
            ParameterKind::Bool,
            "1",
            "Whether RFC 2543 matching compares the Request-URI.",
        )
        .section("1.3.7")
        .no_effect("it is always compared, as RFC 3261 section 17.2.3 says"),
        Parameter::new(
            "via1_matching",
            ParameterKind::Bool,
            "1",
            "Whether RFC 2543 matching compares the Via.",
        )
        .section("1.3.8")
        .no_effect("it is always compared, as RFC 3261 section 17.2.3 says"),
        Parameter::new("unix_tx_timeout", ParameterKind::Int, "2", "Timeout of the unix socket.")
            .section("1.3.9")
            .no_effect("there is no such socket"),
        Parameter::new(
            "restart_fr_on_each_reply",
            ParameterKind::Bool,
            "1",
            "Whether every provisional reply starts fr_inv_timeout anew.",
        )
        .section("1.3.10"),
        Parameter::new("tw_append", ParameterKind::Str, "", "What t_write appends.")
            .no_effect("t_write is not provided"),
        Parameter::new(
            "pass_provisional_replies",
            ParameterKind::Bool,
            "0",
            "Whether local_route callbacks see provisional replies.",
        )
        .section("1.3.12")
        .no_effect("onreply_route always sees them"),
        Parameter::new("syn_branch", ParameterKind::Bool, "1", "How the branch parameter is computed.")
            .section("1.3.13")
            .no_effect("the branch always carries its transaction, with a MAC"),
        Parameter::new(
            "onreply_avp_mode",
            ParameterKind::Bool,
            "0",
            "Whether an onreply_route sees the $avp values of its transaction.",
        )
        .section("1.3.14"),
        Parameter::new(
            "disable_6xx_block",
            ParameterKind::Bool,
            "0",
            "Whether a 6xx lets other branches go on.",
        )
        .section("1.3.15")
        .no_effect("a 6xx always ends the other branches, as RFC 3261 section 16.7 says"),
        Parameter::new("enable_stats", ParameterKind::Bool, "1", "Whether transactions are counted.")
            .section("1.3.16")
            .no_effect("they are always counted"),
        Parameter::new(
            "minor_branch_flag",
            ParameterKind::Str,
            "",
            "Marks a branch that the others do not wait for.",
        )
        .section("1.3.17")
        .no_effect("minor branches are not provided"),
        Parameter::new(
            "timer_partitions",
            ParameterKind::Int,
            "1",
            "How many timer processes share the work.",
        )
        .section("1.3.18")
        .no_effect("every worker has its own timers"),
        Parameter::new(
            "auto_100trying",
            ParameterKind::Bool,
            "1",
            "Whether an INVITE is answered 100 Trying at once.",
        )
        .section("1.3.19"),
        Parameter::new(
            "own_timer_proc",
            ParameterKind::Bool,
            "0",
            "Whether timers have a process of their own.",
        )
        .no_effect("every worker has its own timers"),
        Parameter::new(
            "tm_replication_cluster",
            ParameterKind::Int,
            "0",
            "The cluster that shares transactions.",
        )
        .no_effect("clustering is not provided"),
        Parameter::new("cluster_param", ParameterKind::Str, "cid", "The Via parameter that names the node.")
            .no_effect("clustering is not provided"),
        Parameter::new(
            "cluster_auto_cancel",
            ParameterKind::Bool,
            "1",
            "Whether the cluster handles CANCEL.",
        )
        .no_effect("clustering is not provided"),
    ],
    functions: &[
        Function::<Context>::new(
            "t_relay",
            &[
                Argument::new("flags", ArgumentKind::Flags(RELAY_FLAGS), "What to do differently.")
                    .optional(),
                Argument::new(
                    "outbound_proxy",
                    ArgumentKind::Str,
                    "Where to send it unless $du says so, as [proto:]host[:port].",
                )
                .optional(),
            ],
            ROUTES.or(Routes::EVENT),
            "Relays the request statefully to all its destinations.",
            relay,
        )
        .section("1.4.1")
        .returns(&[
            (1, "The request is on its way."),
            (-1, "Internal error."),
            (-2, "The request cannot be relayed as it is."),
            (-3, "There is no destination."),
            (-4, "No destination could be resolved."),
            (-6, "Sending failed."),
        ]),
        Function::<Context>::new(
            "t_newtran",
            &[],
            Routes::REQUEST,
            "Makes a transaction; stops the script on a retransmission.",
            new_transaction,
        )
        .section("1.4.2")
        .returns(&[(1, "There is a transaction now."), (-1, "There can be none.")]),
        Function::<Context>::new(
            "t_check_trans",
            &[],
            Routes::REQUEST.or(Routes::BRANCH),
            "Whether the request belongs to a transaction; retransmissions end here.",
            check_transaction,
        )
        .section("1.4.3")
        .returns(&[
            (1, "A CANCEL of a known INVITE, or an ACK of a final reply that is no 2xx or was made here."),
            (-1, "It belongs to no transaction."),
            (-2, "An ACK from end to end."),
            (0, "It is a retransmission and was absorbed."),
        ]),
        Function::<Context>::new("t_reply", REPLY_ARGUMENTS, ROUTES, "Sends a reply statefully.", t_reply)
            .section("1.4.4")
            .returns(&[(1, "The reply is on its way."), (-1, "No reply can be sent.")])
            .prepare(check_code),
        Function::<Context>::new(
            "t_reply_with_body",
            &[
                Argument::new("code", ArgumentKind::Int, "The status code, 100 to 699."),
                Argument::new("reason", ArgumentKind::Str, "The reason phrase."),
                Argument::new(
                    "body",
                    ArgumentKind::Str,
                    "The body; its Content-Type comes from append_to_reply.",
                ),
            ],
            ROUTES,
            "Sends a reply with a body statefully.",
            t_reply_with_body,
        )
        .section("1.4.5")
        .returns(&[(1, "The reply is on its way."), (-1, "No reply can be sent.")])
        .prepare(check_code),
        Function::<Context>::new(
            "t_on_failure",
            &FAILURE_ROUTE,
            Routes::ALL,
            "Runs a failure_route when all branches have failed.",
            |context, call| {
                let route = call.route(0);
                arm_routes(context, |armed| armed.failure = route)
            },
        )
        .section("1.4.6"),
        Function::<Context>::new(
            "t_on_branch",
            &BRANCH_ROUTE,
            Routes::ALL,
            "Runs a branch_route for every branch before it is sent.",
            |context, call| {
                let route = call.route(0);
                arm_routes(context, |armed| armed.branch = route)
            },
        )
        .section("1.4.7"),
        Function::<Context>::new(
            "t_on_reply",
            &REPLY_ROUTE,
            Routes::ALL,
            "Runs an onreply_route for every reply.",
            |context, call| {
                let route = call.route(0);
                arm_routes(context, |armed| armed.reply = route)
            },
        )
        .section("1.4.8"),
        Function::<Context>::new(
            "t_was_cancelled",
            &[],
            Routes::FAILURE.or(Routes::ONREPLY),
            "Whether a CANCEL has come.",
            |context, _| Flow::bool(status(context).is_some_and(|status| status.cancelled)),
        )
        .section("1.4.9"),
        Function::<Context>::new(
            "t_check_status",
            &[Argument::new("codes", ArgumentKind::Regex, "A regular expression: \"(486)|(408)\".")],
            ROUTES.or(Routes::ONREPLY).or(Routes::BRANCH),
            "Whether the code of the reply matches.",
            check_status,
        )
        .section("1.4.10"),
        Function::<Context>::new(
            "t_local_replied",
            &[Argument::new("which", ArgumentKind::StaticStr, "\"all\", \"branch\" or \"last\".")],
            ROUTES.or(Routes::ONREPLY),
            "Whether replies were made here instead of received.",
            local_replied,
        )
        .section("1.4.11")
        .prepare(|_, value| match value.as_bytes(&mut seawall_script::Digits::default()) {
            Some(b"all" | b"branch" | b"last") => Ok(seawall_script::Prepared::new(())),
            _ => Err("it is \"all\", \"branch\" or \"last\"".to_owned()),
        }),
        Function::<Context>::new(
            "t_cancel_branch",
            &[Argument::new(
                "flags",
                ArgumentKind::Flags(CANCEL_FLAGS),
                "Which branches; the present one if left out.",
            )
            .optional()],
            Routes::ONREPLY,
            "Cancels branches that ring.",
            cancel_branch,
        )
        .section("1.4.12"),
        Function::<Context>::new(
            "t_add_hdrs",
            &[Argument::new("headers", ArgumentKind::Str, "Header lines, each ending with \\r\\n.")],
            Routes::ALL,
            "Adds headers to all requests that the transaction makes itself.",
            add_headers,
        )
        .section("1.4.14"),
        Function::<Context>::new(
            "t_inject_branches",
            &[
                Argument::new(
                    "source",
                    ArgumentKind::StaticStr,
                    "\"event\": the contact of the event that the route runs for, by its $avp values; \"msg\": $ru and the \
                     branches.",
                ),
                Argument::new("flags", ArgumentKind::Flags(inject::FLAGS), "What to do besides.").optional(),
            ],
            Routes::ALL,
            "Adds branches to a transaction: the route's own, or that of whoever called notify_on_event().",
            inject::inject_branches,
        )
        .returns(&[(1, "They are on their way, or will be."), (-1, "There is no transaction, or no destination.")])
        .prepare(|argument, value| match value.as_bytes(&mut seawall_script::Digits::default()) {
            Some(b"event" | b"msg") => Ok(seawall_script::Prepared::new(())),
            _ if argument != 0 => Ok(seawall_script::Prepared::new(())),
            _ => Err("it is \"event\" or \"msg\"".to_owned()),
        }),
        Function::<Context>::new(
            "t_wait_for_new_branches",
            &[Argument::new("branches", ArgumentKind::Int, "How many at most, 1 to 32; any number if left out.")
                .optional()],
            ROUTES,
            "Lets the transaction wait for further branches for fr_inv_timeout, though all that there are have ended.",
            inject::wait_for_new_branches,
        )
        .returns(&[(1, "It waits."), (-1, "There is no transaction, or the number is none.")]),
        Function::<Context>::new(
            "t_wait_no_more_branches",
            &[],
            Routes::ALL,
            "Lets the transaction wait for no further branches, those of phones that are being woken included.",
            inject::wait_no_more_branches,
        )
        .returns(&[(1, "It does not wait."), (-1, "There is no transaction.")]),
    ],
    statistics: &[
        Statistic { name: "received_replies", doc: "Replies received for a transaction.", resettable: true },
        Statistic { name: "relayed_replies", doc: "Replies relayed.", resettable: true },
        Statistic { name: "local_replies", doc: "Replies made here.", resettable: true },
        Statistic { name: "UAS_transactions", doc: "Server transactions made.", resettable: true },
        Statistic { name: "UAC_transactions", doc: "Client transactions made.", resettable: true },
        Statistic { name: "2xx_transactions", doc: "Transactions completed with a 2xx.", resettable: true },
        Statistic { name: "3xx_transactions", doc: "Transactions completed with a 3xx.", resettable: true },
        Statistic { name: "4xx_transactions", doc: "Transactions completed with a 4xx.", resettable: true },
        Statistic { name: "5xx_transactions", doc: "Transactions completed with a 5xx.", resettable: true },
        Statistic { name: "6xx_transactions", doc: "Transactions completed with a 6xx.", resettable: true },
        Statistic { name: "inuse_transactions", doc: "Transactions in memory.", resettable: false },
    ],
    ..Module::new("tm", "https://docs.opensips.org/modules/devel/tm/")
};

/// Arms a route: for the transaction when there is one, and for the one that is to come.
fn arm_routes(context: &mut Context, change: impl Fn(&mut state::Armed)) -> Flow {
    change(&mut context.rare.armed);
    if context.route == RouteKind::Branch {
        // Armed for this branch alone; `relay` takes it from the context.
        return Flow::TRUE;
    }
    if let Some((id, state)) = &context.transaction {
        let mut inner = state.lock();
        change(&mut inner.armed);
        let survives = inner.journey.as_ref().is_some_and(|journey| journey.may_survive());
        let hold = inner.armed.failure.is_some() || survives;
        drop(inner);
        if let Some(shard) = context.node.shard(id.shard) {
            shard.lock().hold_failure(*id, hold);
        }
    }
    Flow::TRUE
}

fn relay(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let no_auto_477 = call.flags(0).is_some_and(|flags| flags.has(NO_AUTO_477));
    let proxy = call.str(1).map(<[u8]>::to_vec);
    match context.message().method_id() {
        Method::Ack => relay::acknowledge(context, proxy.as_deref()),
        Method::Cancel => relay::cancel(context),
        _ => relay::relay(context, relay::Options { auto_477: !no_auto_477, proxy }),
    }
}

fn new_transaction(context: &mut Context, _: &mut Call<'_, Context>) -> Flow {
    if context.transaction.is_some() {
        return Flow::FALSE;
    }
    match relay::create(context) {
        relay::Created::New => Flow::TRUE,
        // A retransmission that overtook its original: nothing is left to do.
        relay::Created::Absorbed => Flow::Value(0),
        relay::Created::Failed => Flow::FALSE,
    }
}

fn check_transaction(context: &mut Context, _: &mut Call<'_, Context>) -> Flow {
    match relay::matching(context) {
        RequestMatch::New if context.message().method_id() == Method::Ack => Flow::Value(-2),
        RequestMatch::New => Flow::FALSE,
        // RFC 3261 section 13.2.2.4: the ACK of a 2xx travels like a request of its own.
        RequestMatch::AckFor2xx(id) if !answered_here(context, id) => Flow::Value(-2),
        RequestMatch::AckFor2xx(_) | RequestMatch::AckForFinal(_) | RequestMatch::Cancel(_) => Flow::TRUE,
        RequestMatch::Retransmission(_) => Flow::Value(0),
    }
}

/// Whether the final reply of a transaction was made here and not received.
fn answered_here(context: &Context, id: TransactionId) -> bool {
    let Some(shard) = context.node.shard(id.shard) else { return false };
    let status = shard.lock().status(id);
    status.is_some_and(|status| status.answered && status.local)
}

/// How the context's transaction stands.
fn status(context: &Context) -> Option<Status> {
    let (id, _) = context.transaction.as_ref()?;
    context.node.shard(id.shard)?.lock().status(*id)
}

fn t_reply(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some((code, reason)) = code_and_reason(call) else { return Flow::FALSE };
    reply_statefully(context, code, reason, b"")
}

fn t_reply_with_body(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some((code, reason)) = code_and_reason(call) else { return Flow::FALSE };
    let body = call.str(2).unwrap_or_default();
    reply_statefully(context, code, reason, body)
}

fn reply_statefully(context: &mut Context, code: u16, reason: &[u8], body: &[u8]) -> Flow {
    if context.transaction.is_none() {
        match relay::create(context) {
            relay::Created::New => {}
            relay::Created::Absorbed => return Flow::Value(0),
            relay::Created::Failed => return Flow::FALSE,
        }
    }
    Flow::bool(reply::stateful(context, code, reason, body))
}

fn check_status(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let code = match (context.rare.failure, context.route) {
        (Some(failure), _) => failure.code,
        (None, RouteKind::Reply) => context.message().status(),
        _ => status(context).map_or(0, |status| status.code),
    };
    let Some(regex) = call.regex(0) else { return Flow::FALSE };
    Flow::bool(code != 0 && regex.is_match(code.to_string().as_bytes()))
}

fn local_replied(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some((id, _)) = &context.transaction else { return Flow::FALSE };
    let Some(shard) = context.node.shard(id.shard) else { return Flow::FALSE };
    let layer = shard.lock();
    let Some(status) = layer.status(*id) else { return Flow::FALSE };
    // A branch whose code was made here (408 after a timeout) has no received reply.
    let local = |branch: u16| layer.branch(*id, branch).is_some_and(|branch| !branch.is_received);
    let answer = match call.str(0) {
        Some(b"all") => (0..status.branches).all(local),
        Some(b"branch") => local(context.rare.branch_index),
        _ => context.rare.failure.map_or(status.local, |failure| local(failure.branch)),
    };
    Flow::bool(answer)
}

fn cancel_branch(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some((id, _)) = &context.transaction else { return Flow::FALSE };
    let branch = context.rare.branch_index;
    let selection = match call.flags(0) {
        Some(flags) if flags.has(0) => BranchSelection::All,
        Some(flags) if flags.has(1) => BranchSelection::Others(branch),
        _ => BranchSelection::One(branch),
    };
    let id = *id;
    let Some(shard) = context.node.shard(id.shard) else { return Flow::FALSE };
    shard.lock().cancel_branches(context.now_ms, id, selection, &mut context.effects);
    Flow::TRUE
}

fn add_headers(context: &mut Context, call: &mut Call<'_, Context>) -> Flow {
    let Some(lines) = call.str(0) else { return Flow::FALSE };
    if !crate::sipmsgops::is_header_block(lines) {
        return Flow::FALSE;
    }
    let lines = lines.to_vec();
    if let Some((_, state)) = &context.transaction {
        state.lock().added_headers.extend_from_slice(&lines);
    }
    context.rare.added_headers.extend_from_slice(&lines);
    Flow::TRUE
}
