use sealwire_core::{MemoryKeyStore, keystore::KeySeeds, keystore::KeyUse};
use sealwire_testkit::vectors::{bytes, json};

use super::*;

// HS-6
#[test]
fn psk0_follows_from_the_static_kem_secret_as_the_specification_says() {
    let file = json(include_str!("../../tests/vectors/hybrid.json"));
    let cases = file["cases"].as_array().expect("a list");
    let mut count = 0;
    for case in cases.iter().filter(|case| case["pattern"] == 2) {
        let preamble = Preamble::from_bytes(&bytes(&case["preamble"])).expect("a preamble");
        let seeds = KeySeeds::from_bytes(&bytes(&case["responder_seeds"])).expect("seeds");
        let keys = MemoryKeyStore::from_seeds(&seeds).expect("keys");
        let kx = preamble.kx().expect("IK");
        let ciphertext = preamble.ciphertext().expect("IK");
        let public = keys.public(kx).expect("the set").kem;
        let shared = keys.decapsulate(kx, KeyUse::Handshake, ciphertext).expect("a secret");
        let psk = psk0(preamble.suite(), &public, ciphertext, &shared).expect("a key");
        assert_eq!(psk.expose().as_slice(), bytes(&case["psk0"]));

        let label = b"sealwire/v1/noise/psk0";
        let mut info = [&label[..], &[0, preamble.suite().id()]].concat();
        for field in [public.as_bytes().as_slice(), ciphertext.as_bytes()] {
            info.extend([&[0, 32][..], &kdf::sha256(&[field])].concat());
        }
        let expected: Secret<32> = kdf::expand(&kdf::extract(label, shared.expose()), &info);
        assert_eq!(psk, expected);
        count += 1;
    }
    assert_eq!(count, 2);
}
