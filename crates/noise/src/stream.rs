//! `NoiseStream`: an established session over any byte stream (feature `tokio`).

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use sealwire_core::wipe::WipedVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    Error, Session,
    record::{CONTENT_LEN, CloseReason, MAX_CIPHERTEXT, Opened, Opener, Sealer},
};

/// How much content one write takes: four records, which then go to the transport in one call.
/// Over loopback two thirds of a sender's time are in the kernel, the less the fewer calls.
const WRITE_LEN: usize = 4 * CONTENT_LEN;

/// Room for what the records of one write add to it: lengths, types, tags, a rekey record.
const WRITE_ROOM: usize = 128;

/// The largest buffer that is kept when nothing waits in it: a channel may idle for long.
const KEPT_LEN: usize = CONTENT_LEN + WRITE_ROOM;

/// How much is read from the transport at a time: the largest record and its length.
const READ_LEN: usize = MAX_CIPHERTEXT + 2;

/// An encrypted stream over `T`: TCP, a Unix socket, stdio, a duplex pipe.
///
/// # Cancellation
///
/// Writing takes bytes, encrypts them and returns: a write future that is dropped has either
/// taken its bytes, which then reach the peer once, or not. Reading keeps what arrived. So both
/// may stand in `select!`.
///
/// # Flushing
///
/// A write returns once its bytes are sealed; some may wait for the transport. Flush before
/// waiting for an answer.
///
/// # Ends
///
/// `poll_shutdown` sends the authenticated close and shuts the transport's writing half;
/// reading goes on. Reading gives 0 bytes only after the peer's authenticated close: an end
/// of the transport before that is [`io::ErrorKind::UnexpectedEof`].
///
/// # Errors
///
/// An [`io::Error`] whose source is [`Error`], or the transport's own. A record that does not
/// open, a cut and any other failure to read poison both directions. A failure to write
/// poisons writing only: what the peer sent before, its close included, can still be read.
pub struct NoiseStream<T> {
    io: T,
    reader: Reader,
    writer: Writer,
    binding: [u8; 32],
}

struct Reader {
    opener: Opener,
    /// Bytes from the transport; `plain` and then `sealed` are parts of it.
    buffer: WipedVec,
    /// Opened content that the application has not read.
    plain: core::ops::Range<usize>,
    /// Bytes that arrived and are not opened yet.
    sealed: core::ops::Range<usize>,
    state: ReadState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ReadState {
    Open,
    Closed(CloseReason),
    Failed(Error),
}

struct Writer {
    sealer: Sealer,
    /// Sealed bytes, of which the first `sent` have left.
    pending: Vec<u8>,
    sent: usize,
    /// Why nothing more is written: the transport failed, so that what it took of the current
    /// record is unknown, or reading did.
    failure: Option<io::ErrorKind>,
    /// The transport's writing half is shut.
    shut: bool,
}

impl<T> NoiseStream<T> {
    /// Takes over a transport on which the handshake has ended.
    pub fn new(io: T, session: Session) -> Self {
        let binding = *session.channel_binding();
        let (sealer, opener) = session.into_parts();
        let reader = Reader {
            opener,
            buffer: WipedVec::default(),
            plain: 0..0,
            sealed: 0..0,
            state: ReadState::Open,
        };
        let writer = Writer { sealer, pending: Vec::new(), sent: 0, failure: None, shut: false };
        Self { io, reader, writer, binding }
    }

    /// Names this session to protocols above it. See [`Session::channel_binding`].
    pub fn channel_binding(&self) -> &[u8; 32] {
        &self.binding
    }

    /// The reason of the peer's authenticated close, once it was read.
    pub fn close_reason(&self) -> Option<CloseReason> {
        match self.reader.state {
            ReadState::Closed(reason) => Some(reason),
            ReadState::Open | ReadState::Failed(_) => None,
        }
    }

    /// Whether this side can still write.
    pub fn is_writable(&self) -> bool {
        self.writer.sealer.is_open() && self.writer.failure.is_none()
    }

    /// Whether this side can still read: no close, no cut and no forgery was seen.
    pub fn is_readable(&self) -> bool {
        self.reader.state == ReadState::Open
    }

    /// Seals the authenticated close with a reason. It leaves with the next flush or shutdown;
    /// nothing can be written after it.
    ///
    /// # Errors
    /// [`Error::Closed`] when this side has closed already or cannot write any more.
    pub fn seal_close(&mut self, reason: CloseReason) -> Result<(), Error> {
        if self.writer.failure.is_some() {
            return Err(Error::Closed);
        }
        self.writer.sealer.seal_close(reason, &mut self.writer.pending)
    }

    /// The transport.
    pub fn get_ref(&self) -> &T {
        &self.io
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for NoiseStream<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, reader, writer, .. } = self.get_mut();
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if reader.deliver(out) {
                return Poll::Ready(Ok(()));
            }
            match &reader.state {
                ReadState::Open => {}
                ReadState::Closed(_) => return Poll::Ready(Ok(())),
                ReadState::Failed(error) => {
                    // REC-10
                    writer.fail(io::ErrorKind::BrokenPipe);
                    return Poll::Ready(Err(to_io(error.clone())));
                }
            }
            if !reader.open_next() {
                ready!(reader.fill(io, cx)).inspect_err(|error| writer.fail(error.kind()))?;
            }
        }
    }
}

impl Reader {
    /// Hands out opened content; false when there is none.
    fn deliver(&mut self, out: &mut ReadBuf<'_>) -> bool {
        let Some(plain) = self.buffer.get(self.plain.clone()) else { return false };
        let len = plain.len().min(out.remaining());
        let Some(content) = plain.get(..len).filter(|content| !content.is_empty()) else {
            return false;
        };
        out.put_slice(content);
        self.plain.start = self.plain.start.saturating_add(len);
        true
    }

    /// Opens the next whole record in place; false when it has not arrived yet.
    fn open_next(&mut self) -> bool {
        let start = self.sealed.start;
        let Some(sealed) = self.buffer.get_mut(self.sealed.clone()) else { return false };
        let Some((len, rest)) = sealed.split_first_chunk_mut::<2>() else { return false };
        let len = usize::from(u16::from_be_bytes(*len));
        if len == 0 {
            // HS-12: a refusal takes the place of the first record, and of no later one.
            let refused = self.opener.is_untouched();
            self.state = ReadState::Failed(if refused { Error::Refused } else { Error::Record });
            return true;
        }
        let Some(record) = rest.get_mut(..len) else { return false };
        let (state, plain) = match self.opener.open(record) {
            Ok(Opened::Data(content)) => (ReadState::Open, content.len()),
            Ok(Opened::Close(reason)) => (ReadState::Closed(reason), 0),
            Ok(Opened::Nothing) => (ReadState::Open, 0),
            Err(error) => (ReadState::Failed(error), 0),
        };
        let content = start.saturating_add(2);
        self.state = state;
        self.plain = content..content.saturating_add(plain);
        self.sealed.start = content.saturating_add(len);
        true
    }

    /// Reads more from the transport. Its end is an error: no close was read.
    fn fill<T: AsyncRead + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // All content has been delivered, so what is not opened can move to the front.
        self.buffer.copy_within(self.sealed.clone(), 0);
        self.sealed = 0..self.sealed.len();
        self.plain = 0..0;
        self.buffer.resize(READ_LEN, 0);
        let room = self.buffer.get_mut(self.sealed.end..).unwrap_or_default();
        let mut room = ReadBuf::new(room);
        if let Err(error) = ready!(Pin::new(io).poll_read(cx, &mut room)) {
            self.state = ReadState::Failed(Error::Truncated);
            return Poll::Ready(Err(error));
        }
        match room.filled().len() {
            0 => self.state = ReadState::Failed(Error::Truncated),
            read => self.sealed.end = self.sealed.end.saturating_add(read),
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for NoiseStream<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        content: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_taking(cx, |writer| writer.take(content))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_taking(cx, |writer| writer.take_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, writer, .. } = self.get_mut();
        ready!(writer.drain(io, cx))?;
        Pin::new(io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, writer, .. } = self.get_mut();
        if writer.shut {
            return Poll::Ready(Ok(()));
        }
        if writer.sealer.is_open() && writer.failure.is_none() {
            writer.sealer.seal_close(CloseReason::Done, &mut writer.pending).map_err(to_io)?;
        }
        ready!(writer.drain(io, cx))?;
        ready!(Pin::new(io).poll_shutdown(cx))?;
        writer.shut = true;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> NoiseStream<T> {
    /// Seals what `take` takes, once nothing waits from before: at most one write's records
    /// are ever held.
    fn poll_taking(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut Writer) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Self { io, writer, .. } = self;
        ready!(writer.drain(io, cx))?;
        let taken = take(writer)?;
        // The bytes are taken: whatever the transport does now, this call must say so. A
        // failure is reported by the next one.
        let _ = writer.drain(io, cx);
        Poll::Ready(Ok(taken))
    }
}

impl Writer {
    /// Ends writing, for the first reason that is given.
    fn fail(&mut self, reason: io::ErrorKind) {
        self.failure.get_or_insert(reason);
    }

    fn check(&self) -> io::Result<()> {
        self.failure.map_or(Ok(()), |reason| Err(reason.into()))
    }

    fn waiting(&self) -> usize {
        self.pending.len().saturating_sub(self.sent)
    }

    /// Seals up to [`WRITE_LEN`] of content and gives how many bytes it took.
    fn take(&mut self, content: &[u8]) -> io::Result<usize> {
        let content = content.get(..WRITE_LEN).unwrap_or(content);
        let mut taken = 0_usize;
        self.pending.reserve(content.len().saturating_add(WRITE_ROOM));
        for record in content.chunks(CONTENT_LEN) {
            match self.sealer.seal_data(record, &mut self.pending) {
                Ok(()) => taken = taken.saturating_add(record.len()),
                Err(error) if taken == 0 => return Err(to_io(error)),
                // What is sealed is taken; the next call finds the sealer closed.
                Err(_) => break,
            }
        }
        if content.is_empty() && !self.sealer.is_open() {
            return Err(to_io(Error::Closed));
        }
        Ok(taken)
    }

    /// Seals up to one record of content and gives how many bytes it took.
    fn take_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let mut room = CONTENT_LEN;
        let mut taken: [&[u8]; MAX_PIECES] = [&[]; MAX_PIECES];
        for (slot, piece) in taken.iter_mut().zip(pieces.iter().filter(|piece| !piece.is_empty())) {
            let len = piece.len().min(room);
            *slot = piece.get(..len).unwrap_or_default();
            room = room.saturating_sub(len);
        }
        let len = CONTENT_LEN.saturating_sub(room);
        if len > 0 {
            self.sealer.seal_data_vectored(&taken, &mut self.pending).map_err(to_io)?;
        } else if !self.sealer.is_open() {
            return Err(to_io(Error::Closed));
        }
        Ok(len)
    }

    /// Hands sealed bytes to the transport until none wait.
    fn drain<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        while let Some(waiting) = self.pending.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *io).poll_write(cx, waiting)) {
                Ok(0) => {
                    self.fail(io::ErrorKind::WriteZero);
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                Ok(written) => self.sent = self.sent.saturating_add(written),
                Err(error) => {
                    self.fail(error.kind());
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.pending.clear();
        self.pending.shrink_to(KEPT_LEN);
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

/// Pieces of one vectored write that go into one record; further ones wait for the next call.
const MAX_PIECES: usize = 16;

fn to_io(error: Error) -> io::Error {
    let kind = match error {
        Error::Truncated => io::ErrorKind::UnexpectedEof,
        Error::Refused => io::ErrorKind::ConnectionRefused,
        Error::Closed => io::ErrorKind::BrokenPipe,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, error)
}

impl<T: fmt::Debug> fmt::Debug for NoiseStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { io, reader, writer, binding: _ } = self;
        f.debug_struct("NoiseStream")
            .field("io", io)
            .field("read", &reader.state)
            .field("sealer", &writer.sealer)
            .field("waiting", &writer.waiting())
            .finish_non_exhaustive()
    }
}
