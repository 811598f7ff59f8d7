//! Classical Noise through the same resolver, for interoperability tests only (feature
//! `hazmat`). No Sealwire peer ever speaks it, and no code of this crate's other modules can
//! reach it.

use std::sync::Arc;

use sealwire_core::{
    KeyStore,
    keys::{EphemeralSecret, StaticPublic},
    keystore::KxId,
    secret::Secret,
};
use zeroize::Zeroizing;

use crate::{
    Error, Role,
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
    pub fn read(&mut self, message: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
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

#[cfg(test)]
mod tests;
