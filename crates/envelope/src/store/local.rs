//! Key records in a folder, which has no write on a condition: a lock, a comparison, a rename.
//!
//! What is locked is the folder that the record stands in, so that no lock is left behind by a
//! process that was killed. Nothing waits while it is held but for the disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::StoreError;

/// Writes `next` in the place of a record that is `expected`.
// ENV-37
pub(super) fn update(
    root: &Path,
    name: &str,
    expected: &[u8],
    next: &[u8],
) -> Result<(), StoreError> {
    let (record, folder) = locked(root, name)?;
    if fs::read(&record).map_err(failed)? != expected {
        return Err(StoreError::Changed);
    }
    // The store does not list names that end so. Only who holds the lock writes it.
    let mut staged = record.clone().into_os_string();
    staged.push("#0");
    let staged = PathBuf::from(staged);
    let written = write(&staged, next).and_then(|()| fs::rename(&staged, &record));
    written.and_then(|()| folder.sync_all()).map_err(|error| {
        let _ = fs::remove_file(&staged);
        failed(error)
    })
}

/// Deletes a record. Under the lock, since an update that has read it would bring it back.
pub(super) fn remove(root: &Path, name: &str) -> Result<(), StoreError> {
    let (record, folder) = match locked(root, name) {
        Err(StoreError::NotFound) => return Ok(()),
        other => other?,
    };
    match fs::remove_file(record) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
        _ => folder.sync_all().map_err(failed),
    }
}

/// The path of a record, and its folder, which is locked until it is dropped.
fn locked(root: &Path, name: &str) -> Result<(PathBuf, File), StoreError> {
    let record = root.join(name);
    let folder = record.parent().ok_or(StoreError::NotFound)?;
    let folder = File::open(folder).map_err(failed)?;
    flock(&folder, FlockOperation::LockExclusive).map_err(|errno| failed(errno.into()))?;
    Ok((record, folder))
}

/// Writes a file that is not there yet: neither what a killed process left, nor a link that whoever
/// can write here has put in its place, which would be followed.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(super) fn failed(error: io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::NotFound => StoreError::NotFound,
        ErrorKind::PermissionDenied => StoreError::Denied(error.to_string()),
        _ => StoreError::Failed(error.to_string()),
    }
}
