//! The test jobs: both backends, doctests, and without SIMD.

use std::process::Command;

use crate::constant_work;
use crate::job::{Context, JobResult, Stop};
use crate::metadata::{self, CORES, LEAVES};
use crate::process::{self, cargo, run};
use crate::vectors;

/// `cargo xtask test`.
pub(crate) fn all(context: &mut Context) -> JobResult {
    vectors::forget(context);
    let tested = fast(context).and_then(|()| portable(context)).and_then(|()| doctests(context));
    let counted = vectors::count(context);
    vectors::forget(context);
    tested.and(counted)
}

/// Every test, with the fast backend in every crate that has one.
pub(crate) fn fast(context: &mut Context) -> JobResult {
    run_tests(&mut tests(context, &with_fast(context)?))
}

/// What the tests with the fast backend select. Jobs that select the same find what they built.
pub(crate) fn with_fast(context: &Context) -> Result<String, Stop> {
    let features = leaf_features(context, |_, _| true)?;
    Ok(format!("--workspace --features {features},sealwire/hazmat"))
}

/// The crates whose cryptography a backend does, and the facade over them, with the portable one
/// alone. What stands on the facade is tested with the fast one.
pub(crate) fn portable(context: &mut Context) -> JobResult {
    let selection = with_portable(context)?;
    refuse_fast_backend(context, &selection)?;
    let mut command = tests(context, &selection);
    run_tests(
        command.arg("--").args(BEYOND_CRYPTOGRAPHY.into_iter().flat_map(|name| ["--skip", name])),
    )
}

/// Tests that play every schedule, move many bytes or start many processes. What they look at is
/// above the cryptography, and the run with the fast backend has looked at it.
const BEYOND_CRYPTOGRAPHY: [&str; 4] = ["exhaustive::", "large::", "nonces::", "processes::"];

/// As [`with_fast`], of the tests with the portable backend.
pub(crate) fn with_portable(context: &Context) -> Result<String, Stop> {
    let names = CORES.into_iter().chain(["sealwire-custody", "sealwire"]);
    let packages: Vec<String> = names.clone().map(|name| format!("--package {name}")).collect();
    let features = leaf_features(context, |name, feature| {
        feature != "fast" && names.clone().any(|tested| tested == name)
    })?;
    let packages = packages.join(" ");
    Ok(format!("{packages} --no-default-features --features {features},sealwire/sqlite"))
}

/// Every feature of the leaf crates that is `wanted`, so that no test hides
/// behind a feature that nothing turns on: `package/feature,package/feature`.
fn leaf_features(context: &Context, wanted: impl Fn(&str, &str) -> bool) -> Result<String, Stop> {
    let mut members = metadata::members(context)?;
    members.retain(|member| LEAVES.contains(&member.name.as_str()));
    let features = members.iter().flat_map(|member| {
        let names =
            member.features.iter().filter(|name| *name != "default" && wanted(&member.name, name));
        names.map(|name| format!("{}/{name}", member.name))
    });
    Ok(features.collect::<Vec<_>>().join(","))
}

/// A dependency that turned the fast backend on would make the portable run a
/// second run of the fast one.
fn refuse_fast_backend(context: &Context, selection: &str) -> JobResult {
    let mut command =
        cargo(context, &format!("tree --edges normal,dev --prefix none {selection} --format"));
    let tree = process::output(command.arg("{p} [{f}]"))?;
    let with_fast = |line: &&str| {
        let features = line.rsplit_once('[').and_then(|(_, rest)| rest.split(']').next());
        line.starts_with("sealwire")
            && features.is_some_and(|features| features.split(',').any(|name| name == "fast"))
    };
    match tree.lines().find(with_fast) {
        Some(line) => Err(Stop::fail(format!("the portable tests would build {line}"))),
        None => Ok(()),
    }
}

/// The examples in the documentation.
pub(crate) fn doctests(context: &mut Context) -> JobResult {
    let mut command = cargo(context, &format!("test --quiet --doc {}", with_fast(context)?));
    run(command.env("SEALWIRE_VECTOR_LOG", &context.vector_log))
}

/// core once more without SIMD (attack T39). In a target folder of its own, since the flags
/// change every dependency.
pub(crate) fn simd_off(context: &mut Context) -> JobResult {
    let mut command = tests(context, "--package sealwire-core --no-default-features");
    command.env("RUSTFLAGS", without_simd());
    run_tests(command.env("CARGO_TARGET_DIR", target_folder(context)?.join("simd-off")))
}

/// Flags that switch off every SIMD path of the portable backend: the curve, the ciphers, the
/// hashes.
pub(crate) fn without_simd() -> String {
    let mut flags = vec!["-Ctarget-feature=-avx2".to_owned()];
    flags.push("--cfg=curve25519_dalek_backend=\"serial\"".to_owned());
    for primitive in ["aes", "chacha20", "keccak", "poly1305", "polyval", "sha2"] {
        flags.push(format!("--cfg={primitive}_backend=\"soft\""));
    }
    flags.join(" ")
}

/// The search of memory for secrets once more as it is shipped (attack T35): an optimiser moves
/// and keeps what a debug build does not. And how deep the calls go whose stack is overwritten.
pub(crate) fn memory(context: &mut Context) -> JobResult {
    let depth = "--package sealwire-core --lib depth";
    let names = ["sealwire-noise", "sealwire-custody", "sealwire-ratchet", "sealwire-envelope"];
    let packages = names.map(|name| format!("--package {name}")).join(" ");
    let features = "sealwire-ratchet/hazmat,sealwire-envelope/store";
    let search = format!("{packages} --test memory --features {features}");
    let fast = names.map(|name| format!("{name}/fast")).join(",");
    for selection in [
        depth.to_owned(),
        format!("{depth} --features fast"),
        search.clone(),
        format!("{search} --features {fast}"),
    ] {
        let mut command = cargo(context, &format!("test --quiet --release {selection}"));
        // The code is the same with line tables, and the dependencies are those that stand there.
        command.env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only");
        command.env("CARGO_PROFILE_RELEASE_STRIP", "none");
        run(command.env("CARGO_TARGET_DIR", constant_work::folder(context)?))?;
    }
    Ok(())
}

/// Runs tests. Those that fail are named where the failure is.
fn run_tests(command: &mut Command) -> JobResult {
    process::run_telling(command, |line| {
        let state = line.split(' ').next().unwrap_or_default();
        matches!(state, "FAIL" | "TIMEOUT" | "ABORT" | "LEAK-FAIL") || state.starts_with("SIG")
    })
}

/// Where cargo builds: the workspace's target folder or the user's choice.
pub(crate) fn target_folder(context: &Context) -> Result<std::path::PathBuf, Stop> {
    let arguments = "metadata --format-version 1 --no-deps";
    let text = process::output(&mut cargo(context, arguments))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Stop::fail(error.to_string()))?;
    let folder = metadata["target_directory"].as_str();
    folder.map(Into::into).ok_or_else(|| Stop::fail("`cargo metadata` names no target folder"))
}

/// Unit and integration tests of a selection of packages, to the last one; with nextest, which
/// gives each test a process, where it is installed.
fn tests(context: &Context, selection: &str) -> Command {
    let runner = if process::find("cargo-nextest").is_some() { "nextest run" } else { "test" };
    let mut command = cargo(context, &format!("{runner} --no-fail-fast --tests {selection}"));
    command.env("SEALWIRE_VECTOR_LOG", &context.vector_log);
    command
}
