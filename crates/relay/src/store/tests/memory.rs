//! The store in memory.

use std::sync::Arc;

use crate::store::{MemoryStore, Store};

use super::fixtures::Subject;

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

store_conformance!(crate::store::tests::memory::Memory);
