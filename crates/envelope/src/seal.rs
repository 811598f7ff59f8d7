//! Sealing objects.

use std::sync::Arc;

use rand_core::TryCryptoRng;
use sealwire_core::{Suite, aead::TAG_LEN, rng, secret::equal, wipe};
use zeroize::Zeroizing;

use crate::{
    Context, Dek, Error, Head, KeyRecord, Layout, ObjectId, WrapBinding,
    chunks::{CHUNK_LEN, MAX_CHUNKS, SLOT_LEN, SealKey},
    header::Header,
};

/// An object that has a name, a key and a head, and no content yet.
///
/// All three are drawn here, are never taken from a caller, and end with this value: an attempt
/// that fails leaves no key that a second attempt could use again. Wrap [`Draft::dek`] into a
/// [`KeyRecord`], store the record, and then seal the content.
#[expect(missing_debug_implementations, reason = "it holds a key")]
pub struct Draft {
    head: Head,
    binding: WrapBinding,
    dek: Dek,
    key: SealKey,
}

/// Seals the content of one object, piece by piece.
///
/// Only [`Sealer::finish`] completes the object. One that is dropped before leaves bytes that do
/// not open.
#[expect(missing_debug_implementations, reason = "it holds a key")]
pub struct Sealer {
    key: Arc<SealKey>,
    object: ObjectId,
    next: u64,
    pending: Zeroizing<Vec<u8>>,
}

/// Some chunks in a row that one thread seals, while others seal theirs.
#[expect(missing_debug_implementations, reason = "it holds a key")]
#[must_use = "the object has a hole where these chunks are missing"]
pub struct SealRun {
    key: Arc<SealKey>,
    first: u64,
    count: u64,
}

/// What a sealed object came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    object: ObjectId,
    plaintext_len: u64,
}

impl Draft {
    /// Begins an object.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn new<R: TryCryptoRng + ?Sized>(
        suite: Suite,
        context: &Context,
        rng: &mut R,
    ) -> Result<Self, Error> {
        // ENV-5
        let id = *rng::draw::<{ ObjectId::LEN }>(rng)?.expose();
        let dek = Dek::generate(rng)?;
        let salt = *rng::draw(rng)?.expose();
        // A generator that repeats itself would write the key into the header. In constant time: a
        // comparison that stops early would tell how much of the key they share.
        let begins_with = |public: &[u8]| {
            dek.expose().get(..public.len()).is_some_and(|start| equal(start, public))
        };
        if begins_with(&id) | begins_with(&salt) {
            return Err(Error::Randomness);
        }
        let object = ObjectId::from_bytes(id);
        let header = Header::new(suite, object, context.stored());
        let binding = header.binding(context.required())?;
        let ctx = header.stream_context(context.required())?;
        let (key, commitment) = SealKey::new(suite.aead(), dek.secret(), &salt, ctx.as_bytes())?;
        Ok(Self { head: Head::new(header, salt, commitment), binding, dek, key })
    }

    /// The object's name.
    pub const fn object(&self) -> ObjectId {
        self.head.header().object()
    }

    /// What stands before the chunks.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// W, to which the key's wraps are bound.
    pub const fn binding(&self) -> &WrapBinding {
        &self.binding
    }

    /// The key, to be wrapped.
    pub const fn dek(&self) -> &Dek {
        &self.dek
    }

    /// Goes on to the content, and writes the head of the object to `out`. The data key ends
    /// here.
    ///
    /// `record` is the key record of this object. It stands in its store before any of the
    /// object does: an object without one opens for nobody.
    ///
    /// # Errors
    /// [`Error::Misuse`] for the key record of another object.
    pub fn into_sealer(self, record: &KeyRecord, out: &mut Vec<u8>) -> Result<Sealer, Error> {
        // ENV-19
        if record.binding() != &self.binding {
            return Err(Error::Misuse("the key record of this object"));
        }
        out.extend_from_slice(&self.head.to_bytes());
        let object = self.object();
        Ok(Sealer::new(self.key, object))
    }

    /// Seals the whole content at once.
    ///
    /// # Errors
    /// As [`Draft::into_sealer`].
    pub fn seal(self, record: &KeyRecord, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.seal_into(record, plaintext, &mut out)?;
        Ok(out)
    }

    /// As [`Draft::seal`], and appends the object to `out`. Memory that was used before is
    /// faster than fresh memory by more than the encryption takes.
    ///
    /// # Errors
    /// As [`Draft::into_sealer`].
    pub fn seal_into(
        self,
        record: &KeyRecord,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Sealed, Error> {
        let head_len = u64::try_from(self.head.encoded_len()).unwrap_or(u64::MAX);
        let len = u64::try_from(plaintext.len()).unwrap_or(u64::MAX);
        let layout = Layout::of_plaintext(head_len, len)?;
        out.reserve(usize::try_from(layout.body_len()).unwrap_or_default());
        let mut sealer = self.into_sealer(record, out)?;
        sealer.push(plaintext, out)?;
        sealer.finish(out)
    }
}

impl Sealer {
    pub(crate) fn new(key: SealKey, object: ObjectId) -> Self {
        // Full capacity first: growing would leave copies of the plaintext behind.
        let pending = Zeroizing::new(Vec::with_capacity(CHUNK_LEN));
        Self { key: Arc::new(key), object, next: 0, pending }
    }

    /// Takes the next part of the content, and appends to `out` what can be written now.
    ///
    /// # Errors
    /// [`Error::Misuse`] beyond 4 PiB. The object cannot be completed then.
    pub fn push(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.pending.len().saturating_add(plaintext.len()) < CHUNK_LEN {
            self.pending.extend_from_slice(plaintext);
            return Ok(());
        }
        wipe::stack(|| self.push_chunks(plaintext, out))
    }

    fn push_chunks(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if !self.pending.is_empty() {
            let room = CHUNK_LEN.saturating_sub(self.pending.len()).min(plaintext.len());
            let (part, rest) = plaintext.split_at(room);
            self.pending.extend_from_slice(part);
            plaintext = rest;
            if self.pending.len() == CHUNK_LEN {
                let index = self.advance(1)?;
                append(&self.key, index, &self.pending, out)?;
                self.pending.clear();
            }
        }
        out.reserve(sealed_len(plaintext.len()));
        let mut chunks = plaintext.chunks_exact(CHUNK_LEN);
        for chunk in &mut chunks {
            let index = self.advance(1)?;
            append(&self.key, index, chunk, out)?;
        }
        self.pending.extend_from_slice(chunks.remainder());
        Ok(())
    }

    /// Hands out the next `count` chunks, to be sealed on any thread and written in their order.
    ///
    /// # Errors
    /// [`Error::Misuse`] where a part of a chunk was pushed before, and beyond 4 PiB.
    pub fn run(&mut self, count: u64) -> Result<SealRun, Error> {
        if !self.pending.is_empty() {
            return Err(Error::Misuse("runs of chunks begin at a chunk's start"));
        }
        let first = self.advance(count)?;
        Ok(SealRun { key: Arc::clone(&self.key), first, count })
    }

    /// Whether any chunk was sealed.
    #[cfg(feature = "store")]
    pub(crate) const fn has_begun(&self) -> bool {
        self.next > 0
    }

    /// Completes the object: appends the last chunk to `out`.
    ///
    /// # Errors
    /// [`Error::Misuse`] beyond 4 PiB.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Sealed, Error> {
        // ENV-9, ENV-13
        let len = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
        let plaintext_len = self.next.saturating_mul(CHUNK_LEN as u64).saturating_add(len);
        let index = self.advance(1)?;
        wipe::stack(|| append(&self.key, index, &self.pending, out))?;
        Ok(Sealed { object: self.object, plaintext_len })
    }

    /// Takes the next numbers, before anything is sealed under them. Beyond the last one no call
    /// succeeds any more: an object that lacks a part must not be completed.
    // ENV-10
    fn advance(&mut self, count: u64) -> Result<u64, Error> {
        let first = self.next;
        self.next = first.saturating_add(count);
        if self.next > MAX_CHUNKS {
            self.next = u64::MAX;
            return Err(Error::Misuse("an object over 4 PiB"));
        }
        Ok(first)
    }
}

/// Appends a chunk, sealed.
fn append(key: &SealKey, index: u64, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    out.resize(start.saturating_add(chunk.len()).saturating_add(TAG_LEN), 0);
    let sealed = key.seal_into(index, chunk, out.get_mut(start..).unwrap_or_default());
    sealed.inspect_err(|_| out.truncate(start))
}

/// At most so long is what `plaintext` bytes become.
const fn sealed_len(plaintext: usize) -> usize {
    plaintext.saturating_add((plaintext / CHUNK_LEN).saturating_mul(TAG_LEN))
}

impl SealRun {
    /// The number of the first chunk.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Seals the chunks in place: of each slot of [`SLOT_LEN`] bytes all but the last 16 is
    /// plaintext.
    ///
    /// # Errors
    /// [`Error::Misuse`] for another number of slots. The object cannot be completed then.
    pub fn seal(self, slots: &mut [u8]) -> Result<(), Error> {
        let count = u64::try_from(slots.len() / SLOT_LEN).unwrap_or(u64::MAX);
        if count != self.count {
            return Err(Error::Misuse("as many slots as the run has chunks"));
        }
        self.key.seal_chunks(self.first, slots)
    }

    /// Seals the chunks from one buffer to another, which has a slot of [`SLOT_LEN`] bytes for
    /// each.
    ///
    /// # Errors
    /// [`Error::Misuse`] for another number of chunks or slots. The object cannot be completed
    /// then.
    pub fn seal_into(self, plaintext: &[u8], slots: &mut [u8]) -> Result<(), Error> {
        let chunks = usize::try_from(self.count).unwrap_or(usize::MAX);
        if plaintext.len() != chunks.saturating_mul(CHUNK_LEN)
            || slots.len() != chunks.saturating_mul(SLOT_LEN)
        {
            return Err(Error::Misuse("as many chunks and slots as the run has"));
        }
        let chunks = plaintext.chunks_exact(CHUNK_LEN).zip(slots.chunks_exact_mut(SLOT_LEN));
        let mut numbered = (self.first..).zip(chunks);
        wipe::stack(|| {
            numbered.try_for_each(|(index, (chunk, slot))| self.key.seal_into(index, chunk, slot))
        })
    }
}

impl Sealed {
    /// The object's name.
    pub const fn object(&self) -> ObjectId {
        self.object
    }

    /// Length of the content, in bytes.
    pub const fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }
}
