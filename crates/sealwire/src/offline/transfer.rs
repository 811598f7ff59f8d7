//! Sending a large message: part after part, as fast as the peer reads.

use core::fmt;
use std::{sync::Arc, time::Duration};

use sealwire_core::kdf::{self, HASH_LEN, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use super::{
    incoming, outbox,
    outgoing::{hold, in_session, on, random},
    sending::{self, Batch, LOOK_AHEAD, Phase, Sealed, Sending},
};
use crate::{
    Agent, Error,
    agent::Inner,
    delivery::{DeliveryError, Device, MessageId},
};

/// Bytes of one large message that may lie in the outbox: half of what a mailbox takes, so that
/// there is always something to deliver, and the disk need not hold the whole.
// CON-10
const WINDOW: u64 = 8 * 1024 * 1024;

/// The first and the longest wait for a peer that has to read, or for a delivery that is away.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How long nothing may move by default, in seconds: a day.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// How to send a large message: what [`Agent::send_large`] takes beside the bytes.
///
/// ```
/// use std::time::Duration;
/// use sealwire::Transfer;
/// let transfer = Transfer::new(b"backup of 2031-05-04")
///     .length(104_857_600)
///     .patience(Duration::from_secs(600))
///     .on_progress(|progress| eprintln!("{} bytes", progress.delivered));
/// # let _ = transfer;
/// ```
#[must_use]
pub struct Transfer<'a> {
    once: [u8; HASH_LEN],
    length: Option<u64>,
    patience: Duration,
    progress: Option<OnProgress<'a>>,
}

type OnProgress<'a> = Box<dyn FnMut(Progress) + Send + 'a>;

/// How far a large message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Its id.
    pub message: MessageId,
    /// How long it is, if that was said.
    pub length: Option<u64>,
    /// Bytes that are sealed, and stored to be delivered.
    pub sealed: u64,
    /// Bytes of these that the delivery has.
    pub delivered: u64,
    /// What it waits for, if it does.
    pub waiting: Option<Waiting>,
}

/// What a large message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// The peer has to read before its mailbox takes more.
    Full,
    /// The delivery asks to call less often.
    Busy,
    /// The delivery cannot be reached.
    Unreachable,
    /// The peer, which never wrote in this session, has to be online before more is sent to it.
    Answer,
}

impl<'a> Transfer<'a> {
    /// A large message that is told by this key, like a [`Draft`](crate::Draft) to be sent once:
    /// the same bytes under the same key to the same peer go on where they stopped, and are not
    /// sent again for 7 days after that.
    pub fn new(key: &[u8]) -> Self {
        Self { once: kdf::sha256(&[key]), length: None, patience: PATIENCE, progress: None }
    }

    /// How many bytes there are, where that is known. The peer is told at the start.
    pub fn length(self, bytes: u64) -> Self {
        Self { length: Some(bytes), ..self }
    }

    /// How long nothing may move, for whatever reason, before that is an error. Default: a day.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Is told how far it is, whenever that changes.
    pub fn on_progress<'b>(self, tell: impl FnMut(Progress) + Send + 'b) -> Transfer<'b> {
        let Self { once, length, patience, progress: _ } = self;
        Transfer { once, length, patience, progress: Some(Box::new(tell)) }
    }
}

impl Agent {
    /// Sends a message of any length to a peer that may be offline, and gives its id. The bytes
    /// are read from `source`; memory and disk take a bounded part of them at a time.
    ///
    /// It returns when the delivery has all of it, which takes until the peer has read all but
    /// the last 16 MiB or so: a mailbox holds no more. It delivers what is in the outbox by
    /// itself, waits where that is full or away, and goes on; to a peer that has not answered
    /// yet it sends the first parts, and takes what comes, as [`Agent::sync`] does, until there
    /// is an answer.
    ///
    /// However it ends, by an error, a crash, or because the future was dropped: called again
    /// with the same key, the same peer, and the source from its first byte, it goes on where
    /// it stopped, and the peer gets every byte once. Of what was sent so far it reads the
    /// source again, and compares the digest. Unfinished ones are remembered for 30 days.
    ///
    /// A message of at most [`MAX_PAYLOAD_LEN`](crate::MAX_PAYLOAD_LEN) bytes is better sent by
    /// [`Agent::send`]: this one always makes a [`LargeMessage`](crate::LargeMessage).
    ///
    /// # Errors
    /// Those of [`Agent::send`], and [`Error::SourceChanged`] for another source than before;
    /// [`Error::Source`] when it cannot be read; [`Error::Rewound`] when parts were lost with
    /// the mailbox of the peer, and [`Error::Unanswered`] when the peer did not answer in time,
    /// after both of which it is to be called again; [`Error::Misuse`] for a source that has
    /// another length than was said, and for a second call with this key while one runs.
    ///
    /// # Example
    /// ```
    /// # use std::sync::Arc;
    /// # use sealwire::{Agent, AllowAnyAuthenticated, delivery::InProcess, store::MemoryStore};
    /// # use sealwire::{core::MemoryKeyStore, custody};
    /// use sealwire::Transfer;
    /// # fn agent(office: &Arc<InProcess>) -> Result<Agent, Box<dyn std::error::Error>> {
    /// # let keys = MemoryKeyStore::generate(&mut custody::system_rng())?;
    /// # let agent = Agent::builder(Arc::new(keys)).store(Arc::new(MemoryStore::new()));
    /// # Ok(agent.delivery(office.clone()).inbound(AllowAnyAuthenticated).build()?)
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let office = Arc::new(InProcess::new());
    /// # let (alice, bob) = (agent(&office)?, agent(&office)?);
    /// # bob.publish_prekeys().await?;
    /// let file = vec![7; 1_000_000];
    /// let sent = alice.send_large(bob.id(), &mut &file[..], Transfer::new(b"a file")).await?;
    ///
    /// bob.sync().await?;
    /// let mut large = bob.inbox()?.large().await?.pop().ok_or("a large message")?;
    /// assert_eq!((large.id(), large.is_complete()), (sent, true));
    /// let mut copy = Vec::new();
    /// while let Some(chunk) = large.next().await? {
    ///     copy.extend_from_slice(chunk.bytes());
    ///     large.ack(chunk).await?;
    /// }
    /// assert!(copy == file);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_large<R>(
        &self,
        to: impl Into<Device>,
        source: &mut R,
        transfer: Transfer<'_>,
    ) -> Result<MessageId, Error>
    where
        R: AsyncRead + Unpin + Send,
    {
        let mut run = Run::begin(&self.inner, to.into(), source, transfer).await?;
        run.complete().await
    }
}

/// One call of [`Agent::send_large`].
struct Run<'a, 'b> {
    agent: &'a Arc<Inner>,
    to: Device,
    source: &'a mut (dyn AsyncRead + Unpin + Send),
    patience: Duration,
    progress: Option<OnProgress<'b>>,
    told: Option<Progress>,
    batch: Batch,
}

impl<'a, 'b> Run<'a, 'b> {
    /// Finds out where to go on, and brings the source there.
    async fn begin(
        agent: &'a Arc<Inner>,
        to: Device,
        source: &'a mut (dyn AsyncRead + Unpin + Send),
        transfer: Transfer<'b>,
    ) -> Result<Self, Error> {
        let Transfer { once, length, patience, progress } = transfer;
        let held = hold(agent, &to).await?;
        let find = move |agent: &Inner, contact: &mut _| Sending::find(agent, contact, &once);
        let (held, found) = on(agent, held, find).await?;
        agent.offline()?.release(held);
        let fresh = found.is_none();
        let sending = match found {
            Some(sending) => sending,
            None => Sending::new(MessageId::from_bytes(random()?), &to, length),
        };
        if sending.length != length {
            return Err(Error::SourceChanged);
        }
        let (hash, bytes) = (Sha256::new(), Zeroizing::new(Vec::new()));
        let batch = Batch { once, sending, fresh, hash, bytes, ends: false };
        let mut run = Self { agent, to, source, patience, progress, told: None, batch };
        run.skip().await?;
        Ok(run)
    }

    /// Reads what was sealed before, and compares.
    // CON-10
    async fn skip(&mut self) -> Result<(), Error> {
        let mut left = self.batch.sending.next;
        let mut buffer = Zeroizing::new(vec![0; 64 * 1024]);
        while left > 0 {
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let room = buffer.get_mut(..len).unwrap_or_default();
            let len = self.source.read(room).await.map_err(Error::Source)?;
            let read = buffer.get(..len).unwrap_or_default();
            if read.is_empty() {
                return Err(Error::SourceChanged);
            }
            self.batch.hash.update(read);
            left = left.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX));
        }
        if self.batch.hash.clone().finalize() != self.batch.sending.digest {
            return Err(Error::SourceChanged);
        }
        if self.batch.sending.phase != Phase::Open {
            self.fill().await?;
            if !self.batch.bytes.is_empty() {
                return Err(Error::SourceChanged);
            }
        }
        Ok(())
    }

    /// Reads what the next batch looks at.
    async fn fill(&mut self) -> Result<(), Error> {
        let Batch { bytes, ends, .. } = &mut self.batch;
        // Full capacity first: growing would leave copies behind.
        let mut buffer = Zeroizing::new(Vec::with_capacity(LOOK_AHEAD));
        buffer.extend_from_slice(bytes);
        while !*ends && buffer.len() < LOOK_AHEAD {
            let room = u64::try_from(LOOK_AHEAD.saturating_sub(buffer.len())).unwrap_or_default();
            let mut source = (&mut *self.source).take(room);
            *ends = source.read_buf(&mut *buffer).await.map_err(Error::Source)? == 0;
        }
        *bytes = buffer;
        Ok(())
    }

    async fn complete(&mut self) -> Result<MessageId, Error> {
        let mut last_moved = self.agent.clock.elapsed();
        let mut wait = FIRST_WAIT;
        loop {
            let before = self.position();
            let held_up = self.step().await?;
            if self.is_delivered() {
                return self.finish().await;
            }
            if self.position() != before {
                (last_moved, wait) = (self.agent.clock.elapsed(), FIRST_WAIT);
                self.tell(None);
                continue;
            }
            let (waiting, error) = match held_up {
                Some(error) => (reason(&error), error),
                None => (Waiting::Answer, Error::Unanswered),
            };
            self.tell(Some(waiting));
            if self.agent.clock.elapsed().saturating_sub(last_moved) >= self.patience {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    /// Seals a batch where there is room, and delivers what can be delivered. Gives what kept it
    /// from doing so.
    async fn step(&mut self) -> Result<Option<Error>, Error> {
        let mut held_up = None;
        if self.batch.sending.phase == Phase::Open && self.pending() < WINDOW {
            held_up = later(self.seal_or_receive().await)?;
        }
        let _turn = self.agent.offline()?.syncing.lock().await;
        Ok(later(outbox::flush(self.agent).await)?.or(held_up))
    }

    /// Seals a batch. Where the peer has to answer first, it looks for the answer.
    async fn seal_or_receive(&mut self) -> Result<(), Error> {
        if self.seal().await? {
            let turn = self.agent.offline()?.syncing.lock().await;
            incoming::receive(self.agent).await?;
            drop(turn);
            self.seal().await?;
        }
        Ok(())
    }

    /// Says whether the peer has to answer first.
    async fn seal(&mut self) -> Result<bool, Error> {
        self.fill().await?;
        let held = hold(self.agent, &self.to).await?;
        let batch = self.batch.clone();
        let sealed = in_session(self.agent, held, move |agent, contact, changed, effects| {
            batch.seal(agent, contact, changed, effects)
        });
        let Sealed { batch, unanswered } = sealed.await?;
        self.batch = batch;
        Ok(unanswered)
    }

    async fn finish(&mut self) -> Result<MessageId, Error> {
        let Batch { once, sending, .. } = &self.batch;
        let message = sending.message;
        if sending.phase != Phase::Done {
            let (once, sending) = (*once, sending.clone());
            let held = hold(self.agent, &self.to).await?;
            on(self.agent, held, move |agent, contact| {
                sending::finish(agent, contact, &once, &sending)
            })
            .await?;
        }
        self.tell(None);
        Ok(message)
    }

    /// Bytes in the outbox.
    fn pending(&self) -> u64 {
        let pending = self.agent.offline().ok().map(|offline| offline.pending());
        pending.and_then(|pending| pending.of(&self.batch.sending.message)).unwrap_or_default()
    }

    fn is_delivered(&self) -> bool {
        let message = &self.batch.sending.message;
        let none = |offline: &super::Offline| offline.pending().of(message).is_none();
        self.batch.sending.phase != Phase::Open && self.agent.offline().is_ok_and(none)
    }

    /// What is sealed, and what of that lies in the outbox.
    fn position(&self) -> (u64, u64) {
        (self.batch.sending.next, self.pending())
    }

    fn tell(&mut self, waiting: Option<Waiting>) {
        let (sealed, pending) = self.position();
        let Sending { message, length, .. } = self.batch.sending;
        let delivered = sealed.saturating_sub(pending);
        let progress = Progress { message, length, sealed, delivered, waiting };
        if let Some(tell) = &mut self.progress
            && self.told != Some(progress)
        {
            tell(progress);
            self.told = Some(progress);
        }
    }
}

// Whoever listens does what is left to do.
impl Drop for Run<'_, '_> {
    fn drop(&mut self) {
        if let Ok(offline) = self.agent.offline()
            && self.pending() > 0
        {
            offline.wake.due();
        }
    }
}

/// What can be waited for is no end.
fn later(done: Result<(), Error>) -> Result<Option<Error>, Error> {
    match done {
        Ok(()) => Ok(None),
        Err(Error::Delivery(cause)) if cause.is_retryable() => Ok(Some(Error::Delivery(cause))),
        Err(error) => Err(error),
    }
}

fn reason(error: &Error) -> Waiting {
    match error {
        Error::Delivery(DeliveryError::Full) => Waiting::Full,
        Error::Delivery(DeliveryError::Busy) => Waiting::Busy,
        _ => Waiting::Unreachable,
    }
}

impl fmt::Debug for Transfer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { once: _, length, patience, progress: _ } = self;
        f.debug_struct("Transfer")
            .field("length", length)
            .field("patience", patience)
            .finish_non_exhaustive()
    }
}
