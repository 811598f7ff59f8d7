//! What holds for every input of the decoders of this crate. The fuzz targets of the same names
//! include this file, and the tests at its foot replay the targets' corpora. Each says whether the
//! input was read.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

use sealwire_core::{
    SuiteSet,
    kem::{KemCiphertext, KemPublic, KemSecret},
    keys::{EphemeralSecret, Signature, StaticPublic, VerifyingKey},
    keystore::KeySeeds,
    pad::{pad, unpad},
    secret::Secret,
};

/// Public keys, ciphertexts, signatures and lists of suites are read only from the bytes that
/// they are written as. What is read as a key can be used as one.
pub fn public_keys(bytes: &[u8]) -> bool {
    let filled = |fill| Secret::init_with(|seed: &mut [u8; 32]| seed.fill(fill));
    let exchange = StaticPublic::from_bytes(bytes).inspect(|key| {
        assert_eq!(key.as_bytes(), bytes);
        let secret = EphemeralSecret::from_seed(&filled(1)).expect("a seed");
        secret.agree(key).expect("a secret that is not zero");
    });
    let kem = KemPublic::from_bytes(bytes).inspect(|key| {
        assert_eq!(key.as_bytes(), bytes);
        key.encapsulate_with(filled(2));
    });
    let ciphertext = KemCiphertext::from_bytes(bytes).inspect(|ciphertext| {
        assert_eq!(ciphertext.as_bytes(), bytes);
        let seed = Secret::init_with(|seed: &mut [u8; 64]| seed.fill(3));
        KemSecret::from_seed(&seed).decapsulate(ciphertext);
    });
    let identity = VerifyingKey::from_bytes(bytes).inspect(|key| {
        assert_eq!(key.as_bytes(), bytes);
    });
    let signature = Signature::from_bytes(bytes).inspect(|signature| {
        assert_eq!(signature.as_bytes(), bytes);
    });
    let suites = SuiteSet::from_bytes(bytes).inspect(|suites| {
        assert_eq!(suites.to_bytes(), bytes);
    });
    exchange.is_ok()
        || kem.is_ok()
        || ciphertext.is_ok()
        || identity.is_ok()
        || signature.is_ok()
        || suites.is_ok()
}

/// The seeds of an agent's keys are read only from the bytes that they are written as.
pub fn key_seeds(bytes: &[u8]) -> bool {
    let Ok(seeds) = KeySeeds::from_bytes(bytes) else { return false };
    assert_eq!(*seeds.to_bytes(), bytes);
    assert!(bytes.len() <= KeySeeds::MAX_LEN);
    true
}

/// Padding comes off only where it was put on.
pub fn padding(bytes: &[u8]) -> bool {
    let Ok(content) = unpad(bytes) else { return false };
    let mut padded = content.to_vec();
    pad(&mut padded, bytes.len()).expect("room");
    assert_eq!(padded, bytes);
    true
}

#[cfg(test)]
mod replay {
    use sealwire_testkit::corpus::replay;

    // attack T32
    #[test]
    fn public_keys() {
        replay("public_keys", super::public_keys);
    }

    // attack T32
    #[test]
    fn key_seeds() {
        replay("key_seeds", super::key_seeds);
    }

    // attack T32
    #[test]
    fn padding() {
        replay("padding", super::padding);
    }
}
