//! Hybrid post-quantum Noise: XX and IK handshakes, and the record layer behind them.
//!
//! Every handshake mixes X25519 with ML-KEM-768 (`hfs`); IK adds a pre-shared key that only
//! the holder of the responder's static ML-KEM key can compute. The handshake runs on snow
//! with the cryptography of `sealwire-core`; nothing of snow remains once it has ended.
//!
//! # What it is not
//!
//! It knows no identities: cards, logs and evidence travel as opaque bytes, which the facade
//! judges. It has no policy and no sockets. Without feature `tokio` it does no I/O at all.
//!
//! # The picture
//!
//! ```text
//!  initiator                                        responder
//!     start_ik ── preamble, message 1 ──▶ check_gate, answer_ik ─▶ Claim
//!                                                  │ prove, policy
//!     Claim ◀── message 2 ───────────────── reply ◀┘
//!       │ prove
//!     finish ── empty record ────────────▶ confirm ─▶ Session
//!       └─▶ Session
//! ```
//!
//! # Example
//!
//! Two parties that know nothing of one another meet with XX. The ids and cards are what the
//! layer above makes of them:
//!
//! ```
//! use std::sync::Arc;
//! use sealwire_core::{KeyStore, MemoryKeyStore, Suite, SuiteSet};
//! use sealwire_noise::{initiator, responder, Introduction, Local, PeerIdentity};
//! # fn main() -> Result<(), sealwire_noise::Error> {
//! # let mut rng = sealwire_testkit::rng::SeededRng::new(1);
//! let alice = Arc::new(MemoryKeyStore::generate(&mut rng)?);
//! let bob = Arc::new(MemoryKeyStore::generate(&mut rng)?);
//! let local = |keys: &Arc<MemoryKeyStore>, id: &[u8]| {
//!     let introduction = Introduction { id: id.to_vec(), ..Introduction::default() };
//!     Local::new(Arc::clone(keys) as Arc<dyn KeyStore>, keys.newest(), introduction)
//! };
//! let suites = SuiteSet::all();
//!
//! let (preamble, message1, sent) =
//!     initiator::start_xx(local(&alice, b"alice"), Suite::AesGcm, suites, &mut rng)?;
//! let (message2, answered) =
//!     responder::answer_xx(local(&bob, b"bob"), &preamble, &message1, &mut rng)?;
//!
//! // Each side proves that it holds the identity key and the static key of its card.
//! let bobs = bob.public(bob.newest())?;
//! let claim = sent.read(&message2)?;
//! let replied = claim.prove(PeerIdentity {
//!     id: b"bob", key: bob.identity(), static_key: &bobs.handshake,
//! })?;
//! let (message3, session) = replied.finish(b"bob")?;
//!
//! let alices = alice.public(alice.newest())?;
//! let at_bob = answered.read(&message3)?.prove(PeerIdentity {
//!     id: b"alice", key: alice.identity(), static_key: &alices.handshake,
//! })?;
//! assert_eq!(session.channel_binding(), at_bob.channel_binding());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `tokio`: `NoiseStream` and the handshake frames over any byte stream.
//! - `fast`: faster primitives. Same bytes, same errors.
//! - `hazmat`: classical Noise and sessions without a handshake, for tests only.
//!
//! # Security
//!
//! Message 1 of IK and the initiator's identity in it have no forward secrecy against the
//! responder's static keys. Initiator authentication is classical (X25519 and Ed25519); psk0
//! authenticates the responder against a quantum attacker in IK only.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::string_slice, reason = "a panic would show the text"))]

mod error;
#[cfg(feature = "tokio")]
pub mod frame;
#[cfg(any(test, feature = "hazmat"))]
pub mod hazmat;
pub mod initiator;
mod machine;
mod pattern;
mod payload;
mod preamble;
pub mod record;
mod resolver;
pub mod responder;
mod session;
#[cfg(feature = "tokio")]
mod stream;

pub use error::Error;
pub use initiator::{KnownResponder, Local};
pub use pattern::{Pattern, Role};
pub use payload::{Claim, Introduction, MAX_PAYLOAD, Payload, PeerIdentity};
pub use preamble::{GateKey, Preamble};
pub use session::Session;
#[cfg(feature = "tokio")]
pub use stream::NoiseStream;
