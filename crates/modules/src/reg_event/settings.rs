//! The parameters of `reg_event`.

use seawall_notifier::Limits;
use seawall_script::{Parameter, ParameterKind, Program, Value};

use crate::context::Context;

/// The parameters.
pub const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "default_expires",
        ParameterKind::Int,
        "3761",
        "How long a subscription lives whose SUBSCRIBE has no Expires (RFC 3680 section 4.4).",
    )
    .unit("s")
    .check(check_expires),
    Parameter::new(
        "min_expires",
        ParameterKind::Int,
        "60",
        "The shortest life of a subscription; whoever asks for less, but not for 0, is answered 423. At most an hour \
         (RFC 6665 section 4.2.1.1).",
    )
    .unit("s")
    .check(check_min_expires),
    Parameter::new(
        "max_expires",
        ParameterKind::Int,
        "86400",
        "The longest life of a subscription; whoever asks for more gets this.",
    )
    .unit("s")
    .check(check_expires),
    Parameter::new(
        "notify_interval",
        ParameterKind::Int,
        "5",
        "The least time between two NOTIFYs that tell changes (RFC 3680 section 4.9); what changes meanwhile is told \
         by the next one. NOTIFYs that answer a SUBSCRIBE or end a subscription do not wait. 0 lets each change be \
         told at once.",
    )
    .unit("s")
    .check(check_interval),
    Parameter::new(
        "max_subscriptions",
        ParameterKind::Int,
        "100000",
        "How many subscriptions there may be. One takes about a kilobyte.",
    )
    .check(check_count),
    Parameter::new(
        "max_subscriptions_per_aor",
        ParameterKind::Int,
        "20",
        "How many subscriptions one address of record may have.",
    )
    .check(check_count),
    Parameter::new(
        "max_subscriptions_per_source",
        ParameterKind::Int,
        "1000",
        "How many subscriptions may come from one address (of IPv6, from one /64). Behind a proxy that all \
         subscribers use it has to be as high as max_subscriptions.",
    )
    .check(check_count),
];

/// The parameters in the form in which they are used.
#[derive(Debug, Clone, Copy)]
pub struct RegEventSettings {
    /// `default_expires`.
    pub default_expires_s: u32,
    /// `min_expires`.
    pub min_expires_s: u32,
    /// `max_expires`.
    pub max_expires_s: u32,
    /// How many there may be, and `notify_interval`.
    pub limits: Limits,
}

impl RegEventSettings {
    /// Reads the parameters.
    #[must_use]
    pub fn new(program: &Program<Context>) -> Self {
        let number = |name: &str| u32::try_from(program.parameters.int("reg_event", name)).unwrap_or(0);
        let count = |name: &str| usize::try_from(number(name)).unwrap_or(usize::MAX);
        Self {
            default_expires_s: number("default_expires"),
            min_expires_s: number("min_expires"),
            max_expires_s: number("max_expires"),
            limits: Limits {
                subscriptions: count("max_subscriptions"),
                per_aor: count("max_subscriptions_per_aor"),
                per_source: count("max_subscriptions_per_source"),
                pace_ms: u64::from(number("notify_interval")) * 1000,
            },
        }
    }
}

/// The longest time that a parameter takes: ten years, so that milliseconds never overflow.
const LONGEST_S: i64 = 10 * 365 * 86_400;

fn within(value: &Value, least: i64, most: i64) -> Result<(), String> {
    match value.as_int() {
        Some(number) if (least..=most).contains(&number) => Ok(()),
        _ => Err(format!("it is from {least} to {most}")),
    }
}

fn check_expires(value: &Value) -> Result<(), String> {
    within(value, 1, LONGEST_S)
}

fn check_min_expires(value: &Value) -> Result<(), String> {
    within(value, 0, 3600)
}

fn check_interval(value: &Value) -> Result<(), String> {
    within(value, 0, 3600)
}

fn check_count(value: &Value) -> Result<(), String> {
    within(value, 1, 10_000_000)
}
