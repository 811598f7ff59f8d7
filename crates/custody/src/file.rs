//! The key store in a file: the driver that reads and writes it.

use core::fmt;
use std::path::{Path, PathBuf};

use rand_core::TryCryptoRng;
use sealwire_core::{
    Error as CoreError, KeyStore, MemoryKeyStore,
    kem::{KemCiphertext, SharedSecret},
    keys::{Signature, VerifyingKey, X25519Public},
    keystore::{ExchangePublics, KeySeeds, KeyUse, KxId},
    label::Context,
};

use crate::{Error, KeyFile, Params, Passphrase, atomic::FileLock, private};

/// The private keys of one agent, in a file sealed under a passphrase.
///
/// They are drawn here, used here, and never leave: there is no method that returns one. The
/// methods that change the file ask for the passphrase again, so that the seeds need not stay
/// in memory between them.
pub struct FileKeyStore {
    path: PathBuf,
    keys: MemoryKeyStore,
}

impl FileKeyStore {
    /// Draws the keys of a new agent and writes them to a new file, under
    /// [`Params::RECOMMENDED`]. Missing directories are made, mode 0700.
    ///
    /// # Errors
    /// [`Error::Exists`] when anything has this name, and it is not touched; [`Error::Core`]
    /// when the generator fails, before anything is written; [`Error::Io`].
    pub fn create<R: TryCryptoRng + ?Sized>(
        path: impl AsRef<Path>,
        passphrase: &Passphrase,
        rng: &mut R,
    ) -> Result<Self, Error> {
        Self::create_with(path, passphrase, Params::RECOMMENDED, rng)
    }

    /// As [`FileKeyStore::create`], at another cost for each guess at the passphrase.
    ///
    /// # Errors
    /// As [`FileKeyStore::create`], and [`Error::Memory`].
    pub fn create_with<R: TryCryptoRng + ?Sized>(
        path: impl AsRef<Path>,
        passphrase: &Passphrase,
        params: Params,
        rng: &mut R,
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        private::refuse_unusable(path)?;
        let seeds = KeySeeds::generate(rng)?;
        let file = KeyFile::seal(&seeds, passphrase, params, rng)?;
        let keys = MemoryKeyStore::from_seeds(&seeds)?;
        let path = private::create(path, &file.to_bytes())?;
        Ok(Self { path, keys })
    }

    /// Opens a key file. It is never changed by this.
    ///
    /// # Errors
    /// [`Error::Open`] for a wrong passphrase or a changed file, [`Error::Decode`] for a file
    /// that is cut short or no key file, [`Error::Permissions`] when others may read it,
    /// [`Error::NotAFile`], [`Error::Memory`], [`Error::Io`].
    pub fn open(path: impl AsRef<Path>, passphrase: &Passphrase) -> Result<Self, Error> {
        let path = private::resolve(path.as_ref())?;
        let keys = MemoryKeyStore::from_seeds(&read(&path)?.open(passphrase)?)?;
        Ok(Self { path, keys })
    }

    /// Draws a further set of exchange keys under the same identity, stores it, and gives its
    /// number. Sets that other processes added since are taken over.
    ///
    /// # Errors
    /// As [`FileKeyStore::open`] and [`write_atomic`](crate::atomic::write_atomic); [`Error::OtherIdentity`];
    /// [`Error::Core`] when the generator fails or no further set is kept. This store then
    /// goes on with the keys that it had.
    pub fn rotate_exchange_keys<R: TryCryptoRng + ?Sized>(
        &mut self,
        passphrase: &Passphrase,
        rng: &mut R,
    ) -> Result<KxId, Error> {
        self.update(passphrase, passphrase, rng, KeySeeds::add_set)
    }

    /// Seals the same keys under another passphrase, at the same cost. Copies of the old file
    /// still open with the old one.
    ///
    /// # Errors
    /// As [`FileKeyStore::rotate_exchange_keys`].
    pub fn change_passphrase<R: TryCryptoRng + ?Sized>(
        &mut self,
        current: &Passphrase,
        new: &Passphrase,
        rng: &mut R,
    ) -> Result<(), Error> {
        self.update(current, new, rng, |_, _| Ok(()))
    }

    /// Where the keys are: the file itself, behind any symbolic link.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file anew under its lock, changes what it holds, and replaces it.
    fn update<T, R: TryCryptoRng + ?Sized>(
        &mut self,
        current: &Passphrase,
        new: &Passphrase,
        rng: &mut R,
        change: impl FnOnce(&mut KeySeeds, &mut R) -> Result<T, CoreError>,
    ) -> Result<T, Error> {
        // KEY-16
        let lock = FileLock::acquire(&self.path)?;
        let before = read(&self.path)?;
        let mut seeds = before.open(current)?;
        let changed = change(&mut seeds, rng)?;
        let keys = MemoryKeyStore::from_seeds(&seeds)?;
        if keys.identity() != self.keys.identity() {
            return Err(Error::OtherIdentity(self.path.clone()));
        }
        let after = KeyFile::seal(&seeds, new, before.params(), rng)?;
        // KEY-9
        if after.repeats(&before) {
            return Err(CoreError::Randomness.into());
        }
        lock.replace(&after.to_bytes(), private::MODE)?;
        self.keys = keys;
        Ok(changed)
    }
}

impl KeyStore for FileKeyStore {
    fn identity(&self) -> &VerifyingKey {
        self.keys.identity()
    }

    fn newest(&self) -> KxId {
        self.keys.newest()
    }

    fn public(&self, kx: KxId) -> Result<ExchangePublics, CoreError> {
        self.keys.public(kx)
    }

    fn sign(&self, message: &Context) -> Result<Signature, CoreError> {
        self.keys.sign(message)
    }

    fn agree(
        &self,
        kx: KxId,
        usage: KeyUse,
        peer: &X25519Public,
    ) -> Result<SharedSecret, CoreError> {
        self.keys.agree(kx, usage, peer)
    }

    fn decapsulate(
        &self,
        kx: KxId,
        usage: KeyUse,
        ciphertext: &KemCiphertext,
    ) -> Result<SharedSecret, CoreError> {
        self.keys.decapsulate(kx, usage, ciphertext)
    }
}

impl fmt::Debug for FileKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, keys: _ } = self;
        f.debug_struct("FileKeyStore").field("path", path).finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<KeyFile, Error> {
    KeyFile::from_bytes(&private::read(path, KeyFile::MAX_LEN)?)
}
