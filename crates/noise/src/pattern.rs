//! The two handshake patterns and their Noise names.

use core::ops::RangeInclusive;

use sealwire_core::{DecodeError, DecodeReason, Suite};
use snow::params::NoiseParams;

use crate::{Error, MAX_PAYLOAD};

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

    /// The lengths that message `number`, counted from 1, may have, in bytes: its tokens and a
    /// payload of at most [`MAX_PAYLOAD`]. A reader needs no more room, and a message of any
    /// other length is refused before it costs anything. `None` for a message that the pattern
    /// does not have.
    ///
    /// ```
    /// use sealwire_noise::Pattern;
    /// assert_eq!(Pattern::Xx.message_lengths(1), Some(1216..=1216));
    /// assert_eq!(Pattern::Ik.message_lengths(1), Some(1296..=1296 + 32 * 1024));
    /// assert_eq!(Pattern::Ik.message_lengths(3), None);
    /// ```
    pub const fn message_lengths(self, number: usize) -> Option<RangeInclusive<usize>> {
        // HS-10
        let tokens = match (self, number) {
            (Self::Xx, 1) => return Some(RangeInclusive::new(1216, 1216)),
            (Self::Xx, 2) => 1200,
            (Self::Xx, 3) => 64,
            (Self::Ik, 1) => 1296,
            (Self::Ik, 2) => 1152,
            _ => return None,
        };
        Some(RangeInclusive::new(tokens, tokens + MAX_PAYLOAD))
    }

    /// Refuses a message of a length that message `number` cannot have.
    pub(crate) fn check_length(self, number: usize, message: &[u8]) -> Result<(), Error> {
        match self.message_lengths(number) {
            Some(lengths) if lengths.contains(&message.len()) => Ok(()),
            _ => Err(Error::Handshake),
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

#[cfg(test)]
mod tests {
    use super::*;

    // HS-10: the tokens of each message as the specification counts them, and a payload of at
    // most 32 KiB.
    #[test]
    fn a_message_one_byte_too_short_or_too_long_is_refused() {
        for (pattern, number, shortest, longest) in [
            (Pattern::Xx, 1, 1216, 1216),
            (Pattern::Xx, 2, 1200, 1200 + 32_768),
            (Pattern::Xx, 3, 64, 64 + 32_768),
            (Pattern::Ik, 1, 1296, 1296 + 32_768),
            (Pattern::Ik, 2, 1152, 1152 + 32_768),
        ] {
            assert_eq!(pattern.message_lengths(number), Some(shortest..=longest));
            for (len, fits) in [
                (0, false),
                (shortest - 1, false),
                (shortest, true),
                (longest, true),
                (longest + 1, false),
            ] {
                let checked = pattern.check_length(number, &vec![0; len]);
                assert_eq!(checked.is_ok(), fits, "{pattern:?} {number}: {len} bytes");
            }
        }
        for (pattern, number) in
            [(Pattern::Xx, 0), (Pattern::Xx, 4), (Pattern::Ik, 0), (Pattern::Ik, 3)]
        {
            assert_eq!(pattern.message_lengths(number), None, "{pattern:?} {number}");
            assert_eq!(pattern.check_length(number, &[0; 1216]), Err(Error::Handshake));
        }
    }

    // HS-2
    #[test]
    fn patterns_and_roles_have_the_ids_of_the_specification() {
        assert_eq!([Pattern::Xx, Pattern::Ik].map(Pattern::id), [1, 2]);
        assert_eq!([Role::Initiator, Role::Responder].map(Role::id), [1, 2]);
        for id in 0..=255 {
            let known = Pattern::from_u8(id).map(Pattern::id);
            assert_eq!(known.ok(), (1..=2).contains(&id).then_some(id));
        }
    }
}
