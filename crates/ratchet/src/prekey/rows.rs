//! Private halves as they are stored: one row for the signed prekeys and the counters, one for
//! each page.

use sealwire_core::{
    DecodeError, DecodeReason, Timestamp, codec::Reader, kem::SEED_LEN, secret::Secret,
};
use zeroize::Zeroizing;

use super::{Kind, MAX_SIGNED, PAGE_KEPT, PrekeyId, SIGNED_KEPT, SIGNED_LIFETIME};

const SIGNED: &str = "signed prekeys";
const PAGE: &str = "page of private prekeys";
const VERSION: u8 = 1;

/// A signed prekey and the KEM prekey that was made with it.
pub(super) struct SignedPair {
    pub(super) spk_id: PrekeyId,
    pub(super) spk: Secret<32>,
    pub(super) kem_id: PrekeyId,
    // PRE-3
    pub(super) kem: Secret<SEED_LEN>,
    pub(super) created: Timestamp,
}

/// The counters of a device, and its signed prekeys, oldest first.
pub(super) struct SignedRow {
    pub(super) device: u32,
    /// The last id made of each kind, 0 for none. PRE-2
    pub(super) last_spk: u32,
    pub(super) last_x25519: u32,
    pub(super) last_kem: u32,
    /// The sequence of the last bundle signed.
    pub(super) sequence: u64,
    pub(super) pairs: Vec<SignedPair>,
}

/// The private halves of a page: X25519 seeds of 32 bytes, or ML-KEM seeds of 64.
pub(super) struct PageRow<const N: usize> {
    pub(super) device: u32,
    pub(super) base: PrekeyId,
    pub(super) created: Timestamp,
    /// By index; `None` once used.
    pub(super) seeds: Vec<Option<Secret<N>>>,
}

pub(super) const fn kind_of<const N: usize>() -> Kind {
    const { assert!(N == 32 || N == SEED_LEN) };
    if N == 32 { Kind::X25519 } else { Kind::MlKem }
}

impl SignedPair {
    const LEN: usize = 4 + 32 + 4 + SEED_LEN + 8;

    pub(super) fn not_after(&self) -> Timestamp {
        self.created.plus(SIGNED_LIFETIME)
    }

    /// Whether the private halves are still there to be used.
    pub(super) fn kept(&self, now: Timestamp) -> bool {
        now <= self.created.plus(SIGNED_KEPT)
    }
}

impl SignedRow {
    /// `version 1 | device u32 | last ids u32 x 3 | sequence u64 | count u16 |
    /// (spk_id u32 | X25519 32 | kem_id u32 | ML-KEM 64 | created u64)*`
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Self { device, last_spk, last_x25519, last_kem, sequence, pairs } = self;
        let count = u16::try_from(pairs.len()).unwrap_or(u16::MAX);
        // Full capacity first: growing would leave copies of the secrets behind.
        let len = SignedPair::LEN.saturating_mul(pairs.len()).saturating_add(27);
        let mut bytes = Zeroizing::new(Vec::with_capacity(len));
        bytes.push(VERSION);
        for number in [device, last_spk, last_x25519, last_kem] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        for SignedPair { spk_id, spk, kem_id, kem, created } in pairs {
            bytes.extend_from_slice(&spk_id.get().to_be_bytes());
            bytes.extend_from_slice(spk.expose());
            bytes.extend_from_slice(&kem_id.get().to_be_bytes());
            bytes.extend_from_slice(kem.expose());
            bytes.extend_from_slice(&created.as_secs().to_be_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(SIGNED, bytes);
        let refuse = |rule| DecodeError::new(SIGNED, DecodeReason::Invalid(rule));
        reader.version(VERSION)?;
        let device = reader.u32()?;
        let [last_spk, last_x25519, last_kem] = [reader.u32()?, reader.u32()?, reader.u32()?];
        let sequence = reader.u64()?;
        let count = usize::from(reader.u16()?);
        if count == 0 || count > MAX_SIGNED {
            return Err(refuse("holds 1 to 16 pairs"));
        }
        let mut pairs: Vec<SignedPair> = Vec::with_capacity(count);
        for _ in 0..count {
            let (before_spk, before_kem) =
                pairs.last().map_or((0, 0), |pair| (pair.spk_id.get(), pair.kem_id.get()));
            let spk_id = next_id(&mut reader, before_spk, last_spk)?;
            let spk = secret(reader.array()?);
            let kem_id = next_id(&mut reader, before_kem, last_kem)?;
            let kem = secret(reader.array()?);
            let created = Timestamp::from_secs(reader.u64()?);
            pairs.push(SignedPair { spk_id, spk, kem_id, kem, created });
        }
        reader.finish()?;
        Ok(Self { device, last_spk, last_x25519, last_kem, sequence, pairs })
    }

    /// Another of the same content, to make the next state from.
    pub(super) fn duplicate(&self) -> Self {
        let Self { device, last_spk, last_x25519, last_kem, sequence, pairs } = self;
        let pairs = pairs.iter().map(|pair| SignedPair {
            spk: secret(pair.spk.expose()),
            kem: secret(pair.kem.expose()),
            ..*pair
        });
        Self {
            device: *device,
            last_spk: *last_spk,
            last_x25519: *last_x25519,
            last_kem: *last_kem,
            sequence: *sequence,
            pairs: pairs.collect(),
        }
    }
}

/// An id that follows `before` and was given out already.
fn next_id(reader: &mut Reader<'_>, before: u32, last: u32) -> Result<PrekeyId, DecodeError> {
    let id = reader.u32()?;
    PrekeyId::new(id)
        .filter(|_| before < id && id <= last)
        .ok_or(reader.error(DecodeReason::Invalid("ids ascend from 1 to the last one made")))
}

impl<const N: usize> PageRow<N> {
    /// Whether the private halves are still there to be used.
    pub(super) fn kept(&self, now: Timestamp) -> bool {
        now <= self.created.plus(PAGE_KEPT)
    }

    /// The seed of this id, if it is in the page and not used.
    pub(super) fn seed(&self, id: PrekeyId) -> Option<&Secret<N>> {
        self.seeds.get(self.index(id)?)?.as_ref()
    }

    pub(super) fn index(&self, id: PrekeyId) -> Option<usize> {
        usize::try_from(id.get().checked_sub(self.base.get())?).ok()
    }

    /// The id of the last key, used or not.
    pub(super) fn last(&self) -> u32 {
        let count = u32::try_from(self.seeds.len()).unwrap_or(u32::MAX);
        self.base.get().saturating_add(count.saturating_sub(1))
    }

    /// The page without the key `id`, `None` when that was its last.
    pub(super) fn without(&self, id: PrekeyId) -> Option<Zeroizing<Vec<u8>>> {
        let used = self.index(id);
        let left = || {
            self.seeds
                .iter()
                .enumerate()
                .map(|(index, seed)| if Some(index) == used { None } else { seed.as_ref() })
        };
        left().any(|seed| seed.is_some()).then(|| self.encode(left()))
    }

    /// `version 1 | kind u8 | device u32 | base u32 | created u64 | count u16 |
    /// held, a bit for each key, the first in the lowest bit | seeds of those held`
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.encode(self.seeds.iter().map(Option::as_ref))
    }

    fn encode<'a>(&self, seeds: impl Iterator<Item = Option<&'a Secret<N>>>) -> Zeroizing<Vec<u8>> {
        let count = u16::try_from(self.seeds.len()).unwrap_or(u16::MAX);
        let mut held = vec![0u8; self.seeds.len().div_ceil(8)];
        let mut kept = Vec::with_capacity(self.seeds.len());
        for (index, seed) in seeds.enumerate() {
            if let (Some(seed), Some(byte)) = (seed, held.get_mut(index / 8)) {
                *byte |= 1 << (index % 8);
                kept.push(seed);
            }
        }
        // Full capacity first: growing would leave copies of the secrets behind.
        let len = N.saturating_mul(kept.len()).saturating_add(held.len()).saturating_add(20);
        let mut bytes = Zeroizing::new(Vec::with_capacity(len));
        bytes.extend_from_slice(&[VERSION, kind_of::<N>().id()]);
        bytes.extend_from_slice(&self.device.to_be_bytes());
        bytes.extend_from_slice(&self.base.get().to_be_bytes());
        bytes.extend_from_slice(&self.created.as_secs().to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&held);
        for seed in kept {
            bytes.extend_from_slice(seed.expose());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(PAGE, bytes);
        let refuse = |rule| DecodeError::new(PAGE, DecodeReason::Invalid(rule));
        reader.version(VERSION)?;
        if Kind::from_u8(reader.u8()?)? != kind_of::<N>() {
            return Err(refuse("a page of another kind"));
        }
        let device = reader.u32()?;
        let base = PrekeyId::new(reader.u32()?).ok_or(refuse("prekeys are numbered from 1"))?;
        let created = Timestamp::from_secs(reader.u64()?);
        let count = reader.u16()?;
        let len = usize::from(count);
        if count == 0
            || count > kind_of::<N>().published()
            || base.checked_add(u32::from(count) - 1).is_none()
        {
            return Err(refuse("holds as many keys as a page, with ids up to 2^32 - 1"));
        }
        let held = reader.take(len.div_ceil(8))?;
        let bit =
            |index: usize| held.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
        if !(0..len).any(bit) || (len..len.next_multiple_of(8)).any(bit) {
            return Err(refuse("holds at least one key, and none behind its end"));
        }
        let mut seeds = Vec::with_capacity(len);
        for index in 0..len {
            seeds.push(if bit(index) { Some(secret(reader.array()?)) } else { None });
        }
        reader.finish()?;
        Ok(Self { device, base, created, seeds })
    }
}

pub(super) fn secret<const N: usize>(bytes: &[u8; N]) -> Secret<N> {
    Secret::init_with(|out| out.copy_from_slice(bytes))
}
