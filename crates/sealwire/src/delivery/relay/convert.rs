//! A relay's types and the facade's.

use std::io;

use sealwire_ratchet::prekey::{Kind, Unclaimed};
use sealwire_relay::{Problem, client::ClientError, wire};

use crate::delivery::{
    Arrived, Claimed, ClaimedKey, DeliveryError, Device, MessageId, PrekeyPage, Published,
};

/// What went wrong, for whoever only wants to know whether to try again. What the relay or its
/// owner can put right is tried again: a message is not given up because a certificate expired.
pub(crate) fn failed(error: ClientError) -> DeliveryError {
    let problem = match error {
        ClientError::Problem(problem) => problem,
        ClientError::Clock(skew) => {
            return DeliveryError::Clock { seconds: skew.seconds(), is_ahead: skew.is_ahead() };
        }
        ClientError::Misuse(what) => return DeliveryError::Refused(what),
        ClientError::Unresolved(_)
        | ClientError::Unreachable(_)
        | ClientError::Untrusted(_)
        | ClientError::Plain
        | ClientError::Protocol(_)
        | ClientError::Signing(_)
        | ClientError::Randomness
        | _ => return DeliveryError::Unreachable(io::Error::other(error)),
    };
    match problem {
        Problem::NotFound => DeliveryError::Gone,
        Problem::MailboxFull | Problem::SenderFull => DeliveryError::Full,
        Problem::Rate | Problem::Replayed => DeliveryError::Busy,
        Problem::Stale
        | Problem::Misdirected
        | Problem::TooSlow
        | Problem::Unavailable
        | Problem::Internal => DeliveryError::Unreachable(io::Error::other(error)),
        _ => DeliveryError::Refused(problem.title()),
    }
}

pub(super) fn kind(kind: Kind) -> wire::Kind {
    match kind {
        Kind::X25519 => wire::Kind::X25519,
        Kind::MlKem => wire::Kind::MlKem,
    }
}

pub(super) fn remaining(left: wire::Remaining) -> Unclaimed {
    Unclaimed { x25519: left.x25519, kem: left.kem }
}

impl From<&Device> for sealwire_relay::Device {
    fn from(device: &Device) -> Self {
        Self { agent: device.agent.clone(), number: device.number }
    }
}

impl From<&Published> for wire::Published {
    fn from(published: &Published) -> Self {
        Self { card: published.card.clone(), bundle: published.bundle.clone() }
    }
}

impl From<wire::Published> for Published {
    fn from(published: wire::Published) -> Self {
        Self { card: published.card, bundle: published.bundle }
    }
}

impl From<&PrekeyPage> for wire::Page {
    fn from(page: &PrekeyPage) -> Self {
        let PrekeyPage { kind: _, base: _, not_after, header, keys } = page;
        Self { not_after: *not_after, header: header.clone(), keys: keys.clone() }
    }
}

impl From<wire::Claimed> for Claimed {
    fn from(claimed: wire::Claimed) -> Self {
        let key = |key: wire::ClaimedKey| ClaimedKey { header: key.header, key: key.key };
        Self { x25519: claimed.x25519.map(key), kem: claimed.kem.map(key) }
    }
}

impl From<wire::Message> for Arrived {
    fn from(message: wire::Message) -> Self {
        let wire::Message { sequence, id, frame } = message;
        Self { sequence, message: MessageId::from_bytes(*id.as_bytes()), frame }
    }
}
