//! The published vectors of the hybrid handshakes, reproduced byte for byte.

use sealwire_core::{Suite, SuiteSet, kdf, keystore::KeySeeds, label::Label};
use sealwire_noise::{
    Introduction, Local, Pattern, Preamble, Session, initiator,
    record::{CloseReason, Opened},
    responder,
};
use sealwire_testkit::{
    rng::FixedRng,
    vectors::{bytes, json, passed},
};
use serde_json::Value;

use crate::peers::Peer;

/// One side of a case.
struct Side {
    peer: Peer,
    card: Vec<u8>,
    rng: FixedRng,
}

impl Side {
    fn new(case: &Value, role: &str) -> Self {
        let field = |name: &str| bytes(&case[format!("{role}_{name}")]);
        let id = String::from_utf8(field("id")).expect("text");
        let seeds = KeySeeds::from_bytes(&field("seeds")).expect("seeds");
        let peer = Peer::from_seeds(&id, &seeds);
        Self { peer, card: field("card"), rng: FixedRng::new(&field("random")) }
    }

    fn local(&self) -> Local {
        let (id, card) = (self.peer.id.clone(), self.card.clone());
        self.peer.local_with(Introduction { id, card, ..Introduction::default() })
    }
}

fn hex(bytes: &[u8]) -> Value {
    hex::encode(bytes).into()
}

/// Runs the handshake of a case and fills in what it gives.
fn run(case: &Value) -> Value {
    let mut out = case.clone();
    let (mut alice, mut bob) = (Side::new(case, "initiator"), Side::new(case, "responder"));
    let number = |name: &str| u8::try_from(case[name].as_u64().expect(name)).expect("a byte");
    let suite = Suite::from_u8(number("suite")).expect("a suite");
    let pattern = Pattern::from_u8(number("pattern")).expect("a pattern");
    out["name"] = pattern.name(suite).into();
    let (at_alice, at_bob) = match pattern {
        Pattern::Xx => run_xx(suite, &mut alice, &mut bob, &mut out),
        Pattern::Ik => run_ik(suite, &mut alice, &mut bob, case, &mut out),
    };
    assert_eq!(at_alice.channel_binding(), at_bob.channel_binding());
    out["channel_binding"] = hex(at_alice.channel_binding());
    records(case, at_alice, at_bob, &mut out);
    out
}

fn run_xx(suite: Suite, alice: &mut Side, bob: &mut Side, out: &mut Value) -> (Session, Session) {
    let offered = SuiteSet::all();
    let (preamble, message1, sent) =
        initiator::start_xx(alice.local(), suite, offered, &mut alice.rng).expect("XX 1");
    let (message2, answered) =
        responder::answer_xx(bob.local(), &preamble, &message1, &mut bob.rng).expect("XX 2");
    let replied = sent.read(&message2).expect("XX 2").prove(bob.peer.identity()).expect("Bob");
    let (message3, at_alice) = replied.finish(&bob.peer.id).expect("XX 3");
    let claim = answered.read(&message3).expect("XX 3");
    let at_bob = claim.prove(alice.peer.identity()).expect("Alice");
    out["preamble"] = hex(&preamble.to_bytes());
    for (name, message) in [("message1", message1), ("message2", message2), ("message3", message3)]
    {
        out[name] = hex(&message);
    }
    (at_alice, at_bob)
}

fn run_ik(
    suite: Suite,
    alice: &mut Side,
    bob: &mut Side,
    case: &Value,
    out: &mut Value,
) -> (Session, Session) {
    let mut known = bob.peer.known();
    known.card_hash = bytes(&case["responder_card_hash"]).try_into().expect("32 bytes");
    assert_eq!(case["kx_id"], known.kx.get());
    let offered = SuiteSet::all();
    let (preamble, message1, sent) =
        initiator::start_ik(alice.local(), known, suite, offered, &mut alice.rng).expect("IK 1");
    let claim = responder::answer_ik(bob.local(), &preamble, &message1, &mut bob.rng);
    let proven = claim.expect("IK 1").prove(alice.peer.identity()).expect("Alice");
    let (message2, replied) = proven.reply(&alice.peer.id).expect("IK 2");
    let proven = sent.read(&message2).expect("IK 2").prove(bob.peer.identity()).expect("Bob");
    let (confirmation, at_alice) = proven.finish().expect("a session");
    let at_bob = replied.confirm(&mut confirmation[2..].to_vec()).expect("the confirmation");
    out["preamble"] = hex(&preamble.to_bytes());
    for (name, message) in
        [("message1", &message1), ("message2", &message2), ("confirmation", &confirmation)]
    {
        out[name] = hex(message);
    }
    check_gate(&bob.peer, &preamble, &message1, out);
    (at_alice, at_bob)
}

/// HS-5, computed from the specification.
fn check_gate(bob: &Peer, preamble: &Preamble, message1: &[u8], out: &mut Value) {
    let context = Label::NOISE_GATE.context(None, &[bob.publics.kem.as_bytes()]).expect("short");
    let key = kdf::sha256(&[context.as_bytes()]);
    let bytes = preamble.to_bytes();
    let (before, gate) = bytes.split_at(bytes.len() - 32);
    assert_eq!(gate, kdf::hmac(&key, &[before, message1]));
    out["gate_key"] = hex(&key);
}

fn records(case: &Value, at_alice: Session, at_bob: Session, out: &mut Value) {
    let (mut to_bob, mut from_bob) = at_alice.into_parts();
    let (mut to_alice, mut from_alice) = at_bob.into_parts();
    let directions = [
        ("to_responder", &mut to_bob, &mut from_alice),
        ("to_initiator", &mut to_alice, &mut from_bob),
    ];
    for (name, sealer, opener) in directions {
        let content = bytes(&case[format!("content_{name}")]);
        let mut record = Vec::new();
        sealer.seal_data(&content, &mut record).expect("open");
        out[name] = hex(&record);
        assert_eq!(opener.open(&mut record[2..]), Ok(Opened::Data(&content)));
    }
    let reason = case["close_reason"].as_u64().expect("a reason");
    let reason = CloseReason::from_u8(u8::try_from(reason).expect("a byte"));
    let mut record = Vec::new();
    to_bob.seal_close(reason, &mut record).expect("open");
    out["close_to_responder"] = hex(&record);
}

#[test]
fn our_published_vectors_are_reproduced_byte_for_byte() {
    let file = json(include_str!("../vectors/hybrid.json"));
    let cases = file["cases"].as_array().expect("a list");
    let mut seen = Vec::new();
    for case in cases {
        assert_eq!(&run(case), case, "{}", case["name"]);
        seen.push((case["pattern"].as_u64(), case["suite"].as_u64()));
    }
    assert_eq!(seen, [(1, 1), (1, 2), (2, 1), (2, 2)].map(|(p, s)| (Some(p), Some(s))));
    passed("noise-hybrid", cases.len());
}
