//! A process that is killed, or whose disk fails, at each system call of its commits.
//!
//! Runs only with `SEALWIRE_STRACE`, for strace is not everywhere: `1` for every second call
//! where a disk fails, `all` for each of them. A process is killed at each of them either way.
#![expect(clippy::panic, reason = "a failing test fails")]

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Once},
};

use sealwire::{
    Effects,
    store::{Error, FileAnchor, Options, Range, SqliteStore, Store, Table},
};

use crate::common::{get, key, state_key, value};

const DIRECTORY: &str = "SEALWIRE_TEST_CRASH";
/// The commits of the process that is killed.
const COMMITS: u32 = 3;
/// More system calls of one kind than it makes.
pub(crate) const MOST_CALLS: usize = 120;

/// Whether the tests of this file were asked for. Says so once when they were not, to stderr
/// itself: what a test prints is shown only when it fails.
pub(crate) fn enabled() -> bool {
    static SAY: Once = Once::new();
    let enabled =
        env::var_os("SEALWIRE_STRACE").is_some_and(|value| value == "1" || value == "all");
    if !enabled {
        let enable = "SEALWIRE_STRACE=1 cargo test -p sealwire --test state crash";
        SAY.call_once(|| drop(writeln!(io::stderr(), "skipped; with strace: {enable}")));
    }
    enabled
}

fn open(home: &Path) -> Result<SqliteStore, Error> {
    let state = home.join("state");
    let anchor = Arc::new(FileAnchor::new(home.join("elsewhere/anchor"), &state)?);
    SqliteStore::open_with_key(&state, &state_key(1), Options::new().anchor(anchor))
}

/// One step of an agent: the session moves on, and a message goes out.
fn step(number: u32) -> Effects {
    let mut effects = Effects::new();
    // Longer than a page, so that a commit is many writes.
    let mut session = vec![7; 20_000];
    session.extend(number.to_be_bytes());
    effects.put(Table::Session, key("near"), value(&session)).expect("short");
    effects.send(key(number.to_be_bytes()), value(number.to_be_bytes())).expect("short");
    effects.put(Table::Session, key("far"), value(&session)).expect("short");
    effects
}

/// The process that is killed. Does nothing when no test has started it.
#[test]
fn child() {
    let Some(home) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let store = match open(&home) {
        Ok(store) => store,
        Err(error) => return println!("not opened: {error}"),
    };
    let (next, _) = newest(&store);
    let mut number = next;
    let mut failures = 0;
    while number < next + COMMITS && failures < 3 {
        match store.commit(step(number)) {
            Ok(committed) => {
                let (outgoing, _) = committed.into_parts();
                // The wire: what stands here has left.
                println!("sent {number} {:?}", outgoing[0].bytes());
                number += 1;
            }
            Err(error) => {
                println!("failed: {error}");
                failures += 1;
            }
        }
    }
}

/// How many steps the state has had, and how many sessions say so.
fn newest(store: &SqliteStore) -> (u32, Vec<u32>) {
    let number = |name| {
        let session = get(store, Table::Session, name)?;
        Some(u32::from_be_bytes(*session.last_chunk()?) + 1)
    };
    let sessions: Vec<u32> = ["near", "far"].into_iter().filter_map(number).collect();
    (sessions.first().copied().unwrap_or_default(), sessions)
}

/// Runs the process on `home` under strace, with this fault: a test, which finds in `variable`
/// where it is to work and in another one what.
pub(crate) fn inject(
    home: &Path,
    fault: &str,
    (test, variable): (&str, &str),
    argument: &str,
) -> Output {
    let (calls, _) = fault.split_once(':').expect("system calls and what befalls them");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={fault}"), "--"]);
    strace.arg(env::current_exe().expect("this test"));
    strace.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    strace.env(variable, home).env("SEALWIRE_TEST_NUMBER", argument);
    strace.env_remove("SEALWIRE_STRACE").stdin(Stdio::null());
    strace.output().expect("strace runs; it is in the Debian package of that name")
}

const CHILD: (&str, &str) = ("crash::child", DIRECTORY);

/// The number of the last step whose message has left.
fn last_sent(output: &Output) -> Option<u32> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let sent = said.lines().filter_map(|line| line.split_once("sent ")?.1.split(' ').next());
    sent.filter_map(|number| number.parse().ok()).max()
}

/// Opens what is left and checks it: the state of a whole step, none older than what was sent.
fn survives(home: &Path, sent: Option<u32>, what: &str) -> u32 {
    let store = open(home).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (steps, sessions) = newest(&store);
    assert!(sessions.len() != 1 && sessions.iter().all(|of| *of == steps), "mixed: {what}");
    assert!(steps >= sent.map_or(0, |sent| sent + 1), "older than what was sent: {what}");
    let outbox = store.scan(Table::Outbox, Range::all()).expect("reads");
    let numbers: Vec<u32> = outbox
        .iter()
        .map(|row| u32::from_be_bytes(row.value.as_slice().try_into().expect("4 bytes")))
        .collect();
    assert_eq!(numbers, (0..steps).collect::<Vec<_>>(), "{what}");
    store.commit(step(steps)).map(drop).unwrap_or_else(|error| panic!("{what}: {error}"));
    steps
}

pub(crate) const CALLS: [&str; 7] = [
    "write,pwrite64",
    "fsync,fdatasync",
    "ftruncate",
    "rename,renameat,renameat2",
    "unlink,unlinkat",
    "fchmod",
    "openat",
];

// attack T2
// STA-1, STA-13, STA-14
#[test]
fn a_process_killed_while_it_commits_leaves_whole_steps() {
    if !enabled() {
        return;
    }
    let mut ends = std::collections::BTreeMap::new();
    for calls in CALLS {
        for when in 1..=MOST_CALLS {
            let home = tempfile::tempdir().expect("directory");
            let store = open(home.path()).expect("made");
            store.commit(step(0)).map(drop).expect("stored");
            drop(store);
            let what = format!("{calls}:signal=SIGKILL:when={when}");
            let output = inject(home.path(), &what, CHILD, "");
            if output.status.success() {
                break;
            }
            assert!(when < MOST_CALLS, "{calls}: there are more");
            let steps = survives(home.path(), last_sent(&output).or(Some(0)), &what);
            *ends.entry(steps).or_insert(0) += 1;
        }
    }
    println!("killed, by the steps that were there: {ends:?}");
    assert!((1..=COMMITS + 1).all(|steps| ends.contains_key(&steps)), "{ends:?}");
}

// attack T3
// STA-16
#[test]
fn what_a_killed_process_wrote_is_flushed_before_the_anchor_follows_it() {
    if !enabled() {
        return;
    }
    let home = tempfile::tempdir().expect("directory");
    let store = open(home.path()).expect("made");
    store.commit(step(0)).map(drop).expect("stored");
    drop(store);
    let before_the_anchor = "rename,renameat,renameat2:signal=SIGKILL:when=1";
    assert!(!inject(home.path(), before_the_anchor, CHILD, "").status.success());

    let trace = home.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2", "-o"]);
    strace.arg(&trace).arg("--").arg(env::current_exe().expect("this test"));
    strace.args([CHILD.0, "--exact", "--nocapture", "--test-threads=1"]);
    strace.env(CHILD.1, home.path()).env_remove("SEALWIRE_STRACE").stdin(Stdio::null());
    assert!(strace.status().expect("strace runs").success());
    let trace = std::fs::read_to_string(trace).expect("a trace");
    let first = |names: [&str; 2]| {
        trace.lines().position(|line| names.iter().all(|name| line.contains(name)))
    };
    let (flushed, moved) = (first(["sync(", "state.db-wal>"]), first(["rename", "anchor"]));
    assert!(flushed.is_some() && moved.is_some() && flushed < moved, "{trace}");
}

// attack T28
// STA-8
#[test]
fn a_process_killed_while_it_makes_a_state_leaves_none_or_a_whole_one() {
    if !enabled() {
        return;
    }
    let mut killed = 0;
    for calls in CALLS {
        for when in 1..=MOST_CALLS {
            let home = tempfile::tempdir().expect("directory");
            let what = format!("{calls}:signal=SIGKILL:when={when}");
            let output = inject(home.path(), &what, CHILD, "");
            if output.status.success() {
                break;
            }
            assert!(when < MOST_CALLS, "{calls}: there are more");
            killed += 1;
            survives(home.path(), last_sent(&output), &what);
        }
    }
    assert!(killed > 20, "{killed}");
}

// attack T28
// STA-13
#[test]
fn a_disk_that_fails_is_named_and_nothing_is_ahead_of_it() {
    if !enabled() {
        return;
    }
    let stride =
        if env::var_os("SEALWIRE_STRACE").is_some_and(|value| value == "all") { 1 } else { 2 };
    let (mut full, mut failed, mut went_on) = (0, 0, 0);
    for fault in [
        "write,pwrite64:error=ENOSPC",
        "write,pwrite64:error=EIO",
        "fsync,fdatasync:error=EIO",
        "fsync,fdatasync:error=ENOSPC",
        "rename,renameat,renameat2:error=EROFS",
    ] {
        // Runs in a row without a fault in a commit: the calls of opening, or behind the last.
        let mut clean = 0;
        for when in (1..=MOST_CALLS).step_by(stride) {
            let home = tempfile::tempdir().expect("directory");
            let store = open(home.path()).expect("made");
            store.commit(step(0)).map(drop).expect("stored");
            drop(store);
            let what = format!("{fault}:when={when}");
            let output = inject(home.path(), &what, CHILD, "");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!said.contains("panicked"), "{what}: {said}");
            if !said.contains("failed: ") && last_sent(&output) == Some(COMMITS) {
                clean += 1;
                if clean > 8 {
                    break;
                }
                continue;
            }
            clean = 0;
            full += usize::from(said.contains("failed: the disk is full"));
            failed += usize::from(said.contains("failed: "));
            went_on += usize::from(
                said.contains("failed: the disk is full") && last_sent(&output) == Some(COMMITS),
            );
            survives(home.path(), last_sent(&output).or(Some(0)), &what);
        }
    }
    println!("{failed} commits failed, {full} on a full disk, {went_on} went on after it");
    assert!(full > 0 && went_on > 0 && failed > full, "{failed} {full} {went_on}");
}
