//! The store in memory.

use std::sync::Arc;

use sealwire_relay::store::{MemoryStore, Store};

use crate::fixtures::Subject;

pub(crate) struct Memory(Arc<MemoryStore>);

impl Subject for Memory {
    fn new() -> Self {
        Self(Arc::new(MemoryStore::new()))
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0) as Arc<dyn Store>
    }

    fn reopen(self) -> Option<Self> {
        None
    }
}

store_conformance!(crate::memory::Memory);
