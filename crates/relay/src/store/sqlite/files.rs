//! The directory of a store: its lock, its epoch, and a new database in it.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};

use super::{
    super::StoreError,
    schema::{self, failure},
};

/// Names within the directory.
const DATABASE: &str = "relay.db";
const LOCK: &str = "lock";
const EPOCH: &str = "epoch";

/// What SQLite keeps beside a database.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// A directory that this process alone has.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    lock: File,
}

impl Drop for Home {
    fn drop(&mut self) {
        // Closing the file would not do: a process that another thread starts at this moment has
        // it open too, until it runs its program.
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl Home {
    /// Makes the directory if need be, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let builder = DirBuilder::new().recursive(true).mode(0o700).create(path);
        builder.map_err(file("make", path))?;
        let path = fs::canonicalize(path).map_err(file("open", path))?;
        let lock = path.join(LOCK);
        let opened =
            File::options().create(true).truncate(false).write(true).mode(0o600).open(&lock);
        let opened = opened.map_err(file("open", &lock))?;
        match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path, lock: opened }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Failed(format!(
                "another process uses the store in {}: a store has one relay at a time",
                path.display()
            ))),
            Err(error) => Err(file("lock", &lock)(error.into())),
        }
    }

    pub(super) fn database(&self) -> PathBuf {
        database(&self.path)
    }

    /// The log of the database.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join(format!("{DATABASE}-wal"))
    }

    /// Makes a database, whole beside its place and then moved there, unless there is one.
    pub(super) fn create(&self, ladder: &[&str]) -> Result<(), StoreError> {
        let path = self.database();
        if is_there(&path)? {
            return Ok(());
        }
        if is_there(&self.log())? {
            // Of a database that went missing: what it holds would be lost.
            let log = self.log();
            let what = format!("{} is there, and its database is not", log.display());
            return Err(StoreError::Foreign(what));
        }
        let new = self.path.join(format!("{DATABASE}.new"));
        make_empty(&new)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&new, flags).map_err(|e| failure(&e))?;
        schema::create(&mut connection).map_err(|e| failure(&e))?;
        schema::migrate(&mut connection, ladder)?;
        connection.close().map_err(|(_, error)| failure(&error))?;
        move_to(&new, &path)
    }

    /// The epoch that stands beside the database.
    pub(super) fn epoch(&self) -> Result<Option<u64>, StoreError> {
        let path = self.path.join(EPOCH);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file("read", &path)(error)),
        };
        let epoch = text.trim_end().parse();
        let refused = |_| StoreError::Foreign(format!("{} holds no number", path.display()));
        epoch.map(Some).map_err(refused)
    }

    pub(super) fn set_epoch(&self, epoch: u64) -> Result<(), StoreError> {
        let (path, new) = (self.path.join(EPOCH), self.path.join(format!("{EPOCH}.new")));
        make_empty(&new)?;
        let opened = File::options().write(true).open(&new);
        let written = opened.and_then(|mut file| writeln!(file, "{epoch}"));
        written.map_err(file("write", &new))?;
        move_to(&new, &path)
    }

    /// Whether nothing more can be written here: what SQLite calls an error of the disk may be
    /// that it is full, or that a quota is used up.
    pub(super) fn is_full(&self) -> bool {
        let path = self.path.join("room");
        let probe = File::options().create(true).truncate(true).write(true).mode(0o600).open(&path);
        let written = probe.and_then(|mut file| {
            file.write_all(&[0; 64 * 1024])?;
            file.sync_all()
        });
        let _ = fs::remove_file(&path);
        written.is_err_and(|error| is_full(&error))
    }

    /// Bytes of the database and its log.
    pub(super) fn len(&self) -> u64 {
        let len = |path: PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        len(self.database()).saturating_add(self.log_len())
    }

    /// Bytes of the log, of which those at its end may be of no use any more.
    pub(super) fn log_len(&self) -> u64 {
        fs::metadata(self.log()).map_or(0, |metadata| metadata.len())
    }
}

/// Where the database of a directory is.
pub(super) fn database(directory: &Path) -> PathBuf {
    directory.join(DATABASE)
}

/// Whether anything has this name, be it a link that leads nowhere.
pub(super) fn is_there(path: &Path) -> Result<bool, StoreError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(file("look for", path)(error)),
    }
}

/// Makes an empty file that nobody else can read, and removes what was left under its name.
pub(super) fn make_empty(path: &Path) -> Result<(), StoreError> {
    for suffix in BESIDE {
        let mut leftover = path.as_os_str().to_owned();
        leftover.push(suffix);
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file("remove", Path::new(&leftover))(error));
            }
            _ => {}
        }
    }
    let made = File::options().write(true).create_new(true).mode(0o600).open(path);
    made.map(drop).map_err(file("make", path))
}

/// Flushes a file, and gives it its name for good.
pub(super) fn move_to(from: &Path, to: &Path) -> Result<(), StoreError> {
    let flushed = File::open(from).and_then(|file| file.sync_all());
    flushed.map_err(file("flush", from))?;
    fs::rename(from, to).map_err(file("make", to))?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let flushed = File::open(parent).and_then(|directory| directory.sync_all());
    flushed.map_err(file("flush", parent))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What a failed call says.
fn file<'a>(action: &'a str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + 'a {
    move |error| {
        if is_full(&error) {
            return StoreError::Full;
        }
        StoreError::Failed(format!("cannot {action} {}: {error}", path.display()))
    }
}
