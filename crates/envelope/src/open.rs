//! Opening objects.

use std::sync::Arc;

use sealwire_core::{
    aead::TAG_LEN,
    wipe::{self, WipedVec},
};

use crate::{
    Dek, Error, Head, Layout,
    chunks::{OpenKey, SLOT_LEN},
};

/// An object whose key was unwrapped and is the one that its commitment names. It can be kept and
/// copied for as long as the key may be.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds a key")]
pub struct Unlocked {
    key: Arc<OpenKey>,
    head: Arc<Head>,
}

impl Unlocked {
    /// What opens the chunks, by their numbers.
    pub fn key(&self) -> &Arc<OpenKey> {
        &self.key
    }

    /// What stands before the chunks.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The layout of the object if it has `body_len` bytes: see [`Layout`].
    ///
    /// # Errors
    /// [`Error::Open`] for a length that no object has.
    pub fn layout(&self, body_len: u64) -> Result<Layout, Error> {
        Layout::new(u64::try_from(self.head.encoded_len()).unwrap_or(u64::MAX), body_len)
    }

    /// Opens the whole object: `body` begins with the head.
    ///
    /// # Errors
    /// [`Error::Open`], whatever is wrong.
    pub fn open(&self, body: &[u8]) -> Result<WipedVec, Error> {
        // More than the plaintext takes, so that it never grows and leaves a copy behind.
        let mut out = WipedVec::with_capacity(body.len());
        self.open_into(body, &mut out)?;
        Ok(out)
    }

    /// As [`Unlocked::open`], and appends the plaintext to `out`: all of it or nothing.
    ///
    /// # Errors
    /// [`Error::Open`], whatever is wrong. What was appended is overwritten with zeros first.
    pub fn open_into(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let chunks = self.chunks_of(body)?;
        self.layout_of(body)?;
        let start = out.len();
        self.opener().finish_with(chunks, out).inspect_err(|_| {
            wipe::bytes(out.get_mut(start..).unwrap_or_default());
            out.truncate(start);
        })
    }

    /// As [`Unlocked::open`], into memory that is as long as the content:
    /// [`Layout::plaintext_len`] of [`Unlocked::layout`]. Nothing is written there twice.
    ///
    /// # Errors
    /// [`Error::Open`], whatever is wrong with the object, and nothing of it is in `out`;
    /// [`Error::Misuse`] for memory of another length.
    pub fn open_to_slice(&self, body: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let chunks = self.chunks_of(body)?;
        if u64::try_from(out.len()).unwrap_or(u64::MAX) != self.layout_of(body)?.plaintext_len() {
            return Err(Error::Misuse("memory as long as the content"));
        }
        self.key.open_run(0, true, chunks, out).map(drop)
    }

    fn chunks_of<'a>(&self, body: &'a [u8]) -> Result<&'a [u8], Error> {
        body.strip_prefix(&*self.head.to_bytes()).ok_or(Error::Open)
    }

    fn layout_of(&self, body: &[u8]) -> Result<Layout, Error> {
        self.layout(u64::try_from(body.len()).unwrap_or(u64::MAX))
    }

    /// Opens the chunks piece by piece, from the first on.
    pub fn opener(&self) -> Opener {
        Opener::new(Arc::clone(&self.key))
    }

    pub(crate) fn new(head: Head, dek: &Dek, ctx: &[u8]) -> Result<Self, Error> {
        let algorithm = head.header().suite().aead();
        let key = OpenKey::new(algorithm, dek.secret(), head.salt(), ctx, head.commitment())?;
        Ok(Self { key: Arc::new(key), head: Arc::new(head) })
    }
}

/// Opens the content of one object, piece by piece.
///
/// What it gives is authentic: these bytes, at this place, in this object. That they are all of
/// it is known when [`Opener::finish`] has returned, and not before.
#[expect(missing_debug_implementations, reason = "it holds a key")]
pub struct Opener {
    key: Arc<OpenKey>,
    next: u64,
    /// The beginning of the next chunk, sealed: always less than one.
    pending: Vec<u8>,
    failed: bool,
}

impl Opener {
    pub(crate) fn new(key: Arc<OpenKey>) -> Self {
        Self { key, next: 0, pending: Vec::new(), failed: false }
    }

    /// Takes the next part of the object behind its head, and appends to `out` what it opened.
    ///
    /// # Errors
    /// [`Error::Open`], from then on in each call. What was appended before is authentic; this
    /// call appends nothing that is not.
    pub fn push(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.failed {
            return Err(Error::Open);
        }
        if self.pending.len().saturating_add(sealed.len()) < SLOT_LEN {
            self.pending.extend_from_slice(sealed);
            return Ok(());
        }
        // ENV-12
        self.failed = true;
        let rest = wipe::stack(|| self.push_chunks(sealed, out))?;
        self.pending.extend_from_slice(rest);
        self.failed = false;
        Ok(())
    }

    /// Opens whole chunks, and gives what is left. Where nothing of it was, `pending` holds it.
    fn push_chunks<'a>(
        &mut self,
        mut sealed: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<&'a [u8], Error> {
        if !self.pending.is_empty() {
            let room = SLOT_LEN.saturating_sub(self.pending.len()).min(sealed.len());
            let (part, rest) = sealed.split_at(room);
            self.pending.extend_from_slice(part);
            sealed = rest;
            if self.pending.len() == SLOT_LEN {
                append(&self.key, self.next, &self.pending, out)?;
                self.next = self.next.saturating_add(1);
                self.pending.clear();
            }
        }
        out.reserve(sealed.len());
        let mut slots = sealed.chunks_exact(SLOT_LEN);
        for slot in &mut slots {
            append(&self.key, self.next, slot, out)?;
            self.next = self.next.saturating_add(1);
        }
        Ok(slots.remainder())
    }

    /// Takes the end of the object: opens the last chunk and appends it to `out`.
    ///
    /// # Errors
    /// [`Error::Open`]: the object was cut, or changed. What was appended before is authentic and
    /// not all of it.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.finish_with(&[], out)
    }

    /// Takes the rest of the object: as [`Opener::push`] and [`Opener::finish`], without a copy of
    /// the last chunk.
    ///
    /// # Errors
    /// As [`Opener::finish`].
    pub fn finish_with(mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if self.failed {
            return Err(Error::Open);
        }
        wipe::stack(|| {
            let rest = self.push_chunks(sealed, out)?;
            // Of a chunk that began before nothing is left over. ENV-9: what is as long as a chunk
            // was opened as one, and is not the last.
            let last = if self.pending.is_empty() { rest } else { &self.pending };
            append(&self.key, self.next, last, out)
        })
    }
}

/// Opens a chunk and appends it; where that fails, nothing of it stays.
fn append(key: &OpenKey, index: u64, slot: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let start = out.len();
    out.resize(start.saturating_add(slot.len().saturating_sub(TAG_LEN)), 0);
    let opened = key.open_into(index, slot, out.get_mut(start..).unwrap_or_default());
    opened.inspect_err(|_| out.truncate(start))
}
