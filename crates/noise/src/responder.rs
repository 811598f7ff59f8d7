//! The side that answers.
//!
//! ```text
//! XX   answer_xx -> XxAnswered -> read -> Claim -> prove -> Session
//! IK   answer_ik -> Claim -> prove -> IkProven -> reply -> IkReplied -> confirm -> Session
//! ```
//!
//! The gate of an IK preamble ([`Preamble::check_gate`]) is checked before [`answer_ik`], which
//! checks it again: it takes one HMAC, and no order of calls can skip it.

use rand_core::TryCryptoRng;
use sealwire_core::{Suite, keystore::KeyUse, secret::Secret};

use crate::{
    Claim, Error, GateKey, Local, Pattern, Preamble, Role, Session,
    initiator::{psk0, read_claim},
    machine::{Machine, Setup},
    payload::Transcript,
    record::Opened,
    resolver::Prepared,
};

/// Answers XX message 1 with message 2, which shows this side's identity to whoever asked.
///
/// # Errors
/// [`Error::Handshake`] for a bad message 1; [`Error::Misuse`] for a preamble of IK;
/// [`Error::Randomness`], [`Error::KeyStore`].
pub fn answer_xx<R: TryCryptoRng + ?Sized>(
    local: Local,
    preamble: &Preamble,
    message1: &[u8],
    rng: &mut R,
) -> Result<(Vec<u8>, XxAnswered), Error> {
    if preamble.pattern() != Pattern::Xx {
        return Err(Error::Misuse("the preamble is for IK"));
    }
    Pattern::Xx.check_length(1, message1)?;
    let suite = preamble.suite();
    let mut machine = start(&local, preamble, Prepared::responder(rng)?, &[])?;
    // HS-10: message 1 has an empty payload, which its length has shown.
    machine.read(message1)?;
    let transcript = own_transcript(&machine, suite, Pattern::Xx)?;
    let payload = local.payload(&transcript, &[], None)?;
    let message2 = machine.write(&payload)?;
    Ok((message2, XxAnswered { own_id: local.introduction.id, suite, machine }))
}

/// XX after message 2.
pub struct XxAnswered {
    own_id: Vec<u8>,
    suite: Suite,
    machine: Machine,
}

// The id says who is calling: it is not printed.
impl core::fmt::Debug for XxAnswered {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("XxAnswered").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl XxAnswered {
    /// Reads message 3: who the initiator is.
    ///
    /// # Errors
    /// [`Error::Handshake`] or [`Error::Decode`]; the handshake is over.
    pub fn read(self, message: &[u8]) -> Result<Claim<Session>, Error> {
        let Self { own_id, suite, mut machine } = self;
        let (payload, transcript) = read_claim(&mut machine, suite, (Pattern::Xx, 3), message)?;
        let next = machine.finish(suite, Role::Responder)?;
        Ok(Claim { payload, transcript, own_id, next })
    }
}

/// Reads IK message 1: who the initiator claims to be. The claim may be a replay until
/// [`IkReplied::confirm`] has opened the first record.
///
/// # Errors
/// [`Error::Gate`] before any public-key operation; [`Error::Handshake`], [`Error::Decode`];
/// [`Error::Misuse`] when `local` is not the set of keys that the preamble names.
pub fn answer_ik<R: TryCryptoRng + ?Sized>(
    local: Local,
    preamble: &Preamble,
    message1: &[u8],
    rng: &mut R,
) -> Result<Claim<IkProven>, Error> {
    let (Some(kx), Some(ciphertext)) = (preamble.kx(), preamble.ciphertext()) else {
        return Err(Error::Misuse("the preamble is for XX"));
    };
    if kx != local.kx {
        return Err(Error::Misuse("the preamble names another set of exchange keys"));
    }
    Pattern::Ik.check_length(1, message1)?;
    let public = local.keys.public(kx)?.kem;
    preamble.check_gate(&GateKey::new(&public)?, message1)?;
    let suite = preamble.suite();
    let prepared = Prepared::responder(rng)?;
    let shared = local.keys.decapsulate(kx, KeyUse::Handshake, ciphertext)?;
    let psk = psk0(suite, &public, ciphertext, &shared)?;
    let mut machine = start(&local, preamble, prepared, &[(0, &psk)])?;
    let (payload, transcript) = read_claim(&mut machine, suite, (Pattern::Ik, 1), message1)?;
    let own_id = local.introduction.id.clone();
    Ok(Claim { payload, transcript, own_id, next: IkProven { local, suite, machine } })
}

/// IK after message 1 of a proven initiator.
#[derive(Debug)]
pub struct IkProven {
    local: Local,
    suite: Suite,
    machine: Machine,
}

impl IkProven {
    /// Writes message 2 to the initiator `initiator_id`. Policy has decided before.
    ///
    /// # Errors
    /// [`Error::KeyStore`] or [`Error::Misuse`].
    pub fn reply(self, initiator_id: &[u8]) -> Result<(Vec<u8>, IkReplied), Error> {
        let Self { local, suite, mut machine } = self;
        let transcript = own_transcript(&machine, suite, Pattern::Ik)?;
        let payload = local.payload(&transcript, initiator_id, None)?;
        let message2 = machine.write(&payload)?;
        Ok((message2, IkReplied { session: machine.finish(suite, Role::Responder)? }))
    }
}

/// IK after message 2. The initiator may still be a replay: nothing is released, and no peer
/// reported, before the confirmation opens.
#[derive(Debug)]
pub struct IkReplied {
    session: Session,
}

impl IkReplied {
    /// Opens the first record, without its length, which must be empty data.
    ///
    /// # Errors
    /// [`Error::Record`]; the handshake is over.
    pub fn confirm(mut self, record: &mut [u8]) -> Result<Session, Error> {
        // HS-11
        match self.session.opener.open(record)? {
            Opened::Data([]) => Ok(self.session),
            _ => Err(Error::Record),
        }
    }
}

fn start(
    local: &Local,
    preamble: &Preamble,
    prepared: Prepared,
    psks: &[(u8, &Secret<32>)],
) -> Result<Machine, Error> {
    Machine::new(Setup {
        params: preamble.pattern().params(preamble.suite())?,
        role: Role::Responder,
        prologue: preamble.prologue()?.as_bytes(),
        handle: local.handle()?,
        prepared,
        remote: None,
        psks,
    })
}

fn own_transcript(machine: &Machine, suite: Suite, pattern: Pattern) -> Result<Transcript, Error> {
    Ok(Transcript {
        suite,
        pattern,
        role: Role::Responder,
        hash: machine.hash()?,
        ephemeral: Some(*machine.ephemeral().as_bytes()),
        static_key: *machine.static_key(),
    })
}

#[cfg(test)]
mod tests;
