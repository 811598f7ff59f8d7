//! State that is forgotten with the process.

use core::{fmt, ops::Bound};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Change, Error, PageBudget, Protection, Range, Row, RowKey, Status, Store, Table, Value,
};
use crate::{Committed, Effects};

/// State in this process's memory. A crash loses it, and no copy of it can come back.
#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Default)]
struct State {
    generation: u64,
    rows: BTreeMap<(Table, RowKey), Arc<Value>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between two changes of a commit can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn commit(&self, effects: Effects) -> Result<Committed, Error> {
        effects.commit_with(|changes| {
            let mut state = self.lock();
            if changes.is_empty() {
                return Ok(state.generation);
            }
            let next = state.generation.checked_add(1).ok_or(Error::Exhausted("the generation"))?;
            // STA-3
            for change in changes {
                state.apply(change);
            }
            state.generation = next;
            Ok(next)
        })
    }

    fn get(&self, table: Table, key: &RowKey) -> Result<Option<Value>, Error> {
        Ok(self.lock().rows.get(&(table, key.clone())).map(|value| Value::clone(value)))
    }

    fn scan(&self, table: Table, range: Range<'_>) -> Result<Vec<Row>, Error> {
        let Range { prefix, after, limit } = range;
        let state = self.lock();
        let start = match after {
            Some(after) if after.as_bytes() >= prefix => Bound::Excluded((table, after.clone())),
            _ if prefix.is_empty() => Bound::Included((table, RowKey(Box::default()))),
            _ => Bound::Included((table, RowKey(prefix.into()))),
        };
        let rows = state.rows.range((start, Bound::Unbounded));
        let rows =
            rows.take_while(|((of, key), _)| *of == table && key.as_bytes().starts_with(prefix));
        let mut budget = PageBudget::new(limit);
        let rows = rows.take_while(|(_, value)| budget.takes(value.len()));
        Ok(rows
            .map(|((_, key), value)| Row { key: key.clone(), value: Value::clone(value) })
            .collect())
    }

    fn status(&self) -> Result<Status, Error> {
        Ok(Status::new(self.lock().generation, Protection::Unanchored))
    }
}

impl State {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put { table, key, value } => {
                self.rows.insert((*table, key.clone()), Arc::clone(value));
            }
            Change::Delete { table, key } => {
                self.rows.remove(&(*table, key.clone()));
            }
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
