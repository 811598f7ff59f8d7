//! The memory of the command: not in core dumps, and locked where the system allows it.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use common::{Agent, PASSPHRASE, sealwire};

/// A line of a file under /proc.
fn line(pid: u32, file: &str, start: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(start)).expect("a line");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

// attack T35
#[test]
fn a_command_that_holds_keys_cannot_dump_them() {
    let agent = Agent::new();
    let script = "ulimit -c unlimited 2>/dev/null; exec \"$0\" listen 127.0.0.1:0 --json";
    let mut listener = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_sealwire")])
        .env("SEALWIRE_HOME", agent.home())
        .env("SEALWIRE_PASSPHRASE", PASSPHRASE)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(listener.stderr.take().expect("a pipe")).lines();
    let listens = lines.map_while(Result::ok).any(|line| line.contains("listening"));
    assert!(listens, "it holds its keys");
    assert_eq!(line(listener.id(), "limits", "Max core file size"), "0 0 bytes");
    let aborted =
        Command::new("sh").args(["-c", &format!("kill -ABRT {}", listener.id())]).status();
    assert!(aborted.expect("a shell").success());
    let status = listener.wait().expect("it ends");
    assert!(status.signal().is_some() && !status.core_dumped(), "{status}");
}

// attack T35
#[test]
fn what_is_said_of_the_memory_is_so() {
    let agent = Agent::new();
    let shown = agent.run(&["id", "show", "--json"]).json();
    let protection = &shown["protection"];
    assert_eq!(protection["core_dumps"], false);
    let locked = protection["memory_locked"].as_bool().expect("yes or no");
    assert_eq!(locked, protection["why_not_locked"].is_null());
    let (listener, _) = agent.listen(&[], b"");
    assert_eq!(line(listener.pid(), "status", "VmLck:") != "0 kB", locked);

    let text = agent.run(&["id", "show"]).text();
    assert!(text.contains("core dumps     off\n"), "{text}");
    let start = if locked { "memory         locked: " } else { "memory         not locked: " };
    assert!(text.contains(start), "{text}");
}

#[test]
fn a_limit_on_locked_memory_is_said_and_hinders_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(sealwire(directory.path(), &["id", "new"]).run(b"").code, 0);
    // Who may raise the limit locks memory all the same.
    let script = "ulimit -l 64 && exec \"$0\" id card --renew --json";
    let renewed = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_sealwire")])
        .env("SEALWIRE_HOME", directory.path())
        .env("SEALWIRE_PASSPHRASE", PASSPHRASE)
        .output()
        .expect("it starts");
    assert!(renewed.status.success(), "{}", String::from_utf8_lossy(&renewed.stderr));
}
