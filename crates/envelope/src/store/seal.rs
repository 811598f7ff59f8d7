//! Writing objects.

use core::{
    future::{Future, poll_fn},
    mem,
    pin::pin,
    task::Poll,
};
use std::{collections::VecDeque, sync::Arc};

use bytes::{BufMut, Bytes};
use futures_util::FutureExt;
use object_store::path::Path;
use rand_core::TryCryptoRng;
use sealwire_core::{KeyStore, Suite, Timestamp, keystore::KxId, wipe::WipedVec};
use sealwire_hybrid::XWingPublic;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    Store, StoreError,
    threads::Job,
    upload::{Pool, Pooled, Target, Upload},
};
use crate::{
    Context, Draft, Error, KeyRecord, ObjectId, Sealed, Sealer,
    chunks::{CHUNK_LEN, SLOT_LEN},
    kms::Kms,
};

/// So many chunks are sealed by one thread at once: two buffers of them stay in its cache.
const MOST_CHUNKS: usize = 16;
/// So much is read at first.
const READ_LEN: usize = 64 * 1024;

/// How an object is sealed, and for whom.
///
/// Every key that is named can open it alone.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    suite: Suite,
    context: &'a Context,
    kms: Vec<&'a dyn Kms>,
    agents: Vec<(&'a XWingPublic, KxId)>,
    signer: Option<Signer<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Signer<'a> {
    keys: &'a dyn KeyStore,
    id: &'a [u8],
    card: &'a [u8; 32],
}

impl<'a> Plan<'a> {
    /// An object with this context, sealed with AES-256-GCM, for nobody yet.
    pub const fn new(context: &'a Context) -> Self {
        Self { suite: Suite::AesGcm, context, kms: Vec::new(), agents: Vec::new(), signer: None }
    }

    /// With another suite.
    #[must_use]
    pub const fn suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// For whoever may use a key of a key service.
    #[must_use]
    pub fn kms(mut self, kms: &'a dyn Kms) -> Self {
        self.kms.push(kms);
        self
    }

    /// For an agent, by the X-Wing key of its card. Such an object is signed: see
    /// [`Plan::signed_by`].
    #[must_use]
    pub fn agent(mut self, public: &'a XWingPublic, kx: KxId) -> Self {
        self.agents.push((public, kx));
        self
    }

    /// Signed by an agent, which is found by its id and the hash of its card.
    #[must_use]
    pub const fn signed_by(
        mut self,
        keys: &'a dyn KeyStore,
        id: &'a [u8],
        card: &'a [u8; 32],
    ) -> Self {
        self.signer = Some(Signer { keys, id, card });
        self
    }

    async fn record<R: TryCryptoRng + Send + ?Sized>(
        &self,
        draft: &Draft,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<KeyRecord, Error> {
        if !self.agents.is_empty() && self.signer.is_none() {
            return Err(Error::Misuse("objects for agents are signed; else they do not open"));
        }
        let mut wraps = Vec::new();
        for kms in &self.kms {
            wraps.push(kms.wrap(draft.dek(), draft.binding()).await?);
        }
        for (public, kx) in &self.agents {
            wraps.push(KeyRecord::wrap_to(draft, public, *kx, rng)?);
        }
        let mut wraps = wraps.into_iter();
        let first = wraps.next().ok_or(Error::Misuse("an object is sealed for someone"))?;
        let mut record = KeyRecord::new(*draft.binding(), first, now)?;
        wraps.try_for_each(|wrap| record.add(wrap, now))?;
        if let Some(Signer { keys, id, card }) = self.signer {
            record.sign(draft, keys, id, card)?;
        }
        Ok(record)
    }
}

impl Store {
    /// Seals `content` as the object `name`.
    ///
    /// # Errors
    /// As [`Store::writer`], [`SealWriter::write`] and [`SealWriter::finish`].
    pub async fn seal<R: TryCryptoRng + Send + ?Sized>(
        &self,
        name: &str,
        plan: &Plan<'_>,
        content: &[u8],
        now: Timestamp,
        rng: &mut R,
    ) -> Result<Sealed, Error> {
        let mut writer = self.writer(name, plan, now, rng).await?;
        writer.write(content).await?;
        writer.finish().await
    }

    /// Begins the object `name`: its key record stands when this returns, and nothing else.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a plan that names nobody, or agents and no signer; [`Error::Kms`];
    /// [`Error::Randomness`]; [`Error::Store`].
    pub async fn writer<R: TryCryptoRng + Send + ?Sized>(
        &self,
        name: &str,
        plan: &Plan<'_>,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<SealWriter, Error> {
        self.writer_to(self.path(name)?, Target::Vacant, plan, now, rng).await
    }

    pub(super) async fn writer_to<R: TryCryptoRng + Send + ?Sized>(
        &self,
        path: Path,
        target: Target,
        plan: &Plan<'_>,
        now: Timestamp,
        rng: &mut R,
    ) -> Result<SealWriter, Error> {
        let draft = Draft::new(plan.suite, plan.context, rng)?;
        let record = plan.record(&draft, now, rng).await?;
        let object = draft.object();
        let mut head = Vec::new();
        let sealer = draft.into_sealer(&record, &mut head)?;
        // ENV-19
        self.create_record(&record).await?;
        let mut upload = Upload::new(self.clone(), path, target);
        upload.push(head.into());
        let run = (self.part_len / (4 * SLOT_LEN)).clamp(1, MOST_CHUNKS);
        Ok(SealWriter {
            store: self.clone(),
            object,
            sealer,
            run,
            plain: Plain::default(),
            spare: Vec::new(),
            jobs: VecDeque::new(),
            slots: Pool::new(run.saturating_mul(SLOT_LEN)),
            upload,
            broken: false,
        })
    }
}

/// Content that is not sealed yet. It never grows in place: that would leave copies behind.
type Plain = WipedVec;

/// A run of chunks, sealed, and the buffer that its content was in.
type Run = Result<(Plain, Pooled), Error>;

/// Writes one object, piece by piece, in bounded memory. Runs of chunks are sealed beside each
/// other, while what comes before them is on its way to the store and what comes after is read.
///
/// Only [`SealWriter::finish`] makes the object appear, whole. One that is dropped before leaves
/// its key record, which [`Store::sweep`](Store::sweep) finds, and may leave parts of an upload,
/// which no reader sees and which services delete by a rule for unfinished uploads;
/// [`SealWriter::abort`] leaves neither.
#[expect(missing_debug_implementations, reason = "it holds a key")]
#[must_use = "the object appears when the writer is finished"]
pub struct SealWriter {
    store: Store,
    object: ObjectId,
    sealer: Sealer,
    /// So many chunks make a run.
    run: usize,
    /// The beginning of the next run: always less than a run.
    plain: Plain,
    spare: Vec<Plain>,
    /// In the order of the object.
    jobs: VecDeque<Job<Run>>,
    slots: Arc<Pool>,
    upload: Upload,
    /// A call failed, or was given up half way: nobody knows what the object holds.
    broken: bool,
}

impl SealWriter {
    /// The object.
    pub const fn object(&self) -> ObjectId {
        self.object
    }

    /// Takes the next part of the content.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Misuse`]: the object cannot be finished then, nor where the
    /// future was dropped before it was ready.
    pub async fn write(&mut self, content: &[u8]) -> Result<(), Error> {
        if mem::replace(&mut self.broken, true) {
            return Err(BROKEN);
        }
        let written = self.take(content).await;
        self.settled(written).await
    }

    /// Takes all that `reader` gives, and says how much that was.
    ///
    /// # Errors
    /// As [`SealWriter::write`]; [`StoreError::Failed`] where reading failed.
    pub async fn copy_from<T: AsyncRead + Unpin + Send + ?Sized>(
        &mut self,
        reader: &mut T,
    ) -> Result<u64, Error> {
        // What was read of a source that fails must not pass for all of it.
        if mem::replace(&mut self.broken, true) {
            return Err(BROKEN);
        }
        let copied = self.take_all(reader).await;
        self.settled(copied).await
    }

    /// Completes the object: it stands in the store when this returns.
    ///
    /// # Errors
    /// [`StoreError::Exists`], and there is nothing of this object; [`StoreError::Changed`],
    /// likewise, where it was to replace another one. [`Error::Misuse`] after a write that
    /// failed. After any other failure of the store nobody knows whether the object stands there:
    /// its key record stays, so that it opens if it does.
    pub async fn finish(mut self) -> Result<Sealed, Error> {
        if self.broken {
            self.clear().await;
            return Err(BROKEN);
        }
        let sealed = self.take_sealed(0).await;
        self.settled(sealed).await?;
        let Self { store, object, sealer, plain, mut upload, .. } = self;
        // ENV-13
        let mut last = Vec::new();
        let sealed = sealer.finish_with(&plain, &mut last)?;
        upload.push(last.into());
        let Err(failed) = upload.complete().await else { return Ok(sealed) };
        upload.abort().await;
        settle(&store, upload.path(), object, failed).await.map(|()| sealed)
    }

    /// Gives the object up: nothing of it stays.
    ///
    /// # Errors
    /// [`Error::Store`] where the key record stays.
    pub async fn abort(mut self) -> Result<(), Error> {
        self.clear().await;
        self.store.delete_record(self.object).await
    }

    async fn take(&mut self, mut content: &[u8]) -> Result<(), Error> {
        while !content.is_empty() {
            self.make_room(content.len());
            let room = self.plain.capacity().min(self.run_len()).saturating_sub(self.plain.len());
            let (part, rest) = content.split_at(room.min(content.len()));
            self.plain.extend_from_slice(part);
            content = rest;
            self.seal_run().await?;
        }
        Ok(())
    }

    async fn take_all<T: AsyncRead + Unpin + Send + ?Sized>(
        &mut self,
        reader: &mut T,
    ) -> Result<u64, Error> {
        let mut copied: u64 = 0;
        loop {
            self.make_room(READ_LEN);
            let room = self.plain.capacity().min(self.run_len()).saturating_sub(self.plain.len());
            let Self { plain, upload, .. } = self;
            let mut part = BufMut::limit(&mut **plain, room);
            let mut reading = pin!(reader.read_buf(&mut part));
            let read = poll_fn(|task| {
                if let Err(failed) = upload.poll_sent(task) {
                    return Poll::Ready(Err(failed));
                }
                let read = reading.as_mut().poll(task);
                read.map_err(|error| StoreError::Failed(error.to_string()).into())
            });
            let len = read.await?;
            if len == 0 {
                return Ok(copied);
            }
            copied = copied.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
            self.seal_run().await?;
        }
    }

    const fn run_len(&self) -> usize {
        self.run.saturating_mul(CHUNK_LEN)
    }

    /// Makes room for some of the next content, of which so much is known to come: a run is not
    /// asked for where all of an object is less.
    fn make_room(&mut self, coming: usize) {
        let len = self.plain.len();
        if self.plain.capacity() > len {
            return;
        }
        let begun = len > 0 || self.sealer.has_begun();
        let capacity = if begun { self.run_len() } else { self.run_len().min(coming) };
        let mut plain = WipedVec::with_capacity(capacity);
        plain.extend_from_slice(&self.plain);
        self.plain = plain;
    }

    /// Seals the run that was taken, if it is whole.
    async fn seal_run(&mut self) -> Result<(), Error> {
        if self.plain.len() < self.run_len() {
            return Ok(());
        }
        let threads = self.store.threads;
        self.take_sealed(threads.count().saturating_sub(1)).await?;
        let run = self.sealer.run(u64::try_from(self.run).unwrap_or(u64::MAX))?;
        let plain = mem::replace(&mut self.plain, self.spare.pop().unwrap_or_default());
        let mut slots = self.slots.take();
        self.jobs.push_back(threads.start(move || {
            run.seal_into(&plain, slots.as_mut())?;
            Ok((plain, slots))
        }));
        if threads.are_beside() { Ok(()) } else { self.take_sealed(0).await }
    }

    /// Waits until no more than `most` runs are being sealed, and sends on what was.
    async fn take_sealed(&mut self, most: usize) -> Result<(), Error> {
        while self.jobs.len() > most {
            let Self { jobs, upload, .. } = self;
            let sealed = poll_fn(|task| {
                if let Err(failed) = upload.poll_sent(task) {
                    return Poll::Ready(Err(failed));
                }
                let job = jobs.front_mut().map(|job| job.poll_unpin(task));
                job.unwrap_or(Poll::Ready(Err(Error::Unreachable("there is a job"))))
            });
            let (mut plain, slots) = sealed.await??;
            self.jobs.pop_front();
            plain.clear();
            self.spare.push(plain);
            self.upload.push(Bytes::from_owner(slots));
            self.upload.send().await?;
        }
        Ok(())
    }

    /// Ends a call: after one that failed nothing more is taken.
    async fn settled<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        self.broken = done.is_err();
        if self.broken {
            self.clear().await;
        }
        done
    }

    /// Takes back what no reader has seen. What cannot be taken back is found by a sweep.
    async fn clear(&mut self) {
        self.jobs.clear();
        self.upload.abort().await;
        let _ = self.store.delete_record(self.object).await;
    }
}

const BROKEN: Error = Error::Misuse("a writer after a write that failed; begin the object anew");

/// What a failed write came to. Clients repeat requests whose answer was lost, so that one that
/// was done looks refused: what counts is what stands there.
// ENV-38
async fn settle(store: &Store, path: &Path, object: ObjectId, failed: Error) -> Result<(), Error> {
    let refused = matches!(failed, Error::Store(StoreError::Exists | StoreError::Changed));
    // What a folder has not done when it answers it will not do later.
    #[cfg(feature = "fs")]
    let refused = refused || store.folder.is_some();
    match store.object_at(path).await {
        Ok(Some(found)) if found == object => return Ok(()),
        // Another one stands there: this object never will.
        Ok(_) | Err(Error::Store(StoreError::NotFound)) if refused => {
            let _ = store.delete_record(object).await;
        }
        // It may still appear, and then it must open.
        _ => {}
    }
    Err(failed)
}
