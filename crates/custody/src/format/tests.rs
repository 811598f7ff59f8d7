use core::num::NonZeroU32;

use base64ct::{Base64, Encoding};
use proptest::prelude::*;
use sealwire_core::{Error as CoreError, KeyStore, MemoryKeyStore};
use sealwire_testkit::rng::{BrokenRng, Fault, SeededRng};

use super::*;

fn seeds(sets: usize) -> KeySeeds {
    let mut rng = SeededRng::new(7);
    let mut seeds = KeySeeds::generate(&mut rng).expect("sound generator");
    for _ in 1..sets {
        seeds.add_set(&mut rng).expect("room for a set");
    }
    seeds
}

fn key() -> Secret<32> {
    Secret::init_with(|bytes| bytes.fill(9))
}

/// Sealed with [`key`], so that a test can open it thousands of times.
fn sample(sets: usize) -> KeyFile {
    let (params, salt, nonce) = (Params::MIN, [3; 16], [4; 24]);
    let unsealed = SealedFile { kind: &KIND, params, salt, nonce, sealed: Vec::new() };
    KeyFile(unsealed.seal_with(&key(), seeds(sets).to_bytes()).expect("seals"))
}

/// With each field of the header in the given state.
fn header(memory_kib: u32, passes: u32, lanes: u8) -> Vec<u8> {
    let mut bytes = sample(1).to_bytes();
    bytes[10..14].copy_from_slice(&memory_kib.to_be_bytes());
    bytes[14..18].copy_from_slice(&passes.to_be_bytes());
    bytes[18] = lanes;
    bytes
}

fn refused(bytes: &[u8]) -> String {
    KeyFile::from_bytes(bytes).expect_err("refused").to_string()
}

#[test]
fn seeds_come_back_and_the_encoding_is_one() {
    for sets in [1, 2, KeySeeds::MAX_SETS] {
        let file = sample(sets);
        let bytes = file.to_bytes();
        let read = KeyFile::from_bytes(&bytes).expect("own encoding");
        assert!(read == file);
        assert_eq!(read.to_bytes(), bytes);
        let opened = read.open_with(&key()).expect("own seal");
        assert_eq!(opened.to_bytes(), seeds(sets).to_bytes());
    }
    assert_eq!(sample(KeySeeds::MAX_SETS).to_bytes().len(), KeyFile::MAX_LEN);
}

// attack T32
// KEY-8, KEY-10: a change anywhere is refused, in the header as in the sealed part.
#[test]
fn every_flipped_bit_is_refused() {
    let bytes = sample(2).to_bytes();
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1 << bit;
            let opened = KeyFile::from_bytes(&flipped).and_then(|file| {
                assert_eq!(file.to_bytes(), flipped, "byte {index}");
                file.open_with(&key())
            });
            assert!(opened.is_err(), "byte {index}, bit {bit}");
        }
    }
}

// attack T32
// KEY-6
#[test]
fn every_cut_is_refused_and_says_so() {
    let bytes = sample(3).to_bytes();
    for cut in 0..bytes.len() {
        assert_eq!(
            refused(&bytes[..cut]),
            "key file: the input ends too early; it was only partly written or copied",
            "at {cut}"
        );
    }
}

// attack T32
#[test]
fn bad_files_are_named() {
    let good = sample(1).to_bytes();
    let changed = |index: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[index] = value;
        bytes
    };
    let length = |length: u16| {
        let mut bytes = good.clone();
        bytes[59..61].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    let trailing = [&good[..], &[0]].concat();
    let over_long = [&good[..], &[0; 5000]].concat();
    let newer_and_longer = [&changed(8, 2)[..], &[0; 5000]].concat();
    let mut empty = length(16);
    empty.truncate(61 + 16);

    for (bytes, sentence) in [
        (changed(0, b'S'), "key file: it does not begin like one"), // KEY-1
        (b"-----BEGIN PRIVATE KEY-----".to_vec(), "key file: it does not begin like one"),
        (changed(8, 0), "key file: unknown version 0; a newer release may read it"), // KEY-3
        (changed(8, 2), "key file: unknown version 2; a newer release may read it"),
        (newer_and_longer, "key file: unknown version 2; a newer release may read it"),
        (changed(9, 0), "key file: sealed with an unknown key derivation"), // KEY-4
        (changed(9, 2), "key file: sealed with an unknown key derivation"),
        (trailing, "key file: bytes follow the end"), // KEY-6
        (over_long, "key file: longer than 4336 bytes"), // KEY-2
        (length(4276), "key file: longer than 4275 bytes"),
        (length(u16::MAX), "key file: longer than 4275 bytes"),
        (length(0), "key file: nothing is sealed in it"),
        (empty, "key file: nothing is sealed in it"),
    ] {
        assert_eq!(refused(&bytes), sentence);
    }
}

// attack T32
// KEY-5: refused by the reader, which allocates nothing for Argon2id.
#[test]
fn parameters_outside_the_bounds_are_refused() {
    let (min, max) = (Params::MIN, Params::MAX);
    for params in [min, max, Params::RECOMMENDED] {
        let bytes = header(params.memory_kib(), params.passes(), params.lanes());
        assert_eq!(KeyFile::from_bytes(&bytes).expect("in bounds").params(), params);
        assert!(Params::new(params.memory_kib(), params.passes(), params.lanes()).is_ok());
    }
    for (memory_kib, passes, lanes, what) in [
        (0, 2, 1, "memory"),
        (19_455, 2, 1, "memory"),
        (1_048_577, 2, 1, "memory"),
        (u32::MAX, 2, 1, "memory"),
        (19_456, 0, 1, "passes"),
        (19_456, 1, 1, "passes"),
        (19_456, 17, 1, "passes"),
        (19_456, u32::MAX, 1, "passes"),
        (19_456, 2, 0, "lanes"),
        (19_456, 2, 17, "lanes"),
        (19_456, 2, u8::MAX, "lanes"),
    ] {
        let sentence = refused(&header(memory_kib, passes, lanes));
        assert!(sentence.contains(what) && sentence.contains("of Argon2id"), "{sentence}");
        let misuse = Params::new(memory_kib, passes, lanes).expect_err("out of bounds");
        assert!(matches!(misuse, Error::Misuse(rule) if sentence.ends_with(rule)));
    }
}

// KEY-10
#[test]
fn a_wrong_key_and_a_changed_file_give_one_error() {
    let wrong = Secret::init_with(|bytes| bytes.fill(8));
    let mut changed = sample(1);
    changed.0.sealed[20] ^= 1;
    for opened in [sample(1).open_with(&wrong), changed.open_with(&key())] {
        let error = opened.expect_err("refused");
        assert!(matches!(error, Error::Open));
        assert_eq!(error.to_string(), "the passphrase is wrong, or the file was changed");
    }
}

// KEY-7, KEY-11: made by an independent implementation, see tests/vectors/README.md.
#[test]
fn the_vector_of_another_implementation_opens() {
    let bytes =
        hex::decode(include_str!("../../tests/vectors/key-file-v1.hex").trim()).expect("hex");
    let file = KeyFile::from_bytes(&bytes).expect("a key file");
    assert_eq!(file.params(), Params::RECOMMENDED);
    let passphrase = Passphrase::from_bytes(b"correct horse battery staple").expect("long enough");
    let keys = MemoryKeyStore::from_seeds(&file.open(&passphrase).expect("opens")).expect("keys");

    let identity = "d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737";
    assert_eq!(hex::encode(keys.identity().as_bytes()), identity);
    assert_eq!(keys.newest().get(), 7);
    let handshake = "c46a59ee2665151f8b187429ca63ec06dab9dad3750b38d70f7780e7b51f5e49";
    let publics = keys.public(NonZeroU32::new(7).expect("seven")).expect("set 7");
    assert_eq!(hex::encode(publics.handshake.as_bytes()), handshake);
    sealwire_testkit::vectors::passed("key-file", 1);
}

// attack T31
// KEY-9
#[test]
fn a_broken_generator_seals_nothing() {
    let passphrase = Passphrase::from_bytes(b"correct horse").expect("long enough");
    for fault in [Fault::Always, Fault::Once(0), Fault::Once(1), Fault::Repeating, Fault::Zero] {
        let mut rng = BrokenRng::new(fault);
        let sealed = KeyFile::seal(&seeds(1), &passphrase, Params::MIN, &mut rng);
        assert!(matches!(sealed, Err(Error::Core(CoreError::Randomness))), "{fault:?}");
    }
}

// attack T34
#[test]
fn nothing_that_can_be_printed_shows_a_secret() {
    let text = "correct horse battery staple";
    let passphrase = Passphrase::from_bytes(text.as_bytes()).expect("long enough");
    let file = sample(1);
    let refused = file.open(&passphrase).expect_err("sealed with another key");
    let opened = file.open_with(&key()).expect("opens");
    let shown = format!(
        "{passphrase:?} {passphrase:#?} {file:?} {file:#?} {refused} {refused:?} {opened:?} {:?}",
        Passphrase::from_bytes(b"hunter2").expect_err("too short"),
    );

    let bytes = seeds(1).to_bytes();
    let secrets = [&bytes[3..35], &bytes[39..71], &bytes[71..135], &bytes[135..], text.as_bytes()];
    for secret in secrets {
        for spelling in spellings(secret) {
            assert!(!shown.contains(&spelling), "{shown}");
        }
    }
    assert!(!shown.contains("hunter2") && !shown.contains("correct horse"), "{shown}");

    // The control: the same check does see each kind of leak.
    let leaks =
        [hex::encode(secrets[0]), format!("{:?}", secrets[0]), Base64::encode_string(secrets[0])];
    for leak in leaks {
        assert!(spellings(secrets[0]).iter().any(|spelling| leak.contains(spelling)), "{leak}");
    }
}

/// How a leak of the first bytes of a secret would look: hex, base64, a list of numbers.
fn spellings(secret: &[u8]) -> Vec<String> {
    let start = &secret[..6];
    let decimal: Vec<String> = start.iter().map(u8::to_string).collect();
    vec![
        hex::encode(start),
        hex::encode_upper(start),
        Base64::encode_string(start),
        decimal.join(", "),
        decimal.join(","),
    ]
}

proptest! {
    // attack T32
    #[test]
    fn whatever_is_read_encodes_to_the_same_bytes(
        memory_kib in prop_oneof![19_456..=1_048_576_u32, any::<u32>()],
        passes in prop_oneof![2..=16_u32, any::<u32>()],
        lanes: u8,
        salt: [u8; 16],
        nonce: [u8; 24],
        sealed in prop::collection::vec(any::<u8>(), 0..5000),
    ) {
        let mut bytes = header(memory_kib, passes, lanes);
        bytes.truncate(19);
        bytes.extend_from_slice(&salt);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&u16::try_from(sealed.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(&sealed);
        if let Ok(file) = KeyFile::from_bytes(&bytes) {
            prop_assert_eq!(file.to_bytes(), bytes);
        }
    }

    // attack T32
    #[test]
    fn arbitrary_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
        prop_assert!(KeyFile::from_bytes(&bytes).is_err());
        prop_assert!(KeyFile::from_bytes(&[&b"sealkeys\x01\x01"[..], &bytes].concat()).is_err());
    }
}
