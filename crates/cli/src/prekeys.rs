//! The prekeys that a relay hands out for this agent.

use std::sync::Arc;

use sealwire::{
    core::KeyStore,
    custody::FileKeyStore,
    delivery::{Delivery, Device},
    identity::AgentId,
    ratchet::prekey::{Kind, Unclaimed},
};

use crate::{config::Config, error::Failure, offline};

/// What a relay has of this agent.
#[derive(Debug)]
pub(crate) struct Prekeys {
    /// The card beside them, as it is handed out.
    pub(crate) card: Vec<u8>,
    /// One-time keys that nobody has claimed.
    pub(crate) left: Unclaimed,
}

/// Asks the agent's relay for what it hands out, if it hands out anything.
pub(crate) async fn published(
    config: &Config,
    keys: &Arc<FileKeyStore>,
) -> Result<Option<Prekeys>, Failure> {
    let delivery = offline::delivery(&config.agent, Arc::clone(keys))?;
    let agent = AgentId::from_key(keys.identity());
    let device = Device { agent, number: config.agent.device.get() };
    let found = delivery.bundle(&device).await.map_err(sealwire::Error::from)?;
    let Some(found) = found else { return Ok(None) };
    let left = delivery.remaining(&device).await.map_err(sealwire::Error::from)?;
    Ok(Some(Prekeys { card: found.card, left }))
}

impl Prekeys {
    /// How many one-time keys are left.
    pub(crate) fn say(left: Unclaimed) -> String {
        let (x25519, kem) = (Kind::X25519.published(), Kind::MlKem.published());
        format!(
            "{} of {x25519} X25519 and {} of {kem} ML-KEM-768 one-time keys left",
            left.x25519, left.kem
        )
    }

    /// Whether so few are left that new ones are due.
    pub(crate) fn are_low(left: Unclaimed) -> bool {
        let low = |left: u32, kind: Kind| left <= u32::from(kind.published() / 2);
        low(left.x25519, Kind::X25519) || low(left.kem, Kind::MlKem)
    }
}
