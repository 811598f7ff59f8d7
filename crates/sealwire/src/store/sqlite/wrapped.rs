//! States whose key a key service guards too: opening one, and having one from now on, another
//! one, or none.

use std::path::{Path, PathBuf};

use sealwire_core::KeyStore;
use sealwire_custody::system_rng;
use sealwire_envelope::kms::{KeyId, Kms};

use super::{
    Claim, LADDER, Options, SqliteStore, claim,
    key_file::{self, Candidate, KeyFiles, of_file},
    migration,
};
use crate::store::{Damage, Error, StateKey, WrappedStateKey};

impl SqliteStore {
    /// As [`SqliteStore::open`], for a state that takes `kms` too. A new one is made so.
    ///
    /// The key service is asked once, while the state is opened, and never after that.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use sealwire::{core::MemoryKeyStore, custody, store::{Options, SqliteStore}};
    /// use sealwire::envelope::local::{LocalKek, LocalKeys};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let home = tempfile::tempdir()?;
    /// # let state = home.path().join("state");
    /// let keys = MemoryKeyStore::generate(&mut custody::system_rng())?;
    /// let kek = LocalKeys::generate("agents", &mut custody::system_rng())?;
    /// let kms = LocalKek::new(Arc::new(kek), custody::system_rng());
    /// let store = SqliteStore::open_wrapped(&state, &keys, &kms, Options::new()).await?;
    /// drop(store);
    ///
    /// let refused = SqliteStore::open(&state, &keys, Options::new()).expect_err("not alone");
    /// assert!(refused.to_string().contains("is wrapped by the key local:agents"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`SqliteStore::open`]; [`Error::KmsNew`], [`Error::OtherKms`], [`Error::Kms`].
    // STA-22
    pub async fn open_wrapped(
        directory: impl AsRef<Path>,
        keys: &dyn KeyStore,
        kms: &dyn Kms,
        options: Options,
    ) -> Result<Self, Error> {
        let (directory, claim) = claim(directory.as_ref())?;
        let key = match KeyFiles::read(&directory)? {
            Some(files) => find(&directory, &files, keys, Some(kms)).await?,
            None => {
                let (key, file) = draw(&directory, keys, Some(kms)).await?;
                key_file::create(&directory, &file)?;
                key
            }
        };
        Self::open_claimed(directory, claim, &key, options, &LADDER)
    }

    /// Has the key of a state wrapped anew, by the newest version of the key of `kms`, and sealed
    /// to the newest exchange keys. The state key itself stays. Gives the version.
    ///
    /// For after a rotation of either; the older version must still unwrap.
    ///
    /// # Errors
    /// As [`SqliteStore::open_wrapped`]; nothing has changed then.
    // STA-24
    pub async fn rewrap(
        directory: impl AsRef<Path>,
        keys: &dyn KeyStore,
        kms: &dyn Kms,
    ) -> Result<KeyId, Error> {
        let (directory, _claim) = claim(directory.as_ref())?;
        find(&directory, &there(&directory)?, keys, Some(kms)).await?;
        // Anew: finding the key may have put another file in its place.
        let bytes = there(&directory)?.current;
        let failed = |error| of_file(&directory, keys, &bytes, error);
        let file = WrappedStateKey::read(keys, &bytes).map_err(failed)?;
        let rewrapped = file.rewrap(keys, kms, &mut system_rng()).await.map_err(failed)?;
        key_file::replace(&directory, rewrapped.as_bytes())?;
        Ok(rewrapped.wrapped().id())
    }

    /// Has a state guarded by `to` from now on: by that key service and the agent's keys, or where
    /// there is none, by the agent's keys alone. `from` is what guards it now.
    ///
    /// The state gets another key, and every row is sealed anew, so that older copies of the file
    /// with the key open nothing that is written from then on. Interrupted at any time, it is
    /// undone or brought to its end when the state is opened the next time.
    ///
    /// # Security
    /// Copies of the whole state that were made before open as they did before.
    ///
    /// # Errors
    /// As [`SqliteStore::open_wrapped`].
    // STA-23
    pub async fn change_kms(
        directory: impl AsRef<Path>,
        keys: &dyn KeyStore,
        from: Option<&dyn Kms>,
        to: Option<&dyn Kms>,
        options: Options,
    ) -> Result<(), Error> {
        let (directory, claim) = claim(directory.as_ref())?;
        let before = find(&directory, &there(&directory)?, keys, from).await?;
        let (after, file) = draw(&directory, keys, to).await?;
        Self::rekey(directory, claim, [&before, &after], &file, options)
    }

    fn rekey(
        directory: PathBuf,
        claim: Claim,
        [before, after]: [&StateKey; 2],
        file: &[u8],
        options: Options,
    ) -> Result<(), Error> {
        let store = Self::open_claimed(directory, claim, before, options, &LADDER)?;
        key_file::prepare(&store.directory, file)?;
        migration::rekey(&mut store.lock(), &store.keys, after)?;
        key_file::rename(&store.directory)
    }
}

/// The files of a state that must be there.
fn there(directory: &Path) -> Result<KeyFiles, Error> {
    let damaged = || Error::Damaged { path: directory.to_owned(), what: Damage::KeyFile };
    KeyFiles::read(directory)?.ok_or_else(damaged)
}

/// The key of a state that is guarded as it is said to be.
async fn find(
    directory: &Path,
    files: &KeyFiles,
    keys: &dyn KeyStore,
    kms: Option<&dyn Kms>,
) -> Result<StateKey, Error> {
    let current = open(directory, keys, kms, &files.current).await;
    let next = match &files.next {
        Some(next) => Some(open(directory, keys, kms, next).await),
        None => None,
    };
    files.settle(current, next)
}

// STA-22
async fn open(
    directory: &Path,
    keys: &dyn KeyStore,
    kms: Option<&dyn Kms>,
    bytes: &[u8],
) -> Candidate {
    let own = Candidate::own(directory, keys, bytes);
    let Some(kms) = kms else { return own };
    let file = match (&own.key, WrappedStateKey::read(keys, bytes)) {
        (Ok(_), _) => {
            let refused = Some(Error::KmsNew { path: directory.to_owned() });
            return Candidate { refused, ..own };
        }
        (Err(_), Err(_)) => return own,
        (Err(_), Ok(file)) => file,
    };
    let key = file.open(keys, kms).await;
    let key = key.map_err(|error| of_file(directory, keys, bytes, error));
    Candidate { key, refused: None }
}

/// A new state key, and the file of it.
async fn draw(
    directory: &Path,
    keys: &dyn KeyStore,
    kms: Option<&dyn Kms>,
) -> Result<(StateKey, Vec<u8>), Error> {
    let Some(kms) = kms else { return key_file::draw(keys) };
    let drawn = WrappedStateKey::generate(keys, kms, &mut system_rng()).await;
    let (key, file) = drawn.map_err(|error| of_file(directory, keys, &[], error))?;
    Ok((key, file.as_bytes().to_vec()))
}
