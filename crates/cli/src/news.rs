//! What happens on the offline path beside messages, told on standard error.

use std::fmt;

use sealwire::delivery::Device;
use serde::Serialize;

use crate::{output::Output, text::Plain};

/// Something that happened, for whoever watches and for programs.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum News {
    /// A session began.
    NewSession { peer: String },
    /// A peer began anew.
    Reset { peer: String },
    /// A peer has other exchange keys than before.
    IdentityChanged { peer: String },
    /// One-time prekeys run low.
    PrekeysLow,
    /// A session began without one-time keys.
    LastResortUsed { peer: String },
    /// The post-quantum half of a session stands still.
    PqStalled { peer: String },
    /// A session is at its end.
    Wedged { peer: String },
    /// The policy refused a peer, or a message.
    Denied { peer: String, reason: String },
    /// A message cannot be delivered.
    Undeliverable { peer: String, message: String },
    /// Frames did not open, or were repetitions.
    Discarded { frames: u64 },
    /// A long message was never completed.
    LargeExpired { peer: String, message: String },
    /// A long message contradicts itself.
    LargeFailed { peer: String, message: String, reason: String },
    /// The clock is more than a day ahead of what it can be.
    ClockJumped,
    /// Something that this release of the command has no words for.
    Other { text: String },
}

/// Tells events in their order.
pub(crate) fn tell(events: &[sealwire::Event], output: Output) {
    events.iter().for_each(|event| output.event(&News::from(event)));
}

impl From<&sealwire::Event> for News {
    fn from(event: &sealwire::Event) -> Self {
        use sealwire::Event;
        let name = |peer: &Device| peer.agent.to_string();
        match event {
            Event::NewSession { peer } => Self::NewSession { peer: name(peer) },
            Event::Reset { peer } => Self::Reset { peer: name(peer) },
            Event::IdentityChanged { peer } => Self::IdentityChanged { peer: name(peer) },
            Event::PrekeysLow => Self::PrekeysLow,
            Event::LastResortUsed { peer } => Self::LastResortUsed { peer: name(peer) },
            Event::PqStalled { peer } => Self::PqStalled { peer: name(peer) },
            Event::Wedged { peer } => Self::Wedged { peer: name(peer) },
            Event::Denied { peer, reason } => {
                Self::Denied { peer: name(peer), reason: (*reason).to_owned() }
            }
            Event::Undeliverable { peer, message } => {
                Self::Undeliverable { peer: name(peer), message: message.to_string() }
            }
            Event::Discarded { frames } => Self::Discarded { frames: *frames },
            Event::LargeExpired { peer, message } => {
                Self::LargeExpired { peer: name(peer), message: message.to_string() }
            }
            Event::LargeFailed { peer, message, reason } => Self::LargeFailed {
                peer: name(peer),
                message: message.to_string(),
                reason: (*reason).to_owned(),
            },
            Event::ClockJumped => Self::ClockJumped,
            other => Self::Other { text: format!("{other:?}") },
        }
    }
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewSession { peer } => write!(f, "a session with {peer} began"),
            Self::Reset { peer } => {
                write!(f, "{peer} began a new session: it lost its state, or closed its sessions")
            }
            Self::IdentityChanged { peer } => {
                write!(f, "{peer} has other exchange keys than before, under the same identity")
            }
            Self::PrekeysLow => f.write_str("one-time prekeys run low; new ones are due"),
            Self::LastResortUsed { peer } => write!(
                f,
                "the session with {peer} began without one-time keys: its first messages are as \
                 secret as keys that live for weeks"
            ),
            Self::PqStalled { peer } => {
                write!(f, "warning: {peer} does not keep up the post-quantum half of the session")
            }
            Self::Wedged { peer } => write!(
                f,
                "too many messages of {peer} were lost in a row; the next one to it begins anew"
            ),
            Self::Denied { peer, reason } => {
                write!(f, "refused {peer}: {}", Plain::new(reason))
            }
            Self::Undeliverable { peer, message } => {
                write!(f, "message {message} cannot be delivered: {peer} has no such mailbox now")
            }
            Self::Discarded { frames: 1 } => f.write_str("threw away a frame that does not open"),
            Self::Discarded { frames } => {
                write!(f, "threw away {frames} frames that do not open, or are repetitions")
            }
            Self::LargeExpired { peer, message } => write!(
                f,
                "message {message}, to or from {peer}, was not completed in 30 days; what was \
                 here of it is removed"
            ),
            Self::LargeFailed { peer, message, reason } => {
                write!(f, "refused message {message} of {peer}: {}", Plain::new(reason))
            }
            Self::ClockJumped => f.write_str(
                "warning: the clock is more than a day ahead of what it can be; set it right",
            ),
            Self::Other { text } => write!(f, "{}", Plain::new(text)),
        }
    }
}
