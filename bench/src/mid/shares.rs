//! What share of the REGISTERs was absorbed, what share could have been, and how evenly the rest was spread.

use super::Mode;
use super::crowd::Counts;
use super::front::Statistics;

/// What was counted between two moments.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// By the front.
    pub front: Statistics,
    /// By the phones.
    pub phones: Counts,
    /// Seconds that phones were registered, all together.
    pub phone_s: f64,
    /// Seconds that users were registered, all together.
    pub user_s: f64,
}

/// The shares, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// What was absorbed.
    pub absorbed: f64,
    /// What could have been: every registration is forwarded once in `outgoing_expires`, and so are those that begin
    /// and those that end with a goodbye.
    pub limit: f64,
    /// What would have been absorbed by the same forwards, if phones had refreshed once in `expires` only.
    pub at_expires: f64,
    /// The limit for that: `1 - expires / outgoing_expires`, divided by the phones of a user in AoR mode.
    pub limit_at_expires: f64,
}

/// Works the shares out.
pub fn shares(
    mode: Mode,
    (phones_each, expires_s, outgoing_s): (u32, u32, u32),
    measured: &Measured,
) -> Shares {
    let Measured { front, phones, phone_s, user_s } = measured;
    let received = (front.absorbed + front.forwarded).max(1) as f64;
    let outgoing = f64::from(outgoing_s.max(1));
    let (least, changes, registrations_s, each) = match mode {
        Mode::Contact => {
            let changes = phones.arrivals + phones.goodbyes;
            (phone_s / outgoing + changes as f64, changes, *phone_s, 1.0)
        }
        Mode::Aor => {
            let changes = phones.user_arrivals + phones.last_goodbyes;
            (user_s / outgoing + changes as f64, changes, *user_s, f64::from(phones_each.max(1)))
        }
    };
    // Without those who come and go: how often a registration that lasts is forwarded.
    let renewals_each_s = (front.forwarded as f64 - changes as f64).max(0.0) / registrations_s.max(1.0);
    Shares {
        absorbed: 100.0 * front.absorbed as f64 / received,
        limit: 100.0 * (1.0 - least / received),
        at_expires: 100.0 * (1.0 - renewals_each_s * f64::from(expires_s) / each),
        limit_at_expires: 100.0 * (1.0 - f64::from(expires_s) / (outgoing * each)),
    }
}

/// How evenly something came: counts in windows of the same length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evenness {
    /// Windows.
    pub windows: usize,
    /// Their mean.
    pub mean: f64,
    /// The fullest.
    pub most: u64,
    /// The emptiest.
    pub least: u64,
}

impl Evenness {
    /// The fullest window against the mean.
    pub fn ratio(&self) -> f64 {
        if self.mean > 0.0 { self.most as f64 / self.mean } else { 0.0 }
    }
}

/// Counts what a rising counter did in windows of `window_ms` between two moments. `readings` are moments and values.
pub fn evenness(readings: &[(u64, u64)], window_ms: u64, from_ms: u64, until_ms: u64) -> Evenness {
    let value_at = |moment_ms: u64| -> Option<f64> {
        let after = readings.iter().position(|(at_ms, _)| *at_ms >= moment_ms)?;
        let (at_ms, value) = *readings.get(after)?;
        let Some((before_ms, before)) = after.checked_sub(1).and_then(|index| readings.get(index)).copied()
        else {
            return Some(value as f64);
        };
        let part = moment_ms.saturating_sub(before_ms) as f64 / at_ms.saturating_sub(before_ms).max(1) as f64;
        Some(before as f64 + part * value.saturating_sub(before) as f64)
    };
    let mut counts = Vec::new();
    let mut start_ms = from_ms;
    while start_ms + window_ms <= until_ms {
        if let (Some(begin), Some(end)) = (value_at(start_ms), value_at(start_ms + window_ms)) {
            counts.push((end - begin).max(0.0).round() as u64);
        }
        start_ms += window_ms;
    }
    Evenness {
        windows: counts.len(),
        mean: counts.iter().sum::<u64>() as f64 / counts.len().max(1) as f64,
        most: counts.iter().copied().max().unwrap_or(0),
        least: counts.iter().copied().min().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_set_against_what_is_possible() {
        // 100 phones for 1000 s, a refresh each second, forwarded each 100 s; nobody comes or goes.
        let front = Statistics { absorbed: 99_000, forwarded: 1_000, ..Statistics::default() };
        let measured = Measured { front, phone_s: 100_000.0, user_s: 50_000.0, ..Measured::default() };
        let check = |mode, expected: [f64; 4]| {
            let shares = shares(mode, (2, 2, 120), &measured);
            let all = [shares.absorbed, shares.limit, shares.at_expires, shares.limit_at_expires];
            for (got, wanted) in all.iter().zip(expected) {
                assert!((got - wanted).abs() < 0.01, "{all:?}");
            }
        };
        check(Mode::Contact, [99.0, 99.17, 98.0, 98.33]);
        check(Mode::Aor, [99.0, 99.58, 98.0, 99.17]);
    }

    #[test]
    fn a_burst_shows_in_the_windows() {
        let readings = [(0, 0), (1000, 100), (2000, 200), (3000, 600), (4000, 700)];
        let even = evenness(&readings, 1000, 0, 4000);
        assert_eq!((even.windows, even.mean, even.most, even.least), (4, 175.0, 400, 100));
        assert!((even.ratio() - 400.0 / 175.0).abs() < 1e-9);
        assert_eq!(evenness(&readings, 500, 500, 1500).most, 50);
    }
}
