//! A store before another one, that counts and logs what it is asked, and fails when it is told.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart, path::Path,
};

/// What goes wrong from one request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This request fails, and nothing comes of it.
    Refuse,
    /// This request is done, and its answer is lost.
    LoseAnswer,
    /// This request and every write after it fail: no space is left, or the store is read-only.
    Full,
    /// Nobody is there any more to answer this request and every one after it.
    Away,
    /// The process is killed: neither this request nor any other is ever answered.
    Kill,
    /// What this request reads goes on behind its end, in [`Probe::FLOOD`] pieces.
    Flood,
}

#[derive(Debug, Default)]
struct State {
    asked: AtomicUsize,
    fault: Mutex<Option<(usize, Fault)>>,
    log: Mutex<Vec<String>>,
    sent: AtomicUsize,
    flooded: AtomicUsize,
    pieces: AtomicUsize,
    claimed: AtomicU64,
}

#[derive(Clone, Debug)]
pub(crate) struct Probe {
    inner: Arc<dyn ObjectStore>,
    state: Arc<State>,
}

impl Probe {
    /// Pieces of 64 KiB that follow what a flooding request reads.
    pub(crate) const FLOOD: usize = 256;

    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// Counts anew from 0, and fails at request `at`.
    pub(crate) fn fail(&self, at: usize, fault: Fault) {
        self.state.asked.store(0, Ordering::SeqCst);
        *self.state.fault.lock().unwrap() = Some((at, fault));
    }

    pub(crate) fn heal(&self) {
        self.state.asked.store(0, Ordering::SeqCst);
        *self.state.fault.lock().unwrap() = None;
    }

    /// How many requests there were since the count began.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(Ordering::SeqCst)
    }

    /// How many bytes were sent.
    pub(crate) fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }

    /// How many pieces of floods were taken.
    pub(crate) fn flooded(&self) -> usize {
        self.state.flooded.load(Ordering::SeqCst)
    }

    /// Gives what is read in pieces of so many bytes, each of which is waited for. With 0 as it
    /// comes.
    pub(crate) fn split(&self, pieces: usize) {
        self.state.pieces.store(pieces, Ordering::SeqCst);
    }

    /// Says of all objects that they are so much longer.
    pub(crate) fn claim(&self, more: u64) {
        self.state.claimed.store(more, Ordering::SeqCst);
    }

    async fn in_pieces(&self, found: GetResult) -> Result<GetResult> {
        let len = self.state.pieces.load(Ordering::SeqCst);
        if len == 0 {
            return Ok(found);
        }
        let (meta, range, attributes) =
            (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let bytes = found.bytes().await?;
        let pieces: Vec<_> =
            bytes.chunks(len).map(|piece| Ok(bytes::Bytes::copy_from_slice(piece))).collect();
        let pieces = stream::iter(pieces).then(|piece| async {
            tokio::task::yield_now().await;
            piece
        });
        let payload = GetResultPayload::Stream(pieces.boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions: Default::default() })
    }

    fn flood(&self, mut found: GetResult) -> GetResult {
        let meta = found.meta.clone();
        let (range, attributes) = (found.range.clone(), std::mem::take(&mut found.attributes));
        let state = Arc::clone(&self.state);
        let more = stream::iter(0..Self::FLOOD).map(move |_| {
            state.flooded.fetch_add(1, Ordering::SeqCst);
            Ok(vec![0; 64 * 1024].into())
        });
        let payload = GetResultPayload::Stream(found.into_stream().chain(more).boxed());
        GetResult { payload, meta, range, attributes, extensions: Default::default() }
    }

    /// What was asked since this was last called.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.log.lock().unwrap())
    }
}

impl State {
    /// Whether the answer is to be lost.
    async fn ask(&self, what: &str, path: &Path, writes: bool) -> Result<bool> {
        self.log.lock().unwrap().push(format!("{what} {path}"));
        let now = self.asked.fetch_add(1, Ordering::SeqCst);
        let fault = *self.fault.lock().unwrap();
        match fault {
            Some((at, Fault::Refuse)) if now == at => Err(failed()),
            Some((at, Fault::Full)) if now >= at && writes => Err(failed()),
            Some((at, Fault::Away)) if now >= at => Err(away()),
            Some((at, Fault::LoseAnswer)) if now == at => Ok(true),
            Some((at, Fault::Kill)) if now >= at => std::future::pending().await,
            _ => Ok(false),
        }
    }
}

fn failed() -> Error {
    Error::Generic { store: "probe", source: "it was told to fail".into() }
}

fn away() -> Error {
    let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    Error::Generic { store: "probe", source: source.into() }
}

fn answer<T>(lost: bool, answer: T) -> Result<T> {
    if lost { Err(failed()) } else { Ok(answer) }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("probe")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Probe {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let lost = self.state.ask("put", path, true).await?;
        self.state.sent.fetch_add(payload.content_length(), Ordering::SeqCst);
        answer(lost, self.inner.put_opts(path, payload, options).await?)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let lost = self.state.ask("begin", path, true).await?;
        let inner = self.inner.put_multipart_opts(path, options).await?;
        let upload = Upload { inner, path: path.clone(), state: Arc::clone(&self.state) };
        answer(lost, Box::new(upload))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let at = self.asked();
        let lost = self.state.ask("get", path, false).await?;
        let found = self.inner.get_opts(path, options).await?;
        let floods = *self.state.fault.lock().unwrap() == Some((at, Fault::Flood));
        let mut found = self.in_pieces(found).await?;
        if !path.as_ref().contains(".keys") {
            found.meta.size += self.state.claimed.load(Ordering::SeqCst);
        }
        answer(lost, if floods { self.flood(found) } else { found })
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, state) = (Arc::clone(&self.inner), Arc::clone(&self.state));
        let deleted = paths.and_then(move |path| {
            let (inner, state) = (Arc::clone(&inner), Arc::clone(&state));
            async move {
                let lost = state.ask("delete", &path, true).await?;
                inner.delete(&path).await?;
                answer(lost, path)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.inner.list(prefix);
        let (state, prefix) = (Arc::clone(&self.state), prefix.cloned().unwrap_or_default());
        let asked = async move { state.ask("list", &prefix, false).await };
        let asked = stream::once(asked).map_ok(move |lost| (lost, ()));
        let mut listed = Some(listed);
        asked
            .flat_map(move |asked| match (asked, listed.take()) {
                (Ok((false, ())), Some(listed)) => listed,
                (Err(error), _) => stream::once(std::future::ready(Err(error))).boxed(),
                _ => stream::once(std::future::ready(Err(failed()))).boxed(),
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.cloned().unwrap_or_default();
        let lost = self.state.ask("folders", &path, false).await?;
        answer(lost, self.inner.list_with_delimiter(prefix).await?)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let lost = self.state.ask("copy", from, true).await?;
        answer(lost, self.inner.copy_opts(from, to, options).await?)
    }
}

#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    path: Path,
    state: Arc<State>,
}

#[async_trait::async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let len = part.content_length();
        let (sending, state) = (self.inner.put_part(part), Arc::clone(&self.state));
        let path = self.path.clone();
        Box::pin(async move {
            let lost = state.ask("part", &path, true).await?;
            sending.await?;
            state.sent.fetch_add(len, Ordering::SeqCst);
            answer(lost, ())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let lost = self.state.ask("complete", &self.path, true).await?;
        answer(lost, self.inner.complete().await?)
    }

    async fn abort(&mut self) -> Result<()> {
        // To give up writes nothing.
        let lost = self.state.ask("abort", &self.path, false).await?;
        answer(lost, self.inner.abort().await?)
    }
}
