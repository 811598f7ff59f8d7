//! Both sides agree, whatever one-time keys were left, and on nothing else.

use sealwire_core::{Suite, Timestamp, pad::FRAME_CLASSES};
use sealwire_ratchet::{
    Error,
    agreement::{self, FirstMessage, Introduction, Local, Relation, ReplyTo},
    prekey::{OneTimeKeys, Rotation, SIGNED_KEPT},
};
use sealwire_testkit::rng::SeededRng;

use crate::common::{ALL_LEFT, BOTH, DAY, NEITHER, NOW, alice, bob, reply};

// AGR-5, AGR-6, AGR-7
#[test]
fn both_sides_agree_in_every_suite_and_with_every_kind_of_prekey() {
    let (alice, bob) = (alice(), bob());
    for suite in Suite::ALL {
        for left in ALL_LEFT {
            let sent = alice.write_to(&bob, bob.one_time(3, left), suite);
            let claim = bob.open(&sent.prefix).expect("a first message");
            assert_eq!(claim.introduced().card(), alice.card());
            assert_eq!(claim.introduced().evidence(), b"evidence");
            assert_eq!(claim.introduced().log(), None);
            assert_eq!(claim.introduced().reply(), &reply());
            let accepted = claim.prove(alice.identity()).expect("Alice");
            assert!(accepted.agreed.secret() == sent.agreed.secret(), "{suite:?} {left:?}");
            assert_eq!(accepted.agreed.transcript(), sent.agreed.transcript());
            assert_eq!(accepted.agreed.suite(), suite);
            assert_eq!(accepted.reply, reply());
            assert_eq!(accepted.used.x25519().is_some(), left.x25519);
            assert_eq!(accepted.used.kem().is_some(), left.kem);
            assert_eq!(accepted.replay.is_some(), !left.x25519 && !left.kem);
            assert_eq!((sent.one_time_x25519, sent.one_time_kem), (left.x25519, left.kem));
        }
    }
}

#[test]
fn two_agreements_have_nothing_in_common() {
    let (alice, bob) = (alice(), bob());
    let write = |seed| {
        let (local, bundle) = (alice.local(), bob.verified());
        let (keys, mut rng) = (bob.one_time(0, BOTH), SeededRng::new(seed));
        agreement::initiate(&local, &bundle, keys, Suite::AesGcm, reply(), NOW, &mut rng)
            .expect("an agreement")
    };
    let (one, two) = (write(1), write(2));
    assert!(one.agreed.secret() != two.agreed.secret());
    assert_ne!(one.agreed.transcript(), two.agreed.transcript());
    assert_ne!(one.prefix, two.prefix);
}

// PRE-16: a bundle that a sender holds is good for what it says, whatever was published since.
#[test]
fn a_first_message_in_flight_opens_after_the_signed_prekey_was_rotated() {
    let (alice, mut bob) = (alice(), bob());
    let mut rng = SeededRng::new(5);
    let sent = alice.write_to(&bob, bob.one_time(0, NEITHER), Suite::AesGcm);
    for day in [7, 14, 21] {
        let now = NOW.plus(day * DAY);
        let change = bob.prekeys.rotate(Rotation::WhenDue, now, &mut rng).expect("randomness");
        bob.prekeys.apply(change.expect("due")).expect("fresh");
        if let Some(change) = bob.prekeys.expire(now) {
            bob.prekeys.apply(change).expect("fresh");
        }
        let accepted = bob.receive(&sent.prefix, alice.identity()).expect("kept");
        assert!(accepted.agreed.secret() == sent.agreed.secret(), "day {day}");
    }
    let first = FirstMessage::from_prefix(&sent.prefix).expect("a first message");
    let last = NOW.plus(SIGNED_KEPT);
    assert!(bob.prekeys.find(&first, last).is_ok());
    // Past its time it is not used, deleted or not.
    assert_eq!(bob.prekeys.find(&first, last.plus(1)).expect_err("over"), Error::NoPrekey);
    let change = bob.prekeys.expire(last.plus(1)).expect("something to drop");
    bob.prekeys.apply(change).expect("fresh");
    assert_eq!(bob.prekeys.find(&first, NOW).expect_err("gone"), Error::NoPrekey);
}

// PRE-7, PRE-13: what has expired since it was verified is not used.
#[test]
fn expiry_is_checked_again_when_keys_are_used() {
    let (alice, bob) = (alice(), bob());
    let initiate = |left, now: Timestamp| {
        let (local, bundle, keys) = (alice.local(), bob.verified(), bob.one_time(0, left));
        let mut rng = SeededRng::new(1);
        agreement::initiate(&local, &bundle, keys, Suite::AesGcm, reply(), now, &mut rng)
            .map(|sent| sent.one_time_x25519)
    };
    assert_eq!(initiate(BOTH, NOW.plus(14 * DAY)), Ok(true));
    let late = NOW.plus(14 * DAY + 1);
    assert_eq!(initiate(NEITHER, late), Err(Error::Expired("prekey bundle")));
}

#[test]
fn one_time_keys_of_another_agent_are_misuse() {
    let (alice, bob, carol) = (alice(), bob(), crate::common::mallory());
    for (name, keys) in [
        ("X25519", OneTimeKeys { x25519: carol.one_time(0, BOTH).x25519, kem: None }),
        ("ML-KEM", OneTimeKeys { x25519: None, kem: carol.one_time(0, BOTH).kem }),
    ] {
        let (local, bundle) = (alice.local(), bob.verified());
        let mut rng = SeededRng::new(1);
        let sent =
            agreement::initiate(&local, &bundle, keys, Suite::AesGcm, reply(), NOW, &mut rng);
        assert!(matches!(sent, Err(Error::Misuse(_))), "{name}");
    }
}

// AGR-10
#[test]
fn what_the_responder_would_refuse_is_misuse_of_the_initiator() {
    let (alice, bob) = (alice(), bob());
    let of_card = |len| Introduction { card: vec![1; len], ..Introduction::default() };
    let mailbox = |len| ReplyTo { mailbox: Some(vec![1; len]), capability: None };
    let token = |len| ReplyTo { mailbox: None, capability: Some(vec![1; len]) };
    let nothing = ReplyTo::default;
    for (name, introduction, reply, fits) in [
        ("a card of 32,600 bytes", of_card(32_600), nothing(), true),
        ("a card of 32,700 bytes", of_card(32_700), nothing(), false),
        ("a card of 70,000 bytes", of_card(70_000), nothing(), false),
        ("a mailbox of 64 bytes", of_card(1), mailbox(64), true),
        ("a mailbox of 65 bytes", of_card(1), mailbox(65), false),
        ("a capability of 256 bytes", of_card(1), token(256), true),
        ("a capability of 257 bytes", of_card(1), token(257), false),
    ] {
        let local = Local::new(alice.keys.clone(), alice.kx(), introduction);
        let (bundle, keys) = (bob.verified(), OneTimeKeys::default());
        let mut rng = SeededRng::new(1);
        let sent = agreement::initiate(&local, &bundle, keys, Suite::AesGcm, reply, NOW, &mut rng);
        match sent {
            Ok(sent) => assert!(fits && bob.open(&sent.prefix).is_ok(), "{name}"),
            Err(error) => assert!(!fits && matches!(error, Error::Misuse(_)), "{name}"),
        }
    }
}

// AGR-11, AGR-13
#[test]
fn a_frame_is_told_from_those_of_stored_sessions() {
    let (alice, bob) = (alice(), bob());
    let sent = alice.write_to(&bob, bob.one_time(0, BOTH), Suite::AesGcm);
    let other = alice.write_to(&bob, bob.one_time(1, BOTH), Suite::AesGcm);
    let first = FirstMessage::from_prefix(&sent.prefix).expect("a first message");
    assert_eq!(first.relation(&sent.prefix), Relation::Same);
    // The same seed, so the same ephemeral key, with other prekeys.
    assert_eq!(first.relation(&other.prefix), Relation::Conflict);
    let mut changed = sent.prefix.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    assert_eq!(first.relation(&changed), Relation::Conflict);
    changed[20] ^= 1;
    assert_eq!(first.relation(&changed), Relation::Other);
    assert_eq!(first.relation(b""), Relation::Other);
}

// AGR-2
#[test]
fn a_frame_has_one_of_four_lengths_and_a_prefix_no_more() {
    let (alice, bob) = (alice(), bob());
    let sent = alice.write_to(&bob, bob.one_time(0, BOTH), Suite::AesGcm);
    for class in FRAME_CLASSES {
        let mut frame = sent.prefix.clone();
        frame.resize(class, 0xAB);
        let first = FirstMessage::from_frame(&frame).expect("a frame");
        assert_eq!(first.prefix(), sent.prefix);
        assert_eq!(first.message(), &frame[sent.prefix.len()..]);
        assert_eq!((first.kx(), first.suite()), (bob.kx(), Suite::AesGcm));
        for len in [class - 1, class + 1] {
            frame.resize(len, 0xAB);
            assert!(FirstMessage::from_frame(&frame).is_err(), "{len}");
        }
    }
    assert!(FirstMessage::from_frame(&sent.prefix).is_err());
    assert!(FirstMessage::from_prefix(&[&sent.prefix[..], &[0]].concat()).is_err());
}
