//! A state key that takes two to open: the agent's own keys, and a key service.
//!
//! ```text
//! own share      32 random bytes, sealed to the agent's X-Wing key ─┐
//!                                                                   ├─HKDF─ state key
//! service share  32 random bytes, wrapped by the key service ───────┘
//!
//! file = magic, version, identity, id | own share, sealed | service share, wrapped | signature
//! ```

use core::fmt;

use rand_core::TryCryptoRng;
use sealwire_core::{
    DecodeError, DecodeReason, Error as CoreError, KeyStore,
    codec::{Reader, Writer},
    kdf,
    keys::Signature,
    keystore::KxId,
    label::{Context, Label},
    rng,
    secret::{Secret, equal},
    wipe,
};
use sealwire_envelope::{
    Dek, ObjectId, WrapBinding,
    kms::{KeyRef, KeyVersion, Kms, KmsError, Provider, Wrapped},
};
use sealwire_hybrid::{OVERHEAD, StoredKey, open_from, seal_to};

use super::{
    StateKey, StateKeyError,
    key::{KEY_LEN, MAGIC, SIGNATURE_LEN, WRAPPED as VERSION},
};

/// What errors call it.
const WHAT: &str = "wrapped state key";
const HEADER_LEN: usize = MAGIC.len() + 1 + 32 + ObjectId::LEN;
const SEALED_LEN: usize = KEY_LEN + OVERHEAD;
/// What takes the place of an object's tenant where a key service is asked.
// STA-20
const TENANT: &str = "sealwire/v1/state";

/// The file of a state key that a key service guards too, read and found to be this agent's.
///
/// Neither the agent's keys nor the key service opens it alone: a thief of the disk and of the
/// passphrase lacks what the service has, and whoever runs the service lacks the agent's keys.
///
/// ```
/// use std::sync::Arc;
/// use sealwire::{core::MemoryKeyStore, custody, store::WrappedStateKey};
/// use sealwire::envelope::local::{LocalKek, LocalKeys};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut rng = custody::system_rng();
/// let keys = MemoryKeyStore::generate(&mut rng)?;
/// let kek = LocalKeys::generate("agents", &mut rng)?;
/// let kms = LocalKek::new(Arc::new(kek), custody::system_rng());
///
/// let (state_key, file) = WrappedStateKey::generate(&keys, &kms, &mut rng).await?;
/// let file = WrappedStateKey::read(&keys, file.as_bytes())?;
/// assert_eq!(file.wrapped().key.to_string(), "local:agents");
/// assert!(file.open(&keys, &kms).await? == state_key);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedStateKey {
    id: ObjectId,
    kx: KxId,
    sealed: Vec<u8>,
    wrapped: Wrapped,
    bytes: Vec<u8>,
}

impl WrappedStateKey {
    /// Length of the longest file, in bytes.
    // STA-19
    pub const MAX_LEN: usize = HEADER_LEN
        + 4
        + SEALED_LEN
        + 5 * 2
        + MAX_PROVIDER_LEN
        + KeyRef::MAX_LEN
        + KeyVersion::MAX_LEN
        + Wrapped::MAX_ALGORITHM_LEN
        + Wrapped::MAX_CIPHERTEXT_LEN
        + SIGNATURE_LEN;

    /// Draws a state key and its two shares. The service has opened what it wrapped when this
    /// returns.
    ///
    /// # Errors
    /// [`StateKeyError::Kms`], [`StateKeyError::Core`].
    // STA-19, STA-20, STA-21
    pub async fn generate<R: TryCryptoRng + ?Sized>(
        keys: &dyn KeyStore,
        kms: &dyn Kms,
        rng: &mut R,
    ) -> Result<(StateKey, Self), StateKeyError> {
        let id = ObjectId::from_bytes(*rng::draw(rng)?.expose());
        // Two that are equal would show the service the other one.
        let [own, service] = rng::draw_distinct(rng)?;
        let service = Dek::from_unwrapped(service.expose())?;
        let binding = binding(&header(keys, id))?;
        let wrapped = kms.wrap(&service, &binding).await?;
        prove(kms, &service, &wrapped, &binding).await?;
        let key = combine(keys, id, &own, &service)?;
        Ok((key, Self::new(keys, id, &own, wrapped, rng)?))
    }

    /// Reads a file, and verifies that this agent made it. The key service is not asked.
    ///
    /// # Errors
    /// [`StateKeyError::OtherAgent`], [`StateKeyError::Changed`], [`StateKeyError::Decode`].
    // STA-19
    pub fn read(keys: &dyn KeyStore, bytes: &[u8]) -> Result<Self, StateKeyError> {
        let mut reader = Reader::new(WHAT, bytes);
        if bytes.len() > Self::MAX_LEN {
            return Err(reader.error(DecodeReason::TooLong(Self::MAX_LEN)).into());
        }
        if reader.array()? != MAGIC {
            return Err(reader.error(DecodeReason::Invalid("not a sealed state key")).into());
        }
        reader.version(VERSION)?;
        let identity: &[u8; 32] = reader.array()?;
        let id = ObjectId::from_bytes(*reader.array()?);
        let kx = KxId::new(reader.u32()?)
            .ok_or(reader.error(DecodeReason::Invalid("key numbers begin at 1")))?;
        let sealed = reader.take(SEALED_LEN)?.to_vec();
        let wrapped = read_wrapped(&mut reader)?;
        let end = bytes.len().saturating_sub(reader.rest().len());
        let signature: &[u8; SIGNATURE_LEN] = reader.array()?;
        reader.finish()?;
        if identity != keys.identity().as_bytes() {
            return Err(StateKeyError::OtherAgent);
        }
        let covered = bytes.get(..end).ok_or(StateKeyError::Changed)?;
        keys.identity()
            .verify(&signed(covered)?, &Signature::from_bytes(signature)?)
            .map_err(|_| StateKeyError::Changed)?;
        Ok(Self { id, kx, sealed, wrapped, bytes: bytes.to_vec() })
    }

    /// The state key, which takes the agent's keys and the key service.
    ///
    /// # Errors
    /// [`StateKeyError::OtherKms`] for a service with another key than the one that wrapped;
    /// [`StateKeyError::Kms`], [`StateKeyError::Changed`], [`StateKeyError::Core`].
    // STA-20
    pub async fn open(
        &self,
        keys: &dyn KeyStore,
        kms: &dyn Kms,
    ) -> Result<StateKey, StateKeyError> {
        let (own, service) = self.shares(keys, kms).await?;
        Ok(combine(keys, self.id, &own, &service)?)
    }

    /// The same state key, wrapped by the newest version of the service's key and sealed to the
    /// newest exchange keys. The service has opened what it wrapped when this returns.
    ///
    /// # Errors
    /// As [`WrappedStateKey::open`].
    // STA-21, STA-24
    pub async fn rewrap<R: TryCryptoRng + ?Sized>(
        &self,
        keys: &dyn KeyStore,
        kms: &dyn Kms,
        rng: &mut R,
    ) -> Result<Self, StateKeyError> {
        let (own, service) = self.shares(keys, kms).await?;
        let binding = binding(&header(keys, self.id))?;
        let wraps = [(self.wrapped.clone(), binding)];
        let rewrapped = kms.rewrap(&wraps).await?.into_iter().next();
        let wrapped = rewrapped.ok_or(KmsError::Answer("it rewrapped nothing"))??;
        prove(kms, &service, &wrapped, &binding).await?;
        Ok(Self::new(keys, self.id, &own, wrapped, rng)?)
    }

    /// The wrapped share, with the key that wrapped it and its version.
    pub const fn wrapped(&self) -> &Wrapped {
        &self.wrapped
    }

    /// The file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn new<R: TryCryptoRng + ?Sized>(
        keys: &dyn KeyStore,
        id: ObjectId,
        own: &Secret<KEY_LEN>,
        wrapped: Wrapped,
        rng: &mut R,
    ) -> Result<Self, CoreError> {
        let kx = keys.newest();
        let mut bytes = before_sealed(keys, id, kx);
        let recipient = StoredKey::new(keys, kx)?;
        let sealed = seal_to(recipient.public(), &info()?, &bytes, own.expose(), rng)?;
        bytes.extend_from_slice(&sealed);
        write_wrapped(&mut bytes, &wrapped)?;
        let signature = keys.sign(&signed(&bytes)?)?;
        bytes.extend_from_slice(signature.as_bytes());
        Ok(Self { id, kx, sealed, wrapped, bytes })
    }

    async fn shares(
        &self,
        keys: &dyn KeyStore,
        kms: &dyn Kms,
    ) -> Result<(Secret<KEY_LEN>, Dek), StateKeyError> {
        if &self.wrapped.key != kms.key() {
            let (needs, given) = (self.wrapped.key.clone(), kms.key().clone());
            return Err(StateKeyError::OtherKms { needs, given });
        }
        let associated = before_sealed(keys, self.id, self.kx);
        let recipient = StoredKey::new(keys, self.kx)?;
        let own = open_from(&recipient, &info()?, &associated, &self.sealed);
        let own = own.map_err(|error| match error {
            CoreError::Open => StateKeyError::Changed,
            other => StateKeyError::Core(other),
        })?;
        let own = Secret::from_slice(&own)?;
        let service = kms.unwrap(&self.wrapped, &binding(&header(keys, self.id))?).await?;
        Ok((own, service))
    }
}

impl fmt::Debug for WrappedStateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, kx, sealed: _, wrapped, bytes: _ } = self;
        f.debug_struct("WrappedStateKey")
            .field("id", id)
            .field("kx", kx)
            .field("wrapped", &wrapped.id())
            .finish_non_exhaustive()
    }
}

/// A service that gave out what it does not open would lose the state.
// STA-21
async fn prove(
    kms: &dyn Kms,
    service: &Dek,
    wrapped: &Wrapped,
    binding: &WrapBinding,
) -> Result<(), KmsError> {
    if &wrapped.key != kms.key() {
        return Err(KmsError::Answer("it wrapped with another key"));
    }
    let again = kms.unwrap(wrapped, binding).await?;
    match equal(again.expose(), service.expose()) {
        true => Ok(()),
        false => Err(KmsError::Answer("it does not give back what it wrapped")),
    }
}

/// The state key: both shares, for this agent and this state.
// STA-20
fn combine(
    keys: &dyn KeyStore,
    id: ObjectId,
    own: &Secret<KEY_LEN>,
    service: &Dek,
) -> Result<StateKey, CoreError> {
    let shares: Secret<{ 2 * KEY_LEN }> = Secret::init_with(|out| {
        let (first, second) = out.split_at_mut(KEY_LEN);
        first.copy_from_slice(own.expose());
        second.copy_from_slice(service.expose());
    });
    let fields: [&[u8]; 2] = [keys.identity().as_bytes(), id.as_bytes()];
    let info = Label::STATE_WRAPPED_KEY.context(None, &fields)?;
    let key = wipe::stack(|| kdf::hkdf(id.as_bytes(), shares.expose(), &info));
    Ok(StateKey::from_secret(key))
}

/// What the wrap is bound to.
// STA-20
fn binding(header: &[u8; HEADER_LEN]) -> Result<WrapBinding, CoreError> {
    let (_, id) = header.split_last_chunk().ok_or(CoreError::Unreachable("a header ends so"))?;
    WrapBinding::new(ObjectId::from_bytes(*id), TENANT, header)
}

/// What stays the same however often the key is wrapped.
fn header(keys: &dyn KeyStore, id: ObjectId) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let parts = [MAGIC.as_slice(), &[VERSION], keys.identity().as_bytes(), id.as_bytes()];
    for (to, from) in header.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    header
}

fn before_sealed(keys: &dyn KeyStore, id: ObjectId, kx: KxId) -> Vec<u8> {
    [header(keys, id).as_slice(), &kx.get().to_be_bytes()].concat()
}

fn info() -> Result<Context, CoreError> {
    Label::STATE_WRAPPED_SEAL.context(None, &[])
}

fn signed(bytes: &[u8]) -> Result<Context, CoreError> {
    Label::STATE_WRAPPED_SIGN.context(None, &[bytes])
}

/// The longest name of a provider.
const MAX_PROVIDER_LEN: usize = 16;

fn write_wrapped(bytes: &mut Vec<u8>, wrapped: &Wrapped) -> Result<(), CoreError> {
    let Wrapped { key, version, algorithm, ciphertext } = wrapped;
    if algorithm.len() > Wrapped::MAX_ALGORITHM_LEN
        || ciphertext.len() > Wrapped::MAX_CIPHERTEXT_LEN
    {
        return Err(CoreError::Misuse("a wrap that is longer than wraps are"));
    }
    let mut writer = Writer::new();
    let provider = key.provider().as_str();
    for text in [provider, key.key(), version.as_str(), algorithm].map(str::as_bytes) {
        field(&mut writer, text)?;
    }
    field(&mut writer, ciphertext)?;
    bytes.extend(writer.into_bytes());
    Ok(())
}

fn field(writer: &mut Writer, bytes: &[u8]) -> Result<(), CoreError> {
    let len = u16::try_from(bytes.len()).map_err(|_| CoreError::Misuse("a field over 64 KiB"))?;
    writer.u16(len).bytes(bytes);
    Ok(())
}

fn read_wrapped(reader: &mut Reader<'_>) -> Result<Wrapped, DecodeError> {
    let invalid = |rule| DecodeError::new(WHAT, DecodeReason::Invalid(rule));
    let mut text = |max| {
        let bytes = reader.bytes16(max)?;
        str::from_utf8(bytes).map_err(|_| invalid("names are UTF-8"))
    };
    let provider = Provider::from_name(text(MAX_PROVIDER_LEN)?);
    let provider = provider.ok_or(invalid("a provider that is not known"))?;
    let key = KeyRef::new(provider, text(KeyRef::MAX_LEN)?);
    let version = KeyVersion::new(text(KeyVersion::MAX_LEN)?);
    let algorithm = text(Wrapped::MAX_ALGORITHM_LEN)?.to_owned();
    Ok(Wrapped {
        key: key.map_err(|_| invalid("the name of a key"))?,
        version: version.map_err(|_| invalid("the version of a key"))?,
        algorithm,
        ciphertext: reader.bytes16(Wrapped::MAX_CIPHERTEXT_LEN)?.to_vec(),
    })
}

#[cfg(test)]
mod tests;
