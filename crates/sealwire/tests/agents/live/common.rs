//! Agents with fixed keys, and policies that say what a test tells them.

use std::sync::Arc;

use sealwire::{
    Agent, AgentBuilder, AllowAnyAuthenticated, Channel, Decision, Error, Grant, Peer, PeerFacts,
    Source, TrustPolicy,
    core::{KeyStore, MemoryKeyStore, Unverified, keystore::KeySeeds, keystore::KxId},
    identity::{IdentityCard, NewCard, Pin},
};
use sealwire_testkit::rng::SeededRng;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};

pub(crate) use crate::common::{DAY, HOUR, NOW, TestClock, keys};

/// A policy that says what it was told, at every step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    pub(crate) dial: Decision,
    pub(crate) accept: Decision,
    pub(crate) message: Decision,
    pub(crate) strangers: bool,
}

impl Fixed {
    pub(crate) const ALLOW: Self = Self {
        dial: Decision::allow(),
        accept: Decision::allow(),
        message: Decision::allow(),
        strangers: true,
    };
    pub(crate) const DENY: Self = Self {
        dial: Decision::Deny("told so"),
        accept: Decision::Deny("told so"),
        message: Decision::Deny("told so"),
        strangers: true,
    };
}

impl TrustPolicy for Fixed {
    fn before_dial(&self, _: &PeerFacts) -> Decision {
        self.dial
    }

    fn on_accept(&self, _: &PeerFacts) -> Decision {
        self.accept
    }

    fn on_message(&self, _: &PeerFacts, _: &[u8]) -> Decision {
        self.message
    }

    fn admits_strangers(&self) -> bool {
        self.strangers
    }
}

pub(crate) const RETRY: Decision = Decision::Allow(grant());

const fn grant() -> Grant {
    let Decision::Allow(grant) = Decision::allow() else { panic!("it allows") };
    grant.with_xx_retry()
}

/// The keys of this seed with a second set of exchange keys.
pub(crate) fn rotated_keys(seed: u64) -> Arc<MemoryKeyStore> {
    let mut rng = SeededRng::new(seed);
    let mut seeds = KeySeeds::generate(&mut rng).expect("keys");
    seeds.add_set(&mut rng).expect("a second set");
    Arc::new(MemoryKeyStore::from_seeds(&seeds).expect("keys"))
}

pub(crate) fn card(keys: &dyn KeyStore, sequence: u64, kx: u32) -> IdentityCard {
    let kx = KxId::new(kx).expect("from 1");
    NewCard::new(sequence, NOW, 30 * DAY).sign(keys, kx).expect("a card")
}

/// An agent at [`NOW`] that still admits nobody in particular.
pub(crate) fn builder(seed: u64) -> AgentBuilder {
    with_keys(keys(seed))
}

pub(crate) fn with_keys(keys: Arc<dyn KeyStore>) -> AgentBuilder {
    Agent::builder(keys).clock(TestClock::at(NOW))
}

/// An agent that admits whoever proves an identity.
pub(crate) fn open(seed: u64) -> Agent {
    builder(seed).inbound(AllowAnyAuthenticated).build().expect("an agent")
}

/// An agent that admits its pins.
pub(crate) fn closed(seed: u64) -> Agent {
    builder(seed).build().expect("an agent")
}

pub(crate) fn introduce(one: &Agent, other: &Agent) {
    one.pin(Unverified::new(other.card().clone())).expect("pin");
}

/// Two agents that have pinned one another and admit nobody else.
pub(crate) fn acquainted() -> (Agent, Agent) {
    let (alice, bob) = (closed(1), closed(2));
    introduce(&alice, &bob);
    introduce(&bob, &alice);
    (alice, bob)
}

pub(crate) fn id_of(agent: &Agent) -> Peer {
    Peer::Id(agent.id().clone())
}

pub(crate) type Outcome<T = DuplexStream> = Result<Channel<T>, Error>;

/// Dials and answers at the two ends of a connection.
pub(crate) async fn call<A, B>(
    (alice, peer, near): (&Agent, Peer, A),
    (bob, far): (&Agent, B),
) -> (Outcome<A>, Outcome<B>)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    tokio::join!(alice.connect(near, peer), bob.accept(far, Source::shared()))
}

/// [`call`] over a direct connection.
pub(crate) async fn dial(alice: &Agent, peer: Peer, bob: &Agent) -> (Outcome, Outcome) {
    let (near, far) = duplex(1 << 16);
    call((alice, peer, near), (bob, far)).await
}

/// [`dial`] that must succeed.
pub(crate) async fn channels(
    alice: &Agent,
    peer: Peer,
    bob: &Agent,
) -> (Channel<DuplexStream>, Channel<DuplexStream>) {
    let (at_alice, at_bob) = dial(alice, peer, bob).await;
    (at_alice.expect("dial"), at_bob.expect("answer"))
}

pub(crate) fn pins(agent: &Agent) -> Vec<Pin> {
    agent.peers().list().expect("pins")
}
