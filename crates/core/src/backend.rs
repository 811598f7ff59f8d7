//! Two backends, one behaviour.
//!
//! Each offers the same items over plain bytes: `Cipher`, `ExchangeKey`, `KemKey`,
//! `kem_encapsulate`. Which one is used is fixed when the crate is compiled; with feature
//! `fast` the portable one is still there for the differential tests. What both must refuse
//! is checked before they are called, in `keys`, `kem` and `aead`.

#[cfg(feature = "fast")]
mod aws_lc;
#[cfg(any(test, not(feature = "fast")))]
mod rustcrypto;
mod xchacha;

#[cfg(feature = "fast")]
pub(crate) use aws_lc::{Cipher, ExchangeKey, KemKey, kem_encapsulate};
#[cfg(not(feature = "fast"))]
pub(crate) use rustcrypto::{Cipher, ExchangeKey, KemKey, kem_encapsulate};
pub(crate) use xchacha::{xchacha_open, xchacha_seal};

#[cfg(test)]
mod tests;
