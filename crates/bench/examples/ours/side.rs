//! One party: keys, a card, and what it says of itself.

use std::sync::Arc;

use sealwire::{
    core::{KeyStore, MemoryKeyStore, Timestamp},
    custody::system_rng,
    identity::{AgentId, IdentityCard, NewCard},
    noise::{Introduction, Local},
};
use sealwire_bench::Failure;

/// Within the lifetime of every card here.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A party that introduces itself with a card.
pub(crate) struct Side {
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) id: AgentId,
    pub(crate) card: IdentityCard,
}

impl Side {
    pub(crate) fn new() -> Result<Self, Failure> {
        let keys = Arc::new(MemoryKeyStore::generate(&mut system_rng())?);
        let card = NewCard::new(1, NOW, 24 * 60 * 60).sign(keys.as_ref(), keys.newest())?;
        Ok(Self { id: card.id().clone(), keys, card })
    }

    /// This side of one handshake, made anew for each as the facade does.
    pub(crate) fn local(&self) -> Local {
        let introduction = Introduction {
            id: self.id().to_vec(),
            card: self.card.as_bytes().to_vec(),
            log: None,
            evidence: Vec::new(),
        };
        Local::new(Arc::clone(&self.keys), self.card.kx_id(), introduction)
    }

    pub(crate) fn id(&self) -> &[u8] {
        self.id.as_str().as_bytes()
    }
}
