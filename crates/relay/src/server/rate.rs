//! How often somebody may do something: token buckets in a table of fixed size.
//!
//! A bucket is one time (the generic cell rate algorithm): when it would be full again. Buckets
//! lie in sets of eight, found by a hash under a key of this process. A full set gives up the
//! bucket that is nearest to full, which knows least; to be rid of an empty one, somebody has to
//! empty seven others beside it, without knowing which those are.

use core::{hash::Hash, time::Duration};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

/// Buckets of a set.
const WAYS: usize = 8;

/// Sets of a table: with [`WAYS`] and 16 bytes a bucket a table has 512 KiB.
const SETS: usize = 4096;

/// Sets behind one lock.
const SETS_PER_SHARD: usize = 64;

/// At most so many within a minute, evenly or at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a number and its meaning")]
pub struct PerMinute(pub u32);

/// One limit, for any number of callers.
#[derive(Debug)]
pub(super) struct Limiter {
    /// The time that one use costs and the time that a full bucket holds, in microseconds.
    cost: u64,
    burst: u64,
    keys: RandomState,
    shards: Vec<Mutex<Shard>>,
}

type Shard = [[Bucket; WAYS]; SETS_PER_SHARD];

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    tag: u64,
    /// When it is full again, in microseconds since the start.
    full_at: u64,
}

impl Limiter {
    /// The limit, `None` for none.
    pub(super) fn new(limit: Option<PerMinute>) -> Self {
        let PerMinute(limit) = limit.unwrap_or(PerMinute(0));
        let burst = 60_000_000;
        let shards = if limit == 0 { 0 } else { SETS / SETS_PER_SHARD };
        Self {
            cost: burst / u64::from(limit.max(1)),
            burst,
            keys: RandomState::new(),
            shards: (0..shards)
                .map(|_| Mutex::new([[Bucket::default(); WAYS]; SETS_PER_SHARD]))
                .collect(),
        }
    }

    /// Counts one use by `who`, or says after how many seconds it may be tried again.
    pub(super) fn take(&self, who: impl Hash, elapsed: Duration) -> Result<(), u64> {
        let hash = self.keys.hash_one(who);
        // The low bits choose the set, all of them tell its buckets apart. 0 is a free bucket.
        let tag = hash | 1 << 63;
        let set = usize::try_from(hash % SETS as u64).unwrap_or_default();
        let Some(shard) = self.shards.get(set / SETS_PER_SHARD) else { return Ok(()) };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ways) = shard.get_mut(set % SETS_PER_SHARD) else { return Ok(()) };
        let now = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let Some(bucket) = bucket_of(ways, tag) else { return Ok(()) };
        let full_at = bucket.full_at.max(now).saturating_add(self.cost);
        let over = full_at.saturating_sub(now.saturating_add(self.burst));
        if over > 0 {
            return Err(over.div_ceil(1_000_000));
        }
        bucket.full_at = full_at;
        Ok(())
    }
}

/// The bucket with this tag: the one that is there, or a new one in place of the fullest.
fn bucket_of(ways: &mut [Bucket; WAYS], tag: u64) -> Option<&mut Bucket> {
    let there = ways.iter().position(|bucket| bucket.tag == tag);
    let bucket = match there {
        Some(index) => ways.get_mut(index)?,
        None => {
            let fullest = ways.iter_mut().min_by_key(|bucket| bucket.full_at)?;
            *fullest = Bucket { tag, full_at: 0 };
            fullest
        }
    };
    Some(bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_bucket_empties_at_once_and_fills_evenly() {
        let limiter = Limiter::new(Some(PerMinute(10)));
        for _ in 0..10 {
            limiter.take("alice", at(100)).expect("a full bucket");
        }
        assert_eq!(limiter.take("alice", at(100)), Err(6));
        assert_eq!(limiter.take("alice", at(105)), Err(1));
        assert_eq!(limiter.take("bob", at(105)), Ok(()));
        assert_eq!(limiter.take("alice", at(106)), Ok(()));
        assert_eq!(limiter.take("alice", at(106)), Err(6));
        // After a minute there is a minute's worth, however long nothing was taken.
        for _ in 0..10 {
            limiter.take("alice", at(10_000)).expect("a full bucket");
        }
        assert_eq!(limiter.take("alice", at(10_000)), Err(6));
    }

    #[test]
    fn without_a_limit_everything_goes() {
        let limiter = Limiter::new(None);
        assert!((0..10_000).all(|_| limiter.take("alice", at(1)).is_ok()));
    }

    // attack T21: whoever ran dry stays dry, whatever number of names is tried beside.
    #[test]
    fn strangers_do_not_push_an_empty_bucket_out() {
        let limiter = Limiter::new(Some(PerMinute(2)));
        limiter.take("alice", at(1)).expect("the first");
        limiter.take("alice", at(1)).expect("the second");
        for stranger in 0..1_000_000 {
            limiter.take(stranger, at(1)).expect("a bucket of its own");
        }
        assert!(limiter.take("alice", at(1)).is_err());
    }
}
