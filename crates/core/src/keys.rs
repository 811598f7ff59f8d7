//! Typed keys: Ed25519 for identity, X25519 for exchange. Never converted into one another.

use core::{fmt, ops::Deref};

use ed25519_dalek::Signer;
use rand_core::TryCryptoRng;

use crate::{
    DecodeError, DecodeReason, Error, backend, kem::SharedSecret, label::Context, secret::Secret,
};

/// An Ed25519 signing key (RFC 8032).
///
/// ```compile_fail,E0308
/// use sealwire_core::keys::SigningKey;
/// // attack T37: only a labelled message is signed, never bare bytes that a peer may choose.
/// fn sign_anything(key: &SigningKey, bytes: &[u8]) {
///     key.sign(bytes);
/// }
/// ```
///
/// ```compile_fail,E0599
/// use sealwire_core::keys::SigningKey;
/// // attack T37: a signing key cannot be cloned.
/// fn twice(key: SigningKey) -> [SigningKey; 2] {
///     [key.clone(), key]
/// }
/// ```
pub struct SigningKey {
    key: Box<ed25519_dalek::SigningKey>,
    public: VerifyingKey,
}

/// An Ed25519 public key: canonical and not of small order.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

/// An Ed25519 signature. Only verification tells whether it is a good one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

/// An X25519 public key (RFC 7748): canonical and not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct X25519Public([u8; 32]);

/// The public half of a [`StaticSecret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StaticPublic(X25519Public);

/// The public half of an [`EphemeralSecret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EphemeralPublic(X25519Public);

/// A long-lived X25519 secret.
pub struct StaticSecret {
    key: backend::ExchangeKey,
    public: StaticPublic,
}

/// An X25519 secret for one handshake. It lives no longer than that handshake's state.
pub struct EphemeralSecret {
    key: backend::ExchangeKey,
    public: EphemeralPublic,
}

impl SigningKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`Error::Randomness`].
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        Ok(Self::from_seed(&crate::rng::draw(rng)?))
    }

    /// The key of a stored 32-byte seed.
    pub fn from_seed(seed: &Secret<32>) -> Self {
        let key =
            crate::wipe::stack(|| Box::new(ed25519_dalek::SigningKey::from_bytes(seed.expose())));
        let public = VerifyingKey(key.verifying_key());
        Self { key, public }
    }

    /// The public key. It reveals nothing of the secret scalar.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs a labelled message.
    pub fn sign(&self, message: &Context) -> Signature {
        Signature(crate::wipe::stack(|| self.key.sign(message.as_bytes()).to_bytes()))
    }
}

impl VerifyingKey {
    /// Checks and takes a public key.
    ///
    /// # Errors
    /// [`DecodeError`] when it is not a canonical point or has small order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let error = |reason| DecodeError::new("Ed25519 public key", reason);
        let bytes: &[u8; 32] =
            bytes.try_into().map_err(|_| error(DecodeReason::Invalid("is 32 bytes long")))?;
        // RFC 8032 section 5.1.3 step 1: "If the resulting value is >= p, decoding fails."
        if !below_p(bytes) {
            return Err(error(DecodeReason::NonCanonical));
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes)
            .map_err(|_| error(DecodeReason::Invalid("is a point on the curve")))?;
        if key.is_weak() {
            return Err(error(DecodeReason::Invalid("is not of small order")));
        }
        Ok(Self(key))
    }

    /// The bytes on the wire.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Verifies with the strict rules: canonical S, no small-order R or A, no cofactor.
    ///
    /// # Errors
    /// [`Error::Signature`].
    pub fn verify(&self, message: &Context, signature: &Signature) -> Result<(), Error> {
        self.verify_bytes(message.as_bytes(), signature)
    }

    /// As [`VerifyingKey::verify`], for messages that an outside specification fixes.
    ///
    /// # Errors
    /// [`Error::Signature`].
    pub fn verify_bytes(&self, message: &[u8], signature: &Signature) -> Result<(), Error> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(message, &signature).map_err(|_| Error::Signature)
    }
}

impl Signature {
    /// Takes 64 bytes.
    ///
    /// # Errors
    /// [`DecodeError`] for any other length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        bytes.try_into().map(Self).map_err(|_| {
            DecodeError::new("Ed25519 signature", DecodeReason::Invalid("is 64 bytes long"))
        })
    }

    /// The bytes on the wire.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl X25519Public {
    /// Checks and takes a public key.
    ///
    /// # Errors
    /// [`DecodeError`] when it is not canonical (bit 255 set, or not below 2^255 - 19) or is
    /// one of the five canonical coordinates of small order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let error = |reason| DecodeError::new("X25519 public key", reason);
        let bytes: &[u8; 32] =
            bytes.try_into().map_err(|_| error(DecodeReason::Invalid("is 32 bytes long")))?;
        if bytes.last().is_some_and(|last| last & 0x80 != 0) || !below_p(bytes) {
            return Err(error(DecodeReason::NonCanonical));
        }
        if SMALL_ORDER_X25519.contains(bytes) {
            return Err(error(DecodeReason::Invalid("is not of small order")));
        }
        Ok(Self(*bytes))
    }

    /// The bytes on the wire.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Whether the low 255 bits, little-endian, are below p = 2^255 - 19.
fn below_p(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    *first < 0xED || last & 0x7F != 0x7F || middle.iter().any(|byte| *byte != 0xFF)
}

macro_rules! exchange_pair {
    ($secret:ident, $public:ident) => {
        impl $secret {
            /// Makes a new key pair.
            ///
            /// # Errors
            /// [`Error::Randomness`].
            pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
                Self::from_seed(&crate::rng::draw(rng)?)
            }

            /// The key pair of 32 secret bytes, which RFC 7748 clamps.
            ///
            /// # Errors
            /// [`Error::Unreachable`] when the backend refuses 32 bytes, which it never does.
            pub fn from_seed(seed: &Secret<32>) -> Result<Self, Error> {
                let (key, public) =
                    crate::wipe::stack(|| backend::ExchangeKey::from_bytes(seed.expose()))?;
                Ok(Self { key, public: $public(X25519Public(public)) })
            }

            /// The public key. It reveals nothing of the secret scalar.
            pub fn public(&self) -> &$public {
                &self.public
            }

            /// X25519 with the peer's public key.
            ///
            /// # Errors
            /// [`Error::NonContributory`] when the result is zero.
            pub fn agree(&self, peer: &X25519Public) -> Result<SharedSecret, Error> {
                let mut contributory = false;
                let shared = Secret::init_with(|out| {
                    contributory = crate::wipe::stack(|| self.key.agree(&peer.0, out));
                });
                if contributory {
                    Ok(SharedSecret::new(shared))
                } else {
                    Err(Error::NonContributory)
                }
            }
        }

        impl fmt::Debug for $secret {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($secret), "(..)"))
            }
        }

        impl $public {
            /// Checks and takes a public key.
            ///
            /// # Errors
            /// As [`X25519Public::from_bytes`].
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
                X25519Public::from_bytes(bytes).map(Self)
            }
        }

        impl Deref for $public {
            type Target = X25519Public;

            fn deref(&self) -> &X25519Public {
                &self.0
            }
        }
    };
}

exchange_pair!(StaticSecret, StaticPublic);
exchange_pair!(EphemeralSecret, EphemeralPublic);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyingKey").field(self.as_bytes()).finish()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(64 bytes)")
    }
}

impl fmt::Debug for X25519Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("X25519Public").field(&self.0).finish()
    }
}

/// The canonical u-coordinates of small order on the curve and its twist: 0, 1, the two of
/// order 8, and p - 1. Source: RFC 7748 section 6.1 and "May the Fourth Be With You" (Genkin
/// et al., 2017), whose remaining entries are not canonical.
const SMALL_ORDER_X25519: [[u8; 32]; 5] = [
    [0; 32],
    small_order(1, 0),
    [
        0xE0, 0xEB, 0x7A, 0x7C, 0x3B, 0x41, 0xB8, 0xAE, 0x16, 0x56, 0xE3, 0xFA, 0xF1, 0x9F, 0xC4,
        0x6A, 0xDA, 0x09, 0x8D, 0xEB, 0x9C, 0x32, 0xB1, 0xFD, 0x86, 0x62, 0x05, 0x16, 0x5F, 0x49,
        0xB8, 0x00,
    ],
    [
        0x5F, 0x9C, 0x95, 0xBC, 0xA3, 0x50, 0x8C, 0x24, 0xB1, 0xD0, 0xB1, 0x55, 0x9C, 0x83, 0xEF,
        0x5B, 0x04, 0x44, 0x5C, 0xC4, 0x58, 0x1C, 0x8E, 0x86, 0xD8, 0x22, 0x4E, 0xDD, 0xD0, 0x9F,
        0x11, 0x57,
    ],
    small_order(0xEC, 0xFF),
];

/// `first`, then 30 times `fill`, then `fill` without its top bit.
const fn small_order(first: u8, fill: u8) -> [u8; 32] {
    let mut bytes = [fill; 32];
    let [head, .., last] = &mut bytes;
    *head = first;
    *last = fill & 0x7F;
    bytes
}

#[cfg(test)]
mod tests;
