//! XChaCha20-Poly1305, which aws-lc does not have: RustCrypto under every feature.

use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};

use crate::aead::{TAG_LEN, XNONCE_LEN};

pub(crate) fn xchacha_seal(
    key: &[u8; 32],
    nonce: &[u8; XNONCE_LEN],
    associated: &[u8],
    message: &mut [u8],
) -> Option<[u8; TAG_LEN]> {
    let cipher = XChaCha20Poly1305::new(key.into());
    let tag = cipher.encrypt_inout_detached(nonce.into(), associated, message.into()).ok()?;
    Some(tag.into())
}

pub(crate) fn xchacha_open(
    key: &[u8; 32],
    nonce: &[u8; XNONCE_LEN],
    associated: &[u8],
    message: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Option<()> {
    let cipher = XChaCha20Poly1305::new(key.into());
    cipher.decrypt_inout_detached(nonce.into(), associated, message.into(), tag.into()).ok()
}
