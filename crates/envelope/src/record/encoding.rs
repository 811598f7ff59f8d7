//! Key records as bytes: `version 1 | CBOR [object, tenant digest, header digest, slots]`, with the
//! sealer behind the slots where there is one.

use minicbor::bytes::{ByteArray, ByteSlice};
use sealwire_core::{
    DecodeError, DecodeReason, Timestamp,
    codec::{Reader, from_cbor, to_cbor},
    keys::Signature,
};

use super::{KeyRecord, SealerStatement, Slot};
use crate::{
    ObjectId, WrapBinding,
    kms::{KeyRef, KeyVersion, Provider, Wrapped},
};

/// What errors call a key record.
const WHAT: &str = "key record";

const VERSION: u8 = 1;

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Record<'b> {
    #[n(0)]
    object: ByteArray<16>,
    #[n(1)]
    tenant: ByteArray<32>,
    #[n(2)]
    header: ByteArray<32>,
    #[b(3)]
    slots: Vec<EncodedSlot<'b>>,
    #[b(4)]
    sealer: Option<EncodedSealer<'b>>,
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct EncodedSlot<'b> {
    #[b(0)]
    provider: &'b str,
    #[b(1)]
    key: &'b str,
    #[b(2)]
    version: &'b str,
    #[b(3)]
    algorithm: &'b str,
    #[b(4)]
    ciphertext: &'b ByteSlice,
    #[n(5)]
    created: u64,
    #[n(6)]
    rewrapped: u64,
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct EncodedSealer<'b> {
    #[b(0)]
    id: &'b ByteSlice,
    #[n(1)]
    card: ByteArray<32>,
    #[n(2)]
    signature: ByteArray<64>,
}

impl KeyRecord {
    /// The record as it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { binding, slots, sealer } = self;
        let mut bytes = vec![VERSION];
        bytes.extend(to_cbor(&Record {
            object: ByteArray::from(*binding.object().as_bytes()),
            tenant: ByteArray::from(*binding.tenant_digest()),
            header: ByteArray::from(*binding.header_digest()),
            slots: slots.iter().map(encode_slot).collect(),
            sealer: sealer.as_ref().map(encode_sealer),
        }));
        bytes
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`KeyRecord::to_bytes`] does not give.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        // ENV-16
        if bytes.len() > Self::MAX_LEN {
            return Err(reader.error(DecodeReason::TooLong(Self::MAX_LEN)));
        }
        reader.version(VERSION)?;
        let Record { object, tenant, header, slots, sealer } =
            from_cbor(WHAT, reader.rest(), Self::MAX_LEN)?;
        let slots: Vec<Slot> = slots.iter().map(decode_slot).collect::<Result<_, _>>()?;
        check(&slots).map_err(invalid)?;
        let binding = WrapBinding::from_parts(ObjectId::from_bytes(*object), *tenant, *header);
        let sealer = sealer.as_ref().map(decode_sealer).transpose()?;
        Ok(Self { binding, slots, sealer })
    }
}

/// The rules that slots keep among themselves.
// ENV-17, ENV-22
pub(super) fn check(slots: &[Slot]) -> Result<(), &'static str> {
    if slots.is_empty() || slots.len() > KeyRecord::MAX_SLOTS {
        return Err("holds 1 to 32 slots");
    }
    for (index, Slot { wrapped, created, rewrapped }) in slots.iter().enumerate() {
        let Wrapped { key, version: _, algorithm, ciphertext } = wrapped;
        if algorithm.is_empty()
            || algorithm.len() > Wrapped::MAX_ALGORITHM_LEN
            || !algorithm.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err("the name of an algorithm has 1 to 64 visible characters of ASCII");
        }
        if ciphertext.is_empty() || ciphertext.len() > Wrapped::MAX_CIPHERTEXT_LEN {
            return Err("a wrapped key has 1 to 6,144 bytes");
        }
        // ENV-25
        if rewrapped < created {
            return Err("no key is rewrapped before it is wrapped");
        }
        if slots.iter().take(index).any(|other| &other.wrapped.key == key) {
            return Err("no key has two slots");
        }
    }
    let agent = slots.iter().any(|slot| slot.wrapped.key.provider() == Provider::Agent);
    if agent && slots.iter().any(|slot| slot.wrapped.is_classical_public_key()) {
        return Err("no agent's slot stands beside one of a classical public key");
    }
    Ok(())
}

const fn invalid(rule: &'static str) -> DecodeError {
    DecodeError::new(WHAT, DecodeReason::Invalid(rule))
}

fn encode_slot(slot: &Slot) -> EncodedSlot<'_> {
    let Slot { wrapped, created, rewrapped } = slot;
    let Wrapped { key, version, algorithm, ciphertext } = wrapped;
    EncodedSlot {
        provider: key.provider().as_str(),
        key: key.key(),
        version: version.as_str(),
        algorithm,
        ciphertext: ciphertext.as_slice().into(),
        created: created.as_secs(),
        rewrapped: rewrapped.as_secs(),
    }
}

fn decode_slot(slot: &EncodedSlot<'_>) -> Result<Slot, DecodeError> {
    let EncodedSlot { provider, key, version, algorithm, ciphertext, created, rewrapped } = slot;
    let provider = Provider::from_name(provider).ok_or(invalid("names a known provider"))?;
    let wrapped = Wrapped {
        key: KeyRef::new(provider, key).map_err(|_| invalid("the name of a key"))?,
        version: KeyVersion::new(version).map_err(|_| invalid("the version of a key"))?,
        algorithm: (*algorithm).to_owned(),
        ciphertext: ciphertext.to_vec(),
    };
    let (created, rewrapped) = (Timestamp::from_secs(*created), Timestamp::from_secs(*rewrapped));
    Ok(Slot { wrapped, created, rewrapped })
}

fn encode_sealer(sealer: &SealerStatement) -> EncodedSealer<'_> {
    let SealerStatement { id, card, signature } = sealer;
    let signature = ByteArray::from(*signature.as_bytes());
    EncodedSealer { id: id.as_slice().into(), card: ByteArray::from(*card), signature }
}

fn decode_sealer(sealer: &EncodedSealer<'_>) -> Result<SealerStatement, DecodeError> {
    let EncodedSealer { id, card, signature } = sealer;
    if id.is_empty() || id.len() > SealerStatement::MAX_ID_LEN {
        return Err(invalid("a sealer's id has 1 to 512 bytes"));
    }
    let signature = Signature::from_bytes(signature.as_slice())?;
    Ok(SealerStatement { id: id.to_vec(), card: **card, signature })
}
