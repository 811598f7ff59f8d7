//! A file that stays open, for who reads parts of it: to open it takes longer than to read one.

use std::{
    fs::{self, File, Metadata},
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
};

use super::{StoreError, local::failed};

/// The file of one version of an object.
pub(super) struct Pinned {
    file: File,
    path: PathBuf,
    version: Version,
}

/// What tells a file from the one that took its place, or that was written anew.
#[derive(PartialEq, Eq)]
struct Version {
    place: (u64, u64),
    modified: (i64, i64),
    len: u64,
}

impl Version {
    fn of(found: &Metadata) -> Self {
        Self {
            place: (found.dev(), found.ino()),
            modified: (found.mtime(), found.mtime_nsec()),
            len: found.len(),
        }
    }
}

impl Pinned {
    pub(super) fn new(file: File, path: PathBuf) -> Result<Self, StoreError> {
        let version = Version::of(&file.metadata().map_err(failed)?);
        Ok(Self { file, path, version })
    }

    /// Whether it is what stands at its path.
    // ENV-39
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let now = Version::of(&fs::metadata(&self.path).map_err(failed)?);
        if now == self.version { Ok(()) } else { Err(StoreError::Changed) }
    }

    pub(super) fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> Result<(), StoreError> {
        self.file.read_exact_at(buffer, at).map_err(failed)
    }
}
