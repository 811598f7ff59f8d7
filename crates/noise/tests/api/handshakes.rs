//! Handshakes between honest peers, and with a broken random number generator.

use sealwire_core::{Suite, SuiteSet};
use sealwire_noise::{
    Error, Introduction, MAX_PAYLOAD, Pattern, Session, initiator,
    record::{CloseReason, Opened},
    responder,
};
use sealwire_testkit::rng::{BrokenRng, Fault};

use crate::peers::{CARD_HASH, Peer, alice, bob, ik, rngs, start_ik, start_xx, xx};

/// Moves data both ways, then closes both ways.
fn talk(first: Session, second: Session) {
    let ((mut to_second, mut from_second), (mut to_first, mut from_first)) =
        (first.into_parts(), second.into_parts());
    let directions = [(&mut to_second, &mut from_first), (&mut to_first, &mut from_second)];
    for (sealer, opener) in directions {
        for content in [&b"one"[..], b"", b"three"] {
            let mut record = Vec::new();
            sealer.seal_data(content, &mut record).expect("open");
            assert_eq!(opener.open(&mut record[2..]), Ok(Opened::Data(content)));
        }
        let mut record = Vec::new();
        sealer.seal_close(CloseReason::Done, &mut record).expect("open");
        assert_eq!(opener.open(&mut record[2..]), Ok(Opened::Close(CloseReason::Done)));
    }
}

// HS-1, HS-10
#[test]
fn strangers_meet_with_xx_in_both_suites() {
    for suite in Suite::ALL {
        let ([message1, message2, message3], at_alice, at_bob) = xx(&alice(), &bob(), suite, 0);
        assert_eq!(at_alice.channel_binding(), at_bob.channel_binding());
        assert_eq!((at_alice.suite(), at_bob.suite()), (suite, suite));
        let payload = |id: &str| 1 + (2 + 8 + id.len()) - 1 + 1 + 1 + 1 + 2 + 64;
        assert_eq!(message1.len(), 1216);
        assert_eq!(message2.len(), 1200 + payload("bob"));
        assert_eq!(message3.len(), 64 + payload("alice"));
        talk(at_alice, at_bob);
    }
}

// HS-1, HS-11
#[test]
fn acquaintances_meet_with_ik_in_both_suites() {
    for suite in Suite::ALL {
        let ([message1, message2, confirmation], at_alice, at_bob) = ik(&alice(), &bob(), suite, 0);
        assert_eq!(at_alice.channel_binding(), at_bob.channel_binding());
        assert_eq!((at_alice.suite(), at_bob.suite()), (suite, suite));
        let payload = |id: &str| 1 + (2 + 8 + id.len()) - 1 + 1 + 1 + 1 + 2 + 64;
        assert_eq!(message1.len(), 1296 + payload("alice") + 2 + 32 - 1);
        assert_eq!(message2.len(), 1152 + payload("bob"));
        assert_eq!(confirmation.len(), 2 + 17);
        talk(at_alice, at_bob);
    }
}

#[test]
fn what_a_message_says_of_its_sender_arrives() {
    let (alice, bob) = (alice(), bob());
    let introduction = Introduction {
        id: alice.id.clone(),
        card: b"a card".to_vec(),
        log: Some(b"a log".to_vec()),
        evidence: b"evidence".to_vec(),
    };
    let (preamble, message1, _) = initiator::start_ik(
        alice.local_with(introduction),
        bob.known(),
        Suite::AesGcm,
        SuiteSet::all(),
        &mut rngs(0).0,
    )
    .expect("IK 1");
    assert_eq!((preamble.pattern(), preamble.kx()), (Pattern::Ik, Some(bob.kx())));
    let claim =
        responder::answer_ik(bob.local(), &preamble, &message1, &mut rngs(0).1).expect("IK 1");
    let payload = claim.payload();
    assert_eq!(payload.card(), b"a card");
    assert_eq!(payload.log(), Some(&b"a log"[..]));
    assert_eq!(payload.evidence(), b"evidence");
    assert_eq!(payload.responder_card(), Some(&CARD_HASH));
    assert_eq!(claim.static_key(), &alice.publics.handshake);
}

#[test]
fn no_two_sessions_share_a_binding_or_a_message() {
    let (alice, bob) = (alice(), bob());
    let mut seen = Vec::new();
    for seed in 0..4 {
        for suite in Suite::ALL {
            for (messages, session, _) in
                [xx(&alice, &bob, suite, seed), ik(&alice, &bob, suite, seed)]
            {
                seen.push(session.channel_binding().to_vec());
                seen.push(messages[1].clone());
            }
        }
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((count, seen.len()), (32, 32));
}

// HS-7
#[test]
fn a_payload_of_32_kib_passes_and_one_byte_more_is_refused_by_both_sides() {
    let (alice, bob) = (alice(), bob());
    let padded = |peer: &Peer, len: usize| {
        let (id, evidence) = (peer.id.clone(), vec![0; len]);
        peer.local_with(Introduction { id, evidence, ..Introduction::default() })
    };
    // The other fields and the heads of all take 73 bytes.
    let most = MAX_PAYLOAD - 73;
    for (len, fits) in [(most, true), (most + 1, false)] {
        let (preamble, message1, sent) = start_xx(&alice, Suite::AesGcm, 0);
        let answer = responder::answer_xx(padded(&bob, len), &preamble, &message1, &mut rngs(0).1);
        assert_eq!(answer.is_ok(), fits, "{len}");
        match answer {
            Ok((message2, _)) => assert!(sent.read(&message2).is_ok()),
            Err(error) => assert!(matches!(error, Error::Misuse(_))),
        }
    }
    for pattern in [Pattern::Xx, Pattern::Ik] {
        let sent_xx = start_xx(&alice, Suite::AesGcm, 0).2;
        let sent_ik = start_ik(&alice, &bob, Suite::AesGcm, 0).2;
        let long = vec![0; pattern.message_lengths(2).expect("message 2").end() + 1];
        let error = match pattern {
            Pattern::Xx => sent_xx.read(&long).map(|_| ()),
            Pattern::Ik => sent_ik.read(&long).map(|_| ()),
        };
        assert_eq!(error, Err(Error::Handshake));
    }
}

#[test]
fn a_preamble_for_the_other_pattern_or_other_keys_is_misuse() {
    let (alice, bob) = (alice(), bob());
    let (xx, xx_1, _) = start_xx(&alice, Suite::AesGcm, 0);
    let (ik, ik_1, _) = start_ik(&alice, &bob, Suite::AesGcm, 0);
    let answered = responder::answer_xx(bob.local(), &ik, &ik_1, &mut rngs(0).1).map(|_| ());
    assert!(matches!(answered, Err(Error::Misuse(_))));
    let answered = responder::answer_ik(bob.local(), &xx, &xx_1, &mut rngs(0).1).map(|_| ());
    assert!(matches!(answered, Err(Error::Misuse(_))));

    let mut known = bob.known();
    known.kx = 2.try_into().expect("not zero");
    let (ik, ik_1, _) =
        initiator::start_ik(alice.local(), known, Suite::AesGcm, SuiteSet::all(), &mut rngs(0).0)
            .expect("IK 1");
    let answered = responder::answer_ik(bob.local(), &ik, &ik_1, &mut rngs(0).1).map(|_| ());
    assert!(matches!(answered, Err(Error::Misuse(_))));
}

#[test]
fn a_suite_that_is_not_offered_is_misuse() {
    // attack T6
    let (alice, bob) = (alice(), bob());
    let offered = SuiteSet::from_bytes(&[1]).expect("one suite");
    let suite = Suite::ChaChaPoly;
    let xx = initiator::start_xx(alice.local(), suite, offered.clone(), &mut rngs(0).0);
    assert!(matches!(xx.map(|_| ()), Err(Error::Misuse(_))));
    let ik = initiator::start_ik(alice.local(), bob.known(), suite, offered, &mut rngs(0).0);
    assert!(matches!(ik.map(|_| ()), Err(Error::Misuse(_))));
}

/// The four calls that draw randomness.
fn draw(call: usize, rng: &mut BrokenRng) -> Result<(), Error> {
    let (alice, bob) = (alice(), bob());
    let (suite, offered) = (Suite::AesGcm, SuiteSet::all());
    match call {
        0 => initiator::start_xx(alice.local(), suite, offered, rng).map(|_| ()),
        1 => initiator::start_ik(alice.local(), bob.known(), suite, offered, rng).map(|_| ()),
        2 => {
            let (preamble, message1, _) = start_xx(&alice, suite, 0);
            responder::answer_xx(bob.local(), &preamble, &message1, rng).map(|_| ())
        }
        _ => {
            let (preamble, message1, _) = start_ik(&alice, &bob, suite, 0);
            responder::answer_ik(bob.local(), &preamble, &message1, rng).map(|_| ())
        }
    }
}

// HS-14
#[test]
fn a_broken_generator_is_an_error_and_nothing_is_sent() {
    // attack T31
    for call in 0..4 {
        for fault in [Fault::Always, Fault::Repeating, Fault::Zero] {
            let outcome = draw(call, &mut BrokenRng::new(fault));
            assert_eq!(outcome, Err(Error::Randomness), "call {call} {fault:?}");
        }
        let mut sound = BrokenRng::new(Fault::Once(u32::MAX));
        assert_eq!(draw(call, &mut sound), Ok(()));
        assert!(sound.calls() >= 2);
        for failing in 0..sound.calls() {
            let outcome = draw(call, &mut BrokenRng::new(Fault::Once(failing)));
            assert_eq!(outcome, Err(Error::Randomness), "call {call}, draw {failing}");
        }
    }
}

#[test]
fn the_same_randomness_gives_the_same_messages() {
    let (alice, bob) = (alice(), bob());
    let first = ik(&alice, &bob, Suite::AesGcm, 7).0;
    assert_eq!(first, ik(&alice, &bob, Suite::AesGcm, 7).0);
}
