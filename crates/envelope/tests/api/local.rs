//! Keys of our own.

use std::sync::Arc;

use sealwire_core::Suite;
use sealwire_envelope::{
    Error, KeyRecord, Pairs,
    kms::{KeyRef, KeyVersion, Kms, KmsError, Provider, Wrapped},
    local::{LOCAL_WRAPPED_LEN, LocalKek, LocalKeys},
};
use sealwire_testkit::{
    leak,
    rng::{BrokenRng, Fault, SeededRng},
};

use crate::support::{Stored, kek, now_or_never, open, seal, tenant, unlock};

fn keys() -> LocalKeys {
    LocalKeys::generate("test", &mut SeededRng::new(1)).unwrap()
}

fn service(keys: LocalKeys) -> LocalKek<SeededRng> {
    LocalKek::new(Arc::new(keys), SeededRng::new(2))
}

fn copy(keys: &LocalKeys) -> LocalKeys {
    LocalKeys::from_bytes(&keys.to_bytes()).unwrap()
}

// ENV-28
#[test]
fn the_newest_version_wraps_and_older_ones_unwrap() {
    let mut keys = keys();
    let old = seal(&service(copy(&keys)), Suite::AesGcm, 7, b"old");
    let second = keys.rotate(&mut SeededRng::new(9)).unwrap();
    assert_eq!(second.as_str(), "2");
    let kek = service(copy(&keys));
    assert_eq!(now_or_never(kek.version()).unwrap(), second);
    let new = seal(&kek, Suite::AesGcm, 8, b"new");
    assert_eq!(old.record.slots()[0].wrapped().version.as_str(), "1");
    assert_eq!(new.record.slots()[0].wrapped().version, second);
    assert_eq!(open(&kek, &old).unwrap(), b"old");
    assert_eq!(open(&kek, &new).unwrap(), b"new");

    // Rewrapped, the old object needs the first version no more.
    let wraps = [(old.record.slots()[0].wrapped().clone(), *old.record.binding())];
    let rewrapped = now_or_never(kek.rewrap(&wraps)).unwrap().remove(0).unwrap();
    let mut record = old.record.clone();
    record.replace(kek.key(), rewrapped, crate::support::NOW).unwrap();
    keys.remove(&KeyVersion::new("1").unwrap()).unwrap();
    let kek = service(keys);
    assert_eq!(open(&kek, &Stored { body: old.body.clone(), record }).unwrap(), b"old");
    let gone = Error::Kms(KmsError::Version("1".to_owned()));
    assert_eq!(open(&kek, &old), Err(gone));
}

#[test]
fn versions_that_are_not_kept_and_the_newest_are_not_removed() {
    let mut keys = keys();
    keys.rotate(&mut SeededRng::new(9)).unwrap();
    for version in ["2", "3", "01", "x"] {
        let refused = keys.remove(&KeyVersion::new(version).unwrap());
        assert!(matches!(refused, Err(Error::Misuse(_))), "{version}");
    }
    assert_eq!(keys.versions().unwrap().len(), 2);
}

// ENV-27
#[test]
fn a_wrap_is_bound_to_object_tenant_key_and_version() {
    let mut keys = keys();
    keys.rotate(&mut SeededRng::new(9)).unwrap();
    let kek = service(keys);
    let stored = seal(&kek, Suite::AesGcm, 7, b"content");
    let other = seal(&kek, Suite::AesGcm, 8, b"content");
    let wrapped = stored.record.slots()[0].wrapped().clone();
    let binding = *stored.record.binding();
    assert_eq!(wrapped.ciphertext.len(), LOCAL_WRAPPED_LEN);
    assert!(kek.unwrap_now(&wrapped, &binding).is_ok());
    assert_eq!(kek.unwrap_now(&wrapped, other.record.binding()).map(drop), Err(KmsError::Open));

    for at in 0..LOCAL_WRAPPED_LEN {
        let mut changed = wrapped.clone();
        changed.ciphertext[at] ^= 1;
        assert_eq!(kek.unwrap_now(&changed, &binding).map(drop), Err(KmsError::Open), "{at}");
        changed.ciphertext.truncate(at);
        assert_eq!(kek.unwrap_now(&changed, &binding).map(drop), Err(KmsError::Open), "{at}");
    }
    let version = |name| Wrapped { version: KeyVersion::new(name).unwrap(), ..wrapped.clone() };
    let unwrap = |wrapped: &Wrapped| kek.unwrap_now(wrapped, &binding).map(drop).unwrap_err();
    assert_eq!(unwrap(&version("1")), KmsError::Open);
    for unknown in ["3", "02", "two"] {
        assert_eq!(unwrap(&version(unknown)), KmsError::Version(unknown.to_owned()));
    }
    let key = KeyRef::new(Provider::Local, "another").unwrap();
    let renamed = unwrap(&Wrapped { key, ..wrapped.clone() });
    assert_eq!(renamed, KmsError::NotFound("local:another".to_owned()));
    assert_eq!(unwrap(&Wrapped { algorithm: "x".to_owned(), ..wrapped.clone() }), KmsError::Open);
}

#[test]
fn another_key_of_the_same_name_opens_nothing() {
    let stored = seal(&kek(1), Suite::AesGcm, 7, b"content");
    assert_eq!(open(&kek(2), &stored), Err(Error::Open));
    let other = LocalKeys::generate("other", &mut SeededRng::new(1)).unwrap();
    assert_eq!(open(&service(other), &stored), Err(Error::NoSlot));
}

// ENV-28
#[test]
fn keys_survive_a_round_trip_and_bad_ones_are_refused() {
    let mut keys = keys();
    keys.rotate(&mut SeededRng::new(9)).unwrap();
    let bytes = keys.to_bytes();
    assert_eq!(*copy(&keys).to_bytes(), *bytes);
    assert_eq!(bytes.len(), 1 + 2 + 4 + 2 + 2 * 36);
    let with = |at: usize, part: &[u8]| {
        let mut changed = bytes.to_vec();
        changed[at..at + part.len()].copy_from_slice(part);
        changed
    };
    let too_many = [&bytes[..7], &[1, 1], &[0; 257 * 36][..]].concat();
    for (name, bytes, why) in [
        ("version", with(0, &[2]), "local key: unknown version 2; a newer release may read it"),
        ("a name of no text", with(3, &[0xFF]), "local key: the name of a key is UTF-8"),
        ("a name with a line feed", with(3, b"\n"), "local key: the name of a key"),
        ("none", with(7, &[0, 0]), "local key: holds 1 to 256 versions"),
        ("257", too_many, "local key: holds 1 to 256 versions"),
        ("number 0", with(9, &[0; 4]), "local key: version numbers ascend from 1"),
        ("numbers descend", with(9, &[0, 0, 0, 3]), "local key: version numbers ascend from 1"),
        ("a number twice", with(45, &[0, 0, 0, 1]), "local key: version numbers ascend from 1"),
        ("trailing", [&bytes[..], &[0]].concat(), "local key: bytes follow the end"),
    ] {
        assert_eq!(LocalKeys::from_bytes(&bytes).unwrap_err().to_string(), why, "{name}");
    }
    for len in 0..bytes.len() {
        assert!(LocalKeys::from_bytes(&bytes[..len]).is_err(), "cut at {len}");
    }
}

// attack T31
#[test]
fn a_broken_generator_makes_no_key_and_no_wrap() {
    for fault in [Fault::Always, Fault::Zero] {
        let made = LocalKeys::generate("test", &mut BrokenRng::new(fault));
        assert_eq!(made.map(drop).unwrap_err(), Error::Randomness, "{fault:?}");
        let kek = LocalKek::new(Arc::new(keys()), BrokenRng::new(fault));
        let draft = sealwire_envelope::Draft::new(
            Suite::AesGcm,
            &crate::support::context(),
            &mut SeededRng::new(7),
        );
        let wrapped =
            kek.wrap_now(draft.as_ref().unwrap().dek(), draft.as_ref().unwrap().binding());
        assert!(matches!(wrapped, Err(KmsError::Unavailable(_))), "{fault:?}");
    }
    let mut repeating = BrokenRng::new(Fault::Repeating);
    let mut keys = LocalKeys::generate("test", &mut repeating).unwrap();
    assert_eq!(keys.rotate(&mut repeating), Err(Error::Randomness));
    assert_eq!(keys.versions().unwrap().len(), 1);
}

// attack T34
#[test]
fn debug_output_shows_no_key() {
    let keys = keys();
    let secret = keys.to_bytes()[13..45].to_vec();
    let stored = seal(&service(copy(&keys)), Suite::AesGcm, 7, b"content");
    let texts = [
        format!("{keys:?}"),
        format!("{:?}", service(copy(&keys))),
        format!("{:?}", stored.record),
        format!("{:?}", unlock(&kek(3), &stored, &Pairs::default()).map(drop)),
        format!("{:?}", unlock(&kek(3), &stored, &tenant("acme")).map(drop)),
        KeyRecord::name(stored.record.binding().object()),
    ];
    for text in texts {
        assert!(!leak::shows(&text, &secret), "{text}");
    }
    assert!(leak::shows(&format!("{secret:?}"), &secret));
}
