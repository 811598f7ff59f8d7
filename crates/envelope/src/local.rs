//! Keys of our own that wrap data keys, without a key service.

use std::sync::{Arc, Mutex, PoisonError};

use core::fmt;

use rand_core::TryCryptoRng;
use sealwire_core::{
    DecodeError, DecodeReason, aead::Algorithm, codec::Reader, label::Label, rng, secret::Secret,
};
use zeroize::Zeroizing;

use crate::{
    Dek, Error, WrapBinding,
    chunks::{COMMITMENT_LEN, OpenKey, SALT_LEN, SealKey},
    kms::{KeyRef, KeyVersion, Kms, KmsError, Pending, Provider, Wrapped},
};

/// What errors call the keys.
const WHAT: &str = "local key";

/// How a local key wraps: as objects are sealed, with AES-256-GCM.
pub const LOCAL_ALGORITHM: &str = "C2SP-chunked-encryption-AES-256-GCM";

/// Length of a data key that a local key wrapped, in bytes.
pub const LOCAL_WRAPPED_LEN: usize = SALT_LEN + COMMITMENT_LEN + Dek::LEN + 16;

/// A key of our own, with all its versions: what a file of keys keeps.
///
/// The newest version wraps. Older ones unwrap, for as long as they are kept.
pub struct LocalKeys {
    key: KeyRef,
    versions: Vec<Version>,
}

struct Version {
    number: u32,
    secret: Secret<32>,
}

impl LocalKeys {
    /// The most versions that are kept: a rotation every 90 days for 60 years.
    pub const MAX_VERSIONS: usize = 256;
    const VERSION: u8 = 1;
    /// Length of the longest encoding, in bytes.
    pub const MAX_LEN: usize = 1 + 2 + KeyRef::MAX_LEN + 2 + Self::MAX_VERSIONS * (4 + 32);

    /// Draws a key with one version. The name is what key records say of it; no two keys may have
    /// the same.
    ///
    /// # Errors
    /// [`Error::Kms`] for a name that [`KeyRef::new`] refuses; [`Error::Randomness`].
    pub fn generate<R: TryCryptoRng + ?Sized>(name: &str, rng: &mut R) -> Result<Self, Error> {
        let key = KeyRef::new(Provider::Local, name)?;
        let mut keys = Self { key, versions: Vec::with_capacity(1) };
        keys.rotate(rng)?;
        Ok(keys)
    }

    /// Draws the next version, which wraps from now on.
    ///
    /// # Errors
    /// [`Error::Randomness`]; [`Error::Misuse`] where [`LocalKeys::MAX_VERSIONS`] are kept.
    pub fn rotate<R: TryCryptoRng + ?Sized>(&mut self, rng: &mut R) -> Result<KeyVersion, Error> {
        if self.versions.len() >= Self::MAX_VERSIONS {
            return Err(Error::Misuse("as many versions as are kept; remove retired ones"));
        }
        let last = self.versions.last().map_or(0, |version| version.number);
        let number = last.checked_add(1).ok_or(Error::Misuse("version numbers are used up"))?;
        let secret = rng::draw(rng)?;
        // A generator that repeats itself would make two versions one.
        if self.versions.iter().any(|version| version.secret == secret) {
            return Err(Error::Randomness);
        }
        self.versions.push(Version { number, secret });
        Ok(version_name(number)?)
    }

    /// Takes an old version away. What it wrapped opens no more.
    ///
    /// # Errors
    /// [`Error::Misuse`] for the version that wraps, and for one that is not there.
    pub fn remove(&mut self, version: &KeyVersion) -> Result<(), Error> {
        let number = parse_version(version).ok_or(Error::Misuse("a version that is kept"))?;
        if self.versions.last().is_none_or(|newest| newest.number == number) {
            return Err(Error::Misuse("an old version, not the one that wraps"));
        }
        let at = self.versions.iter().position(|version| version.number == number);
        self.versions.remove(at.ok_or(Error::Misuse("a version that is kept"))?);
        Ok(())
    }

    /// The key's name.
    pub const fn key(&self) -> &KeyRef {
        &self.key
    }

    /// The versions, oldest first.
    ///
    /// # Errors
    /// [`KmsError::Settings`] never: numbers are names.
    pub fn versions(&self) -> Result<Vec<KeyVersion>, KmsError> {
        self.versions.iter().map(|version| version_name(version.number)).collect()
    }

    /// `version 1 | len16(name) | name | count u16 | (number u32 | key 32)*`
    // ENV-28
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Full capacity first: growing would leave copies of the secrets behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::MAX_LEN));
        let name = self.key.key().as_bytes();
        let len16 = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        bytes.push(Self::VERSION);
        bytes.extend_from_slice(&len16(name.len()));
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&len16(self.versions.len()));
        for Version { number, secret } in &self.versions {
            bytes.extend_from_slice(&number.to_be_bytes());
            bytes.extend_from_slice(secret.expose());
        }
        bytes
    }

    /// Reads what [`LocalKeys::to_bytes`] gave.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        // ENV-28
        reader.version(Self::VERSION)?;
        let invalid = |rule| DecodeError::new(WHAT, DecodeReason::Invalid(rule));
        let name = core::str::from_utf8(reader.bytes16(KeyRef::MAX_LEN)?);
        let name = name.map_err(|_| invalid("the name of a key is UTF-8"))?;
        let key = KeyRef::new(Provider::Local, name).map_err(|_| invalid("the name of a key"))?;
        let count = usize::from(reader.u16()?);
        if count == 0 || count > Self::MAX_VERSIONS {
            return Err(invalid("holds 1 to 256 versions"));
        }
        let mut versions: Vec<Version> = Vec::with_capacity(count);
        for _ in 0..count {
            let number = reader.u32()?;
            if versions.last().map_or(0, |last| last.number) >= number {
                return Err(invalid("version numbers ascend from 1"));
            }
            let secret: &[u8; 32] = reader.array()?;
            let secret = Secret::init_with(|out| out.copy_from_slice(secret));
            versions.push(Version { number, secret });
        }
        reader.finish()?;
        Ok(Self { key, versions })
    }

    fn secret(&self, version: &KeyVersion) -> Result<&Secret<32>, KmsError> {
        parse_version(version)
            .and_then(|number| self.versions.iter().find(|version| version.number == number))
            .map(|version| &version.secret)
            .ok_or_else(|| KmsError::Version(version.as_str().to_owned()))
    }

    fn newest(&self) -> Result<(KeyVersion, &Secret<32>), KmsError> {
        let newest = self.versions.last().ok_or(KmsError::Answer("there is always a version"))?;
        Ok((version_name(newest.number)?, &newest.secret))
    }
}

/// Names no secret.
impl fmt::Debug for LocalKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, versions } = self;
        f.debug_struct("LocalKeys").field("key", key).field("versions", &versions.len()).finish()
    }
}

fn version_name(number: u32) -> Result<KeyVersion, KmsError> {
    KeyVersion::new(&number.to_string())
}

/// Only the spelling that [`version_name`] gives.
fn parse_version(version: &KeyVersion) -> Option<u32> {
    let number: u32 = version.as_str().parse().ok()?;
    (number.to_string() == version.as_str()).then_some(number)
}

/// [`LocalKeys`] as a key service in this process.
///
/// Each wrap has a salt of its own from the generator that it was given, and so a key of its own:
/// there is no count of wraps that would ask for a rotation.
pub struct LocalKek<R> {
    keys: Arc<LocalKeys>,
    rng: Mutex<R>,
}

impl<R: TryCryptoRng + Send> LocalKek<R> {
    /// A key service over `keys`.
    pub const fn new(keys: Arc<LocalKeys>, rng: R) -> Self {
        Self { keys, rng: Mutex::new(rng) }
    }

    /// The keys.
    pub const fn keys(&self) -> &Arc<LocalKeys> {
        &self.keys
    }

    /// [`Kms::wrap`], at once.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`] where the random number generator failed.
    pub fn wrap_now(&self, dek: &Dek, binding: &WrapBinding) -> Result<Wrapped, KmsError> {
        let salt = {
            // A panic elsewhere leaves a generator a generator.
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            rng::draw::<SALT_LEN>(&mut *rng)
        };
        let salt = *salt.map_err(internal)?.expose();
        let (version, secret) = self.keys.newest()?;
        let ctx = context(&self.keys.key, &version, binding)?;
        // ENV-27
        let sealed = SealKey::new(Algorithm::Aes256Gcm, secret, &salt, &ctx).map_err(internal)?;
        let (key, commitment) = sealed;
        let mut chunk = Zeroizing::new([0; Dek::LEN + 16]);
        if let Some(start) = chunk.first_chunk_mut() {
            *start = *dek.expose();
        }
        key.seal_last(0, &mut *chunk).map_err(internal)?;
        Ok(Wrapped {
            key: self.keys.key.clone(),
            version,
            algorithm: LOCAL_ALGORITHM.to_owned(),
            ciphertext: [&salt[..], &commitment, &*chunk].concat(),
        })
    }

    /// [`Kms::unwrap`], at once.
    ///
    /// # Errors
    /// [`KmsError::Open`]; [`KmsError::Version`] for a version that is not kept;
    /// [`KmsError::NotFound`] for another key.
    pub fn unwrap_now(&self, wrapped: &Wrapped, binding: &WrapBinding) -> Result<Dek, KmsError> {
        let Wrapped { key, version, algorithm, ciphertext } = wrapped;
        if key != &self.keys.key {
            return Err(KmsError::NotFound(key.to_string()));
        }
        if algorithm != LOCAL_ALGORITHM || ciphertext.len() != LOCAL_WRAPPED_LEN {
            return Err(KmsError::Open);
        }
        let secret = self.keys.secret(version)?;
        let ctx = context(key, version, binding)?;
        let (salt, rest) = ciphertext.split_first_chunk().ok_or(KmsError::Open)?;
        let (commitment, chunk) = rest.split_first_chunk().ok_or(KmsError::Open)?;
        // ENV-27
        let opener = OpenKey::new(Algorithm::Aes256Gcm, secret, salt, &ctx, commitment);
        let opener = opener.map_err(internal)?;
        let mut chunk = Zeroizing::new(chunk.to_vec());
        let len = opener.open_last(0, &mut chunk).map_err(internal)?;
        let dek = chunk.get(..len).ok_or(KmsError::Open)?;
        Dek::from_unwrapped(dek).map_err(|_| KmsError::Open)
    }

    fn rewrap_now(&self, wrapped: &Wrapped, binding: &WrapBinding) -> Result<Wrapped, KmsError> {
        self.wrap_now(&self.unwrap_now(wrapped, binding)?, binding)
    }
}

/// `label || key || version || W`
// ENV-27
fn context(key: &KeyRef, version: &KeyVersion, binding: &WrapBinding) -> Result<Vec<u8>, KmsError> {
    let w = binding.to_context().map_err(internal)?;
    let fields = [key.key().as_bytes(), version.as_str().as_bytes(), w.as_bytes()];
    let context = Label::ENVELOPE_LOCAL.context(None, &fields);
    Ok(context.map_err(internal)?.as_bytes().to_vec())
}

fn internal(error: impl Into<Error>) -> KmsError {
    match error.into() {
        Error::Randomness => KmsError::Unavailable("the random number generator failed".into()),
        Error::Misuse(_) | Error::Unreachable(_) => KmsError::Answer("file a bug"),
        _ => KmsError::Open,
    }
}

impl<R: TryCryptoRng + Send> Kms for LocalKek<R> {
    fn key(&self) -> &KeyRef {
        &self.keys.key
    }

    fn version(&self) -> Pending<'_, KeyVersion> {
        Box::pin(core::future::ready(self.keys.newest().map(|(version, _)| version)))
    }

    fn wrap<'a>(&'a self, dek: &'a Dek, binding: &'a WrapBinding) -> Pending<'a, Wrapped> {
        Box::pin(core::future::ready(self.wrap_now(dek, binding)))
    }

    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, binding: &'a WrapBinding) -> Pending<'a, Dek> {
        Box::pin(core::future::ready(self.unwrap_now(wrapped, binding)))
    }

    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
        let rewrapped =
            wraps.iter().map(|(wrapped, binding)| self.rewrap_now(wrapped, binding)).collect();
        Box::pin(core::future::ready(Ok(rewrapped)))
    }
}

impl<R> fmt::Debug for LocalKek<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKek").field("keys", &self.keys).finish_non_exhaustive()
    }
}
