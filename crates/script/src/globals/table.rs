//! The global settings that scripts use, each with its type, its default and what it does here.

use crate::declare::Effect;

/// What a setting accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalKind {
    /// An integer; `yes`, `no` and so on count as 1 and 0.
    Int,
    /// `yes` or `no`, `on` or `off`, `true` or `false`, 1 or 0.
    Bool,
    /// A word or a string.
    Str,
    /// A socket; may be given several times.
    Socket,
    /// A name of the server; may be given several times.
    Alias,
}

/// A global setting.
#[derive(Clone, Copy, Debug)]
pub struct Global {
    /// The name.
    pub name: &'static str,
    /// What it accepts.
    pub kind: GlobalKind,
    /// The value when it is not set; empty for none.
    pub default: &'static str,
    /// Whether it does anything here.
    pub effect: Effect,
    /// What it does, in a sentence.
    pub doc: &'static str,
}

const fn used(name: &'static str, kind: GlobalKind, default: &'static str, doc: &'static str) -> Global {
    Global { name, kind, default, effect: Effect::Used, doc }
}

const fn idle(
    name: &'static str,
    kind: GlobalKind,
    default: &'static str,
    reason: &'static str,
    doc: &'static str,
) -> Global {
    Global { name, kind, default, effect: Effect::NoEffect(reason), doc }
}

use GlobalKind::{Alias, Bool, Int, Socket, Str};

const THREADS: &str = "work is done by one thread a core";
const MEMORY: &str = "memory is not divided into pools here";
const BLACKLIST: &str = "there are no blacklists of destinations";
const STDERR: &str = "the log goes to the standard error; the service manager keeps it";
const RESOLVER: &str = "names are resolved by the system's own settings";

/// All settings.
pub static GLOBALS: &[Global] = &[
    used(
        "socket",
        Socket,
        "",
        "a socket to listen on: `proto:address[:port] [as advertised] [use_workers n] [tag name]`",
    ),
    used("db_default_url", Str, "", "the database of modules that name none"),
    used("listen", Socket, "", "the older name of `socket`"),
    used("alias", Alias, "", "a name under which the server is itself: `[proto:]host[:port]`"),
    used("log_level", Int, "2", "which of the server's own lines are logged: -3 alert to 4 debug"),
    used("xlog_level", Int, "2", "which lines of `xlog` are logged"),
    used("xlog_print_level", Int, "-1", "the level of `xlog` without one"),
    used("stderror_enabled", Bool, "no", "log to the standard error; here the log always goes there"),
    used("log_stderror", Bool, "no", "the older name of `stderror_enabled`"),
    idle("log_stdout", Bool, "no", STDERR, "log to the standard output"),
    idle("syslog_enabled", Bool, "yes", STDERR, "log to the system's log"),
    idle("syslog_facility", Str, "LOG_DAEMON", STDERR, "the facility of the system's log"),
    idle("log_facility", Str, "LOG_DAEMON", STDERR, "the older name of `syslog_facility`"),
    idle("syslog_name", Str, "", STDERR, "the name in the system's log"),
    idle("log_name", Str, "", STDERR, "the older name of `syslog_name`"),
    used("debug_mode", Bool, "no", "log all of the server's own lines, whatever `log_level` says"),
    used("udp_workers", Int, "8", "workers that read UDP; here the threads that do all the work"),
    used("advertised_address", Str, "", "the address to put into Via and Record-Route"),
    used("advertised_port", Int, "0", "the port to put into Via and Record-Route"),
    used("server_header", Str, "Server: Seawall", "the whole Server header of replies made here"),
    used(
        "server_signature",
        Bool,
        "yes",
        "add the Server header to replies, and User-Agent to requests made here",
    ),
    used(
        "user_agent_header",
        Str,
        "User-Agent: Seawall",
        "the whole User-Agent header of requests made here",
    ),
    used("max_while_loops", Int, "100", "how many rounds a `while` may make"),
    used("tcp_connection_lifetime", Int, "120", "seconds for which an idle TCP connection is kept"),
    used("tcp_max_connections", Int, "2048", "how many TCP connections may be open"),
    used("tcp_connect_timeout", Int, "5000", "milliseconds for a TCP connection to be set up"),
    used("tcp_max_msg_time", Int, "10", "seconds for a message to arrive whole over TCP"),
    idle(
        "tcp_max_msg_chunks",
        Int,
        "4",
        "the time alone limits it",
        "pieces in which a message may arrive over TCP",
    ),
    used("disable_tcp", Bool, "no", "ignore the TCP sockets"),
    idle(
        "auto_aliases",
        Bool,
        "no",
        "name them with `alias`",
        "find the names of the listening addresses by DNS",
    ),
    idle(
        "mhomed",
        Bool,
        "no",
        "the socket is that of the request, or the first of the right transport; `$fs` chooses another",
        "choose the outgoing socket by the route to the destination",
    ),
    used("enable_asserts", Bool, "no", "execute `assert`"),
    idle(
        "abort_on_assert",
        Bool,
        "no",
        "a failed assertion ends the script, never the server",
        "end the server when an assertion fails",
    ),
    idle("mpath", Str, "", "modules are built in", "where modules are"),
    idle("children", Int, "8", THREADS, "worker processes"),
    idle("workers", Int, "8", THREADS, "worker processes"),
    idle("tcp_workers", Int, "8", THREADS, "workers that read TCP"),
    idle("tcp_children", Int, "8", THREADS, "workers that read TCP"),
    idle("timer_workers", Int, "1", THREADS, "workers for timers"),
    idle("auto_scaling_profile", Str, "", THREADS, "how many workers there may be"),
    idle("auto_scaling_cycle", Int, "1", THREADS, "how often workers are added or removed"),
    idle("udp_workers_auto_scaling_profile", Str, "", THREADS, "how many workers there may be"),
    idle("tcp_workers_auto_scaling_profile", Str, "", THREADS, "how many workers there may be"),
    idle("timer_workers_auto_scaling_profile", Str, "", THREADS, "how many workers there may be"),
    idle("fork", Bool, "yes", "the server stays in the foreground", "go to the background"),
    idle("debug", Int, "2", "use `log_level`", "the older name of `log_level`"),
    idle("memlog", Int, "4", MEMORY, "level of memory messages"),
    idle("memdump", Int, "4", MEMORY, "level of memory messages"),
    idle("mem_warming", Bool, "no", MEMORY, "divide the memory at the start"),
    idle("mem_warming_percentage", Int, "75", MEMORY, "how much memory to divide"),
    idle("mem_warming_pattern_file", Str, "", MEMORY, "how to divide the memory"),
    idle("shm_hash_split_percentage", Int, "1", MEMORY, "how to divide the memory"),
    idle("shm_secondary_hash_size", Int, "8", MEMORY, "how to divide the memory"),
    idle("shm_memlog_size", Int, "0", MEMORY, "how many memory operations to remember"),
    idle("restart_persistency_cache_file", Str, "", MEMORY, "where memory is kept over a restart"),
    idle("restart_persistency_size", Int, "0", MEMORY, "how much memory is kept over a restart"),
    idle("check_via", Bool, "no", "replies are matched by their Via anyway", "check the Via of replies"),
    idle("dns", Bool, "no", "names in Via are not looked up", "look up names in Via"),
    idle("rev_dns", Bool, "no", "addresses are not looked up", "look up source addresses"),
    idle("dns_try_ipv6", Bool, "no", RESOLVER, "look for IPv6 addresses"),
    idle("dns_try_naptr", Bool, "yes", RESOLVER, "look for NAPTR records"),
    idle("dns_retr_time", Int, "0", RESOLVER, "seconds before another try"),
    idle("dns_retr_no", Int, "0", RESOLVER, "how often to try"),
    idle("dns_servers_no", Int, "0", RESOLVER, "how many servers to ask"),
    idle("dns_use_search_list", Bool, "yes", RESOLVER, "complete short names"),
    idle("disable_dns_failover", Bool, "no", RESOLVER, "do not try another address"),
    idle("disable_dns_blacklist", Bool, "yes", BLACKLIST, "do not remember dead destinations"),
    idle("dst_blacklist", Str, "", BLACKLIST, "destinations to avoid"),
    idle(
        "disable_503_translation",
        Bool,
        "no",
        "a 503 is passed on as RFC 3261 section 16.7 says",
        "pass 503 on",
    ),
    idle(
        "disable_stateless_fwd",
        Bool,
        "yes",
        "`forward()` alone forwards without a transaction",
        "refuse to forward statelessly",
    ),
    idle("disable_core_dump", Bool, "no", "the system decides about core dumps", "write no core dumps"),
    used(
        "open_files_limit",
        Int,
        "0",
        "how many files may be open; 0: as many as `tcp_max_connections` needs",
    ),
    idle("user", Str, "", "start the server as that user", "user to become"),
    idle("uid", Str, "", "start the server as that user", "user to become"),
    idle("group", Str, "", "start the server as that group", "group to become"),
    idle("gid", Str, "", "start the server as that group", "group to become"),
    idle("wdir", Str, "", "the working directory stays", "directory to work in"),
    idle("chroot", Str, "", "the root directory stays", "directory to be the root"),
    idle("pidfile", Str, "", "the service manager knows the process", "where to write the process number"),
    idle("pid_file", Str, "", "the service manager knows the process", "where to write the process number"),
    idle("port", Int, "5060", "write the port into `socket`", "the port of sockets without one"),
    idle("disable_tls", Bool, "no", "sockets decide about TLS", "ignore the TLS sockets"),
    idle("sip_warning", Bool, "no", "replies carry no Warning header", "add a Warning header to replies"),
    idle(
        "reply_to_via",
        Bool,
        "no",
        "replies go where RFC 3261 section 18.2.2 says",
        "send replies to the Via",
    ),
    idle(
        "maxbuffer",
        Int,
        "262144",
        "the system's socket buffers are asked for in full",
        "bytes of a socket buffer",
    ),
    idle(
        "udp_probe_bufsize",
        Bool,
        "no",
        "the system's socket buffers are asked for in full",
        "try socket buffers",
    ),
    idle("poll_method", Str, "epoll", "epoll is always used", "how sockets are watched"),
    idle(
        "tcp_accept_aliases",
        Bool,
        "no",
        "connections are reused by address",
        "accept `alias` parameters in Via",
    ),
    idle("tcp_no_new_conn_bflag", Str, "", "use the flags of the functions", "flag against new connections"),
    idle(
        "tcp_no_new_conn_rplflag",
        Str,
        "",
        "replies use the connection of the request",
        "flag against new connections",
    ),
    idle(
        "tcp_listen_backlog",
        Int,
        "10",
        "a long queue is always asked for",
        "connections that wait to be accepted",
    ),
    idle("tcp_keepalive", Bool, "yes", "the system's keep-alive is on", "ask for keep-alive packets"),
    idle("tcp_keepcount", Int, "0", "the system decides", "keep-alive packets without an answer"),
    idle("tcp_keepidle", Int, "0", "the system decides", "seconds before keep-alive packets"),
    idle("tcp_keepinterval", Int, "0", "the system decides", "seconds between keep-alive packets"),
    idle(
        "tcp_socket_backlog",
        Int,
        "10",
        "a long queue is always asked for",
        "connections that wait to be accepted",
    ),
    idle("tcp_threshold", Int, "0", "the metrics show it", "microseconds before slow sending is logged"),
    idle("tcp_parallel_read_on_workers", Bool, "no", THREADS, "let several workers read one connection"),
    idle(
        "tcp_parallel_handling",
        Bool,
        "no",
        "messages of a connection are handled in order",
        "handle a connection's messages at once",
    ),
    idle(
        "exec_msg_threshold",
        Int,
        "0",
        "the metrics show it",
        "microseconds before slow messages are logged",
    ),
    idle("exec_dns_threshold", Int, "0", "the metrics show it", "microseconds before slow names are logged"),
    idle("query_buffer_size", Int, "0", "writes are always grouped", "rows of one insert"),
    idle("query_flush_time", Int, "0", "writes are always grouped", "seconds before rows are written"),
    idle("db_version_table", Str, "version", "tables carry their version", "table of versions"),
    idle("db_max_async_connections", Int, "10", "set it at the module", "connections to a database"),
    idle("mcast_loopback", Bool, "no", "there is no multicast", "hear one's own multicast"),
    idle("mcast_ttl", Int, "0", "there is no multicast", "hops of multicast"),
    idle("tos", Str, "", "packets carry the system's type of service", "type of service of packets"),
    idle("log_event_enabled", Bool, "no", "use the log itself", "raise E_CORE_LOG"),
    idle("log_event_level_filter", Int, "0", "use the log itself", "levels of E_CORE_LOG"),
    idle("stderror_level_filter", Int, "0", "use `log_level`", "levels of the standard error"),
    idle("syslog_level_filter", Int, "0", "use `log_level`", "levels of the system's log"),
    idle(
        "stderror_log_format",
        Str,
        "plain_text",
        "the log has its own format",
        "format of the standard error",
    ),
    idle("syslog_log_format", Str, "plain_text", "the log has its own format", "format of the system's log"),
    idle("log_json_buf_size", Int, "6144", "the log has its own format", "bytes of a line"),
    idle("log_msg_buf_size", Int, "4096", "the log has its own format", "bytes of a line"),
    idle("log_prefix", Str, "", "the log has its own format", "text before each line"),
    idle("xlog_buf_size", Int, "4096", "the limit is built in", "bytes of a line of `xlog`"),
    idle("xlog_force_color", Bool, "no", "lines carry no colours", "colours in lines of `xlog`"),
    idle("event_pkg_threshold", Int, "0", MEMORY, "when to raise E_CORE_PKG_THRESHOLD"),
    idle("event_shm_threshold", Int, "0", MEMORY, "when to raise E_CORE_SHM_THRESHOLD"),
];

/// The setting with this name.
pub fn find(name: &str) -> Option<&'static Global> {
    GLOBALS.iter().find(|global| global.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (index, global) in GLOBALS.iter().enumerate() {
            assert!(GLOBALS[..index].iter().all(|other| other.name != global.name), "{}", global.name);
        }
    }
}
