//! First messages: from a frame in the contact mailbox to a session.
//!
//! What a stranger can cost grows only as it pays: lengths and ids, a token, and only then the
//! agreement, its card, its proof, the body, and the policy. Nothing changes before all of that
//! has passed, and then all of it in one transaction.

use sealwire_core::Timestamp;
use sealwire_identity::{Error as IdentityError, IdentityCard};
use sealwire_ratchet::{
    Arrival, Session,
    agreement::{self, Accepted, FirstMessage, PeerIdentity},
    prekey::{CONTACT_TTL, Used},
    replay::Replayable,
};

use super::{
    Event, Offline,
    contact::{Changed, Contact, Ephemeral},
    content::Content,
    facts,
    home::Home,
    incoming::{self, Outcome, Place},
    outgoing::commit,
    release,
};
use crate::{
    Direction, Effects, Error, Handshake, NoRoute, PeerFacts, Source,
    agent::{Inner, Presented},
    delivery::{Address, Device},
};

/// Takes a frame of the contact mailbox. Blocks.
pub(super) fn receive(agent: &Inner, frame: &[u8]) -> Result<Outcome, Error> {
    let offline = agent.offline()?;
    let Ok(first) = FirstMessage::from_frame(frame) else { return Ok(Outcome::Discarded) };
    let ephemeral = first.prefix().get(EPHEMERAL_AT).and_then(|bytes| bytes.try_into().ok());
    let ephemeral = ephemeral.ok_or(Error::Unreachable("a prefix holds EK_A"))?;
    match offline.whose_first(&ephemeral) {
        Some(peer) => again(agent, offline, &peer, &first),
        None => begin(agent, offline, ephemeral, &first),
    }
}

/// Where EK_A stands in the prefix of a first message.
// AGR-1
const EPHEMERAL_AT: core::ops::Range<usize> = 19..51;

/// A prefix that is known goes to its session, and the same EK_A with other bytes nowhere.
// AGR-13
fn again(
    agent: &Inner,
    offline: &Offline,
    peer: &Device,
    first: &FirstMessage<'_>,
) -> Result<Outcome, Error> {
    let mut held = offline.hold_blocking(peer)?;
    held.load(offline.store.as_ref())?;
    match held.sessions()?.with_prefix(first.prefix()) {
        Ok(Some(session)) => {
            incoming::take(agent, &mut held, Place::Contact(session), first.message())
        }
        _ => Ok(Outcome::Discarded),
    }
}

/// What an agreement gave, up to the point where it changes something.
struct Admitted {
    session: Session,
    content: Content,
    peer: Presented,
    facts: PeerFacts,
    device: Device,
    reply: Option<Address>,
    used: Used,
    replay: Option<Replayable>,
}

fn begin(
    agent: &Inner,
    offline: &Offline,
    ephemeral: Ephemeral,
    first: &FirstMessage<'_>,
) -> Result<Outcome, Error> {
    let mut home = offline.home.clone().blocking_lock_owned();
    home.refresh(offline.store.as_ref())?;
    let admitted = match admit(agent, &home, first) {
        Ok(admitted) => admitted,
        Err(error) => return incoming::judge(error),
    };
    if !offline.has_room_for(&admitted.device) {
        return Ok(Outcome::Discarded);
    }
    let mut held = offline.hold_blocking(&admitted.device)?;
    let entered = enter(agent, offline, &mut home, &mut held, admitted, ephemeral);
    if entered.is_err() {
        held.spoil();
    }
    offline.release(held);
    entered.or_else(incoming::judge)
}

/// Everything up to the policy. Changes nothing.
// AGR-14, AGR-16
fn admit(agent: &Inner, home: &Home, first: &FirstMessage<'_>) -> Result<Admitted, Error> {
    let now = agent.now();
    let cards = agent.kept_cards(first.kx());
    let own = cards.first().ok_or(sealwire_ratchet::Error::NoPrekey)?;
    let found = home.find(first, now)?;
    agent.admission.take_token(Source::shared(), agent.clock.elapsed())?;
    let hashes: Vec<[u8; 32]> = cards.iter().map(|card| *card.hash().as_bytes()).collect();
    let local = agent.introduced(own, agent.offline()?.own.number);
    let claim = agreement::respond(&local, &hashes, first, &found)?;

    let introduced = claim.introduced();
    let card = verify_late(introduced.card(), now)?;
    let peer = agent.present_card(card, introduced.log(), introduced.evidence())?;
    let card = peer.card.as_verified();
    let both = card.suites().contains(first.suite()) && agent.offered().contains(first.suite());
    if !both {
        return Err(NoRoute::Downgrade.into());
    }
    let identity = PeerIdentity {
        id: card.id().as_str().as_bytes(),
        key: card.identity_key(),
        static_key: card.exchange_key(),
    };
    let accepted = claim.prove(identity)?;
    let Accepted { agreed, prekey, used, replay, device, reply, .. } = accepted;
    home.check_replay(replay.as_ref())?;

    let start = agent.time().mark;
    let mut session = Session::respond(agreed, &prekey, first.prefix(), start)?;
    let opened = session.open(start, first.message())?;
    let content =
        Content::from_bytes(&opened.plaintext).map_err(|_| sealwire_ratchet::Error::Open)?;
    session.apply(opened.step)?;
    let facts = agent.facts(Direction::Inbound, Handshake::X3dh, &peer)?;
    let device = Device { agent: card.id().clone(), number: device };
    facts::accept(agent, &facts).inspect_err(|error| incoming::tell(agent, &device, error))?;
    let reply = match (reply.mailbox, reply.capability) {
        (Some(mailbox), Some(capability)) => Address::new(&mailbox, &capability).ok(),
        _ => None,
    };
    let reply = content.reply.clone().or(reply);
    Ok(Admitted { session, content, peer, facts, device, reply, used, replay })
}

/// A card that was valid when the message was written. It may have ended while the message lay
/// in the mailbox.
fn verify_late(
    card: &[u8],
    now: Timestamp,
) -> Result<sealwire_core::Verified<IdentityCard>, Error> {
    let card = IdentityCard::from_bytes(card)?;
    match card.clone().verify(now) {
        Err(IdentityError::Expired { not_after, .. }) if now <= not_after.plus(CONTACT_TTL) => {
            Ok(card.verify(not_after)?)
        }
        verified => Ok(verified?),
    }
}

/// Pins the peer and commits the session, what it used up, and the message.
// AGR-19
fn enter(
    agent: &Inner,
    offline: &Offline,
    home: &mut Home,
    contact: &mut Contact,
    admitted: Admitted,
    ephemeral: Ephemeral,
) -> Result<Outcome, Error> {
    let Admitted { session, content, peer, facts, device, reply, used, replay } = admitted;
    contact.load(offline.store.as_ref())?;
    let last_resort = used.x25519().is_none() || used.kem().is_none();
    let (key, place) = (contact.key(), Place::Contact(session.id()));
    let mut effects = Effects::new();
    let release = release::release(agent, &facts, key, &device, &content, place, &mut effects)?;
    let changed = facts::meet(agent, &peer, &facts)?;

    let arrival = contact.admit(session, ephemeral, agent.time().mark, &mut effects)?;
    contact.known.theirs = reply;
    contact.known.shown = Some((peer.card.as_verified().hash(), peer.evidence));
    let change = home.consume(&used, replay.as_ref(), &mut effects)?;
    commit(agent, contact, Changed::All, effects)?;
    home.consumed(change, replay)?;

    let peer = || device.clone();
    agent.tell(match arrival {
        Arrival::Reset => Event::Reset { peer: peer() },
        _ => Event::NewSession { peer: peer() },
    });
    let others = [
        changed.then(|| Event::IdentityChanged { peer: peer() }),
        last_resort.then(|| Event::LastResortUsed { peer: peer() }),
    ];
    others.into_iter().flatten().for_each(|event| agent.tell(event));
    release.committed(agent, &device)?;
    Ok(Outcome::Taken)
}
