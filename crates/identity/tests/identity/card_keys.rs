//! Keys that no card may carry.

use std::io::Read;

use base64ct::{Base64, Encoding};
use sealwire_core::MemoryKeyStore;
use sealwire_identity::IdentityCard;
use sealwire_testkit::{
    vectors::{json, passed},
    zero_shared_secret_publics,
};

use crate::common::{RawCard, keys};

fn refusal(raw: &RawCard, keys: &MemoryKeyStore) -> String {
    IdentityCard::from_bytes(&raw.sign(keys)).expect_err("a bad key").to_string()
}

// attack T1: the 31 publics that give an all-zero secret, as exchange key and in the X-Wing key.
// CARD-5
#[test]
fn zero_publics_are_refused() {
    let keys = keys(1);
    let publics = zero_shared_secret_publics();
    for public in &publics {
        let exchange = RawCard::with(&keys, |raw| raw.exchange_key = public.to_vec());
        assert!(refusal(&exchange, &keys).starts_with("X25519 public key: "));
        let envelope = RawCard::with(&keys, |raw| raw.xwing_key[1184..].copy_from_slice(public));
        assert!(refusal(&envelope, &keys).starts_with("X25519 public key: "));
    }
    assert_eq!(publics.len(), 31);
    passed("x25519 zero shared secrets in cards", 2 * publics.len());
}

// attack T10: encapsulation keys with a coefficient of q or more, in both places.
// CARD-5
#[test]
fn kem_keys_out_of_range_are_refused() {
    let file = json(include_str!("../vectors/cctv-ml-kem-768-modulus.json"));
    let packed = file["invalid_ek_gz_b64"].as_str().expect("text");
    let packed = Base64::decode_vec(packed).expect("base64");
    let mut lines = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut lines).expect("gzip");

    let keys = keys(1);
    let sound = RawCard::of(&keys);
    for line in lines.lines() {
        let key = hex::decode(line).expect("hex");
        let handshake = RawCard { kem_key: key.clone(), ..sound.clone() };
        assert!(refusal(&handshake, &keys).starts_with("ML-KEM-768 encapsulation key: "));
        let mut envelope = sound.clone();
        envelope.xwing_key[..1184].copy_from_slice(&key);
        assert!(refusal(&envelope, &keys).starts_with("ML-KEM-768 encapsulation key: "));
    }
    assert_eq!(lines.lines().count(), 780);
    passed("cctv ml-kem-768 modulus in cards", 2 * lines.lines().count());
}
