//! Module `usrloc`: the location table's parameters, events and statistics.

mod keys;
pub mod settings;

use seawall_script::{
    Argument, ArgumentKind, Event, FlagSpace, Function, Module, Parameter, ParameterKind, Routes, Statistic,
    Value,
};

use crate::context::Context;
use crate::registrar::prepare_domain;

/// Said of every parameter that only matters in a cluster.
const NO_CLUSTER: &str = "clustering is not provided yet";

/// Said of the parameters that rename columns.
macro_rules! column {
    ($name:literal, $default:literal) => {
        Parameter::new($name, ParameterKind::Str, $default, "The name of a column of the location table.")
            .section($name)
            .check(settings::is_column)
    };
}

const DOMAIN: Argument = Argument::new("domain", ArgumentKind::StaticStr, "The name of the location table.");
const AOR: Argument = Argument::new("aor", ArgumentKind::Str, "The address of record: `user@host` or a URI.");
const KEY: Argument = Argument::new("key", ArgumentKind::Str, "The name of the value.");

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
    /// A push has failed; among the parts of the server only.
    pub const PUSH_FAILED: &str = "push failed";

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
        Parameter::new("timer_interval", ParameterKind::Int, "60", "How often write-back writes. Expired contacts are removed in the second in which they expire, whatever it says.")
            .unit("s")
            .section("1.3.14")
            .check(check_interval),
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
        .no_effect("contact ids that are not of this server are always made anew"),
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
            "Whether MI shows the key/value stores of contacts and addresses of record, as `KV-Store`.",
        )
        .section("mi_dump_kv_store"),
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
        Parameter::new(
            "db_url",
            ParameterKind::Str,
            "",
            "The database of bindings: sqlite:///path/of/the/file.db. Without it, db_default_url.",
        )
        .section("1.3.15")
        .check(settings::is_url),
        Parameter::new(
            "restart_persistency",
            ParameterKind::Str,
            "none",
            "How bindings survive a restart, unless working_mode_preset says so: none, load-from-sql.",
        )
        .section("1.3.18")
        .check(check_persistency),
        Parameter::new(
            "sql_write_mode",
            ParameterKind::Str,
            "none",
            "When bindings are written with load-from-sql: none, write-through, write-back (unless set).",
        )
        .section("1.3.19")
        .check(check_write_mode),
        Parameter::new("cluster_mode", ParameterKind::Str, "none", "How nodes share bindings: none, sql-only.")
            .section("1.3.17")
            .check(check_cluster),
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
        Parameter::new("cachedb_url", ParameterKind::Str, "", "The cache database.").no_effect(NO_CLUSTER),
        Parameter::new(
            "max_contact_delete",
            ParameterKind::Int,
            "10",
            "How many contacts one query deletes.",
        )
        .no_effect("rows are deleted with the other changes of a group, in one transaction"),
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
    functions: &[
        Function::<Context>::new(
            "ul_add_key",
            &[
                DOMAIN,
                AOR,
                KEY,
                Argument::new("value", ArgumentKind::Str, "The value; without one the key is taken away.").optional(),
            ],
            Routes::ALL,
            "Keeps a value with an address of record for as long as it has a binding. With bindings in a database the script \
             goes on when it is there too; a reply or branch route does not wait.",
            keys::add,
        )
        .section("ul_add_key")
        .returns(&[
            (1, "It is kept."),
            (-1, "The address of record has no binding, its values take too much room, or the database fails."),
        ])
        .prepare(prepare_domain),
        Function::<Context>::new(
            "ul_get_key",
            &[DOMAIN, AOR, KEY, Argument::new("destination", ArgumentKind::Variable, "Where the value goes.")],
            Routes::ALL,
            "Reads a value that is kept with an address of record.",
            keys::get,
        )
        .section("ul_get_key")
        .returns(&[(1, "It is in the variable."), (-1, "There is no binding, or no such key.")])
        .prepare(prepare_domain),
        Function::<Context>::new(
            "ul_del_key",
            &[DOMAIN, AOR, KEY],
            Routes::ALL,
            "Takes a value away that is kept with an address of record.",
            keys::delete,
        )
        .section("ul_del_key")
        .returns(&[(1, "It is gone, or was not there."), (-1, "The address of record has no binding, or the database fails.")])
        .prepare(prepare_domain),
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
        Statistic { name: "store_commits", doc: "Groups of changes that were committed to the database.", resettable: false },
        Statistic { name: "store_rows", doc: "Changes of rows in them.", resettable: false },
        Statistic {
            name: "store_failures",
            doc: "Changes that the database did not take; they were taken back.",
            resettable: false,
        },
        Statistic {
            name: "store_replays",
            doc: "Groups that were written again because it was not known what became of them.",
            resettable: false,
        },
        Statistic {
            name: "store_refused",
            doc: "REGISTERs refused with 503 because too much waited for the database.",
            resettable: false,
        },
        Statistic { name: "store_unwritten", doc: "Changes that are not in the database yet.", resettable: false },
        Statistic {
            name: "store_lost",
            doc: "1 when another server has taken the tables and this one writes nothing any more.",
            resettable: false,
        },
        Statistic { name: "store_loading", doc: "Tables that are being loaded.", resettable: false },
        Statistic { name: "loaded_rows", doc: "Rows of the database that were loaded.", resettable: false },
        Statistic {
            name: "broken_rows",
            doc: "Rows of the database that are no bindings and were left out.",
            resettable: false,
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
        Event { name: event::CONTACT_INSERT, parameters: CONTACT_PARAMETERS, doc: "A binding was made. `expires` is the Unix second in which it ends, 0 for never; `qval` goes from 0 to 10, -1 for none; what it does not have is empty." },
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
                  one inside a dialog; `req_callid` is the Call-ID of that request. `expires` is the Unix second in which the \
                  contact ends.",
        },
    ],
    ..Module::new("usrloc", "https://docs.opensips.org/modules/devel/usrloc/")
};

fn check_preset(value: &Value) -> Result<(), String> {
    let Value::Str(text) = value else { return Err("the preset is a name".to_owned()) };
    match &**text {
        b"single-instance-no-db"
        | b"single-instance-sql-write-through"
        | b"single-instance-sql-write-back"
        | b"sql-only" => Ok(()),
        b"federation-cluster"
        | b"full-sharing-cluster"
        | b"full-sharing-cachedb-cluster" => Err(format!(
            "the preset \"{}\" is not provided yet; the single-instance ones and sql-only are",
            String::from_utf8_lossy(text)
        )),
        _ => Err("there is no such preset; single-instance-no-db, -sql-write-through, -sql-write-back and sql-only are provided"
            .to_owned()),
    }
}

fn check_cluster(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if !matches!(&**text, b"none" | b"sql-only") => Err(NO_CLUSTER.to_owned()),
        _ => Ok(()),
    }
}

fn check_persistency(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) => match &**text {
            b"none" | b"load-from-sql" => Ok(()),
            b"sync-from-cluster" => Err(format!("\"sync-from-cluster\": {NO_CLUSTER}")),
            _ => Err("it is none or load-from-sql".to_owned()),
        },
        _ => Ok(()),
    }
}

fn check_write_mode(value: &Value) -> Result<(), String> {
    match value {
        Value::Str(text) if !matches!(&**text, b"none" | b"write-through" | b"write-back") => {
            Err("it is none, write-through or write-back".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_interval(value: &Value) -> Result<(), String> {
    match value.as_int() {
        Some(1..=86_400) => Ok(()),
        _ => Err("it is from 1 second to a day".to_owned()),
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
