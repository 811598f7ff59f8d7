//! X-Wing, the hybrid KEM of X25519 and ML-KEM-768, and sealing to an X-Wing key with HPKE.
//!
//! What is sealed stays secret as long as *either* X25519 or ML-KEM-768 holds: a quantum
//! computer alone does not open it, and neither does a flaw in ML-KEM alone.
//!
//! - [`XWingPublic::encapsulate`] and [`Recipient::decapsulate`]: X-Wing as in
//!   draft-connolly-cfrg-xwing-kem.
//! - [`seal_to`] and [`open_from`]: HPKE (RFC 9180) base mode, one message, with X-Wing,
//!   HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! # What it is not
//!
//! It is no channel and no session: one key pair, one message, no forward secrecy against the
//! loss of the recipient's key. It does not say who sealed a message. Channels are
//! `sealwire-noise`.
//!
//! # Picture
//!
//! ```text
//!   sender                                               recipient
//!   ──────                                               ─────────
//!   XWingPublic  <──────── 1216 bytes, ek ‖ pk_X ─────── XWingSecret (32-byte seed)
//!       │                                                or StoredKey (in a KeyStore)
//!       │ encapsulate                                        │
//!       ├─ ct_M, ss_M  ML-KEM-768                            │ decapsulate
//!       └─ ct_X, ss_X  X25519, ephemeral                     │
//!       ss = SHA3-256(ss_M ‖ ss_X ‖ ct_X ‖ pk_X ‖ label)     │ the same ss
//!       │                                                    │
//!       │ HPKE key schedule(ss, info)                        │
//!       └─ ChaCha20-Poly1305(aad, plaintext)                 │
//!                ──── 1120 bytes, ct_M ‖ ct_X ‖ ciphertext ‖ tag 16 ───>
//! ```
//!
//! # Example
//!
//! ```
//! use sealwire_core::label::Label;
//! use sealwire_hybrid::{XWingPublic, XWingSecret, open_from, seal_to};
//! # fn main() -> Result<(), sealwire_core::Error> {
//! # let mut rng = getrandom::SysRng;
//! let bob = XWingSecret::generate(&mut rng)?;
//! let published = bob.public().to_bytes();
//!
//! // Alice knows Bob's public key. Both know what the message is for.
//! let to_bob = XWingPublic::from_bytes(&published)?;
//! let info = Label::RECORD_KEY.context(None, &[b"alice to bob"])?;
//! let sealed = seal_to(&to_bob, &info, b"header", b"meet at noon", &mut rng)?;
//!
//! let opened = open_from(&bob, &info, b"header", &sealed)?;
//! assert_eq!(*opened, b"meet at noon");
//! assert!(open_from(&bob, &info, b"another header", &sealed).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `fast`: `sealwire-core` on aws-lc-rs and libcrux. Same bytes on the wire, same errors;
//!   only speed changes.
//!
//! # Security
//!
//! - A public key or ciphertext whose X25519 half is not canonical or has small order is
//!   refused when it is decoded, and so is an ML-KEM key that fails the check of FIPS 203.
//!   X-Wing itself leaves the former open; what this crate makes is X-Wing to the bit.
//! - A message that does not open gives one error, without a reason.
//! - An X-Wing key seals envelopes and nothing else; its halves serve no other protocol.
//! - The two secrets are never given out, joined or apart: only the combined one.
//! - Failures are those of [`sealwire_core::Error`]; this crate adds none.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::string_slice, reason = "a panic would show the text"))]

mod combiner;
mod recipient;
mod seal;
mod xwing;

pub use recipient::{Recipient, StoredKey};
pub use seal::{OVERHEAD, open_from, seal_to};
pub use xwing::{CIPHERTEXT_LEN, PUBLIC_LEN, XWingCiphertext, XWingPublic, XWingSecret};
