//! What travels between agents and relays.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

mod bodies;
mod capability;
mod ids;
mod openapi;
mod paths;
mod problem;
mod signature;
mod stream;
