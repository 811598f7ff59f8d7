//! Why state cannot be read or stored, a sentence each.

use std::{path::PathBuf, sync::Arc};

use super::Table;

/// What went wrong with an agent's state.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process, or another part of this one, has the state open.
    #[error(
        "another process uses the state in {}; stop it, or give this agent a state directory of \
         its own",
        path.display()
    )]
    InUse {
        /// The state directory.
        path: PathBuf,
    },
    /// Rows of this kind do not open, or are not those that were stored last: they were
    /// changed, removed, added or put back. Nothing was overwritten.
    #[error(
        "the state in {} is damaged or was changed: {what}; it was left as it is, restore it \
         together with its anchor, or start anew in another directory",
        path.display()
    )]
    Damaged {
        /// The state directory.
        path: PathBuf,
        /// Which rows, as far as it can be told.
        what: Damage,
    },
    /// The state is older or another than the anchor says.
    #[error(
        "the state in {} is not the newest: it has generation {found}, the anchor has \
         {expected}; it may be a copy or a backup, and using it would use keys twice",
        path.display()
    )]
    RolledBack {
        /// The state directory.
        path: PathBuf,
        /// The generation that is there; 0 for none.
        found: u64,
        /// The generation that the anchor has; 0 for none.
        expected: u64,
    },
    /// The state has an anchor, and none was given.
    #[error(
        "the state in {} has an anchor and was opened without one; give the anchor, or say that \
         it is given up",
        path.display()
    )]
    AnchorMissing {
        /// The state directory.
        path: PathBuf,
    },
    /// The state has no anchor so far, and one was given.
    #[error(
        "the state in {} was kept without an anchor so far; say that it is to have one from now on",
        path.display()
    )]
    AnchorNew {
        /// The state directory.
        path: PathBuf,
    },
    /// Another holder of this state has moved the anchor: it runs twice. This store does
    /// nothing more.
    #[error("another copy of this state has moved the anchor; one of the two must be stopped")]
    AnchorMoved,
    /// The anchor cannot be used.
    #[error("the anchor of the state: {0}")]
    Anchor(String),
    /// The anchor cannot be reached now. What was committed is stored, and nothing of it has left.
    #[error("the anchor of the state cannot be used now: {0}")]
    AnchorUnavailable(String),
    /// An anchor within the directory that it is to guard.
    #[error(
        "the anchor {} is within the state directory and would be restored with it; put it \
         elsewhere",
        path.display()
    )]
    AnchorInside {
        /// The anchor.
        path: PathBuf,
    },
    /// Written by a newer release. Nothing was changed.
    #[error(
        "the state in {} has schema {found}, and this release knows none above {newest}; it was \
         left as it is, use a newer release",
        path.display()
    )]
    UnknownSchema {
        /// The state directory.
        path: PathBuf,
        /// The schema that was found.
        found: i64,
        /// The newest that is known.
        newest: u32,
    },
    /// The state was sealed under another key.
    #[error("the state in {} belongs to other keys than those that were given", path.display())]
    OtherKey {
        /// The state directory.
        path: PathBuf,
    },
    /// A key service guards the state too, and none was given.
    #[error(
        "the state in {} is wrapped by the key {key} and was opened without it; name that key",
        path.display()
    )]
    KmsMissing {
        /// The state directory.
        path: PathBuf,
        /// The key that it needs.
        key: String,
    },
    /// No key service guards the state so far, and one was given.
    #[error(
        "the state in {} was kept without a key service so far; say that it is to have one from \
         now on",
        path.display()
    )]
    KmsNew {
        /// The state directory.
        path: PathBuf,
    },
    /// The key service has another key than the one that guards the state.
    #[error(
        "the state in {} is wrapped by the key {key}, and not by {given}",
        path.display()
    )]
    OtherKms {
        /// The state directory.
        path: PathBuf,
        /// The key that it needs.
        key: String,
        /// The key that was given.
        given: String,
    },
    /// The key service did not do what it was asked. Nothing has changed.
    #[cfg(feature = "envelope")]
    #[error("the key of the state in {}: {cause}", path.display())]
    Kms {
        /// The state directory.
        path: PathBuf,
        /// Why.
        cause: sealwire_envelope::kms::KmsError,
    },
    /// The disk is full. Nothing of the commit was stored.
    #[error("the disk is full, and the state in {} is as it was before", path.display())]
    Full {
        /// The state directory.
        path: PathBuf,
    },
    /// The database failed.
    #[error("the state in {}: {cause}", path.display())]
    Database {
        /// The state directory.
        path: PathBuf,
        /// What SQLite said.
        cause: String,
    },
    /// A commit failed in such a way that it is not known whether it was stored.
    #[error("an earlier commit failed and may or may not have been stored; open the state again")]
    Poisoned,
    /// A value, a key or a commit is over its limit.
    #[error("{what} is over the limit of {max}")]
    TooLarge {
        /// What is.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A number that only grows has reached its end.
    #[error("{0} is at its end; start anew in another directory")]
    Exhausted(&'static str),
    /// A file or directory.
    #[error(transparent)]
    File(Arc<sealwire_custody::Error>),
    /// Keys and randomness.
    #[error(transparent)]
    Core(#[from] sealwire_core::Error),
    /// The caller broke a documented rule.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// A state that cannot be reached. Please file a bug.
    #[error("internal error, please file a bug: {0}")]
    Unreachable(&'static str),
}

impl Error {
    /// Whether the same may do better in a while, with the state opened again: another process
    /// ends, a key service or an anchor is back.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::InUse { .. } | Self::AnchorUnavailable(_) => true,
            #[cfg(feature = "envelope")]
            Self::Kms { cause, .. } => cause.is_temporary(),
            _ => false,
        }
    }
}

impl From<sealwire_custody::Error> for Error {
    fn from(error: sealwire_custody::Error) -> Self {
        Self::File(Arc::new(error))
    }
}

/// What of the state is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// One row, or more, of this kind.
    Rows(Table),
    /// Rows of a kind that does not exist.
    UnknownKind(i64),
    /// The row that has the generation.
    Generation,
    /// The rows that describe the state as a whole.
    Description,
    /// The file with the state key.
    KeyFile,
    /// The file as such: SQLite cannot read it.
    Database(String),
}

impl core::fmt::Display for Damage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Rows(table) => write!(f, "rows of kind {table}"),
            Self::UnknownKind(kind) => write!(f, "rows of an unknown kind {kind}"),
            Self::Generation => f.write_str("the generation row"),
            Self::Description => f.write_str("the description of the database"),
            Self::KeyFile => f.write_str("the file with the state key"),
            Self::Database(cause) => write!(f, "the database file ({cause})"),
        }
    }
}
