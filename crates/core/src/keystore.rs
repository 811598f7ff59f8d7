//! The trait behind which private keys stay, and the store that holds them in memory.

use core::{fmt, num::NonZeroU32};

use rand_core::TryCryptoRng;
use zeroize::Zeroizing;

use crate::{
    DecodeError, DecodeReason, Error,
    codec::Reader,
    kdf,
    kem::{KemCiphertext, KemPublic, KemSecret, SharedSecret},
    keys::{Signature, SigningKey, StaticPublic, StaticSecret, VerifyingKey, X25519Public},
    label::Context,
    secret::Secret,
};

/// Numbers one whole set of exchange keys: from 1, never reused.
pub type KxId = NonZeroU32;

/// What an exchange key may be used for. One key, one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a new use is a decision for every store")]
pub enum KeyUse {
    /// The X25519 key of Noise and PQXDH, and the ML-KEM key of psk0.
    Handshake,
    /// The two halves of the X-Wing key, for envelopes.
    Envelope,
}

/// The public halves of one set of exchange keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangePublics {
    /// X25519, for Noise and PQXDH.
    pub handshake: StaticPublic,
    /// ML-KEM-768, for psk0.
    pub kem: KemPublic,
    /// The X25519 half of the X-Wing key.
    pub envelope: StaticPublic,
    /// The ML-KEM-768 half of the X-Wing key.
    pub envelope_kem: KemPublic,
}

/// Operations with the private keys of one agent, so that the keys need never leave their
/// place.
///
/// Synchronous: a store that waits for hardware or a network is called from a blocking task.
pub trait KeyStore: Send + Sync + fmt::Debug {
    /// The identity's public key.
    fn identity(&self) -> &VerifyingKey;

    /// The newest set of exchange keys.
    fn newest(&self) -> KxId;

    /// The public halves of a set of exchange keys.
    ///
    /// # Errors
    /// [`Error::KeyStore`] when there is no such set.
    fn public(&self, kx: KxId) -> Result<ExchangePublics, Error>;

    /// Signs with the identity key.
    ///
    /// # Errors
    /// [`Error::KeyStore`] when the key cannot be used now.
    fn sign(&self, message: &Context) -> Result<Signature, Error>;

    /// X25519 with a key of the set `kx`.
    ///
    /// # Errors
    /// [`Error::KeyStore`], or [`Error::NonContributory`] for a zero result.
    fn agree(&self, kx: KxId, usage: KeyUse, peer: &X25519Public) -> Result<SharedSecret, Error>;

    /// ML-KEM-768 decapsulation with a key of the set `kx`.
    ///
    /// # Errors
    /// [`Error::KeyStore`]. A ciphertext for another key is no error: see
    /// [`KemSecret::decapsulate`].
    fn decapsulate(
        &self,
        kx: KxId,
        usage: KeyUse,
        ciphertext: &KemCiphertext,
    ) -> Result<SharedSecret, Error>;
}

/// The seeds of all private keys of one agent: what a key store seals and stores.
#[derive(Debug)]
pub struct KeySeeds {
    identity: Secret<32>,
    sets: Vec<ExchangeSeeds>,
}

#[derive(Debug)]
struct ExchangeSeeds {
    kx: KxId,
    handshake: Secret<32>,
    kem: Secret<64>,
    xwing: Secret<32>,
}

impl KeySeeds {
    /// The most sets of exchange keys kept at a time: the current one and those in grace. A
    /// card lives at most 90 days, so this is a rotation every few days.
    pub const MAX_SETS: usize = 32;
    const VERSION: u8 = 1;
    const SET_LEN: usize = 4 + 32 + 64 + 32;
    /// Length of the longest encoding, in bytes.
    pub const MAX_LEN: usize = 3 + 32 + Self::MAX_SETS * Self::SET_LEN;

    /// Draws an identity and its first set of exchange keys.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        let [identity, handshake, d, z, xwing] = crate::rng::draw_distinct(rng)?;
        let kem = Secret::init_with(|out: &mut [u8; 64]| join(&d, &z, out));
        Ok(Self { identity, sets: vec![ExchangeSeeds { kx: KxId::MIN, handshake, kem, xwing }] })
    }

    /// Draws a further set of exchange keys under the same identity and gives its number.
    ///
    /// # Errors
    /// [`Error::Randomness`]; [`Error::Misuse`] when [`KeySeeds::MAX_SETS`] are kept or the
    /// numbers are used up.
    pub fn add_set<R: TryCryptoRng + ?Sized>(&mut self, rng: &mut R) -> Result<KxId, Error> {
        if self.sets.len() >= Self::MAX_SETS {
            return Err(Error::Misuse("as many sets of exchange keys as are kept; retire one"));
        }
        let last = self.sets.last().ok_or(Error::Unreachable("there is always one set"))?;
        let kx = last.kx.checked_add(1).ok_or(Error::Misuse("key numbers are used up"))?;
        let [handshake, d, z, xwing] = crate::rng::draw_distinct(rng)?;
        let kem = Secret::init_with(|out: &mut [u8; 64]| join(&d, &z, out));
        self.sets.push(ExchangeSeeds { kx, handshake, kem, xwing });
        Ok(kx)
    }

    /// `version 1 | count u16 | identity 32 | (kx u32 | x25519 32 | ML-KEM 64 | X-Wing 32)*`
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Full capacity first: growing would leave copies of the secrets behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::MAX_LEN));
        let count = u16::try_from(self.sets.len()).unwrap_or(u16::MAX);
        bytes.push(Self::VERSION);
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(self.identity.expose());
        for ExchangeSeeds { kx, handshake, kem, xwing } in &self.sets {
            bytes.extend_from_slice(&kx.get().to_be_bytes());
            bytes.extend_from_slice(handshake.expose());
            bytes.extend_from_slice(kem.expose());
            bytes.extend_from_slice(xwing.expose());
        }
        bytes
    }

    /// Reads what [`KeySeeds::to_bytes`] gave.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("key seeds", bytes);
        reader.version(Self::VERSION)?;
        let count = usize::from(reader.u16()?);
        if count == 0 || count > Self::MAX_SETS {
            return Err(reader.error(DecodeReason::Invalid("holds 1 to 32 sets of exchange keys")));
        }
        let identity = secret(reader.array()?);
        let mut sets: Vec<ExchangeSeeds> = Vec::with_capacity(count);
        for _ in 0..count {
            let kx = KxId::new(reader.u32()?)
                .filter(|kx| sets.last().is_none_or(|last| last.kx < *kx))
                .ok_or(reader.error(DecodeReason::Invalid("numbers ascend from 1")))?;
            let handshake = secret(reader.array()?);
            let kem = secret(reader.array()?);
            let xwing = secret(reader.array()?);
            sets.push(ExchangeSeeds { kx, handshake, kem, xwing });
        }
        reader.finish()?;
        Ok(Self { identity, sets })
    }
}

fn secret<const N: usize>(bytes: &[u8; N]) -> Secret<N> {
    Secret::init_with(|out| out.copy_from_slice(bytes))
}

fn join(d: &Secret<32>, z: &Secret<32>, out: &mut [u8; 64]) {
    let (left, right) = out.split_at_mut(32);
    left.copy_from_slice(d.expose());
    right.copy_from_slice(z.expose());
}

/// Expands a 32-byte X-Wing decapsulation key into its two private keys: SHAKE-256 of the
/// seed gives d || z || sk_X (draft-connolly-cfrg-xwing-kem, section 5.2).
///
/// # Errors
/// [`Error::Unreachable`] when the backend refuses 32 bytes, which it never does.
pub fn expand_xwing(seed: &Secret<32>) -> Result<(KemSecret, StaticSecret), Error> {
    let expanded = Secret::<96>::init_with(|out| kdf::shake256(seed.expose(), out));
    let (seed_m, seed_x) = expanded
        .expose()
        .split_first_chunk::<64>()
        .ok_or(Error::Unreachable("96 bytes are more than 64"))?;
    let kem = KemSecret::from_seed(&secret(seed_m));
    Ok((kem, StaticSecret::from_seed(&Secret::from_slice(seed_x)?)?))
}

/// Private keys in this process's memory.
///
/// ```
/// use sealwire_core::{KeyStore, MemoryKeyStore, label::Label};
/// # fn main() -> Result<(), sealwire_core::Error> {
/// # let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
/// let keys = MemoryKeyStore::generate(&mut rng)?;
/// let message = Label::CARD.context(None, &[b"what is signed"])?;
/// let signature = keys.sign(&message)?;
/// keys.identity().verify(&message, &signature)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryKeyStore {
    identity: SigningKey,
    sets: Vec<ExchangeSet>,
}

#[derive(Debug)]
struct ExchangeSet {
    kx: KxId,
    handshake: StaticSecret,
    kem: KemSecret,
    envelope: StaticSecret,
    envelope_kem: KemSecret,
}

impl MemoryKeyStore {
    /// Makes a new identity with one set of exchange keys.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        Self::from_seeds(&KeySeeds::generate(rng)?)
    }

    /// The keys of stored seeds.
    ///
    /// # Errors
    /// [`Error::Unreachable`] only.
    pub fn from_seeds(seeds: &KeySeeds) -> Result<Self, Error> {
        let sets = seeds.sets.iter().map(ExchangeSet::from_seeds).collect::<Result<_, _>>()?;
        Ok(Self { identity: SigningKey::from_seed(&seeds.identity), sets })
    }

    fn set(&self, kx: KxId) -> Result<&ExchangeSet, Error> {
        self.sets
            .iter()
            .find(|set| set.kx == kx)
            .ok_or(Error::KeyStore("no exchange keys with this number"))
    }
}

impl ExchangeSet {
    fn from_seeds(seeds: &ExchangeSeeds) -> Result<Self, Error> {
        let (envelope_kem, envelope) = expand_xwing(&seeds.xwing)?;
        Ok(Self {
            kx: seeds.kx,
            handshake: StaticSecret::from_seed(&seeds.handshake)?,
            kem: KemSecret::from_seed(&seeds.kem),
            envelope,
            envelope_kem,
        })
    }
}

impl KeyStore for MemoryKeyStore {
    fn identity(&self) -> &VerifyingKey {
        self.identity.public()
    }

    fn newest(&self) -> KxId {
        self.sets.last().map_or(KxId::MIN, |set| set.kx)
    }

    fn public(&self, kx: KxId) -> Result<ExchangePublics, Error> {
        let ExchangeSet { kx: _, handshake, kem, envelope, envelope_kem } = self.set(kx)?;
        Ok(ExchangePublics {
            handshake: *handshake.public(),
            kem: kem.public().clone(),
            envelope: *envelope.public(),
            envelope_kem: envelope_kem.public().clone(),
        })
    }

    fn sign(&self, message: &Context) -> Result<Signature, Error> {
        Ok(self.identity.sign(message))
    }

    fn agree(&self, kx: KxId, usage: KeyUse, peer: &X25519Public) -> Result<SharedSecret, Error> {
        let set = self.set(kx)?;
        match usage {
            KeyUse::Handshake => set.handshake.agree(peer),
            KeyUse::Envelope => set.envelope.agree(peer),
        }
    }

    fn decapsulate(
        &self,
        kx: KxId,
        usage: KeyUse,
        ciphertext: &KemCiphertext,
    ) -> Result<SharedSecret, Error> {
        let set = self.set(kx)?;
        Ok(match usage {
            KeyUse::Handshake => set.kem.decapsulate(ciphertext),
            KeyUse::Envelope => set.envelope_kem.decapsulate(ciphertext),
        })
    }
}

#[cfg(test)]
mod tests;
