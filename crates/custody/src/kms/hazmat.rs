//! What is taken from the answers of key services, without a service (feature `hazmat`). For the
//! fuzz targets: an answer is judged and read by the code that does so with a service's.

use core::time::Duration;

use http::{HeaderValue, StatusCode};
use sealwire_core::wipe::WipedVec;
use sealwire_envelope::{
    Dek,
    kms::{KeyRef, KeyVersion, KmsError, Provider, Wrapped},
};

use super::{
    answer::{self, Answer},
    aws::answer as aws,
    vault::answer as vault,
};

/// What a service is taken to have been asked.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "these are the calls of a key service")]
pub enum Asked<'a> {
    /// For its key.
    Key,
    /// To wrap.
    Wrap,
    /// To unwrap this.
    Unwrap(&'a Wrapped),
    /// To rewrap this.
    Rewrap(&'a Wrapped),
}

/// An answer, as it came.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what is read of an answer")]
pub struct Told<'a> {
    /// The status of HTTP.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
}

/// What was taken from an answer.
#[expect(clippy::exhaustive_enums, reason = "these are the answers of a key service")]
#[expect(missing_debug_implementations, reason = "a key is not printed")]
pub enum Heard {
    /// The version of the key.
    Version(KeyVersion),
    /// A wrap.
    Wrapped(Wrapped),
    /// A data key.
    Dek(Dek),
}

/// Takes answers about one key.
pub trait Hears {
    /// What is taken from one.
    ///
    /// # Errors
    /// As the calls of [`Kms`](sealwire_envelope::kms::Kms).
    fn hear(&self, asked: Asked<'_>, told: &Told<'_>) -> Result<Heard, KmsError>;
}

/// A key of the transit engine of Vault or OpenBao.
#[expect(missing_debug_implementations, reason = "for tests alone")]
pub struct VaultKey(vault::Key);

/// A key of AWS KMS.
#[expect(missing_debug_implementations, reason = "for tests alone")]
pub struct AwsKey(aws::Key);

/// How long a service that says `value` is left alone.
pub fn retry_after(value: &[u8]) -> Option<Duration> {
    HeaderValue::from_bytes(value).ok().as_ref().and_then(answer::retry_after)
}

impl VaultKey {
    /// The key of this name.
    ///
    /// # Errors
    /// [`KmsError::Settings`] for a name that no key has.
    pub fn new(name: &str, algorithm: &str) -> Result<Self, KmsError> {
        let name = KeyRef::new(Provider::Vault, name)?;
        Ok(Self(vault::Key { name, algorithm: algorithm.to_owned() }))
    }
}

impl AwsKey {
    /// The key of this name.
    ///
    /// # Errors
    /// [`KmsError::Settings`] for a name that no key has.
    pub fn new(name: &str) -> Result<Self, KmsError> {
        Ok(Self(aws::Key { name: KeyRef::new(Provider::Aws, name)? }))
    }
}

impl Hears for VaultKey {
    fn hear(&self, asked: Asked<'_>, told: &Told<'_>) -> Result<Heard, KmsError> {
        let Self(key) = self;
        let answer = key.judge(told.answer()?)?;
        let outcome = || vault::only(key.outcomes(&answer, 1)?);
        match asked {
            Asked::Key => {
                let version = key.described(&answer)?.latest_version;
                KeyVersion::new(&version.to_string()).map(Heard::Version)
            }
            Asked::Wrap => key.wrapped(outcome()?).map(Heard::Wrapped),
            Asked::Unwrap(wrapped) => vault::Key::unwrapped(outcome(), wrapped).map(Heard::Dek),
            Asked::Rewrap(old) => key.rewrapped(outcome(), old).map(Heard::Wrapped),
        }
    }
}

impl Hears for AwsKey {
    fn hear(&self, asked: Asked<'_>, told: &Told<'_>) -> Result<Heard, KmsError> {
        let Self(key) = self;
        let answer = key.judge(told.answer()?)?;
        match asked {
            Asked::Key => {
                let described: aws::Described = aws::from_json(&answer.body)?;
                key.version_of(&described.key_metadata).map(Heard::Version)
            }
            Asked::Wrap => {
                let read_before = KeyVersion::new(aws::UNVERSIONED)?;
                key.encrypted(&answer, read_before).map(Heard::Wrapped)
            }
            Asked::Unwrap(_) => key.decrypted(&answer).map(Heard::Dek),
            Asked::Rewrap(old) => {
                key.re_encrypted(&answer, old.version.clone()).map(Heard::Wrapped)
            }
        }
    }
}

impl Told<'_> {
    fn answer(&self) -> Result<Answer, KmsError> {
        let status = StatusCode::from_u16(self.status);
        Ok(Answer {
            status: status.map_err(|_| KmsError::Answer("it has no status"))?,
            body: WipedVec::from(self.body.to_vec()),
            retry_after: self.retry_after.and_then(retry_after),
        })
    }
}
