//! Classical Noise through the same resolver, for interoperability tests; the hybrid handshakes
//! without identities, to measure them; and sessions without a handshake, to fuzz what comes
//! after it (feature `hazmat`). No Sealwire peer ever speaks any of them, and no code of this
//! crate's other modules can reach them.

use std::sync::Arc;

use rand_core::TryCryptoRng;
use sealwire_core::{
    KeyStore, Suite,
    kem::{KemCiphertext, KemPublic},
    keys::{EphemeralSecret, StaticPublic},
    keystore::{KeyUse, KxId},
    secret::Secret,
    wipe::WipedVec,
};

use crate::{
    Error, Pattern, Role, Session,
    initiator::psk0,
    machine::{Machine, Setup},
    resolver::{Prepared, PreparedKem, StaticHandle},
};

/// One side of a classical handshake.
#[derive(Debug)]
pub struct Classical(Machine);

/// How one side starts.
#[derive(Debug)]
pub struct ClassicalSetup<'a> {
    /// The Noise protocol name, such as `Noise_XX_25519_ChaChaPoly_SHA256`.
    pub name: &'a str,
    /// The side.
    pub role: Role,
    /// The prologue.
    pub prologue: &'a [u8],
    /// Where the static key lives.
    pub keys: Arc<dyn KeyStore>,
    /// The set of exchange keys whose X25519 key is the static key.
    pub kx: KxId,
    /// The seed of the ephemeral key.
    pub ephemeral: &'a Secret<32>,
    /// The peer's static key, where the pattern knows it.
    pub remote: Option<&'a StaticPublic>,
    /// A pre-shared key and its place in the pattern.
    pub psk: Option<(u8, &'a Secret<32>)>,
}

impl Classical {
    /// Starts one side.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a name that is not understood, else as a handshake.
    pub fn new(setup: ClassicalSetup<'_>) -> Result<Self, Error> {
        let ClassicalSetup { name, role, prologue, keys, kx, ephemeral, remote, psk } = setup;
        let params = name.parse().map_err(|_| Error::Misuse("an unknown Noise name"))?;
        let public = keys.public(kx)?.handshake;
        let prepared =
            Prepared { ephemeral: EphemeralSecret::from_seed(ephemeral)?, kem: PreparedKem::None };
        let handle = StaticHandle { keys, kx, public };
        let psks = psk.as_slice();
        Machine::new(Setup { params, role, prologue, handle, prepared, remote, psks }).map(Self)
    }

    /// Writes the next message.
    ///
    /// # Errors
    /// [`Error::Handshake`].
    pub fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.write(payload)
    }

    /// Reads the peer's message and gives its payload.
    ///
    /// # Errors
    /// [`Error::Handshake`].
    pub fn read(&mut self, message: &[u8]) -> Result<WipedVec, Error> {
        self.0.read(message)
    }

    /// The handshake hash.
    ///
    /// # Errors
    /// [`Error::Unreachable`] only.
    pub fn hash(&self) -> Result<[u8; 32], Error> {
        self.0.hash()
    }

    /// The two keys of Split(), the initiator's sending key first.
    pub fn split(mut self) -> Secret<64> {
        self.0.split()
    }
}

/// One side of a hybrid handshake with empty payloads and without a preamble: nobody proves who
/// it is.
#[derive(Debug)]
pub struct Hybrid {
    suite: Suite,
    role: Role,
    machine: Machine,
}

impl Hybrid {
    /// Starts XX; or IK with the responder of these static keys, whose ML-KEM ciphertext it
    /// gives too.
    ///
    /// # Errors
    /// [`Error::Randomness`], [`Error::KeyStore`].
    pub fn initiator<R: TryCryptoRng + ?Sized>(
        keys: Arc<dyn KeyStore>,
        suite: Suite,
        responder: Option<(&StaticPublic, &KemPublic)>,
        rng: &mut R,
    ) -> Result<(Self, Option<KemCiphertext>), Error> {
        let prepared = Prepared::initiator(rng)?;
        let Some((remote, kem)) = responder else {
            return Ok((Self::start(keys, suite, Role::Initiator, prepared, None, None)?, None));
        };
        let (ciphertext, shared) = kem.encapsulate(rng)?;
        let psk = psk0(suite, kem, &ciphertext, &shared)?;
        let started =
            Self::start(keys, suite, Role::Initiator, prepared, Some(remote), Some(&psk))?;
        Ok((started, Some(ciphertext)))
    }

    /// Starts to answer XX; or IK, with the ciphertext that the initiator gave.
    ///
    /// # Errors
    /// As [`Hybrid::initiator`].
    pub fn responder<R: TryCryptoRng + ?Sized>(
        keys: Arc<dyn KeyStore>,
        suite: Suite,
        ciphertext: Option<&KemCiphertext>,
        rng: &mut R,
    ) -> Result<Self, Error> {
        let prepared = Prepared::responder(rng)?;
        let Some(ciphertext) = ciphertext else {
            return Self::start(keys, suite, Role::Responder, prepared, None, None);
        };
        let kx = keys.newest();
        let public = keys.public(kx)?.kem;
        let shared = keys.decapsulate(kx, KeyUse::Handshake, ciphertext)?;
        let psk = psk0(suite, &public, ciphertext, &shared)?;
        Self::start(keys, suite, Role::Responder, prepared, None, Some(&psk))
    }

    /// Only IK has a pre-shared key.
    fn start(
        keys: Arc<dyn KeyStore>,
        suite: Suite,
        role: Role,
        prepared: Prepared,
        remote: Option<&StaticPublic>,
        psk: Option<&Secret<32>>,
    ) -> Result<Self, Error> {
        let pattern = if psk.is_some() { Pattern::Ik } else { Pattern::Xx };
        let kx = keys.newest();
        let public = keys.public(kx)?.handshake;
        let machine = Machine::new(Setup {
            params: pattern.params(suite)?,
            role,
            prologue: &[],
            handle: StaticHandle { keys, kx, public },
            prepared,
            remote,
            psks: psk.map(|psk| (0, psk)).as_slice(),
        })?;
        Ok(Self { suite, role, machine })
    }

    /// Writes the next message.
    ///
    /// # Errors
    /// [`Error::Handshake`].
    pub fn write(&mut self) -> Result<Vec<u8>, Error> {
        self.machine.write(&[])
    }

    /// Reads the peer's message.
    ///
    /// # Errors
    /// [`Error::Handshake`].
    pub fn read(&mut self, message: &[u8]) -> Result<(), Error> {
        self.machine.read(message).map(drop)
    }

    /// Ends the handshake.
    ///
    /// # Errors
    /// [`Error::Unreachable`] before its last message.
    pub fn finish(self) -> Result<Session, Error> {
        self.machine.finish(self.suite, self.role)
    }
}

/// The end of this role of a session that no handshake made, with these record keys: the
/// initiator's sending key comes first. Its channel binding is zero.
///
/// # Errors
/// [`Error::Unreachable`] only.
pub fn session(suite: Suite, role: Role, keys: [Secret<32>; 2]) -> Result<Session, Error> {
    Session::new(suite, role, keys, [0; 32])
}

#[cfg(test)]
mod tests;
