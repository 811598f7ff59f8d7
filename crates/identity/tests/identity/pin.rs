//! Pins, and the cards they refuse.

use sealwire_core::{
    DecodeError, DecodeReason, KeyStore, MemoryKeyStore, SuiteSet, Timestamp, Unverified, Verified,
    keystore::{KeySeeds, KxId},
};
use sealwire_identity::{Comparison, Error, IdentityCard, NewCard, PinStore, PinnedBy};
use sealwire_testkit::rng::SeededRng;

use crate::common::{DAY, NOW, RawCard, id, keys};

fn new(keys: &MemoryKeyStore, sequence: u64) -> IdentityCard {
    NewCard::new(sequence, NOW, DAY).sign(keys, keys.newest()).expect("sound")
}

fn verified(card: &IdentityCard) -> Verified<IdentityCard> {
    Unverified::new(card.clone()).verify(NOW).expect("verifies")
}

fn parsed(raw: &RawCard, keys: &MemoryKeyStore) -> IdentityCard {
    IdentityCard::from_bytes(&raw.sign(keys)).expect("parses").claimed().clone()
}

/// A store in which the card with sequence 5 of `keys` is pinned.
fn pinned(keys: &MemoryKeyStore) -> PinStore {
    let mut pins = PinStore::new();
    let done = pins.pin(&verified(&new(keys, 5)), PinnedBy::FirstContact, NOW);
    assert_eq!(done, Ok(Comparison::Unknown));
    pins
}

/// The store refuses `card` in every way in, and stays as it was.
fn assert_refused(pins: &PinStore, card: &IdentityCard, expected: &Error) {
    assert_eq!(pins.compare(card).as_ref(), Err(expected));
    let card = verified(card);
    assert_eq!(card.check(NOW, pins).as_ref(), Err(expected));
    let mut changed = pins.clone();
    for by in [PinnedBy::FirstContact, PinnedBy::OutOfBand] {
        assert_eq!(changed.pin(&card, by, NOW).as_ref(), Err(expected));
    }
    assert_eq!(&changed, pins);
}

// PIN-1, PIN-2
#[test]
fn a_pin_remembers_the_card_and_how_it_came() {
    let keys = keys(1);
    let card = new(&keys, 5);
    assert_eq!(PinStore::new().compare(&card), Ok(Comparison::Unknown));
    let pins = pinned(&keys);
    let pin = pins.get(&id(&keys)).expect("pinned");
    assert_eq!(pin.id(), card.id());
    assert_eq!(pin.card().claimed(), &card);
    assert_eq!(pin.card_hash(), card.hash());
    assert_eq!(pin.identity_key(), card.identity_key());
    assert_eq!(pin.sequence(), 5);
    assert_eq!(pin.kx_id(), card.kx_id());
    assert_eq!(pin.suites(), card.suites());
    assert_eq!(pin.log_head(), None);
    assert_eq!(pin.pinned_by(), PinnedBy::FirstContact);
    assert_eq!((pin.first_seen(), pin.last_seen()), (NOW, NOW));
    assert_eq!(pins.compare(&card), Ok(Comparison::Same));
    assert_eq!((pins.len(), pins.is_empty(), pins.iter().count()), (1, false, 1));
}

#[test]
fn a_newer_card_takes_the_place_of_the_pinned_one() {
    let keys = keys(1);
    let mut pins = pinned(&keys);
    let newer = new(&keys, 6);
    let later = NOW.plus(60);
    assert_eq!(pins.compare(&newer), Ok(Comparison::Newer));
    assert_eq!(pins.pin(&verified(&newer), PinnedBy::FirstContact, later), Ok(Comparison::Newer));
    let pin = pins.get(newer.id()).expect("pinned");
    assert_eq!(pin.card().claimed(), &newer);
    assert_eq!((pin.first_seen(), pin.last_seen()), (NOW, later));
}

// PIN-8
#[test]
fn a_pin_made_out_of_band_stays_one() {
    let keys = keys(1);
    let mut pins = pinned(&keys);
    let by = |pins: &PinStore| pins.get(&id(&keys)).expect("pinned").pinned_by();
    let card = verified(&new(&keys, 5));
    assert_eq!(pins.pin(&card, PinnedBy::OutOfBand, NOW), Ok(Comparison::Same));
    assert_eq!(by(&pins), PinnedBy::OutOfBand);
    let newer = verified(&new(&keys, 6));
    assert_eq!(pins.pin(&newer, PinnedBy::FirstContact, NOW), Ok(Comparison::Newer));
    assert_eq!(by(&pins), PinnedBy::OutOfBand);
}

#[test]
fn a_clock_set_back_does_not_move_last_seen() {
    let keys = keys(1);
    let mut pins = pinned(&keys);
    let early = Timestamp::from_secs(NOW.as_secs() - 60);
    pins.pin(&verified(&new(&keys, 5)), PinnedBy::FirstContact, early).expect("the same card");
    assert_eq!(pins.get(&id(&keys)).expect("pinned").last_seen(), NOW);
}

// attack T15: an old card, signed well and not yet expired.
// PIN-4
#[test]
fn an_older_card_is_refused() {
    let keys = keys(1);
    let expected = Error::OlderCard { pinned: 5, presented: 4 };
    assert_refused(&pinned(&keys), &new(&keys, 4), &expected);
}

// attack T15: two cards of one sequence, shown to two peers.
// PIN-5
#[test]
fn a_forked_card_is_refused() {
    let keys = keys(1);
    let fork = NewCard::new(5, NOW, DAY)
        .home_relay("https://other.example")
        .sign(&keys, keys.newest())
        .expect("sound");
    assert_refused(&pinned(&keys), &fork, &Error::ForkedCard(5));
}

// attack T6: a newer card without a suite that the pinned one offers.
// PIN-6
#[test]
fn a_downgrade_is_a_hard_error() {
    let keys = keys(1);
    for left in [1, 2] {
        let suites = SuiteSet::from_bytes(&[left]).expect("a suite");
        let weaker = NewCard::new(6, NOW, DAY).suites(suites).sign(&keys, keys.newest());
        assert_refused(&pinned(&keys), &weaker.expect("sound"), &Error::Downgrade);
    }
}

#[test]
fn a_card_may_add_a_suite() {
    let keys = keys(1);
    let one = SuiteSet::from_bytes(&[2]).expect("a suite");
    let first = NewCard::new(1, NOW, DAY).suites(one).sign(&keys, keys.newest()).expect("sound");
    let mut pins = PinStore::new();
    pins.pin(&verified(&first), PinnedBy::FirstContact, NOW).expect("room");
    assert_eq!(pins.compare(&new(&keys, 2)), Ok(Comparison::Newer));
}

// PIN-7
#[test]
fn key_numbers_never_go_back() {
    let mut seeds = KeySeeds::generate(&mut SeededRng::new(1)).expect("randomness");
    seeds.add_set(&mut SeededRng::new(2)).expect("room");
    let keys = MemoryKeyStore::from_seeds(&seeds).expect("keys");

    let mut pins = PinStore::new();
    let card = NewCard::new(5, NOW, DAY).sign(&keys, KxId::MIN).expect("sound");
    pins.pin(&verified(&card), PinnedBy::FirstContact, NOW).expect("room");
    // New keys under a higher number are a rotation; the first set does not come back.
    let rotated = verified(&new(&keys, 6));
    assert_eq!(pins.pin(&rotated, PinnedBy::FirstContact, NOW), Ok(Comparison::Newer));
    let back = NewCard::new(7, NOW, DAY).sign(&keys, KxId::MIN).expect("sound");
    assert_refused(&pins, &back, &Error::KeyNumber);
}

// PIN-7
#[test]
fn key_numbers_are_never_reused() {
    type Change = fn(&mut RawCard, RawCard);
    let changes: [Change; 3] = [
        |raw, other| raw.exchange_key = other.exchange_key,
        |raw, other| raw.kem_key = other.kem_key,
        |raw, other| raw.xwing_key = other.xwing_key,
    ];
    let [keys, other] = [keys(1), keys(2)];
    for change in changes {
        let raw = RawCard::with(&keys, |raw| {
            raw.sequence = 6;
            change(raw, RawCard::of(&other));
        });
        assert_refused(&pinned(&keys), &parsed(&raw, &keys), &Error::KeyNumber);
    }
}

// PIN-3: a card that claims a pinned id under another key does not verify; it is refused here
// as well, by its claim.
#[test]
fn another_identity_key_is_refused() {
    let [alice, mallory] = [keys(1), keys(2)];
    let raw = RawCard { id: id(&alice).to_string(), sequence: 9, ..RawCard::of(&mallory) };
    assert_eq!(pinned(&alice).compare(&parsed(&raw, &mallory)), Err(Error::IdentityChanged));
}

// PIN-9, PIN-12: expiry is judged again, at the time of use.
#[test]
fn an_expired_card_neither_stands_nor_is_pinned() {
    let keys = keys(1);
    let card = verified(&new(&keys, 5));
    let end = NOW.plus(DAY);
    let expected = Error::Expired { what: "card", not_after: end };
    let mut pins = PinStore::new();
    assert!(card.check(end, &pins).is_ok());
    assert_eq!(card.check(end.plus(1), &pins), Err(expected.clone()));
    assert_eq!(pins.pin(&card, PinnedBy::OutOfBand, end.plus(1)), Err(expected));
    assert!(pins.is_empty());
}

// PIN-12: what was verified before a newer card came no longer stands.
#[test]
fn a_superseded_card_no_longer_stands() {
    let keys = keys(1);
    let mut pins = pinned(&keys);
    let card = verified(&new(&keys, 5));
    assert!(card.check(NOW, &pins).is_ok());
    pins.pin(&verified(&new(&keys, 6)), PinnedBy::FirstContact, NOW).expect("newer");
    let expected = Error::OlderCard { pinned: 6, presented: 5 };
    assert_eq!(card.check(NOW, &pins), Err(expected));
}

#[test]
fn a_removed_peer_is_a_stranger() {
    let keys = keys(1);
    let mut pins = pinned(&keys);
    assert!(pins.remove(&id(&keys)));
    assert!(!pins.remove(&id(&keys)));
    assert_eq!(pins.compare(&new(&keys, 1)), Ok(Comparison::Unknown));
}

// PIN-11
#[test]
fn a_store_survives_its_file() {
    let mut pins = PinStore::new();
    for seed in 1..=4 {
        let by = if seed % 2 == 0 { PinnedBy::OutOfBand } else { PinnedBy::FirstContact };
        pins.pin(&verified(&new(&keys(seed), seed)), by, NOW.plus(seed)).expect("room");
    }
    let read = PinStore::from_bytes(&pins.to_bytes()).expect("own bytes");
    assert_eq!(read, pins);
    // attack T15: what was remembered refuses the older card after a restart too.
    let expected = Error::OlderCard { pinned: 4, presented: 3 };
    assert_refused(&read, &new(&keys(4), 3), &expected);
    assert_eq!(PinStore::from_bytes(&PinStore::new().to_bytes()), Ok(PinStore::new()));
}

// PIN-11: a file is no proof: a forged card in it does not come out verified.
#[test]
fn a_forged_card_in_a_file_does_not_verify() {
    let keys = keys(1);
    let mut bytes = pinned(&keys).to_bytes();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let pins = PinStore::from_bytes(&bytes).expect("parses");
    let pin = pins.get(&id(&keys)).expect("pinned");
    assert_eq!(pin.card().clone().verify(NOW), Err(Error::Signature("card")));
}

// attack T32: a pin file that is cut, changed or foreign.
// PIN-11
#[test]
fn bad_files_are_refused() {
    let mut pins = PinStore::new();
    for seed in [1, 2] {
        pins.pin(&verified(&new(&keys(seed), 1)), PinnedBy::FirstContact, NOW).expect("room");
    }
    let bytes = pins.to_bytes();
    for cut in 0..bytes.len() {
        let error = PinStore::from_bytes(&bytes[..cut]).expect_err("cut");
        let expected = DecodeError::new("pin store", DecodeReason::Truncated);
        assert_eq!(error, Error::Decode(expected), "{cut}");
    }
    let entry = (bytes.len() - 3) / 2;
    let (first, second) = bytes[3..].split_at(entry);
    let edited = |at: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    let ascend = DecodeReason::Invalid("ids ascend");
    for (name, bytes, reason) in [
        ("version 0", edited(0, &[0]), DecodeReason::UnknownVersion(0)),
        ("version 2", edited(0, &[2]), DecodeReason::UnknownVersion(2)),
        ("trailing byte", [&bytes[..], &[0]].concat(), DecodeReason::Trailing),
        ("count too low", edited(1, &[0, 1]), DecodeReason::Trailing),
        ("count too high", edited(1, &[0, 3]), DecodeReason::Truncated),
        ("the highest count", edited(1, &[0x40, 0]), DecodeReason::Truncated),
        (
            "count over the bound",
            edited(1, &[0x40, 0x01]),
            DecodeReason::Invalid("holds at most 16384 pins"),
        ),
        ("descending", [&bytes[..3], second, first].concat(), ascend),
        ("twice", [&bytes[..3], first, first].concat(), ascend),
        ("pinned by 0", edited(3, &[0]), DecodeReason::Invalid("unknown way of pinning")),
        ("pinned by 3", edited(3, &[3]), DecodeReason::Invalid("unknown way of pinning")),
        (
            "seen backwards",
            edited(4, &[0xFF]),
            DecodeReason::Invalid("a peer is first seen before it is last seen"),
        ),
        ("card too long", edited(20, &[0x10, 0x01]), DecodeReason::TooLong(IdentityCard::MAX_LEN)),
    ] {
        let Err(Error::Decode(error)) = PinStore::from_bytes(&bytes) else { panic!("{name}") };
        assert_eq!(error, DecodeError::new("pin store", reason), "{name}");
    }
    // A bad card inside is named as such.
    let error = PinStore::from_bytes(&edited(22, &[9])).expect_err("a card of version 9");
    assert_eq!(error.to_string(), "card: unknown version 9; a newer release may read it");
}
