//! Keys, each asked for once by a command that needs it several times.

use std::sync::Arc;

use sealwire::custody::FileKeyStore;
use sealwire_envelope::kms::Kms;

use super::{KeyName, kms::kms};
use crate::{agent, config::Config, error::Failure, home::Home};

/// Keys that wrap, and those of this agent, as they were unlocked so far.
pub(crate) struct Unlocked<'a> {
    pub(crate) home: &'a Home,
    pub(crate) config: &'a Config,
    kms: Vec<(KeyName, Arc<dyn Kms>)>,
    agent: Option<Arc<FileKeyStore>>,
}

impl<'a> Unlocked<'a> {
    pub(crate) const fn new(home: &'a Home, config: &'a Config) -> Self {
        Self { home, config, kms: Vec::new(), agent: None }
    }

    /// The key of this name.
    pub(crate) async fn kms(&mut self, name: &KeyName) -> Result<Arc<dyn Kms>, Failure> {
        if let Some((_, known)) = self.kms.iter().find(|(known, _)| known == name) {
            return Ok(Arc::clone(known));
        }
        let kms = kms(name, &self.config.storage).await?;
        self.kms.push((name.clone(), Arc::clone(&kms)));
        Ok(kms)
    }

    /// The keys of this agent.
    pub(crate) fn agent(&mut self) -> Result<Arc<FileKeyStore>, Failure> {
        if let Some(known) = &self.agent {
            return Ok(Arc::clone(known));
        }
        let keys = Arc::new(agent::unlock(self.home)?);
        self.agent = Some(Arc::clone(&keys));
        Ok(keys)
    }
}
