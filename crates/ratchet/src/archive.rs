//! The sessions with one peer: one that sends, and others that may still receive.

use core::cmp::Reverse;

use rand_core::TryCryptoRng;
use sealwire_core::{DecodeError, DecodeReason, Timestamp, codec::Reader};

use crate::{
    Error,
    limits::{ARCHIVE_LIFETIME, MAX_ARCHIVED},
    session::{KnownPrefix, Opened, Prefix, Role, Sealed, Session, SessionId, Step},
};

/// What a session with a peer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It sends and receives.
    Active,
    /// Another has taken its place at this time; it may still receive.
    Archived(Timestamp),
    /// The peer began it at this time beside a working one. It may receive; policy decides
    /// whether sending moves to it.
    Reset(Timestamp),
}

/// What a new first message of the peer has brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrival {
    /// There was no other session: this one is active.
    First,
    /// Both sides began at once. Sending has settled on the session named here.
    Simultaneous(SessionId),
    /// There is a working session: the new one receives, and waits for
    /// [`Sessions::accept_reset`].
    Reset,
}

/// The sessions with one peer, at most one active and [`MAX_ARCHIVED`] others. Each is stored
/// as a row of its own: its bytes and its standing.
#[derive(Debug, Default)]
pub struct Sessions {
    /// In the order of trial.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    standing: Standing,
}

impl Sessions {
    /// No session yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The stored sessions with a peer.
    ///
    /// # Errors
    /// [`Error::Misuse`] for two active sessions, one twice, or more than the limit.
    pub fn from_rows(rows: impl IntoIterator<Item = (Session, Standing)>) -> Result<Self, Error> {
        let mut sessions = Self::new();
        for (session, standing) in rows {
            let second = standing == Standing::Active && sessions.active().is_some();
            if second || sessions.get(session.id()).is_some() {
                return Err(Error::Misuse("two active sessions, or one twice"));
            }
            sessions.entries.push(Entry { session, standing });
            sessions.sort();
        }
        if sessions.others() > MAX_ARCHIVED {
            return Err(Error::Misuse("more archived sessions than are kept"));
        }
        Ok(sessions)
    }

    /// Every session and its standing, in the order of trial.
    pub fn iter(&self) -> impl Iterator<Item = (&Session, Standing)> {
        self.entries.iter().map(|entry| (&entry.session, entry.standing))
    }

    /// The session that sends.
    pub fn active(&self) -> Option<&Session> {
        self.iter().find(|(_, standing)| *standing == Standing::Active).map(|(session, _)| session)
    }

    /// The session of this name.
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.iter().map(|(session, _)| session).find(|session| session.id() == id)
    }

    /// Seals with the active session.
    ///
    /// # Errors
    /// [`Error::CannotSend`] when there is none, and as [`Session::seal`].
    pub fn seal<R: TryCryptoRng + ?Sized>(
        &self,
        now: Timestamp,
        rng: &mut R,
        plaintext: &[u8],
    ) -> Result<(SessionId, Sealed), Error> {
        let session = self.active().ok_or(Error::CannotSend("there is no session"))?;
        Ok((session.id(), session.seal(now, rng, plaintext)?))
    }

    /// Opens a message with whichever session it is of: the active one, then the others,
    /// newest first.
    ///
    /// # Errors
    /// As [`Session::open`].
    // RAT-23
    pub fn open(&self, now: Timestamp, message: &[u8]) -> Result<(SessionId, Opened), Error> {
        let mut refusal = Error::Open;
        for (session, _) in self.iter().filter(|(_, standing)| !standing.has_ended(now)) {
            match session.open(now, message) {
                Ok(opened) => return Ok((session.id(), opened)),
                Err(Error::Open) => {}
                Err(error @ Error::Decode(_)) => refusal = error,
                // The header was of this session: no other can do better.
                Err(error) => return Err(error),
            }
        }
        Err(refusal)
    }

    /// Applies a step to its session.
    ///
    /// # Errors
    /// As [`Session::apply`].
    pub fn apply(&mut self, id: SessionId, step: Step) -> Result<(), Error> {
        self.session_mut(id)?.apply(step)
    }

    /// From now on this session's messages go without the prefix.
    ///
    /// # Errors
    /// [`Error::Misuse`] when there is no such session.
    pub fn drop_prefix(&mut self, id: SessionId) -> Result<(), Error> {
        self.session_mut(id).map(Session::drop_prefix)
    }

    /// The session that a prefix belongs to, byte for byte; `None` when it begins a new one.
    ///
    /// # Errors
    /// [`Error::Replay`] when it repeats the ephemeral key of another prefix;
    /// [`Error::Misuse`] for bytes that are no prefix.
    pub fn with_prefix(&self, prefix: &[u8]) -> Result<Option<SessionId>, Error> {
        let wanted = KnownPrefix::new(prefix)?;
        for (session, _) in self.iter() {
            match &session.prefix {
                Prefix::Known(known) if *known == wanted => return Ok(Some(session.id())),
                Prefix::Known(known) if known.ephemeral == wanted.ephemeral => {
                    return Err(Error::Replay);
                }
                Prefix::Known(_) | Prefix::Due(_) | Prefix::Gone => {}
            }
        }
        Ok(None)
    }

    /// Adds a session that this side began. It sends from now on; gives the names of sessions
    /// that fell out, whose rows are deleted.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a session that is there already.
    pub fn begin(&mut self, session: Session, now: Timestamp) -> Result<Vec<SessionId>, Error> {
        self.add(session, Standing::Archived(now))
            .map(|id| self.activate(id, now))
            .map(|()| self.expire(now))
    }

    /// Adds a session that the peer began, once its first message has opened and been applied.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a session that is there already, or has opened nothing.
    // RAT-24
    pub fn arrive(
        &mut self,
        session: Session,
        now: Timestamp,
    ) -> Result<(Arrival, Vec<SessionId>), Error> {
        if !session.has_received() {
            return Err(Error::Misuse("its first message has not opened"));
        }
        let ours = self.active().map(|active| {
            (active.id(), active.role() == Role::Initiator && !active.has_received())
        });
        let id = self.add(session, Standing::Reset(now))?;
        let arrival = match ours {
            None => {
                self.activate(id, now);
                Arrival::First
            }
            Some((ours, true)) => {
                let lower = ours.min(id);
                self.archive(id, now);
                self.activate(lower, now);
                Arrival::Simultaneous(lower)
            }
            Some((_, false)) => Arrival::Reset,
        };
        Ok((arrival, self.expire(now)))
    }

    /// Policy takes a reset: sending moves to that session.
    ///
    /// # Errors
    /// [`Error::Misuse`] when it is no reset that waits.
    // RAT-24
    pub fn accept_reset(&mut self, id: SessionId, now: Timestamp) -> Result<(), Error> {
        let waits = self.iter().any(|(session, standing)| {
            session.id() == id && matches!(standing, Standing::Reset(_))
        });
        if !waits {
            return Err(Error::Misuse("no reset of this name waits"));
        }
        self.activate(id, now);
        Ok(())
    }

    /// Drops sessions that are too old or too many, and gives their names.
    // RAT-22
    pub fn expire(&mut self, now: Timestamp) -> Vec<SessionId> {
        let mut dropped = Vec::new();
        let mut others = 0usize;
        self.entries.retain(|entry| {
            others = others.saturating_add(usize::from(entry.standing != Standing::Active));
            let keep = others <= MAX_ARCHIVED && !entry.standing.has_ended(now);
            if !keep {
                dropped.push(entry.session.id());
            }
            keep
        });
        dropped
    }

    fn session_mut(&mut self, id: SessionId) -> Result<&mut Session, Error> {
        let mut sessions = self.entries.iter_mut().map(|entry| &mut entry.session);
        sessions.find(|session| session.id() == id).ok_or(Error::Misuse("no such session"))
    }

    fn add(&mut self, session: Session, standing: Standing) -> Result<SessionId, Error> {
        let id = session.id();
        if self.get(id).is_some() {
            return Err(Error::Misuse("the session is there already"));
        }
        self.entries.insert(0, Entry { session, standing });
        self.sort();
        Ok(id)
    }

    /// Makes one session active and archives the one that was.
    fn activate(&mut self, id: SessionId, now: Timestamp) {
        for entry in &mut self.entries {
            if entry.session.id() == id {
                entry.standing = Standing::Active;
            } else if entry.standing == Standing::Active {
                entry.standing = Standing::Archived(now);
            }
        }
        self.sort();
    }

    fn archive(&mut self, id: SessionId, now: Timestamp) {
        for entry in self.entries.iter_mut().filter(|entry| entry.session.id() == id) {
            entry.standing = Standing::Archived(now);
        }
    }

    fn others(&self) -> usize {
        self.iter().filter(|(_, standing)| *standing != Standing::Active).count()
    }

    /// Into the order of trial. The sort is stable and a new entry comes first, so that of
    /// sessions set aside in one second the newest stands first and is the last to be dropped.
    fn sort(&mut self) {
        self.entries.sort_by_key(|entry| {
            let since = match entry.standing {
                Standing::Active => (true, Timestamp::default()),
                Standing::Archived(since) | Standing::Reset(since) => (false, since),
            };
            Reverse((since, entry.session.created()))
        });
    }
}

impl Standing {
    fn has_ended(self, now: Timestamp) -> bool {
        match self {
            Self::Active => false,
            Self::Archived(since) | Self::Reset(since) => now.since(since) >= ARCHIVE_LIFETIME,
        }
    }

    /// The stored form: a kind and a time, 9 bytes.
    pub fn to_bytes(self) -> [u8; 9] {
        let (kind, since) = match self {
            Self::Active => (0, Timestamp::default()),
            Self::Archived(since) => (1, since),
            Self::Reset(since) => (2, since),
        };
        let mut bytes = [0; 9];
        let (first, rest) = bytes.split_at_mut(1);
        first.fill(kind);
        rest.copy_from_slice(&since.as_secs().to_be_bytes());
        bytes
    }

    /// What [`Standing::to_bytes`] gave.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("standing of a session", bytes);
        let (kind, since) = (reader.u8()?, reader.u64()?);
        let error = reader.error(DecodeReason::Invalid("a kind is 0 to 2, and 0 has no time"));
        reader.finish()?;
        match (kind, since) {
            (0, 0) => Ok(Self::Active),
            (1, since) => Ok(Self::Archived(Timestamp::from_secs(since))),
            (2, since) => Ok(Self::Reset(Timestamp::from_secs(since))),
            _ => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
