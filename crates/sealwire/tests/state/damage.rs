//! States that were changed by something else than the store.
#![expect(clippy::panic, reason = "a failing test fails")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use rusqlite::Connection;
use sealwire::{
    core::MemoryKeyStore,
    custody::system_rng,
    store::{Damage, Error, Options, Range, SqliteStore, Table},
};

use crate::common::{Harness, OnDisk, get, put, state_key};

/// Changes the database behind the store's back, in the way of whoever can write the file.
fn tamper(disk: &OnDisk, change: &str) {
    let database = Connection::open(disk.database()).expect("opens");
    let changed = database.execute_batch(change);
    changed.unwrap_or_else(|error| panic!("{change}: {error}"));
    database.close().expect("closes");
}

fn filled() -> OnDisk {
    let mut disk = OnDisk::new();
    let store = disk.store();
    put(&*store, Table::Session, "alice", "session of alice");
    put(&*store, Table::Session, "bob", "session of bob, older");
    put(&*store, Table::Prekey, "1", "prekey");
    put(&*store, Table::Inbox, "1", "plaintext that waits");
    drop(store);
    disk.close();
    disk
}

fn what(error: Error) -> Damage {
    match error {
        Error::Damaged { what, .. } => what,
        other => panic!("not damaged, but: {other}"),
    }
}

/// Every file of the state directory.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("UTF-8");
        (name, fs::read(entry.path()).expect("reads"))
    });
    // What SQLite leaves of a log that it only read.
    entries.filter(|(_, bytes)| !bytes.is_empty()).collect()
}

// attack T3
// STA-11, STA-15
#[test]
fn one_row_that_was_put_back_is_seen() {
    let mut disk = filled();
    tamper(&disk, "CREATE TABLE kept AS SELECT * FROM row; ");
    let kept = disk.home.path().join("kept.db");
    fs::copy(disk.database(), &kept).expect("copied");
    tamper(&disk, "DROP TABLE kept");
    disk.reopen();
    put(&*disk.store(), Table::Session, "bob", "session of bob, newer");
    disk.close();
    let newest = disk.backup("newest");
    let back = |columns: &str, of: &str| {
        format!(
            "ATTACH '{}' AS old; UPDATE row SET ({columns}) = \
             (SELECT {columns} FROM old.kept WHERE kept.key = row.key AND kept.kind = row.kind) \
             WHERE {of};",
            kept.display()
        )
    };
    for change in [
        back("revision, nonce, sealed", "kind = 1 AND key = CAST('bob' AS BLOB)"),
        back("nonce, sealed", "kind = 1 AND key = CAST('bob' AS BLOB)"),
        back("revision, nonce, sealed", "TRUE"),
    ] {
        disk.restore(&newest);
        tamper(&disk, &change);
        let before = files(&disk.state());
        assert_eq!(what(disk.refused()), Damage::Rows(Table::Session), "{change}");
        assert!(files(&disk.state()) == before, "nothing was overwritten: {change}");
    }
    disk.restore(&newest);
    // The sealed part alone: the row is where it was, and does not open.
    tamper(&disk, &back("sealed", "kind = 1 AND key = CAST('bob' AS BLOB)"));
    disk.reopen();
    let refused = disk.store().get(Table::Session, &crate::common::key("bob"));
    let refused = refused.expect_err("damaged");
    assert!(refused.to_string().contains("rows of kind session"), "{refused}");
    assert_eq!(get(&*disk.store(), Table::Prekey, "1").as_deref(), Some(&b"prekey"[..]));
}

// STA-11, STA-15
#[test]
fn changes_of_rows_name_their_kind() {
    let disk = filled();
    let whole = disk.backup("whole");
    let mut disk = disk;
    let session = Damage::Rows(Table::Session);
    let row = "revision, nonce, sealed";
    for (change, expected) in [
        ("DELETE FROM row WHERE kind = 1 AND key = CAST('bob' AS BLOB)", session.clone()),
        ("DELETE FROM row WHERE kind = 2", Damage::Rows(Table::Prekey)),
        (
            "UPDATE row SET key = CAST('carol' AS BLOB) WHERE key = CAST('bob' AS BLOB)",
            session.clone(),
        ),
        ("UPDATE row SET revision = revision + 1 WHERE kind = 4", Damage::Rows(Table::Inbox)),
        ("UPDATE row SET revision = -1 WHERE kind = 4", Damage::Rows(Table::Inbox)),
        ("UPDATE row SET revision = 9999 WHERE kind = 4", Damage::Rows(Table::Inbox)),
        ("UPDATE row SET nonce = zeroblob(24) WHERE kind = 4", Damage::Rows(Table::Inbox)),
        ("UPDATE row SET nonce = zeroblob(3) WHERE kind = 4", Damage::Rows(Table::Inbox)),
        ("UPDATE row SET nonce = 'text' WHERE kind = 4", Damage::Rows(Table::Inbox)),
        ("UPDATE row SET key = zeroblob(0) WHERE kind = 4", Damage::Rows(Table::Inbox)),
        ("UPDATE row SET key = zeroblob(129) WHERE kind = 4", Damage::Rows(Table::Inbox)),
        ("UPDATE row SET key = 7 WHERE kind = 4", Damage::Rows(Table::Inbox)),
        ("UPDATE row SET kind = 3 WHERE kind = 2", Damage::Rows(Table::Prekey)),
        ("UPDATE row SET kind = 8 WHERE kind = 4", Damage::UnknownKind(8)),
        ("UPDATE row SET kind = 0 WHERE kind = 4", Damage::UnknownKind(0)),
        (
            &format!("INSERT INTO row SELECT 5, key, {row} FROM row WHERE kind = 4"),
            Damage::Rows(Table::Outbox),
        ),
        ("UPDATE generation SET sealed = zeroblob(297)", Damage::Generation),
        ("UPDATE generation SET sealed = zeroblob(0)", Damage::Generation),
        ("DELETE FROM generation", Damage::Generation),
        ("DELETE FROM description WHERE name = 'store'", Damage::Description),
        ("DELETE FROM description WHERE name = 'schema'", Damage::Description),
        ("UPDATE description SET value = 0 WHERE name = 'schema'", Damage::Description),
        ("UPDATE description SET value = zeroblob(15) WHERE name = 'store'", Damage::Description),
        ("UPDATE description SET value = zeroblob(32) WHERE name = 'check'", Damage::Description),
        ("CREATE TRIGGER t AFTER UPDATE ON row BEGIN DELETE FROM row; END", Damage::Description),
        ("DROP INDEX row_place", Damage::Description),
        ("DROP TABLE generation", Damage::Description),
        ("DROP TABLE description", Damage::Description),
    ] {
        disk.restore(&whole);
        tamper(&disk, change);
        let before = files(&disk.state());
        assert_eq!(what(disk.refused()), expected, "{change}");
        assert!(files(&disk.state()) == before, "nothing was overwritten: {change}");
    }
    disk.restore(&whole);
    disk.reopen();
}

// attack T3: an older generation row does not fit the rows of today.
// STA-12
#[test]
fn an_older_generation_row_is_seen() {
    let mut disk = filled();
    let old = disk.backup("old");
    disk.reopen();
    put(&*disk.store(), Table::Peer, "bob", "x");
    disk.close();
    let attach = format!("ATTACH '{}' AS old;", old.join("state.db").display());
    tamper(
        &disk,
        &format!("{attach} UPDATE generation SET sealed = (SELECT sealed FROM old.generation)"),
    );
    assert_eq!(what(disk.refused()), Damage::Rows(Table::Peer));
}

// attack T38
// STA-17
#[test]
fn a_newer_schema_is_refused_and_left() {
    let mut disk = filled();
    tamper(&disk, "UPDATE description SET value = 2 WHERE name = 'schema'; CREATE TABLE new (x)");
    let before = files(&disk.state());
    let refused = disk.refused();
    assert!(matches!(refused, Error::UnknownSchema { found: 2, newest: 1, .. }), "{refused}");
    assert!(refused.to_string().contains("use a newer release"), "{refused}");
    assert!(files(&disk.state()) == before, "it was left as it is");
}

// STA-9
#[test]
fn another_key_is_told_from_damage() {
    let disk = filled();
    let opened = SqliteStore::open_with_key(disk.state(), &state_key(2), Options::new());
    assert!(matches!(opened.expect_err("another key"), Error::OtherKey { .. }));
}

/// The key and the value of a row.
type Pair = (Vec<u8>, Vec<u8>);

/// Everything that can be read of a state, or why it cannot.
fn read_all(disk: &mut OnDisk) -> Result<Vec<Pair>, Error> {
    disk.open()?;
    let store = disk.store();
    let mut rows = Vec::new();
    for table in Table::ALL {
        let found = store.scan(table, Range::all());
        match found {
            Ok(found) => rows
                .extend(found.iter().map(|row| (row.key.as_bytes().to_vec(), row.value.to_vec()))),
            Err(error) => {
                drop(store);
                disk.close();
                return Err(error);
            }
        }
    }
    drop(store);
    disk.close();
    Ok(rows)
}

// attack T28
// STA-15
#[test]
fn a_flipped_byte_or_a_cut_gives_the_state_or_an_error() {
    let mut disk = filled();
    let expected = read_all(&mut disk).expect("reads");
    assert_eq!(expected.len(), 4);
    let whole = disk.backup("whole");
    let bytes = fs::read(disk.database()).expect("there");
    let flips = (0..bytes.len()).step_by(211).chain(0..100).map(|place| {
        let mut changed = bytes.clone();
        changed[place] ^= 0x41;
        (format!("flipped at {place}"), changed)
    });
    let cuts = [0, 1, 99, 100, 511, 4096, 8192, 8193, bytes.len() / 2, bytes.len() - 1]
        .map(|len| (format!("cut to {len}"), bytes[..len].to_vec()));
    let (mut refused, mut harmless) = (0, 0);
    for (name, changed) in flips.chain(cuts) {
        disk.restore(&whole);
        fs::write(disk.database(), &changed).expect("written");
        let read = catch_unwind(AssertUnwindSafe(|| read_all(&mut disk)));
        match read.unwrap_or_else(|_| panic!("{name}: it panicked")) {
            Ok(rows) => assert_eq!((rows, { harmless += 1 }), (expected.clone(), ()), "{name}"),
            Err(error) => {
                let damaged = matches!(error, Error::Damaged { .. } | Error::OtherKey { .. })
                    || matches!(error, Error::UnknownSchema { .. });
                assert!(damaged, "{name}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 40, "{refused} refused, {harmless} in bytes that nothing uses");
}

// STA-15
#[test]
fn a_log_or_a_journal_that_does_not_belong_there_is_refused() {
    let mut disk = filled();
    fs::write(disk.state().join("state.db-journal"), b"x").expect("written");
    assert!(disk.refused().to_string().contains("there is a rollback journal"));
    fs::remove_file(disk.state().join("state.db-journal")).expect("removed");
    disk.reopen();
    disk.close();
    fs::remove_file(disk.database()).expect("removed");
    fs::write(disk.log(), b"x").expect("written");
    assert!(disk.refused().to_string().contains("its write-ahead log is there, and it is not"));
    assert!(!disk.database().exists());
}

// STA-8
#[test]
fn a_link_that_leads_nowhere_is_not_taken_for_a_state_to_be_made() {
    let mut disk = filled();
    let elsewhere = disk.home.path().join("elsewhere.db");
    fs::rename(disk.database(), &elsewhere).expect("moved");
    symlink(disk.home.path().join("not mounted"), disk.database()).expect("linked");
    let refused = disk.refused();
    assert!(matches!(refused, Error::Database { .. }), "{refused}");
    assert!(disk.database().is_symlink(), "it was left as it is");
    fs::remove_file(disk.database()).expect("removed");
    symlink(&elsewhere, disk.database()).expect("linked");
    disk.reopen();
    assert!(get(&*disk.store(), Table::Session, "bob").is_some());
}

// STA-6, STA-7
#[test]
fn the_key_lies_sealed_beside_the_state() {
    let home = tempfile::tempdir().expect("directory");
    let state = home.path().join("deep/state");
    let keys = || MemoryKeyStore::generate(&mut system_rng()).expect("keys");
    let (own, others) = (keys(), keys());
    let open = |keys: &MemoryKeyStore| SqliteStore::open(&state, keys, Options::new());
    put(&open(&own).expect("made"), Table::Session, "bob", "1");
    let reopened = open(&own).expect("opens");
    assert_eq!(get(&reopened, Table::Session, "bob").as_deref(), Some(&b"1"[..]));
    for name in ["", "state.db", "state.db-wal", "state.key", "lock"] {
        let mode = fs::metadata(state.join(name)).expect(name).permissions().mode() & 0o7777;
        assert_eq!(mode, if name.is_empty() { 0o700 } else { 0o600 }, "{name}");
    }
    drop(reopened);
    assert!(matches!(open(&others).expect_err("others"), Error::OtherKey { .. }));

    let path = state.join("state.key");
    let sealed = fs::read(&path).expect("there");
    let mut changed = sealed.clone();
    changed[700] ^= 1;
    fs::write(&path, &changed).expect("written");
    assert_eq!(what(open(&own).expect_err("changed")), Damage::KeyFile);
    fs::remove_file(&path).expect("removed");
    assert_eq!(what(open(&own).expect_err("gone")), Damage::KeyFile);
    assert!(!path.exists(), "no other key is made for a state that is there");
    fs::write(&path, &sealed).expect("written");
    open(&own).expect("opens again");
}

// STA-10
#[test]
fn no_file_shows_a_value() {
    let secret = b"plaintext that nobody may read at rest";
    let mut disk = OnDisk::new();
    put(&*disk.store(), Table::Inbox, "a key in clear", secret);
    let shows = |needle: &[u8]| {
        files(&disk.state()).values().any(|file| file.windows(needle.len()).any(|w| w == needle))
    };
    assert!(!shows(secret));
    assert!(shows(b"a key in clear"), "the control, and what the documentation says of keys");
    disk.close();
    assert!(!files(&disk.state()).values().any(|file| file.windows(38).any(|w| w == secret)));
}

// STA-10: what was overwritten or removed is not left in the file, sealed as it was.
#[test]
fn what_is_overwritten_or_removed_is_gone_from_the_file() {
    let mut disk = OnDisk::new();
    put(&*disk.store(), Table::Session, "bob", [1; 3000]);
    put(&*disk.store(), Table::Prekey, "1", [2; 3000]);
    disk.close();
    let sealed: Vec<Vec<u8>> = {
        let database = Connection::open(disk.database()).expect("opens");
        let mut rows = database.prepare("SELECT sealed FROM row").expect("prepares");
        let rows = rows.query_map([], |row| row.get(0)).and_then(Iterator::collect);
        rows.expect("reads")
    };
    assert_eq!(sealed.len(), 2);
    disk.reopen();
    put(&*disk.store(), Table::Session, "bob", [3; 10]);
    crate::common::delete(&*disk.store(), Table::Prekey, "1");
    disk.close();
    for old in &sealed {
        let parts: Vec<&[u8]> = old.chunks_exact(64).collect();
        for (name, bytes) in files(&disk.state()) {
            assert!(!bytes.windows(64).any(|window| parts.contains(&window)), "{name}");
        }
    }
}
