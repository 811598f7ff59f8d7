//! Reading objects.

use core::{
    fmt,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt, path::Path};
use sealwire_hybrid::StoredKey;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::{Store, StoreError, exactly, version_of};
use crate::{
    ChunkRange, Error, Head, Layout, ObjectId, Opener, Pairs, Sealers, Unlocked,
    chunks::{CHUNK_LEN, SLOT_LEN},
    kms::Kms,
};

/// So much of an object comes with its head: all of a small one.
const FIRST_LEN: u64 = 64 * 1024;

/// With which key an object is opened, and what its reader knows of it.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    key: Key<'a>,
    required: &'a Pairs,
    sealers: &'a dyn Sealers,
}

#[derive(Clone, Copy, Debug)]
enum Key<'a> {
    Kms(&'a dyn Kms),
    Agent(&'a StoredKey<'a>),
}

impl<'a> Access<'a> {
    /// With a key of a key service. `required` are the pairs that were bound and not stored.
    pub fn kms(kms: &'a dyn Kms, required: &'a Pairs) -> Self {
        Self { key: Key::Kms(kms), required, sealers: &() }
    }

    /// With an agent's own key, objects that one of `sealers` has signed.
    pub fn agent(key: &'a StoredKey<'a>, required: &'a Pairs, sealers: &'a dyn Sealers) -> Self {
        Self { key: Key::Agent(key), required, sealers }
    }

    /// Which sealers are accepted, where the key of the service is one that anyone can wrap to.
    #[must_use]
    pub const fn sealers(mut self, sealers: &'a dyn Sealers) -> Self {
        self.sealers = sealers;
        self
    }
}

impl fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, required, sealers: _ } = self;
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
        let Access { key, required, sealers } = *access;
        let unlocked = match key {
            Key::Kms(kms) => record.unlock(kms, &head, required, sealers).await?,
            Key::Agent(agent) => record.unlock_as(agent, &head, required, sealers)?,
        };
        let layout = unlocked.layout(meta.size)?;
        let (store, whole) = (self.clone(), AtomicBool::new(false));
        Ok(StoredObject { store, path, meta, first, unlocked, layout, whole })
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
            self.open_chunks(&self.layout.last()).await?;
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

    /// The content in this range, cut at its end. Memory holds twice as much.
    ///
    /// # Errors
    /// [`Error::Open`]; [`StoreError::Changed`] where another object stands there by now;
    /// [`Error::Store`].
    pub async fn read_range(&self, range: Range<u64>) -> Result<Zeroizing<Vec<u8>>, Error> {
        let part = self.layout.chunks_of(&range);
        // Where the range ends is said by a length that must be authentic.
        self.len().await?;
        let opened = self.open_chunks(&part).await?;
        let (skip, take) = (to_usize(part.skip)?, to_usize(part.take)?);
        let end = skip.saturating_add(take);
        let content =
            opened.get(skip..end).ok_or(Error::Unreachable("the range is in its chunks"))?;
        Ok(Zeroizing::new(content.to_vec()))
    }

    /// All of the content, in memory.
    ///
    /// # Errors
    /// As [`StoredObject::read_range`].
    pub async fn read(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        // The length is authentic before memory is asked for by it, or all of it is here.
        let here = u64::try_from(self.first.len()).is_ok_and(|len| len == self.meta.size);
        let len = if here { self.layout.plaintext_len() } else { self.len().await? };
        let len = to_usize(len)?;
        let mut out = Zeroizing::new(Vec::with_capacity(len.saturating_add(SLOT_LEN)));
        let mut content = self.content();
        while let Some(piece) = content.next().await? {
            out.extend_from_slice(&piece);
        }
        Ok(out)
    }

    /// The content from its beginning, piece by piece, in bounded memory.
    pub fn content(&self) -> Content<'_> {
        Content { object: self, stream: None, state: State::Begin }
    }

    /// Opens chunks in a row, of which the last one may be the object's.
    async fn open_chunks(&self, part: &ChunkRange) -> Result<Zeroizing<Vec<u8>>, Error> {
        let sealed = self.bytes(part.body.clone()).await?;
        let key = self.unlocked.key();
        let count = to_usize(part.count)?;
        let capacity = count.saturating_mul(CHUNK_LEN);
        let mut out = Zeroizing::new(Vec::with_capacity(capacity));
        let mut slot = Zeroizing::new(Vec::with_capacity(SLOT_LEN));
        let slots = sealed.chunks(SLOT_LEN).map(Some).chain(core::iter::repeat(None)).take(count);
        for (index, sealed) in (part.first..).zip(slots) {
            slot.clear();
            slot.extend_from_slice(sealed.ok_or(Error::Open)?);
            // ENV-12
            if part.ends && index.saturating_sub(part.first).saturating_add(1) == part.count {
                let len = key.open_last(index, &mut slot)?;
                self.whole.store(true, Ordering::Relaxed);
                out.extend_from_slice(slot.get(..len).unwrap_or_default());
            } else {
                key.open_chunks(index, &mut slot)?;
                out.extend_from_slice(slot.get(..CHUNK_LEN).ok_or(Error::Open)?);
            }
        }
        Ok(out)
    }

    /// Bytes of the object, from what came with its head or from the store.
    async fn bytes(&self, range: Range<u64>) -> Result<Bytes, Error> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let (start, end) = (to_usize(range.start), to_usize(range.end));
        if let (Ok(start), Ok(end)) = (start, end)
            && end <= self.first.len()
        {
            return Ok(self.first.slice(start..end));
        }
        exactly(self.get(range.clone()).await?, range).await
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
    stream: Option<BoxStream<'static, object_store::Result<Bytes>>>,
    state: State,
}

enum State {
    Begin,
    Open(Opener),
    Whole,
    Failed,
}

impl Content<'_> {
    /// The next piece, or `None` where the object has ended.
    ///
    /// # Errors
    /// [`Error::Open`] for an object that was changed or cut; [`Error::Store`]. From then on in
    /// each call, and after a call that was given up.
    pub async fn next(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        loop {
            // ENV-12: what fails, or is dropped while it waits, stays so.
            let (mut opener, piece) = match core::mem::replace(&mut self.state, State::Failed) {
                State::Begin => self.begin().await?,
                State::Open(opener) => (opener, self.piece().await?),
                State::Failed => return Err(Error::Open),
                State::Whole => {
                    self.state = State::Whole;
                    return Ok(None);
                }
            };
            let room = piece.as_ref().map_or(0, Bytes::len).saturating_add(SLOT_LEN);
            let mut out = Zeroizing::new(Vec::with_capacity(room));
            if let Some(piece) = piece {
                opener.push(&piece, &mut out)?;
                self.state = State::Open(opener);
            } else {
                opener.finish(&mut out)?;
                self.object.whole.store(true, Ordering::Relaxed);
                self.state = State::Whole;
            }
            if !out.is_empty() {
                return Ok(Some(out));
            }
        }
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
        while let Some(piece) = self.next().await? {
            writer.write_all(&piece).await.map_err(failed)?;
            copied = copied.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        }
        writer.flush().await.map_err(failed)?;
        Ok(copied)
    }

    /// The chunks that came with the head; the rest is on its way then.
    async fn begin(&mut self) -> Result<(Opener, Option<Bytes>), Error> {
        let StoredObject { meta, first, unlocked, .. } = self.object;
        let first_len = u64::try_from(first.len()).unwrap_or(u64::MAX);
        if first_len < meta.size {
            self.stream = Some(self.object.get(first_len..meta.size).await?.into_stream());
        }
        let head_len = unlocked.head().encoded_len().min(first.len());
        Ok((unlocked.opener(), Some(first.slice(head_len..))))
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        Ok(stream.next().await.transpose()?)
    }
}

/// What memory can hold.
fn to_usize(len: u64) -> Result<usize, Error> {
    usize::try_from(len).map_err(|_| Error::Misuse("a range that fits into memory"))
}
