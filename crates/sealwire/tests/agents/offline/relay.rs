//! A post office that does what a test tells it.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use sealwire::{
    delivery::{
        Address, Arrived, Claimed, Delivery, DeliveryError, Device, InProcess, MailboxHandle,
        MailboxKind, MessageId, OpenedMailbox, Pending, Publication, Published, Seen, Watch,
    },
    ratchet::prekey::Unclaimed,
};

use super::common::TestClock;

/// What becomes of a frame that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    /// Taken and lost.
    Lost,
    /// Taken twice, under two ids.
    Twice,
    /// Not taken: the relay is away.
    Away,
    /// Not taken, for good.
    Gone,
}

type OnDeposit = Box<dyn FnMut(&[u8]) -> Fate + Send>;
type OnBundle = Box<dyn FnMut(&Device, Option<Published>) -> Option<Published> + Send>;
type OnClaim = Box<dyn FnMut(Claimed) -> Claimed + Send>;

#[derive(Default)]
struct Rules {
    deposit: Option<OnDeposit>,
    bundle: Option<OnBundle>,
    claim: Option<OnClaim>,
    /// The order in which frames are handed out.
    backwards: bool,
    /// Acknowledgements get lost.
    forgets_acks: bool,
    /// Publications get lost.
    away_for_publishing: bool,
    next: u64,
    /// Frames in two mailboxes of another relay: that for first messages, which is read first,
    /// and that of a peer.
    planted: Vec<(usize, Option<Vec<u8>>)>,
    /// What has read mailboxes, in the order of its first call.
    readers: Vec<MailboxHandle>,
    /// Where frames went, oldest first.
    left: Vec<(Address, Vec<u8>)>,
}

pub(crate) struct Relay {
    pub(crate) office: InProcess,
    rules: Mutex<Rules>,
}

impl Relay {
    pub(crate) fn new(clock: &Arc<TestClock>) -> Arc<Self> {
        let office = InProcess::with_clock(clock.clone()).recording();
        Arc::new(Self { office, rules: Mutex::default() })
    }

    fn rules<R>(&self, change: impl FnOnce(&mut Rules) -> R) -> R {
        change(&mut self.rules.lock().expect("rules"))
    }

    pub(crate) fn on_deposit(&self, rule: impl FnMut(&[u8]) -> Fate + Send + 'static) {
        self.rules(|rules| rules.deposit = Some(Box::new(rule)));
    }

    pub(crate) fn on_bundle(
        &self,
        rule: impl FnMut(&Device, Option<Published>) -> Option<Published> + Send + 'static,
    ) {
        self.rules(|rules| rules.bundle = Some(Box::new(rule)));
    }

    pub(crate) fn on_claim(&self, rule: impl FnMut(Claimed) -> Claimed + Send + 'static) {
        self.rules(|rules| rules.claim = Some(Box::new(rule)));
    }

    pub(crate) fn backwards(&self, backwards: bool) {
        self.rules(|rules| rules.backwards = backwards);
    }

    pub(crate) fn forgets_acks(&self, forgets: bool) {
        self.rules(|rules| rules.forgets_acks = forgets);
    }

    pub(crate) fn away_for_publishing(&self, away: bool) {
        self.rules(|rules| rules.away_for_publishing = away);
    }

    pub(crate) fn honest(&self) {
        self.rules(|rules| {
            let (left, readers) =
                (std::mem::take(&mut rules.left), std::mem::take(&mut rules.readers));
            *rules = Rules { next: rules.next, left, readers, ..Rules::default() };
        });
    }

    /// The frames that it took, with the mailbox of each.
    pub(crate) fn deposits(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let deposit = |seen| match seen {
            Seen::Deposited { mailbox, frame, .. } => Some((mailbox, frame)),
            _ => None,
        };
        self.office.seen().into_iter().filter_map(deposit).collect()
    }

    pub(crate) fn claims(&self) -> usize {
        self.office.seen().iter().filter(|seen| matches!(seen, Seen::Claimed { .. })).count()
    }

    /// Where frames were left, and the frames, oldest first.
    pub(crate) fn left(&self) -> Vec<(Address, Vec<u8>)> {
        self.rules(|rules| rules.left.clone())
    }

    /// Those that begin a session.
    pub(crate) fn firsts(&self) -> Vec<(Address, Vec<u8>)> {
        self.left().into_iter().filter(|(_, frame)| frame[1] == 1).collect()
    }

    /// Puts frames into mailboxes that were opened at another relay.
    pub(crate) fn plant(&self, first: Vec<u8>, pairwise: Vec<u8>) {
        self.rules(|rules| rules.planted = vec![(0, Some(first)), (1, Some(pairwise))]);
    }

    /// Loses every mailbox that was ever read.
    pub(crate) async fn lose_mailboxes(&self) {
        for reader in self.rules(|rules| std::mem::take(&mut rules.readers)) {
            self.office.close_mailbox(&reader).await.expect("close");
        }
    }

    /// Leaves a frame where others of its kind went.
    pub(crate) async fn inject(&self, to: &Address, frame: &[u8]) {
        let id = self.fresh_id();
        self.office.deposit(to, id, frame).await.expect("deposit");
    }

    fn fresh_id(&self) -> MessageId {
        let number = self.rules(|rules| {
            rules.next += 1;
            rules.next
        });
        let mut id = [0xee; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        MessageId::from_bytes(id)
    }
}

impl Rules {
    fn planted_for(&mut self, from: &MailboxHandle) -> Option<Vec<Arrived>> {
        let known = self.readers.iter().position(|reader| reader == from);
        let mailbox = known.unwrap_or_else(|| {
            self.readers.push(from.clone());
            self.readers.len() - 1
        });
        if self.planted.is_empty() {
            return None;
        }
        let of_this = (1..).zip(&self.planted).filter(|(_, (of, _))| *of == mailbox);
        let message = MessageId::from_bytes([0; 16]);
        let arrived = |(sequence, (_, frame)): (u64, &(usize, Option<Vec<u8>>))| {
            Some(Arrived { sequence, message, frame: frame.clone()? })
        };
        Some(of_this.filter_map(arrived).collect())
    }

    fn take_planted(&mut self, sequences: &[u64]) -> bool {
        for (sequence, (_, frame)) in (1..).zip(&mut self.planted) {
            if sequences.contains(&sequence) {
                *frame = None;
            }
        }
        !self.planted.is_empty()
    }
}

fn away<T>() -> Result<T, DeliveryError> {
    Err(DeliveryError::Unreachable(std::io::Error::other("told so")))
}

impl Delivery for Relay {
    fn publish<'a>(&'a self, of: &'a Device, publication: &'a Publication) -> Pending<'a, ()> {
        if self.rules(|rules| rules.away_for_publishing) {
            return Box::pin(std::future::ready(away()));
        }
        self.office.publish(of, publication)
    }

    fn bundle<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>> {
        Box::pin(async move {
            let published = self.office.bundle(of).await?;
            Ok(self.rules(|rules| match &mut rules.bundle {
                Some(rule) => rule(of, published),
                None => published,
            }))
        })
    }

    fn claim<'a>(&'a self, of: &'a Device, nonce: [u8; 16]) -> Pending<'a, Claimed> {
        Box::pin(async move {
            let claimed = self.office.claim(of, nonce).await?;
            Ok(self.rules(|rules| match &mut rules.claim {
                Some(rule) => rule(claimed),
                None => claimed,
            }))
        })
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
        let fate = self.rules(|rules| {
            rules.left.push((to.clone(), frame.to_vec()));
            rules.deposit.as_mut().map_or(Fate::Pass, |rule| rule(frame))
        });
        Box::pin(async move {
            match fate {
                Fate::Pass => self.office.deposit(to, message, frame).await,
                Fate::Lost => Ok(()),
                Fate::Twice => {
                    self.office.deposit(to, message, frame).await?;
                    self.office.deposit(to, self.fresh_id(), frame).await
                }
                Fate::Away => away(),
                Fate::Gone => Err(DeliveryError::Refused("told so")),
            }
        })
    }

    fn fetch<'a>(&'a self, from: &'a MailboxHandle, limit: usize) -> Pending<'a, Vec<Arrived>> {
        Box::pin(async move {
            if let Some(planted) = self.rules(|rules| rules.planted_for(from)) {
                return Ok(planted);
            }
            let backwards = self.rules(|rules| rules.backwards);
            let limit = if backwards { 1000 } else { limit };
            let mut found = self.office.fetch(from, limit).await?;
            if backwards {
                found.reverse();
            }
            Ok(found)
        })
    }

    fn ack<'a>(&'a self, from: &'a MailboxHandle, sequences: &'a [u64]) -> Pending<'a, ()> {
        if self.rules(|rules| rules.take_planted(sequences)) {
            return Box::pin(std::future::ready(Ok(())));
        }
        if self.rules(|rules| rules.forgets_acks) {
            return Box::pin(std::future::ready(away()));
        }
        self.office.ack(from, sequences)
    }

    fn watch(&self, mailboxes: Vec<MailboxHandle>) -> Pending<'_, Box<dyn Watch>> {
        self.office.watch(mailboxes)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Relay(..)")
    }
}
