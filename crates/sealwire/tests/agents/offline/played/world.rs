//! Agents, what outlives their processes, and what they must have in their inboxes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use sealwire::{
    Agent, AllowAnyAuthenticated, Clock, Error, Event, Peers, SessionInfo,
    core::{MemoryKeyStore, Suite, Timestamp},
    delivery::{Device, MessageId},
    store::{RowKey, Table},
};
use tokio::sync::OnceCell;

use super::super::common::{DAY, Disk, NOW, keys};
use super::post::{Post, State};

/// The time as it is, and how much clocks are wrong, in seconds.
#[derive(Debug)]
struct Time {
    now: AtomicU64,
    wrong: AtomicI64,
}

/// The clock of a process.
#[derive(Debug)]
struct ProcessClock {
    time: Arc<Time>,
    started: u64,
}

impl Clock for ProcessClock {
    fn wall(&self) -> Timestamp {
        let (now, wrong) = (self.time.now(), self.time.wrong.load(Ordering::SeqCst));
        Timestamp::from_secs(now.saturating_add_signed(wrong))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.time.now() - self.started)
    }
}

impl Time {
    fn new() -> Arc<Self> {
        Arc::new(Self { now: AtomicU64::new(NOW.as_secs()), wrong: AtomicI64::new(0) })
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }
}

/// An agent that published prekeys and has met nobody: what every schedule begins with.
struct Start {
    keys: Arc<MemoryKeyStore>,
    rows: Vec<(Table, RowKey, Vec<u8>)>,
}

struct Starts {
    agents: Vec<Start>,
    post: State,
}

async fn starts() -> &'static Starts {
    static STARTS: OnceCell<Starts> = OnceCell::const_new();
    STARTS
        .get_or_init(|| async {
            let (time, post) = (Time::new(), Arc::new(Post::new(State::default())));
            let mut agents = Vec::new();
            for seed in 1..4 {
                let mut place = Place::new(keys(seed), &post, &time, Suite::AesGcm);
                place.start();
                place.agent().publish_prekeys().await.expect("publish");
                agents.push(Start { keys: place.keys.clone(), rows: place.disk.dump() });
            }
            let post = post.state().clone();
            Starts { agents, post }
        })
        .await
}

/// Where an agent runs.
struct Place {
    keys: Arc<MemoryKeyStore>,
    disk: Arc<Disk>,
    peers: Arc<Peers>,
    post: Arc<Post>,
    time: Arc<Time>,
    suite: Suite,
    agent: Option<Agent>,
}

/// What a process leaves to the next.
#[derive(Debug, PartialEq)]
struct Kept {
    inbox: Vec<(MessageId, Vec<u8>)>,
    sessions: Vec<SessionInfo>,
    undelivered: usize,
}

impl Place {
    fn new(keys: Arc<MemoryKeyStore>, post: &Arc<Post>, time: &Arc<Time>, suite: Suite) -> Self {
        let (post, time) = (Arc::clone(post), Arc::clone(time));
        let (disk, peers) = (Arc::default(), Arc::new(Peers::in_memory()));
        Self { keys, disk, peers, post, time, suite, agent: None }
    }

    /// The process starts, once the one before has ended.
    fn start(&mut self) {
        self.agent = None;
        let clock = ProcessClock { time: self.time.clone(), started: self.time.now() };
        let agent = Agent::builder(self.keys.clone())
            .store(self.disk.clone())
            .delivery(self.post.clone())
            .peers(self.peers.clone())
            .clock(Arc::new(clock))
            .suite(self.suite)
            .inbound(AllowAnyAuthenticated);
        self.agent = Some(agent.build().expect("an agent"));
    }

    fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("it runs")
    }

    async fn kept(&self) -> Kept {
        let mut sessions = self.agent().sessions().await.expect("sessions");
        sessions.sort_by_key(|session| *session.id.as_bytes());
        let inbox = self.agent().inbox().expect("inbox").list(256).await.expect("inbox");
        let inbox = inbox.iter().map(|message| (message.id(), message.payload().to_vec()));
        let undelivered = self.agent().undelivered().await.expect("outbox");
        Kept { inbox: inbox.collect(), sessions, undelivered }
    }
}

/// Where a disk fails for the process that is ended then.
#[derive(Clone, Copy)]
pub(super) enum Failure {
    /// At this commit while it fetches and delivers.
    OfSync(usize),
    /// At this commit while it sends to this one.
    OfSend(usize, usize),
}

/// A message that somebody was to send.
struct Sent {
    from: usize,
    to: usize,
    /// None for one that was refused.
    id: Option<MessageId>,
    read: bool,
}

pub(super) struct World {
    time: Arc<Time>,
    post: Arc<Post>,
    places: Vec<Place>,
    sent: Vec<Sent>,
    /// What waits in each inbox, as it was seen last.
    inboxes: Vec<Vec<MessageId>>,
    /// Whether nothing but a frame that was harmed can keep a message from arriving.
    calm: bool,
    was_wrong: bool,
    closed: bool,
}

impl World {
    pub(super) async fn new(agents: usize, chacha: bool) -> Self {
        let starts = starts().await;
        let (time, post) = (Time::new(), Arc::new(Post::new(starts.post.clone())));
        let suite = if chacha { Suite::ChaChaPoly } else { Suite::AesGcm };
        let mut places = Vec::with_capacity(agents);
        for Start { keys, rows } in &starts.agents[..agents] {
            let mut place = Place::new(keys.clone(), &post, &time, suite);
            place.disk.restore(rows);
            place.start();
            places.push(place);
        }
        let inboxes = vec![Vec::new(); agents];
        Self {
            time,
            post,
            places,
            sent: Vec::new(),
            inboxes,
            calm: true,
            was_wrong: false,
            closed: false,
        }
    }

    pub(super) fn agents(&self) -> usize {
        self.places.len()
    }

    pub(super) fn post(&self, work: impl FnOnce(&mut State)) {
        work(&mut self.post.state());
    }

    pub(super) async fn send(&mut self, from: usize, to: usize) {
        let payload = payload(self.sent.len());
        let peer = self.places[to].agent().id().clone();
        let sent = self.places[from].agent().send(&peer, payload).await;
        if let Err(error) = &sent {
            let expected = matches!(error, Error::Delivery(_)) || !self.calm;
            assert!(expected || self.places[from].disk.is_failing(), "{error:?}");
        }
        self.sent.push(Sent { from, to, id: sent.ok(), read: false });
    }

    /// Fetches and delivers, looks into the inbox, and says whether prekeys are to be published.
    pub(super) async fn sync(&mut self, one: usize) -> bool {
        let synced = self.places[one].agent().sync().await;
        if let Err(error) = &synced {
            let expected = matches!(error, Error::Delivery(_));
            assert!(expected || self.places[one].disk.is_failing(), "{error:?}");
        }
        self.look(one).await;
        synced.is_ok_and(|events| events.contains(&Event::PrekeysLow))
    }

    /// Looks into an inbox: what was there is there, and what is new was sent.
    async fn look(&mut self, one: usize) {
        let inbox = self.places[one].agent().inbox().expect("inbox");
        let found = inbox.list(256).await.expect("inbox");
        let known = self.inboxes[one].len();
        let ids: Vec<MessageId> = found.iter().map(|message| message.id()).collect();
        assert_eq!(ids.get(..known), Some(&self.inboxes[one][..]), "it was in the inbox");
        for message in &found[known..] {
            let number = message.payload().first_chunk().expect("a number");
            let number = usize::from_be_bytes(*number);
            let sent = self.sent.get_mut(number).expect("it was sent");
            assert_eq!((sent.to, sent.id), (one, Some(message.id())), "{number}");
            assert_eq!(message.payload(), payload(number));
            let from = self.places[sent.from].agent().id();
            assert_eq!(*message.from(), Device::from(from), "{number}");
            assert!(!std::mem::replace(&mut sent.read, true), "{number} was read before");
            let handed = self.post.state().has_handed_out(&message.id());
            assert!(handed, "{number} was read, and handed out by nobody as it was sent");
        }
        self.inboxes[one] = ids;
    }

    pub(super) async fn ack(&mut self, one: usize) {
        let inbox = self.places[one].agent().inbox().expect("inbox");
        if let Some(message) = inbox.next().await.expect("inbox") {
            inbox.ack(&message).await.expect("ack");
            self.inboxes[one].remove(0);
        }
    }

    pub(super) async fn restart(&mut self, one: usize) {
        // Whoever starts an agent looks at the clock.
        self.set_clock(0);
        let before = self.places[one].kept().await;
        self.places[one].start();
        assert_eq!(self.places[one].kept().await, before, "it was stored");
    }

    /// A disk fails, and the process ends.
    pub(super) async fn crash(&mut self, one: usize, failure: Failure) {
        self.set_clock(0);
        let disk = Arc::clone(&self.places[one].disk);
        match failure {
            Failure::OfSync(commits) => {
                disk.fail_after(commits);
                self.sync(one).await;
            }
            Failure::OfSend(to, commits) => {
                disk.fail_after(commits);
                self.send(one, to).await;
            }
        }
        disk.heal();
        self.places[one].start();
        self.look(one).await;
    }

    pub(super) async fn publish(&mut self, one: usize) {
        // What a wrong clock signs is refused by whoever has the right one.
        self.set_clock(0);
        if let Err(error) = self.places[one].agent().publish_prekeys().await {
            let expected = matches!(error, Error::Delivery(_)) || !self.calm;
            assert!(expected, "{error:?}");
        }
    }

    pub(super) async fn close_sessions(&mut self, one: usize) {
        (self.calm, self.closed) = (false, true);
        self.places[one].agent().close_sessions().await.expect("close");
    }

    pub(super) fn close_mailbox(&mut self, at: usize) {
        self.calm = false;
        self.post(|post| post.close(at));
    }

    /// Time passes.
    pub(super) fn wait(&mut self, seconds: u64) {
        // A clock that was ahead when a card ended has the next one begin too late.
        if self.was_wrong && seconds > DAY {
            return;
        }
        // Within the life of the cards that all begin with, and of the pages of prekeys: the post
        // hands them out for ever, as no relay does.
        if self.time.now() + seconds > NOW.as_secs() + 25 * DAY {
            return;
        }
        let before = self.time.now.fetch_add(seconds, Ordering::SeqCst);
        // Mailboxes keep first messages for seven days, and nobody fetches in time for certain.
        self.calm &= before + seconds < NOW.as_secs() + 6 * DAY;
    }

    /// Somebody sets all clocks, so many seconds beside the time.
    pub(super) fn set_clock(&mut self, wrong: i64) {
        if wrong != 0 {
            if self.time.now() > NOW.as_secs() + 10 * DAY {
                return;
            }
            (self.was_wrong, self.calm) = (true, false);
        }
        self.time.wrong.store(wrong, Ordering::SeqCst);
    }

    /// From here on nothing goes wrong.
    pub(super) async fn finish(&mut self) {
        self.post(State::behave);
        self.set_clock(0);
        self.settle().await;
        if self.calm {
            for (number, sent) in self.sent.iter().enumerate() {
                let Some(id) = sent.id else { continue };
                let harmed = self.post.state().has_harmed(&id);
                assert!(sent.read || harmed, "{number} is missing");
            }
        }
        for one in 0..self.agents() {
            self.restart(one).await;
            // Where both begin and one of them closes its session, the other may write in that
            // one until it closes it too.
            if self.closed {
                self.close_sessions(one).await;
            }
            self.places[one].agent().publish_prekeys().await.expect("publish");
        }
        // A mailbox that is gone is noticed by what did not arrive.
        let mut last = Vec::new();
        for _ in 0..3 {
            last.clear();
            for from in 0..self.agents() {
                for to in (0..self.agents()).filter(|to| *to != from) {
                    last.push(self.sent.len());
                    self.send(from, to).await;
                }
            }
            self.settle().await;
        }
        for number in last {
            let Sent { from, to, read, .. } = self.sent[number];
            assert!(read, "{number}, sent in the end from {from} to {to}, is missing");
        }
    }

    /// Everybody fetches, delivers and reads until there is nothing more.
    async fn settle(&mut self) {
        for _ in 0..3 {
            for one in 0..self.agents() {
                if self.sync(one).await {
                    self.publish(one).await;
                }
                while !self.inboxes[one].is_empty() {
                    self.ack(one).await;
                }
            }
        }
        for place in &self.places {
            assert_eq!(place.agent().undelivered().await.expect("outbox"), 0);
        }
    }
}

/// The message of this number: one of several lengths.
fn payload(number: usize) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize([8, 900, 8, 3000, 8, 15_000, 8, 29_000][number % 8], 7);
    payload
}
