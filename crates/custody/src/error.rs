//! One error type: the file's fault, the caller's misuse, a bug.

use std::{
    io,
    path::{Path, PathBuf},
};

use sealwire_core::{DecodeError, DecodeReason};

/// What went wrong in `sealwire-custody`. Each says it in a sentence for the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// The file is there already. Nothing was written.
    #[error("{} already exists and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// A directory, a pipe or a device where a key file should be.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Others than the owner have access to the key file.
    #[error(
        "{path} is open to others (mode {mode:04o}); run: chmod 600 '{path}'",
        path = path.display()
    )]
    Permissions {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file now holds the keys of another agent than when it was opened.
    #[error("{} now holds the keys of another agent", .0.display())]
    OtherIdentity(PathBuf),
    /// The file now holds another key than when it was opened.
    #[error("{} now holds another key", .0.display())]
    OtherKey(PathBuf),
    /// The bytes are not a key file, or not a whole one.
    #[error("{}{}", .0, hint(.0))]
    Decode(#[from] DecodeError),
    /// The seal does not open. Which of the two it is cannot be told apart.
    #[error("the passphrase is wrong, or the file was changed")]
    Open,
    /// A passphrase that is not accepted.
    #[error("the passphrase {0}")]
    Passphrase(&'static str),
    /// The memory that the key derivation needs is not there.
    #[error("not enough memory for the key derivation: it needs {0} KiB")]
    Memory(u32),
    /// Keys and randomness.
    #[error(transparent)]
    Core(#[from] sealwire_core::Error),
    /// Keys that wrap.
    #[error(transparent)]
    Envelope(#[from] sealwire_envelope::Error),
    /// The caller broke a documented rule.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// A state that cannot be reached. Please file a bug.
    #[error("internal error, please file a bug: {0}")]
    Unreachable(&'static str),
}

impl Error {
    /// For `map_err` behind a call to the operating system.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        move |cause| Self::Io { action, path: path.to_owned(), cause: cause.into() }
    }
}

fn hint(error: &DecodeError) -> &'static str {
    match error.reason() {
        DecodeReason::Truncated => "; it was only partly written or copied",
        _ => "",
    }
}
