//! The tables, how a database is opened, and what its errors say.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use super::super::StoreError;

/// In the header of the file: `SWRL`.
const APPLICATION_ID: i32 = 0x5357_524C;

/// Schema [`FIRST`].
///
/// What changes with every message is only ever added at the end of `message`, `ack`, `claim` and
/// `spent`, whose ids ascend: a frame costs hardly more than its own bytes, however many mailboxes
/// there are. `backlog` and `stock` hold what follows from them, as of one id (see `Shelf`), under
/// the very key that they are looked up by: one page is read of each.
const TABLES: &str = "
CREATE TABLE meta (id INTEGER PRIMARY KEY CHECK (id = 1), last INTEGER NOT NULL,
  flushed INTEGER NOT NULL, epoch INTEGER NOT NULL, void INTEGER NOT NULL, copy INTEGER NOT NULL,
  mark INTEGER NOT NULL, devices INTEGER NOT NULL, mailboxes INTEGER NOT NULL,
  messages INTEGER NOT NULL);
INSERT INTO meta VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
CREATE TABLE device (id INTEGER PRIMARY KEY, name BLOB NOT NULL, sequence INTEGER NOT NULL,
  card_hash BLOB NOT NULL, bundle_hash BLOB NOT NULL, card BLOB NOT NULL,
  bundle BLOB NOT NULL);
CREATE UNIQUE INDEX device_name ON device (name);
CREATE TABLE stock (name BLOB PRIMARY KEY, as_of INTEGER NOT NULL, due INTEGER NOT NULL,
  record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE key (id INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE claim (id INTEGER PRIMARY KEY, name BLOB NOT NULL, claim BLOB NOT NULL,
  at INTEGER NOT NULL, x25519 INTEGER NOT NULL, kem INTEGER NOT NULL);
CREATE TABLE mailbox (receive BLOB PRIMARY KEY, send BLOB NOT NULL, kind INTEGER NOT NULL,
  secret BLOB NOT NULL, revoked BLOB NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX mailbox_send ON mailbox (send);
CREATE TABLE backlog (receive BLOB PRIMARY KEY, as_of INTEGER NOT NULL, due INTEGER NOT NULL,
  record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE message (id INTEGER PRIMARY KEY, receive BLOB NOT NULL, sequence INTEGER NOT NULL,
  message BLOB NOT NULL, token BLOB NOT NULL, until INTEGER NOT NULL, frame BLOB NOT NULL);
CREATE TABLE ack (id INTEGER PRIMARY KEY, receive BLOB NOT NULL, gone BLOB NOT NULL);
CREATE TABLE spent (id INTEGER PRIMARY KEY, nonce BLOB NOT NULL, until INTEGER NOT NULL);
";

/// The schema that new databases begin with. Schema 1 was in no release, and nothing moves it up.
const FIRST: i64 = 2;

/// The schemas after the first: what makes each of the one before. One that was released is never
/// changed.
pub(super) const LADDER: &[&str] = &[];

/// The schema of a ladder's top.
fn newest(ladder: &[&str]) -> i64 {
    i64::try_from(ladder.len()).unwrap_or(i64::MAX).saturating_add(FIRST)
}

/// Bytes of a page: three small frames, or a quarter of a large one.
pub(super) const PAGE_LEN: u64 = 8192;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Writer,
    Reader,
    Checkpointer,
}

/// The log is written from its start again when it has about this many bytes, and cut off at twice
/// as many if it was longer.
pub(super) const LOG_LEN: u64 = 64 * 1024 * 1024;
pub(super) const MAX_LOG_LEN: u64 = 2 * LOG_LEN;

/// Opens a database that is there.
pub(super) fn connect(path: &Path, role: Role) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| failure(&e))?;
    configure(&connection, role).map_err(|e| failure(&e))?;
    Ok(connection)
}

fn configure(connection: &Connection, role: Role) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_prepared_statement_cache_capacity(64);
    // The log is flushed with each transaction (FULL), and moved into the database by a thread of
    // its own.
    connection.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; \
         PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {MAX_LOG_LEN};"
    ))?;
    connection.execute_batch(match role {
        Role::Writer => "PRAGMA cache_size = -32768;",
        Role::Reader => "PRAGMA cache_size = -8192; PRAGMA query_only = ON;",
        Role::Checkpointer => "PRAGMA cache_size = -512;",
    })
}

/// Keeps a database from growing beyond about so many bytes.
pub(super) fn limit(connection: &Connection, max_len: u64) -> Result<(), StoreError> {
    let pages = i64::try_from(max_len / PAGE_LEN).unwrap_or(i64::MAX).max(1);
    let sql = format!("PRAGMA max_page_count = {pages}");
    connection.query_row(&sql, [], |_| Ok(())).map_err(|e| failure(&e))
}

/// Makes the tables in an empty database.
pub(super) fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_LEN}; PRAGMA application_id = {APPLICATION_ID}; \
         PRAGMA user_version = {FIRST}; PRAGMA journal_mode = WAL;"
    ))?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.commit()
}

/// Refuses what is no relay's database, or a later release's. Gives its schema.
pub(super) fn check(connection: &Connection, ladder: &[&str]) -> Result<i64, StoreError> {
    let id: i32 = pragma(connection, "application_id")?;
    let mode: String = pragma(connection, "journal_mode")?;
    if id != APPLICATION_ID || mode != "wal" {
        return Err(StoreError::Foreign("it is no relay's database".into()));
    }
    let schema: i64 = pragma(connection, "user_version")?;
    let newest = newest(ladder);
    if schema < FIRST || schema > newest {
        return Err(StoreError::Foreign(format!(
            "its schema is {schema}, and this release reads {FIRST} to {newest}"
        )));
    }
    Ok(schema)
}

/// Brings a database to the top of the ladder, each step in a transaction.
pub(super) fn migrate(connection: &mut Connection, ladder: &[&str]) -> Result<(), StoreError> {
    let schema = check(connection, ladder)?;
    let steps = ladder.iter().zip(FIRST.saturating_add(1)..);
    for (statements, next) in steps.skip_while(|(_, next)| *next <= schema) {
        step(connection, statements, next).map_err(|e| failure(&e))?;
    }
    Ok(())
}

fn step(connection: &mut Connection, statements: &str, next: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(statements)?;
    transaction.pragma_update(None, "user_version", next)?;
    transaction.commit()
}

fn pragma<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> Result<T, StoreError> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|e| failure(&e))
}

/// What SQLite says, in our words.
pub(super) fn failure(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        Some(ErrorCode::NotADatabase) => StoreError::Foreign("it is no SQLite database".into()),
        _ => StoreError::Failed(error.to_string()),
    }
}
