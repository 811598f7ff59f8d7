//! The side that writes the first message.
//!
//! ```text
//! XX   start_xx  -> XxSent -> read -> Claim -> prove -> XxReplied -> finish -> Session
//! IK   start_ik  -> IkSent -> read -> Claim -> prove -> IkProven  -> finish -> Session
//! ```
//!
//! Each step consumes the one before it. What is spent cannot be used again, and what is not
//! proven cannot be ended:
//!
//! ```compile_fail,E0382
//! # use sealwire_noise::initiator::XxSent;
//! // A handshake state that has read its message is used up.
//! // attack T37
//! fn twice(sent: XxSent, message: &[u8]) {
//!     let first = sent.read(message);
//!     let second = sent.read(message);
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use sealwire_noise::initiator::XxSent;
//! // Nothing is sent to a responder who was not read.
//! // attack T37
//! fn early(sent: XxSent) {
//!     let session = sent.finish(b"bob");
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use sealwire_noise::{Claim, initiator::XxReplied};
//! // Nor to one who has proven nothing.
//! // attack T37
//! fn unproven(claim: Claim<XxReplied>) {
//!     let session = claim.finish(b"bob");
//! }
//! ```

use std::sync::Arc;

use rand_core::TryCryptoRng;
use sealwire_core::{
    KeyStore, Suite, SuiteSet, kdf,
    kem::{KemCiphertext, KemPublic, SharedSecret},
    keys::StaticPublic,
    keystore::KxId,
    label::Label,
    secret::Secret,
};

use crate::{
    Claim, Error, GateKey, Introduction, Pattern, Payload, Preamble, Role, Session,
    machine::{Machine, Setup},
    payload::Transcript,
    resolver::{Prepared, StaticHandle},
};

/// This side of a handshake: its keys and what it says of itself.
#[derive(Clone, Debug)]
pub struct Local {
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) kx: KxId,
    pub(crate) introduction: Introduction,
}

impl Local {
    /// Keys, the set of exchange keys that the card names, and the introduction.
    pub fn new(keys: Arc<dyn KeyStore>, kx: KxId, introduction: Introduction) -> Self {
        Self { keys, kx, introduction }
    }

    pub(crate) fn handle(&self) -> Result<StaticHandle, Error> {
        let public = self.keys.public(self.kx)?.handshake;
        Ok(StaticHandle { keys: Arc::clone(&self.keys), kx: self.kx, public })
    }

    /// Signs the transcript and builds the payload of the message that follows it.
    pub(crate) fn payload(
        &self,
        transcript: &Transcript,
        peer_id: &[u8],
        responder_card: Option<[u8; 32]>,
    ) -> Result<Vec<u8>, Error> {
        let context = transcript.context(&self.introduction.id, peer_id)?;
        let proof = self.keys.sign(&context)?;
        let payload = self.introduction.to_payload(responder_card, &proof);
        if payload.len() > crate::MAX_PAYLOAD {
            return Err(Error::Misuse("card, log and evidence are over 32 KiB together"));
        }
        Ok(payload)
    }
}

/// What an initiator takes from the responder's verified card for IK.
#[derive(Clone, Copy, Debug)]
pub struct KnownResponder<'a> {
    /// The agent id, as bytes.
    pub id: &'a [u8],
    /// The X25519 exchange key.
    pub static_key: &'a StaticPublic,
    /// The static ML-KEM key.
    pub kem_key: &'a KemPublic,
    /// The number of this set of exchange keys.
    pub kx: KxId,
    /// The hash of the card.
    pub card_hash: [u8; 32],
}

/// Starts XX: gives the preamble and message 1.
///
/// # Errors
/// [`Error::Randomness`], [`Error::KeyStore`], or [`Error::Misuse`] when `suite` is not among
/// `offered`.
pub fn start_xx<R: TryCryptoRng + ?Sized>(
    local: Local,
    suite: Suite,
    offered: SuiteSet,
    rng: &mut R,
) -> Result<(Preamble, Vec<u8>, XxSent), Error> {
    let prepared = Prepared::initiator(rng)?;
    let preamble = Preamble::xx(suite, offered)?;
    let mut machine = Machine::new(Setup {
        params: Pattern::Xx.params(suite)?,
        role: Role::Initiator,
        prologue: preamble.prologue()?.as_bytes(),
        handle: local.handle()?,
        prepared,
        remote: None,
        psks: &[],
    })?;
    let message = machine.write(&[])?;
    Ok((preamble, message, XxSent { local, suite, machine }))
}

/// XX after message 1.
#[derive(Debug)]
pub struct XxSent {
    local: Local,
    suite: Suite,
    machine: Machine,
}

impl XxSent {
    /// Reads message 2: who the responder claims to be. Check the claim, and the pin, before
    /// message 3 tells the responder who is calling.
    ///
    /// # Errors
    /// [`Error::Handshake`] or [`Error::Decode`]; the handshake is over.
    pub fn read(self, message: &[u8]) -> Result<Claim<XxReplied>, Error> {
        let Self { local, suite, mut machine } = self;
        let (payload, transcript) = read_claim(&mut machine, suite, (Pattern::Xx, 2), message)?;
        // XX 2 cannot name the initiator, whom the responder does not know yet.
        Ok(Claim {
            payload,
            transcript,
            own_id: Vec::new(),
            next: XxReplied { local, suite, machine },
        })
    }
}

/// XX after message 2 of a proven responder.
#[derive(Debug)]
pub struct XxReplied {
    local: Local,
    suite: Suite,
    machine: Machine,
}

impl XxReplied {
    /// Writes message 3, which tells the responder `responder_id` who this side is.
    ///
    /// # Errors
    /// [`Error::KeyStore`] or [`Error::Misuse`].
    pub fn finish(self, responder_id: &[u8]) -> Result<(Vec<u8>, Session), Error> {
        let Self { local, suite, mut machine } = self;
        let transcript = Transcript {
            suite,
            pattern: Pattern::Xx,
            role: Role::Initiator,
            hash: machine.hash()?,
            ephemeral: None,
            static_key: *machine.static_key(),
        };
        let payload = local.payload(&transcript, responder_id, None)?;
        let message = machine.write(&payload)?;
        Ok((message, machine.finish(suite, Role::Initiator)?))
    }
}

/// Starts IK with a responder whose card is verified: gives the preamble and message 1.
///
/// # Errors
/// [`Error::Randomness`], [`Error::KeyStore`], or [`Error::Misuse`] when `suite` is not among
/// `offered`.
pub fn start_ik<R: TryCryptoRng + ?Sized>(
    local: Local,
    responder: KnownResponder<'_>,
    suite: Suite,
    offered: SuiteSet,
    rng: &mut R,
) -> Result<(Preamble, Vec<u8>, IkSent), Error> {
    let prepared = Prepared::initiator(rng)?;
    let (ciphertext, shared) = responder.kem_key.encapsulate(rng)?;
    let psk = psk0(suite, responder.kem_key, &ciphertext, &shared)?;
    let mut preamble = Preamble::ik(suite, offered, responder.kx, ciphertext)?;
    let mut machine = Machine::new(Setup {
        params: Pattern::Ik.params(suite)?,
        role: Role::Initiator,
        prologue: preamble.prologue()?.as_bytes(),
        handle: local.handle()?,
        prepared,
        remote: Some(responder.static_key),
        psks: &[(0, &psk)],
    })?;
    let transcript = Transcript {
        suite,
        pattern: Pattern::Ik,
        role: Role::Initiator,
        hash: machine.hash()?,
        ephemeral: Some(*machine.ephemeral().as_bytes()),
        static_key: *machine.static_key(),
    };
    let payload = local.payload(&transcript, responder.id, Some(responder.card_hash))?;
    let message = machine.write(&payload)?;
    preamble.close_gate(&GateKey::new(responder.kem_key)?, &message);
    let own_id = local.introduction.id;
    Ok((preamble, message, IkSent { own_id, suite, machine }))
}

/// IK after message 1.
pub struct IkSent {
    own_id: Vec<u8>,
    suite: Suite,
    machine: Machine,
}

// The id says who is calling: it is not printed.
impl core::fmt::Debug for IkSent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("IkSent").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl IkSent {
    /// Reads message 2.
    ///
    /// # Errors
    /// [`Error::Handshake`] or [`Error::Decode`]; the handshake is over.
    pub fn read(self, message: &[u8]) -> Result<Claim<IkProven>, Error> {
        let Self { own_id, suite, mut machine } = self;
        let (payload, transcript) = read_claim(&mut machine, suite, (Pattern::Ik, 2), message)?;
        Ok(Claim { payload, transcript, own_id, next: IkProven { suite, machine } })
    }
}

/// IK after message 2 of a proven responder.
#[derive(Debug)]
pub struct IkProven {
    suite: Suite,
    machine: Machine,
}

impl IkProven {
    /// Ends the handshake. The record that comes with the session is empty and confirms the
    /// keys: send it at once, the responder releases nothing before it opens.
    ///
    /// # Errors
    /// [`Error::Unreachable`] only.
    pub fn finish(self) -> Result<(Vec<u8>, Session), Error> {
        let mut session = self.machine.finish(self.suite, Role::Initiator)?;
        let mut confirmation = Vec::new();
        session.sealer.seal_data(&[], &mut confirmation)?;
        Ok((confirmation, session))
    }
}

/// psk0 = HKDF(label, shared secret, label || SHA-256(ek) || SHA-256(ct), 32)
pub(crate) fn psk0(
    suite: Suite,
    public: &KemPublic,
    ciphertext: &KemCiphertext,
    shared: &SharedSecret,
) -> Result<Secret<32>, Error> {
    // HS-6
    let public = kdf::sha256(&[public.as_bytes()]);
    let ciphertext = kdf::sha256(&[ciphertext.as_bytes()]);
    let info = Label::NOISE_PSK0.context(Some(suite), &[&public, &ciphertext])?;
    Ok(kdf::hkdf(Label::NOISE_PSK0.as_bytes(), shared.expose(), &info))
}

/// Reads message `number`, which carries a payload, and notes what its proof must cover.
pub(crate) fn read_claim(
    machine: &mut Machine,
    suite: Suite,
    (pattern, number): (Pattern, usize),
    message: &[u8],
) -> Result<(Payload, Transcript), Error> {
    pattern.check_length(number, message)?;
    let role = if number == 2 { Role::Responder } else { Role::Initiator };
    let hash = machine.hash()?;
    let payload = Payload::from_bytes(&machine.read(message)?)?;
    payload.check_place(pattern, role)?;
    // XX 3 carries no ephemeral key; every other message begins with one.
    let carries_ephemeral = (pattern, role) != (Pattern::Xx, Role::Initiator);
    let ephemeral = carries_ephemeral.then(|| message.first_chunk().copied()).flatten();
    let static_key = machine.remote_static()?;
    Ok((payload, Transcript { suite, pattern, role, hash, ephemeral, static_key }))
}

#[cfg(test)]
mod tests;
