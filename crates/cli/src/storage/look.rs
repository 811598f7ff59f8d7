//! What stands at a place, before any of it has been authenticated.

use futures_util::TryStreamExt;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt, path::Path};
use sealwire_envelope::{Head, KeyRecord, store::StoreError};

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
    let (objects, prefix) = place.objects(config)?;
    let name = KeyRecord::name(head.header().object());
    // One more than is allowed, so that what is too long is seen to be.
    let most = KeyRecord::MAX_LEN.saturating_add(1);
    let start = match read(objects.as_ref(), &path(&prefix, &name)?, most).await {
        Ok(start) => start,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(failed(error, &name)),
    };
    let record = KeyRecord::from_bytes(&start.bytes).map_err(|error| {
        let message = format!("{name}, the key record of {place}, cannot be read: {error}");
        Failure::other(message).hint("put back a whole copy of it: the object opens with it alone")
    })?;
    Ok(Some(record))
}

async fn read(objects: &dyn ObjectStore, path: &Path, most: usize) -> Result<Start, Error> {
    let range = 0..u64::try_from(most).unwrap_or(u64::MAX);
    let options = GetOptions::new().with_range(Some(range));
    let found = match objects.get_opts(path, options).await {
        Ok(found) => found,
        // Some stores have no range of an empty object.
        Err(error @ Error::Generic { .. }) => {
            let empty = objects.head(path).await?.size == 0;
            return if empty { Ok(Start { bytes: Vec::new(), len: 0 }) } else { Err(error) };
        }
        Err(error) => return Err(error),
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

fn failed(error: Error, place: &dyn std::fmt::Display) -> Failure {
    Failure::from(StoreError::from(error)).at(place)
}
