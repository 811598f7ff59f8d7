//! When to call again.
//!
//! Every call here may be repeated: none of them changes a key, and what a lost answer held is
//! simply asked for anew.

use core::time::Duration;

use rand_core::TryCryptoRng;
use sealwire_envelope::kms::KmsError;
use tokio::time::Instant;

use super::driver;

/// Before the second call. It doubles with each further one.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause that we choose ourselves.
const LONGEST: Duration = Duration::from_secs(5);
/// Calls in all, however short the pauses are.
const MAX_CALLS: u32 = 10;

/// One question, asked until it is answered or its time is over.
#[derive(Debug)]
pub(super) struct Attempts {
    end: Instant,
    made: u32,
}

impl Attempts {
    pub(super) fn within(deadline: Duration) -> Self {
        Self { end: driver::now() + deadline, made: 0 }
    }

    /// What is left of the time.
    pub(super) fn left(&self) -> Duration {
        self.end.saturating_duration_since(driver::now())
    }

    /// Waits before the next call, or gives `error` back where there is none: it would say the
    /// same again, or come too late.
    pub(super) async fn pause(&mut self, error: KmsError) -> Result<(), KmsError> {
        self.made = self.made.saturating_add(1);
        let pause = pause(self.made, &error, &mut driver::rng());
        if !error.is_temporary() || self.made >= MAX_CALLS || pause >= self.left() {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Half of a time that doubles, and a random part of the other half, so that those who were
/// turned away together do not come back together; after what the service itself asked for.
fn pause<R: TryCryptoRng + ?Sized>(made: u32, error: &KmsError, rng: &mut R) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(made.saturating_sub(1)).unwrap_or(0));
    let half = doubled.min(LONGEST) / 2;
    // Without randomness the whole time passes.
    let part = rng.try_next_u32().map_or(1.0, |drawn| f64::from(drawn) / f64::from(u32::MAX));
    let told = match error {
        KmsError::Throttled(Some(told)) => *told,
        _ => Duration::ZERO,
    };
    told.saturating_add(half).saturating_add(half.mul_f64(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwire_testkit::rng::{BrokenRng, Fault, SeededRng};

    #[test]
    fn pauses_double_to_a_bound_and_are_spread() {
        let error = KmsError::Unavailable(String::new());
        let mut rng = SeededRng::new(1);
        for made in 1..MAX_CALLS {
            let whole = (FIRST * (1 << (made - 1))).min(LONGEST);
            let pauses: Vec<_> = (0..50).map(|_| pause(made, &error, &mut rng)).collect();
            assert!(pauses.iter().all(|pause| (whole / 2..=whole).contains(pause)), "{pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "all the same after {made}");
        }
        let broken = pause(1, &error, &mut BrokenRng::new(Fault::Always));
        assert_eq!(broken, FIRST);
        assert!(pause(u32::MAX, &error, &mut rng) <= LONGEST);
    }

    #[test]
    fn the_services_own_word_comes_before() {
        let told = Duration::from_secs(7);
        let waited = pause(1, &KmsError::Throttled(Some(told)), &mut SeededRng::new(1));
        assert!((told + FIRST / 2..=told + FIRST).contains(&waited));
        let forever = KmsError::Throttled(Some(Duration::MAX));
        assert_eq!(pause(1, &forever, &mut SeededRng::new(1)), Duration::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_with_their_time_their_number_or_an_error_that_stays() {
        let down = || KmsError::Unavailable("down".to_owned());
        let mut attempts = Attempts::within(Duration::from_secs(3600));
        let mut made = 1;
        while attempts.pause(down()).await.is_ok() {
            made += 1;
        }
        assert_eq!(made, MAX_CALLS);

        let started = driver::now();
        let mut attempts = Attempts::within(Duration::from_secs(1));
        while attempts.pause(down()).await.is_ok() {}
        assert!(driver::now() - started < Duration::from_secs(1));

        let told = KmsError::Throttled(Some(Duration::from_secs(2)));
        let mut attempts = Attempts::within(Duration::from_secs(1));
        assert_eq!(attempts.pause(told.clone()).await, Err(told), "it would come too late");
        for stays in [KmsError::Open, KmsError::Denied(String::new()), KmsError::Answer("")] {
            assert_eq!(attempts.pause(stays.clone()).await, Err(stays));
        }
    }
}
