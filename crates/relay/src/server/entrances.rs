//! What deposits are judged by, remembered for a few seconds: a deposit into a mailbox that is
//! written to often costs no read of the store.

use core::time::Duration;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    ReceiveId, SendId,
    store::{Entrance, Store, StoreError},
};

/// How long something is believed: a revocation that another process took is seen after this.
const LIFETIME: Duration = Duration::from_secs(3);

/// The most that are remembered: 16 MiB if each had all the revoked tokens that it may have.
const MAX_ENTRANCES: usize = 4096;

/// Remembers what the store said, that there is no such mailbox too: otherwise an unknown
/// mailbox would cost more reads than a known one, which could be told by the time.
#[derive(Debug, Default)]
pub(super) struct Entrances {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Counts what was forgotten, so that nothing is remembered that was read before.
    forgotten: u64,
    entries: HashMap<SendId, Entry>,
}

#[derive(Debug)]
struct Entry {
    entrance: Option<Arc<Entrance>>,
    until: Duration,
}

impl Entrances {
    /// What a deposit for `id` is judged by, `None` when there is no such mailbox.
    pub(super) async fn of(
        &self,
        store: &dyn Store,
        id: &SendId,
        elapsed: Duration,
    ) -> Result<Option<Arc<Entrance>>, StoreError> {
        let forgotten = {
            let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            match table.entries.get(id) {
                Some(entry) if entry.until > elapsed => return Ok(entry.entrance.clone()),
                _ => table.forgotten,
            }
        };
        let entrance = store.entrance(id).await?.map(Arc::new);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.forgotten == forgotten {
            if table.entries.len() >= MAX_ENTRANCES {
                table.entries.retain(|_, entry| entry.until > elapsed);
            }
            if table.entries.len() >= MAX_ENTRANCES {
                table.entries.clear();
            }
            let until = elapsed.saturating_add(LIFETIME);
            table.entries.insert(*id, Entry { entrance: entrance.clone(), until });
        }
        Ok(entrance)
    }

    /// Forgets that there was nothing under this id.
    pub(super) fn made(&self, id: &SendId) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.forgotten = table.forgotten.wrapping_add(1);
        table.entries.remove(id);
    }

    /// Forgets the entrance of a mailbox that was changed or closed.
    pub(super) fn changed(&self, id: &ReceiveId) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.forgotten = table.forgotten.wrapping_add(1);
        table
            .entries
            .retain(|_, entry| entry.entrance.as_ref().is_none_or(|known| known.mailbox != *id));
    }
}
