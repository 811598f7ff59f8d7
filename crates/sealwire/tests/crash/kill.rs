//! An agent that is killed at each system call of sending and receiving, and starts again.
//!
//! Runs only with `SEALWIRE_STRACE`, for strace is not everywhere: `1` for some of the system
//! calls, `all` for all of them.

use std::{
    collections::BTreeSet,
    env,
    io::{self, Write},
    process::{Command, Output, Stdio},
    sync::Once,
};

use crate::nonces::MESSAGE;
use crate::world::{FROM_BOB, World, handle, id, runtime};

/// What one run of the process sends, and to whom. She has heard from Bob and not from Carol.
pub(crate) const SENDS: [&str; 4] = ["bob", "carol", "bob", "bob"];

/// Every how many-th system call is one too many for the process; `None` when nothing of this
/// was asked for. Says so once, to stderr itself: what a test prints is shown only when it
/// fails.
fn stride() -> Option<usize> {
    static SAY: Once = Once::new();
    match env::var("SEALWIRE_STRACE").as_deref() {
        Ok("all") => Some(1),
        Ok("1") => Some(16),
        _ => {
            let enable = "SEALWIRE_STRACE=1 cargo test -p sealwire --test crash";
            SAY.call_once(|| drop(writeln!(io::stderr(), "skipped; with strace: {enable}")));
            None
        }
    }
}

/// The process that is killed. Does nothing when no test has started it.
#[test]
fn child() {
    let Some((world, run)) = World::of_child() else { return };
    let alice = world.agent("alice").expect("starts");
    runtime().block_on(async {
        let say = |payload: &str, acked| {
            println!("{} {payload}", if acked { "acked" } else { "handled" });
        };
        // What the process before this one left.
        handle(&alice, say).await;
        alice.sync().await.expect("delivers");
        handle(&alice, say).await;
        for (number, to) in SENDS.into_iter().enumerate() {
            let payload = format!("{run} {number}");
            alice.send(&id(to), payload.as_bytes()).await.expect("sent");
            println!("sent {to} {payload}");
            if number % 2 == 1 {
                alice.sync().await.expect("delivers");
            }
        }
        alice.sync().await.expect("delivers");
        println!("done");
    });
}

/// The process, to its end unless something befalls it.
pub(crate) fn whole(world: &World, name: &str) -> Output {
    let mut command = Command::new("env");
    world.child(&mut command, "kill::child", name);
    command.stdin(Stdio::null()).output().expect("starts")
}

/// The process under strace, with this fault.
fn inject(world: &World, fault: &str, name: &str) -> Output {
    let (calls, _) = fault.split_once(':').expect("system calls and what befalls them");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={fault}"), "--"]);
    world.child(&mut strace, "kill::child", name);
    let output = strace.stdin(Stdio::null()).output();
    output.expect("strace runs; it is in the Debian package of that name")
}

/// The lines that begin with this word, without it.
pub(crate) fn lines(output: &Output, word: &str) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| Some(line.split_once(&format!("{word} "))?.1.to_owned());
    said.lines().filter_map(line).collect()
}

/// The world after a process was stopped and another one has run to its end.
pub(crate) fn check(world: &World, first: &Output, second: &Output, what: &str) {
    let said = String::from_utf8_lossy(&second.stdout);
    assert!(said.contains("done"), "{what}: {said}{}", String::from_utf8_lossy(&second.stderr));
    world.check_wire(what);
    let acked: BTreeSet<_> = lines(first, "acked").into_iter().collect();
    let again = lines(second, "handled");
    assert!(again.iter().all(|payload| !acked.contains(payload)), "{what}: handled again");
    let mut handled = [lines(first, "handled"), again].concat();
    handled.sort();
    handled.dedup();
    assert_eq!(handled, FROM_BOB, "{what}: lost, or not from Bob");
    runtime().block_on(async {
        for name in ["bob", "carol"] {
            let read = world.read(name, what).await;
            let distinct: BTreeSet<_> = read.iter().collect();
            assert_eq!(distinct.len(), read.len(), "{what}: {name} has read one twice");
            for output in [first, second] {
                let sent = lines(output, &format!("sent {name}"));
                assert!(sent.iter().all(|sent| distinct.contains(sent)), "{what}: lost for {name}");
            }
        }
        // All go on.
        let (alice, bob) = (world.agent("alice").expect(what), world.agent("bob").expect(what));
        bob.send(alice.id(), b"how are you?").await.expect(what);
        bob.sync().await.expect(what);
        alice.sync().await.expect(what);
        let mut read = Vec::new();
        handle(&alice, |payload, acked| {
            if acked {
                read.push(payload.to_owned())
            }
        })
        .await;
        assert_eq!(read, ["how are you?"], "{what}");
    });
}

/// Runs in a row that end well after which no fault reaches the process any more. A fault that is
/// no kill may have been one that is borne.
const WELL: usize = 6;

/// Stops a process in one world after the other, until its fault does not reach it. Gives how many
/// it has stopped.
fn each(fault: &str, stride: usize) -> usize {
    let template = tempfile::tempdir().expect("directory");
    let before = World::at(template.path()).begin();
    let (mut stopped, mut well) = (0, 0);
    let enough = if fault.contains("SIGKILL") { 1 } else { WELL };
    for when in (1..).step_by(stride) {
        let home = tempfile::tempdir().expect("directory");
        let world = before.copy(home.path());
        let what = format!("{fault}:when={when}");
        let first = inject(&world, &what, "first");
        let second = whole(&world, "second");
        check(&world, &first, &second, &what);
        if !first.status.success() {
            (stopped, well) = (stopped + 1, 0);
            continue;
        }
        assert_eq!(lines(&first, "sent").len(), SENDS.len(), "{what}");
        well += 1;
        if well == enough {
            break;
        }
    }
    stopped
}

// attack T2, T9, T28
// STA-1, STA-2, STA-13
#[test]
fn an_agent_killed_at_any_system_call_uses_no_key_twice_and_loses_nothing() {
    let Some(stride) = stride() else { return };
    let mut stopped = 0;
    for (calls, more) in [
        ("write,pwrite64", 2),
        ("fsync,fdatasync", 1),
        ("rename,renameat,renameat2", 1),
        ("ftruncate,unlink,unlinkat", 1),
        ("openat", 2),
    ] {
        // There are more of some; where it is all of the calls, it is all of these too.
        let stride = if stride == 1 { 1 } else { stride * more };
        stopped += each(&format!("{calls}:signal=SIGKILL"), stride);
    }
    println!("killed {stopped} times");
    assert!(stopped > 10, "{stopped}");
}

// attack T2, T28
// STA-13
#[test]
fn an_agent_whose_disk_fails_uses_no_key_twice_and_loses_nothing() {
    let Some(stride) = stride() else { return };
    let mut stopped = 0;
    for fault in ["fsync,fdatasync:error=EIO", "write,pwrite64:error=ENOSPC"] {
        // Where it is all of the calls, it is all of these too.
        stopped += each(fault, if stride == 1 { 1 } else { stride * 2 });
    }
    println!("the disk failed {stopped} times");
    assert!(stopped > 3, "{stopped}");
}

// attack T31
// A fork finds no generator of ours to copy: what is random in a frame is what the kernel gave.
#[test]
fn what_a_process_draws_is_what_the_kernel_gave_it() {
    if stride().is_none() {
        return;
    }
    let home = tempfile::tempdir().expect("directory");
    let world = World::at(home.path()).begin();
    let before = world.office().wire();
    let log = home.path().join("draws");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-xx", "-s", "4096", "-e", "trace=getrandom", "-o"]);
    world.child(strace.arg(&log).arg("--"), "kill::child", "first");
    let output = strace.stdin(Stdio::null()).output().expect("strace runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let drawn = std::fs::read_to_string(&log).expect("a log").replace("\\x", "");
    let mut wire = world.office().wire();
    wire.retain(|frame| !before.contains(frame));
    assert_eq!(wire.len(), SENDS.len());
    for (message, frame) in wire {
        assert!(drawn.contains(&message), "{message} is not in {drawn}");
        if frame[1] == MESSAGE {
            let nonce: String = frame[2..26].iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(drawn.contains(&nonce), "{nonce} is not in {drawn}");
        }
    }
}

// attack T3
// The control of the two tests above: keys that are used twice are seen by whoever gets the
// frames. It is what is left where no anchor is, or where it was copied too.
#[test]
fn an_agent_that_runs_from_a_copy_with_its_anchor_is_seen_by_its_peer() {
    let template = tempfile::tempdir().expect("directory");
    let before = World::at(template.path()).begin();
    let home = tempfile::tempdir().expect("directory");
    let copy = before.copy(home.path());
    runtime().block_on(async {
        for (world, payload) in [(&before, "the one"), (&copy, "the other")] {
            let alice = world.agent("alice").expect("starts");
            alice.sync().await.expect("delivers");
            alice.send(&id("bob"), payload.as_bytes()).await.expect("sent");
            alice.sync().await.expect("delivers");
        }
    });
    // Both copies wrote to Bob; the post office of one of them gets what both sent.
    let [ours, theirs] = [&before, &copy].map(|world| world.home.join("office"));
    for (message, frame) in copy.office().wire() {
        let known = before.office().wire().iter().any(|(ours, _)| *ours == message);
        if !known {
            deposit_beside(&ours, &theirs, &message, &frame);
        }
    }
    let read = std::panic::catch_unwind(|| runtime().block_on(before.read("bob", "both copies")));
    let said = read.expect_err("the second use of a key does not open");
    let said = said.downcast_ref::<String>().expect("a sentence");
    assert!(said.contains("bob could not read all"), "{said}");
}

/// Puts a frame of another post office into the mailbox of the same name.
fn deposit_beside(ours: &std::path::Path, theirs: &std::path::Path, message: &str, frame: &[u8]) {
    for mailbox in std::fs::read_dir(theirs.join("box")).expect("a directory") {
        let mailbox = mailbox.expect("an entry");
        for entry in std::fs::read_dir(mailbox.path()).expect("a directory") {
            let name = entry.expect("an entry").file_name().into_string().expect("ASCII");
            if name.contains(message) {
                let path = ours.join("box").join(mailbox.file_name());
                std::fs::write(path.join(format!("00000999-{message}")), frame).expect("written");
            }
        }
    }
}

// attack T3
// STA-14, STA-16
#[test]
fn an_agent_that_runs_from_a_copy_is_refused_by_its_anchor() {
    let template = tempfile::tempdir().expect("directory");
    let world = World::at(template.path()).begin();
    let home = tempfile::tempdir().expect("directory");
    let copy = world.copy(home.path());
    runtime().block_on(async {
        let alice = world.agent("alice").expect("starts");
        alice.sync().await.expect("delivers");
    });
    // The copy has the state of before, and the anchor of now.
    let anchor = |world: &World| world.home.join("alice/elsewhere/anchor");
    std::fs::copy(anchor(&world), anchor(&copy)).expect("copied");
    let refused = copy.agent("alice").expect_err("older").to_string();
    assert!(refused.contains("is not the newest"), "{refused}");
}
