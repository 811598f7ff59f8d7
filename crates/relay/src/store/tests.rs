//! What every store keeps to, run against each of them; and what those with a disk keep to beside.

mod fixtures;
#[macro_use]
mod conformance;
mod memory;
mod model;
#[cfg(feature = "sqlite")]
mod sqlite;
