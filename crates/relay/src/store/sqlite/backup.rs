//! Copies of a store, and stores of copies.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use rusqlite::Connection;

use super::{
    super::StoreError,
    SqliteStore,
    files::{self, Home},
    schema::{self, LADDER, Role, connect, failure},
};

impl SqliteStore {
    /// Copies the store in `directory` to the file `to`, as it is at one time, also while a relay
    /// uses it. A file that is there is replaced when the copy is whole.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn backup(directory: impl AsRef<Path>, to: &Path) -> Result<(), StoreError> {
        let from = files::database(directory.as_ref());
        if !files::is_there(&from)? {
            return Err(StoreError::Failed(format!("there is no store at {}", from.display())));
        }
        let mut new = to.as_os_str().to_owned();
        new.push(".new");
        let new = Path::new(&new);
        files::make_empty(new)?;
        let name = new.to_str().ok_or_else(|| {
            StoreError::Failed(format!("the name {} is not UTF-8", new.display()))
        })?;
        let connection = connect(&from, Role::Checkpointer)?;
        schema::check(&connection, LADDER)?;
        connection.execute("VACUUM INTO ?1", [name]).map_err(|e| failure(&e))?;
        drop(connection);
        mark_copy(new)?;
        files::move_to(new, to)
    }

    /// Makes the store of a copy in `directory`, where there is none. One-time keys that nobody had
    /// claimed when the copy was made are void in it: some of them are claimed by now. Their
    /// owners are told to make new ones.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn restore(from: &Path, directory: impl AsRef<Path>) -> Result<(), StoreError> {
        let home = Home::take(directory.as_ref())?;
        let database = home.database();
        if files::is_there(&database)? {
            return Err(StoreError::Failed(format!(
                "there is a store at {} already: move it away first",
                database.display()
            )));
        }
        let mut log = from.as_os_str().to_owned();
        log.push("-wal");
        if files::is_there(Path::new(&log))? {
            return Err(StoreError::Foreign(format!(
                "{} is a database in use or one that was not closed, and no copy that was made of \
                 it",
                from.display()
            )));
        }
        let new = database.with_extension("db.new");
        files::make_empty(&new)?;
        copy(from, &new)?;
        mark_copy(&new)?;
        files::move_to(&new, &database)
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let copied = File::open(from).and_then(|mut from| {
        let mut to = fs::OpenOptions::new().write(true).open(to)?;
        io::copy(&mut from, &mut to)
    });
    let refused = |error| StoreError::Failed(format!("cannot copy {}: {error}", from.display()));
    copied.map(drop).map_err(refused)
}

/// Makes a database that was copied one that knows it. It is read whole before.
fn mark_copy(path: &Path) -> Result<(), StoreError> {
    let connection: Connection = connect(path, Role::Checkpointer)?;
    let sql = "PRAGMA journal_mode = WAL";
    connection.query_row(sql, [], |_| Ok(())).map_err(|e| failure(&e))?;
    schema::check(&connection, LADDER)?;
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| failure(&e))?;
    if found != "ok" {
        return Err(StoreError::Foreign(format!("{} is damaged: {found}", path.display())));
    }
    connection.execute("UPDATE meta SET copy = 1", []).map_err(|e| failure(&e))?;
    connection.close().map_err(|(_, error)| failure(&error))
}
