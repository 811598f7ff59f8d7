//! A whole relay, spoken to over sockets as agents, strangers and broken clients would.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

mod http;
mod people;
mod rig;

mod operations;
