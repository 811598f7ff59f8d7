//! Agents that objects are sealed for and by.

use std::{collections::BTreeMap, path::Path};

use sealwire::{
    core::{Timestamp, keys::VerifyingKey, keystore::KxId},
    hybrid::XWingPublic,
    identity::{AgentId, IdentityCard},
};
use sealwire_envelope::Sealers;

use crate::{
    agent, cards,
    error::{Exit, Failure},
    home::Home,
    input, whom,
};

/// An agent that an object is sealed for.
#[derive(Debug)]
pub(crate) struct Recipient {
    pub(crate) id: AgentId,
    pub(crate) public: XWingPublic,
    pub(crate) kx: KxId,
}

impl Recipient {
    /// The agent that is meant: one that is pinned, by its id or enough of its beginning, this
    /// agent itself, or the one of a card in a file.
    pub(crate) fn find(home: &Home, text: &str, now: Timestamp) -> Result<Self, Failure> {
        match own(home, now)? {
            Some(card) if is_meant(card.id(), text) => return Ok(Self::of(&card)),
            _ => {}
        }
        let pinned = whom::resolve(home, text);
        if pinned.is_err() && Path::new(text).is_file() {
            return Self::of_file(home, Path::new(text), now);
        }
        let id = pinned?;
        let pin = agent::peers(home)?.get(&id)?;
        let pin = pin.ok_or_else(|| Failure::from(sealwire::Error::NotPinned(id.clone())))?;
        let card = pin.card().clone().verify(now).map_err(|error| {
            Failure::from(error)
                .at(&id)
                .hint("pin its present card with `sealwire trust pin`; talking to it brings it too")
        })?;
        Ok(Self::of(card.as_verified()))
    }

    fn of_file(home: &Home, path: &Path, now: Timestamp) -> Result<Self, Failure> {
        let card = input::card(path)?.verify(now)?;
        let card = card.as_verified();
        if home.pins().exists()
            && let Some(pin) = agent::peers(home)?.get(card.id())?
            && pin.card_hash() != card.hash()
            && card.sequence() <= pin.sequence()
        {
            let message =
                format!("{} is pinned with a newer card than that of the file", card.id());
            return Err(Failure::new(Exit::Denied, message).hint("give its id instead of the file"));
        }
        Ok(Self::of(card))
    }

    fn of(card: &IdentityCard) -> Self {
        let (exchange, kem) = card.envelope_keys();
        let public = XWingPublic::from_parts(kem.clone(), *exchange);
        Self { id: card.id().clone(), public, kx: card.kx_id() }
    }
}

/// The agents whose objects are taken.
#[derive(Debug)]
pub(crate) struct Accepted(BTreeMap<String, VerifyingKey>);

impl Accepted {
    /// Those that are named; or, where none is, all that are pinned and this agent itself.
    pub(crate) fn find(home: &Home, named: &[String], now: Timestamp) -> Result<Self, Failure> {
        let mut ids = Vec::new();
        if named.is_empty() {
            ids.extend(own(home, now)?.map(|card| card.id().clone()));
            if home.pins().exists() {
                ids.extend(agent::peers(home)?.list()?.iter().map(|pin| pin.id().clone()));
            }
        }
        for text in named {
            match own(home, now)? {
                Some(card) if is_meant(card.id(), text) => ids.push(card.id().clone()),
                _ => ids.push(whom::resolve(home, text)?),
            }
        }
        let key = |id: &AgentId| Some((id.as_str().to_owned(), id.key()?.clone()));
        Ok(Self(ids.iter().filter_map(key).collect()))
    }
}

impl Sealers for Accepted {
    /// By its id alone: a sealer signs new cards all its life, and its key is the same on each.
    fn key(&self, id: &[u8], _card: &[u8; 32]) -> Option<VerifyingKey> {
        self.0.get(std::str::from_utf8(id).ok()?).cloned()
    }
}

/// This agent's newest card, if it has one.
fn own(home: &Home, now: Timestamp) -> Result<Option<IdentityCard>, Failure> {
    Ok(cards::read(home, now)?.pop())
}

/// Whether this agent itself is named: by all of its id, so that nobody else is taken for it.
fn is_meant(id: &AgentId, text: &str) -> bool {
    id.as_str() == text || id.as_str().strip_prefix("did:key:") == Some(text)
}
