//! Stores that fail, are full, or take their time.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicUsize, Ordering},
};

use sealwire_core::Timestamp;
use sealwire_relay::{
    Caller, Device, Nonce, Problem, ReceiveId, SendId,
    server::Event,
    store::{
        Appended, Deposit, Directory, Entrance, Mailboxes, MemoryStore, Nonces, Outcome, Pending,
        Store, StoreError, Taken, Usage,
    },
    wire::{
        Body, Check, Kind, MailboxKind, Message, NewMailbox, Operation, Page, Publish, Published,
        Remaining, Revoke,
    },
};
use tokio::sync::Semaphore;

use crate::{
    connections::until,
    http::Http,
    people::{Agent, claim, deposit},
    rig::{Rig, frame, settings},
};

const GOOD: u8 = 0;
pub(crate) const FULL: u8 = 1;
pub(crate) const BROKEN: u8 = 2;

/// A store that counts its calls, and fails or waits when it is told to.
#[derive(Debug)]
pub(crate) struct Wrapped<S> {
    inner: S,
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) mood: AtomicU8,
    /// Appends that may go on.
    pub(crate) gate: Semaphore,
}

impl<S: Sync> Wrapped<S> {
    pub(crate) fn new(inner: S) -> Self {
        let gate = Semaphore::new(Semaphore::MAX_PERMITS);
        Self { inner, calls: Arc::default(), mood: GOOD.into(), gate }
    }

    fn through<'a, T: Send + 'a>(&'a self, call: Pending<'a, T>) -> Pending<'a, T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            match self.mood.load(Ordering::SeqCst) {
                FULL => Err(StoreError::Full),
                BROKEN => Err(StoreError::Failed("disk I/O error".to_owned())),
                _ => call.await,
            }
        })
    }
}

impl<S: Directory> Directory for Wrapped<S> {
    fn publish<'a>(
        &'a self,
        of: &'a Device,
        publish: &'a Publish,
        check: &'a Check,
        until: Timestamp,
    ) -> Pending<'a, Outcome> {
        self.through(self.inner.publish(of, publish, check, until))
    }

    fn published<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>> {
        self.through(self.inner.published(of))
    }

    fn check<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Check>> {
        self.through(self.inner.check(of))
    }

    fn add_page<'a>(
        &'a self,
        now: Timestamp,
        of: &'a Device,
        kind: Kind,
        base: u32,
        page: &'a Page,
    ) -> Pending<'a, Outcome> {
        self.through(self.inner.add_page(now, of, kind, base, page))
    }

    fn remaining<'a>(&'a self, now: Timestamp, of: &'a Device) -> Pending<'a, Remaining> {
        self.through(self.inner.remaining(now, of))
    }

    fn claim<'a>(
        &'a self,
        now: Timestamp,
        caller: &'a Caller,
        of: &'a Device,
        nonce: &'a Nonce,
    ) -> Pending<'a, Option<Taken>> {
        self.through(self.inner.claim(now, caller, of, nonce))
    }
}

impl<S: Mailboxes> Mailboxes for Wrapped<S> {
    fn create<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        mailbox: &'a NewMailbox,
    ) -> Pending<'a, Outcome> {
        self.through(self.inner.create(now, id, mailbox))
    }

    fn close<'a>(&'a self, id: &'a ReceiveId) -> Pending<'a, bool> {
        self.through(self.inner.close(id))
    }

    fn revoke<'a>(&'a self, id: &'a ReceiveId, revoke: &'a Revoke) -> Pending<'a, Outcome> {
        self.through(self.inner.revoke(id, revoke))
    }

    fn entrance<'a>(&'a self, id: &'a SendId) -> Pending<'a, Option<Entrance>> {
        self.through(self.inner.entrance(id))
    }

    fn append<'a>(&'a self, now: Timestamp, batch: &'a [Deposit]) -> Pending<'a, Vec<Appended>> {
        let gated = async move {
            self.gate.acquire().await.expect("never closed").forget();
            self.inner.append(now, batch).await
        };
        self.through(Box::pin(gated))
    }

    fn fetch<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        after: u64,
        limit: u32,
    ) -> Pending<'a, Option<(Vec<Message>, bool)>> {
        self.through(self.inner.fetch(now, id, after, limit))
    }

    fn ack<'a>(
        &'a self,
        now: Timestamp,
        id: &'a ReceiveId,
        sequences: &'a [u64],
    ) -> Pending<'a, Option<u32>> {
        self.through(self.inner.ack(now, id, sequences))
    }
}

impl<S: Nonces> Nonces for Wrapped<S> {
    fn spend<'a>(
        &'a self,
        signer: &'a Caller,
        nonce: &'a Nonce,
        until: Timestamp,
    ) -> Pending<'a, bool> {
        self.through(self.inner.spend(signer, nonce, until))
    }
}

impl<S: Store> Store for Wrapped<S> {
    fn sweep(&self, now: Timestamp, limit: u32) -> Pending<'_, bool> {
        self.through(self.inner.sweep(now, limit))
    }

    fn mark(&self, now: Timestamp) -> Pending<'_, Timestamp> {
        self.through(self.inner.mark(now))
    }

    fn usage(&self) -> Pending<'_, Usage> {
        self.through(self.inner.usage())
    }
}

#[tokio::test]
async fn a_store_that_fails_is_told_as_unavailable_with_a_time_to_come_back() {
    let store = Arc::new(Wrapped::new(MemoryStore::new()));
    let rig = Rig::over(Arc::clone(&store) as Arc<dyn Store>, settings()).await;
    let (owner, agent) = (rig.owner(MailboxKind::Pairwise).await, rig.agent().await);
    rig.deposit(&owner, &frame(1)).await.is(202);
    for mood in [FULL, BROKEN] {
        store.mood.store(mood, Ordering::SeqCst);
        let acks = sealwire_relay::wire::Acks { sequences: vec![1] }.to_bytes();
        for ask in [
            deposit(owner.send, &owner.capability(1, rig.now()), &frame(2)),
            rig.signed(&owner, &owner.fetch(0, 1, 0), &[]),
            rig.signed(&owner, &owner.fetch(0, 1, 60), &[]),
            rig.signed(&owner, &Operation::Ack(owner.receive), &acks),
            rig.signed(&owner, &Operation::CloseMailbox(owner.receive), &[]),
            rig.signed(&owner, &Operation::Stream(owner.receive), &[]),
            rig.signed(&Agent::new(), &agent.claim(), &claim()),
            crate::http::Ask::new(&Operation::Published(agent.device.clone()), &[]),
            crate::http::Ask::new(&Operation::Check(agent.device.clone()), &[]),
        ] {
            let answer = rig.ask(&ask).await;
            assert_eq!(answer.problem(), Problem::Unavailable, "{} {}", ask.method, ask.target);
            assert_eq!(answer.header("retry-after"), Some("5"));
        }
        assert_eq!(rig.operator("/readyz").await.status, 503);
        assert_eq!(rig.operator("/healthz").await.status, 200);
        assert_eq!(rig.operator("/").await.status, 200);
    }
    // Nothing of it is half there, and all goes on.
    store.mood.store(GOOD, Ordering::SeqCst);
    assert_eq!(rig.operator("/readyz").await.status, 200);
    let messages = rig.fetch(&owner, 0, 10).await.messages;
    assert_eq!((messages.len(), messages[0].frame[0]), (1, 1));
    let failures =
        rig.events().into_iter().filter(|event| matches!(event, Event::StoreFailed { .. }));
    let failures: Vec<_> = failures.collect();
    assert!(
        failures.contains(&Event::StoreFailed {
            reason: "there is no room to store anything".to_owned()
        })
    );
    assert!(failures.len() < 10, "one a second at most: {failures:?}");
}

// attack T23: one address does not fill the queue of all.
#[tokio::test]
async fn frames_that_wait_for_a_slow_store_are_bounded_by_address_and_then_stored() {
    let store = Arc::new(Wrapped::new(MemoryStore::new()));
    let mut settings = settings();
    settings.bounds.waiting_deposits = 64;
    let rig = Rig::over(Arc::clone(&store) as Arc<dyn Store>, settings).await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let capability = owner.capability(1, rig.now());
    store.gate.forget_permits(Semaphore::MAX_PERMITS);
    let asks: Vec<_> = (0..40).map(|_| deposit(owner.send, &capability, &frame(1))).collect();
    let waiting = futures_util::future::join_all(asks.iter().map(|ask| rig.ask(ask)));
    let elsewhere = async {
        until(&rig, "waiting_deposits", 8).await;
        let other = deposit(owner.send, &capability, &frame(2));
        Http::connect_from([127, 0, 0, 2], rig.address).await.ask(&other).await
    };
    let release = async {
        until(&rig, "waiting_deposits", 9).await;
        store.gate.add_permits(1000);
    };
    let (answers, other, ()) = tokio::join!(waiting, elsewhere, release);
    other.is(202);
    let taken = answers.iter().filter(|answer| answer.status == 202).count();
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        assert_eq!(answer.problem(), Problem::Unavailable);
        assert_eq!(answer.header("retry-after"), Some("5"));
    }
    assert_eq!(taken, 8, "an eighth of those that may wait");
    assert_eq!(rig.fetch(&owner, 0, 100).await.messages.len(), taken + 1);
}
