//! The public API of `sealwire-noise`, driven as its users and its attackers drive it.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that fails panics")]

#[cfg(feature = "tokio")]
mod frames;
mod handshakes;
mod identity;
mod leaks;
mod peers;
#[cfg(feature = "tokio")]
mod stream;
#[cfg(feature = "tokio")]
mod stream_attacks;
#[cfg(feature = "tokio")]
mod stream_bounds;
mod tamper;
#[cfg(feature = "tokio")]
mod transport;
mod vectors;
