//! Job `constant-work`: no branch and no address depends on a secret, as valgrind sees it. And
//! `cargo xtask constant-work --timing`, which measures instead.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::debian;
use crate::job::{Context, JobResult, Stop};
use crate::process::{self, cargo, run};
use crate::test;

/// The program that does both: a workspace of its own, since it needs valgrind's headers.
const FOLDER: &str = "xtask/constant-work";

/// What memcheck may report without harm, with the reasons.
const VERDICTS: &str = "verdicts.supp";

/// How the program is built: a name, the arguments of cargo, and flags for every crate.
type Build = (&'static str, &'static str, Option<String>);

/// The backends with what the processor offers, and the portable one without.
fn builds() -> [Build; 3] {
    [
        ("portable", "", None),
        ("portable, without SIMD", "", Some(test::without_simd())),
        ("fast", "--features fast", None),
    ]
}

/// Runs every operation on secrets under memcheck, on each backend.
pub(crate) fn check(context: &mut Context) -> JobResult {
    same_versions(context)?;
    debian::need(context, &["valgrind"])?;
    let folder = folder(context)?;
    let log = folder.join("memcheck.log");
    for the_build in builds() {
        let program = build(context, &folder, &the_build)?;
        println!("backend: {}", the_build.0);
        if let Err(stop) = run(&mut memcheck(context, &log, &program)) {
            println!("{}", fs::read_to_string(&log).map_err(Stop::io(log.display()))?);
            return Err(stop);
        }
    }
    Ok(())
}

/// Compares the times of two kinds of inputs for `minutes`, and judges nothing.
pub(crate) fn timing(context: &mut Context, minutes: u64) -> JobResult {
    debian::need(context, &["valgrind"])?; // Its headers, to build.
    let folder = folder(context)?;
    let builds = builds();
    let share = minutes.saturating_mul(60) / builds.len() as u64;
    for the_build in builds {
        let program = build(context, &folder, &the_build)?;
        println!("backend: {}", the_build.0);
        run(process::command(context, program).args(["timing", &share.to_string()]))?;
    }
    Ok(())
}

/// Where release builds with line tables stand: of this program, and of what is searched for
/// secrets. They share their dependencies.
pub(crate) fn folder(context: &Context) -> Result<PathBuf, Stop> {
    Ok(test::target_folder(context)?.join("constant-work"))
}

fn build(context: &Context, folder: &Path, build: &Build) -> Result<PathBuf, Stop> {
    let (_, features, flags) = build;
    let arguments = format!("build --quiet --locked --release --manifest-path {FOLDER}/Cargo.toml");
    let mut command = cargo(context, &arguments);
    command.args(features.split_whitespace()).arg("--target-dir").arg(folder);
    if let Some(flags) = flags {
        command.env("RUSTFLAGS", flags);
    }
    run(&mut command)?;
    Ok(folder.join("release/sealwire-constant-work"))
}

fn memcheck(context: &Context, log: &Path, program: &Path) -> std::process::Command {
    let mut command = process::command(context, "valgrind");
    command.args(["--quiet", "--error-limit=no", "--num-callers=30"]);
    command.arg(format!("--suppressions={FOLDER}/{VERDICTS}"));
    command.arg(format!("--log-file={}", log.display())).arg(program);
    command
}

/// The cryptography that is checked here is the one that is released: every crate stands in the
/// workspace's lock file in the same version.
fn same_versions(context: &Context) -> JobResult {
    let read = |path: &str| {
        let path = context.root.join(path);
        fs::read_to_string(&path).map_err(Stop::io(path.display()))
    };
    let (root, ours) = (read("Cargo.lock")?, read(&format!("{FOLDER}/Cargo.lock"))?);
    let released: BTreeSet<_> = packages(&root).collect();
    let own = ["\"crabgrind\"", "\"sealwire-constant-work\""];
    let others: Vec<String> = packages(&ours)
        .filter(|package| !released.contains(package) && !own.contains(&package.0))
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Stop::fail(format!("{FOLDER}/Cargo.lock differs from Cargo.lock: {}", others.join(", "))))
}

/// Names and versions in a lock file.
fn packages(lock: &str) -> impl Iterator<Item = (&str, &str)> {
    lock.split("[[package]]").skip(1).filter_map(|package| {
        let field = |key| package.lines().find_map(|line| line.strip_prefix(key));
        Some((field("name = ")?, field("version = ")?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_files_are_read() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0\"\n\n[[package]]\n\
                    name = \"b\"\nversion = \"2.0\"\ndependencies = [\n \"a\",\n]\n";
        let found: Vec<_> = packages(lock).collect();
        assert_eq!(found, [("\"a\"", "\"1.0\""), ("\"b\"", "\"2.0\"")]);
    }
}
