//! Stores that can be closed and opened again, and short names for what tests do with them.

use std::sync::Arc;

use sealwire::{
    Effects,
    store::{MemoryStore, Row, RowKey, Store, Table, Value},
};

/// A store that a test can close and open again.
pub(crate) trait Harness {
    /// The store as it is open now.
    fn store(&self) -> Arc<dyn Store>;

    /// Closes it and opens it again. A store in memory has nothing to open again: it goes on.
    fn reopen(&mut self);
}

pub(crate) struct InMemory(Arc<MemoryStore>);

impl InMemory {
    pub(crate) fn new() -> Self {
        Self(Arc::new(MemoryStore::new()))
    }
}

impl Harness for InMemory {
    fn store(&self) -> Arc<dyn Store> {
        Arc::<MemoryStore>::clone(&self.0)
    }

    fn reopen(&mut self) {}
}

pub(crate) fn key(name: impl AsRef<[u8]>) -> RowKey {
    RowKey::new(name.as_ref()).expect("a key")
}

pub(crate) fn value(bytes: impl AsRef<[u8]>) -> Value {
    Value::new(bytes.as_ref().to_vec())
}

/// Commits one row and gives the generation.
pub(crate) fn put(
    store: &dyn Store,
    table: Table,
    name: impl AsRef<[u8]>,
    bytes: impl AsRef<[u8]>,
) -> u64 {
    let mut effects = Effects::new();
    effects.put(table, key(name), value(bytes)).expect("within the bounds");
    store.commit(effects).expect("stored").generation()
}

pub(crate) fn delete(store: &dyn Store, table: Table, name: impl AsRef<[u8]>) {
    let mut effects = Effects::new();
    effects.delete(table, key(name)).expect("within the bounds");
    store.commit(effects).map(drop).expect("stored");
}

pub(crate) fn get(store: &dyn Store, table: Table, name: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    store.get(table, &key(name)).expect("reads").map(|value| value.to_vec())
}

pub(crate) fn keys(rows: &[Row]) -> Vec<&[u8]> {
    rows.iter().map(|row| row.key.as_bytes()).collect()
}

#[cfg(feature = "sqlite")]
pub(crate) use on_disk::{OnDisk, state_key};

#[cfg(feature = "sqlite")]
mod on_disk {
    use std::{
        fs,
        path::{Path, PathBuf},
        sync::Arc,
    };

    use sealwire::{
        core::secret::Secret,
        store::{Anchor, Error, Options, SqliteStore, StateKey, Store},
    };
    use tempfile::TempDir;

    use super::Harness;

    pub(crate) fn state_key(fill: u8) -> StateKey {
        StateKey::from_secret(Secret::init_with(|bytes| bytes.fill(fill)))
    }

    /// A state directory within a directory of its own, and the store that has it open.
    pub(crate) struct OnDisk {
        pub(crate) home: TempDir,
        pub(crate) anchor: Option<Arc<dyn Anchor>>,
        store: Option<Arc<SqliteStore>>,
    }

    impl OnDisk {
        pub(crate) fn new() -> Self {
            Self::with(None)
        }

        pub(crate) fn with(anchor: Option<Arc<dyn Anchor>>) -> Self {
            let home = tempfile::tempdir().expect("directory");
            let mut disk = Self { home, anchor, store: None };
            disk.reopen();
            disk
        }

        pub(crate) fn state(&self) -> PathBuf {
            self.home.path().join("state")
        }

        pub(crate) fn database(&self) -> PathBuf {
            self.state().join("state.db")
        }

        pub(crate) fn log(&self) -> PathBuf {
            self.state().join("state.db-wal")
        }

        pub(crate) fn close(&mut self) {
            let store = self.store.take().expect("open");
            assert_eq!(Arc::strong_count(&store), 1, "a test still has it");
        }

        pub(crate) fn options(&self) -> Options {
            match &self.anchor {
                Some(anchor) => Options::new().anchor(Arc::clone(anchor)),
                None => Options::new(),
            }
        }

        pub(crate) fn open(&mut self) -> Result<(), Error> {
            let options = self.options();
            self.open_as(options)
        }

        pub(crate) fn open_as(&mut self, options: Options) -> Result<(), Error> {
            let store = SqliteStore::open_with_key(self.state(), &state_key(1), options)?;
            self.store = Some(Arc::new(store));
            Ok(())
        }

        pub(crate) fn refused(&mut self) -> Error {
            self.open().expect_err("refused")
        }

        /// A copy of the state directory, as a thief or a backup has it.
        pub(crate) fn backup(&self, name: &str) -> PathBuf {
            let backup = self.home.path().join(name);
            copy(&self.state(), &backup);
            backup
        }

        /// Puts a backup in the place of the state.
        pub(crate) fn restore(&self, backup: &Path) {
            fs::remove_dir_all(self.state()).expect("removed");
            copy(backup, &self.state());
        }
    }

    impl Harness for OnDisk {
        fn store(&self) -> Arc<dyn Store> {
            Arc::<SqliteStore>::clone(self.store.as_ref().expect("open"))
        }

        fn reopen(&mut self) {
            if self.store.is_some() {
                self.close();
            }
            self.open().expect("opens");
        }
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir(to).expect("made");
        for entry in fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
}
