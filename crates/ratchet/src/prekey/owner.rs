//! The owner's side: private halves, and what is published of them.

mod publish;

use core::fmt;
use std::collections::BTreeMap;

use rand_core::TryCryptoRng;
use sealwire_core::{KeyStore, Timestamp, kem::SEED_LEN, rng::draw_distinct, secret::Secret};
use zeroize::Zeroizing;

use super::{
    Kind, MAX_FORCED, MAX_SIGNED, PrekeyId, ROTATE_AFTER,
    rows::{PageRow, SignedPair, SignedRow, kind_of},
};
use crate::{Error, agreement::FirstMessage};

pub use publish::{PageUpload, Refill, Unclaimed};

/// The private prekeys of one device.
///
/// Every operation leaves it as it is and gives a [`Change`]: the rows to store. Once they are
/// stored, [`Prekeys::apply`] makes the change here too. What is published or released goes out
/// after that.
///
/// # Example
/// ```
/// use sealwire_core::{KeyStore, MemoryKeyStore, Timestamp};
/// use sealwire_ratchet::prekey::{Contact, Prekeys, Publisher, Unclaimed};
/// # fn main() -> Result<(), sealwire_ratchet::Error> {
/// # let mut rng = sealwire_testkit::rng::SeededRng::new(1);
/// # let keys = MemoryKeyStore::generate(&mut rng)?;
/// let now = Timestamp::from_secs(1_800_000_000);
/// let me = Publisher { keys: &keys, id: b"bob", card_hash: [7; 32] };
/// let mut prekeys = Prekeys::generate(0, now, &mut rng)?;
/// // … store prekeys.rows() …
///
/// let none_yet = Unclaimed { x25519: 0, kem: 0 };
/// if let Some(refill) = prekeys.refill(&me, none_yet, now, &mut rng)? {
///     // … store refill.change.rows() …
///     prekeys.apply(refill.change)?;
///     assert_eq!(refill.pages.len(), 2);
///     // … upload refill.pages …
/// }
/// let contact = Contact { mailbox: b"mailbox".to_vec(), capability: b"token".to_vec() };
/// let (bundle, change) = prekeys.bundle(&me, &contact, now)?;
/// // … store change.rows() …
/// prekeys.apply(change)?;
/// // … upload the bundle …
/// # assert!(bundle.len() < 2048);
/// # Ok(())
/// # }
/// ```
// PRE-1
pub struct Prekeys {
    /// Changes applied since the rows were read.
    revision: u64,
    signed: SignedRow,
    x25519: Pages<32>,
    kem: Pages<SEED_LEN>,
}

/// Pages of one kind by their first id.
type Pages<const N: usize> = BTreeMap<PrekeyId, PageRow<N>>;

/// Names a row: the store keeps one blob under each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a new kind of row is a new schema")]
pub enum RowKey {
    /// The signed prekeys and the counters.
    Signed,
    /// A page, by its kind and first id.
    Page(Kind, PrekeyId),
}

/// Rows to store in one transaction, and then to [apply](Prekeys::apply).
#[must_use = "a change that is not stored is lost"]
pub struct Change {
    revision: u64,
    rows: Vec<(RowKey, Option<Zeroizing<Vec<u8>>>)>,
}

/// Who signs what is published.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the caller")]
pub struct Publisher<'a> {
    /// The store with the identity key.
    pub keys: &'a dyn KeyStore,
    /// The agent id, as bytes.
    pub id: &'a [u8],
    /// The hash of the current card.
    pub card_hash: [u8; 32],
}

/// Where first messages go, and the right to leave them there. Opaque here.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the caller")]
pub struct Contact {
    /// At most 64 bytes.
    pub mailbox: Vec<u8>,
    /// At most 256 bytes.
    pub capability: Vec<u8>,
}

/// Why the signed prekey is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a new reason is a decision for the bounds")]
pub enum Rotation {
    /// Only if it is seven days old.
    WhenDue,
    /// At once: its replay cache fills up.
    Now,
}

/// The private halves that a first message names.
pub struct Found<'a> {
    pub(crate) spk: &'a Secret<32>,
    pub(crate) opk: Option<&'a Secret<32>>,
    pub(crate) kem: &'a Secret<SEED_LEN>,
    pub(crate) used: Used,
}

/// Which one-time keys a first message used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub(crate) x25519: Option<PrekeyId>,
    pub(crate) kem: Option<PrekeyId>,
}

impl Used {
    /// The one-time X25519 key.
    pub fn x25519(&self) -> Option<PrekeyId> {
        self.x25519
    }

    /// The one-time ML-KEM key; `None` when it was the last-resort one.
    pub fn kem(&self) -> Option<PrekeyId> {
        self.kem
    }
}

impl Prekeys {
    /// The first signed prekey and last-resort KEM prekey of a device.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate<R: TryCryptoRng + ?Sized>(
        device: u32,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<Self, Error> {
        let pairs = Vec::new();
        let mut signed =
            SignedRow { device, last_spk: 0, last_x25519: 0, last_kem: 0, sequence: 0, pairs };
        signed.add_pair(now, rng)?;
        Ok(Self { revision: 0, signed, x25519: Pages::new(), kem: Pages::new() })
    }

    /// Every row, for the first time they are stored.
    pub fn rows(&self) -> Vec<(RowKey, Zeroizing<Vec<u8>>)> {
        let mut rows = vec![(RowKey::Signed, self.signed.to_bytes())];
        rows.extend(self.x25519.values().map(|page| (page.row_key(), page.to_bytes())));
        rows.extend(self.kem.values().map(|page| (page.row_key(), page.to_bytes())));
        rows
    }

    /// Reads stored rows.
    ///
    /// # Errors
    /// [`Error::Decode`] for a row that is none; [`Error::Misuse`] for rows that do not belong
    /// together.
    pub fn from_rows<'a>(
        rows: impl IntoIterator<Item = (RowKey, &'a [u8])>,
    ) -> Result<Self, Error> {
        let (mut signed, mut x25519, mut kem) = (None, Pages::new(), Pages::new());
        for (key, bytes) in rows {
            let again = match key {
                RowKey::Signed => signed.replace(SignedRow::from_bytes(bytes)?).is_some(),
                RowKey::Page(Kind::X25519, id) => insert(&mut x25519, id, bytes)?,
                RowKey::Page(Kind::MlKem, id) => insert(&mut kem, id, bytes)?,
            };
            if again {
                return Err(Error::Misuse("two rows under one key"));
            }
        }
        let signed = signed.ok_or(Error::Misuse("there is no row with signed prekeys"))?;
        let own = belong(&x25519, signed.device, signed.last_x25519)
            && belong(&kem, signed.device, signed.last_kem);
        if !own {
            return Err(Error::Misuse("a page of another device, or ids that were not given out"));
        }
        Ok(Self { revision: 0, signed, x25519, kem })
    }

    /// The device whose prekeys these are.
    pub fn device(&self) -> u32 {
        self.signed.device
    }

    /// Replaces signed prekey and last-resort KEM prekey; the old private halves stay as long
    /// as first messages to them may arrive. Publish a new [`Prekeys::bundle`] afterwards.
    ///
    /// Gives `None` when it is not due.
    ///
    /// # Errors
    /// [`Error::PrekeysFull`] when as many are kept as there is room for; [`Error::Randomness`];
    /// [`Error::IdsUsedUp`].
    // PRE-15
    pub fn rotate<R: TryCryptoRng + ?Sized>(
        &self,
        reason: Rotation,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<Option<Change>, Error> {
        let newest = self.signed.newest()?;
        let room = match reason {
            Rotation::WhenDue if now < newest.created.plus(ROTATE_AFTER) => return Ok(None),
            Rotation::WhenDue => MAX_SIGNED,
            Rotation::Now => MAX_FORCED,
        };
        if self.signed.pairs.len() >= room {
            return Err(Error::PrekeysFull);
        }
        let mut signed = self.signed.duplicate();
        signed.add_pair(now, rng)?;
        Ok(Some(self.change(vec![(RowKey::Signed, Some(signed.to_bytes()))])))
    }

    /// Drops private halves that no first message can need any more. Gives `None` when there
    /// are none.
    // PRE-16, PRE-17
    pub fn expire(&self, now: Timestamp) -> Option<Change> {
        let mut rows = Vec::new();
        let mut signed = self.signed.duplicate();
        // The newest stays: a device always has one, whatever its clock says.
        let newest = signed.pairs.pop();
        signed.pairs.retain(|pair| pair.kept(now));
        signed.pairs.extend(newest);
        if signed.pairs.len() < self.signed.pairs.len() {
            rows.push((RowKey::Signed, Some(signed.to_bytes())));
        }
        let gone = |keys: Vec<RowKey>| keys.into_iter().map(|key| (key, None));
        rows.extend(gone(expired(&self.x25519, now)));
        rows.extend(gone(expired(&self.kem, now)));
        (!rows.is_empty()).then(|| self.change(rows))
    }

    /// The private halves that a first message names.
    ///
    /// # Errors
    /// [`Error::NoPrekey`] when one of them was never there, was used, or is past its time.
    // AGR-14
    pub fn find(&self, first: &FirstMessage<'_>, now: Timestamp) -> Result<Found<'_>, Error> {
        let clear = first.clear();
        let kept = || self.signed.pairs.iter().filter(|pair| pair.kept(now));
        let spk = kept().find(|pair| pair.spk_id == clear.spk).ok_or(Error::NoPrekey)?;
        let opk = match clear.opk {
            Some(id) => Some(seed(&self.x25519, id, now).ok_or(Error::NoPrekey)?),
            None => None,
        };
        let last_resort = kept().find(|pair| pair.kem_id == clear.kem);
        let (kem, one_time) = match last_resort {
            Some(pair) => (&pair.kem, None),
            None => (seed(&self.kem, clear.kem, now).ok_or(Error::NoPrekey)?, Some(clear.kem)),
        };
        Ok(Found { spk: &spk.spk, opk, kem, used: Used { x25519: clear.opk, kem: one_time } })
    }

    /// Deletes the one-time keys that a first message used up: store it in the transaction that
    /// stores the session.
    ///
    /// # Errors
    /// [`Error::NoPrekey`] when one is gone already: another first message was faster.
    // AGR-19
    pub fn consume(&self, used: &Used) -> Result<Change, Error> {
        let mut rows = Vec::new();
        if let Some(id) = used.x25519 {
            rows.push(without(&self.x25519, id).ok_or(Error::NoPrekey)?);
        }
        if let Some(id) = used.kem {
            rows.push(without(&self.kem, id).ok_or(Error::NoPrekey)?);
        }
        Ok(self.change(rows))
    }

    /// Whether this is a last-resort KEM prekey that is still kept: the replay cache of any
    /// other can go.
    pub fn holds_last_resort(&self, kem: PrekeyId) -> bool {
        self.signed.pairs.iter().any(|pair| pair.kem_id == kem)
    }

    /// Makes a change that was stored.
    ///
    /// # Errors
    /// [`Error::StaleStep`] when another change was applied since it was made.
    pub fn apply(&mut self, change: Change) -> Result<(), Error> {
        if change.revision != self.revision {
            return Err(Error::StaleStep);
        }
        let mut next = Vec::with_capacity(change.rows.len());
        for (key, bytes) in &change.rows {
            next.push((
                *key,
                bytes.as_ref().map(|bytes| Row::from_bytes(*key, bytes)).transpose()?,
            ));
        }
        for (key, row) in next {
            match (key, row) {
                (_, Some(Row::Signed(signed))) => self.signed = signed,
                (_, Some(Row::X25519(page))) => drop(self.x25519.insert(page.base, page)),
                (_, Some(Row::Kem(page))) => drop(self.kem.insert(page.base, page)),
                (RowKey::Page(Kind::X25519, id), None) => drop(self.x25519.remove(&id)),
                (RowKey::Page(Kind::MlKem, id), None) => drop(self.kem.remove(&id)),
                (RowKey::Signed, None) => {}
            }
        }
        self.revision = self.revision.saturating_add(1);
        Ok(())
    }

    fn change(&self, rows: Vec<(RowKey, Option<Zeroizing<Vec<u8>>>)>) -> Change {
        Change { revision: self.revision, rows }
    }
}

impl RowKey {
    /// The key as bytes, for a store that orders rows by them: `0`, or `kind | first id u32`.
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Signed => vec![0],
            Self::Page(kind, base) => [&[kind.id()][..], &base.get().to_be_bytes()].concat(),
        }
    }

    /// Reads what [`RowKey::to_bytes`] gave.
    ///
    /// # Errors
    /// [`sealwire_core::DecodeError`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, sealwire_core::DecodeError> {
        use sealwire_core::{DecodeReason, codec::Reader};
        let mut reader = Reader::new("row key of prekeys", bytes);
        let key = match reader.u8()? {
            0 => Self::Signed,
            kind => {
                let id = PrekeyId::new(reader.u32()?);
                let zero = DecodeReason::Invalid("prekeys are numbered from 1");
                Self::Page(Kind::from_u8(kind)?, id.ok_or(reader.error(zero))?)
            }
        };
        reader.finish()?;
        Ok(key)
    }
}

impl Change {
    /// The rows to write, and those to delete (`None`), in one transaction.
    pub fn rows(&self) -> impl Iterator<Item = (RowKey, Option<&[u8]>)> {
        self.rows.iter().map(|(key, row)| (*key, row.as_ref().map(|bytes| bytes.as_slice())))
    }
}

/// A decoded row.
enum Row {
    Signed(SignedRow),
    X25519(PageRow<32>),
    Kem(PageRow<SEED_LEN>),
}

impl Row {
    fn from_bytes(key: RowKey, bytes: &[u8]) -> Result<Self, Error> {
        Ok(match key {
            RowKey::Signed => Self::Signed(SignedRow::from_bytes(bytes)?),
            RowKey::Page(Kind::X25519, _) => Self::X25519(PageRow::from_bytes(bytes)?),
            RowKey::Page(Kind::MlKem, _) => Self::Kem(PageRow::from_bytes(bytes)?),
        })
    }
}

impl SignedRow {
    fn newest(&self) -> Result<&SignedPair, Error> {
        self.pairs.last().ok_or(Error::Unreachable("there is always a signed prekey"))
    }

    fn add_pair<R: TryCryptoRng + ?Sized>(
        &mut self,
        created: Timestamp,
        rng: &mut R,
    ) -> Result<(), Error> {
        // PRE-2: nothing is made when the ids have run out.
        let [spk_id, kem_id] = [self.last_spk, self.last_kem]
            .map(|last| last.checked_add(1).and_then(PrekeyId::new).ok_or(Error::IdsUsedUp));
        let (spk_id, kem_id) = (spk_id?, kem_id?);
        // PRE-3
        let [spk, d, z] = draw_distinct(rng)?;
        let kem = join(&d, &z);
        (self.last_spk, self.last_kem) = (spk_id.get(), kem_id.get());
        self.pairs.push(SignedPair { spk_id, spk, kem_id, kem, created });
        Ok(())
    }
}

impl<const N: usize> PageRow<N> {
    fn row_key(&self) -> RowKey {
        RowKey::Page(kind_of::<N>(), self.base)
    }
}

/// A seed d || z of FIPS 203.
fn join(d: &Secret<32>, z: &Secret<32>) -> Secret<SEED_LEN> {
    Secret::init_with(|out: &mut [u8; SEED_LEN]| {
        let (left, right) = out.split_at_mut(32);
        left.copy_from_slice(d.expose());
        right.copy_from_slice(z.expose());
    })
}

/// Puts a stored page among its kind and says whether there was one already.
fn insert<const N: usize>(pages: &mut Pages<N>, id: PrekeyId, bytes: &[u8]) -> Result<bool, Error> {
    let page = PageRow::from_bytes(bytes)?;
    if page.base != id {
        return Err(Error::Misuse("a page under the key of another"));
    }
    Ok(pages.insert(id, page).is_some())
}

/// Whether all pages are of this device, with ids of their own that were given out.
fn belong<const N: usize>(pages: &Pages<N>, device: u32, last: u32) -> bool {
    let mut before = 0;
    pages.values().all(|page| {
        let follows = before < page.base.get();
        before = page.last();
        follows && before <= last && page.device == device
    })
}

fn page_of<const N: usize>(pages: &Pages<N>, id: PrekeyId) -> Option<&PageRow<N>> {
    pages.range(..=id).next_back().map(|(_, page)| page)
}

fn seed<const N: usize>(pages: &Pages<N>, id: PrekeyId, now: Timestamp) -> Option<&Secret<N>> {
    page_of(pages, id).filter(|page| page.kept(now))?.seed(id)
}

/// The row of the page of `id` without that key.
fn without<const N: usize>(
    pages: &Pages<N>,
    id: PrekeyId,
) -> Option<(RowKey, Option<Zeroizing<Vec<u8>>>)> {
    let page = page_of(pages, id)?;
    page.seed(id)?;
    Some((page.row_key(), page.without(id)))
}

fn expired<const N: usize>(pages: &Pages<N>, now: Timestamp) -> Vec<RowKey> {
    pages.values().filter(|page| !page.kept(now)).map(PageRow::row_key).collect()
}

impl fmt::Debug for Prekeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, signed, x25519, kem } = self;
        f.debug_struct("Prekeys")
            .field("revision", revision)
            .field("signed", &signed.pairs.len())
            .field("x25519_pages", &x25519.len())
            .field("kem_pages", &kem.len())
            .finish()
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, rows } = self;
        f.debug_struct("Change").field("revision", revision).field("rows", &rows.len()).finish()
    }
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spk: _, opk: _, kem: _, used } = self;
        f.debug_struct("Found").field("used", used).finish_non_exhaustive()
    }
}

// Whoever may deposit and where is not printed.
impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mailbox, capability } = self;
        f.debug_struct("Contact")
            .field("mailbox", &mailbox.len())
            .field("capability", &capability.len())
            .finish()
    }
}
