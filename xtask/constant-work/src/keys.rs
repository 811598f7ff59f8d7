//! Private keys that are hidden, and what is drawn.

use std::convert::Infallible;
use std::sync::Arc;

use rand_core::{TryCryptoRng, TryRng};
use sealwire_core::{
    Error, KeyStore, MemoryKeyStore,
    kem::{KemCiphertext, SharedSecret},
    keys::{Signature, VerifyingKey, X25519Public},
    keystore::{ExchangePublics, KeySeeds, KeyUse, KxId},
    label::Context,
};

use crate::mark::{hide, secret, show, show_inline};

/// A generator that counts. The bytes of each draw are hidden, or not.
#[derive(Debug)]
pub(crate) struct Rng {
    next: u8,
    hidden: bool,
}

impl Rng {
    /// Draws secrets, and what becomes public when it is sent.
    pub(crate) const fn hidden(first: u8) -> Self {
        Self { next: first, hidden: true }
    }

    /// Draws in the open.
    pub(crate) const fn open(first: u8) -> Self {
        Self { next: first, hidden: false }
    }
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        // Others within a draw too: it may be of two values, which must not begin alike.
        for (byte, place) in out.iter_mut().zip((0..=u8::MAX).cycle()) {
            *byte = self.next.wrapping_add(place.wrapping_mul(37));
        }
        self.next = self.next.wrapping_add(1);
        if self.hidden {
            hide(out);
        }
        Ok(())
    }
}

impl TryCryptoRng for Rng {}

/// The keys of an agent. Public halves and signatures are public as they leave the store; what
/// agreement and decapsulation give stays hidden.
#[derive(Debug)]
pub(crate) struct HiddenKeys {
    keys: MemoryKeyStore,
    identity: VerifyingKey,
    publics: ExchangePublics,
}

/// An agent, as its peers know it.
pub(crate) struct Agent {
    pub(crate) keys: Arc<HiddenKeys>,
    pub(crate) id: &'static [u8],
    pub(crate) card: &'static [u8],
}

impl Agent {
    pub(crate) fn alice() -> Self {
        Self { keys: HiddenKeys::new(5), id: b"alice", card: b"the card of alice" }
    }

    pub(crate) fn bob() -> Self {
        Self { keys: HiddenKeys::new(90), id: b"bob", card: b"the card of bob" }
    }

    /// Its keys for a handshake or an agreement.
    pub(crate) fn store(&self) -> Arc<dyn KeyStore> {
        Arc::<HiddenKeys>::clone(&self.keys)
    }
}

impl HiddenKeys {
    fn new(first: u8) -> Arc<Self> {
        let seeds = KeySeeds::from_bytes(&seeds(first)).expect("seeds");
        let keys = MemoryKeyStore::from_seeds(&seeds).expect("keys");
        let mut identity = *keys.identity().as_bytes();
        show_inline(&mut identity);
        let identity = VerifyingKey::from_bytes(&identity).expect("a key");
        let mut publics = keys.public(keys.newest()).expect("a set of keys");
        show_inline(&mut publics);
        show(publics.kem.as_bytes());
        show(publics.envelope_kem.as_bytes());
        Arc::new(Self { keys, identity, publics })
    }

    pub(crate) const fn publics(&self) -> &ExchangePublics {
        &self.publics
    }
}

/// The seeds of one set of keys as a key file holds them: version, count, identity, then the
/// number of the set and its three seeds. Which numbers these are is public.
pub(crate) fn seeds(first: u8) -> Vec<u8> {
    let secrets = secret::<{ 32 + 32 + 64 + 32 }>(first);
    let (identity, exchange) = secrets.expose().split_at(32);
    [&[1, 0, 1][..], identity, &[0, 0, 0, 1], exchange].concat()
}

impl KeyStore for HiddenKeys {
    fn identity(&self) -> &VerifyingKey {
        &self.identity
    }

    fn newest(&self) -> KxId {
        self.keys.newest()
    }

    fn public(&self, _kx: KxId) -> Result<ExchangePublics, Error> {
        Ok(self.publics.clone())
    }

    fn sign(&self, message: &Context) -> Result<Signature, Error> {
        let mut signature = self.keys.sign(message)?;
        show_inline(&mut signature);
        Ok(signature)
    }

    fn agree(&self, kx: KxId, usage: KeyUse, peer: &X25519Public) -> Result<SharedSecret, Error> {
        self.keys.agree(kx, usage, peer)
    }

    fn decapsulate(
        &self,
        kx: KxId,
        usage: KeyUse,
        ciphertext: &KemCiphertext,
    ) -> Result<SharedSecret, Error> {
        self.keys.decapsulate(kx, usage, ciphertext)
    }
}
