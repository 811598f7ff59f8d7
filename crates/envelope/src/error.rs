//! One error type, in three families: the fault of whoever stored the bytes, the caller's misuse,
//! a bug.

use sealwire_core::DecodeError;

use crate::kms::KmsError;

/// What went wrong with an object, its key record or its keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not what they should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The object does not open: wrong key, tenant or context, changed, or cut. Deliberately
    /// without a reason.
    #[error("the object does not open")]
    Open,
    /// The object opens through a public key, and no accepted sealer has signed it.
    #[error("the object is not signed by an accepted sealer; accept its sealer, or do not use it")]
    Sealer,
    /// The key record has no slot that the given key opens.
    #[error("the key record has no slot for this key")]
    NoSlot,
    /// The key service did not do what it was asked.
    #[error(transparent)]
    Kms(KmsError),
    /// A key cannot be retired yet.
    #[error("the key cannot be retired: {0}")]
    Retire(&'static str),
    /// A log of audit events is not whole.
    #[error("audit log, line {line}: {what}")]
    Audit {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The store did not do what it was asked.
    #[cfg(feature = "store")]
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The random number generator failed; nothing was changed.
    #[error("the random number generator failed")]
    Randomness,
    /// The key store could not do its part.
    #[error("the key store cannot do this: {0}")]
    KeyStore(&'static str),
    /// The caller broke a documented rule.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// A state that cannot be reached. Please file a bug.
    #[error("internal error, please file a bug: {0}")]
    Unreachable(&'static str),
}

impl From<sealwire_core::Error> for Error {
    fn from(error: sealwire_core::Error) -> Self {
        use sealwire_core::Error as Core;
        match error {
            Core::Decode(error) => Self::Decode(error),
            Core::Randomness => Self::Randomness,
            Core::KeyStore(why) => Self::KeyStore(why),
            Core::Misuse(why) => Self::Misuse(why),
            Core::Unreachable(why) => Self::Unreachable(why),
            _ => Self::Open,
        }
    }
}

/// A wrapped key that does not open is an object that does not open.
impl From<KmsError> for Error {
    fn from(error: KmsError) -> Self {
        match error {
            KmsError::Open => Self::Open,
            other => Self::Kms(other),
        }
    }
}
