//! When requests are due.

use std::time::Duration;

/// Times at which requests are due, at random around a rate (a Poisson process): so many clients
/// that each asks by itself, and none waits for the answer that another gets. A server that falls
/// behind is not asked less, and its answers count from when they were due.
#[derive(Clone, Debug)]
pub struct Arrivals {
    random: Random,
    /// Seconds between two, in the mean.
    gap: f64,
    due: Duration,
    end: Duration,
}

impl Arrivals {
    /// So many a second, until `end`.
    pub fn new(random: Random, rate: f64, end: Duration) -> Self {
        Self { random, gap: 1.0 / rate.max(1e-3), due: Duration::ZERO, end }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    /// When the next one is due, from the start.
    fn next(&mut self) -> Option<Duration> {
        // Above 0, so that the logarithm is finite.
        let drawn = 1.0 - self.random.fraction();
        self.due = self.due.saturating_add(Duration::from_secs_f64(-drawn.ln() * self.gap));
        (self.due < self.end).then_some(self.due)
    }
}

/// Numbers that are random enough for a load, and the same in each run (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, 0 when that is 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        match self.number().checked_rem(end) {
            Some(number) => number,
            None => 0,
        }
    }

    /// A number from 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_at_their_rate_and_in_order() {
        let arrivals = Arrivals::new(Random::new(7), 1000.0, Duration::from_secs(10));
        let due: Vec<Duration> = arrivals.collect();
        assert!((9_500..10_500).contains(&due.len()), "{}", due.len());
        assert!(due.is_sorted());
        assert!(due.last().is_some_and(|last| *last < Duration::from_secs(10)));
    }

    #[test]
    fn arrivals_are_bursts_and_gaps() {
        let due: Vec<_> = Arrivals::new(Random::new(1), 1000.0, Duration::from_secs(1)).collect();
        let gaps: Vec<Duration> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().any(|gap| *gap > Duration::from_millis(4)));
        let short = gaps.iter().filter(|gap| **gap < Duration::from_micros(500)).count();
        assert!(short > gaps.len() / 4, "{short} of {}", gaps.len());
    }

    #[test]
    fn numbers_below_an_end_reach_all_of_them() {
        let mut random = Random::new(3);
        let mut seen = [false; 10];
        for _ in 0..200 {
            seen[usize::try_from(random.below(10)).expect("small")] = true;
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(random.below(0), 0);
    }
}
