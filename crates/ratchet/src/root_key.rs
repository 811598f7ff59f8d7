//! The root key, from which every chain comes.
//!
//! ```text
//! SK ──▶ rk | HK_A | NHK_B
//! rk, X25519        ──▶ rk' | ck | nhk          RATCHET_ROOT
//! rk, X25519 | k_e  ──▶ rk' | ck | nhk          RATCHET_ROOT_PQ
//! ```

use sealwire_core::{Suite, kdf, kem::SharedSecret, label::Label, secret::Secret};
use zeroize::Zeroizing;

use crate::{
    Agreed, Error, chain_key::ChainKey, header::HeaderKey, kem_ratchet::EpochSecret,
    session::SessionId,
};

/// The salt where there is no other.
const NO_SALT: [u8; kdf::HASH_LEN] = [0; kdf::HASH_LEN];

/// The root key between two steps.
pub(crate) struct RootKey(Secret<32>);

/// What an agreement starts a session with.
pub(crate) struct Start {
    pub(crate) id: SessionId,
    pub(crate) root: RootKey,
    /// HK_A, under which the initiator's first chain hides its headers.
    pub(crate) initiator: HeaderKey,
    /// NHK_B, the same for the responder's.
    pub(crate) responder: HeaderKey,
}

/// What a root step gives.
pub(crate) struct Turned {
    pub(crate) root: RootKey,
    pub(crate) chain: ChainKey,
    /// Hides the headers of the next chain in this direction.
    pub(crate) next_header: HeaderKey,
}

impl Start {
    // RAT-5
    pub(crate) fn new(agreed: &Agreed) -> Result<Self, Error> {
        let secret = agreed.sk.expose();
        let info = Label::RATCHET_START.context(Some(agreed.suite), &[])?;
        let [root, initiator, responder] = thirds(&kdf::hkdf(&NO_SALT, secret, &info));
        let info = Label::RATCHET_SESSION_ID.context(Some(agreed.suite), &[])?;
        let id = kdf::hkdf::<16>(&NO_SALT, secret, &info);
        Ok(Self {
            id: SessionId::from_bytes(*id.expose()),
            root: RootKey(root),
            initiator: HeaderKey::new(initiator),
            responder: HeaderKey::new(responder),
        })
    }
}

impl RootKey {
    pub(crate) fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// One step, with the secret of a KEM epoch where one is mixed in.
    // RAT-8
    pub(crate) fn step(
        &self,
        suite: Suite,
        dh: &SharedSecret,
        kem: Option<&EpochSecret>,
    ) -> Result<Turned, Error> {
        let mut input = Zeroizing::new([0; 64]);
        let (first, second) = input.split_at_mut(32);
        first.copy_from_slice(dh.expose());
        let (label, input) = match kem {
            None => (Label::RATCHET_ROOT, &*first),
            Some(kem) => {
                second.copy_from_slice(kem.expose());
                (Label::RATCHET_ROOT_PQ, input.as_slice())
            }
        };
        let info = label.context(Some(suite), &[])?;
        let [root, chain, header] = thirds(&kdf::hkdf(self.0.expose(), input, &info));
        Ok(Turned {
            root: Self(root),
            chain: ChainKey::new(chain),
            next_header: HeaderKey::new(header),
        })
    }
}

fn thirds(output: &Secret<96>) -> [Secret<32>; 3] {
    let (thirds, _) = output.expose().as_chunks::<32>();
    core::array::from_fn(|index| {
        Secret::init_with(|out| {
            if let Some(third) = thirds.get(index) {
                *out = *third;
            }
        })
    })
}
