//! Files for their owner alone.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

use crate::{Error, atomic};

/// Permission bits of a file of keys: for the owner alone.
// KEY-12
pub(crate) const MODE: u32 = 0o600;

/// Fails when no new file can have this name, before keys are drawn for it.
pub(crate) fn refuse_unusable(path: &Path) -> Result<(), Error> {
    path.file_name().ok_or(Error::Misuse("a path without a file name"))?;
    atomic::refuse_existing(path)
}

/// Makes a new file, and the directories above it that are missing. Gives its whole path.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<PathBuf, Error> {
    let name = path.file_name().ok_or(Error::Misuse("a path without a file name"))?;
    let directory = atomic::or_current(path.parent().unwrap_or(Path::new("")));
    atomic::create_private_directory(directory)?;
    let path = resolve(directory)?.join(name);
    atomic::create_atomic(&path, bytes, MODE)?;
    Ok(path)
}

/// The file itself, behind any symbolic link: it is what will be replaced.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, Error> {
    fs::canonicalize(path).map_err(Error::io("open", path))
}

/// What lies in a file of at most `most` bytes, or one byte more of a longer one.
pub(crate) fn read(path: &Path, most: usize) -> Result<Vec<u8>, Error> {
    // Non-blocking, for a pipe under this name would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map(File::from);
    let file = file.map_err(Error::io("open", path))?;
    let metadata = file.metadata().map_err(Error::io("read", path))?;
    if !metadata.is_file() {
        return Err(Error::NotAFile(path.to_owned()));
    }
    // KEY-12
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::Permissions { path: path.to_owned(), mode });
    }
    // KEY-2: one byte more than the bound shows that it is exceeded.
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::with_capacity(most);
    file.take(bound).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}
