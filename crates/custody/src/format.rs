//! The key file, without I/O. Specified in docs/spec/key-file.md.

use core::fmt;

use rand_core::TryCryptoRng;
use sealwire_core::keystore::KeySeeds;
#[cfg(test)]
use sealwire_core::secret::Secret;

use crate::{
    Error, Params, Passphrase,
    sealed::{Kind, SealedFile},
};

const KIND: Kind = Kind { magic: *b"sealkeys", what: "key file", max_contents: KeySeeds::MAX_LEN };

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
pub struct KeyFile(SealedFile);

impl KeyFile {
    /// Length of the longest key file, in bytes: as many sets of keys as are kept.
    // KEY-2
    pub const MAX_LEN: usize = KIND.max_len();

    /// Reads a key file. This needs no passphrase and proves nothing: whoever can write the
    /// file can write what this reads.
    ///
    /// # Errors
    /// [`Error::Decode`], which names the rule that is broken.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        SealedFile::from_bytes(&KIND, bytes).map(Self)
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// The cost of one guess at the passphrase.
    pub const fn params(&self) -> Params {
        self.0.params
    }

    /// Seals `seeds` under a new salt and a new nonce.
    pub(crate) fn seal<R: TryCryptoRng + ?Sized>(
        seeds: &KeySeeds,
        passphrase: &Passphrase,
        params: Params,
        rng: &mut R,
    ) -> Result<Self, Error> {
        SealedFile::seal(&KIND, seeds.to_bytes(), passphrase, params, rng).map(Self)
    }

    /// Opens the seal. Whoever calls this keeps what it returns inside the crate.
    pub(crate) fn open(&self, passphrase: &Passphrase) -> Result<KeySeeds, Error> {
        Ok(KeySeeds::from_bytes(&self.0.open(passphrase)?)?)
    }

    /// Whether the other file was sealed with the same salt or nonce.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        self.0.repeats(&other.0)
    }

    #[cfg(test)]
    fn open_with(&self, key: &Secret<32>) -> Result<KeySeeds, Error> {
        Ok(KeySeeds::from_bytes(&self.0.open_with(key)?)?)
    }
}

const _: () = assert!(KeyFile::MAX_LEN <= u16::MAX as usize, "the length is written as u16");

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SealedFile { kind: _, params, salt: _, nonce: _, sealed } = &self.0;
        f.debug_struct("KeyFile")
            .field("params", params)
            .field("sealed_len", &sealed.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
