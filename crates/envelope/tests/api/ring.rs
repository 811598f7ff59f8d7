//! The key ring, and the census that retires a key.

use proptest::prelude::*;
use sealwire_core::Timestamp;
use sealwire_envelope::{
    Draft, Error, KeyRecord, ObjectId, WrapBinding,
    census::{Census, Scan},
    kms::{KeyId, KeyRef, KeyVersion, Provider, Wrapped},
    ring::{Due, Entry, KekRing, Schedule, State},
};
use sealwire_testkit::rng::SeededRng;

use crate::support::{NOW, context};

const DAY: u64 = 24 * 60 * 60;

fn id(version: &str) -> KeyId {
    let key = KeyRef::new(Provider::Local, "test").unwrap();
    KeyId { key, version: KeyVersion::new(version).unwrap() }
}

/// A ring with version 1 in grace until day 30, and version 2 active.
fn rotated() -> KekRing {
    let mut ring = KekRing::new(id("1"), NOW);
    ring.rotate(id("2"), &Schedule::default(), NOW).unwrap();
    ring
}

fn record(seed: u64, versions: &[&str]) -> KeyRecord {
    let draft =
        Draft::new(sealwire_core::Suite::AesGcm, &context(), &mut SeededRng::new(seed)).unwrap();
    with_slots(*draft.binding(), versions)
}

fn with_slots(binding: WrapBinding, versions: &[&str]) -> KeyRecord {
    let wrapped = |(number, version): (usize, &&str)| Wrapped {
        // No key has two slots: the second is one of another key with the same version.
        key: if number == 0 { id("1").key } else { KeyRef::new(Provider::Aws, "arn").unwrap() },
        version: KeyVersion::new(version).unwrap(),
        algorithm: "x".to_owned(),
        ciphertext: vec![1],
    };
    let mut slots = versions.iter().enumerate().map(wrapped);
    let mut record = KeyRecord::new(binding, slots.next().unwrap(), NOW).unwrap();
    slots.for_each(|slot| record.add(slot, NOW).unwrap());
    record
}

fn census(start: Timestamp, records: &[KeyRecord]) -> Census {
    let mut scan = Scan::new(start);
    records.iter().for_each(|record| scan.listed(record.binding().object()));
    scan.listing_ended();
    records.iter().for_each(|record| scan.read(record.binding().object(), record));
    scan.finish().unwrap()
}

// ENV-30, ENV-31
#[test]
fn a_key_goes_from_active_over_decrypt_only_to_retired() {
    let mut ring = rotated();
    let until = NOW.plus(30 * DAY);
    assert_eq!(ring.active().unwrap().id(), &id("2"));
    assert_eq!(ring.entry(&id("1")).unwrap().state(), State::DecryptOnly { until });
    assert_eq!(ring.retirable(&id("1").key, until).collect::<Vec<_>>(), [&id("1")]);
    assert_eq!(ring.retirable(&id("1").key, NOW).count(), 0);

    let current = census(until, &[record(1, &["2"]), record(2, &["2"])]);
    ring.retire(&id("1"), &current, until).unwrap();
    assert_eq!(ring.entry(&id("1")).unwrap().state(), State::Retired { at: until });
    ring.forget(&id("1")).unwrap();
    assert_eq!(ring.entries().iter().map(Entry::id).collect::<Vec<_>>(), [&id("2")]);
}

// ENV-31
#[test]
fn what_is_missing_before_a_key_retires_is_said() {
    let until = NOW.plus(30 * DAY);
    let none = census(until, &[]);
    let early = census(Timestamp::from_secs(until.as_secs() - 1), &[]);
    let referred = census(until, &[record(1, &["2"]), record(2, &["1"])]);
    let mut ring = rotated();
    let before = ring.clone();
    for (name, version, census, now, why) in [
        ("it wraps", "2", &none, until, "it wraps; rotate first"),
        (
            "in grace",
            "1",
            &none,
            Timestamp::from_secs(until.as_secs() - 1),
            "its grace has not ended",
        ),
        (
            "an old census",
            "1",
            &early,
            until,
            "the census began before its grace ended; take another",
        ),
        ("referred to", "1", &referred, until, "key records refer to it; rewrap them"),
    ] {
        assert_eq!(ring.retire(&id(version), census, now), Err(Error::Retire(why)), "{name}");
    }
    assert!(matches!(ring.retire(&id("3"), &none, until), Err(Error::Misuse(_))));
    assert!(matches!(ring.forget(&id("1")), Err(Error::Misuse(_))));
    assert_eq!(ring, before);

    ring.retire(&id("1"), &none, until).unwrap();
    let again = ring.retire(&id("1"), &none, until);
    assert_eq!(again, Err(Error::Retire("it is retired")));
}

// ENV-31
#[test]
fn only_a_complete_scan_is_a_census() {
    let (one, two) = (record(1, &["1", "1"]), record(2, &["2"]));
    let objects = [one.binding().object(), two.binding().object()];
    type Steps = fn(&mut Scan, &[ObjectId; 2], &KeyRecord, &KeyRecord);
    let incomplete: [(&str, Steps); 6] = [
        ("nothing was listed to its end", |_, _, _, _| ()),
        ("the list did not end", |scan, objects, one, two| {
            scan.read(objects[0], one);
            scan.read(objects[1], two);
        }),
        ("one was not read", |scan, objects, one, _| {
            scan.listing_ended();
            scan.read(objects[0], one);
        }),
        ("one failed", |scan, objects, one, _| {
            scan.listing_ended();
            scan.read(objects[0], one);
            scan.failed(objects[1]);
        }),
        ("one names another object", |scan, objects, one, _| {
            scan.listing_ended();
            scan.read(objects[0], one);
            scan.read(objects[1], one);
        }),
        ("one is read twice in the place of the other", |scan, objects, one, _| {
            scan.listing_ended();
            scan.read(objects[0], one);
            scan.read(objects[0], one);
        }),
    ];
    for (name, steps) in incomplete {
        let mut scan = Scan::new(NOW);
        objects.iter().for_each(|object| scan.listed(*object));
        steps(&mut scan, &objects, &one, &two);
        assert!(matches!(scan.finish(), Err(Error::Retire(_))), "{name}");
    }

    let mut scan = Scan::new(NOW);
    objects.iter().for_each(|object| scan.listed(*object));
    scan.listed(ObjectId::from_bytes([9; 16]));
    scan.listing_ended();
    scan.gone(ObjectId::from_bytes([9; 16]));
    scan.read(objects[0], &one);
    scan.read(objects[1], &two);
    let census = scan.finish().unwrap();
    assert_eq!((census.started(), census.records()), (NOW, 2));
    assert_eq!((census.references(&id("1")), census.references(&id("2"))), (1, 1));
    assert_eq!(census.references(&id("3")), 0);
    assert_eq!(census.iter().map(|(_, count)| count).sum::<u64>(), 3);
}

#[test]
fn rings_refuse_a_version_twice_and_more_than_they_hold() {
    let mut ring = rotated();
    for known in ["1", "2"] {
        let refused = ring.rotate(id(known), &Schedule::default(), NOW);
        assert!(matches!(refused, Err(Error::Misuse(_))), "{known}");
    }
    for number in 3..=256 {
        ring.rotate(id(&number.to_string()), &Schedule::default(), NOW).unwrap();
    }
    let full = ring.clone();
    assert!(matches!(ring.rotate(id("257"), &Schedule::default(), NOW), Err(Error::Misuse(_))));
    assert_eq!(ring, full);
    assert_eq!(KekRing::from_bytes(&full.to_bytes()).unwrap(), full);
}

// attack T30
// ENV-30
#[test]
fn a_clock_that_was_set_back_shortens_no_grace() {
    let mut ring = rotated();
    let earlier = Timestamp::from_secs(NOW.as_secs() - 60 * DAY);
    ring.rotate(id("3"), &Schedule::default(), earlier).unwrap();
    let until = NOW.plus(30 * DAY);
    assert_eq!(ring.entry(&id("2")).unwrap().state(), State::DecryptOnly { until });
    assert_eq!(ring.active().unwrap().since(), NOW);
}

// ENV-32
#[test]
fn a_rotation_and_an_audit_are_due_after_90_days() {
    let (ring, schedule) = (rotated(), Schedule::default());
    let at = NOW.plus(90 * DAY);
    for (after, expected) in [
        (0, Due::Later(at)),
        (76 * DAY - 1, Due::Later(at)),
        (76 * DAY, Due::Soon(at)),
        (90 * DAY - 1, Due::Soon(at)),
        (90 * DAY, Due::Now(at)),
        (1_000 * DAY, Due::Now(at)),
    ] {
        let now = NOW.plus(after);
        assert_eq!(ring.rotation_due(&schedule, now).unwrap(), expected, "{after}");
        assert_eq!(schedule.audit_due(NOW, now), expected, "{after}");
    }
    let each_day = Schedule { rotation_days: 1, ..schedule };
    let tomorrow = NOW.plus(DAY);
    assert_eq!(ring.rotation_due(&each_day, NOW).unwrap(), Due::Soon(tomorrow));
}

// ENV-29
#[test]
fn rings_that_break_a_rule_are_refused() {
    let entry = |version: u8, since: u8, state: u8, time: u8| {
        let names = [&[0x86, 0x65][..], b"local", &[0x61, b'k', 0x61, version]].concat();
        [&names[..], &[since, state, time]].concat()
    };
    let ring = |entries: &[Vec<u8>]| {
        let count = u8::try_from(entries.len()).unwrap();
        [&[1, 0x80 + count][..], &entries.concat()].concat()
    };
    let ok = ring(&[entry(b'1', 1, 3, 9), entry(b'2', 2, 2, 8), entry(b'3', 3, 1, 0)]);
    assert_eq!(KekRing::from_bytes(&ok).unwrap().to_bytes(), ok);
    let state = "key ring: a state is active, decrypt-only or retired";
    let last = "key ring: the last version is the active one, and no other is";
    for (name, bytes, why) in [
        ("none", ring(&[]), "key ring: holds 1 to 256 versions"),
        (
            "version",
            [&[2], &ok[1..]].concat(),
            "key ring: unknown version 2; a newer release may read it",
        ),
        ("no active one", ring(&[entry(b'1', 1, 2, 8)]), last),
        ("two active ones", ring(&[entry(b'1', 1, 1, 0), entry(b'2', 2, 1, 0)]), last),
        ("the active one first", ring(&[entry(b'1', 1, 1, 0), entry(b'2', 2, 2, 8)]), last),
        ("an active one with a time", ring(&[entry(b'1', 1, 1, 1)]), state),
        ("state 0", ring(&[entry(b'1', 1, 0, 0)]), state),
        ("state 4", ring(&[entry(b'1', 1, 4, 0), entry(b'2', 2, 1, 0)]), state),
        (
            "a version twice",
            ring(&[entry(b'1', 1, 2, 8), entry(b'1', 2, 1, 0)]),
            "key ring: no version stands twice",
        ),
        (
            "out of order",
            ring(&[entry(b'1', 2, 2, 8), entry(b'2', 1, 1, 0)]),
            "key ring: versions stand in the order in which they came",
        ),
        ("trailing", [&ok[..], &[0]].concat(), "key ring: bytes follow the end"),
        ("too long", vec![1; KekRing::MAX_LEN + 1], "key ring: longer than 262144 bytes"),
    ] {
        assert_eq!(KekRing::from_bytes(&bytes).unwrap_err().to_string(), why, "{name}");
    }
    for len in 0..ok.len() {
        assert!(KekRing::from_bytes(&ok[..len]).is_err(), "cut at {len}");
    }
}

proptest! {
    #[test]
    fn what_is_read_as_a_ring_is_written_again(bytes: Vec<u8>) {
        if let Ok(ring) = KekRing::from_bytes(&[&[1], &bytes[..]].concat()) {
            prop_assert_eq!(&ring.to_bytes()[1..], &bytes[..]);
        }
    }
}
