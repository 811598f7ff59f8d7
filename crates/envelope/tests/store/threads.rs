//! Objects that several threads seal and open at once.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context as Task, Waker},
};

use object_store::{ObjectStore, ObjectStoreExt, PutPayload, memory::InMemory, path::Path};
use sealwire_core::Suite;
use sealwire_envelope::{
    Error, chunks,
    store::{Access, Plan, Store},
};
use sealwire_testkit::rng::SeededRng;

use crate::{
    conformance::conforms,
    kek,
    probe::{Fault, Probe},
    support::{NOW, content, context, now_or_never, tenant},
};

/// The result of a future on a runtime with one thread of its own.
fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn memory_and_a_folder_conform_on_a_runtime_of_one_thread() {
    let folder = tempfile::tempdir().unwrap();
    for threads in [1, 3] {
        let memory = Store::new(Arc::new(InMemory::new()), "tenants/acme").unwrap();
        on_runtime(conforms(&memory.with_threads(threads), 40_000));
        let local = Store::local(&folder.path().join(threads.to_string()), "").unwrap();
        on_runtime(conforms(&local.with_threads(threads), 40_000));
    }
}

async fn seal(store: &Store, content: &[u8], step: usize) -> Result<(), Error> {
    let (context, kek) = (context(), kek(1));
    let plan = Plan::new(&context).kms(&kek).suite(Suite::ChaChaPoly);
    let mut writer = store.writer("a", &plan, NOW, &mut SeededRng::new(5)).await?;
    for piece in content.chunks(step) {
        writer.write(piece).await?;
    }
    writer.finish().await.map(drop)
}

// ENV-9, ENV-12
#[test]
fn an_object_is_the_same_whatever_the_threads_and_the_pieces() {
    let plain = content(1_500_000);
    let mut bodies = Vec::new();
    for (threads, part_len, step, pieces) in [
        (0, 8 << 20, usize::MAX, 0),
        (1, 20_000, 1_000_000, 0),
        (2, 20_000, 7_777, 5_000),
        (3, 300_000, 600_000, 100_000),
        (8, 5 << 20, 1_499_999, 1),
        (99, 70_000, 16_384, 16_400),
    ] {
        let probe = Probe::new(Arc::new(InMemory::new()));
        let store = Store::new(Arc::new(probe.clone()), "").unwrap();
        let store = store.with_part_len(part_len).with_threads(threads);
        on_runtime(async {
            seal(&store, &plain, step).await.unwrap();
            bodies.push(probe.get(&Path::from("a")).await.unwrap().bytes().await.unwrap());
            // Pieces of one byte only for the ranges: of all of it they take too long.
            probe.split(if pieces == 1 { 0 } else { pieces });
            let (kek, required) = (kek(1), tenant("acme"));
            let object = store.open("a", &Access::kms(&kek, &required)).await.unwrap();
            assert!(*object.read().await.unwrap() == plain, "{threads} threads read");
            let mut copied = Vec::new();
            assert_eq!(object.content().copy_to(&mut copied).await, Ok(1_500_000));
            assert!(copied == plain, "{threads} threads copied");
            let (mut content, mut next) = (object.content(), Vec::new());
            while let Some(piece) = content.next().await.unwrap() {
                next.extend_from_slice(&piece);
            }
            assert!(next == plain, "{threads} threads gave pieces");
            assert_eq!(content.next().await, Ok(None));
            probe.split(pieces);
            for range in [100_000..100_001, 65_000..1_200_000, 1_499_999..9_999_999] {
                let expected = &plain[range.start..range.end.min(plain.len())];
                let asked = range.start as u64..range.end as u64;
                if pieces != 1 || expected.len() == 1 {
                    assert!(*object.read_range(asked).await.unwrap() == expected, "{range:?}");
                }
            }
        });
    }
    assert!(bodies.windows(2).all(|two| two[0] == two[1]));
}

// attack T12
// ENV-12
#[test]
fn a_chunk_that_was_changed_ends_what_several_threads_open() {
    let plain = content(3_000_000);
    let objects = Arc::new(InMemory::new());
    let store = Store::new(Arc::clone(&objects) as Arc<dyn ObjectStore>, "").unwrap();
    let store = store.with_threads(4);
    on_runtime(async {
        seal(&store, &plain, usize::MAX).await.unwrap();
        let sound = objects.get(&Path::from("a")).await.unwrap().bytes().await.unwrap().to_vec();
        let (kek, required) = (kek(1), tenant("acme"));
        for chunk in [0, 5, 40, 70, 182, 183] {
            let mut changed = sound.clone();
            let at = sound.len() - 3_000_000 - 184 * 16 + chunk * chunks::SLOT_LEN;
            changed[at] ^= 1;
            objects.put(&Path::from("a"), PutPayload::from(changed)).await.unwrap();
            let object = store.open("a", &Access::kms(&kek, &required)).await.unwrap();
            let (mut content, mut given) = (object.content(), Vec::new());
            let refused = loop {
                match content.next().await {
                    Ok(Some(piece)) => given.extend_from_slice(&piece),
                    Ok(None) => panic!("chunk {chunk} was changed"),
                    Err(error) => break error,
                }
            };
            assert_eq!(refused, Error::Open);
            assert!(given.len() <= chunk * chunks::CHUNK_LEN && plain.starts_with(&given));
            assert_eq!(content.next().await.map(drop), Err(Error::Open), "it stays so");
            assert_eq!(object.read().await.map(drop), Err(Error::Open));
            let mut copied = Vec::new();
            assert_eq!(object.content().copy_to(&mut copied).await, Err(Error::Open));
            assert!(copied.len() <= chunk * chunks::CHUNK_LEN && plain.starts_with(&copied));
        }
    });
}

// ENV-13
#[test]
fn a_call_that_was_given_up_while_threads_work_ends_the_writer_and_the_reader() {
    let probe = Probe::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(probe.clone()), "").unwrap();
    let store = store.with_part_len(200_000).with_threads(3);
    let (context, kek, required) = (context(), kek(1), tenant("acme"));
    let plan = Plan::new(&context).kms(&kek);
    let plain = content(3_000_000);
    on_runtime(async {
        let mut writer =
            store.writer("given up", &plan, NOW, &mut SeededRng::new(1)).await.unwrap();
        probe.fail(5, Fault::Kill);
        {
            let mut writing = pin!(writer.write(&plain));
            while probe.asked() <= 5 {
                let polled = writing.as_mut().poll(&mut Task::from_waker(Waker::noop()));
                assert!(polled.is_pending());
                tokio::task::yield_now().await;
            }
        }
        probe.heal();
        assert!(matches!(writer.write(b"more").await, Err(Error::Misuse(_))));
        assert!(matches!(writer.copy_from(&mut &plain[..]).await, Err(Error::Misuse(_))));
        assert!(matches!(writer.finish().await, Err(Error::Misuse(_))));
        assert_eq!(store.orphans().await.unwrap(), Default::default());
        assert!(store.names().await.unwrap().is_empty());

        seal(&store, &plain, usize::MAX).await.unwrap();
        probe.split(50_000);
        let object = store.open("a", &Access::kms(&kek, &required)).await.unwrap();
        let mut content = object.content();
        {
            let mut reading = pin!(content.next());
            assert!(reading.as_mut().poll(&mut Task::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(content.next().await.map(drop), Err(Error::Open));
        assert!(*object.read().await.unwrap() == plain, "the object is as it was");
    });
}

#[test]
fn what_threads_hold_is_bounded_by_their_number() {
    const PART: usize = 20_000;
    for threads in [1_usize, 2, 8, 64] {
        let probe = Probe::new(Arc::new(InMemory::new()));
        let store = Store::new(Arc::new(probe.clone()), "").unwrap();
        let store = store.with_part_len(PART).with_threads(threads);
        let (context, kek) = (context(), kek(1));
        let plan = Plan::new(&context).kms(&kek).suite(Suite::ChaChaPoly);
        on_runtime(async {
            let mut writer =
                store.writer("long", &plan, NOW, &mut SeededRng::new(1)).await.unwrap();
            let before = probe.sent();
            for round in 1..=80 {
                writer.write(&content(10_000)).await.unwrap();
                let held = (round * 10_000_usize).saturating_sub(probe.sent() - before);
                // A run of so short a part is one chunk.
                let most = 3 * PART + (2 + threads.min(8)) * chunks::SLOT_LEN;
                assert!(held <= most, "{threads} threads: {held} bytes");
            }
            writer.finish().await.unwrap();
        });
    }
}

#[test]
fn a_runtime_that_ends_leaves_no_object() {
    let (objects, probe) = {
        let objects = Arc::new(InMemory::new());
        (Arc::clone(&objects), Probe::new(objects))
    };
    let store = Store::new(Arc::new(probe.clone()), "").unwrap().with_part_len(100_000);
    let plain = content(1_000_000);
    let (context, kek) = (context(), kek(1));
    let plan = Plan::new(&context).kms(&kek);
    let store = store.with_threads(2);
    let mut writer = on_runtime(store.writer("a", &plan, NOW, &mut SeededRng::new(1))).unwrap();
    on_runtime(writer.write(&plain)).unwrap();
    // What was begun on that runtime was done, or is refused: it is not waited for for ever.
    let finished = on_runtime(writer.finish());
    let stands = now_or_never(objects.head(&Path::from("a"))).is_ok();
    assert_eq!(finished.is_ok(), stands, "{finished:?}");
}
