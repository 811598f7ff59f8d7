//! Those whom an object is sealed for.

use std::sync::Arc;

use sealwire::{
    core::{Suite, Timestamp},
    custody::FileKeyStore,
    identity::{AgentId, CardHash},
};
use sealwire_envelope::{Context, kms::Kms, store::Plan};

use super::{KeyName, Unlocked, people::Recipient};
use crate::{
    agent,
    cards::{self, Named},
    config::Config,
    error::{Exit, Failure},
};

/// For whom an object is sealed, and by whom.
pub(crate) struct Keys {
    kms: Vec<Arc<dyn Kms>>,
    recipients: Vec<Recipient>,
    signer: Option<Signer>,
}

/// This agent, as the sealer of what is sealed for agents.
struct Signer {
    keys: Arc<FileKeyStore>,
    id: AgentId,
    card: CardHash,
}

impl Keys {
    /// Those that are named, and else the one of the settings.
    pub(crate) async fn find(
        kms: &[KeyName],
        to: &[String],
        unlocked: &mut Unlocked<'_>,
    ) -> Result<Self, Failure> {
        let (home, config) = (unlocked.home, unlocked.config);
        let mut names = kms.to_vec();
        if names.is_empty() && to.is_empty() {
            names.extend(config.storage.kms.clone());
        }
        if names.is_empty() && to.is_empty() {
            return Err(Failure::new(Exit::Usage, "for whom the object is has not been said")
                .hint("give --kms KEY or --to PEER, or set storage.kms"));
        }
        let now = agent::wall();
        let to = to.iter().map(|peer| Recipient::find(home, peer, now));
        let recipients = to.collect::<Result<Vec<_>, _>>()?;
        let signer = match recipients.is_empty() {
            true => None,
            false => Some(Signer::unlock(unlocked, now)?),
        };
        let mut kms = Vec::new();
        for name in &names {
            kms.push(unlocked.kms(name).await?);
        }
        Ok(Self { kms, recipients, signer })
    }

    pub(crate) fn plan<'a>(&'a self, context: &'a Context, config: &Config) -> Plan<'a> {
        let suite = config.agent.suite.suite().unwrap_or_else(Suite::preferred);
        let plan = Plan::new(context).suite(suite);
        let plan = self.kms.iter().fold(plan, |plan, kms| plan.kms(kms.as_ref()));
        let for_agent = |plan: Plan<'a>, to: &'a Recipient| plan.agent(&to.public, to.kx);
        let plan = self.recipients.iter().fold(plan, for_agent);
        match &self.signer {
            Some(Signer { keys, id, card }) => {
                plan.signed_by(keys.as_ref(), id.as_str().as_bytes(), card.as_bytes())
            }
            None => plan,
        }
    }

    /// The keys of services and files.
    pub(crate) fn kms(&self) -> &[Arc<dyn Kms>] {
        &self.kms
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let kms = self.kms.iter().map(|kms| kms.key().to_string());
        kms.chain(self.recipients.iter().map(|to| to.id.to_string())).collect()
    }
}

impl Signer {
    fn unlock(unlocked: &mut Unlocked<'_>, now: Timestamp) -> Result<Self, Failure> {
        let keys = unlocked.agent()?;
        let (home, config) = (unlocked.home, unlocked.config);
        let named = Named::As(config.agent.public_relay.as_ref());
        let cards = cards::renew(home, keys.as_ref(), now, named, false)?;
        let card = cards::current(home, &cards)?;
        Ok(Self { id: card.id().clone(), card: card.hash(), keys })
    }
}
