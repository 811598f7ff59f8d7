//! One error type, in three families: the peer's fault, the caller's misuse, a bug.

use sealwire_core::DecodeError;

/// What went wrong in a handshake or on an established session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A preamble or payload that is not what it should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A handshake message that does not open, for whatever cause. The handshake is over.
    #[error("the handshake failed")]
    Handshake,
    /// The gate of an IK preamble is wrong: it was made for another responder key, or changed.
    #[error("the handshake gate does not match")]
    Gate,
    /// The peer did not prove that it holds the identity key and the static key it claims.
    #[error("the peer's proof of identity is wrong")]
    Proof,
    /// The peer answered with a refusal.
    #[error("the peer refused")]
    Refused,
    /// A record that does not open, for whatever cause. The session is over.
    #[error("a record does not open")]
    Record,
    /// The stream ended without an authenticated close: data may be missing.
    #[error("the stream was cut before its authenticated close")]
    Truncated,
    /// The session is closed in this direction.
    #[error("the session is closed")]
    Closed,
    /// The random number generator failed; nothing was sent.
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
            Core::Signature => Self::Proof,
            Core::Randomness => Self::Randomness,
            Core::KeyStore(why) => Self::KeyStore(why),
            Core::Misuse(why) => Self::Misuse(why),
            Core::Unreachable(why) => Self::Unreachable(why),
            _ => Self::Handshake,
        }
    }
}

#[cfg(test)]
mod tests {
    use sealwire_core::{DecodeReason, Error as Core};

    use super::*;

    #[test]
    fn an_error_of_core_stays_in_its_family() {
        let decode = DecodeError::new("key", DecodeReason::Truncated);
        for (core, ours) in [
            (Core::Decode(decode), Error::Decode(decode)),
            (Core::Signature, Error::Proof),
            (Core::Randomness, Error::Randomness),
            (Core::KeyStore("locked"), Error::KeyStore("locked")),
            (Core::Misuse("twice"), Error::Misuse("twice")),
            (Core::Unreachable("bug"), Error::Unreachable("bug")),
            // Which of the peer's bytes did not fit is not for the peer to learn.
            (Core::Open, Error::Handshake),
            (Core::NonContributory, Error::Handshake),
        ] {
            assert_eq!(Error::from(core), ours);
        }
    }
}
