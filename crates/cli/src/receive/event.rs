//! What `recv` tells on standard error.

use std::fmt;

use indicatif::BinaryBytes;
use serde::Serialize;

use super::sink::About;
use crate::text::Plain;

/// Something that happened while receiving.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// Messages are waited for.
    Waiting { id: String, relay: String },
    /// A message, of which the content stands on standard output.
    Message { message: String, from: String, bytes: u64 },
    /// A command is done with a message.
    Handled { message: String, from: String, bytes: u64 },
    /// A command did not take a message. It is tried again.
    Kept { message: String, from: String, reason: String },
    /// A long message waits, for there is no place for it.
    NeedsPlace {
        message: String,
        from: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// Of a long message only a part is here.
    Incomplete {
        message: String,
        from: String,
        bytes: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        length: Option<u64>,
    },
    /// Something that does not stop the command.
    Warning { message: String },
    /// The command ends.
    Stopped,
}

impl Event {
    pub(crate) fn message(about: &About<'_>, bytes: u64) -> Self {
        let (message, from) = about.names();
        Self::Message { message, from, bytes }
    }

    pub(crate) fn handled(about: &About<'_>, bytes: u64) -> Self {
        let (message, from) = about.names();
        Self::Handled { message, from, bytes }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { id, relay } => {
                write!(f, "waiting for messages to {id} at {}", Plain::new(relay))
            }
            Self::Message { message, from, bytes } => {
                write!(f, "message {message} from {from}, {}", BinaryBytes(*bytes))
            }
            Self::Handled { message, from, bytes } => {
                write!(f, "done with message {message} from {from}, {}", BinaryBytes(*bytes))
            }
            Self::Kept { message: _, from, reason } => {
                write!(f, "{} (from {from}; it is tried again)", Plain::new(reason))
            }
            Self::NeedsPlace { message, from, bytes: _ } => write!(
                f,
                "message {message} from {from} is too long for this output; give a directory with \
                 --out, or redirect standard output"
            ),
            Self::Incomplete { message, from, bytes, length } => {
                write!(f, "of message {message} from {from}, {} are here", BinaryBytes(*bytes))?;
                match length {
                    Some(length) => write!(f, " of {}", BinaryBytes(*length)),
                    None => Ok(()),
                }
            }
            Self::Warning { message } => write!(f, "warning: {}", Plain::new(message)),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}
