//! The key that an object is opened with.

use std::sync::Arc;

use sealwire::{
    core::{KeyStore, keystore::KxId},
    custody::FileKeyStore,
    hybrid::StoredKey,
    identity::AgentId,
};
use sealwire_envelope::{
    Error, Pairs,
    kms::{Kms, Provider},
    store::{Access, StoreError, StoredObject},
};

use super::{Place, Unlocked, look::Look, people::Accepted};
use crate::{agent, config::Config, error::Failure, text::Plain};

/// What a command was told of the key to open an object with.
pub(crate) struct Wanted<'a> {
    /// The option that names it.
    pub(crate) option: &'static str,
    pub(crate) kms: Option<Arc<dyn Kms>>,
    /// Whose objects are taken, of those that were sealed for this agent.
    pub(crate) from: &'a [String],
}

/// What an object is opened with.
pub(crate) enum Key {
    Kms { kms: Arc<dyn Kms>, option: &'static str },
    Agent { keys: Arc<FileKeyStore>, kx: KxId, accepted: Accepted },
}

impl Key {
    /// The key that was named; or this agent's own, where the object was sealed for it; or the one
    /// of the settings.
    pub(crate) async fn find(
        wanted: &Wanted<'_>,
        look: &Look,
        required: &Pairs,
        unlocked: &mut Unlocked<'_>,
    ) -> Result<Self, Failure> {
        let &Wanted { option, ref kms, from } = wanted;
        if let Some(kms) = kms {
            return Ok(Self::Kms { kms: Arc::clone(kms), option });
        }
        if let Some(own) = Self::own(from, look, required, unlocked)? {
            return Ok(own);
        }
        if !from.is_empty() {
            let message = "the object was not sealed for this agent, and --from is about those that \
                           were";
            return Err(Failure::other(message).hint(can_open(look)));
        }
        match &unlocked.config.storage.kms {
            Some(kms) => Ok(Self::Kms { kms: unlocked.kms(kms).await?, option }),
            None => Err(Failure::other("there is no key to open the object with")
                .hint(format!("{}; give {option} KEY", can_open(look)))),
        }
    }

    fn own(
        from: &[String],
        look: &Look,
        required: &Pairs,
        unlocked: &mut Unlocked<'_>,
    ) -> Result<Option<Self>, Failure> {
        let home = unlocked.home;
        let Some(record) = &look.record else { return Err(StoreError::Erased.into()) };
        let agents = record.slots().iter().map(|slot| slot.wrapped());
        let agents = agents.filter(|wrapped| wrapped.key.provider() == Provider::Agent);
        let mut kx: Vec<KxId> =
            agents.filter_map(|wrapped| wrapped.version.as_str().parse().ok()).collect();
        kx.sort_unstable();
        kx.dedup();
        if kx.is_empty() || !home.keys().exists() {
            return Ok(None);
        }
        let keys = unlocked.agent()?;
        let accepted = Accepted::find(home, from, agent::wall())?;
        // The record may name keys of others by the same number.
        kx.retain(|kx| {
            let unlocked = StoredKey::new(keys.as_ref(), *kx)
                .map(|key| record.unlock_as(&key, &look.head, required, &accepted));
            unlocked.is_ok_and(|unlocked| !matches!(unlocked, Err(Error::NoSlot)))
        });
        let Some(kx) = kx.pop() else { return Ok(None) };
        Ok(Some(Self::Agent { keys, kx, accepted }))
    }

    pub(crate) async fn open(
        &self,
        place: &Place,
        look: &Look,
        required: &Pairs,
        config: &Config,
    ) -> Result<StoredObject, Failure> {
        let (store, name) = place.store(&config.storage)?;
        let opened = match self {
            Self::Kms { kms, .. } => store.open(&name, &Access::kms(kms.as_ref(), required)).await,
            Self::Agent { keys, kx, accepted } => {
                let key = StoredKey::new(keys.as_ref(), *kx).map_err(Error::from)?;
                store.open(&name, &Access::agent(&key, required, accepted)).await
            }
        };
        opened.map_err(|error| {
            let failure = match &error {
                Error::NoSlot => Failure::from(error)
                    .hint(format!("{}; name one of them with {}", can_open(look), self.option())),
                Error::Open if required.get("tenant").is_none() => Failure::from(error).hint(
                    "no tenant was given: --context tenant=NAME, or storage.tenant in sealwire.toml",
                ),
                _ => error.into(),
            };
            failure.at(place)
        })
    }

    const fn option(&self) -> &'static str {
        match self {
            Self::Kms { option, .. } => option,
            Self::Agent { .. } => "--kms",
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Kms { kms, .. } => kms.key().to_string(),
            Self::Agent { keys, .. } => AgentId::from_key(keys.identity()).to_string(),
        }
    }
}

/// Which keys can, as the record says.
fn can_open(look: &Look) -> String {
    let keys = look.keys().join("; ");
    format!("its key record names {}", Plain::new(&keys))
}
