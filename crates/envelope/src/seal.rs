//! Sealing objects.

use std::sync::Arc;

use rand_core::TryCryptoRng;
use sealwire_core::{
    Suite,
    aead::TAG_LEN,
    rng,
    secret::equal,
    wipe::{self, WipedVec},
};

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
    /// The beginning of the next chunk: always less than one.
    pending: WipedVec,
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
        let (dek, salt) = Dek::generate_with_salt(rng)?;
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

    /// The layout of the object if its content has `plaintext_len` bytes: see [`Layout`].
    ///
    /// # Errors
    /// [`Error::Misuse`] for more than 4 PiB.
    pub fn layout(&self, plaintext_len: u64) -> Result<Layout, Error> {
        let head_len = u64::try_from(self.head.encoded_len()).unwrap_or(u64::MAX);
        Layout::of_plaintext(head_len, plaintext_len)
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
    /// faster than fresh memory by more than the encryption takes, and [`Draft::seal_to_slice`] faster
    /// still.
    ///
    /// # Errors
    /// As [`Draft::into_sealer`].
    pub fn seal_into(
        self,
        record: &KeyRecord,
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Sealed, Error> {
        let layout = self.layout(u64::try_from(plaintext.len()).unwrap_or(u64::MAX))?;
        out.reserve(usize::try_from(layout.body_len()).unwrap_or_default());
        self.into_sealer(record, out)?.finish_with(plaintext, out)
    }

    /// As [`Draft::seal`], into memory that is as long as the object: [`Layout::body_len`] of
    /// [`Draft::layout`]. Nothing is written there twice.
    ///
    /// # Errors
    /// As [`Draft::into_sealer`]; [`Error::Misuse`] for memory of another length.
    pub fn seal_to_slice(
        self,
        record: &KeyRecord,
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Result<Sealed, Error> {
        let plaintext_len = u64::try_from(plaintext.len()).unwrap_or(u64::MAX);
        let layout = self.layout(plaintext_len)?;
        if u64::try_from(out.len()).unwrap_or(u64::MAX) != layout.body_len() {
            return Err(Error::Misuse("memory as long as the object"));
        }
        let object = self.object();
        let mut head = Vec::with_capacity(self.head.encoded_len());
        let key = self.into_sealer(record, &mut head)?.key;
        let (start, slots) = out.split_at_mut(head.len());
        start.copy_from_slice(&head);
        // ENV-9: the last chunk is there even where it is empty.
        let chunks = plaintext.chunks(CHUNK_LEN).chain([&[][..]]);
        let mut numbered = (0..).zip(chunks.zip(slots.chunks_mut(SLOT_LEN)));
        wipe::stack(|| {
            numbered.try_for_each(|(index, (chunk, slot))| key.seal_into(index, chunk, slot))
        })?;
        Ok(Sealed { object, plaintext_len })
    }
}

impl Sealer {
    pub(crate) fn new(key: SealKey, object: ObjectId) -> Self {
        Self { key: Arc::new(key), object, next: 0, pending: WipedVec::default() }
    }

    /// Takes the next part of the content, and appends to `out` what can be written now.
    ///
    /// # Errors
    /// [`Error::Misuse`] beyond 4 PiB. The object cannot be completed then.
    pub fn push(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.pending.len().saturating_add(plaintext.len()) < CHUNK_LEN {
            self.hold(plaintext);
            return Ok(());
        }
        let rest = wipe::stack(|| self.push_chunks(plaintext, out))?;
        self.hold(rest);
        Ok(())
    }

    /// Keeps a part of a chunk. Full capacity first: growing would leave copies behind.
    fn hold(&mut self, part: &[u8]) {
        if self.pending.capacity() < CHUNK_LEN && !part.is_empty() {
            self.pending = WipedVec::with_capacity(CHUNK_LEN);
        }
        self.pending.extend_from_slice(part);
    }

    /// Seals whole chunks, and gives what is left. Where nothing of it was, `pending` holds it.
    fn push_chunks<'a>(
        &mut self,
        mut plaintext: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<&'a [u8], Error> {
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
        Ok(chunks.remainder())
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
    pub fn finish(self, out: &mut Vec<u8>) -> Result<Sealed, Error> {
        self.finish_with(&[], out)
    }

    /// Takes the rest of the content and completes the object, without keeping a copy of the last
    /// chunk meanwhile.
    ///
    /// # Errors
    /// As [`Sealer::finish`].
    pub fn finish_with(mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<Sealed, Error> {
        wipe::stack(|| self.end(plaintext, out))
    }

    // ENV-9, ENV-13
    fn end(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<Sealed, Error> {
        let rest = self.push_chunks(plaintext, out)?;
        let pending = core::mem::take(&mut self.pending);
        // Of a chunk that began before nothing is left over.
        let last = if pending.is_empty() { rest } else { &**pending };
        let len = u64::try_from(last.len()).unwrap_or(u64::MAX);
        let plaintext_len = self.next.saturating_mul(CHUNK_LEN as u64).saturating_add(len);
        let index = self.advance(1)?;
        append(&self.key, index, last, out)?;
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

/// At most so long is what `plaintext` bytes become, the last chunk among them.
const fn sealed_len(plaintext: usize) -> usize {
    let chunks = (plaintext / CHUNK_LEN).saturating_add(1);
    plaintext.saturating_add(chunks.saturating_mul(TAG_LEN))
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
