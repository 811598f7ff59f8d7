//! Opening without asking the key service again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use object_store::{ObjectStoreExt, path::Path};
use sealwire_core::{
    KeyStore, MemoryKeyStore, Suite, Timestamp, kdf, keys::VerifyingKey, label::Label,
    secret::Secret,
};
use sealwire_envelope::{
    Cache, Context, Dek, Error, Head, KeyRecord, Pairs, Sealers, WrapBinding,
    kms::{KeyRef, KeyVersion, Kms, KmsError, Pending, Wrapped},
    local::LocalKeys,
    store::{Access, Plan, Rewrap, Store, StoreError},
};
use sealwire_testkit::{
    memory::{self as search, Child, Drawn, Notes},
    rng::SeededRng,
};

use crate::{
    Kek, kek, memory, rewrap, seal,
    support::{NOW, content, context, now_or_never, tenant},
};

const TTL: Duration = Duration::from_secs(300);

/// A key service that counts how often it unwraps.
#[derive(Debug)]
struct Counting {
    kek: Kek,
    asked: AtomicUsize,
    public: bool,
}

impl Counting {
    fn new(kek: Kek) -> Self {
        Self { kek, asked: AtomicUsize::new(0), public: false }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Kms for Counting {
    fn key(&self) -> &KeyRef {
        self.kek.key()
    }

    fn is_public_key(&self) -> bool {
        self.public
    }

    fn version(&self) -> Pending<'_, KeyVersion> {
        self.kek.version()
    }

    fn wrap<'a>(&'a self, dek: &'a Dek, binding: &'a WrapBinding) -> Pending<'a, Wrapped> {
        self.kek.wrap(dek, binding)
    }

    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, binding: &'a WrapBinding) -> Pending<'a, Dek> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.kek.unwrap(wrapped, binding)
    }

    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
        self.kek.rewrap(wraps)
    }
}

fn open_at(
    store: &Store,
    name: &str,
    kms: &dyn Kms,
    required: &Pairs,
    cache: &Cache,
    now: Timestamp,
) -> Result<Vec<u8>, Error> {
    let access = Access::kms(kms, required).cached(cache, now);
    now_or_never(async { Ok(store.open(name, &access).await?.read().await?.to_vec()) })
}

// ENV-45
#[test]
fn an_object_that_was_opened_opens_again_without_the_service() {
    let (_, store) = memory();
    let (kms, cache, acme) = (Counting::new(kek(1)), Cache::new(10, TTL), tenant("acme"));
    seal(&store, "a", &kek(1), &content(100_000), 1).unwrap();
    seal(&store, "b", &kek(1), b"b", 2).unwrap();
    for _ in 0..3 {
        assert!(open_at(&store, "a", &kms, &acme, &cache, NOW).unwrap() == content(100_000));
        assert_eq!(open_at(&store, "b", &kms, &acme, &cache, NOW).unwrap(), b"b");
    }
    assert_eq!((kms.asked(), cache.len()), (2, 2));
    cache.clear();
    assert_eq!(open_at(&store, "b", &kms, &acme, &cache, NOW).unwrap(), b"b");
    assert_eq!((kms.asked(), cache.len()), (3, 1));
}

// attack T40
// ENV-45
#[test]
fn what_is_kept_opens_nothing_for_another_tenant_or_key() {
    let (_, store) = memory();
    let (kms, cache, acme) = (Counting::new(kek(1)), Cache::new(10, TTL), tenant("acme"));
    let other = LocalKeys::generate("other", &mut SeededRng::new(5)).unwrap();
    let other = Counting::new(Kek::new(other.into(), SeededRng::new(6)));
    let (context, wrapping) = (context(), kek(1));
    let plan = Plan::new(&context).kms(&wrapping).kms(&other);
    now_or_never(store.seal("a", &plan, b"a", NOW, &mut SeededRng::new(1))).unwrap();
    open_at(&store, "a", &kms, &acme, &cache, NOW).unwrap();
    for wrong in [
        tenant("evil"),
        Pairs::new([]).unwrap(),
        Pairs::new([("tenant", "acme"), ("case", "1")]).unwrap(),
    ] {
        let refused = open_at(&store, "a", &kms, &wrong, &cache, NOW);
        assert_eq!(refused, Err(Error::Open), "{wrong:?}");
    }
    assert_eq!(open_at(&store, "a", &other, &acme, &cache, NOW).unwrap(), b"a");
    assert_eq!((other.asked(), cache.len()), (1, 2));
    let third = LocalKeys::generate("third", &mut SeededRng::new(7)).unwrap();
    let third = Kek::new(third.into(), SeededRng::new(8));
    assert_eq!(open_at(&store, "a", &third, &acme, &cache, NOW), Err(Error::NoSlot));
}

// ENV-45
#[test]
fn what_is_kept_opens_nothing_that_was_erased_or_by_a_record_that_was_changed() {
    let (objects, store) = memory();
    let (kms, cache, acme) = (Counting::new(kek(2)), Cache::new(10, TTL), tenant("acme"));
    let sealed = seal(&store, "a", &kek(1), b"a", 1).unwrap();
    let record = Path::from(KeyRecord::name(sealed.object()));
    let bytes = now_or_never(async { objects.get(&record).await?.bytes().await }).unwrap();
    open_at(&store, "a", &kms, &acme, &cache, NOW).unwrap();
    rewrap(&store, &Rewrap::new(&kek(2)), None, &mut ()).unwrap();
    assert_eq!(open_at(&store, "a", &kms, &acme, &cache, NOW).unwrap(), b"a");
    assert_eq!(kms.asked(), 2, "the record is another one");

    // The time of the slot's last wrap.
    let mut changed = bytes.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    now_or_never(objects.put(&record, changed.into())).unwrap();
    assert_eq!(open_at(&store, "a", &kms, &acme, &cache, NOW).unwrap(), b"a");
    assert_eq!(kms.asked(), 3, "so is this one");
    now_or_never(objects.put(&record, bytes.to_vec().into())).unwrap();
    assert_eq!(open_at(&store, "a", &kms, &acme, &cache, NOW).unwrap(), b"a");
    assert_eq!(kms.asked(), 3, "and this one was opened before");

    now_or_never(objects.copy(&Path::from("a"), &Path::from("copy"))).unwrap();
    now_or_never(store.erase("a")).unwrap();
    let (gone, erased) = (StoreError::NotFound, StoreError::Erased);
    assert_eq!(open_at(&store, "a", &kms, &acme, &cache, NOW), Err(gone.into()));
    assert_eq!(open_at(&store, "copy", &kms, &acme, &cache, NOW), Err(erased.into()));
}

struct Accepted(VerifyingKey);

impl Sealers for Accepted {
    fn key(&self, _: &[u8], _: &[u8; 32]) -> Option<VerifyingKey> {
        Some(self.0.clone())
    }
}

// ENV-24, ENV-45
#[test]
fn a_sealer_that_is_no_longer_accepted_is_refused_whatever_is_kept() {
    let (_, store) = memory();
    let mut kms = Counting::new(kek(1));
    kms.public = true;
    let alice = MemoryKeyStore::generate(&mut SeededRng::new(1)).unwrap();
    let (context, cache, acme) = (context(), Cache::new(10, TTL), tenant("acme"));
    let plan = Plan::new(&context).kms(&kms).signed_by(&alice, b"alice", &[5; 32]);
    now_or_never(store.seal("a", &plan, b"a", NOW, &mut SeededRng::new(1))).unwrap();
    let accepted = Accepted(alice.identity().clone());
    let access = Access::kms(&kms, &acme).cached(&cache, NOW);
    now_or_never(store.open("a", &access.sealers(&accepted))).unwrap();
    now_or_never(store.open("a", &access.sealers(&accepted))).unwrap();
    let refused = now_or_never(store.open("a", &access));
    assert_eq!((refused.map(drop), kms.asked()), (Err(Error::Sealer), 1));
}

// ENV-45
#[test]
fn what_is_kept_is_forgotten_in_time() {
    let (_, store) = memory();
    let (kms, acme) = (Counting::new(kek(1)), tenant("acme"));
    seal(&store, "a", &kek(1), b"a", 1).unwrap();
    let cache = Cache::new(10, TTL);
    let ttl = TTL.as_secs();
    let (early, late) = (Timestamp::from_secs(NOW.as_secs() - 1), NOW.plus(ttl));
    for (now, asked) in [(NOW, 1), (NOW.plus(ttl - 1), 1), (early, 2), (late, 3), (late, 3)] {
        open_at(&store, "a", &kms, &acme, &cache, now).unwrap();
        assert_eq!(kms.asked(), asked, "{now:?}");
    }
    cache.expire(late.plus(ttl));
    assert!(cache.is_empty());
    open_at(&store, "a", &kms, &acme, &cache, late).unwrap();
    cache.expire(early);
    assert!(cache.is_empty(), "a clock that was set back far");
    for none in [Cache::new(0, TTL), Cache::new(10, Duration::ZERO)] {
        open_at(&store, "a", &kms, &acme, &none, NOW).unwrap();
        assert!(none.is_empty());
    }
}

// ENV-45
#[test]
fn a_cache_holds_what_was_used_last_and_no_more_than_it_may() {
    let (_, store) = memory();
    let (kms, cache, acme) = (Counting::new(kek(1)), Cache::new(2, TTL), tenant("acme"));
    for (seed, name) in (1..).zip(["a", "b", "c"]) {
        seal(&store, name, &kek(1), name.as_bytes(), seed).unwrap();
    }
    for (name, asked) in [("a", 1), ("b", 2), ("a", 2), ("c", 3), ("a", 3), ("b", 4), ("c", 5)] {
        open_at(&store, name, &kms, &acme, &cache, NOW).unwrap();
        assert_eq!(kms.asked(), asked, "{name}");
        assert!(cache.len() <= 2);
    }
    assert_eq!(format!("{cache:?}"), "Cache { most: 2, ttl: 300, .. }");
}

#[test]
fn a_cache_serves_many_threads() {
    let (_, store) = memory();
    let (kms, cache, acme) = (Counting::new(kek(1)), Cache::new(3, TTL), tenant("acme"));
    for seed in 0..6 {
        seal(&store, &seed.to_string(), &kek(1), seed.to_string().as_bytes(), seed).unwrap();
    }
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, kms, cache, acme) = (&store, &kms, &cache, &acme);
            scope.spawn(move || {
                for round in 0..60 {
                    let name = ((thread + round / 7) % 6).to_string();
                    let opened = open_at(store, &name, kms, acme, cache, NOW).unwrap();
                    assert_eq!(opened, name.as_bytes());
                    assert!(cache.len() <= 3);
                }
            });
        }
    });
    assert!(kms.asked() < 4 * 60, "{} of 240", kms.asked());
}

/// Seeds of what is drawn: the key that wraps, and the object.
const WRAPPING: u64 = 1;
const OBJECT: u64 = 2;

fn drawn_kek() -> Kek {
    let keys = LocalKeys::generate("drawn", &mut Drawn::new(WRAPPING)).unwrap();
    Kek::new(Arc::new(keys), SeededRng::new(1))
}

/// The child of the search.
#[test]
fn child() {
    let Some(path) = search::argument() else { return };
    let store = Store::local(path.as_ref(), "").unwrap();
    let (kek, cache, acme) = (drawn_kek(), Cache::new(1, TTL), tenant("acme"));
    let open = |name| {
        drop(
            now_or_never(store.open(name, &Access::kms(&kek, &acme).cached(&cache, NOW))).unwrap(),
        );
    };
    open("a");
    search::stop("kept");
    open("b");
    search::stop("evicted");
    open("a");
    search::stop("kept again");
    cache.expire(NOW.plus(TTL.as_secs()));
    search::stop("expired");
}

/// What opens the object of the generator `OBJECT`, by ENV-5 to ENV-7: its data key, and the key
/// of its stream.
fn keys_of(folder: &std::path::Path) -> (Vec<u8>, Vec<u8>) {
    let body = std::fs::read(folder.join("a")).unwrap();
    let (head, _) = Head::split(&body).unwrap();
    let (header, required) = (head.header(), tenant("acme").to_bytes());
    let ctx = Label::ENVELOPE_BODY.context(Some(header.suite()), &[header.as_bytes(), &required]);
    let mut rng = Drawn::new(OBJECT);
    let (mut id, mut dek) = ([0; 16], [0; 32]);
    rand_core::TryRng::try_fill_bytes(&mut rng, &mut id).unwrap();
    rand_core::TryRng::try_fill_bytes(&mut rng, &mut dek).unwrap();
    assert_eq!(head.header().object().as_bytes(), &id);
    let info = [
        &b"c2sp.org/chunked-encryption@v1+AEAD_CHACHA20_POLY1305\0"[..],
        head.salt(),
        ctx.unwrap().as_bytes(),
    ]
    .concat();
    let output: Secret<76> = kdf::expand_sha512(&Secret::from_slice(&dek).unwrap(), &[&info]);
    let (key, rest) = output.expose().split_at(32);
    assert_eq!(&rest[12..], head.commitment());
    (dek.to_vec(), key.to_vec())
}

// attack T35
#[cfg(target_os = "linux")]
#[test]
fn what_is_evicted_or_expired_is_wiped() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::local(folder.path(), "").unwrap();
    let (kek, context) = (drawn_kek(), Context::new([("tenant", "acme")]).unwrap());
    let plan = Plan::new(&context).kms(&kek).suite(Suite::ChaChaPoly);
    now_or_never(store.seal("a", &plan, b"a", NOW, &mut Drawn::new(OBJECT))).unwrap();
    now_or_never(store.seal("b", &plan, b"b", NOW, &mut SeededRng::new(9))).unwrap();
    let (dek, key) = keys_of(folder.path());
    let mut notes = Notes::default();
    notes.add("data key", &dek);
    notes.add("key of the stream", &key);
    let mut child = Child::start("cache::child", folder.path().to_str().unwrap());
    let names = |child: &Child| child.search(&notes).into_keys().collect::<Vec<_>>();
    assert_eq!(child.at("kept", names), ["key of the stream"]);
    assert_eq!(child.at("evicted", names), [""; 0]);
    assert_eq!(child.at("kept again", names), ["key of the stream"]);
    assert_eq!(child.at("expired", names), [""; 0]);
    child.end();
}
