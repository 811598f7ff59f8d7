//! The memory of the command: not in core dumps, and locked where the system allows it.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a helper that fails fails its test")]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use common::{Agent, PASSPHRASE, sealwire};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use sealwire::custody::{Params, Passphrase, system_rng};
use sealwire_custody::kms::KekFile;

/// A line of a file under /proc.
fn line(pid: u32, file: &str, start: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(start)).expect("a line");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What runs this script as the user of these tests, without the privilege to look into what is
/// closed to that user.
fn shell(script: &str) -> Command {
    let without = ["setpriv", "--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"];
    let without = if geteuid().is_root() { &without[..] } else { &[] };
    let mut words = without.iter().copied().chain(["sh", "-c", script, "sh"]);
    let mut command = Command::new(words.next().expect("at least these"));
    command.args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command, which listens once it holds its keys, under a script.
fn listen(agent: &Agent, script: &str) -> Child {
    let mut command = shell(script);
    command.args([env!("CARGO_BIN_EXE_sealwire"), "listen", "127.0.0.1:0", "--json"]);
    command.env("SEALWIRE_HOME", agent.home()).env("SEALWIRE_PASSPHRASE", PASSPHRASE);
    let mut listener = command.spawn().expect("it starts");
    let lines = BufReader::new(listener.stderr.take().expect("a pipe")).lines();
    let listens = lines.map_while(Result::ok).any(|line| line.contains("listening"));
    assert!(listens, "it holds its keys");
    listener
}

/// Has a process end as after a fault, and says how it did.
fn abort(mut process: Child) -> ExitStatus {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::ABORT).expect("it runs");
    let status = process.wait().expect("it ends");
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
    status
}

// attack T35
#[test]
fn a_command_that_holds_keys_cannot_dump_them() {
    let agent = Agent::new();
    let script = format!("cd '{}'; ulimit -c unlimited; exec \"$@\"", agent.home().display());
    let listener = listen(&agent, &script);
    assert_eq!(line(listener.id(), "limits", "Max core file size"), "0 0 bytes");
    let status = abort(listener);
    assert!(!status.core_dumped(), "{status}");

    // The control: another command, of which the same leaves a dump.
    let waits = ["sh", "-c", "echo; read -r _"];
    let mut other = shell(&script).args(waits).spawn().expect("it starts");
    other.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("it runs");
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("there");
    // Where the system hands dumps to a program, whether one is kept is up to that.
    assert!(abort(other).core_dumped() || pattern.starts_with('|'), "{pattern}");
}

// attack T35
#[test]
fn a_debugger_of_the_same_user_does_not_read_the_memory() {
    // As gcore does: it opens this file and copies what is mapped.
    let script = "\"$@\" & pid=$!; read -r _; if { :; } 9< /proc/$pid/mem; then echo read; \
                  else echo refused; fi 2> /dev/null; kill $pid";
    let look = |mut looker: Child| {
        looker.stdin.take().expect("a pipe").write_all(b"\n").expect("it reads");
        String::from_utf8(looker.wait_with_output().expect("it ends").stdout).expect("text")
    };
    let other = shell(script).args(["sleep", "60"]).spawn().expect("it starts");
    assert_eq!(look(other), "read\n", "the control");
    let agent = Agent::new();
    assert_eq!(look(listen(&agent, script)), "refused\n");
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

#[test]
fn what_is_sealed_goes_through_and_is_not_held() {
    const MIB: usize = 1024 * 1024;
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("text").to_owned();
    // Of a key file at the least cost, so that what is measured is not its derivation of a key.
    let passphrase = Passphrase::from_bytes(PASSPHRASE.as_bytes()).expect("a passphrase");
    let kek = path("kek");
    KekFile::create_with(Path::new(&kek), "kek", &passphrase, Params::MIN, &mut system_rng())
        .expect("made");
    let (place, key) = (path("store/object"), format!("file:{kek}"));
    let args = ["seal", "-", &place, "--kms", &key, "--context", "tenant=acme"];
    let mut running = sealwire(directory.path(), &args).start(None);
    let stdin = running.stdin.as_mut().expect("it was left open");
    let piece = vec![0; MIB];
    for _ in 0..256 {
        stdin.write_all(&piece).expect("it reads");
    }
    // All of it but what fits into a pipe and a few parts is in the store by now.
    let peak = line(running.pid(), "status", "VmHWM:");
    let kib: usize = peak.strip_suffix(" kB").and_then(|kib| kib.parse().ok()).expect("a number");
    assert!(kib < 128 * 1024, "{peak}");
    running.kill();
}
