//! X-Wing keys, encapsulation, and decapsulation with keys in memory.

// The short names are those of draft-connolly-cfrg-xwing-kem, section 5:
//
//   pk  public key      sk  secret key      ct  ciphertext      ss  shared secret
//   _m  of ML-KEM-768   _x  of X25519; ct_x is the sender's ephemeral public key
//   ek_x  the ephemeral secret behind ct_x

use core::fmt;

use rand_core::TryCryptoRng;
use sealwire_core::{
    DecodeError, DecodeReason, Error,
    kem::{self, KemCiphertext, KemPublic, KemSecret, SharedSecret},
    keys::{EphemeralPublic, EphemeralSecret, StaticPublic, StaticSecret},
    keystore, rng,
    secret::Secret,
};

use crate::{
    combiner::combine,
    recipient::{Recipient, Sealed},
};

/// Length of an X-Wing public key, in bytes.
pub const PUBLIC_LEN: usize = kem::PUBLIC_LEN + 32;
/// Length of an X-Wing ciphertext, in bytes.
pub const CIPHERTEXT_LEN: usize = kem::CIPHERTEXT_LEN + 32;

/// An X-Wing public key whose two halves both passed their checks.
///
/// On the wire 1,216 bytes: ML-KEM-768 encapsulation key 1,184, X25519 public key 32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XWingPublic {
    pk_m: KemPublic,
    pk_x: StaticPublic,
}

/// An X-Wing ciphertext whose X25519 half passed its checks.
///
/// On the wire 1,120 bytes: ML-KEM-768 ciphertext 1,088, ephemeral X25519 public key 32.
/// Whether it was made for a key shows only later, when what was sealed under the shared
/// secret does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XWingCiphertext {
    pub(crate) ct_m: KemCiphertext,
    pub(crate) ct_x: EphemeralPublic,
}

/// An X-Wing decapsulation key in expanded form.
pub struct XWingSecret {
    sk_m: KemSecret,
    sk_x: StaticSecret,
    public: XWingPublic,
}

impl XWingPublic {
    /// Joins the two halves, for example those that a key store gives.
    pub const fn from_parts(kem: KemPublic, exchange: StaticPublic) -> Self {
        Self { pk_m: kem, pk_x: exchange }
    }

    /// Checks and takes a public key.
    ///
    /// # Errors
    /// [`DecodeError`] when it is not 1,216 bytes long, a coefficient of the ML-KEM half is
    /// not below q (FIPS 203 section 7.2), or the X25519 half is not canonical or has small
    /// order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (pk_m, pk_x) = halves::<PUBLIC_LEN>(bytes).ok_or(DecodeError::new(
            "X-Wing public key",
            DecodeReason::Invalid("is 1216 bytes long"),
        ))?;
        Ok(Self::from_parts(KemPublic::from_bytes(pk_m)?, StaticPublic::from_bytes(pk_x)?))
    }

    /// The bytes on the wire.
    pub fn to_bytes(&self) -> [u8; PUBLIC_LEN] {
        join(self.pk_m.as_bytes(), self.pk_x.as_bytes())
    }

    /// The ML-KEM-768 half.
    pub const fn kem(&self) -> &KemPublic {
        &self.pk_m
    }

    /// The X25519 half.
    pub const fn exchange(&self) -> &StaticPublic {
        &self.pk_x
    }

    /// Makes a shared secret and the ciphertext that carries it to the holder of the key.
    ///
    /// Draws 64 bytes before anything is computed: 32 for ML-KEM, then 32 for X25519 (draft
    /// section 5.4.1, EncapsulateDerand).
    ///
    /// # Errors
    /// [`Error::Randomness`].
    ///
    /// # Example
    /// ```
    /// use sealwire_hybrid::{Recipient, XWingCiphertext, XWingSecret};
    /// # fn main() -> Result<(), sealwire_core::Error> {
    /// # let mut rng = getrandom::SysRng;
    /// let bob = XWingSecret::generate(&mut rng)?;
    ///
    /// let (ciphertext, shared) = bob.public().encapsulate(&mut rng)?;
    /// let received = XWingCiphertext::from_bytes(&ciphertext.to_bytes())?;
    /// assert!(bob.decapsulate(&received)? == shared);
    /// # Ok(())
    /// # }
    /// ```
    pub fn encapsulate<R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
    ) -> Result<(XWingCiphertext, SharedSecret), Error> {
        let [randomness_m, seed_x] = rng::draw_distinct(rng)?;
        let ek_x = EphemeralSecret::from_seed(&seed_x)?;
        let ct_x = *ek_x.public();
        let ss_x = ek_x.agree(&self.pk_x)?;
        let (ct_m, ss_m) = self.pk_m.encapsulate_with(randomness_m);
        let shared = combine(&ss_m, &ss_x, &ct_x, &self.pk_x);
        Ok((XWingCiphertext { ct_m, ct_x }, shared))
    }
}

impl XWingCiphertext {
    /// Checks and takes a ciphertext.
    ///
    /// # Errors
    /// [`DecodeError`] when it is not 1,120 bytes long, or its X25519 half is not canonical
    /// or has small order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (ct_m, ct_x) = halves::<CIPHERTEXT_LEN>(bytes).ok_or(DecodeError::new(
            "X-Wing ciphertext",
            DecodeReason::Invalid("is 1120 bytes long"),
        ))?;
        Ok(Self {
            ct_m: KemCiphertext::from_bytes(ct_m)?,
            ct_x: EphemeralPublic::from_bytes(ct_x)?,
        })
    }

    /// The bytes on the wire.
    pub fn to_bytes(&self) -> [u8; CIPHERTEXT_LEN] {
        join(self.ct_m.as_bytes(), self.ct_x.as_bytes())
    }
}

impl XWingSecret {
    /// Length of the seed that a decapsulation key is stored as, in bytes.
    pub const SEED_LEN: usize = 32;

    /// Makes a new key. It cannot be stored: for that, draw a seed and keep it.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        Self::from_seed(&Secret::random(rng)?)
    }

    /// The key of a stored 32-byte seed, expanded once (draft section 5.2).
    ///
    /// # Errors
    /// [`Error::Unreachable`] only.
    pub fn from_seed(seed: &Secret<{ Self::SEED_LEN }>) -> Result<Self, Error> {
        let (sk_m, sk_x) = keystore::expand_xwing(seed)?;
        let public = XWingPublic::from_parts(sk_m.public().clone(), *sk_x.public());
        Ok(Self { sk_m, sk_x, public })
    }

    /// The public key. It reveals nothing of the seed.
    pub const fn public(&self) -> &XWingPublic {
        &self.public
    }
}

impl Sealed for XWingSecret {}

impl Recipient for XWingSecret {
    fn decapsulate(&self, ciphertext: &XWingCiphertext) -> Result<SharedSecret, Error> {
        let XWingCiphertext { ct_m, ct_x } = ciphertext;
        let ss_m = self.sk_m.decapsulate(ct_m);
        let ss_x = self.sk_x.agree(ct_x)?;
        Ok(combine(&ss_m, &ss_x, ct_x, &self.public.pk_x))
    }
}

impl fmt::Debug for XWingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("XWingSecret(..)")
    }
}

/// The ML-KEM part and the X25519 part of `N` bytes.
fn halves<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8; 32])> {
    let bytes: &[u8; N] = bytes.try_into().ok()?;
    bytes.split_last_chunk()
}

/// `left` takes all but the last 32 of the `N` bytes.
fn join<const N: usize>(left: &[u8], right: &[u8; 32]) -> [u8; N] {
    let mut bytes = [0; N];
    let (start, end) = bytes.split_at_mut(left.len());
    start.copy_from_slice(left);
    end.copy_from_slice(right);
    bytes
}
