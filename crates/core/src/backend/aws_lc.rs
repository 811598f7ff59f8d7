//! The fast backend: aws-lc-rs for AEADs and X25519, libcrux for ML-KEM-768.
//!
//! libcrux and not aws-lc for ML-KEM, since it takes a seed and the encapsulation randomness:
//! all randomness stays injected.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    agreement::{self, PrivateKey, UnparsedPublicKey, X25519},
};
use libcrux_ml_kem::mlkem768::{self, MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey};

use crate::{
    Error,
    aead::{Algorithm, NONCE_LEN, TAG_LEN},
    kem::{CIPHERTEXT_LEN, PUBLIC_LEN, SEED_LEN},
    wipe::Wiped,
};

/// aws-lc keeps the expanded key inline and does not clear it, hence the box that does.
pub(crate) struct Cipher(Wiped<LessSafeKey>);

impl Cipher {
    pub(crate) fn new(algorithm: Algorithm, key: &[u8; 32]) -> Result<Self, Error> {
        let algorithm = match algorithm {
            Algorithm::Aes256Gcm => &AES_256_GCM,
            Algorithm::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        crate::wipe::stack(|| {
            let key = UnboundKey::new(algorithm, key)
                .map_err(|_| Error::Unreachable("the key is 32 bytes long"))?;
            Ok(Self(Wiped::new(LessSafeKey::new(key))))
        })
    }

    pub(crate) fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        message: &mut [u8],
    ) -> Option<[u8; TAG_LEN]> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(associated), message).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// From one buffer to another of the same length.
    pub(crate) fn seal_into(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Option<[u8; TAG_LEN]> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let (associated, mut tag) = (Aad::from(associated), [0; TAG_LEN]);
        self.0.seal_out_of_place_scatter(nonce, associated, plaintext, out, &[], &mut tag).ok()?;
        Some(tag)
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
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0.open_separate_gather(nonce, Aad::from(associated), ciphertext, tag, out).ok()
    }

    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        message: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Option<()> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.0.open_in_place_separate_tag(nonce, Aad::from(associated), tag, message).ok()?;
        Some(())
    }
}

/// aws-lc holds the key in its own heap, which it cleanses when it frees it.
pub(crate) struct ExchangeKey(PrivateKey);

impl ExchangeKey {
    /// The key and its public half.
    pub(crate) fn from_bytes(secret: &[u8; 32]) -> Result<(Self, [u8; 32]), Error> {
        let refused = Error::Unreachable("the key is 32 bytes long");
        let key = PrivateKey::from_private_key(&X25519, secret).map_err(|_| refused.clone())?;
        let public = key.compute_public_key().map_err(|_| refused.clone())?;
        let public = public.as_ref().try_into().map_err(|_| refused)?;
        Ok((Self(key), public))
    }

    /// Writes the shared secret; false when it is zero.
    pub(crate) fn agree(&self, peer: &[u8; 32], out: &mut [u8; 32]) -> bool {
        let peer = UnparsedPublicKey::new(&X25519, peer);
        // aws-lc refuses a zero result itself (RFC 7748 section 6.1).
        agreement::agree(&self.0, peer, (), |shared| {
            out.copy_from_slice(shared.get(..32).ok_or(())?);
            Ok(())
        })
        .is_ok()
    }
}

pub(crate) struct KemKey(MlKem768PrivateKey);

impl KemKey {
    /// The key of a seed d || z; its encapsulation key goes to `public`.
    pub(crate) fn from_seed(seed: &[u8; SEED_LEN], public: &mut [u8; PUBLIC_LEN]) -> Self {
        let (private, encapsulation) = mlkem768::generate_key_pair(*seed).into_parts();
        public.copy_from_slice(encapsulation.as_ref());
        Self(private)
    }

    pub(crate) fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_LEN], out: &mut [u8; 32]) {
        let ciphertext = MlKem768Ciphertext::from(ciphertext);
        out.copy_from_slice(&mlkem768::decapsulate(&self.0, &ciphertext));
    }

    /// A key in the expanded form of FIPS 203, in which vectors give it.
    #[cfg(test)]
    pub(super) fn from_expanded(key: &[u8; 2400]) -> Self {
        Self(MlKem768PrivateKey::from(key))
    }

    #[cfg(test)]
    pub(super) fn to_expanded(&self) -> [u8; 2400] {
        *self.0.as_slice()
    }
}

/// `public` has passed the modulus check.
pub(crate) fn kem_encapsulate(
    public: &[u8; PUBLIC_LEN],
    randomness: &[u8; 32],
    ciphertext: &mut [u8; CIPHERTEXT_LEN],
    out: &mut [u8; 32],
) {
    let key = MlKem768PublicKey::from(public);
    let (sent, shared) = mlkem768::encapsulate(&key, *randomness);
    ciphertext.copy_from_slice(sent.as_ref());
    out.copy_from_slice(&shared);
}
