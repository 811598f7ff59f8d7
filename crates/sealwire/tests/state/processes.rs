//! Several processes, or several openings in one, on one state.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sealwire::store::{Error, Options, Range, SqliteStore, Table};

use crate::common::{Harness, OnDisk, get, put, state_key};

/// Names the state directory to a process that this test binary starts of itself.
const DIRECTORY: &str = "SEALWIRE_TEST_STATE";

/// Runs the test `child` of this module in a process of its own.
fn start(directory: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this test"));
    command.args(["processes::child", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, directory);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the processes do. Does nothing when no test has started it.
#[test]
fn child() {
    let Some(directory) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    match SqliteStore::open_with_key(&directory, &state_key(1), Options::new()) {
        Ok(store) => {
            for number in 0..200_u32 {
                let name = [std::process::id().to_be_bytes(), number.to_be_bytes()].concat();
                put(&store, Table::Outbox, &name, &name);
            }
            println!("stored");
        }
        Err(error) => println!("refused: {error}"),
    }
}

// attack T4
// STA-6
#[test]
fn a_second_process_is_refused_with_a_sentence() {
    let mut disk = OnDisk::new();
    put(&*disk.store(), Table::Session, "bob", "1");
    let output = start(&disk.state()).output().expect("ends");
    let directory = std::fs::canonicalize(disk.state()).expect("there");
    let sentence = format!(
        "refused: another process uses the state in {}; stop it, or give this agent a state \
         directory of its own",
        directory.display()
    );
    assert!(said(&output).contains(&sentence), "{}", said(&output));
    disk.close();
    assert!(said(&start(&disk.state()).output().expect("ends")).contains("stored"));
}

// attack T3, T4
// STA-6
#[test]
fn a_second_opening_in_one_process_is_refused() {
    let mut disk = OnDisk::new();
    let refused = disk.refused();
    assert!(matches!(refused, Error::InUse { .. }), "{refused}");
    put(&*disk.store(), Table::Session, "bob", "the first one goes on");
    disk.reopen();
    assert!(get(&*disk.store(), Table::Session, "bob").is_some());
}

// attack T4
// STA-6
#[test]
fn of_eight_processes_at_a_time_whoever_is_admitted_loses_nothing() {
    let mut disk = OnDisk::new();
    disk.close();
    let children: Vec<_> = (0..8)
        .map(|_| start(&disk.state()).stdout(std::process::Stdio::piped()).spawn().expect("starts"))
        .collect();
    let outputs: Vec<_> =
        children.into_iter().map(|child| said(&child.wait_with_output().expect("ends"))).collect();
    let stored = outputs.iter().filter(|said| said.contains("stored")).count();
    let refused = outputs.iter().filter(|said| said.contains("refused: another process")).count();
    assert!(stored >= 1);
    assert_eq!(stored + refused, 8, "{outputs:?}");
    disk.reopen();
    let store = disk.store();
    let mut rows = store.scan(Table::Outbox, Range::all()).expect("reads");
    loop {
        let range = Range::all().after(&rows.last().expect("rows").key);
        let page = store.scan(Table::Outbox, range).expect("reads");
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    assert_eq!(rows.len(), stored * 200);
    assert!(rows.iter().all(|row| row.value.as_slice() == row.key.as_bytes()));
}

// STA-6: the operating system releases the lock of a process that is killed.
#[test]
fn a_killed_process_leaves_no_lock() {
    let mut disk = OnDisk::new();
    disk.close();
    for _ in 0..5 {
        let mut child = start(&disk.state()).spawn().expect("starts");
        while !disk.log().exists() {
            if child.try_wait().expect("asks").is_some() {
                break;
            }
            std::thread::yield_now();
        }
        child.kill().expect("killed");
        child.wait().expect("ends");
        disk.reopen();
        disk.close();
    }
}

// STA-6: a process that is being started has the files of this one open for a moment.
#[test]
fn a_closed_state_opens_at_once_while_the_process_starts_others() {
    let mut disk = OnDisk::new();
    std::thread::scope(|scope| {
        let starter = scope.spawn(|| {
            for _ in 0..60 {
                assert!(Command::new("true").status().expect("starts").success());
            }
        });
        while !starter.is_finished() {
            disk.reopen();
        }
    });
}
