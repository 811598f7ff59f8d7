//! Standard input and output, each on a thread of its own, a chunk at a time.
//!
//! Buffers go round: a thread that is done with one hands it back, so what is in memory is
//! bounded and a slow reader holds up the writer.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
};

use tokio::sync::{
    mpsc::{self, Receiver, Sender},
    oneshot,
};

use crate::driver;

/// Bytes moved at a time: 16 records.
pub(crate) const CHUNK: usize = 256 * 1024;

/// Buffers in each direction: one is filled while another is emptied, and two smooth that.
const BUFFERS: usize = 4;

/// A buffer and how much of it is filled.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) buffer: Vec<u8>,
    pub(crate) len: usize,
}

impl Chunk {
    pub(crate) fn filled(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

/// Standard input.
#[derive(Debug)]
pub(crate) struct Input {
    chunks: Receiver<io::Result<Chunk>>,
    spent: Sender<Vec<u8>>,
}

/// Standard output.
#[derive(Debug)]
pub(crate) struct Output {
    empty: Receiver<Vec<u8>>,
    chunks: Sender<Chunk>,
    done: oneshot::Receiver<io::Result<()>>,
}

impl Input {
    /// Starts to read.
    pub(crate) fn start() -> io::Result<Self> {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (sender, chunks) = mpsc::channel(BUFFERS);
        let (spent, empty) = pool()?;
        driver::start_thread(move || read(file, empty, &sender));
        Ok(Self { chunks, spent })
    }

    /// The next chunk; none at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Chunk>> {
        self.chunks.recv().await.transpose()
    }

    /// Whether no further chunk is ready.
    pub(crate) fn is_idle(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Hands a buffer back.
    pub(crate) fn recycle(&self, chunk: Chunk) {
        // There is room for every buffer; a thread that has ended needs none.
        let _ = self.spent.try_send(chunk.buffer);
    }
}

impl Output {
    /// Starts to write.
    pub(crate) fn start() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let (chunks, receiver) = mpsc::channel(BUFFERS);
        let (spent, empty) = pool()?;
        let (report, done) = oneshot::channel();
        driver::start_thread(move || {
            // Whoever waits for the report may have given up.
            let _ = report.send(write(file, receiver, &spent));
        });
        Ok(Self { empty, chunks, done })
    }

    /// A buffer to fill; none when writing has failed.
    pub(crate) async fn buffer(&mut self) -> Option<Vec<u8>> {
        self.empty.recv().await
    }

    /// Takes a filled buffer.
    pub(crate) async fn put(&self, chunk: Chunk) {
        // A thread that has ended says why in its report.
        let _ = self.chunks.send(chunk).await;
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(self) -> io::Result<()> {
        let Self { empty, chunks, done } = self;
        drop((empty, chunks));
        done.await.unwrap_or_else(|_| Err(io::Error::other("the writing thread ended early")))
    }
}

/// The two ends of a ring of buffers.
type Pool = (Sender<Vec<u8>>, Receiver<Vec<u8>>);

/// A ring of buffers, all of them empty.
fn pool() -> io::Result<Pool> {
    let (spent, empty) = mpsc::channel(BUFFERS);
    for _ in 0..BUFFERS {
        spent.try_send(vec![0; CHUNK]).map_err(io::Error::other)?;
    }
    Ok((spent, empty))
}

fn read(mut file: File, mut empty: Receiver<Vec<u8>>, chunks: &Sender<io::Result<Chunk>>) {
    while let Some(mut buffer) = empty.blocking_recv() {
        let chunk = match file.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => Ok(Chunk { buffer, len }),
            Err(error) => Err(error),
        };
        let failed = chunk.is_err();
        if chunks.blocking_send(chunk).is_err() || failed {
            return;
        }
    }
}

fn write(mut file: File, mut chunks: Receiver<Chunk>, spent: &Sender<Vec<u8>>) -> io::Result<()> {
    while let Some(chunk) = chunks.blocking_recv() {
        file.write_all(chunk.filled())?;
        // Nobody wants it back once everything has been received.
        let _ = spent.blocking_send(chunk.buffer);
    }
    Ok(())
}
