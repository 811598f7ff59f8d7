//! Who may talk: before dialling, on accepting, and per message.

use std::{fmt, sync::Arc};

use sealwire_identity::AgentId;

use crate::PeerFacts;

/// Decides who may talk. Every method is pure: it looks at the facts and nothing else. It may
/// be called on a thread for blocking work.
///
/// ```
/// use sealwire::{Agent, Decision, PeerFacts, TrustPolicy};
///
/// /// Pinned peers may talk, and say at most a line at a time.
/// #[derive(Debug)]
/// struct OneLiners;
///
/// impl TrustPolicy for OneLiners {
///     fn before_dial(&self, peer: &PeerFacts) -> Decision {
///         self.on_accept(peer)
///     }
///
///     fn on_accept(&self, peer: &PeerFacts) -> Decision {
///         match peer.pinned() {
///             Some(_) => Decision::allow(),
///             None => Decision::Deny("not pinned"),
///         }
///     }
///
///     fn on_message(&self, _peer: &PeerFacts, message: &[u8]) -> Decision {
///         if message.contains(&b'\n') { Decision::Deny("two lines") } else { Decision::allow() }
///     }
/// }
/// # use std::sync::Arc;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = sealwire::custody::system_rng();
/// # let keys = sealwire::core::MemoryKeyStore::generate(&mut rng)?;
/// let agent = Agent::builder(Arc::new(keys)).inbound(OneLiners).build()?;
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
///
/// Only the library makes [`PeerFacts`], so a policy never judges facts that someone made up:
///
/// ```compile_fail,E0451
/// // attack T37
/// let facts = sealwire::PeerFacts { authenticated: true, ..unimplemented!() };
/// ```
pub trait TrustPolicy: Send + Sync + fmt::Debug {
    /// Before anything is sent to a peer. The facts are those known beforehand.
    fn before_dial(&self, peer: &PeerFacts) -> Decision;

    /// After the peer was authenticated and before anything of this side is released to it: in
    /// IK before message 2, in XX before any record. Asked in both directions.
    ///
    /// With a peer that is offline: before a one-time prekey is claimed from it, once its card
    /// and bundle are verified; and for every message of it, before any of that is released or,
    /// of a first one, a one-time prekey is used up.
    fn on_accept(&self, peer: &PeerFacts) -> Decision;

    /// Before a single message is handed to the application by
    /// [`Channel::recv`](crate::Channel::recv), or comes into the
    /// [`inbox`](crate::Agent::inbox). The byte stream has no messages to judge.
    fn on_message(&self, peer: &PeerFacts, message: &[u8]) -> Decision {
        let _ = (peer, message);
        Decision::allow()
    }

    /// Whether a peer that is not pinned can ever be allowed in. Where it cannot, XX is not
    /// answered at all: its second message shows this agent's identity to whoever asks.
    fn admits_strangers(&self) -> bool {
        false
    }
}

/// What a policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a policy allows or denies")]
pub enum Decision {
    /// The peer may talk, within the grant.
    Allow(Grant),
    /// The peer may not. The reason stays on this side: strangers see one constant refusal.
    Deny(&'static str),
}

/// What an allowed peer may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    retry_with_xx: bool,
}

impl Grant {
    /// Lets a dial that IK refused be tried once more with XX, on the same connection. The
    /// peer must prove the same identity before it learns who is calling.
    ///
    /// # Security
    /// A refusal is not authenticated. XX with the same peer is as secret as IK, and authenticates
    /// it by its signature alone, without its static ML-KEM key.
    #[must_use]
    pub const fn with_xx_retry(self) -> Self {
        Self { retry_with_xx: true }
    }

    /// Whether a refused IK may be followed by one XX.
    pub const fn retry_with_xx(self) -> bool {
        self.retry_with_xx
    }
}

impl Decision {
    /// Allows, with the plain grant.
    pub const fn allow() -> Self {
        Self::Allow(Grant { retry_with_xx: false })
    }

    /// Whether it allows.
    pub const fn is_allow(self) -> bool {
        matches!(self, Self::Allow(_))
    }
}

/// Lets pinned peers talk, and nobody else. The default for inbound connections.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{Agent, KnownPeers};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = sealwire::custody::system_rng();
/// # let keys = Arc::new(sealwire::core::MemoryKeyStore::generate(&mut rng)?);
/// let agent = Agent::builder(keys).inbound(KnownPeers).outbound(KnownPeers).build()?;
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no settings")]
pub struct KnownPeers;

impl TrustPolicy for KnownPeers {
    fn before_dial(&self, peer: &PeerFacts) -> Decision {
        self.on_accept(peer)
    }

    fn on_accept(&self, peer: &PeerFacts) -> Decision {
        match peer.pinned() {
            Some(_) => Decision::Allow(Grant::default().with_xx_retry()),
            None => Decision::Deny("the peer is not pinned"),
        }
    }
}

/// Lets in whoever proves an identity, whichever it is; it is then pinned.
///
/// The default for outbound connections, where the caller chose whom to dial. For inbound
/// ones it is for demonstrations and for agents that serve the public.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{Agent, AllowAnyAuthenticated};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = sealwire::custody::system_rng();
/// # let keys = Arc::new(sealwire::core::MemoryKeyStore::generate(&mut rng)?);
/// let public = Agent::builder(keys).inbound(AllowAnyAuthenticated).build()?;
/// # let _ = public;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no settings")]
pub struct AllowAnyAuthenticated;

impl TrustPolicy for AllowAnyAuthenticated {
    fn before_dial(&self, _peer: &PeerFacts) -> Decision {
        Decision::Allow(Grant::default().with_xx_retry())
    }

    fn on_accept(&self, peer: &PeerFacts) -> Decision {
        if peer.is_authenticated() {
            Decision::Allow(Grant::default().with_xx_retry())
        } else {
            Decision::Deny("the peer has not proven an identity")
        }
    }

    fn admits_strangers(&self) -> bool {
        true
    }
}

/// Lets peers talk to which a trusted issuer gives a score of at least a threshold.
///
/// A dial is judged by the scores that [`Peers::add_score`](crate::Peers::add_score) was given;
/// a peer that connects may bring a statement in its evidence.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{Agent, ScoreAtLeast, identity::AgentId};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = sealwire::custody::system_rng();
/// # let keys = Arc::new(sealwire::core::MemoryKeyStore::generate(&mut rng)?);
/// let issuer = AgentId::parse("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp")?;
/// let policy = ScoreAtLeast::new(700, [issuer]);
/// let agent = Agent::builder(keys).inbound(policy.clone()).outbound(policy).build()?;
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ScoreAtLeast {
    threshold: u16,
    issuers: Vec<AgentId>,
}

impl ScoreAtLeast {
    /// A threshold on the scale 0 to 1000, and the issuers whose statements count. The lowest
    /// valid score of any of them decides.
    pub fn new(threshold: u16, issuers: impl IntoIterator<Item = AgentId>) -> Self {
        Self { threshold, issuers: issuers.into_iter().collect() }
    }
}

impl TrustPolicy for ScoreAtLeast {
    fn before_dial(&self, peer: &PeerFacts) -> Decision {
        self.on_accept(peer)
    }

    fn on_accept(&self, peer: &PeerFacts) -> Decision {
        let score = self.issuers.iter().filter_map(|issuer| peer.score_by(issuer)).min();
        match score {
            Some(score) if score >= self.threshold => Decision::allow(),
            Some(_) => Decision::Deny("the peer's score is below the threshold"),
            None => Decision::Deny("no trusted issuer gives the peer a score"),
        }
    }

    fn admits_strangers(&self) -> bool {
        true
    }
}

/// Allows what every one of its policies allows. An empty list allows nothing.
///
/// Made by [`all`].
#[derive(Clone, Debug)]
pub struct All(Vec<Arc<dyn TrustPolicy>>);

/// Allows what one of its policies allows. An empty list allows nothing.
///
/// A message passes when one policy allows both the peer and the message: a policy that does
/// not admit the peer has no say in what it may send. Made by [`any`].
#[derive(Clone, Debug)]
pub struct AnyOf(Vec<Arc<dyn TrustPolicy>>);

/// Allows what its policy denies, among peers that have proven an identity or are about to be
/// dialled. Messages pass. Made by [`not`].
///
/// # Security
/// It allows whatever its policy does not, now and in later releases, and the negation of an
/// empty list allows everyone: inside [`all`], it narrows what another policy allows.
#[derive(Clone, Debug)]
pub struct Not(Arc<dyn TrustPolicy>);

/// Allows what every policy allows.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{Agent, KnownPeers, ScoreAtLeast, TrustPolicy, all, identity::AgentId};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = sealwire::custody::system_rng();
/// # let keys = Arc::new(sealwire::core::MemoryKeyStore::generate(&mut rng)?);
/// # let issuer = AgentId::parse("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp")?;
/// let known: Arc<dyn TrustPolicy> = Arc::new(KnownPeers);
/// let policy = all([known, Arc::new(ScoreAtLeast::new(700, [issuer]))]);
/// let agent = Agent::builder(keys).inbound(policy).build()?;
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
pub fn all(policies: impl IntoIterator<Item = Arc<dyn TrustPolicy>>) -> All {
    All(policies.into_iter().collect())
}

/// Allows what one of the policies allows.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{Agent, KnownPeers, ScoreAtLeast, TrustPolicy, any, identity::AgentId};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = sealwire::custody::system_rng();
/// # let keys = Arc::new(sealwire::core::MemoryKeyStore::generate(&mut rng)?);
/// # let issuer = AgentId::parse("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp")?;
/// let known: Arc<dyn TrustPolicy> = Arc::new(KnownPeers);
/// let policy = any([known, Arc::new(ScoreAtLeast::new(700, [issuer]))]);
/// let agent = Agent::builder(keys).inbound(policy).build()?;
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
pub fn any(policies: impl IntoIterator<Item = Arc<dyn TrustPolicy>>) -> AnyOf {
    AnyOf(policies.into_iter().collect())
}

/// Allows what the policy denies.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{Agent, AllowAnyAuthenticated, KnownPeers, TrustPolicy, all, not};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = sealwire::custody::system_rng();
/// # let keys = Arc::new(sealwire::core::MemoryKeyStore::generate(&mut rng)?);
/// // A front desk for newcomers only.
/// let anyone: Arc<dyn TrustPolicy> = Arc::new(AllowAnyAuthenticated);
/// let newcomers = all([anyone, Arc::new(not(Arc::new(KnownPeers)))]);
/// let agent = Agent::builder(keys).inbound(newcomers).build()?;
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
pub fn not(policy: Arc<dyn TrustPolicy>) -> Not {
    Not(policy)
}

impl All {
    fn decide(&self, ask: impl Fn(&dyn TrustPolicy) -> Decision) -> Decision {
        let mut grant: Option<Grant> = None;
        for policy in &self.0 {
            match ask(policy.as_ref()) {
                Decision::Deny(reason) => return Decision::Deny(reason),
                Decision::Allow(next) => {
                    let both = grant.is_none_or(|grant| grant.retry_with_xx) && next.retry_with_xx;
                    grant = Some(Grant { retry_with_xx: both });
                }
            }
        }
        grant.map_or(Decision::Deny("an empty list of policies"), Decision::Allow)
    }
}

impl TrustPolicy for All {
    fn before_dial(&self, peer: &PeerFacts) -> Decision {
        self.decide(|policy| policy.before_dial(peer))
    }

    fn on_accept(&self, peer: &PeerFacts) -> Decision {
        self.decide(|policy| policy.on_accept(peer))
    }

    fn on_message(&self, peer: &PeerFacts, message: &[u8]) -> Decision {
        self.decide(|policy| policy.on_message(peer, message))
    }

    fn admits_strangers(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|policy| policy.admits_strangers())
    }
}

impl AnyOf {
    fn decide(&self, ask: impl Fn(&dyn TrustPolicy) -> Decision) -> Decision {
        let mut last = Decision::Deny("an empty list of policies");
        for policy in &self.0 {
            last = ask(policy.as_ref());
            if last.is_allow() {
                break;
            }
        }
        last
    }
}

impl TrustPolicy for AnyOf {
    fn before_dial(&self, peer: &PeerFacts) -> Decision {
        self.decide(|policy| policy.before_dial(peer))
    }

    fn on_accept(&self, peer: &PeerFacts) -> Decision {
        self.decide(|policy| policy.on_accept(peer))
    }

    fn on_message(&self, peer: &PeerFacts, message: &[u8]) -> Decision {
        // A policy that keeps the peer out would let its messages in by the default.
        self.decide(|policy| match policy.on_accept(peer) {
            Decision::Allow(_) => policy.on_message(peer, message),
            denied @ Decision::Deny(_) => denied,
        })
    }

    fn admits_strangers(&self) -> bool {
        self.0.iter().any(|policy| policy.admits_strangers())
    }
}

impl Not {
    fn invert(decision: Decision) -> Decision {
        match decision {
            Decision::Allow(_) => Decision::Deny("the policy excludes the peer"),
            Decision::Deny(_) => Decision::allow(),
        }
    }
}

impl TrustPolicy for Not {
    fn before_dial(&self, peer: &PeerFacts) -> Decision {
        Self::invert(self.0.before_dial(peer))
    }

    fn on_accept(&self, peer: &PeerFacts) -> Decision {
        // A denial for want of a proof is no reason to let anyone in.
        if !peer.is_authenticated() {
            return Decision::Deny("the peer has not proven an identity");
        }
        Self::invert(self.0.on_accept(peer))
    }

    // Messages pass: the peer was judged when it connected, and inverting the default, which
    // allows, would deny every message.

    fn admits_strangers(&self) -> bool {
        true
    }
}
