//! The driver: the only place of the providers that reads clocks and draws randomness.
#![expect(
    clippy::disallowed_methods,
    reason = "the driver that hands time and randomness to the rest"
)]

#[cfg(feature = "aws")]
use std::time::{SystemTime, UNIX_EPOCH};

use rand_core::TryCryptoRng;
#[cfg(feature = "aws")]
use sealwire_core::Timestamp;
use tokio::time::Instant;

/// The wall clock.
#[cfg(feature = "aws")]
pub(super) fn wall() -> Timestamp {
    // A clock before 1970 reads as 1970, and the service says that it is off.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_secs(since.as_secs())
}

/// The monotonic clock.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The operating system's generator.
pub(super) fn rng() -> impl TryCryptoRng {
    crate::system_rng()
}
