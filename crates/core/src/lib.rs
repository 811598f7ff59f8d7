//! The foundation that every Sealwire crate stands on.
//!
//! Secrets that wipe themselves, typed keys, the two cipher suites, labelled key
//! derivation, AEAD, a bounded reader and writer for canonical encodings, padding, and the
//! [`KeyStore`] trait behind which private keys stay.
//!
//! # What it is not
//!
//! It has no protocol: handshakes live in `sealwire-noise`, identities in
//! `sealwire-identity`. It does no I/O, reads no clock and draws no randomness of its own:
//! `now` and the random number generator are parameters everywhere.
//!
//! # Example
//!
//! Two parties agree on a key, and one seals a message to the other:
//!
//! ```
//! use sealwire_core::{Suite, aead::AeadKey, kdf, keys::StaticSecret, label::Label};
//! # use sealwire_core::secret::Secret;
//! # fn main() -> Result<(), sealwire_core::Error> {
//! # let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
//! let alice = StaticSecret::generate(&mut rng)?;
//! let bob = StaticSecret::generate(&mut rng)?;
//!
//! let shared = alice.agree(bob.public())?;
//! let info = Label::RECORD_KEY.context(Some(Suite::ChaChaPoly), &[b"alice to bob"])?;
//! let key: Secret<32> = kdf::hkdf(&[0; 32], shared.expose(), &info);
//! let sealer = AeadKey::new(Suite::ChaChaPoly.aead(), &key)?;
//!
//! let mut message = b"meet at noon".to_vec();
//! let tag = sealer.seal_detached(&[0; 12], b"header", &mut message)?;
//! assert_ne!(message, b"meet at noon");
//! sealer.open_detached(&[0; 12], b"header", &mut message, &tag)?;
//! assert_eq!(message, b"meet at noon");
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `fast`: AEADs and X25519 on aws-lc-rs, ML-KEM on libcrux. Same bytes on the wire, same
//!   errors; only speed changes.
//!
//! # Security
//!
//! A public key that is not canonical or has small order is refused when it is decoded, an
//! all-zero X25519 result is refused when it is computed, and signatures are always checked
//! with `verify_strict`.
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::string_slice, reason = "a panic would show the text"))]

pub mod aead;
mod backend;
pub mod codec;
mod error;
pub mod kdf;
pub mod kem;
pub mod keys;
pub mod keystore;
pub mod label;
pub mod pad;
pub mod rng;
pub mod secret;
mod suite;
pub mod time;
mod verified;
#[expect(unsafe_code, reason = "overwrites memory that other crates leave behind")]
pub mod wipe;

pub use error::{DecodeError, DecodeReason, Error};
pub use keystore::{KeyStore, MemoryKeyStore};
pub use suite::{Suite, SuiteSet};
pub use time::Timestamp;
pub use verified::{Standing, Unverified, Verified, Verify};
