//! What holds for every input of the decoders of this crate. The fuzz targets of the same names
//! include this file, and the tests at its foot replay the targets' corpora. Each says whether the
//! input was read.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

use std::sync::LazyLock;

use sealwire_core::{
    Error,
    label::{Context, Label},
    secret::Secret,
};
use sealwire_hybrid::{
    OVERHEAD, Recipient, XWingCiphertext, XWingPublic, XWingSecret, open_from, seal_to,
};
use sealwire_testkit::rng::SeededRng;

/// The plaintext of the one message that was ever sealed.
const PLAINTEXT: &[u8] = b"to Bob";

/// The recipient, and the message that was sealed to it.
static BOB: LazyLock<(XWingSecret, Vec<u8>)> = LazyLock::new(|| {
    let seed = Secret::init_with(|seed: &mut [u8; XWingSecret::SEED_LEN]| seed.fill(1));
    let bob = XWingSecret::from_seed(&seed).expect("a seed");
    let mut rng = SeededRng::new(1);
    let sealed = seal_to(bob.public(), &info(), b"", PLAINTEXT, &mut rng).expect("a message");
    (bob, sealed)
});

fn info() -> Context {
    Label::RECORD_KEY.context(None, &[b"alice to bob"]).expect("a short field")
}

/// Keys and ciphertexts are read only from the bytes that they are written as. What is read can
/// be used.
pub fn xwing(bytes: &[u8]) -> bool {
    let public = XWingPublic::from_bytes(bytes).inspect(|public| {
        assert_eq!(public.to_bytes(), bytes);
        public.encapsulate(&mut SeededRng::new(2)).expect("randomness");
    });
    let ciphertext = XWingCiphertext::from_bytes(bytes).inspect(|ciphertext| {
        assert_eq!(ciphertext.to_bytes(), bytes);
        BOB.0.decapsulate(ciphertext).expect("a secret, if only a wrong one");
    });
    public.is_ok() || ciphertext.is_ok()
}

/// Nothing opens but what was sealed; what does not, fails in one way.
pub fn sealed(bytes: &[u8]) -> bool {
    let (bob, sealed) = &*BOB;
    let opened = open_from(bob, &info(), b"", bytes);
    if bytes == sealed {
        assert_eq!(bytes.len(), OVERHEAD + PLAINTEXT.len());
        assert!(opened.is_ok_and(|plaintext| *plaintext == PLAINTEXT));
        return true;
    }
    assert_eq!(opened, Err(Error::Open));
    false
}

#[cfg(test)]
mod replay {
    use sealwire_testkit::corpus::replay;

    // attack T32
    #[test]
    fn xwing() {
        replay("xwing", super::xwing);
    }

    // attack T32
    #[test]
    fn sealed() {
        replay("sealed", super::sealed);
    }
}
