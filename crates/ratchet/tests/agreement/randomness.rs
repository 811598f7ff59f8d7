//! Generators that fail: nothing changes, and no key is made of what they gave.

use sealwire_core::Suite;
use sealwire_ratchet::{
    Error, agreement,
    prekey::{OneTimeKeys, Prekeys, Rotation},
};
use sealwire_testkit::rng::{BrokenRng, Fault};

use crate::common::{NONE, NOW, alice, bob, reply};

const FAULTS: [Fault; 5] =
    [Fault::Always, Fault::Once(0), Fault::Once(1), Fault::Repeating, Fault::Zero];

// attack T31
// AGR-4
#[test]
fn no_agreement_is_made_with_a_broken_generator() {
    let (alice, bob) = (alice(), bob());
    for fault in FAULTS {
        let (local, bundle) = (alice.local(), bob.verified());
        let mut rng = BrokenRng::new(fault);
        let keys = OneTimeKeys::default();
        let sent =
            agreement::initiate(&local, &bundle, keys, Suite::AesGcm, reply(), NOW, &mut rng);
        assert_eq!(sent.expect_err("broken"), Error::Randomness, "{fault:?}");
    }
    let (local, bundle) = (alice.local(), bob.verified());
    let mut rng = BrokenRng::new(Fault::Once(2));
    let keys = OneTimeKeys::default();
    let sent = agreement::initiate(&local, &bundle, keys, Suite::AesGcm, reply(), NOW, &mut rng);
    assert!(sent.is_ok(), "the control: two draws are all there are");
}

// attack T31
// PRE-3
#[test]
fn no_prekey_is_made_with_a_broken_generator() {
    let bob = bob();
    let before = bob.state();
    for fault in FAULTS.into_iter().chain([Fault::Once(2)]) {
        let mut rng = BrokenRng::new(fault);
        let made = Prekeys::generate(0, NOW, &mut rng);
        assert_eq!(made.expect_err("broken"), Error::Randomness, "{fault:?}");
        let mut rng = BrokenRng::new(fault);
        let made = bob.prekeys.rotate(Rotation::Now, NOW, &mut rng);
        assert_eq!(made.expect_err("broken"), Error::Randomness, "{fault:?}");
    }
    // 100 X25519 seeds and the two halves of 20 ML-KEM seeds.
    for call in [0, 99, 100, 101, 139] {
        let mut rng = BrokenRng::new(Fault::Once(call));
        let made = bob.prekeys.refill(&bob.publisher(), NONE, NOW, &mut rng);
        assert_eq!(made.expect_err("broken"), Error::Randomness, "call {call}");
    }
    for fault in [Fault::Repeating, Fault::Zero] {
        let mut rng = BrokenRng::new(fault);
        let made = bob.prekeys.refill(&bob.publisher(), NONE, NOW, &mut rng);
        assert_eq!(made.expect_err("broken"), Error::Randomness, "{fault:?}");
    }
    let mut rng = BrokenRng::new(Fault::Once(140));
    assert!(bob.prekeys.refill(&bob.publisher(), NONE, NOW, &mut rng).is_ok(), "the control");
    assert_eq!(bob.state(), before);
}
