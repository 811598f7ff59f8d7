//! The store in SQLite and what befalls processes and disks.
#![cfg(feature = "sqlite")]
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test fails"
)]

mod backup;
mod common;
mod epoch;
mod files;
mod full;
mod kill;
