//! The layout of a key file, without I/O. Specified in docs/spec/key-file.md.

use core::fmt;

use rand_core::TryCryptoRng;
use sealwire_core::{
    DecodeReason, aead,
    codec::{Reader, Writer},
    keystore::KeySeeds,
    rng,
    secret::Secret,
};
use zeroize::Zeroizing;

use crate::{Error, Params, Passphrase, passphrase::SALT_LEN};

const MAGIC: &[u8; 8] = b"sealkeys";
const VERSION: u8 = 1;
/// Argon2id, version 1.3.
const ARGON2ID: u8 = 1;
const HEADER_LEN: usize = 8 + 1 + 1 + 4 + 4 + 1 + SALT_LEN + aead::XNONCE_LEN + 2;
const MAX_SEALED_LEN: usize = KeySeeds::MAX_LEN + aead::TAG_LEN;

/// A key file as it lies on the disk: parameters in clear, keys sealed.
///
/// ```text
/// magic 8 | version u8 | kdf u8 | memory KiB u32 | passes u32 | lanes u8
///   | salt 16 | nonce 24 | length u16 | sealed
/// ```
///
/// ```
/// use sealwire_custody::{FileKeyStore, KeyFile, Params, Passphrase, system_rng};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let home = tempfile::tempdir()?;
/// # let path = home.path().join("keys");
/// # let passphrase = Passphrase::from_bytes(b"correct horse battery staple")?;
/// FileKeyStore::create(&path, &passphrase, &mut system_rng())?;
/// let file = KeyFile::from_bytes(&std::fs::read(&path)?)?;
/// assert_eq!(file.params(), Params::default());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFile {
    params: Params,
    salt: [u8; SALT_LEN],
    nonce: [u8; aead::XNONCE_LEN],
    sealed: Vec<u8>,
}

impl KeyFile {
    /// Length of the longest key file, in bytes: as many sets of keys as are kept.
    // KEY-2
    pub const MAX_LEN: usize = HEADER_LEN + MAX_SEALED_LEN;

    /// Reads a key file. This needs no passphrase and proves nothing: whoever can write the
    /// file can write what this reads.
    ///
    /// # Errors
    /// [`Error::Decode`], which names the rule that is broken.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new("key file", bytes);
        if reader.array()? != MAGIC {
            // KEY-1
            return Err(reader.error(DecodeReason::Invalid("it does not begin like one")).into());
        }
        reader.version(VERSION)?; // KEY-3
        if bytes.len() > Self::MAX_LEN {
            return Err(reader.error(DecodeReason::TooLong(Self::MAX_LEN)).into());
        }
        if reader.u8()? != ARGON2ID {
            // KEY-4
            let rule = DecodeReason::Invalid("sealed with an unknown key derivation");
            return Err(reader.error(rule).into());
        }
        let params = Params::bounded(reader.u32()?, reader.u32()?, reader.u8()?)
            .map_err(|rule| reader.error(DecodeReason::Invalid(rule)))?;
        let salt = *reader.array()?;
        let nonce = *reader.array()?;
        let sealed = reader.bytes16(MAX_SEALED_LEN)?.to_vec();
        if sealed.len() <= aead::TAG_LEN {
            return Err(reader.error(DecodeReason::Invalid("nothing is sealed in it")).into());
        }
        reader.finish()?;
        Ok(Self { params, salt, nonce, sealed })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header(self.sealed.len());
        bytes.extend_from_slice(&self.sealed);
        bytes
    }

    /// The cost of one guess at the passphrase.
    pub const fn params(&self) -> Params {
        self.params
    }

    /// Seals `seeds` under a new salt and a new nonce.
    pub(crate) fn seal<R: TryCryptoRng + ?Sized>(
        seeds: &KeySeeds,
        passphrase: &Passphrase,
        params: Params,
        rng: &mut R,
    ) -> Result<Self, Error> {
        // KEY-9
        let salt = *rng::draw::<SALT_LEN>(rng)?.expose();
        let nonce = *rng::draw::<{ aead::XNONCE_LEN }>(rng)?.expose();
        if nonce.starts_with(&salt) {
            return Err(sealwire_core::Error::Randomness.into());
        }
        let key = passphrase.derive(params, &salt)?;
        Self { params, salt, nonce, sealed: Vec::new() }.seal_with(&key, seeds)
    }

    /// Opens the seal. Whoever calls this keeps what it returns inside the crate.
    pub(crate) fn open(&self, passphrase: &Passphrase) -> Result<KeySeeds, Error> {
        self.open_with(&passphrase.derive(self.params, &self.salt)?)
    }

    /// Whether the other file was sealed with the same salt or nonce.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        self.salt == other.salt || self.nonce == other.nonce
    }

    fn seal_with(mut self, key: &Secret<32>, seeds: &KeySeeds) -> Result<Self, Error> {
        let mut message = seeds.to_bytes();
        let header = self.header(message.len().saturating_add(aead::TAG_LEN));
        aead::xchacha_seal(key, &self.nonce, &header, &mut message)?;
        self.sealed = core::mem::take(&mut *message);
        Ok(self)
    }

    fn open_with(&self, key: &Secret<32>) -> Result<KeySeeds, Error> {
        let mut message = Zeroizing::new(self.sealed.clone());
        let header = self.header(self.sealed.len());
        // KEY-10
        aead::xchacha_open(key, &self.nonce, &header, &mut message).map_err(|_| Error::Open)?;
        Ok(KeySeeds::from_bytes(&message)?)
    }

    /// All that comes before the sealed part, which is its associated data.
    // KEY-8
    fn header(&self, sealed_len: usize) -> Vec<u8> {
        let Self { params, salt, nonce, sealed: _ } = self;
        let mut writer = Writer::new();
        writer.bytes(MAGIC).u8(VERSION).u8(ARGON2ID);
        writer.u32(params.memory_kib()).u32(params.passes()).u8(params.lanes());
        writer.bytes(salt).bytes(nonce);
        // Within MAX_SEALED_LEN, both when it was read and when it was sealed.
        writer.u16(u16::try_from(sealed_len).unwrap_or(u16::MAX));
        writer.into_bytes()
    }
}

const _: () = assert!(MAX_SEALED_LEN <= u16::MAX as usize, "the length is written as u16");

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { params, salt: _, nonce: _, sealed } = self;
        f.debug_struct("KeyFile")
            .field("params", params)
            .field("sealed_len", &sealed.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
