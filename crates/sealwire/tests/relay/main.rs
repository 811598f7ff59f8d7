//! Whole agents through a relay that listens on a port.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failing test fails; a test reads the time to wait"
)]

mod claims;
mod common;
mod conversation;
