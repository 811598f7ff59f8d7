//! Any operations of three owners, beside a model of what a store is.

mod expected;

use std::collections::BTreeSet;

use proptest::prelude::*;
use sealwire_core::Timestamp;

use self::expected::{Model, Seen};
use super::fixtures::*;
use crate::{
    store::{Deposit, MemoryStore, Store, StoreError},
    wire::{Kind, NewMailbox, Revoke},
};

/// Devices, and mailboxes: two of each owner.
const DEVICES: u8 = 3;
const BOXES: u64 = 6;

#[derive(Clone, Debug)]
enum Op {
    Publish {
        of: u8,
        sequence: u64,
        bundle: u8,
        contact: bool,
    },
    Page {
        of: u8,
        kind: Kind,
        base: u32,
        count: u32,
        life: u64,
    },
    Claim {
        of: u8,
        by: u32,
        nonce: u64,
    },
    Remaining {
        of: u8,
    },
    Published {
        of: u8,
    },
    Create {
        of: u64,
        send: u64,
        lifetime: u64,
    },
    Close {
        of: u64,
    },
    Revoke {
        of: u64,
        tokens: Vec<u64>,
        secret: Option<u8>,
    },
    Entrance {
        of: u64,
    },
    Append {
        all: Vec<(u64, u64, u64)>,
    },
    Fetch {
        of: u64,
        after: u64,
        limit: u32,
    },
    Ack {
        of: u64,
        sequences: Vec<u64>,
    },
    Spend {
        signer: u32,
        nonce: u64,
    },
    Pass {
        seconds: u64,
    },
    Sweep {
        limit: u32,
    },
    Restart,
    Crash,
    /// The disk is full when the next operation is stored.
    Full,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::X25519), Just(Kind::MlKem)]
}

fn op() -> impl Strategy<Value = Op> {
    let device = 0..DEVICES;
    let of = 0..BOXES;
    prop_oneof![
        2 => (device.clone(), 1_u64..4, 1_u8..3, any::<bool>())
            .prop_map(|(of, sequence, bundle, contact)| {
                Op::Publish { of, sequence, bundle, contact }
            }),
        3 => (device.clone(), kind(), 1_u32..4, 1_u32..4, prop_oneof![Just(50), Just(10 * DAY)])
            .prop_map(|(of, kind, page, count, life)| {
                Op::Page { of, kind, base: page * 10, count, life }
            }),
        5 => (device.clone(), 0_u32..2, 0_u64..6)
            .prop_map(|(of, by, nonce)| Op::Claim { of, by, nonce }),
        1 => device.clone().prop_map(|of| Op::Remaining { of }),
        1 => device.prop_map(|of| Op::Published { of }),
        3 => (of.clone(), of.clone(), prop_oneof![Just(100), Just(LIFETIME)])
            .prop_map(|(of, send, lifetime)| Op::Create { of, send, lifetime }),
        6 => of.clone().prop_map(|of| Op::Create { of, send: of, lifetime: LIFETIME }),
        1 => of.clone().prop_map(|of| Op::Close { of }),
        1 => (of.clone(), prop::collection::vec(0_u64..4, 0..3), prop::option::of(1_u8..4))
            .prop_map(|(of, tokens, secret)| Op::Revoke { of, tokens, secret }),
        1 => of.clone().prop_map(|of| Op::Entrance { of }),
        12 => prop::collection::vec((of.clone(), 0_u64..12, 0_u64..2), 1..8)
            .prop_map(|all| Op::Append { all }),
        6 => (of.clone(), 0_u64..6, 0_u32..4)
            .prop_map(|(of, after, limit)| Op::Fetch { of, after, limit }),
        6 => (of, prop::collection::vec(0_u64..12, 0..6))
            .prop_map(|(of, sequences)| Op::Ack { of, sequences }),
        2 => (0_u32..2, 0_u64..4).prop_map(|(signer, nonce)| Op::Spend { signer, nonce }),
        3 => prop_oneof![Just(1), Just(50), Just(100), Just(DAY), Just(LIFETIME), Just(61 * DAY)]
            .prop_map(|seconds| Op::Pass { seconds }),
        2 => (1_u32..5).prop_map(|limit| Op::Sweep { limit }),
        2 => Just(Op::Restart),
        2 => Just(Op::Crash),
        6 => Just(Op::Full),
    ]
}

/// What is done to a store, and what it answered.
async fn run(store: &dyn Store, now: Timestamp, op: &Op) -> Result<Seen, StoreError> {
    Ok(match op {
        Op::Publish { of, sequence, bundle, contact } => {
            let (mut publish, check) = publication(*sequence, *bundle);
            publish.contact = contact.then(|| send(u64::from(*of)));
            let until = now.plus(20 * DAY);
            Seen::Outcome(store.publish(&device(*of), &publish, &check, until).await?)
        }
        Op::Page { of, kind, base, count, life } => {
            let page = owned_page(*of, *kind, *base, *count, now.plus(*life));
            Seen::Outcome(store.add_page(now, &device(*of), *kind, *base, &page).await?)
        }
        Op::Claim { of, by, nonce: number } => {
            let taken = store.claim(now, &caller(*by), &device(*of), &nonce(*number)).await?;
            Seen::Taken(taken.map(|taken| (keys(&taken), taken.remaining, taken.contact)))
        }
        Op::Remaining { of } => Seen::Remaining(store.remaining(now, &device(*of)).await?),
        Op::Published { of } => {
            let published = store.published(&device(*of)).await?;
            let check = store.check(&device(*of)).await?;
            Seen::Published(published.zip(check))
        }
        Op::Create { of, send: number, lifetime } => {
            let new = NewMailbox {
                send: send(*number),
                lifetime: *lifetime,
                per_token: 3,
                ..mailbox(*of)
            };
            Seen::Outcome(store.create(now, &receive(*of), &new).await?)
        }
        Op::Close { of } => Seen::Was(store.close(&receive(*of)).await?),
        Op::Revoke { of, tokens, secret: new } => {
            let tokens = tokens.iter().map(|number| token(*number)).collect();
            let revoke = Revoke { tokens, secret: new.map(secret) };
            Seen::Outcome(store.revoke(&receive(*of), &revoke).await?)
        }
        Op::Entrance { of } => {
            let entrance = store.entrance(&send(*of)).await?;
            Seen::Entrance(
                entrance.map(|entrance| {
                    (entrance.mailbox, *entrance.secret.expose(), entrance.revoked)
                }),
            )
        }
        Op::Append { all } => {
            let all = all.iter().map(|(of, id, by)| Deposit {
                token: token(*by),
                frame: frame(*of, *id),
                ..deposit(*of, *id)
            });
            Seen::Appended(store.append(now, &all.collect::<Vec<_>>()).await?)
        }
        Op::Fetch { of, after, limit } => {
            let found = store.fetch(now, &receive(*of), *after, *limit).await?;
            Seen::Fetched(found.map(|(messages, more)| {
                let message = |found: crate::wire::Message| (found.sequence, found.id, found.frame);
                (messages.into_iter().map(message).collect(), more)
            }))
        }
        Op::Ack { of, sequences } => Seen::Acked(store.ack(now, &receive(*of), sequences).await?),
        Op::Spend { signer, nonce: number } => {
            Seen::Was(store.spend(&caller(*signer), &nonce(*number), now.plus(120)).await?)
        }
        Op::Sweep { limit } => {
            while store.sweep(now, *limit).await? {}
            let usage = store.usage().await?;
            Seen::Usage(usage.devices, usage.mailboxes, usage.messages)
        }
        Op::Pass { .. } | Op::Restart | Op::Crash | Op::Full => Seen::Nothing,
    })
}

/// The owner of what an operation asks of, if it is of one.
fn owner(op: &Op) -> Option<u64> {
    match op {
        Op::Claim { of, .. } => Some(u64::from(*of)),
        Op::Fetch { of, .. } => Some(of % 3),
        _ => None,
    }
}

/// What befalls a store.
trait Fate<S> {
    /// The store anew, or as it is after a crash.
    fn restart(&mut self, store: S, crash: bool) -> S;

    /// Whether the disk is full when something is stored next; says whether it still was.
    fn fill(&self, store: &S, full: bool) -> bool;
}

/// Runs operations on a store and on the model.
async fn schedule<S: Store>(mut store: S, ops: &[Op], mut fate: impl Fate<S>) {
    let (mut model, mut now) = (Model::default(), at(0));
    for (step, op) in ops.iter().enumerate() {
        match op {
            Op::Pass { seconds } => now = now.plus(*seconds),
            Op::Restart => store = fate.restart(store, false),
            Op::Crash => store = fate.restart(store, true),
            Op::Full => drop(fate.fill(&store, true)),
            _ => {}
        }
        let seen = match run(&store, now, op).await {
            Ok(seen) => seen,
            // Nothing has changed, as the model goes on to say.
            Err(StoreError::Full) if !fate.fill(&store, false) => continue,
            Err(error) => panic!("{step}: {op:?}: {error}"),
        };
        // attack T40: whatever else is there, an owner sees its own.
        if let Some(owner) = owner(op) {
            let owners: BTreeSet<u64> = seen.owners().collect();
            assert!(owners.is_empty() || owners == [owner].into(), "{step}: {op:?}: {owners:?}");
        }
        assert_eq!(seen, model.run(now, op), "{step}: {op:?} in {ops:?}");
    }
}

fn drive(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future);
}

/// How many schedules: more when there is time, which `SEALWIRE_LONG=1` asks for.
fn cases(few: u32) -> ProptestConfig {
    let long = std::env::var_os("SEALWIRE_LONG").is_some_and(|value| value == "1");
    ProptestConfig { cases: if long { 100 * few } else { few }, ..ProptestConfig::default() }
}

fn schedules() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 1..80)
}

proptest! {
    #![proptest_config(cases(256))]

    // attack T40
    #[test]
    fn the_store_in_memory_is_the_model(ops in schedules()) {
        drive(schedule(MemoryStore::new(), &ops, Quiet));
    }
}

/// Nothing befalls memory.
struct Quiet;

impl Fate<MemoryStore> for Quiet {
    fn restart(&mut self, store: MemoryStore, _: bool) -> MemoryStore {
        store
    }

    fn fill(&self, _: &MemoryStore, _: bool) -> bool {
        false
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use core::sync::atomic::Ordering;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::store::SqliteStore;

    /// A directory for each life.
    struct Disk {
        home: tempfile::TempDir,
        lives: u32,
        open: fn(&Path) -> Result<SqliteStore, StoreError>,
    }

    impl Disk {
        fn path(&self) -> PathBuf {
            self.home.path().join(self.lives.to_string())
        }
    }

    impl Fate<SqliteStore> for Disk {
        fn restart(&mut self, store: SqliteStore, crash: bool) -> SqliteStore {
            if crash {
                // What a process leaves that is killed: nothing of it is closed.
                let from = self.path();
                self.lives += 1;
                copy(&from, &self.path());
            }
            drop(store);
            (self.open)(&self.path()).expect("opens")
        }

        fn fill(&self, store: &SqliteStore, full: bool) -> bool {
            store.fault.swap(full, Ordering::Relaxed)
        }
    }

    fn run(ops: &[Op], open: fn(&Path) -> Result<SqliteStore, StoreError>) {
        let disk = Disk { home: tempfile::tempdir().expect("a directory"), lives: 0, open };
        drive(schedule(open(&disk.path()).expect("opens"), ops, disk));
    }

    /// By another process: closing a database's file would end the locks of this one.
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir(to).expect("a directory");
        for name in ["relay.db", "relay.db-wal", "epoch"] {
            let mut cp = std::process::Command::new("cp");
            let copied = cp.args([from.join(name), to.join(name)]).status();
            assert!(copied.expect("cp").success(), "{name}");
        }
    }

    #[test]
    fn a_sweep_that_a_full_disk_undid_passes_over_nothing() {
        let mut ops = Vec::new();
        for of in [0, 3] {
            ops.push(Op::Create { of, send: of, lifetime: 100 });
            ops.push(Op::Append { all: vec![(of, of, 0)] });
        }
        // A restart writes the rows that a sweep goes through, one in each step.
        ops.push(Op::Restart);
        ops.push(Op::Pass { seconds: 100 });
        ops.push(Op::Full);
        ops.push(Op::Sweep { limit: 1 });
        run(&ops, |path| SqliteStore::open(path));
    }

    proptest! {
        #![proptest_config(cases(24))]

        // attack T26, T39, T40
        #[test]
        fn the_store_in_sqlite_is_the_model(ops in schedules()) {
            run(&ops, |path| SqliteStore::open(path));
        }

        // attack T26, T39, T40
        #[test]
        fn the_store_in_sqlite_is_the_model_in_a_hurry(ops in schedules()) {
            run(&ops, SqliteStore::open_hurried);
        }
    }
}

/// A page whose keys say whose they are.
fn owned_page(
    of: u8,
    kind: Kind,
    base: u32,
    count: u32,
    not_after: Timestamp,
) -> crate::wire::Page {
    let keys = (base..base + count).map(|id| owned_key(of, kind, id)).collect();
    crate::wire::Page { not_after, header: vec![of], keys }
}

fn owned_key(of: u8, kind: Kind, id: u32) -> Vec<u8> {
    [&[of], &key(kind, id)[..]].concat()
}

/// A frame that says whose it is.
fn frame(of: u64, id: u64) -> Vec<u8> {
    vec![(of % 3) as u8, of as u8, id as u8]
}
