//! What wraps data keys: a key service, or a key of our own.
//!
//! [`Kms`] is all that envelopes ask of one. Providers stand in `sealwire-custody`. Whatever
//! implements it is trusted with the keys of what it wraps, and with nothing else: a wrong key
//! that it unwraps opens no object, since each object commits to its key.

use core::{fmt, future::Future, pin::Pin, time::Duration};

use crate::{Dek, WrapBinding};

/// What a call of [`Kms`] gives: a future that can be sent to another thread.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, KmsError>> + Send + 'a>>;

/// A key service, and one key of it that wraps.
///
/// Every call may be repeated. None of them creates, changes or destroys a key.
pub trait Kms: Send + Sync + fmt::Debug {
    /// The key that wraps, by the name that stays its own: an ARN, never an alias.
    fn key(&self) -> &KeyRef;

    /// Whether the key wraps with a public half, so that anyone who has it can wrap. Then an object
    /// opens only if an accepted sealer signed it.
    fn is_public_key(&self) -> bool {
        false
    }

    /// The version of the key that wraps now.
    fn version(&self) -> Pending<'_, KeyVersion>;

    /// Wraps a data key, bound to `binding`.
    fn wrap<'a>(&'a self, dek: &'a Dek, binding: &'a WrapBinding) -> Pending<'a, Wrapped>;

    /// Unwraps one that this provider wrapped, with any version that it still has. A wrap that
    /// names another algorithm than the key has is refused with [`KmsError::Open`].
    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, binding: &'a WrapBinding) -> Pending<'a, Dek>;

    /// Wraps anew with the newest version of [`Kms::key`], where the service can within itself
    /// so that the data key never leaves it. The answers stand in the order of the wraps.
    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>>;
}

/// Names a key of a provider, for good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyRef {
    provider: Provider,
    key: String,
}

/// What kind of service holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// A key of our own, from a file.
    Local,
    /// The transit engine of Vault or OpenBao.
    Vault,
    /// AWS KMS.
    Aws,
    /// An agent, by its own X-Wing key. It has no service: see
    /// [`KeyRecord::unlock_as`](crate::KeyRecord::unlock_as).
    Agent,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 4] = [Self::Local, Self::Vault, Self::Aws, Self::Agent];

    /// The name in key records, settings and audit events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Vault => "vault",
            Self::Aws => "aws",
            Self::Agent => "agent",
        }
    }

    /// The provider of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name)
    }
}

impl KeyRef {
    /// Most bytes of a name.
    pub const MAX_LEN: usize = 512;

    /// A key by its name.
    ///
    /// # Errors
    /// [`KmsError::Settings`] for a name that is empty, too long, or holds a control character.
    pub fn new(provider: Provider, key: &str) -> Result<Self, KmsError> {
        Ok(Self { provider, key: name("a key", key, Self::MAX_LEN)? })
    }

    /// The provider.
    pub const fn provider(&self) -> Provider {
        self.provider
    }

    /// The key's own name.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// `provider:key`, for people.
impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider.as_str(), self.key)
    }
}

/// `provider:key, version 3`, for people.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, version {}", self.key, self.version.as_str())
    }
}

impl KeyVersion {
    /// Most bytes of a version.
    pub const MAX_LEN: usize = 128;

    /// A version by its name.
    ///
    /// # Errors
    /// [`KmsError::Settings`] for one that is empty, too long, or holds a control character.
    pub fn new(version: &str) -> Result<Self, KmsError> {
        Ok(Self(name("a version", version, Self::MAX_LEN)?))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn name(what: &str, text: &str, max: usize) -> Result<String, KmsError> {
    if text.is_empty() || text.len() > max || text.chars().any(char::is_control) {
        return Err(KmsError::Settings(format!(
            "the name of {what} has 1 to {max} bytes and no control characters"
        )));
    }
    Ok(text.to_owned())
}

/// A version of a key, as its provider names it: `3`, or the id of key material.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersion(String);

/// One version of one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a name has these two parts")]
pub struct KeyId {
    /// The key.
    pub key: KeyRef,
    /// Its version.
    pub version: KeyVersion,
}

/// A data key that was wrapped, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The key.
    pub key: KeyRef,
    /// Its version.
    pub version: KeyVersion,
    /// How it was wrapped, as the provider names it.
    pub algorithm: String,
    /// The wrapped key, as the provider gave it.
    pub ciphertext: Vec<u8>,
}

impl Wrapped {
    /// The key and its version.
    pub fn id(&self) -> KeyId {
        KeyId { key: self.key.clone(), version: self.version.clone() }
    }

    /// Most bytes of the name of an algorithm.
    pub const MAX_ALGORITHM_LEN: usize = 64;
    /// Most bytes of a wrapped key. AWS KMS gives 6,144 at most.
    pub const MAX_CIPHERTEXT_LEN: usize = 6 * 1024;

    /// Whether anyone who has a public key can make such a wrap: then it says nothing of who
    /// sealed the object.
    // ENV-24
    pub fn is_public_key(&self) -> bool {
        self.key.provider == Provider::Agent || self.is_classical_public_key()
    }

    /// Whether it rests on cryptography that a quantum computer breaks.
    // ENV-22
    pub(crate) fn is_classical_public_key(&self) -> bool {
        self.algorithm.starts_with("RSA")
    }
}

impl KmsError {
    /// Whether the same call may do better in a while.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Unavailable(_))
    }
}

/// Why a key service did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KmsError {
    /// The wrapped key does not open: of another object, tenant, key, or changed.
    #[error("the key service does not open this wrapped key")]
    Open,
    /// The caller may not use the key.
    #[error("the key service refuses: {0}; ask its administrator for the right to use the key")]
    Denied(String),
    /// The key is disabled, or waits for deletion.
    #[error("the key {0} is disabled or about to be deleted; enable it to open what it wrapped")]
    Disabled(String),
    /// There is no such key.
    #[error("the key service has no key {0}")]
    NotFound(String),
    /// The key has no such version, or one that may not be used any more.
    #[error("the key has no usable version {0}")]
    Version(String),
    /// Too many requests. It may be tried again.
    #[error("the key service asks to slow down")]
    Throttled(Option<Duration>),
    /// It could not be reached, or failed. It may be tried again.
    #[error("the key service cannot be used now: {0}")]
    Unavailable(String),
    /// Its answer does not fit the question.
    #[error("the key service gave an answer that does not fit: {0}")]
    Answer(&'static str),
    /// A setting is wrong.
    #[error("{0}")]
    Settings(String),
}
