//! The client against relays that are scripted: how it asks, what it believes, and when it asks
//! again.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a failing test fails; tests have clocks and tasks of their own"
)]

mod answers;
mod requests;
mod retries;
mod scripted;
mod stream;
mod tls;
