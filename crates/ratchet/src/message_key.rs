//! The key of one message.

use sealwire_core::{
    Suite,
    aead::{AeadKey, NONCE_LEN},
    kdf,
    label::Label,
    secret::Secret,
};

use crate::Error;

/// Opens one message, and only ever sealed one.
pub(crate) struct MessageKey(Secret<32>);

/// The cipher of one message, used once.
pub(crate) struct MessageCipher {
    pub(crate) key: AeadKey,
    pub(crate) nonce: [u8; NONCE_LEN],
}

impl MessageKey {
    pub(crate) fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The sealed header is the salt. Its nonce is random, so two copies of one state that seal
    /// different messages under one message key share no key and nonce.
    // RAT-12
    pub(crate) fn cipher(&self, suite: Suite, header: &[u8]) -> Result<MessageCipher, Error> {
        let info = Label::RATCHET_MESSAGE.context(Some(suite), &[])?;
        let output: Secret<44> = kdf::hkdf(&kdf::sha256(&[header]), self.expose(), &info);
        let (key, nonce) = output.expose().split_at(32);
        let key = AeadKey::new(suite.aead(), &Secret::from_slice(key)?)?;
        let nonce = nonce.try_into().map_err(|_| Error::Unreachable("44 less 32 is 12"))?;
        Ok(MessageCipher { key, nonce })
    }
}
