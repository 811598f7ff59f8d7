//! The layout of a file sealed under a passphrase, without I/O. Specified in
//! docs/spec/key-file.md.

use rand_core::TryCryptoRng;
use sealwire_core::{
    DecodeReason, aead,
    codec::{Reader, Writer},
    rng,
    secret::Secret,
};
use zeroize::Zeroizing;

use crate::{Error, Params, Passphrase, passphrase::SALT_LEN};

const VERSION: u8 = 1;
/// Argon2id, version 1.3.
const ARGON2ID: u8 = 1;
const HEADER_LEN: usize = 8 + 1 + 1 + 4 + 4 + 1 + SALT_LEN + aead::XNONCE_LEN + 2;

/// What kind of file it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// What it begins with.
    pub(crate) magic: [u8; 8],
    /// What errors call it.
    pub(crate) what: &'static str,
    /// The most that is sealed in it, in bytes.
    pub(crate) max_contents: usize,
}

impl Kind {
    /// Length of the longest file, in bytes.
    pub(crate) const fn max_len(&self) -> usize {
        HEADER_LEN + self.max_sealed()
    }

    const fn max_sealed(&self) -> usize {
        self.max_contents + aead::TAG_LEN
    }
}

/// A file as it lies on the disk: parameters in clear, contents sealed.
///
/// ```text
/// magic 8 | version u8 | kdf u8 | memory KiB u32 | passes u32 | lanes u8
///   | salt 16 | nonce 24 | length u16 | sealed
/// ```
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SealedFile {
    pub(crate) kind: &'static Kind,
    pub(crate) params: Params,
    pub(crate) salt: [u8; SALT_LEN],
    pub(crate) nonce: [u8; aead::XNONCE_LEN],
    pub(crate) sealed: Vec<u8>,
}

impl SealedFile {
    pub(crate) fn from_bytes(kind: &'static Kind, bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(kind.what, bytes);
        if reader.array()? != &kind.magic {
            // KEY-1
            return Err(reader.error(DecodeReason::Invalid("it does not begin like one")).into());
        }
        reader.version(VERSION)?; // KEY-3
        if bytes.len() > kind.max_len() {
            return Err(reader.error(DecodeReason::TooLong(kind.max_len())).into());
        }
        if reader.u8()? != ARGON2ID {
            // KEY-4
            let rule = DecodeReason::Invalid("sealed with an unknown key derivation");
            return Err(reader.error(rule).into());
        }
        let params = Params::bounded(reader.u32()?, reader.u32()?, reader.u8()?)
            .map_err(|rule| reader.error(DecodeReason::Invalid(rule)))?;
        let salt = *reader.array()?;
        let nonce = *reader.array()?;
        let sealed = reader.bytes16(kind.max_sealed())?.to_vec();
        if sealed.len() <= aead::TAG_LEN {
            return Err(reader.error(DecodeReason::Invalid("nothing is sealed in it")).into());
        }
        reader.finish()?;
        Ok(Self { kind, params, salt, nonce, sealed })
    }

    /// The bytes of the file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header(self.sealed.len());
        bytes.extend_from_slice(&self.sealed);
        bytes
    }

    /// Seals `contents` under a new salt and a new nonce.
    pub(crate) fn seal<R: TryCryptoRng + ?Sized>(
        kind: &'static Kind,
        contents: Zeroizing<Vec<u8>>,
        passphrase: &Passphrase,
        params: Params,
        rng: &mut R,
    ) -> Result<Self, Error> {
        // KEY-9
        let salt = *rng::draw::<SALT_LEN>(rng)?.expose();
        let nonce = *rng::draw::<{ aead::XNONCE_LEN }>(rng)?.expose();
        if nonce.starts_with(&salt) {
            return Err(sealwire_core::Error::Randomness.into());
        }
        let key = passphrase.derive(params, &salt)?;
        Self { kind, params, salt, nonce, sealed: Vec::new() }.seal_with(&key, contents)
    }

    /// Opens the seal. Whoever calls this keeps what it returns inside the crate.
    pub(crate) fn open(&self, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.open_with(&passphrase.derive(self.params, &self.salt)?)
    }

    /// Whether the other file was sealed with the same salt or nonce.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        self.salt == other.salt || self.nonce == other.nonce
    }

    pub(crate) fn seal_with(
        mut self,
        key: &Secret<32>,
        mut contents: Zeroizing<Vec<u8>>,
    ) -> Result<Self, Error> {
        let header = self.header(contents.len().saturating_add(aead::TAG_LEN));
        aead::xchacha_seal(key, &self.nonce, &header, &mut contents)?;
        self.sealed = core::mem::take(&mut *contents);
        Ok(self)
    }

    pub(crate) fn open_with(&self, key: &Secret<32>) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut message = Zeroizing::new(self.sealed.clone());
        let header = self.header(self.sealed.len());
        // KEY-10
        aead::xchacha_open(key, &self.nonce, &header, &mut message).map_err(|_| Error::Open)?;
        Ok(message)
    }

    /// All that comes before the sealed part, which is its associated data.
    // KEY-8
    fn header(&self, sealed_len: usize) -> Vec<u8> {
        let Self { kind, params, salt, nonce, sealed: _ } = self;
        let mut writer = Writer::new();
        writer.bytes(&kind.magic).u8(VERSION).u8(ARGON2ID);
        writer.u32(params.memory_kib()).u32(params.passes()).u8(params.lanes());
        writer.bytes(salt).bytes(nonce);
        // Within the bound of its kind, both when it was read and when it was sealed.
        writer.u16(u16::try_from(sealed_len).unwrap_or(u16::MAX));
        writer.into_bytes()
    }
}
