//! The signed body of a card.

use sealwire_core::{
    DecodeError, DecodeReason, SuiteSet, Timestamp,
    codec::{from_cbor, to_cbor},
    kem::{self, KemPublic},
    keys::{StaticPublic, VerifyingKey},
    keystore::{ExchangePublics, KxId},
};

use super::{IdentityCard, WHAT, relay};
use crate::{AgentId, Error};

/// Optional fields stand in the middle: the encoder leaves out trailing empty ones.
// CARD-3
#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Raw<'b> {
    #[b(0)]
    id: &'b str,
    #[cbor(b(1), with = "minicbor::bytes")]
    log_head: Option<&'b [u8]>,
    #[cbor(b(2), with = "minicbor::bytes")]
    identity_key: &'b [u8],
    #[n(3)]
    kx_id: u32,
    #[cbor(b(4), with = "minicbor::bytes")]
    exchange_key: &'b [u8],
    #[cbor(b(5), with = "minicbor::bytes")]
    kem_key: &'b [u8],
    #[cbor(b(6), with = "minicbor::bytes")]
    xwing_key: &'b [u8],
    #[cbor(b(7), with = "minicbor::bytes")]
    suites: &'b [u8],
    #[b(8)]
    home_relay: Option<&'b str>,
    #[cbor(b(9), with = "minicbor::bytes")]
    contact_mailbox: Option<&'b [u8]>,
    #[cbor(b(10), with = "minicbor::bytes")]
    contact_token: Option<&'b [u8]>,
    #[n(11)]
    sequence: u64,
    #[n(12)]
    not_before: u64,
    #[n(13)]
    not_after: u64,
}

/// The fields of a card, each checked on its own.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) id: AgentId,
    pub(super) identity_key: VerifyingKey,
    pub(super) kx_id: KxId,
    pub(super) exchange: ExchangePublics,
    pub(super) suites: SuiteSet,
    pub(super) home_relay: Option<String>,
    pub(super) sequence: u64,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Body {
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let refuse = |rule| DecodeError::new(WHAT, DecodeReason::Invalid(rule));
        // CARD-4
        let raw: Raw<'_> = from_cbor(WHAT, bytes, IdentityCard::MAX_LEN)?;
        // CARD-9
        if [raw.log_head, raw.contact_mailbox, raw.contact_token].iter().any(Option::is_some) {
            return Err(refuse(
                "log head, contact mailbox and contact token are empty; a newer release may read them",
            )
            .into());
        }
        // CARD-6: ek || X25519, as X-Wing writes its public key.
        let (envelope_kem, envelope) = raw
            .xwing_key
            .split_at_checked(kem::PUBLIC_LEN)
            .ok_or(refuse("the X-Wing key is 1216 bytes long"))?;
        // CARD-18: one key, one use.
        if raw.exchange_key == envelope || raw.kem_key == envelope_kem {
            return Err(refuse("handshakes and envelopes have keys of their own").into());
        }
        // CARD-5: each key through the type that refuses a bad one. Of an id that is the did:key
        // of this key there is nothing left to read.
        let named = VerifyingKey::from_bytes(raw.identity_key);
        let named = named.map(|key| (AgentId::from_key(&key), key));
        let (id, identity_key) = match named {
            Ok((id, key)) if id.as_str() == raw.id => (id, key),
            named => (AgentId::parse(raw.id)?, named?.1),
        };
        Ok(Self {
            id,
            identity_key,
            kx_id: KxId::new(raw.kx_id).ok_or(refuse("exchange keys are numbered from 1"))?,
            exchange: ExchangePublics {
                handshake: StaticPublic::from_bytes(raw.exchange_key)?,
                kem: KemPublic::from_bytes(raw.kem_key)?,
                envelope: StaticPublic::from_bytes(envelope)?,
                envelope_kem: KemPublic::from_bytes(envelope_kem)?,
            },
            // CARD-7
            suites: SuiteSet::from_bytes(raw.suites)?,
            home_relay: raw.home_relay.map(relay::check).transpose()?.map(str::to_owned),
            sequence: raw.sequence,
            not_before: Timestamp::from_secs(raw.not_before),
            not_after: Timestamp::from_secs(raw.not_after),
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self {
            id,
            identity_key,
            kx_id,
            exchange: ExchangePublics { handshake, kem, envelope, envelope_kem },
            suites,
            home_relay,
            sequence,
            not_before,
            not_after,
        } = self;
        let mut xwing_key = envelope_kem.as_bytes().to_vec();
        xwing_key.extend_from_slice(envelope.as_bytes());
        to_cbor(&Raw {
            id: id.as_str(),
            log_head: None,
            identity_key: identity_key.as_bytes(),
            kx_id: kx_id.get(),
            exchange_key: handshake.as_bytes(),
            kem_key: kem.as_bytes(),
            xwing_key: &xwing_key,
            suites: &suites.to_bytes(),
            home_relay: home_relay.as_deref(),
            contact_mailbox: None,
            contact_token: None,
            sequence: *sequence,
            not_before: not_before.as_secs(),
            not_after: not_after.as_secs(),
        })
    }
}
