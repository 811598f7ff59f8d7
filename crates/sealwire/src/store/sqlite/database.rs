//! The database file: how it is opened, and the statements that it is asked.

use std::path::{Path, PathBuf};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Params, config::DbConfig, params,
};
use sealwire_core::aead;

use super::super::{
    Damage, Error, PageBudget, Range, RowKey, Table,
    seal::{Nonce, SealedRow, code},
};

/// In the header of the file: `SWST`.
pub(super) const APPLICATION_ID: i32 = 0x5357_5354;

/// The name and the definition of each table and index, by name. What a database says of itself
/// is compared with this text.
// STA-8
pub(super) type Tables = &'static [(&'static str, &'static str)];

/// The tables of schema 1.
pub(super) const SCHEMA_1: Tables = &[
    ("description", "CREATE TABLE description (name TEXT PRIMARY KEY, value BLOB NOT NULL)"),
    (
        "generation",
        "CREATE TABLE generation (id INTEGER PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL)",
    ),
    (
        "row",
        "CREATE TABLE row (kind INTEGER NOT NULL, key BLOB NOT NULL, \
         revision INTEGER NOT NULL, nonce BLOB NOT NULL, sealed BLOB NOT NULL)",
    ),
    ("row_place", "CREATE UNIQUE INDEX row_place ON row (kind, key)"),
];

/// An open database, and the directory that errors name.
pub(super) struct Database {
    directory: PathBuf,
    pub(super) connection: Connection,
}

/// A row as it was read.
#[derive(Debug)]
pub(super) struct StoredRow {
    pub(super) key: RowKey,
    pub(super) revision: u64,
    pub(super) row: SealedRow,
}

impl Database {
    /// Opens a database that is there, and changes nothing of it: what a crash left in the
    /// write-ahead log is read from there, and stays there until the state is verified.
    // STA-15
    pub(super) fn open(directory: &Path, path: &Path) -> Result<Self, Error> {
        let journal = path.with_extension("db-journal");
        if journal.exists() {
            let what = Damage::Database("there is a rollback journal, which it never has".into());
            return Err(Error::Damaged { path: directory.to_owned(), what });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Self::connect(directory, path, flags)?;
        let id: i32 = database.pragma("application_id")?;
        let mode: String = database.pragma("journal_mode")?;
        if id != APPLICATION_ID || mode != "wal" {
            let what = Damage::Database("it is no database of this program".into());
            return Err(database.damaged(what));
        }
        Ok(database)
    }

    pub(super) fn connect(directory: &Path, path: &Path, flags: OpenFlags) -> Result<Self, Error> {
        let failed = |error| failure(directory, &error);
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        let database = Self { directory: directory.to_owned(), connection };
        database.set(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        database.set(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        database.set(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        // Exclusive: without a file for shared memory, and closed to other programs.
        let settings = "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = FULL; \
                        PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON; \
                        PRAGMA temp_store = MEMORY;";
        database.connection.execute_batch(settings).map_err(failed)?;
        Ok(database)
    }

    /// From now on the database may be changed, and is put in order when it is closed.
    pub(super) fn release(&self) -> Result<(), Error> {
        self.set(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
    }

    fn set(&self, config: DbConfig, value: bool) -> Result<(), Error> {
        let set = self.connection.set_db_config(config, value);
        set.map(drop).map_err(|error| self.failure(&error))
    }

    fn pragma<T: rusqlite::types::FromSql>(&self, name: &str) -> Result<T, Error> {
        let value = self.connection.pragma_query_value(None, name, |row| row.get(0));
        value.map_err(|error| self.failure(&error))
    }

    /// One value of the description.
    pub(super) fn description<T: rusqlite::types::FromSql>(&self, name: &str) -> Result<T, Error> {
        let sql = "SELECT value FROM description WHERE name = ?1";
        let value = self.connection.query_row(sql, [name], |row| row.get(0));
        value.map_err(|error| self.reading(&error, Damage::Description))
    }

    /// The sealed generation row.
    pub(super) fn generation(&self) -> Result<Vec<u8>, Error> {
        let sql = "SELECT sealed FROM generation";
        let value = self.connection.query_row(sql, [], |row| row.get(0));
        value.map_err(|error| self.reading(&error, Damage::Generation))
    }

    /// The names and definitions of all that is in the database, by name.
    pub(super) fn definitions(&self) -> Result<Vec<(String, Option<String>)>, Error> {
        let sql = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_auto%' \
                   ORDER BY name";
        self.query(sql, [], Damage::Description, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// One row.
    pub(super) fn row(&self, table: Table, key: &RowKey) -> Result<Option<StoredRow>, Error> {
        let sql = "SELECT key, revision, nonce, sealed FROM row INDEXED BY row_place \
                   WHERE kind = ?1 AND key = ?2";
        let row = self
            .connection
            .query_row(sql, params![code(table), key.as_bytes()], |row| Ok(stored(row)))
            .optional()
            .map_err(|error| self.reading(&error, Damage::Rows(table)))?;
        row.map(|row| row.ok_or_else(|| self.damaged(Damage::Rows(table)))).transpose()
    }

    /// A page of rows, ascending by key.
    // STA-5
    pub(super) fn rows(&self, table: Table, range: Range<'_>) -> Result<Vec<StoredRow>, Error> {
        let sql = "SELECT key, revision, nonce, sealed FROM row INDEXED BY row_place \
                   WHERE kind = ?1 AND key >= ?2 AND key < ?3 ORDER BY key";
        let failed = |error| self.reading(&error, Damage::Rows(table));
        let (from, to) = bounds(range);
        let mut budget = PageBudget::new(range.limit);
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut found = statement.query(params![code(table), from, to]).map_err(failed)?;
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(failed)? {
            let row = stored(row).ok_or_else(|| self.damaged(Damage::Rows(table)))?;
            if !budget.takes(row.row.sealed.len().saturating_sub(aead::TAG_LEN)) {
                break;
            }
            rows.push(row);
        }
        Ok(rows)
    }

    pub(super) fn query<T>(
        &self,
        sql: &str,
        params: impl Params,
        what: Damage,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let mut statement = self.connection.prepare(sql).map_err(|e| self.failure(&e))?;
        let rows = statement.query_map(params, read).and_then(Iterator::collect);
        rows.map_err(|error| self.reading(&error, what))
    }

    pub(super) fn damaged(&self, what: Damage) -> Error {
        Error::Damaged { path: self.directory.clone(), what }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn failure(&self, error: &rusqlite::Error) -> Error {
        failure(&self.directory, error)
    }

    /// What a failed read says: that `what` is damaged, unless it says something else.
    pub(super) fn reading(&self, error: &rusqlite::Error, what: Damage) -> Error {
        match self.failure(error) {
            Error::Damaged { .. } => self.damaged(what),
            other => other,
        }
    }
}

/// The first key that a range has, and the first behind it.
fn bounds(range: Range<'_>) -> (Vec<u8>, Vec<u8>) {
    let Range { prefix, after, limit: _ } = range;
    // The key that follows another one immediately is the same with a zero behind it.
    let after = after.map(|key| [key.as_bytes(), &[0]].concat()).unwrap_or_default();
    let from = after.max(prefix.to_vec());
    let mut to = prefix.to_vec();
    while let Some(last) = to.pop() {
        if let Some(next) = last.checked_add(1) {
            to.push(next);
            return (from, to);
        }
    }
    (from, vec![0xFF; RowKey::MAX_LEN.saturating_add(1)])
}

/// A row of the columns key, revision, nonce, sealed; `None` when they are none.
fn stored(row: &rusqlite::Row<'_>) -> Option<StoredRow> {
    let key = RowKey::new(row.get_ref(0).ok()?.as_blob().ok()?).ok()?;
    let revision = u64::try_from(row.get::<_, i64>(1).ok()?).ok()?;
    let nonce: Nonce = row.get(2).ok()?;
    Some(StoredRow { key, revision, row: SealedRow { nonce, sealed: row.get(3).ok()? } })
}

/// What SQLite says, in our words.
pub(super) fn failure(directory: &Path, error: &rusqlite::Error) -> Error {
    let path = directory.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::InUse { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Damaged { path, what: Damage::Database(error.to_string()) }
        }
        // Not what a database of ours answers: no such table, another type, no row.
        Some(ErrorCode::Unknown) | None => {
            Error::Damaged { path, what: Damage::Database(error.to_string()) }
        }
        Some(_) => Error::Database { path, cause: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_prefix_and_what_is_behind_a_key() {
        let key = |bytes: &[u8]| RowKey::new(bytes).expect("a key");
        let (ab, b) = (key(b"ab"), key(b"b"));
        for (range, from, to) in [
            (Range::all(), &b""[..], &[0xFF; 129][..]),
            (Range::prefix(b"a"), b"a", b"b"),
            (Range::prefix(b"a\xFF\xFF"), b"a\xFF\xFF", b"b"),
            (Range::prefix(b"\xFF"), b"\xFF", &[0xFF; 129]),
            (Range::prefix(b"a").after(&ab), b"ab\0", b"b"),
            (Range::prefix(b"a").after(&b), b"b\0", b"b"),
            (Range::prefix(b"c").after(&b), b"c", b"d"),
        ] {
            assert_eq!(bounds(range), (from.to_vec(), to.to_vec()), "{range:?}");
        }
    }
}
