use sealwire_testkit::vectors::{bytes, json, passed};
use serde_json::Value;

use super::*;

const VECTORS: &str = include_str!("../../tests/vectors/x3dh.json");

fn secret(value: &Value) -> Secret<32> {
    Secret::from_slice(&bytes(value)).expect("32 bytes")
}

fn long_lived(value: &Value) -> StaticSecret {
    StaticSecret::from_seed(&secret(value)).expect("a key")
}

fn one_use(value: &Value) -> EphemeralSecret {
    EphemeralSecret::from_seed(&secret(value)).expect("a key")
}

// What the Python package x3dh 1.3.0 agreed on with itself, both sides computed here.
#[test]
fn x3dh_of_another_implementation() {
    let cases = json(VECTORS);
    let cases = cases.as_array().expect("a list");
    for case in cases {
        let (a, b, info) = (&case["initiator"], &case["responder"], bytes(&case["info"]));
        let (ik_a, ek_a) = (long_lived(&a["identity"]), one_use(&a["ephemeral"]));
        let (ik_b, spk_b) = (long_lived(&b["identity"]), long_lived(&b["signed"]));
        let opk_b = (!b["one_time"].is_null()).then(|| one_use(&b["one_time"]));
        for (name, public) in [
            ("identity_a", ik_a.public().as_bytes()),
            ("ephemeral", ek_a.public().as_bytes()),
            ("identity_b", ik_b.public().as_bytes()),
            ("signed", spk_b.public().as_bytes()),
        ] {
            assert_eq!(public[..], bytes(&case["publics"][name]), "{name}");
        }
        let peer = Responder {
            identity: ik_b.public(),
            signed: spk_b.public(),
            one_time: opk_b.as_ref().map(|key| &**key.public()),
        };
        let at_a = initiate(&ik_a, &ek_a, peer, &info).expect("sound keys");
        assert_eq!(at_a.expose()[..], bytes(&case["sk"]));
        let keys = ResponderSecrets { identity: &ik_b, signed: &spk_b, one_time: opk_b.as_ref() };
        let at_b = respond(keys, ik_a.public(), ek_a.public(), &info).expect("sound keys");
        assert!(at_a == at_b);
    }
    assert_eq!(cases.len(), 8);
    passed("x3dh 1.3.0", cases.len());
}
