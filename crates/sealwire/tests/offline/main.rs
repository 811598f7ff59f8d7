//! Agents that are not online at the same time, and whatever stands between them, through the
//! public interface.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a failing test fails")]

mod attacks;
mod common;
mod faults;
mod frozen;
mod large;
mod leaks;
mod listen;
mod mischief;
mod policy;
mod prekeys;
mod relay;
mod schedule;
mod start;
mod story;
mod time;
