//! did:key for Ed25519: the multicodec prefix and the key in base58btc.

use sealwire_core::{DecodeError, DecodeReason, keys::VerifyingKey};

/// What every did:key begins with; `z` is multibase's code for base58btc.
const PREFIX: &str = "did:key:z";

/// Multicodec `ed25519-pub`, 0xed as a varint.
const ED25519_PUB: [u8; 2] = [0xED, 0x01];

/// Length of the text in bytes, the same for every key: 34 bytes that begin with 0xed01 take
/// 47 base58 digits.
const LEN: usize = PREFIX.len() + 47;

/// The did:key of `key`.
pub(crate) fn encode(key: &VerifyingKey) -> String {
    let mut bytes = ED25519_PUB.to_vec();
    bytes.extend_from_slice(key.as_bytes());
    format!("{PREFIX}{}", bs58::encode(bytes).into_string())
}

/// The key that a did:key names.
pub(crate) fn decode(text: &str) -> Result<VerifyingKey, DecodeError> {
    let refuse = |rule| DecodeError::new("agent id", DecodeReason::Invalid(rule));
    let digits = text.strip_prefix(PREFIX).ok_or(refuse("begins with did:key:z"))?;
    // ID-3: base58 takes quadratic time, so the length is checked first.
    if text.len() != LEN {
        return Err(refuse("names an Ed25519 key: did:key:z6Mk and 44 more characters"));
    }
    let bytes =
        bs58::decode(digits).into_vec().map_err(|_| refuse("base58btc: copy the id again"))?;
    let key = bytes
        .strip_prefix(&ED25519_PUB)
        .ok_or(refuse("names an Ed25519 key: did:key:z6Mk and 44 more characters"))?;
    // ID-4: canonical, on the curve, not of small order.
    let key = VerifyingKey::from_bytes(key)?;
    // ID-2: the one text of this key.
    if encode(&key) != text {
        return Err(DecodeError::new("agent id", DecodeReason::NonCanonical));
    }
    Ok(key)
}
