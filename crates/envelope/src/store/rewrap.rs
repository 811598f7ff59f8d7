//! Rotation: data keys are wrapped anew, record by record, and no object is touched.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use sealwire_core::{Timestamp, secret::equal};
use serde::{Deserialize, Serialize};

use super::{CONCURRENT, Store, StoreError, VersionedRecord};
use crate::{
    Error, KeyRecord, ObjectId, WrapBinding,
    audit::Counts,
    kms::{KeyId, KeyVersion, Kms, KmsError, Wrapped},
};

/// So many keys are wrapped anew by one request, and done again by a run that was killed.
const BATCH: usize = 128;

/// A run over all key records, which brings the slot of one key to its newest version.
#[derive(Clone, Copy)]
pub struct Rewrap<'a> {
    kms: &'a dyn Kms,
    only: Option<&'a (dyn Fn(&KeyRecord) -> bool + Send + Sync)>,
    dry: bool,
    verified: bool,
}

/// What became of one key record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its slot was wrapped with the newest version.
    Current,
    /// It was wrapped anew; in a dry run, it would be.
    Rewrapped {
        /// The version that had wrapped it.
        from: KeyVersion,
    },
    /// Someone else changed or deleted it meanwhile. The next run looks at it again.
    Conflict,
    /// It was left out: it has no slot of this key, or was not asked for.
    Excluded,
    /// It could not be read or wrapped anew, and is as it was.
    Failed(Error),
}

/// How far a run has come: what it takes to go on after it was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    target: KeyId,
    after: Option<ObjectId>,
    counts: Counts,
}

/// Is told what a run does. `()` does not listen.
pub trait Watch: Send {
    /// This became of the record of an object.
    fn record(&mut self, _object: ObjectId, _outcome: &Outcome) {}

    /// So far the run has come. Whoever keeps this can go on from here.
    fn progress(&mut self, _progress: &Progress) {}
}

impl Watch for () {}

impl<'a> Rewrap<'a> {
    /// All slots of the key of `kms`.
    pub const fn new(kms: &'a dyn Kms) -> Self {
        Self { kms, only: None, dry: false, verified: false }
    }

    /// Only of records for which this holds. The others are excluded.
    #[must_use]
    pub const fn only(mut self, only: &'a (dyn Fn(&KeyRecord) -> bool + Send + Sync)) -> Self {
        self.only = Some(only);
        self
    }

    /// Changes nothing and asks for no wrap: says what a run would do.
    #[must_use]
    pub const fn dry(mut self) -> Self {
        self.dry = true;
        self
    }

    /// Unwraps what was wrapped before and after, and compares, before a record is changed: no
    /// answer of the key service can make an object unreadable. Data keys leave the service for
    /// that, and whoever rewraps needs the right to unwrap.
    #[must_use]
    pub const fn verified(mut self) -> Self {
        self.verified = true;
        self
    }
}

impl core::fmt::Debug for Rewrap<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { kms, only: _, dry, verified } = self;
        let mut text = f.debug_struct("Rewrap");
        text.field("kms", kms).field("dry", dry).field("verified", verified).finish_non_exhaustive()
    }
}

impl Progress {
    /// The version to which keys are brought.
    pub const fn target(&self) -> &KeyId {
        &self.target
    }

    /// What became of the records so far.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// One line of JSON.
    ///
    /// # Errors
    /// [`Error::Unreachable`]: text and numbers are JSON.
    pub fn to_json(&self) -> Result<String, Error> {
        let Self { target, after, counts } = self;
        let saved = Saved {
            key: target.key.key().to_owned(),
            version: target.version.as_str().to_owned(),
            after: after.map(|object| object.to_string()),
            counts: *counts,
        };
        serde_json::to_string(&saved).map_err(|_| Error::Unreachable("text and numbers are JSON"))
    }

    /// Reads what [`Progress::to_json`] gave of a run with the key of `kms`.
    ///
    /// # Errors
    /// [`Error::Misuse`] for anything else.
    pub fn from_json(text: &str, kms: &dyn Kms) -> Result<Self, Error> {
        let refused = Error::Misuse("progress of a run with this key");
        let saved: Saved = serde_json::from_str(text).map_err(|_| refused.clone())?;
        let after = saved.after.map(|hex| ObjectId::from_hex(&hex).ok_or(refused.clone()));
        if saved.key != kms.key().key() || !saved.counts.is_exact() {
            return Err(refused);
        }
        let version = KeyVersion::new(&saved.version)?;
        let target = KeyId { key: kms.key().clone(), version };
        Ok(Self { target, after: after.transpose()?, counts: saved.counts })
    }

    fn count(&mut self, outcome: &Outcome) {
        let Counts { current, rewrapped, conflict, excluded, failed, scanned } = &mut self.counts;
        let count = match outcome {
            Outcome::Current => current,
            Outcome::Rewrapped { .. } => rewrapped,
            Outcome::Conflict => conflict,
            Outcome::Excluded => excluded,
            Outcome::Failed(_) => failed,
        };
        *count = count.saturating_add(1);
        *scanned = scanned.saturating_add(1);
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    key: String,
    version: String,
    after: Option<String>,
    counts: Counts,
}

/// A record that is to be changed, and its wrap.
struct Stale {
    read: VersionedRecord,
    wrap: (Wrapped, WrapBinding),
}

impl Store {
    /// Wraps the data keys of all records anew with the newest version of a key, beginning where
    /// `resume` ended.
    ///
    /// It may be killed at any time, repeated, and run twice at once: every record is at all times
    /// as it was or as it is to be. No key is destroyed.
    ///
    /// # Errors
    /// [`Error::Kms`] where the key service does nothing at all, and [`Error::Store`] where the
    /// store lists nothing: go on later from the last progress. [`Error::Misuse`] for the
    /// progress of a run to another version: begin anew.
    // ENV-40
    pub async fn rewrap_all(
        &self,
        rewrap: &Rewrap<'_>,
        resume: Option<Progress>,
        now: Timestamp,
        watch: &mut dyn Watch,
    ) -> Result<Progress, Error> {
        let version = rewrap.kms.version().await?;
        let target = KeyId { key: rewrap.kms.key().clone(), version };
        let begin = Progress { target, after: None, counts: Counts::default() };
        let mut progress = resume.unwrap_or_else(|| begin.clone());
        if progress.target != begin.target {
            return Err(Error::Misuse("progress of a run to this version; begin anew"));
        }
        for shard in self.shards().await? {
            // Its records come in the order of their names, whatever order the store has.
            let mut objects = self.objects_of(shard).await?;
            objects.retain(|object| progress.after.is_none_or(|after| *object > after));
            for batch in objects.chunks(BATCH) {
                let outcomes = self.rewrap_batch(rewrap, &progress.target, batch, now).await?;
                for (object, outcome) in &outcomes {
                    progress.count(outcome);
                    watch.record(*object, outcome);
                }
                progress.after = batch.last().copied();
                watch.progress(&progress);
            }
        }
        Ok(progress)
    }

    /// The first bytes of the ids of objects that have records, ascending.
    async fn shards(&self) -> Result<Vec<u8>, Error> {
        let listed = self.objects.list_with_delimiter(Some(&self.records_path())).await?;
        let mut shards: Vec<u8> = listed
            .common_prefixes
            .iter()
            .filter_map(|prefix| crate::hex::decode(prefix.parts().next_back()?.as_ref()))
            .map(|[byte]| byte)
            .collect();
        shards.sort_unstable();
        Ok(shards)
    }

    async fn objects_of(&self, shard: u8) -> Result<Vec<ObjectId>, Error> {
        let folder = self.records_path().join(crate::hex::encode(&[shard]));
        let listed: Vec<_> = self.objects.list(Some(&folder)).try_collect().await?;
        let names = listed.iter().filter_map(|meta| self.name_of(&meta.location));
        let mut objects: Vec<ObjectId> =
            names.filter_map(|name| KeyRecord::object_of(&name)).collect();
        objects.sort_unstable();
        Ok(objects)
    }

    async fn rewrap_batch(
        &self,
        rewrap: &Rewrap<'_>,
        target: &KeyId,
        batch: &[ObjectId],
        now: Timestamp,
    ) -> Result<BTreeMap<ObjectId, Outcome>, Error> {
        let mut outcomes = BTreeMap::new();
        let mut stale = Vec::new();
        let reads = batch.iter().map(|object| async { (*object, self.read_record(*object).await) });
        let mut reads = stream::iter(reads.collect::<Vec<_>>()).buffered(CONCURRENT);
        while let Some((object, read)) = reads.next().await {
            match sort(rewrap, target, object, read) {
                // It was deleted after it was listed.
                Sorted::Gone => {}
                Sorted::Done(outcome) => drop(outcomes.insert(object, outcome)),
                Sorted::Stale(read) => stale.push(*read),
            }
        }
        if rewrap.dry {
            outcomes.extend(stale.into_iter().map(|Stale { read, wrap }| {
                (read.record.binding().object(), Outcome::Rewrapped { from: wrap.0.version })
            }));
            return Ok(outcomes);
        }
        let wraps: Vec<_> = stale.iter().map(|stale| stale.wrap.clone()).collect();
        let answers = if wraps.is_empty() { Vec::new() } else { rewrap.kms.rewrap(&wraps).await? };
        if answers.len() != wraps.len() {
            return Err(Error::Kms(KmsError::Answer("as many wraps as were sent")));
        }
        let writes = stale.into_iter().zip(answers).map(|(stale, answer)| async {
            let object = stale.read.record.binding().object();
            (object, self.write_rewrapped(rewrap, target, stale, answer, now).await)
        });
        let mut writes = stream::iter(writes.collect::<Vec<_>>()).buffered(CONCURRENT);
        while let Some((object, outcome)) = writes.next().await {
            outcomes.insert(object, outcome);
        }
        Ok(outcomes)
    }

    /// Puts one answer of the key service into its record.
    async fn write_rewrapped(
        &self,
        rewrap: &Rewrap<'_>,
        target: &KeyId,
        stale: Stale,
        answer: Result<Wrapped, KmsError>,
        now: Timestamp,
    ) -> Outcome {
        let Stale { read, wrap: (old, binding) } = stale;
        let from = old.version.clone();
        let written = async {
            let wrapped = answer?;
            if wrapped.id() != *target {
                return Err(Error::Kms(KmsError::Answer("a wrap by the version that was asked")));
            }
            if rewrap.verified {
                let (before, after) = (
                    rewrap.kms.unwrap(&old, &binding).await?,
                    rewrap.kms.unwrap(&wrapped, &binding).await?,
                );
                if !equal(before.expose(), after.expose()) {
                    return Err(Error::Kms(KmsError::Answer("a wrap of the same key")));
                }
            }
            let mut next = read.record.clone();
            next.replace(&target.key, wrapped, now)?;
            self.update_record(read, &next).await
        };
        match written.await {
            Ok(()) => Outcome::Rewrapped { from },
            Err(Error::Store(StoreError::Changed | StoreError::NotFound)) => Outcome::Conflict,
            Err(error) => Outcome::Failed(error),
        }
    }
}

enum Sorted {
    Gone,
    Done(Outcome),
    Stale(Box<Stale>),
}

fn sort(
    rewrap: &Rewrap<'_>,
    target: &KeyId,
    object: ObjectId,
    read: Result<Option<VersionedRecord>, Error>,
) -> Sorted {
    let read = match read {
        Ok(Some(read)) => read,
        Ok(None) => return Sorted::Gone,
        Err(error) => return Sorted::Done(Outcome::Failed(error)),
    };
    let record = &read.record;
    if record.binding().object() != object {
        return Sorted::Done(Outcome::Failed(Error::Open));
    }
    let slot = record.slot(&target.key).filter(|_| rewrap.only.is_none_or(|only| only(record)));
    let Some(slot) = slot else { return Sorted::Done(Outcome::Excluded) };
    if slot.wrapped().version == target.version {
        return Sorted::Done(Outcome::Current);
    }
    let wrap = (slot.wrapped().clone(), *record.binding());
    Sorted::Stale(Box::new(Stale { read, wrap }))
}
