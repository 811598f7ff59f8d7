//! The configuration of agent, relay and storage: one file, `sealwire.toml`.
//!
//! The environment stands over the file, and the file over the defaults. What is not known is
//! refused: a setting that was misspelt would otherwise not be in force, silently.

mod layers;
mod setting;
mod url;

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, Read},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use sealwire_relay::client::RelayUrl;
use serde::Serialize;

use self::layers::{Layers, variable};
pub(crate) use self::{
    setting::{Admit, AnchorPlace, Network, SuiteChoice, Whole},
    url::{Authority, ServiceUrl},
};
use crate::{
    error::{Exit, Failure},
    home::Home,
    storage::KeyName,
    text::Plain,
};

/// The name of the file in an agent's directory.
const FILE: &str = "sealwire.toml";

/// The longest file, in bytes: every key many times over.
const MAX_LEN: u64 = 64 * 1024;

/// What is in force.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) agent: AgentConfig,
    pub(crate) relay: RelayConfig,
    pub(crate) log: LogConfig,
    pub(crate) storage: StorageConfig,
    file: Option<PathBuf>,
    effective: Vec<Effective>,
}

/// What is in force for an agent.
#[derive(Clone, Debug)]
pub(crate) struct AgentConfig {
    /// The relay that has this agent's prekeys and mailboxes.
    pub(crate) relay: RelayUrl,
    /// How peers at other relays name that one, where they are told.
    pub(crate) public_relay: Option<RelayUrl>,
    /// Relays of peers that may be talked to beside it.
    pub(crate) other_relays: Vec<RelayUrl>,
    /// Certificates of authorities that are trusted beside those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether relays elsewhere may be reached without TLS.
    pub(crate) plain_http_anywhere: bool,
    pub(crate) device: Whole<0, { u32::MAX }>,
    pub(crate) suite: SuiteChoice,
    pub(crate) admit: Admit,
    /// Where the newest state is noted, outside the agent's directory.
    pub(crate) anchor: Option<AnchorPlace>,
    /// What the state takes beside the agent's keys.
    pub(crate) state_kms: Option<KeyName>,
    /// Messages that wait to be read.
    pub(crate) inbox: Whole<1, 1_000_000>,
}

/// What is in force for a relay.
#[derive(Clone, Debug)]
pub(crate) struct RelayConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) admin_anywhere: bool,
    pub(crate) data: PathBuf,
    /// The most that the database takes on disk; 0 is without limit.
    pub(crate) database_mib: Whole<0, 1_000_000_000>,
    pub(crate) tls_certificate: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) plain_http_anywhere: bool,
    /// Its names, as they stand in agents' configurations.
    pub(crate) authorities: Vec<Authority>,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) rates: RelayRates,
    pub(crate) connections: Whole<1, 1_000_000>,
    pub(crate) connections_per_address: Whole<1, 1_000_000>,
    /// For bodies that are on their way in.
    pub(crate) body_mib: Whole<1, 65_536>,
    pub(crate) drain_seconds: Whole<0, 600>,
}

/// How often a minute something may be done; 0 is without limit.
pub(crate) type Rate = Whole<0, 1_000_000>;

/// The rates of a relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelayRates {
    pub(crate) claims_per_caller: Rate,
    pub(crate) claims_per_target: Rate,
    pub(crate) claims_per_address: Rate,
    pub(crate) mailboxes_per_address: Rate,
    pub(crate) publications_per_address: Rate,
    pub(crate) contacts_per_address: Rate,
}

/// What is in force for the log of a relay.
#[derive(Clone, Debug)]
pub(crate) struct LogConfig {
    pub(crate) directory: PathBuf,
    pub(crate) retention_days: Whole<1, 3650>,
}

/// What is in force for sealed files.
#[derive(Clone, Debug)]
pub(crate) struct StorageConfig {
    /// The key that wraps data keys, where a command names none.
    pub(crate) kms: Option<KeyName>,
    /// Whose objects they are, where a command does not say.
    pub(crate) tenant: Option<String>,
    pub(crate) vault_address: Option<ServiceUrl>,
    pub(crate) vault_namespace: Option<String>,
    /// Read anew for each call.
    pub(crate) vault_token_file: Option<PathBuf>,
    /// Of AWS KMS, where it is another than that of the key's region.
    pub(crate) aws_endpoint: Option<ServiceUrl>,
    /// Certificates of authorities that are trusted beside those of the system.
    pub(crate) ca_file: Option<PathBuf>,
    /// Whether stores elsewhere may be reached without TLS. Key services never are.
    pub(crate) plain_http_anywhere: bool,
    /// How long a store or a key service that does not answer is asked.
    pub(crate) patience_seconds: Whole<1, 3600>,
    pub(crate) rotation_days: Whole<1, 3650>,
    pub(crate) grace_days: Whole<0, 3650>,
    pub(crate) reminder_days: Whole<0, 3650>,
    pub(crate) audit_days: Whole<1, 3650>,
    pub(crate) keep_audit_days: Whole<1, 3650>,
}

/// A value that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Effective {
    /// `section.name`.
    pub(crate) key: &'static str,
    /// As it would stand in a file.
    pub(crate) value: String,
    #[serde(flatten)]
    pub(crate) origin: Origin,
}

/// Where a value is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub(crate) enum Origin {
    Default,
    File { line: usize },
    Environment,
}

impl Config {
    /// Reads the file that was asked for, or else the one in the agent's directory if there is
    /// one, and the environment.
    pub(crate) fn load(asked: Option<PathBuf>, home: &Home) -> Result<Self, Failure> {
        let file = match asked {
            Some(path) => Some((path.clone(), read(&path)?)),
            None => {
                let path = home.file(FILE);
                let there = path.try_exists();
                match there.map_err(|error| Failure::file("look for", &path, &error))? {
                    true => Some((path.clone(), read(&path)?)),
                    false => None,
                }
            }
        };
        let file = file.as_ref().map(|(path, text)| (path.clone(), text.as_str()));
        Self::from_layers(file, env::vars_os(), home)
    }

    /// Makes a configuration of a file and an environment.
    fn from_layers(
        file: Option<(PathBuf, &str)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        home: &Home,
    ) -> Result<Self, Failure> {
        let path = file.as_ref().map(|(path, _)| path.clone());
        let mut layers = Layers::new(file, environment)?;
        let agent = AgentConfig::take(&mut layers)?;
        let relay = RelayConfig::take(&mut layers, home)?;
        let log = LogConfig::take(&mut layers, &relay)?;
        let storage = StorageConfig::take(&mut layers)?;
        let effective = layers.finish()?;
        let config = Self { agent, relay, log, storage, file: path, effective };
        config.check()?;
        Ok(config)
    }

    /// The file that was read, if there was one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Every value, in the order of the documentation.
    pub(crate) fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// Puts a relay's data elsewhere, and its log with it unless that has a place of its own.
    pub(crate) fn keep_relay_in(&mut self, data: PathBuf) {
        if self.log.directory == self.relay.data.join(LogConfig::DIRECTORY) {
            self.log.directory = data.join(LogConfig::DIRECTORY);
        }
        self.relay.data = data;
    }

    /// What no value by itself can say.
    fn check(&self) -> Result<(), Failure> {
        let Self { agent, relay, storage, .. } = self;
        let mut relays = std::iter::once(&agent.relay).chain(&agent.other_relays);
        let exposed = relays.find(|relay| url::is_exposed(relay));
        if let Some(exposed) = exposed.filter(|_| !agent.plain_http_anywhere) {
            let message = format!(
                "{exposed} is not on this machine, and without TLS whoever is on the way sees who \
                 asks for what"
            );
            return Err(Failure::new(Exit::Usage, message)
                .hint("write https://, or set agent.plain_http_anywhere = true"));
        }
        if relay.tls_certificate.is_some() != relay.tls_key.is_some() {
            let message = "relay.tls_certificate and relay.tls_key go together";
            return Err(Failure::new(Exit::Usage, message));
        }
        let mut services = [&storage.vault_address, &storage.aws_endpoint].into_iter().flatten();
        if let Some(exposed) = services.find(|service| service.is_exposed()) {
            let message = format!(
                "{exposed} is not on this machine, and without TLS whoever is on the way takes the \
                 data keys"
            );
            return Err(Failure::new(Exit::Usage, message).hint("write https://"));
        }
        Ok(())
    }
}

impl AgentConfig {
    fn take(layers: &mut Layers) -> Result<Self, Failure> {
        Ok(Self {
            relay: layers.take("agent.relay", url::local(RelayConfig::PORT)?)?,
            public_relay: layers.take("agent.public_relay", None)?,
            other_relays: layers.take("agent.other_relays", Vec::new())?,
            ca_file: layers.take("agent.ca_file", None)?,
            plain_http_anywhere: layers.take("agent.plain_http_anywhere", false)?,
            device: layers.take("agent.device", Whole::new(0))?,
            suite: layers.take("agent.suite", SuiteChoice::Fastest)?,
            admit: layers.take("agent.admit", Admit::Pinned)?,
            anchor: layers.take("agent.anchor", None)?,
            state_kms: layers.take("agent.state_kms", None)?,
            inbox: layers.take("agent.inbox", Whole::new(4096))?,
        })
    }
}

impl RelayConfig {
    /// What a relay listens on when nothing else is said, and where agents look for one.
    pub(crate) const PORT: u16 = 7600;
    const ADMIN_PORT: u16 = 7601;

    fn take(layers: &mut Layers, home: &Home) -> Result<Self, Failure> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self {
            listen: layers.take("relay.listen", local(Self::PORT))?,
            admin: layers.take("relay.admin", Some(local(Self::ADMIN_PORT)))?,
            admin_anywhere: layers.take("relay.admin_anywhere", false)?,
            data: layers.take("relay.data", home.file("relay"))?,
            database_mib: layers.take("relay.database_mib", Whole::new(0))?,
            tls_certificate: layers.take("relay.tls_certificate", None)?,
            tls_key: layers.take("relay.tls_key", None)?,
            plain_http_anywhere: layers.take("relay.plain_http_anywhere", false)?,
            authorities: layers.take("relay.authorities", Vec::new())?,
            trusted_proxies: layers.take("relay.trusted_proxies", Vec::new())?,
            rates: RelayRates::take(layers)?,
            connections: layers.take("relay.connections", Whole::new(16_384))?,
            connections_per_address: layers
                .take("relay.connections_per_address", Whole::new(512))?,
            body_mib: layers.take("relay.body_mib", Whole::new(256))?,
            drain_seconds: layers.take("relay.drain_seconds", Whole::new(10))?,
        })
    }
}

impl RelayRates {
    fn take(layers: &mut Layers) -> Result<Self, Failure> {
        Ok(Self {
            claims_per_caller: layers.take("relay.claims_per_caller", Rate::new(10))?,
            claims_per_target: layers.take("relay.claims_per_target", Rate::new(60))?,
            claims_per_address: layers.take("relay.claims_per_address", Rate::new(60))?,
            mailboxes_per_address: layers.take("relay.mailboxes_per_address", Rate::new(30))?,
            publications_per_address: layers
                .take("relay.publications_per_address", Rate::new(120))?,
            contacts_per_address: layers.take("relay.contacts_per_address", Rate::new(120))?,
        })
    }
}

impl LogConfig {
    /// In the directory of a relay's data.
    const DIRECTORY: &str = "log";

    fn take(layers: &mut Layers, relay: &RelayConfig) -> Result<Self, Failure> {
        Ok(Self {
            directory: layers.take("log.directory", relay.data.join(Self::DIRECTORY))?,
            retention_days: layers.take("log.retention_days", Whole::new(30))?,
        })
    }
}

impl StorageConfig {
    /// How long a store or a key service that does not answer is asked.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_seconds.get().into())
    }

    fn take(layers: &mut Layers) -> Result<Self, Failure> {
        Ok(Self {
            kms: layers.take("storage.kms", None)?,
            tenant: layers.take("storage.tenant", None)?,
            vault_address: layers.take("storage.vault_address", None)?,
            vault_namespace: layers.take("storage.vault_namespace", None)?,
            vault_token_file: layers.take("storage.vault_token_file", None)?,
            aws_endpoint: layers.take("storage.aws_endpoint", None)?,
            ca_file: layers.take("storage.ca_file", None)?,
            plain_http_anywhere: layers.take("storage.plain_http_anywhere", false)?,
            patience_seconds: layers.take("storage.patience_seconds", Whole::new(30))?,
            rotation_days: layers.take("storage.rotation_days", Whole::new(90))?,
            grace_days: layers.take("storage.grace_days", Whole::new(30))?,
            reminder_days: layers.take("storage.reminder_days", Whole::new(14))?,
            audit_days: layers.take("storage.audit_days", Whole::new(90))?,
            keep_audit_days: layers.take("storage.keep_audit_days", Whole::new(30))?,
        })
    }
}

impl Effective {
    /// The environment variable that stands over the file.
    pub(crate) fn variable(&self) -> String {
        variable(self.key)
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_LEN + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > MAX_LEN => Err(Failure::new(
            Exit::Usage,
            format!("{} is over {MAX_LEN} bytes long; no configuration is", Plain::path(path)),
        )),
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let message = format!("{} is not UTF-8, so it is not TOML", Plain::path(path));
            Err(Failure::new(Exit::Usage, message))
        }
        Err(error) => Err(Failure::file("read", path, &error)),
    }
}

#[cfg(test)]
mod tests;
