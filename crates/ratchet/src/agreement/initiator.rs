//! The side that writes first.

use core::fmt;

use rand_core::TryCryptoRng;
use sealwire_core::{
    Suite, Timestamp, kdf,
    keys::{EphemeralSecret, Signature, X25519Public},
    keystore::KeyUse,
    rng::draw_distinct,
    secret::Secret,
    wipe,
};

use super::{
    Clear, Introduced, Introduction, Local, Party, Publics, ReplyTo, Shared, kem_hash,
    proof_message,
};
use crate::{
    Agreed, Error,
    prekey::{Bundle, OneTimeKeys},
};

/// What an initiator has when it has agreed.
#[non_exhaustive]
pub struct Initiated {
    /// The secret and the transcript.
    pub agreed: Agreed,
    /// SPK_B, with which the session begins.
    pub prekey: X25519Public,
    /// What stands before every ratchet message until the peer has answered, byte for byte.
    // AGR-11
    pub prefix: Vec<u8>,
    /// Whether there was a one-time X25519 key: without, what is said now stays as secret as
    /// the signed prekey.
    pub one_time_x25519: bool,
    /// Whether there was a one-time ML-KEM key.
    pub one_time_kem: bool,
}

/// Agrees on a secret with the owner of `bundle`, who need not be there.
///
/// The suite is one that the cards of both sides name.
///
/// # Errors
/// [`Error::Expired`] for a bundle or a one-time key that has expired since it was verified;
/// [`Error::Misuse`] for a one-time key of another agent, or an introduction that is too long;
/// [`Error::Randomness`], [`Error::KeyStore`].
///
/// # Security
/// The responder is not authenticated by this: that it holds its keys shows only when it
/// answers. Authentication is classical (X25519 and Ed25519) on both sides.
// AGR-3, AGR-5
pub fn initiate<R: TryCryptoRng + ?Sized>(
    local: &Local,
    bundle: &Bundle,
    one_time: OneTimeKeys,
    suite: Suite,
    reply: ReplyTo,
    now: Timestamp,
    rng: &mut R,
) -> Result<Initiated, Error> {
    bundle.check(now)?;
    one_time.x25519.as_ref().map_or(Ok(()), |key| key.check(bundle, now))?;
    one_time.kem.as_ref().map_or(Ok(()), |key| key.check(bundle, now))?;
    // AGR-4: drawn before anything else is done.
    let drawn = draw_distinct(rng)?;
    wipe::stack(|| agree(local, bundle, one_time, suite, reply, drawn))
}

fn agree(
    local: &Local,
    bundle: &Bundle,
    one_time: OneTimeKeys,
    suite: Suite,
    reply: ReplyTo,
    [ephemeral, encapsulation]: [Secret<32>; 2],
) -> Result<Initiated, Error> {
    let OneTimeKeys { x25519: opk, kem: one_time_kem } = one_time;
    let (spk_id, spk) = bundle.signed_prekey();
    let last_resort = bundle.kem_prekey();
    let (kem_id, kem) = one_time_kem.as_ref().map_or(last_resort, |key| (key.id, &key.key));
    let ephemeral = EphemeralSecret::from_seed(&ephemeral)?;
    let (ciphertext, ss) = kem.encapsulate_with(encapsulation);
    let dh1 = local.keys.agree(local.kx, KeyUse::Handshake, spk)?;
    let shared = Shared {
        dh2: ephemeral.agree(&bundle.peer.static_key)?,
        dh3: ephemeral.agree(spk)?,
        dh4: opk.as_ref().map(|opk| ephemeral.agree(&opk.key)).transpose()?,
        ss: Some(ss),
    };

    let publics = Publics {
        spk: *spk,
        opk: opk.as_ref().map(|opk| opk.key),
        kem: kem_hash(kem),
        ephemeral: **ephemeral.public(),
        ciphertext: ciphertext.clone(),
    };
    let (agreed, proof) = conclude(local, bundle, &publics, suite, &shared, &dh1)?;
    let opk_id = opk.as_ref().map(|opk| opk.id);
    let clear = Clear {
        suite,
        kx: bundle.peer.kx,
        spk: spk_id,
        opk: opk_id,
        kem: kem_id,
        ephemeral: publics.ephemeral,
        ciphertext,
    };
    let introduced = introduce(&local.introduction, bundle, proof, reply);
    Ok(Initiated {
        agreed,
        prekey: *spk,
        prefix: prefix(&clear, &introduced, &shared)?,
        one_time_x25519: opk_id.is_some(),
        one_time_kem: one_time_kem.is_some(),
    })
}

/// SK, H_AD and the signature over it.
fn conclude(
    local: &Local,
    bundle: &Bundle,
    publics: &Publics,
    suite: Suite,
    shared: &Shared,
    dh1: &sealwire_core::kem::SharedSecret,
) -> Result<(Agreed, Signature), Error> {
    let Introduction { id, device, card, log: _, evidence: _ } = &local.introduction;
    let peer = &bundle.peer;
    let a = Party {
        id,
        device: *device,
        key: local.keys.identity(),
        static_key: &local.keys.public(local.kx)?.handshake,
        card_hash: &kdf::sha256(&[card]),
    };
    let b = Party {
        id: &peer.id,
        device: bundle.device(),
        key: &peer.key,
        static_key: &peer.static_key,
        card_hash: &peer.card_hash,
    };
    let ad = publics.ad(suite, a, b)?;
    let agreed = Agreed::new(suite, shared.sk(suite, dh1)?, &ad);
    let proof = local.keys.sign(&proof_message(suite, agreed.transcript())?)?;
    Ok((agreed, proof))
}

fn introduce(
    introduction: &Introduction,
    bundle: &Bundle,
    proof: Signature,
    reply: ReplyTo,
) -> Introduced {
    let Introduction { id: _, device, card, log, evidence } = introduction;
    Introduced {
        card: card.clone(),
        log: log.clone(),
        device: *device,
        evidence: evidence.clone(),
        responder_card: bundle.peer.card_hash,
        proof,
        reply,
    }
}

/// `clear | len16(sealed) | sealed`
fn prefix(clear: &Clear, introduced: &Introduced, shared: &Shared) -> Result<Vec<u8>, Error> {
    let mut bytes = clear.to_bytes();
    let key = shared.identity_key(clear.suite, &bytes)?;
    let sealed = introduced.seal(clear.suite, &key, &bytes)?;
    let len = u16::try_from(sealed.len()).map_err(|_| Error::Unreachable("32 KiB are less"))?;
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(&sealed);
    Ok(bytes)
}

impl fmt::Debug for Initiated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreed, prekey: _, prefix: _, one_time_x25519, one_time_kem } = self;
        f.debug_struct("Initiated")
            .field("agreed", agreed)
            .field("one_time_x25519", one_time_x25519)
            .field("one_time_kem", one_time_kem)
            .finish_non_exhaustive()
    }
}
