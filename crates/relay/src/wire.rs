//! The thirteen operations: paths, headers, bodies.
//!
//! | | Operation | Signed by | Body | Answer |
//! |---|---|---|---|---|
//! | 1 | `PUT /v1/agents/{did}/devices/{n}/bundle` | identity | [`Publish`] | 204 |
//! | 2 | `GET /v1/agents/{did}/devices/{n}/bundle` | – | – | [`Published`] |
//! | 3 | `PUT /v1/agents/{did}/devices/{n}/pages/{kind}/{base}` | identity | [`Page`] | 201, 200 if known |
//! | 4 | `GET /v1/agents/{did}/devices/{n}/prekeys` | identity | – | [`Remaining`] |
//! | 5 | `POST /v1/agents/{did}/devices/{n}/claims` | caller's identity | [`Claim`] | [`Claimed`] |
//! | 6 | `GET /v1/agents/{did}/devices/{n}/check` | – | – | [`Check`] |
//! | 7 | `PUT /v1/mailboxes/{receive id}` | mailbox key | [`NewMailbox`] | 201, 200 if known |
//! | 8 | `DELETE /v1/mailboxes/{receive id}` | mailbox key | – | 204 |
//! | 9 | `POST /v1/mailboxes/{receive id}/tokens` | mailbox key | [`Revoke`] | 204 |
//! | 10 | `POST /v1/mailboxes/{send id}/messages` | capability | frame | 202 |
//! | 11 | `GET /v1/mailboxes/{receive id}/messages?after=&limit=&wait=` | mailbox key | – | [`Messages`] |
//! | 12 | `POST /v1/mailboxes/{receive id}/acks` | mailbox key | [`Acks`] | [`Acked`] |
//! | 13 | `GET /v1/mailboxes/{receive id}/stream` | mailbox key | WebSocket | [`FromClient`], [`FromServer`] |
//!
//! A DID in a path is percent-encoded where RFC 3986 asks for it; `:` is not. Bodies are canonical
//! CBOR arrays ([`CBOR`]), frames are [`FRAME`]; [`Problem`](crate::Problem)s are
//! `application/problem+json`.
// REL-1

mod bodies;
mod cbor;
mod encoding;
mod paths;
mod stream;

pub use bodies::{
    Acked, Acks, Body, Check, Claim, Claimed, ClaimedKey, Message, Messages, NewMailbox, Page,
    Publish, Published, Remaining, Revoke,
};
pub use paths::{Credential, Operation};
pub use stream::{FromClient, FromServer};

use sealwire_core::{DecodeError, DecodeReason};

/// The media type of bodies.
pub const CBOR: &str = "application/cbor";
/// The media type of frames.
pub const FRAME: &str = "application/octet-stream";
/// The media type of problems (RFC 9457).
pub const PROBLEM: &str = "application/problem+json";

/// The header of operation 10 that names the message: [`MessageId`](crate::MessageId) as text.
pub const MESSAGE_ID: &str = "sealwire-message-id";
/// The header of operation 10 that holds the capability.
pub const CAPABILITY: &str = "sealwire-capability";

/// The operations as an OpenAPI 3.1 document, for machines. The specification is
/// `docs/spec/relay.md`.
pub const OPENAPI: &str = include_str!("../openapi.json");

/// What a one-time prekey is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an agreement takes these two")]
#[repr(u8)]
pub enum Kind {
    /// X25519 (PRE-9).
    X25519 = 1,
    /// ML-KEM-768.
    MlKem = 2,
}

/// What a mailbox is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there are these two")]
#[repr(u8)]
pub enum MailboxKind {
    /// First messages of whoever holds the bundle.
    Contact = 1,
    /// Messages of one peer.
    Pairwise = 2,
}

impl Kind {
    /// The kind of this number.
    ///
    /// # Errors
    /// [`DecodeError`] for any but 1 and 2.
    pub const fn from_u8(id: u8) -> Result<Self, DecodeError> {
        match id {
            1 => Ok(Self::X25519),
            2 => Ok(Self::MlKem),
            _ => Err(DecodeError::new("prekey", DecodeReason::Invalid("an unknown kind"))),
        }
    }

    /// Its number.
    pub const fn id(self) -> u8 {
        self as u8
    }
}

impl MailboxKind {
    /// The kind of this number.
    ///
    /// # Errors
    /// [`DecodeError`] for any but 1 and 2.
    pub const fn from_u8(id: u8) -> Result<Self, DecodeError> {
        match id {
            1 => Ok(Self::Contact),
            2 => Ok(Self::Pairwise),
            _ => Err(DecodeError::new("mailbox", DecodeReason::Invalid("an unknown kind"))),
        }
    }

    /// Its number.
    pub const fn id(self) -> u8 {
        self as u8
    }
}
