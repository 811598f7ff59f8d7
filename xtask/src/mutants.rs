//! `cargo xtask mutants`: changes one thing in a crate, runs its tests, and reports changes that no
//! test notices. What is left alone, and why, stands in `.cargo/mutants.toml`.

use std::path::Path;
use std::process::Command;

use crate::job::{Context, JobResult, Stop};
use crate::process::{self, run};
use crate::test;

/// From crates.io, since PyPI has no build of it.
const INSTALL: &str = "cargo install cargo-mutants --locked --version 27.1.0";

/// What is asked for on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// One of [`names`]; all of them without.
    pub(crate) package: Option<String>,
    /// One part of the mutants, as `k/n` with k from 0.
    pub(crate) shard: Option<String>,
}

/// A crate whose tests are to notice every change.
struct Subject {
    name: &'static str,
    features: &'static str,
    /// The tests that judge, as cargo selects them.
    tests: &'static str,
}

const SUBJECTS: [Subject; 5] = [
    // With both backends, so that the tests which compare them judge both.
    Subject { name: "core", features: "fast", tests: "--lib --tests" },
    Subject { name: "hybrid", features: "", tests: "--lib --tests" },
    Subject { name: "identity", features: "", tests: "--lib --tests" },
    // With the store, whose mutants would live unbuilt. Neither `memory` nor `logs`, which start
    // processes and servers.
    Subject {
        name: "envelope",
        features: "fs",
        tests: "--lib --test=api --test=corpus --test=store --test=full_disk",
    },
    // Not `memory`: it starts processes for every secret and takes longer than all others.
    Subject { name: "noise", features: "tokio,hazmat", tests: "--lib --test=api --test=corpus" },
];

/// The crates that can be asked for.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SUBJECTS.iter().map(|subject| subject.name)
}

/// Runs cargo-mutants on one crate or on all, to the last one even if an earlier one has a mutant
/// that lives.
pub(crate) fn check(context: &mut Context, options: &Options) -> JobResult {
    if !process::succeeds(&mut process::cargo(context, "mutants --version")) {
        return Err(Stop::skip("cargo-mutants is not installed", INSTALL));
    }
    let folder = test::target_folder(context)?.join("mutants");
    let wanted = |subject: &&Subject| options.package.as_ref().is_none_or(|n| n == subject.name);
    let mut outcome = Ok(());
    for subject in SUBJECTS.iter().filter(wanted) {
        let reports = folder.join(subject.name);
        std::fs::create_dir_all(&reports).map_err(Stop::io(reports.display()))?;
        let mut command = mutate(context, subject, &folder, &reports);
        if let Some(shard) = &options.shard {
            command.args(["--shard", shard]);
        }
        outcome = outcome.and(run(&mut command));
    }
    outcome
}

/// One job at a time, since all mutants share a target folder: dependencies are built once.
fn mutate(context: &Context, subject: &Subject, target: &Path, reports: &Path) -> Command {
    let Subject { name, features, tests } = subject;
    let mut command = process::cargo(context, "mutants --jobs=1 --no-shuffle");
    command.arg(format!("--package=sealwire-{name}"));
    command.args(["--no-default-features", &format!("--features={features}")]);
    command.args(tests.split_whitespace().map(|word| format!("--cargo-arg={word}")));
    command.arg("--output").arg(reports).env("CARGO_TARGET_DIR", target);
    command
}
