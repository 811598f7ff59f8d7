//! A store that fails at its n-th request, for each n.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context as Task, Poll, Waker},
};

use object_store::memory::InMemory;
use sealwire_core::Timestamp;
use sealwire_envelope::{
    Error,
    store::{Access, Plan, Store, StoreError},
};
use sealwire_testkit::rng::SeededRng;

use crate::{
    Kek, kek, open,
    probe::{Fault, Probe},
    seal,
    support::{NOW, content, context, tenant},
};

pub(crate) const FAULTS: [Fault; 4] = [Fault::Refuse, Fault::LoseAnswer, Fault::Full, Fault::Kill];

/// The result of a future, or nothing where its process was killed.
pub(crate) fn unless_killed<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Task::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn probed() -> (Probe, Store) {
    let probe = Probe::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(probe.clone()), "").unwrap().with_part_len(20_000);
    (probe, store)
}

async fn seal_one(store: &Store, kek: &Kek, content: &[u8]) -> Result<(), Error> {
    let context = context();
    let plan = Plan::new(&context).kms(kek);
    store.seal("a", &plan, content, NOW, &mut SeededRng::new(5)).await.map(drop)
}

// ENV-19, ENV-38
#[test]
fn whatever_fails_an_object_is_there_whole_or_not_at_all() {
    let kek = kek(1);
    for content in [content(100), content(70_000)] {
        for fault in FAULTS {
            for at in 0.. {
                let (probe, store) = probed();
                probe.fail(at, fault);
                let sealed = unless_killed(seal_one(&store, &kek, &content));
                let met = probe.asked() > at;
                probe.heal();
                let opened = open(&store, "a", &kek);
                match &sealed {
                    Some(Ok(())) => assert!(opened.as_ref() == Ok(&content), "{fault:?} {at}"),
                    _ => assert!(
                        opened.as_ref() == Ok(&content)
                            || opened == Err(StoreError::NotFound.into()),
                        "{fault:?} {at}: {:?}",
                        opened.map(|it| it.len())
                    ),
                }
                // A body never stands without its record, and a sweep leaves nothing.
                let orphans = crate::support::now_or_never(store.orphans()).unwrap();
                assert!(orphans.bodies.is_empty(), "{fault:?} {at}");
                let later = Timestamp::from_secs(u64::MAX / 2);
                let age = core::time::Duration::ZERO;
                crate::support::now_or_never(store.sweep(age, later)).unwrap();
                assert!(open(&store, "a", &kek) == opened, "{fault:?} {at}: swept");
                if !met {
                    break;
                }
            }
        }
    }
}

// ENV-38
#[test]
fn whatever_fails_a_resealed_object_is_the_one_or_the_other() {
    let (kek, required, context) = (kek(1), tenant("acme"), context());
    let plain = content(70_000);
    for fault in FAULTS {
        for at in 0.. {
            let (probe, store) = probed();
            seal(&store, "a", &kek, &plain, 1).unwrap();
            probe.fail(at, fault);
            let plan = Plan::new(&context).kms(&kek);
            let access = Access::kms(&kek, &required);
            let mut rng = SeededRng::new(2);
            let resealed = unless_killed(store.reseal("a", &access, &plan, NOW, &mut rng));
            let met = probe.asked() > at;
            probe.heal();
            assert!(open(&store, "a", &kek).as_ref() == Ok(&plain), "{fault:?} {at}");
            drop(resealed);
            if !met {
                break;
            }
        }
    }
}

// ENV-12
#[test]
fn whatever_fails_a_reader_gives_what_is_authentic() {
    let (kek, required) = (kek(1), tenant("acme"));
    let plain = content(200_000);
    let (probe, store) = probed();
    seal(&store, "a", &kek, &plain, 1).unwrap();
    for at in 0..8 {
        probe.fail(at, Fault::Refuse);
        let read = unless_killed(async {
            let object = store.open("a", &Access::kms(&kek, &required)).await?;
            let range = object.read_range(70_000..100_000).await?;
            assert!(*range == plain[70_000..100_000]);
            object.read().await
        });
        if let Ok(read) = read.unwrap() {
            assert!(*read == plain);
            assert!(probe.asked() <= at, "request {at} failed");
        }
    }
}

// ENV-16
#[test]
fn a_store_that_gives_more_than_it_says_is_not_listened_to() {
    let (probe, store) = probed();
    seal(&store, "a", &kek(1), &content(100), 5).unwrap();
    // The head, and the key record.
    for at in 0..2 {
        probe.fail(at, Fault::Flood);
        let before = probe.flooded();
        let refused = open(&store, "a", &kek(1)).unwrap_err();
        assert!(matches!(refused, Error::Store(_)), "{at}: {refused}");
        let taken = probe.flooded() - before;
        assert!((1..10).contains(&taken), "{at}: {taken} of {} pieces", Probe::FLOOD);
    }
    probe.heal();
    assert_eq!(open(&store, "a", &kek(1)).unwrap(), content(100));
}
