//! A whole relay, spoken to over sockets as agents, strangers and broken clients would.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a helper that fails fails its test, and tests have tasks of their own"
)]

mod http;
mod people;
mod rig;

mod clock;
mod connections;
mod credentials;
mod drain;
mod faults;
mod floods;
mod operations;
mod operator;
mod refusals;
mod streams;
mod tls;
mod uniform;
