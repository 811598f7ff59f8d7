//! Which keys the key records of a store refer to.

use std::collections::{BTreeMap, BTreeSet};

use sealwire_core::Timestamp;

use crate::{Error, KeyRecord, ObjectId, kms::KeyId};

/// A scan of all key records of a store.
///
/// Name each record that the store lists, then say what became of it. Only a scan in which each
/// of them was read, or was gone, gives a [`Census`].
#[derive(Clone, Debug)]
pub struct Scan {
    started: Timestamp,
    ended: bool,
    outstanding: BTreeSet<ObjectId>,
    records: u64,
    failed: u64,
    references: BTreeMap<KeyId, u64>,
}

/// How many key records refer to each version of each key: all records that there were.
///
/// ```compile_fail,E0451
/// use sealwire_core::Timestamp;
/// use sealwire_envelope::census::Census;
/// // A census comes from a complete scan only.
/// let census = Census { started: Timestamp::from_secs(0), records: 0, references: Default::default() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    started: Timestamp,
    records: u64,
    references: BTreeMap<KeyId, u64>,
}

// ENV-31
impl Scan {
    /// A scan that begins now, before the store is asked for its list.
    pub const fn new(now: Timestamp) -> Self {
        Self {
            started: now,
            ended: false,
            outstanding: BTreeSet::new(),
            records: 0,
            failed: 0,
            references: BTreeMap::new(),
        }
    }

    /// The store lists the record of this object.
    pub fn listed(&mut self, object: ObjectId) {
        self.outstanding.insert(object);
    }

    /// The store has listed all that it has.
    pub const fn listing_ended(&mut self) {
        self.ended = true;
    }

    /// The record of this object was read. One that names another object counts as failed.
    pub fn read(&mut self, object: ObjectId, record: &KeyRecord) {
        if !self.outstanding.remove(&object) {
            return;
        }
        if record.binding().object() != object {
            self.failed = self.failed.saturating_add(1);
            return;
        }
        self.records = self.records.saturating_add(1);
        for slot in record.slots() {
            let count = self.references.entry(slot.wrapped().id()).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// The record was listed and is not there any more: it was deleted meanwhile.
    pub fn gone(&mut self, object: ObjectId) {
        self.outstanding.remove(&object);
    }

    /// The record could not be read, or is none. Nobody knows what it refers to.
    pub fn failed(&mut self, object: ObjectId) {
        if self.outstanding.remove(&object) {
            self.failed = self.failed.saturating_add(1);
        }
    }

    /// Ends the scan.
    ///
    /// # Errors
    /// [`Error::Retire`] where it is not complete.
    pub fn finish(self) -> Result<Census, Error> {
        let Self { started, ended, outstanding, records, failed, references } = self;
        if !ended || !outstanding.is_empty() {
            return Err(Error::Retire("the scan of key records did not reach its end"));
        }
        if failed > 0 {
            return Err(Error::Retire("key records could not be read; repair or delete them"));
        }
        Ok(Census { started, records, references })
    }
}

impl Census {
    /// When the scan began.
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// How many records there were.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// How many records have a slot of this version of this key.
    pub fn references(&self, id: &KeyId) -> u64 {
        self.references.get(id).copied().unwrap_or_default()
    }

    /// The versions of a key other than `newest` that records refer to, and how many do: what a
    /// rewrap has left to do.
    pub fn outdated<'a>(&'a self, newest: &'a KeyId) -> impl Iterator<Item = (&'a KeyId, u64)> {
        self.iter().filter(move |(id, _)| id.key == newest.key && *id != newest)
    }

    /// Every version that records refer to, and how many do.
    pub fn iter(&self) -> impl Iterator<Item = (&KeyId, u64)> {
        self.references.iter().map(|(id, count)| (id, *count))
    }
}
