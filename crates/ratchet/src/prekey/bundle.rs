//! Bundles: the signed prekey, the last-resort KEM prekey, and where first messages go.

use core::fmt;

use sealwire_core::{
    DecodeError, DecodeReason, KeyStore, Timestamp,
    codec::{Reader, Writer, from_cbor, to_cbor},
    kdf,
    kem::KemPublic,
    keys::{Signature, StaticPublic, VerifyingKey, X25519Public},
    keystore::KxId,
    label::Label,
    time::MAX_CLOCK_SKEW,
};

use super::{PrekeyId, SIGNED_LIFETIME};
use crate::Error;

const WHAT: &str = "prekey bundle";
const VERSION: u8 = 1;

/// The longest mailbox name and capability, in bytes: room for what a relay makes them of.
pub(crate) const MAX_MAILBOX: usize = 64;
pub(crate) const MAX_CAPABILITY: usize = 256;

// PRE-5
#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Frame<'b> {
    #[cbor(b(0), with = "minicbor::bytes")]
    body: &'b [u8],
    #[cbor(b(1), with = "minicbor::bytes")]
    signature: &'b [u8],
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Raw<'b> {
    #[cbor(b(0), with = "minicbor::bytes")]
    card_hash: &'b [u8],
    #[n(1)]
    device: u32,
    #[n(2)]
    spk_id: u32,
    #[cbor(b(3), with = "minicbor::bytes")]
    spk: &'b [u8],
    #[n(4)]
    kem_id: u32,
    #[cbor(b(5), with = "minicbor::bytes")]
    kem: &'b [u8],
    #[cbor(b(6), with = "minicbor::bytes")]
    mailbox: &'b [u8],
    #[cbor(b(7), with = "minicbor::bytes")]
    capability: &'b [u8],
    #[n(8)]
    sequence: u64,
    #[n(9)]
    not_after: u64,
}

/// The fields of a bundle, each checked on its own.
#[derive(Clone)]
pub(super) struct Fields {
    pub(super) card_hash: [u8; 32],
    pub(super) device: u32,
    pub(super) spk_id: PrekeyId,
    pub(super) spk: X25519Public,
    pub(super) kem_id: PrekeyId,
    pub(super) kem: KemPublic,
    pub(super) mailbox: Vec<u8>,
    pub(super) capability: Vec<u8>,
    pub(super) sequence: u64,
    pub(super) not_after: Timestamp,
}

/// What a claimer takes from the verified card of the agent it means.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the caller")]
pub struct PeerKeys<'a> {
    /// The agent id, as bytes.
    pub id: &'a [u8],
    /// The identity key.
    pub key: &'a VerifyingKey,
    /// The X25519 exchange key.
    pub static_key: &'a StaticPublic,
    /// The number of this set of exchange keys.
    pub kx: KxId,
    /// The hash of the card.
    pub card_hash: [u8; 32],
}

/// The same, kept with what was verified against it.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) id: Vec<u8>,
    pub(crate) key: VerifyingKey,
    pub(crate) static_key: StaticPublic,
    pub(crate) kx: KxId,
    pub(crate) card_hash: [u8; 32],
}

/// What is remembered of the newest bundle of an agent's device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundlePin {
    sequence: u64,
    hash: [u8; kdf::HASH_LEN],
}

/// A bundle as it was received. Nothing in it has been checked but its form.
///
/// ```compile_fail,E0308
/// # use sealwire_core::{Suite, Timestamp};
/// # use sealwire_ratchet::{agreement::{self, Local, ReplyTo}, prekey::{OneTimeKeys, UnverifiedBundle}};
/// // attack T37: nothing is agreed with a bundle that was not verified.
/// fn early(local: &Local, bundle: &UnverifiedBundle, now: Timestamp) {
/// #   let mut rng = sealwire_testkit::rng::SeededRng::new(1);
///     let keys = OneTimeKeys::default();
///     agreement::initiate(local, bundle, keys, Suite::AesGcm, ReplyTo::default(), now, &mut rng);
/// }
/// ```
#[derive(Clone)]
pub struct UnverifiedBundle {
    fields: Fields,
    body: Vec<u8>,
    signature: Signature,
    hash: [u8; kdf::HASH_LEN],
}

/// A bundle that the holder of its owner's identity key signed for the card, the device and the
/// time it is used for.
#[derive(Clone)]
pub struct Bundle {
    pub(crate) peer: Peer,
    pub(super) fields: Fields,
    hash: [u8; kdf::HASH_LEN],
}

impl UnverifiedBundle {
    /// The longest bundle, in bytes.
    pub const MAX_LEN: usize = 2048;

    /// Reads a bundle.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but the canonical encoding of all its fields, with sound
    /// keys: a bundle without a KEM key is malformed, there is no classical form of it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        // PRE-5: bounded before anything else.
        if bytes.len() > Self::MAX_LEN {
            return Err(reader.error(DecodeReason::TooLong(Self::MAX_LEN)));
        }
        reader.version(VERSION)?;
        let Frame { body, signature } = from_cbor(WHAT, reader.rest(), Self::MAX_LEN)?;
        Ok(Self {
            fields: Fields::from_bytes(body)?,
            body: body.to_vec(),
            signature: Signature::from_bytes(signature)?,
            hash: kdf::sha256(&[bytes]),
        })
    }

    /// Verifies the bundle of `device` of the agent `peer`, whose newest bundle seen so far is
    /// `pinned`. Store the [`Bundle::pin`] of the result.
    ///
    /// # Errors
    /// [`Error::Signature`]; [`Error::Mismatch`] for another card or device;
    /// [`Error::OlderBundle`], [`Error::ForkedBundle`]; [`Error::Expired`], and
    /// [`Error::Lifetime`] for one that would live too long.
    pub fn verify(
        self,
        peer: &PeerKeys<'_>,
        device: u32,
        pinned: Option<&BundlePin>,
        now: Timestamp,
    ) -> Result<Bundle, Error> {
        // PRE-7
        self.verify_signature(peer.id, peer.key)?;
        let Self { fields, body: _, signature: _, hash } = self;
        if fields.card_hash != peer.card_hash || fields.device != device {
            return Err(Error::Mismatch(WHAT));
        }
        fields.check_lifetime(now)?;
        if let Some(pinned) = pinned {
            pinned.check(&BundlePin { sequence: fields.sequence, hash })?;
        }
        let PeerKeys { id, key, static_key, kx, card_hash } = *peer;
        let peer =
            Peer { id: id.to_vec(), key: key.clone(), static_key: *static_key, kx, card_hash };
        Ok(Bundle { peer, fields, hash })
    }

    /// The fields, written again.
    #[cfg(any(test, feature = "hazmat"))]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let signature = self.signature.as_bytes();
        let frame = to_cbor(&Frame { body: &self.fields.to_bytes(), signature });
        [&[VERSION][..], &frame].concat()
    }

    // PRE-6
    fn verify_signature(&self, agent: &[u8], key: &VerifyingKey) -> Result<(), Error> {
        let message = Label::PREKEY_BUNDLE.context(None, &[agent, &self.body])?;
        key.verify(&message, &self.signature).map_err(|_| Error::Signature(WHAT))
    }
}

impl Bundle {
    /// The device it is of.
    pub fn device(&self) -> u32 {
        self.fields.device
    }

    /// The mailbox that first messages go to.
    pub fn mailbox(&self) -> &[u8] {
        &self.fields.mailbox
    }

    /// The right to leave them there.
    pub fn capability(&self) -> &[u8] {
        &self.fields.capability
    }

    /// The last second in which a new agreement may use it.
    pub fn not_after(&self) -> Timestamp {
        self.fields.not_after
    }

    /// What to remember of it, so that no older one is taken afterwards.
    pub fn pin(&self) -> BundlePin {
        // PRE-8
        BundlePin { sequence: self.fields.sequence, hash: self.hash }
    }

    /// Checks once more, when it is used, that it has not expired.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Error> {
        if self.fields.not_after < now { Err(Error::Expired(WHAT)) } else { Ok(()) }
    }

    pub(crate) fn signed_prekey(&self) -> (PrekeyId, &X25519Public) {
        (self.fields.spk_id, &self.fields.spk)
    }

    pub(crate) fn kem_prekey(&self) -> (PrekeyId, &KemPublic) {
        (self.fields.kem_id, &self.fields.kem)
    }
}

impl Fields {
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let refuse = |rule| DecodeError::new(WHAT, DecodeReason::Invalid(rule));
        let raw: Raw<'_> = from_cbor(WHAT, bytes, UnverifiedBundle::MAX_LEN)?;
        let id = |id| PrekeyId::new(id).ok_or(refuse("prekeys are numbered from 1"));
        if raw.mailbox.len() > MAX_MAILBOX {
            return Err(refuse("a mailbox has at most 64 bytes"));
        }
        if raw.capability.len() > MAX_CAPABILITY {
            return Err(refuse("a capability has at most 256 bytes"));
        }
        if raw.sequence == 0 {
            return Err(refuse("bundles are counted from 1"));
        }
        Ok(Self {
            card_hash: raw
                .card_hash
                .try_into()
                .map_err(|_| refuse("a card hash is 32 bytes long"))?,
            device: raw.device,
            spk_id: id(raw.spk_id)?,
            // PRE-4: each key through the type that refuses a bad one.
            spk: X25519Public::from_bytes(raw.spk)?,
            kem_id: id(raw.kem_id)?,
            kem: KemPublic::from_bytes(raw.kem)?,
            mailbox: raw.mailbox.to_vec(),
            capability: raw.capability.to_vec(),
            sequence: raw.sequence,
            not_after: Timestamp::from_secs(raw.not_after),
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Self {
            card_hash,
            device,
            spk_id,
            spk,
            kem_id,
            kem,
            mailbox,
            capability,
            sequence,
            not_after,
        } = self;
        to_cbor(&Raw {
            card_hash,
            device: *device,
            spk_id: spk_id.get(),
            spk: spk.as_bytes(),
            kem_id: kem_id.get(),
            kem: kem.as_bytes(),
            mailbox,
            capability,
            sequence: *sequence,
            not_after: not_after.as_secs(),
        })
    }

    /// Signs the bundle for `agent` with the identity key of `keys`, and checks that peers
    /// would take it.
    pub(super) fn sign(
        &self,
        keys: &dyn KeyStore,
        agent: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, Error> {
        let body = self.to_bytes();
        let message = Label::PREKEY_BUNDLE.context(None, &[agent, &body])?;
        let signature = keys.sign(&message)?;
        let mut bytes = vec![VERSION];
        bytes.extend(to_cbor(&Frame { body: &body, signature: signature.as_bytes() }));
        let bundle = UnverifiedBundle::from_bytes(&bytes)?;
        bundle.verify_signature(agent, keys.identity())?;
        bundle.fields.check_lifetime(now)?;
        Ok(bytes)
    }

    fn check_lifetime(&self, now: Timestamp) -> Result<(), Error> {
        if self.not_after < now {
            return Err(Error::Expired(WHAT));
        }
        if self.not_after > now.plus(SIGNED_LIFETIME).plus(MAX_CLOCK_SKEW) {
            return Err(Error::Lifetime(WHAT));
        }
        Ok(())
    }
}

impl BundlePin {
    const VERSION: u8 = 1;
    const WHAT: &str = "bundle pin";

    /// `version 1 | sequence u64 | hash 32`
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u8(Self::VERSION).u64(self.sequence).bytes(&self.hash);
        writer.into_bytes()
    }

    /// Reads what [`BundlePin::to_bytes`] gave.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Self::WHAT, bytes);
        reader.version(Self::VERSION)?;
        let pin = Self { sequence: reader.u64()?, hash: *reader.array()? };
        reader.finish()?;
        Ok(pin)
    }

    /// Whether `other` may follow this one.
    fn check(&self, other: &Self) -> Result<(), Error> {
        // PRE-8
        match other.sequence.cmp(&self.sequence) {
            core::cmp::Ordering::Less => Err(Error::OlderBundle),
            core::cmp::Ordering::Equal if other.hash != self.hash => Err(Error::ForkedBundle),
            _ => Ok(()),
        }
    }
}

// A bundle names a mailbox and the right to it: neither is printed, nor whose it is.
impl fmt::Debug for UnverifiedBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fields, body: _, signature: _, hash: _ } = self;
        f.debug_tuple("UnverifiedBundle").field(fields).finish()
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer: _, fields, hash: _ } = self;
        f.debug_tuple("Bundle").field(fields).finish()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields")
            .field("sequence", &self.sequence)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
