//! An established session: the two record directions and the channel binding.

use sealwire_core::{Suite, secret::Secret};

use crate::{
    Error, Role,
    record::{Opener, Sealer},
};

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
    binding: [u8; 32],
    suite: Suite,
}

impl Session {
    /// The end of this role, from the record keys: the initiator's sending key comes first.
    pub(crate) fn new(
        suite: Suite,
        role: Role,
        [to_responder, to_initiator]: [Secret<32>; 2],
        binding: [u8; 32],
    ) -> Result<Self, Error> {
        let (sending, receiving) = match role {
            Role::Initiator => (to_responder, to_initiator),
            Role::Responder => (to_initiator, to_responder),
        };
        let (sealer, opener) = (Sealer::new(suite, sending)?, Opener::new(suite, receiving)?);
        Ok(Self { sealer, opener, binding, suite })
    }

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
