//! Frames that are stored and not yet delivered.

use std::sync::Arc;

use super::{
    Event,
    contact::Changed,
    rows::{RowReader, RowWriter},
};
use crate::{
    Effects, Error,
    agent::{Inner, blocking},
    delivery::{Address, Device, MessageId},
    store::{Range, RowKey, Table, Value},
};

/// A frame and where it goes. Sent again, it is the same bytes under the same id.
pub(super) struct Row {
    pub(super) to: Device,
    pub(super) message: MessageId,
    pub(super) address: Address,
    pub(super) frame: Vec<u8>,
}

impl Row {
    const WHAT: &'static str = "outbox row";

    pub(super) fn to_value(&self) -> Value {
        let Self { to, message, address, frame } = self;
        RowWriter::new(frame.len())
            .device(to)
            .bytes(message.as_bytes())
            .address(address)
            .bytes(frame)
            .finish()
    }

    fn from_value(value: &[u8]) -> Result<Self, Error> {
        let mut row = RowReader::new(Self::WHAT, value)?;
        let (to, message, address) = (row.device()?, row.message()?, row.address()?);
        Ok(Self { to, message, address, frame: row.rest().to_vec() })
    }
}

/// Deposits all frames in the order in which they were sealed. A mailbox that takes no more now
/// holds up its own frames only.
pub(super) async fn flush(agent: &Arc<Inner>) -> Result<(), Error> {
    let offline = agent.offline()?;
    let mut held_up: Vec<Address> = Vec::new();
    let mut failure = None;
    let mut last: Option<RowKey> = None;
    loop {
        let rows = page(agent, last.clone()).await?;
        let Some((end, _)) = rows.last() else { break };
        last = Some(end.clone());
        for (key, row) in rows {
            if held_up.contains(&row.address) {
                continue;
            }
            match offline.delivery.deposit(&row.address, row.message, &row.frame).await {
                Ok(()) => remove(agent, key).await?,
                Err(error) if error.is_retryable() => {
                    held_up.push(row.address);
                    failure.get_or_insert(error);
                }
                Err(_) => give_up(agent, key, row).await?,
            }
        }
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
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

async fn remove(agent: &Arc<Inner>, key: RowKey) -> Result<(), Error> {
    let agent = Arc::clone(agent);
    blocking(move || {
        let mut effects = Effects::new();
        effects.delete(Table::Outbox, key)?;
        let _ = agent.offline()?.store.commit(effects)?;
        Ok(())
    })
    .await
}

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
        let _ = offline.store.commit(effects).inspect_err(|_| held.spoil())?;
        agent.tell(Event::Undeliverable { peer: row.to, message: row.message });
        Ok(())
    })
    .await
}
