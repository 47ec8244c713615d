//! Times as text.

use chrono::DateTime;
use chrono::format::{Item, StrftimeItems};

/// The length of a Date header line with its line end; all have the same.
pub const DATE_LINE_LEN: usize = 37;

/// A time in seconds since the Unix epoch in a format of strftime, in UTC. A format that is none gives an empty text.
#[must_use]
pub fn format(pattern: &str, unix_s: u64) -> String {
    let Some(time) = i64::try_from(unix_s).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0))
    else {
        return String::new();
    };
    let items: Vec<Item<'_>> = StrftimeItems::new(pattern).collect();
    if items.iter().any(|item| matches!(item, Item::Error)) {
        return String::new();
    }
    time.format_with_items(items.iter()).to_string()
}

/// The value of a Date header (RFC 3261 section 20.17): `Sat, 21 Nov 2026 21:26:11 GMT`.
#[must_use]
pub fn sip_date(unix_s: u64) -> String {
    format("%a, %d %b %Y %H:%M:%S GMT", unix_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_header_is_in_gmt() {
        assert_eq!(sip_date(1_795_296_371), "Sat, 21 Nov 2026 21:26:11 GMT");
    }

    #[test]
    fn a_bad_format_gives_nothing_and_does_not_panic() {
        assert_eq!(format("%Q%", 0), "");
        assert_eq!(format("%Y", u64::MAX), "");
    }
}
