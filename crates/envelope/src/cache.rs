//! Keys of objects that were opened a moment ago.

use core::{fmt, time::Duration};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sealwire_core::{Timestamp, kdf};

use crate::{
    Error, Head, KeyRecord, ObjectId, Pairs, Sealers, Unlocked,
    kms::{KeyRef, Kms},
};

/// Keeps the keys of objects for a while, so that a key service is not asked again for what it has
/// just unwrapped.
///
/// What is kept opens one object, by one key record, for one required context, with one key of a
/// service. Whoever asks reads the record anew and has its sealer verified anew: an object that
/// was erased does not open, nor does one by a record that was changed, until the service was
/// asked. Data keys are not kept: only what they open an object with.
///
/// # Security
/// For as long as an entry lives, who takes away the right to unwrap takes nothing away from whoever
/// has the cache. A cache is for one user of a service: what one has opened, another one who
/// reads records from the same store would open without a right of its own.
///
/// ```
/// use core::time::Duration;
/// use sealwire_envelope::Cache;
///
/// // A thousand objects, five minutes each.
/// let cache = Cache::new(1_000, Duration::from_secs(300));
/// assert!(cache.is_empty());
/// ```
pub struct Cache {
    most: usize,
    ttl: u64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    entries: HashMap<Name, Entry>,
    uses: u64,
}

/// All that an entry depends on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name {
    object: ObjectId,
    record: [u8; kdf::HASH_LEN],
    head: [u8; kdf::HASH_LEN],
    required: [u8; kdf::HASH_LEN],
    key: KeyRef,
}

struct Entry {
    unlocked: Unlocked,
    since: Timestamp,
    used: u64,
}

impl Cache {
    /// A cache of so many objects, each for so long, in whole seconds.
    pub fn new(entries: usize, ttl: Duration) -> Self {
        Self { most: entries, ttl: ttl.as_secs(), held: Mutex::default() }
    }

    /// As [`KeyRecord::unlock`], without asking the key service where it unwrapped the same record
    /// a moment ago.
    ///
    /// # Errors
    /// As [`KeyRecord::unlock`].
    // ENV-45
    pub async fn unlock(
        &self,
        record: &KeyRecord,
        kms: &dyn Kms,
        head: &Head,
        required: &Pairs,
        sealers: &dyn Sealers,
        now: Timestamp,
    ) -> Result<Unlocked, Error> {
        record.slot_for(kms, head, required, sealers)?;
        let name = Name {
            object: head.header().object(),
            record: kdf::sha256(&[&record.to_bytes()]),
            head: kdf::sha256(&[&head.to_bytes()]),
            required: kdf::sha256(&[&required.to_bytes()]),
            key: kms.key().clone(),
        };
        if let Some(unlocked) = self.get(&name, now) {
            return Ok(unlocked);
        }
        let unlocked = record.unlock(kms, head, required, sealers).await?;
        self.insert(name, &unlocked, now);
        Ok(unlocked)
    }

    /// How many objects it holds.
    pub fn len(&self) -> usize {
        self.held().entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.held().entries.clear();
    }

    /// Forgets what is too old, which it does at every use too.
    pub fn expire(&self, now: Timestamp) {
        let ttl = self.ttl;
        // A clock that was set back makes nothing younger.
        self.held()
            .entries
            .retain(|_, entry| now.since(entry.since).max(entry.since.since(now)) < ttl);
    }

    fn get(&self, name: &Name, now: Timestamp) -> Option<Unlocked> {
        self.expire(now);
        let mut held = self.held();
        let Held { entries, uses } = &mut *held;
        let entry = entries.get_mut(name).filter(|entry| entry.since <= now)?;
        *uses = uses.saturating_add(1);
        entry.used = *uses;
        Some(entry.unlocked.clone())
    }

    fn insert(&self, name: Name, unlocked: &Unlocked, now: Timestamp) {
        if self.most == 0 || self.ttl == 0 {
            return;
        }
        let mut held = self.held();
        let Held { entries, uses } = &mut *held;
        if entries.len() >= self.most && !entries.contains_key(&name) {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| entries.remove(&name));
        }
        *uses = uses.saturating_add(1);
        entries.insert(name, Entry { unlocked: unlocked.clone(), since: now, used: *uses });
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names no key and no object.
impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { most, ttl, held: _ } = self;
        f.debug_struct("Cache").field("most", most).field("ttl", ttl).finish_non_exhaustive()
    }
}
