//! When to try again.

use core::time::Duration;

use rand_core::TryCryptoRng;

/// The longest that the relay's own word keeps a client away: 10 minutes. A relay may say
/// anything, and a time without end is no answer.
const MAX_TOLD: Duration = Duration::from_secs(10 * 60);

/// Exponential back-off with full jitter: before the next attempt passes a random part of a
/// time that doubles with every attempt, so that those who failed together do not come back
/// together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// How long to wait now. The relay's own word, where there is one, comes before, within
    /// [`MAX_TOLD`].
    pub(super) fn delay<R: TryCryptoRng + ?Sized>(
        &mut self,
        retry_after: Option<Duration>,
        rng: &mut R,
    ) -> Duration {
        let most = self.next.min(self.longest);
        self.next = most.saturating_mul(2);
        // Without randomness the whole time passes.
        let part = rng.try_next_u32().map_or(1.0, |drawn| f64::from(drawn) / f64::from(u32::MAX));
        most.mul_f64(part).saturating_add(retry_after.unwrap_or_default().min(MAX_TOLD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwire_testkit::rng::SeededRng;

    #[test]
    fn delays_grow_to_a_bound_and_are_spread() {
        let mut rng = SeededRng::new(1);
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut sums = [Duration::ZERO; 12];
        for _ in 0..200 {
            let mut backoff = Backoff::new(first, longest);
            let mut most = first;
            for sum in &mut sums {
                let delay = backoff.delay(None, &mut rng);
                assert!(delay <= most, "{delay:?} of {most:?}");
                *sum += delay;
                most = (most * 2).min(longest);
            }
        }
        // On average half of the bound.
        let mean = |sum: Duration| sum.as_secs_f64() / 200.0;
        assert!((0.04..0.06).contains(&mean(sums[0])), "{:?}", sums[0]);
        assert!((2.0..3.0).contains(&mean(sums[11])), "{:?}", sums[11]);
    }

    #[test]
    fn the_relays_own_word_comes_before() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let told = Duration::from_secs(30);
        let delay = backoff.delay(Some(told), &mut SeededRng::new(1));
        assert!((told..told + Duration::from_millis(100)).contains(&delay));
    }

    // attack T25: no time that a relay names is too long to be added to the time now.
    #[test]
    fn a_relay_keeps_nobody_away_for_ever() {
        for told in [MAX_TOLD + Duration::from_secs(1), Duration::from_secs(u64::MAX)] {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
            let delay = backoff.delay(Some(told), &mut SeededRng::new(1));
            assert!((MAX_TOLD..MAX_TOLD + Duration::from_millis(100)).contains(&delay), "{told:?}");
        }
    }
}
