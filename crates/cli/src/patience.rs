//! Trying again: with what waits for a relay or a peer that is away.

use std::time::Duration;

use sealwire::{core::rng::draw, custody};

use crate::{
    driver,
    error::{Exit, Failure},
};

/// Before the second attempt at most; then twice as long each time.
const FIRST: Duration = Duration::from_millis(200);

/// Between attempts at most, so that a relay that is back is noticed.
const LONGEST: Duration = Duration::from_secs(10);

/// How often and how long something is tried.
#[derive(Debug)]
pub(crate) struct Patience {
    next: Duration,
    /// When nothing more is tried.
    until: Option<tokio::time::Instant>,
    /// A refusal is no end: what answers in the place of a relay that is away is not the last
    /// word.
    stubborn: bool,
}

impl Patience {
    /// Tries for this long what can succeed later.
    pub(crate) fn lasting(limit: Duration) -> Self {
        // What is too long to be added is for ever.
        Self { next: FIRST, until: driver::now().checked_add(limit), stubborn: false }
    }

    /// Tries for ever, after a refusal too.
    pub(crate) fn endless() -> Self {
        Self { next: FIRST, until: None, stubborn: true }
    }

    /// Something moved: the next attempt that fails is the first again.
    pub(crate) fn renew(&mut self) {
        self.next = FIRST;
    }

    /// How long to wait before the next attempt. Gives the failure back when there is to be none.
    pub(crate) fn pause(&mut self, failure: Failure) -> Result<Duration, Failure> {
        let pause = spread(self.next);
        let ends = self.until.is_some_and(|until| driver::now() + pause > until);
        let can_change = match failure.exit() {
            Exit::Later => true,
            Exit::Refused => self.stubborn,
            _ => false,
        };
        if !can_change || ends {
            return Err(failure);
        }
        self.next = self.next.saturating_mul(2).min(LONGEST);
        Ok(pause)
    }

    /// Waits before the next attempt. Gives the failure back when there is to be none.
    pub(crate) async fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        tokio::time::sleep(self.pause(failure)?).await;
        Ok(())
    }
}

/// Between half of a time and all of it, so that those who failed together do not come back
/// together.
fn spread(pause: Duration) -> Duration {
    let drawn = draw::<1>(&mut custody::system_rng());
    let part = drawn.map_or(255, |drawn| drawn.expose().first().copied().unwrap_or_default());
    pause / 2 + pause.mul_f64(f64::from(part) / 512.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(exit: Exit) -> Failure {
        Failure::new(exit, "it is away")
    }

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew() {
        let mut patience = Patience::endless();
        let mut most = FIRST;
        for _ in 0..20 {
            let pause = patience.pause(failure(Exit::Later)).expect("again");
            assert!((most / 2..=most).contains(&pause), "{pause:?} of {most:?}");
            most = (most * 2).min(LONGEST);
        }
        patience.renew();
        assert!(patience.pause(failure(Exit::Later)).expect("again") <= FIRST);
    }

    #[test]
    fn it_ends_in_time_and_at_once_for_what_will_not_change() {
        let mut patience = Patience::lasting(Duration::ZERO);
        assert_eq!(patience.pause(failure(Exit::Later)).expect_err("over").message(), "it is away");
        let mut patience = Patience::lasting(Duration::MAX);
        patience.pause(failure(Exit::Later)).expect("again");
        Patience::endless().pause(failure(Exit::Refused)).expect("again");
        for exit in [Exit::Failed, Exit::Refused, Exit::Denied, Exit::Usage] {
            assert_eq!(patience.pause(failure(exit)).expect_err("for good").exit(), exit);
        }
    }
}
