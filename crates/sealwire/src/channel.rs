//! An encrypted, authenticated channel to one peer: a byte stream, and messages over it.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use sealwire_identity::AgentId;
use sealwire_noise::{
    NoiseStream,
    record::{CONTENT_LEN, CloseReason},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use zeroize::Zeroizing;

use crate::{Clock, Decision, Error, Handshake, PeerFacts, TrustPolicy, agent::Inner};

/// The longest message of the message mode, in bytes: 16 MiB. A peer cannot make the reader
/// hold more.
pub const MAX_MESSAGE_LEN: usize = 16 * 1024 * 1024;

/// A channel to a peer.
///
/// It is a byte stream ([`AsyncRead`], [`AsyncWrite`]) whose end is authenticated: reading
/// gives 0 bytes only when the peer closed, and fails with
/// [`io::ErrorKind::UnexpectedEof`] when the connection was cut. Or it carries messages:
/// [`Channel::send`] and [`Channel::recv`]. Use one of the two, not both at a time.
///
/// # Age
///
/// Past [`Limits::channel_age`](crate::Limits::channel_age) this side finishes the message
/// under way, closes its direction with [`CloseReason::Age`] and sends no more: connect again
/// for fresh keys. What the peer sends is read until it closes too, at most for as long again.
///
/// # Example
/// ```
/// # use std::sync::Arc;
/// # use sealwire::{Agent, AllowAnyAuthenticated, Peer, Source, core::MemoryKeyStore, custody};
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let alice = MemoryKeyStore::generate(&mut custody::system_rng())?;
/// # let alice = Agent::builder(Arc::new(alice)).build()?;
/// # let bob = MemoryKeyStore::generate(&mut custody::system_rng())?;
/// # let bob = Agent::builder(Arc::new(bob)).inbound(AllowAnyAuthenticated).build()?;
/// # let (near, far) = tokio::io::duplex(65_536);
/// # let (near, far) = tokio::try_join!(
/// #     alice.connect(near, Peer::Stranger),
/// #     bob.accept(far, Source::shared()),
/// # )?;
/// # let (mut channel, mut other_end) = (near, far);
/// // The byte stream: at the other end, 0 bytes say that everything came.
/// channel.write_all(b"a file, and nothing after it").await?;
/// channel.close().await?;
///
/// let mut file = Vec::new();
/// other_end.read_to_end(&mut file).await?;
/// assert_eq!(file, b"a file, and nothing after it");
/// # Ok(())
/// # }
/// ```
pub struct Channel<T> {
    stream: NoiseStream<T>,
    peer: PeerFacts,
    policy: Arc<dyn TrustPolicy>,
    age: Age,
    outgoing: Outgoing,
    incoming: Incoming,
    count: MessageCount,
}

/// How many messages went each way in the message mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageCount {
    /// Messages that [`Channel::send`] has taken.
    pub sent: u64,
    /// Messages received whole, those that policy refused included.
    pub received: u64,
}

#[derive(Debug)]
struct Age {
    clock: Arc<dyn Clock>,
    /// When this side stops to send.
    ends: Duration,
    /// When it stops to read.
    reading_ends: Duration,
}

/// A message that is under way to the transport. It outlives a `send` that was dropped.
#[derive(Default)]
struct Outgoing {
    bytes: Zeroizing<Vec<u8>>,
    written: usize,
}

/// A message that is arriving. It outlives a `recv` that was dropped.
#[derive(Default)]
struct Incoming {
    length: Vec<u8>,
    body: Option<(usize, Zeroizing<Vec<u8>>)>,
}

impl<T> Channel<T> {
    pub(crate) fn new(
        stream: NoiseStream<T>,
        peer: PeerFacts,
        policy: Arc<dyn TrustPolicy>,
        agent: &Inner,
    ) -> Self {
        let clock = Arc::clone(&agent.clock);
        let limit = agent.admission.limits().channel_age;
        let ends = clock.elapsed().saturating_add(limit);
        let reading_ends = ends.saturating_add(limit);
        Self {
            stream,
            peer,
            policy,
            age: Age { clock, ends, reading_ends },
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            count: MessageCount::default(),
        }
    }

    /// What is established about the peer, as of the handshake.
    pub fn facts(&self) -> &PeerFacts {
        &self.peer
    }

    /// The peer.
    ///
    /// # Errors
    /// [`Error::Unreachable`] only: a channel has an authenticated peer.
    pub fn peer(&self) -> Result<&AgentId, Error> {
        self.peer.id().ok_or(Error::Unreachable("a channel has an authenticated peer"))
    }

    /// The handshake that made the channel.
    pub fn handshake(&self) -> Option<Handshake> {
        self.peer.handshake()
    }

    /// Names this channel to protocols above it: the same at both ends, and nowhere else.
    pub fn channel_binding(&self) -> &[u8; 32] {
        self.stream.channel_binding()
    }

    /// How many messages went each way.
    pub fn message_count(&self) -> MessageCount {
        self.count
    }

    /// Whether nothing more can be sent: this side closed, the age limit has passed, or the
    /// connection failed. What the peer sent can still be read unless the latter.
    pub fn is_closed(&self) -> bool {
        self.age.is_over()
            || !self.stream.is_writable()
            || (!self.stream.is_readable() && self.stream.close_reason().is_none())
    }

    /// The reason of the peer's authenticated close, once it was read.
    pub fn peer_closed(&self) -> Option<CloseReason> {
        self.stream.close_reason()
    }

    /// The transport.
    pub fn get_ref(&self) -> &T {
        self.stream.get_ref()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Channel<T> {
    /// Sends one message and hands it to the transport.
    ///
    /// A `send` that is dropped has taken its message, or has not: [`Channel::message_count`]
    /// tells. What it took leaves whole, with the next call that writes: `send`, `flush` or
    /// [`Channel::close`].
    ///
    /// # Errors
    /// [`Error::MessageTooLong`]; [`Error::Expired`]; else the transport's.
    ///
    /// # Example
    /// ```
    /// # use std::sync::Arc;
    /// # use sealwire::{Agent, AllowAnyAuthenticated, Peer, Source, core::MemoryKeyStore, custody};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let alice = MemoryKeyStore::generate(&mut custody::system_rng())?;
    /// # let alice = Agent::builder(Arc::new(alice)).build()?;
    /// # let bob = MemoryKeyStore::generate(&mut custody::system_rng())?;
    /// # let bob = Agent::builder(Arc::new(bob)).inbound(AllowAnyAuthenticated).build()?;
    /// # let (near, far) = tokio::io::duplex(65_536);
    /// # let (near, far) = tokio::try_join!(
    /// #     alice.connect(near, Peer::Stranger),
    /// #     bob.accept(far, Source::shared()),
    /// # )?;
    /// # let (mut channel, mut other_end) = (near, far);
    /// channel.send(b"one").await?;
    /// channel.send(b"two").await?;
    /// channel.close().await?;
    /// assert_eq!(channel.message_count().sent, 2);
    /// # assert_eq!(other_end.recv().await?.as_deref(), Some(&b"one"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= MAX_MESSAGE_LEN);
        let length = length.ok_or(Error::MessageTooLong(MAX_MESSAGE_LEN))?;
        std::future::poll_fn(|cx| self.poll_outgoing(cx)).await?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(message.len().saturating_add(4)));
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(message);
        self.outgoing = Outgoing { bytes, written: 0 };
        self.count.sent = self.count.sent.saturating_add(1);
        self.flush().await?;
        Ok(())
    }

    /// Receives the next message; `None` after the peer's authenticated close. May be dropped
    /// and called again: nothing is lost.
    ///
    /// # Errors
    /// [`Error::Denied`] for a message that the policy refuses, which is gone: call again for
    /// the next one. [`Error::MessageTooLong`], [`Error::Truncated`], else the transport's.
    ///
    /// # Example
    /// ```
    /// # use std::sync::Arc;
    /// # use sealwire::{Agent, AllowAnyAuthenticated, Peer, Source, core::MemoryKeyStore, custody};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let alice = MemoryKeyStore::generate(&mut custody::system_rng())?;
    /// # let alice = Agent::builder(Arc::new(alice)).build()?;
    /// # let bob = MemoryKeyStore::generate(&mut custody::system_rng())?;
    /// # let bob = Agent::builder(Arc::new(bob)).inbound(AllowAnyAuthenticated).build()?;
    /// # let (near, far) = tokio::io::duplex(65_536);
    /// # let (near, far) = tokio::try_join!(
    /// #     alice.connect(near, Peer::Stranger),
    /// #     bob.accept(far, Source::shared()),
    /// # )?;
    /// # let (mut other_end, mut channel) = (near, far);
    /// # other_end.send(b"one").await?;
    /// # other_end.close().await?;
    /// let mut messages = Vec::new();
    /// while let Some(message) = channel.recv().await? {
    ///     messages.push(message);
    /// }
    /// assert_eq!(messages, [b"one"]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn recv(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if !self.read_length().await? {
            return Ok(None);
        }
        let message = self.read_body().await?;
        self.count.received = self.count.received.saturating_add(1);
        match self.policy.on_message(&self.peer, &message) {
            Decision::Allow(_) => Ok(Some(message)),
            Decision::Deny(reason) => Err(Error::Denied(reason)),
        }
    }

    /// Closes this direction, authenticated: the peer then knows that it has everything. What
    /// the peer still sends can be read.
    ///
    /// # Errors
    /// The transport's.
    ///
    /// # Example
    /// ```
    /// # use std::sync::Arc;
    /// # use sealwire::{Agent, AllowAnyAuthenticated, Peer, Source, core::MemoryKeyStore, custody};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let alice = MemoryKeyStore::generate(&mut custody::system_rng())?;
    /// # let alice = Agent::builder(Arc::new(alice)).build()?;
    /// # let bob = MemoryKeyStore::generate(&mut custody::system_rng())?;
    /// # let bob = Agent::builder(Arc::new(bob)).inbound(AllowAnyAuthenticated).build()?;
    /// # let (near, far) = tokio::io::duplex(65_536);
    /// # let (near, far) = tokio::try_join!(
    /// #     alice.connect(near, Peer::Stranger),
    /// #     bob.accept(far, Source::shared()),
    /// # )?;
    /// # let (mut channel, mut other_end) = (near, far);
    /// channel.close().await?;
    /// assert!(channel.is_closed());
    ///
    /// // The other end knows that nothing is missing, and may still answer.
    /// assert_eq!(other_end.recv().await?, None);
    /// other_end.send(b"understood").await?;
    /// assert_eq!(channel.recv().await?.as_deref(), Some(&b"understood"[..]));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&mut self) -> Result<(), Error> {
        Ok(self.shutdown().await?)
    }

    /// Reads the length of the next message; false at the peer's close.
    async fn read_length(&mut self) -> Result<bool, Error> {
        while self.incoming.body.is_none() {
            if let Some(length) = self.incoming.length.first_chunk() {
                let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                if length > MAX_MESSAGE_LEN {
                    return Err(Error::MessageTooLong(MAX_MESSAGE_LEN));
                }
                let body = Vec::with_capacity(length.min(CONTENT_LEN));
                self.incoming.body = Some((length, Zeroizing::new(body)));
                break;
            }
            let mut bytes = [0; 4];
            let have = self.incoming.length.len();
            let room = bytes.get_mut(have..).unwrap_or_default();
            self.poll_reading_age().await?;
            let read = self.stream.read(room).await?;
            if read == 0 {
                // An authenticated close in the middle of a message is a peer's fault.
                return if have == 0 { Ok(false) } else { Err(Error::Truncated) };
            }
            self.incoming.length.extend_from_slice(room.get(..read).unwrap_or_default());
        }
        Ok(true)
    }

    /// Reads the rest of a message whose length is known. Memory grows with what arrives, not
    /// with what was announced.
    async fn read_body(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            self.poll_reading_age().await?;
            let Some((length, body)) = &mut self.incoming.body else { break };
            let missing = length.saturating_sub(body.len());
            if missing == 0 {
                break;
            }
            let mut piece = (&mut self.stream).take(missing as u64);
            if piece.read_buf(&mut **body).await? == 0 {
                return Err(Error::Truncated);
            }
        }
        let Incoming { length: _, body } = std::mem::take(&mut self.incoming);
        Ok(body.map(|(_, mut body)| std::mem::take(&mut *body)).unwrap_or_default())
    }

    async fn poll_reading_age(&mut self) -> Result<(), Error> {
        std::future::poll_fn(|cx| Poll::Ready(self.check_reading_age(cx))).await
    }
}

impl<T: AsyncWrite + Unpin> Channel<T> {
    /// Hands the message under way to the stream below, and then looks at the age: a message
    /// that was taken leaves whole.
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Outgoing { bytes, written } = &mut self.outgoing;
        while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *written = written.saturating_add(count),
            }
        }
        self.outgoing = Outgoing::default();
        if !self.age.is_over() {
            return Poll::Ready(Ok(()));
        }
        self.seal_aged_close()?;
        // The close leaves before the caller learns of it. If it cannot, the age counts still.
        let _ = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(Err(Error::Expired.into()))
    }

    /// Past the age limit: tells the peer, and gives up reading after as long again.
    fn check_reading_age(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if !self.age.is_over() {
            return Ok(());
        }
        if self.age.is_reading_over() {
            return Err(Error::Expired);
        }
        if self.outgoing.bytes.is_empty() {
            self.seal_aged_close()?;
            // Reading does not wait for a peer that does not read.
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
        Ok(())
    }

    fn seal_aged_close(&mut self) -> Result<(), Error> {
        if self.stream.is_writable() {
            self.stream.seal_close(CloseReason::Age)?;
        }
        Ok(())
    }
}

impl Age {
    fn is_over(&self) -> bool {
        self.clock.elapsed() >= self.ends
    }

    fn is_reading_over(&self) -> bool {
        self.clock.elapsed() >= self.reading_ends
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Channel<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_reading_age(cx)?;
        Pin::new(&mut this.stream).poll_read(cx, out)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Channel<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        content: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(cx))?;
        Pin::new(&mut this.stream).poll_write(cx, content)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(cx))?;
        Pin::new(&mut this.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // An aged channel has sealed its close already: what is left is to hand it over.
        match ready!(this.poll_outgoing(cx)).map_err(Error::from) {
            Ok(()) | Err(Error::Expired) => Pin::new(&mut this.stream).poll_shutdown(cx),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

/// Without the messages under way.
impl<T: fmt::Debug> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, peer, policy: _, age: _, outgoing: _, incoming: _, count } = self;
        f.debug_struct("Channel")
            .field("peer", peer)
            .field("stream", stream)
            .field("count", count)
            .finish_non_exhaustive()
    }
}
