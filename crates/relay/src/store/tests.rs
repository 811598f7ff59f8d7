//! What every store keeps to, run against each of them; and what those with a disk keep to beside.
#![expect(
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    reason = "small numbers of tests; a model answers every operation in one place"
)]

mod fixtures;
#[macro_use]
mod conformance;
mod memory;
mod model;
#[cfg(feature = "sqlite")]
mod sqlite;
