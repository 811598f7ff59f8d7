//! The two handshake patterns and their Noise names.

use sealwire_core::{DecodeError, DecodeReason, Suite};
use snow::params::NoiseParams;

use crate::Error;

/// A handshake pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a new pattern is a new version of the preamble")]
#[repr(u8)]
pub enum Pattern {
    /// XXhfs: nothing is known of the peer.
    Xx = 1,
    /// IKhfs+psk0: the initiator holds the responder's card.
    Ik = 2,
}

/// A side of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a handshake has two sides")]
#[repr(u8)]
pub enum Role {
    /// Writes the first message.
    Initiator = 1,
    /// Answers it.
    Responder = 2,
}

impl Pattern {
    /// The pattern with this id.
    ///
    /// # Errors
    /// [`DecodeError`] for 0 and every unknown id.
    pub fn from_u8(id: u8) -> Result<Self, DecodeError> {
        match id {
            1 => Ok(Self::Xx),
            2 => Ok(Self::Ik),
            _ => Err(DecodeError::new("preamble", DecodeReason::Invalid("unknown pattern id"))),
        }
    }

    /// The id on the wire.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The Noise protocol name, which the handshake hashes.
    ///
    /// ```
    /// use sealwire_core::Suite;
    /// use sealwire_noise::Pattern;
    /// assert_eq!(
    ///     Pattern::Ik.name(Suite::AesGcm),
    ///     "Noise_IKhfs+psk0_25519+MLKEM768_AESGCM_SHA256"
    /// );
    /// ```
    pub const fn name(self, suite: Suite) -> &'static str {
        match (self, suite) {
            (Self::Xx, Suite::AesGcm) => "Noise_XXhfs_25519+MLKEM768_AESGCM_SHA256",
            (Self::Xx, Suite::ChaChaPoly) => "Noise_XXhfs_25519+MLKEM768_ChaChaPoly_SHA256",
            (Self::Ik, Suite::AesGcm) => "Noise_IKhfs+psk0_25519+MLKEM768_AESGCM_SHA256",
            (Self::Ik, Suite::ChaChaPoly) => "Noise_IKhfs+psk0_25519+MLKEM768_ChaChaPoly_SHA256",
        }
    }

    /// snow's parameters. It knows one KEM word only, so the name is parsed with that word and
    /// the true name, which is what gets hashed, is put back.
    pub(crate) fn params(self, suite: Suite) -> Result<NoiseParams, Error> {
        let name = self.name(suite);
        let mut params: NoiseParams = name
            .replace("MLKEM768", "Kyber1024")
            .parse()
            .map_err(|_| Error::Unreachable("the pattern name parses"))?;
        params.name = name.to_owned();
        Ok(params)
    }
}

impl Role {
    /// The value in a proof.
    pub const fn id(self) -> u8 {
        self as u8
    }
}
