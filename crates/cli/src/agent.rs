//! This agent, from its directory: keys, cards, and the peers it knows.

use std::sync::Arc;

use sealwire::{
    Agent, AgentBuilder, AllowAnyAuthenticated, Clock, KnownPeers, Peers, SystemClock,
    core::Timestamp,
    custody::{self, FileKeyStore},
};

use crate::{
    cards::{self, Named},
    config::{Admit, Config},
    error::Failure,
    home::Home,
    passphrase,
    text::Plain,
};

/// Opens the key file, with the passphrase.
pub(crate) fn unlock(home: &Home) -> Result<FileKeyStore, Failure> {
    home.require_identity()?;
    let passphrase = passphrase::ask()?;
    let path = home.keys();
    FileKeyStore::open(&path, &passphrase).map_err(|error| match error {
        custody::Error::Decode(_) => Failure::from(error).at(&Plain::path(&path)),
        _ => error.into(),
    })
}

/// The agent as it is configured. Its card is renewed when it is due.
pub(crate) fn load(home: &Home, config: &Config) -> Result<AgentBuilder, Failure> {
    configured(home, Arc::new(unlock(home)?), config)
}

/// The agent of keys that are unlocked, as it is configured.
pub(crate) fn configured(
    home: &Home,
    keys: Arc<FileKeyStore>,
    config: &Config,
) -> Result<AgentBuilder, Failure> {
    let builder = named(home, keys, Named::As(config.agent.public_relay.as_ref()))?;
    let builder = match config.agent.suite.suite() {
        Some(suite) => builder.suite(suite),
        None => builder,
    };
    Ok(match config.agent.admit {
        Admit::Pinned => builder.inbound(KnownPeers),
        Admit::Anyone => builder.inbound(AllowAnyAuthenticated),
    })
}

/// The agent of keys that are unlocked.
pub(crate) fn builder(home: &Home, keys: Arc<FileKeyStore>) -> Result<AgentBuilder, Failure> {
    named(home, keys, Named::AsBefore)
}

fn named(home: &Home, keys: Arc<FileKeyStore>, relay: Named<'_>) -> Result<AgentBuilder, Failure> {
    let peers = peers(home)?;
    let cards = cards::renew(home, keys.as_ref(), now(&peers)?, relay, false)?;
    let builder = Agent::builder(keys).peers(Arc::new(peers));
    Ok(cards.into_iter().fold(builder, AgentBuilder::card))
}

/// The peers that this agent knows.
pub(crate) fn peers(home: &Home) -> Result<Peers, Failure> {
    Ok(Peers::open(home.pins())?)
}

/// The time to judge cards by: a clock that was set back revives none.
pub(crate) fn now(peers: &Peers) -> Result<Timestamp, Failure> {
    let latest = peers.list()?.iter().map(|pin| pin.last_seen()).max();
    Ok(wall().max(latest.unwrap_or_default()))
}

/// The wall clock.
pub(crate) fn wall() -> Timestamp {
    SystemClock::new().wall()
}
