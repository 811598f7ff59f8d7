//! The record layer: `len u16 | ciphertext`, associated data = len.
//!
//! ```text
//! plaintext = content | type 1 | zeros
//! nonce     = 4 zero bytes || u64 counter
//! rekey     k' = HKDF(0^32, k, label, 32), counter 0
//! ```
//!
//! [`Sealer`] and [`Opener`] are pure: bytes in, bytes out. Any failure poisons them.

use core::fmt;

use sealwire_core::{
    Suite,
    aead::{AeadKey, NONCE_LEN, TAG_LEN},
    kdf,
    label::Label,
    secret::Secret,
    wipe,
};

use crate::Error;

/// Content bytes that a sender puts in one record. Large enough that the cost per record
/// vanishes, small enough to stay in the processor's cache.
pub const CONTENT_LEN: usize = 16 * 1024;

/// The largest ciphertext, in bytes: what a u16 can say.
pub const MAX_CIPHERTEXT: usize = u16::MAX as usize;

/// Records under one key, the rekey included: far below the 2^32 random-looking blocks at
/// which AES-GCM's bounds begin to wear (draft-irtf-cfrg-aead-limits).
pub const RECORDS_PER_KEY: u64 = 1 << 20;

/// Ciphertext bytes under one key, tags included: 64 GiB.
pub const BYTES_PER_KEY: u64 = 64 << 30;

/// Records in a row that carry nothing before the receiver gives up: a peer cannot keep a
/// reader busy for ever without giving it anything.
pub const MAX_IDLE_RECORDS: u32 = 32;

const TYPE_DATA: u8 = 1;
const TYPE_CLOSE: u8 = 2;
const TYPE_REKEY: u8 = 3;
const TYPE_PAD: u8 = 4;

/// Room for a rekey record under the old key: type and tag.
const REKEY_CIPHERTEXT: u64 = 1 + TAG_LEN as u64;

/// Why a session was closed, authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The sender is done.
    Done,
    /// The session reached its age limit: a fresh handshake is due.
    Age,
    /// Policy ended the session.
    Policy,
    /// A reason that this release does not know.
    Other(u8),
}

impl CloseReason {
    /// The byte on the wire.
    pub const fn to_u8(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Age => 1,
            Self::Policy => 2,
            Self::Other(reason) => reason,
        }
    }

    /// The reason that this byte names.
    pub const fn from_u8(reason: u8) -> Self {
        match reason {
            0 => Self::Done,
            1 => Self::Age,
            2 => Self::Policy,
            other => Self::Other(other),
        }
    }
}

/// How much one key may carry.
#[derive(Clone, Copy, Debug)]
struct Limits {
    records: u64,
    bytes: u64,
}

const LIMITS: Limits = Limits { records: RECORDS_PER_KEY, bytes: BYTES_PER_KEY };

/// The key of one direction and what it has carried.
struct Direction {
    suite: Suite,
    limits: Limits,
    key: Secret<32>,
    cipher: AeadKey,
    counter: u64,
    bytes: u64,
}

impl Direction {
    fn new(suite: Suite, key: Secret<32>, limits: Limits) -> Result<Self, Error> {
        let cipher = AeadKey::new(suite.aead(), &key)?;
        Ok(Self { suite, limits, key, cipher, counter: 0, bytes: 0 })
    }

    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        if let Some(end) = nonce.last_chunk_mut() {
            *end = self.counter.to_be_bytes();
        }
        nonce
    }

    /// Whether only a rekey record may come next: the last one that the key may carry.
    fn at_last_record(&self) -> bool {
        self.counter.saturating_add(1) >= self.limits.records
    }

    fn has_room(&self, ciphertext: u64) -> bool {
        self.bytes.saturating_add(ciphertext) <= self.limits.bytes
    }

    fn count(&mut self, ciphertext: u64) {
        // Neither can overflow: limits bound both.
        self.counter = self.counter.saturating_add(1);
        self.bytes = self.bytes.saturating_add(ciphertext);
    }

    /// Appends one record to `out`, behind a rekey record where one is due.
    fn seal(
        &mut self,
        kind: u8,
        pieces: &[&[u8]],
        zeros: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let content: usize = pieces.iter().map(|piece| piece.len()).sum();
        let ciphertext = content.saturating_add(zeros).saturating_add(1 + TAG_LEN);
        // REC-5: the rekey record itself must still fit under the old key.
        let with_rekey = (ciphertext as u64).saturating_add(REKEY_CIPHERTEXT);
        if self.at_last_record() || !self.has_room(with_rekey) {
            append(self, TYPE_REKEY, &[], 0, out)?;
            self.rekey()?;
        }
        append(self, kind, pieces, zeros, out)
    }

    /// The next key; the old one is wiped as it is replaced.
    fn rekey(&mut self) -> Result<(), Error> {
        // REC-6
        let info = Label::RECORD_REKEY.context(Some(self.suite), &[])?;
        let next = kdf::hkdf(&[0; 32], self.key.expose(), &info);
        *self = Self::new(self.suite, next, self.limits)?;
        Ok(())
    }
}

impl Drop for Direction {
    fn drop(&mut self) {
        // What sealing and opening left of the key on the stack. Once, and not for each record:
        // that would cost as much as the record does. They may have been called from further
        // down than this is.
        wipe::deep_stack(|| ());
    }
}

/// The sending half of a session. Records it gives must reach the wire in order, each once.
///
/// ```compile_fail,E0599
/// # use sealwire_noise::record::Sealer;
/// // Two copies would use a nonce twice.
/// // attack T37
/// fn copy(sealer: Sealer) -> (Sealer, Sealer) {
///     (sealer.clone(), sealer)
/// }
/// ```
pub struct Sealer(Option<Direction>);

impl Sealer {
    pub(crate) fn new(suite: Suite, key: Secret<32>) -> Result<Self, Error> {
        Ok(Self(Some(Direction::new(suite, key, LIMITS)?)))
    }

    /// Whether more can be sent.
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Appends one data record with at most [`CONTENT_LEN`] bytes of content to `out`, behind
    /// a rekey record where one is due.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Misuse`] for longer content.
    pub fn seal_data(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.seal_data_vectored(&[content], out)
    }

    /// As [`Sealer::seal_data`], with the content in pieces.
    ///
    /// # Errors
    /// As [`Sealer::seal_data`].
    pub fn seal_data_vectored(&mut self, pieces: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Error> {
        self.seal(TYPE_DATA, pieces, 0, out)
    }

    /// Appends a record that carries `zeros` zero bytes and nothing else.
    ///
    /// # Errors
    /// As [`Sealer::seal_data`].
    pub fn seal_pad(&mut self, zeros: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        self.seal(TYPE_PAD, &[], zeros, out)
    }

    /// Appends the authenticated close; nothing can be sent after it, and the key is wiped.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn seal_close(&mut self, reason: CloseReason, out: &mut Vec<u8>) -> Result<(), Error> {
        // REC-8
        self.seal(TYPE_CLOSE, &[&[reason.to_u8()]], 0, out)?;
        self.0 = None;
        Ok(())
    }

    fn seal(
        &mut self,
        kind: u8,
        pieces: &[&[u8]],
        zeros: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let direction = self.0.as_mut().ok_or(Error::Closed)?;
        let content: usize = pieces.iter().map(|piece| piece.len()).sum();
        if content.saturating_add(zeros) > CONTENT_LEN {
            return Err(Error::Misuse("at most 16 KiB go into one record"));
        }
        let start = out.len();
        let sealed = direction.seal(kind, pieces, zeros, out);
        if sealed.is_err() {
            // REC-10: no content stays in clear, and no nonce is used again.
            out.truncate(start);
            self.0 = None;
        }
        sealed
    }
}

/// Appends one record to `out`, sealed where it lies.
fn append(
    direction: &mut Direction,
    kind: u8,
    pieces: &[&[u8]],
    zeros: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let content: usize = pieces.iter().map(|piece| piece.len()).sum();
    let plaintext = content.saturating_add(zeros).saturating_add(1);
    let ciphertext = plaintext.saturating_add(TAG_LEN);
    let len = u16::try_from(ciphertext)
        .map_err(|_| Error::Unreachable("a record fits a u16"))?
        .to_be_bytes();
    out.reserve(ciphertext.saturating_add(2));
    out.extend_from_slice(&len);
    let start = out.len();
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    out.push(kind);
    out.resize(start.saturating_add(plaintext), 0);
    let message = out.get_mut(start..).ok_or(Error::Unreachable("just written"))?;
    let tag = direction.cipher.seal_detached(&direction.nonce(), &len, message)?;
    out.extend_from_slice(&tag);
    direction.count(ciphertext as u64);
    Ok(())
}

/// The receiving half of a session.
pub struct Opener {
    direction: Option<Direction>,
    idle: u32,
    /// No record has come yet.
    untouched: bool,
}

/// What a record held.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened<'a> {
    /// Content, maybe empty.
    Data(&'a [u8]),
    /// The authenticated close: the stream is complete.
    Close(CloseReason),
    /// Nothing for the reader: padding or a new key.
    Nothing,
}

impl Opener {
    pub(crate) fn new(suite: Suite, key: Secret<32>) -> Result<Self, Error> {
        Ok(Self { direction: Some(Direction::new(suite, key, LIMITS)?), idle: 0, untouched: true })
    }

    /// Whether more can be received.
    pub fn is_open(&self) -> bool {
        self.direction.is_some()
    }

    /// Whether no record was opened yet: only then may a refusal come instead of one.
    pub fn is_untouched(&self) -> bool {
        self.untouched && self.is_open()
    }

    /// Opens one record, without its length, in place.
    ///
    /// # Errors
    /// [`Error::Record`] for whatever cause; every later call gives [`Error::Closed`].
    pub fn open<'a>(&mut self, ciphertext: &'a mut [u8]) -> Result<Opened<'a>, Error> {
        let mut direction = self.direction.take().ok_or(Error::Closed)?;
        self.untouched = false;
        let (kind, content) = open_in(&mut direction, ciphertext).ok_or(Error::Record)?;
        let opened = match (kind, content) {
            (TYPE_DATA, content) => Opened::Data(content),
            (TYPE_CLOSE, [reason]) => return Ok(Opened::Close(CloseReason::from_u8(*reason))),
            (TYPE_REKEY, []) => {
                direction.rekey()?;
                Opened::Nothing
            }
            (TYPE_PAD, []) => Opened::Nothing,
            _ => return Err(Error::Record),
        };
        // REC-9
        self.idle = match opened {
            Opened::Data([_, ..]) => 0,
            _ => self.idle.saturating_add(1),
        };
        if self.idle > MAX_IDLE_RECORDS {
            return Err(Error::Record);
        }
        self.direction = Some(direction);
        Ok(opened)
    }
}

/// Decrypts in place and splits type from content. `None` for whatever cause.
fn open_in<'a>(direction: &mut Direction, ciphertext: &'a mut [u8]) -> Option<(u8, &'a [u8])> {
    let len = u16::try_from(ciphertext.len()).ok()?;
    let ciphertext_len = u64::from(len);
    let (message, tag) = ciphertext.split_last_chunk_mut::<TAG_LEN>()?;
    if !direction.has_room(ciphertext_len) {
        return None;
    }
    let nonce = direction.nonce();
    direction.cipher.open_detached(&nonce, &len.to_be_bytes(), message, tag).ok()?;
    // REC-3: the type is the last byte that is not zero.
    let end = message.iter().rposition(|byte| *byte != 0)?;
    let (content, [kind, ..]) = message.split_at_checked(end)? else { return None };
    // REC-5: the last record under a key is its rekey.
    if direction.at_last_record() && *kind != TYPE_REKEY {
        return None;
    }
    direction.count(ciphertext_len);
    Some((*kind, content))
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("open", &self.is_open()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("open", &self.is_open()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
