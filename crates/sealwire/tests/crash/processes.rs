//! Several processes that send from one state.

use std::process::{Command, Stdio};

use sealwire::store::Error;

use crate::world::{World, id, runtime};

const PROCESSES: usize = 8;
const SENDS: usize = 200;
/// Sends of a process before it lets another one have the state.
const TURN: usize = 25;

/// One of the processes. Does nothing when no test has started it.
#[test]
fn child() {
    let Some((world, run)) = World::of_child() else { return };
    let world = world.unanchored();
    let mut number = 0;
    while number < SENDS {
        let store = match world.store("alice") {
            Ok(store) => store,
            Err(Error::InUse { .. }) => {
                std::thread::sleep(std::time::Duration::from_millis(5));
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let alice = world.agent_on("alice", store);
        runtime().block_on(async {
            for _ in 0..TURN {
                alice.send(&id("bob"), format!("{run} {number}").as_bytes()).await.expect("sent");
                number += 1;
            }
            alice.sync().await.expect("delivers");
        });
    }
    println!("done");
}

// attack T4
// STA-6
#[test]
fn eight_processes_with_200_sends_each_share_no_key_and_lose_nothing() {
    let home = tempfile::tempdir().expect("directory");
    let world = World::at(home.path()).unanchored().begin();
    let children: Vec<_> = (0..PROCESSES)
        .map(|number| {
            let mut command = Command::new("env");
            world.child(&mut command, "processes::child", &number.to_string());
            command.stdout(Stdio::piped()).spawn().expect("starts")
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("ends");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("done"), "{said}");
    }
    runtime().block_on(async {
        let mut read = world.read("bob", "eight processes").await;
        let in_order = |number: &usize| {
            let own = read.iter().filter(|line| line.starts_with(&format!("{number} ")));
            own.enumerate().all(|(sent, line)| *line == format!("{number} {sent}"))
        };
        assert!((0..PROCESSES).all(|number| in_order(&number)), "one overtook another");
        read.sort();
        read.dedup();
        assert_eq!(read.len(), PROCESSES * SENDS);
        let alice = world.agent("alice").expect("starts");
        let sessions = alice.sessions().await.expect("reads");
        let sent: u64 = sessions.iter().map(|session| session.sent).sum();
        assert_eq!(sent, 1600, "every send has moved a session on");
    });
    world.check_wire("eight processes");
    assert_eq!(world.office().wire().len(), PROCESSES * SENDS + 2, "and Bob's two");
}
