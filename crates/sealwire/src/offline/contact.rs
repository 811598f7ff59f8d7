//! What is kept of a peer: where it is reached, what it showed, and the sessions with it.

use sealwire_core::{Timestamp, rng::draw};
use sealwire_identity::{CardHash, EvidenceList};
use sealwire_ratchet::{
    Arrival, Session, SessionId, Sessions, Standing, limits::ARCHIVE_LIFETIME, prekey::BundlePin,
};
use zeroize::Zeroizing;

use super::rows::{RowReader, RowWriter, each_row};
use crate::{
    Effects, Error,
    delivery::{Address, Device, OpenedMailbox},
    store::{RowKey, Store, Table, Value},
};

/// Names the rows of a contact: random, so that a key tells nobody who it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ContactKey([u8; 16]);

/// EK_A of a first message.
pub(super) type Ephemeral = [u8; 32];

/// A peer's device.
///
/// A row for the contact, and one for each session: `standing 9 | session`.
pub(super) struct Contact {
    key: ContactKey,
    device: Device,
    /// Whether there is a row.
    stored: bool,
    /// A commit failed: what is in memory may not be what is stored.
    stale: bool,
    /// Of a claim whose answer is not there yet.
    pub(super) nonce: Option<[u8; 16]>,
    pub(super) known: Known,
    /// Read when they are needed.
    sessions: Option<Sessions>,
}

/// What the row of a contact has.
#[derive(Default)]
pub(super) struct Known {
    /// Ours, for this peer alone.
    pub(super) mailbox: Option<OpenedMailbox>,
    /// The peer's, for us alone.
    pub(super) theirs: Option<Address>,
    /// A message of the peer's was left in our mailbox: it knows the address.
    pub(super) reached: bool,
    /// Where the peer takes first messages, and until when ours may be repeated there.
    pub(super) contact: Option<(Address, Timestamp)>,
    /// The newest bundle seen.
    pub(super) bundle: Option<BundlePin>,
    /// The next message begins a new session.
    pub(super) renew: bool,
    /// What the peer showed when it began a session.
    pub(super) shown: Option<(CardHash, EvidenceList)>,
    /// When the first of its archived sessions ends.
    ends: Option<Timestamp>,
    /// The sessions that the peer began, and with which EK_A.
    firsts: Vec<([u8; 16], Ephemeral)>,
}

/// Which sessions a commit writes.
#[derive(Clone, Copy)]
pub(super) enum Changed {
    /// This one.
    One(SessionId),
    /// All: one has taken the place of another.
    All,
    /// None.
    Nothing,
}

impl ContactKey {
    pub(super) fn draw() -> Result<Self, Error> {
        let bytes = draw::<16>(&mut sealwire_custody::system_rng());
        let bytes = bytes.map_err(sealwire_ratchet::Error::from)?;
        Ok(Self(*bytes.expose()))
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn row(self) -> Result<RowKey, Error> {
        Ok(RowKey::new(&self.0)?)
    }

    fn session_row(self, id: SessionId) -> Result<RowKey, Error> {
        Ok(RowKey::new(&[self.0, *id.as_bytes()].concat())?)
    }
}

impl Contact {
    const WHAT: &'static str = "peer row";

    pub(super) fn new(key: ContactKey, device: Device) -> Self {
        let known = Known::default();
        Self { key, device, stored: false, stale: false, nonce: None, known, sessions: None }
    }

    pub(super) fn from_row(key: &RowKey, value: &[u8]) -> Result<Self, Error> {
        let mut row = RowReader::new(Self::WHAT, value)?;
        let bytes = key.as_bytes().try_into().map_err(|_| row.invalid("its key has 16 bytes"))?;
        let device = row.device()?;
        let known = Known::read(row)?;
        Ok(Self { stored: true, known, ..Self::new(ContactKey(bytes), device) })
    }

    pub(super) fn key(&self) -> ContactKey {
        self.key
    }

    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn is_stored(&self) -> bool {
        self.stored
    }

    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// EK_A of every session that the peer began.
    pub(super) fn ephemerals(&self) -> impl Iterator<Item = Ephemeral> {
        self.known.firsts.iter().map(|(_, ephemeral)| *ephemeral)
    }

    /// Reads the sessions, and all of it again after a failed commit.
    pub(super) fn load(&mut self, store: &dyn Store) -> Result<(), Error> {
        if self.stale {
            let row = store.get(Table::Peer, &self.key.row()?)?;
            *self = match row {
                Some(value) => Self::from_row(&self.key.row()?, &value)?,
                None => Self::new(self.key, self.device.clone()),
            };
        }
        if self.sessions.is_some() {
            return Ok(());
        }
        let mut sessions = Vec::new();
        each_row(store, Table::Session, self.key.as_bytes(), |row| {
            sessions.push(read_session(&row.value)?);
            Ok(())
        })?;
        self.sessions = Some(Sessions::from_rows(sessions)?);
        Ok(())
    }

    /// What is in memory is not what is stored.
    pub(super) fn spoil(&mut self) {
        self.stale = true;
        // Keys that were not stored are not kept either.
        self.sessions = None;
    }

    /// The sessions, once they are loaded.
    pub(super) fn sessions(&self) -> Result<&Sessions, Error> {
        self.sessions.as_ref().ok_or(Error::Unreachable("sessions are loaded before they are used"))
    }

    pub(super) fn sessions_mut(&mut self) -> Result<&mut Sessions, Error> {
        self.sessions.as_mut().ok_or(Error::Unreachable("sessions are loaded before they are used"))
    }

    /// Takes in a session that this side began: messages go there.
    pub(super) fn begin(
        &mut self,
        session: Session,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<(), Error> {
        // Whoever lost its state lost our address too.
        self.known.reached = false;
        let dropped = self.sessions_mut()?.begin(session, now)?;
        self.forget(&dropped, effects)
    }

    /// Takes in a session that the peer began, whom policy has accepted, and says what it is
    /// beside the others.
    // RAT-24
    pub(super) fn admit(
        &mut self,
        session: Session,
        ephemeral: Ephemeral,
        now: Timestamp,
        effects: &mut Effects,
    ) -> Result<Arrival, Error> {
        self.known.reached = false;
        let id = session.id();
        let sessions = self.sessions_mut()?;
        let (arrival, dropped) = sessions.arrive(session, now)?;
        if arrival == Arrival::Reset {
            sessions.accept_reset(id, now)?;
        }
        if sessions.active().is_some_and(|active| active.id() == id) {
            self.known.renew = false;
        }
        self.known.firsts.push((*id.as_bytes(), ephemeral));
        self.forget(&dropped, effects)?;
        Ok(arrival)
    }

    /// Removes sessions: their keys are wiped, and their rows go. Says whether there were any.
    pub(super) fn close(
        &mut self,
        only: Option<SessionId>,
        effects: &mut Effects,
    ) -> Result<bool, Error> {
        let gone = |id: &SessionId| only.is_none_or(|only| only == *id);
        let ids = self.sessions()?.iter().map(|(session, _)| session.id());
        let ids: Vec<SessionId> = ids.filter(gone).collect();
        self.forget(&ids, effects)?;
        // The others are read again.
        self.sessions = None;
        Ok(!ids.is_empty())
    }

    /// Removes what has been archived for too long.
    // RAT-22
    pub(super) fn expire(&mut self, now: Timestamp, effects: &mut Effects) -> Result<(), Error> {
        let dropped = self.sessions_mut()?.expire(now);
        self.forget(&dropped, effects)
    }

    /// Whether [`Contact::expire`] has something to do.
    pub(super) fn has_aged(&self, now: Timestamp) -> bool {
        self.known.ends.is_some_and(|ends| now >= ends)
    }

    fn forget(&mut self, ids: &[SessionId], effects: &mut Effects) -> Result<(), Error> {
        for id in ids {
            self.known.firsts.retain(|(of, _)| of != id.as_bytes());
            effects.delete(Table::Session, self.key.session_row(*id)?)?;
        }
        Ok(())
    }

    /// Writes the row of the contact and those of its sessions that changed.
    pub(super) fn store(&mut self, changed: Changed, effects: &mut Effects) -> Result<(), Error> {
        if let Some(sessions) = &self.sessions {
            self.known.ends = sessions.iter().filter_map(|(_, standing)| end(standing)).min();
        }
        effects.put(Table::Peer, self.key.row()?, self.to_value())?;
        for (session, standing) in self.sessions.iter().flat_map(Sessions::iter) {
            let written = match changed {
                Changed::One(id) => session.id() == id,
                Changed::All => true,
                Changed::Nothing => false,
            };
            if written {
                let value = session_value(session, standing);
                effects.put(Table::Session, self.key.session_row(session.id())?, value)?;
            }
        }
        Ok(())
    }

    /// The rows of this contact are stored.
    pub(super) fn set_stored(&mut self) {
        self.stored = true;
    }

    pub(super) fn to_value(&self) -> Value {
        let Known { mailbox, theirs, reached, contact, bundle, renew, shown, ends, firsts } =
            &self.known;
        let evidence = shown.as_ref().map_or(0, |(_, evidence)| evidence.to_bytes().len());
        let row = RowWriter::new(evidence)
            .device(&self.device)
            .maybe(mailbox.as_ref(), RowWriter::mailbox)
            .maybe(theirs.as_ref(), RowWriter::address)
            .flag(*reached)
            .maybe(contact.as_ref(), |row, (address, until)| row.address(address).time(*until))
            .maybe(bundle.as_ref(), |row, pin| row.bytes16(&pin.to_bytes()))
            .flag(*renew)
            .maybe(shown.as_ref(), |row, (card, evidence)| {
                row.bytes(card.as_bytes()).bytes16(&evidence.to_bytes())
            })
            .maybe(*ends, RowWriter::time);
        let firsts = firsts.iter();
        firsts.fold(row, |row, (id, ephemeral)| row.bytes(id).bytes(ephemeral)).finish()
    }
}

impl Known {
    fn read(mut row: RowReader<'_>) -> Result<Self, Error> {
        let mut known = Self {
            mailbox: row.maybe(RowReader::mailbox)?,
            theirs: row.maybe(RowReader::address)?,
            reached: row.flag()?,
            contact: row.maybe(|row| Ok((row.address()?, row.time()?)))?,
            bundle: row.maybe(|row| Ok(BundlePin::from_bytes(row.bytes16()?)?))?,
            renew: row.flag()?,
            shown: row.maybe(|row| {
                let card = CardHash::from_bytes(row.array()?);
                Ok((card, EvidenceList::from_bytes(row.bytes16()?)?))
            })?,
            ends: row.maybe(RowReader::time)?,
            firsts: Vec::new(),
        };
        while !row.is_at_end() {
            known.firsts.push((row.array()?, row.array()?));
        }
        Ok(known)
    }
}

/// When a session that is set aside ends.
fn end(standing: Standing) -> Option<Timestamp> {
    match standing {
        Standing::Archived(since) | Standing::Reset(since) => Some(since.plus(ARCHIVE_LIFETIME)),
        _ => None,
    }
}

pub(super) fn read_session(value: &[u8]) -> Result<(Session, Standing), Error> {
    let (standing, session) =
        value.split_at_checked(9).ok_or(Error::Unreachable("a session row has 9 bytes more"))?;
    Ok((Session::from_bytes(session)?, Standing::from_bytes(standing)?))
}

pub(super) fn session_value(session: &Session, standing: Standing) -> Value {
    let session = session.to_bytes();
    // Full capacity first: growing would leave copies of the keys behind.
    let mut value = Zeroizing::new(Vec::with_capacity(session.len().saturating_add(9)));
    value.extend_from_slice(&standing.to_bytes());
    value.extend_from_slice(&session);
    value
}
