//! Sessions: what there is, and closing it.

use std::sync::Arc;

use sealwire_core::Timestamp;
use sealwire_ratchet::{Role, Session, SessionId, Standing};

use super::contact::{Changed, Contact};
use crate::{
    Agent, Effects, Error,
    agent::{Inner, blocking},
    delivery::Device,
};

/// A session with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// With whom.
    pub peer: Device,
    /// Its id, the same at both ends.
    pub id: SessionId,
    /// Which side began it.
    pub role: Role,
    /// Whether messages to the peer go there. Others only receive.
    pub active: bool,
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Keys kept for messages that have not come.
    pub skipped: usize,
    /// When it began.
    pub created: Timestamp,
    /// When it last sent or received.
    pub last_used: Timestamp,
}

impl Agent {
    /// The sessions with all peers.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::Misuse`] for an agent without a store.
    ///
    /// # Example
    /// ```
    /// # use sealwire::{Agent, Error};
    /// async fn close_idle(agent: &Agent) -> Result<(), Error> {
    ///     for session in agent.sessions().await? {
    ///         if session.received == 0 {
    ///             agent.close_session(&session).await?;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn sessions(&self) -> Result<Vec<SessionInfo>, Error> {
        let mut sessions = Vec::new();
        for peer in self.inner.offline()?.known() {
            let found = self.with_contact(&peer, |_, contact| {
                let peer = contact.device();
                let info = |(session, standing)| info(peer, session, standing);
                Ok(contact.sessions()?.iter().map(info).collect())
            });
            sessions.extend::<Vec<SessionInfo>>(found.await?);
        }
        Ok(sessions)
    }

    /// Closes a session: its keys are wiped here, and messages that are on their way do not
    /// open any more. The peer is not told; the next message to it begins a new session. Says
    /// whether there was one.
    ///
    /// # Errors
    /// As [`Agent::sessions`].
    pub async fn close_session(&self, session: &SessionInfo) -> Result<bool, Error> {
        let id = session.id;
        self.with_contact(&session.peer, move |agent, contact| close(agent, contact, Some(id)))
            .await
    }

    /// Closes every session with every peer.
    ///
    /// # Errors
    /// As [`Agent::sessions`]; those that were closed before it stay closed.
    pub async fn close_sessions(&self) -> Result<(), Error> {
        for peer in self.inner.offline()?.known() {
            self.with_contact(&peer, |agent, contact| close(agent, contact, None)).await?;
        }
        Ok(())
    }

    async fn with_contact<R: Send + 'static>(
        &self,
        peer: &Device,
        work: impl FnOnce(&Inner, &mut Contact) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        let mut held = self.inner.offline()?.hold(peer).await?;
        let agent = Arc::clone(&self.inner);
        blocking(move || {
            let offline = agent.offline()?;
            let done = held.load(offline.store.as_ref()).and_then(|()| work(&agent, &mut held));
            if done.is_err() {
                held.spoil();
            }
            offline.release(held);
            done
        })
        .await
    }
}

fn close(agent: &Inner, contact: &mut Contact, only: Option<SessionId>) -> Result<bool, Error> {
    let mut effects = Effects::new();
    let found = contact.close(only, &mut effects)?;
    if found {
        contact.store(Changed::Nothing, &mut effects)?;
        let _ = agent.offline()?.store.commit(effects)?;
    }
    Ok(found)
}

fn info(peer: &Device, session: &Session, standing: Standing) -> SessionInfo {
    SessionInfo {
        peer: peer.clone(),
        id: session.id(),
        role: session.role(),
        active: standing == Standing::Active,
        sent: session.sent(),
        received: session.received(),
        skipped: session.skipped(),
        created: session.created(),
        last_used: session.last_used(),
    }
}
