//! The messages of a stream (operation 13): WebSocket binary messages, canonical CBOR.
//!
//! The upgrade is signed like operation 11, so a stream is of one mailbox, and needs no further
//! credential. The client asks, the server answers, in order; beside answers the server sends
//! [`FromServer::Arrived`] and [`FromServer::PrekeysLow`] when there is news. It says so once
//! and not again before the client has asked: a client that reads slowly costs a relay nothing.
// REL-20

use minicbor::encode::{Encoder, Error, Write};
use sealwire_core::DecodeError;

use super::{
    Acks, Body, Message,
    cbor::{self, Input, Item},
    encoding::{self, MAX_MESSAGES_LEN},
};
use crate::{Problem, limits};

/// What a client sends on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a version has these")]
pub enum FromClient {
    /// 1: the oldest messages behind `after`, at most `limit`.
    Fetch {
        /// The sequence behind which to begin, 0 for the oldest.
        after: u64,
        /// The most messages.
        limit: u32,
    },
    /// 2: removes messages for good.
    Ack(Acks),
}

/// What a server sends on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a version has these")]
pub enum FromServer {
    /// 1: the stream stands: what arrives from now on is told. The backlog is to be fetched
    /// after it.
    Ready,
    /// 2: something arrived since the last answer.
    Arrived,
    /// 3: one-time prekeys run low.
    PrekeysLow,
    /// 4: the answer to a fetch.
    Messages {
        /// In the order of their sequence.
        messages: Vec<Message>,
        /// There are more.
        more: bool,
    },
    /// 5: the answer to an acknowledgement.
    Acked {
        /// Messages removed.
        removed: u32,
    },
    /// 6: the request failed.
    Problem(Problem),
}

macro_rules! messages {
    ($($name:ident, $what:literal, $max:expr;)*) => {$(
        impl $name {
            /// The longest, in bytes.
            pub const MAX_LEN: usize = $max;

            /// Decodes a message.
            ///
            /// # Errors
            /// [`DecodeError`] as for a [`Body`].
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
                cbor::decode($what, bytes, Self::MAX_LEN)
            }

            /// The bytes.
            pub fn to_bytes(&self) -> Vec<u8> {
                cbor::encode(self)
            }
        }
    )*};
}

messages! {
    FromClient, "request on a stream", Acks::MAX_LEN + 1;
    FromServer, "message of a stream", MAX_MESSAGES_LEN + 16;
}

impl Item for FromClient {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        match input.tagged()? {
            (1, 3) => Ok(Self::Fetch {
                after: input.number(0..=limits::MAX_NUMBER, "a sequence is below 2^63")?,
                limit: input.small(1..=limits::MAX_FETCH, "1 to 100 messages are fetched")?,
            }),
            (2, 2) => Acks::list(input).map(Self::Ack),
            _ => Err(input.refuse("a fetch or an acknowledgement")),
        }
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        match self {
            Self::Fetch { after, limit } => out.array(3)?.u8(1)?.u64(*after)?.u32(*limit).map(drop),
            Self::Ack(acks) => acks.write_list(out.array(2)?.u8(2)?),
        }
    }
}

impl Item for FromServer {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(match input.tagged()? {
            (1, 1) => Self::Ready,
            (2, 1) => Self::Arrived,
            (3, 1) => Self::PrekeysLow,
            (4, 3) => Self::Messages { messages: encoding::messages(input)?, more: input.truth()? },
            (5, 2) => Self::Acked { removed: input.small(0..=u32::MAX, "a count is below 2^32")? },
            (6, 2) => {
                let rule = "a problem that is known";
                let slug = input.text(rule)?;
                Self::Problem(Problem::from_slug(slug).ok_or(input.refuse(rule))?)
            }
            _ => return Err(input.refuse("one of the six kinds of message")),
        })
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        match self {
            Self::Ready => out.array(1)?.u8(1).map(drop),
            Self::Arrived => out.array(1)?.u8(2).map(drop),
            Self::PrekeysLow => out.array(1)?.u8(3).map(drop),
            Self::Messages { messages, more } => {
                cbor::list(messages, out.array(3)?.u8(4)?)?;
                out.bool(*more).map(drop)
            }
            Self::Acked { removed } => out.array(2)?.u8(5)?.u32(*removed).map(drop),
            Self::Problem(problem) => out.array(2)?.u8(6)?.str(problem.slug()).map(drop),
        }
    }
}
