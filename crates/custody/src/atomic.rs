//! Files that are replaced whole or not at all, whatever happens meanwhile.
//!
//! The new content goes to `.NAME.tmp` beside the file, is flushed to the disk, gets the
//! file's name in one step, and then the directory is flushed. After a crash at any point the
//! name leads to the whole old or the whole new content. A lock, `.NAME.lock` while it is
//! held, keeps writers apart; readers need none. What a crash leaves of the two is ignored
//! and is removed by the next write.
//!
//! ```
//! use sealwire_custody::atomic;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let path = directory.path().join("pins");
//! atomic::write_atomic(&path, b"one", 0o600)?;
//!
//! // Read, change and write, so that two processes lose nothing of each other's.
//! let lock = atomic::FileLock::acquire(&path)?;
//! let mut pins = std::fs::read(&path)?;
//! pins.extend_from_slice(b", two");
//! lock.replace(&pins, 0o600)?;
//! drop(lock);
//! assert_eq!(std::fs::read(&path)?, b"one, two");
//! # Ok(())
//! # }
//! ```

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    io::{Errno, retry_on_intr},
};

use crate::Error;

/// Replaces the file at `path`, or makes it, with exactly the permission bits `mode`.
///
/// A symbolic link at `path` is replaced, not followed.
///
/// # Errors
/// [`Error::Io`]. The old content is then still there, except when flushing the directory
/// failed: then the new content is, and a power cut may bring back the old.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    FileLock::acquire(path)?.replace(bytes, mode)
}

/// Makes the file at `path` with exactly the permission bits `mode`, and never overwrites:
/// of several that try at once, one succeeds.
///
/// # Errors
/// [`Error::Exists`] when anything has this name; [`Error::Io`].
pub fn create_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    FileLock::acquire(path)?.create(bytes, mode)
}

/// Makes the directory at `path` and those above it that are missing, mode 0700 all. One that
/// exists is left as it is.
///
/// # Errors
/// [`Error::Io`].
pub fn create_private_directory(path: &Path) -> Result<(), Error> {
    let missing: Vec<&Path> =
        path.ancestors().map(or_current).take_while(|ancestor| !ancestor.exists()).collect();
    for directory in missing.iter().rev() {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(Error::io("create the directory", directory))?,
        }
        let parent = or_current(directory.parent().unwrap_or(directory));
        open_directory(parent)?.sync_all().map_err(Error::io("flush the directory", parent))?;
    }
    Ok(())
}

/// The right to write one file, held until it is dropped. Waits for other holders, in this
/// and in other processes.
///
/// Reading the file under the lock, changing it and writing it back loses no other holder's
/// change.
#[derive(Debug)]
pub struct FileLock {
    path: PathBuf,
    lock_path: PathBuf,
    temporary_path: PathBuf,
    directory: File,
    _locked: File,
}

impl FileLock {
    /// Waits for the lock on the file at `path`, which need not exist; its directory must.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Misuse`] for a path without a file name.
    pub fn acquire(path: &Path) -> Result<Self, Error> {
        let lock_path = sibling(path, ".lock")?;
        let temporary_path = sibling(path, ".tmp")?;
        let directory = open_directory(or_current(path.parent().unwrap_or(Path::new(""))))?;
        let locked = loop {
            if let Some(file) = lock(&lock_path).map_err(Error::io("lock", path))? {
                break file;
            }
        };
        Ok(Self { path: path.to_owned(), lock_path, temporary_path, directory, _locked: locked })
    }

    /// As [`write_atomic`].
    ///
    /// # Errors
    /// As [`write_atomic`].
    pub fn replace(&self, bytes: &[u8], mode: u32) -> Result<(), Error> {
        self.write(bytes, mode, |temporary, path| {
            fs::rename(temporary, path).map_err(Error::io("replace", path))
        })
    }

    /// As [`create_atomic`].
    ///
    /// # Errors
    /// As [`create_atomic`].
    pub fn create(&self, bytes: &[u8], mode: u32) -> Result<(), Error> {
        refuse_existing(&self.path)?;
        self.write(bytes, mode, |temporary, path| {
            rename_no_replace(temporary, path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Error::Exists(path.to_owned()),
                _ => Error::io("create", path)(error),
            })
        })
    }

    /// The steps in their order; each must be on the disk before the next one begins.
    // KEY-15
    fn write(
        &self,
        bytes: &[u8],
        mode: u32,
        publish: impl FnOnce(&Path, &Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self { path, lock_path: _, temporary_path, directory, _locked } = self;
        remove_leftover(temporary_path).map_err(Error::io("remove", temporary_path))?;
        let written = write_new(temporary_path, bytes, mode)
            .map_err(Error::io("write", path))
            .and_then(|()| publish(temporary_path, path));
        if written.is_err() {
            // The first failure is the one to report; the next write tries again.
            let _ = fs::remove_file(temporary_path);
        }
        written?;
        directory.sync_all().map_err(Error::io("flush the directory of", path))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // While the lock is still held, so that nobody can have locked this name anew. Left in
        // place it does no harm.
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Fails when anything has this name.
// KEY-14
pub(crate) fn refuse_existing(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(Error::Exists(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("look for", path)(error)),
    }
}

/// The current directory has the empty path as its name in `Path::parent`.
pub(crate) fn or_current(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn sibling(path: &Path, extension: &str) -> Result<PathBuf, Error> {
    let name = path.file_name().ok_or(Error::Misuse("a path without a file name"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(extension);
    Ok(path.with_file_name(hidden))
}

fn open_directory(path: &Path) -> Result<File, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(Error::io("open the directory", path))
}

/// Waits for the lock. `None` when its last holder removed the file meanwhile: whoever comes
/// next then makes and locks another one, so this one guards nothing.
// KEY-16
fn lock(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))?;
    let locked = file.metadata()?;
    Ok(match fs::symlink_metadata(path) {
        Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => Some(file),
        _ => None,
    })
}

fn remove_leftover(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Renames unless the new name is taken, in one step.
// KEY-14
fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some file systems, NFS among them, cannot do this.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            renamed => return Ok(renamed?),
        }
    }
    fs::hard_link(from, to)?;
    // The file is there. Its other name, should it stay, goes with the next write.
    let _ = fs::remove_file(from);
    Ok(())
}
