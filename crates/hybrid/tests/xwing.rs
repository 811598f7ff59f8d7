//! X-Wing through its public API: the draft's vectors, another implementation, bad input.
#![expect(clippy::unwrap_used, reason = "helpers fail the test that calls them")]

use proptest::prelude::*;
use sealwire_core::{
    DecodeReason, Error,
    kem::KemPublic,
    keys::{EphemeralPublic, StaticPublic},
    secret::Secret,
};
use sealwire_hybrid::{
    CIPHERTEXT_LEN, PUBLIC_LEN, Recipient, XWingCiphertext, XWingPublic, XWingSecret,
};
use sealwire_testkit::{
    rng::{BrokenRng, Fault, FixedRng, SeededRng},
    vectors::{bytes, json, passed},
    zero_shared_secret_publics,
};
use x_wing::{Decapsulate, Decapsulator, Encapsulate, KeyExport, TryKeyInit};

const X25519_AT: usize = PUBLIC_LEN - 32;
const CT_X_AT: usize = CIPHERTEXT_LEN - 32;

fn key(seed: u8) -> XWingSecret {
    XWingSecret::from_seed(&Secret::init_with(|out| out.fill(seed))).unwrap()
}

/// `bytes` with its last 32 replaced.
fn with_x25519(bytes: &[u8], share: &[u8; 32]) -> Vec<u8> {
    let (start, _) = bytes.split_last_chunk::<32>().unwrap();
    [start, share].concat()
}

#[test]
fn vectors_of_the_draft() {
    let vectors = json(include_str!("vectors/xwing-draft.json"));
    let mut count = 0;
    for vector in vectors.as_array().unwrap() {
        let seed = bytes(&vector["seed"]);
        assert_eq!(seed, bytes(&vector["sk"]));
        let secret = XWingSecret::generate(&mut FixedRng::new(&seed)).unwrap();
        assert_eq!(secret.public().to_bytes()[..], bytes(&vector["pk"]));
        let public = XWingPublic::from_bytes(&bytes(&vector["pk"])).unwrap();
        assert_eq!(&public, secret.public());

        let mut rng = FixedRng::new(&bytes(&vector["eseed"]));
        let (ciphertext, shared) = public.encapsulate(&mut rng).unwrap();
        assert_eq!(ciphertext.to_bytes()[..], bytes(&vector["ct"]));
        assert_eq!(shared.expose()[..], bytes(&vector["ss"]));

        let ciphertext = XWingCiphertext::from_bytes(&bytes(&vector["ct"])).unwrap();
        assert_eq!(secret.decapsulate(&ciphertext).unwrap().expose()[..], bytes(&vector["ss"]));
        count += 1;
    }
    assert_eq!(count, 3);
    passed("xwing-draft", count);
}

#[test]
fn both_directions_agree_with_the_crate_x_wing() {
    for seed in 0..32 {
        let ours = key(seed);
        let theirs = x_wing::DecapsulationKey::from([seed; 32]);
        assert_eq!(ours.public().to_bytes()[..], theirs.encapsulation_key().to_bytes()[..]);

        let their_public =
            x_wing::EncapsulationKey::new((&ours.public().to_bytes()).into()).unwrap();
        let (ct, ss) = their_public.encapsulate_with_rng(&mut SeededRng::new(seed.into()));
        let ciphertext = XWingCiphertext::from_bytes(&ct).unwrap();
        assert_eq!(ours.decapsulate(&ciphertext).unwrap().expose()[..], ss[..]);

        // From the same randomness both make the same ciphertext and secret.
        let (sent, shared) = ours.public().encapsulate(&mut SeededRng::new(seed.into())).unwrap();
        assert_eq!(sent.to_bytes()[..], ct[..]);
        assert_eq!(shared.expose()[..], ss[..]);

        let (sent, shared) = ours.public().encapsulate(&mut SeededRng::new(1 << 20)).unwrap();
        let received = theirs.decapsulate((&sent.to_bytes()).into());
        assert_eq!(received[..], shared.expose()[..]);
    }
}

// attack T1: a share that makes the X25519 half of the secret zero, in a key and in a
// ciphertext.
#[test]
fn shares_of_small_order_are_refused() {
    let good = key(1);
    let (ciphertext, _) = good.public().encapsulate(&mut SeededRng::new(1)).unwrap();
    let (public, ciphertext) = (good.public().to_bytes(), ciphertext.to_bytes());
    let another = *key(2).public().exchange().as_bytes();
    // The control: replacing the share is not what makes them fail.
    assert!(XWingPublic::from_bytes(&with_x25519(&public, &another)).is_ok());
    assert!(XWingCiphertext::from_bytes(&with_x25519(&ciphertext, &another)).is_ok());
    let zeros = zero_shared_secret_publics();
    for zero in &zeros {
        assert!(StaticPublic::from_bytes(zero).is_err());
        assert!(EphemeralPublic::from_bytes(zero).is_err());
        assert!(XWingPublic::from_bytes(&with_x25519(&public, zero)).is_err(), "{zero:02x?}");
        assert!(XWingCiphertext::from_bytes(&with_x25519(&ciphertext, zero)).is_err());
    }
    passed("wycheproof-zero-shares-xwing", zeros.len());
}

#[test]
fn shares_that_are_not_canonical_are_refused() {
    let good = key(1);
    let (ciphertext, _) = good.public().encapsulate(&mut SeededRng::new(1)).unwrap();
    let mut bit_255 = *good.public().exchange().as_bytes();
    bit_255[31] |= 0x80;
    // p + 9 encodes the base point a second time.
    let mut above_p = [0xFF; 32];
    (above_p[0], above_p[31]) = (0xED + 9, 0x7F);
    for (name, share) in [("bit 255", bit_255), ("p + 9", above_p)] {
        let refused = XWingPublic::from_bytes(&with_x25519(&good.public().to_bytes(), &share));
        assert_eq!(refused.unwrap_err().reason(), DecodeReason::NonCanonical, "{name}");
        let refused = XWingCiphertext::from_bytes(&with_x25519(&ciphertext.to_bytes(), &share));
        assert_eq!(refused.unwrap_err().reason(), DecodeReason::NonCanonical, "{name}");
    }
}

// attack T10: an encapsulation key with any coefficient at or above q.
#[test]
fn invalid_ml_kem_keys_are_refused() {
    let good = key(1).public().to_bytes();
    for coefficient in 0..768 {
        // Two coefficients of 12 bits share three bytes, little-endian.
        let (at, shift) = (coefficient / 2 * 3, coefficient % 2 * 12);
        for value in [3329u32, 3330, 0x0FFF] {
            let mut bad = good;
            let pair = u32::from_le_bytes([bad[at], bad[at + 1], bad[at + 2], 0]);
            let pair = pair & !(0x0FFF << shift) | value << shift;
            bad[at..at + 3].copy_from_slice(&pair.to_le_bytes()[..3]);
            let refused = XWingPublic::from_bytes(&bad).unwrap_err();
            assert_eq!(refused.reason(), DecodeReason::NonCanonical, "{coefficient} {value}");
            assert!(KemPublic::from_bytes(&bad[..X25519_AT]).is_err());
        }
    }
}

#[test]
fn other_lengths_are_refused() {
    let secret = key(1);
    let (ciphertext, _) = secret.public().encapsulate(&mut SeededRng::new(1)).unwrap();
    let long = [&secret.public().to_bytes()[..], &[0]].concat();
    for len in (0..=long.len()).filter(|len| *len != PUBLIC_LEN) {
        let refused = XWingPublic::from_bytes(&long[..len]).unwrap_err();
        assert_eq!(refused.to_string(), "X-Wing public key: is 1216 bytes long");
    }
    let long = [&ciphertext.to_bytes()[..], &[0]].concat();
    for len in (0..=long.len()).filter(|len| *len != CIPHERTEXT_LEN) {
        let refused = XWingCiphertext::from_bytes(&long[..len]).unwrap_err();
        assert_eq!(refused.to_string(), "X-Wing ciphertext: is 1120 bytes long");
    }
}

// attack T10: implicit rejection. A changed ciphertext gives another secret and no error;
// only what is sealed under it fails.
#[test]
fn a_changed_ciphertext_gives_another_secret() {
    let secret = key(1);
    let (ciphertext, shared) = secret.public().encapsulate(&mut SeededRng::new(1)).unwrap();
    let good = ciphertext.to_bytes();
    for index in (0..CT_X_AT).step_by(9).chain(CT_X_AT..CIPHERTEXT_LEN) {
        let mut changed = good;
        changed[index] ^= 1 << (index % 7);
        let changed = XWingCiphertext::from_bytes(&changed).unwrap();
        assert_ne!(secret.decapsulate(&changed).unwrap(), shared, "{index}");
    }
    assert_eq!(secret.decapsulate(&ciphertext).unwrap(), shared);
}

// The combiner binds ct_X and pk_X: the same ML-KEM half with another X25519 half, in the
// ciphertext or in the key, is another secret.
#[test]
fn halves_cannot_be_exchanged() {
    let (one, two) = (key(1), key(2));
    let (a, shared_a) = one.public().encapsulate(&mut SeededRng::new(1)).unwrap();
    let (b, shared_b) = one.public().encapsulate(&mut SeededRng::new(2)).unwrap();
    let share_of_b = *b.to_bytes().last_chunk().unwrap();
    let mixed = XWingCiphertext::from_bytes(&with_x25519(&a.to_bytes(), &share_of_b)).unwrap();
    let shared = one.decapsulate(&mixed).unwrap();
    assert_ne!(shared, shared_a);
    assert_ne!(shared, shared_b);

    let mixed = XWingPublic::from_parts(one.public().kem().clone(), *two.public().exchange());
    let (ciphertext, shared) = mixed.encapsulate(&mut SeededRng::new(1)).unwrap();
    assert_eq!(ciphertext.to_bytes()[..CT_X_AT], a.to_bytes()[..CT_X_AT]);
    assert_ne!(shared, shared_a);
    assert_ne!(one.decapsulate(&ciphertext).unwrap(), shared);
    assert_ne!(two.decapsulate(&ciphertext).unwrap(), shared);
}

#[test]
fn another_recipient_gets_another_secret() {
    let (ciphertext, shared) = key(1).public().encapsulate(&mut SeededRng::new(1)).unwrap();
    assert_ne!(key(2).decapsulate(&ciphertext).unwrap(), shared);
}

// attack T31: a generator that fails, repeats itself or gives zeros.
#[test]
fn broken_randomness_makes_nothing() {
    let secret = key(1);
    for fault in [Fault::Always, Fault::Once(0), Fault::Once(1), Fault::Repeating, Fault::Zero] {
        let refused = secret.public().encapsulate(&mut BrokenRng::new(fault));
        assert_eq!(refused.unwrap_err(), Error::Randomness, "{fault:?}");
    }
    for fault in [Fault::Always, Fault::Once(0), Fault::Zero] {
        let refused = XWingSecret::generate(&mut BrokenRng::new(fault));
        assert_eq!(refused.unwrap_err(), Error::Randomness, "{fault:?}");
    }
    // The control: a fault after the last draw changes nothing, so there are two draws.
    let mut rng = BrokenRng::new(Fault::Once(2));
    assert!(secret.public().encapsulate(&mut rng).is_ok());
    assert_eq!(rng.calls(), 2);
}

// attack T34: Debug shows no secret byte.
#[test]
fn debug_shows_no_secret() {
    assert_eq!(format!("{:?}", key(0xA7)), "XWingSecret(..)");
    let (_, shared) = key(1).public().encapsulate(&mut SeededRng::new(1)).unwrap();
    assert_eq!(format!("{shared:?}"), "SharedSecret(Secret<32>(..))");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_encapsulated_is_decapsulated(seed: [u8; 32], randomness: u64) {
        let secret = XWingSecret::from_seed(&Secret::from_slice(&seed).unwrap()).unwrap();
        let public = XWingPublic::from_bytes(&secret.public().to_bytes()).unwrap();
        prop_assert_eq!(&public, secret.public());
        let (ciphertext, shared) = public.encapsulate(&mut SeededRng::new(randomness)).unwrap();
        let received = XWingCiphertext::from_bytes(&ciphertext.to_bytes()).unwrap();
        prop_assert_eq!(&received, &ciphertext);
        prop_assert!(secret.decapsulate(&received).unwrap() == shared);
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        bytes in proptest::collection::vec(any::<u8>(), CIPHERTEXT_LEN),
    ) {
        if let Ok(ciphertext) = XWingCiphertext::from_bytes(&bytes) {
            prop_assert_eq!(&ciphertext.to_bytes()[..], &bytes);
        }
    }
}
