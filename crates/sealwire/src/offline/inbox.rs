//! Messages that were received and not yet acknowledged by the application.

use core::fmt;
use std::sync::{Arc, PoisonError, atomic::Ordering};

use sealwire_core::Timestamp;
use zeroize::Zeroizing;

use super::rows::{RowReader, RowWriter};
use crate::{
    Agent, Effects, Error,
    agent::{Inner, blocking},
    delivery::{Device, MessageId},
    store::{Range, RowKey, Table, Value},
};

/// A message that was received. It stays in the inbox until [`Inbox::ack`].
pub struct Message {
    key: RowKey,
    id: MessageId,
    from: Device,
    received: Timestamp,
    payload: Zeroizing<Vec<u8>>,
}

/// The messages that were received and not acknowledged: they outlive the process.
///
/// See [`Agent::inbox`] for an example.
#[derive(Clone)]
pub struct Inbox {
    pub(super) agent: Arc<Inner>,
}

impl Agent {
    /// The messages that were received and not acknowledged.
    ///
    /// A message is in the store before it is seen here, and stays until it is acknowledged: an
    /// application that acknowledges once it is done loses nothing in a crash, and may see the
    /// last message a second time.
    ///
    /// # Errors
    /// [`Error::Misuse`] for an agent without a store.
    ///
    /// # Example
    /// ```
    /// # use sealwire::{Agent, Error};
    /// async fn serve(agent: &Agent) -> Result<(), Error> {
    ///     agent.sync().await?;
    ///     let inbox = agent.inbox()?;
    ///     for message in inbox.list(100).await? {
    ///         println!("{}: {} bytes", message.from().agent, message.payload().len());
    ///         inbox.ack(&message).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn inbox(&self) -> Result<Inbox, Error> {
        self.inner.offline()?;
        Ok(Inbox { agent: Arc::clone(&self.inner) })
    }
}

impl Inbox {
    /// The oldest messages, in the order of their arrival; those that came in parts are in
    /// [`Inbox::large`]. There may be more when fewer than
    /// `limit` are given; none means that there are none.
    ///
    /// # Errors
    /// [`Error::State`], [`Error::StateRow`].
    pub async fn list(&self, limit: usize) -> Result<Vec<Message>, Error> {
        let agent = Arc::clone(&self.agent);
        blocking(move || {
            let rows = agent.offline()?.store.scan(Table::Inbox, Range::all().limit(limit))?;
            rows.into_iter().map(|row| Message::from_row(row.key, &row.value)).collect()
        })
        .await
    }

    /// The oldest message.
    ///
    /// # Errors
    /// As [`Inbox::list`].
    pub async fn next(&self) -> Result<Option<Message>, Error> {
        Ok(self.list(1).await?.pop())
    }

    /// Removes a message for good: the application is done with it. One that is gone already
    /// is no error.
    ///
    /// # Errors
    /// [`Error::State`].
    pub async fn ack(&self, message: &Message) -> Result<(), Error> {
        let (agent, key) = (Arc::clone(&self.agent), message.key.clone());
        blocking(move || {
            let offline = agent.offline()?;
            let _turn = offline.acking.lock().unwrap_or_else(PoisonError::into_inner);
            if offline.store.get(Table::Inbox, &key)?.is_none() {
                return Ok(());
            }
            let mut effects = Effects::new();
            effects.delete(Table::Inbox, key)?;
            let _ = offline.store.commit(effects)?;
            offline.waiting.fetch_sub(1, Ordering::SeqCst);
            offline.wake.room();
            Ok(())
        })
        .await
    }
}

impl Message {
    const WHAT: &'static str = "inbox row";

    pub(super) fn from_row(key: RowKey, value: &[u8]) -> Result<Self, Error> {
        let mut row = RowReader::new(Self::WHAT, value)?;
        let (id, from, received) = (row.message()?, row.device()?, row.time()?);
        Ok(Self { key, id, from, received, payload: Zeroizing::new(row.rest().to_vec()) })
    }

    /// The row of a message that was received.
    pub(super) fn row(id: &MessageId, from: &Device, received: Timestamp, payload: &[u8]) -> Value {
        let row = RowWriter::new(payload.len()).bytes(id.as_bytes()).device(from);
        row.time(received).bytes(payload).finish()
    }

    /// Its id, which the sender drew: [`Agent::send`] gave it at the other end.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Who sent it, proven.
    pub fn from(&self) -> &Device {
        &self.from
    }

    /// When it was opened here.
    pub fn received(&self) -> Timestamp {
        self.received
    }

    /// What was sent.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, id, from: _, received, payload: _ } = self;
        f.debug_struct("Message")
            .field("id", id)
            .field("received", received)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox(..)")
    }
}
