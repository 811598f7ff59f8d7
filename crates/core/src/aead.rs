//! AES-256-GCM and ChaCha20-Poly1305, in place and detached; XChaCha20-Poly1305 for blobs.

use core::fmt;

use crate::{Error, backend, secret::Secret};

/// Length of a nonce, in bytes.
pub const NONCE_LEN: usize = 12;
/// Length of an authentication tag, in bytes.
pub const TAG_LEN: usize = 16;
/// Length of an XChaCha20-Poly1305 nonce, in bytes. Long enough to be drawn at random.
pub const XNONCE_LEN: usize = 24;

/// An AEAD algorithm (RFC 5116) with 32-byte keys, 12-byte nonces and 16-byte tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "follows Suite")]
pub enum Algorithm {
    /// AES-256-GCM, NIST SP 800-38D.
    Aes256Gcm,
    /// ChaCha20-Poly1305, RFC 8439.
    ChaCha20Poly1305,
}

/// A key, expanded once. The caller answers for nonces: one key, one nonce, one message.
pub struct AeadKey(backend::Cipher);

impl AeadKey {
    /// Expands `key` for `algorithm`.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the backend refuses a 32-byte key, which it never does.
    pub fn new(algorithm: Algorithm, key: &Secret<32>) -> Result<Self, Error> {
        backend::Cipher::new(algorithm, key.expose()).map(Self)
    }

    /// Encrypts `message` in place and gives its tag over `associated` and the ciphertext.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a message over 2^36 bytes, the bound of AES-GCM.
    pub fn seal_detached(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        message: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Error> {
        self.0.seal(nonce, associated, message).ok_or(Error::Misuse("a message over 2^36 bytes"))
    }

    /// Checks `tag` and decrypts `message` in place.
    ///
    /// # Errors
    /// [`Error::Open`], and `message` is overwritten with zeros.
    pub fn open_detached(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        message: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Error> {
        self.0.open(nonce, associated, message, tag).ok_or_else(|| {
            message.fill(0);
            Error::Open
        })
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey(..)")
    }
}

/// Seals `message` in place with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) and appends the
/// tag. The nonce is long enough to be drawn at random for each message.
///
/// # Errors
/// [`Error::Misuse`] for a message over 2^38 bytes.
pub fn xchacha_seal(
    key: &Secret<32>,
    nonce: &[u8; XNONCE_LEN],
    associated: &[u8],
    message: &mut Vec<u8>,
) -> Result<(), Error> {
    let tag = backend::xchacha_seal(key.expose(), nonce, associated, message)
        .ok_or(Error::Misuse("a message over 2^38 bytes"))?;
    message.extend_from_slice(&tag);
    Ok(())
}

/// Opens what [`xchacha_seal`] gave, in place; `sealed` then holds the plaintext.
///
/// # Errors
/// [`Error::Open`], and `sealed` is overwritten with zeros.
pub fn xchacha_open(
    key: &Secret<32>,
    nonce: &[u8; XNONCE_LEN],
    associated: &[u8],
    sealed: &mut Vec<u8>,
) -> Result<(), Error> {
    let tag = sealed.last_chunk::<TAG_LEN>().copied().ok_or(Error::Open)?;
    sealed.truncate(sealed.len().saturating_sub(TAG_LEN));
    backend::xchacha_open(key.expose(), nonce, associated, sealed, &tag).ok_or_else(|| {
        sealed.fill(0);
        Error::Open
    })
}
