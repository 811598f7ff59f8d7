//! What keeps a store in order: a census of keys, a sweep, sealing anew, erasing.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, path::Path};
use rand_core::TryCryptoRng;
use sealwire_core::Timestamp;

use super::{Access, CONCURRENT, Plan, Store, StoreError, StoredObject, upload::Target};
use crate::{
    Error, KeyRecord, ObjectId, Sealed,
    census::{Census, Scan},
};

/// Bodies and key records that stand alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Orphans {
    /// Objects whose key record no body names, and when the record was written: of writers that
    /// stopped, of objects that were deleted by other means, and of those being written now.
    pub records: BTreeMap<ObjectId, Timestamp>,
    /// Names of bodies without a key record: they open for nobody.
    pub bodies: BTreeSet<String>,
    /// Names of what is no object.
    pub foreign: BTreeSet<String>,
    /// Names of what could not be read. A key record may be of one of them.
    pub unread: BTreeSet<String>,
}

/// What a sweep deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Objects whose key records were deleted.
    pub deleted: BTreeSet<ObjectId>,
    /// What stands alone still, but for what was deleted.
    pub orphans: Orphans,
}

/// An object that was sealed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resealed {
    /// The object before, whose key record is gone.
    pub from: ObjectId,
    /// The object after.
    pub to: Sealed,
}

impl Store {
    /// The names of all that stands below the prefix, but for key records.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn names(&self) -> Result<BTreeSet<String>, Error> {
        let folder = self.records_path();
        let listed = self.objects.list(Some(&self.prefix));
        let names = listed.try_filter_map(|meta| {
            let name = self.name_of(&meta.location);
            let name = name.filter(|_| !meta.location.prefix_matches(&folder));
            core::future::ready(Ok(name))
        });
        Ok(names.try_collect().await?)
    }

    /// Counts which versions of which keys the key records refer to, all of them.
    ///
    /// # Errors
    /// [`Error::Store`] where not all records were listed, or the store has no time for one;
    /// [`Error::Retire`] where one could not be read.
    // ENV-31
    pub async fn census(&self, now: Timestamp) -> Result<Census, Error> {
        let mut scan = Scan::new(now);
        let objects: Vec<ObjectId> = self.records().await?.into_keys().collect();
        objects.iter().for_each(|object| scan.listed(*object));
        scan.listing_ended();
        let reads = stream::iter(objects)
            .map(|object| async move { (object, self.read_record(object).await) });
        let mut reads = reads.buffered(CONCURRENT);
        while let Some((object, read)) = reads.next().await {
            match read {
                Ok(Some(read)) => scan.read(object, &read.record),
                Ok(None) => scan.gone(object),
                Err(error) if error.is_store_away() => return Err(error),
                Err(_) => scan.failed(object),
            }
        }
        scan.finish()
    }

    /// Finds what stands alone. It changes nothing.
    ///
    /// # Errors
    /// [`Error::Store`] where the store does not list all that it has, or has no time.
    pub async fn orphans(&self) -> Result<Orphans, Error> {
        // Records before bodies: the body of a record that is listed may come, none may be missed.
        let mut records = self.records().await?;
        let mut orphans = Orphans::default();
        let bodies = stream::iter(self.names().await?).map(|name| async move {
            let found = match self.path(&name) {
                Ok(path) => self.object_at(&path).await,
                Err(error) => Err(error),
            };
            (name, found)
        });
        let mut bodies = bodies.buffered(CONCURRENT);
        let mut named = BTreeSet::new();
        while let Some((name, found)) = bodies.next().await {
            match found {
                Ok(Some(object)) if records.contains_key(&object) => drop(named.insert(object)),
                Ok(Some(object)) => {
                    // Sealed since the records were listed?
                    if matches!(self.read_record(object).await, Ok(None)) {
                        orphans.bodies.insert(name);
                    }
                }
                Ok(None) => drop(orphans.foreign.insert(name)),
                Err(Error::Store(StoreError::NotFound)) => {}
                Err(error) if error.is_store_away() => return Err(error),
                Err(_) => drop(orphans.unread.insert(name)),
            }
        }
        records.retain(|object, _| !named.contains(object));
        orphans.records = records;
        Ok(orphans)
    }

    /// Deletes key records that no body names and that were written longer ago than `age`, which
    /// must be longer than any object takes to be written. Bodies are never deleted.
    ///
    /// # Security
    /// Nothing may be renamed meanwhile, and all bodies of these records must stand below this
    /// prefix: what is deleted opens nothing any more.
    ///
    /// # Errors
    /// As [`Store::orphans`]; [`StoreError::Unsupported`], before anything is deleted, where
    /// something below the prefix could not be read: a record may be of it.
    // ENV-41
    pub async fn sweep(&self, age: Duration, now: Timestamp) -> Result<Swept, Error> {
        let mut orphans = self.orphans().await?;
        if !orphans.unread.is_empty() {
            let why = "be swept while something in it cannot be read";
            return Err(StoreError::Unsupported(why).into());
        }
        let old = |written: Timestamp| written.plus(age.as_secs()) < now;
        let old: Vec<ObjectId> = orphans
            .records
            .iter()
            .filter_map(|(object, written)| old(*written).then_some(*object))
            .collect();
        let mut deleted = BTreeSet::new();
        for object in old {
            self.delete_record(object).await?;
            orphans.records.remove(&object);
            deleted.insert(object);
        }
        Ok(Swept { deleted, orphans })
    }

    /// Seals the content of an object anew, under a data key and a name in the store of keys of
    /// its own, and erases the one before. This is what takes a right to read away.
    ///
    /// A reader finds the one or the other, whole. What stops half way leaves at most a key record
    /// that [`Store::sweep`] finds.
    ///
    /// # Errors
    /// As [`Store::open`], [`SealWriter::write`](super::SealWriter::write) and
    /// [`SealWriter::finish`](super::SealWriter::finish); the object is as it was then. Only where the record of
    /// the one before could not be deleted it is sealed anew, and copies of the one before open.
    pub async fn reseal<R: TryCryptoRng + Send + ?Sized>(
        &self,
        name: &str,
        access: &Access<'_>,
        plan: &Plan<'_>,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<Resealed, Error> {
        let before = self.open(name, access).await?;
        self.reseal_opened(name, &before, plan, now, rng).await
    }

    /// As [`Store::reseal`], of an object that was opened by this name: for whoever has to know
    /// what it is before it is sealed anew, as to keep its context.
    ///
    /// # Errors
    /// As [`Store::reseal`]; [`StoreError::Changed`] where something else stands there by now.
    pub async fn reseal_opened<R: TryCryptoRng + Send + ?Sized>(
        &self,
        name: &str,
        before: &StoredObject,
        plan: &Plan<'_>,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<Resealed, Error> {
        let target = Target::Replace(before.version());
        let mut writer = self.writer_to(self.path(name)?, target, plan, now, rng).await?;
        let mut content = before.content();
        loop {
            match content.run().await {
                Ok(Some(run)) => {
                    writer.write(run.content()).await?;
                    content.recycle(run);
                }
                Ok(None) => break,
                Err(error) => {
                    // What stays is found by a sweep; what went wrong is what counts.
                    let _ = writer.abort().await;
                    return Err(error);
                }
            }
        }
        let to = writer.finish().await?;
        self.delete_record(before.object()).await?;
        Ok(Resealed { from: before.object(), to })
    }

    /// Erases an object: its key record, with which it and every copy of it become unreadable,
    /// and then its body.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`Error::Misuse`] for what is no object, which stays.
    // ENV-42
    pub async fn erase(&self, name: &str) -> Result<ObjectId, Error> {
        let object = self.object(name).await?;
        self.delete_record(object).await?;
        self.delete_body(&self.path(name)?).await?;
        Ok(object)
    }

    /// Which object stands at this name, by its own word: for what is said of one that does not
    /// open. Whoever can write to the storage can put any other there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`Error::Misuse`] for what is no object; [`Error::Store`].
    pub async fn object(&self, name: &str) -> Result<ObjectId, Error> {
        let object = self.object_at(&self.path(name)?).await?;
        object.ok_or(Error::Misuse("an object; this is none"))
    }

    async fn delete_body(&self, path: &Path) -> Result<(), Error> {
        match self.objects.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// All key records, and when they were last written.
    async fn records(&self) -> Result<BTreeMap<ObjectId, Timestamp>, Error> {
        let listed = self.objects.list(Some(&self.records_path()));
        let records = listed.try_filter_map(|meta| {
            let object = self.name_of(&meta.location).and_then(|name| KeyRecord::object_of(&name));
            let written = u64::try_from(meta.last_modified.timestamp()).unwrap_or_default();
            let record = object.map(|object| (object, Timestamp::from_secs(written)));
            core::future::ready(Ok(record))
        });
        Ok(records.try_collect().await?)
    }
}
