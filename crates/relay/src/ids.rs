//! What things are called.

use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use sealwire_core::{DecodeError, DecodeReason, kdf, keys::VerifyingKey};
use sealwire_identity::AgentId;

/// One running state of an agent: replicas are devices of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "an agent and a number")]
pub struct Device {
    /// The agent.
    pub agent: AgentId,
    /// Its number, 0 for an agent that has one.
    pub number: u32,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Of these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads the text form: base64url without padding, 22 characters.
            ///
            /// # Errors
            /// [`DecodeError`] for any other text.
            pub fn parse(text: &str) -> Result<Self, DecodeError> {
                parse($what, text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&Base64UrlUnpadded::encode_string(&self.0))
            }
        }

        // Logs show no ids.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

ids! {
    /// Names a mailbox to its owner: the first 16 bytes of SHA-256 of its public key.
    ReceiveId, "mailbox id";
    /// Names a mailbox to those who send to it: random, chosen by its owner. Nothing but the
    /// relay joins it to the [`ReceiveId`].
    SendId, "mailbox id";
    /// Names a message: random, chosen by its sender, and the same each time it is sent again.
    MessageId, "message id";
    /// What a deposit capability is revoked by.
    Token, "token";
    /// What makes a signature or a claim one of its kind.
    Nonce, "nonce";
}

impl ReceiveId {
    /// The id of the mailbox with this key.
    // REL-12
    pub fn of(key: &VerifyingKey) -> Self {
        let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            kdf::sha256(&[key.as_bytes()]);
        Self(id)
    }
}

/// Who claims prekeys, as far as a relay needs to know: SHA-256 of the key id of the signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caller([u8; 32]);

impl Caller {
    /// Whoever signs with this key id.
    pub fn of(key_id: &str) -> Self {
        Self(kdf::sha256(&[key_id.as_bytes()]))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caller(..)")
    }
}

fn parse(what: &'static str, text: &str) -> Result<[u8; 16], DecodeError> {
    let mut bytes = [0; 16];
    match Base64UrlUnpadded::decode(text, &mut bytes) {
        Ok(decoded) if decoded.len() == 16 => Ok(bytes),
        _ => Err(DecodeError::new(
            what,
            DecodeReason::Invalid("16 bytes in base64url, 22 characters without padding"),
        )),
    }
}
