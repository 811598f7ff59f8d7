//! Rotation: data keys are wrapped anew, record by record, and no object is touched.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use sealwire_core::{Timestamp, secret::equal};

use super::{CONCURRENT, Outcome, Progress, Store, StoreError, VersionedRecord, Watch};
use crate::{
    Error, KeyRecord, ObjectId, WrapBinding,
    kms::{KeyId, KeyRef, Kms, KmsError, Wrapped},
};

/// So many keys are wrapped anew by one request, and done again by a run that was killed.
const BATCH: usize = 128;

/// A run over all key records, which brings the slot of one key to its newest version, or puts
/// the slot of another key in its place.
#[derive(Clone, Copy)]
pub struct Rewrap<'a> {
    kms: &'a dyn Kms,
    to: Option<&'a dyn Kms>,
    only: Option<&'a (dyn Fn(&KeyRecord) -> bool + Send + Sync)>,
    dry: bool,
    verified: bool,
}

impl<'a> Rewrap<'a> {
    /// All slots of the key of `kms`.
    pub const fn new(kms: &'a dyn Kms) -> Self {
        Self { kms, to: None, only: None, dry: false, verified: false }
    }

    /// To another key, of the same provider or another one: data keys are unwrapped with the key
    /// that [`Rewrap::new`] was given, and wrapped with that of `kms`, whose slot takes the place
    /// of the old one. Data keys leave the service for that.
    ///
    /// # Security
    /// Whoever has no object cannot tell its data key from another one: what the old service
    /// unwraps is believed. Neither key may be one that anyone can wrap to, since the signature of
    /// a sealer is what such a slot rests on, and a run has none.
    #[must_use]
    pub const fn to(mut self, kms: &'a dyn Kms) -> Self {
        self.to = Some(kms);
        self
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
        let Self { kms, to, only: _, dry, verified } = self;
        let mut text = f.debug_struct("Rewrap");
        text.field("kms", kms)
            .field("to", to)
            .field("dry", dry)
            .field("verified", verified)
            .finish_non_exhaustive()
    }
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
    /// store lists nothing or has no time for any record of a batch: go on later from the last
    /// progress. [`Error::Misuse`] for the progress of a run to another version: begin anew.
    // ENV-40
    pub async fn rewrap_all(
        &self,
        rewrap: &Rewrap<'_>,
        resume: Option<Progress>,
        now: Timestamp,
        watch: &mut dyn Watch,
    ) -> Result<Progress, Error> {
        let begin = rewrap.begin().await?;
        let mut progress = resume.unwrap_or_else(|| begin.clone());
        if !progress.is_of(&begin) {
            return Err(Error::Misuse("progress of a run to this version; begin anew"));
        }
        let shards = self.shards().await?;
        let listing = shards.into_iter().map(|shard| self.objects_of(shard));
        let mut listing = stream::iter(listing.collect::<Vec<_>>()).buffered(CONCURRENT);
        let mut objects = Vec::new();
        let mut more = true;
        while more {
            // Records come in the order of their names, whatever order the store has.
            match listing.next().await {
                Some(listed) => objects.extend(listed?),
                None => more = false,
            }
            objects.retain(|object| progress.after.is_none_or(|after| *object > after));
            // A batch that is not full waits for what the next folder has.
            let whole = if more { objects.len() / BATCH * BATCH } else { objects.len() };
            for batch in objects.get(..whole).unwrap_or_default().chunks(BATCH) {
                let outcomes = self.rewrap_batch(rewrap, progress.target(), batch, now).await?;
                if let Some(error) = away(&outcomes) {
                    return Err(error);
                }
                for (object, outcome) in &outcomes {
                    progress.count(outcome);
                    watch.record(*object, outcome);
                }
                progress.after = batch.last().copied();
                watch.progress(&progress);
            }
            objects.drain(..whole);
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
        let answers = rewrap.ask(&wraps).await?;
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
        let Stale { read, wrap: (old, _) } = stale;
        let from = old.version.clone();
        let written = async {
            let wrapped = answer?;
            if wrapped.id() != *target {
                return Err(Error::Kms(KmsError::Answer("a wrap by the version that was asked")));
            }
            let next = rewrap.replaced(&read.record, wrapped, now)?;
            if rewrap.verified {
                rewrap.verify(&read.record, &next, &old).await?;
            }
            self.update_record(read, &next).await
        };
        match written.await {
            Ok(()) => Outcome::Rewrapped { from },
            Err(Error::Store(StoreError::Changed | StoreError::NotFound)) => Outcome::Conflict,
            Err(error) => Outcome::Failed(error),
        }
    }
}

impl Rewrap<'_> {
    /// The service of the key that wraps afterwards.
    fn newest(&self) -> &dyn Kms {
        self.to.unwrap_or(self.kms)
    }

    // ENV-40, ENV-44
    async fn begin(&self) -> Result<Progress, Error> {
        if let Some(to) = self.to {
            if to.key() == self.kms.key() {
                return Err(Error::Misuse(
                    "another key; of the same one versions are wrapped anew",
                ));
            }
            if to.is_public_key() || self.kms.is_public_key() {
                return Err(Error::Misuse("keys that only their service wraps with"));
            }
        }
        let key = self.newest().key().clone();
        let target = KeyId { key, version: self.newest().version().await? };
        Ok(Progress::begin(target, self.to.map(|_| self.kms.key())))
    }

    async fn ask(
        &self,
        wraps: &[(Wrapped, WrapBinding)],
    ) -> Result<Vec<Result<Wrapped, KmsError>>, Error> {
        if wraps.is_empty() {
            return Ok(Vec::new());
        }
        let Some(to) = self.to else { return Ok(self.kms.rewrap(wraps).await?) };
        // ENV-44
        let answers = wraps.iter().map(|(wrapped, binding)| async {
            let dek = self.kms.unwrap(wrapped, binding).await?;
            to.wrap(&dek, binding).await
        });
        let answers = stream::iter(answers.collect::<Vec<_>>()).buffered(CONCURRENT);
        let answers: Vec<_> = answers.collect().await;
        match answers.first() {
            // Services that do nothing at all end the run.
            Some(Err(first)) if answers.iter().all(is_put_off) => Err(first.clone().into()),
            _ => Ok(answers),
        }
    }

    /// The record with `wrapped` in the place of the slot that it stands for.
    // ENV-26, ENV-44
    fn replaced(
        &self,
        record: &KeyRecord,
        wrapped: Wrapped,
        now: Timestamp,
    ) -> Result<KeyRecord, Error> {
        if self.to.is_some() && wrapped.is_public_key() {
            return Err(Error::Kms(KmsError::Answer("a wrap that not everyone can make")));
        }
        let mut next = record.clone();
        let mut place = self.kms.key().clone();
        if self.to.is_some() && record.slot(&wrapped.key).is_some() {
            next.remove(&place)?;
            place = wrapped.key.clone();
        }
        next.replace(&place, wrapped, now)?;
        Ok(next)
    }

    /// Compares what was wrapped before, with `old` and with the key that wraps afterwards where
    /// the record had a slot of it, and what is wrapped now.
    async fn verify(
        &self,
        record: &KeyRecord,
        next: &KeyRecord,
        old: &Wrapped,
    ) -> Result<(), Error> {
        let (binding, newest) = (record.binding(), self.newest());
        let before = self.kms.unwrap(old, binding).await?;
        let slots =
            [record.slot(newest.key()).filter(|_| self.to.is_some()), next.slot(newest.key())];
        for slot in slots.into_iter().flatten() {
            let other = newest.unwrap(slot.wrapped(), binding).await?;
            if !equal(before.expose(), other.expose()) {
                return Err(Error::Kms(KmsError::Answer("a wrap of the same key")));
            }
        }
        Ok(())
    }

    /// What becomes of a record that was read: at once, or after the service was asked for the
    /// wrap that stands in the place of this one.
    fn sort(&self, target: &KeyId, record: &KeyRecord) -> Result<Wrapped, Outcome> {
        if self.only.is_some_and(|only| !only(record)) {
            return Err(Outcome::Excluded);
        }
        let is_current = |key: &KeyRef| {
            record.slot(key).is_some_and(|slot| slot.wrapped().version == target.version)
        };
        match (record.slot(self.kms.key()), self.to) {
            (None, Some(to)) if is_current(to.key()) => Err(Outcome::Current),
            (None, _) => Err(Outcome::Excluded),
            (Some(_), None) if is_current(self.kms.key()) => Err(Outcome::Current),
            // ENV-44: the slot that comes of it would be opened without a signature.
            (Some(slot), Some(_)) if slot.wrapped().is_public_key() => {
                Err(Outcome::Failed(Error::Sealer))
            }
            (Some(slot), _) => Ok(slot.wrapped().clone()),
        }
    }
}

/// A store that does nothing at all ends the run: none of these records has an outcome.
fn away(outcomes: &BTreeMap<ObjectId, Outcome>) -> Option<Error> {
    let mut errors = outcomes.values().map(|outcome| match outcome {
        Outcome::Failed(error) if error.is_store_away() => Some(error),
        _ => None,
    });
    let first = errors.next()??;
    errors.all(|error| error.is_some()).then(|| first.clone())
}

fn is_put_off(answer: &Result<Wrapped, KmsError>) -> bool {
    answer.as_ref().is_err_and(KmsError::is_temporary)
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
    match rewrap.sort(target, record) {
        Ok(wrapped) => {
            let wrap = (wrapped, *record.binding());
            Sorted::Stale(Box::new(Stale { read, wrap }))
        }
        Err(outcome) => Sorted::Done(outcome),
    }
}
