//! Agents and whatever stands between them, through the public interface.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test fails"
)]

mod common;
mod live;
mod mixed;
mod offline;
