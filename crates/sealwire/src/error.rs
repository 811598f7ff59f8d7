//! One error type, in three families: the peer's fault, the caller's misuse, a bug.

use std::{io, path::PathBuf};

use sealwire_identity::AgentId;

use crate::NoRoute;

/// What went wrong between two agents.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// The connection ended before its authenticated close: data may be missing.
    #[error("the connection was cut before its authenticated close; data may be missing")]
    Truncated,
    /// The handshake did not finish within its deadline.
    #[error("the handshake did not finish in time")]
    Timeout,
    /// The handshake or a record failed.
    #[error(transparent)]
    Noise(sealwire_noise::Error),
    /// A card, an id or a pin.
    #[error(transparent)]
    Identity(#[from] sealwire_identity::Error),
    /// The peer refused, without saying why.
    #[error("the peer refused; it may not know this agent, or not by this card")]
    Refused,
    /// This side's policy refused. The peer was told no more than a refusal.
    #[error("the policy refused the peer: {0}")]
    Denied(&'static str),
    /// Another agent answered than the one that was dialled.
    #[error("another agent answered: expected {expected}, found {found}")]
    WrongPeer {
        /// Who was dialled.
        expected: AgentId,
        /// Who answered.
        found: AgentId,
    },
    /// The other side is this very agent: both run with the same keys.
    #[error("the other side is this agent itself; give each side keys of its own")]
    Oneself,
    /// The peer's static key is not the one that was required.
    #[error("the peer's exchange key is not the one that was required")]
    WrongKey,
    /// The agent is not pinned.
    #[error("{0} is not pinned; pin its card first, or dial it as a stranger")]
    NotPinned(AgentId),
    /// No handshake leads to the peer.
    #[error(transparent)]
    NoRoute(#[from] NoRoute),
    /// Too many connections are in their handshake, or this source makes too many.
    #[error("too many handshakes at a time; try again later")]
    Busy,
    /// The channel reached its age limit and was closed; connect again.
    #[error("the channel reached its age limit; connect again")]
    Expired,
    /// A message is longer than the limit, in bytes.
    #[error("a message is longer than {0} bytes")]
    MessageTooLong(usize),
    /// The file of peers could not be read or written; nothing was released.
    #[error("the file of peers: {0}")]
    Store(#[from] sealwire_custody::Error),
    /// The file of peers is not what it should be. It is left as it is.
    #[error("the file of peers {} cannot be used, and was left as it is: {cause}", path.display())]
    PeersFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: sealwire_identity::Error,
    },
    /// The state could not be read or stored; nothing was sent and nothing was released.
    #[error(transparent)]
    State(#[from] crate::store::Error),
    /// A row of the state cannot be read: a newer release wrote it, or it is a bug. It is left as
    /// it is.
    #[error("a row of the state cannot be used, and was left as it is: {0}")]
    StateRow(#[from] sealwire_core::DecodeError),
    /// Prekeys, an agreement or a session.
    #[error(transparent)]
    Ratchet(#[from] sealwire_ratchet::Error),
    /// What delivers messages and prekeys failed.
    #[error(transparent)]
    Delivery(#[from] crate::delivery::DeliveryError),
    /// What a large message is read from failed.
    #[error("what is to be sent cannot be read: {0}")]
    Source(#[source] io::Error),
    /// What a large message is read from is not what it was, and parts of that were sent.
    #[error("what is to be sent is not what it was; give it another key")]
    SourceChanged,
    /// A large message is longer than the limit, in bytes.
    #[error("a large message is longer than {0} bytes")]
    SourceTooLong(u64),
    /// Parts of a large message were lost with the mailbox of the peer.
    #[error("parts were lost with the peer's mailbox; send it again from its start")]
    Rewound,
    /// The peer has not answered the first parts of a large message.
    #[error("the peer has not answered the first parts; send it again when it is there")]
    Unanswered,
    /// A large message is not what its sender said that it is.
    #[error("the large message is not what its sender announced; refuse it")]
    LargeMessageDamaged,
    /// A pairing failed.
    #[error(transparent)]
    Pairing(#[from] crate::pairing::Error),
    /// Every card of this agent has expired.
    #[error("this agent's own card has expired; build the agent anew, with a new card")]
    OwnCardExpired,
    /// The caller broke a documented rule.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// A state that cannot be reached. Please file a bug.
    #[error("internal error, please file a bug: {0}")]
    Unreachable(&'static str),
}

impl Error {
    /// Whether trying again, unchanged, can succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Io(_) | Self::Truncated | Self::Timeout | Self::Busy | Self::Expired => true,
            Self::Rewound | Self::Unanswered => true,
            Self::Delivery(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl From<sealwire_noise::Error> for Error {
    fn from(error: sealwire_noise::Error) -> Self {
        match error {
            sealwire_noise::Error::Refused => Self::Refused,
            sealwire_noise::Error::Truncated => Self::Truncated,
            other => Self::Noise(other),
        }
    }
}

impl From<sealwire_noise::frame::FrameError> for Error {
    fn from(error: sealwire_noise::frame::FrameError) -> Self {
        match error {
            sealwire_noise::frame::FrameError::Io(error) => error.into(),
            sealwire_noise::frame::FrameError::Noise(error) => error.into(),
            _ => Self::Unreachable("a frame fails by its transport or its bytes"),
        }
    }
}

impl From<io::Error> for Error {
    /// Finds our own error inside an [`io::Error`] of a channel.
    fn from(error: io::Error) -> Self {
        if error.get_ref().is_some_and(|inner| inner.is::<Self>()) {
            return error.downcast().unwrap_or(Self::Unreachable("it is our error"));
        }
        let noise = error.get_ref().and_then(|inner| inner.downcast_ref());
        match noise.cloned() {
            Some::<sealwire_noise::Error>(noise) => noise.into(),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated,
            None => Self::Io(error),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            Error::Truncated => Self::new(io::ErrorKind::UnexpectedEof, error),
            Error::Refused => Self::new(io::ErrorKind::ConnectionRefused, error),
            Error::Timeout => Self::new(io::ErrorKind::TimedOut, error),
            other => Self::other(other),
        }
    }
}
