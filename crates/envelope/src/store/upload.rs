//! Where the sealed bytes of an object go: one request, or parts on their way while the next one
//! fills.

use core::{
    future::poll_fn,
    mem,
    task::{Context, Poll},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use object_store::{
    MultipartUpload, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion, UploadPart,
    path::Path,
};

use super::{Store, StoreError, version_of};
use crate::Error;

/// So many parts later each has twice the length. Services take 10,000: 150 GiB in all.
const SHORT_PARTS: usize = 1_000;
/// So many parts are on their way while the next one fills: together under 64 MiB.
const IN_FLIGHT: usize = 2;
/// How long the later parts are in a folder, where none costs a request: they are written while
/// the processor has them in its cache.
#[cfg(feature = "fs")]
const FOLDER_PART: usize = 256 * 1024;

/// What stands at a name before an object is written there.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Nothing.
    Vacant,
    /// This version.
    Replace(UpdateVersion),
}

impl Target {
    /// Asks whether it still is what stands at `path`.
    async fn check(&self, store: &Store, path: &Path) -> Result<(), Error> {
        let found = match store.objects.head(path).await {
            Err(object_store::Error::NotFound { .. }) => None,
            other => Some(version_of(&other?)),
        };
        match (self, found) {
            (Self::Vacant, None) => Ok(()),
            (Self::Vacant, Some(_)) => Err(StoreError::Exists.into()),
            (Self::Replace(expected), Some(found)) if *expected == found => Ok(()),
            (Self::Replace(_), _) => Err(StoreError::Changed.into()),
        }
    }
}

/// One upload of one object.
pub(super) struct Upload {
    store: Store,
    path: Path,
    target: Target,
    queue: VecDeque<Bytes>,
    queued: usize,
    multipart: Option<Box<dyn MultipartUpload>>,
    parts: usize,
    in_flight: FuturesUnordered<UploadPart>,
}

impl Upload {
    pub(super) fn new(store: Store, path: Path, target: Target) -> Self {
        Self {
            store,
            path,
            target,
            queue: VecDeque::new(),
            queued: 0,
            multipart: None,
            parts: 0,
            in_flight: FuturesUnordered::new(),
        }
    }

    pub(super) const fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the next bytes of the object, which go with the next part that is sent.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.queued = self.queued.saturating_add(bytes.len());
        self.queue.push_back(bytes);
    }

    /// Sends what makes whole parts on its way.
    pub(super) async fn send(&mut self) -> Result<(), Error> {
        while self.queued >= self.part_len() {
            self.send_part().await?;
        }
        Ok(())
    }

    /// Lets the parts that are on their way go on, while the task waits for something else.
    pub(super) fn poll_sent(&mut self, task: &mut Context<'_>) -> Result<(), Error> {
        while let Poll::Ready(Some(sent)) = self.in_flight.poll_next_unpin(task) {
            sent?;
        }
        Ok(())
    }

    /// Makes the object appear, unless what stands there is not what is expected.
    // ENV-38
    pub(super) async fn complete(&mut self) -> Result<(), Error> {
        if self.multipart.is_none() {
            return self.put().await;
        }
        // The last chunk may have made two parts of one.
        while self.queued > 0 {
            self.send_part().await?;
        }
        while let Some(sent) = self.in_flight.next().await {
            sent?;
        }
        self.target.check(&self.store, &self.path).await?;
        let multipart = self.multipart.as_mut().ok_or(Error::Unreachable("it was begun"))?;
        multipart.complete().await?;
        self.multipart = None;
        Ok(())
    }

    /// Takes back what no reader has seen. An upload that nobody completes is all that is left
    /// where this fails.
    pub(super) async fn abort(&mut self) {
        self.in_flight.clear();
        if let Some(mut multipart) = self.multipart.take() {
            let _ = multipart.abort().await;
        }
    }

    /// The first part has the same length everywhere: what is not longer is one request.
    fn part_len(&self) -> usize {
        let len = self.store.part_len;
        #[cfg(feature = "fs")]
        if self.store.folder.is_some() && self.parts > 0 {
            return len.min(FOLDER_PART);
        }
        if self.parts < SHORT_PARTS { len } else { len.saturating_mul(2) }
    }

    async fn send_part(&mut self) -> Result<(), Error> {
        while self.in_flight.len() >= IN_FLIGHT {
            self.in_flight.next().await.transpose()?;
        }
        if self.multipart.is_none() {
            // Before gigabytes are sent in vain.
            self.target.check(&self.store, &self.path).await?;
            self.multipart = Some(self.store.objects.put_multipart(&self.path).await?);
        }
        let part = self.take(self.part_len());
        self.parts = self.parts.saturating_add(1);
        let multipart = self.multipart.as_mut().ok_or(Error::Unreachable("it was begun"))?;
        self.in_flight.push(multipart.put_part(part));
        // It begins now, and not when something is waited for.
        poll_fn(|task| Poll::Ready(self.poll_sent(task))).await
    }

    /// The next bytes that are queued, at most so many.
    fn take(&mut self, most: usize) -> PutPayload {
        let mut part = Vec::new();
        let mut room = most.min(self.queued);
        self.queued = self.queued.saturating_sub(room);
        while room > 0
            && let Some(mut bytes) = self.queue.pop_front()
        {
            if bytes.len() > room {
                self.queue.push_front(bytes.split_off(room));
            }
            room = room.saturating_sub(bytes.len());
            part.push(bytes);
        }
        part.into_iter().collect()
    }

    /// A short object: one request, which the store does on its condition.
    async fn put(&mut self) -> Result<(), Error> {
        let payload = self.take(usize::MAX);
        let (objects, path) = (&self.store.objects, &self.path);
        let mode = match &self.target {
            Target::Vacant => PutMode::Create,
            Target::Replace(version) => PutMode::Update(version.clone()),
        };
        let put = objects.put_opts(path, payload.clone(), PutOptions::from(mode)).await;
        match put.map_err(StoreError::from) {
            Err(StoreError::Unsupported(_)) if matches!(self.target, Target::Replace(_)) => {
                self.target.check(&self.store, path).await?;
                objects.put(path, payload).await?;
                Ok(())
            }
            other => Ok(other.map(drop)?),
        }
    }
}

/// Buffers of one length that are used again when what was in them was sent: fresh memory costs
/// more than the encryption.
pub(super) struct Pool {
    len: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    pub(super) fn new(len: usize) -> Arc<Self> {
        Arc::new(Self { len, free: Mutex::default() })
    }

    /// A buffer with whatever was in it before.
    pub(super) fn take(self: &Arc<Self>) -> Pooled {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Pooled { bytes: free.unwrap_or_else(|| vec![0; self.len]), pool: Arc::clone(self) }
    }
}

/// A buffer that goes back where it came from.
pub(super) struct Pooled {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Pooled {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}
