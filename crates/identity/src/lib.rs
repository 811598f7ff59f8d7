//! Who an agent is: ids, signed identity cards, pins and evidence.
//!
//! An agent is an Ed25519 key, and its [`AgentId`] is a DID. Its [`IdentityCard`] names the
//! exchange keys and suites to reach it with, for a limited time, signed with that key. A
//! [`PinStore`] remembers the newest card of every peer, so that an older, forked or weaker
//! one is refused. An [`EvidenceList`] carries what a peer presents beside its card.
//!
//! # What it is not
//!
//! It decides nothing about trust: a valid card says who someone is, not whether to talk to
//! them. It proves no possession of exchange keys, which the handshake does. It does no I/O,
//! reads no clock and draws no randomness.
//!
//! # The picture
//!
//! ```text
//!  KeyStore ──sign──▶ IdentityCard ──bytes or text──▶ Unverified<IdentityCard>
//!                                                          │ verify(now): signature, id, times
//!                                                          ▼
//!  PinStore ◀──pin── Verified<IdentityCard> ──check(now, &pins)──▶ &IdentityCard
//!     └── older, forked, weaker, another key: refused ──┘
//! ```
//!
//! # Example
//!
//! Alice makes a card; Bob reads it, pins it, and later refuses an older one:
//!
//! ```
//! use sealwire_core::{KeyStore, MemoryKeyStore, Timestamp};
//! use sealwire_identity::{AgentId, Comparison, IdentityCard, NewCard, PinStore, PinnedBy};
//! # fn main() -> Result<(), sealwire_identity::Error> {
//! # let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
//! # let alice = MemoryKeyStore::generate(&mut rng).expect("randomness");
//! let now = Timestamp::from_secs(1_800_000_000);
//! let day = 24 * 60 * 60;
//!
//! // Alice, whose keys stay in her key store:
//! let old = NewCard::new(1, now, 7 * day).sign(&alice, alice.newest())?.to_text();
//! let text = NewCard::new(2, now, 7 * day).sign(&alice, alice.newest())?.to_text();
//!
//! // Bob:
//! let card = IdentityCard::from_text(&text)?.verify(now)?;
//! assert_eq!(card.as_verified().id(), &AgentId::from_key(alice.identity()));
//! let mut pins = PinStore::new();
//! assert_eq!(pins.pin(&card, PinnedBy::OutOfBand, now)?, Comparison::Unknown);
//!
//! // Each use checks expiry and the pin again.
//! let exchange_key = card.check(now.plus(day), &pins)?.exchange_key();
//! # let _ = exchange_key;
//! assert!(card.check(now.plus(8 * day), &pins).is_err());
//!
//! // The older card is signed by Alice too, and refused all the same.
//! let old = IdentityCard::from_text(&old)?.verify(now)?;
//! assert!(old.check(now, &pins).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `fast`: the faster backend of `sealwire-core`. Same bytes, same errors.
//!
//! # Security
//!
//! Only canonical encodings are read, each public key is checked when it is decoded, and a
//! signature covers the bytes as received. The rules are numbered in `docs/spec/card.md`.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::string_slice, reason = "a panic would show the text"))]

mod agent_id;
mod card;
mod did_key;
mod error;
mod evidence;
mod pin;
mod score;
mod signed;

pub use agent_id::{AgentId, AgentIdKind};
pub use card::{CardHash, IdentityCard, NewCard};
pub use error::Error;
pub use evidence::{Evidence, EvidenceKind, EvidenceList};
pub use pin::{Comparison, Pin, PinStore, PinnedBy};
pub use score::ScoreStatement;
