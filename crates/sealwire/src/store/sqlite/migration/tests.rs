//! There is one schema so far, so the ladder goes on here: to schemas 2 and 3, by the same code.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use sealwire_core::secret::Secret;

use super::*;
use crate::{
    Effects,
    store::{
        Anchor, AnchorState, Damage, FileAnchor, MemoryAnchor, Options, Range, SqliteStore, Store,
        sqlite::claim,
    },
};

const NOTE: &str = "CREATE TABLE note (text TEXT NOT NULL)";
const SCHEMA_2: Tables = &[SCHEMA_1[0], SCHEMA_1[1], ("note", NOTE), SCHEMA_1[2], SCHEMA_1[3]];

/// Schema 2 has a table more, and `2` behind every session.
const TO_2: Step = Step {
    statements: "CREATE TABLE note (text TEXT NOT NULL);",
    tables: SCHEMA_2,
    value: |table, _, value| {
        let more: &[u8] = if table == Table::Session { b" 2" } else { b"" };
        Ok(Value::new([&value[..], more].concat()))
    },
};

/// Schema 3 is without the table again, and has `3` behind every value.
const TO_3: Step = Step {
    statements: "DROP TABLE note;",
    tables: SCHEMA_1,
    value: |_, _, value| Ok(Value::new([&value[..], b" 3"].concat())),
};

const TO_SCHEMA_2: Ladder = Ladder { oldest: SCHEMA_1, steps: &[TO_2] };
const TO_SCHEMA_3: Ladder = Ladder { oldest: SCHEMA_1, steps: &[TO_2, TO_3] };

/// A step that comes to nothing at the last kind of rows.
const FAILS: Ladder = Ladder {
    oldest: SCHEMA_1,
    steps: &[Step {
        value: |table, _, value| match table {
            Table::Meta => Err(Error::Unreachable("a step that fails")),
            _ => Ok(value),
        },
        ..TO_2
    }],
};

fn open_as(ladder: &Ladder, directory: &Path, options: Options) -> Result<SqliteStore, Error> {
    let key = StateKey::from_secret(Secret::init_with(|bytes| bytes.fill(1)));
    let (directory, claim) = claim(directory)?;
    SqliteStore::open_claimed(directory, claim, &key, options, ladder)
}

fn key(name: &str) -> RowKey {
    RowKey::new(name.as_bytes()).expect("a key")
}

/// A row of each kind, in two transactions.
fn fill(directory: &Path, options: Options) {
    let store = open_as(&LADDER, directory, options).expect("made");
    for name in ["first", "second"] {
        let mut effects = Effects::new();
        for table in Table::ALL {
            let value = Value::new(format!("{table} {name}").into_bytes());
            effects.put(table, key(name), value).expect("short");
        }
        let _ = store.commit(effects).expect("stored");
    }
}

/// What stands in all rows.
fn values(store: &SqliteStore) -> Vec<String> {
    let scan = |table| store.scan(table, Range::all()).expect("reads");
    let text = |row: crate::store::Row| String::from_utf8(row.value.to_vec()).expect("text");
    Table::ALL.into_iter().flat_map(scan).map(text).collect()
}

/// What should stand there: sessions end with `session`, the others with `others`.
fn expected(session: &str, others: &str) -> Vec<String> {
    let of = |table: Table| {
        let end = if table == Table::Session { session } else { others };
        ["first", "second"].map(|name| format!("{table} {name}{end}"))
    };
    Table::ALL.into_iter().flat_map(of).collect()
}

fn schema(directory: &Path) -> i64 {
    let database = rusqlite::Connection::open(directory.join("state.db")).expect("opens");
    let sql = "SELECT value FROM description WHERE name = 'schema'";
    database.query_row(sql, [], |row| row.get(0)).expect("a schema")
}

// attack T38
// STA-17, STA-18
#[test]
fn the_frozen_state_of_schema_1_climbs_the_ladder() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/state-schema-1.db");
    for (ladder, number, end) in [(&TO_SCHEMA_2, 2, " 2"), (&TO_SCHEMA_3, 3, " 2 3")] {
        let home = tempfile::tempdir().expect("directory");
        fs::write(home.path().join("state.db"), fs::read(&frozen).expect("there")).expect("copied");
        for opening in ["the first migrates", "the second has nothing to do"] {
            let store = open_as(ladder, home.path(), Options::new()).expect(opening);
            assert_eq!(store.status().expect("open").generation(), 16, "{opening}");
            let found = store.get(Table::Session, &key("second")).expect("reads").expect("there");
            assert_eq!(*found, format!("session again{end}").into_bytes());
            let rows: usize = values(&store).len();
            assert_eq!(rows, 21, "{opening}");
        }
        assert_eq!(schema(home.path()), number);
        // This release knows nothing of it, and leaves it.
        let before = fs::read(home.path().join("state.db")).expect("there");
        let refused = open_as(&LADDER, home.path(), Options::new()).expect_err("newer");
        assert!(matches!(refused, Error::UnknownSchema { newest: 1, .. }), "{refused}");
        assert_eq!(fs::read(home.path().join("state.db")).expect("there"), before);
    }
}

// STA-18
#[test]
fn a_state_goes_on_after_it_was_brought_to_another_schema() {
    let home = tempfile::tempdir().expect("directory");
    fill(home.path(), Options::new());
    let store = open_as(&TO_SCHEMA_2, home.path(), Options::new()).expect("migrates");
    assert_eq!(values(&store), expected(" 2", ""));
    let mut effects = Effects::new();
    effects.delete(Table::Inbox, key("first")).expect("short");
    effects.put(Table::Peer, key("first"), Value::new(b"new".to_vec())).expect("short");
    let _ = store.commit(effects).expect("stored");
    drop(store);
    // From schema 2 only the step to 3 is left.
    let store = open_as(&TO_SCHEMA_3, home.path(), Options::new()).expect("migrates");
    let get = |table, name| store.get(table, &key(name)).expect("reads");
    assert_eq!(get(Table::Session, "first").as_deref(), Some(&b"session first 2 3".to_vec()));
    assert_eq!(get(Table::Peer, "first").as_deref(), Some(&b"new 3".to_vec()));
    assert_eq!(get(Table::Inbox, "first"), None);
    drop(store);
    let home = tempfile::tempdir().expect("directory");
    drop(open_as(&TO_SCHEMA_2, home.path(), Options::new()).expect("made"));
    assert_eq!(schema(home.path()), 2, "a new state has the newest schema");
}

/// Counts its moves, and fails when told to.
#[derive(Debug, Default)]
struct Counting {
    anchor: MemoryAnchor,
    moves: AtomicUsize,
    fails: AtomicUsize,
}

impl Anchor for Counting {
    fn read(&self) -> Result<Option<AnchorState>, Error> {
        self.anchor.read()
    }

    fn advance(&self, from: Option<AnchorState>, to: AnchorState) -> Result<(), Error> {
        if self.fails.load(Ordering::SeqCst) > 0 {
            return Err(Error::Anchor("it is away".into()));
        }
        self.moves.fetch_add(1, Ordering::SeqCst);
        self.anchor.advance(from, to)
    }
}

// attack T3
// STA-14, STA-18
#[test]
fn the_anchor_moves_once_also_when_a_crash_comes_between() {
    let home = tempfile::tempdir().expect("directory");
    let anchor = Arc::new(Counting::default());
    let options = || Options::new().anchor(Arc::<Counting>::clone(&anchor));
    fill(home.path(), options());
    let (moves, before) = (anchor.moves.load(Ordering::SeqCst), anchor.read().expect("reads"));
    anchor.fails.store(1, Ordering::SeqCst);
    let away = open_as(&TO_SCHEMA_3, home.path(), options()).expect_err("not moved");
    assert!(matches!(away, Error::Anchor(_)), "{away}");
    assert_eq!(anchor.read().expect("reads"), before);
    anchor.fails.store(0, Ordering::SeqCst);
    let store = open_as(&TO_SCHEMA_3, home.path(), options()).expect("the state was stored");
    assert_eq!(values(&store), expected(" 2 3", " 3"));
    assert_eq!(anchor.moves.load(Ordering::SeqCst), moves + 1);
    let generation = |state: Option<AnchorState>| state.expect("moved").generation();
    assert_eq!(generation(anchor.read().expect("reads")), generation(before) + 1);
}

// attack T3
// STA-16, STA-18
#[test]
fn a_state_that_was_put_back_is_refused_before_it_is_brought_up() {
    let home = tempfile::tempdir().expect("directory");
    let (state, old) = (home.path().join("state"), home.path().join("old"));
    let anchor = Arc::new(MemoryAnchor::new());
    let options = || Options::new().anchor(Arc::<MemoryAnchor>::clone(&anchor));
    fill(&state, options());
    fs::create_dir(&old).expect("made");
    fs::copy(state.join("state.db"), old.join("state.db")).expect("copied");
    drop(open_as(&TO_SCHEMA_2, &state, options()).expect("migrates"));
    let refused = open_as(&TO_SCHEMA_2, &old, options()).expect_err("older");
    assert!(matches!(refused, Error::RolledBack { found: 3, expected: 4, .. }), "{refused}");
    assert_eq!(schema(&old), 1);
}

// attack T28
// STA-18
#[test]
fn a_step_that_fails_leaves_the_old_state() {
    let home = tempfile::tempdir().expect("directory");
    fill(home.path(), Options::new());
    let refused = open_as(&FAILS, home.path(), Options::new()).expect_err("fails");
    assert!(matches!(refused, Error::Unreachable("a step that fails")), "{refused}");
    let store = open_as(&LADDER, home.path(), Options::new()).expect("as before");
    assert_eq!(values(&store), expected("", ""));
    assert_eq!(store.status().expect("open").generation(), 3);
}

// STA-18: that a sealed value was changed is otherwise seen when it is read.
#[test]
fn a_row_that_does_not_open_is_named_and_the_old_state_stays() {
    let home = tempfile::tempdir().expect("directory");
    fill(home.path(), Options::new());
    let database = rusqlite::Connection::open(home.path().join("state.db")).expect("opens");
    let sql = "UPDATE row SET sealed = zeroblob(length(sealed)) WHERE kind = 4";
    assert_eq!(database.execute(sql, []).expect("changed"), 2);
    drop(database);
    let refused = open_as(&TO_SCHEMA_2, home.path(), Options::new()).expect_err("damaged");
    assert!(
        matches!(refused, Error::Damaged { what: Damage::Rows(Table::Inbox), .. }),
        "{refused}"
    );
    assert_eq!(schema(home.path()), 1);
    drop(open_as(&LADDER, home.path(), Options::new()).expect("the others can still be read"));
}

// STA-10, STA-18
#[test]
fn no_row_of_the_old_schema_is_taken_in_the_new_one() {
    let home = tempfile::tempdir().expect("directory");
    fill(home.path(), Options::new());
    let path = home.path().join("state.db");
    let old = home.path().join("old.db");
    fs::copy(&path, &old).expect("copied");
    drop(open_as(&TO_SCHEMA_3, home.path(), Options::new()).expect("migrates"));
    let database = rusqlite::Connection::open(&path).expect("opens");
    database.execute("ATTACH ?1 AS old", [old.to_str().expect("UTF-8")]).expect("attached");
    let sql = "UPDATE main.row SET (revision, nonce, sealed) = (SELECT revision, nonce, sealed \
               FROM old.row AS o WHERE o.kind = main.row.kind AND o.key = main.row.key) \
               WHERE kind = 1";
    assert_eq!(database.execute(sql, []).expect("put back"), 2);
    drop(database);
    let refused = open_as(&TO_SCHEMA_3, home.path(), Options::new()).expect_err("put back");
    assert!(
        matches!(refused, Error::Damaged { what: Damage::Rows(Table::Session), .. }),
        "{refused}"
    );
}

#[test]
fn the_ladder_knows_its_schemas_and_no_others() {
    assert_eq!(LADDER.newest(), (1, SCHEMA_1));
    assert_eq!(TO_SCHEMA_3.newest(), (3, SCHEMA_1));
    let known = |schema| TO_SCHEMA_3.tables(schema);
    assert_eq!([0, 4, u32::MAX].map(known), [None; 3]);
    assert_eq!([1, 2, 3].map(known), [Some(SCHEMA_1), Some(SCHEMA_2), Some(SCHEMA_1)]);
    assert_eq!([1, 2, 3, 4].map(|schema| TO_SCHEMA_3.above(schema).len()), [2, 1, 0, 0]);
}

const DIRECTORY: &str = "SEALWIRE_TEST_MIGRATION";

fn anchored(home: &Path) -> Options {
    let anchor = FileAnchor::new(home.join("elsewhere/anchor"), &home.join("state"));
    Options::new().anchor(Arc::new(anchor.expect("outside")))
}

/// The process that is killed. Does nothing when no test has started it.
#[test]
fn child() {
    let Some(home) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    if let Err(error) = open_as(&TO_SCHEMA_3, &home.join("state"), anchored(&home)) {
        println!("not opened: {error}");
        std::process::exit(1);
    }
}

fn inject(home: &Path, fault: &str) -> Output {
    let (calls, _) = fault.split_once(':').expect("system calls and what befalls them");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={fault}"), "--"]);
    strace.arg(env::current_exe().expect("this test"));
    let name = "store::sqlite::migration::tests::child";
    strace.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    strace.env(DIRECTORY, home).env_remove("SEALWIRE_STRACE").stdin(Stdio::null());
    strace.output().expect("strace runs; it is in the Debian package of that name")
}

// attack T28
// STA-18
#[test]
fn a_process_killed_while_it_migrates_leaves_the_old_state_or_the_new() {
    let Some(mode) = env::var_os("SEALWIRE_STRACE") else { return };
    let stride = if mode == "all" { 1 } else { 4 };
    let mut ends = BTreeMap::new();
    for (calls, what) in [
        ("write,pwrite64", "signal=SIGKILL"),
        ("fsync,fdatasync", "signal=SIGKILL"),
        ("rename,renameat,renameat2,ftruncate,unlink", "signal=SIGKILL"),
        ("write,pwrite64", "error=ENOSPC"),
        ("fsync,fdatasync", "error=EIO"),
    ] {
        // Fsyncs are few, and each of them counts.
        let stride = if calls.contains("pwrite64") { stride } else { 1 };
        for when in (1..).step_by(stride) {
            let home = tempfile::tempdir().expect("directory");
            let state = home.path().join("state");
            fill(&state, anchored(home.path()));
            let fault = format!("{calls}:{what}:when={when}");
            let output = inject(home.path(), &fault);
            let end = schema_of_copy(&state);
            *ends.entry(end).or_insert(0) += 1;
            let found = match end {
                1 => values(&open_as(&LADDER, &state, anchored(home.path())).expect(&fault)),
                _ => values(&open_as(&TO_SCHEMA_3, &state, anchored(home.path())).expect(&fault)),
            };
            let whole = if end == 1 { expected("", "") } else { expected(" 2 3", " 3") };
            assert_eq!(found, whole, "{fault}");
            let store = open_as(&TO_SCHEMA_3, &state, anchored(home.path())).expect(&fault);
            assert_eq!(values(&store), expected(" 2 3", " 3"), "{fault}");
            assert_eq!(store.status().expect("open").generation(), 4, "{fault}");
            if output.status.success() {
                assert!(when > 1, "{fault}");
                break;
            }
        }
    }
    println!("stopped, by the schema that was there: {ends:?}");
    assert!(ends[&1] > 5 && ends[&3] > 5, "{ends:?}");
}

/// The schema that is there, read from a copy: reading must not settle what the crash left.
fn schema_of_copy(state: &Path) -> i64 {
    let copy = tempfile::tempdir().expect("directory");
    for name in ["state.db", "state.db-wal"] {
        if File::open(state.join(name)).is_ok() {
            fs::copy(state.join(name), copy.path().join(name)).expect("copied");
        }
    }
    schema(copy.path())
}
