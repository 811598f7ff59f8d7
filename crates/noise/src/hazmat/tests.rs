//! Published vectors of classical Noise through the resolver of the hybrid handshakes.

use sealwire_core::{
    MemoryKeyStore,
    aead::{AeadKey, Algorithm, TAG_LEN},
    keystore::KeySeeds,
};
use sealwire_testkit::{
    rng::SeededRng,
    vectors::{bytes, json, passed},
};
use serde_json::Value;

use super::*;

/// A key store whose static key is `secret`; its other keys are not used here.
fn store(secret: &[u8]) -> MemoryKeyStore {
    let head = [&[1, 0, 1][..], &[1; 32], &1u32.to_be_bytes()].concat();
    let seeds = [&head, secret, &[2; 96][..]].concat();
    MemoryKeyStore::from_seeds(&KeySeeds::from_bytes(&seeds).expect("seeds")).expect("keys")
}

/// The place of each pre-shared key, as the name gives them: `IKpsk0+psk2` has 0 and 2.
fn places(name: &str) -> Vec<u8> {
    name.split('_').nth(1).expect("a pattern").split("psk").skip(1).map(digit).collect()
}

fn digit(text: &str) -> u8 {
    text.trim_end_matches('+').parse().expect("a digit")
}

/// One side of a case; `side` is `init` or `resp`.
fn start(case: &Value, side: &str, role: Role) -> Classical {
    let field = |name: &str| &case[format!("{side}_{name}")];
    let name = case["protocol_name"].as_str().expect("a name");
    let keys: Arc<dyn KeyStore> = Arc::new(store(&bytes(field("static"))));
    let kx = keys.newest();
    let public = keys.public(kx).expect("one set").handshake;
    let ephemeral = Secret::from_slice(&bytes(field("ephemeral"))).expect("32 bytes");
    let ephemeral = EphemeralSecret::from_seed(&ephemeral).expect("32 bytes");
    let remote = field("remote_static");
    let remote = remote.is_string().then(|| StaticPublic::from_bytes(&bytes(remote)).expect("key"));
    let psks: Vec<Secret<32>> = field("psks")
        .as_array()
        .into_iter()
        .flatten()
        .map(|psk| Secret::from_slice(&bytes(psk)).expect("32 bytes"))
        .collect();
    let places = places(name);
    assert_eq!(places.len(), psks.len(), "{name}");
    let psks: Vec<(u8, &Secret<32>)> = places.into_iter().zip(&psks).collect();
    let machine = Machine::new(Setup {
        params: name.parse().expect("a known name"),
        role,
        prologue: &bytes(field("prologue")),
        handle: StaticHandle { keys, kx, public },
        prepared: Prepared { ephemeral, kem: PreparedKem::None },
        remote: remote.as_ref(),
        psks: &psks,
    });
    Classical(machine.expect(name))
}

/// Encrypts and decrypts a transport message as Noise section 12 says.
fn check_transport(key: &Secret<32>, aes: bool, counter: u64, payload: &[u8], expected: &[u8]) {
    let algorithm = if aes { Algorithm::Aes256Gcm } else { Algorithm::ChaCha20Poly1305 };
    let counter = if aes { counter.to_be_bytes() } else { counter.to_le_bytes() };
    let nonce: [u8; 12] = [&[0; 4][..], &counter].concat().try_into().expect("12 bytes");
    let key = AeadKey::new(algorithm, key).expect("a key");
    let mut message = payload.to_vec();
    let tag = key.seal_detached(&nonce, &[], &mut message).expect("short");
    assert_eq!([&message[..], &tag].concat(), expected);
    assert_eq!(expected.len(), payload.len() + TAG_LEN);
    key.open_detached(&nonce, &[], &mut message, &tag).expect("as sealed");
    assert_eq!(message, payload);
}

fn run(case: &Value) {
    let name = case["protocol_name"].as_str().expect("a name");
    let mut sides = [start(case, "init", Role::Initiator), start(case, "resp", Role::Responder)];
    let messages = case["messages"].as_array().expect("messages");
    let count = if name.starts_with("Noise_XX") { 3 } else { 2 };
    let (handshake, transport) = messages.split_at(count);
    for (index, message) in handshake.iter().enumerate() {
        let (payload, expected) = (bytes(&message["payload"]), bytes(&message["ciphertext"]));
        let [initiator, responder] = &mut sides;
        let (writer, reader) =
            if index % 2 == 0 { (initiator, responder) } else { (responder, initiator) };
        assert_eq!(writer.write(&payload), Ok(expected.clone()), "{name} message {index}");
        assert_eq!(*reader.read(&expected).expect(name), payload, "{name} message {index}");
    }
    let hashes = sides.each_ref().map(|side| side.hash().expect("a hash"));
    assert_eq!(hashes[0], hashes[1], "{name}");
    if case["handshake_hash"].is_string() {
        assert_eq!(hashes[0].to_vec(), bytes(&case["handshake_hash"]), "{name}");
    }
    let [first, second] = sides.map(Classical::split);
    assert_eq!(first, second, "{name}");
    let (to_responder, to_initiator) = first.expose().split_at(32);
    let keys = [to_responder, to_initiator].map(|key| Secret::from_slice(key).expect("32 bytes"));
    let mut counters = [0, 0];
    for (index, message) in transport.iter().enumerate() {
        let direction = (count + index) % 2;
        let (payload, expected) = (bytes(&message["payload"]), bytes(&message["ciphertext"]));
        let aes = name.contains("AESGCM");
        check_transport(&keys[direction], aes, counters[direction], &payload, &expected);
        counters[direction] += 1;
    }
}

fn run_all(file: &str, set: &str, expected: usize) {
    let file = json(file);
    let cases = file["vectors"].as_array().expect("a list");
    cases.iter().for_each(run);
    assert_eq!(cases.len(), expected, "{set}");
    passed(set, cases.len());
}

#[test]
fn cacophony_vectors_pass_on_both_sides() {
    run_all(include_str!("../../tests/vectors/cacophony.json"), "noise-cacophony", 10);
}

#[test]
fn snow_vectors_pass_on_both_sides() {
    run_all(include_str!("../../tests/vectors/snow.json"), "noise-snow", 14);
}

#[test]
fn a_name_that_is_not_understood_is_misuse() {
    let keys: Arc<dyn KeyStore> = Arc::new(store(&[3; 32]));
    let kx = keys.newest();
    let refused = Classical::new(ClassicalSetup {
        name: "Noise_XX_25519_ROT13_SHA256",
        role: Role::Initiator,
        prologue: b"",
        keys,
        kx,
        ephemeral: &Secret::init_with(|seed| seed.fill(4)),
        remote: None,
        psk: None,
    });
    assert!(matches!(refused, Err(Error::Misuse(_))));
}

#[test]
fn hybrid_sides_without_identities_agree() {
    let mut rng = SeededRng::new(7);
    let [alice, bob] = [3, 4].map(|seed| Arc::new(store(&[seed; 32])) as Arc<dyn KeyStore>);
    let bobs = bob.public(bob.newest()).expect("one set");
    for responder in [None, Some((&bobs.handshake, &bobs.kem))] {
        let suite = Suite::AesGcm;
        let (mut initiator, ciphertext) =
            Hybrid::initiator(Arc::clone(&alice), suite, responder, &mut rng).expect("keys");
        let mut answering =
            Hybrid::responder(Arc::clone(&bob), suite, ciphertext.as_ref(), &mut rng)
                .expect("keys");
        answering.read(&initiator.write().expect("message 1")).expect("message 1");
        initiator.read(&answering.write().expect("message 2")).expect("message 2");
        if responder.is_none() {
            answering.read(&initiator.write().expect("message 3")).expect("message 3");
        }
        let sessions = [initiator, answering].map(|side| side.finish().expect("the end"));
        let [one, other] = sessions.each_ref().map(Session::channel_binding);
        assert_eq!(one, other);
    }
}
