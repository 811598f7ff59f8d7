//! Objects, key records and keys through the public API.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

mod object;
mod support;
