//! The keys that wrap data keys, and when each of them comes and goes.
//!
//! ```text
//! Active ── rotate ──▶ DecryptOnly until a date ── retire, with a census ──▶ Retired
//! ```
//!
//! A ring holds names and dates, and no key. It says nothing to the key service: there a key is
//! disabled or destroyed by whoever may, after the ring says that it is retired.

mod encoding;

use sealwire_core::Timestamp;

use crate::{
    Error,
    census::Census,
    kms::{KeyId, KeyRef},
};

const DAY: u64 = 24 * 60 * 60;

/// The versions of keys that wrap or have wrapped, oldest first. The last one is the active one.
///
/// Keep it where the settings are that name the key service. Whoever can change it can have data
/// keys wrapped under an older version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekRing {
    entries: Vec<Entry>,
}

/// One version of a key in the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    id: KeyId,
    since: Timestamp,
    state: State,
}

/// What a version of a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "each state is a decision for whoever matches")]
pub enum State {
    /// It wraps and unwraps.
    Active,
    /// It unwraps. From `until` on it may be retired, and not of itself.
    DecryptOnly {
        /// The end of grace.
        until: Timestamp,
    },
    /// No key record refers to it any more.
    Retired {
        /// When that was found.
        at: Timestamp,
    },
}

/// When keys rotate, and when someone is reminded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "settings, with defaults")]
pub struct Schedule {
    /// Days between rotations.
    pub rotation_days: u32,
    /// Days for which an old version is in any case kept.
    pub grace_days: u32,
    /// Days before a date on which someone is reminded of it.
    pub reminder_days: u32,
    /// Days between audits of who may use the keys.
    pub audit_days: u32,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { rotation_days: 90, grace_days: 30, reminder_days: 14, audit_days: 90 }
    }
}

/// How a date stands to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a date is ahead, near or past")]
pub enum Due {
    /// Not for a while.
    Later(Timestamp),
    /// Soon: someone is to be reminded.
    Soon(Timestamp),
    /// Now, or since this time.
    Now(Timestamp),
}

impl Schedule {
    /// When whoever may use the keys is looked at again, after it was at `last`.
    // ENV-32
    pub fn audit_due(&self, last: Timestamp, now: Timestamp) -> Due {
        self.due(last, self.audit_days, now)
    }

    fn due(&self, last: Timestamp, days: u32, now: Timestamp) -> Due {
        let at = last.plus(u64::from(days).saturating_mul(DAY));
        let reminder = u64::from(self.reminder_days).saturating_mul(DAY);
        if now >= at {
            Due::Now(at)
        } else if now.plus(reminder) >= at {
            Due::Soon(at)
        } else {
            Due::Later(at)
        }
    }
}

impl KekRing {
    /// The most versions that a ring holds: a rotation every 90 days for 60 years.
    pub const MAX_ENTRIES: usize = 256;

    /// A ring with one key.
    pub fn new(active: KeyId, now: Timestamp) -> Self {
        Self { entries: vec![Entry { id: active, since: now, state: State::Active }] }
    }

    /// The versions, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The version that wraps.
    ///
    /// # Errors
    /// [`Error::Unreachable`]: there is always one.
    pub fn active(&self) -> Result<&Entry, Error> {
        self.entries.last().ok_or(Error::Unreachable("a ring has an active key"))
    }

    /// The entry of a version.
    pub fn entry(&self, id: &KeyId) -> Option<&Entry> {
        self.entries.iter().find(|entry| &entry.id == id)
    }

    /// Makes `next` the version that wraps. The one that did unwraps, until the end of grace at
    /// the least.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a version that the ring has, and for a ring that is full.
    // ENV-30
    pub fn rotate(
        &mut self,
        next: KeyId,
        schedule: &Schedule,
        now: Timestamp,
    ) -> Result<(), Error> {
        if self.entry(&next).is_some() {
            return Err(Error::Misuse("a version that the ring does not have"));
        }
        if self.entries.len() >= Self::MAX_ENTRIES {
            return Err(Error::Misuse("a ring with room; forget retired versions"));
        }
        let active =
            self.entries.last_mut().ok_or(Error::Unreachable("a ring has an active key"))?;
        // A clock that was set back shortens no grace.
        let now = now.max(active.since);
        let grace = u64::from(schedule.grace_days).saturating_mul(DAY);
        active.state = State::DecryptOnly { until: now.plus(grace) };
        self.entries.push(Entry { id: next, since: now, state: State::Active });
        Ok(())
    }

    /// Retires a version: grace has ended, and a complete census that began after that found no
    /// key record which refers to it.
    ///
    /// # Errors
    /// [`Error::Retire`] that says what is missing; [`Error::Misuse`] for a version that the ring
    /// does not have.
    // ENV-31
    pub fn retire(&mut self, id: &KeyId, census: &Census, now: Timestamp) -> Result<(), Error> {
        let entry = self.entries.iter_mut().find(|entry| &entry.id == id);
        let entry = entry.ok_or(Error::Misuse("a version of the ring"))?;
        let until = match entry.state {
            State::Active => return Err(Error::Retire("it wraps; rotate first")),
            State::Retired { .. } => return Err(Error::Retire("it is retired")),
            State::DecryptOnly { until } => until,
        };
        if now < until {
            return Err(Error::Retire("its grace has not ended"));
        }
        if census.started() < until {
            return Err(Error::Retire("the census began before its grace ended; take another"));
        }
        if census.references(id) > 0 {
            return Err(Error::Retire("key records refer to it; rewrap them"));
        }
        entry.state = State::Retired { at: now };
        Ok(())
    }

    /// Takes a retired version out of the ring.
    ///
    /// # Errors
    /// [`Error::Misuse`] for one that is not retired.
    pub fn forget(&mut self, id: &KeyId) -> Result<(), Error> {
        let retired = |entry: &Entry| matches!(entry.state, State::Retired { .. });
        let at = self.entries.iter().position(|entry| &entry.id == id && retired(entry));
        self.entries.remove(at.ok_or(Error::Misuse("a retired version"))?);
        Ok(())
    }

    /// When the active version is to be replaced.
    ///
    /// # Errors
    /// [`Error::Unreachable`]: there is always one.
    // ENV-32
    pub fn rotation_due(&self, schedule: &Schedule, now: Timestamp) -> Result<Due, Error> {
        Ok(schedule.due(self.active()?.since, schedule.rotation_days, now))
    }

    /// The versions of `key` that only unwrap and whose grace has ended: those that a census may
    /// retire.
    pub fn retirable<'a>(
        &'a self,
        key: &'a KeyRef,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a KeyId> {
        self.entries.iter().filter_map(move |entry| match entry.state {
            State::DecryptOnly { until } if now >= until && &entry.id.key == key => Some(&entry.id),
            _ => None,
        })
    }
}

impl Entry {
    /// The key and its version.
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// Since when it wraps, or when it began to.
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// What it is used for.
    pub const fn state(&self) -> State {
        self.state
    }
}
