//! The one between the agents of the demo and their relay: it sees all that passes, and meddles.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sealwire::{
    core::{pad::FRAME_CLASSES, rng::draw},
    custody,
    delivery::{
        Address, Arrived, Claimed, Delivery, DeliveryError, Device, MailboxHandle, MailboxKind,
        MessageId, OpenedMailbox, Pending, Publication, Published, RelayDelivery, Watch,
    },
    ratchet::prekey::Unclaimed,
};
use tokio::sync::Notify;

/// More than a relay gives at a time.
const ALL: usize = 10_000;

/// What happens to frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    /// What should.
    Honest,
    /// They are handed out in another order, and every third of them twice.
    Shuffling,
    /// The frame is kept back, and forgeries of it are left in its place.
    Forging,
}

/// A frame that was left, and where.
#[derive(Clone)]
pub(super) struct Left {
    pub(super) to: Address,
    pub(super) frame: Vec<u8>,
}

struct State {
    conduct: Conduct,
    /// How many frames are still handed out.
    allowance: usize,
    left: Vec<Left>,
    /// How many frames the relay said that it has taken, repetitions and forgeries too.
    taken: u64,
    repeated: u64,
    forged: u64,
    /// What is shown instead of any bundle that is asked for.
    lie: Option<Published>,
    /// After how many frames somebody wants to know.
    alarm: usize,
}

/// What is known and done between the agents and their relay. Clones share it.
#[derive(Clone)]
pub(super) struct Post(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    rung: Notify,
}

/// The way of one agent to the relay.
pub(super) struct Carrier {
    post: Post,
    relay: RelayDelivery,
}

impl Post {
    pub(super) fn new() -> Self {
        let state = State {
            conduct: Conduct::Honest,
            allowance: usize::MAX,
            left: Vec::new(),
            taken: 0,
            repeated: 0,
            forged: 0,
            lie: None,
            alarm: usize::MAX,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), rung: Notify::new() }))
    }

    pub(super) fn behave(&self, conduct: Conduct) {
        self.state().conduct = conduct;
    }

    /// Hands out this many frames and no more, until it is told another number.
    pub(super) fn hand_out(&self, allowance: usize) {
        self.state().allowance = allowance;
    }

    /// Shows this card and bundle, whosever is asked for; or the true ones again.
    pub(super) fn lie(&self, lie: Option<Published>) {
        self.state().lie = lie;
    }

    /// Waits until so many frames are on their way or there, or [`Post::ring`].
    pub(super) async fn after(&self, frames: usize) {
        self.state().alarm = frames;
        self.0.rung.notified().await;
    }

    /// No more frames come.
    pub(super) fn ring(&self) {
        self.0.rung.notify_one();
    }

    /// The frames that agents left, oldest first.
    pub(super) fn left(&self) -> Vec<Left> {
        self.state().left.clone()
    }

    /// How many frames the relay has acknowledged.
    pub(super) fn taken(&self) -> u64 {
        self.state().taken
    }

    /// How many frames were left a second time, and how many forgeries.
    pub(super) fn meddled(&self) -> (u64, u64) {
        let state = self.state();
        (state.repeated, state.forged)
    }

    fn note(&self, to: &Address, frame: &[u8]) -> usize {
        let mut state = self.state();
        state.left.push(Left { to: to.clone(), frame: frame.to_vec() });
        if state.left.len() >= state.alarm {
            state.alarm = usize::MAX;
            self.ring();
        }
        state.left.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier {
    pub(super) fn new(post: Post, relay: RelayDelivery) -> Self {
        Self { post, relay }
    }

    /// Leaves a frame again.
    pub(super) async fn leave(&self, Left { to, frame }: &Left) -> Result<(), DeliveryError> {
        self.give(to, fresh_id()?, frame).await
    }

    async fn give(
        &self,
        to: &Address,
        message: MessageId,
        frame: &[u8],
    ) -> Result<(), DeliveryError> {
        self.relay.deposit(to, message, frame).await?;
        self.post.state().taken += 1;
        Ok(())
    }

    async fn shuffled(
        &self,
        from: &MailboxHandle,
        limit: usize,
    ) -> Result<Vec<Arrived>, DeliveryError> {
        let mut found = self.relay.fetch(from, ALL).await?;
        // The ids are random.
        found.sort_by_key(|arrived| arrived.message);
        found.truncate(limit);
        Ok(found)
    }

    async fn take(
        &self,
        to: &Address,
        message: MessageId,
        frame: &[u8],
    ) -> Result<(), DeliveryError> {
        let conduct = self.post.state().conduct;
        // Noted before: the relay may be killed while it has the frame in its hands.
        let number = self.post.note(to, frame);
        if conduct == Conduct::Forging {
            return self.forge(to, frame).await;
        }
        self.give(to, message, frame).await?;
        if conduct == Conduct::Shuffling && number.is_multiple_of(3) {
            let again = self.give(to, fresh_id()?, frame).await;
            // A mailbox that is full has no room for repetitions.
            self.post.state().repeated += u64::from(again.is_ok());
        }
        Ok(())
    }

    /// One bit of the header, one of the body and one of the tag; and a frame of nothing.
    async fn forge(&self, to: &Address, frame: &[u8]) -> Result<(), DeliveryError> {
        let nothing = vec![0; FRAME_CLASSES[0]];
        let flipped =
            [40, frame.len() / 2, frame.len().saturating_sub(1)].map(|at| flip(frame, at));
        for forgery in flipped.iter().chain([&nothing]) {
            self.give(to, fresh_id()?, forgery).await?;
            self.post.state().forged += 1;
        }
        Ok(())
    }
}

fn flip(frame: &[u8], at: usize) -> Vec<u8> {
    let mut forged = frame.to_vec();
    if let Some(byte) = forged.get_mut(at) {
        *byte ^= 1;
    }
    forged
}

fn fresh_id() -> Result<MessageId, DeliveryError> {
    let id = draw::<16>(&mut custody::system_rng());
    let id = id.map_err(|_| DeliveryError::Refused("no randomness"))?;
    Ok(MessageId::from_bytes(*id.expose()))
}

impl Delivery for Carrier {
    fn publish<'a>(&'a self, of: &'a Device, publication: &'a Publication) -> Pending<'a, ()> {
        self.relay.publish(of, publication)
    }

    fn bundle<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>> {
        match self.post.state().lie.clone() {
            Some(lie) => Box::pin(std::future::ready(Ok(Some(lie)))),
            None => self.relay.bundle(of),
        }
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
        Box::pin(self.take(to, message, frame))
    }

    fn fetch<'a>(&'a self, from: &'a MailboxHandle, limit: usize) -> Pending<'a, Vec<Arrived>> {
        Box::pin(async move {
            let (conduct, allowance) = {
                let state = self.post.state();
                (state.conduct, state.allowance)
            };
            let limit = limit.min(allowance);
            let found = match conduct {
                _ if limit == 0 => Vec::new(),
                Conduct::Shuffling => self.shuffled(from, limit).await?,
                Conduct::Honest | Conduct::Forging => self.relay.fetch(from, limit).await?,
            };
            self.post.state().allowance = allowance.saturating_sub(found.len());
            Ok(found)
        })
    }

    fn ack<'a>(&'a self, from: &'a MailboxHandle, sequences: &'a [u64]) -> Pending<'a, ()> {
        self.relay.ack(from, sequences)
    }

    fn watch(&self, mailboxes: Vec<MailboxHandle>) -> Pending<'_, Box<dyn Watch>> {
        self.relay.watch(mailboxes)
    }

    fn address<'a>(&'a self, of: &'a OpenedMailbox) -> Pending<'a, Address> {
        self.relay.address(of)
    }
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carrier(..)")
    }
}
