//! This agent with its state and its relay: what commands need that talk to peers which may be
//! away.

use std::sync::Arc;

use sealwire::{
    Agent, KnownPeers, Limits,
    custody::FileKeyStore,
    delivery::{Device, InProcess},
    store::{Anchor, FileAnchor, Options, SqliteStore},
};

use crate::{agent, config::Config, error::Failure, home::Home};

/// An agent, its state and its relay.
#[derive(Debug)]
pub(crate) struct Offline {
    pub(crate) agent: Agent,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) delivery: Arc<InProcess>,
    /// This running state of the agent.
    pub(crate) device: Device,
}

/// How the state is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// As the anchor has it.
    Checked,
    /// As it is, whatever an anchor says, once.
    ChangeAnchor,
}

/// Opens the agent's state and builds the agent. Asks for the passphrase.
pub(crate) fn open(home: &Home, config: &Config) -> Result<Offline, Failure> {
    build(home, config, Arc::new(agent::unlock(home)?))
}

/// Builds the agent of keys that are unlocked.
pub(crate) fn build(
    home: &Home,
    config: &Config,
    keys: Arc<FileKeyStore>,
) -> Result<Offline, Failure> {
    let store = Arc::new(store(home, config, &keys, Opening::Checked)?);
    let delivery = delivery();
    let builder = agent::configure(agent::builder(home, keys)?, config);
    let mut limits = Limits::default();
    limits.inbox = usize::try_from(config.agent.inbox.get()).unwrap_or(usize::MAX);
    let number = config.agent.device.get();
    let builder = builder.limits(limits).outbound(KnownPeers).device(number);
    let (state, relay) = (Arc::<SqliteStore>::clone(&store), Arc::<InProcess>::clone(&delivery));
    let agent = builder.store(state).delivery(relay).build()?;
    let device = Device { agent: agent.id().clone(), number };
    Ok(Offline { agent, store, delivery, device })
}

/// The state on disk.
pub(crate) fn store(
    home: &Home,
    config: &Config,
    keys: &FileKeyStore,
    opening: Opening,
) -> Result<SqliteStore, Failure> {
    let directory = home.state();
    let mut options = Options::new();
    if let Some(path) = &config.agent.anchor {
        let anchor = FileAnchor::new(path, &directory).map_err(sealwire::Error::from)?;
        options = options.anchor(Arc::new(anchor) as Arc<dyn Anchor>);
    }
    if opening == Opening::ChangeAnchor {
        options = options.change_anchor();
    }
    Ok(SqliteStore::open(&directory, keys, options).map_err(sealwire::Error::from)?)
}

/// What stands between this agent and its peers.
fn delivery() -> Arc<InProcess> {
    Arc::new(InProcess::new())
}
