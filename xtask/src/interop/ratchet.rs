//! `cargo xtask interop ratchet`: the asynchronous half. X3DH and the classical ratchet run
//! against the packages `x3dh` and `doubleratchet`; our whole protocol runs against its
//! executable specification, which stands on the package `cryptography`.

mod plays;
mod random;
mod talk;
mod tamper;

use std::fmt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::job::{Context, JobResult, Stop};
use crate::process;
use crate::python;

use super::party::Party;
use super::{Side, build_our_peer};
use plays::{BOTH, BURST, CLASSICAL, FULL, Play};
use talk::{OneTime, Protocol, Setup, Talk, Tally};

/// What the other implementations stand on.
const PACKAGES: [&str; 11] = [
    "DoubleRatchet==1.3.0",
    "X3DH==1.3.0",
    "XEdDSA==1.2.0",
    "cryptography==50.0.2",
    "cffi==2.1.1",
    "pycparser==3.12",
    "pydantic==2.14.3",
    "pydantic_core==2.50.4",
    "annotated-types==0.8.0",
    "typing_extensions==4.16.0",
    "typing-inspection==0.4.5",
];

/// The executable specification, and what it froze.
const SPECIFICATION: &str = "docs/spec/python";
const VECTORS: &str = "crates/ratchet/tests/vectors";

/// Messages of the specification's own test, which takes longer than all the rest.
const SELF_TEST: &str = "200";

const SUITES: [u8; 2] = [1, 2];
const SIDES: [Side; 2] = [Side::Initiator, Side::Responder];

/// Every conversation; then the specification's vectors and its own test.
pub(crate) fn ratchet(context: &mut Context) -> JobResult {
    let python = python::tools(context, &PACKAGES)?.join("python");
    let ours = build_our_peer(context, "ratchet_peer")?;
    let mut failed = Vec::new();
    let mut tally = Tally::default();
    let mut count = 0usize;
    for protocol in [Protocol::Classical, Protocol::Full] {
        let mut command = process::command(context, &ours);
        command.arg(protocol.name());
        let theirs = their_command(context, &python, protocol);
        let mut parties = [Party::start(command)?, Party::start(theirs)?];
        for group in groups(protocol) {
            count = count.saturating_add(group.cases.len());
            let (passed, wrong) = group.run(&mut parties);
            tally.add(passed);
            failed.extend(wrong);
        }
    }
    println!(
        "{count} conversations, {} failed: {} messages opened, {} refused",
        failed.len(),
        tally.opened,
        tally.refused
    );
    for words in [["check", VECTORS], ["selftest", SELF_TEST]] {
        let result = process::run(&mut their_specification(context, &python, &words));
        failed.extend(result.err().map(|stop| stop.to_string()));
    }
    if failed.is_empty() { Ok(()) } else { Err(Stop::fail(failed.join("\n"))) }
}

/// The other implementation of a protocol.
fn their_command(context: &Context, python: &Path, protocol: Protocol) -> Command {
    match protocol {
        Protocol::Classical => {
            let mut command = process::command(context, python);
            command.arg("-B").arg(context.root.join("xtask/interop/ratchet_peer.py"));
            command
        }
        Protocol::Full => their_specification(context, python, &["peer"]),
    }
}

fn their_specification(context: &Context, python: &Path, words: &[&str]) -> Command {
    let mut command = process::command(context, python);
    command.env("PYTHONPATH", context.root.join(SPECIFICATION));
    command.args(["-B", "-m", "sealwire_async"]).args(words); // No compiled modules here either.
    command
}

/// Conversations between the same sides under the same suite.
struct Group {
    name: String,
    cases: Vec<(Setup, &'static Play)>,
}

impl Group {
    /// Runs all; gives what was counted, and a line for each that failed.
    fn run(&self, parties: &mut [Party; 2]) -> (Tally, Vec<String>) {
        let (mut tally, mut failed) = (Tally::default(), Vec::new());
        for (setup, play) in &self.cases {
            let [ours, theirs] = parties;
            let result = Talk::begin(*setup, ours, theirs).and_then(|mut talk| {
                (play.run)(&mut talk)?;
                Ok(talk.tally)
            });
            match result {
                Ok(passed) => tally.add(passed),
                Err(why) => {
                    println!("FAILED  {}, {setup}, {}: {why}", self.name, play.name);
                    failed.push(format!("{}, {setup}, {}", self.name, play.name));
                }
            }
        }
        if failed.is_empty() {
            println!("ok      {:<45} {:>3} conversations, {tally}", self.name, self.cases.len());
        }
        (tally, failed)
    }
}

/// Both suites in both directions, with every play in every setup that it is made for.
fn groups(protocol: Protocol) -> Vec<Group> {
    let mut groups = Vec::new();
    for suite in SUITES {
        for we in SIDES {
            let name = format!("{} suite {suite}, ours as {we}", protocol.title());
            let setup = |one_time| Setup { protocol, suite, we, one_time };
            let mut cases = cases(protocol, setup);
            if suite == 1 {
                cases.push((setup(OneTime::NEITHER), &BURST));
            }
            groups.push(Group { name, cases });
        }
    }
    groups
}

fn cases(protocol: Protocol, setup: impl Fn(OneTime) -> Setup) -> Vec<(Setup, &'static Play)> {
    let (own, claims): (&'static [Play], &[OneTime]) = match protocol {
        Protocol::Classical => (&CLASSICAL, &[OneTime::NEITHER, OneTime::X25519]),
        Protocol::Full => {
            (&FULL, &[OneTime::NEITHER, OneTime::X25519, OneTime::KEM, OneTime::BOTH])
        }
    };
    let plays = || BOTH.iter().chain(own);
    claims.iter().flat_map(|claim| plays().map(|play| (setup(*claim), play))).collect()
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.opened = self.opened.saturating_add(other.opened);
        self.refused = self.refused.saturating_add(other.refused);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages opened, {} refused", self.opened, self.refused)
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.one_time.x25519, self.one_time.kem) {
            (false, false) => "no one-time key",
            (true, false) => "one-time X25519 key",
            (false, true) => "one-time ML-KEM key",
            (true, true) => "both one-time keys",
        })
    }
}

/// What is wrong, unless `condition` holds.
fn demand(condition: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(why()) }
}

/// The text under `name` in an answer.
fn text(answer: &Value, name: &str) -> Result<String, String> {
    let found = answer[name].as_str().map(str::to_owned);
    found.ok_or_else(|| format!("no `{name}` in {answer}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_play_runs_under_each_suite_on_each_side() {
        for (protocol, plays) in [(Protocol::Classical, &CLASSICAL[..]), (Protocol::Full, &FULL)] {
            let groups = groups(protocol);
            let names: BTreeSet<&str> = groups.iter().map(|group| &*group.name).collect();
            assert_eq!(names.len(), 4, "two suites, two sides");
            for group in &groups {
                for play in BOTH.iter().chain(plays) {
                    let found = group.cases.iter().filter(|(_, each)| each.name == play.name);
                    assert!(found.count() >= 2, "{}: {}", group.name, play.name);
                }
            }
        }
    }
}
