//! Telling first messages without a one-time key from their replays.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use sealwire_core::{
    DecodeError, DecodeReason,
    codec::{Reader, Writer},
    kdf::{self, HASH_LEN},
    label::Label,
    secret::Secret,
};

use crate::{Error, prekey::PrekeyId};

/// Entries for one last-resort KEM prekey. At the relay's limit on claims, seventeen minutes of
/// senders who all got no one-time key.
// AGR-21
pub const MAX_ENTRIES: usize = 1024;
/// With so many entries both prekeys are replaced, so that there is always one with room.
pub const ROTATE_AT: usize = 768;

/// A first message that could be sent again: nothing that it used is deleted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replayable {
    kem: PrekeyId,
    entry: [u8; HASH_LEN],
}

impl Replayable {
    const WHAT: &str = "replay entry";
    const VERSION: u8 = 1;

    // AGR-20
    pub(crate) fn new(kem: PrekeyId, sk: &Secret<32>) -> Result<Self, Error> {
        let label = Label::AGREEMENT_REPLAY.context(None, &[])?;
        Ok(Self { kem, entry: kdf::hmac(sk.expose(), &[label.as_bytes()]) })
    }

    /// The KEM prekey as long as which it is remembered.
    pub fn kem(&self) -> PrekeyId {
        self.kem
    }

    /// `version 1 | kem_id u32 | entry 32`: one row for each, so that writing one down costs
    /// the same however many there are.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(Self::VERSION).u32(self.kem.get()).bytes(&self.entry);
        writer.into_bytes()
    }

    /// Reads what [`Replayable::to_bytes`] gave.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Self::WHAT, bytes);
        reader.version(Self::VERSION)?;
        let zero = DecodeReason::Invalid("prekeys are numbered from 1");
        let kem = PrekeyId::new(reader.u32()?).ok_or(reader.error(zero))?;
        let entry = *reader.array()?;
        reader.finish()?;
        Ok(Self { kem, entry })
    }
}

/// The first messages that came without a one-time key, for each last-resort KEM prekey.
///
/// ```
/// use sealwire_ratchet::{Error, ReplayCache, agreement::Accepted};
/// fn admit(cache: &mut ReplayCache, accepted: &Accepted) -> Result<(), Error> {
///     if let Some(replay) = &accepted.replay {
///         cache.check(replay)?;
///         // … store replay.to_bytes() with the session, in one transaction …
///         cache.insert(*replay)?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Default, PartialEq, Eq)]
pub struct ReplayCache(BTreeMap<PrekeyId, BTreeSet<[u8; HASH_LEN]>>);

impl ReplayCache {
    /// A cache of nothing.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether this message may be taken. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Replay`]; [`Error::ReplayCacheFull`].
    pub fn check(&self, message: &Replayable) -> Result<(), Error> {
        match self.0.get(&message.kem) {
            Some(entries) if entries.contains(&message.entry) => Err(Error::Replay),
            Some(entries) if entries.len() >= MAX_ENTRIES => Err(Error::ReplayCacheFull),
            _ => Ok(()),
        }
    }

    /// Remembers a message whose entry was stored, or is read from the store.
    ///
    /// # Errors
    /// As [`ReplayCache::check`]; the cache is as it was.
    pub fn insert(&mut self, message: Replayable) -> Result<(), Error> {
        self.check(&message)?;
        self.0.entry(message.kem).or_default().insert(message.entry);
        Ok(())
    }

    /// How many entries this KEM prekey has.
    pub fn len(&self, kem: PrekeyId) -> usize {
        self.0.get(&kem).map_or(0, BTreeSet::len)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is time to replace this KEM prekey
    /// ([`Rotation::Now`](crate::prekey::Rotation::Now)).
    // AGR-21
    pub fn is_filling(&self, kem: PrekeyId) -> bool {
        self.len(kem) >= ROTATE_AT
    }

    /// The entries of KEM prekeys that `held` denies: delete their rows, then
    /// [`ReplayCache::remove`] them.
    pub fn orphans(&self, held: impl Fn(PrekeyId) -> bool) -> Vec<Replayable> {
        let gone = self.0.iter().filter(|(kem, _)| !held(**kem));
        gone.flat_map(|(kem, entries)| {
            entries.iter().map(|entry| Replayable { kem: *kem, entry: *entry })
        })
        .collect()
    }

    /// Forgets a message whose row was deleted.
    pub fn remove(&mut self, message: &Replayable) {
        if let Some(entries) = self.0.get_mut(&message.kem) {
            entries.remove(&message.entry);
            if entries.is_empty() {
                self.0.remove(&message.kem);
            }
        }
    }
}

impl fmt::Debug for Replayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kem, entry: _ } = self;
        f.debug_struct("Replayable").field("kem", kem).finish_non_exhaustive()
    }
}

impl fmt::Debug for ReplayCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: usize = self.0.values().map(BTreeSet::len).sum();
        f.debug_struct("ReplayCache")
            .field("keys", &self.0.len())
            .field("entries", &entries)
            .finish()
    }
}
