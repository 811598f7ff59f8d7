//! Agent ids: the did:key vectors, keys that are none, and text that is none.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

use sealwire_core::{DecodeReason, keys::SigningKey, secret::Secret};
use sealwire_identity::{AgentId, AgentIdKind, Error, IdentityCard};
use sealwire_testkit::vectors::{bytes, json, passed};

use crate::common::{self, did_key};

const SOME: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";

fn reason(text: &str) -> DecodeReason {
    match AgentId::parse(text) {
        Err(Error::Decode(error)) => error.reason(),
        other => panic!("{text}: {other:?}"),
    }
}

// ID-1: the W3C vectors, from seed to id and back.
#[test]
fn did_key_vectors_pass() {
    let vectors = json(include_str!("../vectors/did-key-ed25519.json"));
    let vectors = vectors.as_object().expect("an object");
    for (did, vector) in vectors {
        let seed = Secret::from_slice(&bytes(&vector["seed"])).expect("32 bytes");
        let key = SigningKey::from_seed(&seed);
        let parsed = AgentId::parse(did).expect(did);
        assert_eq!(parsed, AgentId::from_key(key.public()));
        assert_eq!(parsed.key(), Some(key.public()));
        assert_eq!(parsed.kind(), AgentIdKind::Key);
        assert_eq!(parsed.as_str(), did);
    }
    assert_eq!(vectors.len(), 5);
    passed("did-key", vectors.len());
}

// ID-1: a did:key of another kind of key is no agent id.
#[test]
fn x25519_did_keys_are_refused() {
    let vectors = json(include_str!("../vectors/did-key-x25519.json"));
    let documents = vectors["didDocument"].as_object().expect("an object");
    for did in documents.keys() {
        assert!(matches!(reason(did), DecodeReason::Invalid(rule) if rule.contains("Ed25519")));
    }
    assert_eq!(documents.len(), 4);
    passed("did-key x25519", documents.len());
}

/// Whether `key` becomes an id; a card with it as identity key fares no better.
fn is_accepted(key: &[u8]) -> bool {
    let keys = common::keys(1);
    let raw = common::RawCard::with(&keys, |raw| {
        raw.id = did_key(key);
        raw.identity_key = key.to_vec();
    });
    let accepted = AgentId::parse(&did_key(key)).is_ok();
    let card = IdentityCard::from_bytes(&raw.sign(&keys));
    assert_eq!(card.is_ok(), accepted, "an id and a card judge a key alike");
    // A sound id around the key does not help either.
    let hidden = common::RawCard::with(&keys, |raw| raw.identity_key = key.to_vec());
    assert!(hidden.judge(&keys).is_err());
    accepted
}

// attack T13: no key that is not canonical or has small order becomes an id or stands in a card.
// ID-4
#[test]
fn cctv_keys_that_are_not_canonical_or_small_never_become_an_id() {
    let vectors = json(include_str!("../vectors/cctv-ed25519-keys.json"));
    let vectors = vectors.as_array().expect("an array");
    let mut refused = 0;
    for vector in vectors {
        let flags = vector["flags"].as_array().expect("an array");
        let bad = flags.iter().any(|flag| flag == "low_order_A" || flag == "non_canonical_A");
        assert_eq!(is_accepted(&bytes(&vector["key"])), !bad, "{vector}");
        refused += usize::from(bad);
    }
    assert_eq!((vectors.len(), refused), (22, 14));
    passed("cctv-ed25519 identity keys", vectors.len());
}

// attack T13: the keys of "Taming the many EdDSAs".
#[test]
fn speccheck_keys_of_small_order_never_become_an_id() {
    let vectors = json(include_str!("../vectors/ed25519-speccheck.json"));
    let vectors = vectors.as_array().expect("an array");
    let mut refused = BTreeSet::new();
    for (number, vector) in vectors.iter().enumerate() {
        if !is_accepted(&bytes(&vector["pub_key"])) {
            refused.insert(number);
        }
    }
    // Cases 0 and 1 have A of small order; 10 and 11 write -0 as x and have small order too.
    assert_eq!(refused, BTreeSet::from([0, 1, 10, 11]));
    assert_eq!(vectors.len(), 12);
    passed("ed25519-speccheck identity keys", vectors.len());
}

// attack T32: text from a peer.
// ID-2, ID-3
#[test]
fn bad_texts_are_refused() {
    let digits = SOME.strip_prefix("did:key:z").expect("the prefix");
    let long = format!("did:key:z{}", "6".repeat(AgentId::MAX_LEN));
    for (name, text) in [
        ("empty", String::new()),
        ("no DID", "alice".into()),
        ("method only", "did:key:".into()),
        ("another method", "did:web:example.com".into()),
        ("upper-case method", SOME.replace("did:key", "DID:KEY")),
        ("another multibase", format!("did:key:u{digits}")),
        ("no multibase", format!("did:key:{digits}")),
        ("white space before", format!(" {SOME}")),
        ("line end behind", format!("{SOME}\n")),
        ("a fragment", format!("{SOME}#{digits}")),
        ("a query", format!("{SOME}?x=1")),
        ("a version", SOME.replace(":z", ":1.1:z")),
        ("one character less", SOME[..SOME.len() - 1].into()),
        ("one character more", format!("{SOME}p")),
        ("a leading 1", format!("did:key:z1{digits}")),
        ("a leading 1 in place of a digit", format!("did:key:z1{}", &digits[1..])),
        ("a character outside base58", SOME.replace("6Mk", "6M0")),
        ("not ASCII", SOME.replace("6Mk", "6Mé")),
        ("too long", long),
    ] {
        let error = AgentId::parse(&text).expect_err(name).to_string();
        assert!(error.starts_with("agent id: "), "{name}: {error}");
    }
    for cut in 0..SOME.len() {
        assert!(AgentId::parse(&SOME[..cut]).is_err(), "{cut}");
    }
    let longest = "a".repeat(AgentId::MAX_LEN + 1);
    assert_eq!(reason(&longest), DecodeReason::TooLong(AgentId::MAX_LEN));
    assert!(matches!(reason(&longest[1..]), DecodeReason::Invalid(_)), "512 bytes are read");
}

// ID-5
#[test]
fn a_did_webvh_is_refused_by_name() {
    let text = "did:webvh:QmdmPkUdYzbr9txmx8gM2rsHPgr5L6m3gHjJGAf4vUFoGE:domain.example";
    let error = AgentId::parse(text).expect_err("not resolved");
    assert_eq!(error, Error::Unresolvable);
    assert!(error.to_string().contains("did:webvh"));
}

#[test]
fn ids_compare_by_their_text() {
    let [a, b] = [1, 2].map(|seed| common::id(&common::keys(seed)));
    assert_ne!(a, b);
    assert_eq!(a.cmp(&b), a.as_str().cmp(b.as_str()));
    assert_eq!(BTreeSet::from([a.clone(), b.clone(), a.clone()]).len(), 2);
    assert_eq!(format!("{a:?}"), format!("AgentId({a})"));
    // Equal ids find each other in a hash map, and others do not all fall into one bucket.
    let hash = |id: &AgentId| BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
    assert_eq!(hash(&a), hash(&AgentId::parse(a.as_str()).expect("an id")));
    assert_ne!(hash(&a), hash(&b));
}
