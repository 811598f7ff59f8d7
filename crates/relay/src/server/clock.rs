//! The time that everything is judged by.

use core::{fmt, time::Duration};
use std::sync::{Mutex, PoisonError};

use sealwire_core::{
    Timestamp,
    time::{HighWater, Observed},
};

/// Where a relay has its time from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// What the clock on the wall shows.
    fn wall(&self) -> Timestamp;

    /// Time since the relay started, which no one sets.
    fn elapsed(&self) -> Duration;
}

/// The latest time seen: a clock that is set back revives nothing that has expired.
#[derive(Debug)]
pub(super) struct Time {
    clock: std::sync::Arc<dyn Clock>,
    mark: Mutex<HighWater>,
}

impl Time {
    /// Goes on from the mark that was kept. Where there is none, or the operator says that the
    /// clock is right (`confirmed`), from what the clock shows.
    pub(super) fn new(clock: std::sync::Arc<dyn Clock>, kept: Timestamp, confirmed: bool) -> Self {
        let start = if confirmed || kept == Timestamp::default() { clock.wall() } else { kept };
        Self { clock, mark: Mutex::new(HighWater::new(start)) }
    }

    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        self.observe().now
    }

    /// The time now, and whether it can be believed.
    pub(super) fn observe(&self) -> Observed {
        let (wall, elapsed) = (self.clock.wall(), self.clock.elapsed());
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).observe(wall, elapsed)
    }

    /// What is to be kept across restarts.
    pub(super) fn mark(&self) -> Timestamp {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).mark()
    }

    /// Time since the start, for what is measured.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    /// Seconds that the clock lies behind the mark.
    pub(super) fn behind(&self) -> u64 {
        self.mark().since(self.clock.wall())
    }
}
