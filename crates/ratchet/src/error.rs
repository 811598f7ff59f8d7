//! One error type, in three families: the peer's fault, the caller's misuse, a bug.

use sealwire_core::DecodeError;

/// What went wrong with prekeys, an agreement or a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not what they should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A message does not open. Deliberately without a reason.
    #[error("the message does not open")]
    Open,
    /// The message was opened before. Local: never said to a peer.
    #[error("the message was opened before, or its key is gone")]
    Duplicate,
    /// The message lies further ahead than the limit. Local: never said to a peer.
    #[error("the message lies more than {} messages ahead", crate::limits::MAX_SKIP)]
    SkipLimit,
    /// A bundle or a page is not signed by the identity that it should be from.
    #[error("the signature over the {0} does not verify")]
    Signature(&'static str),
    /// A bundle, a page or a prekey is past its end.
    #[error("the {0} has expired")]
    Expired(&'static str),
    /// A bundle or a page names another agent, device, card or kind than was asked for.
    #[error("the {0} is another one than was asked for")]
    Mismatch(&'static str),
    /// A bundle or a page would live longer than its kind may.
    #[error("the {0} would live longer than it may")]
    Lifetime(&'static str),
    /// A newer bundle of this agent and device has been seen.
    #[error("the prekey bundle is older than one that was seen")]
    OlderBundle,
    /// Another bundle with the same sequence has been seen: its owner, or who serves it, shows
    /// different ones to different peers.
    #[error("the prekey bundle differs from one that was seen with its sequence")]
    ForkedBundle,
    /// As many private prekeys are kept as there is room for.
    #[error("as many private prekeys are kept as there is room for")]
    PrekeysFull,
    /// The ids or sequences of this device have run out.
    #[error("the numbers of this device's prekeys are used up")]
    IdsUsedUp,
    /// The prekey that a first message names is not held (any more).
    #[error("the first message names a prekey that is not held")]
    NoPrekey,
    /// The first message was seen before, or repeats the ephemeral key of another.
    #[error("the first message was seen before")]
    Replay,
    /// So many first messages came without a one-time key that no more can be told from
    /// replays. New prekeys must be published.
    #[error("too many first messages under one prekey; publish new prekeys")]
    ReplayCacheFull,
    /// A step was computed from an older state than this one.
    #[error("misuse: the step was made for an older state of the session")]
    StaleStep,
    /// The session can send no more: a counter is at its end, or the responder has not
    /// received anything yet.
    #[error("the session cannot send: {0}")]
    CannotSend(&'static str),
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
