//! What one tenant is told does not depend on the others.

use std::sync::Arc;

use object_store::memory::InMemory;
use proptest::prelude::*;
use sealwire_core::Timestamp;
use sealwire_envelope::{
    Context, Error,
    store::{Access, Plan, Rewrap, Store},
};
use sealwire_testkit::rng::SeededRng;

use crate::{
    kek,
    probe::Probe,
    support::{NOW, now_or_never, tenant},
};

const TENANTS: [&str; 3] = ["acme", "acme2", "evil"];
const NAMES: [&str; 3] = ["a", "b/c", "acme/a"];

#[derive(Clone, Copy, Debug)]
enum Operation {
    Seal(usize, usize),
    Open(usize),
    Range(usize),
    List,
    Census,
    Rewrap,
    Sweep,
    Reseal(usize),
    Erase(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (name.clone(), 0_usize..3_000).prop_map(|(name, len)| Operation::Seal(name, len)),
        2 => name.clone().prop_map(Operation::Open),
        1 => name.clone().prop_map(Operation::Range),
        1 => Just(Operation::List),
        1 => Just(Operation::Census),
        1 => Just(Operation::Rewrap),
        1 => Just(Operation::Sweep),
        1 => name.clone().prop_map(Operation::Reseal),
        1 => name.prop_map(Operation::Erase),
    ]
}

/// One tenant of a store, with a generator and a key of its own.
struct Tenant {
    name: &'static str,
    probe: Probe,
    store: Store,
    rng: SeededRng,
    rotated: bool,
}

impl Tenant {
    fn new(probe: &Probe, name: &'static str, seed: u64) -> Self {
        let store = Store::new(Arc::new(probe.clone()), name).unwrap();
        Self { name, probe: probe.clone(), store, rng: SeededRng::new(seed), rotated: false }
    }

    /// Does it, and gives all that the tenant can see of it: the answer or the text of the error,
    /// and each request.
    fn act(&mut self, operation: Operation) -> (String, Vec<String>) {
        self.probe.take_log();
        let answer = now_or_never(self.answer(operation));
        let log = self.probe.take_log();
        (answer.unwrap_or_else(|error| format!("{error} {error:?}")), log)
    }

    async fn answer(&mut self, operation: Operation) -> Result<String, Error> {
        let Self { name: own, store, rng, rotated, .. } = self;
        let kek = kek(if *rotated { 2 } else { 1 });
        let context = Context::new([("tenant", *own)])?;
        let (plan, required) = (Plan::new(&context).kms(&kek), tenant(own));
        let access = Access::kms(&kek, &required);
        match operation {
            Operation::Seal(name, len) => {
                let content = own.repeat(len);
                let sealed = store.seal(NAMES[name], &plan, content.as_bytes(), NOW, rng).await?;
                Ok(format!("{sealed:?}"))
            }
            Operation::Open(name) => {
                let content = store.open(NAMES[name], &access).await?.read().await?;
                // What it reads is what it wrote, whoever else wrote to this name.
                let text = String::from_utf8(content.to_vec()).unwrap();
                assert_eq!(text, own.repeat(text.len() / own.len()));
                Ok(text)
            }
            Operation::Range(name) => {
                let object = store.open(NAMES[name], &access).await?;
                Ok(format!("{:?}", object.read_range(1..30).await?))
            }
            Operation::List => Ok(format!("{:?}", store.names().await?)),
            Operation::Census => Ok(format!("{:?}", store.census(NOW).await?)),
            Operation::Rewrap => {
                *rotated = true;
                let kek = crate::kek(2);
                let run = Rewrap::new(&kek);
                Ok(format!("{:?}", store.rewrap_all(&run, None, NOW, &mut ()).await?))
            }
            Operation::Sweep => {
                let later = Timestamp::from_secs(u64::MAX / 2);
                Ok(format!("{:?}", store.sweep(core::time::Duration::ZERO, later).await?))
            }
            Operation::Reseal(name) => {
                let resealed = store.reseal(NAMES[name], &access, &plan, NOW, rng).await?;
                Ok(format!("{resealed:?}"))
            }
            Operation::Erase(name) => Ok(format!("{:?}", store.erase(NAMES[name]).await?)),
        }
    }
}

fn probe() -> Probe {
    Probe::new(Arc::new(InMemory::new()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    // attack T40
    // ENV-43
    #[test]
    fn a_tenant_sees_the_same_with_others_and_without(
        operations in proptest::collection::vec((0..TENANTS.len(), operation()), 1..30),
    ) {
        let shared = probe();
        let mut together: Vec<Tenant> =
            (0..3).map(|n| Tenant::new(&shared, TENANTS[n], n as u64)).collect();
        let mut alone: Vec<Tenant> =
            (0..3).map(|n| Tenant::new(&probe(), TENANTS[n], n as u64)).collect();
        for (who, operation) in operations {
            let seen = together[who].act(operation);
            prop_assert_eq!(&seen, &alone[who].act(operation), "{} {:?}", TENANTS[who], operation);
            let own = format!("{}/", TENANTS[who]);
            for request in &seen.1 {
                let path = request.split_once(' ').map_or("", |(_, path)| path);
                prop_assert!(path == TENANTS[who] || path.starts_with(&own), "{}", request);
            }
        }
    }
}

// attack T40
#[test]
fn an_object_in_the_folder_of_another_tenant_does_not_open() {
    use object_store::{ObjectStoreExt, path::Path};

    let objects = Arc::new(InMemory::new());
    let of = |name| Store::new(Arc::clone(&objects) as Arc<dyn object_store::ObjectStore>, name);
    let (acme, evil) = (of("acme").unwrap(), of("evil").unwrap());
    crate::seal(&acme, "a", &kek(1), b"of acme", 1).unwrap();
    // Whoever can write to the store copies all of it; the key service serves both.
    let all: Vec<_> = now_or_never(futures_util::StreamExt::collect::<Vec<_>>(
        object_store::ObjectStore::list(&*objects, None),
    ));
    for meta in all {
        let from = meta.unwrap().location;
        let to = Path::from(from.as_ref().replacen("acme", "evil", 1));
        now_or_never(objects.copy(&from, &to)).unwrap();
    }
    let opened = crate::open_for(&evil, "a", &kek(1), &tenant("evil"));
    assert_eq!(opened, Err(Error::Open));
}
