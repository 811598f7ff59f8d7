//! End-to-end encryption for AI agents.
#![forbid(unsafe_code)]

mod accept;
mod admission;
mod agent;
mod channel;
mod clock;
mod connect;
mod error;
mod facts;
mod handshake;
mod peers;
mod policy;

pub use admission::{Limits, Rate, Source};
pub use agent::{Agent, AgentBuilder, CARD_LIFETIME};
pub use channel::{Channel, MAX_MESSAGE_LEN, MessageCount};
pub use clock::{Clock, SystemClock};
pub use connect::Peer;
pub use error::Error;
pub use facts::{Direction, Freshness, PeerFacts};
pub use handshake::{CardState, Handshake, Known, NoRoute, PeerKnowledge, Reach};
pub use peers::Peers;
pub use policy::{
    All, AllowAnyAuthenticated, AnyOf, Decision, Grant, KnownPeers, Not, ScoreAtLeast, TrustPolicy,
    all, any, not,
};

pub use sealwire_core as core;
pub use sealwire_custody as custody;
pub use sealwire_hybrid as hybrid;
pub use sealwire_identity as identity;
pub use sealwire_noise as noise;
