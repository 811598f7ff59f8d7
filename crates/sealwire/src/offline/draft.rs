//! A message to be sent.

use core::fmt;

use sealwire_core::kdf;
use zeroize::Zeroizing;

/// A message for [`Agent::send`](crate::Agent::send): bytes, and what tells a repetition of it.
///
/// ```
/// use sealwire::Draft;
/// let draft = Draft::new(b"pay 7 to carol").once(b"order 4711");
/// # let _ = draft;
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    pub(super) payload: Zeroizing<Vec<u8>>,
    pub(super) once: Option<[u8; kdf::HASH_LEN]>,
}

impl Draft {
    /// A message of these bytes.
    pub fn new(payload: &[u8]) -> Self {
        Self { payload: Zeroizing::new(payload.to_vec()), once: None }
    }

    /// Sends it once, however often it is tried: a message to the same peer with the same key is
    /// not sent again for 7 days, and sending gives the id of the first.
    #[must_use]
    pub fn once(self, key: &[u8]) -> Self {
        Self { once: Some(kdf::sha256(&[key])), ..self }
    }
}

impl From<&[u8]> for Draft {
    fn from(payload: &[u8]) -> Self {
        Self::new(payload)
    }
}

impl<const N: usize> From<&[u8; N]> for Draft {
    fn from(payload: &[u8; N]) -> Self {
        Self::new(payload)
    }
}

impl From<Vec<u8>> for Draft {
    fn from(payload: Vec<u8>) -> Self {
        Self { payload: Zeroizing::new(payload), once: None }
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draft(..)")
    }
}
