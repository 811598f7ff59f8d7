//! The bytes of a connection, with what was read to tell HTTP/2 from HTTP/1.1, and with a limit
//! on how long the other side may leave an answer unread.

use core::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use std::io;

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::server::TlsStream;

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection, with TLS or without.
#[derive(Debug)]
pub(super) struct Socket {
    transport: Transport,
    /// What was read already.
    prefix: Bytes,
    /// How long written bytes may wait to be taken.
    patience: Duration,
    /// Runs from when a write had to wait until all is flushed.
    blocked: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    pub(super) fn new(transport: Transport, patience: Duration) -> Self {
        Self { transport, prefix: Bytes::new(), patience, blocked: None }
    }

    /// Whether the other side speaks HTTP/2: by what TLS agreed on, else by its first bytes,
    /// which have to come within `limit`.
    pub(super) async fn is_http2(&mut self, limit: Duration) -> io::Result<bool> {
        match &mut self.transport {
            Transport::Tls(stream) => Ok(stream.get_ref().1.alpn_protocol() == Some(b"h2")),
            Transport::Plain(stream) => {
                let (prefix, http2) = timeout(limit, sniff(stream)).await??;
                self.prefix = prefix;
                Ok(http2)
            }
        }
    }

    /// After a write or flush: begins to wait, goes on waiting, or gives up.
    fn wait(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let patience = self.patience;
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(sleep(patience)));
        match blocked.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

/// Reads until it is clear whether this is the preface.
async fn sniff(stream: &mut TcpStream) -> io::Result<(Bytes, bool)> {
    let mut read = Vec::with_capacity(PREFACE.len());
    while read.len() < PREFACE.len() && PREFACE.starts_with(&read) {
        let left = PREFACE.len().saturating_sub(read.len());
        if (&mut *stream).take(left as u64).read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let http2 = read == PREFACE;
    Ok((read.into(), http2))
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.has_remaining() {
            let length = self.prefix.len().min(buf.remaining());
            buf.put_slice(&self.prefix.split_to(length));
            return Poll::Ready(Ok(()));
        }
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        if written.is_pending() || self.blocked.is_some() {
            self.wait(cx)?;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        if flushed.is_pending() {
            self.wait(cx)?;
        }
        ready!(flushed)?;
        self.blocked = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        };
        if shut.is_pending() {
            self.wait(cx)?;
        }
        shut
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        if written.is_pending() || self.blocked.is_some() {
            self.wait(cx)?;
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
