//! Three agents, each with its state in a directory, and the post office between them.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use sealwire::{
    Agent, AllowAnyAuthenticated, Event,
    core::{KeyStore, MemoryKeyStore, secret::Secret},
    identity::AgentId,
    store::{Error, FileAnchor, Options, SqliteStore, StateKey},
};
use sealwire_testkit::rng::SeededRng;
use tokio::runtime::{Builder, Runtime};

use crate::office::Office;

/// Names the world to a process that this test binary starts of itself.
const HOME: &str = "SEALWIRE_TEST_WORLD";
/// What that process writes begins with this.
const RUN: &str = "SEALWIRE_TEST_RUN";

pub(crate) struct World {
    pub(crate) home: PathBuf,
    anchored: bool,
}

impl World {
    pub(crate) fn at(home: &Path) -> Self {
        Self { home: home.to_owned(), anchored: true }
    }

    /// Without anchors: a commit flushes a fourth as often.
    pub(crate) fn unanchored(self) -> Self {
        Self { anchored: false, ..self }
    }

    pub(crate) fn office(&self) -> Office {
        Office::new(&self.home.join("office"))
    }

    /// The store of this agent, with its anchor elsewhere, if any.
    pub(crate) fn store(&self, name: &str) -> Result<SqliteStore, Error> {
        let state = self.home.join(name).join("state");
        let key = StateKey::from_secret(Secret::init_with(|bytes| bytes.fill(7)));
        let mut options = Options::new();
        if self.anchored {
            let anchor = self.home.join(name).join("elsewhere/anchor");
            options = options.anchor(Arc::new(FileAnchor::new(anchor, &state)?));
        }
        SqliteStore::open_with_key(&state, &key, options)
    }

    /// Starts this agent.
    pub(crate) fn agent(&self, name: &str) -> Result<Agent, Error> {
        Ok(self.agent_on(name, self.store(name)?))
    }

    pub(crate) fn agent_on(&self, name: &str, store: SqliteStore) -> Agent {
        let builder = Agent::builder(keys(name)).store(Arc::new(store));
        let builder = builder.delivery(Arc::new(self.office())).inbound(AllowAnyAuthenticated);
        builder.build().expect("an agent")
    }

    /// All have published prekeys, and Bob has written to Alice, who has not yet read it.
    pub(crate) fn begin(self) -> Self {
        runtime().block_on(async {
            for name in ["alice", "bob", "carol"] {
                let agent = self.agent(name).expect("starts");
                agent.publish_prekeys().await.expect("published");
            }
            let bob = self.agent("bob").expect("starts");
            for payload in FROM_BOB {
                bob.send(&id("alice"), payload.as_bytes()).await.expect("sent");
            }
            bob.sync().await.expect("delivered");
        });
        self
    }

    /// Another one in the same state.
    pub(crate) fn copy(&self, to: &Path) -> Self {
        copy(&self.home, to);
        Self::at(to)
    }

    /// A process that runs this test with this world.
    pub(crate) fn child(&self, program: &mut Command, test: &str, run: &str) {
        program.arg(env::current_exe().expect("this test"));
        program.args([test, "--exact", "--nocapture", "--test-threads=1"]);
        program.env(HOME, &self.home).env(RUN, run).env_remove("SEALWIRE_STRACE");
    }

    /// The world and the name of the run that this process was started with.
    pub(crate) fn of_child() -> Option<(Self, String)> {
        Some((Self::at(Path::new(&env::var_os(HOME)?)), env::var(RUN).expect("named")))
    }

    /// Has this agent read all that was sent to it, and gives it in order. Nothing that reached
    /// it was sealed under a key that it had used already: that would not open.
    pub(crate) async fn read(&self, name: &str, what: &str) -> Vec<String> {
        let agent = self.agent(name).unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut found = Vec::new();
        loop {
            let events = agent.sync().await.unwrap_or_else(|error| panic!("{what}: {error}"));
            let lost = |event: &Event| {
                matches!(
                    event,
                    Event::Discarded { .. } | Event::Wedged { .. } | Event::Denied { .. }
                )
            };
            assert!(!events.iter().any(lost), "{what}: {name} could not read all: {events:?}");
            let before = found.len();
            handle(&agent, |payload, acked| {
                if acked {
                    found.push(payload.to_owned())
                }
            })
            .await;
            if found.len() == before {
                return found;
            }
        }
    }

    /// Every frame that ever left is of a message of its own.
    pub(crate) fn check_wire(&self, what: &str) {
        let wire = self.office().wire();
        let messages: BTreeSet<_> = wire.iter().map(|(message, _)| message).collect();
        assert_eq!(messages.len(), wire.len(), "{what}: a message left as two frames");
    }
}

/// What Alice finds in her mailbox.
pub(crate) const FROM_BOB: [&str; 2] = ["from bob 0", "from bob 1"];

pub(crate) fn keys(name: &str) -> Arc<MemoryKeyStore> {
    let seed = name.bytes().map(u64::from).sum();
    Arc::new(MemoryKeyStore::generate(&mut SeededRng::new(seed)).expect("keys"))
}

pub(crate) fn id(name: &str) -> AgentId {
    AgentId::from_key(keys(name).identity())
}

/// One thread beside the one that waits: the system calls of a process have one order.
/// Nothing waits for sockets: a wake that is a system call could be what fails.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .max_blocking_threads(1)
        .thread_keep_alive(std::time::Duration::from_secs(600))
        .enable_time()
        .build()
        .expect("a runtime")
}

/// Handles all that is in the inbox: says so before it is acknowledged, and after.
pub(crate) async fn handle(agent: &Agent, mut say: impl FnMut(&str, bool)) {
    let inbox = agent.inbox().expect("an inbox");
    while let Some(message) = inbox.next().await.expect("reads") {
        let payload = String::from_utf8(message.payload().to_vec()).expect("text");
        say(&payload, false);
        inbox.ack(&message).await.expect("stored");
        say(&payload, true);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("known").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}
