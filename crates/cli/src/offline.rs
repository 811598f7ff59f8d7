//! This agent with its state and its relay: what commands need that talk to peers which may be
//! away.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use sealwire::{
    Agent, KnownPeers, Limits, SystemClock,
    custody::FileKeyStore,
    delivery::{RelayDelivery, RelaySettings},
    store::{Anchor, FileAnchor, Options, SqliteStore},
};

use crate::{
    agent,
    config::{AgentConfig, Config},
    error::{Exit, Failure},
    home::Home,
};

/// How long a relay that does not run is called by itself. Who waits for one does so in the
/// open, and says so.
const REFUSED: Duration = Duration::from_secs(2);

/// An agent, its state and its relay.
#[derive(Debug)]
pub(crate) struct Offline {
    pub(crate) agent: Agent,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) delivery: Arc<RelayDelivery>,
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

/// Builds the agent of keys that are unlocked. Nothing is asked of the relay yet.
pub(crate) fn build(
    home: &Home,
    config: &Config,
    keys: Arc<FileKeyStore>,
) -> Result<Offline, Failure> {
    let store = Arc::new(store(home, config, &keys, Opening::Checked)?);
    let delivery = Arc::new(delivery(&config.agent, Arc::clone(&keys))?);
    let mut limits = Limits::default();
    limits.inbox = usize::try_from(config.agent.inbox.get()).unwrap_or(usize::MAX);
    let builder = agent::configured(home, keys, config)?
        .outbound(KnownPeers)
        .limits(limits)
        .device(config.agent.device.get())
        .delivery(Arc::<RelayDelivery>::clone(&delivery));
    let state = Arc::<SqliteStore>::clone(&store);
    Ok(Offline { agent: builder.store(state).build()?, store, delivery })
}

/// What stands between this agent and its peers.
pub(crate) fn delivery(
    config: &AgentConfig,
    keys: Arc<FileKeyStore>,
) -> Result<RelayDelivery, Failure> {
    let mut settings = RelaySettings::new(config.relay.clone());
    settings.public.clone_from(&config.public_relay);
    settings.allowed.clone_from(&config.other_relays);
    settings.client.plain_http_anywhere = config.plain_http_anywhere;
    settings.client.ca_pem = ca_pem(config)?;
    settings.client.refused = REFUSED;
    let delivery = RelayDelivery::new(settings, keys, Arc::new(SystemClock::new()));
    delivery.map_err(|error| Failure::new(Exit::Usage, error.to_string()))
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

/// Certificates of authorities beside those of the system.
pub(crate) fn ca_pem(config: &AgentConfig) -> Result<Option<Vec<u8>>, Failure> {
    let read = |path: &PathBuf| fs::read(path).map_err(|error| Failure::file("read", path, &error));
    config.ca_file.as_ref().map(read).transpose()
}
