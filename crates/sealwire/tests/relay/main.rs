//! Whole agents through a relay that listens on a port.
#![expect(clippy::expect_used, reason = "a failing test fails")]

mod claims;
mod common;
mod conversation;
mod pairing;
