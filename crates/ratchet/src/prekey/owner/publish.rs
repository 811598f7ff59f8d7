//! Signing what is published: bundles, and pages of one-time keys.

use rand_core::TryCryptoRng;
use sealwire_core::{Timestamp, kem::KemSecret, keys::EphemeralSecret, rng::draw, secret::Secret};

use super::{Change, Contact, Pages, Prekeys, Publisher, RowKey, join};
use crate::{
    Error,
    prekey::{
        Kind, MAX_PAGES, PAGE_LIFETIME, PrekeyId,
        bundle::Fields,
        page::Page,
        rows::{PageRow, SignedRow, kind_of},
    },
};

/// How many one-time keys of each kind the directory has left, as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the caller")]
pub struct Unclaimed {
    /// X25519.
    pub x25519: u32,
    /// ML-KEM.
    pub kem: u32,
}

/// New pages. Store the change before they are uploaded.
#[derive(Debug)]
#[non_exhaustive]
pub struct Refill {
    /// The pages to upload; one of a kind at most.
    pub pages: Vec<PageUpload>,
    /// A page was due and not made: [`MAX_PAGES`] of its kind are kept already.
    pub full: bool,
    /// The rows to store.
    pub change: Change,
}

/// A page as the directory takes it: at most [`MAX_PAGE_UPLOAD`](crate::prekey::MAX_PAGE_UPLOAD)
/// bytes in all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageUpload {
    /// The kind of its keys.
    pub kind: Kind,
    /// The id of the first.
    pub base: PrekeyId,
    /// The signed header.
    pub header: Vec<u8>,
    /// What each claimer gets beside the header, one after another.
    pub keys: Vec<Vec<u8>>,
}

impl Prekeys {
    /// Signs a bundle of the newest signed prekey, with the next sequence: after every
    /// rotation, for every new card and contact.
    ///
    /// # Errors
    /// [`Error::Expired`] when [`Prekeys::rotate`] was due long ago; [`Error::Decode`] for a
    /// contact that is too long; [`Error::KeyStore`]; [`Error::Signature`] when the store gave
    /// one that does not verify; [`Error::IdsUsedUp`].
    pub fn bundle(
        &self,
        publisher: &Publisher<'_>,
        contact: &Contact,
        now: Timestamp,
    ) -> Result<(Vec<u8>, Change), Error> {
        let Publisher { keys, id, card_hash } = *publisher;
        let mut signed = self.signed.duplicate();
        signed.sequence = signed.sequence.checked_add(1).ok_or(Error::IdsUsedUp)?;
        let newest = signed.newest()?;
        let fields = Fields {
            card_hash,
            device: signed.device,
            spk_id: newest.spk_id,
            spk: **EphemeralSecret::from_seed(&newest.spk)?.public(),
            kem_id: newest.kem_id,
            kem: KemSecret::from_seed(&newest.kem).public().clone(),
            mailbox: contact.mailbox.clone(),
            capability: contact.capability.clone(),
            sequence: signed.sequence,
            not_after: newest.not_after(),
        };
        let bytes = fields.sign(keys, id, now)?;
        let change = self.change(vec![(RowKey::Signed, Some(signed.to_bytes()))]);
        Ok((bytes, change))
    }

    /// Makes one-time keys of every kind of which half or fewer are left with the directory.
    /// Gives `None` when there is nothing to do.
    ///
    /// # Errors
    /// [`Error::Randomness`], [`Error::KeyStore`], [`Error::IdsUsedUp`]; [`Error::Signature`]
    /// when the store gave one that does not verify.
    // PRE-18
    pub fn refill<R: TryCryptoRng + ?Sized>(
        &self,
        publisher: &Publisher<'_>,
        unclaimed: Unclaimed,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<Option<Refill>, Error> {
        let mut signed = self.signed.duplicate();
        let (mut pages, mut rows, mut full) = (Vec::new(), Vec::new(), false);
        if let Some(count) = missing(Kind::X25519, unclaimed.x25519) {
            if has_room(&self.x25519) {
                let seeds = distinct(count, rng)?;
                let page = signed.new_page(seeds, now)?;
                pages.push(page.upload(publisher, |seed| {
                    Ok(EphemeralSecret::from_seed(seed)?.public().as_bytes().to_vec())
                })?);
                rows.push((page.row_key(), Some(page.to_bytes())));
            } else {
                full = true;
            }
        }
        if let Some(count) = missing(Kind::MlKem, unclaimed.kem) {
            if has_room(&self.kem) {
                let halves = distinct(count.saturating_mul(2), rng)?;
                let (pairs, _) = halves.as_chunks::<2>();
                let seeds = pairs.iter().map(|[d, z]| join(d, z)).collect();
                let page = signed.new_page(seeds, now)?;
                pages.push(page.upload(publisher, |seed| {
                    Ok(KemSecret::from_seed(seed).public().as_bytes().to_vec())
                })?);
                rows.push((page.row_key(), Some(page.to_bytes())));
            } else {
                full = true;
            }
        }
        if pages.is_empty() && !full {
            return Ok(None);
        }
        rows.push((RowKey::Signed, Some(signed.to_bytes())));
        Ok(Some(Refill { pages, full, change: self.change(rows) }))
    }
}

impl SignedRow {
    /// A page with the next ids of its kind.
    fn new_page<const N: usize>(
        &mut self,
        seeds: Vec<Secret<N>>,
        created: Timestamp,
    ) -> Result<PageRow<N>, Error> {
        let last = match kind_of::<N>() {
            Kind::X25519 => &mut self.last_x25519,
            Kind::MlKem => &mut self.last_kem,
        };
        let base = last.checked_add(1).and_then(PrekeyId::new).ok_or(Error::IdsUsedUp)?;
        let count = u32::try_from(seeds.len()).map_err(|_| Error::IdsUsedUp)?;
        // PRE-2
        *last = last.checked_add(count).ok_or(Error::IdsUsedUp)?;
        let seeds = seeds.into_iter().map(Some).collect();
        Ok(PageRow { device: self.device, base, created, seeds })
    }
}

impl<const N: usize> PageRow<N> {
    fn upload(
        &self,
        publisher: &Publisher<'_>,
        public: impl Fn(&Secret<N>) -> Result<Vec<u8>, Error>,
    ) -> Result<PageUpload, Error> {
        let Publisher { keys, id, card_hash: _ } = *publisher;
        let kind = kind_of::<N>();
        let publics =
            self.seeds.iter().flatten().map(public).collect::<Result<Vec<Vec<u8>>, Error>>()?;
        let place = (self.device, kind, self.base);
        // PRE-17
        let not_after = self.created.plus(PAGE_LIFETIME);
        let (header, keys) = Page::publish(place, &publics, not_after, (keys, id))?;
        Ok(PageUpload { kind, base: self.base, header, keys })
    }
}

/// How many keys bring this kind to its number again, `None` while more than half are left.
fn missing(kind: Kind, unclaimed: u32) -> Option<usize> {
    let published = u32::from(kind.published());
    let due = unclaimed <= published / 2;
    due.then(|| usize::try_from(published.saturating_sub(unclaimed)).ok()).flatten()
}

fn has_room<const N: usize>(pages: &Pages<N>) -> bool {
    pages.len() < MAX_PAGES
}

/// Draws `count` blocks and refuses two that are equal: a generator that repeats itself would
/// make the same key twice.
fn distinct<R: TryCryptoRng + ?Sized>(count: usize, rng: &mut R) -> Result<Vec<Secret<32>>, Error> {
    let mut blocks: Vec<Secret<32>> = Vec::with_capacity(count);
    for _ in 0..count {
        let block = draw(rng)?;
        if blocks.contains(&block) {
            return Err(Error::Randomness);
        }
        blocks.push(block);
    }
    Ok(blocks)
}
