//! A folder on whose disk nothing more can be written: a child process may write no byte into any
//! file, and seals, rewraps and reseals there.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that fails panics")]

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use sealwire_envelope::{
    local::{LocalKek, LocalKeys},
    store::{Access, Plan, Rewrap, Store},
};
use sealwire_testkit::rng::SeededRng;
use support::{NOW, content, context, now_or_never, tenant};

#[path = "api/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the formats")]
mod support;

/// The folder, in the environment of a child.
const VARIABLE: &str = "SEALWIRE_FULL_DISK";
const OBJECTS: u64 = 3;

fn kek(versions: u64) -> LocalKek<SeededRng> {
    let mut rng = SeededRng::new(77);
    let mut keys = LocalKeys::generate("test", &mut rng).unwrap();
    (1..versions).for_each(|_| drop(keys.rotate(&mut rng).unwrap()));
    LocalKek::new(Arc::new(keys), SeededRng::new(78))
}

/// The child.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(VARIABLE) else { return };
    let store = Store::local(Path::new(&folder), "t").unwrap();
    let (kek, context, required) = (kek(2), context(), tenant("acme"));
    let (plan, access) = (Plan::new(&context).kms(&kek), Access::kms(&kek, &required));
    let mut rng = SeededRng::new(9);
    for len in [0, 100, 100_000] {
        let sealed = now_or_never(store.seal("new", &plan, &content(len), NOW, &mut rng));
        println!("sealed: {}", sealed.unwrap_err());
    }
    let resealed = now_or_never(store.reseal("0", &access, &plan, NOW, &mut rng));
    println!("resealed: {}", resealed.unwrap_err());
    let done = now_or_never(store.rewrap_all(&Rewrap::new(&kek), None, NOW, &mut ())).unwrap();
    let counts = done.counts();
    assert!(counts.is_exact());
    assert_eq!((counts.failed, counts.scanned), (OBJECTS, OBJECTS));
    println!("rewrapped: {} failed", counts.failed);
}

// attack T27
// ENV-37, ENV-38, ENV-40
#[test]
fn a_full_disk_loses_nothing_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::local(folder.path(), "t").unwrap();
    let (old, newest, context, required) = (kek(1), kek(2), context(), tenant("acme"));
    let plan = Plan::new(&context).kms(&old);
    for n in 0..OBJECTS {
        let name = n.to_string();
        let rng = &mut SeededRng::new(n);
        now_or_never(store.seal(&name, &plan, name.as_bytes(), NOW, rng)).unwrap();
    }

    // A write beyond a limit of nothing fails, once the signal for it is ignored.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" child --exact --nocapture"]);
    limited.arg(std::env::current_exe().unwrap()).env(VARIABLE, folder.path());
    let ended = limited.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    let failures = said.lines().filter(|line| line.contains("the store failed")).count();
    assert_eq!(failures, 4, "{said}");
    assert!(said.contains("rewrapped: 3 failed"), "{said}");

    // All that was there is there, nothing else is, and the rest can be done.
    let all_open = || {
        for n in 0..OBJECTS {
            let name = n.to_string();
            let access = Access::kms(&newest, &required);
            let object = now_or_never(store.open(&name, &access)).unwrap();
            assert_eq!(*now_or_never(object.read()).unwrap(), name.as_bytes());
        }
    };
    all_open();
    let names = now_or_never(store.names()).unwrap();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!(now_or_never(store.orphans()).unwrap(), Default::default());
    let run = Rewrap::new(&newest);
    let done = now_or_never(store.rewrap_all(&run, None, NOW, &mut ())).unwrap();
    assert_eq!(done.counts().rewrapped, OBJECTS);
    all_open();
}
