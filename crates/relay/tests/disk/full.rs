//! A disk that is full, and has room again.

use std::{fs, path::Path};

use sealwire_relay::store::{Appended, Mailboxes, SqliteStore, Store, StoreError};

use crate::common::*;

/// Appends batches until there is no room. Gives the ids of what was taken.
async fn fill(store: &SqliteStore, first: u64) -> Vec<u64> {
    let mut taken = Vec::new();
    for batch in (first..).step_by(50) {
        let ids: Vec<u64> = (batch..batch + 50).collect();
        let deposits: Vec<_> = ids.iter().map(|id| deposit(id % 8, *id)).collect();
        match store.append(NOW, &deposits).await {
            Ok(answers) => {
                assert!(answers.iter().all(|answer| matches!(answer, Appended::Taken(_))));
                taken.extend(ids);
            }
            Err(StoreError::Full) => return taken,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("there is no end of numbers")
}

/// The ids of all messages, by number of their mailbox and of themselves.
async fn all(store: &SqliteStore) -> Vec<u64> {
    let mut ids = Vec::new();
    for mailbox in 0..8 {
        let found = read(store, mailbox).await;
        let sequences: Vec<u64> = found.iter().map(|(sequence, _)| *sequence).collect();
        assert!(sequences.is_sorted(), "in order");
        let number = |id: &[u8; 16]| u64::from_be_bytes(id[8..].try_into().expect("8 bytes"));
        ids.extend(found.iter().map(|(_, id)| number(id.as_bytes())));
    }
    ids.sort_unstable();
    ids
}

async fn ack_all(store: &SqliteStore) -> Result<(), StoreError> {
    for mailbox in 0..8 {
        let found = read(store, mailbox).await;
        let sequences: Vec<u64> = found.iter().map(|(sequence, _)| *sequence).collect();
        let removed = store.ack(NOW, &receive(mailbox), &sequences).await?;
        assert_eq!(removed.map(u64::from), Some(sequences.len() as u64));
    }
    Ok(())
}

// attack T23
#[test]
fn a_store_at_its_limit_takes_nothing_by_half_and_goes_on_when_there_is_room() {
    let home = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open_limited(home.path(), 2 << 20).expect("opens");
    run(async {
        for mailbox in 0..8 {
            create(&store, mailbox).await;
        }
        let taken = fill(&store, 0).await;
        assert!(taken.len() > 300, "{}", taken.len());
        assert_eq!(all(&store).await, taken, "the batch that failed left nothing");
        let usage = store.usage().await.expect("counts");
        assert_eq!(usage.messages, taken.len() as u64);
        // Again, and what came to nothing is not known.
        for _ in 0..3 {
            assert!(fill(&store, taken.len() as u64).await.is_empty());
        }
        ack_all(&store).await.expect("what makes room is done");
        let again = fill(&store, taken.len() as u64).await;
        assert!(again.len() > 100, "there is room again: {}", again.len());
        assert_eq!(all(&store).await, again);
    });
    let before = run(all(&store));
    drop(store);
    let store = SqliteStore::open(home.path()).expect("opens");
    assert_eq!(run(all(&store)), before);
    assert!(matches!(run(append(&store, 0, 1_000_000)), Appended::Taken(_)));
}

/// In a process that has a small disk of its own. Does nothing when no test has started it.
#[test]
fn child() {
    let Some(directory) = argument() else { return };
    let directory = Path::new(&directory);
    let ballast = [directory.join("ballast"), directory.join("more")];
    for path in &ballast {
        fs::write(path, vec![1; 1 << 20]).expect("room for it");
    }
    let store = SqliteStore::open(directory.join("relay")).expect("opens");
    run(async {
        for mailbox in 0..8 {
            create(&store, mailbox).await;
        }
        let taken = fill(&store, 0).await;
        assert!(taken.len() > 100, "{}", taken.len());
        assert_eq!(all(&store).await, taken, "the batch that failed left nothing");
        assert!(fill(&store, taken.len() as u64).await.is_empty());
        fs::remove_file(&ballast[0]).expect("makes room");
        let again = fill(&store, taken.len() as u64).await;
        assert!(again.len() > 100, "there is room again: {}", again.len());
        let expected: Vec<u64> = taken.iter().chain(&again).copied().collect();
        assert_eq!(all(&store).await, expected);
    });
    let before = run(all(&store));
    drop(store);
    let refused = SqliteStore::open(directory.join("relay")).map(drop);
    assert!(matches!(refused, Ok(()) | Err(StoreError::Full)), "{refused:?}");
    fs::remove_file(&ballast[1]).expect("makes room");
    let store = SqliteStore::open(directory.join("relay")).expect("opens");
    assert_eq!(run(all(&store)), before);
    println!("whole");
}

/// Needs a mount namespace of its own, which only some may make.
// attack T23
#[test]
fn a_full_disk_takes_nothing_by_half_and_goes_on_when_there_is_room() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().to_str().expect("UTF-8");
    let binary = std::env::current_exe().expect("this binary");
    let mut unshare = std::process::Command::new("unshare");
    let script = "mount -t tmpfs -o size=8m tmpfs \"$1\" || exit 77; \
                  exec \"$2\" --exact full::child --nocapture";
    unshare.args(["--mount", "sh", "-c", script, "sh", path]).arg(binary);
    let output = unshare.env("SEALWIRE_CHILD", path).output();
    let Ok(output) = output.as_ref().map_err(drop) else { return };
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || errors.contains("unshare failed") {
        return;
    }
    assert!(said.contains("whole"), "{said}{errors}");
}
