//! What holds in every store. The tests against servers run the same.

use sealwire_core::{KeyStore, MemoryKeyStore, Suite, keys::VerifyingKey, keystore::KxId};
use sealwire_envelope::{
    Context, Error, Sealers,
    kms::Kms,
    local::{LocalKek, LocalKeys},
    store::{Access, Plan, Rewrap, Store, StoreError},
};
use sealwire_hybrid::StoredKey;
use sealwire_testkit::rng::SeededRng;

use crate::support::{NOW, content, context, tenant};

/// Runs all of it in an empty store whose parts have `part_len` bytes.
pub(crate) async fn conforms(store: &Store, part_len: usize) {
    let store = store.clone().with_part_len(part_len);
    objects_come_back(&store, part_len).await;
    ranges_come_back(&store, part_len).await;
    names_are_taken_once(&store, part_len).await;
    agents_open_what_is_signed(&store).await;
    another_version_is_not_mixed_in(&store, part_len).await;
    erased_objects_are_gone(&store).await;
    rotation_and_resealing(&store).await;
}

fn kek(rotated: bool) -> LocalKek<SeededRng> {
    let mut rng = SeededRng::new(1);
    let mut keys = LocalKeys::generate("conformance", &mut rng).unwrap();
    if rotated {
        keys.rotate(&mut rng).unwrap();
    }
    LocalKek::new(keys.into(), SeededRng::new(2))
}

async fn seal(store: &Store, name: &str, content: &[u8], seed: u64) -> Result<(), Error> {
    let (context, kek) = (context(), kek(false));
    let plan = Plan::new(&context).kms(&kek).suite(Suite::ChaChaPoly);
    store.seal(name, &plan, content, NOW, &mut SeededRng::new(seed)).await.map(drop)
}

async fn read(store: &Store, name: &str, kms: &dyn Kms) -> Result<Vec<u8>, Error> {
    let required = tenant("acme");
    Ok(store.open(name, &Access::kms(kms, &required)).await?.read().await?.to_vec())
}

async fn objects_come_back(store: &Store, part_len: usize) {
    for (seed, len) in (100..).zip([0, 1, 16_384, 65_000, 70_000, part_len, 2 * part_len + 5]) {
        let name = format!("lengths/{len}");
        seal(store, &name, &content(len), seed).await.unwrap();
        let opened = read(store, &name, &kek(false)).await.unwrap();
        assert!(opened == content(len), "{len} bytes");
        let mut copied = Vec::new();
        let required = tenant("acme");
        let kek = kek(false);
        let object = store.open(&name, &Access::kms(&kek, &required)).await.unwrap();
        assert_eq!(object.content().copy_to(&mut copied).await, Ok(len as u64));
        assert!(copied == content(len), "{len} bytes");
        assert_eq!(object.len().await, Ok(len as u64));
    }
    let other = tenant("other");
    let refused = store.open("lengths/1", &Access::kms(&kek(false), &other)).await;
    assert_eq!(refused.map(drop), Err(Error::Open));
    assert_eq!(read(store, "none", &kek(false)).await, Err(StoreError::NotFound.into()));
}

// ENV-14, ENV-39
async fn ranges_come_back(store: &Store, part_len: usize) {
    let len = part_len + 100_000;
    seal(store, "ranges", &content(len), 200).await.unwrap();
    let (kek, required) = (kek(false), tenant("acme"));
    let object = store.open("ranges", &Access::kms(&kek, &required)).await.unwrap();
    for range in [
        0..1,
        0..0,
        16_383..16_385,
        65_000..90_000,
        len - 1..len,
        len - 20_000..len + 5,
        len + 1..len + 9,
    ] {
        let expected = &content(len)[range.start.min(len)..range.end.min(len)];
        let asked = range.start as u64..range.end as u64;
        let read = object.read_range(asked).await.unwrap();
        assert!(*read == expected, "{range:?}");
    }
}

// ENV-19, ENV-38
async fn names_are_taken_once(store: &Store, part_len: usize) {
    for (seed, len) in [(300, 10), (302, 2 * part_len)] {
        let name = format!("once/{len}");
        seal(store, &name, &content(len), seed).await.unwrap();
        for again in [10, 2 * part_len] {
            let refused = seal(store, &name, &content(again + 1), seed + 1).await;
            assert_eq!(refused, Err(StoreError::Exists.into()));
        }
        assert!(read(store, &name, &kek(false)).await.unwrap() == content(len));
    }
    // The records of those that were refused are gone too.
    assert_eq!(store.orphans().await.unwrap(), Default::default());
    for name in ["", "/a", "a/", "a//b", ".", "../a", ".keys/00/a", "a/.keys/b"] {
        let refused = seal(store, name, b"", 1).await.unwrap_err();
        assert!(matches!(refused, Error::Store(StoreError::Name(_))), "{name:?}: {refused}");
    }
}

struct Accepted(VerifyingKey);

impl Sealers for Accepted {
    fn key(&self, id: &[u8], card: &[u8; 32]) -> Option<VerifyingKey> {
        (id == b"alice" && card == &[5; 32]).then(|| self.0.clone())
    }
}

// ENV-21, ENV-24
async fn agents_open_what_is_signed(store: &Store) {
    let keys = |seed| MemoryKeyStore::generate(&mut SeededRng::new(seed)).unwrap();
    let (alice, bob, context) = (keys(1), keys(2), context());
    let kx: KxId = bob.newest();
    let key = StoredKey::new(&bob, kx).unwrap();
    let plan = Plan::new(&context).agent(key.public(), kx);
    let mut rng = SeededRng::new(400);
    let unsigned = store.seal("to-bob", &plan, b"to Bob", NOW, &mut rng).await;
    assert!(matches!(unsigned, Err(Error::Misuse(_))));
    let plan = plan.signed_by(&alice, b"alice", &[5; 32]);
    store.seal("to-bob", &plan, b"to Bob", NOW, &mut rng).await.unwrap();

    let (required, sealers) = (tenant("acme"), Accepted(alice.identity().clone()));
    let object = store.open("to-bob", &Access::agent(&key, &required, &sealers)).await.unwrap();
    assert_eq!(*object.read().await.unwrap(), b"to Bob");
    let nobody = store.open("to-bob", &Access::agent(&key, &required, &())).await;
    assert_eq!(nobody.map(drop), Err(Error::Sealer));
}

// ENV-39
async fn another_version_is_not_mixed_in(store: &Store, part_len: usize) {
    let len = part_len + 100_000;
    seal(store, "changing", &content(len), 500).await.unwrap();
    let (kek, required, context) = (kek(false), tenant("acme"), context());
    let access = Access::kms(&kek, &required);
    let before = store.open("changing", &access).await.unwrap();
    // A part of it was read before: a folder's file is open by then.
    let reading = store.open("changing", &access).await.unwrap();
    assert_eq!(*reading.read_range(70_000..70_001).await.unwrap(), content(len)[70_000..70_001]);
    let plan = Plan::new(&context).kms(&kek);
    let mut rng = SeededRng::new(501);
    store.reseal("changing", &access, &plan, NOW, &mut rng).await.unwrap();
    let changed = Err(StoreError::Changed.into());
    for object in [before, reading] {
        assert_eq!(object.read_range(70_000..70_001).await.map(drop), changed);
        assert_eq!(object.content().next().await.map(drop), changed);
    }
    assert!(read(store, "changing", &kek).await.unwrap() == content(len));
}

// ENV-42
async fn erased_objects_are_gone(store: &Store) {
    seal(store, "erased", b"secret", 600).await.unwrap();
    store.erase("erased").await.unwrap();
    assert_eq!(read(store, "erased", &kek(false)).await, Err(StoreError::NotFound.into()));
    assert_eq!(store.erase("erased").await, Err(StoreError::NotFound.into()));
    assert_eq!(store.orphans().await.unwrap(), Default::default());
}

// ENV-40
async fn rotation_and_resealing(store: &Store) {
    let rotated = kek(true);
    let names = store.names().await.unwrap();
    let dry = Rewrap::new(&rotated).dry();
    let dry = *store.rewrap_all(&dry, None, NOW, &mut ()).await.unwrap().counts();
    let run = Rewrap::new(&rotated).verified();
    let done = *store.rewrap_all(&run, None, NOW, &mut ()).await.unwrap().counts();
    assert_eq!(done, dry);
    assert!(done.is_exact());
    assert_eq!((done.scanned, done.excluded), (names.len() as u64, 1), "one is an agent's");
    assert_eq!(done.rewrapped, done.scanned - 1);
    let again = *store.rewrap_all(&run, None, NOW, &mut ()).await.unwrap().counts();
    assert_eq!((again.current, again.rewrapped), (done.rewrapped, 0));
    for name in names.iter().filter(|name| *name != "to-bob") {
        read(store, name, &rotated).await.unwrap();
    }

    let (required, context) = (tenant("acme"), Context::new([("tenant", "acme")]).unwrap());
    let (access, plan) = (Access::kms(&rotated, &required), Plan::new(&context).kms(&rotated));
    let mut rng = SeededRng::new(700);
    let resealed = store.reseal("lengths/70000", &access, &plan, NOW, &mut rng).await.unwrap();
    assert_ne!(resealed.from, resealed.to.object());
    assert!(read(store, "lengths/70000", &rotated).await.unwrap() == content(70_000));
    assert_eq!(store.orphans().await.unwrap(), Default::default());
    let census = store.census(NOW).await.unwrap();
    assert_eq!(census.records(), names.len() as u64);
}
