//! Pages of one-time prekeys, and one key out of a page as a claimer gets it.

use core::fmt;

use sealwire_core::{
    DecodeError, DecodeReason, KeyStore, Timestamp,
    codec::{Reader, from_cbor, to_cbor},
    kem::KemPublic,
    keys::{Signature, VerifyingKey, X25519Public},
    label::{Context, Label},
    time::MAX_CLOCK_SKEW,
};

use super::{
    Bundle, Kind, PAGE_LIFETIME, PrekeyId,
    merkle::{self, Hash, MAX_PATH},
};
use crate::Error;

const WHAT: &str = "prekey page";
const CLAIMED: &str = "claimed prekey";
const VERSION: u8 = 1;

/// The longest page header and claimed key, in bytes.
// PRE-12
pub(super) const MAX_HEADER_LEN: usize = 256;
pub(super) const MAX_CLAIMED_LEN: usize = 2048;

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct RawHeader<'b> {
    #[n(0)]
    device: u32,
    #[n(1)]
    kind: u8,
    #[n(2)]
    base: u32,
    #[n(3)]
    count: u16,
    #[n(4)]
    not_after: u64,
    #[cbor(b(5), with = "minicbor::bytes")]
    root: &'b [u8],
    #[cbor(b(6), with = "minicbor::bytes")]
    signature: &'b [u8],
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct RawClaimed<'b> {
    #[n(0)]
    id: u32,
    #[cbor(b(1), with = "minicbor::bytes")]
    key: &'b [u8],
    #[n(2)]
    path: Vec<minicbor::bytes::ByteArray<32>>,
}

/// What a page says of itself, under one signature.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) device: u32,
    pub(super) kind: Kind,
    pub(super) base: PrekeyId,
    pub(super) count: u16,
    pub(super) not_after: Timestamp,
    root: Hash,
}

impl Page {
    /// The page of these keys, as uploaded: its header, and a claimed key for each.
    pub(super) fn publish(
        (device, kind, base): (u32, Kind, PrekeyId),
        keys: &[Vec<u8>],
        not_after: Timestamp,
        (store, agent): (&dyn KeyStore, &[u8]),
    ) -> Result<(Vec<u8>, Vec<Vec<u8>>), Error> {
        let ids = || (0..).map_while(|index| base.checked_add(index));
        let leaves: Vec<Hash> =
            ids().zip(keys).map(|(id, key)| merkle::leaf(kind, id, key)).collect();
        let root = merkle::root(&leaves).ok_or(Error::Unreachable("a page has keys"))?;
        let count = u16::try_from(leaves.len()).map_err(|_| Error::Unreachable("100 keys"))?;
        let page = Self { device, kind, base, count, not_after, root };
        let message = page.message(agent)?;
        let signature = store.sign(&message)?;
        // No agent hands out a page that its peers refuse.
        store.identity().verify(&message, &signature).map_err(|_| Error::Signature(WHAT))?;
        let mut claimed = Vec::with_capacity(leaves.len());
        for (index, (id, key)) in ids().zip(keys).enumerate() {
            let path =
                merkle::path(&leaves, index).ok_or(Error::Unreachable("a leaf has a path"))?;
            let path = path.into_iter().map(Into::into).collect();
            claimed.push(to_cbor(&RawClaimed { id: id.get(), key, path }));
        }
        Ok((page.to_bytes(&signature), claimed))
    }

    fn to_bytes(&self, signature: &Signature) -> Vec<u8> {
        let Self { device, kind, base, count, not_after, root } = self;
        let mut bytes = vec![VERSION];
        bytes.extend(to_cbor(&RawHeader {
            device: *device,
            kind: kind.id(),
            base: base.get(),
            count: *count,
            not_after: not_after.as_secs(),
            root,
            signature: signature.as_bytes(),
        }));
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<(Self, Signature), DecodeError> {
        let refuse = |rule| DecodeError::new(WHAT, DecodeReason::Invalid(rule));
        let mut reader = Reader::new(WHAT, bytes);
        // PRE-12
        if bytes.len() > MAX_HEADER_LEN {
            return Err(reader.error(DecodeReason::TooLong(MAX_HEADER_LEN)));
        }
        reader.version(VERSION)?;
        let raw: RawHeader<'_> = from_cbor(WHAT, reader.rest(), MAX_HEADER_LEN)?;
        let kind = Kind::from_u8(raw.kind)?;
        let base = PrekeyId::new(raw.base).ok_or(refuse("prekeys are numbered from 1"))?;
        // PRE-9
        if raw.count == 0 || raw.count > kind.published() {
            return Err(refuse("holds 1 to 100 X25519 or 1 to 20 ML-KEM keys"));
        }
        if base.checked_add(u32::from(raw.count) - 1).is_none() {
            return Err(refuse("ids end at 2^32 - 1"));
        }
        let page = Self {
            device: raw.device,
            kind,
            base,
            count: raw.count,
            not_after: Timestamp::from_secs(raw.not_after),
            root: raw.root.try_into().map_err(|_| refuse("a root is 32 bytes long"))?,
        };
        Ok((page, Signature::from_bytes(raw.signature)?))
    }

    // PRE-11
    fn message(&self, agent: &[u8]) -> Result<Context, Error> {
        let Self { device, kind, base, count, not_after, root } = self;
        let fields: [&[u8]; 7] = [
            agent,
            &device.to_be_bytes(),
            &[kind.id()],
            &base.get().to_be_bytes(),
            &count.to_be_bytes(),
            &not_after.as_secs().to_be_bytes(),
            root,
        ];
        Ok(Label::PREKEY_PAGE.context(None, &fields)?)
    }

    /// Checks everything but the key. PRE-13
    fn verify(
        &self,
        signature: &Signature,
        (agent, key): (&[u8], &VerifyingKey),
        (device, kind): (u32, Kind),
        now: Timestamp,
    ) -> Result<(), Error> {
        key.verify(&self.message(agent)?, signature).map_err(|_| Error::Signature(WHAT))?;
        if self.device != device || self.kind != kind {
            return Err(Error::Mismatch(WHAT));
        }
        if self.not_after < now {
            return Err(Error::Expired(WHAT));
        }
        if self.not_after > now.plus(PAGE_LIFETIME).plus(MAX_CLOCK_SKEW) {
            return Err(Error::Lifetime(WHAT));
        }
        Ok(())
    }

    /// Whether `path` leads from this key to the signed root.
    fn holds(&self, id: PrekeyId, key: &[u8], path: &[Hash]) -> bool {
        let index = id.get().checked_sub(self.base.get());
        let leaf = merkle::leaf(self.kind, id, key);
        index.and_then(|index| merkle::root_from(leaf, index, u32::from(self.count), path))
            == Some(self.root)
    }
}

/// A page header that is read, written again.
#[cfg(any(test, feature = "hazmat"))]
pub(crate) fn header_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let (page, signature) = Page::from_bytes(bytes).ok()?;
    Some(page.to_bytes(&signature))
}

/// A one-time prekey of the owner of a [`Bundle`], verified. An agreement consumes it:
///
/// ```compile_fail,E0382
/// # use sealwire_core::{Suite, Timestamp};
/// # use sealwire_ratchet::{Error, agreement::{self, Local, ReplyTo}, prekey::{Bundle, OneTimeKeys}};
/// // attack T37: a one-time prekey cannot serve two agreements.
/// fn twice(local: &Local, bundle: &Bundle, keys: OneTimeKeys, now: Timestamp) -> Result<(), Error> {
/// #   let mut rng = sealwire_testkit::rng::SeededRng::new(1);
///     agreement::initiate(local, bundle, keys, Suite::AesGcm, ReplyTo::default(), now, &mut rng)?;
///     agreement::initiate(local, bundle, keys, Suite::AesGcm, ReplyTo::default(), now, &mut rng)?;
///     Ok(())
/// }
/// ```
pub struct OneTime<K> {
    pub(crate) id: PrekeyId,
    pub(crate) key: K,
    /// The card whose identity key signed the page, and the device.
    pub(crate) owner: ([u8; 32], u32),
    pub(crate) not_after: Timestamp,
}

/// The one-time prekeys for one agreement: those that the directory had left.
///
/// # Security
/// Without an X25519 key the first message is as secret as the signed prekey, and without
/// either it could be replayed but for the responder's cache. Tell the layer above.
// PRE-14
#[derive(Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "made by the caller")]
pub struct OneTimeKeys {
    /// The X25519 key, if there was one.
    pub x25519: Option<OneTime<X25519Public>>,
    /// The ML-KEM key, if there was one; else the bundle's serves.
    pub kem: Option<OneTime<KemPublic>>,
}

impl Bundle {
    /// Verifies a one-time X25519 key that was claimed from the owner of this bundle.
    ///
    /// # Errors
    /// [`Error::Decode`], [`Error::Signature`], [`Error::Mismatch`], [`Error::Expired`] or
    /// [`Error::Lifetime`]. The attempt is over: a wrong answer is not that of a directory that
    /// has none left.
    pub fn one_time_x25519(
        &self,
        header: &[u8],
        claimed: &[u8],
        now: Timestamp,
    ) -> Result<OneTime<X25519Public>, Error> {
        self.one_time(Kind::X25519, header, claimed, now, X25519Public::from_bytes)
    }

    /// Verifies a one-time ML-KEM key that was claimed from the owner of this bundle.
    ///
    /// # Errors
    /// As [`Bundle::one_time_x25519`].
    pub fn one_time_kem(
        &self,
        header: &[u8],
        claimed: &[u8],
        now: Timestamp,
    ) -> Result<OneTime<KemPublic>, Error> {
        self.one_time(Kind::MlKem, header, claimed, now, KemPublic::from_bytes)
    }

    fn one_time<K>(
        &self,
        kind: Kind,
        header: &[u8],
        claimed: &[u8],
        now: Timestamp,
        decode: impl FnOnce(&[u8]) -> Result<K, DecodeError>,
    ) -> Result<OneTime<K>, Error> {
        let refuse = |rule| DecodeError::new(CLAIMED, DecodeReason::Invalid(rule));
        let (page, signature) = Page::from_bytes(header)?;
        let raw: RawClaimed<'_> = from_cbor(CLAIMED, claimed, MAX_CLAIMED_LEN)?;
        let id = PrekeyId::new(raw.id).ok_or(refuse("prekeys are numbered from 1"))?;
        if raw.path.len() > MAX_PATH {
            return Err(refuse("a path has at most 7 steps").into());
        }
        let path: Vec<Hash> = raw.path.into_iter().map(Into::into).collect();
        page.verify(&signature, (&self.peer.id, &self.peer.key), (self.device(), kind), now)?;
        if !page.holds(id, raw.key, &path) {
            return Err(Error::Mismatch(CLAIMED));
        }
        let owner = (self.peer.card_hash, self.device());
        Ok(OneTime { id, key: decode(raw.key)?, owner, not_after: page.not_after })
    }
}

impl<K> OneTime<K> {
    /// Its id.
    pub fn id(&self) -> PrekeyId {
        self.id
    }

    /// The last second in which a new agreement may use it.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Checks once more, when it is used, that it is of this bundle's owner and still good.
    pub(crate) fn check(&self, bundle: &Bundle, now: Timestamp) -> Result<(), Error> {
        if self.owner != (bundle.peer.card_hash, bundle.device()) {
            return Err(Error::Misuse("a one-time prekey of another agent or device"));
        }
        if self.not_after < now {
            return Err(Error::Expired(WHAT));
        }
        Ok(())
    }
}

// Which key was claimed says who writes to whom.
impl<K> fmt::Debug for OneTime<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id: _, key: _, owner: _, not_after } = self;
        f.debug_struct("OneTime").field("not_after", not_after).finish_non_exhaustive()
    }
}
