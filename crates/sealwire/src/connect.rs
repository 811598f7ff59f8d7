//! Dialling: from what is known of a peer to a channel with it.

use std::sync::Arc;

use sealwire_core::{Unverified, Verified, keys::StaticPublic};
use sealwire_identity::{AgentId, EvidenceList, IdentityCard, Pin};
use sealwire_noise::{
    KnownResponder, NoiseStream, Pattern, Preamble, Session,
    frame::{read_message, write_all, write_first, write_message},
    initiator,
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    Agent, CardState, Channel, Decision, Direction, Error, Handshake, Known, PeerFacts,
    PeerKnowledge, Reach,
    agent::{Inner, Presented, blocking},
};

/// Whom to dial.
///
/// ```
/// use sealwire::{Peer, identity::IdentityCard};
/// # use std::sync::Arc;
/// # use sealwire::{Agent, core::MemoryKeyStore, custody};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Arc::new(MemoryKeyStore::generate(&mut custody::system_rng())?);
/// # let text = Agent::builder(keys).build()?.card().to_text();
/// let card = IdentityCard::from_text(&text)?;
/// let bob = Peer::Card(Box::new(card));
/// # let _ = bob;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Peer {
    /// Whoever answers. It proves an identity, and is then pinned.
    Stranger,
    /// Whoever holds this X25519 exchange key.
    StaticKey(StaticPublic),
    /// A pinned agent. Its pinned card leads to IK; once that has expired, XX, and the identity
    /// must be the pinned one.
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

/// What to do, decided before anything is sent.
struct Plan {
    target: Target,
    handshake: Handshake,
    retry_with_xx: bool,
}

impl Agent {
    /// Opens a channel to a peer over a connection that stands.
    ///
    /// It ends at the deadline of [`Limits`](crate::Limits). Dropping it closes the connection.
    /// It runs on tokio, with its timer. A peer that was met is pinned, on disk where
    /// [`Peers`](crate::Peers) live there, before the channel is given.
    ///
    /// # Errors
    /// [`Error::Denied`] before anything is sent when the policy refuses; [`Error::Refused`]
    /// when the peer does; [`Error::WrongPeer`], [`Error::WrongKey`] when another answers;
    /// [`Error::Timeout`], and what [`Error`] says for the rest.
    ///
    /// After XX the peer may still refuse: then the first read from the channel fails with
    /// [`Error::Refused`].
    ///
    /// # Example
    /// ```no_run
    /// use sealwire::{Agent, Peer, identity::IdentityCard};
    /// # async fn ask(agent: Agent, text: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let bob = agent.pin(IdentityCard::from_text(text)?)?;
    /// let stream = tokio::net::TcpStream::connect("192.0.2.1:7000").await?;
    /// let mut channel = agent.connect(stream, Peer::Id(bob)).await?;
    /// channel.send(b"how far is the moon?").await?;
    /// let answer = channel.recv().await?;
    /// channel.close().await?;
    /// # let _ = answer;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The stream belongs to the channel from then on, so nothing is written past it in clear:
    ///
    /// ```compile_fail,E0382
    /// use sealwire::{Agent, Peer};
    /// use tokio::{io::AsyncWriteExt, net::TcpStream};
    /// // attack T37
    /// async fn leak(agent: Agent, mut stream: TcpStream) {
    ///     let channel = agent.connect(stream, Peer::Stranger).await;
    ///     stream.write_all(b"in clear").await;
    /// }
    /// ```
    pub async fn connect<T>(&self, mut stream: T, peer: Peer) -> Result<Channel<T>, Error>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let deadline = self.inner.admission.limits().deadline;
        let (session, facts) = tokio::time::timeout(deadline, dial(&self.inner, &mut stream, peer))
            .await
            .map_err(|_| Error::Timeout)??;
        let policy = Arc::clone(&self.inner.outbound);
        Ok(Channel::new(NoiseStream::new(stream, session), facts, policy, &self.inner))
    }
}

/// The longest that message `number` of a pattern may be, in bytes.
pub(crate) fn longest(pattern: Pattern, number: usize) -> usize {
    pattern.message_lengths(number).map_or(0, |lengths| *lengths.end())
}

async fn dial<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Arc<Inner>,
    stream: &mut T,
    peer: Peer,
) -> Result<(Session, PeerFacts), Error> {
    let planner = Arc::clone(agent);
    let Plan { target, handshake, retry_with_xx } = blocking(move || plan(&planner, peer)).await?;
    let target = Arc::new(target);
    if handshake == Handshake::NoiseXx {
        return dial_xx(agent, stream, target).await;
    }
    match dial_ik(agent, stream, Arc::clone(&target)).await {
        Err(Error::Refused) if retry_with_xx => match dial_xx(agent, stream, target).await {
            // A peer that does not wait for XX has refused, and that is all.
            Err(Error::Io(_) | Error::Truncated) => Err(Error::Refused),
            outcome => outcome,
        },
        outcome => outcome,
    }
}

/// Looks the peer up and asks the policy. Nothing has been sent yet.
fn plan(agent: &Inner, peer: Peer) -> Result<Plan, Error> {
    let target = resolve(agent, peer)?;
    let facts = facts_beforehand(agent, &target)?;
    let grant = match agent.outbound.before_dial(&facts) {
        Decision::Allow(grant) => grant,
        Decision::Deny(reason) => return Err(Error::Denied(reason)),
    };
    let handshake = Handshake::select(&target.knowledge)?;
    Ok(Plan { target, handshake, retry_with_xx: grant.retry_with_xx() })
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
    if *card.claimed().id() == agent.id {
        return Err(Error::Oneself);
    }
    let id = Some(card.claimed().id().clone());
    agent.peers.compare(card.claimed())?;
    match agent.met.verify(card, agent.now()) {
        Ok(card) => {
            let state = match agent.suite_for(card.as_verified().suites()) {
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
    agent: &Arc<Inner>,
    stream: &mut T,
    target: Arc<Target>,
) -> Result<(Session, PeerFacts), Error> {
    let (starter, held) = (Arc::clone(agent), Arc::clone(&target));
    let (preamble, message1, sent) = blocking(move || start_ik(&starter, &held)).await?;
    let message2 = exchange(stream, &preamble, &message1).await?;
    let agent = Arc::clone(agent);
    let (confirmation, session, facts) = blocking(move || {
        let claim = sent.read(&message2)?;
        let peer = present(&agent, &target, &claim)?;
        let proven = claim.prove(peer.identity())?;
        let facts = decide(&agent, Handshake::NoiseIk, &peer)?;
        let (confirmation, session) = proven.finish()?;
        agent.meet(&peer, &facts)?;
        Ok((confirmation, session, facts))
    })
    .await?;
    write_all(stream, &confirmation).await?;
    Ok((session, facts))
}

fn start_ik(
    agent: &Inner,
    target: &Target,
) -> Result<(Preamble, Vec<u8>, initiator::IkSent), Error> {
    let held = target.card.as_ref().ok_or(Error::Unreachable("IK is selected with a card"))?;
    let card = agent.peers.check(held, agent.now())?;
    let suite = agent.suite_for(card.suites()).ok_or(Error::Unreachable("a common suite"))?;
    let responder = KnownResponder {
        id: card.id().as_str().as_bytes(),
        static_key: card.exchange_key(),
        kem_key: card.kem_key(),
        kx: card.kx_id(),
        card_hash: *card.hash().as_bytes(),
    };
    let local = agent.local(agent.own_card()?);
    let mut rng = sealwire_custody::system_rng();
    Ok(initiator::start_ik(local, responder, suite, agent.offered(), &mut rng)?)
}

async fn dial_xx<T: AsyncRead + AsyncWrite + Unpin>(
    agent: &Arc<Inner>,
    stream: &mut T,
    target: Arc<Target>,
) -> Result<(Session, PeerFacts), Error> {
    let (starter, held) = (Arc::clone(agent), Arc::clone(&target));
    let (preamble, message1, sent) = blocking(move || {
        let theirs = held.card.as_ref().map(|card| card.as_verified().suites());
        let suite = theirs.and_then(|theirs| starter.suite_for(theirs)).unwrap_or(starter.suite);
        let local = starter.local(starter.own_card()?);
        let mut rng = sealwire_custody::system_rng();
        Ok(initiator::start_xx(local, suite, starter.offered(), &mut rng)?)
    })
    .await?;
    let message2 = exchange(stream, &preamble, &message1).await?;
    let agent = Arc::clone(agent);
    let (message3, session, facts) = blocking(move || {
        let claim = sent.read(&message2)?;
        let peer = present(&agent, &target, &claim)?;
        let proven = claim.prove(peer.identity())?;
        // Message 3 tells who is calling: identity, pin and policy come before it.
        let facts = decide(&agent, Handshake::NoiseXx, &peer)?;
        let (message3, session) = proven.finish(peer.id().as_str().as_bytes())?;
        agent.meet(&peer, &facts)?;
        Ok((message3, session, facts))
    })
    .await?;
    write_message(stream, &message3).await?;
    Ok((session, facts))
}

/// Sends preamble and message 1 and reads message 2.
async fn exchange<T: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut T,
    preamble: &Preamble,
    message1: &[u8],
) -> Result<Vec<u8>, Error> {
    let written = write_first(stream, preamble, message1).await;
    let read = read_message(stream, longest(preamble.pattern(), 2)).await;
    // A busy peer refuses without reading: then writing fails, and why stands there to be read.
    match (written, read.map_err(Error::from)) {
        (_, Err(Error::Refused)) => Err(Error::Refused),
        (Err(error), _) => Err(error.into()),
        (Ok(()), read) => read,
    }
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
    let peer = agent.present(claim)?;
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
