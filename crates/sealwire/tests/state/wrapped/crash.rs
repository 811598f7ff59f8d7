//! A process that is killed, or whose disk fails, at each system call of a change of hands.
//!
//! Runs only with `SEALWIRE_STRACE`, as the other tests with strace do.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use sealwire::store::{FileAnchor, Options};

use super::{CHANGES, GUARDS, Guard, change, check, fill, open};
use crate::crash::{CALLS, MOST_CALLS, enabled, inject};

const DIRECTORY: &str = "SEALWIRE_TEST_CHANGE";

fn options(home: &Path) -> Options {
    let anchor = FileAnchor::new(home.join("elsewhere/anchor"), &home.join("state"));
    Options::new().anchor(Arc::new(anchor.expect("outside")))
}

/// The process that is killed. Does nothing when no test has started it.
#[tokio::test]
async fn child() {
    let Some(home) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let number: usize = env::var("SEALWIRE_TEST_NUMBER").expect("set").parse().expect("a number");
    match change(&home.join("state"), CHANGES[number], options(&home)).await {
        Ok(()) => println!("changed"),
        Err(error) => println!("failed: {error}"),
    }
}

/// Which guard opens what is left. One does, and all rows are there.
async fn survives(home: &Path, what: &str) -> Guard {
    let mut opened = Vec::new();
    for guard in GUARDS {
        if let Ok(store) = open(&home.join("state"), guard, options(home)).await {
            check(&store);
            opened.push(guard);
        }
    }
    assert_eq!(opened.len(), 1, "{what}: {opened:?}");
    assert!(!home.join("state/state.key.next").exists(), "{what}");
    opened[0]
}

/// Has each system call of this kind meet this fate in turn, until there is none any more.
async fn interrupt(
    number: usize,
    calls: &str,
    fate: &str,
    ends: &mut BTreeMap<(String, String), u32>,
) {
    let (from, to) = CHANGES[number];
    for when in 1..=MOST_CALLS {
        let home = tempfile::tempdir().expect("directory");
        fill(&home.path().join("state"), from, options(home.path())).await;
        let fault = format!("{calls}:{fate}:when={when}");
        let child = ("wrapped::crash::child", DIRECTORY);
        let output = inject(home.path(), &fault, child, &number.to_string());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let what = format!("{from:?} to {to:?}, {fault}: {said}");
        assert!(!said.contains("panicked"), "{what}");
        let end = survives(home.path(), &what).await;
        assert!(end == from || end == to, "{what}: {end:?}");
        // What was said to be done is done.
        assert!(end == to || !said.contains("changed"), "{what}");
        *ends.entry((fate.to_owned(), format!("{end:?}"))).or_insert(0) += 1;
        if output.status.success() && !said.contains("failed: ") {
            return;
        }
    }
    assert_eq!(calls, "", "there are more");
}

// attack T2, T28
// STA-23
#[tokio::test]
async fn a_process_killed_while_a_state_changes_hands_leaves_it_with_one_of_the_two() {
    if !enabled() {
        return;
    }
    for (number, (from, to)) in CHANGES.into_iter().enumerate().take(3) {
        let mut ends = BTreeMap::new();
        // What is wrong with opening a file is not of a change alone.
        for calls in CALLS.into_iter().filter(|calls| *calls != "openat") {
            for fate in ["signal=SIGKILL", "error=EIO", "error=ENOSPC"] {
                interrupt(number, calls, fate, &mut ends).await;
            }
        }
        println!("{from:?} to {to:?}: {ends:?}");
        for end in [from, to] {
            let killed = ("signal=SIGKILL".to_owned(), format!("{end:?}"));
            assert!(ends.contains_key(&killed), "{ends:?}");
        }
    }
}
