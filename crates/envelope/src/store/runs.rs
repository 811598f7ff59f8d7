//! Opening runs of chunks beside each other, while what comes after them is on its way.

use core::{
    future::poll_fn,
    task::{Context, Poll, ready},
};
use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use object_store::GetResult;
#[cfg(feature = "fs")]
use object_store::GetResultPayload;
use sealwire_core::wipe::WipedVec;

#[cfg(feature = "fs")]
use super::file::Pinned;
use super::{
    other_bytes,
    threads::{Job, Threads},
};
use crate::{
    ChunkRange, Error,
    chunks::{CHUNK_LEN, OpenKey, SLOT_LEN},
};

/// So many chunks are opened by one thread at once: two buffers of them stay in its cache.
const MOST_CHUNKS: u64 = 32;
/// So much is opened in the caller's task: to ask a thread takes longer.
const SHORT_LEN: u64 = 64 * 1024;

/// Where the bytes come from that are not here yet.
pub(super) enum More {
    Nothing,
    Stream(BoxStream<'static, object_store::Result<Bytes>>),
    /// It is read by those who open what is in it.
    #[cfg(feature = "fs")]
    File {
        file: Arc<Pinned>,
        /// Whether it was opened before, and may no longer be what stands there.
        check: bool,
    },
}

impl More {
    pub(super) fn new(found: GetResult) -> Result<Self, Error> {
        #[cfg(feature = "fs")]
        if let GetResultPayload::File(file, path) = found.payload {
            return Ok(Self::File { file: Arc::new(Pinned::new(file, path)?), check: false });
        }
        Ok(Self::Stream(found.into_stream()))
    }
}

/// Opens chunks in a row, run by run.
///
/// Each run is authentic when it is given, and none is given after one that was not. Where the
/// last chunk is among them, the object is known to be whole when there is no further run.
pub(super) struct Runs {
    key: Arc<OpenKey>,
    threads: Threads,
    /// The first chunk that is not being opened yet.
    next: u64,
    /// How many there are from it on.
    left: u64,
    /// Whether the last of them is the object's.
    ends: bool,
    /// Where they stand in the object.
    at: u64,
    end: u64,
    /// Bytes from `at` on that were not taken.
    here: Bytes,
    more: More,
    /// The beginning of the next run, where it does not stand in one piece.
    filling: Vec<u8>,
    /// In the order of the object.
    jobs: VecDeque<Job<Result<Run, Error>>>,
    spare_sealed: Vec<Vec<u8>>,
    spare_opened: Vec<WipedVec>,
}

/// A run that was opened.
pub(super) struct Run {
    opened: WipedVec,
    len: usize,
    sealed: Vec<u8>,
}

impl Run {
    pub(super) fn content(&self) -> &[u8] {
        self.opened.get(..self.len).unwrap_or_default()
    }
}

/// The bytes of a run.
enum Slots {
    Here(Bytes),
    Copied(Vec<u8>),
    #[cfg(feature = "fs")]
    InFile {
        file: Arc<Pinned>,
        check: bool,
        at: u64,
        buffer: Vec<u8>,
    },
}

impl Runs {
    /// `here` are the first bytes of the chunks, and `more` is where the others come from.
    pub(super) fn new(
        key: Arc<OpenKey>,
        threads: Threads,
        part: &ChunkRange,
        here: Bytes,
        more: More,
    ) -> Self {
        let (at, end) = (part.body.start, part.body.end);
        let short = end.saturating_sub(at) <= SHORT_LEN;
        Self {
            key,
            threads: if short { Threads::new(1) } else { threads },
            next: part.first,
            left: part.count,
            ends: part.ends,
            at,
            end,
            here,
            more,
            filling: Vec::new(),
            jobs: VecDeque::new(),
            spare_sealed: Vec::new(),
            spare_opened: Vec::new(),
        }
    }

    /// The next run, or `None` behind the last one. After an error it is not called again.
    pub(super) async fn next(&mut self) -> Result<Option<Run>, Error> {
        poll_fn(|task| self.poll_next(task)).await
    }

    /// Takes the memory of a run back.
    pub(super) fn recycle(&mut self, run: Run) {
        let Run { opened, len: _, sealed } = run;
        self.spare_opened.push(opened);
        self.spare_sealed.extend(Some(sealed).filter(|buffer| buffer.capacity() > 0));
    }

    /// Gives the content of a run away, and takes the rest of its memory back.
    pub(super) fn give(&mut self, run: Run) -> WipedVec {
        let Run { mut opened, len, sealed } = run;
        opened.truncate(len);
        self.spare_sealed.extend(Some(sealed).filter(|buffer| buffer.capacity() > 0));
        opened
    }

    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Result<Option<Run>, Error>> {
        while self.left > 0 && self.jobs.len() < self.threads.count() {
            match self.poll_slots(task) {
                Poll::Ready(slots) => self.start(slots?),
                Poll::Pending if self.jobs.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        let Some(job) = self.jobs.front_mut() else { return Poll::Ready(Ok(None)) };
        let run = ready!(job.poll_unpin(task));
        self.jobs.pop_front();
        Poll::Ready(run.and_then(|run| run).map(Some))
    }

    /// How many chunks the next run has, and how long they are sealed.
    fn next_run(&self) -> (u64, usize) {
        let count = self.left.min(MOST_CHUNKS);
        let slots = usize::try_from(count).unwrap_or_default().saturating_mul(SLOT_LEN);
        let rest = self.end.saturating_sub(self.at);
        // Only the last chunk of the object is shorter than the others.
        (count, usize::try_from(rest).unwrap_or(usize::MAX).min(slots))
    }

    /// The bytes of the next run.
    fn poll_slots(&mut self, task: &mut Context<'_>) -> Poll<Result<Slots, Error>> {
        let (_, len) = self.next_run();
        #[cfg(feature = "fs")]
        if let More::File { file, check } = &mut self.more {
            let mut buffer = self.spare_sealed.pop().unwrap_or_default();
            buffer.resize(len, 0);
            let (file, check) = (Arc::clone(file), core::mem::take(check));
            return Poll::Ready(Ok(Slots::InFile { file, check, at: self.at, buffer }));
        }
        loop {
            if self.filling.is_empty() && self.here.len() >= len {
                return Poll::Ready(Ok(Slots::Here(self.here.split_to(len))));
            }
            if self.filling.capacity() == 0 {
                self.filling = self.spare_sealed.pop().unwrap_or_default();
                self.filling.clear();
                self.filling.reserve_exact(len);
            }
            let room = len.saturating_sub(self.filling.len()).min(self.here.len());
            self.filling.extend_from_slice(&self.here.split_to(room));
            if self.filling.len() == len {
                return Poll::Ready(Ok(Slots::Copied(core::mem::take(&mut self.filling))));
            }
            let More::Stream(stream) = &mut self.more else {
                return Poll::Ready(Err(other_bytes()));
            };
            match ready!(stream.poll_next_unpin(task)) {
                Some(piece) => self.here = piece?,
                None => return Poll::Ready(Err(other_bytes())),
            }
        }
    }

    /// Has the next run opened.
    fn start(&mut self, slots: Slots) {
        let (count, len) = self.next_run();
        let (key, first) = (Arc::clone(&self.key), self.next);
        self.next = self.next.saturating_add(count);
        self.left = self.left.saturating_sub(count);
        self.at = self.at.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        let ends = self.ends && self.left == 0;
        let opened_len = usize::try_from(count).unwrap_or_default().saturating_mul(CHUNK_LEN);
        let mut opened = self.spare_opened.pop().unwrap_or_default();
        if opened.len() < opened_len.min(len) {
            opened = WipedVec::zeroed(opened_len.min(len));
        }
        let reads = slots.are_read();
        let work = move || {
            let sealed = slots.read()?;
            let len = key.open_run(first, ends, sealed.as_ref(), &mut opened)?;
            Ok(Run { opened, len, sealed: sealed.into_buffer() })
        };
        let job = if reads { Threads::start_waiting(work) } else { self.threads.start(work) };
        self.jobs.push_back(job);
    }
}

impl Slots {
    /// Whether they come from a disk.
    const fn are_read(&self) -> bool {
        match self {
            Self::Here(_) | Self::Copied(_) => false,
            #[cfg(feature = "fs")]
            Self::InFile { .. } => true,
        }
    }

    /// Reads what is not in memory yet.
    fn read(self) -> Result<Self, Error> {
        #[cfg(feature = "fs")]
        if let Self::InFile { file, check, at, mut buffer } = self {
            if check {
                file.check()?;
            }
            file.read_exact_at(&mut buffer, at)?;
            return Ok(Self::Copied(buffer));
        }
        Ok(self)
    }

    fn into_buffer(self) -> Vec<u8> {
        match self {
            Self::Copied(buffer) => buffer,
            _ => Vec::new(),
        }
    }
}

impl AsRef<[u8]> for Slots {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Here(bytes) => bytes,
            Self::Copied(buffer) => buffer,
            #[cfg(feature = "fs")]
            Self::InFile { .. } => &[],
        }
    }
}
