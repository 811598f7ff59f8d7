//! What the library established about a peer: the input of every policy.

use sealwire_core::{Timestamp, Verified};
use sealwire_identity::{AgentId, CardHash, EvidenceKind, EvidenceList, PinnedBy, ScoreStatement};

use crate::Handshake;

/// Which side started the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two sides")]
pub enum Direction {
    /// This agent dialled.
    Outbound,
    /// The peer dialled.
    Inbound,
}

/// How current the peer's identity is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// A did:key has no log: it is judged by its card's expiry alone.
    NoLog,
}

/// What is established about a peer. Only the library makes one.
#[derive(Clone, Debug)]
pub struct PeerFacts {
    pub(crate) direction: Direction,
    pub(crate) handshake: Option<Handshake>,
    pub(crate) id: Option<AgentId>,
    pub(crate) card: Option<CardHash>,
    pub(crate) authenticated: bool,
    pub(crate) pinned: Option<PinnedBy>,
    pub(crate) first_seen: Option<Timestamp>,
    pub(crate) scores: Vec<Verified<ScoreStatement>>,
    pub(crate) evidence: EvidenceList,
    pub(crate) now: Timestamp,
}

impl PeerFacts {
    /// Which side dialled.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The handshake that was used; none before dialling.
    pub fn handshake(&self) -> Option<Handshake> {
        self.handshake
    }

    /// The peer, if it is known: always once it is authenticated.
    pub fn id(&self) -> Option<&AgentId> {
        self.id.as_ref()
    }

    /// The hash of the card that the peer presented.
    pub fn card(&self) -> Option<&CardHash> {
        self.card.as_ref()
    }

    /// Whether the peer has proven its identity on this connection. Before dialling it has not.
    /// One that is offline has, as far as it can, once the bundle of its prekeys is verified,
    /// which its identity key has signed; that it holds these keys shows when it answers.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// How the peer was pinned before this connection, if it was.
    pub fn pinned(&self) -> Option<PinnedBy> {
        self.pinned
    }

    /// When the peer was first pinned.
    pub fn first_seen(&self) -> Option<Timestamp> {
        self.first_seen
    }

    /// How current the identity is known to be.
    pub fn freshness(&self) -> Freshness {
        Freshness::NoLog
    }

    /// The score that `issuer` gives the peer, from a statement that is valid now. What the
    /// peer says of itself is never a score.
    pub fn score_by(&self, issuer: &AgentId) -> Option<u16> {
        self.scores
            .iter()
            .filter(|score| score.not_after() >= self.now)
            .map(Verified::as_verified)
            .filter(|score| score.issuer() == issuer && self.id.as_ref() == Some(score.subject()))
            .map(ScoreStatement::score)
            .min()
    }

    /// What the peer presented. Nothing here has been judged.
    pub fn evidence(&self) -> &EvidenceList {
        &self.evidence
    }

    /// The kinds of evidence that the peer presented, bound to its identity key.
    pub fn presents(&self, kind: EvidenceKind) -> bool {
        self.evidence.iter().any(|item| item.kind() == kind && item.is_bound())
    }

    /// The time of the decision.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}
