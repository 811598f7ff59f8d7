//! What an agreement leaves: the input of a session.

use core::fmt;

use sealwire_core::{Suite, kdf, label::Context, secret::Secret};

/// The secret of an agreement, SK, and the hash of what both sides saw of it, H_AD.
///
/// A session consumes it. Whoever needs no more than a shared secret stops here.
///
/// ```compile_fail,E0599
/// // attack T37: two sessions from one agreement would use their keys twice.
/// fn copy(agreed: sealwire_ratchet::Agreed) -> (sealwire_ratchet::Agreed, sealwire_ratchet::Agreed) {
///     (agreed.clone(), agreed)
/// }
/// ```
pub struct Agreed {
    pub(crate) suite: Suite,
    pub(crate) sk: Secret<32>,
    pub(crate) h_ad: [u8; kdf::HASH_LEN],
}

impl Agreed {
    pub(crate) fn new(suite: Suite, sk: Secret<32>, ad: &Context) -> Self {
        Self { suite, sk, h_ad: kdf::sha256(&[ad.as_bytes()]) }
    }

    /// The suite that the initiator chose.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// SK. Feed it to a KDF; never use it as a key.
    pub fn secret(&self) -> &Secret<32> {
        &self.sk
    }

    /// SHA-256 over AD, in which both agents, their devices and every public value stand.
    pub fn transcript(&self) -> &[u8; kdf::HASH_LEN] {
        &self.h_ad
    }
}

impl fmt::Debug for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suite, sk: _, h_ad: _ } = self;
        f.debug_struct("Agreed").field("suite", suite).finish_non_exhaustive()
    }
}
