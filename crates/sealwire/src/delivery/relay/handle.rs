//! What an agent keeps of a mailbox at a relay, and what it tells peers of it.

use sealwire_core::{
    Timestamp,
    keys::SigningKey,
    rng::{draw, draw_distinct},
    secret::Secret,
};
use sealwire_relay::{Capability, ReceiveId, SendId, Token, client::RelayUrl};
use zeroize::Zeroizing;

use crate::delivery::{Address, DeliveryError, MailboxHandle};

/// `version 1 | seed of the mailbox's key 32 | send id 16 | secret of its capabilities 32`
pub(super) struct Handle {
    seed: Secret<32>,
    send: SendId,
    secret: Secret<32>,
}

const VERSION: u8 = 1;
const LEN: usize = 1 + 32 + 16 + 32;

/// What stands between a capability and the URL of its relay.
const AT: char = '@';

impl Handle {
    /// One that shares nothing with any other.
    pub(super) fn draw() -> Result<Self, DeliveryError> {
        let failed = |_| DeliveryError::Refused("the random number generator failed");
        let mut rng = sealwire_custody::system_rng();
        let [seed, secret] = draw_distinct(&mut rng).map_err(failed)?;
        let send = draw::<16>(&mut rng).map_err(failed)?;
        Ok(Self { seed, send: SendId::from_bytes(*send.expose()), secret })
    }

    pub(super) fn parse(handle: &MailboxHandle) -> Result<Self, DeliveryError> {
        Self::read(handle.as_bytes())
            .ok_or(DeliveryError::Refused("the mailbox is not one of a relay"))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        let (version, rest) = bytes.split_first()?;
        let (seed, rest) = rest.split_first_chunk::<32>()?;
        let (send, secret) = rest.split_first_chunk::<16>()?;
        if *version != VERSION {
            return None;
        }
        let seed = Secret::from_slice(seed).ok()?;
        Some(Self {
            seed,
            send: SendId::from_bytes(*send),
            secret: Secret::from_slice(secret).ok()?,
        })
    }

    pub(super) fn to_mailbox(&self) -> Result<MailboxHandle, DeliveryError> {
        let Self { seed, send, secret } = self;
        // Full capacity first: growing would leave copies of the secrets behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LEN));
        bytes.push(VERSION);
        bytes.extend_from_slice(seed.expose());
        bytes.extend_from_slice(send.as_bytes());
        bytes.extend_from_slice(secret.expose());
        MailboxHandle::new(bytes)
    }

    /// What reads the mailbox.
    pub(super) fn key(&self) -> SigningKey {
        SigningKey::from_seed(&self.seed)
    }

    pub(super) fn id(&self) -> ReceiveId {
        ReceiveId::of(self.key().public())
    }

    pub(super) fn send(&self) -> SendId {
        self.send
    }

    /// A copy of the secret, for the relay.
    pub(super) fn secret(&self) -> Result<Secret<32>, DeliveryError> {
        Secret::from_slice(self.secret.expose())
            .map_err(|_| DeliveryError::Refused("a secret has 32 bytes"))
    }

    /// An address with a fresh capability: `v1.<token>.<expiry>.<mac>`, and behind it `@` and the
    /// relay if it is to be named.
    pub(super) fn address(
        &self,
        expiry: Timestamp,
        relay: Option<&RelayUrl>,
    ) -> Result<Address, DeliveryError> {
        let token = draw::<16>(&mut sealwire_custody::system_rng());
        let token =
            token.map_err(|_| DeliveryError::Refused("the random number generator failed"))?;
        let token = Token::from_bytes(*token.expose());
        let capability = Capability::mint(&self.secret, &self.send, &token, expiry)
            .map_err(|_| DeliveryError::Refused("the clock is beyond all bounds"))?;
        let mut text = capability.to_text();
        if let Some(relay) = relay {
            text = format!("{text}{AT}{relay}");
        }
        Address::new(self.send.as_bytes(), text.as_bytes())
    }
}

/// The parts of an address that a peer gave.
pub(super) fn parse_address(
    address: &Address,
) -> Result<(SendId, Capability, Option<RelayUrl>), DeliveryError> {
    let refused = || DeliveryError::Refused("the peer's mailbox is not one of a relay");
    let send = address.mailbox().try_into().map_err(|_| refused())?;
    let text = core::str::from_utf8(address.capability()).map_err(|_| refused())?;
    let (capability, relay) = match text.split_once(AT) {
        Some((capability, relay)) => (capability, Some(relay)),
        None => (text, None),
    };
    let relay = relay.map(RelayUrl::parse).transpose().map_err(|_| refused())?;
    let capability = Capability::parse(capability).map_err(|_| refused())?;
    Ok((SendId::from_bytes(send), capability, relay))
}
