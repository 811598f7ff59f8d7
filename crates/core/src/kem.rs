//! ML-KEM-768 (FIPS 203), with typed keys and injected randomness.

use core::fmt;

use rand_core::TryCryptoRng;

use crate::{DecodeError, DecodeReason, Error, backend, secret::Secret, wipe::Wiped};

/// Length of an encapsulation key, in bytes.
pub const PUBLIC_LEN: usize = 1184;
/// Length of a ciphertext, in bytes.
pub const CIPHERTEXT_LEN: usize = 1088;
/// Length of the seed d || z that a decapsulation key is stored as, in bytes.
pub const SEED_LEN: usize = 64;

/// An encapsulation key that passed the checks of FIPS 203 section 7.2.
#[derive(Clone, PartialEq, Eq)]
pub struct KemPublic(Box<[u8; PUBLIC_LEN]>);

/// A ciphertext of the right length. Whether it was made for a key shows only later, when
/// what was sealed under the shared secret does not open: decapsulation never fails.
#[derive(Clone, PartialEq, Eq)]
pub struct KemCiphertext(Box<[u8; CIPHERTEXT_LEN]>);

/// A decapsulation key in expanded form.
pub struct KemSecret {
    key: Wiped<backend::KemKey>,
    public: KemPublic,
}

/// A secret that two parties share. Feed it to a KDF; never use it as a key.
#[derive(Debug, PartialEq, Eq)]
pub struct SharedSecret(Secret<32>);

impl KemPublic {
    /// Checks and takes an encapsulation key.
    ///
    /// # Errors
    /// [`DecodeError`] when the length is wrong or a coefficient is not below q = 3329.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let error = |reason| DecodeError::new("ML-KEM-768 encapsulation key", reason);
        let bytes: &[u8; PUBLIC_LEN] =
            bytes.try_into().map_err(|_| error(DecodeReason::Invalid("is 1184 bytes long")))?;
        if !modulus_check(bytes) {
            return Err(error(DecodeReason::NonCanonical));
        }
        Ok(Self(Box::new(*bytes)))
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_LEN] {
        &self.0
    }

    /// Makes a shared secret and the ciphertext that carries it to the holder of the key.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn encapsulate<R: TryCryptoRng + ?Sized>(
        &self,
        rng: &mut R,
    ) -> Result<(KemCiphertext, SharedSecret), Error> {
        let randomness = crate::rng::draw(rng)?;
        Ok(self.encapsulate_with(randomness))
    }

    /// As [`KemPublic::encapsulate`], from 32 bytes that were drawn before and are used once:
    /// they are consumed.
    pub fn encapsulate_with(&self, randomness: Secret<32>) -> (KemCiphertext, SharedSecret) {
        let mut ciphertext = Box::new([0; CIPHERTEXT_LEN]);
        let shared = Secret::init_with(|out| {
            crate::wipe::stack(|| {
                backend::kem_encapsulate(&self.0, randomness.expose(), &mut ciphertext, out);
            });
        });
        (KemCiphertext(ciphertext), SharedSecret(shared))
    }
}

/// FIPS 203 section 7.2, modulus check: "ek = ByteEncode12(ByteDecode12(ek))", that is, every
/// 12-bit coefficient before the seed is below q.
fn modulus_check(key: &[u8; PUBLIC_LEN]) -> bool {
    const Q: u16 = 3329;
    let (coefficients, _rho) = key.split_at(PUBLIC_LEN - 32);
    coefficients.as_chunks::<3>().0.iter().all(|[a, b, c]| {
        let (a, b, c) = (u16::from(*a), u16::from(*b), u16::from(*c));
        (a | (b & 0x0F) << 8) < Q && (b >> 4 | c << 4) < Q
    })
}

impl KemCiphertext {
    /// Takes a ciphertext.
    ///
    /// # Errors
    /// [`DecodeError`] when it is not 1,088 bytes long.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let bytes: [u8; CIPHERTEXT_LEN] = bytes.try_into().map_err(|_| {
            DecodeError::new("ML-KEM-768 ciphertext", DecodeReason::Invalid("is 1088 bytes long"))
        })?;
        Ok(Self(Box::new(bytes)))
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8; CIPHERTEXT_LEN] {
        &self.0
    }
}

impl KemSecret {
    /// Makes a new key pair.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        Ok(Self::from_seed(&crate::rng::draw(rng)?))
    }

    /// The key pair of a stored seed d || z (FIPS 203 section 7.1).
    pub fn from_seed(seed: &Secret<SEED_LEN>) -> Self {
        let mut public = Box::new([0; PUBLIC_LEN]);
        let key = crate::wipe::stack(|| {
            Wiped::new(backend::KemKey::from_seed(seed.expose(), &mut public))
        });
        Self { key, public: KemPublic(public) }
    }

    /// The encapsulation key, which is public.
    pub fn public(&self) -> &KemPublic {
        &self.public
    }

    /// The shared secret of a ciphertext. A ciphertext made for another key gives a secret
    /// that nobody else has (implicit rejection), never an error.
    pub fn decapsulate(&self, ciphertext: &KemCiphertext) -> SharedSecret {
        SharedSecret(Secret::init_with(|out| {
            crate::wipe::stack(|| self.key.decapsulate(&ciphertext.0, out));
        }))
    }
}

impl SharedSecret {
    /// Takes what a key agreement gave.
    pub fn new(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// The bytes, for a KDF.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

impl fmt::Debug for KemSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemSecret(..)")
    }
}

impl fmt::Debug for KemPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemPublic(1184 bytes)")
    }
}

impl fmt::Debug for KemCiphertext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KemCiphertext(1088 bytes)")
    }
}
