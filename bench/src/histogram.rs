//! A log-linear histogram of durations: constant memory, constant time, and an error of at most 1/64.

/// Buckets within one power of two; its inverse is the relative error.
const STEPS: u64 = 64;
/// log2 of [`STEPS`].
const STEP_BITS: u32 = 6;
/// Powers of two above the exact range: durations up to 2^46 ns (19 hours), more than any run lasts.
const OCTAVES: usize = 40;

/// Counts of durations in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum_ns: u128,
    max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; (OCTAVES + 1) * STEPS as usize], total: 0, sum_ns: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// Counts one duration. Durations beyond the range fall into the last bucket.
    pub fn record(&mut self, duration_ns: u64) {
        let last = self.counts.len() - 1;
        if let Some(count) = self.counts.get_mut(bucket_of(duration_ns).min(last)) {
            *count += 1;
        }
        self.total += 1;
        self.sum_ns += u128::from(duration_ns);
        self.max_ns = self.max_ns.max(duration_ns);
    }

    /// Counts what another one has counted too.
    pub fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.sum_ns += other.sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The longest duration counted, exactly, nanoseconds.
    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// The mean, exactly, nanoseconds; 0 when nothing was counted.
    pub fn mean_ns(&self) -> u64 {
        if self.total == 0 { 0 } else { (self.sum_ns / u128::from(self.total)) as u64 }
    }

    /// The smallest duration that at least `percent` per cent of the counted ones do not exceed, nanoseconds; 0 when
    /// nothing was counted. The answer is the upper edge of a bucket, at most 1/64 too long, never above the maximum.
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        if self.total == 0 {
            return 0;
        }
        // 99.9 % of 1000 comes out a trifle above 999: without the correction the rank would be 1000.
        let rank = ((percent / 100.0 * self.total as f64 - 1e-6).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_edge_of(bucket).min(self.max_ns);
            }
        }
        self.max_ns
    }
}

/// The bucket of a duration: exact below [`STEPS`], then [`STEPS`] buckets in each power of two.
fn bucket_of(duration_ns: u64) -> usize {
    if duration_ns < STEPS {
        return duration_ns as usize;
    }
    let octave = duration_ns.ilog2() - STEP_BITS;
    let step = (duration_ns >> octave) - STEPS;
    ((u64::from(octave) + 1) * STEPS + step) as usize
}

/// The largest duration that falls into a bucket.
fn upper_edge_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let octave = bucket / STEPS - 1;
    let step = bucket % STEPS;
    ((STEPS + step + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts `durations` and checks percentiles to within the promised error.
    fn check(durations: impl Iterator<Item = u64>, expected: &[(f64, u64)]) {
        let mut histogram = Histogram::default();
        durations.for_each(|duration| histogram.record(duration));
        for (percent, exact) in expected {
            let measured = histogram.percentile_ns(*percent);
            assert!(measured >= *exact, "p{percent}: {measured} is below {exact}");
            assert!(measured - exact <= exact / STEPS + 1, "p{percent}: {measured} is too far above {exact}");
        }
    }

    #[test]
    fn small_durations_are_exact() {
        check(0..50, &[(50.0, 24), (100.0, 49), (0.0, 0)]);
    }

    #[test]
    fn percentiles_of_a_uniform_spread_are_right() {
        check(
            (1..=1_000_000).rev(),
            &[(50.0, 500_000), (90.0, 900_000), (99.0, 990_000), (100.0, 1_000_000)],
        );
    }

    #[test]
    fn one_slow_answer_shows_in_the_tail_only() {
        let durations = std::iter::repeat_n(1_000, 999).chain([5_000_000_000]);
        check(durations, &[(50.0, 1_000), (99.9, 1_000), (100.0, 5_000_000_000)]);
    }

    #[test]
    fn two_histograms_together_are_one_of_all_durations() {
        let (mut together, mut odd, mut all) =
            (Histogram::default(), Histogram::default(), Histogram::default());
        for duration in (0..1000).map(|number| number * number) {
            all.record(duration);
            if duration % 2 == 0 { together.record(duration) } else { odd.record(duration) }
        }
        together.merge(&odd);
        let figures = |histogram: &Histogram| {
            let percentiles = [1.0, 50.0, 99.0, 99.9].map(|percent| histogram.percentile_ns(percent));
            (percentiles, histogram.count(), histogram.mean_ns(), histogram.max_ns())
        };
        assert_eq!(figures(&together), figures(&all));
    }

    #[test]
    fn nothing_counted_gives_zero() {
        let histogram = Histogram::default();
        assert_eq!((histogram.percentile_ns(99.0), histogram.mean_ns(), histogram.count()), (0, 0, 0));
    }

    #[test]
    fn a_duration_beyond_the_range_is_counted_and_its_maximum_kept() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        assert_eq!((histogram.count(), histogram.max_ns()), (1, u64::MAX));
    }

    #[test]
    fn every_bucket_ends_where_the_next_begins() {
        for bucket in 0..OCTAVES * STEPS as usize {
            let edge = upper_edge_of(bucket);
            assert_eq!((bucket_of(edge), bucket_of(edge + 1)), (bucket, bucket + 1));
        }
    }
}
