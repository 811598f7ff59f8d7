//! One error type, in three families: the peer's fault, the caller's misuse, a bug.

use sealwire_core::{DecodeError, Timestamp};

/// What went wrong in `sealwire-identity`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes or text that are not what they should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An id of a method that this release does not resolve.
    #[error(
        "agent id: this release does not resolve did:webvh ids; \
         ask the agent for a did:key id (did:key:z6Mk…)"
    )]
    Unresolvable,
    /// The signature does not verify.
    #[error(
        "{0}: the signature does not verify; it was changed or forged, \
         so get it from its owner again"
    )]
    Signature(&'static str),
    /// The id of a card is not that of the identity key in it.
    #[error("card: the id is not that of its identity key; do not use this card")]
    IdMismatch,
    /// The times in a signed object are out of order or too far apart.
    #[error("{0}: it ends before it begins or lives too long; ask its owner for a new one")]
    Lifetime(&'static str),
    /// The object begins to be valid more than 5 minutes from now.
    #[error("{what}: not valid before Unix second {}; check the clock", not_before.as_secs())]
    NotYetValid {
        /// What was checked.
        what: &'static str,
        /// When it begins to be valid.
        not_before: Timestamp,
    },
    /// The object has expired.
    #[error(
        "{what}: expired at Unix second {}; ask its owner for a new one",
        not_after.as_secs()
    )]
    Expired {
        /// What was checked.
        what: &'static str,
        /// When it ended.
        not_after: Timestamp,
    },
    /// An older card than the one that was pinned.
    #[error(
        "card: sequence {presented} is older than the pinned {pinned}; \
         ask the peer for its current card"
    )]
    OlderCard {
        /// The highest sequence seen.
        pinned: u64,
        /// The sequence of the card that was refused.
        presented: u64,
    },
    /// Two different cards of one sequence.
    #[error(
        "card: another card with sequence {0} is pinned; two holders use this identity key, \
         so ask the peer over another way before you remove the pin"
    )]
    ForkedCard(u64),
    /// Another identity key than the pinned one.
    #[error(
        "card: the identity key is not the pinned one; \
         ask the peer over another way before you remove the pin"
    )]
    IdentityChanged,
    /// A card that leaves out a suite which the pinned card offers.
    #[error(
        "card: it withdraws a suite that the pinned card offers, which a downgrade would do; \
         ask the peer over another way before you remove the pin"
    )]
    Downgrade,
    /// Exchange keys whose number is lower than the pinned one, or is used for other keys.
    #[error(
        "card: the number of its exchange keys goes back or is reused; \
         ask the peer for a card with new keys under a new number"
    )]
    KeyNumber,
    /// A score that an agent gives itself.
    #[error("score: the issuer and the subject are one agent; only another agent's score counts")]
    OwnScore,
    /// No further peer can be pinned.
    #[error("the pin store is full; remove pins of peers that are no longer needed")]
    PinsFull,
    /// The caller broke a documented rule.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// The key store failed.
    #[error("the key store could not sign: {0}")]
    KeyStore(#[source] sealwire_core::Error),
    /// A state that cannot be reached. Please file a bug.
    #[error("internal error, please file a bug: {0}")]
    Unreachable(&'static str),
}
