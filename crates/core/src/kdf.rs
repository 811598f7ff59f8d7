//! SHA-256, HMAC-SHA-256 and HKDF-SHA-256 (RFC 2104, RFC 5869), with labelled info.

use hmac::{KeyInit, Mac};
use sha2::Digest;
use zeroize::{Zeroize, Zeroizing};

use crate::{label::Context, secret::Secret};

type HmacSha256 = hmac::Hmac<sha2::Sha256>;

/// Output length of SHA-256, in bytes.
pub const HASH_LEN: usize = 32;

/// SHA-256 over the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> [u8; HASH_LEN] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()
}

/// SHA-256, fed piece by piece. Its state is wiped on drop.
#[derive(Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// The hash of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        Digest::update(&mut self.0, bytes);
    }

    /// The digest; the state starts anew.
    pub fn finalize(&mut self) -> [u8; HASH_LEN] {
        self.0.finalize_reset().into()
    }
}

impl core::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sha256(..)")
    }
}

/// HMAC-SHA-256 over the concatenation of `parts`. Compare a tag with
/// [`equal`](crate::secret::equal).
pub fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; HASH_LEN] {
    // RFC 2104 section 2: a shorter key is filled up with zeros to a block.
    let mut block = Zeroizing::new([0; 64]);
    if let Some(start) = block.first_chunk_mut() {
        *start = *key;
    }
    let mut mac = HmacSha256::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HKDF-SHA-256(salt, ikm, info) of `N` bytes.
///
/// `N` is at most 255 blocks of 32 bytes, checked when the call is compiled.
pub fn hkdf<const N: usize>(salt: &[u8], ikm: &[u8], info: &Context) -> Secret<N> {
    expand(&extract(salt, ikm), info.as_bytes())
}

/// HKDF-Extract (RFC 5869 section 2.2). For outside specifications; ours use [`hkdf`].
pub fn extract(salt: &[u8], ikm: &[u8]) -> Secret<HASH_LEN> {
    let (mut prk, _) = hkdf::Hkdf::<sha2::Sha256>::extract(Some(salt), ikm);
    let secret = Secret::init_with(|out| out.copy_from_slice(&prk));
    prk.zeroize();
    secret
}

/// HKDF-Expand (RFC 5869 section 2.3). For outside specifications, whose info is not
/// labelled; ours use [`hkdf`].
pub fn expand<const N: usize>(prk: &Secret<HASH_LEN>, info: &[u8]) -> Secret<N> {
    const { assert!(N <= 255 * HASH_LEN, "HKDF-SHA-256 gives at most 8,160 bytes") };
    Secret::init_with(|out| {
        // Errors are a PRK under 32 bytes or an output over 8,160: neither can be built here.
        if let Ok(hkdf) = hkdf::Hkdf::<sha2::Sha256>::from_prk(prk.expose()) {
            let _ = hkdf.expand(info, out);
        }
    })
}

/// SHAKE-256 (FIPS 202), for outside specifications that ask for it.
pub(crate) fn shake256(input: &[u8], out: &mut [u8]) {
    use shake::{ExtendableOutput, Update, XofReader};
    let mut hash = shake::Shake256::default();
    hash.update(input);
    hash.finalize_xof().read(out);
}
