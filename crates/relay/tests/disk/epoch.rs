//! One-time keys of a database that was put back are void.

use std::{fs, path::Path};

use sealwire_relay::store::{Directory, Outcome, SqliteStore};

use crate::common::*;

fn epoch(directory: &Path) -> u64 {
    fs::read_to_string(directory.join("epoch")).expect("is there").trim().parse().expect("a number")
}

/// A store with a page of ten keys, of which one is claimed.
fn stocked(directory: &Path) -> SqliteStore {
    let store = SqliteStore::open(directory).expect("opens");
    run(async {
        publish(&store, &device(1)).await;
        assert_eq!(add_page(&store, &device(1), 1, 10).await, Outcome::Done);
        assert_eq!(claimed(&store, &device(1), 1).await, Some(1));
    });
    store
}

async fn remaining(store: &SqliteStore) -> u32 {
    store.remaining(NOW, &device(1)).await.expect("counts").x25519
}

/// Nothing is left but what was claimed, the page is known, and a new one is good, for good.
fn assert_void(directory: &Path) {
    let store = SqliteStore::open(directory).expect("opens");
    run(async {
        assert_eq!(remaining(&store).await, 0);
        assert_eq!(claimed(&store, &device(1), 2).await, None);
        assert_eq!(claimed(&store, &device(1), 1).await, Some(1), "to whom it was given");
        assert_eq!(add_page(&store, &device(1), 1, 10).await, Outcome::Known);
        assert_eq!(add_page(&store, &device(1), 11, 10).await, Outcome::Done);
        assert_eq!(claimed(&store, &device(1), 3).await, Some(11));
    });
    drop(store);
    let store = SqliteStore::open(directory).expect("opens");
    assert_eq!(run(remaining(&store)), 9);
    assert_eq!(run(claimed(&store, &device(1), 4)), Some(12));
}

#[test]
fn keys_stay_when_a_store_is_opened_again() {
    let home = tempfile::tempdir().expect("a directory");
    drop(stocked(home.path()));
    for opened in 2..5 {
        let store = SqliteStore::open(home.path()).expect("opens");
        assert_eq!((run(remaining(&store)), epoch(home.path())), (9, opened));
    }
    // After a crash between the two, the database is one ahead.
    fs::write(home.path().join("epoch"), "3\n").expect("writes");
    let store = SqliteStore::open(home.path()).expect("opens");
    assert_eq!((run(remaining(&store)), epoch(home.path())), (9, 5));
}

// attack T22
#[test]
fn keys_of_an_older_database_that_was_put_back_are_void() {
    let home = tempfile::tempdir().expect("a directory");
    drop(stocked(home.path()));
    let (database, copy) = (home.path().join("relay.db"), home.path().join("copy"));
    fs::copy(&database, &copy).expect("copies");
    let store = SqliteStore::open(home.path()).expect("opens");
    assert_eq!(run(claimed(&store, &device(1), 2)), Some(2), "the copy does not know");
    drop(store);
    fs::rename(&copy, &database).expect("puts it back");
    assert_void(home.path());
}

// attack T22
#[test]
fn keys_of_a_database_without_its_epoch_are_void() {
    let home = tempfile::tempdir().expect("a directory");
    drop(stocked(home.path()));
    fs::remove_file(home.path().join("epoch")).expect("removes");
    assert_void(home.path());
}

#[test]
fn an_epoch_that_is_none_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    drop(stocked(home.path()));
    fs::write(home.path().join("epoch"), "twelve\n").expect("writes");
    let refused = SqliteStore::open(home.path()).expect_err("no number").to_string();
    assert!(refused.ends_with("epoch holds no number"), "{refused}");
}
