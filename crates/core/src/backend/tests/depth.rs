//! How deep the calls go whose stack `wipe` overwrites: two thirds of that at most, since
//! another compiler lays frames out in another way.

use sealwire_testkit::stack::depth;

use super::*;
use crate::{
    kdf,
    label::Label,
    secret::Secret,
    wipe::{DEEP_BYTES, STACK_BYTES},
};

fn check(name: &str, depth: usize, overwritten: usize) {
    println!("{name}: {depth} bytes");
    assert!(depth > 0 && depth <= overwritten / 3 * 2, "{name}: {depth} of {overwritten}");
}

// attack T35
#[test]
fn no_call_goes_deeper_than_two_thirds_of_what_is_overwritten() {
    for backend in BACKENDS {
        let check = |call: &str, depth, overwritten| {
            check(&format!("{} {call}", backend.name()), depth, overwritten);
        };
        let peer = backend.exchange_public(&[8; 32]);
        check("X25519 key", depth(|| backend.exchange_public(&[7; 32])), STACK_BYTES);
        check("X25519", depth(|| backend.agree(&[7; 32], &peer)), STACK_BYTES);
        let seed = [9; SEED_LEN];
        check("ML-KEM key", depth(|| drop(backend.kem_from_seed(&seed))), DEEP_BYTES);
        let (key, public) = backend.kem_from_seed(&seed);
        let encapsulate = || backend.kem_encapsulate(&public, &[3; 32]);
        check("ML-KEM encapsulation", depth(encapsulate), DEEP_BYTES);
        let (ciphertext, _) = encapsulate();
        check("ML-KEM decapsulation", depth(|| key.decapsulate(&ciphertext)), DEEP_BYTES);
        for algorithm in [Algorithm::Aes256Gcm, Algorithm::ChaCha20Poly1305] {
            let nonce = [1; NONCE_LEN];
            let case = Sealing { algorithm, key: [7; 32], nonce, associated: b"with" };
            let depth = backend.seal_depth(&case, &mut vec![5; 16 * 1024]);
            check(&format!("{algorithm:?}"), depth, STACK_BYTES);
        }
    }
}

// attack T35
#[test]
fn no_call_that_has_one_implementation_does_either() {
    let seed = Secret::<32>::from_slice(&[7; 32]).expect("32 bytes");
    let expand = || Box::new(ed25519_dalek::SigningKey::from_bytes(seed.expose()));
    check("Ed25519 key", depth(expand), STACK_BYTES);
    let key = expand();
    check("Ed25519", depth(|| ed25519_dalek::Signer::sign(&*key, b"message")), STACK_BYTES);
    let mut message = vec![5; 16 * 1024];
    let seal = || crate::backend::xchacha_seal(seed.expose(), &[1; 24], b"", &mut message);
    check("XChaCha20-Poly1305", depth(seal), STACK_BYTES);
    let info = Label::CARD.context(None, &[]).expect("short");
    check("HKDF", depth(|| kdf::hkdf::<32>(b"salt", seed.expose(), &info)), STACK_BYTES);
}
