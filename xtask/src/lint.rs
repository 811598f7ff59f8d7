//! Jobs `fmt`, `clippy` and `docs`.

use crate::job::{Context, JobResult, Stop};
use crate::metadata::LEAVES;
use crate::process::{cargo, run};

/// The formatting of every crate.
pub(crate) fn fmt(context: &mut Context) -> JobResult {
    run(&mut cargo(context, "fmt --all --check"))
}

/// Every crate with all features; the tests that need servers, which are no targets of an
/// ordinary run; and each leaf crate on its own with no features, so that none leans on one that
/// another crate turns on: without its tests, for which other crates turn features on. Goes on
/// after a crate with warnings to show those of the others.
pub(crate) fn clippy(context: &mut Context) -> JobResult {
    let whole = ["--all-targets", "--test services"]
        .map(|targets| format!("--workspace --all-features {targets}"));
    let leaves = LEAVES.map(|name| format!("--package {name} --no-default-features"));
    let mut failed = Vec::new();
    for selection in whole.into_iter().chain(leaves) {
        let arguments = format!("clippy --quiet {selection}");
        // Dependencies inside the workspace have their own turn.
        let lint = ["--", "--no-deps", "-D", "warnings"];
        if run(cargo(context, &arguments).args(lint)).is_err() {
            failed.push(format!("clippy {selection}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Stop::fail(failed.join("\n"))) }
}

/// The documentation, where every broken link is an error.
pub(crate) fn docs(context: &mut Context) -> JobResult {
    let mut command = cargo(context, "doc --quiet --workspace --no-deps --all-features");
    run(command.env("RUSTDOCFLAGS", "-D warnings"))
}
