//! The directory of a store: who may read it, who has it, and what is refused.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use sealwire_relay::store::{SqliteStore, StoreError};

use crate::common::*;

#[test]
fn nobody_else_can_read_a_store() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("above").join("relay");
    let store = SqliteStore::open(&directory).expect("opens");
    run(create(&store, 1));
    let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&home.path().join("above")), 0o700);
    let names: Vec<_> = fs::read_dir(&directory).expect("reads").map(Result::unwrap).collect();
    assert!(names.len() >= 5, "{names:?}");
    for entry in names {
        assert_eq!(mode(&entry.path()), 0o600, "{entry:?}");
    }
}

#[test]
fn one_process_has_a_store_at_a_time() {
    let home = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(home.path()).expect("opens");
    let refused = SqliteStore::open(home.path()).expect_err("in use").to_string();
    assert!(refused.contains("another process uses the store in "), "{refused}");
    drop(store);
    drop(SqliteStore::open(home.path()).expect("opens"));
}

#[test]
fn a_process_that_is_told_nothing_ends_in_order() {
    let home = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(home.path()).expect("opens");
    run(create(&store, 1));
    run(append(&store, 1, 1));
    drop(store);
    assert!(!home.path().join("relay.db-wal").exists(), "the log is moved into the database");
}

#[test]
fn what_is_no_store_of_this_release_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    let change = |sql: &str| {
        let (sql, path) = (sql.to_owned(), home.path().join("relay.db"));
        let connection = rusqlite::Connection::open(path).expect("opens");
        connection.execute_batch(&sql).expect("changes");
    };
    for (what, sql, part) in [
        ("a later release's", "PRAGMA user_version = 3", "its schema is 3, and this release reads"),
        ("one from before", "PRAGMA user_version = 1", "its schema is 1, and this release reads"),
        ("none at all", "PRAGMA user_version = 0", "its schema is 0"),
        ("another program's", "PRAGMA application_id = 1", "it is no relay's database"),
        ("without a log", "PRAGMA journal_mode = DELETE", "it is no relay's database"),
    ] {
        let path = home.path().join("relay.db");
        let _ = fs::remove_file(&path);
        drop(SqliteStore::open(home.path()).expect("opens"));
        change(sql);
        let before = fs::read(&path).expect("reads");
        let refused = SqliteStore::open(home.path()).expect_err(what);
        assert!(matches!(refused, StoreError::Foreign(_)), "{what}: {refused:?}");
        assert!(refused.to_string().contains(part), "{what}: {refused}");
        assert!(fs::read(&path).expect("reads") == before, "{what}: it was changed");
    }
    let path = home.path().join("relay.db");
    fs::write(&path, "a text that is long enough to be taken for a header, and more").expect("");
    let refused = SqliteStore::open(home.path()).expect_err("a text");
    assert!(matches!(refused, StoreError::Foreign(_)), "{refused:?}");
    // A database that went missing, and whose log is still there: nothing new in its place.
    fs::remove_file(&path).expect("removes");
    fs::write(home.path().join("relay.db-wal"), "what it held").expect("writes");
    let refused = SqliteStore::open(home.path()).expect_err("a log without its database");
    assert!(refused.to_string().contains("its database is not"), "{refused}");
    assert!(!path.exists());
}
