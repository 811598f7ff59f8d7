//! The conversations of the executable specification: the same frames from the same draws,
//! and the same state behind each.

use sealwire_testkit::{
    rng::FixedRng,
    vectors::{bytes, json, passed},
};
use serde_json::Value;

use super::*;

const CONVERSATIONS: [&str; 4] = [
    include_str!("../../../tests/vectors/conversation-aes-256-gcm.json"),
    include_str!("../../../tests/vectors/conversation-chacha20-poly1305.json"),
    include_str!("../../../tests/vectors/last-resort-aes-256-gcm.json"),
    include_str!("../../../tests/vectors/last-resort-chacha20-poly1305.json"),
];

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("a field of the right length")
}

fn secret(value: &Value) -> Secret<32> {
    Secret::from_slice(&bytes(value)).expect("32 bytes")
}

fn number<T: TryFrom<u64>>(value: &Value) -> T {
    value.as_u64().and_then(|number| number.try_into().ok()).expect("a number in range")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

/// What was drawn, in the order of drawing.
fn draws(event: &Value) -> FixedRng {
    let draws = event["draws"].as_array().expect("a list");
    FixedRng::new(&draws.iter().flat_map(|draw| bytes(&draw["value"])).collect::<Vec<_>>())
}

/// Both sides of a vector's conversation.
struct Play<'a> {
    vector: &'a Value,
    now: Timestamp,
    prefix: Vec<u8>,
    initiator: Session,
    /// There from its first message on.
    responder: Option<Session>,
    frames: Vec<Vec<u8>>,
}

impl<'a> Play<'a> {
    fn new(vector: &'a Value) -> Self {
        let agreement = &vector["agreement"];
        let prefix = bytes(&agreement["prefix"]);
        let now = Timestamp::from_secs(number(&vector["now"]));
        let public = bytes(&vector["prekeys"]["bundle"]["signed_prekey"]);
        let public = X25519Public::from_bytes(&public).expect("a key");
        let ratchet_key = agreement["draws"].as_array().expect("a list").last().expect("three");
        assert_eq!(ratchet_key["name"], "ratchet_key");
        let mut rng = FixedRng::new(&bytes(&ratchet_key["value"]));
        let agreed = Self::agreed(vector);
        let initiator = Session::initiate(agreed, &public, prefix.clone(), now, &mut rng);
        let initiator = initiator.expect("enough draws");
        assert_eq!(initiator.id().as_bytes(), &array(&agreement["values"]["session_id"]));
        assert_eq!(initiator.root.expose(), &array(&agreement["values"]["root"]));
        Self { vector, now, prefix, initiator, responder: None, frames: Vec::new() }
    }

    fn agreed(vector: &Value) -> Agreed {
        let values = &vector["agreement"]["values"];
        let suite = Suite::from_u8(number(&vector["suite"])).expect("known");
        hazmat::agreed(suite, secret(&values["sk"]), array(&values["h_ad"]))
    }

    fn side(&mut self, event: &Value) -> &mut Session {
        match text(&event["by"]) {
            "initiator" => &mut self.initiator,
            _ => self.responder.get_or_insert_with(|| {
                let prekey = secret(&self.vector["prekeys"]["bundle"]["signed_prekey_secret"]);
                Session::respond(Self::agreed(self.vector), &prekey, &self.prefix, self.now)
                    .expect("a prefix")
            }),
        }
    }

    fn event(&mut self, event: &Value) {
        let now = self.now;
        match text(&event["event"]) {
            "seal" => {
                let session = self.side(event);
                let sealed = session.seal(now, &mut draws(event), &bytes(&event["plaintext"]));
                let sealed = sealed.expect("enough draws");
                session.apply(sealed.step).expect("fresh");
                assert_eq!(sealed.frame, bytes(&event["frame"]));
                self.frames.push(sealed.frame);
            }
            "open" => {
                let message = self.message(event);
                let session = self.side(event);
                let opened = session.open(now, &message).expect("in the vector it opens");
                assert_eq!(*opened.plaintext, bytes(&event["plaintext"]));
                session.apply(opened.step).expect("fresh");
                if session.role() == Role::Initiator {
                    session.drop_prefix();
                }
            }
            "refuse" => {
                let message = self.message(event);
                let session = self.side(event);
                let before = session.to_bytes();
                assert!(session.open(now, &message).is_err());
                assert_eq!(session.to_bytes(), before);
                return;
            }
            other => panic!("no event {other}"),
        }
        let state = &event["state"];
        check(self.side(event), state);
        // As if it had been stored in between.
        let session = self.side(event);
        *session = Session::from_bytes(&session.to_bytes()).expect("own bytes");
    }

    /// The ratchet message of a frame.
    fn message(&self, event: &Value) -> Vec<u8> {
        let frame = &self.frames[number::<usize>(&event["frame_number"])];
        frame.strip_prefix(&self.prefix[..]).unwrap_or(frame).to_vec()
    }
}

fn check(session: &Session, state: &Value) {
    assert_eq!(session.root.expose(), &array(&state["root"]));
    assert_eq!(session.pq_epoch(), number::<u32>(&state["epoch"]));
    let kem = match &session.kem {
        KemRatchet::Own(..) => "own",
        KemRatchet::Pending(..) => "pending",
        KemRatchet::Await(..) => "await",
        KemRatchet::Sent(..) => "sent",
    };
    assert_eq!(kem, text(&state["kem_state"]));
    let mut skipped: Vec<_> = session
        .skipped
        .batches
        .iter()
        .flat_map(|batch| batch.keys.iter().map(|(n, key)| (batch.chain, *n, *key.expose())))
        .collect();
    skipped.sort_unstable();
    let expected = state["skipped"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (number::<u32>(&entry[0]), number::<u32>(&entry[1]), array(&entry[2])));
    let mut expected: Vec<_> = expected.collect();
    expected.sort_unstable();
    assert_eq!(skipped, expected);
}

// RAT-1, RAT-5, RAT-6, RAT-8, RAT-11, RAT-12, RAT-13, RAT-14
#[test]
fn the_conversations_of_the_specification_come_out_byte_for_byte() {
    for vector in CONVERSATIONS.map(json) {
        let mut play = Play::new(&vector);
        let events = vector["events"].as_array().expect("a list");
        for event in events {
            play.event(event);
        }
        passed(&format!("ratchet {}", text(&vector["name"])), events.len());
    }
}
