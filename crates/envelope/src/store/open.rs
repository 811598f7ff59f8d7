//! Reading objects.

use core::{
    fmt, mem,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};
use std::sync::Arc;
#[cfg(feature = "fs")]
use std::sync::OnceLock;

use bytes::Bytes;
use futures_util::future::try_join;
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt, path::Path};
use sealwire_core::{Timestamp, wipe::WipedVec};
use sealwire_hybrid::StoredKey;
use tokio::io::{AsyncWrite, AsyncWriteExt};

#[cfg(feature = "fs")]
use super::file::Pinned;
use super::{
    Store, StoreError, exact,
    runs::{More, Run, Runs},
    version_of,
};
use crate::{Cache, ChunkRange, Error, Head, Layout, ObjectId, Pairs, Sealers, Unlocked, kms::Kms};

/// So much of an object comes with its head: all of a small one.
const FIRST_LEN: u64 = 64 * 1024;
/// So far from the end of a range the last chunk is asked for with it: a request takes longer than
/// so many bytes.
const NEAR_LEN: u64 = 256 * 1024;
/// So much memory is asked for by a length that nothing has authenticated yet.
const TRUSTED_LEN: u64 = 1024 * 1024;

/// With which key an object is opened, and what its reader knows of it.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    key: Key<'a>,
    required: &'a Pairs,
    sealers: &'a dyn Sealers,
    cache: Option<(&'a Cache, Timestamp)>,
}

#[derive(Clone, Copy, Debug)]
enum Key<'a> {
    Kms(&'a dyn Kms),
    Agent(&'a StoredKey<'a>),
}

impl<'a> Access<'a> {
    /// With a key of a key service. `required` are the pairs that were bound and not stored.
    pub fn kms(kms: &'a dyn Kms, required: &'a Pairs) -> Self {
        Self { key: Key::Kms(kms), required, sealers: &(), cache: None }
    }

    /// With an agent's own key, objects that one of `sealers` has signed.
    pub fn agent(key: &'a StoredKey<'a>, required: &'a Pairs, sealers: &'a dyn Sealers) -> Self {
        Self { key: Key::Agent(key), required, sealers, cache: None }
    }

    /// Which sealers are accepted, where the key of the service is one that anyone can wrap to.
    #[must_use]
    pub const fn sealers(mut self, sealers: &'a dyn Sealers) -> Self {
        self.sealers = sealers;
        self
    }

    /// Asks the key service only for what `cache` does not hold. What an agent's own key opens
    /// needs no service, and is not kept.
    #[must_use]
    pub const fn cached(mut self, cache: &'a Cache, now: Timestamp) -> Self {
        self.cache = Some((cache, now));
        self
    }
}

impl fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, required, sealers: _, cache: _ } = self;
        f.debug_struct("Access")
            .field("key", key)
            .field("required", required)
            .finish_non_exhaustive()
    }
}

/// An object whose key was unwrapped. It reads this version of it, and no other.
///
/// Of its length only so much is authentic as was opened, until [`StoredObject::len`] or a range
/// has been asked for.
#[expect(missing_debug_implementations, reason = "it holds a key")]
pub struct StoredObject {
    store: Store,
    path: Path,
    meta: ObjectMeta,
    first: Bytes,
    unlocked: Unlocked,
    layout: Layout,
    whole: AtomicBool,
    /// The file that a part was read from before.
    #[cfg(feature = "fs")]
    file: OnceLock<Arc<Pinned>>,
}

impl Store {
    /// Finds the object `name`, and unwraps its key.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Erased`] where it has no key record;
    /// [`Error::Decode`] for what is no object; [`Error::Open`] for another tenant and all else
    /// that does not fit; [`Error::NoSlot`]; [`Error::Sealer`]; [`Error::Kms`].
    pub async fn open(&self, name: &str, access: &Access<'_>) -> Result<StoredObject, Error> {
        let path = self.path(name)?;
        let (meta, first) = self.first_bytes(&path, FIRST_LEN).await?;
        let (head, _) = Head::split(&first)?;
        let record = self.read_record(head.header().object()).await?;
        let record = record.ok_or(StoreError::Erased)?.record;
        let Access { key, required, sealers, cache } = *access;
        let unlocked = match (key, cache) {
            (Key::Kms(kms), None) => record.unlock(kms, &head, required, sealers).await?,
            (Key::Kms(kms), Some((cache, now))) => {
                cache.unlock(&record, kms, &head, required, sealers, now).await?
            }
            (Key::Agent(agent), _) => record.unlock_as(agent, &head, required, sealers)?,
        };
        let layout = unlocked.layout(meta.size)?;
        Ok(StoredObject {
            store: self.clone(),
            path,
            meta,
            first,
            unlocked,
            layout,
            whole: AtomicBool::new(false),
            #[cfg(feature = "fs")]
            file: OnceLock::new(),
        })
    }
}

impl StoredObject {
    /// The object's name in the store of keys, which is not the one that it was opened by.
    pub fn object(&self) -> ObjectId {
        self.head().header().object()
    }

    /// What stands before the chunks, with the stored context.
    pub fn head(&self) -> &Head {
        self.unlocked.head()
    }

    /// Length of the content, in bytes: authentic, by the object's last chunk.
    ///
    /// # Errors
    /// [`Error::Open`] for an object that was cut; [`Error::Store`].
    pub async fn len(&self) -> Result<u64, Error> {
        // ENV-14
        if !self.whole.load(Ordering::Relaxed) {
            self.collect(&self.layout.last()).await?;
        }
        Ok(self.layout.plaintext_len())
    }

    /// Whether there is no content.
    ///
    /// # Errors
    /// As [`StoredObject::len`].
    pub async fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len().await? == 0)
    }

    /// The content in this range, cut at its end.
    ///
    /// # Errors
    /// [`Error::Open`]; [`StoreError::Changed`] where another object stands there by now;
    /// [`Error::Store`].
    pub async fn read_range(&self, range: Range<u64>) -> Result<WipedVec, Error> {
        let mut part = self.layout.chunks_of(&range);
        // ENV-14: where the range ends is said by a length that must be authentic, and before
        // memory is asked for by it.
        if part.take > TRUSTED_LEN {
            self.len().await?;
        }
        if part.ends || self.whole.load(Ordering::Relaxed) {
            return self.collect(&part).await;
        }
        let end = self.layout.all();
        if part.count > 0 && end.body.end.saturating_sub(part.body.end) <= NEAR_LEN {
            // The last chunk is so near that one request brings both.
            part.count = end.count.saturating_sub(part.first);
            part.body.end = end.body.end;
            part.ends = true;
            return self.collect(&part).await;
        }
        let (_, content) = try_join(self.len(), self.collect(&part)).await?;
        Ok(content)
    }

    /// All of the content, in memory.
    ///
    /// # Errors
    /// As [`StoredObject::read_range`].
    pub async fn read(&self) -> Result<WipedVec, Error> {
        if self.layout.plaintext_len() > TRUSTED_LEN {
            self.len().await?;
        }
        self.collect(&self.layout.all()).await
    }

    /// The content from its beginning, piece by piece, in bounded memory.
    pub fn content(&self) -> Content<'_> {
        Content { object: self, state: State::Begin }
    }

    /// Opens chunks in a row, and gives what the range takes of them. Memory is asked for by a
    /// length that is short, or authentic.
    async fn collect(&self, part: &ChunkRange) -> Result<WipedVec, Error> {
        let (mut skip, take) = (to_usize(part.skip)?, to_usize(part.take)?);
        let mut out = WipedVec::with_capacity(take);
        let mut runs = self.runs(part).await?;
        while let Some(run) = runs.next().await? {
            let content = run.content().get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(run.content().len());
            let room = take.saturating_sub(out.len()).min(content.len());
            out.extend_from_slice(content.get(..room).unwrap_or_default());
            runs.recycle(run);
        }
        if part.ends {
            self.whole.store(true, Ordering::Relaxed);
        }
        Ok(out)
    }

    /// Opens chunks in a row, from what came with the head or from the store.
    async fn runs(&self, part: &ChunkRange) -> Result<Runs, Error> {
        let Range { start, end } = part.body;
        let here_len = u64::try_from(self.first.len()).unwrap_or(u64::MAX);
        let mut here = Bytes::new();
        if start < here_len {
            let range = to_usize(start)?..to_usize(end.min(here_len))?;
            here = self.first.slice(range);
        }
        let missing = start.max(here_len.min(end))..end;
        let more = if missing.is_empty() { More::Nothing } else { self.more(missing).await? };
        let key = Arc::clone(self.unlocked.key());
        Ok(Runs::new(key, self.store.threads, part, here, more))
    }

    /// Where bytes come from that did not come with the head.
    async fn more(&self, missing: Range<u64>) -> Result<More, Error> {
        #[cfg(feature = "fs")]
        if let Some(file) = self.file.get() {
            return Ok(More::File { file: Arc::clone(file), check: true });
        }
        let more = More::new(exact(self.get(missing.clone()).await?, &missing)?)?;
        #[cfg(feature = "fs")]
        if let More::File { file, .. } = &more {
            // Of two that come at once the first one stays.
            let _ = self.file.set(Arc::clone(file));
        }
        Ok(more)
    }

    /// Asks for bytes of this version of the object.
    // ENV-39
    async fn get(&self, range: Range<u64>) -> Result<object_store::GetResult, Error> {
        let mut options = GetOptions::new().with_range(Some(range));
        match (&self.meta.e_tag, &self.meta.version) {
            (Some(tag), _) => options.if_match = Some(tag.clone()),
            (None, version) => options.version.clone_from(version),
        }
        let found = match self.store.objects.get_opts(&self.path, options).await {
            // A shorter object has no such range.
            Err(error @ object_store::Error::Generic { .. }) => {
                let now = self.store.objects.head(&self.path).await?;
                return Err(if self.is(&now) { error.into() } else { StoreError::Changed.into() });
            }
            other => other?,
        };
        if self.is(&found.meta) { Ok(found) } else { Err(StoreError::Changed.into()) }
    }

    fn is(&self, meta: &ObjectMeta) -> bool {
        meta.size == self.meta.size && version_of(meta) == version_of(&self.meta)
    }

    /// The version that is read.
    pub(super) fn version(&self) -> object_store::UpdateVersion {
        version_of(&self.meta)
    }
}

/// The content of an object, piece by piece.
///
/// Each piece is authentic when it is given. That they are all of it is known when
/// [`Content::next`] has given `None`, and not before: what writes them to a file writes to a
/// temporary one, and renames it then.
#[expect(missing_debug_implementations, reason = "it holds a key")]
pub struct Content<'a> {
    object: &'a StoredObject,
    state: State,
}

enum State {
    Begin,
    Open(Box<Runs>),
    Whole,
    Failed,
}

impl Content<'_> {
    /// The next piece, or `None` where the object has ended.
    ///
    /// # Errors
    /// [`Error::Open`] for an object that was changed or cut; [`Error::Store`]. From then on in
    /// each call, and after a call that was given up.
    pub async fn next(&mut self) -> Result<Option<WipedVec>, Error> {
        let run = self.run().await?;
        Ok(match (run, &mut self.state) {
            (Some(run), State::Open(runs)) => Some(runs.give(run)),
            _ => None,
        })
    }

    /// Writes all of it to `writer`, and says how much that was.
    ///
    /// # Errors
    /// As [`Content::next`]; [`StoreError::Failed`] where writing failed. What was written then is
    /// authentic and not all of it.
    pub async fn copy_to<W: AsyncWrite + Unpin + Send + ?Sized>(
        &mut self,
        writer: &mut W,
    ) -> Result<u64, Error> {
        let failed = |error: std::io::Error| StoreError::Failed(error.to_string());
        let mut copied: u64 = 0;
        while let Some(run) = self.run().await? {
            writer.write_all(run.content()).await.map_err(failed)?;
            let len = run.content().len();
            copied = copied.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
            self.recycle(run);
        }
        writer.flush().await.map_err(failed)?;
        Ok(copied)
    }

    /// As [`Content::next`], in memory that goes back to [`Content::recycle`].
    pub(super) async fn run(&mut self) -> Result<Option<Run>, Error> {
        // ENV-12: what fails, or is dropped while it waits, stays so.
        let mut runs = match mem::replace(&mut self.state, State::Failed) {
            State::Begin => Box::new(self.object.runs(&self.object.layout.all()).await?),
            State::Open(runs) => runs,
            State::Failed => return Err(Error::Open),
            State::Whole => {
                self.state = State::Whole;
                return Ok(None);
            }
        };
        while let Some(run) = runs.next().await? {
            // Where the last chunk is a run of its own, it may be empty.
            if !run.content().is_empty() {
                self.state = State::Open(runs);
                return Ok(Some(run));
            }
        }
        self.object.whole.store(true, Ordering::Relaxed);
        self.state = State::Whole;
        Ok(None)
    }

    pub(super) fn recycle(&mut self, run: Run) {
        if let State::Open(runs) = &mut self.state {
            runs.recycle(run);
        }
    }
}

/// What memory can hold.
fn to_usize(len: u64) -> Result<usize, Error> {
    usize::try_from(len).map_err(|_| Error::Misuse("a range that fits into memory"))
}
