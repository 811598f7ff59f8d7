//! Large messages, as the application finds them in its inbox.

use core::fmt;
use std::sync::Arc;

use sealwire_core::{Timestamp, kdf::Sha256};
use zeroize::Zeroizing;

use super::{
    Inbox,
    parts::{self, Large, LargeKey, Piece},
};
use crate::{
    Error,
    agent::{Inner, blocking},
    delivery::{Device, MessageId},
};

/// Bytes that [`LargeMessage::next`] gives at a time, where they are there: so many that writing
/// them costs more than acknowledging them.
const CHUNK_LEN: usize = 1024 * 1024;

/// A message that came in parts, or is about to: [`Agent::send_large`](crate::Agent::send_large)
/// sent it. It stays in the inbox until all of it was taken, or it was refused.
///
/// An application takes it chunk by chunk, in order, each as soon as it is there. It stores the
/// chunk, and acknowledges it. After a crash between the two it finds the same bytes at the same
/// offset: written to a file there, they are in it once.
///
/// # Example
/// ```
/// use std::{fs::File, os::unix::fs::FileExt, path::Path};
/// use sealwire::{Agent, Error};
///
/// /// Takes what is there, and says whether that was the end.
/// async fn save(agent: &Agent, to: &Path) -> Result<bool, Box<dyn std::error::Error>> {
///     let Some(mut large) = agent.inbox()?.large().await?.into_iter().next() else {
///         return Ok(false);
///     };
///     let file = File::options().write(true).create(true).truncate(false).open(to)?;
///     while let Some(chunk) = large.next().await? {
///         file.write_all_at(chunk.bytes(), chunk.offset())?;
///         // On the disk first: what is acknowledged does not come again.
///         file.sync_data()?;
///         let whole = chunk.is_last();
///         large.ack(chunk).await?;
///         if whole {
///             return Ok(true);
///         }
///     }
///     Ok(false)
/// }
/// ```
#[derive(Clone)]
pub struct LargeMessage {
    agent: Arc<Inner>,
    key: LargeKey,
    from: Device,
    began: Timestamp,
    length: Option<u64>,
    taken: u64,
    complete: bool,
}

/// Bytes of a [`LargeMessage`], those that come next.
pub struct Chunk {
    key: LargeKey,
    offset: u64,
    bytes: Zeroizing<Vec<u8>>,
    last: bool,
    pieces: Vec<Piece>,
    /// The hash of all up to the end of these bytes.
    hash: Sha256,
}

impl Inbox {
    /// The large messages of which something is here and something is left to take, oldest
    /// first. What they say is as of now.
    ///
    /// # Errors
    /// [`Error::Misuse`] for an agent without a store.
    ///
    /// # Example
    /// See [`LargeMessage`].
    pub async fn large(&self) -> Result<Vec<LargeMessage>, Error> {
        let agent = Arc::clone(&self.agent);
        blocking(move || {
            let open = agent.offline()?.ledger().open();
            Ok(open.into_iter().map(|(key, large)| LargeMessage::new(&agent, key, large)).collect())
        })
        .await
    }
}

impl LargeMessage {
    fn new(agent: &Arc<Inner>, key: LargeKey, large: Large) -> Self {
        Self {
            agent: Arc::clone(agent),
            key,
            complete: large.is_complete(),
            length: large.end.map(|(end, _)| end).or(large.length),
            from: large.from,
            began: large.began,
            taken: large.taken,
        }
    }

    /// Its id, which the sender drew: `send_large` gave it at the other end.
    pub fn id(&self) -> MessageId {
        self.key.message
    }

    /// Who sent it, proven.
    pub fn from(&self) -> &Device {
        &self.from
    }

    /// When its first part was opened here.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// How long it is, if the sender said so, or the last part is here.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// How much of it the application has acknowledged: where it goes on.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether all that has not been taken is here.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The bytes that come next, at most about 1 MiB of them. `None` while they are not here,
    /// and after the end.
    ///
    /// # Errors
    /// [`Error::LargeMessageDamaged`] in the place of the last bytes when all of them together
    /// are not what the sender said: it sent other bytes than it announced, or there is a bug.
    /// What was taken is worth nothing then. [`Error::State`], [`Error::StateRow`].
    pub async fn next(&self) -> Result<Option<Chunk>, Error> {
        let (agent, key) = (Arc::clone(&self.agent), self.key);
        blocking(move || next(&agent, key)).await
    }

    /// Has the application's word that it stored a chunk for good: its bytes do not come again.
    /// One that was acknowledged before is no error.
    ///
    /// # Errors
    /// [`Error::State`]; [`Error::Misuse`] for a chunk of another message.
    pub async fn ack(&mut self, chunk: Chunk) -> Result<(), Error> {
        if chunk.key != self.key {
            return Err(Error::Misuse("a chunk of another large message"));
        }
        let agent = Arc::clone(&self.agent);
        let end = chunk.end();
        blocking(move || {
            let Chunk { key, offset, pieces, hash, .. } = chunk;
            parts::acknowledge(&agent, &key, &pieces, offset..end, &hash)
        })
        .await?;
        self.taken = self.taken.max(end);
        Ok(())
    }

    /// Removes it: what is here of it, and whatever still comes. The sender is not told.
    ///
    /// # Errors
    /// [`Error::State`].
    pub async fn refuse(self) -> Result<(), Error> {
        blocking(move || parts::end(&self.agent, &self.key)).await
    }
}

fn next(agent: &Inner, key: LargeKey) -> Result<Option<Chunk>, Error> {
    let offline = agent.offline()?;
    // Held, so that nothing is acknowledged meanwhile.
    let ledger = offline.ledger();
    let Some(large) = ledger.get(&key).filter(|large| !large.is_ended()) else { return Ok(None) };
    let pieces = parts::next_pieces(offline.store.as_ref(), &key, large.taken, CHUNK_LEN)?;
    let mut len = 0_usize;
    for piece in &pieces {
        len = len.saturating_add(piece.bytes()?.len());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(len));
    for piece in &pieces {
        bytes.extend_from_slice(piece.bytes()?);
    }
    let mut hash = large.hash.clone();
    hash.update(&bytes);
    let mut chunk = Chunk { key, offset: large.taken, bytes, last: false, pieces, hash };
    // CON-8
    if let Some((end, digest)) = large.end
        && chunk.end() == end
    {
        if chunk.hash.clone().finalize() != digest {
            return Err(Error::LargeMessageDamaged);
        }
        chunk.last = true;
    }
    Ok(Some(chunk).filter(|chunk| chunk.last || !chunk.bytes.is_empty()))
}

impl Chunk {
    /// Where the bytes begin in the whole.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes: none at all in the only chunk of a large message without bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the whole ends here. Then all of it is what the sender sent.
    pub fn is_last(&self) -> bool {
        self.last
    }

    fn end(&self) -> u64 {
        self.offset.saturating_add(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for LargeMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, began, complete, .. } = self;
        f.debug_struct("LargeMessage")
            .field("id", &key.message)
            .field("began", began)
            .field("complete", complete)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset: _, last, .. } = self;
        f.debug_struct("Chunk").field("last", last).finish_non_exhaustive()
    }
}
