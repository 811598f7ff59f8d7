//! Why a request to a relay failed.

use core::fmt;
use std::io;

use sealwire_core::Timestamp;

use crate::{Problem, limits::SIGNATURE_WINDOW};

/// Why a request to a relay failed. It names nobody: neither agents nor mailboxes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The name of the relay does not resolve.
    #[error("the relay's name does not resolve: {0}")]
    Unresolved(#[source] io::Error),
    /// Nobody listens, the connection broke, or no answer came in time.
    #[error("the relay cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
    /// Its certificate does not verify.
    #[error("the relay's certificate is not trusted: {0}")]
    Untrusted(#[source] io::Error),
    /// Plain HTTP to another machine.
    #[error("plain http is for relays of this machine: use https, or allow it in words")]
    Plain,
    /// What answers is no relay, or one that does not keep to the protocol.
    #[error("what answers is no relay that this release can talk to: {0}")]
    Protocol(&'static str),
    /// This clock and the relay's are too far apart for signatures.
    #[error("the clock of this machine is {0}")]
    Clock(Skew),
    /// The relay says no.
    #[error("the relay refuses: {0}")]
    Problem(Problem),
    /// The request could not be signed.
    #[error("the request cannot be signed: {0}")]
    Signing(#[source] sealwire_core::Error),
    /// The random number generator failed.
    #[error("the random number generator failed")]
    Randomness,
    /// What the caller asked for makes no sense.
    #[error("{0}")]
    Misuse(&'static str),
}

/// How far the clock of this machine is from the relay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    seconds: u64,
    is_ahead: bool,
}

impl ClientError {
    /// Whether the same request can succeed later, with nothing changed here.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unresolved(_) | Self::Unreachable(_) | Self::Randomness => true,
            Self::Problem(problem) => problem.is_retryable(),
            _ => false,
        }
    }

    pub(super) fn timed_out(what: &'static str) -> Self {
        Self::Unreachable(io::Error::new(io::ErrorKind::TimedOut, what))
    }
}

impl Skew {
    /// From the two clocks; `None` when they agree as well as a signature asks for.
    pub fn between(ours: Timestamp, relays: Timestamp) -> Option<Self> {
        let (seconds, is_ahead) =
            if ours >= relays { (ours.since(relays), true) } else { (relays.since(ours), false) };
        (seconds >= SIGNATURE_WINDOW).then_some(Self { seconds, is_ahead })
    }

    /// How far, in seconds.
    pub const fn seconds(self) -> u64 {
        self.seconds
    }

    /// Whether it is this clock that is ahead.
    pub const fn is_ahead(self) -> bool {
        self.is_ahead
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.is_ahead { "ahead of" } else { "behind" };
        write!(f, "{} s {side} that of the relay", self.seconds)
    }
}
