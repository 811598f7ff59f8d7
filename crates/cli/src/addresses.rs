//! The address book: which agent was met at which address, so that dialling the address again
//! means dialling that agent.

use std::{collections::BTreeMap, fs, io};

use sealwire::{custody::atomic::FileLock, identity::AgentId};

use crate::{
    books::{Addresses, Book},
    error::Failure,
    home::Home,
    text::Plain,
};

/// The agent that was met at `address`.
pub(crate) fn lookup(home: &Home, address: &str) -> Result<Option<AgentId>, Failure> {
    let book = read(home)?;
    let id = book.addresses.get(address).map(|id| AgentId::parse(id));
    Ok(id.transpose()?)
}

/// The addresses at which each agent was met.
pub(crate) fn by_agent(home: &Home) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut agents: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (address, id) in read(home)?.addresses {
        agents.entry(id).or_default().push(address);
    }
    Ok(agents)
}

/// Remembers who was met at `address`.
pub(crate) fn remember(home: &Home, address: &str, id: &AgentId) -> Result<(), Failure> {
    if lookup(home, address)?.as_ref() == Some(id) {
        return Ok(());
    }
    change(home, |addresses| {
        addresses.insert(address.to_owned(), id.to_string());
    })
}

/// Forgets every address of an agent.
pub(crate) fn forget(home: &Home, id: &AgentId) -> Result<(), Failure> {
    if !home.addresses().exists() {
        return Ok(());
    }
    change(home, |addresses| addresses.retain(|_, met| met != id.as_str()))
}

fn change(home: &Home, change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<(), Failure> {
    let lock = FileLock::acquire(&home.addresses())?;
    let mut book = read(home)?;
    change(&mut book.addresses);
    let text = book.to_text();
    let text = text.map_err(|error| Failure::other(format!("internal error: {error}")))?;
    Ok(lock.replace(text.as_bytes(), 0o600)?)
}

fn read(home: &Home) -> Result<Addresses, Failure> {
    let path = home.addresses();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Addresses::default());
        }
        Err(error) => return Err(Failure::file("read", &path, &error)),
    };
    Addresses::read(&text).map_err(|why| {
        Failure::other(format!("{} is damaged: {why}", Plain::path(&path)))
            .hint("repair it or move it away; without it, dial a peer with --peer")
    })
}
