//! Agents that are killed while they write and read, and several processes on one state.
#![expect(clippy::expect_used, clippy::panic, reason = "a failing test fails")]
#![cfg(feature = "sqlite")]

mod kill;
mod nonces;
mod office;
mod power;
mod processes;
mod world;
