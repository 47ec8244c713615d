//! The log: to standard error, with the level that the script or MI sets.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicI8, Ordering};

use tracing::{Level, Metadata};
use tracing_subscriber::filter::DynFilterFn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The present level, in the numbers of the script: -3 (alerts) to 4 (debug).
static LEVEL: AtomicI8 = AtomicI8::new(2);

/// Sets the level of the log.
pub fn set_level(level: i8) {
    LEVEL.store(level, Ordering::Relaxed);
}

/// Starts the log.
pub fn start() {
    let layer = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(DynFilterFn::new(|metadata, _| is_wanted(metadata)));
    tracing_subscriber::registry().with(layer).init();
}

/// Whether a line is written. Lines of the script have been filtered by `xlog_level` already, and accounting was
/// asked for.
fn is_wanted(metadata: &Metadata<'_>) -> bool {
    matches!(metadata.target(), "script" | "acc")
        || *metadata.level() <= most_verbose(LEVEL.load(Ordering::Relaxed))
}

/// The level of the script in the terms of the log. NOTICE is an ordinary line here.
fn most_verbose(level: i8) -> Level {
    match level {
        ..=-1 => Level::ERROR,
        0..=1 => Level::WARN,
        2..=3 => Level::INFO,
        _ => Level::DEBUG,
    }
}
