//! An agent's mail: several tasks of one process send and receive, and what happens beside is
//! told once, whoever hears of it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sealwire::{
    Agent, Event,
    delivery::{Delivery, Device, MessageId, RelayDelivery},
    identity::AgentId,
};

use crate::{error::Failure, news, offline::Offline, output::Output};

/// An agent, and what became of its messages. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) agent: Agent,
    pub(crate) output: Output,
    delivery: Arc<RelayDelivery>,
    noted: Arc<Mutex<Noted>>,
}

/// What was heard, by whichever task.
#[derive(Debug, Default)]
struct Noted {
    /// Messages that cannot be delivered.
    lost: HashSet<MessageId>,
    /// Prekeys are at the relay, as far as is known.
    published: bool,
}

impl Mail {
    pub(crate) fn new(offline: Offline, output: Output) -> Self {
        let Offline { agent, store: _, delivery } = offline;
        Self { agent, output, delivery, noted: Arc::default() }
    }

    /// Delivers what is sealed, and takes what there is.
    pub(crate) async fn sync(&self) -> Result<(), Failure> {
        let synced = self.agent.sync().await;
        self.hear(synced)
    }

    /// Delivers what is sealed.
    pub(crate) async fn flush(&self) -> Result<(), Failure> {
        let flushed = self.agent.flush().await;
        self.hear(flushed.map(|()| Vec::new()))
    }

    /// Publishes prekeys, unless it is known that they are at the relay.
    pub(crate) async fn publish(&self) -> Result<(), Failure> {
        if !self.noted().published {
            self.agent.publish_prekeys().await?;
            self.noted().published = true;
        }
        Ok(())
    }

    /// Whether it was found that a message cannot be delivered.
    pub(crate) fn is_lost(&self, message: &MessageId) -> bool {
        self.noted().lost.remove(message)
    }

    /// Has a peer looked up at the relay that its card names. Gives that relay where it is none
    /// of those that may be talked to.
    pub(crate) fn route(&self, peer: &AgentId) -> Result<Option<String>, Failure> {
        let pin = self.agent.peers().get(peer)?;
        let relay = pin.and_then(|pin| pin.card().claimed().home_relay().map(str::to_owned));
        Ok(relay.filter(|relay| !self.delivery.route(peer, relay)))
    }

    /// Whether a message to a peer can go: there is a session, or there are prekeys to begin one.
    pub(crate) async fn finds(&self, peer: &AgentId) -> Result<bool, sealwire::Error> {
        let sessions = self.agent.sessions().await?;
        let known = sessions.iter().any(|session| session.active && session.peer.agent == *peer);
        Ok(known || self.delivery.bundle(&Device::from(peer)).await?.is_some())
    }

    /// Notes and tells what happened, in a call that failed too.
    fn hear(&self, done: Result<Vec<Event>, sealwire::Error>) -> Result<(), Failure> {
        let (mut events, done) = match done {
            Ok(events) => (events, Ok(())),
            Err(error) => (Vec::new(), Err(Failure::from(error))),
        };
        events.extend(self.agent.events()?);
        let mut noted = self.noted();
        for event in &events {
            match event {
                Event::Undeliverable { message, .. } => drop(noted.lost.insert(*message)),
                Event::PrekeysLow => noted.published = false,
                _ => {}
            }
        }
        drop(noted);
        news::tell(&events, self.output);
        done
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        // Nothing between two changes can panic.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
