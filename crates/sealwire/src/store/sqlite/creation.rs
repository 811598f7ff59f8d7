//! A new database: made whole beside its place, and then moved there.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rusqlite::{OpenFlags, params};
use sealwire_core::rng;
use sealwire_custody::system_rng;

use super::{
    DATABASE, Options,
    database::{APPLICATION_ID, Database},
    migration::Ladder,
};
use crate::store::{
    Damage, Error, StateKey,
    seal::{Generation, Keys, STORE_ID_LEN},
};

/// What a creation that was interrupted leaves; the next one begins anew.
const NEW: &str = "state.db.new";

/// Makes the database of a new state. An anchor that has something says that there was a state.
// STA-8, STA-16
pub(super) fn create(
    directory: &Path,
    key: &StateKey,
    options: &Options,
    ladder: &Ladder,
) -> Result<(), Error> {
    let anchored = options.anchor.as_ref().map(|anchor| anchor.read()).transpose()?.flatten();
    if let Some(state) = anchored.filter(|_| !options.change_anchor) {
        let path = directory.to_owned();
        return Err(Error::RolledBack { path, found: 0, expected: state.generation() });
    }
    let log = directory.join(format!("{DATABASE}-wal"));
    if log.exists() {
        let what = Damage::Database("its write-ahead log is there, and it is not".into());
        return Err(Error::Damaged { path: directory.to_owned(), what });
    }
    let new = directory.join(NEW);
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let leftover = directory.join(format!("{NEW}{suffix}"));
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file("remove", &leftover, error));
            }
            _ => {}
        }
    }
    // SQLite gives the files that it makes beside a database the mode of the database.
    let made = File::options().write(true).create_new(true).mode(0o600).open(&new);
    let made = made.map_err(|error| file("make", &new, error))?;
    // An anchor that is changed to is taken up when the state is opened, like any other.
    let anchored = options.anchor.is_some() && !options.change_anchor;
    fill(directory, &new, key, anchored, ladder)?;
    made.sync_all().map_err(|error| file("flush", &new, error))?;
    let path = directory.join(DATABASE);
    fs::rename(&new, &path).map_err(|error| file("make", &path, error))?;
    let flushed = File::open(directory).and_then(|directory| directory.sync_all());
    flushed.map_err(|error| file("flush the directory", directory, error))
}

fn fill(
    directory: &Path,
    path: &Path,
    key: &StateKey,
    anchored: bool,
    ladder: &Ladder,
) -> Result<(), Error> {
    let (schema, tables) = ladder.newest();
    let store = *rng::draw::<STORE_ID_LEN>(&mut system_rng())?.expose();
    let keys = Keys::derive(key, store, schema)?;
    let generation = keys.seal_generation(&Generation::first(anchored), &mut system_rng())?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut database = Database::connect(directory, path, flags)?;
    // Pages of 8 KiB hold the row of a session; the log is written with one flush for each
    // transaction.
    let settings = format!(
        "PRAGMA page_size = 8192; PRAGMA application_id = {APPLICATION_ID}; \
         PRAGMA journal_mode = WAL;"
    );
    let filled = database.connection.execute_batch(&settings).and_then(|()| {
        let transaction = database.connection.transaction()?;
        for (_, definition) in tables {
            transaction.execute(definition, [])?;
        }
        let describe = "INSERT INTO description (name, value) VALUES (?1, ?2)";
        transaction.execute(describe, params!["schema", schema])?;
        transaction.execute(describe, params!["store", store])?;
        transaction.execute(describe, params!["check", keys.check_value()])?;
        let sql = "INSERT INTO generation (id, sealed) VALUES (1, ?1)";
        transaction.execute(sql, [&generation])?;
        transaction.commit()
    });
    filled.map_err(|error| database.failure(&error))?;
    // Closing it moves everything from the log into the file, which is then the whole state.
    database.release()?;
    let Database { connection, .. } = database;
    connection.close().map_err(|(_, error)| Error::Database {
        path: directory.to_owned(),
        cause: error.to_string(),
    })
}

fn file(action: &'static str, path: &Path, cause: io::Error) -> Error {
    sealwire_custody::Error::Io { action, path: path.to_owned(), cause }.into()
}
