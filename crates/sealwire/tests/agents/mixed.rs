//! A key store that mixes the keys of several agents: what an attacker has.

use std::sync::Arc;

use sealwire::core::{
    Error, KeyStore, MemoryKeyStore,
    kem::{KemCiphertext, SharedSecret},
    keys::{Signature, VerifyingKey, X25519Public},
    keystore::{ExchangePublics, KeyUse, KxId},
    label::Context,
};

/// Shows one agent's keys and works with those of others.
#[derive(Debug)]
pub(crate) struct Mixed {
    /// Whose public keys it shows.
    pub(crate) shows: Arc<MemoryKeyStore>,
    pub(crate) signs: Arc<MemoryKeyStore>,
    pub(crate) exchanges: Arc<MemoryKeyStore>,
    /// Whose exchange keys it shows.
    pub(crate) shows_exchange: Arc<MemoryKeyStore>,
}

impl KeyStore for Mixed {
    fn identity(&self) -> &VerifyingKey {
        self.shows.identity()
    }

    fn newest(&self) -> KxId {
        self.shows_exchange.newest()
    }

    fn public(&self, kx: KxId) -> Result<ExchangePublics, Error> {
        self.shows_exchange.public(kx)
    }

    fn sign(&self, message: &Context) -> Result<Signature, Error> {
        self.signs.sign(message)
    }

    fn agree(&self, kx: KxId, usage: KeyUse, peer: &X25519Public) -> Result<SharedSecret, Error> {
        self.exchanges.agree(kx, usage, peer)
    }

    fn decapsulate(
        &self,
        kx: KxId,
        usage: KeyUse,
        ciphertext: &KemCiphertext,
    ) -> Result<SharedSecret, Error> {
        self.exchanges.decapsulate(kx, usage, ciphertext)
    }
}
