//! What stands at a place, before any of it has been authenticated.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::TryStreamExt;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, path::Path};
use sealwire_envelope::{Head, KeyRecord, ObjectId, kms::KeyRef, store::StoreError};

use super::Place;
use crate::{config::StorageConfig, error::Failure};

/// The first bytes of what stands at a place, and the length of all of it.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) bytes: Vec<u8>,
    pub(crate) len: u64,
}

/// What an object says of itself, and its key record.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) head: Head,
    /// None where the object was erased, or its record is in another store.
    pub(crate) record: Option<KeyRecord>,
}

impl Look {
    /// The keys that can open it, as far as its record says.
    pub(crate) fn keys(&self) -> Vec<String> {
        let slots = self.record.iter().flat_map(KeyRecord::slots);
        slots.map(|slot| slot.wrapped().id().to_string()).collect()
    }
}

/// Reads the first `most` bytes of what stands at a place, be it an object or a key record.
pub(crate) async fn start(
    place: &Place,
    most: usize,
    config: &StorageConfig,
) -> Result<Start, Failure> {
    let (objects, prefix) = place.objects(config)?;
    let start = read(objects.as_ref(), &path(&prefix, place.name())?, most).await;
    start.map_err(|error| failed(error, place))
}

/// Reads what an object says of itself, and its key record.
pub(crate) async fn look(place: &Place, config: &StorageConfig) -> Result<Look, Failure> {
    let start = start(place, Head::MAX_LEN, config).await?;
    let (head, _) = Head::split(&start.bytes).map_err(|error| {
        let message = format!("{place} is no sealed object, or not a whole one: {error}");
        Failure::other(message).hint("`sealwire inspect` says what it is")
    })?;
    let record = record(place, &head, config).await?;
    Ok(Look { head, record })
}

/// Reads the key record of an object, if there is one in its store.
pub(crate) async fn record(
    place: &Place,
    head: &Head,
    config: &StorageConfig,
) -> Result<Option<KeyRecord>, Failure> {
    let object = head.header().object();
    let Some(bytes) = Records::of(place, config)?.bytes(object).await? else { return Ok(None) };
    let record = KeyRecord::from_bytes(&bytes).map_err(|error| {
        let name = KeyRecord::name(object);
        let message = format!("{name}, the key record of {place}, cannot be read: {error}");
        Failure::other(message).hint("put back a whole copy of it: the object opens with it alone")
    })?;
    Ok(Some(record))
}

/// The key records of a store, which say whom its objects are for.
pub(crate) struct Records {
    objects: Arc<dyn ObjectStore>,
    prefix: String,
}

impl Records {
    /// Those of the store that an object is in.
    pub(crate) fn of(place: &Place, config: &StorageConfig) -> Result<Self, Failure> {
        let (objects, prefix) = place.objects(config)?;
        Ok(Self { objects, prefix })
    }

    /// The keys that the record of an object names, if it has one. One that cannot be read names
    /// none.
    pub(crate) async fn keys(&self, object: ObjectId) -> Result<Option<BTreeSet<KeyRef>>, Failure> {
        Ok(self.bytes(object).await?.map(|bytes| {
            let record = KeyRecord::from_bytes(&bytes);
            let slots = record.iter().flat_map(KeyRecord::slots);
            slots.map(|slot| slot.wrapped().key.clone()).collect()
        }))
    }

    /// All of a record, or of what is none as much as shows that.
    async fn bytes(&self, object: ObjectId) -> Result<Option<Vec<u8>>, Failure> {
        let name = KeyRecord::name(object);
        let most = KeyRecord::MAX_LEN.saturating_add(1);
        match read(self.objects.as_ref(), &path(&self.prefix, &name)?, most).await {
            Ok(start) => Ok(Some(start.bytes)),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(failed(error, &name)),
        }
    }
}

async fn read(objects: &dyn ObjectStore, path: &Path, most: usize) -> Result<Start, StoreError> {
    let range = 0..u64::try_from(most).unwrap_or(u64::MAX);
    let options = GetOptions::new().with_range(Some(range));
    let found = match objects.get_opts(path, options).await {
        Ok(found) => found,
        // Some stores have no range of an empty object.
        Err(error @ Error::Generic { .. }) => {
            let error = StoreError::from(error);
            if matches!(error, StoreError::Unavailable(_)) {
                return Err(error);
            }
            let empty = objects.head(path).await?.size == 0;
            return if empty { Ok(Start { bytes: Vec::new(), len: 0 }) } else { Err(error) };
        }
        Err(error) => return Err(error.into()),
    };
    let len = found.meta.size;
    let mut pieces = found.into_stream();
    let mut bytes = Vec::new();
    while bytes.len() < most
        && let Some(piece) = pieces.try_next().await?
    {
        // A store may give more than it was asked for.
        let room = most.saturating_sub(bytes.len()).min(piece.len());
        bytes.extend_from_slice(piece.get(..room).unwrap_or_default());
    }
    Ok(Start { bytes, len })
}

fn path(prefix: &str, name: &str) -> Result<Path, Failure> {
    let path = [prefix, name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let parsed = Path::parse(path.join("/"));
    parsed.map_err(|_| StoreError::Name("has no empty part, no `.` and no `..`").into())
}

fn failed(error: StoreError, place: &dyn std::fmt::Display) -> Failure {
    Failure::from(error).at(place)
}
