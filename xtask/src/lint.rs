//! Jobs `fmt`, `clippy` and `docs`.

use crate::job::{Context, JobResult, Stop};
use crate::metadata::{self, LEAVES};
use crate::process::{cargo, run};

/// Crates linted with their default features, where they exist.
const WITH_DEFAULTS: [&str; 5] =
    ["sealwire", "sealwire-cli", "sealwire-testkit", "sealwire-bench", "xtask"];

/// The formatting of every crate.
pub(crate) fn fmt(context: &mut Context) -> JobResult {
    run(&mut cargo(context, "fmt --all --check"))
}

/// Each leaf crate on its own with no features and with all, so that none
/// leans on a feature that another crate turns on; then the rest. Goes on after
/// a crate with warnings to show those of the others.
pub(crate) fn clippy(context: &mut Context) -> JobResult {
    let members = metadata::members(context)?;
    let leaves = LEAVES.iter().flat_map(|name| {
        ["--no-default-features", "--all-features"].map(|features| (*name, features))
    });
    let rest = WITH_DEFAULTS.iter().filter(|name| members.iter().any(|m| m.name == **name));
    let mut failed = Vec::new();
    for (name, features) in leaves.chain(rest.map(|name| (*name, ""))) {
        let arguments = format!("clippy --quiet --package {name} {features} --all-targets");
        // Dependencies inside the workspace have their own turn.
        let lint = ["--", "--no-deps", "-D", "warnings"];
        if run(cargo(context, &arguments).args(lint)).is_err() {
            failed.push(format!("clippy on {name} {features}").trim_end().to_owned());
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Stop::fail(failed.join("\n"))) }
}

/// The documentation, where every broken link is an error.
pub(crate) fn docs(context: &mut Context) -> JobResult {
    let mut command = cargo(context, "doc --quiet --workspace --no-deps --all-features");
    run(command.env("RUSTDOCFLAGS", "-D warnings"))
}
