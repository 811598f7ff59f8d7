//! Handshakes with somebody between the peers who changes bytes.

use sealwire_core::{DecodeReason, Suite, kdf, label::Label};
use sealwire_noise::{Claim, Error, GateKey, Preamble, Session, initiator, responder};
use sealwire_testkit::zero_shared_secret_publics;

use crate::peers::{Peer, alice, bob, rngs, start_ik, start_xx, xx};

const SUITE: Suite = Suite::ChaChaPoly;

/// Answers XX message 1 and lets the initiator read the answer.
fn answer_xx(preamble: &Preamble, message1: &[u8], sent: initiator::XxSent) -> Result<(), Error> {
    let (message2, _) = responder::answer_xx(bob().local(), preamble, message1, &mut rngs(0).1)?;
    sent.read(&message2).map(|_| ())
}

fn answer_ik(
    bob: &Peer,
    preamble: &Preamble,
    message1: &[u8],
) -> Result<Claim<responder::IkProven>, Error> {
    responder::answer_ik(bob.local(), preamble, message1, &mut rngs(0).1)
}

/// What somebody who has the responder's card does after a change: a gate that fits.
fn close_gate(bob: &Peer, preamble: &[u8], message1: &[u8]) -> Vec<u8> {
    let context = Label::NOISE_GATE.context(None, &[bob.publics.kem.as_bytes()]).expect("short");
    let key = kdf::sha256(&[context.as_bytes()]);
    let before = &preamble[..preamble.len() - 32];
    [before, &kdf::hmac(&key, &[before, message1])].concat()
}

fn flipped(bytes: &[u8], place: usize, mask: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= mask;
    bytes
}

/// Places in a message of `len` bytes: its borders, the borders of its fields, and between.
fn places(len: usize, fields: &[usize]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..len).step_by(61).collect();
    for border in fields.iter().chain([&0, &len]) {
        places.extend(border.saturating_sub(1)..(border + 1).min(len));
    }
    places.sort_unstable();
    places.dedup();
    places
}

// HS-3
#[test]
fn every_changed_bit_of_an_xx_preamble_is_refused() {
    // attack T6
    let (preamble, ..) = start_xx(&alice(), SUITE, 0);
    let bytes = preamble.to_bytes();
    assert_eq!(bytes, [1, 2, 1, 2, 1, 2, 0, 0, 0, 0]);
    for bit in 0..bytes.len() * 8 {
        let changed = flipped(&bytes, bit / 8, 1 << (bit % 8));
        // Every change of one bit makes a preamble that does not decode.
        assert!(Preamble::from_bytes(&changed).is_err(), "bit {bit}");
    }
}

// HS-3, HS-4
#[test]
fn a_changed_suite_offer_or_version_ends_the_handshake() {
    // attack T6
    let (alice, bob) = (alice(), bob());
    let (xx, xx_1, _) = start_xx(&alice, SUITE, 0);
    let (ik, ik_1, _) = start_ik(&alice, &bob, SUITE, 0);
    let (xx, ik) = (xx.to_bytes(), ik.to_bytes());
    let replace = |bytes: &[u8], with: &[u8]| [with, &bytes[6..]].concat();
    // version, suite, pattern, count, offered
    for (name, xx_head, ik_head) in [
        ("the other suite", &[1, 1, 1, 2, 1, 2][..], &[1, 1, 2, 2, 1, 2][..]),
        ("one suite fewer", &[1, 2, 1, 1, 2], &[1, 2, 2, 1, 2]),
    ] {
        let preamble = Preamble::from_bytes(&replace(&xx, xx_head)).expect(name);
        let sent = start_xx(&alice, SUITE, 0).2;
        assert_eq!(answer_xx(&preamble, &xx_1, sent), Err(Error::Handshake), "{name}");

        let changed = replace(&ik, ik_head);
        let preamble = Preamble::from_bytes(&changed).expect(name);
        assert_eq!(answer_ik(&bob, &preamble, &ik_1).map(|_| ()), Err(Error::Gate), "{name}");
        let preamble = Preamble::from_bytes(&close_gate(&bob, &changed, &ik_1)).expect(name);
        assert_eq!(answer_ik(&bob, &preamble, &ik_1).map(|_| ()), Err(Error::Handshake), "{name}");
    }
    for version in (0..=255).filter(|version| *version != 1) {
        for preamble in [&xx, &ik] {
            let error = Preamble::from_bytes(&replace(preamble, &[version, 2, 1, 2, 1, 2]));
            let reason = error.expect_err("a version").reason();
            assert_eq!(reason, DecodeReason::UnknownVersion(version));
        }
    }
    // A pattern that is not the one meant, in the bytes of the other.
    for bytes in [flipped(&xx, 2, 3), flipped(&ik, 2, 3)] {
        assert!(Preamble::from_bytes(&bytes).is_err());
    }
}

// HS-5
#[test]
fn every_changed_bit_of_an_ik_preamble_is_stopped_at_the_gate() {
    // attack T6
    let bob = bob();
    let (preamble, message1, _) = start_ik(&alice(), &bob, SUITE, 0);
    let key = GateKey::new(&bob.publics.kem).expect("a key");
    let bytes = preamble.to_bytes();
    assert_eq!(bytes.len(), 10 + 1088 + 32);
    assert_eq!(preamble.check_gate(&key, &message1), Ok(()));
    for bit in 0..bytes.len() * 8 {
        let changed = flipped(&bytes, bit / 8, 1 << (bit % 8));
        let Ok(changed) = Preamble::from_bytes(&changed) else { continue };
        assert_eq!(changed.check_gate(&key, &message1), Err(Error::Gate), "bit {bit}");
    }
    let other = GateKey::new(&alice().publics.kem).expect("a key");
    assert_eq!(preamble.check_gate(&other, &message1), Err(Error::Gate));
}

// HS-4, HS-6
#[test]
fn a_changed_ik_preamble_with_a_gate_that_fits_fails_like_every_other_message() {
    // attack T6, T10
    let bob = bob();
    let (preamble, message1, _) = start_ik(&alice(), &bob, SUITE, 0);
    let bytes = preamble.to_bytes();
    // Bytes 10 to 1,097 are the ciphertext: a change gives another secret and no error of its
    // own.
    for place in places(bytes.len() - 32, &[10]).into_iter().filter(|place| *place >= 10) {
        let changed = close_gate(&bob, &flipped(&bytes, place, 1), &message1);
        let changed = Preamble::from_bytes(&changed).expect("a preamble");
        let refused = answer_ik(&bob, &changed, &message1).map(|_| ());
        assert_eq!(refused, Err(Error::Handshake), "byte {place}");
    }
}

#[test]
fn an_ephemeral_key_that_gives_zero_ends_the_handshake() {
    // attack T1
    let (alice, bob) = (alice(), bob());
    let (xx, xx_1, _) = start_xx(&alice, SUITE, 0);
    let (ik, ik_1, _) = start_ik(&alice, &bob, SUITE, 0);
    let xx_2 = responder::answer_xx(bob.local(), &xx, &xx_1, &mut rngs(0).1).expect("XX 2").0;
    for public in zero_shared_secret_publics() {
        let with = |message: &[u8]| [&public[..], &message[32..]].concat();
        let answered = responder::answer_xx(bob.local(), &xx, &with(&xx_1), &mut rngs(0).1);
        assert_eq!(answered.map(|_| ()), Err(Error::Handshake), "{public:?}");
        let sent = start_xx(&alice, SUITE, 0).2;
        assert_eq!(sent.read(&with(&xx_2)).map(|_| ()), Err(Error::Handshake), "{public:?}");
        let message1 = with(&ik_1);
        let ik = Preamble::from_bytes(&close_gate(&bob, &ik.to_bytes(), &message1)).expect("IK");
        let answered = answer_ik(&bob, &ik, &message1).map(|_| ());
        assert_eq!(answered, Err(Error::Handshake), "{public:?}");
    }
}

#[test]
fn an_encapsulation_key_with_a_coefficient_over_the_modulus_ends_the_handshake() {
    // attack T10
    let (preamble, message1, _) = start_xx(&alice(), SUITE, 0);
    for place in [32, 32 + 3 * 100, 32 + 1149] {
        let mut changed = message1.clone();
        // Coefficients are 12 bits, two in three bytes: this one becomes 0xFFF.
        changed[place] = 0xFF;
        changed[place + 1] |= 0x0F;
        let answered = responder::answer_xx(bob().local(), &preamble, &changed, &mut rngs(0).1);
        assert_eq!(answered.map(|_| ()), Err(Error::Handshake), "byte {place}");
    }
}

#[test]
fn every_change_to_message_1_ends_the_handshake() {
    // attack T10
    let (alice, bob) = (alice(), bob());
    let (xx, xx_1, _) = start_xx(&alice, SUITE, 0);
    let (ik, ik_1, _) = start_ik(&alice, &bob, SUITE, 0);
    // e, e1
    for place in places(xx_1.len(), &[32]) {
        let sent = start_xx(&alice, SUITE, 0).2;
        let outcome = answer_xx(&xx, &flipped(&xx_1, place, 0x40), sent);
        assert_eq!(outcome, Err(Error::Handshake), "XX byte {place}");
    }
    // e, e1 and its tag, s and its tag, payload and its tag
    let len = ik_1.len();
    for place in places(len, &[32, 1216, 1232, 1264, 1280, len - 16]) {
        let changed = flipped(&ik_1, place, 0x40);
        assert_eq!(answer_ik(&bob, &ik, &changed).map(|_| ()), Err(Error::Gate));
        let ik = Preamble::from_bytes(&close_gate(&bob, &ik.to_bytes(), &changed)).expect("IK");
        let outcome = answer_ik(&bob, &ik, &changed).map(|_| ());
        assert_eq!(outcome, Err(Error::Handshake), "IK byte {place}");
    }
}

#[test]
fn every_change_to_message_2_or_3_ends_the_handshake() {
    // attack T10
    let (alice, bob) = (alice(), bob());
    let ([xx_1, xx_2, xx_3], _, _) = xx(&alice, &bob, SUITE, 0);
    let xx = start_xx(&alice, SUITE, 0).0;
    // e, ekem1 and its tag, s and its tag, payload and its tag
    for place in places(xx_2.len(), &[32, 1120, 1136, 1168, 1184, xx_2.len() - 16]) {
        let sent = start_xx(&alice, SUITE, 0).2;
        let outcome = sent.read(&flipped(&xx_2, place, 0x40)).map(|_| ());
        assert_eq!(outcome, Err(Error::Handshake), "XX 2 byte {place}");
    }
    for place in places(xx_3.len(), &[32, 48, xx_3.len() - 16]) {
        let answer = responder::answer_xx(bob.local(), &xx, &xx_1, &mut rngs(0).1);
        let outcome = answer.expect("XX 2").1.read(&flipped(&xx_3, place, 0x40)).map(|_| ());
        assert_eq!(outcome, Err(Error::Handshake), "XX 3 byte {place}");
    }
    let (ik, ik_1, _) = start_ik(&alice, &bob, SUITE, 0);
    let proven = answer_ik(&bob, &ik, &ik_1).expect("IK 1").prove(alice.identity()).expect("Alice");
    let (ik_2, _) = proven.reply(&alice.id).expect("IK 2");
    for place in places(ik_2.len(), &[32, 1120, 1136, ik_2.len() - 16]) {
        let sent = start_ik(&alice, &bob, SUITE, 0).2;
        let outcome = sent.read(&flipped(&ik_2, place, 0x40)).map(|_| ());
        assert_eq!(outcome, Err(Error::Handshake), "IK 2 byte {place}");
    }
}

/// Lengths from nothing to one byte over `len`, denser at the end.
fn lengths(len: usize) -> Vec<usize> {
    let mut lengths: Vec<usize> = (0..len).step_by(97).collect();
    lengths.extend(len.saturating_sub(100).max(1)..len);
    lengths.push(len + 1);
    lengths
}

/// The first `len` bytes, or all and one more.
fn cut(message: &[u8], len: usize) -> Vec<u8> {
    let mut message = message.to_vec();
    message.resize(len, 0);
    message
}

// HS-10
#[test]
fn every_cut_of_a_message_is_refused() {
    // attack T24
    let (alice, bob) = (alice(), bob());
    let ([xx_1, xx_2, xx_3], _, _) = xx(&alice, &bob, SUITE, 0);
    let (xx, ..) = start_xx(&alice, SUITE, 0);
    for len in (0..xx_1.len()).chain([xx_1.len() + 1]) {
        let answer = responder::answer_xx(bob.local(), &xx, &cut(&xx_1, len), &mut rngs(0).1);
        assert_eq!(answer.map(|_| ()), Err(Error::Handshake), "XX 1 {len}");
    }
    for len in lengths(xx_2.len()) {
        let outcome = start_xx(&alice, SUITE, 0).2.read(&cut(&xx_2, len)).map(|_| ());
        assert_eq!(outcome, Err(Error::Handshake), "XX 2 {len}");
    }
    for len in lengths(xx_3.len()) {
        let answer = responder::answer_xx(bob.local(), &xx, &xx_1, &mut rngs(0).1);
        let outcome = answer.expect("XX 2").1.read(&cut(&xx_3, len)).map(|_| ());
        assert_eq!(outcome, Err(Error::Handshake), "XX 3 {len}");
    }
    let (ik, ik_1, _) = start_ik(&alice, &bob, SUITE, 0);
    let proven = answer_ik(&bob, &ik, &ik_1).expect("IK 1").prove(alice.identity()).expect("Alice");
    let (ik_2, _) = proven.reply(&alice.id).expect("IK 2");
    for len in lengths(ik_1.len()) {
        let changed = cut(&ik_1, len);
        let ik = Preamble::from_bytes(&close_gate(&bob, &ik.to_bytes(), &changed)).expect("IK");
        let outcome = answer_ik(&bob, &ik, &changed).map(|_| ());
        assert_eq!(outcome, Err(Error::Handshake), "IK 1 {len}");
    }
    for len in lengths(ik_2.len()) {
        let outcome = start_ik(&alice, &bob, SUITE, 0).2.read(&cut(&ik_2, len)).map(|_| ());
        assert_eq!(outcome, Err(Error::Handshake), "IK 2 {len}");
    }
}

#[test]
fn messages_of_another_session_are_refused() {
    let (alice, bob) = (alice(), bob());
    let ([_, other_2, other_3], _, _): ([Vec<u8>; 3], Session, Session) =
        xx(&alice, &bob, SUITE, 1);
    let (preamble, message1, sent) = start_xx(&alice, SUITE, 0);
    assert_eq!(sent.read(&other_2).map(|_| ()), Err(Error::Handshake));
    let answer = responder::answer_xx(bob.local(), &preamble, &message1, &mut rngs(0).1);
    assert_eq!(answer.expect("XX 2").1.read(&other_3).map(|_| ()), Err(Error::Handshake));
    // A message that comes back to who sent it.
    let sent = start_ik(&alice, &bob, SUITE, 0);
    assert_eq!(sent.2.read(&sent.1).map(|_| ()), Err(Error::Handshake));
}
