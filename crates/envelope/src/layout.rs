//! Where what stands in an object, from lengths alone.

use core::ops::Range;

use sealwire_core::aead::TAG_LEN;

use crate::{
    Error,
    chunks::{CHUNK_LEN, MAX_CHUNKS, SLOT_LEN},
};

const CHUNK: u64 = CHUNK_LEN as u64;
const SLOT: u64 = SLOT_LEN as u64;
const TAG: u64 = TAG_LEN as u64;

/// The layout of an object of a known length.
///
/// A length is a claim until the last chunk has been opened: [`Layout::last`].
///
/// ```
/// use sealwire_envelope::Layout;
/// # fn main() -> Result<(), sealwire_envelope::Error> {
/// // 40,000 bytes behind a head of 88.
/// let layout = Layout::new(88, 88 + 40_000 + 3 * 16)?;
/// assert_eq!((layout.plaintext_len(), layout.chunks()), (40_000, 3));
/// let part = layout.chunks_of(&(16_000..17_000));
/// assert_eq!((part.first, part.count, part.skip, part.take), (0, 2, 16_000, 1_000));
/// assert_eq!(part.body, 88..88 + 2 * 16_400);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    head_len: u64,
    full: u64,
    last_len: u64,
}

/// The chunks that hold a range of the plaintext, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "these four say all of it")]
pub struct ChunkRange {
    /// The first chunk.
    pub first: u64,
    /// How many chunks. None for an empty range.
    pub count: u64,
    /// Their bytes in the object.
    pub body: Range<u64>,
    /// How much of the plaintext of these chunks stands before the range.
    pub skip: u64,
    /// How long the range is, cut at the end of the object.
    pub take: u64,
    /// Whether the last of them is the last of the object.
    pub ends: bool,
}

impl Layout {
    /// The layout of an object of `body_len` bytes with a head of `head_len`.
    ///
    /// # Errors
    /// [`Error::Open`] for a length that no object has: it was cut.
    pub fn new(head_len: u64, body_len: u64) -> Result<Self, Error> {
        // ENV-11
        let sealed = body_len.checked_sub(head_len).ok_or(Error::Open)?;
        let (full, rest) = (sealed / SLOT, sealed % SLOT);
        let last_len = rest.checked_sub(TAG).ok_or(Error::Open)?;
        // ENV-10
        if full >= MAX_CHUNKS {
            return Err(Error::Open);
        }
        Ok(Self { head_len, full, last_len })
    }

    /// The layout of an object that will have `plaintext_len` bytes.
    ///
    /// # Errors
    /// [`Error::Misuse`] for more than 4 PiB.
    pub const fn of_plaintext(head_len: u64, plaintext_len: u64) -> Result<Self, Error> {
        let full = plaintext_len / CHUNK;
        if full >= MAX_CHUNKS {
            return Err(Error::Misuse("an object over 4 PiB"));
        }
        Ok(Self { head_len, full, last_len: plaintext_len % CHUNK })
    }

    /// Length of the plaintext, in bytes.
    pub const fn plaintext_len(&self) -> u64 {
        // Less than 2^38 chunks of 2^14 bytes.
        self.full.saturating_mul(CHUNK).saturating_add(self.last_len)
    }

    /// Length of the object, in bytes.
    pub const fn body_len(&self) -> u64 {
        self.slot_at(self.full).saturating_add(self.last_len).saturating_add(TAG)
    }

    /// How many chunks there are, the last one included.
    pub const fn chunks(&self) -> u64 {
        self.full.saturating_add(1)
    }

    /// The last chunk. Whoever opens it has authenticated the length of the object.
    // ENV-14
    pub const fn last(&self) -> ChunkRange {
        ChunkRange {
            first: self.full,
            count: 1,
            body: self.slot_at(self.full)..self.body_len(),
            skip: 0,
            take: self.last_len,
            ends: true,
        }
    }

    /// All chunks.
    pub const fn all(&self) -> ChunkRange {
        ChunkRange {
            first: 0,
            count: self.chunks(),
            body: self.head_len..self.body_len(),
            skip: 0,
            take: self.plaintext_len(),
            ends: true,
        }
    }

    /// The chunks that hold `range` of the plaintext, cut at its end.
    pub fn chunks_of(&self, range: &Range<u64>) -> ChunkRange {
        let end = range.end.min(self.plaintext_len());
        let start = range.start.min(end);
        let first = start / CHUNK;
        if start == end {
            let at = self.slot_at(first);
            return ChunkRange { first, count: 0, body: at..at, skip: 0, take: 0, ends: false };
        }
        let behind = end.div_ceil(CHUNK);
        let ends = behind > self.full;
        let body_end = if ends { self.body_len() } else { self.slot_at(behind) };
        ChunkRange {
            first,
            count: behind.saturating_sub(first),
            body: self.slot_at(first)..body_end,
            skip: start.saturating_sub(first.saturating_mul(CHUNK)),
            take: end.saturating_sub(start),
            ends,
        }
    }

    const fn slot_at(&self, index: u64) -> u64 {
        self.head_len.saturating_add(index.saturating_mul(SLOT))
    }
}
