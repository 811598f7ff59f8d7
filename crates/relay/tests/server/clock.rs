//! Clocks that jump.

use std::{sync::Arc, time::Duration};

use crate::{
    connections::until_is,
    people::{Owner, deposit},
    rig::{Rig, TestClock, frame, settings},
};
use sealwire_core::Timestamp;
use sealwire_relay::{
    Problem,
    server::Event,
    store::{MemoryStore, Store},
    wire::{Body, MailboxKind, Messages},
};

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 60 * 60;

async fn over(store: &Arc<MemoryStore>, clock: u64, confirmed: bool) -> Rig {
    let mut settings = settings();
    settings.times.sweep = Duration::from_millis(20);
    settings.clock_confirmed = confirmed;
    let store = Arc::clone(store) as Arc<dyn Store>;
    Rig::try_over(store, settings, TestClock::at(clock)).await.expect("a relay")
}

/// Waits until so many sweeps have ended that began after this was called.
async fn sweeps(rig: &Rig, number: u64) {
    let before = crate::connections::number(rig, "sweeps_total").await;
    until_is(rig, "sweeps_total", |sweeps| sweeps > before + number).await;
}

// attack T30: a clock that is set back revives nothing.
#[tokio::test]
async fn what_has_expired_stays_so_when_the_clock_is_set_back() {
    let store: Arc<MemoryStore> = Arc::default();
    let rig = over(&store, NOW, false).await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let capability = owner.capability(1, rig.now().plus(600));
    let ask = || deposit(owner.send, &capability, &frame(1));
    rig.ask(&ask()).await.is(202);
    let old = rig.signed(&owner, &owner.fetch(0, 1, 0), &[]);
    rig.ask(&old).await.is(200);
    rig.clock.pass(601);
    assert_eq!(rig.ask(&ask()).await.problem(), Problem::NotFound);
    rig.clock.set(Timestamp::from_secs(NOW));
    assert_eq!(rig.ask(&ask()).await.problem(), Problem::NotFound);
    assert_eq!(rig.ask(&old).await.problem(), Problem::Stale);
    sweeps(&rig, 2).await;
    let behind = Event::ClockBehind { seconds: 601 };
    assert_eq!(rig.events().iter().filter(|event| **event == behind).count(), 1);
    // Nor across a restart, with the clock still behind.
    rig.relay.shutdown().await;
    let rig = over(&store, NOW, false).await;
    assert_eq!(rig.ask(&ask()).await.problem(), Problem::NotFound);
    rig.relay.shutdown().await;
    // Unless the operator says that the clock is right.
    let rig = over(&store, NOW, true).await;
    rig.ask(&ask()).await.is(202);
}

// attack T30: a clock that runs years ahead deletes nothing.
#[tokio::test]
async fn a_clock_far_ahead_deletes_nothing_until_somebody_confirms_it() {
    let store: Arc<MemoryStore> = Arc::default();
    let rig = over(&store, NOW, false).await;
    let mut owner = Owner::new(MailboxKind::Pairwise);
    owner.lifetime = 30 * DAY;
    rig.create(&owner).await.is(201);
    rig.deposit(&owner, &frame(1)).await.is(202);
    rig.clock.set(Timestamp::from_secs(NOW + 3650 * DAY));
    sweeps(&rig, 2).await;
    assert!(rig.events().contains(&Event::ClockAhead));
    assert_eq!(store.usage().await.expect("the store").messages, 1);
    let metrics = rig.operator("/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("sealwire_clock_ahead 1\n"));
    // The mark has moved by a day, and is not set back with the clock: until then, or until the
    // operator says that the clock is right now, signatures are not of this time.
    rig.clock.set(Timestamp::from_secs(NOW + 60));
    let fetch = rig.signed(&owner, &owner.fetch(0, 1, 0), &[]);
    assert_eq!(rig.ask(&fetch).await.problem(), Problem::Stale);
    rig.relay.shutdown().await;
    let rig = over(&store, NOW + 60, true).await;
    assert_eq!(rig.fetch(&owner, 0, 1).await.messages.len(), 1);
}

// A relay that was off for a week finds its clock a week ahead of what it last saw.
#[tokio::test]
async fn after_a_long_rest_deletions_lag_behind_until_the_operator_confirms_the_time() {
    let store: Arc<MemoryStore> = Arc::default();
    let rig = over(&store, NOW, false).await;
    let mut owner = Owner::new(MailboxKind::Pairwise);
    owner.lifetime = 3 * DAY;
    rig.create(&owner).await.is(201);
    rig.deposit(&owner, &frame(1)).await.is(202);
    rig.relay.shutdown().await;
    let rig = over(&store, NOW + 7 * DAY, false).await;
    sweeps(&rig, 2).await;
    assert_eq!(store.usage().await.expect("the store").messages, 1);
    assert_eq!(rig.events().iter().filter(|event| **event == Event::ClockAhead).count(), 1);
    // It has expired all the same, and signatures are good once.
    let ask = rig.signed(&owner, &owner.fetch(0, 1, 0), &[]);
    let messages = Messages::from_bytes(&rig.ask(&ask).await.is(200).body).expect("a body");
    assert_eq!(messages.messages.len(), 0);
    assert_eq!(rig.ask(&ask).await.problem(), Problem::Replayed);
    rig.relay.shutdown().await;
    let rig = over(&store, NOW + 7 * DAY, true).await;
    sweeps(&rig, 2).await;
    assert_eq!(store.usage().await.expect("the store").messages, 0);
    assert!(!rig.events().contains(&Event::ClockAhead));
}

// The clock may run for long: days that really pass are no jump.
#[tokio::test]
async fn time_that_passes_is_no_jump() {
    let store: Arc<MemoryStore> = Arc::default();
    let rig = over(&store, NOW, false).await;
    let mut owner = Owner::new(MailboxKind::Pairwise);
    owner.lifetime = DAY;
    rig.create(&owner).await.is(201);
    rig.deposit(&owner, &frame(1)).await.is(202);
    for _ in 0..50 {
        rig.clock.pass(DAY / 2);
    }
    sweeps(&rig, 2).await;
    assert!(!rig.events().contains(&Event::ClockAhead));
    assert_eq!(store.usage().await.expect("the store").messages, 0);
}
