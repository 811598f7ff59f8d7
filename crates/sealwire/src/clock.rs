//! The clock driver: the only place of this crate that reads the time.
#![expect(clippy::disallowed_methods, reason = "the driver that hands `now` to the cores")]

use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use sealwire_core::Timestamp;

/// Where an agent gets the time from. Tests put their own.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock.
    fn wall(&self) -> Timestamp;

    /// Monotonic time since the clock was made.
    fn elapsed(&self) -> Duration;
}

/// The operating system's clock.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        // A clock before 1970 reads as 1970: every object is then from the future, and refused.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_secs(since.as_secs())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
