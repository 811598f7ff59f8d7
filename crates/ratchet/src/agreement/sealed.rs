//! Who the initiator is: the part of a first message that only the responder opens.

use core::fmt;

use sealwire_core::{
    DecodeError, DecodeReason, Suite,
    aead::{AeadKey, TAG_LEN},
    codec::{from_cbor, to_cbor},
    keys::Signature,
    secret::Secret,
};

use crate::{
    Error,
    prekey::{MAX_CAPABILITY, MAX_MAILBOX},
};

const WHAT: &str = "introduction";

/// The longest sealed part, its tag included, in bytes: a card, evidence and an in-band log of
/// at most 16 KiB fit, and the whole frame stays within 64 KiB.
// AGR-2
pub const MAX_SEALED: usize = 32 * 1024;
const MAX_PLAIN: usize = MAX_SEALED - TAG_LEN;

// AGR-10
#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Wire<'a> {
    #[cbor(b(0), with = "minicbor::bytes")]
    card: &'a [u8],
    #[b(1)]
    log: Nullable<'a>,
    #[n(2)]
    device: u32,
    #[cbor(b(3), with = "minicbor::bytes")]
    evidence: &'a [u8],
    #[cbor(b(4), with = "minicbor::bytes")]
    responder_card: &'a [u8],
    #[cbor(b(5), with = "minicbor::bytes")]
    proof: &'a [u8],
    #[b(6)]
    mailbox: Nullable<'a>,
    #[b(7)]
    capability: Nullable<'a>,
}

/// Bytes or null. An `Option` at the end of an array would be left out.
struct Nullable<'a>(Option<&'a [u8]>);

impl<C> minicbor::Encode<C> for Nullable<'_> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self.0 {
            Some(bytes) => e.bytes(bytes)?.ok(),
            None => e.null()?.ok(),
        }
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Nullable<'b> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.datatype()? == minicbor::data::Type::Null {
            return d.null().map(|()| Self(None));
        }
        d.bytes().map(Some).map(Self)
    }
}

/// Where the responder is to answer, and the right to leave it there. Opaque here.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the caller")]
pub struct ReplyTo {
    /// At most 64 bytes.
    pub mailbox: Option<Vec<u8>>,
    /// At most 256 bytes.
    pub capability: Option<Vec<u8>>,
}

/// What the initiator says of itself. Card, log and evidence are opaque here; the facade judges
/// them.
#[derive(Clone, PartialEq, Eq)]
pub struct Introduced {
    pub(super) card: Vec<u8>,
    pub(super) log: Option<Vec<u8>>,
    pub(super) device: u32,
    pub(super) evidence: Vec<u8>,
    pub(super) responder_card: [u8; 32],
    pub(super) proof: Signature,
    pub(super) reply: ReplyTo,
}

impl Introduced {
    /// The initiator's signed card.
    pub fn card(&self) -> &[u8] {
        &self.card
    }

    /// The initiator's identity log or its head.
    pub fn log(&self) -> Option<&[u8]> {
        self.log.as_deref()
    }

    /// The device that it says it writes from.
    pub fn device(&self) -> u32 {
        self.device
    }

    /// The initiator's evidence list.
    pub fn evidence(&self) -> &[u8] {
        &self.evidence
    }

    /// Where it wants an answer.
    pub fn reply(&self) -> &ReplyTo {
        &self.reply
    }

    /// The sealed bytes.
    pub(super) fn seal(
        &self,
        suite: Suite,
        (key, nonce): &(Secret<32>, [u8; 12]),
        clear: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = self.to_bytes();
        if bytes.len() > MAX_PLAIN {
            return Err(Error::Misuse("card, log and evidence are over 32 KiB together"));
        }
        // What the peer would refuse does not leave.
        Self::from_bytes(&bytes).map_err(|_| Error::Misuse("the reply mailbox is too long"))?;
        let tag = AeadKey::new(suite.aead(), key)?.seal_detached(nonce, clear, &mut bytes)?;
        bytes.extend_from_slice(&tag);
        Ok(bytes)
    }

    /// Opens what [`Introduced::seal`] gave.
    pub(super) fn open(
        suite: Suite,
        (key, nonce): &(Secret<32>, [u8; 12]),
        clear: &[u8],
        sealed: &[u8],
    ) -> Result<Self, Error> {
        let (bytes, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Error::Open)?;
        let mut bytes = bytes.to_vec();
        AeadKey::new(suite.aead(), key)?.open_detached(nonce, clear, &mut bytes, tag)?;
        Self::from_bytes(&bytes).map_err(|_| Error::Open)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { card, log, device, evidence, responder_card, proof, reply } = self;
        to_cbor(&Wire {
            card,
            log: Nullable(log.as_deref()),
            device: *device,
            evidence,
            responder_card,
            proof: proof.as_bytes(),
            mailbox: Nullable(reply.mailbox.as_deref()),
            capability: Nullable(reply.capability.as_deref()),
        })
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let refuse = |rule| DecodeError::new(WHAT, DecodeReason::Invalid(rule));
        let wire: Wire<'_> = from_cbor(WHAT, bytes, MAX_PLAIN)?;
        let bounded = |field: Nullable<'_>, max, rule| match field.0 {
            Some(bytes) if bytes.len() > max => Err(refuse(rule)),
            bytes => Ok(bytes.map(<[u8]>::to_vec)),
        };
        Ok(Self {
            card: wire.card.to_vec(),
            log: wire.log.0.map(<[u8]>::to_vec),
            device: wire.device,
            evidence: wire.evidence.to_vec(),
            responder_card: wire
                .responder_card
                .try_into()
                .map_err(|_| refuse("a card hash is 32 bytes long"))?,
            proof: Signature::from_bytes(wire.proof)?,
            reply: ReplyTo {
                mailbox: bounded(wire.mailbox, MAX_MAILBOX, "a mailbox has at most 64 bytes")?,
                capability: bounded(
                    wire.capability,
                    MAX_CAPABILITY,
                    "a capability has at most 256 bytes",
                )?,
            },
        })
    }
}

// Cards and mailboxes say who writes to whom: only their sizes are printed.
impl fmt::Debug for Introduced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, log, device: _, evidence, responder_card: _, proof: _, reply } = self;
        f.debug_struct("Introduced")
            .field("card", &card.len())
            .field("log", &log.as_ref().map(Vec::len))
            .field("evidence", &evidence.len())
            .field("reply", reply)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mailbox, capability } = self;
        f.debug_struct("ReplyTo")
            .field("mailbox", &mailbox.as_ref().map(Vec::len))
            .field("capability", &capability.as_ref().map(Vec::len))
            .finish()
    }
}

#[cfg(test)]
mod tests;
