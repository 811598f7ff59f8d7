//! What `listen` and `connect` tell on standard error while standard output carries data.

use std::fmt;

use indicatif::BinaryBytes;
use sealwire::{Channel, Direction, Handshake};
use serde::Serialize;

use crate::{error::Failure, text::Plain};

/// Something that happened.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// Connections are answered.
    Listening { address: String, id: String },
    /// A connection came to nothing.
    Rejected { source: String, reason: String },
    /// The system gave no connection.
    NotAccepted { reason: String },
    /// Further connections came to nothing, too many to tell each.
    Untold { count: u64 },
    /// A peer is authenticated and admitted.
    Connected {
        peer: String,
        address: String,
        inbound: bool,
        handshake: &'static str,
        /// The peer was not known before, and is pinned now.
        first_contact: bool,
    },
    /// Something that does not stop the command.
    Warning { message: String },
    /// Both directions were closed, authenticated.
    Closed { sent: u64, received: u64 },
}

impl Event {
    /// A channel stands to the peer at `address`.
    pub(crate) fn connected<T>(channel: &Channel<T>, address: String) -> Result<Self, Failure> {
        let facts = channel.facts();
        Ok(Self::Connected {
            peer: channel.peer()?.to_string(),
            address,
            inbound: facts.direction() == Direction::Inbound,
            handshake: match channel.handshake() {
                Some(Handshake::NoiseIk) => "IK",
                _ => "XX",
            },
            first_contact: facts.pinned().is_none(),
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening { address, id } => write!(f, "listening on {address} as {id}"),
            Self::Rejected { source, reason } => {
                write!(f, "no channel with {source}: {}", Plain::new(reason))
            }
            Self::NotAccepted { reason } => write!(f, "cannot accept: {}", Plain::new(reason)),
            Self::Untold { count } => write!(f, "no channel with {count} further callers"),
            Self::Connected { peer, address, inbound, handshake, first_contact } => {
                let address = Plain::new(address);
                let way = if *inbound { "from" } else { "at" };
                write!(f, "connected with {peer} {way} {address}, by {handshake}")?;
                if *first_contact {
                    write!(f, "\nfirst contact: it is pinned now; compare the id with the peer")?;
                }
                Ok(())
            }
            Self::Warning { message } => write!(f, "warning: {}", Plain::new(message)),
            Self::Closed { sent, received } => {
                let (sent, received) = (BinaryBytes(*sent), BinaryBytes(*received));
                write!(f, "closed by both sides: sent {sent}, received {received}")
            }
        }
    }
}
