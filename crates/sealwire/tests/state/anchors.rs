//! Older states, copies and lost races, with an anchor and without one.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sealwire::{
    Effects,
    store::{
        Anchor, AnchorState, Error, FileAnchor, MemoryAnchor, Options, Protection, Range,
        SqliteStore, Table,
    },
};

use crate::common::{Harness, OnDisk, get, key, put, state_key, value};

/// An anchor that can fail before it moves and after.
#[derive(Debug, Default)]
struct Fragile {
    inner: MemoryAnchor,
    before: AtomicBool,
    after: AtomicBool,
}

impl Anchor for Fragile {
    fn read(&self) -> Result<Option<AnchorState>, Error> {
        self.inner.read()
    }

    fn advance(&self, from: Option<AnchorState>, to: AnchorState) -> Result<(), Error> {
        let unreachable = || Err(Error::Anchor("it does not answer".into()));
        if self.before.load(Ordering::SeqCst) {
            return unreachable();
        }
        self.inner.advance(from, to)?;
        if self.after.load(Ordering::SeqCst) { unreachable() } else { Ok(()) }
    }
}

fn anchored() -> (Arc<MemoryAnchor>, OnDisk) {
    let anchor = Arc::new(MemoryAnchor::new());
    let disk = OnDisk::with(Some(Arc::<MemoryAnchor>::clone(&anchor)));
    (anchor, disk)
}

fn is_rolled_back(error: &Error, generations: (u64, u64)) -> bool {
    matches!(error, Error::RolledBack { found, expected, .. }
        if (*found, *expected) == generations)
}

// attack T3
// STA-16
#[test]
fn a_backup_is_refused_when_the_anchor_is_ahead() {
    let (_, mut disk) = anchored();
    put(&*disk.store(), Table::Session, "bob", "1");
    disk.close();
    let backup = disk.backup("backup");
    disk.reopen();
    assert_eq!(put(&*disk.store(), Table::Session, "bob", "2"), 3);
    disk.close();
    let newest = disk.backup("newest");
    disk.restore(&backup);
    let before = fs::read(disk.database()).expect("there");
    let refused = disk.refused();
    assert!(is_rolled_back(&refused, (2, 3)), "{refused}");
    assert!(refused.to_string().contains("is not the newest: it has generation 2"), "{refused}");
    assert!(fs::read(disk.database()).expect("there") == before, "it was left as it is");
    disk.restore(&newest);
    disk.reopen();
    assert_eq!(get(&*disk.store(), Table::Session, "bob").as_deref(), Some(&b"2"[..]));
}

// attack T3: what the documentation says of a state without an anchor.
// STA-16
#[test]
fn a_backup_is_not_noticed_without_an_anchor() {
    let mut disk = OnDisk::new();
    put(&*disk.store(), Table::Session, "bob", "1");
    disk.close();
    let backup = disk.backup("backup");
    disk.reopen();
    put(&*disk.store(), Table::Session, "bob", "2");
    let status = disk.store().status().expect("open");
    assert_eq!((status.generation(), status.protection()), (3, Protection::Unanchored));
    disk.close();
    disk.restore(&backup);
    disk.reopen();
    assert_eq!(get(&*disk.store(), Table::Session, "bob").as_deref(), Some(&b"1"[..]));
}

// attack T3: of two copies that run, the second to commit is stopped for good.
// STA-14
#[test]
fn of_two_copies_one_is_stopped() {
    let (_, mut disk) = anchored();
    put(&*disk.store(), Table::Session, "bob", "1");
    disk.close();
    let copy = disk.backup("copy");
    disk.reopen();
    let other = SqliteStore::open_with_key(&copy, &state_key(1), disk.options()).expect("opens");
    put(&other, Table::Session, "bob", "2");

    let store = disk.store();
    let mut effects = Effects::new();
    effects.send(key("message"), value("ciphertext")).expect("short");
    let refused = store.commit(effects).expect_err("nothing to send");
    assert!(matches!(refused, Error::AnchorMoved), "{refused}");
    for refused in [
        store.get(Table::Session, &key("bob")).expect_err("ended"),
        store.scan(Table::Session, Range::all()).expect_err("ended"),
        store.status().expect_err("ended"),
        store.commit(Effects::new()).expect_err("ended"),
    ] {
        assert!(matches!(refused, Error::AnchorMoved), "{refused}");
    }
    drop(store);
    disk.close();
    let refused = disk.refused();
    assert!(is_rolled_back(&refused, (3, 3)), "a fork of the same generation: {refused}");
    put(&other, Table::Session, "bob", "3");
}

// attack T2
// STA-14, STA-16
#[test]
fn a_commit_whose_anchor_fails_releases_nothing_and_is_settled_when_opened() {
    for (before, stored_in_anchor) in [(true, 2), (false, 3)] {
        let anchor = Arc::new(Fragile::default());
        let mut disk = OnDisk::with(Some(Arc::<Fragile>::clone(&anchor)));
        put(&*disk.store(), Table::Session, "bob", "1");
        anchor.before.store(before, Ordering::SeqCst);
        anchor.after.store(!before, Ordering::SeqCst);
        let store = disk.store();
        let mut effects = Effects::new();
        effects.put(Table::Session, key("bob"), value("2")).expect("short");
        effects.send(key("message"), value("ciphertext")).expect("short");
        let refused = store.commit(effects).expect_err("no token").to_string();
        assert_eq!(refused, "the anchor of the state: it does not answer");
        let refused = store.get(Table::Session, &key("bob")).expect_err("ended");
        assert!(matches!(refused, Error::Poisoned), "{refused}");
        drop(store);
        disk.close();
        let seen = anchor.read().expect("reads").expect("moved before").generation();
        assert_eq!(seen, stored_in_anchor);

        if before {
            let refused = disk.refused();
            assert!(matches!(refused, Error::Anchor(_)), "nothing before the anchor: {refused}");
        }
        anchor.before.store(false, Ordering::SeqCst);
        anchor.after.store(false, Ordering::SeqCst);
        disk.reopen();
        assert_eq!(anchor.read().expect("reads").expect("moved").generation(), 3);
        let store = disk.store();
        assert_eq!(get(&*store, Table::Session, "bob").as_deref(), Some(&b"2"[..]));
        assert_eq!(get(&*store, Table::Outbox, "message").as_deref(), Some(&b"ciphertext"[..]));
    }
}

// attack T3
// STA-16
#[test]
fn a_state_that_is_two_ahead_of_its_anchor_is_refused() {
    let (anchor, mut disk) = anchored();
    let at = |generation: u64| {
        assert_eq!(put(&*disk.store(), Table::Peer, "x", "y"), generation);
        anchor.read().expect("reads").expect("moved")
    };
    let (second, third, fourth) = (at(2), at(3), at(4));
    disk.close();
    for (state, fits) in [
        (Some(fourth), true),
        (Some(third), true),
        (Some(second), false),
        (None, false),
        (Some(AnchorState::new(3, *second.hash())), false),
        (Some(AnchorState::new(4, *third.hash())), false),
        (Some(AnchorState::new(5, *fourth.hash())), false),
    ] {
        let anchor = Arc::new(MemoryAnchor::new());
        if let Some(state) = state {
            anchor.advance(None, state).expect("moved");
        }
        disk.anchor = Some(Arc::<MemoryAnchor>::clone(&anchor));
        let opened = disk.open();
        assert_eq!(opened.is_ok(), fits, "{state:?}");
        match opened {
            Ok(()) => {
                assert_eq!(anchor.read().expect("reads"), Some(fourth));
                disk.close();
            }
            Err(refused) => {
                assert!(matches!(refused, Error::RolledBack { .. }), "{refused}");
                assert_eq!(anchor.read().expect("reads"), state, "it is not moved");
            }
        }
    }
}

// attack T3
// STA-16
#[test]
fn a_state_that_is_gone_is_refused_when_the_anchor_has_one() {
    let (_, mut disk) = anchored();
    put(&*disk.store(), Table::Session, "bob", "1");
    disk.close();
    fs::remove_dir_all(disk.state()).expect("removed");
    let refused = disk.refused();
    assert!(is_rolled_back(&refused, (0, 2)), "{refused}");
    assert!(!disk.database().exists());
}

// STA-16
#[test]
fn an_anchor_is_taken_up_and_given_up_only_when_asked() {
    let mut disk = OnDisk::new();
    put(&*disk.store(), Table::Session, "bob", "1");
    disk.close();
    let anchor = Arc::new(MemoryAnchor::new());
    disk.anchor = Some(Arc::<MemoryAnchor>::clone(&anchor));
    let refused = disk.refused();
    assert!(matches!(refused, Error::AnchorNew { .. }), "{refused}");
    disk.open_as(disk.options().change_anchor()).expect("taken up");
    let status = disk.store().status().expect("open");
    assert_eq!((status.generation(), status.protection()), (3, Protection::Anchored));
    disk.reopen();
    disk.close();

    disk.anchor = None;
    let refused = disk.refused();
    assert!(matches!(refused, Error::AnchorMissing { .. }), "{refused}");
    let another = Arc::new(MemoryAnchor::new());
    disk.anchor = Some(Arc::<MemoryAnchor>::clone(&another));
    assert!(is_rolled_back(&disk.refused(), (3, 0)));
    disk.open_as(disk.options().change_anchor()).expect("taken up");
    assert_eq!(another.read().expect("reads").expect("moved").generation(), 4);
    disk.close();

    disk.anchor = None;
    disk.open_as(Options::new().change_anchor()).expect("given up");
    assert_eq!(get(&*disk.store(), Table::Session, "bob").as_deref(), Some(&b"1"[..]));
    disk.reopen();
    let status = disk.store().status().expect("open");
    assert_eq!((status.generation(), status.protection()), (5, Protection::Unanchored));
}

// STA-14
#[test]
fn an_anchor_in_a_file_follows_the_state() {
    let home = tempfile::tempdir().expect("directory");
    let state = home.path().join("state");
    let anchor = FileAnchor::new(home.path().join("elsewhere/anchor"), &state).expect("outside");
    let anchor = Arc::new(anchor);
    let options = || Options::new().anchor(Arc::<FileAnchor>::clone(&anchor));
    for generation in 2..5 {
        let store = SqliteStore::open_with_key(&state, &state_key(1), options()).expect("opens");
        assert_eq!(put(&store, Table::Meta, "x", "y"), generation);
        assert_eq!(anchor.read().expect("reads").expect("moved").generation(), generation);
    }
}
