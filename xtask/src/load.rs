//! `cargo xtask load`: a relay under a load of messages, each of which is accounted for.
//!
//! The relay is the program that operators run, in a process of its own, over a store on the
//! disk. Other processes send when messages are due, whether or not the ones before are answered,
//! and read what arrives.

use std::fmt::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::bench;
use crate::job::{Context, JobResult, Stop};
use crate::process::{self, cargo};
use crate::test;

/// What is asked for on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// How long messages are sent.
    pub(crate) seconds: u64,
    /// Mailboxes, each with a reader.
    pub(crate) agents: u64,
    /// Messages a second.
    pub(crate) rate: u64,
    /// Connections on which they are sent.
    pub(crate) connections: u64,
    /// Processes that send and read.
    pub(crate) processes: u64,
    /// Seconds after which the relay is killed and started anew.
    pub(crate) kill_every: Option<u64>,
    /// One JSON object instead of lines for people.
    pub(crate) json: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seconds: 10,
            agents: 200,
            rate: 2000,
            connections: 256,
            processes: 2,
            kill_every: None,
            json: false,
        }
    }
}

/// Builds relay and load, runs them, and says what came of it: false when a message was lost,
/// altered or came again.
pub(crate) fn run(context: &Context, options: &Options) -> Result<bool, Stop> {
    let target = test::target_folder(context)?;
    bench::build(context, "--package sealwire-cli", &target)?;
    bench::build(context, "--package sealwire-bench --example load", &target)?;
    let outcome = outcome(context, &target.join("release"), options)?;
    if options.json {
        println!("{outcome}");
    } else {
        print!("{}", Shown(&outcome));
    }
    Ok(outcome["good"] == true)
}

/// Job `load`: a short one, of programs as the tests build them, whose relay is killed three times.
pub(crate) fn check(context: &mut Context) -> JobResult {
    let options = Options {
        seconds: 8,
        agents: 20,
        rate: 300,
        connections: 32,
        kill_every: Some(2),
        ..Options::default()
    };
    let selection = test::with_fast(context)?;
    let programs = "--bin sealwire --example load";
    process::run(&mut cargo(context, &format!("build --quiet {selection} {programs}")))?;
    let debug = test::target_folder(context)?.join("debug");
    let outcome = outcome(context, &debug, &options)?;
    print!("{}", Shown(&outcome));
    let all = outcome["accepted"] == outcome["due"] && outcome["delivered"] == outcome["due"];
    if outcome["good"] == true && all && outcome["relay"]["kills"] == 3 {
        Ok(())
    } else {
        Err(Stop::fail("not every message is accounted for"))
    }
}

/// Runs a load of the programs in `folder`.
fn outcome(context: &Context, folder: &Path, options: &Options) -> Result<Value, Stop> {
    let mut command = process::command(context, folder.join("examples/load"));
    let text = process::output(command.arg("run").arg(options.to_json().to_string()))?;
    serde_json::from_str(&text)
        .map_err(|_| Stop::fail(format!("the load printed `{}`", text.trim())))
}

impl Options {
    fn to_json(self) -> Value {
        let Self { seconds, agents, rate, connections, processes, kill_every, json: _ } = self;
        json!({
            "seconds": seconds,
            "agents": agents,
            "rate": rate,
            "connections": connections,
            "processes": processes,
            "kill_every": kill_every,
        })
    }
}

/// An outcome, for people.
struct Shown<'a>(&'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(outcome) = self;
        let count = |name: &str| grouped(outcome[name].as_u64().unwrap_or_default());
        let number = |value: &Value| value.as_f64().unwrap_or_default();
        writeln!(
            f,
            "{} messages due in {} s for {} agents, {:.0} a second",
            count("due"),
            outcome["seconds"],
            outcome["agents"],
            number(&outcome["rate"]),
        )?;
        for name in ["accepted", "delivered", "lost", "duplicated", "altered", "unknown"] {
            writeln!(f, "  {name:<12} {:>12}", count(name))?;
        }
        for name in ["redelivered", "refused", "unanswered"] {
            if outcome[name] != 0 {
                writeln!(f, "  {name:<12} {:>12}", count(name))?;
            }
        }
        writeln!(f, "  accepts/s    {:>12.0}", number(&outcome["accepts_per_second"]))?;
        for name in ["accept", "delivery"] {
            let times = &outcome[name];
            let [p50, p99, longest] = ["p50", "p99", "longest"].map(|it| number(&times[it]));
            writeln!(f, "  {name:<12} p50 {p50:.1} ms, p99 {p99:.1} ms, longest {longest:.1} ms")?;
        }
        let (relay, load) = (&outcome["relay"], number(&outcome["load"]["busy"]));
        let [memory, peak] = ["memory", "peak"].map(|it| number(&relay[it]) / 1e6);
        writeln!(
            f,
            "  relay        {memory:.0} MB, at most {peak:.0} MB; killed {} times",
            relay["kills"]
        )?;
        writeln!(f, "  processor    relay {:.1} s, load {load:.1} s", number(&relay["busy"]))?;
        let verdict =
            if outcome["good"] == true { "nothing lost, nothing twice" } else { "NOT GOOD" };
        writeln!(f, "{verdict}")
    }
}

/// With commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        // Writing to a string does not fail.
        let _ = write!(text, "{digit}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_shown_with_its_verdict() {
        let mut outcome = json!({
            "seconds": 10, "agents": 200, "rate": 2000.0, "due": 20_012, "refused": 0,
            "unanswered": 0, "accepted": 20_012, "delivered": 20_012, "lost": 0, "duplicated": 0,
            "redelivered": 3, "altered": 0, "unknown": 0, "accepts_per_second": 2001.2,
            "accept": {"p50": 4.0, "p99": 9.5, "longest": 12.0},
            "delivery": {"p50": 5.0, "p99": 11.5, "longest": 15.0},
            "relay": {"memory": 50_000_000, "peak": 60_000_000, "busy": 3.5, "kills": 2},
            "load": {"busy": 2.5}, "good": true,
        });
        let shown = Shown(&outcome).to_string();
        for part in
            ["accepted           20,012", "redelivered             3", "p99 9.5 ms", "60 MB"]
        {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("refused"), "{shown}");
        assert!(shown.ends_with("nothing lost, nothing twice\n"), "{shown}");
        outcome["good"] = false.into();
        assert!(Shown(&outcome).to_string().ends_with("NOT GOOD\n"));
    }

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
