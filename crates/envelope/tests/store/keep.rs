//! Sweeping, and what stays.

use std::{sync::Arc, time::Duration};

use object_store::{ObjectStore, ObjectStoreExt, PutPayload, memory::InMemory, path::Path};
use sealwire_core::Timestamp;
use sealwire_envelope::{
    Error, KeyRecord,
    store::{Access, Plan, Store, StoreError},
};
use sealwire_testkit::rng::SeededRng;

use crate::{
    kek, memory, open,
    probe::{Fault, Probe},
    seal,
    support::{NOW, context, now_or_never, tenant},
};

/// The clock of the store in memory is that of the machine.
const EARLIER: Timestamp = Timestamp::from_secs(60);
const LATER: Timestamp = Timestamp::from_secs(u64::MAX / 2);

// ENV-41
#[test]
fn a_sweep_deletes_old_records_without_bodies_and_nothing_else() {
    let (objects, store) = memory();
    let kek = kek(1);
    seal(&store, "kept", &kek, b"kept", 1).unwrap();
    let alone = seal(&store, "deleted elsewhere", &kek, b"", 2).unwrap();
    now_or_never(objects.delete(&Path::from("deleted elsewhere"))).unwrap();
    let erased = seal(&store, "no record", &kek, b"", 3).unwrap();
    let record = Path::from(KeyRecord::name(erased.object()));
    now_or_never(objects.delete(&record)).unwrap();
    now_or_never(objects.put(&Path::from("note.txt"), PutPayload::from_static(b"hi"))).unwrap();
    now_or_never(objects.put(&Path::from("empty"), PutPayload::new())).unwrap();

    let found = now_or_never(store.orphans()).unwrap();
    assert_eq!(found.records.keys().copied().collect::<Vec<_>>(), [alone.object()]);
    assert_eq!(found.bodies.iter().collect::<Vec<_>>(), ["no record"]);
    assert_eq!(found.foreign.iter().collect::<Vec<_>>(), ["empty", "note.txt"]);
    assert!(found.unread.is_empty());

    // A body that has another name is a body.
    let (from, to) = (Path::from("kept"), Path::from("renamed/kept"));
    now_or_never(objects.rename(&from, &to)).unwrap();
    let young = now_or_never(store.sweep(Duration::from_secs(60), EARLIER)).unwrap();
    assert!(young.deleted.is_empty());
    let swept = now_or_never(store.sweep(Duration::from_secs(60), LATER)).unwrap();
    assert_eq!(swept.deleted.into_iter().collect::<Vec<_>>(), [alone.object()]);
    assert!(swept.orphans.records.is_empty());
    assert_eq!(now_or_never(store.names()).unwrap().len(), 4);
    assert_eq!(open(&store, "renamed/kept", &kek).unwrap(), b"kept");
}

// ENV-41
#[test]
fn a_sweep_that_cannot_read_everything_deletes_nothing() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let probe = Probe::new(Arc::clone(&objects));
    let store = Store::new(Arc::new(probe.clone()), "").unwrap();
    let kek = kek(1);
    for n in 0..3 {
        seal(&store, &n.to_string(), &kek, b"x", n).unwrap();
    }
    probe.heal();
    now_or_never(store.sweep(Duration::ZERO, LATER)).unwrap();
    for at in 0..probe.asked() {
        probe.fail(at, Fault::Refuse);
        let swept = now_or_never(store.sweep(Duration::ZERO, LATER));
        assert!(matches!(swept, Err(Error::Store(_))), "request {at}: {swept:?}");
        probe.heal();
        (0..3).for_each(|n| assert_eq!(open(&store, &n.to_string(), &kek).unwrap(), b"x"));
    }
}

#[test]
fn what_a_store_that_went_away_does_not_answer_is_not_taken_for_damaged() {
    let probe = Probe::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(probe.clone()), "").unwrap();
    let kek = kek(1);
    for n in 0..3 {
        seal(&store, &n.to_string(), &kek, b"x", n).unwrap();
    }
    let is_away = |error: &Error| matches!(error, Error::Store(StoreError::Unavailable(_)));
    for work in [Work::Census, Work::Orphans, Work::Sweep] {
        probe.heal();
        work.run(&store).unwrap();
        for at in 0..probe.asked() {
            probe.fail(at, Fault::Away);
            let stopped = work.run(&store).unwrap_err();
            assert!(is_away(&stopped), "{work:?}, request {at}: {stopped}");
            probe.heal();
        }
    }
    (0..3).for_each(|n| assert_eq!(open(&store, &n.to_string(), &kek).unwrap(), b"x"));
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Census,
    Orphans,
    Sweep,
}

impl Work {
    fn run(self, store: &Store) -> Result<(), Error> {
        match self {
            Self::Census => now_or_never(store.census(NOW)).map(drop),
            Self::Orphans => now_or_never(store.orphans()).map(drop),
            Self::Sweep => now_or_never(store.sweep(Duration::ZERO, LATER)).map(drop),
        }
    }
}

// ENV-42
#[test]
fn an_object_that_is_half_erased_opens_no_more_and_can_be_erased() {
    let probe = Probe::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(probe.clone()), "").unwrap();
    let kek = kek(1);
    seal(&store, "a", &kek, b"a", 1).unwrap();
    probe.take_log();
    probe.fail(2, Fault::Refuse);
    assert!(now_or_never(store.erase("a")).is_err());
    let log = probe.take_log();
    assert!(log[1].starts_with("delete .keys/") && log[2] == "delete a", "{log:?}");
    probe.heal();
    assert_eq!(open(&store, "a", &kek), Err(StoreError::Erased.into()));
    now_or_never(store.erase("a")).unwrap();
    assert_eq!(open(&store, "a", &kek), Err(StoreError::NotFound.into()));
}

// attack T12
#[test]
fn what_was_resealed_opens_by_no_older_record_or_copy() {
    let (objects, store) = memory();
    let (kek, required, context) = (kek(1), tenant("acme"), context());
    let before = seal(&store, "a", &kek, b"content", 1).unwrap();
    now_or_never(objects.copy(&Path::from("a"), &Path::from("copy"))).unwrap();
    let record = Path::from(KeyRecord::name(before.object()));
    let old = now_or_never(async { objects.get(&record).await?.bytes().await }).unwrap();
    assert_eq!(open(&store, "copy", &kek).unwrap(), b"content");

    let (access, plan) = (Access::kms(&kek, &required), Plan::new(&context).kms(&kek));
    let mut rng = SeededRng::new(9);
    let resealed = store.reseal("a", &access, &plan, NOW, &mut rng);
    let resealed = now_or_never(resealed).unwrap();
    assert_eq!(open(&store, "a", &kek).unwrap(), b"content");
    assert_eq!(open(&store, "copy", &kek), Err(StoreError::Erased.into()));

    // The record of before, in the place of the one of now.
    let record = Path::from(KeyRecord::name(resealed.to.object()));
    now_or_never(objects.put(&record, PutPayload::from(old))).unwrap();
    assert_eq!(open(&store, "a", &kek), Err(Error::Open));
}

// attack T12
#[test]
fn what_stands_there_since_it_was_opened_is_not_taken_for_what_was_opened() {
    let (objects, store) = memory();
    let (kek, required, context) = (kek(1), tenant("acme"), context());
    seal(&store, "a", &kek, b"content", 1).unwrap();
    seal(&store, "b", &kek, b"another", 2).unwrap();
    let before = now_or_never(store.open("a", &Access::kms(&kek, &required))).unwrap();
    now_or_never(objects.copy(&Path::from("b"), &Path::from("a"))).unwrap();
    let (plan, mut rng) = (Plan::new(&context).kms(&kek), SeededRng::new(9));
    let resealed = now_or_never(store.reseal_opened("a", &before, &plan, NOW, &mut rng));
    assert_eq!(resealed, Err(StoreError::Changed.into()));
    assert_eq!(open(&store, "a", &kek).unwrap(), b"another");
    assert_eq!(open(&store, "b", &kek).unwrap(), b"another");
    // Where it is what was opened, it is sealed anew.
    let before = now_or_never(store.open("b", &Access::kms(&kek, &required))).unwrap();
    now_or_never(store.reseal_opened("b", &before, &plan, NOW, &mut rng)).unwrap();
    assert_eq!(open(&store, "b", &kek).unwrap(), b"another");
    assert_eq!(open(&store, "a", &kek), Err(StoreError::Erased.into()));
}
