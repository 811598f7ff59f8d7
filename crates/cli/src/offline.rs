//! This agent with its state and its relay: what commands need that talk to peers which may be
//! away.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sealwire::{
    Agent, KnownPeers, Limits, SystemClock,
    custody::FileKeyStore,
    delivery::{RelayDelivery, RelaySettings},
    store::{Anchor, FileAnchor, Options, SqliteStore, VaultAnchor},
};
use sealwire_envelope::kms::Kms;
use tokio::sync::OnceCell;

use crate::{
    agent,
    config::{AgentConfig, AnchorPlace, Config},
    error::{Exit, Failure},
    home::Home,
    storage,
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

/// What the state takes beside the agent's keys. Connected once, also by who opens it again and
/// again: a key file asks for its passphrase.
#[derive(Debug, Default)]
pub(crate) struct Guard(OnceCell<Option<Arc<dyn Kms>>>);

impl Guard {
    /// The key that `agent.state_kms` names.
    pub(crate) async fn kms(&self, config: &Config) -> Result<Option<&Arc<dyn Kms>>, Failure> {
        let connect = || async {
            let Some(name) = &config.agent.state_kms else { return Ok(None) };
            let connected = storage::kms(name, &config.storage).await;
            connected.map(Some).map_err(|failure| {
                failure.and(&format!("without {name} the state stays closed, and nothing is lost"))
            })
        };
        Ok(self.0.get_or_try_init(connect).await?.as_ref())
    }
}

/// Opens the agent's state and builds the agent. Asks for the passphrase.
pub(crate) async fn open(home: &Home, config: &Config) -> Result<Offline, Failure> {
    build(home, config, Arc::new(agent::unlock(home)?), &Guard::default()).await
}

/// Builds the agent of keys that are unlocked. Nothing is asked of the relay yet.
pub(crate) async fn build(
    home: &Home,
    config: &Config,
    keys: Arc<FileKeyStore>,
    guard: &Guard,
) -> Result<Offline, Failure> {
    let store = Arc::new(store(home, config, &keys, guard, Opening::Checked).await?);
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
pub(crate) async fn store(
    home: &Home,
    config: &Config,
    keys: &FileKeyStore,
    guard: &Guard,
    opening: Opening,
) -> Result<SqliteStore, Failure> {
    let directory = home.state();
    let options = options(&directory, config, opening)?;
    let opened = match guard.kms(config).await? {
        Some(kms) => SqliteStore::open_wrapped(&directory, keys, kms.as_ref(), options).await,
        None => SqliteStore::open(&directory, keys, options),
    };
    Ok(opened.map_err(sealwire::Error::from)?)
}

/// With the anchor that is configured.
pub(crate) fn options(
    directory: &Path,
    config: &Config,
    opening: Opening,
) -> Result<Options, Failure> {
    let mut options = Options::new();
    let anchor: Option<Arc<dyn Anchor>> = match &config.agent.anchor {
        None => None,
        Some(AnchorPlace::File(path)) => {
            Some(Arc::new(FileAnchor::new(path, directory).map_err(sealwire::Error::from)?))
        }
        Some(AnchorPlace::Vault { mount, path }) => {
            let settings = storage::vault_settings(mount, path, &config.storage)?;
            Some(Arc::new(VaultAnchor::new(settings).map_err(sealwire::Error::from)?))
        }
    };
    if let Some(anchor) = anchor {
        options = options.anchor(anchor);
    }
    Ok(match opening {
        Opening::Checked => options,
        Opening::ChangeAnchor => options.change_anchor(),
    })
}

/// Certificates of authorities beside those of the system.
pub(crate) fn ca_pem(config: &AgentConfig) -> Result<Option<Vec<u8>>, Failure> {
    let read = |path: &PathBuf| fs::read(path).map_err(|error| Failure::file("read", path, &error));
    config.ca_file.as_ref().map(read).transpose()
}
