//! Our X25519 key pair of the ratchet.

use sealwire_core::{
    kem::SharedSecret,
    keys::{EphemeralSecret, X25519Public},
    secret::Secret,
};

use crate::Error;

/// A key pair that is stored as its seed.
pub(crate) struct KeyPair {
    seed: Secret<32>,
    public: [u8; 32],
    /// The key in the form that calculates: there when the pair was made in this process, made
    /// again from the seed when it was read from a state and is used.
    key: Option<EphemeralSecret>,
}

impl KeyPair {
    pub(crate) fn from_seed(seed: Secret<32>) -> Result<Self, Error> {
        let key = EphemeralSecret::from_seed(&seed)?;
        Ok(Self { seed, public: *key.public().as_bytes(), key: Some(key) })
    }

    /// A stored pair. That the halves belong together is the state's word.
    pub(crate) fn from_parts(seed: Secret<32>, public: [u8; 32]) -> Self {
        Self { seed, public, key: None }
    }

    pub(crate) fn seed(&self) -> &Secret<32> {
        &self.seed
    }

    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    pub(crate) fn agree(&self, peer: &X25519Public) -> Result<SharedSecret, Error> {
        let shared = match &self.key {
            Some(key) => key.agree(peer)?,
            None => EphemeralSecret::from_seed(&self.seed)?.agree(peer)?,
        };
        Ok(shared)
    }
}
