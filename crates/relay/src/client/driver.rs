//! The driver: the only place of the client that reads clocks, draws randomness and starts tasks.
#![expect(
    clippy::disallowed_methods,
    reason = "the driver that hands time and randomness to the rest"
)]

use core::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};

use rand_core::TryCryptoRng;
use sealwire_core::Timestamp;
use tokio::time::Instant;

/// The wall clock.
pub(super) fn wall() -> Timestamp {
    // A clock before 1970 reads as 1970, and the relay says that it is off.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_secs(since.as_secs())
}

/// The monotonic clock.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The operating system's generator.
pub(super) fn rng() -> impl TryCryptoRng {
    getrandom::SysRng
}

/// Starts a task.
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
}
