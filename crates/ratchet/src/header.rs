//! The header of a message, and the key that hides it.

use sealwire_core::{
    aead::{self, XNONCE_LEN},
    codec::Reader,
    keys::X25519Public,
    secret::Secret,
};

use crate::{Error, limits::MAX_COUNTER};

/// The version of a message.
pub(crate) const VERSION: u8 = 1;
/// The type of a ratchet message; 1 is that of the prefix of a first message.
pub(crate) const TYPE_MESSAGE: u8 = 2;
/// Version and type, in front of every message.
pub(crate) const LEAD: [u8; 2] = [VERSION, TYPE_MESSAGE];
/// A header, in bytes: always the same.
pub(crate) const HEADER_LEN: usize = 45;
/// A sealed header, in bytes.
pub(crate) const SEALED_HEADER_LEN: usize = XNONCE_LEN + HEADER_LEN + aead::TAG_LEN;

/// What the field of the KEM ratchet in a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FieldKind {
    Nothing = 0,
    EncapsulationKey = 1,
    Ciphertext = 2,
}

impl FieldKind {
    fn from_u8(kind: u8) -> Option<Self> {
        [Self::Nothing, Self::EncapsulationKey, Self::Ciphertext]
            .into_iter()
            .find(|known| *known as u8 == kind)
    }
}

/// Where a message stands in the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The public key of the chain.
    pub(crate) dh: X25519Public,
    /// Messages in the sender's chain before this one.
    pub(crate) pn: u32,
    /// Place in this chain, from 0.
    pub(crate) n: u32,
    /// KEM secrets in the root when the chain began.
    pub(crate) epoch: u32,
    pub(crate) kind: FieldKind,
}

impl Header {
    // RAT-1
    pub(crate) fn encode(dh: &[u8; 32], pn: u32, n: u32, epoch: u32, kind: FieldKind) -> Vec<u8> {
        // Room for the tag: the header is sealed in place.
        let mut bytes = Vec::with_capacity(HEADER_LEN + aead::TAG_LEN);
        bytes.extend_from_slice(dh);
        for counter in [pn, n, epoch] {
            bytes.extend_from_slice(&counter.to_be_bytes());
        }
        bytes.push(kind as u8);
        bytes
    }

    /// `None` when it is not as it must be.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new("ratchet header", bytes);
        let dh = X25519Public::from_bytes(reader.array::<32>().ok()?).ok()?;
        let mut counter = || reader.u32().ok().filter(|counter| *counter < MAX_COUNTER);
        let (pn, n, epoch) = (counter()?, counter()?, counter()?);
        let kind = FieldKind::from_u8(reader.u8().ok()?)?;
        reader.finish().ok()?;
        Some(Self { dh, pn, n, epoch, kind })
    }
}

/// Hides the headers of one chain.
pub(crate) struct HeaderKey(Secret<32>);

impl HeaderKey {
    pub(crate) fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Seals `header` in place; the nonce is not yet in front of it.
    pub(crate) fn seal(&self, nonce: &[u8; XNONCE_LEN], header: &mut Vec<u8>) -> Result<(), Error> {
        Ok(aead::xchacha_seal(&self.0, nonce, &LEAD, header)?)
    }

    /// Opens `sealed` into `buffer`; false when it is of another key.
    pub(crate) fn open(&self, sealed: &[u8; SEALED_HEADER_LEN], buffer: &mut Vec<u8>) -> bool {
        let Some((nonce, ciphertext)) = sealed.split_first_chunk() else { return false };
        buffer.clear();
        buffer.extend_from_slice(ciphertext);
        aead::xchacha_open(&self.0, nonce, &LEAD, buffer).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use sealwire_testkit::zero_shared_secret_publics;

    use super::*;

    // attack T1: as a ratchet key.
    #[test]
    fn a_header_with_a_key_that_gives_a_zero_secret_is_refused() {
        let header = |dh: &[u8; 32]| Header::encode(dh, 0, 0, 0, FieldKind::Nothing);
        assert!(Header::decode(&header(&[9; 32])).is_some());
        for public in zero_shared_secret_publics() {
            assert_eq!(Header::decode(&header(&public)), None, "{public:?}");
        }
    }
}
