//! Cards written field by field, sound or not, without the encoder under test.

use minicbor::{Encode, Encoder};
use sealwire_core::{KeyStore, MemoryKeyStore, Timestamp, kdf, keystore::KxId, label::Label};
use sealwire_identity::{AgentId, Error, IdentityCard};
use sealwire_testkit::rng::SeededRng;

pub(crate) const DAY: u64 = 24 * 60 * 60;
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Byte strings of the same key store in every run.
pub(crate) fn keys(seed: u64) -> MemoryKeyStore {
    MemoryKeyStore::generate(&mut SeededRng::new(seed)).expect("randomness")
}

pub(crate) fn id(keys: &MemoryKeyStore) -> AgentId {
    AgentId::from_key(keys.identity())
}

/// The fields of a card by their index, nothing checked.
#[derive(Clone, Debug, Encode)]
#[cbor(array)]
pub(crate) struct RawCard {
    #[n(0)]
    pub(crate) id: String,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) log_head: Option<Vec<u8>>,
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) identity_key: Vec<u8>,
    #[n(3)]
    pub(crate) kx_id: u32,
    #[cbor(n(4), with = "minicbor::bytes")]
    pub(crate) exchange_key: Vec<u8>,
    #[cbor(n(5), with = "minicbor::bytes")]
    pub(crate) kem_key: Vec<u8>,
    #[cbor(n(6), with = "minicbor::bytes")]
    pub(crate) xwing_key: Vec<u8>,
    #[cbor(n(7), with = "minicbor::bytes")]
    pub(crate) suites: Vec<u8>,
    #[n(8)]
    pub(crate) home_relay: Option<String>,
    #[cbor(n(9), with = "minicbor::bytes")]
    pub(crate) contact_mailbox: Option<Vec<u8>>,
    #[cbor(n(10), with = "minicbor::bytes")]
    pub(crate) contact_token: Option<Vec<u8>>,
    #[n(11)]
    pub(crate) sequence: u64,
    #[n(12)]
    pub(crate) not_before: u64,
    #[n(13)]
    pub(crate) not_after: u64,
}

impl RawCard {
    /// A sound card of these keys, valid for a day from `NOW`.
    pub(crate) fn of(keys: &MemoryKeyStore) -> Self {
        let public = keys.public(KxId::MIN).expect("the first set");
        Self {
            id: id(keys).to_string(),
            log_head: None,
            identity_key: keys.identity().as_bytes().to_vec(),
            kx_id: 1,
            exchange_key: public.handshake.as_bytes().to_vec(),
            kem_key: public.kem.as_bytes().to_vec(),
            xwing_key: [&public.envelope_kem.as_bytes()[..], public.envelope.as_bytes()].concat(),
            suites: vec![1, 2],
            home_relay: None,
            contact_mailbox: None,
            contact_token: None,
            sequence: 1,
            not_before: NOW.as_secs(),
            not_after: NOW.plus(DAY).as_secs(),
        }
    }

    /// As above, changed.
    pub(crate) fn with(keys: &MemoryKeyStore, change: impl FnOnce(&mut Self)) -> Self {
        let mut raw = Self::of(keys);
        change(&mut raw);
        raw
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("a Vec takes everything")
    }

    /// The whole card, with a good signature.
    pub(crate) fn sign(&self, keys: &MemoryKeyStore) -> Vec<u8> {
        signed(Label::CARD, keys, &self.body())
    }

    /// Reads and verifies the card at `NOW`, as a peer would.
    pub(crate) fn judge(&self, keys: &MemoryKeyStore) -> Result<IdentityCard, Error> {
        judge(&self.sign(keys))
    }
}

/// Reads and verifies a card at `NOW`.
pub(crate) fn judge(bytes: &[u8]) -> Result<IdentityCard, Error> {
    Ok(IdentityCard::from_bytes(bytes)?.verify(NOW)?.as_verified().clone())
}

/// A frame around any body, with a good signature.
pub(crate) fn signed(label: Label, keys: &MemoryKeyStore, body: &[u8]) -> Vec<u8> {
    let message = label.context(None, &[body]).expect("a short body");
    let signature = keys.sign(&message).expect("keys in memory");
    frame(body, signature.as_bytes())
}

pub(crate) fn frame(body: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(vec![1]);
    encoder.array(2).and_then(|e| e.bytes(body)?.bytes(signature)).expect("a Vec");
    encoder.into_writer()
}

/// The did:key of any 32 bytes.
pub(crate) fn did_key(key: &[u8]) -> String {
    format!("did:key:z{}", bs58::encode([&[0xED, 0x01], key].concat()).into_string())
}

/// The same signature with S + L in the place of S: valid wherever S is not checked.
pub(crate) fn malleate(signature: &mut [u8]) {
    const L: [u8; 32] = [
        0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (s, l) in signature[32..].iter_mut().zip(L) {
        let sum = u16::from(*s) + u16::from(l) + carry;
        *s = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
}

/// Hex of SHA-256, for snapshots.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(kdf::sha256(&[bytes]))
}
