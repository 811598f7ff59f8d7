//! What every store keeps to, run against each of them; and what those with a disk keep to beside.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a failing test fails"
)]

mod fixtures;
#[macro_use]
mod conformance;
mod memory;
mod model;
#[cfg(feature = "sqlite")]
mod sqlite;
