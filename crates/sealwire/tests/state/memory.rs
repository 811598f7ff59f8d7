//! No share of a state key, no state key and no key of the rows stays in memory once it is of no
//! use.
//!
//! A child process opens a state that a key service guards, has its key wrapped anew, has it
//! guarded by another service, and by none, and stops at the places below. This process reads the
//! same files, derives every key by itself, and looks for each in the child's memory.

use std::{fs, path::Path, sync::Arc, task};

use sealwire::{
    Effects,
    core::{
        KeyStore, MemoryKeyStore, kdf,
        kem::KemCiphertext,
        keys::X25519Public,
        keystore::{KeySeeds, KeyUse},
        label::Label,
        secret::Secret,
    },
    envelope::{
        Dek, ObjectId, WrapBinding,
        kms::Kms,
        local::{LocalKek, LocalKeys},
    },
    hybrid::{CIPHERTEXT_LEN, OVERHEAD, Recipient, StoredKey, XWingCiphertext, open_from},
    store::{Options, SqliteStore, StateKey, Store, Table, Value, WrappedStateKey},
};
use sealwire_testkit::memory::{self, Child, Drawn, Fates};

use crate::common::key;

/// Where the child stops, in this order.
const PLACES: [&str; 17] = [
    "keys",
    "drawn",
    "shares",
    "state key",
    "state key dropped",
    "wrapped anew",
    "sealed alone",
    "open",
    "used",
    "closed",
    "rewrapped",
    "changed",
    "open again",
    "given up",
    "open alone",
    "dropped",
    "leaked",
];

/// Seeds of what is drawn: the agent's keys, those of two key services, and what is stored.
const AGENT: u64 = 1;
const FIRST: u64 = 2;
const SECOND: u64 = 3;
const VALUE: u64 = 4;
const DRAWN: u64 = 5;
const ALONE: u64 = 6;

type Kek = LocalKek<Drawn>;

fn agent() -> MemoryKeyStore {
    let seeds = KeySeeds::generate(&mut Drawn::new(AGENT)).expect("randomness");
    MemoryKeyStore::from_seeds(&seeds).expect("keys")
}

fn kek(name: &str, seed: u64, versions: usize) -> Kek {
    let mut draws = Drawn::new(seed);
    let mut keys = LocalKeys::generate(name, &mut draws).expect("a key");
    for _ in 1..versions {
        keys.rotate(&mut draws).expect("a version");
    }
    LocalKek::new(Arc::new(keys), Drawn::new(100 + seed))
}

/// A local key is at hand: nothing here waits.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut context = task::Context::from_waker(task::Waker::noop());
    let value = match std::pin::pin!(future).poll(&mut context) {
        task::Poll::Ready(value) => Some(value),
        task::Poll::Pending => None,
    };
    value.expect("a local key is at hand")
}

fn file(state: &Path) -> Vec<u8> {
    fs::read(state.join("state.key")).expect("there")
}

/// The parts of the file of a wrapped key: what the share of the agent is bound to, and that share,
/// sealed. STA-19
fn parts(file: &[u8]) -> (&[u8], &[u8]) {
    let (bound, rest) = file.split_at(8 + 1 + 32 + 16 + 4);
    (bound, &rest[..32 + OVERHEAD])
}

/// Both shares. STA-20
fn shares(keys: &MemoryKeyStore, kms: &Kek, file: &[u8]) -> (Secret<32>, Dek) {
    let (bound, sealed) = parts(file);
    let info = Label::STATE_WRAPPED_SEAL.context(None, &[]).expect("short");
    let recipient = StoredKey::new(keys, keys.newest()).expect("a set");
    let own = open_from(&recipient, &info, bound, sealed).expect("opens");
    let header = &bound[..8 + 1 + 32 + 16];
    let id = ObjectId::from_bytes(header[41..].try_into().expect("16 bytes"));
    let binding = WrapBinding::new(id, "sealwire/v1/state", header).expect("short");
    let read = WrappedStateKey::read(keys, file).expect("its own");
    let service = kms.unwrap_now(read.wrapped(), &binding).expect("opens");
    (Secret::from_slice(&own).expect("32 bytes"), service)
}

/// A state key that is drawn, sealed to the agent, and opened.
fn seal_alone(keys: &MemoryKeyStore) -> Vec<u8> {
    let draws = &mut Drawn::new(ALONE);
    let key = StateKey::generate(draws).expect("randomness");
    let sealed = key.seal(keys, draws).expect("sealed");
    assert!(StateKey::open(keys, &sealed).expect("opens") == key);
    sealed
}

/// What the child does.
fn play(state: &Path) {
    let keys = agent();
    let kms = kek("first", FIRST, 1);
    memory::stop("keys");
    let drawn = wait(WrappedStateKey::generate(&keys, &kms, &mut Drawn::new(DRAWN)));
    drop(drawn.expect("made"));
    memory::stop("drawn");
    let both = shares(&keys, &kms, &file(state));
    memory::stop("shares");
    drop(both);
    let wrapped = WrappedStateKey::read(&keys, &file(state)).expect("its own");
    let state_key = wait(wrapped.open(&keys, &kms)).expect("opens");
    memory::stop("state key");
    drop(state_key);
    memory::stop("state key dropped");
    drop(wait(wrapped.rewrap(&keys, &kms, &mut Drawn::new(DRAWN))).expect("wrapped"));
    memory::stop("wrapped anew");
    seal_alone(&keys);
    memory::stop("sealed alone");
    let open = |kms: &Kek| wait(SqliteStore::open_wrapped(state, &keys, kms, Options::new()));
    let store = open(&kms).expect("opens");
    memory::stop("open");
    let mut effects = Effects::new();
    let value = Value::new(Drawn::new(VALUE).block());
    effects.put(Table::Session, key("name"), value).expect("within the bounds");
    drop(store.commit(effects).expect("stored"));
    let value = store.get(Table::Session, &key("name")).expect("reads");
    memory::stop("used");
    drop((store, value));
    memory::stop("closed");

    drop(kms);
    let kms = kek("first", FIRST, 2);
    wait(SqliteStore::rewrap(state, &keys, &kms)).expect("rewrapped");
    memory::stop("rewrapped");
    let other = kek("second", SECOND, 1);
    let change = |from: &Kek, to: Option<&Kek>| {
        let to = to.map(|kms| kms as &dyn Kms);
        wait(SqliteStore::change_kms(state, &keys, Some(from), to, Options::new()))
    };
    change(&kms, Some(&other)).expect("changed");
    memory::stop("changed");
    let store = open(&other).expect("opens");
    memory::stop("open again");
    drop(store);
    change(&other, None).expect("given up");
    memory::stop("given up");
    let store = SqliteStore::open(state, &keys, Options::new()).expect("opens");
    memory::stop("open alone");
    drop((store, keys, kms, other));
    memory::stop("dropped");
}

/// The child.
#[test]
fn child() {
    let Some(state) = memory::argument() else { return };
    play(Path::new(&state));
    // The control: this is found, so what is not found is not there.
    let leaked = Drawn::new(VALUE).block();
    memory::stop("leaked");
    drop(std::hint::black_box(leaked));
}

/// The keys of one file, and where they are held.
struct Keys<'a> {
    fates: &'a mut Fates,
    agent: MemoryKeyStore,
    /// The name of the store, which its keys are bound to.
    store: [u8; 16],
}

type Held = &'static [&'static str];

impl Keys<'_> {
    /// Both shares, the state key, and what is made of it.
    fn wrapped(&mut self, name: &str, kms: &Kek, file: &[u8], held: [Held; 3]) {
        let (own, service) = shares(&self.agent, kms, file);
        let [at_shares, at_key, at_rows] = held;
        self.fates.held(format!("the agent's share of {name}"), own.expose(), at_shares);
        self.fates.held(format!("the service's share of {name}"), service.expose(), at_shares);
        let (bound, sealed) = parts(file);
        self.seal(name, sealed);
        // STA-20
        let (identity, id) = bound[9..57].split_at(32);
        let info = Label::STATE_WRAPPED_KEY.context(None, &[identity, id]).expect("short");
        let prk = kdf::extract(id, &[&own.expose()[..], service.expose()].concat());
        self.fates.passing(format!("what {name} is made of"), prk.expose());
        let key = kdf::expand(&prk, info.as_bytes());
        let read = WrappedStateKey::read(&self.agent, file).expect("its own");
        let opened = wait(read.open(&self.agent, kms)).expect("opens");
        let same = StateKey::from_secret(Secret::from_slice(key.expose()).expect("as long"));
        assert!(opened == same, "{name}");
        self.rows(name, &key, [at_key, at_rows]);
    }

    /// A state key that the agent's keys alone guard. STA-7
    fn alone(&mut self, name: &str, file: &[u8], held: [Held; 2]) {
        let (bound, rest) = file.split_at(8 + 1 + 32 + 4);
        let sealed = &rest[..32 + OVERHEAD];
        self.seal(name, sealed);
        let info = Label::STATE_KEY_SEAL.context(None, &[]).expect("short");
        let recipient = StoredKey::new(&self.agent, self.agent.newest()).expect("a set");
        let key = open_from(&recipient, &info, bound, sealed).expect("opens");
        self.rows(name, &Secret::from_slice(&key).expect("32 bytes"), held);
    }

    /// What a share or a key was sealed under, at the end of the agent.
    fn seal(&mut self, name: &str, sealed: &[u8]) {
        let (agent, kx) = (&self.agent, self.agent.newest());
        let (ct_m, ct_x) = sealed[..CIPHERTEXT_LEN].split_at(CIPHERTEXT_LEN - 32);
        let ct_m = KemCiphertext::from_bytes(ct_m).expect("long enough");
        let ct_x = X25519Public::from_bytes(ct_x).expect("a key");
        let secrets = [
            agent.decapsulate(kx, KeyUse::Envelope, &ct_m),
            agent.agree(kx, KeyUse::Envelope, &ct_x),
            StoredKey::new(agent, kx).and_then(|key| {
                key.decapsulate(&XWingCiphertext::from_bytes(&sealed[..CIPHERTEXT_LEN])?)
            }),
        ];
        for (kind, secret) in ["ML-KEM", "X25519", "X-Wing"].into_iter().zip(secrets) {
            let secret = secret.expect("agreed");
            self.fates.passing(format!("the {kind} secret of {name}"), secret.expose());
        }
    }

    /// A state key, and the keys of a store under it. STA-9
    fn rows(&mut self, name: &str, key: &Secret<32>, [at_key, at_rows]: [Held; 2]) {
        self.fates.held(name, key.expose(), at_key);
        let prk = kdf::extract(&self.store, key.expose());
        self.fates.passing(format!("what the keys under {name} are made of"), prk.expose());
        for (kind, label) in [
            ("row", Label::STATE_ROW_KEY),
            ("sum", Label::STATE_SUM_KEY),
            ("generation", Label::STATE_GENERATION_KEY),
        ] {
            let info = label.context(None, &[&self.store]).expect("short");
            let key = kdf::expand::<32>(&prk, info.as_bytes());
            self.fates.held(format!("the {kind} key under {name}"), key.expose(), at_rows);
        }
    }
}

/// A new state, and the name of its store.
fn make(state: &Path) -> [u8; 16] {
    let (keys, kms) = (agent(), kek("first", FIRST, 1));
    let made = SqliteStore::open_wrapped(state, &keys, &kms, Options::new());
    drop(wait(made).expect("made"));
    let database = rusqlite::Connection::open(state.join("state.db")).expect("opens");
    let sql = "SELECT value FROM description WHERE name = 'store'";
    database.query_row(sql, [], |row| row.get(0)).expect("there")
}

// attack T35
#[test]
fn a_state_leaves_nothing_of_its_key() {
    let home = tempfile::tempdir().expect("a directory");
    let state = home.path().join("state");
    let store = make(&state);
    let mut fates = Fates::default();
    let value = Drawn::new(VALUE).block();
    fates.held("what is stored", &value, &["used", "leaked"]);
    for (name, seed, held) in [("first", FIRST, &PLACES[..15]), ("second", SECOND, &PLACES[11..15])]
    {
        fates.held(format!("the key of the {name} service"), &Drawn::new(seed).block(), held);
    }
    let mut keys = Keys { fates: &mut fates, agent: agent(), store };
    let held: [Held; 3] = [&["shares"], &["state key"], &["open", "used"]];
    let kms = kek("first", FIRST, 1);
    keys.wrapped("the first key", &kms, &file(&state), held);
    let drawn = wait(WrappedStateKey::generate(&agent(), &kms, &mut Drawn::new(DRAWN)));
    keys.wrapped("a drawn key", &kms, drawn.expect("made").1.as_bytes(), [&[]; 3]);
    keys.alone("a key without a service", &seal_alone(&agent()), [&[]; 2]);

    let mut child = Child::start("memory::child", state.to_str().expect("text"));
    let mut wrong = Vec::new();
    for place in PLACES {
        let differing = child.at(place, |child| {
            let mut keys = Keys { fates: &mut fates, agent: agent(), store };
            let file = file(&state);
            match place {
                "changed" => {
                    let held: [Held; 3] = [&[], &[], &["open again"]];
                    keys.wrapped("the second key", &kek("second", SECOND, 1), &file, held);
                }
                "given up" => keys.alone("the third key", &file, [&[], &["open alone"]]),
                _ => {}
            }
            fates.differing(child, place)
        });
        wrong.extend(differing);
    }
    child.end();
    assert!(wrong.is_empty(), "of {} secrets:\n{}", fates.count(), wrong.join("\n"));
}
