//! The command line, parsed into types.

use crate::services::{self, Action};
use crate::{bench, ci, load, mutants};

/// Printed by `cargo xtask help` and after every usage error.
pub(crate) const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci [--only JOB[,JOB]] [--list]  run every job, or some, or name them
  test                            the tests with both backends, and the doctests
  edges                           which crate may import which, duplicate cryptography
  tidy                            file sizes, forbidden attributes, rule ids
  attacks                         how many of the forty attacks have a test
  fuzz [--minutes N]              run the fuzz targets, two at a time, each for N
                                  minutes (default 10)
  crash                           kill processes at each of their system calls, and cut the
                                  power of their disks
  constant-work [--timing [--minutes N]]
                                  nothing depends on a secret but results: seen by valgrind;
                                  or measured, for N minutes (default 10)
  mutants [--package NAME] [--shard K/N]
                                  changes to core, hybrid, identity, noise and envelope
                                  that no test notices; or to one of them; or part K of
                                  N of the changes
  bench SUITE [--json] [--quick] [--html FILE]
                                  our figures beside those of peers: handshake,
                                  record, xwing, ratchet, envelope, growth, relay
  load [--seconds N] [--agents N] [--rate R] [--connections N] [--processes N]
       [--kill-every N] [--json]
                                  a relay under a load of messages, each accounted for:
                                  R a second to N agents for N seconds; killed and
                                  started anew every N seconds
  interop noise                   Noise, classical and ours, against another implementation
  interop ratchet                 X3DH, the ratchet and our agreement, the same way
  interop envelope                objects at rest and their wrapped keys, the same way
  services start|stop|check [NAME...]
                                  the servers which tests need: openbao, moto, seaweedfs,
                                  azurite; `start` prints the variables that tests read
  help                            this text

environment: CI=true                a job that has to be skipped is a failure
             SEALWIRE_CACHE=DIR     where tools from PyPI and npm are kept";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// All jobs, or those named in `only`; with `list`, print their names.
    Ci {
        /// Names of jobs; empty means all.
        only: Vec<String>,
        /// Print the names instead of running anything.
        list: bool,
    },
    /// Check the dependency graph.
    Edges,
    /// Check the source files.
    Tidy,
    /// Count the attacks that have a test.
    Attacks,
    /// Run the tests.
    Test,
    /// Run the fuzz targets.
    Fuzz {
        /// Minutes for each target.
        minutes: u64,
    },
    /// Kill processes at each system call, and cut the power of their disks.
    Crash,
    /// Look for work that depends on a secret.
    ConstantWork {
        /// Measure for so many minutes, instead of looking at each instruction.
        minutes: Option<u64>,
    },
    /// Look for changes that no test notices.
    Mutants(mutants::Options),
    /// Measure, and set the figures beside those of peers.
    Bench(bench::Options),
    /// Load a relay, and account for each message.
    Load(load::Options),
    /// Run our Noise against another implementation.
    InteropNoise,
    /// Run our agreement and ratchet against other implementations.
    InteropRatchet,
    /// Run our objects at rest against another implementation.
    InteropEnvelope,
    /// Start, end or look for the servers which tests need.
    Services {
        /// What to do.
        action: Action,
        /// With which; empty means all.
        names: Vec<String>,
    },
    /// Print the usage.
    Help,
}

/// Parses the arguments after the program's name.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut arguments = arguments.peekable();
    let Some(name) = arguments.next() else {
        return Err("a command is missing".to_owned());
    };
    let command = match name.as_str() {
        "ci" => parse_ci(&mut arguments)?,
        "edges" => Command::Edges,
        "tidy" => Command::Tidy,
        "attacks" => Command::Attacks,
        "test" => Command::Test,
        "fuzz" => Command::Fuzz { minutes: parse_minutes("fuzz", &mut arguments)? },
        "crash" => Command::Crash,
        "constant-work" => {
            let timing = arguments.next_if(|flag| flag == "--timing").is_some();
            let minutes = timing.then(|| parse_minutes("constant-work", &mut arguments));
            Command::ConstantWork { minutes: minutes.transpose()? }
        }
        "mutants" => parse_mutants(&mut arguments)?,
        "bench" => parse_bench(&mut arguments)?,
        "load" => parse_load(&mut arguments)?,
        "interop" => match arguments.next().as_deref() {
            Some("noise") => Command::InteropNoise,
            Some("ratchet") => Command::InteropRatchet,
            Some("envelope") => Command::InteropEnvelope,
            Some(other) => return Err(format!("unknown protocol `{other}` for `interop`")),
            None => return Err("`interop` needs a protocol: noise, ratchet, envelope".to_owned()),
        },
        "services" => parse_services(&mut arguments)?,
        "help" | "-h" | "--help" => Command::Help,
        other => return Err(format!("unknown command `{other}`")),
    };
    match arguments.next() {
        Some(extra) => Err(format!("`{name}` does not take `{extra}`")),
        None => Ok(command),
    }
}

fn parse_ci(
    arguments: &mut std::iter::Peekable<impl Iterator<Item = String>>,
) -> Result<Command, String> {
    let mut only = Vec::new();
    let mut list = false;
    while let Some(flag) = arguments.next_if(|flag| flag.starts_with('-')) {
        match flag.as_str() {
            "--list" => list = true,
            "--only" => {
                let names = arguments.next().ok_or("`--only` needs the name of a job")?;
                only.extend(names.split(',').map(str::to_owned));
            }
            other => return Err(format!("unknown flag `{other}` for `ci`")),
        }
    }
    if let Some(unknown) = only.iter().find(|name| !ci::names().any(|known| known == *name)) {
        let known: Vec<_> = ci::names().collect();
        return Err(format!("unknown job `{unknown}`; the jobs are {}", known.join(", ")));
    }
    Ok(Command::Ci { only, list })
}

fn parse_minutes(
    command: &str,
    arguments: &mut std::iter::Peekable<impl Iterator<Item = String>>,
) -> Result<u64, String> {
    let mut minutes = 10;
    while let Some(flag) = arguments.next_if(|flag| flag.starts_with('-')) {
        if flag != "--minutes" {
            return Err(format!("unknown flag `{flag}` for `{command}`"));
        }
        let value = arguments.next().ok_or("`--minutes` needs a number")?;
        minutes = match value.parse() {
            Ok(0) | Err(_) => {
                return Err(format!("`--minutes {value}`: a whole number from 1 is needed"));
            }
            Ok(minutes) => minutes,
        };
    }
    Ok(minutes)
}

fn parse_mutants(
    arguments: &mut std::iter::Peekable<impl Iterator<Item = String>>,
) -> Result<Command, String> {
    let crates = || mutants::names().collect::<Vec<_>>().join(", ");
    let mut options = mutants::Options::default();
    while let Some(flag) = arguments.next_if(|flag| flag.starts_with('-')) {
        match flag.as_str() {
            "--package" => {
                let name = arguments.next().unwrap_or_default();
                if !mutants::names().any(|known| known == name) {
                    return Err(format!("`--package {name}`: the crates are {}", crates()));
                }
                options.package = Some(name);
            }
            "--shard" => {
                let shard = arguments.next().filter(|shard| is_shard(shard));
                options.shard = Some(shard.ok_or("`--shard` needs K/N, such as 0/4")?);
            }
            other => return Err(format!("unknown flag `{other}` for `mutants`")),
        }
    }
    Ok(Command::Mutants(options))
}

fn parse_services(
    arguments: &mut std::iter::Peekable<impl Iterator<Item = String>>,
) -> Result<Command, String> {
    let action = match arguments.next().as_deref() {
        Some("start") => Action::Start,
        Some("stop") => Action::Stop,
        Some("check") => Action::Check,
        Some(other) => return Err(format!("unknown action `{other}` for `services`")),
        None => return Err("`services` needs one of start, stop, check".to_owned()),
    };
    let names: Vec<String> = arguments.collect();
    if let Some(unknown) = names.iter().find(|name| !services::names().any(|known| known == *name))
    {
        let known: Vec<_> = services::names().collect();
        return Err(format!("unknown server `{unknown}`; the servers are {}", known.join(", ")));
    }
    Ok(Command::Services { action, names })
}

/// `K/N` with K below N.
fn is_shard(text: &str) -> bool {
    let numbers = text.split_once('/').map(|(k, n)| (k.parse::<u32>(), n.parse::<u32>()));
    matches!(numbers, Some((Ok(k), Ok(n))) if k < n)
}

fn parse_bench(
    arguments: &mut std::iter::Peekable<impl Iterator<Item = String>>,
) -> Result<Command, String> {
    let suites = || bench::names().collect::<Vec<_>>().join(", ");
    let suite = arguments.next().ok_or_else(|| format!("`bench` needs a suite: {}", suites()))?;
    if !bench::names().any(|known| known == suite) {
        return Err(format!("unknown suite `{suite}`; the suites are {}", suites()));
    }
    let mut options = bench::Options { suite, json: false, quick: false, html: None };
    while let Some(flag) = arguments.next_if(|flag| flag.starts_with('-')) {
        match flag.as_str() {
            "--json" => options.json = true,
            "--quick" => options.quick = true,
            "--html" => {
                let path = arguments.next().ok_or("`--html` needs the name of a file")?;
                options.html = Some(path.into());
            }
            other => return Err(format!("unknown flag `{other}` for `bench`")),
        }
    }
    Ok(Command::Bench(options))
}

fn parse_load(
    arguments: &mut std::iter::Peekable<impl Iterator<Item = String>>,
) -> Result<Command, String> {
    let mut options = load::Options::default();
    while let Some(flag) = arguments.next_if(|flag| flag.starts_with('-')) {
        if flag == "--json" {
            options.json = true;
            continue;
        }
        let place = match flag.as_str() {
            "--seconds" => &mut options.seconds,
            "--agents" => &mut options.agents,
            "--rate" => &mut options.rate,
            "--connections" => &mut options.connections,
            "--processes" => &mut options.processes,
            "--kill-every" => options.kill_every.get_or_insert_default(),
            other => return Err(format!("unknown flag `{other}` for `load`")),
        };
        let value = arguments.next().ok_or_else(|| format!("`{flag}` needs a number"))?;
        *place = match value.parse() {
            Ok(0) | Err(_) => {
                return Err(format!("`{flag} {value}`: a whole number from 1 is needed"));
            }
            Ok(number) => number,
        };
    }
    Ok(Command::Load(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn commands_parse() {
        let cases = [
            ("ci", Command::Ci { only: vec![], list: false }),
            ("ci --list", Command::Ci { only: vec![], list: true }),
            (
                "ci --only fmt,edges --only tidy",
                Command::Ci {
                    only: ["fmt", "edges", "tidy"].map(str::to_owned).into(),
                    list: false,
                },
            ),
            ("fuzz", Command::Fuzz { minutes: 10 }),
            ("fuzz --minutes 3", Command::Fuzz { minutes: 3 }),
            ("crash", Command::Crash),
            ("constant-work", Command::ConstantWork { minutes: None }),
            ("constant-work --timing", Command::ConstantWork { minutes: Some(10) }),
            ("constant-work --timing --minutes 2", Command::ConstantWork { minutes: Some(2) }),
            ("mutants", Command::Mutants(mutants::Options::default())),
            (
                "mutants --package noise --shard 0/4",
                Command::Mutants(mutants::Options {
                    package: Some("noise".to_owned()),
                    shard: Some("0/4".to_owned()),
                }),
            ),
            (
                "bench record --json --quick --html a.html",
                Command::Bench(bench::Options {
                    suite: "record".to_owned(),
                    json: true,
                    quick: true,
                    html: Some("a.html".into()),
                }),
            ),
            ("load", Command::Load(load::Options::default())),
            (
                "load --seconds 5 --agents 10 --rate 300 --kill-every 2 --json",
                Command::Load(load::Options {
                    seconds: 5,
                    agents: 10,
                    rate: 300,
                    kill_every: Some(2),
                    json: true,
                    ..load::Options::default()
                }),
            ),
            ("interop noise", Command::InteropNoise),
            (
                "services start moto openbao",
                Command::Services {
                    action: Action::Start,
                    names: ["moto", "openbao"].map(str::to_owned).into(),
                },
            ),
            ("services check", Command::Services { action: Action::Check, names: vec![] }),
            ("interop ratchet", Command::InteropRatchet),
            ("interop envelope", Command::InteropEnvelope),
            ("--help", Command::Help),
        ];
        for (line, command) in cases {
            assert_eq!(parse_words(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn usage_errors_name_the_word() {
        let cases = [
            ("", "a command is missing"),
            ("frobnicate", "unknown command `frobnicate`"),
            ("ci --fast", "unknown flag `--fast` for `ci`"),
            ("ci --only", "`--only` needs the name of a job"),
            ("ci --only fmt,nope", "unknown job `nope`"),
            ("ci fmt", "`ci` does not take `fmt`"),
            ("edges now", "`edges` does not take `now`"),
            ("fuzz --minutes", "`--minutes` needs a number"),
            ("fuzz --minutes 0", "`--minutes 0`: a whole number from 1 is needed"),
            ("crash --minutes 2", "`crash` does not take `--minutes`"),
            ("constant-work --minutes 2", "`constant-work` does not take `--minutes`"),
            ("mutants --package", "`--package `: the crates are core, hybrid"),
            ("mutants --package cli", "`--package cli`: the crates are core, hybrid"),
            ("mutants --shard", "`--shard` needs K/N"),
            ("mutants --shard 4/4", "`--shard` needs K/N"),
            ("mutants --shard 0-4", "`--shard` needs K/N"),
            ("mutants --all", "unknown flag `--all` for `mutants`"),
            ("mutants noise", "`mutants` does not take `noise`"),
            ("bench", "`bench` needs a suite: handshake, record"),
            ("bench speed", "unknown suite `speed`"),
            ("bench xwing --html", "`--html` needs the name of a file"),
            ("bench xwing fast", "`bench` does not take `fast`"),
            ("load --rate", "`--rate` needs a number"),
            ("load --seconds 0", "`--seconds 0`: a whole number from 1 is needed"),
            ("load --kill-every 1.5", "`--kill-every 1.5`: a whole number from 1 is needed"),
            ("load --fast", "unknown flag `--fast` for `load`"),
            ("load relay", "`load` does not take `relay`"),
            ("interop", "`interop` needs a protocol: noise, ratchet, envelope"),
            ("services", "`services` needs one of start, stop, check"),
            ("services restart", "unknown action `restart` for `services`"),
            ("services stop minio", "unknown server `minio`; the servers are openbao, moto"),
            ("interop tls", "unknown protocol `tls` for `interop`"),
        ];
        for (line, message) in cases {
            let error = parse_words(line).unwrap_err();
            assert!(error.starts_with(message), "{line}: {error}");
        }
    }
}
