//! This agent with its state, for commands that look at it and send nothing.

use std::{fs, path::PathBuf, sync::Arc};

use sealwire::{
    Agent, Limits,
    custody::FileKeyStore,
    delivery::InProcess,
    store::{Anchor, FileAnchor, Options, SqliteStore},
};

use crate::{
    agent,
    config::{AgentConfig, Config},
    error::Failure,
    home::Home,
};

/// An agent and its state.
#[derive(Debug)]
pub(crate) struct Offline {
    pub(crate) agent: Agent,
    pub(crate) store: Arc<SqliteStore>,
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

/// Builds the agent of keys that are unlocked. It reaches nobody: its delivery ends with it.
pub(crate) fn build(
    home: &Home,
    config: &Config,
    keys: Arc<FileKeyStore>,
) -> Result<Offline, Failure> {
    let store = Arc::new(store(home, config, &keys, Opening::Checked)?);
    let mut limits = Limits::default();
    limits.inbox = usize::try_from(config.agent.inbox.get()).unwrap_or(usize::MAX);
    let builder = agent::configure(agent::builder(home, keys)?, config).limits(limits);
    let builder = builder.device(config.agent.device.get()).delivery(Arc::new(InProcess::new()));
    let state = Arc::<SqliteStore>::clone(&store);
    Ok(Offline { agent: builder.store(state).build()?, store })
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
