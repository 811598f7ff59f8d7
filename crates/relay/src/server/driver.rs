//! The system's clock and the runtime's tasks: where the relay meets the system.
#![expect(clippy::disallowed_methods, reason = "the driver that reads clocks and starts tasks")]

use core::time::Duration;
use std::time::{Instant, SystemTime};

use sealwire_core::Timestamp;
use tokio::task::JoinHandle;

use super::Clock;

/// The clock of the system.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Begins to measure.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_secs(since.as_secs())
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Starts a task of the relay.
pub(super) fn start<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(task)
}
