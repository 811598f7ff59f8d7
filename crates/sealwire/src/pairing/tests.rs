use std::sync::Arc;

use proptest::prelude::*;
use sealwire_core::{MemoryKeyStore, pad::FRAME_CLASSES};
use sealwire_identity::NewCard;
use sealwire_testkit::{
    leak,
    rng::{BrokenRng, Fault, SeededRng},
    vectors::{bytes, json, passed},
};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: u64 = 24 * 60 * 60;

struct Someone {
    keys: Arc<MemoryKeyStore>,
    card: IdentityCard,
}

impl Someone {
    fn new(seed: u64) -> Self {
        let keys = MemoryKeyStore::generate(&mut SeededRng::new(seed)).expect("keys");
        let card = NewCard::new(1, NOW, DAY).sign(&keys, keys.newest()).expect("a card");
        Self { keys: Arc::new(keys), card }
    }

    fn begin(&self, role: Role, seed: u64) -> (Committed, Vec<u8>) {
        let rng = &mut SeededRng::new(seed);
        Committed::new(code(), role, self.card.clone(), rng).expect("begun")
    }

    fn answer(&self, step: Committed, message: &[u8]) -> Result<(Revealed, Vec<u8>), Error> {
        step.handle_commitment(message, self.keys.as_ref(), &mut SeededRng::new(9))
    }
}

fn code() -> Code {
    Code::parse("4K7M-2QXD").expect("a code")
}

fn alice() -> Someone {
    Someone::new(1)
}

fn bob() -> Someone {
    Someone::new(2)
}

fn mallory() -> Someone {
    Someone::new(66)
}

/// Both sides after their commitments, and what each has revealed.
fn revealed(creator: &Someone, joiner: &Someone) -> [(Revealed, Vec<u8>); 2] {
    let (at_creator, first) = creator.begin(Role::Creator, 11);
    let (at_joiner, second) = joiner.begin(Role::Joiner, 12);
    let at_creator = creator.answer(at_creator, &second).expect("a commitment");
    [at_creator, joiner.answer(at_joiner, &first).expect("a commitment")]
}

// PAIR-7, PAIR-8, PAIR-10
#[test]
fn two_that_meet_see_one_phrase_and_get_the_card_of_the_other() {
    let (alice, bob) = (alice(), bob());
    let [(at_alice, hers), (at_bob, his)] = revealed(&alice, &bob);
    assert_eq!((hers.len(), his.len()), (4096, 4096));
    let at_alice = at_alice.handle_reveal(&his, NOW).expect("Bob");
    let at_bob = at_bob.handle_reveal(&hers, NOW).expect("Alice");
    assert_eq!(at_alice.phrase(), at_bob.phrase());
    assert_eq!(at_alice.phrase().to_string().len(), 15);
    assert_eq!((at_alice.peer(), at_bob.peer()), (bob.card.id(), alice.card.id()));
    assert_eq!(at_alice.card().not_after(), NOW.plus(DAY));
    assert_eq!(at_alice.confirm().claimed(), &bob.card);
    assert_eq!(at_bob.confirm().claimed(), &alice.card);
}

// PAIR-10
#[test]
fn the_phrase_is_another_with_every_nonce_card_code_and_role() {
    let (alice, bob) = (alice(), bob());
    let nonces = [[1; 32], [2; 32]];
    let cards = [alice.card.as_bytes(), bob.card.as_bytes()];
    let other = mallory().card.as_bytes().to_vec();
    let (first, second) = ([cards[0], &nonces[0][..]], [cards[1], &nonces[1][..]]);
    let phrase = |code: &Code, first, second| Phrase::new(code, first, second).expect("short");
    let said = phrase(&code(), first, second);
    for changed in [
        phrase(&code(), second, first),
        phrase(&code(), [cards[0], &nonces[1]], second),
        phrase(&code(), first, [cards[1], &nonces[0]]),
        phrase(&code(), [&other, &nonces[0]], second),
        phrase(&code(), first, [&other, &nonces[1]]),
        phrase(&Code::parse("00000001").expect("a code"), first, second),
    ] {
        assert_ne!(said, changed);
    }
}

// attack T7: whoever is between pairs with both, and the phrases tell.
// PAIR-10
#[test]
fn mallory_between_the_two_is_heard_in_the_phrases() {
    let (alice, bob, mallory) = (alice(), bob(), mallory());
    let mut met = Vec::new();
    for seed in 0..20 {
        let (at_alice, hers) = alice.begin(Role::Creator, 100 + seed);
        let (to_alice, first) = mallory.begin(Role::Joiner, 200 + seed);
        let (at_alice, her_card) = alice.answer(at_alice, &first).expect("a commitment");
        let (_, to_her) = mallory.answer(to_alice, &hers).expect("a commitment");
        let at_alice = at_alice.handle_reveal(&to_her, NOW).expect("Mallory");
        assert_eq!(at_alice.peer(), mallory.card.id());
        // She knows the phrase at Alice, and has to commit to Bob before she knows his nonce.
        drop(her_card);
        let (to_bob, second) = mallory.begin(Role::Creator, 300 + seed);
        let (at_bob, his) = bob.begin(Role::Joiner, 400 + seed);
        let (at_bob, _) = bob.answer(at_bob, &second).expect("a commitment");
        let (_, to_him) = mallory.answer(to_bob, &his).expect("a commitment");
        let at_bob = at_bob.handle_reveal(&to_him, NOW).expect("Mallory");
        assert_ne!(at_alice.phrase(), at_bob.phrase());
        met.extend([at_alice.phrase().to_string(), at_bob.phrase().to_string()]);
    }
    met.sort();
    met.dedup();
    assert_eq!(met.len(), 40);
}

/// Mallory's second message with whatever she likes in it.
fn forge(
    to: &Revealed,
    role: Role,
    theirs: &[u8; 32],
    nonce: &[u8; 32],
    card: &[u8],
    sign: &dyn KeyStore,
) -> Vec<u8> {
    let proof = to.own.proof(role, theirs, &to.own.commitment).expect("short");
    let proof = sign.sign(&proof).expect("signed");
    let revelation = Revelation { nonce, proof, card }.to_bytes();
    let info = to.own.info(role).expect("short");
    let aad = [*theirs, to.own.commitment].concat();
    let rng = &mut SeededRng::new(7);
    let sealed = seal_to(to.secret.public(), &info, &aad, &revelation, rng).expect("sealed");
    Message::Reveal { sealed }.to_frame().expect("a frame")
}

/// Alice after Mallory's commitment to these, and what Mallory needs to reveal something.
fn with_mallory(nonce: [u8; 32], card: &[u8]) -> (Revealed, [u8; 32]) {
    let (at_alice, _) = alice().begin(Role::Creator, 11);
    let mallorys = XWingSecret::generate(&mut SeededRng::new(3)).expect("a key");
    let public = mallorys.public().clone();
    let theirs = commitment(&code(), Role::Joiner, &public, &nonce, card).expect("short");
    let message = Message::Commitment { public: Box::new(public), commitment: theirs };
    let message = message.to_frame().expect("a frame");
    (alice().answer(at_alice, &message).expect("a commitment").0, theirs)
}

// attack T7: nobody passes off another's card as their own.
// PAIR-8, PAIR-9
#[test]
fn what_was_not_committed_to_or_is_not_ones_own_is_refused() {
    let (bobs, hers) = (bob().card.as_bytes().to_vec(), mallory().card.as_bytes().to_vec());
    let (nonce, other) = ([5; 32], [6; 32]);
    type Case<'a> = (&'a str, &'a [u8], [u8; 32], &'a [u8], Someone);
    let cases: [Case<'_>; 4] = [
        ("another nonce", &hers, other, &hers, mallory()),
        ("another card", &hers, nonce, &bobs, bob()),
        ("another's card", &bobs, nonce, &bobs, mallory()),
        ("no card", b"", nonce, b"", mallory()),
    ];
    for (name, committed, nonce_shown, card, signer) in cases {
        let (at_alice, theirs) = with_mallory(nonce, committed);
        let keys = signer.keys.as_ref();
        let frame = forge(&at_alice, Role::Joiner, &theirs, &nonce_shown, card, keys);
        let refused = at_alice.handle_reveal(&frame, NOW).map(|_| ()).expect_err(name);
        let fits = match name {
            "no card" => matches!(refused, Error::Identity(_)),
            _ => matches!(refused, Error::Mismatch),
        };
        assert!(fits, "{name}: {refused:?}");
    }
    // The control: her own card, as she was committed to it.
    let (at_alice, theirs) = with_mallory(nonce, &hers);
    let frame = forge(&at_alice, Role::Joiner, &theirs, &nonce, &hers, mallory().keys.as_ref());
    let paired = at_alice.handle_reveal(&frame, NOW).expect("Mallory as herself");
    assert_eq!(paired.peer(), mallory().card.id());
}

// attack T7: a proof is worth something in its own pairing only, and on its own side.
// PAIR-9
#[test]
fn a_proof_of_another_pairing_or_of_the_other_side_is_refused() {
    let bobs = bob();
    let card = bobs.card.as_bytes().to_vec();
    for (name, role) in [("another pairing", Role::Joiner), ("the other side", Role::Creator)] {
        let (at_alice, theirs) = with_mallory([5; 32], &card);
        let (before, _) = alice().begin(Role::Creator, 99);
        let other =
            if name == "another pairing" { before.own.commitment } else { at_alice.own.commitment };
        let proof = at_alice.own.proof(role, &theirs, &other).expect("short");
        let proof = bobs.keys.sign(&proof).expect("signed");
        let revelation = Revelation { nonce: &[5; 32], proof, card: &card }.to_bytes();
        let info = at_alice.own.info(Role::Joiner).expect("short");
        let aad = [theirs, at_alice.own.commitment].concat();
        let rng = &mut SeededRng::new(7);
        let sealed = seal_to(at_alice.secret.public(), &info, &aad, &revelation, rng);
        let frame = Message::Reveal { sealed: sealed.expect("sealed") }.to_frame().expect("frame");
        let refused = at_alice.handle_reveal(&frame, NOW).map(|_| ()).expect_err(name);
        assert!(matches!(refused, Error::Mismatch), "{name}: {refused:?}");
    }
}

// PAIR-6, PAIR-8
#[test]
fn whoever_swaps_the_key_to_seal_to_learns_a_card_and_is_found_out() {
    let (alice, bob) = (alice(), bob());
    let (at_alice, first) = alice.begin(Role::Creator, 11);
    let (at_bob, second) = bob.begin(Role::Joiner, 12);
    let Ok(Message::Commitment { commitment, .. }) = Message::from_frame(&second) else {
        panic!("a commitment")
    };
    let mallorys = XWingSecret::generate(&mut SeededRng::new(3)).expect("a key");
    let public = Box::new(mallorys.public().clone());
    let swapped = Message::Commitment { public, commitment }.to_frame().expect("a frame");
    let (at_alice, _) = alice.answer(at_alice, &swapped).expect("a commitment");
    let (_, his) = bob.answer(at_bob, &first).expect("a commitment");
    let refused = at_alice.handle_reveal(&his, NOW).map(|_| ()).expect_err("another key");
    assert!(matches!(refused, Error::Mismatch), "{refused:?}");
}

// PAIR-7
#[test]
fn our_own_messages_are_not_those_of_another() {
    let (alice, bob) = (alice(), bob());
    let (at_alice, own) = alice.begin(Role::Creator, 11);
    let refused = alice.answer(at_alice, &own).map(|_| ()).expect_err("our own");
    assert!(matches!(refused, Error::Reflected), "{refused:?}");
    // Our key under another commitment, and our commitment under another key.
    let Ok(Message::Commitment { public, commitment }) = Message::from_frame(&own) else {
        panic!("a commitment")
    };
    let other = XWingSecret::generate(&mut SeededRng::new(3)).expect("a key");
    for message in [
        Message::Commitment { public, commitment: [7; 32] },
        Message::Commitment { public: Box::new(other.public().clone()), commitment },
    ] {
        let (at_alice, _) = alice.begin(Role::Creator, 11);
        let frame = message.to_frame().expect("a frame");
        let refused = alice.answer(at_alice, &frame).map(|_| ()).expect_err("ours");
        assert!(matches!(refused, Error::Reflected), "{refused:?}");
    }
    let [(at_alice, hers), _] = revealed(&alice, &bob);
    let refused = at_alice.handle_reveal(&hers, NOW).map(|_| ()).expect_err("our own");
    assert!(matches!(refused, Error::Mismatch), "{refused:?}");
}

// PAIR-8
#[test]
fn an_agent_does_not_pair_with_itself_or_by_a_card_that_does_not_stand() {
    let alice = alice();
    // The same identity with another card.
    let keys = Arc::clone(&alice.keys);
    let card = NewCard::new(2, NOW, DAY).sign(keys.as_ref(), keys.newest()).expect("a card");
    let [(_, hers), (at_other, _)] = revealed(&alice, &Someone { keys, card });
    let refused = at_other.handle_reveal(&hers, NOW).map(|_| ()).expect_err("itself");
    assert!(matches!(refused, Error::Oneself), "{refused:?}");
    let [(_, hers), (at_bob, _)] = revealed(&alice, &bob());
    let late = NOW.plus(DAY + 1);
    let refused = at_bob.handle_reveal(&hers, late).map(|_| ()).expect_err("expired");
    assert!(matches!(refused, Error::Identity(sealwire_identity::Error::Expired { .. })));
}

#[test]
fn keys_of_another_card_sign_nothing() {
    let (alice, bob) = (alice(), bob());
    let (at_alice, _) = alice.begin(Role::Creator, 11);
    let (_, his) = bob.begin(Role::Joiner, 12);
    let refused = bob.answer(at_alice, &his).map(|_| ()).expect_err("Bob's keys");
    assert!(matches!(refused, Error::Keys), "{refused:?}");
}

// PAIR-7, PAIR-8
#[test]
fn a_message_of_the_other_step_is_refused() {
    let (alice, bob) = (alice(), bob());
    let [(at_alice, hers), (_, his)] = revealed(&alice, &bob);
    let (fresh, first) = alice.begin(Role::Creator, 11);
    let refused = alice.answer(fresh, &his).map(|_| ()).expect_err("the second");
    assert!(matches!(refused, Error::Unexpected), "{refused:?}");
    let refused = at_alice.handle_reveal(&first, NOW).map(|_| ()).expect_err("the first");
    assert!(matches!(refused, Error::Unexpected), "{refused:?}");
    drop(hers);
}

// PAIR-4
#[test]
fn a_frame_that_was_changed_anywhere_leads_nowhere() {
    let (alice, bob) = (alice(), bob());
    let (_, first) = bob.begin(Role::Joiner, 12);
    for at in (0..first.len()).step_by(41).chain([0, 1, 2, 1217, 1218, 1249, 1250, 2047]) {
        let mut bad = first.clone();
        bad[at] ^= 1;
        let (at_alice, hers) = alice.begin(Role::Creator, 11);
        let Ok((at_alice, _)) = alice.answer(at_alice, &bad) else { continue };
        let (at_bob, _) = bob.begin(Role::Joiner, 12);
        let (_, his) = bob.answer(at_bob, &hers).expect("a commitment");
        assert!(at_alice.handle_reveal(&his, NOW).is_err(), "{at}");
    }
    let [_, (_, second)] = revealed(&alice, &bob);
    for at in (0..second.len()).step_by(97).chain([0, 1, 2, 4095]) {
        let mut bad = second.clone();
        bad[at] ^= 1;
        let [(at_alice, _), _] = revealed(&alice, &bob);
        assert!(at_alice.handle_reveal(&bad, NOW).is_err(), "{at}");
    }
}

// attack T32
// PAIR-4, PAIR-5
#[test]
fn bad_frames_are_refused_by_name() {
    let (_, first) = alice().begin(Role::Creator, 11);
    let [(_, second), _] = revealed(&alice(), &bob());
    let frame = |content: &[u8], class: usize| {
        let mut frame = content.to_vec();
        sealwire_core::pad::pad(&mut frame, class).expect("room");
        frame
    };
    let with = |at: usize, byte: u8| {
        let mut frame = first.clone();
        frame[at] = byte;
        frame
    };
    let commitment = &first[..2 + 1216 + 32];
    let (classes, smallest) =
        ("a frame has 2, 4, 16 or 64 KiB", "the smallest frame that it fits in");
    for (name, input, said) in [
        ("nothing", Vec::new(), classes),
        ("a byte less", first[..2047].to_vec(), classes),
        ("a larger frame", frame(commitment, 4096), smallest),
        ("a reveal in a larger frame", frame(&second[..3000], 16_384), smallest),
        ("no padding", vec![0; 2048], "ends in 0x80 and zeros"),
        ("nothing in it", frame(b"", 2048), "ends too early"),
        ("version 2", with(0, 2), "unknown version 2; a newer release may read it"),
        ("a ratchet message", with(1, 2), "type 3 or 4"),
        ("a type to come", with(1, 5), "type 3 or 4"),
        ("a short commitment", frame(&commitment[..1249], 2048), "ends too early"),
        ("a long commitment", frame(&first[..1251], 2048), "bytes follow the end"),
        ("a key that is none", with(1217, 0xff), ""),
        ("a short reveal", frame(&second[..2 + 1136 + 95], 2048), "ends too early"),
        ("a long reveal", frame(&[&[1, 4][..], &[7; 1136 + 96 + 4097]].concat(), 16_384), "5328"),
    ] {
        let sentence = Message::from_frame(&input).expect_err(name).to_string();
        assert!(sentence.contains(said), "{name}: {sentence}");
    }
    let longest = frame(&[&[1, 4][..], &[7; 1136 + 96 + 4096]].concat(), 16_384);
    for (frame, class) in [(first, 0), (second, 1), (longest, 2)] {
        let message = Message::from_frame(&frame).expect("well");
        assert_eq!(message.to_frame().expect("a frame"), frame);
        assert_eq!(frame.len(), FRAME_CLASSES[class]);
    }
}

// PAIR-2
#[test]
fn codes_are_read_as_people_write_them() {
    let expected = Code::parse("01ABCDEF").expect("a code");
    assert_eq!(expected.to_string(), "01AB-CDEF");
    for text in ["01AB-CDEF", "o1ab cdef", "OIabcdef", " 0-L-A-B-C-D-E-F ", "0\tiABC DEF"] {
        assert_eq!(Code::parse(text).expect(text), expected, "{text}");
    }
    let (letters, count) = ("it has digits, and letters but U", "it has eight characters");
    for (text, said) in [
        ("", count),
        ("01ABCDE", count),
        ("01ABCDEF0", count),
        ("01ABCDEU", letters),
        ("01ABCDE_", letters),
        ("01ABCDEé", letters),
        ("01AB–CDEF", letters),
    ] {
        let sentence = Code::parse(text).expect_err(text).to_string();
        assert!(sentence.ends_with(said), "{text}: {sentence}");
    }
    assert!(Code::parse(&"-".repeat(65)).expect_err("long").to_string().contains("64"));
}

// PAIR-1, PAIR-3
#[test]
fn a_code_names_two_mailboxes_and_another_one_two_others() {
    let mut ids = std::collections::BTreeSet::new();
    for code in [code(), Code::parse("4K7M-2QXE").expect("a code")] {
        let meet = code.rendezvous().expect("short");
        for role in [Role::Creator, Role::Joiner] {
            let (read, write) = meet.of(role);
            assert_eq!(write.send, meet.of(role.other()).0.send);
            ids.extend([*read.seed.expose(), *read.deposit.expose()].map(|id| id.to_vec()));
            ids.insert(read.send.to_vec());
        }
    }
    assert_eq!(ids.len(), 12);
    let drawn = |seed| Code::generate(&mut SeededRng::new(seed)).expect("random");
    assert!(drawn(1) == drawn(1) && drawn(1) != drawn(2));
}

// attack T31
#[test]
fn a_generator_that_fails_begins_no_pairing() {
    for fault in [Fault::Always, Fault::Zero, Fault::Once(0), Fault::Once(1)] {
        let rng = &mut BrokenRng::new(fault);
        let begun = Committed::new(code(), Role::Creator, alice().card, rng);
        assert!(matches!(begun, Err(Error::Core(_))), "{fault:?}");
    }
    assert!(Code::generate(&mut BrokenRng::new(Fault::Zero)).is_err());
    let (at_alice, _) = alice().begin(Role::Creator, 11);
    let (_, his) = bob().begin(Role::Joiner, 12);
    let rng = &mut BrokenRng::new(Fault::Always);
    let answered = at_alice.handle_commitment(&his, alice().keys.as_ref(), rng);
    assert!(matches!(answered, Err(Error::Core(_))));
}

// attack T34
#[test]
fn debug_shows_no_code_no_nonce_and_no_phrase() {
    let (alice, bob) = (alice(), bob());
    let (step, message) = alice.begin(Role::Creator, 11);
    let meet = code().rendezvous().expect("short");
    let mut text = format!("{:?} {step:?} {meet:?} {:?}", code(), meet.creator);
    text += &format!("{:?}", Message::from_frame(&message).expect("well"));
    let nonce = *step.own.nonce.expose();
    let [(at_alice, _), (_, his)] = revealed(&alice, &bob);
    text += &format!("{at_alice:?}");
    let paired = at_alice.handle_reveal(&his, NOW).expect("Bob");
    text += &format!("{paired:?} {:?}", paired.phrase());
    assert!(!leak::shows(&text, &nonce) && !leak::shows(&text, meet.creator.seed.expose()));
    assert!(!text.contains(&code().to_string()[..4]));
    assert!(!text.contains(&paired.phrase().to_string()), "{text}");
}

proptest! {
    // PAIR-1, PAIR-2
    #[test]
    fn codes_round_trip(seed: u64, upper: bool) {
        let code = Code::generate(&mut SeededRng::new(seed)).expect("random");
        let text = code.to_string();
        let text = if upper { text } else { text.to_ascii_lowercase() };
        prop_assert_eq!(Code::parse(&text).expect("its own"), code);
    }

    // attack T32
    #[test]
    fn no_text_and_no_frame_makes_it_panic(text: String, content: Vec<u8>, class in 0..4_usize) {
        let _ = Code::parse(&text);
        let mut frame = content;
        frame.truncate(2000);
        sealwire_core::pad::pad(&mut frame, FRAME_CLASSES[class]).expect("room");
        if let Ok(message) = Message::from_frame(&frame) {
            prop_assert_eq!(message.to_frame().expect("a frame"), frame);
        }
    }
}

/// What a run with fixed randomness gives.
fn run() -> Vec<(&'static str, Vec<u8>)> {
    let (alice, bob) = (alice(), bob());
    let (at_alice, first) = alice.begin(Role::Creator, 11);
    let (at_bob, second) = bob.begin(Role::Joiner, 12);
    let nonces = [*at_alice.own.nonce.expose(), *at_bob.own.nonce.expose()];
    let (at_alice, third) = alice.answer(at_alice, &second).expect("a commitment");
    let (at_bob, fourth) = bob.answer(at_bob, &first).expect("a commitment");
    let at_alice = at_alice.handle_reveal(&fourth, NOW).expect("Bob");
    let at_bob = at_bob.handle_reveal(&third, NOW).expect("Alice");
    assert_eq!(at_alice.phrase(), at_bob.phrase());
    let meet = code().rendezvous().expect("short");
    vec![
        ("code", code().to_string().into_bytes()),
        ("creator seed", meet.creator.seed.expose().to_vec()),
        ("creator send", meet.creator.send.to_vec()),
        ("creator deposit", meet.creator.deposit.expose().to_vec()),
        ("joiner seed", meet.joiner.seed.expose().to_vec()),
        ("joiner send", meet.joiner.send.to_vec()),
        ("joiner deposit", meet.joiner.deposit.expose().to_vec()),
        ("creator card", alice.card.as_bytes().to_vec()),
        ("joiner card", bob.card.as_bytes().to_vec()),
        ("creator nonce", nonces[0].to_vec()),
        ("joiner nonce", nonces[1].to_vec()),
        ("creator commitment frame", first),
        ("joiner commitment frame", second),
        ("creator reveal frame", third),
        ("joiner reveal frame", fourth),
        ("phrase", at_alice.phrase().to_string().into_bytes()),
    ]
}

// attack T38
// PAIR-3, PAIR-4, PAIR-6, PAIR-9, PAIR-10
#[test]
fn a_pairing_is_as_it_was_first() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/pairing.json");
    let run = run();
    if std::env::var_os("SEALWIRE_WRITE_FIXTURE").is_some() {
        let lines =
            run.iter().map(|(name, bytes)| format!("  \"{name}\": \"{}\"", hex::encode(bytes)));
        let text = format!("{{\n{}\n}}\n", lines.collect::<Vec<_>>().join(",\n"));
        std::fs::write(path, text).expect("written");
    }
    let frozen = json(&std::fs::read_to_string(path).expect("the vectors"));
    for (name, found) in &run {
        assert!(bytes(&frozen[*name]) == *found, "{name}");
    }
    passed("sealwire pairing", run.len());
}
