//! The second half of the story: Alice writes while Bob is away, through a relay that neither of
//! them trusts, and past somebody who meddles.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use sealwire::{Agent, Error, Event, MAX_PAYLOAD_LEN, identity::AgentId};
use sealwire_relay::client::RelayUrl;

use super::{
    office::Office,
    place::Place,
    post::{Conduct, Left, Post},
    scan::{Secret, look_for},
    story::Step,
};

/// Messages that Alice sends after the file.
const BURST: usize = 50;

/// The number in front of each message, so that the file can be put together.
const NUMBER_LEN: usize = size_of::<u32>();

/// Frames that the relay is given before it is killed, the last of them in its hands.
const KILLED_AFTER: usize = 20;

/// In how many rounds all must have arrived: a mailbox holds a part of the largest file.
const ROUNDS: usize = 16;

pub(super) struct Offline {
    pub(super) office: Office,
    pub(super) post: Post,
    pub(super) relay: RelayUrl,
    pub(super) alice: Place,
    pub(super) bob: Place,
    /// The parts of the file, and the burst.
    pub(super) bodies: Vec<Vec<u8>>,
    /// The cards of both, which nobody but they should see in a frame.
    pub(super) cards: [Vec<u8>; 2],
    /// What Bob's disk held while he had unread messages.
    on_disk: Vec<u8>,
    discarded: u64,
}

impl Offline {
    pub(super) fn new(
        office: Office,
        alice: Place,
        bob: Place,
        content: &[u8],
        cards: [Vec<u8>; 2],
    ) -> io::Result<Self> {
        let burst = (1..=BURST).map(|number| format!("message {number} of the burst").into_bytes());
        let bodies = content.chunks(PART).map(<[u8]>::to_vec).chain(burst).collect();
        let (post, relay) = (Post::new(), office.url()?);
        let (on_disk, discarded) = (Vec::new(), 0);
        Ok(Self { office, post, relay, alice, bob, bodies, cards, on_disk, discarded })
    }

    /// Bob has published prekeys and is away. Alice seals everything, and goes away too.
    pub(super) async fn alice_writes(&mut self) -> io::Result<Step> {
        let bob = self.start(&self.bob)?;
        bob.publish_prekeys().await.map_err(io::Error::other)?;
        drop(bob);
        let alice = self.start(&self.alice)?;
        for (number, body) in (0..).zip(&self.bodies) {
            alice.send(&self.bob.id, numbered(number, body)).await.map_err(io::Error::other)?;
        }
        let holds = counts(&alice).await? == [(self.total(), 0)] && self.post.left().is_empty();
        let file = self.bodies.iter().rev().skip(BURST);
        let (parts, bytes) = (file.len(), file.map(Vec::len).sum::<usize>());
        let how = match parts {
            1 => format!("{bytes} bytes in one first message"),
            _ => format!("{bytes} bytes split over {parts} messages of {PART} at most"),
        };
        let detail = format!("{how}, {BURST} more; all sealed, none sent yet");
        Ok(Step { name: "Bob is offline, Alice writes the file and a burst", holds, detail })
    }

    /// Alice starts again and delivers, and meanwhile the relay is killed.
    pub(super) async fn the_relay_is_killed(&mut self) -> io::Result<Step> {
        self.post.behave(Conduct::Shuffling);
        let alice = self.start(&self.alice)?;
        let post = self.post.clone();
        let kill = async {
            post.after(KILLED_AFTER).await;
            let under_way = post.left().len();
            self.office.kill_and_restart().await?;
            Ok(under_way)
        };
        let delivery = async {
            let delivered = deliver(&alice).await;
            post.ring();
            delivered
        };
        let ((), under_way) = tokio::try_join!(delivery, kill)?;
        let (left, taken) = (self.post.left().len(), self.post.taken());
        let kept = self.office.messages().await?;
        let holds = under_way < left && kept == taken;
        let detail = format!(
            "killed at frame {under_way} of {left}; started again, it has the {kept} of {taken} \
             that it acknowledged, repetitions too"
        );
        Ok(Step { name: "the relay is killed while Alice delivers", holds, detail })
    }

    /// Bob starts, reads half, and starts again.
    pub(super) async fn both_restart(&mut self) -> io::Result<Step> {
        let half = self.total().div_ceil(2);
        self.post.hand_out(half);
        let bob = self.start(&self.bob)?;
        self.receive(&bob).await?;
        let before = (counts(&bob).await?, waiting(&bob).await?);
        drop(bob);
        self.on_disk = self.bob.on_disk()?;
        let bob = self.start(&self.bob)?;
        let after = (counts(&bob).await?, waiting(&bob).await?);
        let (counted, unread) = &after;
        let opened = counted.first().map_or(0, |(_, received)| *received);
        let holds = before == after && (1..self.total()).contains(&opened) && !unread.is_empty();
        let detail = format!("Bob still has the {opened} of {} that he had opened", self.total());
        Ok(Step { name: "both restart from disk in the middle", holds, detail })
    }

    /// Bob takes what is left.
    pub(super) async fn bob_reads_all(&mut self) -> io::Result<Step> {
        self.post.hand_out(usize::MAX);
        let (alice, bob) = (self.start(&self.alice)?, self.start(&self.bob)?);
        let mut read = Vec::new();
        for _ in 0..ROUNDS {
            deliver(&alice).await?;
            self.receive(&bob).await?;
            read.extend(take_all(&bob, &self.alice.id).await?);
            if read.len() >= self.total() {
                break;
            }
        }
        let shuffled = !read.is_sorted();
        let once: BTreeMap<u32, Vec<u8>> = read.iter().cloned().collect();
        let whole = once.len() == read.len() && once.values().eq(&self.bodies);
        let (repeated, _) = self.post.meddled();
        let holds = whole && shuffled && repeated > 0 && self.discarded == repeated;
        let received = read.len();
        let detail = format!(
            "{received} messages, each once; the file is whole; {repeated} repetitions discarded"
        );
        Ok(Step { name: "Bob reads all, in shuffled order, some twice", holds, detail })
    }

    /// Forgeries arrive instead of a message, and then the message does.
    pub(super) async fn a_frame_is_forged(&mut self) -> io::Result<Step> {
        self.post.behave(Conduct::Honest);
        let (alice, bob) = (self.start(&self.alice)?, self.start(&self.bob)?);
        let mut holds = self.says(&bob, &alice, b"I have read it").await?;
        self.post.behave(Conduct::Forging);
        alice.send(&self.bob.id, numbered(0, b"the true one")).await.map_err(io::Error::other)?;
        deliver(&alice).await?;
        self.post.behave(Conduct::Honest);
        let before = sessions(&bob).await?;
        let refused = discarded(&sync(&bob).await?);
        let (_, forged) = self.post.meddled();
        holds &= refused == forged && forged > 0;
        holds &= sessions(&bob).await? == before && waiting(&bob).await?.is_empty();
        let left = self.post.left();
        self.leave_again(left.last()).await?;
        sync(&bob).await?;
        let read = take_all(&bob, &self.alice.id).await?;
        holds &= read == [(0, b"the true one".to_vec())];
        holds &= self.says(&bob, &alice, b"still here").await?;
        holds &= self.says(&alice, &bob, b"so am I").await?;
        let detail =
            format!("{refused} of {forged} refused; then the true one opens, and both talk on");
        Ok(Step { name: "the mailbox forges frames of a session", holds, detail })
    }

    /// The first message of all arrives again: while its session is there, and when it is gone.
    pub(super) async fn a_first_message_is_replayed(&mut self) -> io::Result<Step> {
        let bob = self.start(&self.bob)?;
        let left = self.post.left();
        let mut holds = true;
        for gone in [false, true] {
            if gone {
                bob.close_sessions().await.map_err(io::Error::other)?;
            }
            let before = sessions(&bob).await?;
            holds &= before.is_empty() == gone;
            self.leave_again(left.first()).await?;
            holds &= discarded(&sync(&bob).await?) == 1;
            holds &= sessions(&bob).await? == before && waiting(&bob).await?.is_empty();
        }
        let detail = "refused by its session, and without it: its one-time keys are gone";
        let name = "the mailbox replays the first message";
        Ok(Step { name, holds, detail: detail.to_owned() })
    }

    /// What the post office saw in all frames, beside what it is told.
    pub(super) fn what_the_mailbox_saw(&self) -> Step {
        let left = self.post.left();
        let seen: Vec<&[u8]> = left
            .iter()
            .flat_map(|Left { to, frame }| [to.mailbox(), to.capability(), frame.as_slice()])
            .collect();
        let mailboxes: BTreeSet<&[u8]> = left.iter().map(|left| left.to.mailbox()).collect();
        let sizes: BTreeSet<usize> = left.iter().map(|left| left.frame.len()).collect();
        let (hidden, found) = look_for(&seen.concat(), &self.secrets());
        let detail = format!(
            "{} frames of {} sizes in {} mailboxes; {found}; it is told whose prekeys it keeps",
            left.len(),
            sizes.len(),
            mailboxes.len()
        );
        Step { name: "what the mailbox saw", holds: hidden && !left.is_empty(), detail }
    }

    /// What Bob's disk held of messages that he had not read.
    pub(super) fn what_the_disk_held(&self) -> io::Result<Step> {
        let [plaintext, ..] = self.secrets();
        let (hidden, found) = look_for(&self.on_disk, &[plaintext]);
        let holds = hidden && !self.on_disk.is_empty();
        let detail = format!("{} bytes; {found}; {}", self.on_disk.len(), self.bob.protection()?);
        Ok(Step { name: "what Bob's state held of unread messages", holds, detail })
    }

    /// Starts an agent with what is on its disk.
    pub(super) fn start(&self, place: &Place) -> io::Result<Agent> {
        place.start(&self.post, &self.relay)
    }

    pub(super) fn secrets(&self) -> [Secret<'_>; 3] {
        let ids = [&self.alice.id, &self.bob.id].map(|id| id.as_str().as_bytes());
        [
            ("the plaintext", self.bodies.iter().map(Vec::as_slice).collect()),
            ("an id", ids.to_vec()),
            ("a card", self.cards.iter().map(Vec::as_slice).collect()),
        ]
    }

    fn total(&self) -> usize {
        self.bodies.len()
    }

    async fn receive(&mut self, bob: &Agent) -> io::Result<()> {
        let discarded = discarded(&sync(bob).await?);
        self.discarded = self.discarded.saturating_add(discarded);
        Ok(())
    }

    /// Whether a message gets from one to the other.
    pub(super) async fn says(&self, from: &Agent, to: &Agent, body: &[u8]) -> io::Result<bool> {
        from.send(to.id(), numbered(0, body)).await.map_err(io::Error::other)?;
        sync(from).await?;
        sync(to).await?;
        Ok(take_all(to, from.id()).await? == [(0, body.to_vec())])
    }

    async fn leave_again(&self, left: Option<&Left>) -> io::Result<()> {
        let left = left.ok_or_else(|| io::Error::other("the post office has no frame"))?;
        let carrier = self.alice.carrier(&self.post, &self.relay)?;
        carrier.leave(left).await.map_err(io::Error::other)
    }
}

/// Bytes of the file that one message carries.
const PART: usize = MAX_PAYLOAD_LEN - NUMBER_LEN;

pub(super) fn numbered(number: u32, body: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes(), body].concat()
}

pub(super) async fn sync(agent: &Agent) -> io::Result<Vec<Event>> {
    agent.sync().await.map_err(io::Error::other)
}

/// Delivers as much as the mailbox takes.
pub(super) async fn deliver(agent: &Agent) -> io::Result<()> {
    match agent.sync().await {
        Err(Error::Delivery(error)) if error.is_retryable() => Ok(()),
        done => done.map(drop).map_err(io::Error::other),
    }
}

fn discarded(events: &[Event]) -> u64 {
    let frames = events.iter().map(|event| match event {
        Event::Discarded { frames } => *frames,
        _ => 0,
    });
    frames.sum()
}

pub(super) async fn sessions(agent: &Agent) -> io::Result<Vec<sealwire::SessionInfo>> {
    agent.sessions().await.map_err(io::Error::other)
}

/// Messages sent and received in each session.
async fn counts(agent: &Agent) -> io::Result<Vec<(usize, usize)>> {
    let count = |number: u64| usize::try_from(number).map_err(io::Error::other);
    let sessions = sessions(agent).await?;
    sessions.iter().map(|session| Ok((count(session.sent)?, count(session.received)?))).collect()
}

/// The oldest messages that were not acknowledged.
async fn waiting(agent: &Agent) -> io::Result<Vec<Vec<u8>>> {
    let inbox = agent.inbox().map_err(io::Error::other)?;
    let list = inbox.list(BURST).await.map_err(io::Error::other)?;
    Ok(list.iter().map(|message| message.payload().to_vec()).collect())
}

/// Reads and acknowledges all messages. Gives their numbers and bodies; all are from `from`.
async fn take_all(agent: &Agent, from: &AgentId) -> io::Result<Vec<(u32, Vec<u8>)>> {
    let inbox = agent.inbox().map_err(io::Error::other)?;
    let mut taken = Vec::new();
    while let Some(message) = inbox.next().await.map_err(io::Error::other)? {
        let parts = message.payload().split_first_chunk::<NUMBER_LEN>();
        let (number, body) = parts.ok_or_else(|| io::Error::other("a message without a number"))?;
        if message.from().agent != *from {
            return Err(io::Error::other("a message from someone else"));
        }
        taken.push((u32::from_be_bytes(*number), body.to_vec()));
        inbox.ack(&message).await.map_err(io::Error::other)?;
    }
    Ok(taken)
}
