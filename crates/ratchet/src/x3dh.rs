//! Plain X3DH, without a KEM, an identity or a signature, for interoperability tests only
//! (feature `hazmat`). It runs through the key schedule of the hybrid agreement. No Sealwire
//! peer ever speaks it, and no code of this crate's other modules can reach it.

use sealwire_core::{
    kdf::{self, HASH_LEN},
    keys::{EphemeralSecret, StaticSecret, X25519Public},
    secret::Secret,
};

use crate::{Error, agreement::Shared};

/// The public keys of the other side: a responder's identity key, signed prekey and, if there
/// is one, one-time prekey.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the caller")]
pub struct Responder<'a> {
    /// IK_B, in X25519 form.
    pub identity: &'a X25519Public,
    /// SPK_B.
    pub signed: &'a X25519Public,
    /// OPK_B.
    pub one_time: Option<&'a X25519Public>,
}

/// The private keys of a responder.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the caller")]
pub struct ResponderSecrets<'a> {
    /// IK_B, in X25519 form.
    pub identity: &'a StaticSecret,
    /// SPK_B.
    pub signed: &'a StaticSecret,
    /// OPK_B.
    pub one_time: Option<&'a EphemeralSecret>,
}

/// SK as the initiator computes it.
///
/// # Errors
/// [`Error::Open`] for a key that gives a zero secret.
pub fn initiate(
    identity: &StaticSecret,
    ephemeral: &EphemeralSecret,
    peer: Responder<'_>,
    info: &[u8],
) -> Result<Secret<32>, Error> {
    let dh1 = identity.agree(peer.signed)?;
    let shared = Shared {
        dh2: ephemeral.agree(peer.identity)?,
        dh3: ephemeral.agree(peer.signed)?,
        dh4: peer.one_time.map(|key| ephemeral.agree(key)).transpose()?,
        ss: None,
    };
    Ok(sk(&shared, &dh1, info))
}

/// SK as the responder computes it.
///
/// # Errors
/// [`Error::Open`] for a key that gives a zero secret.
pub fn respond(
    keys: ResponderSecrets<'_>,
    identity: &X25519Public,
    ephemeral: &X25519Public,
    info: &[u8],
) -> Result<Secret<32>, Error> {
    let dh1 = keys.signed.agree(identity)?;
    let shared = Shared {
        dh2: keys.identity.agree(ephemeral)?,
        dh3: keys.signed.agree(ephemeral)?,
        dh4: keys.one_time.map(|key| key.agree(ephemeral)).transpose()?,
        ss: None,
    };
    Ok(sk(&shared, &dh1, info))
}

/// "KDF(KM)" of the X3DH specification, section 2.2: the salt is as many zeros as the hash is
/// long, and the info is the application's, without our label.
fn sk(shared: &Shared, dh1: &sealwire_core::kem::SharedSecret, info: &[u8]) -> Secret<32> {
    kdf::expand(&kdf::extract(&[0; HASH_LEN], &shared.key_material(Some(dh1))), info)
}

#[cfg(test)]
mod tests;
