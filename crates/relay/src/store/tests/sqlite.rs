//! The store in SQLite.

use std::sync::Arc;

use tempfile::TempDir;

use super::fixtures::Subject;
use crate::store::{SqliteStore, Store};

/// As a relay has it.
pub(crate) struct Sqlite(Opened);

/// One that has next to nothing in mind, and writes what it has in rounds that never end.
pub(crate) struct Hurried(Opened);

struct Opened {
    store: Arc<SqliteStore>,
    directory: TempDir,
}

impl Opened {
    fn new(open: fn(&std::path::Path) -> SqliteStore) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { store: Arc::new(open(directory.path())), directory }
    }

    fn reopen(self, open: fn(&std::path::Path) -> SqliteStore) -> Self {
        let Self { store, directory } = self;
        drop(Arc::into_inner(store).expect("nobody else has it"));
        Self { store: Arc::new(open(directory.path())), directory }
    }
}

fn open(directory: &std::path::Path) -> SqliteStore {
    SqliteStore::open(directory).expect("opens")
}

fn open_hurried(directory: &std::path::Path) -> SqliteStore {
    SqliteStore::open_hurried(directory).expect("opens")
}

impl Subject for Sqlite {
    fn new() -> Self {
        Self(Opened::new(open))
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0.store) as Arc<dyn Store>
    }

    fn reopen(self) -> Option<Self> {
        Some(Self(self.0.reopen(open)))
    }
}

impl Subject for Hurried {
    fn new() -> Self {
        Self(Opened::new(open_hurried))
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0.store) as Arc<dyn Store>
    }

    fn reopen(self) -> Option<Self> {
        Some(Self(self.0.reopen(open_hurried)))
    }
}

mod as_it_is {
    store_conformance!(crate::store::tests::sqlite::Sqlite);
}

mod hurried {
    store_conformance!(crate::store::tests::sqlite::Hurried);
}
