//! A relay to be tested, with a clock and a log that the test holds.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sealwire_core::Timestamp;
use sealwire_relay::{
    server::{Clock, Event, Log, Rates, Relay, Settings, StartError},
    store::{MemoryStore, Store},
    wire::{Acked, Acks, Body, Claimed, MailboxKind, Messages, OPENAPI, Operation, Publish},
};

use crate::{
    http::{Answer, Ask, Http},
    people::{Agent, Owner, Signs, deposit},
};

/// When tests begin.
const START: u64 = 1_800_000_000;

#[derive(Debug)]
pub(crate) struct TestClock {
    wall: AtomicU64,
    /// Seconds since the start.
    elapsed: AtomicU64,
}

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_secs(self.wall.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.elapsed.load(Ordering::SeqCst))
    }
}

impl TestClock {
    pub(crate) fn at(wall: u64) -> Arc<Self> {
        Arc::new(Self { wall: wall.into(), elapsed: 0.into() })
    }

    /// Time goes by, which it does not by itself: what takes long in a test took no time.
    pub(crate) fn pass(&self, seconds: u64) {
        self.wall.fetch_add(seconds, Ordering::SeqCst);
        self.elapsed.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Somebody sets the clock.
    pub(crate) fn set(&self, wall: Timestamp) {
        self.wall.store(wall.as_secs(), Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
pub(crate) struct TestLog(pub(crate) Mutex<Vec<Event>>);

impl Log for TestLog {
    fn event(&self, event: &Event) {
        self.0.lock().expect("a lock").push(event.clone());
    }
}

pub(crate) struct Rig {
    pub(crate) relay: Relay,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) log: Arc<TestLog>,
    pub(crate) host: String,
    pub(crate) address: SocketAddr,
}

/// Settings of tests: free ports, no rates, short times.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings { rates: Rates::none(), ..Settings::default() };
    settings.listen.set_port(0);
    settings.admin.as_mut().expect("an admin address").set_port(0);
    settings
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        Self::over(Arc::new(MemoryStore::new()), settings).await
    }

    pub(crate) async fn over(store: Arc<dyn Store>, settings: Settings) -> Self {
        Self::try_over(store, settings, TestClock::at(START)).await.expect("a relay")
    }

    pub(crate) async fn try_over(
        store: Arc<dyn Store>,
        settings: Settings,
        clock: Arc<TestClock>,
    ) -> Result<Self, StartError> {
        let log = Arc::new(TestLog::default());
        let (its_clock, its_log) = (Arc::clone(&clock), Arc::clone(&log));
        let relay = Relay::start(store, settings, its_clock, its_log).await?;
        let address = relay.address();
        Ok(Self { relay, clock, log, host: address.to_string(), address })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    pub(crate) async fn connect(&self) -> Http {
        Http::connect(self.address).await
    }

    /// Asks on a connection of its own.
    pub(crate) async fn ask(&self, ask: &Ask) -> Answer {
        let answer = self.connect().await.ask(ask).await;
        documented(ask, &answer);
        answer
    }

    /// Asks the operator's side.
    pub(crate) async fn operator(&self, path: &str) -> Answer {
        let ask = Ask {
            method: "GET".to_owned(),
            target: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        Http::connect(self.relay.admin_address().expect("an address")).await.ask(&ask).await
    }

    pub(crate) fn signed(&self, who: &impl Signs, operation: &Operation, body: &[u8]) -> Ask {
        who.ask(&self.host, self.now(), operation, body)
    }

    pub(crate) async fn ask_signed(
        &self,
        who: &impl Signs,
        operation: &Operation,
        body: &[u8],
    ) -> Answer {
        self.ask(&self.signed(who, operation, body)).await
    }

    /// An owner whose mailbox stands.
    pub(crate) async fn owner(&self, kind: MailboxKind) -> Owner {
        let owner = Owner::new(kind);
        self.create(&owner).await.is(201);
        owner
    }

    pub(crate) async fn create(&self, owner: &Owner) -> Answer {
        self.ask_signed(owner, &Operation::CreateMailbox(owner.receive), &owner.mailbox()).await
    }

    /// An agent whose card and bundle are published.
    pub(crate) async fn agent(&self) -> Agent {
        let agent = Agent::new();
        self.publish(&agent, &agent.publish(1, self.now(), None)).await.is(204);
        agent
    }

    pub(crate) async fn publish(&self, agent: &Agent, publish: &Publish) -> Answer {
        let operation = Operation::Publish(agent.device.clone());
        self.ask_signed(agent, &operation, &publish.to_bytes()).await
    }

    pub(crate) async fn claim(&self, caller: &Agent, of: &Agent, body: &[u8]) -> Claimed {
        let answer = self.ask_signed(caller, &of.claim(), body).await;
        Claimed::from_bytes(&answer.is(200).body).expect("a claim's answer")
    }

    /// Leaves a frame with a capability that is good for an hour.
    pub(crate) async fn deposit(&self, owner: &Owner, frame: &[u8]) -> Answer {
        let capability = owner.capability(1, self.now().plus(3600));
        self.ask(&deposit(owner.send, &capability, frame)).await
    }

    pub(crate) async fn fetch(&self, owner: &Owner, after: u64, limit: u32) -> Messages {
        let answer = self.ask_signed(owner, &owner.fetch(after, limit, 0), &[]).await;
        Messages::from_bytes(&answer.is(200).body).expect("messages")
    }

    pub(crate) async fn ack(&self, owner: &Owner, sequences: &[u64]) -> u32 {
        let acks = Acks { sequences: sequences.to_vec() }.to_bytes();
        let answer = self.ask_signed(owner, &Operation::Ack(owner.receive), &acks).await;
        Acked::from_bytes(&answer.is(200).body).expect("an answer").removed
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.log.0.lock().expect("a lock").clone()
    }
}

/// Whether the document that the relay serves names this answer for this request.
fn documented(ask: &Ask, answer: &Answer) {
    let (path, query) = match ask.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (ask.target.as_str(), None),
    };
    let Ok(operation) = Operation::parse(&ask.method, path, query) else { return };
    let document: serde_json::Value = serde_json::from_str(OPENAPI).expect("JSON");
    let described = &document["paths"][operation.template()][ask.method.to_lowercase()];
    let status = answer.status.to_string();
    assert!(described["responses"][&status].is_object(), "{operation:?}: {status}");
}

/// A frame of the smallest class, filled with one byte.
pub(crate) fn frame(byte: u8) -> Vec<u8> {
    vec![byte; 2048]
}
