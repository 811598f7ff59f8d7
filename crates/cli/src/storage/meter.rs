//! Counts what goes through a reader or a writer, and keeps what went wrong with it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::progress::Transfer;

/// A reader or a writer, and how far it is.
pub(crate) struct Meter<T> {
    inner: T,
    transfer: Transfer,
    bytes: u64,
    error: Option<io::Error>,
}

impl<T> Meter<T> {
    pub(crate) fn new(inner: T, transfer: Transfer) -> Self {
        Self { inner, transfer, bytes: 0, error: None }
    }

    /// How many bytes went through.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why reading or writing failed, if it did.
    pub(crate) fn error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    fn count(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
        self.transfer.add(bytes);
    }

    /// The error in two: one to be told from here, the other for whoever copies.
    fn keep(&mut self, error: io::Error) -> io::Error {
        let other = io::Error::new(error.kind(), error.to_string());
        self.error = Some(error);
        other
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Meter<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(context, buffer));
        self.count(buffer.filled().len().saturating_sub(before));
        Poll::Ready(read.map_err(|error| self.keep(error)))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Meter<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes));
        Poll::Ready(match written {
            Ok(written) => {
                self.count(written);
                Ok(written)
            }
            Err(error) => Err(self.keep(error)),
        })
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.inner).poll_flush(context));
        Poll::Ready(flushed.map_err(|error| self.keep(error)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = ready!(Pin::new(&mut self.inner).poll_shutdown(context));
        Poll::Ready(ended.map_err(|error| self.keep(error)))
    }
}
