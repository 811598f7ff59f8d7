//! Key records: what they hold, who opens through them, and what they refuse.

use proptest::prelude::*;
use sealwire_core::{KeyStore, MemoryKeyStore, Suite, Timestamp, keys::VerifyingKey};
use sealwire_envelope::{
    Dek, Draft, Error, Head, KeyRecord, ObjectId, Sealers, Unlocked, WrapBinding,
    kms::{KeyRef, KeyVersion, Kms, KmsError, Pending, Provider, Wrapped},
    local::LocalKek,
};
use sealwire_hybrid::StoredKey;
use sealwire_testkit::rng::SeededRng;

use crate::support::{NOW, Stored, context, kek, now_or_never, open, seal, tenant, unlock};

fn keys(seed: u64) -> MemoryKeyStore {
    MemoryKeyStore::generate(&mut SeededRng::new(seed)).unwrap()
}

fn draft(seed: u64) -> Draft {
    Draft::new(Suite::AesGcm, &context(), &mut SeededRng::new(seed)).unwrap()
}

/// Accepts sealers by their id and card.
struct Accepted(Vec<(Vec<u8>, [u8; 32], VerifyingKey)>);

impl Sealers for Accepted {
    fn key(&self, id: &[u8], card: &[u8; 32]) -> Option<VerifyingKey> {
        let known = self.0.iter().find(|(known, hash, _)| known == id && hash == card);
        known.map(|(_, _, key)| key.clone())
    }
}

fn accept(keys: &MemoryKeyStore) -> Accepted {
    Accepted(vec![(b"alice".to_vec(), [5; 32], keys.identity().clone())])
}

/// A slot for an agent.
fn to_agent(draft: &Draft, agent: &MemoryKeyStore) -> Wrapped {
    let kx = agent.newest();
    let stored = StoredKey::new(agent, kx).unwrap();
    KeyRecord::wrap_to(draft, stored.public(), kx, &mut SeededRng::new(77)).unwrap()
}

/// An object that Alice sealed to Bob.
fn to_bob(alice: &MemoryKeyStore, bob: &MemoryKeyStore) -> Stored {
    let draft = draft(7);
    let mut record = KeyRecord::new(*draft.binding(), to_agent(&draft, bob), NOW).unwrap();
    record.sign(&draft, alice, b"alice", &[5; 32]).unwrap();
    let body = draft.seal(&record, b"to Bob").unwrap();
    Stored { body, record }
}

fn unlock_as(
    agent: &MemoryKeyStore,
    stored: &Stored,
    sealers: &dyn Sealers,
) -> Result<Unlocked, Error> {
    let (head, _) = Head::split(&stored.body).unwrap();
    let agent = StoredKey::new(agent, agent.newest()).unwrap();
    stored.record.unlock_as(&agent, &head, &tenant("acme"), sealers)
}

/// A slot of a key service that does not exist.
fn slot(number: usize, algorithm: &str) -> Wrapped {
    Wrapped {
        key: KeyRef::new(Provider::Aws, &format!("arn:{number}")).unwrap(),
        version: KeyVersion::new("1").unwrap(),
        algorithm: algorithm.to_owned(),
        ciphertext: vec![1; 184],
    }
}

// ENV-21, ENV-23
#[test]
fn an_agent_opens_what_an_accepted_agent_sealed_to_it() {
    let (alice, bob, eve) = (keys(1), keys(2), keys(3));
    let stored = to_bob(&alice, &bob);
    let record = KeyRecord::from_bytes(&stored.record.to_bytes()).unwrap();
    assert_eq!(record, stored.record);
    assert_eq!(record.sealer().unwrap().id(), b"alice");

    let unlocked = unlock_as(&bob, &stored, &accept(&alice)).unwrap();
    assert_eq!(*unlocked.open(&stored.body).unwrap(), b"to Bob");
    let refused = |who, sealers: &dyn Sealers| unlock_as(who, &stored, sealers).map(drop);
    assert_eq!(refused(&eve, &accept(&alice)), Err(Error::NoSlot));
}

// attack T12
// ENV-24
#[test]
fn what_no_accepted_sealer_signed_is_refused_through_a_public_key() {
    let (alice, bob, eve) = (keys(1), keys(2), keys(3));
    let stored = to_bob(&alice, &bob);
    let refused = |stored: &Stored, sealers: &dyn Sealers| {
        assert_eq!(unlock_as(&bob, stored, sealers).map(drop), Err(Error::Sealer));
    };
    refused(&stored, &());
    refused(&stored, &accept(&eve));

    // Sealed by Eve, under her own name and under Alice's.
    refused(&to_bob(&eve, &bob), &accept(&alice));

    // Without a signature, also beside a slot of a key service.
    let kek = kek(1);
    let unsigned = draft(8);
    let mut record = KeyRecord::new(*unsigned.binding(), to_agent(&unsigned, &bob), NOW).unwrap();
    record
        .add(
            now_or_never(KeyRecord::wrap(&unsigned, &kek, NOW)).unwrap().slots()[0]
                .wrapped()
                .clone(),
            NOW,
        )
        .unwrap();
    let body = unsigned.seal(&record, b"forged").unwrap();
    let forged = Stored { body, record };
    refused(&forged, &accept(&alice));
    // The key service's own slot needs none: it says itself who may wrap.
    assert_eq!(open(&kek, &forged).unwrap(), b"forged");

    // The signature of another object.
    let (other, own) = (to_bob(&alice, &bob), draft(9));
    let mut record = KeyRecord::new(*own.binding(), to_agent(&own, &bob), NOW).unwrap();
    record.sign(&own, &eve, b"alice", &[5; 32]).unwrap();
    let signature = other.record.to_bytes();
    let mut bytes = record.to_bytes();
    let (at, from) = (bytes.len() - 64, signature.len() - 64);
    bytes[at..].copy_from_slice(&signature[from..]);
    let record = KeyRecord::from_bytes(&bytes).unwrap();
    refused(&Stored { body: own.seal(&record, b"").unwrap(), record }, &accept(&alice));
}

// ENV-24
#[test]
fn a_service_that_wraps_with_a_public_key_needs_a_signature_too() {
    let kek = kek(1);
    let stored = seal(&kek, Suite::AesGcm, 7, b"content");
    let mut wrapped = stored.record.slots()[0].wrapped().clone();
    assert!(!wrapped.is_public_key());
    wrapped.algorithm = "RSAES_OAEP_SHA_256".to_owned();
    assert!(wrapped.is_public_key());
    let record = KeyRecord::new(*stored.record.binding(), wrapped, NOW).unwrap();
    let named = Stored { body: stored.body.clone(), record };
    assert_eq!(open(&kek, &named), Err(Error::Sealer));

    // A record that hides it, at a service that knows better.
    let (head, _) = Head::split(&stored.body).unwrap();
    let unlock = |sealers: &dyn Sealers, record: &KeyRecord| {
        now_or_never(record.unlock(&Public(&kek), &head, &tenant("acme"), sealers)).map(drop)
    };
    let alice = keys(1);
    assert_eq!(unlock(&accept(&alice), &stored.record), Err(Error::Sealer));
    let mut signed = stored.record.clone();
    signed.sign(&draft(7), &alice, b"alice", &[5; 32]).unwrap();
    assert_eq!(unlock(&accept(&alice), &signed), Ok(()));
    assert_eq!(unlock(&(), &signed), Err(Error::Sealer));
}

/// A key service that says it wraps with a public key.
#[derive(Debug)]
struct Public<'a>(&'a LocalKek<SeededRng>);

impl Kms for Public<'_> {
    fn key(&self) -> &KeyRef {
        self.0.key()
    }

    fn is_public_key(&self) -> bool {
        true
    }

    fn version(&self) -> Pending<'_, KeyVersion> {
        self.0.version()
    }

    fn wrap<'a>(&'a self, dek: &'a Dek, binding: &'a WrapBinding) -> Pending<'a, Wrapped> {
        self.0.wrap(dek, binding)
    }

    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, binding: &'a WrapBinding) -> Pending<'a, Dek> {
        self.0.unwrap(wrapped, binding)
    }

    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
        self.0.rewrap(wraps)
    }
}

// ENV-22
#[test]
fn no_agent_stands_beside_a_classical_public_key() {
    let draft = draft(7);
    let (agent, rsa) = (to_agent(&draft, &keys(2)), slot(1, "RSAES_OAEP_SHA_256"));
    for (first, second) in [(agent.clone(), rsa.clone()), (rsa, agent)] {
        let mut record = KeyRecord::new(*draft.binding(), first, NOW).unwrap();
        let before = record.clone();
        assert!(matches!(record.add(second, NOW), Err(Error::Misuse(_))));
        assert_eq!(record, before);
    }
}

// attack T12
// ENV-15, ENV-20
#[test]
fn a_record_of_another_object_or_tenant_opens_nothing() {
    let kek = kek(1);
    let stored = seal(&kek, Suite::AesGcm, 7, b"content");
    let other = seal(&kek, Suite::AesGcm, 8, b"content");
    let swapped = Stored { body: stored.body.clone(), record: other.record.clone() };
    assert_eq!(open(&kek, &swapped), Err(Error::Open));

    // Its slot in a record that names this object.
    let foreign = other.record.slots()[0].wrapped().clone();
    let record = KeyRecord::new(*stored.record.binding(), foreign, NOW).unwrap();
    assert_eq!(open(&kek, &Stored { body: stored.body.clone(), record }), Err(Error::Open));

    // The fields of W in a record changed: neither the reader nor the wrap takes them.
    let bytes = stored.record.to_bytes();
    for (name, at) in [("object", 4), ("tenant", 22), ("header", 56)] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let record = KeyRecord::from_bytes(&changed).unwrap();
        assert_ne!(record.binding(), stored.record.binding(), "{name}");
        let changed = Stored { body: stored.body.clone(), record };
        assert_eq!(unlock(&kek, &changed, &tenant("acme")).map(drop), Err(Error::Open), "{name}");
    }
}

// attack T12
// ENV-26
#[test]
fn an_older_slot_opens_the_same_object_and_no_other() {
    let kek = kek(1);
    let stored = seal(&kek, Suite::AesGcm, 7, b"content");
    let key = stored.record.slots()[0].wrapped().key.clone();
    let mut newer = stored.record.clone();
    let draft = draft(7);
    let again = now_or_never(KeyRecord::wrap(&draft, &kek, NOW)).unwrap();
    let later = NOW.plus(60);
    newer.replace(&key, again.slots()[0].wrapped().clone(), later).unwrap();
    assert_ne!(newer, stored.record);
    assert_eq!((newer.slots()[0].created(), newer.slots()[0].rewrapped()), (NOW, later));
    for record in [&stored.record, &newer] {
        let stored = Stored { body: stored.body.clone(), record: record.clone() };
        assert_eq!(open(&kek, &stored).unwrap(), b"content");
    }
    let nobody = KeyRef::new(Provider::Aws, "arn:nobody").unwrap();
    let wrapped = newer.slots()[0].wrapped().clone();
    assert_eq!(newer.replace(&nobody, wrapped, later), Err(Error::NoSlot));
}

// ENV-17
#[test]
fn a_record_has_1_to_32_slots_of_different_keys() {
    let draft = draft(7);
    let mut record = KeyRecord::new(*draft.binding(), slot(0, "test"), NOW).unwrap();
    for number in 1..32 {
        record.add(slot(number, "test"), NOW).unwrap();
    }
    let full = record.clone();
    assert!(matches!(record.add(slot(32, "test"), NOW), Err(Error::Misuse(_))));
    assert_eq!(record, full);
    assert_eq!(KeyRecord::from_bytes(&full.to_bytes()).unwrap(), full);

    record.remove(&slot(5, "test").key).unwrap();
    assert_eq!(record.remove(&slot(5, "test").key), Err(Error::NoSlot));
    assert!(matches!(record.add(slot(6, "test"), NOW), Err(Error::Misuse(_))));
    for number in (0..31).filter(|number| *number != 5) {
        record.remove(&slot(number, "test").key).unwrap();
    }
    assert!(matches!(record.remove(&slot(31, "test").key), Err(Error::Misuse(_))));
    let to_the_first = record.replace(&slot(31, "test").key, slot(1, "test"), NOW);
    assert_eq!((to_the_first, record.slots().len()), (Ok(()), 1));
}

#[test]
fn slots_that_break_a_rule_are_misuse() {
    let draft = draft(7);
    let ok = || slot(1, "test");
    for (name, wrapped) in [
        ("no algorithm", Wrapped { algorithm: String::new(), ..ok() }),
        ("a long algorithm", Wrapped { algorithm: "a".repeat(65), ..ok() }),
        ("an algorithm with a space", Wrapped { algorithm: "a b".to_owned(), ..ok() }),
        ("no wrapped key", Wrapped { ciphertext: vec![], ..ok() }),
        ("a long wrapped key", Wrapped { ciphertext: vec![0; 6 * 1024 + 1], ..ok() }),
    ] {
        let refused = KeyRecord::new(*draft.binding(), wrapped, NOW);
        assert!(matches!(refused, Err(Error::Misuse(_))), "{name}");
    }
    let longest = Wrapped { ciphertext: vec![0; 6 * 1024], algorithm: "a".repeat(64), ..ok() };
    assert!(KeyRecord::new(*draft.binding(), longest, NOW).is_ok());
}

/// The CBOR of a record with a given list of slots.
fn encoded(slots: &[u8]) -> Vec<u8> {
    let ids = [&[1, 0x84, 0x50][..], &[7; 16], &[0x58, 32], &[8; 32], &[0x58, 32], &[9; 32]];
    [&ids.concat(), slots].concat()
}

// ENV-16, ENV-17, ENV-25
#[test]
fn encodings_that_break_a_rule_are_refused() {
    let slot = |provider: &str, key: &str, created: u8, rewrapped: u8| {
        let text =
            |text: &str| [&[0x60 + u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let parts = [text(provider), text(key), text("1"), text("x"), vec![0x41, 1]];
        [&[0x87][..], &parts.concat(), &[created, rewrapped]].concat()
    };
    let list = |slots: &[Vec<u8>]| {
        let count = u8::try_from(slots.len()).unwrap();
        let head = if count < 24 { vec![0x80 + count] } else { vec![0x98, count] };
        [head, slots.concat()].concat()
    };
    let ok = encoded(&list(&[slot("aws", "a", 1, 1)]));
    assert_eq!(KeyRecord::from_bytes(&ok).unwrap().to_bytes(), ok);
    let many: Vec<_> = (0..33).map(|n| slot("aws", &n.to_string(), 1, 1)).collect();
    assert!(KeyRecord::from_bytes(&encoded(&list(&many[..32]))).is_ok());

    let mut sealer = encoded(&list(&[slot("aws", "a", 1, 1)]));
    let mut null = sealer.clone();
    (sealer[1], null[1]) = (0x85, 0x85);
    null.push(0xF6);
    sealer.extend([&[0x83, 0x40, 0x58, 32][..], &[0; 32], &[0x58, 64], &[0; 64]].concat());
    let cases = [
        ("nothing", vec![], "key record: the input ends too early"),
        (
            "another version",
            [&[2], &ok[1..]].concat(),
            "key record: unknown version 2; a newer release may read it",
        ),
        ("empty", encoded(&[0x80]), "key record: holds 1 to 32 slots"),
        ("33 slots", encoded(&list(&many)), "key record: holds 1 to 32 slots"),
        (
            "a key twice",
            encoded(&list(&[slot("aws", "a", 1, 1), slot("aws", "a", 1, 1)])),
            "key record: no key has two slots",
        ),
        (
            "rewrapped before it was wrapped",
            encoded(&list(&[slot("aws", "a", 2, 1)])),
            "key record: no key is rewrapped before it is wrapped",
        ),
        (
            "an unknown provider",
            encoded(&list(&[slot("gcp", "a", 1, 1)])),
            "key record: names a known provider",
        ),
        ("no key", encoded(&list(&[slot("aws", "", 1, 1)])), "key record: the name of a key"),
        (
            "a list without a length",
            encoded(&[&[0x9F][..], &slot("aws", "a", 1, 1), &[0xFF]].concat()),
            "key record: not the canonical encoding",
        ),
        ("trailing", [&ok[..], &[0]].concat(), "key record: bytes follow the end"),
        ("null for a sealer", null, "key record: not the canonical encoding"),
        ("a sealer without an id", sealer, "key record: a sealer's id has 1 to 512 bytes"),
        ("too long", vec![1; KeyRecord::MAX_LEN + 1], "key record: longer than 262144 bytes"),
    ];
    for (name, bytes, why) in cases {
        assert_eq!(KeyRecord::from_bytes(&bytes).unwrap_err().to_string(), why, "{name}");
    }
    for len in 0..ok.len() {
        assert!(KeyRecord::from_bytes(&ok[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn the_longest_record_fits() {
    let draft = draft(7);
    let longest = |number: usize| Wrapped {
        key: KeyRef::new(Provider::Aws, &format!("{number:0512}")).unwrap(),
        version: KeyVersion::new(&"v".repeat(KeyVersion::MAX_LEN)).unwrap(),
        algorithm: "a".repeat(Wrapped::MAX_ALGORITHM_LEN),
        ciphertext: vec![1; Wrapped::MAX_CIPHERTEXT_LEN],
    };
    let end = Timestamp::from_secs(u64::MAX);
    let mut record = KeyRecord::new(*draft.binding(), longest(0), end).unwrap();
    (1..32).for_each(|number| record.add(longest(number), end).unwrap());
    record.sign(&draft, &keys(1), &[b'i'; 512], &[5; 32]).unwrap();
    let bytes = record.to_bytes();
    assert!(bytes.len() <= KeyRecord::MAX_LEN, "{}", bytes.len());
    assert_eq!(KeyRecord::from_bytes(&bytes).unwrap(), record);
}

// ENV-18
#[test]
fn a_record_is_named_by_its_object() {
    let object = ObjectId::from_bytes([0xAB; 16]);
    let name = ".keys/ab/abababababababababababababababab";
    assert_eq!(KeyRecord::name(object), name);
    assert_eq!(KeyRecord::object_of(name), Some(object));
    for other in [
        "keys/ab/abababababababababababababababab",
        ".keys/ac/abababababababababababababababab",
        ".keys/ab/ABABABABABABABABABABABABABABABAB",
        ".keys/ab/ababababababababababababababab",
        ".keys/ab/abababababababababababababababab/x",
        ".keys/abababababababababababababababab",
    ] {
        assert_eq!(KeyRecord::object_of(other), None, "{other}");
    }
}

#[test]
fn only_the_record_of_a_draft_is_signed_for_it() {
    let (alice, own, other) = (keys(1), draft(7), draft(8));
    let mut record = KeyRecord::new(*own.binding(), slot(1, "test"), NOW).unwrap();
    for refused in [
        record.sign(&other, &alice, b"alice", &[5; 32]),
        record.sign(&own, &alice, b"", &[5; 32]),
        record.sign(&own, &alice, &[0; 513], &[5; 32]),
    ] {
        assert!(matches!(refused, Err(Error::Misuse(_))));
    }
    assert_eq!(record.sealer(), None);
}

proptest! {
    #[test]
    fn what_is_read_as_a_record_is_written_again(bytes: Vec<u8>) {
        if let Ok(record) = KeyRecord::from_bytes(&[&[1], &bytes[..]].concat()) {
            prop_assert_eq!(&record.to_bytes()[1..], &bytes[..]);
        }
    }
}
