//! Transports that behave as badly as they may.

use std::{
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use rand_core::TryRng;
use sealwire_testkit::rng::SeededRng;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads and writes a random part of what it could, and is not ready at random.
#[derive(Debug)]
pub(crate) struct Rough<T> {
    inner: T,
    rng: SeededRng,
    most: usize,
}

impl<T> Rough<T> {
    /// Moves at most `most` bytes at a time.
    pub(crate) fn new(inner: T, seed: u64, most: usize) -> Self {
        Self { inner, rng: SeededRng::new(seed), most }
    }

    fn draw(&mut self, below: usize) -> usize {
        let Ok(drawn) = self.rng.try_next_u32();
        usize::try_from(drawn).expect("32 bits") % below
    }

    /// Not ready now, but to be asked again at once.
    fn is_idle(&mut self, cx: &Context<'_>) -> bool {
        let idle = self.draw(3) == 0;
        if idle {
            cx.waker().wake_by_ref();
        }
        idle
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Rough<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_idle(cx) {
            return Poll::Pending;
        }
        let most = self.most;
        let len = (1 + self.draw(most)).min(out.remaining());
        let mut part = vec![0; len];
        let mut part = ReadBuf::new(&mut part);
        let polled = Pin::new(&mut self.inner).poll_read(cx, &mut part);
        out.put_slice(part.filled());
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rough<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_idle(cx) {
            return Poll::Pending;
        }
        let most = self.most;
        let len = (1 + self.draw(most)).min(bytes.len());
        Pin::new(&mut self.inner).poll_write(cx, &bytes[..len])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_idle(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_idle(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// What a transport does at one call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Error(io::ErrorKind),
    Zero,
}

/// Gives `incoming` and then its end or an error; records what is written, or fails.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) incoming: VecDeque<u8>,
    pub(crate) read_fault: Option<io::ErrorKind>,
    pub(crate) write_fault: Option<Fault>,
    pub(crate) written: Vec<u8>,
    pub(crate) writes: usize,
    pub(crate) flushes: usize,
    pub(crate) shutdowns: usize,
}

impl Script {
    pub(crate) fn of(incoming: &[u8]) -> Self {
        Self { incoming: incoming.iter().copied().collect(), ..Self::default() }
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.incoming.len().min(out.remaining());
        let bytes: Vec<u8> = self.incoming.drain(..len).collect();
        out.put_slice(&bytes);
        match self.read_fault {
            Some(kind) if len == 0 => Poll::Ready(Err(kind.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.write_fault {
            Some(Fault::Error(kind)) => return Poll::Ready(Err(kind.into())),
            Some(Fault::Zero) => return Poll::Ready(Ok(0)),
            None => self.written.extend_from_slice(bytes),
        }
        self.writes += 1;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shutdowns += 1;
        Poll::Ready(Ok(()))
    }
}

/// Polls a future once and drops it: what a lost `select!` branch does.
pub(crate) fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// The output of a future that is ready at once; needs no runtime and no timer.
pub(crate) fn ready<F: Future>(future: F) -> F::Output {
    poll_once(future).expect("the transport is always ready")
}
