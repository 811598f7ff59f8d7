//! Who can decapsulate: a key in memory, or one that stays in a key store.

use sealwire_core::{
    Error,
    kem::SharedSecret,
    keystore::{KeyStore, KeyUse, KxId},
};

use crate::{XWingCiphertext, XWingPublic, combiner::combine};

/// Holds an X-Wing decapsulation key, or the way to one.
///
/// Sealed: a new place for private keys is a [`KeyStore`], which [`StoredKey`] makes a
/// recipient.
pub trait Recipient: Sealed {
    /// The shared secret of a ciphertext.
    ///
    /// A ciphertext that was made for another key, or changed on the way, gives a secret that
    /// nobody else has, and no error.
    ///
    /// # Errors
    /// [`Error::KeyStore`] when the key cannot be used now; [`Error::NonContributory`] when
    /// X25519 gives zero, which [`XWingCiphertext::from_bytes`] rules out.
    fn decapsulate(&self, ciphertext: &XWingCiphertext) -> Result<SharedSecret, Error>;
}

/// Keeps [`Recipient`] to this crate.
pub trait Sealed {}

/// An X-Wing key that stays in its key store.
///
/// The store computes ML-KEM and X25519 with [`KeyUse::Envelope`]; the two secrets are
/// combined here. Calls wait as long as the store does.
///
/// # Example
/// ```
/// use sealwire_core::{KeyStore, MemoryKeyStore};
/// use sealwire_hybrid::{Recipient, StoredKey};
/// # fn main() -> Result<(), sealwire_core::Error> {
/// # let mut rng = getrandom::SysRng;
/// let keys = MemoryKeyStore::generate(&mut rng)?;
/// let bob = StoredKey::new(&keys, keys.newest())?;
///
/// let (ciphertext, shared) = bob.public().encapsulate(&mut rng)?;
/// assert!(bob.decapsulate(&ciphertext)? == shared);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StoredKey<'a> {
    keys: &'a dyn KeyStore,
    kx: KxId,
    public: XWingPublic,
}

impl<'a> StoredKey<'a> {
    /// The X-Wing key of the set `kx`.
    ///
    /// # Errors
    /// [`Error::KeyStore`] when there is no such set.
    pub fn new(keys: &'a dyn KeyStore, kx: KxId) -> Result<Self, Error> {
        let publics = keys.public(kx)?;
        let public = XWingPublic::from_parts(publics.envelope_kem, publics.envelope);
        Ok(Self { keys, kx, public })
    }

    /// The public key.
    pub const fn public(&self) -> &XWingPublic {
        &self.public
    }
}

impl Sealed for StoredKey<'_> {}

impl Recipient for StoredKey<'_> {
    fn decapsulate(&self, ciphertext: &XWingCiphertext) -> Result<SharedSecret, Error> {
        let XWingCiphertext { ct_m, ct_x } = ciphertext;
        let ss_m = self.keys.decapsulate(self.kx, KeyUse::Envelope, ct_m)?;
        let ss_x = self.keys.agree(self.kx, KeyUse::Envelope, ct_x)?;
        Ok(combine(&ss_m, &ss_x, ct_x, self.public.exchange()))
    }
}
