//! Agreeing on a secret with a peer that is offline: X3DH with ML-KEM-768, the shape of PQXDH.
//!
//! ```text
//!  IK_A·SPK_B  EK_A·IK_B  EK_A·SPK_B  EK_A·OPK_B   Encaps(PQPK_B)
//!      DH1        DH2        DH3      [DH4]             SS
//!       │          └──────────┴─────────┴──────┬────────┘
//!       │                                      ├──▶ K | N, seals who A is
//!       └──────────────────────────────────────┴──▶ SK
//! ```
//!
//! ```text
//! initiator   Bundle, OneTimeKeys ── initiate ──▶ Initiated { agreed, prekey, prefix }
//! responder   FirstMessage ── Prekeys::find, respond ──▶ Claim ── prove ──▶ Accepted { agreed, .. }
//! ```
//!
//! The responder's steps change nothing. A claim is no more than that until the first body of
//! the session has opened, too: only then are one-time keys consumed, and the peer is reported.

mod clear;
mod initiator;
mod responder;
mod sealed;

use core::fmt;
use std::sync::Arc;

use sealwire_core::{
    KeyStore, Suite,
    kdf::{self, HASH_LEN},
    kem::{KemCiphertext, KemPublic, SharedSecret},
    keys::{StaticPublic, VerifyingKey, X25519Public},
    keystore::KxId,
    label::{Context, Label},
    secret::Secret,
};
use zeroize::Zeroizing;

use crate::Error;

pub(crate) use clear::Clear;
pub use initiator::{Initiated, initiate};
pub use responder::{Accepted, Claim, FirstMessage, PeerIdentity, Relation, respond};
pub use sealed::{Introduced, MAX_SEALED, ReplyTo};

/// This side of an agreement: its keys and what it says of itself.
#[derive(Clone, Debug)]
pub struct Local {
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) kx: KxId,
    pub(crate) introduction: Introduction,
}

/// What an initiator says of itself, sealed. A responder needs `id` and `device` only.
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the caller")]
pub struct Introduction {
    /// The agent id, as bytes. Both sides sign or check it.
    pub id: Vec<u8>,
    /// The device.
    pub device: u32,
    /// The signed card.
    pub card: Vec<u8>,
    /// The identity log or its head, where the id has one.
    pub log: Option<Vec<u8>>,
    /// The evidence list.
    pub evidence: Vec<u8>,
}

impl Local {
    /// Keys, the set of exchange keys that is used, and the introduction.
    pub fn new(keys: Arc<dyn KeyStore>, kx: KxId, introduction: Introduction) -> Self {
        Self { keys, kx, introduction }
    }
}

/// The secrets that both sides can compute before the responder knows who writes.
pub(crate) struct Shared {
    pub(crate) dh2: SharedSecret,
    pub(crate) dh3: SharedSecret,
    pub(crate) dh4: Option<SharedSecret>,
    /// Always there but for the classical agreement of the interoperability tests.
    pub(crate) ss: Option<SharedSecret>,
}

impl Shared {
    /// `0xFF*32 | [DH1 |] DH2 | DH3 [| DH4] [| SS]`
    pub(crate) fn key_material(&self, dh1: Option<&SharedSecret>) -> Zeroizing<Vec<u8>> {
        let Self { dh2, dh3, dh4, ss } = self;
        let parts = [dh1, Some(dh2), Some(dh3), dh4.as_ref(), ss.as_ref()];
        // Full capacity first: growing would leave copies of the secrets behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(6 * 32));
        bytes.extend_from_slice(&[0xFF; 32]);
        for part in parts.into_iter().flatten() {
            bytes.extend_from_slice(part.expose());
        }
        bytes
    }

    // AGR-6
    pub(crate) fn sk(&self, suite: Suite, dh1: &SharedSecret) -> Result<Secret<32>, Error> {
        let info =
            Label::AGREEMENT_SK.context(Some(suite), &[b"X25519", b"SHA-256", b"ML-KEM-768"])?;
        Ok(kdf::hkdf(&[0; HASH_LEN], &self.key_material(Some(dh1)), &info))
    }

    /// K and N of the sealed part. AGR-9
    pub(crate) fn identity_key(
        &self,
        suite: Suite,
        clear: &[u8],
    ) -> Result<(Secret<32>, [u8; 12]), Error> {
        let info = Label::AGREEMENT_IDENTITY.context(Some(suite), &[&kdf::sha256(&[clear])])?;
        let both: Secret<44> = kdf::hkdf(&[0; HASH_LEN], &self.key_material(None), &info);
        let (key, nonce) = both.expose().split_at(32);
        let nonce = nonce.try_into().map_err(|_| Error::Unreachable("44 is 32 and 12"))?;
        Ok((Secret::from_slice(key)?, nonce))
    }
}

/// A side of an agreement as AD names it.
#[derive(Clone, Copy)]
pub(crate) struct Party<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) device: u32,
    pub(crate) key: &'a VerifyingKey,
    pub(crate) static_key: &'a StaticPublic,
    pub(crate) card_hash: &'a [u8; 32],
}

/// The public values of an agreement, as they were used.
#[derive(Clone)]
pub(crate) struct Publics {
    pub(crate) spk: X25519Public,
    pub(crate) opk: Option<X25519Public>,
    /// SHA-256 of the KEM prekey.
    pub(crate) kem: [u8; HASH_LEN],
    pub(crate) ephemeral: X25519Public,
    pub(crate) ciphertext: KemCiphertext,
}

impl Publics {
    /// AD, which both sides compute, A before B.
    // AGR-7
    pub(crate) fn ad(&self, suite: Suite, a: Party<'_>, b: Party<'_>) -> Result<Context, Error> {
        let Self { spk, opk, kem, ephemeral, ciphertext } = self;
        let fields: [&[u8]; 15] = [
            a.id,
            b.id,
            &a.device.to_be_bytes(),
            &b.device.to_be_bytes(),
            a.key.as_bytes(),
            b.key.as_bytes(),
            a.static_key.as_bytes(),
            b.static_key.as_bytes(),
            a.card_hash,
            b.card_hash,
            spk.as_bytes(),
            opk.as_ref().map_or(&[], |key| key.as_bytes()),
            kem,
            ephemeral.as_bytes(),
            ciphertext.as_bytes(),
        ];
        Ok(Label::AGREEMENT_AD.context(Some(suite), &fields)?)
    }
}

pub(crate) fn kem_hash(key: &KemPublic) -> [u8; HASH_LEN] {
    kdf::sha256(&[key.as_bytes()])
}

/// What A signs. AGR-8
pub(crate) fn proof_message(suite: Suite, h_ad: &[u8; HASH_LEN]) -> Result<Context, Error> {
    Ok(Label::AGREEMENT_PROOF.context(Some(suite), &[h_ad])?)
}

// The id says who writes: only sizes are printed.
impl fmt::Debug for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, device: _, card, log, evidence } = self;
        f.debug_struct("Introduction")
            .field("id", &id.len())
            .field("card", &card.len())
            .field("log", &log.as_ref().map(Vec::len))
            .field("evidence", &evidence.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
