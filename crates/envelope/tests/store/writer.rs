//! Writers and readers beside what every store does.

use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt, PutPayload, memory::InMemory, path::Path};
use sealwire_core::Suite;
use sealwire_envelope::{
    Error, KeyRecord,
    store::{Access, Plan, Store, StoreError},
};
use sealwire_testkit::rng::SeededRng;

use crate::{
    conformance::conforms,
    kek, memory, open, open_for,
    probe::{Fault, Probe},
    seal,
    support::{NOW, content, context, now_or_never, tenant},
};

#[test]
fn memory_conforms() {
    let store = Store::new(Arc::new(InMemory::new()), "tenants/acme").unwrap();
    now_or_never(conforms(&store, 40_000));
}

#[test]
fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    for prefix in ["", "tenants/acme"] {
        let store = Store::local(&folder.path().join("new"), prefix).unwrap();
        now_or_never(conforms(&store, 40_000));
        std::fs::remove_dir_all(folder.path().join("new")).unwrap();
    }
}

// ENV-37
#[test]
fn a_folder_that_is_not_opened_as_one_refuses_to_rewrap() {
    use object_store::local::LocalFileSystem;
    use sealwire_envelope::store::{Outcome, Rewrap, Watch};

    struct Last(Option<Outcome>);
    impl Watch for Last {
        fn record(&mut self, _: sealwire_envelope::ObjectId, outcome: &Outcome) {
            self.0 = Some(outcome.clone());
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let objects = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let store = Store::new(Arc::new(objects), "").unwrap();
    seal(&store, "a", &kek(1), b"a", 1).unwrap();
    let (rotated, mut last) = (kek(2), Last(None));
    let ended = crate::rewrap(&store, &Rewrap::new(&rotated), None, &mut last).unwrap();
    assert_eq!(ended.counts().failed, 1);
    let failed = last.0.unwrap();
    let unsupported = matches!(failed, Outcome::Failed(Error::Store(StoreError::Unsupported(_))));
    assert!(unsupported, "{failed:?}");
    assert_eq!(open(&store, "a", &rotated).unwrap(), b"a");
}

// ENV-13, ENV-38
#[test]
fn only_a_finished_writer_makes_an_object_appear() {
    let (objects, store) = memory();
    let store = store.with_part_len(20_000);
    let (context, kek) = (context(), kek(1));
    let plan = Plan::new(&context).kms(&kek);
    for (seed, len) in [(1, 10), (2, 100_000)] {
        let mut writer =
            now_or_never(store.writer("dropped", &plan, NOW, &mut SeededRng::new(seed))).unwrap();
        now_or_never(writer.write(&content(len))).unwrap();
        drop(writer);
        let left = now_or_never(store.orphans()).unwrap();
        assert_eq!((left.records.len(), left.bodies.len()), (1, 0), "its record alone");
        now_or_never(store.sweep(core::time::Duration::ZERO, later())).unwrap();

        let mut writer =
            now_or_never(store.writer("aborted", &plan, NOW, &mut SeededRng::new(seed))).unwrap();
        now_or_never(writer.write(&content(len))).unwrap();
        now_or_never(writer.abort()).unwrap();
        assert_eq!(now_or_never(store.names()).unwrap().len(), 0);
    }
    let listed: Vec<_> =
        now_or_never(futures_util::StreamExt::collect::<Vec<_>>(objects.list(None)));
    assert!(listed.is_empty());
}

/// After anything that this test writes.
fn later() -> sealwire_core::Timestamp {
    sealwire_core::Timestamp::from_secs(u64::MAX / 2)
}

#[test]
fn a_writer_holds_a_few_parts_whatever_the_length() {
    const PART: usize = 20_000;
    let probe = Probe::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(probe.clone()), "").unwrap().with_part_len(PART);
    let (context, kek) = (context(), kek(1));
    let plan = Plan::new(&context).kms(&kek).suite(Suite::ChaChaPoly);
    let mut writer =
        now_or_never(store.writer("long", &plan, NOW, &mut SeededRng::new(1))).unwrap();
    let before = probe.sent();
    for round in 1..=40 {
        now_or_never(writer.write(&content(10_000))).unwrap();
        let held = (round * 10_000_usize).saturating_sub(probe.sent() - before);
        assert!(held <= 3 * PART + 2 * 16_384, "{held} bytes held");
    }
    now_or_never(writer.finish()).unwrap();
    assert_eq!(open(&store, "long", &kek).unwrap(), content(10_000).repeat(40));
}

#[test]
fn a_source_that_fails_makes_no_object() {
    struct Failing(u8);
    impl tokio::io::AsyncRead for Failing {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            into: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            self.0 -= 1;
            if self.0 == 0 {
                return std::task::Poll::Ready(Err(std::io::Error::other("cut")));
            }
            into.put_slice(&[7; 1_000]);
            std::task::Poll::Ready(Ok(()))
        }
    }
    let (_, store) = memory();
    let (context, kek) = (context(), kek(1));
    let plan = Plan::new(&context).kms(&kek);
    let mut writer = now_or_never(store.writer("a", &plan, NOW, &mut SeededRng::new(1))).unwrap();
    assert!(now_or_never(writer.copy_from(&mut Failing(5))).is_err());
    assert!(matches!(now_or_never(writer.write(b"more")), Err(Error::Misuse(_))));
    assert!(matches!(now_or_never(writer.finish()), Err(Error::Misuse(_))));
    assert_eq!(open(&store, "a", &kek), Err(StoreError::NotFound.into()));

    let mut writer = now_or_never(store.writer("b", &plan, NOW, &mut SeededRng::new(2))).unwrap();
    assert_eq!(now_or_never(writer.copy_from(&mut &content(70_000)[..])), Ok(70_000));
    now_or_never(writer.finish()).unwrap();
    assert_eq!(open(&store, "b", &kek).unwrap(), content(70_000));
    assert_eq!(now_or_never(store.orphans()).unwrap(), Default::default());
}

fn get(objects: &InMemory, path: &str) -> Vec<u8> {
    now_or_never(async { objects.get(&Path::from(path)).await?.bytes().await }).unwrap().to_vec()
}

fn put(objects: &InMemory, path: &str, bytes: Vec<u8>) {
    now_or_never(objects.put(&Path::from(path), PutPayload::from(bytes))).unwrap();
}

// attack T12
// ENV-15, ENV-20
#[test]
fn bodies_and_records_that_are_swapped_open_nothing() {
    let (objects, store) = memory();
    let kek = kek(1);
    let record_of = |sealed: sealwire_envelope::Sealed| KeyRecord::name(sealed.object());
    let a = record_of(seal(&store, "a", &kek, b"content of a", 1).unwrap());
    let b = record_of(seal(&store, "b", &kek, b"content of b", 2).unwrap());

    // Bodies: each opens as what it is, by its own record. It has no name that could be forged.
    let (body_a, body_b) = (get(&objects, "a"), get(&objects, "b"));
    put(&objects, "a", body_b.clone());
    assert_eq!(open(&store, "a", &kek).unwrap(), b"content of b");
    put(&objects, "a", body_a.clone());

    let (record_a, record_b) = (get(&objects, &a), get(&objects, &b));
    put(&objects, &a, record_b);
    assert_eq!(open(&store, "a", &kek), Err(Error::Open), "the record of another object");
    put(&objects, &a, record_a.clone());

    // The chunks of one behind the head of the other, and every cut.
    let head = body_a.len() - 12 - 16;
    put(&objects, "a", [&body_a[..head], &body_b[head..]].concat());
    assert_eq!(open(&store, "a", &kek), Err(Error::Open));
    for len in 0..body_a.len() {
        put(&objects, "a", body_a[..len].to_vec());
        assert!(open(&store, "a", &kek).is_err(), "cut at {len}");
    }
    put(&objects, "a", body_a);
    assert_eq!(open_for(&store, "a", &kek, &tenant("evil")), Err(Error::Open));
    for record in [vec![], record_a[..record_a.len() - 1].to_vec(), vec![1; 300_000]] {
        put(&objects, &a, record);
        assert!(matches!(open(&store, "a", &kek), Err(Error::Decode(_))));
    }
    now_or_never(objects.delete(&Path::from(a.as_str()))).unwrap();
    assert_eq!(open(&store, "a", &kek), Err(StoreError::Erased.into()));
}

// attack T12
// ENV-12, ENV-39
#[test]
fn a_body_that_changes_under_a_reader_gives_nothing_unverified() {
    let probe = Probe::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(probe.clone()), "").unwrap();
    let (kek, required) = (kek(1), tenant("acme"));
    let plain = content(200_000);
    seal(&store, "a", &kek, &plain, 1).unwrap();
    for at in 0..4 {
        probe.fail(at, Fault::Refuse);
        let read = now_or_never(async {
            let object = store.open("a", &Access::kms(&kek, &required)).await?;
            let (mut content, mut out) = (object.content(), Vec::new());
            loop {
                match content.next().await {
                    Ok(Some(piece)) => out.extend_from_slice(&piece),
                    Ok(None) => return Ok(out),
                    Err(error) => {
                        assert!(plain.starts_with(&out));
                        assert_eq!(content.next().await.map(drop), Err(Error::Open));
                        return Err(error);
                    }
                }
            }
        });
        if let Ok(read) = read {
            assert!(read == plain && at == 3, "request {at}");
        }
    }
}

/// Compiles only where every future can move between the threads of a runtime.
#[test]
fn futures_can_be_sent() {
    fn sent<T: Send>(future: T) {
        drop(future);
    }
    let (_, store) = memory();
    let (kek, required, context) = (kek(1), tenant("acme"), context());
    let (plan, access) = (Plan::new(&context).kms(&kek), Access::kms(&kek, &required));
    let mut rng = SeededRng::new(1);
    sent(store.seal("a", &plan, b"", NOW, &mut rng));
    sent(store.reseal("a", &access, &plan, NOW, &mut rng));
    sent(store.rewrap_all(&sealwire_envelope::store::Rewrap::new(&kek), None, NOW, &mut ()));
    sent(store.sweep(core::time::Duration::ZERO, NOW));
    sent(store.census(NOW));
    sent(store.erase("a"));
    sent(async {
        let mut writer = store.writer("b", &plan, NOW, &mut SeededRng::new(2)).await?;
        writer.write(b"content").await?;
        writer.finish().await?;
        store.open("b", &access).await?.content().copy_to(&mut tokio::io::sink()).await
    });
}
