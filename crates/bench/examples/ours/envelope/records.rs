//! Many small things: ranges of one object, objects, key records.

use std::sync::Arc;

use object_store::memory::InMemory;
use sealwire::custody::system_rng;
use sealwire_bench::{
    Failure, KIB, Request, busy_rate, files,
    ranges::{OBJECT, RANGE, starts},
};
use sealwire_envelope::{
    kms::Kms,
    local::{LocalKek, LocalKeys},
    store::{Access, Plan, Rewrap, Store},
};

use super::{Owner, ready};
use crate::side::NOW;

/// So many objects are in a store, and key records are rewrapped in one run.
const COUNT: u32 = 10_000;

pub(super) fn measure(request: &Request) -> Result<f64, Failure> {
    match request.name.as_str() {
        "range" => ranges(request, &memory()?),
        "range, file" => {
            let root = request.folder.join("store");
            let rate = ranges(request, &Store::local(&root, "acme")?)?;
            files::remove(&root)?;
            Ok(rate)
        }
        "many" => many(request),
        "rewrap" => rewrap(request),
        _ => Err(request.unknown()),
    }
}

fn memory() -> Result<Store, Failure> {
    Ok(Store::new(Arc::new(InMemory::new()), "acme")?)
}

/// Ranges of an object that was opened before.
fn ranges(request: &Request, store: &Store) -> Result<f64, Failure> {
    let owner = Owner::new()?;
    let plan = Plan::new(&owner.context).kms(&*owner.kek);
    ready(store.seal("object", &plan, &vec![0xA5; OBJECT], NOW, &mut system_rng()))?;
    let object = ready(store.open("object", &Access::kms(&*owner.kek, &owner.required)))?;
    let mut starts = starts();
    busy_rate(request.time, || {
        let start = u64::try_from(starts.next().ok_or("no end")?)?;
        let end = start.saturating_add(RANGE as u64);
        let content = ready(object.read_range(start..end))?;
        if content.len() == RANGE { Ok(content) } else { Err("a range that was cut".into()) }
    })
}

/// Objects of 1 KiB.
fn many(request: &Request) -> Result<f64, Failure> {
    let owner = Owner::new()?;
    let plan = Plan::new(&owner.context).kms(&*owner.kek);
    let content = [0xA5; KIB];
    let (mut store, mut count) = (memory()?, 0_u32);
    busy_rate(request.time, || {
        if count == COUNT {
            // Memory ends somewhere.
            (store, count) = (memory()?, 0);
        }
        count += 1;
        ready(store.seal(&count.to_string(), &plan, &content, NOW, &mut system_rng()))
    })
}

/// Key records, each brought from the version before to the newest one.
fn rewrap(request: &Request) -> Result<f64, Failure> {
    let owner = Owner::new()?;
    let store = memory()?;
    let mut keys = LocalKeys::generate("rewrap", &mut system_rng())?;
    // What was written last and is read back is what a run finds: keys in a file.
    let copy = |keys: &LocalKeys| -> Result<Box<dyn Kms>, Failure> {
        let keys = Arc::new(LocalKeys::from_bytes(&keys.to_bytes())?);
        Ok(Box::new(LocalKek::new(keys, system_rng())))
    };
    let kek = copy(&keys)?;
    let plan = Plan::new(&owner.context).kms(&*kek);
    for number in 0..COUNT {
        ready(store.seal(&number.to_string(), &plan, b"all is well", NOW, &mut system_rng()))?;
    }
    let runs = busy_rate(request.time, || {
        let before = keys.versions()?;
        keys.rotate(&mut system_rng())?;
        let kek = copy(&keys)?;
        let done = ready(store.rewrap_all(&Rewrap::new(&*kek), None, NOW, &mut ()))?;
        // Nothing is left of the version before.
        before.iter().try_for_each(|version| keys.remove(version))?;
        let all = done.counts().rewrapped == u64::from(COUNT);
        if all { Ok(()) } else { Err("a record that was not rewrapped".into()) }
    })?;
    Ok(runs * f64::from(COUNT))
}
