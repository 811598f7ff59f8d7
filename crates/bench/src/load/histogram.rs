//! How long things took.

use std::time::Duration;

/// Parts of each power of two: what is read from it is at most 1.6% too high.
const PARTS: usize = 64;

/// Powers of two below which each microsecond has a bucket of its own.
const EXACT: u32 = PARTS.trailing_zeros();

/// Counts of durations by their length, in microseconds. Those of several processes add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    longest: Duration,
}

impl Histogram {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.add(bucket(micros), 1, duration);
    }

    /// Adds a bucket of another histogram, and the longest of its durations.
    pub fn add(&mut self, bucket: usize, count: u64, longest: Duration) {
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket.saturating_add(1), 0);
        }
        if let Some(here) = self.buckets.get_mut(bucket) {
            *here = here.saturating_add(count);
            self.count = self.count.saturating_add(count);
        }
        self.longest = self.longest.max(longest);
    }

    /// Buckets with something in them, to be added elsewhere.
    pub fn buckets(&self) -> impl Iterator<Item = (usize, u64)> {
        self.buckets.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The longest.
    pub const fn longest(&self) -> Duration {
        self.longest
    }

    /// What so many of a thousand are not longer than; nothing when there are none.
    pub fn per_mille(&self, part: u64) -> Duration {
        let wanted = self.count.saturating_mul(part).div_ceil(1000).max(1);
        let mut seen = 0_u64;
        for (bucket, count) in self.buckets() {
            seen = seen.saturating_add(count);
            if seen >= wanted {
                return Duration::from_micros(highest(bucket)).min(self.longest);
            }
        }
        self.longest
    }
}

/// The bucket of so many microseconds.
fn bucket(micros: u64) -> usize {
    // The highest bit, from EXACT on.
    let power = micros.checked_ilog2().unwrap_or(0).max(EXACT);
    let shift = power.saturating_sub(EXACT);
    let part = usize::try_from(micros >> shift).unwrap_or(usize::MAX);
    usize::try_from(shift).unwrap_or(usize::MAX).saturating_mul(PARTS).saturating_add(part)
}

/// The most microseconds of a bucket.
fn highest(bucket: usize) -> u64 {
    let shift = u32::try_from((bucket / PARTS).saturating_sub(1)).unwrap_or(0);
    let part = bucket.saturating_sub(PARTS.saturating_mul(usize::try_from(shift).unwrap_or(0)));
    let next = u64::try_from(part).unwrap_or(u64::MAX).saturating_add(1);
    next.saturating_mul(1_u64.checked_shl(shift).unwrap_or(0)).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_lies_in_a_bucket_that_is_hardly_longer() {
        let mut lengths: Vec<u64> = (0..10_000).collect();
        lengths.extend((0..50).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 1]));
        lengths.sort_unstable();
        for pair in lengths.windows(2) {
            assert!(bucket(pair[0]) <= bucket(pair[1]), "{pair:?}");
        }
        for micros in lengths {
            let high = highest(bucket(micros));
            assert!(micros <= high, "{micros}: {high}");
            assert!(high - micros <= micros / 64, "{micros}: {high}");
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut histogram = Histogram::new();
        for millis in (1..=1000).rev() {
            histogram.record(Duration::from_millis(millis));
        }
        for (part, millis) in [(1, 1), (500, 500), (990, 990), (1000, 1000)] {
            let at = histogram.per_mille(part).as_secs_f64() * 1e3;
            let wanted = f64::from(millis);
            assert!((wanted..wanted * 1.016 + 0.001).contains(&at), "{part}: {at}");
        }
        assert_eq!(histogram.longest(), Duration::from_secs(1));
        assert_eq!(histogram.per_mille(1000), Duration::from_secs(1));
        assert_eq!(Histogram::new().per_mille(990), Duration::ZERO);
    }

    #[test]
    fn histograms_of_processes_add_up() {
        let (mut all, mut parts) = (Histogram::new(), [Histogram::new(), Histogram::new()]);
        for micros in 0..5000 {
            let duration = Duration::from_micros(micros * micros);
            all.record(duration);
            parts[usize::from(micros % 3 == 0)].record(duration);
        }
        let mut sum = Histogram::new();
        for part in parts {
            for (bucket, count) in part.buckets() {
                sum.add(bucket, count, part.longest());
            }
        }
        assert_eq!(sum, all);
        assert_eq!(sum.count(), 5000);
    }
}
