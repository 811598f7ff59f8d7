//! Copies of a store, and stores of copies.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use sealwire_relay::store::{Appended, Directory, Mailboxes, Outcome, SqliteStore, StoreError};

use crate::common::*;

/// A store with some of everything.
async fn filled(directory: &Path) -> SqliteStore {
    let store = SqliteStore::open(directory).expect("opens");
    create(&store, 1).await;
    for id in 1..=5 {
        assert_eq!(append(&store, 1, id).await, Appended::Taken(id));
    }
    store.ack(NOW, &receive(1), &[2]).await.expect("acks");
    publish(&store, &device(1)).await;
    add_page(&store, &device(1), 1, 10).await;
    assert_eq!(claimed(&store, &device(1), 1).await, Some(1));
    store
}

// attack T22, T26
#[test]
fn a_copy_of_a_store_in_use_is_a_store_without_unclaimed_keys() {
    let home = tempfile::tempdir().expect("a directory");
    let (from, copy, to) = (home.path().join("a"), home.path().join("copy"), home.path().join("b"));
    let store = run(filled(&from));
    fs::write(&copy, "an older one").expect("writes");
    SqliteStore::backup(&from, &copy).expect("copies");
    let mode = fs::metadata(&copy).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    run(async {
        // Of what came later the copy has nothing.
        assert_eq!(append(&store, 1, 6).await, Appended::Taken(6));
        assert_eq!(claimed(&store, &device(1), 2).await, Some(2));
    });
    SqliteStore::restore(&copy, &to).expect("restores");
    let restored = SqliteStore::open(&to).expect("opens beside the other");
    run(async {
        let sequences: Vec<u64> = read(&restored, 1).await.into_iter().map(|(s, _)| s).collect();
        assert_eq!(sequences, [1, 3, 4, 5]);
        assert_eq!(append(&restored, 1, 2).await, Appended::Known);
        assert_eq!(append(&restored, 1, 6).await, Appended::Taken(6));
        let remaining = restored.remaining(NOW, &device(1)).await.expect("counts");
        assert_eq!(remaining.x25519, 0);
        assert_eq!(claimed(&restored, &device(1), 2).await, None);
        assert_eq!(claimed(&restored, &device(1), 1).await, Some(1));
        assert_eq!(add_page(&restored, &device(1), 1, 10).await, Outcome::Known);
        assert_eq!(add_page(&restored, &device(1), 11, 10).await, Outcome::Done);
        assert_eq!(claimed(&restored, &device(1), 3).await, Some(11));
    });
    drop(restored);
    let names: Vec<_> = fs::read_dir(&to).expect("reads").map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "database, lock and epoch: {names:?}");
    // The copy is as it was, and can be restored again.
    SqliteStore::restore(&copy, home.path().join("c")).expect("restores");
}

#[test]
fn what_cannot_be_copied_or_restored_is_refused_in_a_sentence() {
    let home = tempfile::tempdir().expect("a directory");
    let path = |name: &str| home.path().join(name);
    drop(run(filled(&path("store"))));
    SqliteStore::backup(path("store"), &path("copy")).expect("copies");
    let in_use = run(filled(&path("other")));
    fs::write(path("text"), "no database at all, but a text of some length").expect("writes");
    let mut damaged = fs::read(path("copy")).expect("reads");
    let len = damaged.len();
    damaged[len / 2..len / 2 + 4096].fill(0x55);
    fs::write(path("damaged"), damaged).expect("writes");
    let restore = |from: &str, to: &str| SqliteStore::restore(&path(from), path(to));
    for (what, done, part) in [
        ("no store", SqliteStore::backup(path("none"), &path("x")), "there is no store at"),
        ("a store there", restore("copy", "store"), "already: move it away first"),
        ("a store in use there", restore("copy", "other"), "another process uses the store"),
        ("a database in use", restore("other/relay.db", "d"), "a database in use"),
        ("no copy", restore("none", "e"), "cannot copy"),
        ("a text", restore("text", "f"), "is no SQLite database"),
        ("a copy with damage", restore("damaged", "g"), ""),
    ] {
        let refused: StoreError = done.expect_err(what);
        assert!(refused.to_string().contains(part), "{what}: {refused}");
    }
    for to in ["d", "e", "f", "g"] {
        assert!(!path(to).join("relay.db").exists(), "{to}: nothing by half");
    }
    drop(in_use);
    assert_eq!(run(read(&SqliteStore::open(path("other")).expect("opens"), 1)).len(), 4);
}
