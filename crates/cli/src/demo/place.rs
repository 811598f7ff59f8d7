//! Where an agent of the demo has its files, for the part of the story that runs in this
//! process.

use std::{fs, io, path::PathBuf, sync::Arc};

use sealwire::{
    Agent, SystemClock,
    core::KeyStore,
    custody::{FileKeyStore, Passphrase},
    delivery::{RelayDelivery, RelaySettings},
    identity::AgentId,
    store::{self, Options, Protection, SqliteStore, Store},
};

use sealwire_relay::{Caller, client::RelayUrl};

use super::post::{Carrier, Post};
use crate::{agent, home::Home};

/// The files of an agent, and its keys, which stay unlocked between two starts.
#[derive(Clone)]
pub(super) struct Place {
    home: Home,
    state: PathBuf,
    keys: Arc<FileKeyStore>,
    pub(super) id: AgentId,
}

impl Place {
    pub(super) fn new(directory: PathBuf, passphrase: &str) -> io::Result<Self> {
        let passphrase = Passphrase::from_bytes(passphrase.as_bytes()).map_err(io::Error::other)?;
        let state = directory.join("state");
        let home = Home::locate(Some(directory)).map_err(told)?;
        let keys = FileKeyStore::open(home.keys(), &passphrase).map_err(io::Error::other)?;
        let id = AgentId::from_key(keys.identity());
        Ok(Self { home, state, keys: Arc::new(keys), id })
    }

    /// Starts the agent with what is on disk. It ends when it is dropped.
    pub(super) fn start(&self, post: &Post, relay: &RelayUrl) -> io::Result<Agent> {
        let store = self.open().map_err(io::Error::other)?;
        let builder = agent::builder(&self.home, Arc::clone(&self.keys)).map_err(told)?;
        let delivery = Arc::new(self.carrier(post, relay)?);
        let agent = builder.store(Arc::new(store)).delivery(delivery).build();
        agent.map_err(io::Error::other)
    }

    /// Its keys.
    pub(super) fn keys(&self) -> &dyn KeyStore {
        self.keys.as_ref()
    }

    /// Its way to the relay.
    pub(super) fn carrier(&self, post: &Post, relay: &RelayUrl) -> io::Result<Carrier> {
        let settings = RelaySettings::new(relay.clone());
        let keys = Arc::clone(&self.keys);
        let relay = RelayDelivery::new(settings, keys, Arc::new(SystemClock::new()));
        Ok(Carrier::new(post.clone(), relay.map_err(io::Error::other)?))
    }

    /// What a relay may be told of it that names it: id, key, and what a signature is filed
    /// under.
    pub(super) fn names(&self) -> Vec<Vec<u8>> {
        let id = self.id.as_str();
        vec![
            id.as_bytes().to_vec(),
            self.keys.identity().as_bytes().to_vec(),
            Caller::of(id).as_bytes().to_vec(),
        ]
    }

    /// Whether the state would be seen to be an older one.
    pub(super) fn protection(&self) -> io::Result<Protection> {
        let status = self.open().and_then(|store| store.status());
        Ok(status.map_err(io::Error::other)?.protection())
    }

    /// Every byte of the state as it lies on disk.
    pub(super) fn on_disk(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for entry in fs::read_dir(&self.state)? {
            bytes.extend(fs::read(entry?.path())?);
        }
        Ok(bytes)
    }

    fn open(&self) -> Result<SqliteStore, store::Error> {
        SqliteStore::open(&self.state, self.keys.as_ref(), Options::new())
    }
}

fn told(failure: crate::error::Failure) -> io::Error {
    io::Error::other(failure.message().to_owned())
}
