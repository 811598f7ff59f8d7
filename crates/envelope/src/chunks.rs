//! C2SP chunked-encryption, version 1: the stream that every object is, and the wrap of a local
//! key.
//!
//! ```text
//! prk = data key   info = "c2sp.org/chunked-encryption@v1+" ‖ AEAD ‖ 0x00 ‖ salt ‖ ctx
//!         │
//!         └─ HKDF-Expand-SHA-512 ─ key 32 ‖ base nonce 12 ‖ commitment 32
//!
//! stream:  salt 24 ‖ commitment 32 ‖ chunk 0 ‖ tag 16 ‖ chunk 1 ‖ tag 16 ‖ … ‖ last chunk ‖ tag 16
//! nonce of chunk i:  base nonce XOR i      chunks have 16,384 bytes, the last one always fewer
//! ```
//!
//! A *slot* is the room of one sealed chunk. Chunks are sealed and opened in place, many at a
//! time; the keys can be shared by threads. Each call here overwrites the stack that it used,
//! since ciphers leave round keys there; `seal_into` and `open_into` leave that to their callers,
//! who do it once for many chunks.

use sealwire_core::{
    aead::{AeadKey, Algorithm, NONCE_LEN, TAG_LEN},
    kdf,
    secret::{Secret, equal},
    wipe,
};

use crate::Error;

/// Length of a chunk's plaintext, in bytes, but for the last.
pub const CHUNK_LEN: usize = 16 * 1024;
/// Length of a sealed chunk, in bytes, but for the last.
pub const SLOT_LEN: usize = CHUNK_LEN + TAG_LEN;
/// Length of the salt, in bytes.
pub const SALT_LEN: usize = 24;
/// Length of the commitment, in bytes.
pub const COMMITMENT_LEN: usize = 32;
/// The most chunks of a stream, which is 4 PiB: "the message MUST NOT exceed 2^38 chunks".
pub const MAX_CHUNKS: u64 = 1 << 38;

const PREFIX: &[u8] = b"c2sp.org/chunked-encryption@v1+";

/// Why a stream ends where it does.
const TOO_LONG: Error = Error::Misuse("an object over 4 PiB");

/// What seals the chunks of one stream. Each chunk is sealed once: [`crate::Sealer`] counts them.
pub(crate) struct SealKey(ChunkKey);

/// What opens the chunks of one stream, in any order. It exists only where the commitment was
/// the right one.
#[expect(missing_debug_implementations, reason = "a key is not printed")]
pub struct OpenKey(ChunkKey);

struct ChunkKey {
    aead: AeadKey,
    base_nonce: Secret<NONCE_LEN>,
}

impl SealKey {
    /// The key of a stream, and its commitment.
    pub(crate) fn new(
        algorithm: Algorithm,
        prk: &Secret<32>,
        salt: &[u8; SALT_LEN],
        ctx: &[u8],
    ) -> Result<(Self, [u8; COMMITMENT_LEN]), Error> {
        let (key, commitment) = derive(algorithm, prk, salt, ctx)?;
        Ok((Self(key), commitment))
    }

    /// Seals whole chunks in place, the first of them being chunk `first`: of each slot all but
    /// the last 16 bytes is plaintext.
    pub(crate) fn seal_chunks(&self, first: u64, slots: &mut [u8]) -> Result<(), Error> {
        if !slots.len().is_multiple_of(SLOT_LEN) {
            return Err(Error::Misuse("whole chunks"));
        }
        wipe::stack(|| numbered(first, slots).try_for_each(|(index, slot)| self.seal(index, slot)))
    }

    /// Seals the last chunk in place: all of the slot but its last 16 bytes is plaintext.
    pub(crate) fn seal_last(&self, index: u64, slot: &mut [u8]) -> Result<(), Error> {
        // ENV-9
        if slot.len() >= SLOT_LEN {
            return Err(Error::Misuse("a last chunk that is shorter than the others"));
        }
        wipe::stack(|| self.seal(index, slot))
    }

    /// Seals a chunk from one buffer to another, which has room for the tag behind it. The stack
    /// is the caller's to overwrite.
    pub(crate) fn seal_into(&self, index: u64, chunk: &[u8], slot: &mut [u8]) -> Result<(), Error> {
        let nonce = self.0.nonce(index).ok_or(TOO_LONG)?;
        let (sealed, tag) =
            slot.split_last_chunk_mut().ok_or(Error::Misuse("a slot with room for a tag"))?;
        *tag = self.0.aead.seal_into(&nonce, &[], chunk, sealed)?;
        Ok(())
    }

    fn seal(&self, index: u64, slot: &mut [u8]) -> Result<(), Error> {
        let nonce = self.0.nonce(index).ok_or(TOO_LONG)?;
        let (chunk, tag) =
            slot.split_last_chunk_mut().ok_or(Error::Misuse("a slot with room for a tag"))?;
        *tag = self.0.aead.seal_detached(&nonce, &[], chunk)?;
        Ok(())
    }
}

impl OpenKey {
    /// The key of a stream with this commitment.
    pub(crate) fn new(
        algorithm: Algorithm,
        prk: &Secret<32>,
        salt: &[u8; SALT_LEN],
        ctx: &[u8],
        commitment: &[u8; COMMITMENT_LEN],
    ) -> Result<Self, Error> {
        Self::committed(derive(algorithm, prk, salt, ctx)?, commitment)
    }

    fn committed(derived: Derived, commitment: &[u8; COMMITMENT_LEN]) -> Result<Self, Error> {
        let (key, expected) = derived;
        // ENV-8
        if !equal(&expected, commitment) {
            return Err(Error::Open);
        }
        Ok(Self(key))
    }

    /// Opens whole chunks in place, the first of them being chunk `first`. Of each slot all but
    /// the last 16 bytes is then plaintext.
    ///
    /// # Errors
    /// [`Error::Open`], and all of `slots` is overwritten with zeros; [`Error::Misuse`] where it
    /// is not whole chunks.
    pub fn open_chunks(&self, first: u64, slots: &mut [u8]) -> Result<(), Error> {
        if !slots.len().is_multiple_of(SLOT_LEN) {
            return Err(Error::Misuse("whole chunks"));
        }
        let opened = wipe::stack(|| {
            numbered(first, slots).try_for_each(|(index, slot)| self.open(index, slot))
        });
        // ENV-12
        opened.inspect_err(|_| slots.fill(0))
    }

    /// Opens the last chunk in place, and gives the length of its plaintext. What opens here is
    /// the end of the object: no chunk follows.
    ///
    /// # Errors
    /// [`Error::Open`], and `slot` is overwritten with zeros.
    pub fn open_last(&self, index: u64, slot: &mut [u8]) -> Result<usize, Error> {
        // ENV-9: "the final chunk is shorter than 16 KiB".
        let is_last = slot.len() < SLOT_LEN;
        let opened =
            wipe::stack(|| if is_last { self.open(index, slot) } else { Err(Error::Open) });
        opened.inspect_err(|_| slot.fill(0))?;
        Ok(slot.len().saturating_sub(TAG_LEN))
    }

    /// Opens a chunk from one buffer to another, which has no room for the tag. The stack is the
    /// caller's to overwrite.
    pub(crate) fn open_into(&self, index: u64, slot: &[u8], chunk: &mut [u8]) -> Result<(), Error> {
        let nonce = self.0.nonce(index).ok_or(Error::Open)?;
        let (sealed, tag) = slot.split_last_chunk().ok_or(Error::Open)?;
        Ok(self.0.aead.open_into(&nonce, &[], sealed, tag, chunk)?)
    }

    /// Opens chunks in a row from one buffer to another, and gives the length of their plaintext.
    /// Where `ends`, the last of them is the last of the stream.
    pub(crate) fn open_run(
        &self,
        first: u64,
        ends: bool,
        slots: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let opened = wipe::stack(|| self.open_each(first, ends, slots, out));
        // ENV-12
        opened.inspect_err(|_| out.fill(0))
    }

    fn open_each(
        &self,
        first: u64,
        ends: bool,
        slots: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        // ENV-9: only what ends the stream is shorter than the others, and it always is.
        if slots.len().is_multiple_of(SLOT_LEN) == ends {
            return Err(Error::Open);
        }
        let (mut rest, mut len) = (out, 0usize);
        for (index, slot) in (first..).zip(slots.chunks(SLOT_LEN)) {
            let opened = slot.len().checked_sub(TAG_LEN).ok_or(Error::Open)?;
            let split = rest.split_at_mut_checked(opened);
            let (chunk, behind) = split.ok_or(Error::Misuse("room for the plaintext"))?;
            self.open_into(index, slot, chunk)?;
            (rest, len) = (behind, len.saturating_add(opened));
        }
        Ok(len)
    }

    fn open(&self, index: u64, slot: &mut [u8]) -> Result<(), Error> {
        let nonce = self.0.nonce(index).ok_or(Error::Open)?;
        let (chunk, tag) = slot.split_last_chunk_mut().ok_or(Error::Open)?;
        Ok(self.0.aead.open_detached(&nonce, &[], chunk, tag)?)
    }
}

/// Whole slots and the numbers of their chunks. A number that would overflow is one that
/// [`ChunkKey::nonce`] refuses.
fn numbered(first: u64, slots: &mut [u8]) -> impl Iterator<Item = (u64, &mut [u8])> {
    let indexes = (0..).map(move |offset: u64| first.saturating_add(offset));
    indexes.zip(slots.chunks_exact_mut(SLOT_LEN))
}

impl ChunkKey {
    /// None from 2^38 on.
    // ENV-9, ENV-10
    fn nonce(&self, index: u64) -> Option<[u8; NONCE_LEN]> {
        if index >= MAX_CHUNKS {
            return None;
        }
        let mut nonce = *self.base_nonce.expose();
        for (byte, mask) in nonce.iter_mut().rev().zip(index.to_le_bytes()) {
            *byte ^= mask;
        }
        Some(nonce)
    }
}

/// The key of a stream, and its commitment.
type Derived = (ChunkKey, [u8; COMMITMENT_LEN]);

// ENV-7
fn derive(
    algorithm: Algorithm,
    prk: &Secret<32>,
    salt: &[u8; SALT_LEN],
    ctx: &[u8],
) -> Result<Derived, Error> {
    split(algorithm, &kdf::expand_sha512(prk, &[PREFIX, iana_name(algorithm), &[0], salt, ctx]))
}

/// `key 32 || base nonce 12 || commitment 32`
fn split(algorithm: Algorithm, output: &Secret<76>) -> Result<Derived, Error> {
    let unreachable = Error::Unreachable("76 bytes are 32, 12 and 32");
    let parts = output.expose().split_first_chunk::<32>();
    let (key, rest) = parts.ok_or(unreachable.clone())?;
    let (base_nonce, commitment) =
        rest.split_first_chunk::<NONCE_LEN>().ok_or(unreachable.clone())?;
    let commitment = commitment.try_into().map_err(|_| unreachable)?;
    let aead = AeadKey::new(algorithm, &Secret::from_slice(key)?)?;
    Ok((ChunkKey { aead, base_nonce: Secret::from_slice(base_nonce)? }, commitment))
}

/// The name in the registry "AEAD Algorithms" of IANA.
const fn iana_name(algorithm: Algorithm) -> &'static [u8] {
    match algorithm {
        Algorithm::Aes256Gcm => b"AEAD_AES_256_GCM",
        Algorithm::ChaCha20Poly1305 => b"AEAD_CHACHA20_POLY1305",
    }
}

#[cfg(test)]
mod tests;
