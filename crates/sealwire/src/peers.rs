//! The peers an agent knows: pins and scores, in memory or in a file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use sealwire_core::{Timestamp, Unverified, Verified};
use sealwire_custody::atomic::FileLock;
use sealwire_identity::{
    AgentId, Comparison, IdentityCard, Pin, PinStore, PinnedBy, ScoreStatement,
};

use crate::Error;

/// Seconds after which a peer that is seen again is noted on disk too. Sooner, nothing that
/// decides anything has changed, and a busy agent does not write on every connection.
const NOTE_AFTER: u64 = 3600;

/// Scores kept at a time: as many as peers that a policy by score would dial.
const MAX_SCORES: usize = 4096;

/// The peers an agent knows.
///
/// With a file, every change is on disk before it takes effect, and changes of other processes
/// are seen: the file is read again under its lock before it is changed. Scores live in memory.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{Agent, Peers};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut rng = sealwire::custody::system_rng();
/// # let keys = Arc::new(sealwire::core::MemoryKeyStore::generate(&mut rng)?);
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("peers");
/// let peers = Arc::new(Peers::open(file)?);
/// let agent = Agent::builder(keys).peers(Arc::clone(&peers)).build()?;
/// assert!(peers.list()?.is_empty());
/// # let _ = agent;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Peers {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pins: PinStore,
    /// What the file was when it was last read.
    stamp: Option<Stamp>,
    scores: Vec<Verified<ScoreStatement>>,
}

/// Tells one version of the file from another: inode, length and time of change.
type Stamp = (u64, u64, Option<SystemTime>);

/// The time to judge by, and the mark to remember: a clock that runs years ahead moves the
/// first and not the second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted {
    pub(crate) now: Timestamp,
    pub(crate) mark: Timestamp,
}

impl Peers {
    /// Peers that are forgotten with the process.
    pub fn in_memory() -> Self {
        Self { file: None, state: Mutex::default() }
    }

    /// Peers in a file, which need not exist yet; its directory must.
    ///
    /// # Errors
    /// [`Error::Store`] when it cannot be read, [`Error::PeersFile`] for a file that holds no
    /// pins. Either names the file.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let peers = Self { file: Some(path.into()), state: Mutex::default() };
        peers.refresh(&mut peers.lock())?;
        Ok(peers)
    }

    /// Pins a verified card. It is on disk when this returns.
    ///
    /// # Errors
    /// [`Error::Identity`] for a card that the pin refuses; [`Error::Store`],
    /// [`Error::PeersFile`]. Nothing has changed then.
    pub fn pin(
        &self,
        card: &Verified<IdentityCard>,
        by: PinnedBy,
        now: Timestamp,
    ) -> Result<Comparison, Error> {
        self.change(|pins| Ok(pins.pin(card, by, now)?))
    }

    /// Forgets a peer, which is a stranger afterwards. Says whether it was pinned.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::PeersFile`].
    pub fn remove(&self, id: &AgentId) -> Result<bool, Error> {
        self.change(|pins| Ok(pins.remove(id)))
    }

    /// The pin of a peer.
    ///
    /// # Errors
    /// [`Error::Store`] or [`Error::PeersFile`] when the file cannot be read again.
    pub fn get(&self, id: &AgentId) -> Result<Option<Pin>, Error> {
        self.read(|pins| Ok(pins.get(id).cloned()))
    }

    /// All pins, ascending by id.
    ///
    /// # Errors
    /// As [`Peers::get`].
    pub fn list(&self) -> Result<Vec<Pin>, Error> {
        self.read(|pins| Ok(pins.iter().cloned().collect()))
    }

    /// Keeps a verified score for policies that decide before dialling. An issuer's statement
    /// replaces its earlier one; with no room left the one that ends first goes.
    ///
    /// ```
    /// use sealwire::{Peers, core::Timestamp, identity::ScoreStatement};
    /// # use sealwire::{core::{KeyStore, MemoryKeyStore}, custody, identity::AgentId};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let auditor = MemoryKeyStore::generate(&mut custody::system_rng())?;
    /// # let worker = MemoryKeyStore::generate(&mut custody::system_rng())?;
    /// # let worker = AgentId::from_key(worker.identity());
    /// # let now = Timestamp::from_secs(1_800_000_000);
    /// # let issued = ScoreStatement::issue(&auditor, &worker, 820, now.plus(86_400))?;
    /// # let received = issued.as_bytes();
    /// let statement = ScoreStatement::from_bytes(received)?.verify(now)?;
    /// Peers::in_memory().add_score(statement);
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_score(&self, score: Verified<ScoreStatement>) {
        let mut state = self.lock();
        let key = |score: &Verified<ScoreStatement>| {
            let score = score.as_verified();
            (score.issuer().clone(), score.subject().clone())
        };
        let new = key(&score);
        state.scores.retain(|kept| key(kept) != new);
        if state.scores.len() >= MAX_SCORES {
            let ends = state.scores.iter().enumerate().min_by_key(|(_, kept)| kept.not_after());
            if let Some(first) = ends.map(|(index, _)| index) {
                state.scores.swap_remove(first);
            }
        }
        state.scores.push(score);
    }

    /// The scores kept for a peer.
    pub(crate) fn scores(&self, id: &AgentId) -> Vec<Verified<ScoreStatement>> {
        let state = self.lock();
        state.scores.iter().filter(|score| score.as_verified().subject() == id).cloned().collect()
    }

    /// The latest time that any pin remembers.
    pub(crate) fn latest(&self) -> Timestamp {
        let state = self.lock();
        state.pins.iter().map(Pin::last_seen).max().unwrap_or_default()
    }

    /// Checks that a card still stands beside its pin, and gives what it is to it.
    pub(crate) fn compare(&self, card: &IdentityCard) -> Result<Comparison, Error> {
        self.read(|pins| Ok(pins.compare(card)?))
    }

    /// The card behind `verified`, checked against the pins at the time of use.
    pub(crate) fn check<'a>(
        &self,
        verified: &'a Verified<IdentityCard>,
        now: Timestamp,
    ) -> Result<&'a IdentityCard, Error> {
        self.read(|pins| Ok(verified.check(now, pins)?))
    }

    /// The pinned card of a peer, to be verified again.
    pub(crate) fn card(&self, id: &AgentId) -> Result<Option<Unverified<IdentityCard>>, Error> {
        self.read(|pins| Ok(pins.get(id).map(|pin| pin.card().clone())))
    }

    /// Notes that a peer was met: pins a new card, and writes only what changes a decision.
    /// `expected` says that the decision relied on a pin: a peer that was removed since then is
    /// not brought back.
    pub(crate) fn meet(
        &self,
        card: &Verified<IdentityCard>,
        expected: bool,
        noted: Noted,
    ) -> Result<(), Error> {
        let id = card.as_verified().id();
        let known = self.read(|pins| {
            let comparison = pins.compare(card.check(noted.now, pins)?)?;
            let seen = pins.get(id).map(Pin::last_seen);
            let recent = seen.is_some_and(|seen| noted.mark.since(seen) < NOTE_AFTER);
            Ok(comparison == Comparison::Same && recent)
        })?;
        if known {
            return Ok(());
        }
        self.change(|pins| {
            if expected && pins.get(id).is_none() {
                return Err(Error::NotPinned(id.clone()));
            }
            card.check(noted.now, &*pins)?;
            Ok(pins.pin(card, PinnedBy::FirstContact, noted.mark)?)
        })
        .map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A change is applied to a copy and swapped in, so a panic leaves no half of one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<R>(&self, look: impl FnOnce(&PinStore) -> Result<R, Error>) -> Result<R, Error> {
        let mut state = self.lock();
        self.refresh(&mut state)?;
        look(&state.pins)
    }

    /// Reads the file again when it has changed.
    fn refresh(&self, state: &mut State) -> Result<(), Error> {
        let Some(path) = &self.file else { return Ok(()) };
        let stamp = stamp(path)?;
        if stamp != state.stamp {
            state.pins = load(path, state.stamp.is_some())?;
            state.stamp = stamp;
        }
        Ok(())
    }

    /// Changes a copy, stores it, and only then takes it over.
    fn change<R>(
        &self,
        change: impl FnOnce(&mut PinStore) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut state = self.lock();
        let Some(path) = &self.file else {
            let mut pins = state.pins.clone();
            let result = change(&mut pins)?;
            state.pins = pins;
            return Ok(result);
        };
        let lock = FileLock::acquire(path)?;
        let mut pins = load(path, state.stamp.is_some())?;
        let result = change(&mut pins)?;
        lock.replace(&pins.to_bytes(), 0o600)?;
        state.stamp = stamp(path)?;
        state.pins = pins;
        Ok(result)
    }
}

/// Reads the file. One that was there before and is gone now is an error: its pins are not
/// forgotten because a disk is.
fn load(path: &Path, existed: bool) -> Result<PinStore, Error> {
    match fs::read(path) {
        Ok(bytes) => PinStore::from_bytes(&bytes)
            .map_err(|cause| Error::PeersFile { path: path.to_owned(), cause }),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !existed => Ok(PinStore::new()),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn stamp(path: &Path) -> Result<Option<Stamp>, Error> {
    use std::os::unix::fs::MetadataExt;
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.ino(), metadata.len(), metadata.modified().ok()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn unreadable(path: &Path, cause: io::Error) -> Error {
    let path = path.to_owned();
    sealwire_custody::Error::Io { action: "read", path, cause }.into()
}
