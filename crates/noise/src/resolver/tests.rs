//! What snow gets from the resolver, and what it is refused.

use sealwire_core::MemoryKeyStore;
use sealwire_testkit::{rng::SeededRng, zero_shared_secret_publics};

use super::*;

fn handle() -> StaticHandle {
    let keys = Arc::new(MemoryKeyStore::generate(&mut SeededRng::new(1)).expect("keys"));
    let kx = keys.newest();
    let public = keys.public(kx).expect("one set").handshake;
    StaticHandle { keys, kx, public }
}

fn resolver(kem: PreparedKem) -> Resolver {
    let seed = Secret::init_with(|seed| seed.fill(5));
    let ephemeral = EphemeralSecret::from_seed(&seed).expect("32 bytes");
    Resolver::new(handle(), Prepared { ephemeral, kem })
}

fn randomness() -> PreparedKem {
    PreparedKem::Randomness(Secret::init_with(|bytes| bytes.fill(6)))
}

fn own() -> PreparedKem {
    PreparedKem::Own(KemSecret::generate(&mut SeededRng::new(2)).expect("a key"))
}

/// The static and the ephemeral DH object, as snow has them in a handshake.
fn exchanges() -> [Box<dyn Dh>; 2] {
    let resolver = resolver(PreparedKem::None);
    let mut objects = [(); 2].map(|()| resolver.resolve_dh(&DHChoice::Curve25519).expect("X25519"));
    objects[0].set(&STATIC_HANDLE);
    objects[1].generate(&mut NoRandom).expect("the prepared key");
    objects
}

#[test]
fn a_public_key_that_gives_zero_is_refused_by_both_keys() {
    // attack T1
    for exchange in exchanges() {
        for public in zero_shared_secret_publics() {
            let mut out = [9; 56];
            let mut buffer = [0; 56];
            buffer[..32].copy_from_slice(&public);
            assert_eq!(exchange.dh(&buffer, &mut out), Err(SnowError::Dh), "{public:?}");
            assert_eq!(out, [9; 56]);
        }
        assert!(exchange.dh(handle().public.as_bytes(), &mut [0; 56]).is_ok());
    }
}

#[test]
fn a_public_key_that_is_not_canonical_is_refused_by_both_keys() {
    // 9, the base point, with bit 255 set and as 9 + p.
    let mut with_top_bit = [0; 32];
    with_top_bit[0] = 9;
    let plain = with_top_bit;
    with_top_bit[31] = 0x80;
    let mut above_p = [0xFF; 32];
    above_p[0] = 0xF6;
    above_p[31] = 0x7F;
    for exchange in exchanges() {
        assert!(exchange.dh(&plain, &mut [0; 32]).is_ok());
        for public in [with_top_bit, above_p] {
            assert_eq!(exchange.dh(&public, &mut [0; 32]), Err(SnowError::Dh));
        }
        for short in [&plain[..31], &[]] {
            assert_eq!(exchange.dh(short, &mut [0; 32]), Err(SnowError::Dh));
        }
    }
}

#[test]
fn a_hash_that_is_reset_forgets_what_it_was_given() {
    let hash = resolver(PreparedKem::None).resolve_hash(&HashChoice::SHA256);
    let mut hash = hash.expect("SHA-256");
    hash.input(b"of the last message");
    hash.reset();
    hash.input(b"abc");
    let mut out = [0; 32];
    hash.result(&mut out);
    assert_eq!(out, sealwire_core::kdf::sha256(&[b"abc"]));
}

#[test]
fn both_sides_of_an_exchange_agree() {
    let [with_static, with_ephemeral] = exchanges();
    let (mut first, mut second) = ([0; 32], [0; 32]);
    with_static.dh(with_ephemeral.pubkey(), &mut first).expect("a good key");
    with_ephemeral.dh(with_static.pubkey(), &mut second).expect("a good key");
    assert_eq!(first, second);
    assert_ne!(first, [0; 32]);
}

#[test]
fn the_prepared_ephemeral_key_is_installed_once() {
    // attack T31
    let resolver = resolver(PreparedKem::None);
    let mut exchange = resolver.resolve_dh(&DHChoice::Curve25519).expect("X25519");
    assert_eq!(exchange.generate(&mut NoRandom), Ok(()));
    assert_eq!(exchange.generate(&mut NoRandom), Err(SnowError::Rng));
    let mut other = resolver.resolve_dh(&DHChoice::Curve25519).expect("X25519");
    assert_eq!(other.generate(&mut NoRandom), Err(SnowError::Rng));
    assert_eq!(other.pubkey(), [0; 32]);
}

#[test]
fn the_generator_of_snow_always_fails() {
    // attack T31
    let mut random = resolver(PreparedKem::None).resolve_rng().expect("a generator");
    assert_eq!(random.try_fill_bytes(&mut [0; 32]), Err(SnowError::Rng));
}

#[test]
fn no_private_key_but_the_handle_is_taken() {
    let mut exchange =
        resolver(PreparedKem::None).resolve_dh(&DHChoice::Curve25519).expect("X25519");
    exchange.set(&[7; 32]);
    let peer = handle().public;
    assert_eq!(exchange.dh(peer.as_bytes(), &mut [0; 32]), Err(SnowError::Dh));
    assert_eq!(exchange.privkey(), [0; 32]);
}

#[test]
fn only_the_primitives_of_the_suites_are_there() {
    let resolver = resolver(PreparedKem::None);
    assert!(resolver.resolve_dh(&DHChoice::Curve448).is_none());
    for choice in [HashChoice::SHA512, HashChoice::Blake2s, HashChoice::Blake2b] {
        assert!(resolver.resolve_hash(&choice).is_none());
    }
}

#[test]
fn the_kem_key_pair_and_the_randomness_are_used_once() {
    // attack T31
    let initiator = resolver(own());
    let mut own = initiator.resolve_kem(&KemChoice::Kyber1024).expect("ML-KEM");
    own.generate(&mut NoRandom);
    let responder = resolver(randomness());
    let kem = responder.resolve_kem(&KemChoice::Kyber1024).expect("ML-KEM");
    let (mut sent, mut received, mut ciphertext) = ([0; 32], [0; 32], [0; CIPHERTEXT_LEN]);
    assert_eq!(kem.encapsulate(own.pubkey(), &mut sent, &mut ciphertext), Ok((32, CIPHERTEXT_LEN)));
    assert_eq!(own.decapsulate(&ciphertext, &mut received), Ok(32));
    assert_eq!(sent, received);
    assert_ne!(sent, [0; 32]);

    let again = kem.encapsulate(own.pubkey(), &mut [0; 32], &mut [0; CIPHERTEXT_LEN]);
    assert_eq!(again, Err(SnowError::Kem));
    own.generate(&mut NoRandom);
    assert_eq!(own.decapsulate(&ciphertext, &mut [0; 32]), Err(SnowError::Kem));
}

#[test]
fn a_bad_encapsulation_key_is_refused_and_a_bad_ciphertext_is_no_error() {
    // attack T10
    let initiator = resolver(own());
    let mut own = initiator.resolve_kem(&KemChoice::Kyber1024).expect("ML-KEM");
    own.generate(&mut NoRandom);
    let mut overflow: Vec<u8> = own.pubkey().to_vec();
    // The first coefficient becomes q = 3329 = 0xD01.
    overflow[0] = 0x01;
    overflow[1] = (overflow[1] & 0xF0) | 0x0D;
    for public in [&overflow[..], &own.pubkey()[1..], &[]] {
        let responder = resolver(randomness());
        let kem = responder.resolve_kem(&KemChoice::Kyber1024).expect("ML-KEM");
        let refused = kem.encapsulate(public, &mut [0; 32], &mut [0; CIPHERTEXT_LEN]);
        assert_eq!(refused, Err(SnowError::Kem));
    }
    // Implicit rejection: a secret that nobody else has.
    assert_eq!(own.decapsulate(&[0; CIPHERTEXT_LEN], &mut [0; 32]), Ok(32));
    assert_eq!(own.decapsulate(&[0; CIPHERTEXT_LEN - 1], &mut [0; 32]), Err(SnowError::Kem));
}

#[test]
fn a_cipher_without_a_key_or_without_room_writes_nothing() {
    let resolver = resolver(PreparedKem::None);
    let mut cipher = resolver.resolve_cipher(&CipherChoice::AESGCM).expect("AES");
    assert_eq!(cipher.encrypt(0, b"", b"text", &mut [0; 64]), 0);
    assert_eq!(cipher.decrypt(0, b"", &[0; 32], &mut [0; 64]), Err(SnowError::Decrypt));
    cipher.set(&[1; 32]);
    assert_eq!(cipher.encrypt(0, b"", b"text", &mut [0; 19]), 0);
    assert_eq!(cipher.encrypt(0, b"", b"text", &mut [0; 20]), 20);
    assert_eq!(cipher.decrypt(0, b"", &[0; 15], &mut [0; 64]), Err(SnowError::Decrypt));
}
