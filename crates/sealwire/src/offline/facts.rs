//! What policy is told of a peer on the offline path.

use sealwire_identity::{EvidenceList, IdentityCard, Pin};

use super::contact::Contact;
use crate::{
    Decision, Direction, Error, Handshake, PeerFacts,
    agent::{Inner, Presented},
    delivery::Device,
    peers::Noted,
};

/// What is known of a peer before anything is sent to it, or asked about it.
pub(super) fn beforehand(agent: &Inner, peer: &Device) -> Result<PeerFacts, Error> {
    let pin = agent.peers.get(&peer.agent)?;
    Ok(PeerFacts {
        direction: Direction::Outbound,
        handshake: None,
        id: Some(peer.agent.clone()),
        card: pin.as_ref().map(Pin::card_hash),
        authenticated: false,
        pinned: pin.as_ref().map(Pin::pinned_by),
        first_seen: pin.as_ref().map(Pin::first_seen),
        scores: agent.peers.scores(&peer.agent),
        evidence: EvidenceList::default(),
        now: agent.now(),
    })
}

/// What is known of a peer with whom there is a session. A session may be weeks old, so that
/// pin and scores are those of now.
pub(super) fn in_session(
    agent: &Inner,
    contact: &Contact,
    direction: Direction,
) -> Result<PeerFacts, Error> {
    let before = beforehand(agent, contact.device())?;
    let (card, evidence) = match &contact.known.shown {
        Some((card, evidence)) => (Some(*card), evidence.clone()),
        None => (before.card, EvidenceList::default()),
    };
    let scores = agent.scores(&contact.device().agent, &evidence);
    let handshake = Some(Handshake::X3dh);
    Ok(PeerFacts { direction, handshake, card, authenticated: true, scores, evidence, ..before })
}

/// Asks the policy of this direction about a peer that has proven its identity.
pub(super) fn accept(agent: &Inner, facts: &PeerFacts) -> Result<(), Error> {
    let policy = match facts.direction() {
        Direction::Outbound => &agent.outbound,
        Direction::Inbound => &agent.inbound,
    };
    match policy.on_accept(facts) {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) => Err(Error::Denied(reason)),
    }
}

/// Asks the policy of this direction about one message, and gives its reason to refuse it.
pub(super) fn refusal(agent: &Inner, facts: &PeerFacts, payload: &[u8]) -> Option<&'static str> {
    let policy = match facts.direction() {
        Direction::Outbound => &agent.outbound,
        Direction::Inbound => &agent.inbound,
    };
    match policy.on_message(facts, payload) {
        Decision::Allow(_) => None,
        Decision::Deny(reason) => Some(reason),
    }
}

/// Pins the card that a peer showed, on disk where peers live there, and says whether it has
/// other exchange keys than the one before.
pub(super) fn meet(agent: &Inner, peer: &Presented, facts: &PeerFacts) -> Result<bool, Error> {
    let before = agent.peers.get(peer.id())?;
    let Noted { now, mark } = agent.time();
    // A card that ended while its message lay in a mailbox was good when it was shown.
    let (now, mark) = (now.min(peer.card.not_after()), mark.min(peer.card.not_after()));
    agent.peers.meet(&peer.card, facts.pinned().is_some(), Noted { now, mark })?;
    let card: &IdentityCard = peer.card.as_verified();
    Ok(before.is_some_and(|pin| pin.kx_id() != card.kx_id()))
}
