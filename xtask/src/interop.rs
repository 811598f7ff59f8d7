//! `cargo xtask interop noise`, `ratchet` and `envelope`: our protocols and formats
//! against other implementations in Python, two processes that speak over pipes.

mod classical;
mod envelope;
mod hybrid;
mod party;
mod ratchet;

use std::ffi::OsString;
use std::fmt;
use std::io::{PipeReader, PipeWriter};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use crate::job::{Context, JobResult, Stop};
use crate::process;
use crate::python;
use crate::test;

pub(crate) use envelope::envelope;
pub(crate) use ratchet::ratchet;

/// What the other implementation stands on.
const PACKAGES: [&str; 4] =
    ["noiseprotocol==0.3.1", "cryptography==50.0.2", "cffi==2.1.1", "pycparser==3.12"];

/// How long two processes that speak to each other have from start to end, and
/// how long one has to answer us.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Job `interop`: all of it, whatever fails.
pub(crate) fn all(context: &mut Context) -> JobResult {
    let results = [noise(context), ratchet(context), envelope(context)];
    let failure = |result: &JobResult| match result {
        Err(Stop::Fail(why)) => Some(why.clone()),
        _ => None,
    };
    let failures: Vec<String> = results.iter().filter_map(failure).collect();
    // A failure says more than a skip.
    if failures.is_empty() {
        results.into_iter().collect()
    } else {
        Err(Stop::fail(failures.join("\n")))
    }
}

/// Classical Noise against the package `noiseprotocol`; then our hybrid
/// handshakes and records, and their vectors, against our specification.
pub(crate) fn noise(context: &mut Context) -> JobResult {
    let classical = pair(context, "classical_peer", "noise_peer.py")?;
    let hybrid = pair(context, "hybrid_peer", "hybrid_peer.py")?;
    let mut failed = Vec::new();
    let mut report = |name: String, result: Result<(), String>| match result {
        Ok(()) => println!("ok      {name}"),
        Err(why) => {
            println!("FAILED  {name}: {why}");
            failed.push(name);
        }
    };
    for duo in classical::duos() {
        let result = talk(context, &classical, &duo);
        report(duo.name, result);
    }
    for duo in hybrid::duos(context, &hybrid)? {
        let result = talk(context, &hybrid, &duo);
        report(duo.name, result);
    }
    report("hybrid vectors, recomputed".to_owned(), hybrid::vectors(context, &hybrid.theirs));
    if failed.is_empty() { Ok(()) } else { Err(Stop::fail(failed.join("\n"))) }
}

/// A program with the arguments that come first.
struct Program {
    path: PathBuf,
    script: Option<PathBuf>,
}

impl Program {
    fn command(&self, context: &Context) -> Command {
        let mut command = process::command(context, &self.path);
        if let Some(script) = &self.script {
            command.arg("-B").arg(script); // No compiled modules in the checkout.
        }
        command
    }
}

/// The two implementations of one protocol.
struct Pair {
    ours: Program,
    theirs: Program,
}

fn pair(context: &Context, example: &str, script: &str) -> Result<Pair, Stop> {
    let path = python::tools(context, &PACKAGES)?.join("python");
    let script = Some(context.root.join("xtask/interop").join(script));
    let ours = Program { path: build_our_peer(context, example)?, script: None };
    Ok(Pair { ours, theirs: Program { path, script } })
}

/// A side of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Initiator,
    Responder,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Initiator => "initiator",
            Self::Responder => "responder",
        })
    }
}

/// One conversation: a line for people, and each implementation's arguments.
#[derive(Debug)]
struct Duo {
    name: String,
    we: Side,
    ours: Vec<OsString>,
    theirs: Vec<OsString>,
}

/// Builds an example of one of our crates and asks cargo where it stands. With the portable
/// backend, and with the features of its tests, which have built what it needs.
fn build_our_peer(context: &Context, example: &str) -> Result<PathBuf, Stop> {
    let selection = test::with_portable(context)?;
    let arguments = format!("build --quiet {selection} --example {example} --message-format json");
    let messages = process::output(&mut process::cargo(context, &arguments))?;
    executable(&messages, example)
        .ok_or_else(|| Stop::fail(format!("cargo built no example {example}")))
}

fn executable(messages: &str, example: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    messages
        .filter(|message: &serde_json::Value| message["target"]["name"] == example)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Starts both sides, each writing to the other's standard input, and waits
/// until both have ended well.
fn talk(context: &Context, pair: &Pair, duo: &Duo) -> Result<(), String> {
    let (mut ours, mut theirs) = (pair.ours.command(context), pair.theirs.command(context));
    ours.args(&duo.ours);
    theirs.args(&duo.theirs);
    let (initiator, responder) = match duo.we {
        Side::Initiator => (ours, theirs),
        Side::Responder => (theirs, ours),
    };
    let (responder_reads, initiator_writes) = pipe()?;
    let (initiator_reads, responder_writes) = pipe()?;
    let initiator = spawn(initiator, initiator_reads, initiator_writes)?;
    let responder = match spawn(responder, responder_reads, responder_writes) {
        Ok(responder) => responder,
        Err(why) => {
            end(initiator);
            return Err(why);
        }
    };
    wait([("initiator", initiator), ("responder", responder)])
}

fn pipe() -> Result<(PipeReader, PipeWriter), String> {
    std::io::pipe().map_err(|error| format!("no pipe: {error}"))
}

/// Takes the command whole: dropped here, it closes our copies of the pipes,
/// so that the end of one process is the end of input for the other.
fn spawn(mut command: Command, input: PipeReader, output: PipeWriter) -> Result<Child, String> {
    let spawned = command.stdin(input).stdout(output).spawn();
    spawned.map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))
}

/// Waits for both; what still runs at the deadline is ended.
fn wait(peers: [(&str, Child); 2]) -> Result<(), String> {
    let deadline = Instant::now() + TIMEOUT;
    let mut faults = Vec::new();
    for (role, mut child) in peers {
        match status_before(&mut child, deadline) {
            Ok(Some(status)) if status.success() => {}
            Ok(Some(status)) => faults.push(format!("the {role} ended with {status}")),
            Ok(None) => {
                end(child);
                faults.push(format!("the {role} was not done after {} s", TIMEOUT.as_secs()));
            }
            Err(error) => faults.push(format!("the {role}: {error}")),
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn status_before(child: &mut Child, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Ends a process that may already have ended by itself.
fn end(mut child: Child) {
    if child.kill().is_ok() {
        drop(child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_found_among_cargo_messages() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"snow\"},\"executable\":null}\n",
            "{\"target\":{\"name\":\"classical_peer\"},\"executable\":\"/a b/classical_peer\"}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n",
        );
        assert_eq!(
            executable(messages, "classical_peer"),
            Some(PathBuf::from("/a b/classical_peer"))
        );
        assert_eq!(executable(messages, "hybrid_peer"), None);
    }
}
