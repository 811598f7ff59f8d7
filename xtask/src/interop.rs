//! `cargo xtask interop noise`: our Noise against the PyPI package
//! `noiseprotocol`, two processes that speak over pipes.

use std::fmt;
use std::io::{PipeReader, PipeWriter};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use crate::job::{Context, JobResult, Stop};
use crate::process;
use crate::python;

/// The other implementation, and what it stands on.
const PEER: [&str; 4] =
    ["noiseprotocol==0.3.1", "cryptography==50.0.2", "cffi==2.1.1", "pycparser==3.12"];

/// How long both processes have from start to end.
const TIMEOUT: Duration = Duration::from_secs(30);

const PATTERNS: [&str; 2] = ["XX", "IK"];
const CIPHERS: [&str; 2] = ["ChaChaPoly", "AESGCM"];

/// Static keys of the two sides; a key pair of RFC 7748, section 6.1, for the
/// responder, whose public key an IK initiator must know.
const INITIATOR_SECRET: &str = "a11ce0000000000000000000000000000000000000000000000000000000c0de";
const RESPONDER_SECRET: &str = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
const RESPONDER_PUBLIC: &str = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";

/// Both patterns and ciphers, each with our side as initiator and as responder.
pub(crate) fn noise(context: &mut Context) -> JobResult {
    let theirs = vec![
        python::tools(context, &PEER)?.join("python"),
        context.root.join("xtask/interop/noise_peer.py"),
    ];
    let ours = vec![build_our_peer(context)?];
    let mut failed = Vec::new();
    for case in cases() {
        let (initiator, responder) =
            if case.we_initiate { (&ours, &theirs) } else { (&theirs, &ours) };
        match talk(context, &case, initiator, responder) {
            Ok(()) => println!("ok      {case}"),
            Err(why) => {
                println!("FAILED  {case}: {why}");
                failed.push(case.to_string());
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Stop::fail(failed.join("\n"))) }
}

/// One conversation.
#[derive(Debug)]
struct Case {
    pattern: &'static str,
    cipher: &'static str,
    we_initiate: bool,
}

impl Case {
    fn protocol(&self) -> String {
        format!("Noise_{}_25519_{}_SHA256", self.pattern, self.cipher)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.we_initiate { "initiator" } else { "responder" };
        write!(f, "{:<33} ours as {role}", self.protocol())
    }
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for pattern in PATTERNS {
        for cipher in CIPHERS {
            cases.extend([true, false].map(|we_initiate| Case { pattern, cipher, we_initiate }));
        }
    }
    cases
}

/// Builds the example of our noise crate and asks cargo where it stands.
fn build_our_peer(context: &Context) -> Result<PathBuf, Stop> {
    let arguments = "build --quiet --package sealwire-noise --features hazmat \
                     --example classical_peer --message-format json";
    let messages = process::output(&mut process::cargo(context, arguments))?;
    executable(&messages).ok_or_else(|| Stop::fail("cargo built no example classical_peer"))
}

fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    messages
        .filter(|message: &serde_json::Value| message["target"]["name"] == "classical_peer")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Starts both sides, each writing to the other's standard input, and waits
/// until both have ended well.
fn talk(
    context: &Context,
    case: &Case,
    initiator: &[PathBuf],
    responder: &[PathBuf],
) -> Result<(), String> {
    let (responder_reads, initiator_writes) = pipe()?;
    let (initiator_reads, responder_writes) = pipe()?;
    let mut command = peer(context, initiator, case, ["initiator", INITIATOR_SECRET])?;
    if case.pattern == "IK" {
        command.arg(RESPONDER_PUBLIC);
    }
    let initiator = spawn(command, initiator_reads, initiator_writes)?;
    let command = peer(context, responder, case, ["responder", RESPONDER_SECRET])?;
    let responder = match spawn(command, responder_reads, responder_writes) {
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

fn peer(
    context: &Context,
    program: &[PathBuf],
    case: &Case,
    arguments: [&str; 2],
) -> Result<Command, String> {
    let (program, script) = program.split_first().ok_or("no program")?;
    let mut command = process::command(context, program);
    command.args(script).arg(case.protocol()).args(arguments);
    Ok(command)
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
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_pattern_cipher_and_direction_is_a_case() {
        let names: BTreeSet<String> = cases().iter().map(Case::to_string).collect();
        assert_eq!(names.len(), 8);
        assert!(names.contains("Noise_IK_25519_AESGCM_SHA256      ours as responder"));
    }

    #[test]
    fn the_example_is_found_among_cargo_messages() {
        let messages = concat!(
            "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"snow\"},\"executable\":null}\n",
            "{\"target\":{\"name\":\"classical_peer\"},\"executable\":\"/a b/classical_peer\"}\n",
            "{\"reason\":\"build-finished\",\"success\":true}\n",
        );
        assert_eq!(executable(messages), Some(PathBuf::from("/a b/classical_peer")));
        assert_eq!(executable("{}"), None);
    }
}
