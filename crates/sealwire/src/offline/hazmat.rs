//! What is read from the rows of a store, written again (feature `hazmat`). For the fuzz target:
//! in a store a row is sealed, and nobody but its owner writes one.

use super::{
    Message,
    contact::{Contact, read_session, session_value},
    home::Home,
    outbox,
    outgoing::Once,
    parts::{Large, Piece},
    sending::Sending,
};
use crate::{
    Error,
    store::{RowKey, Value},
};

/// What a row is of. Rows of prekeys and of the replay cache are read by `sealwire_ratchet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "for tests only")]
pub enum Row {
    /// The agent: its mailbox and cards.
    Home,
    /// A peer.
    Peer,
    /// A session.
    Session,
    /// A message in the inbox.
    Inbox,
    /// A frame in the outbox.
    Outbox,
    /// A message that is to be sent once.
    Once,
    /// A large message that comes in.
    Large,
    /// A piece of one.
    Piece,
    /// A large message that is sent.
    Sending,
}

impl Row {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Home,
        Self::Peer,
        Self::Session,
        Self::Inbox,
        Self::Outbox,
        Self::Once,
        Self::Large,
        Self::Piece,
        Self::Sending,
    ];

    /// The value as it is written once it was read.
    ///
    /// # Errors
    /// As for a row that a store gave.
    pub fn again(self, value: &[u8]) -> Result<Value, Error> {
        match self {
            Self::Home => Home::again(value),
            Self::Peer => Ok(Contact::from_row(&RowKey::new(&[7; 16])?, value)?.to_value()),
            Self::Session => {
                let (session, standing) = read_session(value)?;
                Ok(session_value(&session, standing))
            }
            Self::Inbox => {
                let message = Message::from_row(RowKey::new(&[7; 24])?, value)?;
                let (id, from) = (message.id(), message.from());
                Ok(Message::row(&id, from, message.received(), message.payload()))
            }
            Self::Outbox => Ok(outbox::Row::from_value(value)?.to_value()),
            Self::Once => Ok(Once::from_value(value)?.to_value()),
            Self::Large => Ok(Large::from_value(value)?.to_value()),
            Self::Piece => {
                let key = RowKey::new(&[7; 24])?;
                let piece = Piece { key, offset: 0, value: Value::new(value.to_vec()) };
                Ok(Piece::to_value(piece.bytes()?))
            }
            Self::Sending => Ok(Sending::from_value(value)?.to_value()),
        }
    }
}
