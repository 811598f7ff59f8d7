//! What a ratchet message of an agent holds: an application's bytes, or a part of them, and
//! where to answer. Specified in `docs/spec/content.md`.

use core::fmt;

use sealwire_core::{DecodeError, DecodeReason, codec::from_cbor, kdf, pad::FRAME_CLASSES};
use zeroize::Zeroizing;

use crate::delivery::{Address, MessageId};

const WHAT: &str = "message content";

// CON-1
const WHOLE: u8 = 1;
const PART: u8 = 2;
const ANSWER: u8 = 3;

/// The longest content, in bytes: no frame holds more.
// CON-2
const MAX_LEN: usize = FRAME_CLASSES[3];

/// The longest message that [`Agent::send`](crate::Agent::send) takes, in bytes.
///
/// A frame has at most 64 KiB. The first ones to a peer also hold what introduces this agent, at
/// most 33,909 bytes, and a limit that goes away after the first answer would surprise.
pub const MAX_PAYLOAD_LEN: usize = 29 * 1024;

/// The longest part of a large message, in bytes. Behind the prefix of a first message it is
/// [`MAX_PAYLOAD_LEN`].
///
/// The largest frame has room for 64,248 bytes (RAT-4), of which the other fields take 390 at
/// most.
// CON-11
pub(super) const MAX_PART_LEN: usize = 62 * 1024;

/// The longest large message, in bytes: 1 TiB. It keeps sums of offsets far from overflow; what
/// a receiver stores of it is bounded by [`Limits`](crate::Limits).
// CON-6
pub const MAX_LARGE_LEN: u64 = 1 << 40;

/// What a ratchet message of an agent holds. [`Agent::send`](crate::Agent::send) seals it and
/// [`Agent::sync`](crate::Agent::sync) opens it; it is public for tools that do without them.
///
/// ```
/// use sealwire::{Body, Content, delivery::MessageId};
/// let content = Content {
///     message: MessageId::from_bytes([7; 16]),
///     reply: None,
///     body: Body::Whole(b"how far is the moon?".to_vec().into()),
/// };
/// assert_eq!(Content::from_bytes(&content.to_bytes()), Ok(content));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "every kind has these fields")]
pub struct Content {
    /// Names the message at both ends.
    pub message: MessageId,
    /// Where the sender takes answers, while it does not know that the receiver knows.
    pub reply: Option<Address>,
    /// What it is.
    pub body: Body,
}

/// What a [`Content`] is.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever opens one handles every kind")]
pub enum Body {
    /// A message: what the application sent.
    Whole(Zeroizing<Vec<u8>>),
    /// A part of a large message.
    Part(Part),
    /// Nothing for the application: whoever began to take the large message of this id tells by
    /// it where it takes the rest.
    Answer,
}

/// A part of a large message.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a part has these fields")]
pub struct Part {
    /// Where its bytes begin.
    pub offset: u64,
    /// How long the whole is, if the sender knew. The same in every part.
    pub length: Option<u64>,
    /// In the part that ends where the whole ends, and in no other: SHA-256 of the whole.
    pub digest: Option<[u8; kdf::HASH_LEN]>,
    /// Its bytes.
    pub bytes: Zeroizing<Vec<u8>>,
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct WholeWire<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    message: &'a [u8],
    #[cbor(b(1), with = "minicbor::bytes")]
    mailbox: Option<&'a [u8]>,
    #[cbor(b(2), with = "minicbor::bytes")]
    capability: Option<&'a [u8]>,
    #[cbor(b(3), with = "minicbor::bytes")]
    payload: &'a [u8],
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct PartWire<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    message: &'a [u8],
    #[cbor(b(1), with = "minicbor::bytes")]
    mailbox: Option<&'a [u8]>,
    #[cbor(b(2), with = "minicbor::bytes")]
    capability: Option<&'a [u8]>,
    #[cbor(n(3))]
    length: Option<u64>,
    #[cbor(b(4), with = "minicbor::bytes")]
    digest: Option<&'a [u8]>,
    #[cbor(n(5))]
    offset: u64,
    #[cbor(b(6), with = "minicbor::bytes")]
    bytes: &'a [u8],
}

// The message id stands last, since an encoder leaves out what is null at the end.
#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct AnswerWire<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    mailbox: Option<&'a [u8]>,
    #[cbor(b(1), with = "minicbor::bytes")]
    capability: Option<&'a [u8]>,
    #[cbor(b(2), with = "minicbor::bytes")]
    message: &'a [u8],
}

impl Content {
    /// Decodes a content.
    ///
    /// # Errors
    /// [`DecodeError`] that says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let error = |reason| DecodeError::new(WHAT, reason);
        match bytes.split_first() {
            None => Err(error(DecodeReason::Truncated)),
            Some((&WHOLE, cbor)) => {
                let wire: WholeWire<'_> = from_cbor(WHAT, cbor, MAX_LEN)?;
                let body = Body::Whole(Zeroizing::new(wire.payload.to_vec()));
                Self::new(wire.message, wire.mailbox, wire.capability, body)
            }
            Some((&PART, cbor)) => {
                let wire: PartWire<'_> = from_cbor(WHAT, cbor, MAX_LEN)?;
                let body = Body::Part(Part::from_wire(&wire)?);
                Self::new(wire.message, wire.mailbox, wire.capability, body)
            }
            Some((&ANSWER, cbor)) => {
                let wire: AnswerWire<'_> = from_cbor(WHAT, cbor, MAX_LEN)?;
                Self::new(wire.message, wire.mailbox, wire.capability, Body::Answer)
            }
            Some((&found, _)) => Err(error(DecodeReason::UnknownVersion(found))),
        }
    }

    // CON-3, CON-4
    fn new(
        message: &[u8],
        mailbox: Option<&[u8]>,
        capability: Option<&[u8]>,
        body: Body,
    ) -> Result<Self, DecodeError> {
        let message = message.try_into().map_err(|_| invalid("a message id has 16 bytes"))?;
        let reply = match (mailbox, capability) {
            (None, None) => None,
            (Some(mailbox), Some(capability)) => {
                let address = Address::new(mailbox, capability);
                Some(address.map_err(|_| invalid("an address has 64 and 256 bytes at most"))?)
            }
            _ => return Err(invalid("a mailbox and its capability stand together")),
        };
        Ok(Self { message: MessageId::from_bytes(message), reply, body })
    }

    /// The bytes inside the ratchet message.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Self { message, reply, body } = self;
        let message = message.as_bytes();
        let mailbox = reply.as_ref().map(Address::mailbox);
        let capability = reply.as_ref().map(Address::capability);
        match body {
            Body::Whole(payload) => {
                encode(WHOLE, payload.len(), WholeWire { message, mailbox, capability, payload })
            }
            Body::Part(Part { offset, length, digest, bytes }) => {
                let digest = digest.as_ref().map(<[u8; kdf::HASH_LEN]>::as_slice);
                let (length, offset) = (*length, *offset);
                let wire = PartWire { message, mailbox, capability, length, digest, offset, bytes };
                encode(PART, bytes.len(), wire)
            }
            Body::Answer => encode(ANSWER, 0, AnswerWire { mailbox, capability, message }),
        }
    }
}

fn invalid(rule: &'static str) -> DecodeError {
    DecodeError::new(WHAT, DecodeReason::Invalid(rule))
}

fn encode(kind: u8, len: usize, wire: impl minicbor::Encode<()>) -> Zeroizing<Vec<u8>> {
    let rest = 128 + Address::MAX_MAILBOX_LEN + Address::MAX_CAPABILITY_LEN;
    // Full capacity first: growing would leave copies of the payload behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(len.saturating_add(rest)));
    bytes.push(kind);
    // Writing to a Vec cannot fail, and the derived encoders raise no error of their own.
    let _: Result<(), _> = minicbor::encode(wire, &mut *bytes);
    bytes
}

impl Part {
    // CON-6, CON-7
    fn from_wire(wire: &PartWire<'_>) -> Result<Self, DecodeError> {
        let digest = wire.digest.map(<[u8; kdf::HASH_LEN]>::try_from).transpose();
        let digest = digest.map_err(|_| invalid("a digest has 32 bytes"))?;
        let bytes = Zeroizing::new(wire.bytes.to_vec());
        let part = Self { offset: wire.offset, length: wire.length, digest, bytes };
        let end = part.end().ok_or(invalid("a large message has 1 TiB at most"))?;
        if wire.length.is_some_and(|length| length > MAX_LARGE_LEN) {
            return Err(invalid("a large message has 1 TiB at most"));
        }
        let is_last = digest.is_some();
        match wire.length {
            Some(length) if end > length => Err(invalid("a part ends within the whole")),
            Some(length) if (end == length) != is_last => {
                Err(invalid("the last part has the digest, and no other"))
            }
            _ if part.bytes.is_empty() && !(is_last && end == 0) => {
                Err(invalid("only a large message without bytes has a part without bytes"))
            }
            _ => Ok(part),
        }
    }

    /// Where it ends, if that is within [`MAX_LARGE_LEN`].
    pub(super) fn end(&self) -> Option<u64> {
        let len = u64::try_from(self.bytes.len()).ok()?;
        self.offset.checked_add(len).filter(|end| *end <= MAX_LARGE_LEN)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, reply: _, body } = self;
        f.debug_struct("Content")
            .field("message", message)
            .field("body", body)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole(..)",
            Self::Part(_) => "Part(..)",
            Self::Answer => "Answer",
        })
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part(..)")
    }
}

#[cfg(test)]
mod tests;
