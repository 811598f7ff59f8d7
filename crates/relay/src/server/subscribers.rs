//! Who waits for news of a mailbox.
//!
//! News are flags: however much arrives while a reader is busy, it is told once, and costs the
//! same memory.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use crate::ReceiveId;

const ARRIVED: u8 = 1;
const LOW: u8 = 2;
const CLOSED: u8 = 4;

/// Locks among which mailboxes are divided.
const SHARDS: usize = 16;

/// Mailboxes for which it is remembered that prekeys run low while nobody waits there: a
/// megabyte. Beyond it owners learn it when they count their keys.
const MAX_LOW: usize = 32 * 1024;

/// Everybody who waits.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    shards: [Mutex<Waiters>; SHARDS],
    low: Mutex<HashSet<ReceiveId>>,
    count: AtomicUsize,
}

type Waiters = HashMap<ReceiveId, Vec<Arc<Waiter>>>;

#[derive(Debug, Default)]
struct Waiter {
    news: AtomicU8,
    wake: Notify,
}

/// One who waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    all: Arc<Subscribers>,
    mailbox: ReceiveId,
    waiter: Arc<Waiter>,
}

/// What is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Something arrived.
    pub(super) arrived: bool,
    /// One-time prekeys run low.
    pub(super) low: bool,
    /// The mailbox was closed.
    pub(super) closed: bool,
}

impl Subscribers {
    /// Waits for news of a mailbox, `None` when `max` do so already.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        mailbox: ReceiveId,
        max: usize,
    ) -> Option<Subscription> {
        let waiter = Arc::new(Waiter::default());
        {
            let mut shard = self.shard(&mailbox)?.lock().unwrap_or_else(PoisonError::into_inner);
            let waiters = shard.entry(mailbox).or_default();
            if waiters.len() >= max {
                return None;
            }
            waiters.push(Arc::clone(&waiter));
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.take_low(&mailbox) {
            waiter.news.store(LOW, Ordering::Relaxed);
        }
        Some(Subscription { all: Arc::clone(self), mailbox, waiter })
    }

    /// Something arrived there.
    pub(super) fn arrived(&self, mailbox: &ReceiveId) {
        self.tell(mailbox, ARRIVED);
    }

    /// The mailbox was closed.
    pub(super) fn closed(&self, mailbox: &ReceiveId) {
        self.tell(mailbox, CLOSED);
    }

    /// Prekeys of the device with this contact mailbox run low. When nobody waits there, the
    /// next one who asks is told.
    pub(super) fn prekeys_low(&self, mailbox: &ReceiveId) {
        if !self.tell(mailbox, LOW) {
            let mut low = self.low.lock().unwrap_or_else(PoisonError::into_inner);
            if low.len() < MAX_LOW {
                low.insert(*mailbox);
            }
        }
    }

    /// Whether prekeys ran low while nobody waited; forgets it.
    pub(super) fn take_low(&self, mailbox: &ReceiveId) -> bool {
        self.low.lock().unwrap_or_else(PoisonError::into_inner).remove(mailbox)
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn tell(&self, mailbox: &ReceiveId, news: u8) -> bool {
        let Some(shard) = self.shard(mailbox) else { return false };
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiters) = shard.get(mailbox) else { return false };
        for waiter in waiters {
            waiter.news.fetch_or(news, Ordering::AcqRel);
            waiter.wake.notify_one();
        }
        true
    }

    fn shard(&self, mailbox: &ReceiveId) -> Option<&Mutex<Waiters>> {
        // A receive id is a hash: its first byte is as good as any.
        let [first, ..] = mailbox.as_bytes();
        self.shards.get(usize::from(*first) % SHARDS)
    }
}

impl Subscription {
    /// Waits for news and takes them.
    pub(super) async fn news(&self) -> News {
        loop {
            let woken = self.waiter.wake.notified();
            match self.waiter.news.swap(0, Ordering::AcqRel) {
                0 => woken.await,
                news => return News::of(news),
            }
        }
    }

    /// What is new since news were last taken; takes them.
    pub(super) fn take(&self) -> News {
        News::of(self.waiter.news.swap(0, Ordering::AcqRel))
    }
}

impl News {
    const fn of(news: u8) -> Self {
        Self { arrived: news & ARRIVED != 0, low: news & LOW != 0, closed: news & CLOSED != 0 }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.all.count.fetch_sub(1, Ordering::Relaxed);
        let Some(shard) = self.all.shard(&self.mailbox) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiters) = shard.get_mut(&self.mailbox) {
            waiters.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
            if waiters.is_empty() {
                shard.remove(&self.mailbox);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAILBOX: ReceiveId = ReceiveId::from_bytes([7; 16]);

    #[tokio::test]
    async fn news_are_told_once_however_many_there_are() {
        let subscribers = Arc::new(Subscribers::default());
        let subscription = subscribers.subscribe(MAILBOX, 2).expect("room");
        for _ in 0..1000 {
            subscribers.arrived(&MAILBOX);
        }
        subscribers.prekeys_low(&MAILBOX);
        let news = subscription.news().await;
        assert_eq!(news, News { arrived: true, low: true, closed: false });
        assert_eq!(subscription.take(), News::default());
        let waiting =
            tokio::time::timeout(core::time::Duration::from_millis(20), subscription.news());
        assert!(waiting.await.is_err());
    }

    #[test]
    fn readers_of_one_mailbox_are_bounded_and_forgotten() {
        let subscribers = Arc::new(Subscribers::default());
        let one = subscribers.subscribe(MAILBOX, 2).expect("the first");
        let two = subscribers.subscribe(MAILBOX, 2).expect("the second");
        assert!(subscribers.subscribe(MAILBOX, 2).is_none());
        assert!(subscribers.subscribe(ReceiveId::from_bytes([8; 16]), 2).is_some());
        assert_eq!(subscribers.count(), 2);
        drop((one, two));
        assert_eq!(subscribers.count(), 0);
        assert!(subscribers.shards.iter().all(|shard| shard.lock().expect("a lock").is_empty()));
    }

    #[test]
    fn that_prekeys_run_low_is_kept_for_the_next_who_asks() {
        let subscribers = Arc::new(Subscribers::default());
        subscribers.prekeys_low(&MAILBOX);
        let subscription = subscribers.subscribe(MAILBOX, 1).expect("room");
        assert!(subscription.take().low);
        assert!(!subscribers.take_low(&MAILBOX));
        drop(subscription);
        subscribers.prekeys_low(&MAILBOX);
        assert!(subscribers.take_low(&MAILBOX));
        assert!(!subscribers.take_low(&MAILBOX));
    }
}
