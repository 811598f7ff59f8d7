//! AES-256-GCM and ChaCha20-Poly1305, in place and detached; XChaCha20-Poly1305 for blobs.

use core::fmt;

use crate::{Error, backend, secret::Secret, wipe};

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

    /// As [`AeadKey::seal_detached`], from `plaintext` to `out`, without a copy.
    ///
    /// # Errors
    /// As [`AeadKey::seal_detached`]; [`Error::Misuse`] for an `out` of another length.
    pub fn seal_into(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Error> {
        if plaintext.len() != out.len() {
            return Err(OTHER_LENGTH);
        }
        let tag = self.0.seal_into(nonce, associated, plaintext, out);
        tag.ok_or(Error::Misuse("a message over 2^36 bytes"))
    }

    /// As [`AeadKey::open_detached`], from `ciphertext` to `out`, without a copy.
    ///
    /// # Errors
    /// [`Error::Open`], and `out` is overwritten with zeros; [`Error::Misuse`] for an `out` of
    /// another length.
    pub fn open_into(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        ciphertext: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), Error> {
        if ciphertext.len() != out.len() {
            return Err(OTHER_LENGTH);
        }
        self.0.open_into(nonce, associated, ciphertext, tag, out).ok_or_else(|| {
            out.fill(0);
            Error::Open
        })
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

const OTHER_LENGTH: Error = Error::Misuse("a buffer as long as the message");

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
    let tag = wipe::stack(|| backend::xchacha_seal(key.expose(), nonce, associated, message))
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
    let opened = sealed.last_chunk::<TAG_LEN>().copied().and_then(|tag| {
        sealed.truncate(sealed.len().saturating_sub(TAG_LEN));
        wipe::stack(|| backend::xchacha_open(key.expose(), nonce, associated, sealed, &tag))
    });
    opened.ok_or_else(|| {
        sealed.fill(0);
        Error::Open
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    /// The byte in which one bit is flipped between sealing and opening.
    #[derive(Clone, Copy, Debug)]
    enum Change {
        Key(usize),
        Nonce(usize),
        Associated(usize),
        Ciphertext(usize),
        Tag(usize),
    }

    const CHANGES: [Change; 14] = [
        Change::Key(0),
        Change::Key(31),
        Change::Nonce(0),
        Change::Nonce(11),
        Change::Associated(0),
        Change::Associated(5),
        Change::Ciphertext(0),
        Change::Ciphertext(15),
        Change::Ciphertext(16),
        Change::Ciphertext(39),
        Change::Tag(0),
        Change::Tag(7),
        Change::Tag(8),
        Change::Tag(15),
    ];

    #[test]
    fn from_one_buffer_to_another_is_as_in_place() {
        for algorithm in ALGORITHMS {
            let key = AeadKey::new(algorithm, &Secret::init_with(|key| key.fill(7))).expect("key");
            for len in [0, 1, 16, 17, 1_000, 16_384] {
                let plaintext = vec![3; len];
                let mut sealed = plaintext.clone();
                let tag = key.seal_detached(&[1; 12], b"ad", &mut sealed).expect("sealed");
                let mut out = vec![0xFF; len];
                assert_eq!(key.seal_into(&[1; 12], b"ad", &plaintext, &mut out), Ok(tag));
                assert_eq!(out, sealed);

                let mut opened = vec![0xFF; len];
                assert_eq!(key.open_into(&[1; 12], b"ad", &sealed, &tag, &mut opened), Ok(()));
                assert_eq!(opened, plaintext);
                let refused = key.open_into(&[2; 12], b"ad", &sealed, &tag, &mut opened);
                assert_eq!((refused, opened), (Err(Error::Open), vec![0; len]));

                let mut longer = vec![0xFF; len + 1];
                let sealing = key.seal_into(&[1; 12], b"ad", &plaintext, &mut longer);
                let opening = key.open_into(&[1; 12], b"ad", &sealed, &tag, &mut longer);
                assert_eq!((sealing, opening), (Err(OTHER_LENGTH), Err(OTHER_LENGTH)));
                assert_eq!(longer, vec![0xFF; len + 1]);
            }
        }
    }

    /// The inputs of an opening.
    struct Opening<const NONCE: usize> {
        key: [u8; 32],
        nonce: [u8; NONCE],
        associated: Vec<u8>,
        ciphertext: Vec<u8>,
        tag: [u8; TAG_LEN],
    }

    impl<const NONCE: usize> Opening<NONCE> {
        fn changed(mut self, change: Change) -> Self {
            let byte = match change {
                Change::Key(place) => &mut self.key[place],
                Change::Nonce(place) => &mut self.nonce[place],
                Change::Associated(place) => &mut self.associated[place],
                Change::Ciphertext(place) => &mut self.ciphertext[place],
                Change::Tag(place) => &mut self.tag[place],
            };
            *byte ^= 0x10;
            self
        }

        fn key(&self) -> Secret<32> {
            Secret::from_slice(&self.key).expect("32 bytes")
        }
    }

    const ALGORITHMS: [Algorithm; 2] = [Algorithm::Aes256Gcm, Algorithm::ChaCha20Poly1305];
    const PLAINTEXT: [u8; 40] = *b"forty bytes, of which none may be shown.";

    fn sealed(algorithm: Algorithm) -> Opening<NONCE_LEN> {
        let (key, nonce, associated) = ([1; 32], [2; NONCE_LEN], b"header".to_vec());
        let mut ciphertext = PLAINTEXT.to_vec();
        let tag = AeadKey::new(algorithm, &Secret::from_slice(&key).expect("32 bytes"))
            .expect("a key")
            .seal_detached(&nonce, &associated, &mut ciphertext)
            .expect("a short message");
        Opening { key, nonce, associated, ciphertext, tag }
    }

    fn open(algorithm: Algorithm, sealed: Opening<NONCE_LEN>) -> (Result<(), Error>, Vec<u8>) {
        let key = AeadKey::new(algorithm, &sealed.key()).expect("a key");
        let mut message = sealed.ciphertext;
        let opened =
            key.open_detached(&sealed.nonce, &sealed.associated, &mut message, &sealed.tag);
        (opened, message)
    }

    fn xsealed() -> Opening<XNONCE_LEN> {
        let (key, nonce, associated) = ([1; 32], [2; XNONCE_LEN], b"header".to_vec());
        let mut ciphertext = PLAINTEXT.to_vec();
        let secret = Secret::from_slice(&key).expect("32 bytes");
        xchacha_seal(&secret, &nonce, &associated, &mut ciphertext).expect("a short message");
        let tag = *ciphertext.last_chunk().expect("a tag");
        ciphertext.truncate(PLAINTEXT.len());
        Opening { key, nonce, associated, ciphertext, tag }
    }

    fn xopen(sealed: &Opening<XNONCE_LEN>) -> (Result<(), Error>, Vec<u8>) {
        let mut message = [&sealed.ciphertext[..], &sealed.tag].concat();
        let opened = xchacha_open(&sealed.key(), &sealed.nonce, &sealed.associated, &mut message);
        (opened, message)
    }

    #[test]
    fn every_change_is_refused_and_the_buffer_is_zeroed() {
        for algorithm in ALGORITHMS {
            assert_eq!(open(algorithm, sealed(algorithm)), (Ok(()), PLAINTEXT.to_vec()));
            for change in CHANGES {
                let (opened, message) = open(algorithm, sealed(algorithm).changed(change));
                assert_eq!(opened, Err(Error::Open), "{algorithm:?} {change:?}");
                assert_eq!(message, [0; PLAINTEXT.len()], "{algorithm:?} {change:?}");
            }
        }
    }

    #[test]
    fn every_change_to_xchacha_is_refused_and_the_buffer_is_zeroed() {
        assert_eq!(xopen(&xsealed()), (Ok(()), PLAINTEXT.to_vec()));
        for change in CHANGES.into_iter().chain([Change::Nonce(12), Change::Nonce(23)]) {
            let (opened, message) = xopen(&xsealed().changed(change));
            assert_eq!(opened, Err(Error::Open), "{change:?}");
            assert_eq!(message, [0; PLAINTEXT.len()], "{change:?}");
        }
    }

    #[test]
    fn associated_data_of_another_length_is_refused() {
        for algorithm in ALGORITHMS {
            for associated in [&b""[..], b"heade", b"header\0"] {
                let opening = Opening { associated: associated.to_vec(), ..sealed(algorithm) };
                assert_eq!(open(algorithm, opening).0, Err(Error::Open));
            }
        }
    }

    #[test]
    fn a_byte_moved_between_associated_data_and_ciphertext_is_refused() {
        for algorithm in ALGORITHMS {
            let mut opening = sealed(algorithm);
            opening.associated.push(opening.ciphertext.remove(0));
            assert_eq!(open(algorithm, opening).0, Err(Error::Open), "{algorithm:?}");
        }
    }

    #[test]
    fn an_empty_message_is_authenticated_too() {
        let key = Secret::init_with(|key| key.fill(3));
        for algorithm in ALGORITHMS {
            let key = AeadKey::new(algorithm, &key).expect("a key");
            let tag = key.seal_detached(&[0; 12], b"header", &mut []).expect("short");
            assert_eq!(key.open_detached(&[0; 12], b"header", &mut [], &tag), Ok(()));
            let refused = key.open_detached(&[0; 12], b"footer", &mut [], &tag);
            assert_eq!(refused, Err(Error::Open), "{algorithm:?}");
        }
        let mut message = Vec::new();
        xchacha_seal(&key, &[0; 24], b"header", &mut message).expect("short");
        assert_eq!(message.len(), TAG_LEN);
        assert_eq!(xchacha_open(&key, &[0; 24], b"footer", &mut message.clone()), Err(Error::Open));
        assert_eq!(xchacha_open(&key, &[0; 24], b"header", &mut message), Ok(()));
        assert_eq!(message, [0; 0]);
    }

    #[test]
    fn sealed_bytes_shorter_than_a_tag_are_refused_and_zeroed() {
        let key = Secret::init_with(|key| key.fill(3));
        for len in 0..TAG_LEN {
            let mut message = vec![9; len];
            assert_eq!(xchacha_open(&key, &[0; 24], b"", &mut message), Err(Error::Open));
            assert_eq!(message, vec![0; len]);
        }
    }

    // One key of one algorithm says nothing under the other.
    #[test]
    fn the_other_algorithm_does_not_open() {
        let [gcm, chacha] = ALGORITHMS;
        assert_eq!(open(chacha, sealed(gcm)).0, Err(Error::Open));
        assert_eq!(open(gcm, sealed(chacha)).0, Err(Error::Open));
    }

    proptest! {
        #[test]
        fn opening_reverses_sealing(
            key: [u8; 32],
            nonce: [u8; 12],
            xnonce: [u8; 24],
            associated in vec(any::<u8>(), 0..50),
            plaintext in vec(any::<u8>(), 0..300),
        ) {
            let secret = Secret::from_slice(&key).expect("32 bytes");
            for algorithm in ALGORITHMS {
                let key = AeadKey::new(algorithm, &secret).expect("a key");
                let mut message = plaintext.clone();
                let tag = key.seal_detached(&nonce, &associated, &mut message).expect("short");
                key.open_detached(&nonce, &associated, &mut message, &tag).expect("as sealed");
                prop_assert_eq!(&message, &plaintext);
            }
            let mut message = plaintext.clone();
            xchacha_seal(&secret, &xnonce, &associated, &mut message).expect("short");
            xchacha_open(&secret, &xnonce, &associated, &mut message).expect("as sealed");
            prop_assert_eq!(&message, &plaintext);
        }
    }
}
