//! The portable backend: RustCrypto, dalek and ml-kem.

use aes_gcm::Aes256Gcm;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, aead::inout::InOutBuf};
use ml_kem::{Decapsulate, KeyExport, MlKem768};

use crate::{
    Error,
    aead::{Algorithm, NONCE_LEN, TAG_LEN},
    kem::{CIPHERTEXT_LEN, PUBLIC_LEN, SEED_LEN},
    wipe::{self, Wiped},
};

/// The ciphers clear their keys. But they have room for the state of each processor's
/// instructions and write that of one: the rest is what was on the stack before, hence the box
/// that is overwritten as a whole.
pub(crate) enum Cipher {
    Aes256Gcm(Wiped<Aes256Gcm>),
    ChaCha20Poly1305(Wiped<ChaCha20Poly1305>),
}

impl Cipher {
    pub(crate) fn new(algorithm: Algorithm, key: &[u8; 32]) -> Result<Self, Error> {
        // Before, too: what another key left there would be in the box for as long as this one.
        wipe::stack(|| ());
        Ok(wipe::stack(|| match algorithm {
            Algorithm::Aes256Gcm => Self::Aes256Gcm(Wiped::new(Aes256Gcm::new(key.into()))),
            Algorithm::ChaCha20Poly1305 => {
                Self::ChaCha20Poly1305(Wiped::new(ChaCha20Poly1305::new(key.into())))
            }
        }))
    }

    pub(crate) fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        message: &mut [u8],
    ) -> Option<[u8; TAG_LEN]> {
        self.encrypt(nonce, associated, message.into())
    }

    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        message: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Option<()> {
        self.decrypt(nonce, associated, message.into(), tag)
    }

    /// From one buffer to another of the same length.
    pub(crate) fn seal_into(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Option<[u8; TAG_LEN]> {
        self.encrypt(nonce, associated, InOutBuf::new(plaintext, out).ok()?)
    }

    /// From one buffer to another of the same length.
    pub(crate) fn open_into(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Option<()> {
        self.decrypt(nonce, associated, InOutBuf::new(ciphertext, out).ok()?, tag)
    }

    fn encrypt(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        text: InOutBuf<'_, '_, u8>,
    ) -> Option<[u8; TAG_LEN]> {
        let tag = match self {
            Self::Aes256Gcm(cipher) => {
                cipher.encrypt_inout_detached(nonce.into(), associated, text)
            }
            Self::ChaCha20Poly1305(cipher) => {
                cipher.encrypt_inout_detached(nonce.into(), associated, text)
            }
        };
        tag.ok().map(Into::into)
    }

    fn decrypt(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        text: InOutBuf<'_, '_, u8>,
        tag: &[u8; TAG_LEN],
    ) -> Option<()> {
        let (nonce, tag) = (nonce.into(), tag.into());
        match self {
            Self::Aes256Gcm(cipher) => cipher.decrypt_inout_detached(nonce, associated, text, tag),
            Self::ChaCha20Poly1305(cipher) => {
                cipher.decrypt_inout_detached(nonce, associated, text, tag)
            }
        }
        .ok()
    }
}

pub(crate) struct ExchangeKey(Box<x25519_dalek::StaticSecret>);

impl ExchangeKey {
    /// The key and its public half.
    pub(crate) fn from_bytes(secret: &[u8; 32]) -> Result<(Self, [u8; 32]), Error> {
        let key = Box::new(x25519_dalek::StaticSecret::from(*secret));
        let public = x25519_dalek::PublicKey::from(&*key).to_bytes();
        Ok((Self(key), public))
    }

    /// Writes the shared secret; false when it is zero.
    pub(crate) fn agree(&self, peer: &[u8; 32], out: &mut [u8; 32]) -> bool {
        let shared = self.0.diffie_hellman(&x25519_dalek::PublicKey::from(*peer));
        out.copy_from_slice(shared.as_bytes());
        shared.was_contributory()
    }
}

pub(crate) struct KemKey(ml_kem::DecapsulationKey<MlKem768>);

impl KemKey {
    /// The key of a seed d || z; its encapsulation key goes to `public`.
    pub(crate) fn from_seed(seed: &[u8; SEED_LEN], public: &mut [u8; PUBLIC_LEN]) -> Self {
        let key = ml_kem::DecapsulationKey::<MlKem768>::from_seed((*seed).into());
        public.copy_from_slice(&key.encapsulation_key().to_bytes());
        Self(key)
    }

    pub(crate) fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_LEN], out: &mut [u8; 32]) {
        out.copy_from_slice(&self.0.decapsulate(ciphertext.into()));
    }

    /// A key in the expanded form of FIPS 203, in which vectors give it.
    #[cfg(test)]
    #[expect(deprecated, reason = "stored keys are seeds; only vectors have the expanded form")]
    pub(super) fn from_expanded(key: &[u8; 2400]) -> Self {
        Self(ml_kem::DecapsulationKey::from_expanded(key.into()).expect("a key that is consistent"))
    }

    #[cfg(test)]
    #[expect(deprecated, reason = "stored keys are seeds; only vectors have the expanded form")]
    pub(super) fn to_expanded(&self) -> [u8; 2400] {
        ml_kem::ExpandedKeyEncoding::to_expanded_bytes(&self.0).into()
    }
}

/// `public` has passed the modulus check.
pub(crate) fn kem_encapsulate(
    public: &[u8; PUBLIC_LEN],
    randomness: &[u8; 32],
    ciphertext: &mut [u8; CIPHERTEXT_LEN],
    out: &mut [u8; 32],
) {
    // The only error is a key that fails the modulus check; `out` then stays zero.
    if let Ok(key) = ml_kem::EncapsulationKey::<MlKem768>::new(public.into()) {
        let (sent, shared) = key.encapsulate_deterministic(randomness.into());
        ciphertext.copy_from_slice(&sent);
        out.copy_from_slice(&shared);
    }
}
