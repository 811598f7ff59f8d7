//! An established session: the two record directions and the channel binding.

use sealwire_core::Suite;

use crate::record::{Opener, Sealer};

/// What a completed handshake leaves: one sealer, one opener, nothing of the handshake itself.
///
/// ```compile_fail,E0599
/// # use sealwire_noise::Session;
/// // Two copies would use a nonce twice.
/// // attack T37
/// fn copy(session: Session) -> (Session, Session) {
///     (session.clone(), session)
/// }
/// ```
pub struct Session {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
    pub(crate) binding: [u8; 32],
    pub(crate) suite: Suite,
}

impl Session {
    /// Names this session to protocols above it: both sides have the same value, no other
    /// session has it. Never the handshake hash itself.
    pub fn channel_binding(&self) -> &[u8; 32] {
        &self.binding
    }

    /// The suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The sending and the receiving half.
    pub fn into_parts(self) -> (Sealer, Opener) {
        (self.sealer, self.opener)
    }
}

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { sealer, opener, binding: _, suite } = self;
        f.debug_struct("Session")
            .field("suite", suite)
            .field("sealer", sealer)
            .field("opener", opener)
            .finish_non_exhaustive()
    }
}
