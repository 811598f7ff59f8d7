//! Agents with fixed keys, and a store that can fail.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sealwire::{
    Agent, AgentBuilder, AllowAnyAuthenticated, Clock, Committed, Effects, Error, Event, Peers,
    core::{KeyStore, MemoryKeyStore},
    identity::NewCard,
    store::{Error as StoreError, MemoryStore, Range, Row, RowKey, Status, Store, Table, Value},
};

pub(crate) use super::super::common::{DAY, HOUR, NOW, TestClock, keys};
use super::relay::Relay;

/// A store in memory that outlives its agent, and fails when told to.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    rows: MemoryStore,
    /// Commits that still succeed, plus one; 0 for all of them.
    left: AtomicUsize,
    pub(crate) commits: AtomicUsize,
}

impl Disk {
    /// After so many commits more, every one fails until [`Disk::heal`].
    pub(crate) fn fail_after(&self, commits: usize) {
        self.left.store(commits + 1, Ordering::SeqCst);
    }

    pub(crate) fn heal(&self) {
        self.left.store(0, Ordering::SeqCst);
    }

    /// Whether commits may fail.
    pub(crate) fn is_failing(&self) -> bool {
        self.left.load(Ordering::SeqCst) != 0
    }

    /// Puts rows there that another one had.
    pub(crate) fn restore(&self, rows: &[(Table, RowKey, Vec<u8>)]) {
        let mut effects = Effects::new();
        for (table, key, value) in rows {
            effects.put(*table, key.clone(), Value::new(value.clone())).expect("a row");
        }
        let _ = self.rows.commit(effects).expect("commit");
    }

    /// Puts a row there, as another release stored it.
    pub(crate) fn put(&self, table: Table, key: &[u8], value: Vec<u8>) {
        let mut effects = Effects::new();
        let key = RowKey::new(key).expect("a key");
        effects.put(table, key, Value::new(value)).expect("a row");
        let _ = self.rows.commit(effects).expect("commit");
    }

    /// All that is stored.
    pub(crate) fn dump(&self) -> Vec<(Table, RowKey, Vec<u8>)> {
        let mut all = Vec::new();
        for table in Table::ALL {
            all.extend(self.table(table).into_iter().map(|(key, value)| (table, key, value)));
        }
        all
    }

    pub(crate) fn table(&self, table: Table) -> Vec<(RowKey, Vec<u8>)> {
        let mut rows = Vec::new();
        let mut last: Option<RowKey> = None;
        loop {
            let range = last.as_ref().map_or(Range::all(), |last| Range::all().after(last));
            let page = self.rows.scan(table, range).expect("scan");
            let Some(end) = page.last() else { return rows };
            last = Some(end.key.clone());
            rows.extend(page.into_iter().map(|row| (row.key, row.value.to_vec())));
        }
    }
}

impl Store for Disk {
    fn commit(&self, effects: Effects) -> Result<Committed, StoreError> {
        match self.left.load(Ordering::SeqCst) {
            0 => {}
            1 => return Err(StoreError::Poisoned),
            left => self.left.store(left - 1, Ordering::SeqCst),
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.rows.commit(effects)
    }

    fn get(&self, table: Table, key: &RowKey) -> Result<Option<Value>, StoreError> {
        self.rows.get(table, key)
    }

    fn scan(&self, table: Table, range: Range<'_>) -> Result<Vec<Row>, StoreError> {
        self.rows.scan(table, range)
    }

    fn status(&self) -> Result<Status, StoreError> {
        self.rows.status()
    }
}

/// An agent's place: what outlives its process.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) keys: Arc<MemoryKeyStore>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) relay: Arc<Relay>,
}

impl Place {
    pub(crate) fn new(seed: u64, relay: &Arc<Relay>, clock: &Arc<TestClock>) -> Self {
        Self {
            keys: keys(seed),
            disk: Arc::default(),
            peers: Arc::new(Peers::in_memory()),
            clock: Arc::clone(clock),
            relay: Arc::clone(relay),
        }
    }

    /// The agent's process starts.
    pub(crate) fn builder(&self) -> AgentBuilder {
        Agent::builder(self.keys.clone())
            .store(self.disk.clone())
            .delivery(self.relay.clone())
            .peers(self.peers.clone())
            .clock(self.clock.clone())
            .inbound(AllowAnyAuthenticated)
    }

    pub(crate) fn start(&self) -> Agent {
        self.builder().build().expect("an agent")
    }

    /// Waits until nothing of a process that was ended writes any more. (A store in files keeps a
    /// second process out by its lock.)
    pub(crate) async fn ended(&self) {
        while Arc::strong_count(&self.disk) > 1 {
            tokio::task::yield_now().await;
        }
    }

    /// A card of these keys, signed now.
    pub(crate) fn card(&self, sequence: u64, lifetime: u64) -> sealwire::identity::IdentityCard {
        let now = self.clock.wall();
        NewCard::new(sequence, now, lifetime)
            .sign(self.keys.as_ref(), self.keys.newest())
            .expect("a card")
    }
}

/// Alice and Bob, and what stands between them.
pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) relay: Arc<Relay>,
    pub(crate) alice: Place,
    pub(crate) bob: Place,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = TestClock::at(NOW);
        let relay = Relay::new(&clock);
        let alice = Place::new(1, &relay, &clock);
        let bob = Place::new(2, &relay, &clock);
        Self { clock, relay, alice, bob }
    }

    /// Both run, and both have published prekeys.
    pub(crate) async fn published() -> (Self, Agent, Agent) {
        let world = Self::new();
        let (alice, bob) = (world.alice.start(), world.bob.start());
        alice.publish_prekeys().await.expect("publish");
        bob.publish_prekeys().await.expect("publish");
        (world, alice, bob)
    }

    /// Both run, and have heard of one another in one session.
    pub(crate) async fn talking() -> (Self, Agent, Agent) {
        let (world, alice, bob) = Self::published().await;
        say(&alice, &bob, b"hello").await;
        say(&bob, &alice, b"hello yourself").await;
        say(&alice, &bob, b"so").await;
        (world, alice, bob)
    }
}

/// Sends, delivers and reads one message.
pub(crate) async fn say(from: &Agent, to: &Agent, payload: &[u8]) {
    let sent = from.send(to.id(), payload).await.expect("send");
    from.sync().await.expect("deliver");
    to.sync().await.expect("fetch");
    let message = to.inbox().expect("inbox").next().await.expect("read").expect("a message");
    assert_eq!((message.id(), message.payload()), (sent, payload));
    assert_eq!(&message.from().agent, from.id());
    to.inbox().expect("inbox").ack(&message).await.expect("ack");
}

/// What is in the inbox, acknowledged.
pub(crate) async fn read(agent: &Agent) -> Vec<Vec<u8>> {
    let inbox = agent.inbox().expect("inbox");
    let mut found = Vec::new();
    while let Some(message) = inbox.next().await.expect("read") {
        found.push(message.payload().to_vec());
        inbox.ack(&message).await.expect("ack");
    }
    found
}

pub(crate) async fn sync(agent: &Agent) -> Vec<Event> {
    agent.sync().await.expect("sync")
}

pub(crate) async fn counts(agent: &Agent) -> Vec<(bool, u64, u64, usize)> {
    let sessions = agent.sessions().await.expect("sessions");
    let counts = |session: sealwire::SessionInfo| {
        (session.active, session.sent, session.received, session.skipped)
    };
    sessions.into_iter().map(counts).collect()
}

pub(crate) fn frames(events: &[Event]) -> u64 {
    let frames = |event: &Event| match event {
        Event::Discarded { frames } => *frames,
        _ => 0,
    };
    events.iter().map(frames).sum()
}

pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Error {
    result.expect_err("it must be refused")
}
