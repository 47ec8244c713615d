//! Module `usrloc`: the location table's parameters, events and statistics.

use seawall_script::{Event, FlagSpace, Module, Parameter, ParameterKind, Statistic, Value};

use crate::context::Context;

/// Said of every parameter that only matters with a database.
const NO_DATABASE: &str = "bindings are kept in memory; databases are not provided yet";

/// Said of every parameter that only matters in a cluster.
const NO_CLUSTER: &str = "clustering is not provided yet";

/// Said of the parameters that rename columns.
macro_rules! column {
    ($name:literal, $default:literal) => {
        Parameter::new($name, ParameterKind::Str, $default, "The name of a column of the location table.")
            .no_effect(NO_DATABASE)
    };
}

/// What the events of a binding carry, in this order.
pub const CONTACT_PARAMETERS: &[&str] = &[
    "domain",
    "aor",
    "uri",
    "received",
    "path",
    "qval",
    "user_agent",
    "socket",
    "bflags",
    "expires",
    "callid",
    "cseq",
    "attr",
    "latency",
    "shtag",
];

/// What E_UL_CONTACT_REFRESH carries, in this order.
pub const REFRESH_PARAMETERS: &[&str] = &[
    "domain",
    "aor",
    "uri",
    "received",
    "user_agent",
    "socket",
    "bflags",
    "expires",
    "callid",
    "attr",
    "shtag",
    "reason",
    "req_callid",
];

/// What the events of an address of record carry.
pub const AOR_PARAMETERS: &[&str] = &["domain", "aor"];

/// The events, by what they tell.
pub mod event {
    /// A first binding of an address of record.
    pub const AOR_INSERT: &str = "E_UL_AOR_INSERT";
    /// The last binding is gone.
    pub const AOR_DELETE: &str = "E_UL_AOR_DELETE";
    /// A new binding.
    pub const CONTACT_INSERT: &str = "E_UL_CONTACT_INSERT";
    /// A binding was refreshed or changed.
    pub const CONTACT_UPDATE: &str = "E_UL_CONTACT_UPDATE";
    /// A binding was removed or has expired.
    pub const CONTACT_DELETE: &str = "E_UL_CONTACT_DELETE";
    /// A binding has answered a ping.
    pub const LATENCY_UPDATE: &str = "E_UL_LATENCY_UPDATE";
    /// A contact has to be woken, or to refresh itself.
    pub const CONTACT_REFRESH: &str = "E_UL_CONTACT_REFRESH";

    /// Those that are raised for changes of the table.
    pub const OF_LOCATION: [&str; 5] =
        [AOR_INSERT, AOR_DELETE, CONTACT_INSERT, CONTACT_UPDATE, CONTACT_DELETE];
}

/// The module's table.
pub static MODULE: Module<Context> = Module {
    parameters: &[
        Parameter::new(
            "nat_bflag",
            ParameterKind::Flag(FlagSpace::Branch),
            "",
            "The branch flag of contacts behind a NAT.",
        )
        .section("1.3.1"),
        Parameter::new(
            "working_mode_preset",
            ParameterKind::Str,
            "single-instance-no-db",
            "Where bindings are kept.",
        )
        .section("1.3.2")
        .check(check_preset),
        Parameter::new(
            "use_domain",
            ParameterKind::Bool,
            "1",
            "Whether the host belongs to the address of record.",
        )
        .section("1.3.5"),
        Parameter::new(
            "desc_time_order",
            ParameterKind::Bool,
            "0",
            "Whether the newest contact comes first instead of the highest q.",
        )
        .section("1.3.13"),
        Parameter::new("timer_interval", ParameterKind::Int, "60", "How often expired contacts are removed.")
            .unit("s")
            .section("1.3.14")
            .no_effect("contacts are removed in the second in which they expire"),
        Parameter::new(
            "matching_mode",
            ParameterKind::Int,
            "0",
            "How contacts are matched: 0 by URI, 1 by URI and Call-ID.",
        )
        .section("1.3.21")
        .check(check_matching),
        Parameter::new(
            "cseq_delay",
            ParameterKind::Int,
            "20",
            "How long an equal CSeq counts as a retransmission.",
        )
        .unit("s")
        .section("1.3.22"),
        Parameter::new(
            "hash_size",
            ParameterKind::Int,
            "9",
            "The size of the hash table, as a power of two.",
        )
        .section("1.3.27")
        .no_effect("the table grows with its content"),
        Parameter::new(
            "regen_broken_contactid",
            ParameterKind::Bool,
            "0",
            "Whether bad contact ids are made anew on loading.",
        )
        .no_effect(NO_DATABASE),
        Parameter::new(
            "contact_refresh_timer",
            ParameterKind::Bool,
            "0",
            "Whether E_UL_CONTACT_REFRESH is raised for contacts that did not refresh themselves up to pn_trigger_interval \
             seconds before their end. It is raised in that second: nothing is scanned.",
        ),
        Parameter::new(
            "mi_dump_kv_store",
            ParameterKind::Bool,
            "0",
            "Whether MI shows the key/value stores.",
        )
        .no_effect("key/value stores are not provided yet"),
        Parameter::new(
            "latency_event_min_us",
            ParameterKind::Int,
            "0",
            "From which latency E_UL_LATENCY_UPDATE is raised. With both parameters 0 each answer raises it; with both set \
             one of them is enough.",
        )
        .unit("us")
        .section("1.3.29")
        .check(check_latency),
        Parameter::new(
            "latency_event_min_us_delta",
            ParameterKind::Int,
            "0",
            "From which difference to the last latency E_UL_LATENCY_UPDATE is raised.",
        )
        .unit("us")
        .section("1.3.30")
        .check(check_latency),
        Parameter::new("pinging_mode", ParameterKind::Str, "", "Who pings a contact.").no_effect(NO_CLUSTER),
        Parameter::new("db_url", ParameterKind::Str, "", "The database.").no_effect(NO_DATABASE),
        Parameter::new("restart_persistency", ParameterKind::Str, "", "How bindings survive a restart.")
            .no_effect(NO_DATABASE),
        Parameter::new("sql_write_mode", ParameterKind::Str, "", "When bindings are written.")
            .no_effect(NO_DATABASE),
        Parameter::new("cluster_mode", ParameterKind::Str, "none", "How nodes share bindings.")
            .no_effect(NO_CLUSTER),
        Parameter::new("location_cluster", ParameterKind::Int, "0", "The cluster of this table.")
            .no_effect(NO_CLUSTER),
        Parameter::new("ha_cluster", ParameterKind::Int, "0", "The cluster of this table.")
            .no_effect(NO_CLUSTER),
        Parameter::new("ha_shtag", ParameterKind::Str, "", "The sharing tag of the active node.")
            .no_effect(NO_CLUSTER),
        Parameter::new(
            "skip_replicated_db_ops",
            ParameterKind::Int,
            "0",
            "Whether replicated changes are not written.",
        )
        .no_effect(NO_CLUSTER),
        Parameter::new("shared_pinging", ParameterKind::Int, "0", "Whether nodes share pinging.")
            .no_effect(NO_CLUSTER),
        Parameter::new("cachedb_url", ParameterKind::Str, "", "The cache database.").no_effect(NO_DATABASE),
        Parameter::new(
            "max_contact_delete",
            ParameterKind::Int,
            "10",
            "How many contacts one query deletes.",
        )
        .no_effect(NO_DATABASE),
        column!("contact_id_column", "contact_id"),
        column!("user_column", "username"),
        column!("domain_column", "domain"),
        column!("contact_column", "contact"),
        column!("expires_column", "expires"),
        column!("q_column", "q"),
        column!("callid_column", "callid"),
        column!("cseq_column", "cseq"),
        column!("methods_column", "methods"),
        column!("flags_column", "flags"),
        column!("cflags_column", "cflags"),
        column!("user_agent_column", "user_agent"),
        column!("received_column", "received"),
        column!("socket_column", "socket"),
        column!("path_column", "path"),
        column!("sip_instance_column", "sip_instance"),
        column!("kv_store_column", "kv_store"),
        column!("attr_column", "attr"),
        column!("last_modified_column", "last_modified"),
    ],
    statistics: &[
        Statistic {
            name: "registered_users",
            doc: "Addresses of record with a binding, in all tables.",
            resettable: false,
        },
        Statistic {
            name: "location-users",
            doc: "Addresses of record with a binding in this table.",
            resettable: false,
        },
        Statistic { name: "location-contacts", doc: "Bindings in this table.", resettable: false },
        Statistic {
            name: "location-expires",
            doc: "Bindings of this table that have expired.",
            resettable: true,
        },
    ],
    events: &[
        Event {
            name: event::AOR_INSERT,
            parameters: AOR_PARAMETERS,
            doc: "An address of record has its first binding.",
        },
        Event {
            name: event::AOR_DELETE,
            parameters: AOR_PARAMETERS,
            doc: "An address of record has lost its last binding.",
        },
        Event { name: event::CONTACT_INSERT, parameters: CONTACT_PARAMETERS, doc: "A binding was made." },
        Event {
            name: event::CONTACT_UPDATE,
            parameters: CONTACT_PARAMETERS,
            doc: "A binding was refreshed or changed.",
        },
        Event {
            name: event::CONTACT_DELETE,
            parameters: CONTACT_PARAMETERS,
            doc: "A binding was removed or has expired.",
        },
        Event {
            name: event::LATENCY_UPDATE,
            parameters: CONTACT_PARAMETERS,
            doc: "A binding with the flag `sipping_latency_flag` of `nathelper` has answered a SIP ping, and the latency \
                  passes `latency_event_min_us` or `latency_event_min_us_delta`.",
        },
        Event {
            name: event::CONTACT_REFRESH,
            parameters: REFRESH_PARAMETERS,
            doc: "A contact with push parameters has to register again. `reason` is `reg-refresh` before it ends (see \
                  `contact_refresh_timer`), `ini-` and the method for a request that waits for it, `mid-` and the method for \
                  one inside a dialog; `req_callid` is the Call-ID of that request.",
        },
    ],
    ..Module::new("usrloc", "https://docs.opensips.org/modules/devel/usrloc/")
};

fn check_preset(value: &Value) -> Result<(), String> {
    let Value::Str(text) = value else { return Err("the preset is a name".to_owned()) };
    match &**text {
        b"single-instance-no-db" => Ok(()),
        b"single-instance-sql-write-through"
        | b"single-instance-sql-write-back"
        | b"sql-only"
        | b"federation-cluster"
        | b"full-sharing-cluster"
        | b"full-sharing-cachedb-cluster" => Err(format!(
            "the preset \"{}\" is not provided yet; \"single-instance-no-db\" is",
            String::from_utf8_lossy(text)
        )),
        _ => Err("there is no such preset; \"single-instance-no-db\" is provided".to_owned()),
    }
}

fn check_latency(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(latency) if u32::try_from(latency).is_ok() => Ok(()),
        _ => Err("it is a number of microseconds".to_owned()),
    }
}

fn check_matching(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(0 | 1) => Ok(()),
        _ => Err("the mode is 0 (contact URI) or 1 (contact URI and Call-ID)".to_owned()),
    }
}
