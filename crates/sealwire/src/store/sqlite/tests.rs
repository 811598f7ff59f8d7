use super::*;
use crate::store::{StateKey, seal::MAX_REVISION};
use sealwire_core::secret::Secret;
use sealwire_testkit::leak;

fn open(directory: &Path) -> SqliteStore {
    let key = StateKey::from_secret(Secret::init_with(|bytes| bytes.fill(1)));
    SqliteStore::open_with_key(directory, &key, Options::new()).expect("opens")
}

fn put(store: &SqliteStore, value: &[u8]) -> Result<Committed, Error> {
    let mut effects = Effects::new();
    let key = RowKey::new(b"bob").expect("a key");
    effects.put(Table::Session, key, Value::new(value.to_vec())).expect("short");
    store.commit(effects)
}

fn get(store: &SqliteStore) -> Option<Vec<u8>> {
    let key = RowKey::new(b"bob").expect("a key");
    store.get(Table::Session, &key).expect("reads").map(|value| value.to_vec())
}

// attack T20
// STA-12
#[test]
fn the_generation_does_not_wrap() {
    let home = tempfile::tempdir().expect("directory");
    let store = open(home.path());
    put(&store, b"1").map(drop).expect("stored");
    store.lock().generation_mut().number = u64::MAX - 1;
    assert_eq!(put(&store, b"2").expect("the last one").generation(), u64::MAX);
    for _ in 0..2 {
        let refused = put(&store, b"3").expect_err("at its end");
        assert!(matches!(refused, Error::Exhausted("the generation")), "{refused}");
        assert_eq!(get(&store).as_deref(), Some(&b"2"[..]));
    }
    drop(store);
    let store = open(home.path());
    assert_eq!(get(&store).as_deref(), Some(&b"2"[..]));
    assert!(put(&store, b"3").is_err());
}

// attack T20
// STA-10
#[test]
fn the_revision_does_not_wrap() {
    let home = tempfile::tempdir().expect("directory");
    let mut store = open(home.path());
    store.lock().generation_mut().next_revision = MAX_REVISION - 1;
    let revisions = store.lock().revisions();
    store.revisions = revisions;
    put(&store, b"the last one").map(drop).expect("stored");
    for _ in 0..2 {
        let refused = put(&store, b"none is left").expect_err("at its end");
        assert!(matches!(refused, Error::Exhausted("the revision of rows")), "{refused}");
    }
    drop(store);
    let store = open(home.path());
    assert_eq!(get(&store).as_deref(), Some(&b"the last one"[..]));
    assert!(put(&store, b"none is left").is_err());
}

// STA-10: a revision that was given is not given again, also when nothing came of it.
#[test]
fn revisions_are_given_once() {
    let home = tempfile::tempdir().expect("directory");
    let store = open(home.path());
    let first = store.revisions.next().expect("far from the end");
    assert_eq!(store.revisions.next().expect("far from the end"), first + 1);
    put(&store, b"1").map(drop).expect("stored");
    drop(store);
    let next = open(home.path()).revisions.next().expect("far from the end");
    assert_eq!(next, first + 3);
}

// attack T34
#[test]
fn debug_shows_no_key_and_no_content() {
    let home = tempfile::tempdir().expect("directory");
    let store = open(home.path());
    let secret: Vec<u8> = (100..132).collect();
    put(&store, &secret).map(drop).expect("stored");
    let shown = format!("{store:?} {:?} {:?}", store.keys, store.status());
    assert!(!leak::shows(&shown, &secret) && !leak::shows(&shown, &[1; 32]), "{shown}");
}
