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
///
/// ```compile_fail,E0308
/// use sealwire_core::{aead::{AeadKey, Algorithm}, kem::SharedSecret};
/// // attack T37: a shared secret is not a key.
/// fn seal_under(shared: &SharedSecret) {
///     AeadKey::new(Algorithm::Aes256Gcm, shared);
/// }
/// ```
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
    ///
    /// ```compile_fail,E0382
    /// # let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
    /// # let key = sealwire_core::kem::KemSecret::generate(&mut rng).expect("randomness");
    /// # let randomness = sealwire_core::secret::Secret::random(&mut rng).expect("randomness");
    /// // attack T37: the same randomness cannot serve two encapsulations.
    /// let first = key.public().encapsulate_with(randomness);
    /// let second = key.public().encapsulate_with(randomness);
    /// ```
    pub fn encapsulate_with(&self, randomness: Secret<32>) -> (KemCiphertext, SharedSecret) {
        let mut ciphertext = Box::new([0; CIPHERTEXT_LEN]);
        let shared = Secret::init_with(|out| {
            crate::wipe::deep_stack(|| {
                backend::kem_encapsulate(&self.0, randomness.expose(), &mut ciphertext, out);
            });
        });
        (KemCiphertext(ciphertext), SharedSecret(shared))
    }
}

/// FIPS 203 section 7.2, modulus check: "ek = ByteEncode12(ByteDecode12(ek))", that is, every
/// 12-bit coefficient before the seed is below q.
fn modulus_check(key: &[u8; PUBLIC_LEN]) -> bool {
    const Q: u64 = 3329;
    // Four coefficients are looked at together: the first and the third, then the second and the
    // fourth, each with the 12 bits of its neighbour left free for what carries.
    const ONES: u64 = 1 | 1 << 24;
    const COEFFICIENTS: u64 = 0xFFF * ONES;
    const TO_CARRY: u64 = (0x1000 - Q) * ONES;
    const CARRIED: u64 = 0x1000 * ONES;
    let (coefficients, _rho) = key.split_at(PUBLIC_LEN - 32);
    let carried = coefficients.as_chunks::<6>().0.iter().fold(0, |carried, [a, b, c, d, e, f]| {
        let four = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, 0, 0]);
        carried | ((four & COEFFICIENTS) + TO_CARRY) | ((four >> 12 & COEFFICIENTS) + TO_CARRY)
    });
    carried & CARRIED == 0
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
        let key = crate::wipe::deep_stack(|| {
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
            crate::wipe::deep_stack(|| self.key.decapsulate(&ciphertext.0, out));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aead::{AeadKey, Algorithm},
        kdf,
        label::Label,
    };
    use sealwire_testkit::rng::SeededRng;

    /// A coefficient at its largest (3328), at q, and at the largest 12 bits hold.
    const COEFFICIENTS: [(u16, bool); 4] = [(0, true), (3328, true), (3329, false), (4095, false)];

    fn key(seed: u64) -> KemSecret {
        KemSecret::generate(&mut SeededRng::new(seed)).expect("randomness")
    }

    fn record_key(shared: &SharedSecret) -> AeadKey {
        let info = Label::RECORD_KEY.context(None, &[]).expect("short");
        AeadKey::new(Algorithm::ChaCha20Poly1305, &kdf::hkdf(&[], shared.expose(), &info))
            .expect("a key")
    }

    // attack T10
    #[test]
    fn every_coefficient_is_held_against_the_modulus() {
        let key = key(1);
        for index in (0..768).step_by(31).chain([1, 766, 767]) {
            for (coefficient, valid) in COEFFICIENTS {
                let mut bytes = *key.public().as_bytes();
                let [low, high] = coefficient.to_le_bytes();
                let pair = &mut bytes[index / 2 * 3..][..3];
                if index % 2 == 0 {
                    pair[0] = low;
                    pair[1] = pair[1] & 0xF0 | high;
                } else {
                    pair[1] = pair[1] & 0x0F | low << 4;
                    pair[2] = low >> 4 | high << 4;
                }
                let public = KemPublic::from_bytes(&bytes);
                assert_eq!(public.is_ok(), valid, "{coefficient} at {index}");
            }
        }
        // The last 32 bytes are a seed: any will do.
        let mut bytes = *key.public().as_bytes();
        bytes[PUBLIC_LEN - 32..].fill(0xFF);
        assert!(KemPublic::from_bytes(&bytes).is_ok());
    }

    // attack T10
    #[test]
    fn keys_and_ciphertexts_of_another_length_are_refused() {
        // 800, 1,568 and 768 are lengths of the other parameter sets.
        for len in [0, 1, 32, 768, 800, 1087, 1089, 1183, 1185, 1568, 2400] {
            assert!(KemPublic::from_bytes(&vec![0; len]).is_err(), "{len}");
            assert!(KemCiphertext::from_bytes(&vec![0; len]).is_err(), "{len}");
            assert!(Secret::<SEED_LEN>::from_slice(&vec![0; len]).is_err(), "{len}");
        }
        assert!(KemPublic::from_bytes(&[0; CIPHERTEXT_LEN]).is_err());
        assert!(KemCiphertext::from_bytes(&[0; PUBLIC_LEN]).is_err());
    }

    // attack T10: a changed ciphertext gives a secret like any other; the AEAD refuses.
    #[test]
    fn a_changed_ciphertext_fails_at_the_aead_and_not_before() {
        let key = key(1);
        let (ciphertext, shared) =
            key.public().encapsulate(&mut SeededRng::new(2)).expect("randomness");
        let mut sealed = *b"a message";
        let tag = record_key(&shared).seal_detached(&[0; 12], b"", &mut sealed).expect("short");
        let mut secrets = vec![key.decapsulate(&ciphertext)];
        assert_eq!(secrets, [shared]);
        for index in (0..CIPHERTEXT_LEN).step_by(37).chain([CIPHERTEXT_LEN - 1]) {
            let mut changed = *ciphertext.as_bytes();
            changed[index] ^= 1 << (index % 8);
            let changed = KemCiphertext::from_bytes(&changed).expect("1,088 bytes");
            let rejected = key.decapsulate(&changed);
            assert_eq!(rejected, key.decapsulate(&changed), "the same each time");
            let opened =
                record_key(&rejected).open_detached(&[0; 12], b"", &mut sealed.clone(), &tag);
            assert_eq!(opened, Err(Error::Open), "{index}");
            assert!(!secrets.contains(&rejected), "{index}");
            secrets.push(rejected);
        }
    }

    // attack T10
    #[test]
    fn a_ciphertext_for_another_key_gives_another_secret() {
        let (ours, theirs) = (key(1), key(2));
        let (ciphertext, shared) =
            theirs.public().encapsulate(&mut SeededRng::new(3)).expect("randomness");
        assert_eq!(theirs.decapsulate(&ciphertext), shared);
        assert_ne!(ours.decapsulate(&ciphertext), shared);
    }

    // attack T10: who knows a secret cannot bring it about under another key, since the key is
    // hashed into it (FIPS 203, algorithm 17).
    #[test]
    fn the_same_randomness_under_two_keys_gives_two_secrets() {
        let randomness = || Secret::init_with(|bytes: &mut [u8; 32]| bytes.fill(9));
        let (sent_to_one, one) = key(1).public().encapsulate_with(randomness());
        let (sent_to_two, two) = key(2).public().encapsulate_with(randomness());
        assert_ne!(one, two);
        assert_ne!(sent_to_one, sent_to_two);
    }
}
