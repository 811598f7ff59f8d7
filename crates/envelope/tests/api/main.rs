//! Objects, key records and keys through the public API.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod audit;
mod commitment;
mod local;
mod object;
mod record;
mod ring;
mod support;
