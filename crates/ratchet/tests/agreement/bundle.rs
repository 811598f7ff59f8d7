//! Bundles that a claimer must refuse.

use std::io::Read;

use base64ct::{Base64, Encoding};
use sealwire_core::{DecodeReason, label::Label};
use sealwire_ratchet::{
    Error,
    prekey::{BundlePin, Contact, PeerKeys, Rotation, UnverifiedBundle},
};
use sealwire_testkit::{
    rng::SeededRng,
    vectors::{json, passed},
    zero_shared_secret_publics,
};

use crate::{
    common::{DAY, NOW, bob, contact, mallory},
    forge::{RawBundle, RawPage, framed, sign},
};

const BUNDLE: &str = "prekey bundle";

// attack T5
// PRE-5, PRE-6
#[test]
fn a_signature_that_is_not_over_this_bundle_is_refused() {
    let (bob, mallory) = (bob(), mallory());
    let raw = RawBundle::of(&bob);
    let body = raw.body();
    let good = sign(&*bob.keys, Label::PREKEY_BUNDLE, &bob.id, &body);
    assert!(bob.verify(&framed(&body, &good)).is_ok(), "the control");
    let other = RawBundle { sequence: 2, ..raw.clone() }.body();
    let swapped =
        RawBundle { spk_id: raw.kem_id + 1, kem_id: raw.spk_id + 1, ..raw.clone() }.body();
    let expired = RawBundle { not_after: NOW.as_secs() - 1, ..raw.clone() }.body();
    let page = RawPage::of(&bob, 1, &raw.spk);
    for (name, signature) in [
        ("by another identity", sign(&*mallory.keys, Label::PREKEY_BUNDLE, &bob.id, &body)),
        ("for another agent", sign(&*bob.keys, Label::PREKEY_BUNDLE, &mallory.id, &body)),
        ("under the label of a card", sign(&*bob.keys, Label::CARD, &bob.id, &body)),
        ("under the label of a page", sign(&*bob.keys, Label::PREKEY_PAGE, &bob.id, &body)),
        ("under the label of a proof", sign(&*bob.keys, Label::AGREEMENT_PROOF, &bob.id, &body)),
        ("over another bundle", sign(&*bob.keys, Label::PREKEY_BUNDLE, &bob.id, &other)),
        ("with the two prekeys' ids changed", {
            sign(&*bob.keys, Label::PREKEY_BUNDLE, &bob.id, &swapped)
        }),
        ("over an expired bundle", sign(&*bob.keys, Label::PREKEY_BUNDLE, &bob.id, &expired)),
        ("of a page with the same key", {
            page.signature(&*bob.keys, Label::PREKEY_PAGE, &bob.id)
        }),
        ("of zeros", vec![0; 64]),
    ] {
        let error = bob.verify(&framed(&body, &signature)).expect_err(name);
        assert_eq!(error, Error::Signature(BUNDLE), "{name}");
    }
    for (name, signature) in [("empty", &good[..0]), ("cut", &good[..63]), ("longer", &[0; 65])] {
        let error = bob.verify(&framed(&body, signature)).expect_err(name);
        assert!(matches!(error, Error::Decode(_)), "{name}: {error}");
    }
    let mut stripped = vec![1, 0x81, 0x59];
    stripped.extend_from_slice(&u16::try_from(body.len()).expect("short").to_be_bytes());
    stripped.extend_from_slice(&body);
    assert!(matches!(bob.verify(&stripped), Err(Error::Decode(_))), "no signature at all");
}

// attack T5, T6: there is no classical form of a bundle to fall back to.
// PRE-5
#[test]
fn a_bundle_without_a_kem_key_is_malformed() {
    let bob = bob();
    let raw = RawBundle::of(&bob);
    let nine = |body: &[u8]| {
        // The ten fields without the sixth, in an array of nine.
        let whole = raw.kem.len() + 3;
        let start = body.windows(3).position(|head| head == [0x59, 0x04, 0xA0]).expect("the key");
        let mut cut = [&body[..start], &body[start + whole..]].concat();
        cut[0] = 0x89;
        cut
    };
    let null = |body: &[u8]| {
        let whole = raw.kem.len() + 3;
        let start = body.windows(3).position(|head| head == [0x59, 0x04, 0xA0]).expect("the key");
        [&body[..start], &[0xF6], &body[start + whole..]].concat()
    };
    let swap = RawBundle { spk: raw.kem.clone(), kem: raw.spk.clone(), ..raw.clone() };
    for (name, body) in [
        ("left out", nine(&raw.body())),
        ("null", null(&raw.body())),
        ("empty", RawBundle { kem: Vec::new(), ..raw.clone() }.body()),
        ("an X25519 key", RawBundle { kem: raw.spk.clone(), ..raw.clone() }.body()),
        ("in the other's place", swap.body()),
        ("of ML-KEM-512", RawBundle { kem: raw.kem[..800].to_vec(), ..raw.clone() }.body()),
        ("without a number", RawBundle { kem_id: 0, ..raw.clone() }.body()),
    ] {
        let signature = sign(&*bob.keys, Label::PREKEY_BUNDLE, &bob.id, &body);
        let error = bob.verify(&framed(&body, &signature)).expect_err(name);
        assert!(matches!(error, Error::Decode(_)), "{name}: {error}");
    }
}

// attack T1: as a signed prekey. As ephemeral keys: tests in tamper; as one-time keys: in page.
// PRE-4
#[test]
fn a_signed_prekey_that_gives_a_zero_secret_is_refused() {
    let bob = bob();
    for public in zero_shared_secret_publics() {
        let raw = RawBundle { spk: public.to_vec(), ..RawBundle::of(&bob) };
        assert!(matches!(bob.verify(&raw.signed_by(&bob)), Err(Error::Decode(_))), "{public:?}");
    }
}

/// The keys of a vector file of C2SP CCTV, each with a coefficient that is too large.
pub(crate) fn modulus_keys() -> Vec<Vec<u8>> {
    let file = json(include_str!("../../../core/tests/vectors/cctv-ml-kem-768-modulus.json"));
    let packed =
        Base64::decode_vec(file["invalid_ek_gz_b64"].as_str().expect("text")).expect("base64");
    let mut lines = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut lines).expect("gzip");
    lines.lines().map(|line| hex::decode(line).expect("hex")).collect()
}

// attack T10
#[test]
fn a_kem_key_with_a_coefficient_too_large_is_refused() {
    let bob = bob();
    let keys = modulus_keys();
    for key in &keys {
        let raw = RawBundle { kem: key.clone(), ..RawBundle::of(&bob) };
        let error = UnverifiedBundle::from_bytes(&raw.signed_by(&bob)).expect_err("invalid");
        assert_eq!(error.reason(), DecodeReason::NonCanonical);
    }
    assert_eq!(keys.len(), 780);
    passed("cctv ml-kem-768 modulus, in a bundle", keys.len());
}

// PRE-5
#[test]
fn bad_fields_are_refused() {
    let bob = bob();
    let raw = RawBundle::of(&bob);
    for (name, bad) in [
        ("a card hash of 31 bytes", RawBundle { card_hash: vec![1; 31], ..raw.clone() }),
        ("a device over 32 bits", RawBundle { device: 1 << 32, ..raw.clone() }),
        ("signed prekey 0", RawBundle { spk_id: 0, ..raw.clone() }),
        ("a signed prekey id over 32 bits", RawBundle { spk_id: 1 << 32, ..raw.clone() }),
        ("a mailbox of 65 bytes", RawBundle { mailbox: vec![1; 65], ..raw.clone() }),
        ("a capability of 257 bytes", RawBundle { capability: vec![1; 257], ..raw.clone() }),
        ("sequence 0", RawBundle { sequence: 0, ..raw.clone() }),
    ] {
        let error = UnverifiedBundle::from_bytes(&bad.signed_by(&bob)).expect_err(name);
        assert!(matches!(error.reason(), DecodeReason::Invalid(_)), "{name}: {error}");
    }
    // attack T20
    for (name, good) in [
        ("the last id and device", {
            let last = u64::from(u32::MAX);
            RawBundle { spk_id: last, kem_id: last, device: last, ..raw.clone() }
        }),
        ("the last sequence", RawBundle { sequence: u64::MAX, ..raw.clone() }),
        ("no mailbox", RawBundle { mailbox: vec![], capability: vec![], ..raw.clone() }),
        ("the longest", RawBundle { mailbox: vec![1; 64], capability: vec![1; 256], ..raw }),
    ] {
        assert!(UnverifiedBundle::from_bytes(&good.signed_by(&bob)).is_ok(), "{name}");
    }
}

// attack T32
#[test]
fn no_cut_and_no_other_encoding_of_a_bundle_is_read() {
    let bytes = bob().bundle;
    assert!(UnverifiedBundle::from_bytes(&bytes).is_ok());
    for cut in 0..bytes.len() {
        assert!(UnverifiedBundle::from_bytes(&bytes[..cut]).is_err(), "{cut}");
    }
    let refused = |name: &str, bytes: &[u8], reason| {
        assert_eq!(UnverifiedBundle::from_bytes(bytes).expect_err(name).reason(), reason, "{name}");
    };
    refused("a trailing byte", &[&bytes[..], &[0]].concat(), DecodeReason::Trailing);
    refused("an endless array", &[&[1, 0x9F], &bytes[2..], &[0xFF]].concat(), {
        DecodeReason::NonCanonical
    });
    refused(
        "a long array head",
        &[&[1, 0x98, 2], &bytes[2..]].concat(),
        DecodeReason::NonCanonical,
    );
    refused("too long", &[0; 2049], DecodeReason::TooLong(2048));
    for version in (0..=255).filter(|version| *version != 1) {
        let changed = [&[version], &bytes[1..]].concat();
        refused("another version", &changed, DecodeReason::UnknownVersion(version));
    }
}

// attack T7: the verified identity is compared with the bundle.
#[test]
fn a_bundle_of_another_agent_card_or_device_is_refused() {
    let (bob, mallory) = (bob(), mallory());
    // Mallory's bundle where Bob's was asked for, and Bob's keys in a bundle that Mallory signs.
    let error = bob.verify(&mallory.bundle).expect_err("of Mallory");
    assert_eq!(error, Error::Signature(BUNDLE));
    let error = bob.verify(&RawBundle::of(&bob).signed_by(&mallory)).expect_err("by Mallory");
    assert_eq!(error, Error::Signature(BUNDLE));
    for (name, raw) in [
        ("another card", RawBundle { card_hash: vec![7; 32], ..RawBundle::of(&bob) }),
        ("another device", RawBundle { device: 1, ..RawBundle::of(&bob) }),
    ] {
        let error = bob.verify(&raw.signed_by(&bob)).expect_err(name);
        assert_eq!(error, Error::Mismatch(BUNDLE), "{name}");
    }
    let asked = UnverifiedBundle::from_bytes(&bob.bundle).expect("sound");
    let error = asked.verify(&bob.peer_keys(), 1, None, NOW).expect_err("device 1 was asked for");
    assert_eq!(error, Error::Mismatch(BUNDLE));
}

// attack T14: a bundle that was kept since before the identity key or the card changed.
#[test]
fn a_bundle_under_a_revoked_key_or_card_is_refused_at_use() {
    let (bob, next) = (bob(), mallory());
    let kept = UnverifiedBundle::from_bytes(&bob.bundle).expect("sound");
    let rotated = PeerKeys { key: next.keys.identity(), ..bob.peer_keys() };
    let error = kept.clone().verify(&rotated, 0, None, NOW).expect_err("the key was rotated");
    assert_eq!(error, Error::Signature(BUNDLE));
    let renewed = PeerKeys { card_hash: [9; 32], ..bob.peer_keys() };
    let error = kept.verify(&renewed, 0, None, NOW).expect_err("the card was replaced");
    assert_eq!(error, Error::Mismatch(BUNDLE));
}

// attack T15: an older bundle, and another with the same sequence.
// PRE-8
#[test]
fn an_older_and_a_forked_bundle_are_refused() {
    let bob = bob();
    let of = |sequence, mailbox: &[u8]| {
        let raw = RawBundle { sequence, mailbox: mailbox.to_vec(), ..RawBundle::of(&bob) };
        UnverifiedBundle::from_bytes(&raw.signed_by(&bob)).expect("sound")
    };
    let verify = |bundle: UnverifiedBundle, pin: Option<&BundlePin>| {
        bundle.verify(&bob.peer_keys(), 0, pin, NOW)
    };
    let pin = verify(of(5, b"a"), None).expect("the first").pin();
    for (name, bundle, expected) in [
        ("the same", of(5, b"a"), None),
        ("the next", of(6, b"b"), None),
        ("the last", of(u64::MAX, b"b"), None),
        ("an older", of(4, b"a"), Some(Error::OlderBundle)),
        ("the first", of(1, b"a"), Some(Error::OlderBundle)),
        ("a fork", of(5, b"b"), Some(Error::ForkedBundle)),
    ] {
        assert_eq!(verify(bundle, Some(&pin)).err(), expected, "{name}");
    }
    let bytes = pin.to_bytes();
    assert_eq!(BundlePin::from_bytes(&bytes), Ok(pin));
    for cut in 0..bytes.len() {
        assert!(BundlePin::from_bytes(&bytes[..cut]).is_err(), "{cut}");
    }
    assert!(BundlePin::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
}

// attack T30
// PRE-7
#[test]
fn a_bundle_is_good_until_its_last_second_and_lives_no_longer_than_it_may() {
    let bob = bob();
    let until = |secs: u64| RawBundle { not_after: secs, ..RawBundle::of(&bob) }.signed_by(&bob);
    let now = NOW.as_secs();
    for (name, not_after, expected) in [
        ("over for a second", now - 1, Some(Error::Expired(BUNDLE))),
        ("over for ever", 0, Some(Error::Expired(BUNDLE))),
        ("its last second", now, None),
        ("14 days and 5 minutes", now + 14 * DAY + 300, None),
        ("a second more", now + 14 * DAY + 301, Some(Error::Lifetime(BUNDLE))),
        ("the end of time", u64::MAX, Some(Error::Lifetime(BUNDLE))),
    ] {
        assert_eq!(bob.verify(&until(not_after)).err(), expected, "{name}");
    }
}

// PRE-15
#[test]
fn each_bundle_of_an_owner_is_newer_than_the_one_before() {
    let mut bob = bob();
    let first = bob.verified();
    let change = bob.prekeys.rotate(Rotation::Now, NOW.plus(1), &mut SeededRng::new(4));
    bob.prekeys.apply(change.expect("room").expect("asked for")).expect("fresh");
    let (second, change) =
        bob.prekeys.bundle(&bob.publisher(), &contact(), NOW.plus(1)).expect("a bundle");
    bob.prekeys.apply(change).expect("fresh");
    let second = UnverifiedBundle::from_bytes(&second).expect("sound");
    let pin = first.pin();
    let second = second.verify(&bob.peer_keys(), 0, Some(&pin), NOW).expect("newer");
    assert_eq!(second.not_after(), first.not_after().plus(1));
    assert_eq!(second.mailbox(), contact().mailbox);
    assert_eq!(second.capability(), contact().capability);
}

// PRE-15: an owner that was away too long rotates before it publishes.
#[test]
fn an_owner_signs_no_bundle_that_its_peers_would_refuse() {
    let bob = bob();
    let bundle = |contact: &Contact, now| bob.prekeys.bundle(&bob.publisher(), contact, now).err();
    assert_eq!(bundle(&contact(), NOW.plus(14 * DAY)), None);
    assert_eq!(bundle(&contact(), NOW.plus(14 * DAY + 1)), Some(Error::Expired(BUNDLE)));
    let long = Contact { mailbox: vec![0; 65], ..contact() };
    assert!(matches!(bundle(&long, NOW), Some(Error::Decode(_))));
}
