use proptest::{collection::vec, prelude::*};
use sealwire_testkit::rng::SeededRng;

use super::*;
use crate::{keys::EphemeralSecret, label::Label};

const FIRST: KxId = KxId::MIN;

fn rng() -> SeededRng {
    SeededRng::new(7)
}

fn seeds(sets: usize) -> KeySeeds {
    let mut rng = rng();
    let mut seeds = KeySeeds::generate(&mut rng).expect("randomness");
    for _ in 1..sets {
        seeds.add_set(&mut rng).expect("room");
    }
    seeds
}

fn kx(number: u32) -> KxId {
    KxId::new(number).expect("from 1")
}

/// The encoding of seeds with these numbers; every secret byte is 7.
fn encoding(count: u16, numbers: &[u32]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.extend_from_slice(&[7; 32]);
    for number in numbers {
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&[7; 128]);
    }
    bytes
}

fn refused(bytes: &[u8]) -> DecodeReason {
    KeySeeds::from_bytes(bytes).expect_err("bad seeds").reason()
}

#[test]
fn seeds_round_trip_and_every_cut_is_refused() {
    for sets in [1, 2, KeySeeds::MAX_SETS] {
        let bytes = seeds(sets).to_bytes();
        let again = KeySeeds::from_bytes(&bytes).expect("own encoding");
        assert_eq!(again.to_bytes(), bytes, "{sets}");
        for cut in 0..bytes.len() {
            assert_eq!(refused(&bytes[..cut]), DecodeReason::Truncated, "{sets} sets to {cut}");
        }
    }
    assert_eq!(seeds(KeySeeds::MAX_SETS).to_bytes().len(), KeySeeds::MAX_LEN);
}

#[test]
fn bad_seeds_are_refused() {
    let count = DecodeReason::Invalid("holds 1 to 32 sets of exchange keys");
    let numbers = DecodeReason::Invalid("numbers ascend from 1");
    let mut trailing = encoding(1, &[1]);
    trailing.push(0);
    let all: Vec<u32> = (1..=33).collect();
    for (name, bytes, reason) in [
        ("a trailing byte", trailing, DecodeReason::Trailing),
        ("a set more than counted", encoding(1, &[1, 2]), DecodeReason::Trailing),
        ("a set less than counted", encoding(2, &[1]), DecodeReason::Truncated),
        ("no set", encoding(0, &[]), count),
        ("33 sets", encoding(33, &all), count),
        ("65,535 sets", encoding(u16::MAX, &all), count),
        ("the number zero", encoding(1, &[0]), numbers),
        ("descending numbers", encoding(2, &[2, 1]), numbers),
        ("equal numbers", encoding(2, &[4, 4]), numbers),
    ] {
        assert_eq!(refused(&bytes), reason, "{name}");
    }
    for version in (0..=255).filter(|version| *version != 1) {
        let mut bytes = encoding(1, &[1]);
        bytes[0] = version;
        assert_eq!(refused(&bytes), DecodeReason::UnknownVersion(version));
    }
    assert!(KeySeeds::from_bytes(&encoding(32, &all[..32])).is_ok());
}

#[test]
fn sets_are_numbered_from_one_and_never_reused() {
    let mut rng = rng();
    let mut seeds = KeySeeds::generate(&mut rng).expect("randomness");
    assert_eq!(seeds.sets[0].kx, FIRST);
    for number in 2..=32 {
        assert_eq!(seeds.add_set(&mut rng), Ok(kx(number)));
    }
    let before = seeds.to_bytes();
    assert!(matches!(seeds.add_set(&mut rng), Err(Error::Misuse(_))));
    assert_eq!(seeds.to_bytes(), before);

    // A retired set leaves a gap; the next number goes on from the last.
    let mut seeds = KeySeeds::from_bytes(&encoding(2, &[3, 9])).expect("ascending");
    assert_eq!(seeds.add_set(&mut rng), Ok(kx(10)));
}

#[test]
fn the_last_number_is_not_followed_by_another() {
    let bytes = encoding(1, &[u32::MAX]);
    let mut seeds = KeySeeds::from_bytes(&bytes).expect("ascending");
    assert!(matches!(seeds.add_set(&mut rng()), Err(Error::Misuse(_))));
    assert_eq!(*seeds.to_bytes(), bytes);
}

#[test]
fn all_seeds_of_an_agent_differ() {
    let seeds = seeds(3);
    let mut halves: Vec<&[u8]> = vec![seeds.identity.expose()];
    for ExchangeSeeds { kx: _, handshake, kem, xwing } in &seeds.sets {
        let (d, z) = kem.expose().split_at(32);
        halves.extend([&handshake.expose()[..], d, z, xwing.expose()]);
    }
    let count = halves.len();
    halves.sort_unstable();
    halves.dedup();
    assert_eq!((count, halves.len()), (13, 13));
}

#[test]
fn a_store_from_decoded_seeds_has_the_same_keys() {
    let seeds = seeds(2);
    let decoded = KeySeeds::from_bytes(&seeds.to_bytes()).expect("own encoding");
    let store = MemoryKeyStore::from_seeds(&seeds).expect("keys");
    let again = MemoryKeyStore::from_seeds(&decoded).expect("keys");
    assert_eq!(store.identity(), again.identity());
    assert_eq!((store.newest(), again.newest()), (kx(2), kx(2)));
    for number in [FIRST, kx(2)] {
        assert_eq!(store.public(number), again.public(number));
    }
    assert_ne!(store.public(FIRST), store.public(kx(2)));

    let message = Label::CARD.context(None, &[b"a card"]).expect("short");
    let signature = again.sign(&message).expect("in memory");
    assert_eq!(store.identity().verify(&message, &signature), Ok(()));
}

#[test]
fn each_use_has_keys_of_its_own() {
    let mut rng = rng();
    let store = MemoryKeyStore::generate(&mut rng).expect("randomness");
    let publics = store.public(FIRST).expect("the first set");
    assert_ne!(publics.handshake, publics.envelope);
    assert_ne!(publics.kem, publics.envelope_kem);

    let peer = EphemeralSecret::generate(&mut rng).expect("randomness");
    for (usage, own, kem, other_usage) in [
        (KeyUse::Handshake, &publics.handshake, &publics.kem, KeyUse::Envelope),
        (KeyUse::Envelope, &publics.envelope, &publics.envelope_kem, KeyUse::Handshake),
    ] {
        let expected = peer.agree(own).expect("not zero");
        assert_eq!(store.agree(FIRST, usage, peer.public()), Ok(expected));
        let other = store.agree(FIRST, other_usage, peer.public()).expect("not zero");
        assert_ne!(other, peer.agree(own).expect("not zero"));

        let (ciphertext, shared) = kem.encapsulate(&mut rng).expect("randomness");
        let other = store.decapsulate(FIRST, other_usage, &ciphertext).expect("no error");
        assert_ne!(other, shared);
        assert_eq!(store.decapsulate(FIRST, usage, &ciphertext), Ok(shared));
    }
}

// One key, one use: the public halves of the X-Wing key are those of its expansion.
#[test]
fn envelope_keys_come_from_the_xwing_seed() {
    let seeds = seeds(1);
    let publics =
        MemoryKeyStore::from_seeds(&seeds).expect("keys").public(FIRST).expect("the first set");
    let (kem, x25519) = expand_xwing(&seeds.sets[0].xwing).expect("a key");
    assert_eq!(&publics.envelope_kem, kem.public());
    assert_eq!(&publics.envelope, x25519.public());
}

#[test]
fn an_unknown_number_is_an_error_of_the_store() {
    let mut rng = rng();
    let store = MemoryKeyStore::generate(&mut rng).expect("randomness");
    let peer = EphemeralSecret::generate(&mut rng).expect("randomness");
    let publics = store.public(FIRST).expect("the first set");
    let (ciphertext, _) = publics.kem.encapsulate(&mut rng).expect("randomness");
    for number in [kx(2), KxId::MAX] {
        assert!(matches!(store.public(number), Err(Error::KeyStore(_))));
        for usage in [KeyUse::Handshake, KeyUse::Envelope] {
            let agreed = store.agree(number, usage, peer.public());
            assert!(matches!(agreed, Err(Error::KeyStore(_))));
            let decapsulated = store.decapsulate(number, usage, &ciphertext);
            assert!(matches!(decapsulated, Err(Error::KeyStore(_))));
        }
    }
}

proptest! {
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        gaps in vec(0u32..3, 1..6),
        secrets in vec(any::<u8>(), 5 * 128),
        identity: [u8; 32],
    ) {
        let mut bytes = vec![1, 0, u8::try_from(gaps.len()).expect("few")];
        bytes.extend_from_slice(&identity);
        let mut number = 0;
        for (gap, secrets) in gaps.iter().zip(secrets.chunks(128)) {
            number += gap;
            bytes.extend_from_slice(&u32::to_be_bytes(number));
            bytes.extend_from_slice(secrets);
        }
        // A gap of zero repeats a number, or starts at zero.
        let decoded = KeySeeds::from_bytes(&bytes);
        prop_assert_eq!(decoded.is_ok(), !gaps.contains(&0));
        if let Ok(seeds) = decoded {
            prop_assert_eq!(&*seeds.to_bytes(), &bytes);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(seeds) = KeySeeds::from_bytes(&bytes) {
            prop_assert_eq!(&*seeds.to_bytes(), &bytes);
        }
    }
}
