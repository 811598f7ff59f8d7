//! Callers that cost much and say little.
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

mod common;

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use common::{PATIENCE, friends};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sealwire::{Clock, SystemClock};

const IDLE: usize = 1000;

/// How much more memory a listener may take for all of them together.
const BOUND_KIB: u64 = 64 * 1024;

const HELPER: &str = "SEALWIRE_TEST_IDLE_AT";

/// The other process of the next test: without its variable it has nothing to do.
#[test]
fn idle_connections_are_held_by_a_process_of_their_own() {
    let Ok(address) = env::var(HELPER) else { return };
    let address: SocketAddr = address.parse().expect("an address");
    let Rlimit { current: _, maximum } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("up to the hard one");
    let held: Vec<TcpStream> =
        (0..IDLE).map(|_| TcpStream::connect(address).expect("accepted")).collect();
    println!("\nall are open");
    // Until the other test has seen enough.
    let _ = std::io::stdin().read(&mut [0]);
    drop(held);
}

// attack T24
#[test]
fn a_thousand_idle_connections_cost_little_and_a_peer_still_gets_in() {
    let (alice, bob) = friends();
    let (listening, address) = alice.listen(&[], b"");
    let before = resident_kib(listening.pid());
    let mut helper = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "idle_connections_are_held_by_a_process_of_their_own", "--nocapture"])
        .env(HELPER, address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the helper starts");
    // Kept until the helper ends, which goes on printing.
    let mut lines = BufReader::new(helper.stdout.take().expect("a pipe")).lines();
    let open = lines.by_ref().map_while(Result::ok).any(|line| line == "all are open");
    assert!(open, "the helper opens its connections");

    let pid = listening.pid();
    // The table of descriptors grows and never shrinks. They themselves are not to be seen.
    let descriptors = status(pid, "FDSize:");
    let grown = resident_kib(pid).saturating_sub(before);
    let friend = bob.connect(address, &["--peer", &alice.id], b"through the crowd");
    let listened = listening.wait();
    drop(helper.stdin.take());
    helper.wait().expect("the helper ends");
    drop(lines);

    assert_eq!((friend.code, listened.code), (0, 0), "{}{}", friend.stderr, listened.stderr);
    assert_eq!(listened.stdout, b"through the crowd");
    assert!(
        descriptors > u64::try_from(IDLE / 2).expect("small"),
        "they were open at the time: {descriptors}"
    );
    assert!(grown < BOUND_KIB, "{grown} KiB");
}

fn resident_kib(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

fn status(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a line");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

// attack T24
#[test]
fn one_byte_a_second_is_closed_at_the_deadline() {
    let (alice, bob) = friends();
    let (mut listening, address) = alice.listen(&[], b"");
    let mut slow = TcpStream::connect(address).expect("accepted");
    slow.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket");
    let clock = SystemClock::new();
    // The start of an honest preamble, and then bytes of a message that never ends.
    let mut bytes = [1, 1, 1, 1, 1, 0, 0, 0, 0, 4, 192].into_iter().chain(std::iter::repeat(7));
    loop {
        assert!(clock.elapsed() < PATIENCE, "it is still open");
        if slow.write_all(&[bytes.next().expect("endless")]).is_err() {
            break;
        }
        match slow.read(&mut [0; 8]) {
            Ok(0) => break,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            _ => {}
        }
    }
    let seconds = clock.elapsed().as_secs();
    assert!((8..=20).contains(&seconds), "{seconds} s");
    let rejected = listening.event("rejected");
    assert!(rejected["reason"].as_str().expect("a reason").contains("in time"), "{rejected}");

    let friend = bob.connect(address, &["--peer", &alice.id], b"");
    assert_eq!((friend.code, listening.wait().code), (0, 0), "{}", friend.stderr);
}
