//! Nonces, over many operations.

use std::{collections::HashSet, sync::Arc};

use sealwire::{
    Agent, AllowAnyAuthenticated, Effects,
    core::secret::Secret,
    delivery::{InProcess, Seen},
    store::{MemoryStore, Options, RowKey, SqliteStore, StateKey, Store, Table, Value},
};

use crate::world::{handle, keys, runtime};

const OPERATIONS: usize = 10_000;
/// After so many the agents start anew from what they have stored.
const RESTART: usize = 1000;
/// After so many the other one writes.
const TURN: usize = 20;

fn start(name: &str, store: &Arc<MemoryStore>, office: &Arc<InProcess>) -> Agent {
    let (store, office) = (Arc::<MemoryStore>::clone(store), Arc::<InProcess>::clone(office));
    let builder = Agent::builder(keys(name)).store(store).delivery(office);
    builder.inbound(AllowAnyAuthenticated).build().expect("an agent")
}

// attack T2
// That each frame opens says that it has a message key of its own: one that was used is gone.
#[test]
fn no_nonce_comes_twice_in_10_000_operations() {
    let office = Arc::new(InProcess::new().recording());
    let stores = [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())];
    let names = ["alice", "bob"];
    runtime().block_on(async {
        let mut read = 0;
        for round in 0..OPERATIONS / RESTART {
            let agents = [0, 1].map(|at: usize| start(names[at], &stores[at], &office));
            for agent in &agents {
                agent.publish_prekeys().await.expect("published");
            }
            for turn in 0..RESTART / TURN {
                let from = (round + turn) % 2;
                let (from, to) = (&agents[from], &agents[1 - from]);
                for number in 0..TURN {
                    from.send(to.id(), format!("{turn} {number}").as_bytes()).await.expect("sent");
                }
                from.sync().await.expect("delivers");
                to.sync().await.expect("fetches");
                handle(to, |_, acked| read += usize::from(acked)).await;
            }
        }
        assert_eq!(read, OPERATIONS, "every message has opened, and once");
    });
    let mut nonces = HashSet::new();
    let mut frames = 0;
    for seen in office.seen() {
        let Seen::Deposited { frame, .. } = seen else { continue };
        frames += 1;
        // Frames with a prefix begin otherwise: their nonce is behind it, and few of them are.
        if frame[1] == MESSAGE {
            assert!(nonces.insert(<[u8; 24]>::try_from(&frame[2..26]).expect("24 bytes")));
        }
    }
    assert_eq!(frames, OPERATIONS);
    assert!(nonces.len() >= OPERATIONS - TURN, "{}", nonces.len());
}

/// The type of a ratchet message, behind its version.
pub(crate) const MESSAGE: u8 = 2;

// attack T2
// STA-10
#[test]
fn no_row_of_10_000_has_the_nonce_of_another() {
    let home = tempfile::tempdir().expect("directory");
    let key = StateKey::from_secret(Secret::init_with(|bytes| bytes.fill(7)));
    for batch in 0..OPERATIONS / RESTART {
        let store = SqliteStore::open_with_key(home.path(), &key, Options::new()).expect("opens");
        let mut effects = Effects::new();
        for number in 0..RESTART {
            let row = RowKey::new(format!("{batch} {number}").as_bytes()).expect("a key");
            effects.put(Table::Outbox, row, Value::new(b"same".to_vec())).expect("short");
        }
        let _ = store.commit(effects).expect("stored");
    }
    let database = rusqlite::Connection::open(home.path().join("state.db")).expect("opens");
    for column in ["nonce", "substr(nonce, 1, 16)", "revision"] {
        let sql = format!("SELECT count(DISTINCT {column}) FROM row");
        let distinct: i64 = database.query_row(&sql, [], |row| row.get(0)).expect("reads");
        assert_eq!(usize::try_from(distinct), Ok(OPERATIONS), "{column}");
    }
}
