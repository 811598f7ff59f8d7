//! Sending: from bytes to a sealed frame in the outbox.

use std::sync::Arc;

use sealwire_core::{Timestamp, kdf, rng::draw};
use sealwire_identity::{EvidenceList, IdentityCard};
use sealwire_ratchet::{
    Session,
    agreement::{self, Initiated, Introduction, Local, ReplyTo},
    prekey::{Bundle, OneTimeKeys, PeerKeys, UnverifiedBundle},
};
use zeroize::Zeroizing;

use super::{
    Draft, Event, Held, MAX_PAYLOAD_LEN, Offline,
    contact::{Changed, Contact},
    content::{Body, Content},
    facts,
    outbox::{self, Holds},
    rows::{RowReader, RowWriter},
};
use crate::{
    Agent, CardState, Decision, Direction, Effects, Error, Handshake, Known, NoRoute,
    PeerKnowledge, Reach,
    agent::{Inner, Presented, blocking},
    delivery::{Address, Claimed, ClaimedKey, Device, MailboxKind, MessageId, Published},
    store::{RowKey, Table},
};

/// How long a message with a key is not sent again, in seconds: as long as a relay keeps one.
pub(super) const ONCE_LIFETIME: u64 = 7 * 24 * 60 * 60;

/// Prefix of the rows that tell a repetition.
pub(super) const ONCE: &[u8] = b"once ";

impl Agent {
    /// Sends a message to a peer that may be offline, and gives its id.
    ///
    /// When it returns, the message is sealed, and stored for [`Agent::sync`] to deliver: it
    /// does not wait for delivery, and a crash does not lose it. The first message to a peer
    /// looks up its card and prekeys with the delivery.
    ///
    /// A message has at most [`MAX_PAYLOAD_LEN`] bytes; a longer one goes by
    /// [`Agent::send_large`].
    ///
    /// # Errors
    /// [`Error::Denied`] when the policy refuses; [`Error::NoRoute`] for a peer that published
    /// no prekeys, or none for a suite that this agent has; [`Error::MessageTooLong`];
    /// [`Error::Delivery`] when prekeys cannot be fetched; [`Error::Identity`] and
    /// [`Error::Ratchet`] for a card or prekeys that do not verify; [`Error::State`] when it
    /// could not be stored, after which nothing was sent; [`Error::Misuse`] for an agent without
    /// a store, and for the key of a [`Draft`] that was used for another message.
    ///
    /// # Example
    /// ```
    /// use std::sync::Arc;
    /// use sealwire::{Agent, AllowAnyAuthenticated, delivery::InProcess, store::MemoryStore};
    /// # use sealwire::{core::MemoryKeyStore, custody};
    ///
    /// # fn agent(office: &Arc<InProcess>) -> Result<Agent, Box<dyn std::error::Error>> {
    /// # let keys = MemoryKeyStore::generate(&mut custody::system_rng())?;
    /// let agent = Agent::builder(Arc::new(keys))
    ///     .store(Arc::new(MemoryStore::new()))
    ///     .delivery(office.clone())
    ///     .inbound(AllowAnyAuthenticated)
    ///     .build()?;
    /// # Ok(agent)
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let office = Arc::new(InProcess::new());
    /// # let (alice, bob) = (agent(&office)?, agent(&office)?);
    /// bob.publish_prekeys().await?;
    ///
    /// // Bob is away.
    /// let sent = alice.send(bob.id(), b"how far is the moon?").await?;
    /// alice.sync().await?;
    ///
    /// // Now Alice is.
    /// bob.sync().await?;
    /// let message = bob.inbox()?.next().await?.ok_or("a message")?;
    /// assert_eq!((message.id(), &message.from().agent), (sent, alice.id()));
    /// assert_eq!(message.payload(), b"how far is the moon?");
    /// bob.inbox()?.ack(&message).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send(
        &self,
        to: impl Into<Device>,
        message: impl Into<Draft>,
    ) -> Result<MessageId, Error> {
        send(&self.inner, to.into(), message.into()).await
    }
}

/// What a send needs.
enum Plan {
    /// A session is there.
    Seal,
    /// A session is to be begun.
    Begin,
}

/// A peer whose card and bundle were verified, and whom policy has admitted.
struct Prepared {
    peer: Presented,
    facts: crate::PeerFacts,
    bundle: Bundle,
    suite: sealwire_core::Suite,
}

async fn send(agent: &Arc<Inner>, to: Device, draft: Draft) -> Result<MessageId, Error> {
    if draft.payload.len() > MAX_PAYLOAD_LEN {
        return Err(Error::MessageTooLong(MAX_PAYLOAD_LEN));
    }
    let held = hold(agent, &to).await?;
    let once = draft.once.map(|key| (key, kdf::sha256(&[&draft.payload])));
    let (held, sent) =
        on(agent, held, move |agent, contact| repeated(agent, contact, once)).await?;
    if let Some(message) = sent {
        return Ok(message);
    }
    let sealed = in_session(agent, held, move |agent, contact, changed, effects| {
        seal_draft(agent, contact, &draft, changed, effects)
    });
    sealed.await
}

/// Holds the contact of a peer that is to be written to.
pub(super) async fn hold(agent: &Arc<Inner>, to: &Device) -> Result<Held, Error> {
    if to.agent == agent.id {
        return Err(Error::Oneself);
    }
    agent.offline()?.hold(to).await
}

/// Does `work` with a contact that has a session to write in: seals, and commits what it gets
/// and what it adds to that. Where there is no session, one is begun.
pub(super) async fn in_session<R: Send + 'static>(
    agent: &Arc<Inner>,
    held: Held,
    work: impl FnOnce(&Inner, &mut Contact, Changed, Effects) -> Result<R, Error> + Send + 'static,
) -> Result<R, Error> {
    let offline = agent.offline()?;
    let (mut held, plan) = on(agent, held, |agent, contact| plan(agent, contact)).await?;
    if held.known.mailbox.is_none() {
        held.known.mailbox = Some(offline.delivery.open_mailbox(MailboxKind::Pairwise).await?);
        offline.wake.mailboxes_changed();
    }
    if matches!(plan, Plan::Seal) {
        let sealed = on(agent, held, move |agent, contact| {
            let active = contact.sessions()?.active().map(Session::id);
            let changed = active.map_or(Changed::Nothing, Changed::One);
            work(agent, contact, changed, Effects::new())
        });
        return Ok(sealed.await?.1);
    }
    let published = offline.delivery.bundle(held.device()).await?.ok_or(NoRoute::Offline)?;
    let prepare = move |agent: &Inner, contact: &mut Contact| prepare(agent, contact, &published);
    let (mut held, prepared) = on(agent, held, prepare).await?;
    let claimed = claim(offline, &mut held).await?;
    let begun = on(agent, held, move |agent, contact| {
        let mut effects = Effects::new();
        let events = begin(agent, contact, prepared, &claimed, &mut effects)?;
        let done = work(agent, contact, Changed::All, effects)?;
        events.into_iter().for_each(|event| agent.tell(event));
        Ok(done)
    });
    Ok(begun.await?.1)
}

/// Does what may block. What failed is read anew the next time.
pub(super) async fn on<R: Send + 'static>(
    agent: &Arc<Inner>,
    mut held: Held,
    work: impl FnOnce(&Inner, &mut Contact) -> Result<R, Error> + Send + 'static,
) -> Result<(Held, R), Error> {
    let agent = Arc::clone(agent);
    blocking(move || {
        let store = agent.offline()?.store.as_ref();
        let done = held.load(store).and_then(|()| work(&agent, &mut held));
        if done.is_err() {
            held.spoil();
        }
        Ok((held, done?))
    })
    .await
}

/// The message that a draft repeats, if it was sent before.
fn repeated(
    agent: &Inner,
    contact: &Contact,
    once: Option<([u8; 32], [u8; 32])>,
) -> Result<Option<MessageId>, Error> {
    let Some((key, digest)) = once else { return Ok(None) };
    match Once::find(agent, contact, &key)? {
        Some(sent) if sent.digest != digest => {
            Err(Error::Misuse("the key of a draft was used for another message"))
        }
        sent => Ok(sent.map(|sent| sent.message)),
    }
}

/// Asks the policy whether the peer may be written to.
pub(super) fn may_write(agent: &Inner, contact: &Contact) -> Result<(), Error> {
    match agent.outbound.before_dial(&facts::beforehand(agent, contact.device())?) {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) => Err(Error::Denied(reason)),
    }
}

/// Asks the policy, and looks at what there is.
fn plan(agent: &Inner, contact: &Contact) -> Result<Plan, Error> {
    may_write(agent, contact)?;
    // Whoever has not answered yet was told a mailbox, and would not find another one.
    let hears =
        |active: &Session| contact.known.mailbox.is_some() || active.due_prefix().is_empty();
    let active = contact.sessions()?.active();
    let usable = !contact.known.renew
        && active.is_some_and(|active| hears(active) && address(agent, contact, active).is_some());
    Ok(if usable { Plan::Seal } else { Plan::Begin })
}

/// Where a message of this session goes, if it can go anywhere.
fn address<'a>(agent: &Inner, contact: &'a Contact, session: &Session) -> Option<&'a Address> {
    if session.due_prefix().is_empty() {
        return contact.known.theirs.as_ref();
    }
    // A first message outlives the prekeys that it was made for.
    let (address, until) = contact.known.contact.as_ref()?;
    (agent.now() <= *until).then_some(address)
}

/// Verifies card and bundle, and asks the policy. Nothing has been claimed yet.
fn prepare(agent: &Inner, contact: &Contact, published: &Published) -> Result<Prepared, Error> {
    let now = agent.now();
    let device = contact.device();
    let card = IdentityCard::from_bytes(&published.card)?.verify(now)?;
    if *card.as_verified().id() != device.agent {
        let (expected, found) = (device.agent.clone(), card.as_verified().id().clone());
        return Err(Error::WrongPeer { expected, found });
    }
    let peer = agent.present_card(card, None, &EvidenceList::default().to_bytes())?;
    let suite = agent.suite_for(peer.card.as_verified().suites());
    let state = if suite.is_some() { CardState::Valid } else { CardState::NoCommonSuite };
    Handshake::select(&PeerKnowledge { reach: Reach::Offline, known: Known::Card(state) })?;
    let suite = suite.ok_or(NoRoute::Downgrade)?;

    let card = peer.card.as_verified();
    let keys = PeerKeys {
        id: card.id().as_str().as_bytes(),
        key: card.identity_key(),
        static_key: card.exchange_key(),
        kx: card.kx_id(),
        card_hash: *card.hash().as_bytes(),
    };
    let bundle = UnverifiedBundle::from_bytes(&published.bundle)
        .map_err(sealwire_ratchet::Error::from)?
        .verify(&keys, device.number, contact.known.bundle.as_ref(), now)?;
    let facts = agent.facts(Direction::Outbound, Handshake::X3dh, &peer)?;
    facts::accept(agent, &facts)?;
    Ok(Prepared { peer, facts, bundle, suite })
}

/// Claims one-time keys. An answer that was lost is asked for again, by the same nonce.
async fn claim(offline: &Offline, held: &mut Held) -> Result<Claimed, Error> {
    let nonce = match held.nonce {
        Some(nonce) => nonce,
        None => random()?,
    };
    held.nonce = Some(nonce);
    let claimed = offline.delivery.claim(held.device(), nonce).await?;
    held.nonce = None;
    Ok(claimed)
}

/// Agrees with the peer on a session, and makes it the one that messages go to.
fn begin(
    agent: &Inner,
    contact: &mut Contact,
    prepared: Prepared,
    claimed: &Claimed,
    effects: &mut Effects,
) -> Result<Vec<Event>, Error> {
    let offline = agent.offline()?;
    let now = agent.now();
    let Prepared { peer, facts, bundle, suite } = prepared;
    let (one_time, until) = one_time(&bundle, claimed, now)?;
    let mailbox = contact.known.mailbox.as_ref().ok_or(Error::Unreachable("it was opened"))?;
    let reply = ReplyTo {
        mailbox: Some(mailbox.address.mailbox().to_vec()),
        capability: Some(mailbox.address.capability().to_vec()),
    };
    let mut rng = sealwire_custody::system_rng();
    let local = agent.introduced(agent.own_card()?, offline.own.number);
    let initiated = agreement::initiate(&local, &bundle, one_time, suite, reply, now, &mut rng)?;
    let Initiated { agreed, prekey, prefix, one_time_x25519, one_time_kem, .. } = initiated;
    let session = Session::initiate(agreed, &prekey, prefix, agent.time().mark, &mut rng)?;

    let address = Address::new(bundle.mailbox(), bundle.capability())?;
    contact.known.contact = Some((address, until));
    contact.known.bundle = Some(bundle.pin());
    contact.known.renew = false;
    contact.begin(session, agent.time().mark, effects)?;
    let changed = facts::meet(agent, &peer, &facts)?;
    let peer = contact.device();
    let mut events = vec![Event::NewSession { peer: peer.clone() }];
    if changed {
        events.push(Event::IdentityChanged { peer: peer.clone() });
    }
    if !(one_time_x25519 && one_time_kem) {
        events.push(Event::LastResortUsed { peer: peer.clone() });
    }
    Ok(events)
}

/// The one-time keys that were claimed, verified, and how long the agreement may use them and
/// the bundle.
fn one_time(
    bundle: &Bundle,
    claimed: &Claimed,
    now: Timestamp,
) -> Result<(OneTimeKeys, Timestamp), Error> {
    let Claimed { x25519, kem } = claimed;
    let verify_x25519 =
        |ClaimedKey { header, key }: &ClaimedKey| bundle.one_time_x25519(header, key, now);
    let verify_kem =
        |ClaimedKey { header, key }: &ClaimedKey| bundle.one_time_kem(header, key, now);
    let keys = OneTimeKeys {
        x25519: x25519.as_ref().map(verify_x25519).transpose()?,
        kem: kem.as_ref().map(verify_kem).transpose()?,
    };
    let ends = [
        Some(bundle.not_after()),
        keys.x25519.as_ref().map(|key| key.not_after()),
        keys.kem.as_ref().map(|key| key.not_after()),
    ];
    let until = ends.into_iter().flatten().min().unwrap_or_default();
    Ok((keys, until))
}

/// Seals the message in the active session and commits both to the store.
fn seal_draft(
    agent: &Inner,
    contact: &mut Contact,
    draft: &Draft,
    changed: Changed,
    mut effects: Effects,
) -> Result<MessageId, Error> {
    let message = MessageId::from_bytes(random()?);
    let body = Body::Whole(Zeroizing::new(draft.payload.to_vec()));
    seal(agent, contact, message, body, Holds::Message, &mut effects)?;
    if let Some(key) = &draft.once {
        let now = agent.time().mark;
        let sent = Once { message, sent: now, digest: kdf::sha256(&[&draft.payload]) };
        effects.put(Table::Replay, Once::key(contact, key)?, sent.to_value())?;
    }
    commit(agent, contact, changed, effects)?;
    agent.offline()?.wake.due();
    Ok(message)
}

/// Seals a content in the active session, and puts the frame into the outbox.
pub(super) fn seal(
    agent: &Inner,
    contact: &mut Contact,
    message: MessageId,
    body: Body,
    holds: Holds,
    effects: &mut Effects,
) -> Result<(), Error> {
    let now = agent.time().mark;
    let mailbox = contact.known.mailbox.as_ref().ok_or(Error::Unreachable("it was opened"))?;
    let reply = (!contact.known.reached).then(|| mailbox.address.clone());
    let content = Content { message, reply, body };
    let active = contact.sessions()?.active();
    let active = active.ok_or(Error::Unreachable("a session was found or begun"))?;
    let to = address(agent, contact, active).cloned();
    let address = to.ok_or(Error::Unreachable("the session has an address"))?;
    let mut rng = sealwire_custody::system_rng();
    let (id, sealed) = contact.sessions()?.seal(now, &mut rng, &content.to_bytes())?;
    contact.sessions_mut()?.apply(id, sealed.step)?;

    // CON-10: whoever delivers does not see which frames belong together.
    let message = match holds {
        Holds::Message => message,
        Holds::Part(_) | Holds::Answer => MessageId::from_bytes(random()?),
    };
    let to = contact.device().clone();
    let row = outbox::Row { to, message, address, holds, frame: sealed.frame };
    effects.send(agent.offline()?.next_key(&message)?, row.to_value())?;
    Ok(())
}

/// Commits what changed of a contact and its sessions.
pub(super) fn commit(
    agent: &Inner,
    contact: &mut Contact,
    changed: Changed,
    mut effects: Effects,
) -> Result<(), Error> {
    contact.store(changed, &mut effects)?;
    // What was sealed is fetched from the outbox, and what was opened from the inbox.
    let _ = agent.offline()?.store.commit(effects)?;
    contact.set_stored();
    Ok(())
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let drawn = draw::<N>(&mut sealwire_custody::system_rng());
    Ok(*drawn.map_err(sealwire_ratchet::Error::from)?.expose())
}

impl Inner {
    /// Tells whoever asks next.
    pub(super) fn tell(&self, event: Event) {
        if let Some(offline) = &self.offline {
            offline.events.add(event);
        }
    }

    /// This side of an agreement, introduced by `card`.
    pub(super) fn introduced(&self, card: &IdentityCard, device: u32) -> Local {
        let introduction = Introduction {
            id: self.id.as_str().as_bytes().to_vec(),
            device,
            card: card.as_bytes().to_vec(),
            log: None,
            evidence: self.evidence().to_vec(),
        };
        Local::new(Arc::clone(&self.keys), card.kx_id(), introduction)
    }
}

/// What tells a repetition of a message with a key.
pub(super) struct Once {
    message: MessageId,
    pub(super) sent: Timestamp,
    digest: [u8; kdf::HASH_LEN],
}

impl Once {
    const WHAT: &'static str = "row of a message to be sent once";

    fn key(contact: &Contact, key: &[u8; kdf::HASH_LEN]) -> Result<RowKey, Error> {
        Ok(RowKey::new(&[ONCE, contact.key().as_bytes(), key].concat())?)
    }

    fn find(
        agent: &Inner,
        contact: &Contact,
        key: &[u8; kdf::HASH_LEN],
    ) -> Result<Option<Self>, Error> {
        let value = agent.offline()?.store.get(Table::Replay, &Self::key(contact, key)?)?;
        let sent = value.map(|value| Self::from_value(&value)).transpose()?;
        Ok(sent.filter(|once| agent.time().mark.since(once.sent) <= ONCE_LIFETIME))
    }

    pub(super) fn to_value(&self) -> crate::store::Value {
        let Self { message, sent, digest } = self;
        RowWriter::new(0).bytes(message.as_bytes()).time(*sent).bytes(digest).finish()
    }

    pub(super) fn from_value(value: &[u8]) -> Result<Self, Error> {
        let mut row = RowReader::new(Self::WHAT, value)?;
        let once = Self { message: row.message()?, sent: row.time()?, digest: row.array()? };
        row.finish()?;
        Ok(once)
    }
}
