//! The key of one object.

use rand_core::TryCryptoRng;
use sealwire_core::{Error, rng, secret::Secret};

use crate::chunks::SALT_LEN;

/// The data key of one object: 32 bytes that were drawn when the object was sealed, and that
/// open it.
///
/// Only a writer of an object draws one, so that no key seals two objects. Who implements
/// [`Kms`](crate::kms::Kms) sees it, to wrap it and when it is unwrapped.
///
/// ```compile_fail,E0277
/// use sealwire_envelope::Dek;
/// // attack T37: a data key cannot be printed.
/// fn print(dek: &Dek) { println!("{dek:?}"); }
/// ```
#[expect(missing_debug_implementations, reason = "a key is not printed")]
pub struct Dek(Secret<{ Self::LEN }>);

impl Dek {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A key and the salt of its object.
    pub(crate) fn generate_with_salt<R: TryCryptoRng + ?Sized>(
        rng: &mut R,
    ) -> Result<(Self, [u8; SALT_LEN]), Error> {
        let (key, salt) = rng::draw_two(rng)?;
        Ok((Self(key), *salt.expose()))
    }

    pub(crate) const fn secret(&self) -> &Secret<{ Self::LEN }> {
        &self.0
    }

    /// What a key service unwrapped.
    ///
    /// # Errors
    /// [`Error::Misuse`] for another length than [`Dek::LEN`].
    pub fn from_unwrapped(bytes: &[u8]) -> Result<Self, Error> {
        Secret::from_slice(bytes).map(Self)
    }

    /// The bytes, to be wrapped. Do not copy them.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        self.0.expose()
    }
}
