//! A relay that does everything but deliver, chosen by a seed; and then one that behaves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use rand_core::TryRng;
use sealwire::{
    Agent,
    delivery::{
        Address, Arrived, Claimed, Delivery, DeliveryError, Device, MailboxHandle, MailboxKind,
        MessageId, OpenedMailbox, Pending, Publication, Published, Watch,
    },
    ratchet::prekey::Unclaimed,
};
use sealwire_testkit::rng::SeededRng;

use crate::offline::{
    common::{NOW, Place, TestClock, read},
    relay::Relay,
};

/// It keeps what it is told to do with, and does something else.
struct Mischief {
    relay: Arc<Relay>,
    state: Mutex<State>,
}

struct State {
    rng: SeededRng,
    behaves: bool,
    /// All frames and where they were to go.
    seen: Vec<(Address, Vec<u8>)>,
    held: Vec<(Address, MessageId, Vec<u8>)>,
    /// Messages that it destroyed: no protocol brings them back.
    destroyed: BTreeSet<MessageId>,
    next: u64,
}

impl State {
    fn below(&mut self, most: usize) -> usize {
        let drawn = self.rng.try_next_u32().expect("it does not fail");
        usize::try_from(drawn).expect("32 bits") % most.max(1)
    }

    fn fresh(&mut self) -> MessageId {
        self.next += 1;
        let mut id = [0xdd; 16];
        id[..8].copy_from_slice(&self.next.to_be_bytes());
        MessageId::from_bytes(id)
    }

    fn damaged(&mut self, frame: &[u8]) -> Vec<u8> {
        let mut damaged = frame.to_vec();
        let at = self.below(frame.len());
        if self.below(2) == 0 {
            damaged[at] ^= 1;
        } else {
            damaged[at..].fill(0);
        }
        damaged
    }
}

type Left = Vec<(Address, MessageId, Vec<u8>)>;

impl Mischief {
    fn new(relay: &Arc<Relay>, seed: u64) -> Arc<Self> {
        let state = State {
            rng: SeededRng::new(seed),
            behaves: false,
            seen: Vec::new(),
            held: Vec::new(),
            destroyed: BTreeSet::new(),
            next: 0,
        };
        Arc::new(Self { relay: Arc::clone(relay), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a lock")
    }

    /// What becomes of a frame: what is left where, and whether the sender hears of it.
    fn fate(&self, to: &Address, id: MessageId, frame: &[u8]) -> (Left, bool) {
        let mut state = self.state();
        state.seen.push((to.clone(), frame.to_vec()));
        let honest = (to.clone(), id, frame.to_vec());
        if state.behaves {
            return (vec![honest], true);
        }
        let fate = state.below(14);
        let other = state.below(usize::MAX);
        let (other, old) = state.seen[other % state.seen.len()].clone();
        match fate {
            // Dropped.
            0 => {
                state.destroyed.insert(id);
                (Vec::new(), true)
            }
            // Delayed.
            1 | 2 => {
                state.held.push(honest);
                (Vec::new(), true)
            }
            // Repeated under another id.
            3 => (vec![honest, (to.clone(), state.fresh(), frame.to_vec())], true),
            // An old one of whichever mailbox again.
            4 => (vec![honest, (other, state.fresh(), old)], true),
            // Changed or cut.
            5 => {
                state.destroyed.insert(id);
                (vec![(to.clone(), id, state.damaged(frame))], true)
            }
            // A changed one before the right one.
            6 => (vec![(to.clone(), state.fresh(), state.damaged(frame)), honest], true),
            // Into the mailbox of somebody else too.
            7 => (vec![(other, state.fresh(), frame.to_vec()), honest], true),
            // Taken, and not said; or not taken.
            8 => (vec![honest], false),
            9 => (Vec::new(), false),
            _ => (vec![honest], true),
        }
    }

    /// Hands over what it held back.
    async fn behave(&self) {
        let held = {
            let mut state = self.state();
            state.behaves = true;
            std::mem::take(&mut state.held)
        };
        for (to, id, frame) in held {
            let _ = self.relay.deposit(&to, id, &frame).await;
        }
    }
}

fn away<T>() -> Result<T, DeliveryError> {
    Err(DeliveryError::Unreachable(std::io::Error::other("a lie")))
}

impl Delivery for Mischief {
    fn publish<'a>(&'a self, of: &'a Device, publication: &'a Publication) -> Pending<'a, ()> {
        self.relay.publish(of, publication)
    }

    fn bundle<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>> {
        self.relay.bundle(of)
    }

    fn claim<'a>(&'a self, of: &'a Device, nonce: [u8; 16]) -> Pending<'a, Claimed> {
        self.relay.claim(of, nonce)
    }

    fn remaining<'a>(&'a self, of: &'a Device) -> Pending<'a, Unclaimed> {
        self.relay.remaining(of)
    }

    fn open_mailbox(&self, kind: MailboxKind) -> Pending<'_, OpenedMailbox> {
        self.relay.open_mailbox(kind)
    }

    fn close_mailbox<'a>(&'a self, mailbox: &'a MailboxHandle) -> Pending<'a, ()> {
        self.relay.close_mailbox(mailbox)
    }

    fn deposit<'a>(
        &'a self,
        to: &'a Address,
        message: MessageId,
        frame: &'a [u8],
    ) -> Pending<'a, ()> {
        Box::pin(async move {
            let (left, told) = self.fate(to, message, frame);
            for (to, id, frame) in left {
                self.relay.deposit(&to, id, &frame).await?;
            }
            if told { Ok(()) } else { away() }
        })
    }

    fn fetch<'a>(&'a self, from: &'a MailboxHandle, limit: usize) -> Pending<'a, Vec<Arrived>> {
        Box::pin(async move {
            let mut found = self.relay.fetch(from, limit).await?;
            let mut state = self.state();
            if state.behaves || found.is_empty() {
                return Ok(found);
            }
            match state.below(6) {
                // Withheld.
                0 => found.clear(),
                1 => return away(),
                2 => found.reverse(),
                // The same twice.
                3 => found = found.iter().cloned().chain(found.clone()).collect(),
                // Changed on the way out; the receiver throws it away.
                4 => {
                    let at = state.below(found.len());
                    found[at].frame = state.damaged(&found[at].frame);
                    state.destroyed.insert(found[at].message);
                }
                _ => {}
            }
            Ok(found)
        })
    }

    fn ack<'a>(&'a self, from: &'a MailboxHandle, sequences: &'a [u64]) -> Pending<'a, ()> {
        Box::pin(async move {
            let lies = {
                let mut state = self.state();
                if state.behaves { 9 } else { state.below(6) }
            };
            match lies {
                // Forgotten, though it said so; or done, and not said.
                0 => Ok(()),
                1 => self.relay.ack(from, sequences).await.and_then(|()| away()),
                _ => self.relay.ack(from, sequences).await,
            }
        })
    }

    fn watch(&self, mailboxes: Vec<MailboxHandle>) -> Pending<'_, Box<dyn Watch>> {
        self.relay.watch(mailboxes)
    }
}

impl fmt::Debug for Mischief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mischief(..)")
    }
}

/// From, to and number of a message.
type Label = (usize, usize, u32);

fn label(payload: &[u8]) -> Label {
    let [from, to, number @ ..]: [u8; 6] = payload.try_into().expect("it was sent so");
    (from.into(), to.into(), u32::from_be_bytes(number))
}

async fn sync_all(agents: &[Agent], got: &mut BTreeMap<Label, u32>) {
    for (at, agent) in agents.iter().enumerate() {
        let _ = agent.sync().await;
        for payload in read(agent).await {
            let label = label(&payload);
            assert_eq!(label.1, at, "it was for somebody else");
            *got.entry(label).or_default() += 1;
        }
    }
}

async fn run(seed: u64) {
    let clock = TestClock::at(NOW);
    let relay = Relay::new(&clock);
    let mischief = Mischief::new(&relay, seed);
    let agents: Vec<Agent> = (1..4)
        .map(|seed| {
            let place = Place::new(seed, &relay, &clock);
            place.builder().delivery(mischief.clone()).build().expect("an agent")
        })
        .collect();
    for agent in &agents {
        agent.publish_prekeys().await.expect("publish");
    }
    let mut sent: BTreeMap<Label, MessageId> = BTreeMap::new();
    let mut got = BTreeMap::new();
    for number in 0..40_u32 {
        let (from, step) = {
            let mut state = mischief.state();
            (state.below(3), state.below(2))
        };
        let to = (from + 1 + step) % 3;
        let mut payload = vec![u8::try_from(from).expect("few"), u8::try_from(to).expect("few")];
        payload.extend_from_slice(&number.to_be_bytes());
        let id = agents[from].send(agents[to].id(), payload.as_slice()).await.expect("send");
        sent.insert((from, to, number), id);
        if number % 3 == 0 {
            sync_all(&agents, &mut got).await;
        }
    }
    mischief.behave().await;
    for _ in 0..4 {
        sync_all(&agents, &mut got).await;
    }
    let destroyed = mischief.state().destroyed.clone();
    assert!(got.len() > sent.len() / 4, "{seed}: it does not destroy everything");
    for (label, times) in &got {
        assert!(sent.contains_key(label) && *times == 1, "{seed}: {label:?} {times} times");
    }
    for (label, id) in &sent {
        assert!(got.contains_key(label) || destroyed.contains(id), "{seed}: {label:?} is missing");
    }
}

// attack T25
#[tokio::test]
async fn what_arrives_was_sent_and_arrives_once_and_all_of_it_once_the_relay_behaves() {
    for seed in 0..24 {
        run(seed).await;
    }
}
