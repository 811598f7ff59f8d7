//! One error type, in three families: the peer's fault, the caller's misuse, a bug.

use core::fmt;

/// What went wrong in `sealwire-core`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not what they should be: the peer's fault.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A sealed message does not open. Deliberately without a reason.
    #[error("the message does not open")]
    Open,
    /// A signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// An X25519 agreement gave the all-zero secret: the peer sent a key of small order.
    #[error("the X25519 agreement gave an all-zero secret")]
    NonContributory,
    /// The random number generator failed, or gave output that cannot be random.
    #[error("the random number generator failed")]
    Randomness,
    /// The key store has no such key, or cannot use it now.
    #[error("the key store cannot do this: {0}")]
    KeyStore(&'static str),
    /// The caller broke a documented rule.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// A state that cannot be reached. Please file a bug.
    #[error("internal error, please file a bug: {0}")]
    Unreachable(&'static str),
}

/// Bytes that do not decode: names what was being read, and why it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    what: &'static str,
    reason: DecodeReason,
}

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeReason {
    /// The input ends too early.
    Truncated,
    /// Bytes follow the end of the value.
    Trailing,
    /// The input is longer than its documented bound, in bytes.
    TooLong(usize),
    /// The value has a shorter or unique encoding, and this is not it.
    NonCanonical,
    /// The version byte is one that this release does not know.
    UnknownVersion(u8),
    /// The value breaks a rule of its format, named here.
    Invalid(&'static str),
}

impl DecodeError {
    /// An error that says `what` was being read and the `reason` it was refused.
    pub const fn new(what: &'static str, reason: DecodeReason) -> Self {
        Self { what, reason }
    }

    /// What was being read.
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// Why it was refused.
    pub const fn reason(&self) -> DecodeReason {
        self.reason
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what;
        match self.reason {
            DecodeReason::Truncated => write!(f, "{what}: the input ends too early"),
            DecodeReason::Trailing => write!(f, "{what}: bytes follow the end"),
            DecodeReason::TooLong(max) => write!(f, "{what}: longer than {max} bytes"),
            DecodeReason::NonCanonical => write!(f, "{what}: not the canonical encoding"),
            DecodeReason::UnknownVersion(version) => {
                write!(f, "{what}: unknown version {version}; a newer release may read it")
            }
            DecodeReason::Invalid(rule) => write!(f, "{what}: {rule}"),
        }
    }
}

impl core::error::Error for DecodeError {}
