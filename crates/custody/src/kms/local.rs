//! A key of our own that wraps data keys, in a file sealed under a passphrase. Specified in
//! docs/spec/key-file.md.

use core::fmt;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rand_core::TryCryptoRng;
use sealwire_core::Error as CoreError;
use sealwire_envelope::{
    kms::KeyVersion,
    local::{LocalKek, LocalKeys},
};

use crate::{
    Error, Params, Passphrase,
    atomic::FileLock,
    private,
    sealed::{Kind, SealedFile},
};

// KEK-1
const KIND: Kind = Kind { magic: *b"sealkeks", what: "KEK file", max_contents: LocalKeys::MAX_LEN };
const _: () = assert!(KIND.max_len() <= u16::MAX as usize, "the length is written as u16");

/// A key of our own with its versions, in a file that is sealed as a key file is.
///
/// What it wraps is lost with it: keep a copy, and the passphrase. Whoever has both opens all
/// that it wrapped, which a key service would not let anybody do unseen.
///
/// ```
/// use sealwire_custody::{Passphrase, kms::KekFile, system_rng};
/// use sealwire_envelope::kms::Kms;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let home = tempfile::tempdir()?;
/// # let path = home.path().join("kek");
/// let passphrase = Passphrase::from_bytes(b"correct horse battery staple")?;
/// let mut kek = KekFile::create(&path, "archive", &passphrase, &mut system_rng())?;
/// assert_eq!(kek.rotate(&passphrase, &mut system_rng())?.as_str(), "2");
/// let kms = KekFile::open(&path, &passphrase)?.kms(system_rng());
/// assert_eq!(kms.key().key(), "archive");
/// # Ok(())
/// # }
/// ```
pub struct KekFile {
    path: PathBuf,
    keys: Arc<LocalKeys>,
}

impl KekFile {
    /// Draws a key and writes it to a new file, under [`Params::RECOMMENDED`]. `name` is what
    /// key records say of it: no two keys may have the same. Missing directories are made, mode
    /// 0700.
    ///
    /// # Errors
    /// [`Error::Exists`] when anything has this name, and it is not touched; [`Error::Envelope`]
    /// for a name that is none, or when the generator fails; [`Error::Io`].
    pub fn create<R: TryCryptoRng + ?Sized>(
        path: impl AsRef<Path>,
        name: &str,
        passphrase: &Passphrase,
        rng: &mut R,
    ) -> Result<Self, Error> {
        Self::create_with(path, name, passphrase, Params::RECOMMENDED, rng)
    }

    /// As [`KekFile::create`], at another cost for each guess at the passphrase.
    ///
    /// # Errors
    /// As [`KekFile::create`], and [`Error::Memory`].
    pub fn create_with<R: TryCryptoRng + ?Sized>(
        path: impl AsRef<Path>,
        name: &str,
        passphrase: &Passphrase,
        params: Params,
        rng: &mut R,
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        private::refuse_unusable(path)?;
        let keys = LocalKeys::generate(name, rng)?;
        let file = SealedFile::seal(&KIND, keys.to_bytes(), passphrase, params, rng)?;
        let path = private::create(path, &file.to_bytes())?;
        Ok(Self { path, keys: Arc::new(keys) })
    }

    /// Opens a file. It is never changed by this.
    ///
    /// # Errors
    /// [`Error::Open`] for a wrong passphrase or a changed file, [`Error::Decode`] for a file
    /// that is cut short or no KEK file, [`Error::Permissions`] when others may read it,
    /// [`Error::NotAFile`], [`Error::Memory`], [`Error::Io`].
    pub fn open(path: impl AsRef<Path>, passphrase: &Passphrase) -> Result<Self, Error> {
        let path = private::resolve(path.as_ref())?;
        let keys = Arc::new(LocalKeys::from_bytes(&read(&path)?.open(passphrase)?)?);
        Ok(Self { path, keys })
    }

    /// Draws the next version, which wraps from then on, and stores it. Versions that other
    /// processes added since are taken over.
    ///
    /// # Errors
    /// As [`KekFile::open`] and [`write_atomic`](crate::atomic::write_atomic); [`Error::OtherKey`];
    /// [`Error::Envelope`] when the generator fails or no further version is kept. This value
    /// then goes on with the versions that it had.
    pub fn rotate<R: TryCryptoRng + ?Sized>(
        &mut self,
        passphrase: &Passphrase,
        rng: &mut R,
    ) -> Result<KeyVersion, Error> {
        self.update(passphrase, passphrase, rng, |keys, rng| Ok(keys.rotate(rng)?))
    }

    /// Takes an old version away. What it wrapped opens no more, but with an older copy of the
    /// file.
    ///
    /// # Errors
    /// As [`KekFile::rotate`]; [`Error::Envelope`] for the version that wraps, and for one that
    /// is not there.
    pub fn remove<R: TryCryptoRng + ?Sized>(
        &mut self,
        version: &KeyVersion,
        passphrase: &Passphrase,
        rng: &mut R,
    ) -> Result<(), Error> {
        self.update(passphrase, passphrase, rng, |keys, _| Ok(keys.remove(version)?))
    }

    /// Seals the same key under another passphrase, at the same cost. Copies of the old file
    /// still open with the old one.
    ///
    /// # Errors
    /// As [`KekFile::rotate`].
    pub fn change_passphrase<R: TryCryptoRng + ?Sized>(
        &mut self,
        current: &Passphrase,
        new: &Passphrase,
        rng: &mut R,
    ) -> Result<(), Error> {
        self.update(current, new, rng, |_, _| Ok(()))
    }

    /// Where the key is: the file itself, behind any symbolic link.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key as a service in this process, with the versions that it has now.
    pub fn kms<R: TryCryptoRng + Send>(&self, rng: R) -> LocalKek<R> {
        LocalKek::new(self.keys.clone(), rng)
    }

    /// Reads the file anew under its lock, changes what it holds, and replaces it.
    // KEK-3
    fn update<T, R: TryCryptoRng + ?Sized>(
        &mut self,
        current: &Passphrase,
        new: &Passphrase,
        rng: &mut R,
        change: impl FnOnce(&mut LocalKeys, &mut R) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let lock = FileLock::acquire(&self.path)?;
        let before = read(&self.path)?;
        let mut keys = LocalKeys::from_bytes(&before.open(current)?)?;
        if keys.key() != self.keys.key() {
            return Err(Error::OtherKey(self.path.clone()));
        }
        let changed = change(&mut keys, rng)?;
        let after = SealedFile::seal(&KIND, keys.to_bytes(), new, before.params, rng)?;
        if after.repeats(&before) {
            return Err(CoreError::Randomness.into());
        }
        lock.replace(&after.to_bytes(), private::MODE)?;
        self.keys = Arc::new(keys);
        Ok(changed)
    }
}

impl fmt::Debug for KekFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, keys } = self;
        f.debug_struct("KekFile").field("path", path).field("keys", keys).finish()
    }
}

// KEK-2
fn read(path: &Path) -> Result<SealedFile, Error> {
    SealedFile::from_bytes(&KIND, &private::read(path, KIND.max_len())?)
}
