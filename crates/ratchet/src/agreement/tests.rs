use proptest::prelude::*;
use sealwire_core::keys::EphemeralSecret;
use sealwire_testkit::rng::SeededRng;

use super::*;
use crate::prekey::PrekeyId;

fn shared(seed: u8) -> SharedSecret {
    SharedSecret::new(Secret::init_with(|out: &mut [u8; 32]| out.fill(seed)))
}

fn public(seed: u64) -> X25519Public {
    **EphemeralSecret::generate(&mut SeededRng::new(seed)).expect("randomness").public()
}

// AGR-5, AGR-6, AGR-9
#[test]
fn the_key_material_is_laid_out_as_specified() {
    for (dh4, ss, expected) in [
        (true, true, &[0xFF, 1, 2, 3, 4, 5][..]),
        (false, true, &[0xFF, 1, 2, 3, 5]),
        (true, false, &[0xFF, 1, 2, 3, 4]),
        (false, false, &[0xFF, 1, 2, 3]),
    ] {
        let shared = Shared {
            dh2: shared(2),
            dh3: shared(3),
            dh4: dh4.then(|| shared(4)),
            ss: ss.then(|| shared(5)),
        };
        let blocks = |bytes: &[u8]| bytes.chunks(32).map(|block| block[0]).collect::<Vec<u8>>();
        let dh1 = self::shared(1);
        assert_eq!(blocks(&shared.key_material(Some(&dh1))), expected);
        // Without DH1 what the responder can compute before it knows who writes.
        let early: Vec<u8> = expected.iter().copied().filter(|block| *block != 1).collect();
        assert_eq!(blocks(&shared.key_material(None)), early);
        assert_eq!(shared.key_material(Some(&dh1)).capacity(), 192, "it never grew");
    }
}

// attack T6: each secret is of one suite and one use.
#[test]
fn suites_and_uses_have_keys_of_their_own() {
    let shared = Shared { dh2: shared(2), dh3: shared(3), dh4: None, ss: Some(shared(5)) };
    let dh1 = self::shared(1);
    let mut keys = Vec::new();
    for suite in Suite::ALL {
        keys.push(shared.sk(suite, &dh1).expect("short").expose().to_vec());
        for clear in [b"one", b"two"] {
            let (key, nonce) = shared.identity_key(suite, clear).expect("short");
            keys.push(key.expose().to_vec());
            keys.push(nonce.to_vec());
        }
    }
    for (index, key) in keys.iter().enumerate() {
        assert!(!keys[..index].contains(key), "{index}");
    }
}

// attack T7: every field of AD counts, and none runs into its neighbour.
// AGR-7
#[test]
fn every_value_of_an_agreement_is_in_its_transcript() {
    let mut rng = SeededRng::new(1);
    let stores = [1, 2].map(|_| sealwire_core::MemoryKeyStore::generate(&mut rng).expect("keys"));
    let [a, b] = stores.each_ref().map(|keys| keys.public(keys.newest()).expect("a set").handshake);
    let [key_a, key_b] = stores.each_ref().map(KeyStore::identity);
    let ciphertext = |byte| KemCiphertext::from_bytes(&[byte; 1088]).expect("1,088 bytes");
    let ad = |change: usize| {
        // The two values of each field; `change` says which field has its second.
        let pick = |field: usize| usize::from(field == change);
        let keys = [key_a, key_b];
        let statics = [&a, &b];
        let hashes = [[1; 32], [2; 32]];
        let ids: [[&[u8]; 2]; 2] = [[b"alice", b"alic"], [b"bob", b"ebob"]];
        let parties = [0, 1].map(|side| Party {
            id: ids[side][pick(side)],
            device: [7, 8][pick(2 + side)],
            key: keys[side ^ pick(4 + side)],
            static_key: statics[side ^ pick(6 + side)],
            card_hash: &hashes[side ^ pick(8 + side)],
        });
        let publics = Publics {
            spk: [public(1), public(2)][pick(10)],
            opk: [Some(public(3)), None][pick(11)],
            kem: [[3; 32], [4; 32]][pick(12)],
            ephemeral: [public(5), public(6)][pick(13)],
            ciphertext: [ciphertext(1), ciphertext(2)][pick(14)].clone(),
        };
        publics.ad(Suite::AesGcm, parties[0], parties[1]).expect("short").as_bytes().to_vec()
    };
    let all: Vec<Vec<u8>> = (0..16).map(ad).collect();
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "field {index} is not in AD");
    }
}

proptest! {
    // attack T32
    // AGR-1
    #[test]
    fn a_clear_part_is_read_only_from_the_bytes_it_is_written_as(
        (suite, kx, spk, opk, kem) in (0..2usize, 1u32.., 1u32.., any::<u32>(), 1u32..),
        (seed, filler) in any::<(u64, u8)>(),
    ) {
        let id = |number| PrekeyId::new(number).expect("from 1");
        let clear = Clear {
            suite: Suite::ALL[suite],
            kx: id(kx),
            spk: id(spk),
            opk: PrekeyId::new(opk),
            kem: id(kem),
            ephemeral: public(seed),
            ciphertext: KemCiphertext::from_bytes(&[filler; 1088]).expect("1,088 bytes"),
        };
        let bytes = clear.to_bytes();
        let read = Clear::from_bytes(bytes[..].try_into().expect("1,139 bytes")).expect("sound");
        prop_assert_eq!(read.to_bytes(), bytes);
        prop_assert_eq!((read.suite, read.kx, read.spk), (clear.suite, clear.kx, clear.spk));
        prop_assert_eq!((read.opk, read.kem), (clear.opk, clear.kem));
    }
}
