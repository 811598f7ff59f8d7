//! The key under which state is sealed, and the file in which it lies beside the state.

use core::fmt;

use rand_core::TryCryptoRng;
use sealwire_core::{
    DecodeError, DecodeReason, Error as CoreError, KeyStore,
    codec::{Reader, Writer},
    keys::Signature,
    keystore::KxId,
    label::{Context, Label},
    secret::Secret,
};
#[cfg(feature = "envelope")]
use sealwire_envelope::kms::{KeyRef, KmsError};
use sealwire_hybrid::{OVERHEAD, StoredKey, open_from, seal_to};

pub(super) const MAGIC: &[u8; 8] = b"sealstat";
const VERSION: u8 = 1;
/// Of a file that a key service guards too.
pub(super) const WRAPPED: u8 = 2;
pub(super) const KEY_LEN: usize = 32;
pub(super) const SIGNATURE_LEN: usize = 64;
const SEALED_LEN: usize = KEY_LEN + OVERHEAD;

/// The key under which the state of one agent is sealed. Drawn once, with the state.
///
/// It lies beside the state, sealed to the agent's own X-Wing key and signed by its identity, so
/// that whatever keeps the agent's keys also guards its state, and nobody else can put a state
/// of their own in its place.
///
/// ```
/// use sealwire::{core::MemoryKeyStore, custody, store::StateKey};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut rng = custody::system_rng();
/// let keys = MemoryKeyStore::generate(&mut rng)?;
/// let state_key = StateKey::generate(&mut rng)?;
///
/// let sealed = state_key.seal(&keys, &mut rng)?;
/// assert!(StateKey::open(&keys, &sealed)? == state_key);
///
/// let others = MemoryKeyStore::generate(&mut rng)?;
/// assert!(StateKey::open(&others, &sealed).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(PartialEq, Eq)]
pub struct StateKey(Secret<KEY_LEN>);

/// Why a sealed state key does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateKeyError {
    /// It belongs to another agent.
    #[error("the state key is sealed to another agent")]
    OtherAgent,
    /// It is not what this agent sealed.
    #[error("the sealed state key was changed")]
    Changed,
    /// It takes a key service too: `WrappedStateKey` reads it, with feature `envelope`.
    #[error("the state key is wrapped by a key service too")]
    Wrapped,
    /// The key service has another key than the one that wrapped it.
    #[cfg(feature = "envelope")]
    #[error("the state key is wrapped by the key {needs}, not by {given}")]
    OtherKms {
        /// The key that wrapped it.
        needs: KeyRef,
        /// The key that was given.
        given: KeyRef,
    },
    /// The key service did not do what it was asked.
    #[cfg(feature = "envelope")]
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// It is no sealed state key, or not a whole one.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The keys cannot be used.
    #[error(transparent)]
    Core(#[from] CoreError),
}

impl StateKey {
    /// Length of a sealed state key, in bytes.
    // STA-7
    pub const SEALED_LEN: usize = MAGIC.len() + 1 + 32 + 4 + SEALED_LEN + SIGNATURE_LEN;

    /// Draws a key.
    ///
    /// # Errors
    /// [`CoreError::Randomness`].
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, CoreError> {
        Secret::random(rng).map(Self)
    }

    /// A key that is kept elsewhere, such as with a key management service.
    pub const fn from_secret(secret: Secret<KEY_LEN>) -> Self {
        Self(secret)
    }

    /// Seals it to the newest X-Wing key of `keys` and signs that with their identity.
    ///
    /// # Errors
    /// [`CoreError::Randomness`], [`CoreError::KeyStore`].
    // STA-7
    pub fn seal<R: TryCryptoRng + ?Sized>(
        &self,
        keys: &dyn KeyStore,
        rng: &mut R,
    ) -> Result<Vec<u8>, CoreError> {
        let kx = keys.newest();
        let mut writer = Writer::new();
        writer.bytes(MAGIC).u8(VERSION).bytes(keys.identity().as_bytes()).u32(kx.get());
        let mut bytes = writer.into_bytes();
        let own = StoredKey::new(keys, kx)?;
        bytes.extend(seal_to(own.public(), &info()?, &bytes, self.0.expose(), rng)?);
        let signature = keys.sign(&signed(&bytes)?)?;
        bytes.extend_from_slice(signature.as_bytes());
        Ok(bytes)
    }

    /// Opens what [`StateKey::seal`] gave, with the same agent's keys.
    ///
    /// # Errors
    /// [`StateKeyError`].
    // STA-7
    pub fn open(keys: &dyn KeyStore, bytes: &[u8]) -> Result<Self, StateKeyError> {
        let mut reader = Reader::new("state key", bytes);
        if reader.array()? != MAGIC {
            return Err(reader.error(DecodeReason::Invalid("not a sealed state key")).into());
        }
        if reader.rest().first() == Some(&WRAPPED) {
            return Err(StateKeyError::Wrapped);
        }
        reader.version(VERSION)?;
        let identity: &[u8; 32] = reader.array()?;
        let kx = KxId::new(reader.u32()?)
            .ok_or(reader.error(DecodeReason::Invalid("key numbers begin at 1")))?;
        let header = bytes.len().saturating_sub(reader.rest().len());
        let sealed: &[u8; SEALED_LEN] = reader.array()?;
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
        let header = bytes.get(..header).ok_or(StateKeyError::Changed)?;
        let opened = open_from(&StoredKey::new(keys, kx)?, &info()?, header, sealed);
        let key = opened.map_err(|error| match error {
            CoreError::Open => StateKeyError::Changed,
            other => StateKeyError::Core(other),
        })?;
        Ok(Self(Secret::from_slice(&key)?))
    }

    #[cfg(any(feature = "sqlite", all(test, feature = "envelope")))]
    pub(super) fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose()
    }
}

fn info() -> Result<Context, CoreError> {
    Label::STATE_KEY_SEAL.context(None, &[])
}

fn signed(bytes: &[u8]) -> Result<Context, CoreError> {
    Label::STATE_KEY_SIGN.context(None, &[bytes])
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwire_core::{MemoryKeyStore, keystore::KeySeeds};
    use sealwire_testkit::{
        leak,
        rng::{BrokenRng, Fault, SeededRng},
    };

    fn seeds(seed: u64) -> KeySeeds {
        KeySeeds::generate(&mut SeededRng::new(seed)).expect("randomness")
    }

    fn keys(seed: u64) -> MemoryKeyStore {
        MemoryKeyStore::from_seeds(&seeds(seed)).expect("keys")
    }

    fn state_key() -> StateKey {
        StateKey::generate(&mut SeededRng::new(9)).expect("randomness")
    }

    fn sealed() -> Vec<u8> {
        state_key().seal(&keys(1), &mut SeededRng::new(5)).expect("sealed")
    }

    // STA-7
    #[test]
    fn the_agent_that_sealed_it_opens_it_also_after_a_rotation() {
        assert_eq!(sealed().len(), StateKey::SEALED_LEN);
        assert!(StateKey::open(&keys(1), &sealed()).expect("opens") == state_key());
        let mut seeds = seeds(1);
        seeds.add_set(&mut SeededRng::new(6)).expect("a second set");
        let rotated = MemoryKeyStore::from_seeds(&seeds).expect("keys");
        assert!(StateKey::open(&rotated, &sealed()).expect("opens") == state_key());
        let anew = state_key().seal(&rotated, &mut SeededRng::new(7)).expect("sealed");
        assert!(StateKey::open(&rotated, &anew).expect("opens") == state_key());
        let refused = StateKey::open(&keys(1), &anew).expect_err("the new set is not there");
        assert!(matches!(refused, StateKeyError::Core(CoreError::KeyStore(_))), "{refused}");
    }

    // STA-7
    #[test]
    fn every_changed_or_missing_byte_is_refused() {
        let sealed = sealed();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(StateKey::open(&keys(1), &changed).is_err(), "{index}");
        }
        for len in 0..sealed.len() {
            let refused = StateKey::open(&keys(1), &sealed[..len]).expect_err("cut");
            assert!(matches!(refused, StateKeyError::Decode(_)), "{len}: {refused}");
        }
        assert!(StateKey::open(&keys(1), &[&sealed[..], &[0]].concat()).is_err());
    }

    // STA-7: anyone can seal to a public key, so what counts is the signature.
    #[test]
    fn a_state_key_that_someone_else_sealed_to_the_agent_is_refused() {
        let (alice, mallory) = (keys(1), keys(2));
        let kx = alice.newest();
        let mut forged = sealed()[..45].to_vec();
        let own = StoredKey::new(&alice, kx).expect("a key");
        let sealed = seal_to(
            own.public(),
            &info().expect("short"),
            &forged,
            &[7; 32],
            &mut SeededRng::new(3),
        );
        forged.extend(sealed.expect("sealed"));
        let sign = |keys: &MemoryKeyStore| {
            let signature = keys.sign(&signed(&forged).expect("short")).expect("signs");
            [&forged[..], signature.as_bytes()].concat()
        };
        assert!(StateKey::open(&alice, &sign(&alice)).is_ok(), "the control");
        let refused = StateKey::open(&alice, &sign(&mallory)).expect_err("forged");
        assert!(matches!(refused, StateKeyError::Changed), "{refused}");
    }

    #[test]
    fn bad_state_keys_are_named() {
        let changed = |index: usize, byte: u8| {
            let mut bytes = sealed();
            bytes[index] = byte;
            bytes
        };
        let no_number = {
            let mut bytes = sealed();
            bytes[41..45].fill(0);
            bytes
        };
        for (bytes, sentence) in [
            (changed(0, b'x'), "state key: not a sealed state key"),
            (changed(8, 2), "the state key is wrapped by a key service too"),
            (changed(8, 3), "state key: unknown version 3; a newer release may read it"),
            (changed(9, !sealed()[9]), "the state key is sealed to another agent"),
            (no_number, "state key: key numbers begin at 1"),
            (changed(60, !sealed()[60]), "the sealed state key was changed"),
        ] {
            let refused = StateKey::open(&keys(1), &bytes).expect_err(sentence);
            assert_eq!(refused.to_string(), sentence);
        }
        let refused = StateKey::open(&keys(2), &sealed()).expect_err("another agent");
        assert!(matches!(refused, StateKeyError::OtherAgent));
    }

    // attack T31, T34
    #[test]
    fn a_broken_generator_gives_no_key_and_debug_shows_none() {
        for fault in [Fault::Always, Fault::Zero] {
            assert!(StateKey::generate(&mut BrokenRng::new(fault)).is_err());
            assert!(state_key().seal(&keys(1), &mut BrokenRng::new(fault)).is_err());
        }
        assert!(!leak::shows(&format!("{:?}", state_key()), state_key().0.expose()));
    }
}
