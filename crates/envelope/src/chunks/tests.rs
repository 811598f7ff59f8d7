//! The vectors of the specification, and streams of our own.

use std::{collections::BTreeMap, io::Read, sync::Arc};

use aes_gcm::{Aes128Gcm, KeyInit, aead::Aead};
use base64ct::{Base64, Encoding};
use sealwire_core::kdf::sha256;
use sealwire_testkit::vectors::{bytes, json, passed};
use serde_json::Value;

use super::*;
use crate::{ObjectId, Opener, Sealer};

fn secret<const N: usize>(bytes: &[u8]) -> Option<Secret<N>> {
    Secret::from_slice(bytes).ok()
}

/// The stream of a vector.
fn ciphertext(vector: &Value) -> Vec<u8> {
    let stored = Base64::decode_vec(vector["ciphertext"].as_str().unwrap_or_default()).unwrap();
    if vector["compressed"] != true {
        return stored;
    }
    let mut stream = Vec::new();
    flate2::read::ZlibDecoder::new(&*stored).read_to_end(&mut stream).unwrap();
    stream
}

/// How key, base nonce and commitment come from a key: as ours do, or with the SHA-256 of the
/// vectors.
type Derivation = fn(Algorithm, &Secret<32>, &[u8; SALT_LEN], &[u8]) -> Result<Derived, Error>;

fn derive_sha256(
    algorithm: Algorithm,
    prk: &Secret<32>,
    salt: &[u8; SALT_LEN],
    ctx: &[u8],
) -> Result<Derived, Error> {
    let info = [PREFIX, iana_name(algorithm), &[0], salt, ctx].concat();
    split(algorithm, &kdf::expand(prk, &info))
}

/// What a stream releases, and whether it is whole.
fn open(
    derive: Derivation,
    algorithm: Algorithm,
    key: &[u8],
    ctx: &[u8],
    stream: &[u8],
) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let opened = (|| {
        let prk = secret(key).ok_or(Error::Open)?;
        let (salt, rest) = stream.split_first_chunk().ok_or(Error::Open)?;
        let (commitment, chunks) = rest.split_first_chunk().ok_or(Error::Open)?;
        let key = OpenKey::committed(derive(algorithm, &prk, salt, ctx)?, commitment)?;
        let mut opener = Opener::new(Arc::new(key));
        opener.push(chunks, &mut out)?;
        opener.finish(&mut out)
    })();
    (out, opened.is_ok())
}

/// The same with AES-128-GCM, which is no algorithm of ours, chunk by chunk.
fn open_aes128(key: &[u8], ctx: &[u8], stream: &[u8]) -> (Vec<u8>, bool) {
    let Some((salt, rest)) = stream.split_first_chunk::<SALT_LEN>() else {
        return (Vec::new(), false);
    };
    if key.len() != 16 || rest.len() < COMMITMENT_LEN {
        return (Vec::new(), false);
    }
    // HMAC fills a short key up with zeros: these 32 bytes are the same key.
    let prk = secret(&[key, &[0; 16]].concat()).unwrap();
    let info: [&[u8]; 5] = [PREFIX, b"AEAD_AES_128_GCM", &[0], salt, ctx];
    let output: Secret<60> = kdf::expand(&prk, &info.concat());
    let (key, rest_of) = output.expose().split_at(16);
    let (base_nonce, commitment) = rest_of.split_at(12);
    let (found, chunks) = rest.split_at(COMMITMENT_LEN);
    if found != commitment {
        return (Vec::new(), false);
    }
    let cipher = Aes128Gcm::new_from_slice(key).unwrap();
    let (mut out, mut slots) = (Vec::new(), chunks.chunks(SLOT_LEN).peekable());
    let mut whole = false;
    for index in 0u64.. {
        let Some(slot) = slots.next() else { break };
        let mut nonce: [u8; 12] = base_nonce.try_into().unwrap();
        nonce.iter_mut().rev().zip(index.to_le_bytes()).for_each(|(byte, mask)| *byte ^= mask);
        let Ok(chunk) = cipher.decrypt(&nonce.into(), slot) else { return (out, false) };
        whole = slot.len() < SLOT_LEN && slots.peek().is_none();
        out.extend(chunk);
    }
    (out, whole)
}

/// The base nonce that a vector says is derived. That the key is the right one, the chunks say.
fn check_schedule(algorithm: Algorithm, vector: &Value, key: &[u8], ctx: &[u8], stream: &[u8]) {
    let (Some(prk), Some(salt)) = (secret(key), stream.first_chunk::<SALT_LEN>()) else { return };
    let (key, _) = derive_sha256(algorithm, &prk, salt, ctx).unwrap();
    if vector.get("base_nonce").is_some() {
        assert_eq!(key.base_nonce.expose()[..], bytes(&vector["base_nonce"]));
    }
}

/// The stream of a plaintext under a given salt, pushed in pieces of `piece` bytes.
fn seal(
    derive: Derivation,
    algorithm: Algorithm,
    prk: &Secret<32>,
    salt: &[u8; SALT_LEN],
    ctx: &[u8],
    plaintext: &[u8],
    piece: usize,
) -> Vec<u8> {
    let (key, commitment) = derive(algorithm, prk, salt, ctx).unwrap();
    let mut out = [&salt[..], &commitment].concat();
    let mut sealer = Sealer::new(SealKey(key), ObjectId::from_bytes([0; 16]));
    plaintext.chunks(piece).for_each(|piece| sealer.push(piece, &mut out).unwrap());
    let sealed = sealer.finish(&mut out).unwrap();
    assert_eq!(sealed.plaintext_len(), plaintext.len() as u64);
    out
}

// ENV-8, ENV-9, ENV-12
#[test]
fn c2sp_chunked_encryption_vectors() {
    let vectors = json(include_str!("../../tests/vectors/chunked-encryption.json"));
    let mut counts: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for vector in vectors["vectors"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let aead = vector["aead"].as_str().unwrap();
        let (key, stream) = (bytes(&vector["key"]), ciphertext(vector));
        let ctx = vector["context"].as_str().unwrap().as_bytes();
        let algorithm = match aead {
            "AEAD_AES_128_GCM" => None,
            "AEAD_AES_256_GCM" => Some(Algorithm::Aes256Gcm),
            "AEAD_CHACHA20_POLY1305" => Some(Algorithm::ChaCha20Poly1305),
            other => panic!("{other}"),
        };
        let (out, whole) = match algorithm {
            Some(algorithm) => {
                check_schedule(algorithm, vector, &key, ctx, &stream);
                open(derive_sha256, algorithm, &key, ctx, &stream)
            }
            None => open_aes128(&key, ctx, &stream),
        };

        assert_eq!(whole, vector["expect"] == "success", "{name}");
        // What is authentic before the failure is released, and nothing else.
        assert_eq!(out.len() as u64, vector["payload_length"].as_u64().unwrap_or(0), "{name}");
        if vector.get("payload_sha256").is_some() {
            assert_eq!(sha256(&[&out])[..], bytes(&vector["payload_sha256"]), "{name}");
        }
        if let (Some(algorithm), true) = (algorithm, whole) {
            let salt = stream.first_chunk().unwrap();
            let prk = secret(&key).unwrap();
            let again = seal(derive_sha256, algorithm, &prk, salt, ctx, &out, 50_000);
            assert!(again == stream, "{name}: sealed anew it is another stream");
        }
        *counts.entry((aead, whole)).or_default() += 1;
    }
    let sum: usize = counts.values().sum();
    assert_eq!(sum, 102, "{counts:?}");
    assert_eq!(counts.len(), 6, "{counts:?}");
    passed("c2sp chunked-encryption", sum);
}

// ENV-7
#[test]
fn streams_of_cryptography_are_those_of_the_same_key_and_salt() {
    let vectors = json(include_str!("../../tests/vectors/cobblestone.json"));
    let prk = secret(&bytes(&vectors["key"])).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        let algorithm = match case["aead"].as_str().unwrap() {
            "AEAD_AES_256_GCM" => Algorithm::Aes256Gcm,
            "AEAD_CHACHA20_POLY1305" => Algorithm::ChaCha20Poly1305,
            other => panic!("{other}"),
        };
        let len = usize::try_from(case["length"].as_u64().unwrap()).unwrap();
        let content: Vec<u8> =
            (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 14)).to_le_bytes()[0]).collect();
        let (ctx, salt) = (bytes(&case["context"]), bytes(&case["salt"]).try_into().unwrap());
        let stream = seal(derive, algorithm, &prk, &salt, &ctx, &content, 4_000);
        assert_eq!(stream[SALT_LEN..56], bytes(&case["commitment"]), "{case}");
        assert_eq!(sha256(&[&stream])[..], bytes(&case["stream_sha256"]), "{case}");
        assert!(open(derive, algorithm, prk.expose(), &ctx, &stream) == (content, true), "{case}");
    }
    assert_eq!(cases.len(), 20);
    passed("cobblestone-256 and ChaCha20-Poly1305, SHA-512", cases.len());
}

/// A stream of three chunks, with what opens and what seals it.
fn three_chunks() -> (SealKey, OpenKey, Vec<u8>) {
    let (prk, salt) = (secret(&[7; 32]).unwrap(), [9; SALT_LEN]);
    let new = || SealKey::new(Algorithm::ChaCha20Poly1305, &prk, &salt, b"ctx").unwrap();
    let (key, commitment) = new();
    let opener =
        OpenKey::new(Algorithm::ChaCha20Poly1305, &prk, &salt, b"ctx", &commitment).unwrap();
    let mut slots = vec![1; 3 * SLOT_LEN];
    key.seal_chunks(0, &mut slots).unwrap();
    (new().0, opener, slots)
}

#[test]
fn keys_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<OpenKey>();
    shared::<SealKey>();
    shared::<Opener>();
    shared::<Sealer>();
}

#[test]
fn chunks_sealed_apart_are_those_sealed_together() {
    let (key, opener, together) = three_chunks();
    let mut apart = vec![1; 3 * SLOT_LEN];
    for (index, slot) in [0, 1, 2].into_iter().zip(apart.chunks_exact_mut(SLOT_LEN)).rev() {
        key.seal_chunks(index, slot).unwrap();
    }
    assert!(apart == together);

    opener.open_chunks(1, &mut apart[SLOT_LEN..]).unwrap();
    assert_eq!(apart[SLOT_LEN..2 * SLOT_LEN - 16], [1; CHUNK_LEN]);
    assert_eq!(apart[2 * SLOT_LEN..3 * SLOT_LEN - 16], [1; CHUNK_LEN]);
}

// ENV-12
#[test]
fn a_chunk_that_does_not_open_takes_its_neighbours_with_it() {
    let (_, opener, sealed) = three_chunks();
    let cases: [(&str, u64, usize); 4] = [
        ("first", 0, 0),
        ("in the middle", 0, SLOT_LEN + 5),
        ("a tag", 0, 3 * SLOT_LEN - 1),
        ("another number", 1, usize::MAX),
    ];
    for (name, first, at) in cases {
        let mut slots = sealed.clone();
        if let Some(byte) = slots.get_mut(at) {
            *byte ^= 1;
        }
        assert_eq!(opener.open_chunks(first, &mut slots), Err(Error::Open), "{name}");
        assert!(slots.iter().all(|byte| *byte == 0), "{name}");
    }
}

// ENV-9
#[test]
fn a_whole_chunk_is_never_the_last() {
    let (key, opener, mut slots) = three_chunks();
    let mut chunk = vec![0; SLOT_LEN];
    assert!(matches!(key.seal_last(3, &mut chunk), Err(Error::Misuse(_))));
    let slot = &mut slots[2 * SLOT_LEN..];
    assert_eq!(opener.open_last(2, slot), Err(Error::Open));
    assert!(slot.iter().all(|byte| *byte == 0));

    let mut shortest = [0; 16];
    key.seal_last(3, &mut shortest).unwrap();
    assert_eq!(opener.open_last(3, &mut shortest), Ok(0));
}

#[test]
fn slots_are_whole_and_have_room_for_a_tag() {
    let (key, opener, mut slots) = three_chunks();
    assert!(matches!(key.seal_chunks(0, &mut slots[..SLOT_LEN - 1]), Err(Error::Misuse(_))));
    assert!(matches!(opener.open_chunks(0, &mut slots[1..]), Err(Error::Misuse(_))));
    assert!(matches!(key.seal_last(0, &mut [0; 15]), Err(Error::Misuse(_))));
    assert_eq!(opener.open_last(0, &mut [1; 15]), Err(Error::Open));
    assert_eq!(opener.open_last(0, &mut []), Err(Error::Open));
}

// ENV-10
// attack T20
#[test]
fn the_last_number_is_used_and_none_after_it() {
    let (key, opener, _) = three_chunks();
    let mut slot = vec![5; SLOT_LEN];
    key.seal_chunks(MAX_CHUNKS - 1, &mut slot).unwrap();
    opener.open_chunks(MAX_CHUNKS - 1, &mut slot).unwrap();
    assert_eq!(slot[..CHUNK_LEN], [5; CHUNK_LEN]);

    let mut two = vec![5; 2 * SLOT_LEN];
    assert_eq!(key.seal_chunks(MAX_CHUNKS - 1, &mut two), Err(TOO_LONG));
    for index in [MAX_CHUNKS, u64::MAX] {
        assert_eq!(key.seal_last(index, &mut [0; 16]), Err(TOO_LONG));
        assert_eq!(opener.open_last(index, &mut [0; 16]), Err(Error::Open));
        assert_eq!(opener.open_chunks(index, &mut slot), Err(Error::Open));
    }
}

// ENV-9
#[test]
fn no_two_numbers_have_one_nonce() {
    let (key, _, _) = three_chunks();
    let indexes = [0, 1, 255, 256, 1 << 16, 1 << 32, MAX_CHUNKS - 1];
    let nonces: std::collections::BTreeSet<_> =
        indexes.iter().map(|index| key.0.nonce(*index).unwrap()).collect();
    assert_eq!(nonces.len(), indexes.len());
    assert_eq!(key.0.nonce(0).unwrap(), *key.0.base_nonce.expose());
}
