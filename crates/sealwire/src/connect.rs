//! Dialling: from what is known of a peer to a channel with it.

use sealwire_core::{Suite, SuiteSet, Unverified, Verified, keys::StaticPublic};
use sealwire_identity::{AgentId, EvidenceList, IdentityCard, Pin};
use sealwire_noise::{
    KnownResponder, MAX_PAYLOAD, NoiseStream, Session,
    frame::{read_message, write_all, write_first, write_message},
    initiator,
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    Agent, CardState, Channel, Decision, Direction, Error, Handshake, Known, PeerFacts,
    PeerKnowledge, Reach,
    agent::{Inner, Presented},
};

/// Noise overhead of IK message 2 and XX message 2, in bytes, the larger of the two.
const MESSAGE2_OVERHEAD: usize = 1200;

/// Whom to dial.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Peer {
    /// Whoever answers. It proves an identity, and is then pinned.
    Stranger,
    /// Whoever holds this X25519 exchange key.
    StaticKey(StaticPublic),
    /// A pinned agent.
    Id(AgentId),
    /// The agent of this card.
    Card(Box<Unverified<IdentityCard>>),
}

/// What is known of the peer, resolved.
struct Target {
    knowledge: PeerKnowledge,
    card: Option<Verified<IdentityCard>>,
    id: Option<AgentId>,
    static_key: Option<StaticPublic>,
}

impl Agent {
    /// Opens a channel to a peer over a connection that stands.
    ///
    /// # Errors
    /// [`Error::Denied`] before anything is sent when the policy refuses; [`Error::Refused`]
    /// when the peer does; [`Error::WrongPeer`], [`Error::WrongKey`] when another answers;
    /// [`Error::Timeout`], and what [`Error`] says for the rest.
    pub async fn connect<T>(&self, mut stream: T, peer: Peer) -> Result<Channel<T>, Error>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let deadline = self.inner.admission.limits().deadline;
        let (session, facts) = tokio::time::timeout(deadline, dial(&self.inner, &mut stream, peer))
            .await
            .map_err(|_| Error::Timeout)??;
        let policy = std::sync::Arc::clone(&self.inner.outbound);
        Ok(Channel::new(NoiseStream::new(stream, session), facts, policy, &self.inner))
    }
}

async fn dial<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Inner,
    stream: &mut T,
    peer: Peer,
) -> Result<(Session, PeerFacts), Error> {
    let target = resolve(agent, peer)?;
    let facts = facts_beforehand(agent, &target)?;
    let grant = match agent.outbound.before_dial(&facts) {
        Decision::Allow(grant) => grant,
        Decision::Deny(reason) => return Err(Error::Denied(reason)),
    };
    match Handshake::select(&target.knowledge)? {
        Handshake::NoiseIk => match dial_ik(agent, stream, &target).await {
            Err(Error::Refused) if grant.retry_with_xx() => dial_xx(agent, stream, &target).await,
            outcome => outcome,
        },
        Handshake::NoiseXx => dial_xx(agent, stream, &target).await,
    }
}

/// Looks up and verifies what is held of the peer.
fn resolve(agent: &Inner, peer: Peer) -> Result<Target, Error> {
    let online = |known| PeerKnowledge { reach: Reach::Online, known };
    let nothing =
        Target { knowledge: online(Known::Nothing), card: None, id: None, static_key: None };
    let card = match peer {
        Peer::Stranger => return Ok(nothing),
        Peer::StaticKey(key) => {
            let knowledge = online(Known::StaticKey);
            return Ok(Target { knowledge, static_key: Some(key), ..nothing });
        }
        Peer::Card(card) => *card,
        Peer::Id(id) => agent.peers.card(&id)?.ok_or(Error::NotPinned(id))?,
    };
    let id = Some(card.claimed().id().clone());
    agent.peers.compare(card.claimed())?;
    match card.verify(agent.now()) {
        Ok(card) => {
            let state = match suite_for(agent, card.as_verified().suites()) {
                Some(_) => CardState::Valid,
                None => CardState::NoCommonSuite,
            };
            Ok(Target { knowledge: online(Known::Card(state)), card: Some(card), id, ..nothing })
        }
        Err(sealwire_identity::Error::Expired { .. }) => {
            let knowledge = online(Known::Card(CardState::Expired));
            Ok(Target { knowledge, id, ..nothing })
        }
        Err(error) => Err(error.into()),
    }
}

/// Our suite where the peer has it, else one that both have.
fn suite_for(agent: &Inner, theirs: &SuiteSet) -> Option<Suite> {
    let offered = agent.offered();
    let preferred = Some(agent.suite).filter(|suite| theirs.contains(*suite));
    preferred.or_else(|| offered.iter().find(|suite| theirs.contains(*suite)))
}

fn facts_beforehand(agent: &Inner, target: &Target) -> Result<PeerFacts, Error> {
    let pin = match &target.id {
        Some(id) => agent.peers.get(id)?,
        None => None,
    };
    Ok(PeerFacts {
        direction: Direction::Outbound,
        handshake: None,
        id: target.id.clone(),
        card: target.card.as_ref().map(|card| card.as_verified().hash()),
        authenticated: false,
        pinned: pin.as_ref().map(Pin::pinned_by),
        first_seen: pin.as_ref().map(Pin::first_seen),
        scores: target.id.as_ref().map(|id| agent.peers.scores(id)).unwrap_or_default(),
        evidence: EvidenceList::default(),
        now: agent.now(),
    })
}

async fn dial_ik<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Inner,
    stream: &mut T,
    target: &Target,
) -> Result<(Session, PeerFacts), Error> {
    let held = target.card.as_ref().ok_or(Error::Unreachable("IK is selected with a card"))?;
    let card = agent.peers.check(held, agent.now())?;
    let suite = suite_for(agent, card.suites()).ok_or(Error::Unreachable("a common suite"))?;
    let responder = KnownResponder {
        id: card.id().as_str().as_bytes(),
        static_key: card.exchange_key(),
        kem_key: card.kem_key(),
        kx: card.kx_id(),
        card_hash: *card.hash().as_bytes(),
    };
    let local = agent.local(agent.current_card());
    let mut rng = sealwire_custody::system_rng();
    let (preamble, message1, sent) =
        initiator::start_ik(local, responder, suite, agent.offered(), &mut rng)?;
    write_first(stream, &preamble, &message1).await?;
    let message2 = read_message(stream, MESSAGE2_OVERHEAD + MAX_PAYLOAD).await?;
    let claim = sent.read(&message2)?;
    let peer = present(agent, target, &claim)?;
    let proven = claim.prove(peer.identity())?;
    let facts = decide(agent, Handshake::NoiseIk, &peer)?;
    let (confirmation, session) = proven.finish()?;
    agent.meet(peer.card).await?;
    write_all(stream, &confirmation).await?;
    Ok((session, facts))
}

async fn dial_xx<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Inner,
    stream: &mut T,
    target: &Target,
) -> Result<(Session, PeerFacts), Error> {
    let local = agent.local(agent.current_card());
    let mut rng = sealwire_custody::system_rng();
    let (preamble, message1, sent) =
        initiator::start_xx(local, agent.suite, agent.offered(), &mut rng)?;
    write_first(stream, &preamble, &message1).await?;
    let message2 = read_message(stream, MESSAGE2_OVERHEAD + MAX_PAYLOAD).await?;
    let claim = sent.read(&message2)?;
    let peer = present(agent, target, &claim)?;
    let proven = claim.prove(peer.identity())?;
    // Message 3 tells who is calling: identity, pin and policy come before it.
    let facts = decide(agent, Handshake::NoiseXx, &peer)?;
    let (message3, session) = proven.finish(peer.id().as_str().as_bytes())?;
    agent.meet(peer.card).await?;
    write_message(stream, &message3).await?;
    Ok((session, facts))
}

/// Verifies what the responder presents, and that it is whom we dialled.
fn present<S>(
    agent: &Inner,
    target: &Target,
    claim: &sealwire_noise::Claim<S>,
) -> Result<Presented, Error> {
    if target.static_key.as_ref().is_some_and(|key| key != claim.static_key()) {
        return Err(Error::WrongKey);
    }
    let peer = agent.present(claim.payload())?;
    match &target.id {
        Some(expected) if expected != peer.id() => {
            Err(Error::WrongPeer { expected: expected.clone(), found: peer.id().clone() })
        }
        _ => Ok(peer),
    }
}

/// Asks the policy about the authenticated responder.
fn decide(agent: &Inner, handshake: Handshake, peer: &Presented) -> Result<PeerFacts, Error> {
    let facts = agent.facts(Direction::Outbound, handshake, peer)?;
    match agent.outbound.on_accept(&facts) {
        Decision::Allow(_) => Ok(facts),
        Decision::Deny(reason) => Err(Error::Denied(reason)),
    }
}
