//! The stores of an agent's state, through the public interface.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a failing test fails")]

#[cfg(feature = "sqlite")]
mod anchors;
mod common;
#[cfg(feature = "sqlite")]
mod compatibility;
mod conformance;
#[cfg(feature = "sqlite")]
mod crash;
#[cfg(feature = "sqlite")]
mod damage;
#[cfg(all(target_os = "linux", feature = "envelope", feature = "sqlite"))]
mod memory;
mod model;
#[cfg(feature = "sqlite")]
mod processes;
#[cfg(all(feature = "vault", feature = "sqlite"))]
mod vault;
#[cfg(all(feature = "envelope", feature = "sqlite"))]
mod wrapped;
