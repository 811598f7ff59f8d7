//! The post office of the demo: it keeps all that is left with it, and meddles.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sealwire::{
    core::{pad::FRAME_CLASSES, rng::draw},
    custody,
    delivery::{
        Address, Arrived, Claimed, Delivery, DeliveryError, Device, InProcess, MailboxHandle,
        MailboxKind, MessageId, OpenedMailbox, Pending, Publication, Published, Watch,
    },
    ratchet::prekey::Unclaimed,
};

/// More than a mailbox holds.
const ALL: usize = 10_000;

/// What the post office does with frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    /// What it should.
    Honest,
    /// Hands them out in another order, and every third of them twice.
    Shuffling,
    /// Keeps the frame, and leaves forgeries of it in its place.
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
    /// How many frames it still hands out.
    allowance: usize,
    left: Vec<Left>,
    repeated: u64,
    forged: u64,
}

pub(super) struct Post {
    office: InProcess,
    state: Mutex<State>,
}

impl Post {
    pub(super) fn new() -> Arc<Self> {
        let state = State {
            conduct: Conduct::Honest,
            allowance: usize::MAX,
            left: Vec::new(),
            repeated: 0,
            forged: 0,
        };
        Arc::new(Self { office: InProcess::new(), state: Mutex::new(state) })
    }

    pub(super) fn behave(&self, conduct: Conduct) {
        self.state().conduct = conduct;
    }

    /// Hands out this many frames and no more, until it is told another number.
    pub(super) fn hand_out(&self, allowance: usize) {
        self.state().allowance = allowance;
    }

    /// The frames that agents left, oldest first.
    pub(super) fn left(&self) -> Vec<Left> {
        self.state().left.clone()
    }

    /// How many frames it left a second time, and how many forgeries.
    pub(super) fn meddled(&self) -> (u64, u64) {
        let state = self.state();
        (state.repeated, state.forged)
    }

    /// Leaves a frame again.
    pub(super) async fn leave(&self, Left { to, frame }: &Left) -> Result<(), DeliveryError> {
        self.office.deposit(to, fresh_id()?, frame).await
    }

    async fn shuffled(
        &self,
        from: &MailboxHandle,
        limit: usize,
    ) -> Result<Vec<Arrived>, DeliveryError> {
        let mut found = self.office.fetch(from, ALL).await?;
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
        let conduct = self.state().conduct;
        if conduct == Conduct::Forging {
            self.forge(to, frame).await?;
        } else {
            self.office.deposit(to, message, frame).await?;
        }
        let number = {
            let mut state = self.state();
            state.left.push(Left { to: to.clone(), frame: frame.to_vec() });
            state.left.len()
        };
        if conduct == Conduct::Shuffling && number.is_multiple_of(3) {
            let again = self.office.deposit(to, fresh_id()?, frame).await;
            // A mailbox that is full has no room for repetitions.
            self.state().repeated += u64::from(again.is_ok());
        }
        Ok(())
    }

    /// One bit of the header, one of the body and one of the tag; and a frame of nothing.
    async fn forge(&self, to: &Address, frame: &[u8]) -> Result<(), DeliveryError> {
        let nothing = vec![0; FRAME_CLASSES[0]];
        let flipped =
            [40, frame.len() / 2, frame.len().saturating_sub(1)].map(|at| flip(frame, at));
        for forgery in flipped.iter().chain([&nothing]) {
            self.office.deposit(to, fresh_id()?, forgery).await?;
            self.state().forged += 1;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Delivery for Post {
    fn publish<'a>(&'a self, of: &'a Device, publication: &'a Publication) -> Pending<'a, ()> {
        self.office.publish(of, publication)
    }

    fn bundle<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>> {
        self.office.bundle(of)
    }

    fn claim<'a>(&'a self, of: &'a Device, nonce: [u8; 16]) -> Pending<'a, Claimed> {
        self.office.claim(of, nonce)
    }

    fn remaining<'a>(&'a self, of: &'a Device) -> Pending<'a, Unclaimed> {
        self.office.remaining(of)
    }

    fn open_mailbox(&self, kind: MailboxKind) -> Pending<'_, OpenedMailbox> {
        self.office.open_mailbox(kind)
    }

    fn close_mailbox<'a>(&'a self, mailbox: &'a MailboxHandle) -> Pending<'a, ()> {
        self.office.close_mailbox(mailbox)
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
                let state = self.state();
                (state.conduct, state.allowance)
            };
            let limit = limit.min(allowance);
            let found = match conduct {
                Conduct::Shuffling => self.shuffled(from, limit).await?,
                Conduct::Honest | Conduct::Forging => self.office.fetch(from, limit).await?,
            };
            self.state().allowance = allowance.saturating_sub(found.len());
            Ok(found)
        })
    }

    fn ack<'a>(&'a self, from: &'a MailboxHandle, sequences: &'a [u64]) -> Pending<'a, ()> {
        self.office.ack(from, sequences)
    }

    fn watch(&self, mailboxes: Vec<MailboxHandle>) -> Pending<'_, Box<dyn Watch>> {
        self.office.watch(mailboxes)
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post(..)")
    }
}
