//! What is printed shows no secret: every type that holds one, and every error that met one.

use sealwire_core::{
    KeyStore, MemoryKeyStore,
    aead::{AeadKey, Algorithm, xchacha_open},
    kdf::Sha256,
    kem::{KemSecret, SharedSecret},
    keys::{EphemeralSecret, SigningKey, StaticSecret},
    keystore::{KeySeeds, KxId, expand_xwing},
    secret::Secret,
    wipe::Wiped,
};
use sealwire_testkit::{leak::shows, rng::SeededRng};

#[expect(clippy::expect_used, reason = "the seeded generator does not fail")]
fn secret<const N: usize>() -> Secret<N> {
    Secret::random(&mut SeededRng::new(34)).expect("randomness")
}

/// All the ways to print a value.
fn printed(value: &dyn std::fmt::Debug) -> String {
    format!("{value:?} {value:#?} {value:x?} {value:#X?}")
}

/// Prints `value` and looks for the bytes that it was made of.
fn assert_silent(name: &str, value: &dyn std::fmt::Debug, secrets: &[&[u8]]) {
    let text = printed(value);
    for secret in secrets {
        assert!(!shows(&text, secret), "{name} shows a secret: {text}");
        // The control: the same search, over the same text with the secret in it, finds it.
        assert!(shows(&format!("{text} {secret:?}"), secret), "{name}");
    }
}

// attack T34
#[test]
fn debug_of_a_secret_type_shows_no_secret() {
    let seed = secret::<32>();
    let kem_seed = secret::<64>();
    let key = AeadKey::new(Algorithm::Aes256Gcm, &seed).expect("a key");
    let chacha = AeadKey::new(Algorithm::ChaCha20Poly1305, &seed).expect("a key");
    let shared = SharedSecret::new(secret());
    let mut hash = Sha256::new();
    hash.update(seed.expose());
    let values: [(&str, &dyn std::fmt::Debug); 10] = [
        ("Secret", &seed),
        ("SharedSecret", &shared),
        ("SigningKey", &SigningKey::from_seed(&seed)),
        ("StaticSecret", &StaticSecret::from_seed(&seed).expect("a key")),
        ("EphemeralSecret", &EphemeralSecret::from_seed(&seed).expect("a key")),
        ("AeadKey for AES", &key),
        ("AeadKey for ChaCha20", &chacha),
        ("Wiped", &Wiped::new(*seed.expose())),
        ("Sha256", &hash),
        ("the expanded X-Wing key", &expand_xwing(&seed).expect("keys")),
    ];
    for (name, value) in values {
        assert_silent(name, value, &[seed.expose()]);
    }
    assert_silent("KemSecret", &KemSecret::from_seed(&kem_seed), &[kem_seed.expose()]);
}

// attack T34
#[test]
fn debug_of_a_key_store_shows_no_secret() {
    let mut rng = SeededRng::new(35);
    let mut seeds = KeySeeds::generate(&mut rng).expect("randomness");
    seeds.add_set(&mut rng).expect("room");
    let bytes = seeds.to_bytes();
    let store = MemoryKeyStore::from_seeds(&seeds).expect("keys");
    let publics = store.public(KxId::MIN).expect("the first set");
    assert_silent("KeySeeds", &seeds, &[&bytes]);
    assert_silent("MemoryKeyStore", &store, &[&bytes]);
    assert_silent("ExchangePublics", &publics, &[&bytes]);
}

// What is printed is fixed, so that a new field is seen here.
#[test]
fn debug_of_the_seeds_is_exactly_this() {
    let seeds = KeySeeds::generate(&mut SeededRng::new(35)).expect("randomness");
    let set = "ExchangeSeeds { kx: 1, handshake: Secret<32>(..), kem: Secret<64>(..), \
               xwing: Secret<32>(..) }";
    assert_eq!(
        format!("{seeds:?}"),
        format!("KeySeeds {{ identity: Secret<32>(..), sets: [{set}] }}")
    );
    assert_eq!(format!("{:?}", SharedSecret::new(secret())), "SharedSecret(Secret<32>(..))");
    assert_eq!(format!("{:?}", SigningKey::from_seed(&secret())), "SigningKey(..)");
    assert_eq!(format!("{:?}", KemSecret::from_seed(&secret())), "KemSecret(..)");
}

// attack T34
#[test]
fn errors_show_nothing_of_the_bytes_they_met() {
    let mut bytes = KeySeeds::generate(&mut SeededRng::new(36)).expect("randomness").to_bytes();
    let met = bytes.clone();
    let mut errors = Vec::new();
    for cut in [3, 34, 39, 100, bytes.len() - 1] {
        errors.push(KeySeeds::from_bytes(&bytes[..cut]).expect_err("cut").into());
    }
    bytes[0] = 2;
    errors.push(KeySeeds::from_bytes(&bytes).expect_err("version").into());
    errors.push(Secret::<31>::from_slice(&bytes[..32]).expect_err("length"));
    errors.push(xchacha_open(&secret(), &[0; 24], b"", &mut bytes.to_vec()).expect_err("tag"));
    for error in errors {
        let error: sealwire_core::Error = error;
        let text = format!("{error} {error:?} {error:#?}");
        assert!(!shows(&text, &met), "{text}");
    }
}
