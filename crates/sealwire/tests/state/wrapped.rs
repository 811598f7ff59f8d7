//! States that a key service guards too, and the way there and back.

mod crash;

use std::{fs, path::Path, sync::Arc};

use sealwire::{
    core::{MemoryKeyStore, keystore::KeySeeds},
    envelope::{
        kms::{Kms, KmsError},
        local::{LocalKek, LocalKeys},
    },
    store::{
        Anchor, AnchorState, Damage, Error, MemoryAnchor, Options, Range, SqliteStore, Store, Table,
    },
};
use sealwire_testkit::rng::SeededRng;
use tempfile::TempDir;

use crate::common::{get, put};

/// What guards a state beside the agent's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    Nothing,
    First,
    Second,
}

use Guard::{First, Nothing, Second};

pub(crate) const GUARDS: [Guard; 3] = [Nothing, First, Second];
pub(crate) const CHANGES: [(Guard, Guard); 4] =
    [(Nothing, First), (First, Nothing), (First, Second), (Nothing, Nothing)];

impl Guard {
    fn kms(self) -> Option<LocalKek<SeededRng>> {
        let (name, seed) = match self {
            Nothing => return None,
            First => ("first", 31),
            Second => ("second", 32),
        };
        Some(kek(name, seed, 1))
    }
}

fn kek(name: &str, seed: u64, versions: usize) -> LocalKek<SeededRng> {
    let mut rng = SeededRng::new(seed);
    let mut keys = LocalKeys::generate(name, &mut rng).expect("a key");
    for _ in 1..versions {
        keys.rotate(&mut rng).expect("a version");
    }
    // What it wraps with differs each time.
    LocalKek::new(Arc::new(keys), SeededRng::new(rand_seed()))
}

fn rand_seed() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn agent(seed: u64) -> MemoryKeyStore {
    let seeds = KeySeeds::generate(&mut SeededRng::new(seed)).expect("randomness");
    MemoryKeyStore::from_seeds(&seeds).expect("keys")
}

pub(crate) async fn open(
    state: &Path,
    guard: Guard,
    options: Options,
) -> Result<SqliteStore, Error> {
    match guard.kms() {
        None => SqliteStore::open(state, &agent(1), options),
        Some(kms) => SqliteStore::open_wrapped(state, &agent(1), &kms, options).await,
    }
}

pub(crate) async fn change(
    state: &Path,
    (from, to): (Guard, Guard),
    options: Options,
) -> Result<(), Error> {
    let (from, to) = (from.kms(), to.kms());
    let from = from.as_ref().map(|kms| kms as &dyn Kms);
    let to = to.as_ref().map(|kms| kms as &dyn Kms);
    SqliteStore::change_kms(state, &agent(1), from, to, options).await
}

/// A state with rows of each kind.
pub(crate) async fn fill(state: &Path, guard: Guard, options: Options) {
    let store = open(state, guard, options).await.expect("made");
    for table in Table::ALL {
        for name in ["first", "second"] {
            put(&store, table, name, format!("{table} {name}"));
        }
    }
}

pub(crate) fn check(store: &SqliteStore) {
    for table in Table::ALL {
        for name in ["first", "second"] {
            let found = get(store, table, name).expect("there");
            assert_eq!(found, format!("{table} {name}").into_bytes());
        }
        assert_eq!(store.scan(table, Range::all()).expect("reads").len(), 2, "{table}");
    }
}

/// Opens as `guard` and in no other way.
pub(crate) async fn opens_only_with(state: &Path, guard: Guard, what: &str) {
    for other in GUARDS.into_iter().filter(|other| *other != guard) {
        let files = files(state);
        let refused = open(state, other, Options::new()).await.expect_err(what);
        let fits = match (guard, other) {
            (Nothing, _) => matches!(refused, Error::KmsNew { .. }),
            // Between two services nobody can tell which it is without asking one of them.
            (_, Nothing) => {
                let named = if guard == First { "local:first" } else { "local:second" };
                let next = state.join("state.key.next").exists();
                matches!(&refused, Error::KmsMissing { key, .. } if next || key == named)
            }
            _ => matches!(refused, Error::OtherKms { .. }),
        };
        assert!(fits, "{what}, {guard:?} and not {other:?}: {refused}");
        assert!(!refused.is_retryable(), "{what}");
        assert!(self::files(state) == files, "{what}: something was changed");
    }
    let store = open(state, guard, Options::new()).await;
    check(&store.map_err(|error| format!("{what}, {guard:?}: {error}")).expect("opens"));
    assert_eq!(names(state), ["lock", "state.db", "state.key"], "{what}");
}

fn names(state: &Path) -> Vec<String> {
    let entries = fs::read_dir(state).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("an entry").file_name().into_string().expect("text")
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// All that a refusal must leave as it is. Looking at a database may make an empty log.
fn files(state: &Path) -> Vec<(String, Vec<u8>)> {
    let names = names(state).into_iter();
    let read = |name: String| {
        let bytes = fs::read(state.join(&name)).expect("reads");
        (name, bytes)
    };
    names.map(read).filter(|(name, bytes)| name != "state.db-wal" || !bytes.is_empty()).collect()
}

struct Scene {
    home: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("directory") }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    fn copy(&self, from: &str, to: &str) {
        fs::create_dir(self.path(to)).expect("made");
        for name in names(&self.path(from)) {
            fs::copy(self.path(from).join(&name), self.path(to).join(&name)).expect("copied");
        }
    }
}

// STA-22, STA-23
#[tokio::test]
async fn a_state_changes_hands_and_keeps_what_it_has() {
    for (from, to) in CHANGES {
        let scene = Scene::new();
        let state = scene.path("state");
        fill(&state, from, Options::new()).await;
        opens_only_with(&state, from, "before").await;
        change(&state, (from, to), Options::new()).await.expect("changed");
        opens_only_with(&state, to, "after").await;
        let store = open(&state, to, Options::new()).await.expect("opens");
        put(&store, Table::Session, "third", "goes on");
    }
}

// STA-22: whoever has the disk and the passphrase, and whoever runs the key service.
#[tokio::test]
async fn neither_the_agents_keys_nor_the_key_service_opens_it_alone() {
    let scene = Scene::new();
    let state = scene.path("state");
    fill(&state, First, Options::new()).await;
    let refused = open(&state, Nothing, Options::new()).await.expect_err("without the service");
    assert!(refused.to_string().contains("wrapped by the key local:first"), "{refused}");
    let kms = First.kms().expect("a service");
    let others = SqliteStore::open_wrapped(&state, &agent(2), &kms, Options::new()).await;
    assert!(matches!(others.expect_err("without the keys"), Error::OtherKey { .. }));
}

// STA-23: every place at which a change can be interrupted, for each change.
#[tokio::test]
async fn a_change_that_was_interrupted_is_undone_or_brought_to_its_end() {
    for (from, to) in CHANGES {
        let scene = Scene::new();
        fill(&scene.path("before"), from, Options::new()).await;
        scene.copy("before", "after");
        change(&scene.path("after"), (from, to), Options::new()).await.expect("changed");
        for (what, database, expected) in
            [("before the transaction", "before", from), ("behind it", "after", to)]
        {
            let name = format!("interrupted {what}");
            scene.copy(database, &name);
            let state = scene.path(&name);
            let put = |from: &str, to: &str| {
                fs::copy(scene.path(from).join("state.key"), state.join(to)).expect("copied")
            };
            put("before", "state.key");
            put("after", "state.key.next");
            opens_only_with(&state, expected, &format!("{from:?} to {to:?}, {what}")).await;
        }
    }
}

// STA-23: not even the right key service is enough to tell what to do with such a pair.
#[tokio::test]
async fn a_key_that_is_to_come_and_fits_nothing_is_never_used() {
    let scene = Scene::new();
    let state = scene.path("state");
    fill(&state, First, Options::new()).await;
    let good = fs::read(state.join("state.key")).expect("there");
    for (what, next) in [
        ("nothing", Vec::new()),
        ("noise", vec![7; 4000]),
        ("cut", good[..good.len() - 1].to_vec()),
        ("of another version", [&good[..8], &[9], &good[9..]].concat()),
    ] {
        fs::write(state.join("state.key.next"), next).expect("written");
        opens_only_with(&state, First, what).await;
    }
    // Of another state of the same agent: it opens, and fits nothing here.
    fill(&scene.path("other"), First, Options::new()).await;
    let other = fs::read(scene.path("other").join("state.key")).expect("there");
    fs::write(state.join("state.key.next"), &other).expect("written");
    opens_only_with(&state, First, "of another state").await;
    fs::write(state.join("state.key"), &other).expect("written");
    fs::write(state.join("state.key.next"), &other).expect("written");
    let refused = open(&state, First, Options::new()).await.expect_err("neither fits");
    assert!(matches!(refused, Error::OtherKey { .. }), "{refused}");
    fs::write(state.join("state.key.next"), &good).expect("written");
    opens_only_with(&state, First, "put right by the one that fits").await;
}

// STA-7, STA-19
#[tokio::test]
async fn a_changed_file_is_damage_and_stays_as_it_is() {
    let scene = Scene::new();
    let state = scene.path("state");
    fill(&state, First, Options::new()).await;
    let path = state.join("state.key");
    let good = fs::read(&path).expect("there");
    for at in [0, 8, 40, 50, 100, 1240, 1300, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        fs::write(&path, &bad).expect("written");
        for guard in [First, Nothing] {
            let refused = open(&state, guard, Options::new()).await.expect_err("changed");
            let fits = matches!(refused, Error::Damaged { what: Damage::KeyFile, .. })
                || matches!((at, &refused), (40, Error::OtherKey { .. }));
            assert!(fits, "byte {at}, {guard:?}: {refused}");
        }
        assert_eq!(fs::read(&path).expect("there"), bad);
    }
    fs::remove_file(&path).expect("removed");
    let refused = open(&state, First, Options::new()).await.expect_err("gone");
    assert!(matches!(refused, Error::Damaged { what: Damage::KeyFile, .. }), "{refused}");
    fs::write(&path, &good).expect("written");
    opens_only_with(&state, First, "put back").await;
}

// STA-23: who kept the old file with the key, and its passphrase, has nothing of what follows.
#[tokio::test]
async fn an_older_key_file_opens_nothing_of_what_came_after_it() {
    let scene = Scene::new();
    let state = scene.path("state");
    fill(&state, Nothing, Options::new()).await;
    let old_key = fs::read(state.join("state.key")).expect("there");
    let rows = |state: &Path| -> Vec<Vec<u8>> {
        let database = rusqlite::Connection::open(state.join("state.db")).expect("opens");
        let mut select = database.prepare("SELECT sealed FROM row").expect("SQL");
        let rows = select.query_map([], |row| row.get(0)).expect("SQL");
        rows.map(|row| row.expect("a row")).collect()
    };
    scene.copy("state", "copy");
    let old_rows = rows(&scene.path("copy"));
    change(&state, (Nothing, First), Options::new()).await.expect("changed");
    let database = fs::read(state.join("state.db")).expect("there");
    for row in &old_rows {
        let found = database.windows(row.len()).any(|part| part == row);
        assert!(!found, "a row that the old key opens is still there");
    }
    fs::write(state.join("state.key"), old_key).expect("written");
    let refused = open(&state, Nothing, Options::new()).await.expect_err("an older key");
    assert!(matches!(refused, Error::OtherKey { .. }), "{refused}");
}

// attack T27
// STA-24
#[tokio::test]
async fn a_rewrap_follows_the_rotation_and_changes_nothing_else() {
    let scene = Scene::new();
    let state = scene.path("state");
    fill(&state, First, Options::new()).await;
    let database = fs::read(state.join("state.db")).expect("there");
    let rotated = kek("first", 31, 3);
    let to = SqliteStore::rewrap(&state, &agent(1), &rotated).await.expect("rewrapped");
    assert_eq!((to.key.key(), to.version.as_str()), ("first", "3"));
    assert_eq!(fs::read(state.join("state.db")).expect("there"), database);
    let reopened = SqliteStore::open_wrapped(&state, &agent(1), &rotated, Options::new()).await;
    check(&reopened.expect("opens"));
    // The service as it was before has no version 3.
    let refused = open(&state, First, Options::new()).await.expect_err("an older service");
    assert!(matches!(&refused, Error::Kms { cause: KmsError::Version(_), .. }), "{refused}");

    // A state that no service guards has nothing to rewrap, and says so.
    let plain = scene.path("plain");
    fill(&plain, Nothing, Options::new()).await;
    let refused = SqliteStore::rewrap(&plain, &agent(1), &rotated).await.expect_err("refused");
    assert!(matches!(refused, Error::KmsNew { .. }), "{refused}");
    let none = SqliteStore::rewrap(scene.path("none"), &agent(1), &rotated).await;
    assert!(none.is_err() && !scene.path("none/state.key").exists());
}

/// A key service that does not answer, or answers what it is told to.
#[derive(Debug)]
struct Down(LocalKek<SeededRng>, KmsError);

mod down {
    use sealwire::envelope::{
        Dek, WrapBinding,
        kms::{KeyRef, KeyVersion, Kms, KmsError, Pending, Wrapped},
    };

    impl super::Down {
        fn fails<T>(&self) -> Pending<'_, T>
        where
            T: Send,
        {
            let error = self.1.clone();
            Box::pin(async move { Err(error) })
        }
    }

    impl Kms for super::Down {
        fn key(&self) -> &KeyRef {
            self.0.key()
        }

        fn version(&self) -> Pending<'_, KeyVersion> {
            self.fails()
        }

        fn wrap<'a>(&'a self, _: &'a Dek, _: &'a WrapBinding) -> Pending<'a, Wrapped> {
            self.fails()
        }

        fn unwrap<'a>(&'a self, _: &'a Wrapped, _: &'a WrapBinding) -> Pending<'a, Dek> {
            self.fails()
        }

        fn rewrap<'a>(
            &'a self,
            _: &'a [(Wrapped, WrapBinding)],
        ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
            self.fails()
        }
    }
}

// attack T27
// STA-21, STA-22
#[tokio::test]
async fn a_service_that_is_down_or_disabled_is_named_and_nothing_is_lost() {
    let scene = Scene::new();
    let state = scene.path("state");
    fill(&state, First, Options::new()).await;
    let plain = scene.path("plain");
    fill(&plain, Nothing, Options::new()).await;
    for (cause, retryable) in [
        (KmsError::Unavailable("it did not answer in time".into()), true),
        (KmsError::Throttled(None), true),
        (KmsError::Disabled("first".into()), false),
        (KmsError::Denied("no".into()), false),
        (KmsError::Open, false),
    ] {
        let down = Down(First.kms().expect("a service"), cause.clone());
        let kms: &dyn Kms = &down;
        let keys = agent(1);
        let options = Options::new;
        let before =
            [&state, &plain].map(|state| fs::read(state.join("state.key")).expect("there"));
        let second = Second.kms().expect("a service");
        let refusals = [
            SqliteStore::open_wrapped(&state, &keys, kms, options()).await.err(),
            SqliteStore::rewrap(&state, &keys, kms).await.err(),
            SqliteStore::change_kms(&state, &keys, Some(kms), None, options()).await.err(),
            SqliteStore::change_kms(&state, &keys, Some(kms), Some(&second), options()).await.err(),
            SqliteStore::change_kms(&plain, &keys, None, Some(kms), options()).await.err(),
            SqliteStore::open_wrapped(scene.path("new"), &keys, kms, options()).await.err(),
        ];
        for refused in refusals {
            let refused = refused.expect("refused");
            assert!(matches!(&refused, Error::Kms { cause: told, .. } if *told == cause));
            assert_eq!(refused.is_retryable(), retryable, "{refused}");
        }
        let after = [&state, &plain].map(|state| fs::read(state.join("state.key")).expect("there"));
        assert_eq!(after, before);
        assert!(!scene.path("new/state.key").exists() && !scene.path("new/state.db").exists());
    }
    opens_only_with(&state, First, "it is back").await;
    opens_only_with(&plain, Nothing, "as it was").await;
}

/// An anchor that stands still, or moves and does not say so.
#[derive(Debug)]
struct Stuck {
    inner: Arc<MemoryAnchor>,
    moves: bool,
}

impl Anchor for Stuck {
    fn read(&self) -> Result<Option<AnchorState>, Error> {
        self.inner.read()
    }

    fn advance(&self, from: Option<AnchorState>, to: AnchorState) -> Result<(), Error> {
        if self.moves {
            self.inner.advance(from, to)?;
        }
        Err(Error::AnchorUnavailable("it does not answer".into()))
    }
}

// attack T3
// STA-14, STA-23
#[tokio::test]
async fn a_change_moves_the_anchor_also_when_it_does_not_answer() {
    for moves in [false, true] {
        let scene = Scene::new();
        let state = scene.path("state");
        let anchor = Arc::new(MemoryAnchor::new());
        let options = || Options::new().anchor(Arc::<MemoryAnchor>::clone(&anchor));
        fill(&state, Nothing, options()).await;
        scene.copy("state", "backup");
        let before = anchor.read().expect("reads").expect("moved").generation();
        let stuck = Stuck { inner: Arc::clone(&anchor), moves };
        let stuck = Options::new().anchor(Arc::new(stuck));
        let refused = change(&state, (Nothing, First), stuck).await.expect_err("no answer");
        assert!(refused.is_retryable(), "{refused}");
        check(&open(&state, First, options()).await.expect("brought to its end"));
        assert_eq!(anchor.read().expect("reads").expect("moved").generation(), before + 1);
        let refused = open(&scene.path("backup"), Nothing, options()).await.expect_err("older");
        assert!(matches!(refused, Error::RolledBack { .. }), "{refused}");
    }
}

// STA-6
#[tokio::test]
async fn a_state_that_is_open_changes_no_hands() {
    let scene = Scene::new();
    let state = scene.path("state");
    fill(&state, First, Options::new()).await;
    let store = open(&state, First, Options::new()).await.expect("opens");
    let refused = change(&state, (First, Nothing), Options::new()).await.expect_err("in use");
    assert!(matches!(refused, Error::InUse { .. }) && refused.is_retryable(), "{refused}");
    let kms = First.kms().expect("a service");
    let refused = SqliteStore::rewrap(&state, &agent(1), &kms).await.expect_err("in use");
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    check(&store);
}
