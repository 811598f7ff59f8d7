//! The owner's private halves: when they are made, how long they stay, how they are stored.

use sealwire_core::{Suite, Timestamp};
use sealwire_ratchet::{
    Error,
    prekey::{Kind, MAX_FORCED, MAX_PAGES, MAX_SIGNED, Prekeys, Rotation, RowKey, Unclaimed},
};
use sealwire_testkit::rng::SeededRng;

use crate::common::{ALL_LEFT, Agent, BOTH, DAY, NEITHER, NONE, NOW, alice, bob, contact};

fn rng() -> SeededRng {
    SeededRng::new(6)
}

fn reload(prekeys: &Prekeys) -> Prekeys {
    let rows = prekeys.rows();
    Prekeys::from_rows(rows.iter().map(|(key, row)| (*key, row.as_slice()))).expect("own rows")
}

// PRE-3
#[test]
fn stored_prekeys_open_what_the_first_ones_would() {
    let (alice, mut bob) = (alice(), bob());
    for left in ALL_LEFT {
        let sent = alice.write_to(&bob, bob.one_time(7, left), Suite::AesGcm);
        let rows = bob.prekeys.rows();
        bob.prekeys = reload(&bob.prekeys);
        assert_eq!(bob.prekeys.rows(), rows);
        let accepted = bob.receive(&sent.prefix, alice.identity()).expect("Alice");
        assert!(accepted.agreed.secret() == sent.agreed.secret(), "{left:?}");
    }
}

// attack T9: the one-time keys go with the session, and no second message finds them.
// AGR-19
#[test]
fn a_one_time_key_opens_one_first_message() {
    let (alice, mut bob) = (alice(), bob());
    let sent = alice.write_to(&bob, bob.one_time(0, BOTH), Suite::AesGcm);
    let again = alice.write_to(&bob, bob.one_time(0, BOTH), Suite::ChaChaPoly);
    let accepted = bob.receive(&sent.prefix, alice.identity()).expect("Alice");
    let raced = bob.receive(&again.prefix, alice.identity()).expect("not consumed yet");
    let change = bob.prekeys.consume(&accepted.used).expect("there");
    let rows: Vec<_> = change.rows().map(|(key, row)| (key, row.map(<[u8]>::len))).collect();
    assert_eq!(rows.len(), 2, "the two pages and nothing else");
    assert!(rows.iter().all(|(_, len)| len.is_some_and(|len| len < 4096)), "{rows:?}");
    bob.prekeys.apply(change).expect("fresh");
    for bob in [&bob, &Agent { prekeys: reload(&bob.prekeys), ..self::bob() }] {
        for prefix in [&sent.prefix, &again.prefix] {
            let error = bob.receive(prefix, alice.identity()).expect_err("used");
            assert_eq!(error, Error::NoPrekey);
        }
        assert_eq!(bob.prekeys.consume(&raced.used).expect_err("used"), Error::NoPrekey);
    }
    let next = alice.write_to(&bob, bob.one_time(1, BOTH), Suite::AesGcm);
    assert!(bob.receive(&next.prefix, alice.identity()).is_ok(), "its neighbours are there");
}

#[test]
fn a_page_goes_with_its_last_key() {
    let (alice, mut bob) = (alice(), bob());
    for index in 0..20 {
        let sent = alice.write_to(&bob, bob.one_time(index, BOTH), Suite::AesGcm);
        let accepted = bob.receive(&sent.prefix, alice.identity()).expect("Alice");
        let change = bob.prekeys.consume(&accepted.used).expect("there");
        let gone: Vec<RowKey> =
            change.rows().filter(|(_, row)| row.is_none()).map(|(key, _)| key).collect();
        bob.prekeys.apply(change).expect("fresh");
        assert_eq!(gone.len(), usize::from(index == 19), "{gone:?}");
    }
    assert_eq!(reload(&bob.prekeys).rows(), bob.prekeys.rows());
    assert_eq!(bob.prekeys.rows().len(), 2, "the signed prekeys and one page");
}

#[test]
fn a_change_made_from_an_older_state_is_stale() {
    let mut bob = bob();
    let of = |prekeys: &Prekeys| {
        prekeys.rotate(Rotation::Now, NOW, &mut rng()).expect("room").expect("asked for")
    };
    let (one, two) = (of(&bob.prekeys), of(&bob.prekeys));
    bob.prekeys.apply(one).expect("fresh");
    let before = bob.state();
    assert_eq!(bob.prekeys.apply(two), Err(Error::StaleStep));
    assert_eq!(bob.state(), before);
}

// PRE-15
#[test]
fn signed_prekeys_are_replaced_after_seven_days() {
    let bob = bob();
    let due = |now| bob.prekeys.rotate(Rotation::WhenDue, now, &mut rng()).expect("room").is_some();
    assert!(!due(NOW));
    assert!(!due(NOW.plus(7 * DAY - 1)));
    assert!(due(NOW.plus(7 * DAY)));
    // attack T30: a clock set back or ahead skips nothing for good.
    assert!(!due(Timestamp::from_secs(0)));
    assert!(due(Timestamp::from_secs(u64::MAX)));
}

// PRE-16
#[test]
fn what_is_kept_is_bounded_and_a_flood_leaves_room_for_what_falls_due() {
    let mut bob = bob();
    let mut forced = 0;
    while let Ok(Some(change)) = bob.prekeys.rotate(Rotation::Now, NOW, &mut rng()) {
        bob.prekeys.apply(change).expect("fresh");
        forced += 1;
    }
    assert_eq!(forced, MAX_FORCED - 1);
    let full = bob.prekeys.rotate(Rotation::Now, NOW, &mut rng());
    assert_eq!(full.expect_err("full"), Error::PrekeysFull);
    for week in 1..=4 {
        let now = NOW.plus(week * 7 * DAY);
        if let Some(change) = bob.prekeys.expire(now) {
            bob.prekeys.apply(change).expect("fresh");
        }
        let change = bob.prekeys.rotate(Rotation::WhenDue, now, &mut rng());
        bob.prekeys.apply(change.expect("room").expect("due")).expect("fresh");
        assert!(reload(&bob.prekeys).rows()[0].1.len() <= 27 + 112 * MAX_SIGNED);
    }
}

// PRE-16: a device that was off for years still has its signed prekey.
#[test]
fn the_newest_signed_prekey_never_expires_from_the_store() {
    let mut bob = bob();
    let never = Timestamp::from_secs(u64::MAX);
    let change = bob.prekeys.expire(never).expect("the pages");
    bob.prekeys.apply(change).expect("fresh");
    assert_eq!(bob.prekeys.rows().len(), 1);
    assert!(bob.prekeys.expire(never).is_none());
    assert!(bob.prekeys.rotate(Rotation::WhenDue, never, &mut rng()).expect("room").is_some());
}

// PRE-17
#[test]
fn pages_are_kept_for_59_days_and_an_hour() {
    let (alice, mut bob) = (alice(), bob());
    let sent = alice.write_to(&bob, bob.one_time(0, BOTH), Suite::AesGcm);
    let last = NOW.plus(59 * DAY + 3600);
    assert!(bob.prekeys.expire(NOW.plus(21 * DAY + 3600)).is_none());
    let rows =
        |prekeys: &Prekeys| prekeys.rows().iter().filter(|(key, _)| *key != RowKey::Signed).count();
    assert!(bob.prekeys.expire(last).is_none());
    assert_eq!(rows(&bob.prekeys), 2);
    let change = bob.prekeys.expire(last.plus(1)).expect("two pages");
    bob.prekeys.apply(change).expect("fresh");
    assert_eq!(rows(&bob.prekeys), 0);
    let error = bob.receive(&sent.prefix, alice.identity()).expect_err("gone");
    assert_eq!(error, Error::NoPrekey);
}

// PRE-18
#[test]
fn one_time_keys_are_refilled_at_half() {
    let mut bob = bob();
    let refill = |bob: &Agent, x25519, kem| {
        let left = Unclaimed { x25519, kem };
        bob.prekeys.refill(&bob.publisher(), left, NOW, &mut rng()).expect("keys")
    };
    for (x25519, kem, expected) in [
        (100, 20, &[][..]),
        (51, 11, &[]),
        (u32::MAX, u32::MAX, &[]),
        (50, 11, &[(Kind::X25519, 50)]),
        (51, 10, &[(Kind::MlKem, 10)]),
        (0, 0, &[(Kind::X25519, 100), (Kind::MlKem, 20)]),
        (49, 1, &[(Kind::X25519, 51), (Kind::MlKem, 19)]),
    ] {
        let made = refill(&bob, x25519, kem).map_or(Vec::new(), |refill| refill.pages);
        let made: Vec<_> = made.iter().map(|page| (page.kind, page.keys.len())).collect();
        assert_eq!(made, expected, "{x25519} {kem}");
    }
    let again = refill(&bob, 0, 0).expect("due");
    bob.prekeys.apply(again.change).expect("fresh");
    let (header, key) = (&again.pages[0].header, &again.pages[0].keys[0]);
    let key = bob.verified().one_time_x25519(header, key, NOW).expect("sound");
    assert_eq!(key.id().get(), 101, "ids go on");
}

// attack T21: whoever claims keys and never uses them fills a bounded store; what is left is
// the last-resort key, and senders are told.
#[test]
fn claimed_and_unused_pages_are_bounded() {
    let (alice, mut bob) = (alice(), bob());
    let half = Unclaimed { x25519: 99, kem: 10 };
    let mut made = 1;
    loop {
        let refill = bob
            .prekeys
            .refill(&bob.publisher(), half, NOW, &mut rng())
            .expect("keys")
            .expect("due");
        bob.prekeys.apply(refill.change).expect("fresh");
        if refill.full {
            assert!(refill.pages.is_empty());
            break;
        }
        made += 1;
    }
    assert_eq!(made, MAX_PAGES);
    let stored: usize = bob.prekeys.rows().iter().map(|(_, row)| row.len()).sum();
    assert!(stored < 1_200 * 1024, "{stored}");
    let sent = alice.write_to(&bob, bob.one_time(0, NEITHER), Suite::AesGcm);
    assert_eq!((sent.one_time_x25519, sent.one_time_kem), (false, false));
    let accepted = bob.receive(&sent.prefix, alice.identity()).expect("Alice");
    let replay = accepted.replay.expect("it could be replayed");
    assert!(bob.prekeys.holds_last_resort(replay.kem()));
}

/// The row of signed prekeys with its counters set: they stand after version and device.
fn with_counters(bob: &Agent, counters: [u32; 3], sequence: u64) -> Result<Prekeys, Error> {
    let mut rows = bob.prekeys.rows();
    let row = &mut rows[0].1;
    for (index, counter) in counters.into_iter().enumerate() {
        row[5 + 4 * index..][..4].copy_from_slice(&counter.to_be_bytes());
    }
    row[17..25].copy_from_slice(&sequence.to_be_bytes());
    Prekeys::from_rows(rows.iter().map(|(key, row)| (*key, row.as_slice())))
}

// attack T20
// PRE-2
#[test]
fn numbers_end_before_they_wrap() {
    let bob = bob();
    let max = u32::MAX;
    let publisher = bob.publisher();
    for (name, counters, expected) in [
        ("the last signed prekey", [max - 1, 100, max - 1], None),
        ("no signed prekey", [max, 100, 21], Some(Error::IdsUsedUp)),
        ("no KEM prekey", [1, 100, max], Some(Error::IdsUsedUp)),
    ] {
        let prekeys = with_counters(&bob, counters, 1).expect("rows");
        let before = prekeys.rows();
        let rotated = prekeys.rotate(Rotation::Now, NOW, &mut rng());
        assert_eq!(rotated.err(), expected, "{name}");
        assert_eq!(prekeys.rows(), before);
    }
    for (name, counters, expected) in [
        ("exactly enough", [1, max - 100, max - 20], None),
        ("one X25519 key too few", [1, max - 99, 21], Some(Error::IdsUsedUp)),
        ("one ML-KEM key too few", [1, 100, max - 19], Some(Error::IdsUsedUp)),
        ("none", [1, max, max], Some(Error::IdsUsedUp)),
    ] {
        let mut prekeys = with_counters(&bob, counters, 1).expect("rows");
        let refill = prekeys.refill(&publisher, NONE, NOW, &mut rng());
        assert_eq!(refill.as_ref().err(), expected.as_ref(), "{name}");
        if let Ok(Some(refill)) = refill {
            prekeys.apply(refill.change).expect("fresh");
            let again = prekeys.refill(&publisher, NONE, NOW, &mut rng());
            assert_eq!(again.expect_err("used up"), Error::IdsUsedUp);
        }
    }
    let prekeys = with_counters(&bob, [1, 100, 21], u64::MAX).expect("rows");
    let bundle = prekeys.bundle(&publisher, &contact(), NOW);
    assert_eq!(bundle.expect_err("used up"), Error::IdsUsedUp);
}

type Rows = Vec<(RowKey, Vec<u8>)>;

// attack T32
#[test]
fn bad_rows_are_refused() {
    let bob = bob();
    let rows = bob.prekeys.rows();
    let load = |change: &dyn Fn(&mut Rows)| {
        let mut rows: Rows = rows.iter().map(|(key, row)| (*key, row.to_vec())).collect();
        change(&mut rows);
        Prekeys::from_rows(rows.iter().map(|(key, row)| (*key, row.as_slice()))).err()
    };
    assert_eq!(load(&|_| {}), None);
    for row in 0..3 {
        for cut in 0..rows[row].1.len() {
            let error = load(&|rows| rows[row].1.truncate(cut));
            assert!(matches!(error, Some(Error::Decode(_))), "{row} {cut}");
        }
        let error = load(&|rows| rows[row].1.push(0));
        assert!(matches!(error, Some(Error::Decode(_))), "a trailing byte in {row}");
        for version in (0..=255).filter(|version| *version != 1) {
            let error = load(&|rows| rows[row].1[0] = version);
            assert!(matches!(error, Some(Error::Decode(_))), "version {version} of {row}");
        }
    }
    type Edit = fn(&mut Rows);
    let decode: [(&str, Edit); 12] = [
        ("no pair", |rows| rows[0].1[25..27].fill(0)),
        ("17 pairs", |rows| rows[0].1[26] = 17),
        ("signed prekey 0", |rows| rows[0].1[27..31].fill(0)),
        ("a signed prekey that was not made", |rows| rows[0].1[30] = 2),
        ("a KEM prekey that was not made", |rows| rows[0].1[66] = 22),
        ("a page of another kind", |rows| rows[1].1[1] = 2),
        ("a page of no kind", |rows| rows[1].1[1] = 3),
        ("base 0", |rows| rows[1].1[6..10].fill(0)),
        ("no keys", |rows| rows[1].1[18..20].fill(0)),
        ("101 keys", |rows| rows[1].1[19] = 101),
        ("ids over 32 bits", |rows| rows[1].1[6..10].fill(0xFF)),
        ("a key behind the end", |rows| rows[1].1[32] |= 0x80),
    ];
    for (name, edit) in decode {
        assert!(matches!(load(&edit), Some(Error::Decode(_))), "{name}");
    }
    let misuse: [(&str, Edit); 7] = [
        ("no signed prekeys", |rows| drop(rows.remove(0))),
        ("two rows of signed prekeys", |rows| rows.push(rows[0].clone())),
        ("a page twice", |rows| rows.push(rows[1].clone())),
        ("a page under another key", |rows| {
            rows[1].0 = RowKey::Page(Kind::X25519, 2.try_into().expect("not 0"));
        }),
        ("a page of another device", |rows| rows[1].1[5] = 1),
        ("ids that were not given out", |rows| rows[0].1[12] = 99),
        ("pages that overlap", |rows| {
            let (_, mut page) = rows[1].clone();
            page[9] = 50;
            rows[0].1[12] = 200;
            rows.push((RowKey::Page(Kind::X25519, 50.try_into().expect("not 0")), page));
        }),
    ];
    for (name, edit) in misuse {
        assert!(matches!(load(&edit), Some(Error::Misuse(_))), "{name}: {:?}", load(&edit));
    }
    let empty = load(&|rows| {
        rows[1].1[20..33].fill(0);
        rows[1].1.truncate(33);
    });
    assert!(matches!(empty, Some(Error::Decode(_))), "a page with nothing in it");
}

#[test]
fn row_keys_round_trip() {
    let bob = bob();
    for (key, _) in bob.prekeys.rows() {
        let bytes = key.to_bytes();
        assert_eq!(RowKey::from_bytes(&bytes), Ok(key));
        for cut in 0..bytes.len() {
            assert!(RowKey::from_bytes(&bytes[..cut]).is_err(), "{key:?} to {cut}");
        }
        assert!(RowKey::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
    for bad in [&[3, 0, 0, 0, 1][..], &[1, 0, 0, 0, 0], &[2, 0, 0, 0]] {
        assert!(RowKey::from_bytes(bad).is_err(), "{bad:?}");
    }
}
