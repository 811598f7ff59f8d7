//! One ciphertext, one key.

use sealwire_core::{
    Suite,
    aead::{AeadKey, Algorithm, xchacha_open},
    secret::Secret,
};
use sealwire_envelope::{
    Dek, Draft, Error, Head, KeyRecord, Unlocked, WrapBinding,
    kms::{KeyRef, KeyVersion, Kms, KmsError, Pending, Provider, Wrapped},
};
use sealwire_testkit::{
    rng::FixedRng,
    vectors::{bytes, json, passed},
};
use serde_json::Value;

use crate::support::{NOW, context, now_or_never, tenant};

/// A key service that unwraps whatever data key it was told to.
#[derive(Debug)]
struct Liar {
    key: KeyRef,
    dek: Vec<u8>,
}

impl Kms for Liar {
    fn key(&self) -> &KeyRef {
        &self.key
    }

    fn version(&self) -> Pending<'_, KeyVersion> {
        Box::pin(core::future::ready(KeyVersion::new("1")))
    }

    fn wrap<'a>(&'a self, _: &'a Dek, _: &'a WrapBinding) -> Pending<'a, Wrapped> {
        let wrapped = KeyVersion::new("1").map(|version| Wrapped {
            key: self.key.clone(),
            version,
            algorithm: "lie".to_owned(),
            ciphertext: vec![1],
        });
        Box::pin(core::future::ready(wrapped))
    }

    fn unwrap<'a>(&'a self, _: &'a Wrapped, _: &'a WrapBinding) -> Pending<'a, Dek> {
        let dek = Dek::from_unwrapped(&self.dek).map_err(|_| KmsError::Open);
        Box::pin(core::future::ready(dek))
    }

    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
        let same = wraps.iter().map(|(wrapped, _)| Ok(wrapped.clone())).collect();
        Box::pin(core::future::ready(Ok(same)))
    }
}

fn liar(dek: &[u8]) -> Liar {
    Liar { key: KeyRef::new(Provider::Vault, "liar").unwrap(), dek: dek.to_vec() }
}

/// The plaintext of a vector under one of its keys, as the bare AEAD gives it.
fn bare(case: &Value, key: &[u8]) -> Option<Vec<u8>> {
    let key = Secret::from_slice(key).unwrap();
    let (nonce, aad, mut message) =
        (bytes(&case["nonce"]), bytes(&case["aad"]), bytes(&case["ct"]));
    let algorithm = match case["alg"].as_str().unwrap() {
        "AES-256-GCM" => Algorithm::Aes256Gcm,
        "ChaCha20-Poly1305" => Algorithm::ChaCha20Poly1305,
        "XChaCha20-Poly1305" => {
            xchacha_open(&key, &nonce.try_into().unwrap(), &aad, &mut message).ok()?;
            return Some(message);
        }
        other => panic!("{other}"),
    };
    let tag = *message.last_chunk().unwrap();
    message.truncate(message.len() - 16);
    let cipher = AeadKey::new(algorithm, &key).unwrap();
    cipher.open_detached(&nonce.try_into().unwrap(), &aad, &mut message, &tag).ok()?;
    Some(message)
}

/// A draft whose data key is `dek`.
fn draft(suite: Suite, dek: &[u8]) -> Draft {
    let randomness = [&[3; 16], dek, &[4; 24]].concat();
    Draft::new(suite, &context(), &mut FixedRng::new(&randomness)).unwrap()
}

fn unlock(body: &[u8], record: &KeyRecord, dek: &[u8]) -> Result<Unlocked, Error> {
    let (head, _) = Head::split(body).unwrap();
    now_or_never(record.unlock(&liar(dek), &head, &tenant("acme"), &()))
}

// attack T11
// ENV-8
#[test]
fn of_two_keys_that_open_one_ciphertext_at_most_one_opens_the_object() {
    let vectors = json(include_str!("../vectors/key-commitment.json"));
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        let (key1, key2) = (bytes(&case["key1"]), bytes(&case["key2"]));
        // The control: the bare AEAD opens it under both.
        assert_eq!(bare(case, &key1).unwrap(), bytes(&case["pt1"]));
        assert_eq!(bare(case, &key2).unwrap(), bytes(&case["pt2"]));
        for suite in Suite::ALL {
            for (holder, other) in [(&key1, &key2), (&key2, &key1)] {
                let sealing = draft(suite, holder);
                let record = now_or_never(KeyRecord::wrap(&sealing, &liar(holder), NOW)).unwrap();
                let head = sealing.head().to_bytes();
                let body = sealing.seal(&record, b"content").unwrap();
                assert_eq!(
                    *unlock(&body, &record, holder).unwrap().open(&body).unwrap(),
                    b"content"
                );
                assert_eq!(unlock(&body, &record, other).map(drop), Err(Error::Open));

                // The ciphertext in the place of the chunks opens under neither.
                let forged = [head, bytes(&case["ct"])].concat();
                let unlocked = unlock(&forged, &record, holder).unwrap();
                assert_eq!(unlocked.open(&forged).map(drop), Err(Error::Open));
                assert_eq!(unlock(&forged, &record, other).map(drop), Err(Error::Open));
            }
        }
    }
    assert_eq!(cases.len(), 12);
    passed("key commitment", cases.len());
}

// attack T11
// ENV-8, ENV-19
#[test]
fn a_slot_with_another_data_key_opens_nothing() {
    let (right, wrong) = ([1; 32], [2; 32]);
    let sealing = draft(Suite::AesGcm, &right);
    let mut record = now_or_never(KeyRecord::wrap(&sealing, &liar(&right), NOW)).unwrap();
    let second = Wrapped {
        key: KeyRef::new(Provider::Aws, "arn:second").unwrap(),
        version: KeyVersion::new("1").unwrap(),
        algorithm: "lie".to_owned(),
        ciphertext: vec![2],
    };
    record.add(second.clone(), NOW).unwrap();
    let body = sealing.seal(&record, b"content").unwrap();
    let (head, _) = Head::split(&body).unwrap();
    let open = |kms: &Liar| {
        now_or_never(record.unlock(kms, &head, &tenant("acme"), &()))?.open(&body).map(drop)
    };
    assert_eq!(open(&liar(&right)), Ok(()));
    assert_eq!(open(&Liar { key: second.key.clone(), dek: right.to_vec() }), Ok(()));
    assert_eq!(open(&Liar { key: second.key.clone(), dek: wrong.to_vec() }), Err(Error::Open));
    assert_eq!(open(&Liar { key: second.key, dek: vec![1; 31] }), Err(Error::Open));
}
