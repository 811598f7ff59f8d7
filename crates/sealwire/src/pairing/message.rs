//! The two messages of a pairing, as frames.

use core::fmt;

use sealwire_core::{
    DecodeError, DecodeReason,
    codec::Reader,
    keys::Signature,
    pad::{FRAME_CLASSES, frame_class, pad, unpad},
};
use sealwire_hybrid::{PUBLIC_LEN, XWingPublic};
use sealwire_identity::IdentityCard;
use zeroize::Zeroizing;

use super::Error;

const WHAT: &str = "pairing message";
// PAIR-4: the types are others than those of ratchet messages and first messages.
const VERSION: u8 = 1;
const COMMITMENT: u8 = 3;
const REVEAL: u8 = 4;

/// What sealing adds.
const OVERHEAD: usize = sealwire_hybrid::OVERHEAD;

/// The shortest and the longest sealed part: a nonce, a proof and a card.
// PAIR-5
const REVELATION_LEN: usize = 32 + 64;
const MAX_SEALED_LEN: usize = OVERHEAD + REVELATION_LEN + IdentityCard::MAX_LEN;

/// A message of a pairing. The states take and give whole frames; this is for tools that look
/// into them.
///
/// ```
/// use sealwire::pairing::Message;
/// assert!(Message::from_frame(&[0; 2048]).is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a version has these messages")]
pub enum Message {
    /// The first.
    Commitment {
        /// The key that the other side seals to.
        public: Box<XWingPublic>,
        /// What the sender is committed to.
        commitment: [u8; 32],
    },
    /// The second.
    Reveal {
        /// Nonce, proof and card, sealed.
        sealed: Vec<u8>,
    },
}

impl Message {
    /// Decodes a frame.
    ///
    /// # Errors
    /// [`DecodeError`] that says what is wrong.
    // PAIR-4, PAIR-5
    pub fn from_frame(frame: &[u8]) -> Result<Self, DecodeError> {
        let invalid = |rule| DecodeError::new(WHAT, DecodeReason::Invalid(rule));
        if !FRAME_CLASSES.contains(&frame.len()) {
            return Err(invalid("a frame has 2, 4, 16 or 64 KiB"));
        }
        let content = unpad(frame)?;
        if frame_class(content.len().saturating_add(1)) != Some(frame.len()) {
            return Err(invalid("the smallest frame that it fits in"));
        }
        let mut reader = Reader::new(WHAT, content);
        reader.version(VERSION)?;
        match reader.u8()? {
            COMMITMENT => {
                let public = Box::new(XWingPublic::from_bytes(reader.take(PUBLIC_LEN)?)?);
                let commitment = *reader.array()?;
                reader.finish()?;
                Ok(Self::Commitment { public, commitment })
            }
            REVEAL => {
                let sealed = reader.rest();
                match sealed.len() {
                    0..REVEAL_LEN => Err(reader.error(DecodeReason::Truncated)),
                    REVEAL_LEN..=MAX_SEALED_LEN => Ok(Self::Reveal { sealed: sealed.to_vec() }),
                    _ => Err(reader.error(DecodeReason::TooLong(MAX_SEALED_LEN))),
                }
            }
            _ => Err(invalid("type 3 or 4")),
        }
    }

    /// The frame.
    ///
    /// # Errors
    /// [`Error::Core`] for a sealed part that fits no frame.
    pub fn to_frame(&self) -> Result<Vec<u8>, Error> {
        let mut content = Vec::with_capacity(16 * 1024);
        content.push(VERSION);
        match self {
            Self::Commitment { public, commitment } => {
                content.push(COMMITMENT);
                content.extend_from_slice(&public.to_bytes());
                content.extend_from_slice(commitment);
            }
            Self::Reveal { sealed } => {
                content.push(REVEAL);
                content.extend_from_slice(sealed);
            }
        }
        let class = frame_class(content.len().saturating_add(1)).unwrap_or_default();
        pad(&mut content, class)?;
        Ok(content)
    }
}

const REVEAL_LEN: usize = OVERHEAD + REVELATION_LEN;

/// What is sealed in the second message.
pub(super) struct Revelation<'a> {
    pub(super) nonce: &'a [u8; 32],
    pub(super) proof: Signature,
    pub(super) card: &'a [u8],
}

impl<'a> Revelation<'a> {
    pub(super) fn from_bytes(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        let nonce = reader.array()?;
        let proof = Signature::from_bytes(reader.take(64)?)?;
        Ok(Self { nonce, proof, card: reader.rest() })
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Self { nonce, proof, card } = self;
        let len = card.len().saturating_add(REVELATION_LEN);
        let mut bytes = Zeroizing::new(Vec::with_capacity(len));
        bytes.extend_from_slice(*nonce);
        bytes.extend_from_slice(proof.as_bytes());
        bytes.extend_from_slice(card);
        bytes
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commitment { .. } => "Commitment(..)",
            Self::Reveal { .. } => "Reveal(..)",
        })
    }
}
