//! The side that was offline.
//!
//! Cheap steps come first, and the caller puts its own between them: it compares the prefix
//! with those of stored sessions, limits new agreements before any public-key operation, and
//! judges card and evidence before the proof.

use core::fmt;

use sealwire_core::{
    DecodeError, DecodeReason, Suite,
    codec::Reader,
    kdf,
    kem::KemSecret,
    keys::{EphemeralSecret, StaticPublic, StaticSecret, VerifyingKey},
    keystore::{KeyUse, KxId},
    pad::frame_class,
    secret::Secret,
    wipe,
};

use super::{
    Clear, Introduced, Local, MAX_SEALED, Party, Publics, ReplyTo, Shared,
    clear::{LEN, WHAT},
    kem_hash, proof_message,
};
use crate::{
    Agreed, Error,
    prekey::{Found, PrekeyId, Used},
    replay::Replayable,
};

/// A first message, taken apart. Nothing in it has been checked but its form.
pub struct FirstMessage<'a> {
    clear: Clear,
    clear_bytes: &'a [u8; LEN],
    sealed: &'a [u8],
    prefix: &'a [u8],
    message: &'a [u8],
}

/// What a first message is beside a session that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a new outcome is a decision for every caller")]
pub enum Relation {
    /// It belongs to that session, as the ratchet message behind the same prefix.
    Same,
    /// It repeats that session's ephemeral key with other bytes: refuse it.
    Conflict,
    /// It has nothing to do with that session.
    Other,
}

impl<'a> FirstMessage<'a> {
    /// Takes a frame apart.
    ///
    /// # Errors
    /// [`DecodeError`] before any cryptography.
    pub fn from_frame(frame: &'a [u8]) -> Result<Self, DecodeError> {
        // AGR-2
        if frame_class(frame.len()) != Some(frame.len()) {
            let rule = "frames have 2, 4, 16 or 64 KiB";
            return Err(DecodeError::new(WHAT, DecodeReason::Invalid(rule)));
        }
        Self::parse(frame)
    }

    /// Takes a prefix apart behind which nothing stands: for those who want no more than a
    /// shared secret.
    ///
    /// # Errors
    /// [`DecodeError`] before any cryptography.
    pub fn from_prefix(prefix: &'a [u8]) -> Result<Self, DecodeError> {
        let first = Self::parse(prefix)?;
        Reader::new(WHAT, first.message).finish()?;
        Ok(first)
    }

    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        let clear_bytes: &[u8; LEN] = reader.array()?;
        let clear = Clear::from_bytes(clear_bytes)?;
        let sealed = reader.bytes16(MAX_SEALED)?;
        // AGR-2
        if sealed.len() <= sealwire_core::aead::TAG_LEN {
            return Err(reader.error(DecodeReason::Invalid("the sealed part is not empty")));
        }
        let message = reader.rest();
        let (prefix, _) = bytes
            .split_at_checked(bytes.len().saturating_sub(message.len()))
            .ok_or(reader.error(DecodeReason::Truncated))?;
        Ok(Self { clear, clear_bytes, sealed, prefix, message })
    }

    /// The set of exchange keys of ours that it was made for.
    pub fn kx(&self) -> KxId {
        self.clear.kx
    }

    /// The suite that the initiator chose.
    pub fn suite(&self) -> Suite {
        self.clear.suite
    }

    /// What the initiator repeats before each of its messages: store it with the session.
    pub fn prefix(&self) -> &'a [u8] {
        self.prefix
    }

    /// The ratchet message behind the prefix.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    /// What it is beside a session that was stored with this prefix.
    // AGR-13
    pub fn relation(&self, stored_prefix: &[u8]) -> Relation {
        let ephemeral = |prefix: &[u8]| {
            let clear = prefix.first_chunk::<LEN>().and_then(|clear| Clear::from_bytes(clear).ok());
            clear.map(|clear| clear.ephemeral)
        };
        if self.prefix == stored_prefix {
            Relation::Same
        } else if ephemeral(stored_prefix) == Some(self.clear.ephemeral) {
            Relation::Conflict
        } else {
            Relation::Other
        }
    }

    pub(crate) fn clear(&self) -> &Clear {
        &self.clear
    }
}

/// Opens the sealed part: who the initiator claims to be.
///
/// `local` is this side with the set of exchange keys that the message names, `cards` the
/// hashes of our cards for this set that still stand. `found` comes from
/// [`Prekeys::find`](crate::prekey::Prekeys::find).
///
/// # Errors
/// [`Error::NoPrekey`] when no card stands for these exchange keys; [`Error::Open`] for whatever
/// does not open; [`Error::Misuse`] for other exchange keys than the message names;
/// [`Error::KeyStore`].
// AGR-12, AGR-14
pub fn respond(
    local: &Local,
    cards: &[[u8; 32]],
    first: &FirstMessage<'_>,
    found: &Found<'_>,
) -> Result<Claim, Error> {
    if first.clear.kx != local.kx {
        return Err(Error::Misuse("the message names another set of exchange keys"));
    }
    if cards.is_empty() {
        return Err(Error::NoPrekey);
    }
    wipe::stack(|| claim(local, cards, first, found))
}

fn claim(
    local: &Local,
    cards: &[[u8; 32]],
    first: &FirstMessage<'_>,
    found: &Found<'_>,
) -> Result<Claim, Error> {
    let Clear { suite, kx, spk: _, opk: _, kem: kem_id, ephemeral, ciphertext } = &first.clear;
    let spk = StaticSecret::from_seed(found.spk)?;
    let opk = found.opk.map(EphemeralSecret::from_seed).transpose()?;
    let kem = KemSecret::from_seed(found.kem);
    let shared = Shared {
        dh2: local.keys.agree(*kx, KeyUse::Handshake, ephemeral)?,
        dh3: spk.agree(ephemeral)?,
        dh4: opk.as_ref().map(|opk| opk.agree(ephemeral)).transpose()?,
        // AGR-15
        ss: Some(kem.decapsulate(ciphertext)),
    };
    let key = shared.identity_key(*suite, first.clear_bytes)?;
    let introduced = Introduced::open(*suite, &key, first.clear_bytes, first.sealed)?;
    if !cards.contains(&introduced.responder_card) {
        return Err(Error::Open);
    }
    let publics = Publics {
        spk: **spk.public(),
        opk: opk.as_ref().map(|opk| **opk.public()),
        kem: kem_hash(kem.public()),
        ephemeral: *ephemeral,
        ciphertext: ciphertext.clone(),
    };
    let prekey = Secret::init_with(|out: &mut [u8; 32]| out.copy_from_slice(found.spk.expose()));
    let (used, kem_id, suite) = (found.used, *kem_id, *suite);
    let (local, shared) = (local.clone(), shared);
    Ok(Claim { suite, local, introduced, publics, shared, spk, prekey, used, kem_id })
}

/// The identity that a verified card gives to the initiator.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the caller")]
pub struct PeerIdentity<'a> {
    /// The agent id, as bytes.
    pub id: &'a [u8],
    /// The identity key of the verified card.
    pub key: &'a VerifyingKey,
    /// The X25519 exchange key of the verified card.
    pub static_key: &'a StaticPublic,
}

/// A first message whose sender has not proven who it is. Nothing follows from it:
///
/// ```compile_fail,E0609
/// # use sealwire_ratchet::{Agreed, agreement::Claim};
/// // attack T37: there is no secret before the proof.
/// fn early(claim: Claim) -> Agreed {
///     claim.agreed
/// }
/// ```
#[must_use = "a claim proves nothing yet"]
pub struct Claim {
    suite: Suite,
    local: Local,
    introduced: Introduced,
    publics: Publics,
    shared: Shared,
    spk: StaticSecret,
    prekey: Secret<32>,
    used: Used,
    kem_id: PrekeyId,
}

/// What a responder has when the initiator has signed. The session is not there yet: store it,
/// and consume the one-time keys, when its first body has opened and policy has accepted.
// AGR-16
#[non_exhaustive]
pub struct Accepted {
    /// The secret and the transcript.
    pub agreed: Agreed,
    /// The private half of SPK_B, with which the session begins.
    pub prekey: Secret<32>,
    /// The one-time keys to consume in the transaction that stores the session.
    pub used: Used,
    /// There was no one-time key: what to look up in the replay cache, and to write there in
    /// the same transaction.
    pub replay: Option<Replayable>,
    /// The device of the initiator.
    pub device: u32,
    /// Where to answer.
    pub reply: ReplyTo,
}

impl Claim {
    /// What the sender says of itself.
    pub fn introduced(&self) -> &Introduced {
        &self.introduced
    }

    /// Checks that the holder of the identity key of the verified card signed this very
    /// agreement. That it holds the exchange key of its card, too, shows when the ratchet
    /// message opens.
    ///
    /// `peer` is what the verified [`Introduced::card`] says.
    ///
    /// # Errors
    /// [`Error::Open`].
    // AGR-17, AGR-18
    pub fn prove(self, peer: PeerIdentity<'_>) -> Result<Accepted, Error> {
        wipe::stack(|| self.accept(peer))
    }

    fn accept(self, peer: PeerIdentity<'_>) -> Result<Accepted, Error> {
        let Self { suite, local, introduced, publics, shared, spk, prekey, used, kem_id } = self;
        let a = Party {
            id: peer.id,
            device: introduced.device,
            key: peer.key,
            static_key: peer.static_key,
            card_hash: &kdf::sha256(&[&introduced.card]),
        };
        let b = Party {
            id: &local.introduction.id,
            device: local.introduction.device,
            key: local.keys.identity(),
            static_key: &local.keys.public(local.kx)?.handshake,
            card_hash: &introduced.responder_card,
        };
        let ad = publics.ad(suite, a, b)?;
        let message = proof_message(suite, &kdf::sha256(&[ad.as_bytes()]))?;
        peer.key.verify(&message, &introduced.proof).map_err(|_| Error::Open)?;
        let dh1 = spk.agree(peer.static_key)?;
        let agreed = Agreed::new(suite, shared.sk(suite, &dh1)?, &ad);
        // AGR-20
        let replayable = used.x25519.is_none() && used.kem.is_none();
        let replay = replayable.then(|| Replayable::new(kem_id, agreed.secret())).transpose()?;
        let Introduced { device, reply, .. } = introduced;
        Ok(Accepted { agreed, prekey, used, replay, device, reply })
    }
}

impl fmt::Debug for FirstMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstMessage").field("suite", &self.clear.suite).finish_non_exhaustive()
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("introduced", &self.introduced).finish_non_exhaustive()
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreed, prekey: _, used, replay: _, device: _, reply: _ } = self;
        f.debug_struct("Accepted")
            .field("agreed", agreed)
            .field("used", used)
            .finish_non_exhaustive()
    }
}
