//! Objects in stores: memory and a folder, whole and failing.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

mod cache;
mod conformance;
mod faults;
mod keep;
mod moved;
mod probe;
mod ranges;
mod rewrap;
mod rotation;
#[path = "../api/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the formats")]
mod support;
mod tenants;
mod threads;
mod writer;

use std::sync::Arc;

use object_store::{ObjectStore, memory::InMemory};
use sealwire_core::Suite;
use sealwire_envelope::{
    Error, Pairs, Sealed,
    local::{LocalKek, LocalKeys},
    store::{Access, Plan, Progress, Rewrap, Store, Watch},
};
use sealwire_testkit::rng::SeededRng;

use support::{NOW, context, now_or_never, tenant};

type Kek = LocalKek<SeededRng>;

/// Keys with so many versions.
fn keys(versions: u64) -> Arc<LocalKeys> {
    let mut rng = SeededRng::new(77);
    let mut keys = LocalKeys::generate("test", &mut rng).unwrap();
    (1..versions).for_each(|_| drop(keys.rotate(&mut rng).unwrap()));
    Arc::new(keys)
}

fn kek(versions: u64) -> Kek {
    LocalKek::new(keys(versions), SeededRng::new(78))
}

fn memory() -> (Arc<InMemory>, Store) {
    let objects = Arc::new(InMemory::new());
    let store = Store::new(Arc::clone(&objects) as Arc<dyn ObjectStore>, "").unwrap();
    (objects, store)
}

/// Seals an object for tenant acme.
fn seal(store: &Store, name: &str, kek: &Kek, content: &[u8], seed: u64) -> Result<Sealed, Error> {
    let context = context();
    let plan = Plan::new(&context).kms(kek).suite(Suite::ChaChaPoly);
    now_or_never(store.seal(name, &plan, content, NOW, &mut SeededRng::new(seed)))
}

fn open_for(store: &Store, name: &str, kek: &Kek, required: &Pairs) -> Result<Vec<u8>, Error> {
    now_or_never(async {
        let object = store.open(name, &Access::kms(kek, required)).await?;
        Ok(object.read().await?.to_vec())
    })
}

fn open(store: &Store, name: &str, kek: &Kek) -> Result<Vec<u8>, Error> {
    open_for(store, name, kek, &tenant("acme"))
}

/// A run that nothing interrupts.
fn rewrap(
    store: &Store,
    run: &Rewrap<'_>,
    resume: Option<Progress>,
    watch: &mut dyn Watch,
) -> Result<Progress, Error> {
    now_or_never(store.rewrap_all(run, resume, NOW, watch))
}
