//! An agent: an identity, the peers it knows, and the policy by which it talks to them.

use core::time::Duration;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use sealwire_core::{
    KeyStore, Suite, SuiteSet, Timestamp, Unverified, Verified,
    keystore::KxId,
    time::{HighWater, MAX_MARK_JUMP},
};
use sealwire_identity::{
    AgentId, EvidenceKind, EvidenceList, IdentityCard, NewCard, Pin, ScoreStatement,
};
use sealwire_noise::{Claim, GateKey, Introduction, Local, PeerIdentity};
use sealwire_ratchet::prekey::CONTACT_TTL;

use crate::{
    AllowAnyAuthenticated, Clock, Direction, Error, Handshake, KnownPeers, Limits, PeerFacts,
    Peers, SystemClock, TrustPolicy,
    admission::Admission,
    cards::VerifiedCards,
    delivery::{Delivery, Device},
    offline::Offline,
    peers::Noted,
    store::Store,
};

/// Lifetime of a card that an agent signs for itself, in seconds: 30 days, the most that a
/// did:key may have.
pub const CARD_LIFETIME: u64 = 30 * 24 * 60 * 60;

/// How long after its end a card of ours is still taken as the one that a peer used, in
/// seconds: 1 hour, for peers whose clock runs late. It is not presented any more.
const CARD_GRACE: u64 = 60 * 60;

/// How long after its end a card of ours is kept, in seconds: a first message that was written
/// in its last second may lie in the contact mailbox for as long as that keeps messages.
pub(crate) const CARD_KEPT: u64 = CONTACT_TTL + CARD_GRACE;

/// An agent: an identity, the peers it knows, and the policy by which it talks to them.
///
/// Clones share one state. It dials with [`Agent::connect`] and answers with
/// [`Agent::accept`]. Its cards are those it was built with: build it anew, with a new card,
/// before the last of them ends.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{Agent, core::MemoryKeyStore, custody};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = MemoryKeyStore::generate(&mut custody::system_rng())?;
/// let agent = Agent::builder(Arc::new(keys)).build()?;
/// assert!(agent.id().as_str().starts_with("did:key:z6Mk"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Agent {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) id: AgentId,
    /// Newest first: the current card, then those in grace.
    cards: Vec<IdentityCard>,
    pub(crate) inbound: Arc<dyn TrustPolicy>,
    pub(crate) outbound: Arc<dyn TrustPolicy>,
    pub(crate) peers: Arc<Peers>,
    /// Cards of peers that were met.
    pub(crate) met: VerifiedCards,
    evidence: Vec<u8>,
    pub(crate) suite: Suite,
    pub(crate) admission: Admission,
    pub(crate) clock: Arc<dyn Clock>,
    mark: Mutex<HighWater>,
    /// What the clock said when the agent was built, on the wall and elapsed.
    built: (Timestamp, Duration),
    /// The gate key of every set of exchange keys that a card names.
    gates: Vec<(KxId, GateKey)>,
    /// What the offline path has, if the agent was built with a store and a delivery.
    pub(crate) offline: Option<Offline>,
}

/// Settings of an [`Agent`], each with a default.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{Agent, KnownPeers, Limits, Peers, core::{KeyStore, MemoryKeyStore, Suite}};
/// # use sealwire::{SystemClock, Clock, custody, identity::NewCard};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = Arc::new(MemoryKeyStore::generate(&mut custody::system_rng())?);
/// # let now = SystemClock::new().wall();
/// let card = NewCard::new(7, now, 24 * 60 * 60).sign(keys.as_ref(), keys.newest())?;
/// let agent = Agent::builder(keys)
///     .card(card.clone())
///     .inbound(KnownPeers)
///     .peers(Arc::new(Peers::in_memory()))
///     .suite(Suite::ChaChaPoly)
///     .limits(Limits::default())
///     .build()?;
/// assert_eq!(agent.card(), &card);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct AgentBuilder {
    keys: Arc<dyn KeyStore>,
    cards: Vec<IdentityCard>,
    inbound: Arc<dyn TrustPolicy>,
    outbound: Arc<dyn TrustPolicy>,
    peers: Arc<Peers>,
    evidence: EvidenceList,
    suite: Suite,
    limits: Limits,
    clock: Arc<dyn Clock>,
    store: Option<Arc<dyn Store>>,
    delivery: Option<Arc<dyn Delivery>>,
    device: u32,
}

impl AgentBuilder {
    /// A card that this agent has handed out. Give the current one and those that peers may
    /// still hold: a dial is answered for any of them. Without one that is valid, the agent
    /// signs a card, whose sequence is the time in seconds.
    pub fn card(mut self, card: IdentityCard) -> Self {
        self.cards.push(card);
        self
    }

    /// Who may connect. Default: [`KnownPeers`].
    pub fn inbound(mut self, policy: impl TrustPolicy + 'static) -> Self {
        self.inbound = Arc::new(policy);
        self
    }

    /// Who may be dialled. Default: [`AllowAnyAuthenticated`], since the caller names the peer.
    pub fn outbound(mut self, policy: impl TrustPolicy + 'static) -> Self {
        self.outbound = Arc::new(policy);
        self
    }

    /// The peers it knows. Default: none, in memory.
    pub fn peers(mut self, peers: Arc<Peers>) -> Self {
        self.peers = peers;
        self
    }

    /// What it presents to every peer.
    pub fn evidence(mut self, evidence: EvidenceList) -> Self {
        self.evidence = evidence;
        self
    }

    /// The suite it dials with. Default: [`Suite::preferred`].
    pub fn suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// Bounds on handshakes and channels.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where the time comes from. Default: [`SystemClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where the state of the offline path is kept. It goes together with
    /// [`AgentBuilder::delivery`].
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// How peers that are offline are reached. It goes together with [`AgentBuilder::store`].
    pub fn delivery(mut self, delivery: Arc<dyn Delivery>) -> Self {
        self.delivery = Some(delivery);
        self
    }

    /// The number of this device: replicas of one agent have numbers, prekeys and sessions of
    /// their own. Default: 0, the one that peers write to.
    pub fn device(mut self, number: u32) -> Self {
        self.device = number;
        self
    }

    /// The agent. With a store it reads its state and notes its card there, which may block.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a card of another agent or with keys that the store does not
    /// have, for two cards of one sequence, for a store without a delivery, and for a store of
    /// another agent or device; [`Error::Identity`] for a card that does not verify, and when
    /// one cannot be signed; [`Error::State`] and [`Error::StateRow`] when the state cannot
    /// be read.
    pub fn build(self) -> Result<Agent, Error> {
        let Self { keys, mut cards, inbound, outbound, peers, evidence, suite, limits, .. } = self;
        let Self { clock, store, delivery, device, .. } = self;
        let id = AgentId::from_key(keys.identity());
        let offline = match (store, delivery) {
            (None, None) => None,
            (Some(store), Some(delivery)) => {
                Some(Offline::open(store, delivery, Device { agent: id.clone(), number: device })?)
            }
            _ => return Err(Error::Misuse("a store and a delivery go together")),
        };
        // Peers may hold the card that this agent published, whether or not it was given.
        let ours = |card: &IdentityCard| {
            keys.public(card.kx_id()).is_ok_and(|publics| publics == *card.exchange_publics())
        };
        cards.extend(offline.iter().flat_map(Offline::own_cards).filter(ours));
        // With nothing remembered, what the clock says now is what later readings are held to.
        let remembered = latest(&cards, &peers, clock.wall());
        let first = remembered == Timestamp::default();
        let mut mark = HighWater::new(if first { clock.wall() } else { remembered });
        let built = (clock.wall(), clock.elapsed());
        let now = mark.observe(built.0, built.1).now;
        let cards = usable_cards(keys.as_ref(), &id, cards, now)?;
        if let (Some(offline), Some(card)) = (&offline, cards.first()) {
            offline.keep_card(card)?;
        }
        let gate = |card: &IdentityCard| Ok((card.kx_id(), GateKey::new(card.kem_key())?));
        let gates = cards.iter().map(gate).collect::<Result<_, Error>>()?;
        let inner = Inner {
            keys,
            id,
            cards,
            inbound,
            outbound,
            peers,
            met: VerifiedCards::default(),
            evidence: evidence.to_bytes(),
            suite,
            admission: Admission::new(limits),
            clock,
            mark: Mutex::new(mark),
            built,
            gates,
            offline,
        };
        Ok(Agent { inner: Arc::new(inner) })
    }
}

/// The latest time that is remembered. A card of ours was signed by a clock of ours, unless it
/// begins more than a day ahead: then that clock was wrong, or this one is.
fn latest(cards: &[IdentityCard], peers: &Peers, wall: Timestamp) -> Timestamp {
    let bound = wall.plus(MAX_MARK_JUMP);
    let begun = cards.iter().map(IdentityCard::not_before).filter(|time| *time <= bound).max();
    begun.unwrap_or_default().max(peers.latest())
}

/// The cards that still stand, newest first, with a fresh one where none is valid.
fn usable_cards(
    keys: &dyn KeyStore,
    id: &AgentId,
    cards: Vec<IdentityCard>,
    now: Timestamp,
) -> Result<Vec<IdentityCard>, Error> {
    use sealwire_identity::Error as Identity;
    let newest = cards.iter().map(IdentityCard::sequence).max().unwrap_or_default();
    let mut usable: Vec<IdentityCard> = Vec::with_capacity(cards.len().saturating_add(1));
    let mut valid = false;
    for card in cards {
        let ours = keys.public(card.kx_id()).ok();
        if card.id() != id || ours.as_ref() != Some(card.exchange_publics()) {
            return Err(Error::Misuse("a card of another agent, or of other exchange keys"));
        }
        match Unverified::new(card.clone()).verify(now) {
            Ok(_) => valid = true,
            Err(Identity::Expired { not_after, .. }) if now <= not_after.plus(CARD_KEPT) => {}
            Err(Identity::Expired { .. } | Identity::NotYetValid { .. }) => continue,
            Err(error) => return Err(error.into()),
        }
        match usable.iter().find(|other| other.sequence() == card.sequence()) {
            None => usable.push(card),
            Some(same) if *same == card => {}
            Some(_) => return Err(Error::Misuse("two cards of one sequence; peers refuse both")),
        }
    }
    if !valid {
        let sequence = newest.saturating_add(1).max(now.as_secs());
        usable.push(NewCard::new(sequence, now, CARD_LIFETIME).sign(keys, keys.newest())?);
    }
    usable.sort_by_key(|card| std::cmp::Reverse(card.sequence()));
    Ok(usable)
}

impl Agent {
    /// Starts to build the agent of these keys.
    ///
    /// See [`AgentBuilder`] for an example.
    pub fn builder(keys: Arc<dyn KeyStore>) -> AgentBuilder {
        AgentBuilder {
            keys,
            cards: Vec::new(),
            inbound: Arc::new(KnownPeers),
            outbound: Arc::new(AllowAnyAuthenticated),
            peers: Arc::new(Peers::in_memory()),
            evidence: EvidenceList::default(),
            suite: Suite::preferred(),
            limits: Limits::default(),
            clock: Arc::new(SystemClock::new()),
            store: None,
            delivery: None,
            device: 0,
        }
    }

    /// The agent's id.
    pub fn id(&self) -> &AgentId {
        &self.inner.id
    }

    /// The current card, to hand to peers.
    pub fn card(&self) -> &IdentityCard {
        self.inner.current_card()
    }

    /// The peers it knows.
    pub fn peers(&self) -> &Arc<Peers> {
        &self.inner.peers
    }

    /// Pins a peer's card that came another way than from the peer on the network.
    ///
    /// # Errors
    /// [`Error::Identity`] for a card that does not verify or that the pin refuses;
    /// [`Error::Oneself`]; [`Error::Store`], [`Error::PeersFile`].
    ///
    /// # Example
    /// ```
    /// use sealwire::{Agent, identity::IdentityCard};
    /// # use std::sync::Arc;
    /// # fn agent() -> Result<Agent, Box<dyn std::error::Error>> {
    /// #     let mut rng = sealwire::custody::system_rng();
    /// #     let keys = Arc::new(sealwire::core::MemoryKeyStore::generate(&mut rng)?);
    /// #     Ok(Agent::builder(keys).build()?)
    /// # }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (alice, bob) = (agent()?, agent()?);
    /// // Bob's card, from his own hands: mail, a repository, a terminal.
    /// let text = bob.card().to_text();
    ///
    /// let pinned = alice.pin(IdentityCard::from_text(&text)?)?;
    /// assert_eq!(&pinned, bob.id());
    /// assert!(alice.peers().get(bob.id())?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn pin(&self, card: Unverified<IdentityCard>) -> Result<AgentId, Error> {
        let Noted { now, mark } = self.inner.time();
        let card = card.verify(now)?;
        let id = card.as_verified().id();
        if *id == self.inner.id {
            return Err(Error::Oneself);
        }
        self.inner.peers.pin(&card, sealwire_identity::PinnedBy::OutOfBand, mark)?;
        Ok(id.clone())
    }
}

/// A peer that presented a verified card. It has proven nothing before its claim was checked.
pub(crate) struct Presented {
    pub(crate) card: Verified<IdentityCard>,
    pub(crate) evidence: EvidenceList,
    scores: Vec<Verified<ScoreStatement>>,
}

impl Presented {
    pub(crate) fn identity(&self) -> PeerIdentity<'_> {
        let card = self.card.as_verified();
        PeerIdentity {
            id: card.id().as_str().as_bytes(),
            key: card.identity_key(),
            static_key: card.exchange_key(),
        }
    }

    pub(crate) fn id(&self) -> &AgentId {
        self.card.as_verified().id()
    }
}

impl Inner {
    /// The time to judge expiry by.
    pub(crate) fn now(&self) -> Timestamp {
        self.time().now
    }

    pub(crate) fn time(&self) -> Noted {
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        let now = mark.observe(self.clock.wall(), self.clock.elapsed()).now;
        Noted { now, mark: mark.mark() }
    }

    /// Whether the clock runs so far ahead of what is remembered that nothing may be deleted for
    /// its age. That may be because the agent was off.
    pub(crate) fn is_ahead(&self) -> bool {
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        mark.observe(self.clock.wall(), self.clock.elapsed()).jumped
    }

    /// Whether the clock has jumped ahead since the agent was built. What it said then is believed:
    /// nothing else tells how long the agent was off.
    pub(crate) fn clock_jumped(&self) -> bool {
        let (wall, elapsed) = self.built;
        let passed = self.clock.elapsed().saturating_sub(elapsed).as_secs();
        self.is_ahead() && self.clock.wall() > wall.plus(passed).plus(MAX_MARK_JUMP)
    }

    /// The offline path.
    pub(crate) fn offline(&self) -> Result<&Offline, Error> {
        self.offline.as_ref().ok_or(Error::Misuse("the agent was built without a store"))
    }

    /// The newest card. `build` leaves at least one.
    #[expect(clippy::indexing_slicing, reason = "usable_cards never gives an empty list")]
    fn current_card(&self) -> &IdentityCard {
        &self.cards[0]
    }

    /// The newest card that is valid.
    pub(crate) fn own_card(&self) -> Result<&IdentityCard, Error> {
        let now = self.now();
        let valid = self.cards.iter().find(|card| now <= card.not_after());
        valid.ok_or(Error::OwnCardExpired)
    }

    /// The newest card that names these exchange keys, while it is valid.
    pub(crate) fn card_for(&self, kx: KxId) -> Option<&IdentityCard> {
        let now = self.now();
        self.cards.iter().find(|card| card.kx_id() == kx && now <= card.not_after())
    }

    /// Whether a peer may still use this card of ours, with these exchange keys.
    pub(crate) fn holds_card(&self, hash: &[u8; 32], kx: KxId) -> bool {
        let now = self.now();
        self.cards
            .iter()
            .filter(|card| card.kx_id() == kx && now <= card.not_after().plus(CARD_GRACE))
            .any(|card| card.hash().as_bytes() == hash)
    }

    /// The cards with these exchange keys that a message which lay in a mailbox may name.
    // AGR-12
    pub(crate) fn kept_cards(&self, kx: KxId) -> Vec<&IdentityCard> {
        let now = self.now();
        let stands =
            |card: &&IdentityCard| card.kx_id() == kx && now <= card.not_after().plus(CARD_KEPT);
        self.cards.iter().filter(stands).collect()
    }

    /// Our suite where the peer has it, else one that both have.
    pub(crate) fn suite_for(&self, theirs: &SuiteSet) -> Option<Suite> {
        let offered = self.offered();
        let preferred = Some(self.suite).filter(|suite| theirs.contains(*suite));
        preferred.or_else(|| offered.iter().find(|suite| theirs.contains(*suite)))
    }

    /// What this agent presents beside its card.
    pub(crate) fn evidence(&self) -> &[u8] {
        &self.evidence
    }

    /// This side of a handshake, introduced by `card`.
    pub(crate) fn local(&self, card: &IdentityCard) -> Local {
        let introduction = Introduction {
            id: self.id.as_str().as_bytes().to_vec(),
            card: card.as_bytes().to_vec(),
            log: None,
            evidence: self.evidence.clone(),
        };
        Local::new(Arc::clone(&self.keys), card.kx_id(), introduction)
    }

    /// The gate key of these exchange keys, and whether we can answer for them. For others it
    /// is the key of the newest, so that an unknown number costs and shows what a wrong gate
    /// does.
    pub(crate) fn gate(&self, kx: KxId) -> Option<(&GateKey, bool)> {
        let known = self.card_for(kx).is_some();
        let own = self.gates.iter().find(|(number, _)| *number == kx);
        own.or(self.gates.first()).map(|(_, gate)| (gate, known))
    }

    /// The suites that every dial offers.
    pub(crate) fn offered(&self) -> SuiteSet {
        SuiteSet::all()
    }

    /// Verifies what a claim presents, and checks the card against its pin.
    pub(crate) fn present<S>(&self, claim: &Claim<S>) -> Result<Presented, Error> {
        let payload = claim.payload();
        let card = self.met.present(payload.card(), claim.static_key(), self.now())?;
        self.present_card(card, payload.log(), payload.evidence())
    }

    /// Checks a verified card against its pin, and reads what comes with it.
    pub(crate) fn present_card(
        &self,
        card: Verified<IdentityCard>,
        log: Option<&[u8]>,
        evidence: &[u8],
    ) -> Result<Presented, Error> {
        // A reflected handshake proves no more than that we hold our own keys.
        if *card.as_verified().id() == self.id {
            return Err(Error::Oneself);
        }
        if log.is_some() {
            return Err(Error::Denied("a did:key has no log"));
        }
        self.peers.compare(card.as_verified())?;
        let evidence = EvidenceList::from_bytes(evidence)?;
        let scores = self.scores(card.as_verified().id(), &evidence);
        Ok(Presented { card, evidence, scores })
    }

    /// What is known of a peer's score, from its own hands too.
    pub(crate) fn scores(
        &self,
        id: &AgentId,
        evidence: &EvidenceList,
    ) -> Vec<Verified<ScoreStatement>> {
        let now = self.now();
        let mut scores = self.peers.scores(id);
        // EV-4: unbound evidence never raises a decision.
        let presented =
            evidence.iter().filter(|item| item.kind() == EvidenceKind::Score && item.is_bound());
        // A statement that does not verify raises nothing, and is no reason to refuse either.
        scores.extend(
            presented
                .filter_map(|item| ScoreStatement::from_bytes(item.data()).ok()?.verify(now).ok()),
        );
        scores
    }

    /// The facts about a peer that has proven its identity.
    pub(crate) fn facts(
        &self,
        direction: Direction,
        handshake: Handshake,
        peer: &Presented,
    ) -> Result<PeerFacts, Error> {
        let card = peer.card.as_verified();
        let pin = self.peers.get(card.id())?;
        Ok(PeerFacts {
            direction,
            handshake: Some(handshake),
            id: Some(card.id().clone()),
            card: Some(card.hash()),
            authenticated: true,
            pinned: pin.as_ref().map(Pin::pinned_by),
            first_seen: pin.as_ref().map(Pin::first_seen),
            scores: peer.scores.clone(),
            evidence: peer.evidence.clone(),
            now: self.now(),
        })
    }

    /// Notes that a peer was met, on disk where peers live there, before anything is released.
    /// May block.
    pub(crate) fn meet(&self, peer: &Presented, facts: &PeerFacts) -> Result<(), Error> {
        self.peers.meet(&peer.card, facts.pinned.is_some(), self.time())?;
        self.met.keep(&peer.card);
        Ok(())
    }
}

/// Runs what may block: key operations, for a key may live in hardware, files, and policy.
pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Error> + Send + 'static,
) -> Result<R, Error> {
    let failed = match tokio::task::spawn_blocking(work).await {
        Ok(result) => return result,
        Err(failed) => failed,
    };
    match failed.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(Error::Unreachable("work that is waited for is not cancelled")),
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("id", &self.id).finish_non_exhaustive()
    }
}
