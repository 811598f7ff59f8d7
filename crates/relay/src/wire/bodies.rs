//! The bodies of requests and answers: canonical CBOR arrays of fixed length.
// REL-4

use core::fmt;

use sealwire_core::{DecodeError, Timestamp, secret::Secret};

use super::MailboxKind;
use crate::{MessageId, Nonce, SendId, Token, limits};

/// What travels as the body of a request or of its answer.
pub trait Body: Sized {
    /// What it is called in errors.
    const WHAT: &'static str;
    /// The longest, in bytes.
    const MAX_LEN: usize;

    /// Decodes a body.
    ///
    /// # Errors
    /// [`DecodeError`] that says what is wrong: longer than [`Body::MAX_LEN`], not canonical, or
    /// a part beyond its bound.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError>;

    /// The bytes.
    fn to_bytes(&self) -> Vec<u8>;
}

/// Operation 1: what makes a device's card and bundle those that are handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Publish {
    /// The card and the bundle.
    pub published: Published,
    /// The mailbox that the bundle names, when it is of this relay: its readers are told when
    /// one-time keys run low. The bundle says so to everybody anyway.
    pub contact: Option<SendId>,
}

/// Operation 2: a card and the bundle that belongs to it, as they were published.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Published {
    /// The signed card.
    pub card: Vec<u8>,
    /// The signed bundle.
    pub bundle: Vec<u8>,
}

/// Operation 3: a page of one-time keys. Its kind and the id of its first key are in the path.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Page {
    /// The last second in which its keys may be handed out.
    pub not_after: Timestamp,
    /// The signed header.
    pub header: Vec<u8>,
    /// The keys, each with its path to the signed root, in the order of their ids.
    pub keys: Vec<Vec<u8>>,
}

/// Operation 4: one-time keys that nobody has claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Remaining {
    /// X25519.
    pub x25519: u32,
    /// ML-KEM-768.
    pub kem: u32,
}

impl Remaining {
    /// Whether it is time for new ones (PRE-18).
    // REL-28
    pub const fn is_low(self) -> bool {
        self.x25519 <= limits::LOW_WATER_X25519 || self.kem <= limits::LOW_WATER_KEM
    }
}

/// Operation 5: a claim. The same caller with the same nonce gets the same keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Claim {
    /// Drawn by the caller for this claim, and kept for its repetitions.
    pub nonce: Nonce,
}

/// What a claim brought. A kind that is drained brings nothing: then the bundle's last-resort
/// prekey has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Claimed {
    /// An X25519 key.
    pub x25519: Option<ClaimedKey>,
    /// An ML-KEM-768 key.
    pub kem: Option<ClaimedKey>,
}

/// A one-time key and what proves it.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct ClaimedKey {
    /// The signed header of its page.
    pub header: Vec<u8>,
    /// The key with its path.
    pub key: Vec<u8>,
}

/// Operation 6: what this relay hands out for a device, short: asked of another relay, or by
/// another client, it shows whether a relay tells everybody the same.
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Check {
    /// SHA-256 of the card.
    pub card: [u8; 32],
    /// SHA-256 of the bundle.
    pub bundle: [u8; 32],
    /// The sequence of the card.
    pub sequence: u64,
}

/// Operation 7: a mailbox. Its key is the one that signs.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct NewMailbox {
    /// Its id for sending.
    pub send: SendId,
    /// What it is for.
    pub kind: MailboxKind,
    /// The secret of its deposit capabilities.
    pub secret: Secret<32>,
    /// How long it keeps a message, in seconds.
    pub lifetime: u64,
    /// The most messages that one token may have in it at a time.
    pub per_token: u32,
}

/// Operation 9: capabilities that open nothing any more.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Revoke {
    /// Singly.
    pub tokens: Vec<Token>,
    /// All that were minted before: the secret of those to come.
    pub secret: Option<Secret<32>>,
}

/// Operation 11: the oldest messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Messages {
    /// In the order of their sequence.
    pub messages: Vec<Message>,
    /// There are more.
    pub more: bool,
    /// One-time prekeys of the device whose contact mailbox this is run low.
    pub prekeys_low: bool,
}

/// A message in a mailbox.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Message {
    /// Its number in this mailbox, ascending from 1.
    pub sequence: u64,
    /// The id under which it was left.
    pub id: MessageId,
    /// The frame.
    pub frame: Vec<u8>,
}

/// Operation 12: messages to remove for good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Acks {
    /// Their sequences.
    pub sequences: Vec<u64>,
}

/// Operation 12: how many of them were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a version has these fields")]
pub struct Acked {
    /// Messages removed.
    pub removed: u32,
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Published(..)")
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page(..)")
    }
}

impl fmt::Debug for ClaimedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimedKey(..)")
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check(..)")
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message(..)")
    }
}
