//! Bytes that must not leak: boxed, wiped on drop, compared in constant time.

use core::fmt;

use rand_core::TryCryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Error;

/// `N` secret bytes on the heap.
///
/// The box is never reallocated, so no copy stays behind when the value moves. There is no
/// `Clone`, `Deref` or serialisation, and `Debug` prints no bytes.
///
/// ```
/// use sealwire_core::secret::Secret;
/// let secret = Secret::from_slice(&[7; 32]).expect("32 bytes");
/// assert_eq!(format!("{secret:?}"), "Secret<32>(..)");
/// assert!(secret == Secret::<32>::from_slice(&[7; 32]).expect("32 bytes"));
/// ```
///
/// ```compile_fail,E0599
/// use sealwire_core::secret::Secret;
/// // attack T37: a secret cannot be cloned.
/// let secret = Secret::<32>::from_slice(&[7; 32]).expect("32 bytes").clone();
/// ```
///
/// ```compile_fail,E0277
/// use sealwire_core::secret::Secret;
/// // attack T37: a secret cannot be printed.
/// println!("{}", Secret::<32>::from_slice(&[7; 32]).expect("32 bytes"));
/// ```
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Fills a new secret in place, so that no copy is left on the caller's stack.
    pub fn init_with(fill: impl FnOnce(&mut [u8; N])) -> Self {
        // Already a Secret while it is filled: a filler that panics leaves nothing behind.
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0);
        secret
    }

    /// As [`Secret::init_with`], for a filler that can fail; a partly filled secret is wiped.
    ///
    /// # Errors
    /// Whatever `fill` returns.
    pub fn try_init_with<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// Copies a slice of exactly `N` bytes.
    ///
    /// # Errors
    /// [`Error::Misuse`] when the length differs.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() != N {
            return Err(Error::Misuse("a secret of another length"));
        }
        Ok(Self::init_with(|out| out.copy_from_slice(bytes)))
    }

    /// Draws `N` random bytes.
    ///
    /// # Errors
    /// [`Error::Randomness`] when the generator fails or gives only zeros.
    pub fn random<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        crate::rng::draw(rng)
    }

    /// The bytes. Do not copy them.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> ConstantTimeEq for Secret<N> {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.as_slice().ct_eq(other.0.as_slice())
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

/// Compares two byte strings in constant time; strings of different length are unequal.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_sees_every_byte() {
        let zero = Secret::<32>::init_with(|_| {});
        for index in 0..32 {
            let other = Secret::<32>::init_with(|bytes| bytes[index] = 1);
            assert_ne!(zero, other);
        }
        assert_eq!(zero, Secret::init_with(|_| {}));
        assert!(!equal(&[0; 3], &[0; 4]));
    }

    // attack T34: Debug shows no byte in any of the usual spellings.
    #[test]
    fn debug_shows_no_bytes() {
        let secret = Secret::<32>::init_with(|bytes| bytes.fill(0xA7));
        let shown = format!("{secret:?} {secret:#?}");
        for spelling in ["a7", "A7", "167", "p6en"] {
            assert!(!shown.contains(spelling), "{shown}");
        }
        // The control: the same check does see a leak.
        assert!(format!("{:?}", secret.expose()).contains("167"));
    }

    #[test]
    fn wrong_length_is_misuse() {
        assert!(matches!(Secret::<32>::from_slice(&[0; 31]), Err(Error::Misuse(_))));
    }
}
