//! Frames that are stored and not yet delivered.

use std::sync::Arc;

use sealwire_core::kdf;

use super::{
    Event,
    contact::Changed,
    rows::{RowReader, RowWriter, each_row, queue_message},
    sending,
};
use crate::{
    Agent, Effects, Error,
    agent::{Inner, blocking},
    delivery::{Address, Device, MessageId},
    store::{Range, RowKey, Table, Value},
};

/// A frame and where it goes. Sent again, it is the same bytes under the same id.
pub(super) struct Row {
    pub(super) to: Device,
    /// The id that the delivery sees.
    pub(super) message: MessageId,
    pub(super) address: Address,
    pub(super) holds: Holds,
    pub(super) frame: Vec<u8>,
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// A message, whose id it has.
    Message,
    /// Bytes of a large message.
    Part(PartOf),
    /// An answer to one.
    Answer,
}

/// Which large message a part is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartOf {
    /// Its id.
    pub(super) message: MessageId,
    /// The key that tells its repetition.
    pub(super) once: [u8; kdf::HASH_LEN],
    /// How often it had been begun anew.
    pub(super) round: u32,
    /// The bytes in the part.
    pub(super) len: u32,
}

impl Row {
    const WHAT: &'static str = "outbox row";
    /// The first version has messages only.
    const VERSION: u8 = 2;

    pub(super) fn to_value(&self) -> Value {
        let Self { to, message, address, holds, frame } = self;
        let len = frame.len();
        let row = match holds {
            Holds::Message => RowWriter::new(len),
            Holds::Answer => RowWriter::of_version(Self::VERSION, len).flag(false),
            Holds::Part(PartOf { message, once, round, len: bytes }) => {
                let row = RowWriter::of_version(Self::VERSION, len).flag(true);
                row.bytes(message.as_bytes()).bytes(once).u32(*round).u32(*bytes)
            }
        };
        row.device(to).bytes(message.as_bytes()).address(address).bytes(frame).finish()
    }

    pub(super) fn from_value(value: &[u8]) -> Result<Self, Error> {
        let (version, mut row) = RowReader::of_version(Self::WHAT, value, Self::VERSION)?;
        let holds = if version < Self::VERSION {
            Holds::Message
        } else if row.flag()? {
            let (message, once) = (row.message()?, row.array()?);
            Holds::Part(PartOf { message, once, round: row.u32()?, len: row.u32()? })
        } else {
            Holds::Answer
        };
        let (to, message, address) = (row.device()?, row.message()?, row.address()?);
        Ok(Self { to, message, address, holds, frame: row.rest().to_vec() })
    }
}

impl Agent {
    /// Delivers what was sent, and takes nothing: the half of [`Agent::sync`] for a process that
    /// only sends. When it succeeds, nothing is left in the outbox of what was there.
    ///
    /// # Errors
    /// As [`Agent::sync`].
    ///
    /// # Example
    /// ```
    /// # use sealwire::{Agent, Error, identity::AgentId};
    /// async fn notify(agent: &Agent, peer: &AgentId) -> Result<(), Error> {
    ///     agent.send(peer, b"done").await?;
    ///     agent.flush().await
    /// }
    /// ```
    pub async fn flush(&self) -> Result<(), Error> {
        let _turn = self.inner.offline()?.syncing.lock().await;
        flush(&self.inner).await
    }

    /// Whether a message that was [sent](Agent::send) is still here, for the delivery to take. One
    /// that is not was delivered, unless [`Event::Undeliverable`] tells of it.
    ///
    /// # Errors
    /// [`Error::State`]; [`Error::Misuse`] for an agent without a store.
    pub async fn is_undelivered(&self, message: &MessageId) -> Result<bool, Error> {
        let (agent, message) = (Arc::clone(&self.inner), *message);
        blocking(move || {
            let mut found = false;
            each_row(agent.offline()?.store.as_ref(), Table::Outbox, &[], |row| {
                found |= queue_message(&row.key) == Some(message);
                Ok(())
            })?;
            Ok(found)
        })
        .await
    }

    /// How many frames the delivery has not taken yet: messages, and parts of large ones.
    ///
    /// # Errors
    /// [`Error::State`]; [`Error::Misuse`] for an agent without a store.
    pub async fn undelivered(&self) -> Result<usize, Error> {
        let agent = Arc::clone(&self.inner);
        blocking(move || {
            let mut count = 0_usize;
            each_row(agent.offline()?.store.as_ref(), Table::Outbox, &[], |_| {
                count = count.saturating_add(1);
                Ok(())
            })?;
            Ok(count)
        })
        .await
    }
}

/// Deposits all frames in the order in which they were sealed. A mailbox that takes no more now
/// holds up its own frames only. Whoever calls it holds `syncing`.
pub(super) async fn flush(agent: &Arc<Inner>) -> Result<(), Error> {
    let mut held_up: Vec<Address> = Vec::new();
    let mut failure = None;
    let mut last: Option<RowKey> = None;
    loop {
        let rows = page(agent, last.clone()).await?;
        let Some((end, _)) = rows.last() else { break };
        last = Some(end.clone());
        let mut taken = Deposited::default();
        let mut lost = None;
        for (key, row) in rows {
            if held_up.contains(&row.address) {
                continue;
            }
            match agent.offline()?.delivery.deposit(&row.address, row.message, &row.frame).await {
                Ok(()) => taken.add(key, &row),
                Err(error) if error.is_retryable() => {
                    held_up.push(row.address);
                    failure.get_or_insert(error);
                }
                Err(_) => {
                    lost = Some((key, row));
                    break;
                }
            }
        }
        taken.remove(agent).await?;
        if let Some((key, row)) = lost {
            last = Some(key.clone());
            give_up(agent, key, row).await?;
        }
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Frames that were deposited. One commit removes them: a crash before it deposits them again,
/// under ids that the mailbox has seen.
#[derive(Default)]
struct Deposited {
    keys: Vec<RowKey>,
    parts: Vec<PartOf>,
}

impl Deposited {
    fn add(&mut self, key: RowKey, row: &Row) {
        self.keys.push(key);
        if let Holds::Part(part) = row.holds {
            self.parts.push(part);
        }
    }

    async fn remove(self, agent: &Arc<Inner>) -> Result<(), Error> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let agent = Arc::clone(agent);
        blocking(move || {
            let offline = agent.offline()?;
            let mut effects = Effects::new();
            for key in self.keys {
                effects.delete(Table::Outbox, key)?;
            }
            let _ = offline.store.commit(effects)?;
            self.parts.iter().for_each(|part| offline.pending().remove(part));
            Ok(())
        })
        .await
    }
}

async fn page(agent: &Arc<Inner>, after: Option<RowKey>) -> Result<Vec<(RowKey, Row)>, Error> {
    let agent = Arc::clone(agent);
    blocking(move || {
        let range = Range::all().limit(PAGE);
        let range = after.as_ref().map_or(range, |after| range.after(after));
        let rows = agent.offline()?.store.scan(Table::Outbox, range)?;
        rows.into_iter().map(|row| Ok((row.key, Row::from_value(&row.value)?))).collect()
    })
    .await
}

/// Frames that are in memory at a time.
const PAGE: usize = 32;

/// The mailbox is gone: whoever owned it has to be written to anew.
async fn give_up(agent: &Arc<Inner>, key: RowKey, row: Row) -> Result<(), Error> {
    let held = agent.offline()?.hold(&row.to).await?;
    let agent = Arc::clone(agent);
    blocking(move || {
        let mut held = held;
        let offline = agent.offline()?;
        let mut effects = Effects::new();
        effects.delete(Table::Outbox, key)?;
        held.load(offline.store.as_ref())?;
        if held.is_stored() {
            held.known.renew = true;
            held.store(Changed::Nothing, &mut effects)?;
        }
        let lost = match &row.holds {
            Holds::Message => Some(row.message),
            Holds::Part(part) => sending::rewind(&agent, &held, part, &mut effects)?,
            Holds::Answer => None,
        };
        let _ = offline.store.commit(effects).inspect_err(|_| held.spoil())?;
        if let Holds::Part(part) = &row.holds {
            offline.pending().remove(part);
        }
        if let Some(message) = lost {
            agent.tell(Event::Undeliverable { peer: row.to, message });
        }
        Ok(())
    })
    .await
}
