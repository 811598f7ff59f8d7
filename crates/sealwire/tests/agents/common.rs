//! Keys, and a clock to set.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sealwire::{
    Clock,
    core::{MemoryKeyStore, Timestamp},
};
use sealwire_testkit::rng::SeededRng;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 24 * HOUR;

/// A clock that stands until it is set.
#[derive(Debug)]
pub(crate) struct TestClock {
    wall: AtomicU64,
    elapsed: AtomicU64,
}

impl TestClock {
    pub(crate) fn at(wall: Timestamp) -> Arc<Self> {
        Arc::new(Self { wall: AtomicU64::new(wall.as_secs()), elapsed: AtomicU64::new(0) })
    }

    /// Time passes.
    pub(crate) fn pass(&self, seconds: u64) {
        self.wall.fetch_add(seconds, Ordering::SeqCst);
        self.elapsed.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set(&self, wall: Timestamp) {
        self.wall.store(wall.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_secs(self.wall.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(self.elapsed.load(Ordering::SeqCst))
    }
}

pub(crate) fn keys(seed: u64) -> Arc<MemoryKeyStore> {
    Arc::new(MemoryKeyStore::generate(&mut SeededRng::new(seed)).expect("keys"))
}
