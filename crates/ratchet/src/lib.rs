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
//!
//! # The picture
//!
//! The key schedule of a session, from the secret SK of an agreement:
//!
//! ```text
//!              SK
//!      ┌───────┼────────┐
//!    HK_A      rk     NHK_B                    the first header keys
//!              │
//!  X25519,  ─▶ root step ─▶ nhk                hides the headers of the next chain
//!  [k_e]       │   └─▶ ck ─▶ ck' ─▶ ck'' …     one step a message
//!              ▼       │     │      │
//!  X25519,  ─▶ root    mk    mk     mk         one a message
//!  [k_e]       step …  │
//!                      └─▶ key, nonce          with the hash of the sealed header
//! ```
//!
//! k_e comes from ML-KEM and enters one root step in a few. A message is
//!
//! ```text
//! version | type | sealed header 85 | sealed body: field of the KEM ratchet | plaintext | padding
//! ```
//!
//! # Order of calls
//!
//! [`Session::seal`] and [`Session::open`] change nothing. Each gives a [`Step`]: apply it, store
//! [`Session::to_bytes`], and only then let the frame leave or the plaintext be used. [`Sessions`]
//! holds what there is with one peer and picks the session.
//!
//! # Features
//!
//! - `fast`: cryptography of sealwire-core's fast backend; same bytes, same errors.
//! - `hazmat`: the classical ratchet, for tests against other implementations.
#![forbid(unsafe_code)]

mod agreed;
mod archive;
mod chain_key;
mod dh;
mod error;
#[cfg(any(test, feature = "hazmat"))]
pub mod hazmat;
mod header;
mod kem_ratchet;
pub mod limits;
mod message_key;
mod root_key;
mod session;
mod skipped;
mod state;

pub use agreed::Agreed;
pub use archive::{Arrival, Sessions, Standing};
pub use error::Error;
pub use session::{Opened, Role, Sealed, Session, SessionId, Step, capacity};
