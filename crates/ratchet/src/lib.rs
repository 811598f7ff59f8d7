//! Talking to an agent that is offline: prekeys, hybrid key agreement, and a Double Ratchet.
//!
//! A peer publishes prekeys; whoever holds them agrees on a secret with it while it sleeps
//! (the shape of PQXDH: X25519 and ML-KEM-768), and both go on with a Double Ratchet with
//! header encryption whose root takes in a fresh ML-KEM secret every few turns.
//!
//! # What it is not
//!
//! It knows no identities: cards, logs and evidence travel as opaque bytes, which the facade
//! judges. It has no policy, no storage and no transport; it does no I/O at all.
#![forbid(unsafe_code)]

mod agreed;
mod error;
pub mod limits;

pub use agreed::Agreed;
pub use error::Error;
