//! The store in SQLite.

use std::sync::Arc;

use sealwire_relay::store::{SqliteStore, Store};
use tempfile::TempDir;

use crate::fixtures::Subject;

pub(crate) struct Sqlite {
    store: Arc<SqliteStore>,
    directory: TempDir,
}

impl Subject for Sqlite {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { store: Arc::new(SqliteStore::open(directory.path()).expect("opens")), directory }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    fn reopen(self) -> Option<Self> {
        let Self { store, directory } = self;
        drop(Arc::into_inner(store).expect("nobody else has it"));
        Some(Self {
            store: Arc::new(SqliteStore::open(directory.path()).expect("opens")),
            directory,
        })
    }
}

store_conformance!(crate::sqlite::Sqlite);
