//! End-to-end encryption for AI agents.
//!
//! Two agents prove to one another who they are, agree on keys that a quantum computer cannot
//! recover later, and talk so that nothing between them can read, change or forge what they
//! say. An agent is a key, not a host name or a bearer token; whom it talks to is a policy.
//!
//! # What it is not
//!
//! It opens no connections: any [`AsyncRead`](tokio::io::AsyncRead) and
//! [`AsyncWrite`](tokio::io::AsyncWrite) will do, and addresses are the caller's. It says who a
//! peer is, not whether it deserves trust. It hides no timing and no addresses, and on a channel
//! no sizes. It does not run protocols over the channel. It is no relay: what stands between
//! agents that are not online at the same time is a [`Delivery`](delivery::Delivery). It keeps
//! messages until they are delivered, or acknowledged by the application, and no longer: it is no
//! archive. It says neither that a message is missing nor that one was read.
//!
//! # The picture
//!
//! ```text
//!   Alice                       whatever is between                        Bob
//!   ┌────────────┐                                                  ┌────────────┐
//!   │ Agent      │   connect    gateway, proxy, broker,    accept   │ Agent      │
//!   │   keys     │ ───────────▶ log pipeline: ciphertext ─────────▶ │   keys     │
//!   │   cards    │                                                  │   cards    │
//!   │   Peers    │ ◀═══════════════ Channel ══════════════════════▶ │   Peers    │
//!   │   policy   │        bytes or messages, authenticated end      │   policy   │
//!   └────────────┘                                                  └────────────┘
//!
//!   connect:  what is known of the peer ─▶ policy: before_dial ─▶ Handshake::select ─▶ IK, XX
//!   accept:   bounds and rate ─▶ gate ─▶ handshake: card, proof, pin ─▶ policy: on_accept
//!   both:     the peer is pinned, on disk, before there is a Channel
//!
//!   send:     policy ─▶ session, or prekeys and X3DH ─▶ seal ─▶ commit ─▶ outbox
//!   sync:     outbox ─▶ Delivery ─▶ open ─▶ policy ─▶ commit: session, used prekeys, inbox ─▶ ack
//! ```
//!
//! # Example
//!
//! Strangers meet, pin one another, and know each other the next time:
//!
//! ```
//! use std::sync::Arc;
//! use sealwire::{Agent, AllowAnyAuthenticated, Handshake, Peer, Source};
//! use sealwire::{core::MemoryKeyStore, custody, identity::PinnedBy};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Keys in memory; `custody` has them in a sealed file.
//!     let keys = || MemoryKeyStore::generate(&mut custody::system_rng()).map(Arc::new);
//!     let alice = Agent::builder(keys()?).build()?;
//!     let bob = Agent::builder(keys()?).inbound(AllowAnyAuthenticated).build()?;
//!
//!     // They meet. A duplex pipe stands for TCP, a Unix socket, a tunnel, stdio.
//!     let (near, far) = tokio::io::duplex(65_536);
//!     let (mut at_alice, mut at_bob) = tokio::try_join!(
//!         alice.connect(near, Peer::Stranger),
//!         bob.accept(far, Source::shared()),
//!     )?;
//!     assert_eq!(at_alice.handshake(), Some(Handshake::NoiseXx));
//!     assert_eq!(at_alice.peer()?, bob.id());
//!
//!     // They talk.
//!     at_alice.send(b"how far is the moon?").await?;
//!     assert_eq!(at_bob.recv().await?.as_deref(), Some(&b"how far is the moon?"[..]));
//!     at_bob.send(b"384,400 km").await?;
//!     assert_eq!(at_alice.recv().await?.as_deref(), Some(&b"384,400 km"[..]));
//!
//!     // They close, and either knows that nothing is missing.
//!     at_alice.close().await?;
//!     assert_eq!(at_bob.recv().await?, None);
//!
//!     // Each has pinned the other: from now on nobody else is taken for it.
//!     let pin = alice.peers().get(bob.id())?.ok_or("a pin")?;
//!     assert_eq!(pin.pinned_by(), PinnedBy::FirstContact);
//!     let (near, far) = tokio::io::duplex(65_536);
//!     let (at_alice, _at_bob) = tokio::try_join!(
//!         alice.connect(near, Peer::Id(bob.id().clone())),
//!         bob.accept(far, Source::shared()),
//!     )?;
//!     assert_eq!(at_alice.handshake(), Some(Handshake::NoiseIk));
//!     Ok(())
//! }
//! ```
//!
//! Agents that are not online at the same time leave messages for one another. State is on
//! disk, sealed, so that a restart loses nothing:
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! use std::{path::Path, sync::Arc};
//! use sealwire::{Agent, AllowAnyAuthenticated, delivery::InProcess};
//! use sealwire::store::{Options, SqliteStore};
//! use sealwire::{core::MemoryKeyStore, custody};
//! # type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//!
//! fn start(keys: &Arc<MemoryKeyStore>, home: &Path, relay: &Arc<InProcess>) -> Result<Agent> {
//!     let store = SqliteStore::open(home, keys.as_ref(), Options::new())?;
//!     let agent = Agent::builder(keys.clone()).store(Arc::new(store)).delivery(relay.clone());
//!     Ok(agent.inbound(AllowAnyAuthenticated).build()?)
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<()> {
//!     # let home = tempfile::tempdir()?;
//!     # let [at_alice, at_bob] = ["alice", "bob"].map(|name| home.path().join(name));
//!     # let keys = || MemoryKeyStore::generate(&mut custody::system_rng()).map(Arc::new);
//!     # let (alices, bobs) = (keys()?, keys()?);
//!     let relay = Arc::new(InProcess::new());
//!
//!     // Bob publishes prekeys and goes away. Alice writes to him, and goes away too.
//!     let bob = start(&bobs, &at_bob, &relay)?;
//!     bob.publish_prekeys().await?;
//!     let bobs_id = bob.id().clone();
//!     drop(bob);
//!     let alice = start(&alices, &at_alice, &relay)?;
//!     alice.send(&bobs_id, b"how far is the moon?").await?;
//!     drop(alice);
//!
//!     // The message is still in Alice's outbox; then it is in Bob's inbox.
//!     start(&alices, &at_alice, &relay)?.sync().await?;
//!     let bob = start(&bobs, &at_bob, &relay)?;
//!     bob.sync().await?;
//!     let message = bob.inbox()?.next().await?.ok_or("a message")?;
//!     assert_eq!(message.payload(), b"how far is the moon?");
//!     bob.send(message.from(), b"384,400 km").await?;
//!     bob.inbox()?.ack(&message).await?;
//!     Ok(())
//! }
//! ```
//!
//! A message that does not fit a frame, of whatever length, goes by [`Agent::send_large`] and is
//! found in [`Inbox::large`]. Agents whose owners sit at two screens get each other's card by
//! [`pairing`].
//!
//! # Which handshake
//!
//! [`Handshake::select`] looks at what is known of the peer, and at nothing else:
//!
//! | reach | known | handshake |
//! |---|---|---|
//! | online | nothing | XX, then pinned |
//! | online | an X25519 key alone | XX, and the key must match |
//! | online | its valid card | IK |
//! | online | its expired card | XX, and the identity must match |
//! | online | a card without a common hybrid suite | none: [`NoRoute::Downgrade`] |
//! | offline | its valid card | X3DH, and the prekeys that it published |
//! | offline | a card without a common hybrid suite | none: [`NoRoute::Downgrade`] |
//! | offline | anything else | none: [`NoRoute::Offline`] |
//!
//! [`Agent::connect`] is for peers that are online, [`Agent::send`] for all that have published
//! prekeys. A peer that refuses IK may be tried once more with XX on the same connection, where the
//! policy grants it. Nothing ever falls back to classical cryptography.
//!
//! # Who may talk
//!
//! A [`TrustPolicy`] is asked before anything is sent ([`TrustPolicy::before_dial`]), once the
//! peer has proven its identity and before anything is shown to it
//! ([`TrustPolicy::on_accept`]), and for each message ([`TrustPolicy::on_message`]). Of a peer
//! that wrote while this side was away it is asked before any of its message is shown and before
//! a one-time prekey is used up, and again for each message, since a session may last for
//! weeks. Inbound the
//! default is [`KnownPeers`], which does not answer strangers at all. [`ScoreAtLeast`] goes by
//! the word of an issuer, [`AllowAnyAuthenticated`] does what it says, and [`all`], [`any`] and
//! [`not`] combine them. A stranger sees one constant refusal, whatever the cause.
//!
//! # Features
//!
//! - `fast` (default): faster primitives on aws-lc-rs and libcrux. Same bytes, same errors.
//! - `sqlite` (default): [`store`] in SQLite, which is built from its C source. Without it state
//!   lives in memory.
//! - `relay`: [`delivery`] through a relay, over HTTP and WebSocket.
//! - `envelope`: objects at rest, and states in [`store`] that take a key service to open.
//! - `vault`, `aws`: key services in [`custody`]; `vault` also the anchor of a state there.
//! - `hazmat`: what is read from rows of a store, written again; for fuzzing only.
//!
//! # Security
//!
//! - Every handshake mixes X25519 with ML-KEM-768: what is recorded today stays closed to a
//!   quantum computer of tomorrow.
//! - Message 1 of IK, and the initiator's identity in it, have no forward secrecy against the
//!   responder's static keys: whoever takes these later learns who called, not what was said.
//! - Initiator authentication is classical (X25519 and Ed25519), and so is the responder's in
//!   XX. In IK the responder's static ML-KEM key authenticates it against a quantum attacker
//!   too.
//! - A refusal is not authenticated: whoever is between can make one up, and where the grant
//!   allows the further attempt, so turn IK into XX with the same peer. A policy that wants IK
//!   grants none, and looks at [`PeerFacts::handshake`].
//! - Message 1 of IK can be replayed; it gains nothing. The responder releases nothing,
//!   remembers nothing and reports no peer before the initiator has confirmed its keys.
//! - Whoever probes an agent that admits strangers learns its identity from XX message 2. With
//!   [`KnownPeers`] it learns nothing.
//! - A first contact is believed: pin the card that came another way ([`Agent::pin`]) where
//!   that is not enough.
//! - A did:key cannot be revoked. It is judged by the expiry of its card alone, at most 30
//!   days.
//! - Expiry is judged by the latest time ever seen, so a clock that is set back revives
//!   nothing.
//! - A message to an offline peer is secret as the [`ratchet`] says: the first ones as long as the
//!   peer's prekeys are, the later ones forward secret, and healing as both sides talk. Whether
//!   it arrives is up to the delivery; it sees mailboxes, times and four sizes, not who talks.
//! - An agent answers the first parts of a large message by itself, where policy accepts the
//!   sender: a peer learns so that it runs. It answers nothing else.
//! - State must not be copied or put back: see [`store`] for what is detected.
//! - A channel is authenticated to its end: a cut is an error, never an end of stream. It lives
//!   an hour by default, then a fresh handshake is due.
//!
//! # The crates beneath
//!
//! Each stands alone and is re-exported whole:
//!
//! - [`core`]: secrets, key types, the [`KeyStore`](core::KeyStore) trait, suites, KDF, AEAD
//! - [`identity`]: agent ids, cards, pins, evidence
//! - [`noise`]: the hybrid handshakes and the record layer
//! - [`ratchet`]: prekeys, agreement with a peer that is offline, and the Double Ratchet
//! - [`hybrid`]: X-Wing and sealing to a public key
//! - [`custody`]: where keys live
//! - `envelope` (feature `envelope`): objects at rest, sealed under keys that a key service wraps
//! - `relay` (feature `relay`): what a relay is asked, and the client that asks it
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::string_slice, reason = "a panic would show the text"))]

mod accept;
mod admission;
mod agent;
mod cards;
mod channel;
mod clock;
mod connect;
pub mod delivery;
mod effects;
mod error;
mod facts;
mod handshake;
mod offline;
pub mod pairing;
mod peers;
mod policy;
pub mod store;

pub use admission::{Limits, Rate, Source};
pub use agent::{Agent, AgentBuilder, CARD_LIFETIME};
pub use channel::{Channel, MAX_MESSAGE_LEN, MessageCount};
pub use clock::{Clock, SystemClock};
pub use connect::Peer;
pub use effects::{Committed, Delivered, Effects, Outgoing};
pub use error::Error;
pub use facts::{Direction, Freshness, PeerFacts};
pub use handshake::{CardState, Handshake, Known, NoRoute, PeerKnowledge, Reach};
#[cfg(feature = "hazmat")]
pub use offline::hazmat;
pub use offline::{
    Body, Chunk, Content, Draft, Event, Inbox, LargeMessage, Listener, MAX_LARGE_LEN,
    MAX_PAYLOAD_LEN, Message, Part, Progress, SessionInfo, Transfer, Waiting,
};
pub use peers::Peers;
pub use policy::{
    All, AllowAnyAuthenticated, AnyOf, Decision, Grant, KnownPeers, Not, ScoreAtLeast, TrustPolicy,
    all, any, not,
};

pub use sealwire_core as core;
pub use sealwire_custody as custody;
#[cfg(feature = "envelope")]
pub use sealwire_envelope as envelope;
pub use sealwire_hybrid as hybrid;
pub use sealwire_identity as identity;
pub use sealwire_noise as noise;
pub use sealwire_ratchet as ratchet;
#[cfg(feature = "relay")]
pub use sealwire_relay as relay;
