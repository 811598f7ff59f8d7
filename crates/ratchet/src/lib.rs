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
//! ```text
//!  initiator                     directory                     responder
//!     │                              ◀── bundle, pages ── Prekeys │
//!     ◀── bundle, one-time keys ─────┤                            │
//!  verify, initiate ── prefix, ratchet message ─────────────────▶ │
//!     │                                      Prekeys::find, respond, prove
//! ```
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
//! # Example
//!
//! Bob publishes prekeys and goes to sleep; Alice agrees on a secret with him. Ids and cards are
//! what the layer above makes of them. Whoever needs no more than a shared secret stops where the
//! two are equal; a [`Session`] consumes it and goes on:
//!
//! ```
//! use std::sync::Arc;
//! use sealwire_core::{KeyStore, MemoryKeyStore, Suite, Timestamp, kdf};
//! use sealwire_ratchet::Session;
//! use sealwire_ratchet::agreement::{self, FirstMessage, Introduction, Local, PeerIdentity, ReplyTo};
//! use sealwire_ratchet::prekey::{
//!     Contact, OneTimeKeys, PeerKeys, Prekeys, Publisher, Unclaimed, UnverifiedBundle,
//! };
//! # fn main() -> Result<(), sealwire_ratchet::Error> {
//! # let mut rng = sealwire_testkit::rng::SeededRng::new(1);
//! let now = Timestamp::from_secs(1_800_000_000);
//! let [alice, bob] = [MemoryKeyStore::generate(&mut rng)?, MemoryKeyStore::generate(&mut rng)?];
//! let [alice, bob] = [Arc::new(alice), Arc::new(bob)];
//! let local = |keys: &Arc<MemoryKeyStore>, id: &[u8], card: &[u8]| {
//!     let (id, card) = (id.to_vec(), card.to_vec());
//!     let introduction = Introduction { id, card, ..Introduction::default() };
//!     Local::new(Arc::clone(keys) as Arc<dyn KeyStore>, keys.newest(), introduction)
//! };
//! let bobs_card = kdf::sha256(&[b"card of bob"]);
//!
//! // Bob: private halves are stored before their public halves are published.
//! let publisher = Publisher { keys: &*bob, id: b"bob", card_hash: bobs_card };
//! let mut prekeys = Prekeys::generate(0, now, &mut rng)?;
//! let empty = Unclaimed { x25519: 0, kem: 0 };
//! let refill = prekeys.refill(&publisher, empty, now, &mut rng)?.expect("nothing is published");
//! prekeys.apply(refill.change)?;
//! let (bundle, change) = prekeys.bundle(&publisher, &Contact::default(), now)?;
//! prekeys.apply(change)?;
//!
//! // Alice: what the directory gave her is checked against Bob's verified card.
//! let peer = PeerKeys {
//!     id: b"bob",
//!     key: bob.identity(),
//!     static_key: &bob.public(bob.newest())?.handshake,
//!     kx: bob.newest(),
//!     card_hash: bobs_card,
//! };
//! let bundle = UnverifiedBundle::from_bytes(&bundle)?.verify(&peer, 0, None, now)?;
//! let [x25519, kem] = &refill.pages[..] else { panic!("a page of each kind") };
//! let keys = OneTimeKeys {
//!     x25519: Some(bundle.one_time_x25519(&x25519.header, &x25519.keys[0], now)?),
//!     kem: Some(bundle.one_time_kem(&kem.header, &kem.keys[0], now)?),
//! };
//! let alices = local(&alice, b"alice", b"card of alice");
//! let reply = ReplyTo::default();
//! let sent = agreement::initiate(&alices, &bundle, keys, Suite::AesGcm, reply, now, &mut rng)?;
//!
//! // Bob, when he is back: who writes is a claim until it is proven.
//! let first = FirstMessage::from_prefix(&sent.prefix)?;
//! let found = prekeys.find(&first, now)?;
//! let claim = agreement::respond(&local(&bob, b"bob", b""), &[bobs_card], &first, &found)?;
//! assert_eq!(claim.introduced().card(), b"card of alice");
//! let accepted = claim.prove(PeerIdentity {
//!     id: b"alice",
//!     key: alice.identity(),
//!     static_key: &alice.public(alice.newest())?.handshake,
//! })?;
//! let change = prekeys.consume(&accepted.used)?;
//! prekeys.apply(change)?;
//!
//! assert!(accepted.agreed.secret() == sent.agreed.secret());
//! assert_eq!(accepted.agreed.transcript(), sent.agreed.transcript());
//!
//! // From here on the ratchet: apply, store, and only then send or release.
//! let prefix = sent.prefix;
//! let mut at_alice =
//!     Session::initiate(sent.agreed, &sent.prekey, prefix.clone(), now, &mut rng)?;
//! let mut at_bob = Session::respond(accepted.agreed, &accepted.prekey, &prefix, now)?;
//! let sealed = at_alice.seal(now, &mut rng, b"are you there?")?;
//! at_alice.apply(sealed.step)?;
//! let opened = at_bob.open(now, FirstMessage::from_frame(&sealed.frame)?.message())?;
//! at_bob.apply(opened.step)?;
//! assert_eq!(*opened.plaintext, b"are you there?");
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `fast`: faster primitives. Same bytes, same errors.
//! - `hazmat`: plain X3DH and the classical ratchet, for interoperability tests only.
//!
//! # Security
//!
//! Authentication is classical (X25519 and Ed25519): a quantum attacker who is active at the
//! time can impersonate either side. The signature over the transcript shows a third party that
//! the initiator opened this session: accountability, not deniability.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::string_slice, reason = "a panic would show the text"))]

mod agreed;
pub mod agreement;
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
pub mod prekey;
pub mod replay;
mod root_key;
mod session;
mod skipped;
mod state;
#[cfg(any(test, feature = "hazmat"))]
pub mod x3dh;

pub use agreed::Agreed;
pub use archive::{Arrival, Sessions, Standing};
pub use error::Error;
pub use replay::ReplayCache;
pub use session::{Opened, Role, Sealed, Session, SessionId, Step, capacity};
