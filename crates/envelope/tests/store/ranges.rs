//! What reading asks of a store.

use std::sync::Arc;

use object_store::memory::InMemory;
use sealwire_envelope::{
    chunks::SLOT_LEN,
    store::{Access, Store},
};

use crate::{
    kek,
    probe::Probe,
    seal,
    support::{content, now_or_never, tenant},
};

// ENV-14
#[test]
fn a_reader_asks_no_more_than_it_must() {
    const LEN: usize = 3_000_000;
    let probe = Probe::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(probe.clone()), "").unwrap();
    let (kek, required) = (kek(1), tenant("acme"));
    seal(&store, "long", &kek, &content(LEN), 1).unwrap();
    seal(&store, "medium", &kek, &content(900_000), 2).unwrap();
    seal(&store, "short", &kek, &content(30_000), 3).unwrap();
    // How many requests a first range takes, and how many another one that is far from it.
    for (name, range, first, second) in [
        // A range, and the last chunk that says how long the object is.
        ("long", 1_000_000..1_000_100, 2, 1),
        // What came with the head, and the last chunk.
        ("long", 5..10, 1, 1),
        // The last chunk is near, or among them.
        ("long", LEN - 200_000..LEN - 199_000, 1, 1),
        ("long", LEN - 100..LEN + 100, 1, 1),
        ("long", LEN + 1..LEN + 2, 1, 1),
        // Memory is asked for when it is known how much.
        ("long", 0..LEN, 2, 1),
        ("short", 5..10, 0, 0),
        ("short", 0..30_000, 0, 0),
    ] {
        now_or_never(async {
            let object = store.open(name, &Access::kms(&kek, &required)).await.unwrap();
            probe.heal();
            let plain = content(if name == "long" { LEN } else { 30_000 });
            let asked = range.start as u64..range.end as u64;
            let read = object.read_range(asked).await.unwrap();
            assert!(*read == plain[range.start.min(plain.len())..range.end.min(plain.len())]);
            assert_eq!(probe.asked(), first, "{name} {range:?}");
            probe.heal();
            object.read_range(1_500_000..1_500_001).await.unwrap();
            assert_eq!(probe.asked(), second, "{name} after {range:?}");
        });
    }
    // Opening asks for the head and the record; what is not too long is read by one request more.
    for (name, len, all) in [("long", LEN, 4), ("medium", 900_000, 3), ("short", 30_000, 2)] {
        probe.heal();
        let read = now_or_never(async {
            let object = store.open(name, &Access::kms(&kek, &required)).await.unwrap();
            object.read().await.unwrap()
        });
        assert!(*read == content(len));
        assert_eq!(probe.asked(), all, "{name}");
    }
}

// ENV-14
#[test]
fn no_memory_is_asked_for_by_a_length_that_the_store_claims() {
    let probe = Probe::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(probe.clone()), "").unwrap();
    let (kek, required) = (kek(1), tenant("acme"));
    seal(&store, "a", &kek, &content(200_000), 1).unwrap();
    // Half as many chunks as an object may have.
    probe.claim((SLOT_LEN as u64) << 37);
    now_or_never(async {
        let object = store.open("a", &Access::kms(&kek, &required)).await.unwrap();
        assert!(object.len().await.is_err());
        assert!(object.read().await.is_err());
        for range in [0..u64::MAX, 0..1 << 50, 20_000..30_000, (1 << 40)..(1 << 40) + 5] {
            assert!(object.read_range(range).await.is_err());
        }
        let mut content = object.content();
        while let Ok(Some(_)) = content.next().await {}
        assert!(content.next().await.is_err());
    });
}
