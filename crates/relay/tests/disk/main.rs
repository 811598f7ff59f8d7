//! The store in SQLite and what befalls processes and disks.
#![cfg(feature = "sqlite")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a failing test fails; a process that is killed prints what was acknowledged"
)]

mod backup;
mod common;
mod epoch;
mod files;
mod full;
mod kill;
