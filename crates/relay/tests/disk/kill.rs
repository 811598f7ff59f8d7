//! A process that writes with all its might, and is killed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
    sync::Arc,
};

use sealwire_relay::store::{Appended, Mailboxes, Nonces, SqliteStore, Store};

use crate::common::*;

const BOXES: u64 = 20;
const WRITERS: u64 = 8;

/// What the process says of what it did, after the answer; `acking` before.
#[derive(Default)]
struct Said {
    taken: BTreeMap<(u64, u64), u64>,
    acking: HashSet<(u64, u64)>,
    acked: HashSet<(u64, u64)>,
    claimed: HashMap<u64, u32>,
    spent: Vec<u64>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let Some((word, numbers)) = line.split_once(' ') else { return };
        let numbers: Result<Vec<u64>, _> = numbers.split(' ').map(str::parse).collect();
        match (word, numbers.as_deref()) {
            ("taken", Ok([mailbox, sequence, id])) => {
                self.taken.insert((*mailbox, *sequence), *id);
            }
            ("acking", Ok([mailbox, sequence])) => drop(self.acking.insert((*mailbox, *sequence))),
            ("acked", Ok([mailbox, sequence])) => drop(self.acked.insert((*mailbox, *sequence))),
            ("claimed", Ok([number, key])) => {
                self.claimed.insert(*number, u32::try_from(*key).expect("a key"));
            }
            ("spent", Ok([number])) => self.spent.push(*number),
            _ => {}
        }
    }
}

/// The process that is killed. Does nothing when no test has started it.
#[test]
fn child() {
    let Some(argument) = argument() else { return };
    let (run_number, directory) = argument.split_once(' ').expect("two words");
    let first = run_number.parse::<u64>().expect("a number") << 32;
    let store = Arc::new(SqliteStore::open(directory).expect("opens"));
    run(async {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(Arc::clone(&store), first + (writer << 24)));
        }
        writers.join_all().await;
    });
}

/// Appends in batches of all sizes, acknowledges most of it, claims and spends.
async fn write(store: Arc<SqliteStore>, first: u64) {
    let mut id = first;
    loop {
        let batch: Vec<u64> = (id..=id + id % 13).collect();
        id += batch.len() as u64;
        let deposits: Vec<_> = batch.iter().map(|id| deposit(id % BOXES, *id)).collect();
        let answers = store.append(NOW, &deposits).await.expect("appends");
        for (id, answer) in batch.into_iter().zip(answers) {
            let Appended::Taken(sequence) = answer else { continue };
            let mailbox = id % BOXES;
            println!("taken {mailbox} {sequence} {id}");
            if id % 3 != 0 {
                println!("acking {mailbox} {sequence}");
                let removed = store.ack(NOW, &receive(mailbox), &[sequence]).await.expect("acks");
                assert_eq!(removed, Some(1));
                println!("acked {mailbox} {sequence}");
            }
        }
        if let Some(key) = claimed(&store, &device(1), id).await {
            println!("claimed {id} {key}");
        }
        assert!(store.spend(&caller(), &nonce(id), NOW.plus(120)).await.expect("spends"));
        println!("spent {id}");
    }
}

/// Starts the process, and kills it after it said so many lines.
fn kill(directory: &Path, run_number: u32, lines: usize) -> Said {
    let argument = format!("{run_number} {}", directory.display());
    let mut process =
        process("kill::child", &argument).stdout(Stdio::piped()).spawn().expect("starts");
    let mut said = Said::default();
    let stdout = BufReader::new(process.stdout.take().expect("its output"));
    for (number, line) in stdout.lines().map_while(Result::ok).enumerate() {
        said.hear(&line);
        if number == lines {
            // SIGKILL. What it said before and was not read yet is read to the end.
            process.kill().expect("kills");
        }
    }
    process.wait().expect("ends");
    said
}

/// Whether what was answered is so.
async fn check(store: &SqliteStore, said: &Said, keys: &mut HashMap<u32, u64>, what: &str) {
    let mut ids = BTreeSet::new();
    for mailbox in 0..BOXES {
        let found = read(store, mailbox).await;
        for (sequence, id) in &found {
            assert!(ids.insert(*id), "{what}: doubled");
            assert!(!said.acked.contains(&(mailbox, *sequence)), "{what}: it was acknowledged");
        }
        let found: HashMap<u64, _> = found.into_iter().collect();
        let range = (mailbox, 0)..(mailbox + 1, 0);
        for ((_, sequence), id) in said.taken.range(range) {
            let is_there = found.get(sequence) == Some(&message(*id));
            let may_be_gone = said.acking.contains(&(mailbox, *sequence));
            assert!(is_there || may_be_gone, "{what}: {id} was accepted, and is lost");
            assert_eq!(append(store, mailbox, *id).await, Appended::Known, "{what}");
        }
    }
    for (number, key) in &said.claimed {
        assert_eq!(claimed(store, &device(1), *number).await, Some(*key), "{what}: another key");
        let other = keys.insert(*key, *number).is_none_or(|other| other == *number);
        assert!(other, "{what}: handed out twice");
    }
    for number in &said.spent {
        let new = store.spend(&caller(), &nonce(*number), NOW.plus(120)).await.expect("spends");
        assert!(!new, "{what}: a nonce was forgotten");
    }
}

// attack T26
#[test]
fn what_was_answered_is_there_after_a_kill_once_and_as_it_was() {
    let home = tempfile::tempdir().expect("a directory");
    let directory = home.path().join("relay");
    let mut keys = HashMap::new();
    let (mut base, mut answered) = (1, 0);
    for round in 0..rounds(6) {
        let store = SqliteStore::open(&directory).expect("opens");
        run(async {
            for mailbox in 0..BOXES {
                create(&store, mailbox).await;
                // Room for more.
                for found in read(&store, mailbox).await.chunks(100) {
                    let sequences: Vec<u64> = found.iter().map(|(sequence, _)| *sequence).collect();
                    store.ack(NOW, &receive(mailbox), &sequences).await.expect("acks");
                }
            }
            publish(&store, &device(1)).await;
            for _ in 0..20 {
                add_page(&store, &device(1), base, 100).await;
                base += 100;
            }
        });
        drop(store);
        let lines = 40 + usize::try_from(round * 397 % 1500).expect("small");
        let said = kill(&directory, round + 1, lines);
        assert!(said.taken.len() + said.acked.len() > 10, "it did something");
        answered += said.taken.len();
        let store = SqliteStore::open(&directory).expect("opens");
        run(check(&store, &said, &mut keys, &format!("round {round}, {lines} lines")));
        let usage = run(store.usage()).expect("counts");
        let there: usize = (0..BOXES).map(|mailbox| run(read(&store, mailbox)).len()).sum();
        assert_eq!(usage.messages, there as u64);
    }
    let _ = writeln!(std::io::stderr(), "{answered} messages, {} keys, none lost", keys.len());
}
