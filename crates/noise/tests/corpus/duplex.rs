//! Two streams that talk to one another over a transport which a script steers.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use sealwire_core::Suite;
use sealwire_noise::{
    NoiseStream,
    record::{CONTENT_LEN, CloseReason},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::poll_once;

/// Steps of a script that are heeded.
const MAX_STEPS: usize = 128;

/// The first byte picks the suite. The others, in pairs, are reads, writes, flushes and closes
/// of any size at either end, each of them dropped if it does not end at once; room and bytes
/// that the transport gives; and harm that it does. However that goes:
///
/// - what an end reads is what the other end's writes said that they took, in order and once;
/// - an end of the stream is given only behind all of it;
/// - an end that failed to read neither reads nor writes any more;
/// - where no harm was done, everything arrives once the transport lets it.
pub fn duplex(script: &[u8]) -> bool {
    let Some((first, steps)) = script.split_first() else { return false };
    let suite = if first & 1 == 0 { Suite::AesGcm } else { Suite::ChaChaPoly };
    let (initiator, responder) = super::sessions(suite);
    let [to_left, to_right] = [(); 2].map(|()| Rc::new(RefCell::new(Wire::default())));
    let transport = |incoming: &Shared, outgoing: &Shared| Transport {
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
    };
    let mut left = End::new(NoiseStream::new(transport(&to_left, &to_right), initiator));
    let mut right = End::new(NoiseStream::new(transport(&to_right, &to_left), responder));
    let (steps, _) = steps.as_chunks();
    for [step, argument] in steps.iter().take(MAX_STEPS) {
        let (end, other) =
            if step & 16 == 0 { (&mut left, &mut right) } else { (&mut right, &mut left) };
        let size = usize::from(*argument) << (step >> 5);
        match step % 16 {
            0 | 1 => end.write(size),
            2 => end.write_pieces(size, usize::from(step >> 5) + 1),
            3 | 4 => drop(end.read(size, other)),
            5 => end.flush(),
            6 => end.shut_down(),
            7 => end.seal_close(CloseReason::from_u8(*argument)),
            8 | 9 => end.transport().outgoing.borrow_mut().room += size,
            10 | 11 => end.transport().incoming.borrow_mut().ready += size,
            harm => end.harm(harm, size, other),
        }
    }
    settle(&mut left, &mut right);
    settle(&mut right, &mut left);
    left.check(&right) & right.check(&left)
}

type Shared = Rc<RefCell<Wire>>;

/// One direction of the transport.
#[derive(Default)]
struct Wire {
    bytes: VecDeque<u8>,
    /// How many more bytes it takes, and how many of those that it holds it gives.
    room: usize,
    ready: usize,
    /// Nothing more comes.
    ended: bool,
    /// What the next read or write gives instead: an error, or for a write of `WriteZero` none.
    read_fault: Option<ErrorKind>,
    write_fault: Option<ErrorKind>,
}

struct Transport {
    incoming: Shared,
    outgoing: Shared,
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut wire = self.incoming.borrow_mut();
        if let Some(fault) = wire.read_fault.take() {
            return Poll::Ready(Err(fault.into()));
        }
        if wire.ended && wire.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let count = wire.ready.min(wire.bytes.len()).min(buffer.remaining());
        if count == 0 {
            return Poll::Pending;
        }
        wire.ready -= count;
        buffer.put_slice(&wire.bytes.drain(..count).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut wire = self.outgoing.borrow_mut();
        match wire.write_fault.take() {
            Some(ErrorKind::WriteZero) => return Poll::Ready(Ok(0)),
            Some(fault) => return Poll::Ready(Err(fault.into())),
            None if wire.ended => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            None => {}
        }
        let (bytes, _) = bytes.split_at(wire.room.min(bytes.len()));
        if bytes.is_empty() {
            return Poll::Pending;
        }
        wire.room -= bytes.len();
        wire.bytes.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.outgoing.borrow_mut();
        if wire.room == 0 {
            return Poll::Pending;
        }
        wire.ended = true;
        Poll::Ready(Ok(()))
    }
}

struct End {
    stream: NoiseStream<Transport>,
    /// What its writes said that they took.
    written: Vec<u8>,
    /// How much of what the other end wrote it has read.
    read: usize,
    /// It has closed.
    closed: bool,
    /// What it writes, or what it is sent, may be lost.
    writes_harmed: bool,
    reads_harmed: bool,
}

impl End {
    fn new(stream: NoiseStream<Transport>) -> Self {
        Self {
            stream,
            written: Vec::new(),
            read: 0,
            closed: false,
            writes_harmed: false,
            reads_harmed: false,
        }
    }

    fn transport(&self) -> &Transport {
        self.stream.get_ref()
    }

    /// Content in which a byte that is lost or repeated shows.
    fn content(&self, size: usize) -> Vec<u8> {
        let from = self.written.len();
        (from..from + size)
            .map(|at| at.to_le_bytes().iter().fold(7, |sum, byte| sum ^ byte))
            .collect()
    }

    fn write(&mut self, size: usize) {
        let content = self.content(size);
        let was_writable = self.stream.is_writable();
        let result = poll_once(self.stream.write(&content));
        self.note(&content, was_writable, result);
    }

    fn write_pieces(&mut self, size: usize, count: usize) {
        let content = self.content(size);
        let was_writable = self.stream.is_writable();
        // More of them than go into one record, and an empty one between each two.
        let pieces: Vec<_> = content
            .chunks(size.div_ceil(count * 4).max(1))
            .flat_map(|piece| [IoSlice::new(&[]), IoSlice::new(piece)])
            .collect();
        let result = poll_once(self.stream.write_vectored(&pieces));
        self.note(&content, was_writable, result);
    }

    /// Notes what a write took: all that is left of a write that was dropped is that it took
    /// nothing.
    fn note(&mut self, content: &[u8], was_writable: bool, result: Option<io::Result<usize>>) {
        let taken = match result {
            Some(Ok(taken)) => taken,
            Some(Err(_)) => return assert!(!self.stream.is_writable()),
            None => return,
        };
        // A write takes four records at most.
        assert!(was_writable && taken <= content.len().min(4 * CONTENT_LEN));
        assert_eq!(taken == 0, content.is_empty());
        self.written.extend(content.iter().take(taken));
    }

    /// Says whether a read gave something.
    fn read(&mut self, size: usize, other: &Self) -> bool {
        let mut buffer = vec![0; size];
        let was_readable = self.stream.is_readable();
        let Some(result) = poll_once(self.stream.read(&mut buffer)) else { return false };
        let Ok(count) = result else {
            assert!(!self.stream.is_readable() && !self.stream.is_writable());
            assert!(self.reads_harmed || other.writes_harmed, "an honest record was refused");
            assert_eq!(self.stream.close_reason(), None);
            return false;
        };
        let sent = other.written.iter().skip(self.read).take(count);
        assert!(buffer.iter().take(count).eq(sent), "not what was written");
        self.read += count;
        if count == 0 && size > 0 {
            assert!(self.stream.close_reason().is_some(), "an end that nobody wrote");
            assert_eq!(self.read, other.written.len(), "a cut passed for an end");
        }
        // What arrived before a failure or an end is still given.
        assert!(was_readable || count <= CONTENT_LEN);
        count > 0
    }

    fn flush(&mut self) {
        if let Some(Err(_)) = poll_once(self.stream.flush()) {
            assert!(!self.stream.is_writable());
        }
    }

    fn shut_down(&mut self) {
        self.closed |= self.stream.is_writable();
        let _ = poll_once(self.stream.shutdown());
        assert!(!self.stream.is_writable());
    }

    fn seal_close(&mut self, reason: CloseReason) {
        let was_writable = self.stream.is_writable();
        assert_eq!(self.stream.seal_close(reason).is_ok(), was_writable);
        assert!(!self.stream.is_writable());
        self.closed |= was_writable;
    }

    /// Harms what is on its way to this end, or its next call of the transport.
    fn harm(&mut self, harm: u8, place: usize, other: &mut Self) {
        let transport = self.stream.get_ref();
        let mut wire = transport.incoming.borrow_mut();
        match harm {
            12 => {
                let count = wire.bytes.len().max(1);
                let Some(byte) = wire.bytes.get_mut(place % count) else { return };
                *byte ^= 1;
            }
            13 => {
                wire.bytes.truncate(place);
                wire.ended = true;
            }
            14 => wire.read_fault = Some(ErrorKind::ConnectionReset),
            _ => {
                let fault = if place.is_multiple_of(2) {
                    ErrorKind::WriteZero
                } else {
                    ErrorKind::TimedOut
                };
                transport.outgoing.borrow_mut().write_fault = Some(fault);
                // What the other end sent is still there to be read.
                self.writes_harmed = true;
                return;
            }
        }
        // An end that fails to read stops writing, and one whose transport is gone too.
        (self.reads_harmed, self.writes_harmed, other.writes_harmed) = (true, true, true);
        other.reads_harmed = true;
    }

    /// Whether everything that `other` wrote was read here, which must be so where nothing was
    /// harmed, and its close too if there was one.
    fn check(&self, other: &Self) -> bool {
        if self.reads_harmed || other.writes_harmed {
            return false;
        }
        assert_eq!(self.read, other.written.len(), "something did not arrive");
        assert_eq!(self.stream.close_reason().is_some(), other.closed);
        true
    }
}

/// The transport takes and gives whatever there is, and `to` reads it.
fn settle(from: &mut End, to: &mut End) {
    from.transport().outgoing.borrow_mut().room = usize::MAX;
    to.transport().incoming.borrow_mut().ready = usize::MAX;
    from.flush();
    while to.read(10_000, from) {}
}
