//! Writing objects.

use core::mem;

use futures_util::{StreamExt, stream::FuturesUnordered};
use object_store::{
    MultipartUpload, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion, UploadPart,
    path::Path,
};
use rand_core::TryCryptoRng;
use sealwire_core::{KeyStore, Suite, Timestamp, keystore::KxId};
use sealwire_hybrid::XWingPublic;
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use super::{Store, StoreError, version_of};
use crate::{Context, Draft, Error, KeyRecord, ObjectId, Sealed, Sealer, kms::Kms};

/// So many parts later each has twice the length. Services take 10,000: 150 GiB in all.
const SHORT_PARTS: usize = 1_000;
/// So many parts are on their way while the next one fills: together under 64 MiB.
const IN_FLIGHT: usize = 2;
/// So much content is sealed at once.
const STEP_LEN: usize = 1024 * 1024;
/// So much is read at once.
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
        let mut sealed = Vec::new();
        let sealer = draft.into_sealer(&record, &mut sealed)?;
        // ENV-19
        self.create_record(&record).await?;
        let upload =
            Upload { path, target, sealed, multipart: None, parts: 0, short_len: self.part_len };
        let in_flight = FuturesUnordered::new();
        Ok(SealWriter { store: self.clone(), object, sealer, upload, in_flight, broken: false })
    }
}

/// Writes one object, piece by piece, in bounded memory.
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
    upload: Upload,
    in_flight: FuturesUnordered<UploadPart>,
    /// A call failed, or was given up half way: nobody knows what the object holds.
    broken: bool,
}

/// Where the sealed bytes go.
struct Upload {
    path: Path,
    target: Target,
    sealed: Vec<u8>,
    multipart: Option<Box<dyn MultipartUpload>>,
    parts: usize,
    short_len: usize,
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
        let written = self.write_parts(content).await;
        if written.is_err() {
            self.clear().await;
        }
        self.broken = written.is_err();
        written
    }

    /// Takes all that `reader` gives, and says how much that was.
    ///
    /// # Errors
    /// As [`SealWriter::write`]; [`StoreError::Failed`] where reading failed.
    pub async fn copy_from<T: AsyncRead + Unpin + Send + ?Sized>(
        &mut self,
        reader: &mut T,
    ) -> Result<u64, Error> {
        let mut buffer = Zeroizing::new(vec![0; READ_LEN]);
        let mut copied: u64 = 0;
        loop {
            // What was read of a source that fails must not pass for all of it.
            let was = mem::replace(&mut self.broken, true);
            let read = reader.read(&mut buffer).await;
            let len = read.map_err(|error| StoreError::Failed(error.to_string()))?;
            self.broken = was;
            if len == 0 {
                return Ok(copied);
            }
            self.write(buffer.get(..len).unwrap_or_default()).await?;
            copied = copied.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        }
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
        let Self { store, object, sealer, mut upload, mut in_flight, .. } = self;
        // ENV-13
        let sealed = sealer.finish(&mut upload.sealed)?;
        let stored = upload.complete(&store, &mut in_flight).await;
        let Err(failed) = stored else { return Ok(sealed) };
        drop(in_flight);
        if let Some(mut multipart) = upload.multipart.take() {
            // An upload that nobody completes is all that is left where this fails.
            let _ = multipart.abort().await;
        }
        settle(&store, &upload.path, object, failed).await.map(|()| sealed)
    }

    /// Gives the object up: nothing of it stays.
    ///
    /// # Errors
    /// [`Error::Store`] where the key record stays.
    pub async fn abort(mut self) -> Result<(), Error> {
        self.clear().await;
        self.store.delete_record(self.object).await
    }

    async fn write_parts(&mut self, content: &[u8]) -> Result<(), Error> {
        for step in content.chunks(STEP_LEN) {
            self.sealer.push(step, &mut self.upload.sealed)?;
            while self.upload.sealed.len() >= self.upload.part_len() {
                let part = self.upload.next_part(&self.store).await?;
                self.in_flight.push(part);
                if self.in_flight.len() >= IN_FLIGHT {
                    self.in_flight.next().await.transpose()?;
                }
            }
        }
        Ok(())
    }

    /// Takes back what no reader has seen. What cannot be taken back is found by a sweep.
    async fn clear(&mut self) {
        self.in_flight.clear();
        if let Some(mut multipart) = self.upload.multipart.take() {
            let _ = multipart.abort().await;
        }
        let _ = self.store.delete_record(self.object).await;
    }
}

const BROKEN: Error = Error::Misuse("a writer after a write that failed; begin the object anew");

impl Upload {
    const fn part_len(&self) -> usize {
        if self.parts < SHORT_PARTS { self.short_len } else { self.short_len.saturating_mul(2) }
    }

    /// Sends the next part on its way.
    async fn next_part(&mut self, store: &Store) -> Result<UploadPart, Error> {
        if self.multipart.is_none() {
            // Before gigabytes are sent in vain.
            self.target.check(store, &self.path).await?;
            self.multipart = Some(store.objects.put_multipart(&self.path).await?);
        }
        let len = self.part_len().min(self.sealed.len());
        let mut rest = Vec::with_capacity(self.part_len().saturating_add(2 * STEP_LEN));
        rest.extend_from_slice(self.sealed.get(len..).unwrap_or_default());
        self.sealed.truncate(len);
        let part = mem::replace(&mut self.sealed, rest);
        self.parts = self.parts.saturating_add(1);
        let multipart = self.multipart.as_mut().ok_or(Error::Unreachable("it was begun"))?;
        Ok(multipart.put_part(PutPayload::from(part)))
    }

    /// Makes the object appear, unless what stands there is not what is expected.
    // ENV-38
    async fn complete(
        &mut self,
        store: &Store,
        in_flight: &mut FuturesUnordered<UploadPart>,
    ) -> Result<(), Error> {
        if self.multipart.is_none() {
            return self.put(store).await;
        }
        // The last chunk may have made two parts of one.
        while !self.sealed.is_empty() {
            let part = self.next_part(store).await?;
            in_flight.push(part);
        }
        while let Some(part) = in_flight.next().await {
            part?;
        }
        self.target.check(store, &self.path).await?;
        let multipart = self.multipart.as_mut().ok_or(Error::Unreachable("it was begun"))?;
        multipart.complete().await?;
        self.multipart = None;
        Ok(())
    }

    /// A short object: one request, which the store does on its condition.
    async fn put(&mut self, store: &Store) -> Result<(), Error> {
        let payload = PutPayload::from(mem::take(&mut self.sealed));
        let mode = match &self.target {
            Target::Vacant => PutMode::Create,
            Target::Replace(version) => PutMode::Update(version.clone()),
        };
        let put = store.objects.put_opts(&self.path, payload.clone(), PutOptions::from(mode)).await;
        match put.map_err(StoreError::from) {
            Err(StoreError::Unsupported(_)) if matches!(self.target, Target::Replace(_)) => {
                self.target.check(store, &self.path).await?;
                store.objects.put(&self.path, payload).await?;
                Ok(())
            }
            other => Ok(other.map(drop)?),
        }
    }
}

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
