//! The metrics page: every statistic in the text form of Prometheus.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

use crate::server::{Server, Statistic, StatisticKind};

/// The content type of the page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Renders the page. Statistic `usrloc:location-contacts` becomes `seawall_usrloc_location_contacts`; names of
/// counters end in `_total`.
pub(crate) fn page(server: &Arc<dyn Server>) -> String {
    let mut text = String::with_capacity(16 * 1024);
    let mut seen = HashSet::new();
    server.statistics(&mut |statistic| {
        let name = name_of(statistic);
        // Two names that differ only in characters which Prometheus lacks would make the page invalid.
        if seen.insert(name.clone()) {
            let kind = match statistic.kind {
                StatisticKind::Counter => "counter",
                StatisticKind::Gauge => "gauge",
            };
            metric(&mut text, &name, kind, statistic.doc, statistic.value);
        }
    });
    let start = server.started_s();
    metric(&mut text, "process_start_time_seconds", "gauge", "Start of the server in unix time.", start);
    let mut version = String::new();
    escape(&mut version, &server.version(), true);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "# HELP seawall_build_info The server's version.\n# TYPE seawall_build_info gauge\n\
         seawall_build_info{{version=\"{version}\"}} 1\n"
    );
    server.metrics(&mut text);
    text
}

fn metric(text: &mut String, name: &str, kind: &str, doc: &str, value: u64) {
    let _ = write!(text, "# HELP {name} ");
    escape(text, doc, false);
    let _ = write!(text, "\n# TYPE {name} {kind}\n{name} {value}\n");
}

fn name_of(statistic: &Statistic<'_>) -> String {
    let mut name = String::from("seawall_");
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    name.extend(statistic.group.chars().map(plain));
    name.push('_');
    name.extend(statistic.name.chars().map(plain));
    if statistic.kind == StatisticKind::Counter {
        name.push_str("_total");
    }
    name
}

fn escape(text: &mut String, raw: &str, quotes: bool) {
    for letter in raw.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            other => text.push(other),
        }
    }
}
