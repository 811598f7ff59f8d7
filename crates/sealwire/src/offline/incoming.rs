//! Receiving: from a mailbox to the inbox.

use std::sync::Arc;

use sealwire_ratchet::{Error as RatchetError, Opened, Role, Session, SessionId};

use super::{
    Event, Held, answers,
    contact::{Changed, Contact},
    content::Content,
    facts, first, outbox, outgoing, parts, release,
    rows::each_row,
    sending,
};
use crate::{
    Agent, Direction, Effects, Error,
    agent::{Inner, blocking},
    delivery::{Arrived, DeliveryError, Device, MailboxHandle},
    store::Table,
};

/// Frames that are fetched at a time.
const BATCH: usize = 32;

/// Batches that one [`Agent::sync`] takes from one mailbox: as many frames as a mailbox has room
/// for, so that a peer who writes all the time does not keep the others waiting.
const MAX_BATCHES: usize = 32;

impl Agent {
    /// Delivers what was sent, and takes what came, until there is nothing more to do. Messages
    /// are in the [`inbox`](Agent::inbox) afterwards; what else happened since the last call is
    /// what it gives.
    ///
    /// Each message is committed before the delivery may forget it.
    ///
    /// # Errors
    /// [`Error::Delivery`] when something could not be reached, and [`Error::State`] when
    /// something could not be stored: the rest was done as far as possible, and another call
    /// goes on where this one stopped. [`Error::Misuse`] for an agent without a store.
    ///
    /// # Example
    /// See [`Agent::send`].
    pub async fn sync(&self) -> Result<Vec<Event>, Error> {
        let agent = &self.inner;
        let offline = agent.offline()?;
        let _turn = offline.syncing.lock().await;
        offline.wake.turn();
        // What cannot be sent now does not keep what came from being read, nor one mailbox the
        // others; the first failure is what is told.
        let sent = outbox::flush(agent).await;
        sent.and(receive(agent).await)?;
        tidy(agent).await?;
        Ok(offline.events.take())
    }

    /// What happened beside messages since the last call of this or of [`Agent::sync`], for those
    /// who [`flush`](Agent::flush), or whose sync fails. Each event is given once.
    ///
    /// # Errors
    /// [`Error::Misuse`] for an agent without a store.
    pub fn events(&self) -> Result<Vec<Event>, Error> {
        Ok(self.inner.offline()?.events.take())
    }
}

/// Takes what came, from everybody.
pub(super) async fn receive(agent: &Arc<Inner>) -> Result<(), Error> {
    let mut done = Ok(());
    if agent.clock_jumped() {
        // By a clock that may be wrong, every card and prekey has expired: what strangers wrote
        // waits until it is right.
        agent.tell(Event::ClockJumped);
    } else {
        done = done.and(receive_first(agent).await);
    }
    for peer in agent.offline()?.known() {
        done = done.and(receive_from(agent, &peer).await);
    }
    done.and(answers::give(agent).await)
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was opened, and what it changed is stored.
    Taken,
    /// It is of no use, now or later.
    Discarded,
    /// There were too many; it is to be tried again.
    Later,
}

/// Where a frame was left.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In the contact mailbox, behind the prefix of this session.
    Contact(SessionId),
    /// In the mailbox for this peer alone.
    Pairwise,
}

/// What an error says about the frame that it came from: whether it is the frame's fault.
pub(super) fn judge(error: Error) -> Result<Outcome, Error> {
    match error {
        Error::Busy => Ok(Outcome::Later),
        // This side's: another try may succeed, and the frame must not be lost.
        Error::State(_)
        | Error::StateRow(_)
        | Error::Store(_)
        | Error::PeersFile { .. }
        | Error::Ratchet(RatchetError::Randomness | RatchetError::KeyStore(_)) => Err(error),
        _ => Ok(Outcome::Discarded),
    }
}

/// Tells the owner of a refusal by policy.
pub(super) fn tell(agent: &Inner, peer: &Device, error: &Error) {
    if let Error::Denied(reason) = error {
        agent.tell(Event::Denied { peer: peer.clone(), reason });
    }
}

async fn receive_first(agent: &Arc<Inner>) -> Result<(), Error> {
    let home = agent.offline()?.home.lock().await;
    let Some(mailbox) = home.mailbox().map(|mailbox| mailbox.handle.clone()) else {
        return Ok(());
    };
    drop(home);
    let drained = drain(agent, &mailbox, first::receive).await;
    if is_gone(&drained) {
        // Publishing opens another, and says where it is.
        let offline = agent.offline()?;
        offline.home.lock().await.lose_mailbox();
        offline.wake.mailboxes_changed();
        return Ok(());
    }
    drained
}

/// Whether the delivery does not have the mailbox any more.
fn is_gone(drained: &Result<(), Error>) -> bool {
    matches!(drained, Err(Error::Delivery(DeliveryError::Gone)))
}

async fn receive_from(agent: &Arc<Inner>, peer: &Device) -> Result<(), Error> {
    let offline = agent.offline()?;
    let held = offline.hold(peer).await?;
    let mailbox = held.known.mailbox.as_ref().map(|mailbox| mailbox.handle.clone());
    drop(held);
    let Some(mailbox) = mailbox else { return Ok(()) };
    let from = peer.clone();
    let drained = drain(agent, &mailbox, move |agent, frame| {
        let mut held = agent.offline()?.hold_blocking(&from)?;
        take(agent, &mut held, Place::Pairwise, frame)
    });
    let drained = drained.await;
    if is_gone(&drained) {
        // The next message to the peer opens another, and says where it is.
        let mut held = offline.hold(peer).await?;
        held.known.mailbox = None;
        held.known.reached = false;
        offline.wake.mailboxes_changed();
        return Ok(());
    }
    drained
}

/// Takes the frames of a mailbox one after another: each is committed, and then acknowledged with
/// those that were fetched with it.
async fn drain(
    agent: &Arc<Inner>,
    mailbox: &MailboxHandle,
    take: impl Fn(&Inner, &[u8]) -> Result<Outcome, Error> + Clone + Send + 'static,
) -> Result<(), Error> {
    let delivery = &agent.offline()?.delivery;
    for _ in 0..MAX_BATCHES {
        let batch = delivery.fetch(mailbox, BATCH).await?;
        if batch.is_empty() {
            break;
        }
        let mut done = Vec::with_capacity(batch.len());
        let taken = take_batch(agent, batch, take.clone(), &mut done).await;
        if !done.is_empty() {
            delivery.ack(mailbox, &done).await?;
        }
        if taken? == Outcome::Later {
            break;
        }
    }
    Ok(())
}

/// Takes frames until one is to be tried again, or the inbox is full. What is in `done` is
/// committed, whatever became of the rest.
async fn take_batch(
    agent: &Arc<Inner>,
    batch: Vec<Arrived>,
    take: impl Fn(&Inner, &[u8]) -> Result<Outcome, Error> + Clone + Send + 'static,
    done: &mut Vec<u64>,
) -> Result<Outcome, Error> {
    let offline = agent.offline()?;
    for Arrived { sequence, message: _, frame } in batch {
        if !offline.has_room(agent.admission.limits().inbox) {
            return Ok(Outcome::Later);
        }
        let (worker, take) = (Arc::clone(agent), take.clone());
        match blocking(move || take(&worker, &frame)).await? {
            Outcome::Taken => {}
            Outcome::Discarded => agent.tell(Event::Discarded { frames: 1 }),
            Outcome::Later => return Ok(Outcome::Later),
        }
        done.push(sequence);
    }
    Ok(Outcome::Taken)
}

/// Takes a message of a peer with whom there are sessions. Blocks.
// RAT-23
pub(super) fn take(
    agent: &Inner,
    contact: &mut Held,
    place: Place,
    message: &[u8],
) -> Result<Outcome, Error> {
    contact.load(agent.offline()?.store.as_ref())?;
    let (session, opened) = match open(agent, contact, place, message) {
        Ok(opened) => opened,
        Err(Error::Ratchet(RatchetError::SkipLimit)) => return wedged(agent, contact),
        Err(error) => return judge(error),
    };
    let taken = store(agent, contact, session, opened, place);
    if taken.is_err() {
        contact.spoil();
    }
    taken.or_else(judge)
}

/// Opens the message with the session that it is of.
fn open(
    agent: &Inner,
    contact: &Contact,
    place: Place,
    message: &[u8],
) -> Result<(SessionId, Opened), Error> {
    let (now, sessions) = (agent.time().mark, contact.sessions()?);
    match place {
        Place::Pairwise => Ok(sessions.open(now, message)?),
        Place::Contact(id) => {
            let session = sessions.get(id).ok_or(RatchetError::Open)?;
            Ok((id, session.open(now, message)?))
        }
    }
}

/// More was lost than a session survives.
fn wedged(agent: &Inner, contact: &mut Contact) -> Result<Outcome, Error> {
    if !contact.known.renew {
        contact.known.renew = true;
        let mut effects = Effects::new();
        contact.store(Changed::Nothing, &mut effects)?;
        let committed = agent.offline()?.store.commit(effects);
        let _ = committed.inspect_err(|_| contact.spoil())?;
        agent.tell(Event::Wedged { peer: contact.device().clone() });
    }
    Ok(Outcome::Discarded)
}

/// Asks the policy, and commits the session and the message.
fn store(
    agent: &Inner,
    contact: &mut Contact,
    id: SessionId,
    opened: Opened,
    place: Place,
) -> Result<Outcome, Error> {
    let content = Content::from_bytes(&opened.plaintext).map_err(|_| RatchetError::Open)?;
    let session = contact.sessions()?.get(id).ok_or(RatchetError::Open)?;
    let stalled = session.pq_stalled();
    let direction = match session.role() {
        Role::Initiator => Direction::Outbound,
        Role::Responder => Direction::Inbound,
    };
    let facts = facts::in_session(agent, contact, direction)?;
    facts::accept(agent, &facts).inspect_err(|error| tell(agent, contact.device(), error))?;
    let (peer, key) = (contact.device().clone(), contact.key());
    let mut effects = Effects::new();
    let release = release::release(agent, &facts, key, &peer, &content, place, &mut effects)?;

    contact.known.theirs = content.reply.clone().or(contact.known.theirs.take());
    contact.known.reached |= matches!(place, Place::Pairwise);
    let answered = contact.known.theirs.is_some();
    let sessions = contact.sessions_mut()?;
    sessions.apply(id, opened.step)?;
    if answered {
        // AGR-11
        sessions.drop_prefix(id)?;
    }
    let stalls = !stalled && sessions.get(id).is_some_and(Session::pq_stalled);
    outgoing::commit(agent, contact, Changed::One(id), effects)?;
    if stalls {
        agent.tell(Event::PqStalled { peer: peer.clone() });
    }
    release.committed(agent, &peer)?;
    Ok(Outcome::Taken)
}

/// Removes what is too old, and says whether prekeys run low.
async fn tidy(agent: &Arc<Inner>) -> Result<(), Error> {
    let offline = agent.offline()?;
    let left = offline.delivery.remaining(&offline.own).await?;
    if offline.home.lock().await.runs_low(left, agent.now()) {
        agent.tell(Event::PrekeysLow);
    }
    let worker = Arc::clone(agent);
    blocking(move || {
        forget_sent(&worker)?;
        sending::tidy(&worker)?;
        parts::tidy(&worker)
    })
    .await?;
    let now = agent.time().mark;
    for peer in offline.known() {
        let held = offline.hold(&peer).await?;
        if held.has_aged(now) {
            let worker = Arc::clone(agent);
            blocking(move || forget_archived(&worker, held)).await?;
        }
    }
    Ok(())
}

fn forget_archived(agent: &Inner, mut held: Held) -> Result<(), Error> {
    let offline = agent.offline()?;
    held.load(offline.store.as_ref())?;
    let mut effects = Effects::new();
    let expired = held
        .expire(agent.time().mark, &mut effects)
        .and_then(|()| held.store(Changed::Nothing, &mut effects))
        .and_then(|()| Ok(offline.store.commit(effects)?));
    let _ = expired.inspect_err(|_| held.spoil())?;
    offline.release(held);
    Ok(())
}

/// Forgets which messages were sent once, after their time.
fn forget_sent(agent: &Inner) -> Result<(), Error> {
    let offline = agent.offline()?;
    let now = agent.time().mark;
    let mut effects = Effects::new();
    each_row(offline.store.as_ref(), Table::Replay, outgoing::ONCE, |row| {
        let once = outgoing::Once::from_value(&row.value)?;
        if now.since(once.sent) > outgoing::ONCE_LIFETIME {
            effects.delete(Table::Replay, row.key)?;
        }
        Ok(())
    })?;
    if !effects.is_empty() {
        let _ = offline.store.commit(effects)?;
    }
    Ok(())
}
