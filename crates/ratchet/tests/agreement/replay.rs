//! First messages that come twice.

use sealwire_core::Suite;
use sealwire_ratchet::{
    Error, ReplayCache,
    agreement::{self, Accepted},
    prekey::Rotation,
    replay::{MAX_ENTRIES, ROTATE_AT, Replayable},
};
use sealwire_testkit::rng::SeededRng;

use crate::common::{ALL_LEFT, Agent, NEITHER, NOW, alice, bob, reply};

/// A replay entry of a KEM prekey, made by hand.
fn entry(kem: u32, number: u32) -> Replayable {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&kem.to_be_bytes());
    bytes.extend_from_slice(&[0; 28]);
    bytes.extend_from_slice(&number.to_be_bytes());
    Replayable::from_bytes(&bytes).expect("37 bytes")
}

/// What the layer above does in one transaction.
fn admit(bob: &mut Agent, cache: &mut ReplayCache, accepted: &Accepted) -> Result<(), Error> {
    if let Some(replay) = accepted.replay {
        cache.insert(replay)?;
    }
    let change = bob.prekeys.consume(&accepted.used)?;
    bob.prekeys.apply(change)
}

// attack T9: whatever keys were left, one acceptance in total, and the same after a restart.
// AGR-19, AGR-20
#[test]
fn a_first_message_is_accepted_once() {
    let alice = alice();
    for left in ALL_LEFT {
        let (mut bob, mut cache) = (bob(), ReplayCache::new());
        let sent = alice.write_to(&bob, bob.one_time(0, left), Suite::AesGcm);
        let accepted = bob.receive(&sent.prefix, alice.identity()).expect("Alice");
        admit(&mut bob, &mut cache, &accepted).expect("the first time");
        let stored: Vec<Vec<u8>> = accepted.replay.iter().map(Replayable::to_bytes).collect();
        let mut restarted = ReplayCache::new();
        for row in &stored {
            restarted.insert(Replayable::from_bytes(row).expect("own row")).expect("room");
        }
        assert_eq!(restarted, cache);
        let again = bob
            .receive(&sent.prefix, alice.identity())
            .and_then(|accepted| admit(&mut bob, &mut restarted, &accepted));
        let expected = if stored.is_empty() { Error::NoPrekey } else { Error::Replay };
        assert_eq!(again, Err(expected), "{left:?}");
    }
}

// AGR-20
#[test]
fn two_first_messages_under_the_last_resort_key_are_told_apart() {
    let (alice, mut bob, mut cache) = (alice(), bob(), ReplayCache::new());
    for seed in 0..3 {
        let (local, bundle) = (alice.local(), bob.verified());
        let keys = bob.one_time(0, NEITHER);
        let mut rng = SeededRng::new(seed);
        let sent =
            agreement::initiate(&local, &bundle, keys, Suite::AesGcm, reply(), NOW, &mut rng)
                .expect("an agreement");
        let accepted = bob.receive(&sent.prefix, alice.identity()).expect("Alice");
        admit(&mut bob, &mut cache, &accepted).expect("another message");
        assert_eq!(cache.check(&accepted.replay.expect("no key")), Err(Error::Replay));
    }
    assert_eq!(cache.len(1.try_into().expect("not 0")), 3);
}

// attack T21
// AGR-21
#[test]
fn a_full_cache_refuses_and_says_so_before() {
    let mut cache = ReplayCache::new();
    let kem = entry(1, 0).kem();
    for number in 0..1024 {
        assert_eq!(cache.is_filling(kem), number >= 768, "{number}");
        cache.insert(entry(1, number)).expect("room");
    }
    assert_eq!((MAX_ENTRIES, ROTATE_AT), (1024, 768));
    assert_eq!(cache.insert(entry(1, 1024)), Err(Error::ReplayCacheFull));
    assert_eq!(cache.insert(entry(1, 1023)), Err(Error::Replay), "a replay is still one");
    assert_eq!(cache.len(kem), 1024);
    // The next key has a cache of its own.
    assert_eq!(cache.insert(entry(2, 0)), Ok(()));
}

// AGR-20
#[test]
fn entries_live_as_long_as_their_key() {
    let (mut bob, mut cache) = (bob(), ReplayCache::new());
    let change = bob.prekeys.rotate(Rotation::Now, NOW, &mut SeededRng::new(1));
    bob.prekeys.apply(change.expect("room").expect("asked for")).expect("fresh");
    // 1 and 22 are last-resort keys, 2 is a one-time key.
    for (kem, number) in [(1, 0), (1, 1), (22, 0), (2, 0)] {
        cache.insert(entry(kem, number)).expect("room");
    }
    let held = |kem| bob.prekeys.holds_last_resort(kem);
    assert_eq!(cache.orphans(held), [entry(2, 0)]);
    let change = bob.prekeys.expire(NOW.plus(sealwire_ratchet::prekey::SIGNED_KEPT + 1));
    bob.prekeys.apply(change.expect("the first pair")).expect("fresh");
    let orphans = cache.orphans(|kem| bob.prekeys.holds_last_resort(kem));
    assert_eq!(orphans, [entry(1, 0), entry(1, 1), entry(2, 0)]);
    for orphan in &orphans {
        cache.remove(orphan);
    }
    assert_eq!(cache.orphans(|_| false), [entry(22, 0)]);
    cache.remove(&entry(22, 1));
    assert!(!cache.is_empty());
    cache.remove(&entry(22, 0));
    assert!(cache.is_empty());
}

// attack T32
#[test]
fn bad_entries_are_refused() {
    let good = entry(7, 9).to_bytes();
    assert_eq!(Replayable::from_bytes(&good), Ok(entry(7, 9)));
    for cut in 0..good.len() {
        assert!(Replayable::from_bytes(&good[..cut]).is_err(), "{cut}");
    }
    for (name, bytes) in [
        ("a trailing byte", [&good[..], &[0]].concat()),
        ("version 2", [&[2], &good[1..]].concat()),
        ("key 0", [&[1, 0, 0, 0, 0], &good[5..]].concat()),
    ] {
        assert!(Replayable::from_bytes(&bytes).is_err(), "{name}");
    }
}
