//! State in SQLite: sealed row by row, one transaction for all that commit at a time.

mod creation;
mod database;
mod key_file;
mod migration;
mod queue;
mod verify;
#[cfg(feature = "envelope")]
mod wrapped;
mod writer;

use core::fmt;
use std::{
    fs::{self, File},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::fs::{FlockOperation, flock};
use sealwire_core::KeyStore;
use sealwire_custody::{atomic, system_rng};

use self::{
    database::{Database, StoredRow},
    key_file::{Candidate, KeyFiles},
    migration::{LADDER, Ladder},
    queue::Queue,
    writer::{Prepared, Revisions, Writer},
};
use super::{
    Anchor, Change, Damage, Error, Protection, Range, Row, RowKey, StateKey, Status, Store, Table,
    Value,
    seal::{Keys, Place},
};
use crate::{Committed, Effects};

/// Names within the state directory.
// STA-6
const DATABASE: &str = "state.db";
const LOCK: &str = "lock";

/// How a state is opened.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{core::MemoryKeyStore, custody};
/// use sealwire::store::{FileAnchor, Options, Protection, SqliteStore, Store};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let home = tempfile::tempdir()?;
/// # let (state, elsewhere) = (home.path().join("state"), home.path().join("elsewhere"));
/// let keys = MemoryKeyStore::generate(&mut custody::system_rng())?;
/// let anchor = Arc::new(FileAnchor::new(elsewhere.join("anchor"), &state)?);
/// let store = SqliteStore::open(&state, &keys, Options::new().anchor(anchor))?;
/// assert_eq!(store.status()?.protection(), Protection::Anchored);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    anchor: Option<Arc<dyn Anchor>>,
    change_anchor: bool,
}

impl Options {
    /// Without an anchor: going back to an older state is not detected.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this anchor, which says what the newest state is.
    #[must_use]
    pub fn anchor(self, anchor: Arc<dyn Anchor>) -> Self {
        Self { anchor: Some(anchor), ..self }
    }

    /// Takes the state as it is, whatever an anchor says: for the first anchor of a state that
    /// had none, for another one, and to give an anchor up.
    ///
    /// # Security
    /// An older state is then taken for the newest. Once, by a person who knows it is not.
    #[must_use]
    pub fn change_anchor(self) -> Self {
        Self { change_anchor: true, ..self }
    }
}

/// State in SQLite, in a directory of its own.
///
/// One process has it open at a time; the operating system ends that with the process. Every
/// value is sealed; kinds, keys and lengths of rows are not. See the module for what is seen of
/// changes to it, and what only an [`Anchor`] sees.
///
/// ```
/// use sealwire::{core::MemoryKeyStore, custody, Effects};
/// use sealwire::store::{Options, RowKey, SqliteStore, Store, Table, Value};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let home = tempfile::tempdir()?;
/// # let directory = home.path().join("state");
/// let keys = MemoryKeyStore::generate(&mut custody::system_rng())?;
/// let store = SqliteStore::open(&directory, &keys, Options::new())?;
/// let bob = RowKey::new(b"bob")?;
/// let mut effects = Effects::new();
/// effects.put(Table::Session, bob.clone(), Value::new(b"state".to_vec()))?;
/// store.commit(effects)?;
///
/// let second = SqliteStore::open(&directory, &keys, Options::new()).expect_err("in use");
/// assert!(second.to_string().starts_with("another process uses the state in "));
///
/// drop(store);
/// let store = SqliteStore::open(&directory, &keys, Options::new())?;
/// assert_eq!(store.get(Table::Session, &bob)?.as_deref(), Some(&b"state".to_vec()));
/// # Ok(())
/// # }
/// ```
pub struct SqliteStore {
    directory: PathBuf,
    keys: Keys,
    revisions: Revisions,
    queue: Queue<Vec<Prepared>, Result<u64, Error>>,
    writer: Mutex<Writer>,
    protection: Protection,
    /// Released last, after the database is closed.
    _claim: Claim,
}

/// The right to a state directory.
struct Claim(File);

impl Drop for Claim {
    fn drop(&mut self) {
        // Closing the file would not do: a process that another thread starts at this moment has
        // it open too, until it runs its program.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl SqliteStore {
    /// Opens the state in `directory`, or makes it. Its key lies beside it, sealed to `keys`.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Damaged`], [`Error::RolledBack`], [`Error::AnchorMissing`],
    /// [`Error::AnchorNew`], [`Error::KmsMissing`], [`Error::UnknownSchema`], [`Error::OtherKey`],
    /// and what reading and writing give. A state that is refused is left as it is.
    // STA-7, STA-22
    pub fn open(
        directory: impl AsRef<Path>,
        keys: &dyn KeyStore,
        options: Options,
    ) -> Result<Self, Error> {
        let (directory, claim) = claim(directory.as_ref())?;
        let key = match KeyFiles::read(&directory)? {
            Some(files) => {
                let open = |bytes: &Vec<u8>| Candidate::own(&directory, keys, bytes);
                files.settle(open(&files.current), files.next.as_ref().map(open))?
            }
            None => {
                let (key, file) = key_file::draw(keys)?;
                key_file::create(&directory, &file)?;
                key
            }
        };
        Self::open_claimed(directory, claim, &key, options, &LADDER)
    }

    /// As [`SqliteStore::open`], under a key that is kept elsewhere.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_with_key(
        directory: impl AsRef<Path>,
        key: &StateKey,
        options: Options,
    ) -> Result<Self, Error> {
        let (directory, claim) = claim(directory.as_ref())?;
        Self::open_claimed(directory, claim, key, options, &LADDER)
    }

    fn open_claimed(
        directory: PathBuf,
        claim: Claim,
        key: &StateKey,
        options: Options,
        ladder: &Ladder,
    ) -> Result<Self, Error> {
        let path = directory.join(DATABASE);
        match is_there(&path)? {
            // Before the connection: to close a file gives up the locks that SQLite has on it.
            true => key_file::flush_database(&directory)?,
            false => creation::create(&directory, key, &options, ladder)?,
        }
        let database = Database::open(&directory, &path)?;
        let verified = verify::verify(database, key, ladder)?;
        let (keys, mut writer) = Writer::new(verified, options.anchor);
        writer.settle(&keys, options.change_anchor)?;
        let keys = migration::migrate(&mut writer, keys, key, ladder)?;
        Ok(Self {
            directory,
            revisions: writer.revisions(),
            queue: Queue::new(Err(Error::Poisoned)),
            protection: writer.protection(),
            writer: Mutex::new(writer),
            keys,
            _claim: claim,
        })
    }

    /// The state directory, links resolved.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Seals what is to be written, before the turn of this commit comes.
    fn prepare(&self, changes: &[Change]) -> Result<Vec<Prepared>, Error> {
        let mut rng = system_rng();
        let prepare = |change: &Change| match change {
            Change::Delete { table, key } => {
                Ok(Prepared::Delete { table: *table, key: key.clone() })
            }
            Change::Put { table, key, value } => {
                let revision = self.revisions.next()?;
                let place = Place { table: *table, key, revision };
                let row = self.keys.seal(place, value, &mut rng)?;
                let term = self.keys.term(place, &row.nonce)?;
                Ok(Prepared::Put { table: *table, key: key.clone(), revision, row, term })
            }
        };
        changes.iter().map(prepare).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // A panic within a transaction rolls it back; the generation moves with its end alone.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unseal(&self, table: Table, row: StoredRow) -> Result<Row, Error> {
        let StoredRow { key, revision, row } = row;
        let opened = self.keys.open(Place { table, key: &key, revision }, row);
        let value = opened.map_err(|_| self.damaged(table))?;
        Ok(Row { key, value })
    }

    fn damaged(&self, table: Table) -> Error {
        Error::Damaged { path: self.directory.clone(), what: Damage::Rows(table) }
    }
}

impl Store for SqliteStore {
    fn commit(&self, effects: Effects) -> Result<Committed, Error> {
        effects.commit_with(|changes| {
            if changes.is_empty() {
                return Ok(self.status()?.generation());
            }
            let prepared = self.prepare(changes)?;
            // STA-13
            self.queue.run(prepared, |batch| self.lock().commit(&self.keys, &self.revisions, batch))
        })
    }

    fn get(&self, table: Table, key: &RowKey) -> Result<Option<Value>, Error> {
        let row = self.lock().database()?.row(table, key)?;
        row.map(|row| self.unseal(table, row).map(|row| row.value)).transpose()
    }

    fn scan(&self, table: Table, range: Range<'_>) -> Result<Vec<Row>, Error> {
        let rows = self.lock().database()?.rows(table, range)?;
        rows.into_iter().map(|row| self.unseal(table, row)).collect()
    }

    fn status(&self) -> Result<Status, Error> {
        let mut writer = self.lock();
        writer.database()?;
        Ok(Status::new(writer.generation(), self.protection))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("directory", &self.directory)
            .field("protection", &self.protection)
            .finish_non_exhaustive()
    }
}

/// Whether anything has this name. A link that leads nowhere has: the disk behind it may be
/// missing, and a new state in its place would be an older one.
// STA-8
fn is_there(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(cause) => {
            let path = path.to_owned();
            Err(sealwire_custody::Error::Io { action: "look for", path, cause }.into())
        }
    }
}

/// Makes the directory if need be, and takes it for this store alone.
// STA-6
fn claim(directory: &Path) -> Result<(PathBuf, Claim), Error> {
    let io = |action, path: &Path, cause| {
        Error::from(sealwire_custody::Error::Io { action, path: path.to_owned(), cause })
    };
    atomic::create_private_directory(directory)?;
    let directory = fs::canonicalize(directory).map_err(|error| io("open", directory, error))?;
    let path = directory.join(LOCK);
    let lock = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let lock = lock.map_err(|error| io("open", &path, error))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok((directory, Claim(lock))),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse { path: directory }),
        Err(error) => Err(io("lock", &path, error.into())),
    }
}

#[cfg(test)]
mod tests;
