//! A passphrase, and the key that Argon2id makes of it.

use core::fmt;

use argon2::{Algorithm, Argon2, Block, Version};
use sealwire_core::secret::Secret;
use zeroize::Zeroizing;

use crate::{Error, Params};

/// Length of the salt, in bytes (RFC 9106, section 3.1, recommends 16).
pub(crate) const SALT_LEN: usize = 16;

/// What the user knows. Wiped on drop; `Debug` prints nothing of it, not even its length.
///
/// The bytes are taken as they are: an application that reads text should take off the line
/// end and, where people type on different systems, normalise it (NFC).
///
/// ```
/// use sealwire_custody::Passphrase;
/// let passphrase = Passphrase::from_bytes(b"correct horse battery staple")?;
/// assert_eq!(format!("{passphrase:?}"), "Passphrase(..)");
/// let short = Passphrase::from_bytes(b"1234567").expect_err("seven bytes");
/// assert_eq!(short.to_string(), "the passphrase is shorter than 8 bytes");
/// # Ok::<(), sealwire_custody::Error>(())
/// ```
///
/// ```compile_fail,E0599
/// use sealwire_custody::Passphrase;
/// // attack T37: a passphrase cannot be cloned.
/// let passphrase = Passphrase::from_bytes(b"correct horse").expect("long enough").clone();
/// ```
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// The shortest accepted, in bytes (NIST SP 800-63B, section 5.1.1.1). A floor against
    /// accidents; a good passphrase is several random words.
    pub const MIN_LEN: usize = 8;
    /// The longest accepted, in bytes: far beyond what anyone types, and a bound on a file
    /// that is piped in by mistake.
    pub const MAX_LEN: usize = 1024;

    /// Copies a passphrase. The caller wipes the original.
    ///
    /// # Errors
    /// [`Error::Passphrase`] outside [`Passphrase::MIN_LEN`] to [`Passphrase::MAX_LEN`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::bounded(bytes.len())?;
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// Takes over a passphrase without a copy. Wiped also when it is refused.
    ///
    /// # Errors
    /// [`Error::Passphrase`] outside [`Passphrase::MIN_LEN`] to [`Passphrase::MAX_LEN`].
    pub fn from_string(text: String) -> Result<Self, Error> {
        let bytes = Zeroizing::new(text.into_bytes());
        Self::bounded(bytes.len())?;
        Ok(Self(bytes))
    }

    // KEY-13
    const fn bounded(len: usize) -> Result<(), Error> {
        match len {
            0 => Err(Error::Passphrase("is empty")),
            1..Self::MIN_LEN => Err(Error::Passphrase("is shorter than 8 bytes")),
            Self::MIN_LEN..=Self::MAX_LEN => Ok(()),
            _ => Err(Error::Passphrase("is longer than 1024 bytes")),
        }
    }

    /// Argon2id version 1.3 of the passphrase.
    // KEY-7
    pub(crate) fn derive(
        &self,
        params: Params,
        salt: &[u8; SALT_LEN],
    ) -> Result<Secret<32>, Error> {
        let out_of_bounds = |_| Error::Unreachable("the parameters are within Argon2's bounds");
        let argon2 = argon2::Params::new(
            params.memory_kib(),
            params.passes(),
            u32::from(params.lanes()),
            Some(32),
        )
        .map_err(out_of_bounds)?;
        let mut memory = memory(argon2.block_count()).ok_or(Error::Memory(params.memory_kib()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, argon2);
        Secret::try_init_with(|out: &mut [u8; 32]| {
            argon2.hash_password_into_with_memory(&self.0, salt, out, &mut **memory)
        })
        .map_err(out_of_bounds)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Argon2's own allocation is not wiped, and its last block gives the key: this one is.
fn memory(blocks: usize) -> Option<Zeroizing<Box<[Block]>>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(blocks).ok()?;
    memory.resize(blocks, Block::new());
    Some(Zeroizing::new(memory.into_boxed_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passphrases_outside_the_bounds_are_refused() {
        for (len, sentence) in [
            (0, "the passphrase is empty"),
            (7, "the passphrase is shorter than 8 bytes"),
            (1025, "the passphrase is longer than 1024 bytes"),
        ] {
            let text = "x".repeat(len);
            let refused = Passphrase::from_bytes(text.as_bytes()).expect_err(sentence);
            assert_eq!(refused.to_string(), sentence);
            assert_eq!(Passphrase::from_string(text).expect_err(sentence).to_string(), sentence);
        }
        for len in [8, 1024] {
            assert!(Passphrase::from_bytes(&vec![b'x'; len]).is_ok());
        }
    }

    #[test]
    fn each_input_of_the_derivation_changes_the_key() {
        let passphrase = |text: &str| Passphrase::from_string(text.into()).expect("long enough");
        let params = |memory, passes, lanes| Params::new(memory, passes, lanes).expect("bounds");
        let salt = [1; SALT_LEN];
        let keys = [
            passphrase("correct horse").derive(Params::MIN, &salt),
            passphrase("correct horsf").derive(Params::MIN, &salt),
            passphrase("correct horse").derive(Params::MIN, &[2; SALT_LEN]),
            passphrase("correct horse").derive(params(19_464, 2, 1), &salt),
            passphrase("correct horse").derive(params(19_456, 3, 1), &salt),
            passphrase("correct horse").derive(params(19_456, 2, 2), &salt),
        ]
        .map(|key| key.expect("derives"));
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key));
        }
        assert!(
            passphrase("correct horse").derive(Params::MIN, &salt).expect("derives") == keys[0]
        );
    }
}
