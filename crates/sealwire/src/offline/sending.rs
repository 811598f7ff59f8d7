//! What is kept of a large message that is being sent: where it goes on after a crash.

use std::{
    collections::HashMap,
    sync::{MutexGuard, PoisonError},
};

use sealwire_core::{
    Timestamp,
    kdf::{self, HASH_LEN, Sha256},
};
use zeroize::Zeroizing;

use super::{
    Event, MAX_PAYLOAD_LEN, Offline,
    contact::{Changed, Contact},
    content::{Body, MAX_LARGE_LEN, MAX_PART_LEN, Part},
    outbox::{Holds, PartOf, Row},
    outgoing::{ONCE_LIFETIME, commit, seal},
    parts::LIFETIME,
    rows::{RowReader, RowWriter, each_row},
};
use crate::{
    Effects, Error,
    agent::Inner,
    delivery::{Device, MessageId},
    store::{RowKey, Store, Table, Value},
};

/// Prefix of the rows.
const OUTGOING: &[u8] = b"outgoing ";

/// Parts that one commit seals: about 1 MiB.
const MAX_PARTS: usize = 16;

/// Parts that go to a peer in a session that it has not answered: they lie in the mailbox that
/// it has for strangers, and take four times the room that they should.
// CON-15
const MAX_UNANSWERED: u64 = 64;

/// Bytes that a batch of parts looks at: one more than it takes, to know whether there is one.
pub(super) const LOOK_AHEAD: usize = MAX_PARTS * MAX_PART_LEN + 1;

/// A large message that is being sent, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sending {
    pub(super) message: MessageId,
    to: Device,
    pub(super) length: Option<u64>,
    touched: Timestamp,
    /// How often it was begun anew, since a mailbox was lost with parts in it.
    pub(super) round: u32,
    /// How much of it is sealed, and SHA-256 of that.
    pub(super) next: u64,
    pub(super) digest: [u8; HASH_LEN],
    pub(super) phase: Phase,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is more to seal.
    Open,
    /// All of it is sealed.
    Sealed,
    /// The delivery has all of it.
    Done,
}

impl Sending {
    const WHAT: &'static str = "row of a large message that is sent";

    pub(super) fn new(message: MessageId, to: &Device, length: Option<u64>) -> Self {
        Self {
            message,
            to: to.clone(),
            length,
            touched: Timestamp::default(),
            round: 0,
            next: 0,
            digest: kdf::sha256(&[]),
            phase: Phase::Open,
        }
    }

    fn key(contact: &Contact, once: &[u8; HASH_LEN]) -> Result<RowKey, Error> {
        Ok(RowKey::new(&[OUTGOING, contact.key().as_bytes(), once].concat())?)
    }

    pub(super) fn find(
        agent: &Inner,
        contact: &Contact,
        once: &[u8; HASH_LEN],
    ) -> Result<Option<Self>, Error> {
        let value = agent.offline()?.store.get(Table::Meta, &Self::key(contact, once)?)?;
        let found = value.map(|value| Self::from_value(&value)).transpose()?;
        let now = agent.time().mark;
        Ok(found.filter(|sending| !sending.has_aged(now)))
    }

    fn put(
        &self,
        contact: &Contact,
        once: &[u8; HASH_LEN],
        effects: &mut Effects,
    ) -> Result<(), Error> {
        effects.put(Table::Meta, Self::key(contact, once)?, self.to_value())?;
        Ok(())
    }

    pub(super) fn to_value(&self) -> Value {
        let Self { message, to, length, touched, round, next, digest, phase } = self;
        let (sealed, done) = match phase {
            Phase::Open => (false, false),
            Phase::Sealed => (true, false),
            Phase::Done => (true, true),
        };
        let row = RowWriter::new(0).bytes(message.as_bytes()).device(to);
        let row = row.maybe(*length, RowWriter::u64).time(*touched).u32(*round);
        row.u64(*next).bytes(digest).flag(sealed).flag(done).finish()
    }

    pub(super) fn from_value(value: &[u8]) -> Result<Self, Error> {
        let mut row = RowReader::new(Self::WHAT, value)?;
        let sending = Self {
            message: row.message()?,
            to: row.device()?,
            length: row.maybe(RowReader::u64)?,
            touched: row.time()?,
            round: row.u32()?,
            next: row.u64()?,
            digest: row.array()?,
            phase: match (row.flag()?, row.flag()?) {
                (false, false) => Phase::Open,
                (true, false) => Phase::Sealed,
                (true, true) => Phase::Done,
                (false, true) => {
                    return Err(row.invalid("what is done was sealed before").into());
                }
            },
        };
        row.finish()?;
        Ok(sending)
    }

    fn has_aged(&self, now: Timestamp) -> bool {
        let lifetime = if self.phase == Phase::Open { LIFETIME } else { ONCE_LIFETIME };
        now.since(self.touched) > lifetime
    }
}

/// What comes next of a large message: the bytes at hand, in order.
#[derive(Clone)]
pub(super) struct Batch {
    pub(super) once: [u8; HASH_LEN],
    pub(super) sending: Sending,
    /// Whether nothing of it was stored when this call began.
    pub(super) fresh: bool,
    /// The hash of all before `bytes`.
    pub(super) hash: Sha256,
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Whether nothing comes behind `bytes`.
    pub(super) ends: bool,
}

/// What became of it.
pub(super) struct Sealed {
    pub(super) batch: Batch,
    /// The peer has to answer before more is sent.
    pub(super) unanswered: bool,
}

impl Batch {
    /// Seals parts in the active session, and commits them with the place where the next call
    /// goes on.
    pub(super) fn seal(
        mut self,
        agent: &Inner,
        contact: &mut Contact,
        changed: Changed,
        mut effects: Effects,
    ) -> Result<Sealed, Error> {
        self.check(Sending::find(agent, contact, &self.once)?)?;
        let (part_len, max) = part_len(contact)?;
        if max == 0 {
            return Ok(Sealed { batch: self, unanswered: true });
        }
        let (mut used, mut parts) = (0_usize, Vec::new());
        for _ in 0..max {
            let rest = self.bytes.get(used..).unwrap_or_default();
            let last = self.ends && rest.len() <= part_len;
            // What ends with the bytes at hand may be the last part, whose form is another.
            let bytes = if last { rest } else { rest.get(..part_len).unwrap_or_default() };
            if !last && rest.len() <= part_len {
                break;
            }
            let len = bytes.len();
            let part = self.next_part(Zeroizing::new(bytes.to_vec()), last)?;
            let part_of = PartOf {
                message: self.sending.message,
                once: self.once,
                round: self.sending.round,
                len: u32::try_from(len).unwrap_or(u32::MAX),
            };
            let (body, holds) = (Body::Part(part), Holds::Part(part_of));
            seal(agent, contact, self.sending.message, body, holds, &mut effects)?;
            parts.push(part_of);
            used = used.saturating_add(len);
            if last {
                self.sending.phase = Phase::Sealed;
                break;
            }
        }
        self.sending.touched = agent.time().mark;
        self.sending.put(contact, &self.once, &mut effects)?;
        commit(agent, contact, changed, effects)?;
        let mut pending = agent.offline()?.pending();
        parts.iter().for_each(|part| pending.add(part));
        drop(pending);
        self.fresh = false;
        let rest = Zeroizing::new(self.bytes.get(used..).unwrap_or_default().to_vec());
        self.bytes = rest;
        Ok(Sealed { batch: self, unanswered: false })
    }

    /// Compares with what is stored: another call may have gone on meanwhile.
    fn check(&self, stored: Option<Sending>) -> Result<(), Error> {
        match stored {
            None if self.fresh => Ok(()),
            Some(stored) if !self.fresh && stored.message == self.sending.message => {
                if stored.round != self.sending.round {
                    return Err(Error::Rewound);
                }
                let same = stored.next == self.sending.next && stored.phase == self.sending.phase;
                if same { Ok(()) } else { Err(TWICE) }
            }
            _ => Err(TWICE),
        }
    }

    // CON-7
    fn next_part(&mut self, bytes: Zeroizing<Vec<u8>>, last: bool) -> Result<Part, Error> {
        let Sending { length, next: offset, .. } = self.sending;
        self.hash.update(&bytes);
        let digest = self.hash.clone().finalize();
        let part = Part { offset, length, digest: last.then_some(digest), bytes };
        let end = part.end().ok_or(Error::SourceTooLong(MAX_LARGE_LEN))?;
        if length.is_some_and(|length| end > length || (end == length) != last) {
            return Err(Error::Misuse("a source has the length that was said"));
        }
        self.sending.next = end;
        self.sending.digest = digest;
        Ok(part)
    }
}

const TWICE: Error = Error::Misuse("two calls send a large message under one key at a time");

/// How long a part may be in the active session, and how many may follow.
// CON-11, CON-15
fn part_len(contact: &Contact) -> Result<(usize, usize), Error> {
    let active = contact.sessions()?.active();
    let active = active.ok_or(Error::Unreachable("a session was found or begun"))?;
    if active.due_prefix().is_empty() {
        return Ok((MAX_PART_LEN, MAX_PARTS));
    }
    let left = usize::try_from(MAX_UNANSWERED.saturating_sub(active.sent())).unwrap_or_default();
    Ok((MAX_PAYLOAD_LEN, left.min(MAX_PARTS)))
}

/// The delivery has all of it, unless parts were lost meanwhile.
pub(super) fn finish(
    agent: &Inner,
    contact: &Contact,
    once: &[u8; HASH_LEN],
    sending: &Sending,
) -> Result<(), Error> {
    let stored = Sending::find(agent, contact, once)?;
    let stored = stored.filter(|stored| stored.round == sending.round).ok_or(Error::Rewound)?;
    let touched = agent.time().mark;
    let mut effects = Effects::new();
    Sending { phase: Phase::Done, touched, ..stored }.put(contact, once, &mut effects)?;
    let _ = agent.offline()?.store.commit(effects)?;
    Ok(())
}

/// A part could not be delivered: what was sent of this large message has gone with the mailbox.
/// Gives its id once for all of its parts.
// CON-16
pub(super) fn rewind(
    agent: &Inner,
    contact: &Contact,
    part: &PartOf,
    effects: &mut Effects,
) -> Result<Option<MessageId>, Error> {
    let stored = Sending::find(agent, contact, &part.once)?;
    let of_part =
        |sending: &Sending| sending.message == part.message && sending.round == part.round;
    let Some(stored) = stored.filter(of_part) else { return Ok(None) };
    let anew = Sending {
        round: stored.round.saturating_add(1),
        touched: agent.time().mark,
        ..Sending::new(stored.message, &stored.to, stored.length)
    };
    anew.put(contact, &part.once, effects)?;
    Ok(Some(part.message))
}

/// Forgets what has come of age, and tells of what was not sent whole.
// CON-14
pub(super) fn tidy(agent: &Inner) -> Result<(), Error> {
    let offline = agent.offline()?;
    let now = agent.time().mark;
    let mut effects = Effects::new();
    let mut expired = Vec::new();
    each_row(offline.store.as_ref(), Table::Meta, OUTGOING, |row| {
        let sending = Sending::from_value(&row.value)?;
        if sending.has_aged(now) {
            effects.delete(Table::Meta, row.key)?;
            if sending.phase == Phase::Open {
                let (peer, message) = (sending.to, sending.message);
                expired.push(Event::LargeExpired { peer, message });
            }
        }
        Ok(())
    })?;
    if !effects.is_empty() {
        let _ = offline.store.commit(effects)?;
    }
    expired.into_iter().for_each(|event| agent.tell(event));
    Ok(())
}

/// What lies in the outbox of large messages: parts, and the bytes in them.
#[derive(Debug, Default)]
pub(super) struct Pending(HashMap<MessageId, (u64, u64)>);

impl Pending {
    /// What lies there at the start.
    pub(super) fn load(store: &dyn Store) -> Result<Self, Error> {
        let mut pending = Self::default();
        each_row(store, Table::Outbox, &[], |row| {
            if let Holds::Part(part) = Row::from_value(&row.value)?.holds {
                pending.add(&part);
            }
            Ok(())
        })?;
        Ok(pending)
    }

    /// The bytes that lie there of this one; `None` when no part does.
    pub(super) fn of(&self, message: &MessageId) -> Option<u64> {
        self.0.get(message).map(|(_, bytes)| *bytes)
    }

    fn add(&mut self, part: &PartOf) {
        let (parts, bytes) = self.0.entry(part.message).or_default();
        *parts = parts.saturating_add(1);
        *bytes = bytes.saturating_add(part.len.into());
    }

    pub(super) fn remove(&mut self, part: &PartOf) {
        let Some((parts, bytes)) = self.0.get_mut(&part.message) else { return };
        *parts = parts.saturating_sub(1);
        *bytes = bytes.saturating_sub(part.len.into());
        if *parts == 0 {
            self.0.remove(&part.message);
        }
    }
}

impl Offline {
    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        // Nothing between two changes can panic.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
