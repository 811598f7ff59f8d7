//! What stands before the chunks of an object, in clear.

use sealwire_core::{
    DecodeError, DecodeReason, Suite,
    codec::{Reader, Writer},
    label::{self, Label},
};

use crate::{
    Error, ObjectId, WrapBinding,
    chunks::{COMMITMENT_LEN, SALT_LEN},
    context::{Pairs, TENANT},
};

/// What errors call a header.
const WHAT: &str = "object";

/// The first eight bytes of every object. The first is no character of any text, and a transfer
/// that changes ends of lines changes the last two.
pub const MAGIC: [u8; 8] = *b"\x89SEALW\r\n";

const VERSION: u8 = 1;

/// The header of an object: which suite, which object, and the stored context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    suite: Suite,
    object: ObjectId,
    stored: Pairs,
    bytes: Vec<u8>,
}

/// All of an object that stands before its chunks: header, salt and commitment. None of it is
/// secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    header: Header,
    salt: [u8; SALT_LEN],
    commitment: [u8; COMMITMENT_LEN],
}

impl Header {
    /// Length of a header without context, in bytes.
    pub const FIXED_LEN: usize = 32;
    /// Length of the longest header, in bytes.
    pub const MAX_LEN: usize = Self::FIXED_LEN + Pairs::MAX_LEN;

    pub(crate) fn new(suite: Suite, object: ObjectId, stored: &Pairs) -> Self {
        let context = stored.to_bytes();
        let mut writer = Writer::new();
        // ENV-1
        writer.bytes(&MAGIC).u8(VERSION).u8(suite.id()).u16(0).bytes(object.as_bytes());
        // At most 8 KiB, as `Pairs` has it.
        writer.u32(u32::try_from(context.len()).unwrap_or(u32::MAX)).bytes(&context);
        Self { suite, object, stored: stored.clone(), bytes: writer.into_bytes() }
    }

    /// Reads a whole header.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (header, rest) = Self::split(bytes)?;
        if !rest.is_empty() {
            return Err(DecodeError::new(WHAT, DecodeReason::Trailing));
        }
        Ok(header)
    }

    /// Reads a header, and gives what stands behind it.
    fn split(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        // ENV-2
        if reader.array()? != &MAGIC {
            return Err(reader.error(DecodeReason::Invalid("begins with the bytes of an object")));
        }
        reader.version(VERSION)?;
        let suite = Suite::from_u8(reader.u8()?)?;
        if reader.u16()? != 0 {
            return Err(reader.error(DecodeReason::Invalid("the reserved bytes are zero")));
        }
        let object = ObjectId::from_bytes(*reader.array()?);
        let len = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
        if len > Pairs::MAX_LEN {
            return Err(reader.error(DecodeReason::TooLong(Pairs::MAX_LEN)));
        }
        let stored = Pairs::from_bytes(reader.take(len)?)?;
        // ENV-4
        if stored.get(TENANT).is_some() {
            return Err(reader.error(DecodeReason::Invalid("the tenant is never stored")));
        }
        let rest = reader.rest();
        let (header, _) = bytes.split_at(bytes.len().saturating_sub(rest.len()));
        Ok((Self { suite, object, stored, bytes: header.to_vec() }, rest))
    }

    /// The suite.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The object's name.
    pub const fn object(&self) -> ObjectId {
        self.object
    }

    /// The stored part of the context.
    pub const fn stored(&self) -> &Pairs {
        &self.stored
    }

    /// The encoded header.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// ctx, to which the stream is bound: `label || header || required context`.
    pub(crate) fn stream_context(&self, required: &Pairs) -> Result<label::Context, Error> {
        // ENV-3, ENV-6
        if !self.stored.fit_beside(required) {
            return Err(Error::Open);
        }
        let fields = [self.as_bytes(), &required.to_bytes()];
        Ok(Label::ENVELOPE_BODY.context(Some(self.suite), &fields)?)
    }

    /// W, to which the wraps of the object's key are bound.
    ///
    /// # Errors
    /// None: a tenant has at most 8 KiB.
    pub fn binding(&self, required: &Pairs) -> Result<WrapBinding, Error> {
        // ENV-15
        Ok(WrapBinding::new(self.object, required.tenant(), self.as_bytes())?)
    }
}

impl Head {
    /// Length of the longest head, in bytes: whoever has so much of an object, or all of a
    /// shorter one, can read it.
    pub const MAX_LEN: usize = Header::MAX_LEN + SALT_LEN + COMMITMENT_LEN;

    pub(crate) const fn new(
        header: Header,
        salt: [u8; SALT_LEN],
        commitment: [u8; COMMITMENT_LEN],
    ) -> Self {
        Self { header, salt, commitment }
    }

    /// Reads what stands before the chunks, and gives what follows it.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeReason::Truncated`] where the head is not whole yet.
    pub fn split(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        let (header, rest) = Header::split(bytes)?;
        let mut reader = Reader::new(WHAT, rest);
        let (salt, commitment) = (*reader.array()?, *reader.array()?);
        Ok((Self { header, salt, commitment }, reader.rest()))
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The salt.
    pub const fn salt(&self) -> &[u8; SALT_LEN] {
        &self.salt
    }

    /// The commitment to the key and to all that the stream is bound to.
    pub const fn commitment(&self) -> &[u8; COMMITMENT_LEN] {
        &self.commitment
    }

    /// Length in bytes: where the chunks begin.
    pub fn encoded_len(&self) -> usize {
        self.header.as_bytes().len().saturating_add(SALT_LEN).saturating_add(COMMITMENT_LEN)
    }

    /// The encoded head.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.header.as_bytes(), &self.salt, &self.commitment].concat()
    }
}
