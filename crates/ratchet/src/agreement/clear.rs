//! What a first message shows: which keys it was made for, and the initiator's public values.

use sealwire_core::{
    DecodeError, DecodeReason, Suite,
    codec::{Reader, Writer},
    kem::{CIPHERTEXT_LEN, KemCiphertext},
    keys::X25519Public,
    keystore::KxId,
};

use crate::prekey::PrekeyId;

pub(crate) const WHAT: &str = "first message";
/// Length of the clear part, in bytes.
pub(crate) const LEN: usize = 3 + 4 * 4 + 32 + CIPHERTEXT_LEN;

const VERSION: u8 = 1;
const TYPE: u8 = 1;

/// The clear part of a first message.
#[derive(Clone)]
pub(crate) struct Clear {
    pub(crate) suite: Suite,
    pub(crate) kx: KxId,
    pub(crate) spk: PrekeyId,
    pub(crate) opk: Option<PrekeyId>,
    pub(crate) kem: PrekeyId,
    pub(crate) ephemeral: X25519Public,
    pub(crate) ciphertext: KemCiphertext,
}

impl Clear {
    // AGR-1
    pub(crate) fn from_bytes(bytes: &[u8; LEN]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        let zero = reader.error(DecodeReason::Invalid("keys are numbered from 1"));
        reader.version(VERSION)?;
        if reader.u8()? != TYPE {
            return Err(reader.error(DecodeReason::Invalid("is of type 1")));
        }
        Ok(Self {
            suite: Suite::from_u8(reader.u8()?)?,
            kx: KxId::new(reader.u32()?).ok_or(zero)?,
            spk: PrekeyId::new(reader.u32()?).ok_or(zero)?,
            opk: PrekeyId::new(reader.u32()?),
            kem: PrekeyId::new(reader.u32()?).ok_or(zero)?,
            ephemeral: X25519Public::from_bytes(reader.take(32)?)?,
            ciphertext: KemCiphertext::from_bytes(reader.rest())?,
        })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { suite, kx, spk, opk, kem, ephemeral, ciphertext } = self;
        let mut writer = Writer::new();
        writer.u8(VERSION).u8(TYPE).u8(suite.id());
        writer.u32(kx.get()).u32(spk.get()).u32(opk.map_or(0, PrekeyId::get)).u32(kem.get());
        writer.bytes(ephemeral.as_bytes()).bytes(ciphertext.as_bytes());
        writer.into_bytes()
    }
}
