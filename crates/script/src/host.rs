//! What the virtual machine asks of the server around it.

use crate::program::RouteId;
use crate::value::Value;

/// The context in which a script runs: a message, a branch, a reply, an event. Modules declare their functions and
/// variables over the type that implements this.
pub trait Host: Sized + 'static {
    /// Whether a line of this level (see [`level`]) would be written; the VM does not expand the format otherwise.
    fn log_enabled(&self, level: i8) -> bool;

    /// Writes a line of the script's log. The text may hold any bytes and usually ends with a line feed.
    fn log(&mut self, level: i8, text: &[u8]);

    /// A function run by `launch(…)` was done at once with `code`; if the script named a route to run afterwards, it is to be
    /// started as a script of its own, `parameter` being its `$param(1)`.
    fn launched(&mut self, route: Option<RouteId>, parameter: Option<&Value>, code: i64) {
        let _ = (route, parameter, code);
    }
}

/// The levels of `xlog` and `log`.
pub mod level {
    /// `L_ALERT`
    pub const ALERT: i8 = -3;
    /// `L_CRIT`
    pub const CRIT: i8 = -2;
    /// `L_ERR`
    pub const ERR: i8 = -1;
    /// `L_WARN`
    pub const WARN: i8 = 1;
    /// `L_NOTICE`
    pub const NOTICE: i8 = 2;
    /// `L_INFO`
    pub const INFO: i8 = 3;
    /// `L_DBG`
    pub const DBG: i8 = 4;

    /// The level with this name, in any case, with or without `L_`.
    pub fn from_name(name: &[u8]) -> Option<i8> {
        let short = name.strip_prefix(b"L_").or_else(|| name.strip_prefix(b"l_")).unwrap_or(name);
        [
            ("ALERT", ALERT),
            ("CRIT", CRIT),
            ("ERR", ERR),
            ("WARN", WARN),
            ("NOTICE", NOTICE),
            ("INFO", INFO),
            ("DBG", DBG),
        ]
        .into_iter()
        .find(|(known, _)| short.eq_ignore_ascii_case(known.as_bytes()))
        .map(|(_, level)| level)
    }
}
