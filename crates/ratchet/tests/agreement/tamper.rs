//! First messages that were changed on the way.

use sealwire_core::{DecodeError, DecodeReason, Suite};
use sealwire_ratchet::{
    Error,
    agreement::{FirstMessage, MAX_SEALED},
};
use sealwire_testkit::zero_shared_secret_publics;

use crate::{
    common::{ALL_LEFT, Agent, BOTH, NEITHER, alice, bob},
    forge::RawBundle,
};

const SUITE: usize = 2;
const KX: usize = 3;
const SPK: usize = 7;
const OPK: usize = 11;
const KEM: usize = 15;
const EPHEMERAL: usize = 19;
const CIPHERTEXT: usize = 51;
const SEALED: usize = 1139;

fn sent(bob: &Agent) -> Vec<u8> {
    alice().write_to(bob, bob.one_time(0, BOTH), Suite::AesGcm).prefix
}

fn with(prefix: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut changed = prefix.to_vec();
    changed[offset..offset + bytes.len()].copy_from_slice(bytes);
    changed
}

fn decode(prefix: &[u8]) -> Option<DecodeError> {
    FirstMessage::from_prefix(prefix).err()
}

// attack T32
// AGR-1, AGR-2
#[test]
fn bad_first_messages_are_refused_before_any_cryptography() {
    let bob = bob();
    let prefix = sent(&bob);
    assert_eq!(decode(&prefix), None);
    for cut in 0..prefix.len() {
        assert!(decode(&prefix[..cut]).is_some(), "{cut}");
    }
    let len = |len: u16| with(&prefix, SEALED, &len.to_be_bytes());
    let sealed = u16::try_from(prefix.len() - SEALED - 2).expect("short");
    let invalid = |rule| Some(DecodeReason::Invalid(rule));
    for (name, bytes, reason) in [
        ("type 2", with(&prefix, 1, &[2]), invalid("is of type 1")),
        ("type 0", with(&prefix, 1, &[0]), invalid("is of type 1")),
        ("kx_id 0", with(&prefix, KX, &[0; 4]), invalid("keys are numbered from 1")),
        ("spk_id 0", with(&prefix, SPK, &[0; 4]), invalid("keys are numbered from 1")),
        ("kem_id 0", with(&prefix, KEM, &[0; 4]), invalid("keys are numbered from 1")),
        ("opk_id 0", with(&prefix, OPK, &[0; 4]), None),
        ("a sealed part of nothing", len(0)[..SEALED + 2].to_vec(), {
            invalid("the sealed part is not empty")
        }),
        ("a sealed part of a tag", len(16)[..SEALED + 2 + 16].to_vec(), {
            invalid("the sealed part is not empty")
        }),
        ("a sealed part that ends early", len(sealed + 1), Some(DecodeReason::Truncated)),
        ("a byte behind the sealed part", len(sealed - 1), Some(DecodeReason::Trailing)),
        ("a sealed part over 32 KiB", len(32_769), Some(DecodeReason::TooLong(MAX_SEALED))),
        ("a sealed part of 64 KiB", len(u16::MAX), Some(DecodeReason::TooLong(MAX_SEALED))),
    ] {
        assert_eq!(decode(&bytes).map(|error| error.reason()), reason, "{name}");
    }
    for version in (0..=255).filter(|version| *version != 1) {
        let error = decode(&with(&prefix, 0, &[version])).expect("another version");
        assert_eq!(error.reason(), DecodeReason::UnknownVersion(version));
    }
}

// attack T6
#[test]
fn another_suite_is_no_suite_or_does_not_open() {
    let bob = bob();
    let prefix = sent(&bob);
    for suite in (0..=255).filter(|suite| *suite != 1) {
        let changed = with(&prefix, SUITE, &[suite]);
        let error = bob.open(&changed).expect_err("another suite");
        if suite == 2 {
            assert_eq!(error, Error::Open);
        } else {
            assert!(matches!(error, Error::Decode(_)), "{suite}");
        }
    }
}

// attack T1: as an ephemeral key.
#[test]
fn an_ephemeral_key_that_gives_a_zero_secret_is_refused() {
    let bob = bob();
    let prefix = sent(&bob);
    for public in zero_shared_secret_publics() {
        assert!(decode(&with(&prefix, EPHEMERAL, &public)).is_some(), "{public:?}");
    }
}

// attack T18: every bit of a first message counts, and none changes anything.
// AGR-16
#[test]
fn a_changed_first_message_does_not_open_and_changes_nothing() {
    let (alice, bob) = (alice(), bob());
    for left in ALL_LEFT {
        let sent = alice.write_to(&bob, bob.one_time(0, left), Suite::ChaChaPoly);
        let before = bob.state();
        for index in (0..sent.prefix.len()).step_by(7).chain(0..60).chain(1135..1145) {
            let mut changed = sent.prefix.clone();
            changed[index] ^= 1 << (index % 8);
            // The number of the exchange keys: the caller finds none such.
            if (KX..SPK).contains(&index) {
                continue;
            }
            let result = bob.receive(&changed, alice.identity());
            assert!(result.is_err(), "byte {index}, {left:?}");
        }
        assert_eq!(bob.state(), before);
        assert!(bob.receive(&sent.prefix, alice.identity()).is_ok(), "the control");
    }
}

// attack T10: implicit rejection shows nowhere but at the AEAD.
// AGR-15, AGR-17
#[test]
fn a_changed_ciphertext_fails_as_a_changed_sealed_part_does() {
    let bob = bob();
    for left in [BOTH, NEITHER] {
        let prefix = alice().write_to(&bob, bob.one_time(0, left), Suite::AesGcm).prefix;
        for bit in (0..1088 * 8).step_by(97).chain([1088 * 8 - 1]) {
            let at = CIPHERTEXT + bit / 8;
            let changed = with(&prefix, at, &[prefix[at] ^ (1 << (bit % 8))]);
            assert_eq!(bob.open(&changed).expect_err("changed"), Error::Open, "bit {bit}");
        }
        let last = prefix.len() - 1;
        let changed = with(&prefix, last, &[prefix[last] ^ 1]);
        assert_eq!(bob.open(&changed).expect_err("changed"), Error::Open);
    }
}

// attack T10: the KEM key under one bundle is that of another, whose owner passes the message on.
#[test]
fn a_message_to_one_kem_key_does_not_open_under_another() {
    let (alice, bob, carol) = (alice(), bob(), crate::common::mallory());
    // Bob signs Carol's KEM key as his own: Carol can decapsulate, and nobody else gets further.
    let raw = RawBundle { kem: carol.publics.kem.as_bytes().to_vec(), ..RawBundle::of(&bob) };
    let swapped = Agent { bundle: raw.signed_by(&bob), ..self::bob() };
    let sent = alice.write_to(&swapped, swapped.one_time(0, NEITHER), Suite::AesGcm);
    assert_eq!(bob.open(&sent.prefix).expect_err("another ek"), Error::Open);
    assert_eq!(carol.open(&sent.prefix).expect_err("another identity"), Error::Open);
}

// attack T20
// AGR-14
#[test]
fn a_message_to_keys_that_are_not_held_is_refused_before_any_agreement() {
    let bob = bob();
    let prefix = sent(&bob);
    for (name, offset) in [("spk_id", SPK), ("opk_id", OPK), ("kem_id", KEM)] {
        for id in [1_000, u32::MAX - 1, u32::MAX] {
            let changed = with(&prefix, offset, &id.to_be_bytes());
            assert_eq!(bob.open(&changed).expect_err(name), Error::NoPrekey, "{name} {id}");
        }
    }
    // Keys that are held, and are not those that the message was made for.
    for (name, offset, id) in [("opk_id", OPK, 2u32), ("kem_id", KEM, 1), ("no opk_id", OPK, 0)] {
        let changed = with(&prefix, offset, &id.to_be_bytes());
        assert_eq!(bob.open(&changed).expect_err(name), Error::Open, "{name} {id}");
    }
    let changed = with(&prefix, KX, &9u32.to_be_bytes());
    assert!(matches!(bob.open(&changed), Err(Error::Misuse(_))));
}
