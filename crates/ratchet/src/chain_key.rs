//! Chain keys: each gives one message key and the next chain key.

use sealwire_core::{kdf, secret::Secret};

use crate::message_key::MessageKey;

/// The first key of a chain, of which the root step does not know the direction.
pub(crate) struct ChainKey(Secret<32>);

/// The key of our sending chain.
pub(crate) struct SendingChainKey(ChainKey);

/// The key of a receiving chain. Another type, so that no message key serves both directions.
pub(crate) struct ReceivingChainKey(ChainKey);

impl ChainKey {
    pub(crate) fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    pub(crate) fn into_sending(self) -> SendingChainKey {
        SendingChainKey(self)
    }

    pub(crate) fn into_receiving(self) -> ReceivingChainKey {
        ReceivingChainKey(self)
    }

    // RAT-11
    fn step(&self) -> (Self, MessageKey) {
        #[cfg(test)]
        count::one();
        let derive = |constant: u8| {
            Secret::init_with(|out| *out = kdf::hmac(self.0.expose(), &[&[constant]]))
        };
        (Self(derive(0x02)), MessageKey::new(derive(0x01)))
    }
}

macro_rules! directed {
    ($name:ident) => {
        impl $name {
            /// The next key of the chain, and the key of this message.
            pub(crate) fn step(&self) -> (Self, MessageKey) {
                let (next, key) = self.0.step();
                (Self(next), key)
            }

            pub(crate) fn expose(&self) -> &[u8; 32] {
                self.0.0.expose()
            }
        }
    };
}

directed!(SendingChainKey);
directed!(ReceivingChainKey);

/// How many steps chains made, to prove that a refusal made none.
#[cfg(test)]
pub(crate) mod count {
    use std::cell::Cell;

    std::thread_local! {
        static STEPS: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn one() {
        STEPS.set(STEPS.get() + 1);
    }

    /// The steps of this thread during `work`.
    pub(crate) fn during<R>(work: impl FnOnce() -> R) -> (R, u64) {
        let before = STEPS.get();
        let result = work();
        (result, STEPS.get() - before)
    }
}
