//! Objects and their key records in an object store: memory, a folder, S3, Google Cloud Storage,
//! Azure.
//!
//! ```text
//! prefix/report.txt               body: sealed once, never changed
//! prefix/.keys/3f/3f9a…           key record: all that rotation changes
//! ```
//!
//! Memory, folders, S3 (moto, SeaweedFS) and Azure (Azurite) run the same tests. Google Cloud
//! Storage has no server that object_store can be tested with: the tests run against a stand-in of
//! ours, which holds each request against the documented form of the XML API as we read it. It was
//! never run against the cloud.
//!
//! The record is written before the body, and only if there is none. A body appears whole or not
//! at all. What a reader is given was verified chunk by chunk.
//!
//! ```
//! use std::sync::Arc;
//!
//! use sealwire_core::Timestamp;
//! use sealwire_envelope::{
//!     Context, Pairs,
//!     local::{LocalKek, LocalKeys},
//!     store::{Access, Plan, Store},
//! };
//! # use sealwire_testkit::rng::SeededRng;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sealwire_envelope::Error> {
//! # let (mut rng, other) = (SeededRng::new(1), SeededRng::new(2));
//! let kek = LocalKek::new(Arc::new(LocalKeys::generate("archive", &mut rng)?), other);
//! let store = Store::new(Arc::new(object_store::memory::InMemory::new()), "acme")?;
//! let now = Timestamp::from_secs(1_800_000_000);
//!
//! let context = Context::new([("tenant", "acme"), ("content-type", "text/plain")])?;
//! store.seal("report.txt", &Plan::new(&context).kms(&kek), b"all is well", now, &mut rng).await?;
//!
//! let required = Pairs::new([("tenant", "acme")])?;
//! let object = store.open("report.txt", &Access::kms(&kek, &required)).await?;
//! assert_eq!(*object.read().await?, b"all is well");
//! assert_eq!(*object.read_range(4..6).await?, b"is");
//! # Ok(())
//! # }
//! ```
//!
//! # What was done
//!
//! What an operation returns says all that its [`Event`](crate::audit::Event) holds.
//!
//! ```
//! # use std::sync::Arc;
//! # use sealwire_core::Timestamp;
//! # use sealwire_testkit::rng::SeededRng;
//! use sealwire_envelope::{
//!     Context, ObjectId, Pairs,
//!     audit::{AuditLog, Event},
//!     kms::{KeyId, Kms},
//!     local::{LocalKek, LocalKeys},
//!     store::{Access, Outcome, Plan, Rewrap, Store, Watch},
//! };
//!
//! struct Rewrapped<'a> {
//!     kms: &'a dyn Kms,
//!     target: KeyId,
//!     events: Vec<Event>,
//! }
//!
//! impl Watch for Rewrapped<'_> {
//!     fn record(&mut self, object: ObjectId, outcome: &Outcome) {
//!         if let Outcome::Rewrapped { from } = outcome {
//!             let from = KeyId { key: self.kms.key().clone(), version: from.clone() };
//!             self.events.push(Event::Rewrapped { object, from, to: self.target.clone() });
//!         }
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sealwire_envelope::Error> {
//! # let (mut rng, now) = (SeededRng::new(1), Timestamp::from_secs(1_800_000_000));
//! # let mut keys = LocalKeys::generate("archive", &mut rng)?;
//! # let kek = LocalKek::new(Arc::new(LocalKeys::from_bytes(&keys.to_bytes())?), SeededRng::new(2));
//! # let rotated = { keys.rotate(&mut rng)?; LocalKek::new(keys.into(), SeededRng::new(3)) };
//! # let store = Store::new(Arc::new(object_store::memory::InMemory::new()), "acme")?;
//! # let context = Context::new([("tenant", "acme")])?;
//! # let (required, other) = (Pairs::new([("tenant", "acme")])?, Pairs::new([("tenant", "evil")])?);
//! # let (plan, access) = (Plan::new(&context).kms(&kek), Access::kms(&kek, &required));
//! # let evil = Access::kms(&kek, &other);
//! # let mut events = Vec::new();
//! let sealed = store.seal("a", &plan, b"all is well", now, &mut rng).await?;
//! events.push(Event::Sealed { object: sealed.object() });
//! events.push(Event::Opened { object: store.open("a", &access).await?.object() });
//! if store.open("a", &evil).await.is_err() {
//!     // What does not open has the name that it gives itself.
//!     events.push(Event::Refused { object: store.object("a").await? });
//! }
//! let resealed = store.reseal("a", &access, &plan, now, &mut rng).await?;
//! events.push(Event::Resealed { from: resealed.from, to: resealed.to.object() });
//!
//! let target = KeyId { key: rotated.key().clone(), version: rotated.version().await? };
//! let mut watch = Rewrapped { kms: &rotated, target, events };
//! let ended = store.rewrap_all(&Rewrap::new(&rotated), None, now, &mut watch).await?;
//! let mut events = watch.events;
//! events.push(Event::RewrapEnded(*ended.counts()));
//! events.push(Event::Erased { object: store.erase("a").await? });
//! assert_eq!(events.len(), 7);
//! let (mut log, _) = AuditLog::start([7; 16], now)?;
//! for event in &events {
//!     println!("{}", log.append(event, now)?);
//! }
//! # Ok(())
//! # }
//! ```

mod error;
#[cfg(feature = "fs")]
mod file;
mod keep;
#[cfg(feature = "fs")]
mod local;
mod open;
mod progress;
mod rewrap;
mod runs;
mod seal;
mod threads;
mod upload;

use core::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{
    GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, UpdateVersion, path::Path,
};
use sealwire_core::{DecodeError, DecodeReason};

use crate::{Error, Header, KeyRecord, MAGIC, ObjectId};

pub use error::StoreError;
pub use keep::{Orphans, Resealed, Swept};
pub use open::{Access, Content, StoredObject};
pub use progress::{Outcome, Progress, Watch};
pub use rewrap::Rewrap;
pub use seal::{Plan, SealWriter};
use threads::Threads;

/// So many requests for key records are under way at once: enough to hide the way to a cloud, and
/// few enough for its limits.
const CONCURRENT: usize = 16;

/// Length of a part of an upload, in bytes: services ask for 5 MiB at least.
const PART_LEN: usize = 8 * 1024 * 1024;

/// Sealed objects and their key records below a prefix of an object store.
///
/// # Security
/// One prefix is for one owner, and no prefix lies within another. What is asked of a store
/// depends on what lies below its own prefix, and on nothing else.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    part_len: usize,
    threads: Threads,
    /// Where the records of a local store can be replaced under a lock.
    #[cfg(feature = "fs")]
    folder: Option<std::path::PathBuf>,
}

/// A key record, and the version of it that was read.
struct VersionedRecord {
    record: KeyRecord,
    bytes: Bytes,
    version: UpdateVersion,
}

impl Store {
    /// The store below `prefix`, which may be empty. Rewrapping needs one that writes on a
    /// condition: every cloud and memory can, and for a folder there is `Store::local`.
    ///
    /// # Errors
    /// [`StoreError::Name`] for a prefix that is no path.
    pub fn new(objects: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, Error> {
        let prefix = if prefix.is_empty() { Path::default() } else { parse(prefix)? };
        Ok(Self {
            objects,
            prefix,
            part_len: PART_LEN,
            threads: Threads::available(),
            #[cfg(feature = "fs")]
            folder: None,
        })
    }

    /// The store below `prefix` in a folder of this machine. The folder is made if there is none.
    ///
    /// # Errors
    /// As [`Store::new`]; [`StoreError::Failed`] where the folder cannot be used.
    #[cfg(feature = "fs")]
    pub fn local(root: &std::path::Path, prefix: &str) -> Result<Self, Error> {
        let failed = |error: std::io::Error| StoreError::Failed(error.to_string());
        std::fs::create_dir_all(root).map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        let objects =
            object_store::local::LocalFileSystem::new_with_prefix(&root)?.with_fsync(true);
        let mut store = Self::new(Arc::new(objects), prefix)?;
        store.folder = Some(root.join(store.prefix.as_ref()));
        Ok(store)
    }

    /// With parts of another length in uploads, in bytes: 8 MiB are the default, and services ask
    /// for 5 at least. A writer holds less than six parts, and 1 MiB for each thread and one more.
    #[must_use]
    pub fn with_part_len(mut self, len: usize) -> Self {
        self.part_len = len.max(1);
        self
    }

    /// With so many threads that seal or open one object, at most eight: as many as there are
    /// cores are the default. They are those that the caller's runtime keeps for work that blocks;
    /// with one, and where there is no runtime, all is done in the caller's task.
    #[must_use]
    pub fn with_threads(mut self, count: usize) -> Self {
        self.threads = Threads::new(count);
        self
    }

    /// Where an object of this name stands.
    // ENV-43
    fn path(&self, name: &str) -> Result<Path, Error> {
        let path = parse(name)?;
        Ok(self.prefix.parts().chain(path.parts()).collect())
    }

    /// Where the key record of an object stands.
    // ENV-18
    fn record_path(&self, object: ObjectId) -> Path {
        let name = KeyRecord::name(object);
        let parts = name.split('/').map(object_store::path::PathPart::from);
        self.prefix.parts().chain(parts).collect()
    }

    /// The folder of the key records.
    fn records_path(&self) -> Path {
        let folder = KeyRecord::FOLDER.trim_end_matches('/');
        self.prefix.clone().join(folder)
    }

    /// The name below the prefix.
    fn name_of(&self, path: &Path) -> Option<String> {
        let parts = path.prefix_match(&self.prefix)?;
        Some(parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
    }

    /// Writes a record where there is none.
    // ENV-19
    async fn create_record(&self, record: &KeyRecord) -> Result<(), Error> {
        let path = self.record_path(record.binding().object());
        let payload = PutPayload::from(record.to_bytes());
        let Err(error) = self.objects.put_opts(&path, payload, PutMode::Create.into()).await else {
            return Ok(());
        };
        // Clients repeat requests whose answer was lost: what stands there may be what was sent.
        let written = self.read_record(record.binding().object()).await;
        if written.is_ok_and(|found| found.is_some_and(|found| &found.record == record)) {
            return Ok(());
        }
        Err(error.into())
    }

    /// The record of an object, if there is one.
    async fn read_record(&self, object: ObjectId) -> Result<Option<VersionedRecord>, Error> {
        let path = self.record_path(object);
        let found = match self.objects.get_opts(&path, GetOptions::default()).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        let version = version_of(&found.meta);
        // ENV-16: bounded before it is fetched.
        if found.meta.size > u64::try_from(KeyRecord::MAX_LEN).unwrap_or(u64::MAX) {
            let reason = DecodeReason::TooLong(KeyRecord::MAX_LEN);
            return Err(DecodeError::new("key record", reason).into());
        }
        let bytes = at_most(found, KeyRecord::MAX_LEN).await?;
        let record = KeyRecord::from_bytes(&bytes)?;
        Ok(Some(VersionedRecord { record, bytes, version }))
    }

    /// Writes `next` in the place of the record that was read, if that still stands there.
    // ENV-37
    async fn update_record(&self, read: VersionedRecord, next: &KeyRecord) -> Result<(), Error> {
        let VersionedRecord { record, bytes, version } = read;
        let object = record.binding().object();
        let next_bytes = next.to_bytes();
        #[cfg(feature = "fs")]
        if let Some(folder) = &self.folder {
            return Ok(local::update(folder, &KeyRecord::name(object), &bytes, &next_bytes)?);
        }
        drop(bytes);
        let options = PutOptions::from(PutMode::Update(version));
        let path = self.record_path(object);
        let put = self.objects.put_opts(&path, next_bytes.into(), options).await;
        match put.map_err(StoreError::from) {
            Ok(_) => Ok(()),
            Err(StoreError::Unsupported(_)) => {
                let need = "write on a condition; a folder can as `Store::local`";
                Err(StoreError::Unsupported(need).into())
            }
            Err(error) => {
                // As in `create_record`.
                let found = self.read_record(object).await;
                let written = found.is_ok_and(|it| it.is_some_and(|it| &it.record == next));
                if written { Ok(()) } else { Err(error.into()) }
            }
        }
    }

    /// Deletes the record of an object: it opens no more.
    async fn delete_record(&self, object: ObjectId) -> Result<(), Error> {
        #[cfg(feature = "fs")]
        if let Some(folder) = &self.folder {
            return Ok(local::remove(folder, &KeyRecord::name(object))?);
        }
        match self.objects.delete(&self.record_path(object)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The first bytes of what stands at `path`, and what the store says of all of it.
    async fn first_bytes(&self, path: &Path, len: u64) -> Result<(ObjectMeta, Bytes), Error> {
        let options = GetOptions::new().with_range(Some(0..len));
        let found = match self.objects.get_opts(path, options).await {
            Ok(found) => found,
            // Some stores have no range of an empty object.
            Err(error @ object_store::Error::Generic { .. }) => {
                let error = Error::from(error);
                if error.is_store_away() {
                    return Err(error);
                }
                let meta = self.objects.head(path).await?;
                let empty = meta.size == 0;
                return if empty { Ok((meta, Bytes::new())) } else { Err(error) };
            }
            Err(error) => return Err(error.into()),
        };
        let meta = found.meta.clone();
        let bytes = exactly(found, 0..len.min(meta.size)).await?;
        Ok((meta, bytes))
    }

    /// The id in what stands at `path`, if it begins as objects do.
    async fn object_at(&self, path: &Path) -> Result<Option<ObjectId>, Error> {
        let fixed = u64::try_from(Header::FIXED_LEN).unwrap_or(u64::MAX);
        let (_, bytes) = self.first_bytes(path, fixed).await?;
        Ok(peek(&bytes))
    }
}

/// What a store gives, if it says that it is what was asked for.
fn exact(found: GetResult, range: &Range<u64>) -> Result<GetResult, Error> {
    if found.range == *range { Ok(found) } else { Err(other_bytes()) }
}

/// The bytes that a store gave, if they are those that were asked for.
async fn exactly(found: GetResult, range: Range<u64>) -> Result<Bytes, Error> {
    // Bounded before they are fetched.
    let found = exact(found, &range)?;
    let len = usize::try_from(range.end.saturating_sub(range.start)).map_err(|_| other_bytes())?;
    let bytes = at_most(found, len).await?;
    if bytes.len() == len { Ok(bytes) } else { Err(other_bytes()) }
}

/// All the bytes that a store gives. It says how many there are, and may give more.
async fn at_most(found: GetResult, most: usize) -> Result<Bytes, Error> {
    let mut pieces = found.into_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.try_next().await? {
        if piece.len() > most.saturating_sub(bytes.len()) {
            return Err(other_bytes());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

fn other_bytes() -> Error {
    StoreError::Failed("it gave other bytes than it was asked for".to_owned()).into()
}

/// What a write on the condition that nothing has changed names.
fn version_of(meta: &ObjectMeta) -> UpdateVersion {
    UpdateVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() }
}

/// The id in the first bytes of an object. All else of them is checked by whoever opens it.
fn peek(bytes: &[u8]) -> Option<ObjectId> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    // Version, suite and two reserved bytes.
    let id = rest.get(4..)?.first_chunk()?;
    Some(ObjectId::from_bytes(*id))
}

/// A name that is spelled as the store spells it, outside of the folder of key records.
fn parse(name: &str) -> Result<Path, Error> {
    let refuse = |rule| Err(StoreError::Name(rule).into());
    let folder = KeyRecord::FOLDER.trim_end_matches('/');
    match Path::parse(name) {
        Ok(path) if path.as_ref() != name || name.is_empty() => {
            refuse("neither is empty nor begins or ends with a slash")
        }
        Ok(path) if path.parts().any(|part| part.as_ref() == folder) => {
            refuse("has no part `.keys`, where key records stand")
        }
        Ok(path) => Ok(path),
        Err(_) => refuse("has no empty part, no `.`, no `..` and only characters of paths"),
    }
}
