//! The file with the state key, and the one that is to take its place.
//!
//! ```text
//! change of the state key:  state.key.next ─▶ one transaction ─▶ renamed to state.key
//! found in between:         whichever of the two fits the database
//! ```

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use sealwire_core::KeyStore;
use sealwire_custody::{atomic, system_rng};

use super::{DATABASE, database::Database, is_there, verify};
use crate::store::{Damage, Error, StateKey, StateKeyError};

/// Names within the state directory.
// STA-6
const KEY: &str = "state.key";
const NEXT: &str = "state.key.next";
const LOG: &str = "state.db-wal";

/// The files of a state that is there.
pub(super) struct KeyFiles {
    directory: PathBuf,
    has_database: bool,
    pub(super) current: Vec<u8>,
    /// What a change of the key was interrupted with.
    pub(super) next: Option<Vec<u8>>,
}

/// What opening a file gave.
pub(super) struct Candidate {
    pub(super) key: Result<StateKey, Error>,
    /// Why it is not used, even if it is the right one.
    pub(super) refused: Option<Error>,
}

impl KeyFiles {
    /// Reads them. `None` where there is no state yet.
    // STA-7
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, Error> {
        let has_database = is_there(&directory.join(DATABASE))?;
        let current = match read(&directory.join(KEY))? {
            Some(current) => current,
            None if !has_database => return Ok(None),
            None => {
                let path = directory.to_owned();
                return Err(Error::Damaged { path, what: Damage::KeyFile });
            }
        };
        let next = read(&directory.join(NEXT))?;
        Ok(Some(Self { directory: directory.to_owned(), has_database, current, next }))
    }

    /// The key of the state. What an interrupted change left is brought to its end, or undone.
    // STA-22, STA-23
    pub(super) fn settle(
        &self,
        current: Candidate,
        next: Option<Candidate>,
    ) -> Result<StateKey, Error> {
        let Some(next) = next else { return current.take() };
        let database = match self.has_database {
            true => Some(Database::open(&self.directory, &self.directory.join(DATABASE))?),
            false => None,
        };
        let fits = |candidate: &Candidate| match (&candidate.key, &database) {
            (Err(_), _) => Ok(false),
            // None is made under a key that is about to be replaced by one.
            (Ok(_), None) => Ok(true),
            (Ok(key), Some(database)) => verify::belongs(database, key),
        };
        if fits(&current)? {
            let key = current.take()?;
            let next = self.directory.join(NEXT);
            fs::remove_file(&next).map_err(io("remove", &next))?;
            return flush(&self.directory).map(|()| key);
        }
        if fits(&next)? {
            let key = next.take()?;
            // To close a file gives up the locks that SQLite has on it.
            drop(database);
            flush_database(&self.directory)?;
            return rename(&self.directory).map(|()| key);
        }
        match (current.key, next.key) {
            (Ok(_), Err(error)) | (Err(error), _) => Err(error),
            (Ok(_), Ok(_)) => Err(Error::OtherKey { path: self.directory.clone() }),
        }
    }
}

impl Candidate {
    /// What the agent's keys alone open.
    pub(super) fn own(directory: &Path, keys: &dyn KeyStore, bytes: &[u8]) -> Self {
        let key = StateKey::open(keys, bytes);
        Self { key: key.map_err(|error| of_file(directory, keys, bytes, error)), refused: None }
    }

    fn take(self) -> Result<StateKey, Error> {
        let key = self.key?;
        self.refused.map_or(Ok(key), Err)
    }
}

/// Makes the key of a new state.
// STA-7
pub(super) fn create(directory: &Path, bytes: &[u8]) -> Result<(), Error> {
    Ok(atomic::create_atomic(&directory.join(KEY), bytes, 0o600)?)
}

/// Seals a state key with the agent's keys alone.
pub(super) fn draw(keys: &dyn KeyStore) -> Result<(StateKey, Vec<u8>), Error> {
    let key = StateKey::generate(&mut system_rng())?;
    let sealed = key.seal(keys, &mut system_rng())?;
    Ok((key, sealed))
}

/// Puts the key in its place that is to come.
// STA-23
#[cfg(feature = "envelope")]
pub(super) fn prepare(directory: &Path, bytes: &[u8]) -> Result<(), Error> {
    Ok(atomic::write_atomic(&directory.join(NEXT), bytes, 0o600)?)
}

/// Puts another wrap of the same key in the place of this one.
// STA-24
#[cfg(feature = "envelope")]
pub(super) fn replace(directory: &Path, bytes: &[u8]) -> Result<(), Error> {
    Ok(atomic::write_atomic(&directory.join(KEY), bytes, 0o600)?)
}

/// The key that was to come is the one.
// STA-23
pub(super) fn rename(directory: &Path) -> Result<(), Error> {
    let key = directory.join(KEY);
    fs::rename(directory.join(NEXT), &key).map_err(io("replace", &key))?;
    flush(directory)
}

/// What a process wrote that was killed may not be on the disk yet. Nothing is done on the strength
/// of it before it is.
// STA-16, STA-23
pub(super) fn flush_database(directory: &Path) -> Result<(), Error> {
    for name in [DATABASE, LOG] {
        let path = directory.join(name);
        match File::open(&path).and_then(|file| file.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io("flush", &path)(error));
            }
            _ => {}
        }
    }
    flush(directory)
}

/// What is wrong with a file, of this directory.
pub(super) fn of_file(
    directory: &Path,
    keys: &dyn KeyStore,
    bytes: &[u8],
    error: StateKeyError,
) -> Error {
    let path = directory.to_owned();
    match error {
        StateKeyError::OtherAgent => Error::OtherKey { path },
        StateKeyError::Core(error) => error.into(),
        StateKeyError::Changed | StateKeyError::Decode(_) => {
            Error::Damaged { path, what: Damage::KeyFile }
        }
        StateKeyError::Wrapped => missing(directory, keys, bytes),
        #[cfg(feature = "envelope")]
        StateKeyError::OtherKms { needs, given } => {
            Error::OtherKms { path, key: needs.to_string(), given: given.to_string() }
        }
        #[cfg(feature = "envelope")]
        StateKeyError::Kms(cause) => Error::Kms { path, cause },
    }
}

/// The refusal of a state without its key service, by the name that this agent signed.
// STA-22
#[cfg(feature = "envelope")]
fn missing(directory: &Path, keys: &dyn KeyStore, bytes: &[u8]) -> Error {
    let path = directory.to_owned();
    match crate::store::WrappedStateKey::read(keys, bytes) {
        Ok(file) => Error::KmsMissing { path, key: file.wrapped().key.to_string() },
        Err(error) => of_file(directory, keys, bytes, error),
    }
}

#[cfg(not(feature = "envelope"))]
fn missing(directory: &Path, _keys: &dyn KeyStore, _bytes: &[u8]) -> Error {
    let key = "of a key service, which a build without the feature `envelope` cannot ask";
    Error::KmsMissing { path: directory.to_owned(), key: key.to_owned() }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(io("read", path)(cause)),
    }
}

fn flush(directory: &Path) -> Result<(), Error> {
    let flushed = File::open(directory).and_then(|directory| directory.sync_all());
    flushed.map_err(io("flush the directory", directory))
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |cause| sealwire_custody::Error::Io { action, path, cause }.into()
}
