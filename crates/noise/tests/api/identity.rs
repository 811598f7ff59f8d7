//! Who is at the other end: proofs, misbinding and replays.

use sealwire_core::Suite;
use sealwire_noise::{Claim, Error, PeerIdentity, initiator, responder};

use crate::peers::{Peer, alice, bob, mallory, rngs, start_ik, start_xx};

const SUITE: Suite = Suite::AesGcm;

/// The claims of all four messages that carry one: XX 2, XX 3, IK 1, IK 2. `sender` and `peer`
/// are who they truly are; the peer takes the sender for the owner of `believed`.
fn outcomes(sender: &Peer, peer: &Peer, believed: PeerIdentity<'_>) -> [Result<(), Error>; 4] {
    [
        xx_2(peer, sender).prove(believed).map(|_| ()),
        xx_3(sender, peer).prove(believed).map(|_| ()),
        ik_1(sender, peer).prove(believed).map(|_| ()),
        ik_2(peer, sender).prove(believed).map(|_| ()),
    ]
}

fn xx_2(initiator: &Peer, responder: &Peer) -> Claim<initiator::XxReplied> {
    let (preamble, message1, sent) = start_xx(initiator, SUITE, 0);
    let (message2, _) =
        responder::answer_xx(responder.local(), &preamble, &message1, &mut rngs(0).1)
            .expect("XX 2");
    sent.read(&message2).expect("XX 2")
}

fn xx_3(initiator: &Peer, responder: &Peer) -> Claim<sealwire_noise::Session> {
    let (preamble, message1, sent) = start_xx(initiator, SUITE, 0);
    let (message2, answered) =
        responder::answer_xx(responder.local(), &preamble, &message1, &mut rngs(0).1)
            .expect("XX 2");
    let claim = sent.read(&message2).expect("XX 2");
    let replied = claim.prove(responder.identity()).expect("the responder");
    let (message3, _) = replied.finish(&responder.id).expect("XX 3");
    answered.read(&message3).expect("XX 3")
}

fn ik_1(initiator: &Peer, responder: &Peer) -> Claim<responder::IkProven> {
    let (preamble, message1, _) = start_ik(initiator, responder, SUITE, 0);
    responder::answer_ik(responder.local(), &preamble, &message1, &mut rngs(0).1).expect("IK 1")
}

fn ik_2(initiator: &Peer, responder: &Peer) -> Claim<initiator::IkProven> {
    let (preamble, message1, sent) = start_ik(initiator, responder, SUITE, 0);
    let claim = responder::answer_ik(responder.local(), &preamble, &message1, &mut rngs(0).1);
    let proven = claim.expect("IK 1").prove(initiator.identity()).expect("the initiator");
    sent.read(&proven.reply(&initiator.id).expect("IK 2").0).expect("IK 2")
}

const REFUSED: [Result<(), Error>; 4] = [const { Err(Error::Proof) }; 4];

// HS-9
#[test]
fn a_peer_proves_the_identity_it_has_and_no_other() {
    // attack T7
    let (alice, bob, mallory) = (alice(), bob(), mallory());
    let (truth, other) = (alice.identity(), mallory.identity());
    assert_eq!(outcomes(&alice, &bob, truth), [const { Ok(()) }; 4]);
    for (name, believed) in [
        ("another agent", other),
        ("another id with the same keys", PeerIdentity { id: b"alice2", ..truth }),
        ("no id", PeerIdentity { id: b"", ..truth }),
        // Mallory's card names Alice's static key, and Mallory relays Alice's messages.
        (
            "a card with the sender's static key",
            PeerIdentity { static_key: truth.static_key, ..other },
        ),
        (
            "a card with the sender's identity key",
            PeerIdentity { static_key: other.static_key, ..truth },
        ),
        ("the sender's id on another identity key", PeerIdentity { key: other.key, ..truth }),
        ("the reader itself", bob.identity()),
    ] {
        assert_eq!(outcomes(&alice, &bob, believed), REFUSED, "{name}");
    }
}

#[test]
fn two_ids_with_the_same_keys_are_two_peers() {
    // attack T7
    let bob = bob();
    let (first, second) = (Peer::new("alice", 1), Peer::new("alice", 1).renamed("alice2"));
    for (sender, other) in [(&first, &second), (&second, &first)] {
        assert_eq!(outcomes(sender, &bob, sender.identity()), [const { Ok(()) }; 4]);
        assert_eq!(outcomes(sender, &bob, other.identity()), REFUSED);
    }
}

// HS-8
#[test]
fn a_message_meant_for_another_id_with_the_same_keys_is_refused() {
    // attack T7
    let (alice, bob) = (alice(), bob());
    let twin = bob.renamed("bob2");
    // Alice dials "bob2"; the message reaches Bob, who has the same keys.
    let (preamble, message1, _) = start_ik(&alice, &twin, SUITE, 0);
    let claim = responder::answer_ik(bob.local(), &preamble, &message1, &mut rngs(0).1);
    let proof = claim.expect("IK 1").prove(alice.identity()).map(|_| ());
    assert_eq!(proof, Err(Error::Proof));

    let (preamble, message1, sent) = start_xx(&alice, SUITE, 0);
    let (message2, answered) =
        responder::answer_xx(bob.local(), &preamble, &message1, &mut rngs(0).1).expect("XX 2");
    let replied = sent.read(&message2).expect("XX 2").prove(bob.identity()).expect("Bob");
    let (message3, _) = replied.finish(&twin.id).expect("XX 3");
    let proof = answered.read(&message3).expect("XX 3").prove(alice.identity()).map(|_| ());
    assert_eq!(proof, Err(Error::Proof));

    // Bob answers "alice2" and not the caller.
    let (preamble, message1, sent) = start_ik(&alice, &bob, SUITE, 0);
    let claim = responder::answer_ik(bob.local(), &preamble, &message1, &mut rngs(0).1);
    let proven = claim.expect("IK 1").prove(alice.identity()).expect("Alice");
    let (message2, _) = proven.reply(b"alice2").expect("IK 2");
    let proof = sent.read(&message2).expect("IK 2").prove(bob.identity()).map(|_| ());
    assert_eq!(proof, Err(Error::Proof));
}

#[test]
fn initiator_and_responder_cannot_be_swapped() {
    // attack T7
    let (alice, bob) = (alice(), bob());
    // Both use one key pair under two ids: roles and ids still differ in what is signed.
    let twin = alice.renamed("bob");
    assert_eq!(outcomes(&alice, &twin, twin.identity()), REFUSED);
    assert_eq!(outcomes(&twin, &alice, alice.identity()), REFUSED);
    // Bob's own message 2 of XX does not prove Bob to a responder.
    let (preamble, message1, sent) = start_xx(&bob, SUITE, 0);
    let (message2, answered) =
        responder::answer_xx(alice.local(), &preamble, &message1, &mut rngs(0).1).expect("XX 2");
    assert_eq!(answered.read(&message2).map(|_| ()), Err(Error::Handshake));
    assert_eq!(sent.read(&message2).map(|_| ()), Ok(()));
}

#[test]
fn a_stolen_static_key_without_the_identity_key_is_refused() {
    // attack T7, T8
    let (alice, bob) = (alice(), bob());
    let thief = Peer::new("alice", 3);
    let stolen = PeerIdentity { static_key: &thief.publics.handshake, ..alice.identity() };
    assert_eq!(outcomes(&thief, &bob, stolen), REFUSED);
}

// HS-11
#[test]
fn a_replayed_message_1_never_becomes_a_session() {
    // attack T9
    let (alice, bob) = (alice(), bob());
    let (preamble, message1, sent) = start_ik(&alice, &bob, SUITE, 0);
    let answer = |seed: u64| {
        let mut rng = rngs(seed).1;
        let claim = responder::answer_ik(bob.local(), &preamble, &message1, &mut rng);
        let proven = claim.expect("IK 1").prove(alice.identity()).expect("Alice");
        proven.reply(&alice.id).expect("IK 2")
    };
    let (message2, replied) = answer(0);
    let claim = sent.read(&message2).expect("IK 2");
    let (confirmation, at_alice) =
        claim.prove(bob.identity()).expect("Bob").finish().expect("a session");
    let mut first = Vec::new();
    at_alice.into_parts().0.seal_data(b"pay Mallory", &mut first).expect("open");
    assert!(replied.confirm(&mut confirmation[2..].to_vec()).is_ok());

    for (name, record) in [
        ("the old confirmation", &confirmation[2..]),
        ("the old first record", &first[2..]),
        ("nothing", &[]),
        ("garbage", &[7; 17]),
        ("a tag of zeros", &[0; 17]),
    ] {
        // Answered with fresh randomness, as a responder does.
        let (_, replied) = answer(1);
        let outcome = replied.confirm(&mut record.to_vec()).map(|_| ());
        assert_eq!(outcome, Err(Error::Record), "{name}");
    }
}
