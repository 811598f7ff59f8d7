//! Jobs `leaf-builds`, `package` and `lockfile`.

use std::path::Path;

use crate::job::{Context, JobResult};
use crate::metadata::CORES;
use crate::process::{self, cargo, run};
use crate::test;

/// Each core builds alone without its default features.
pub(crate) fn leaves(context: &mut Context) -> JobResult {
    for name in CORES {
        run(&mut cargo(context, &format!("build --quiet --package {name} --no-default-features")))?;
    }
    Ok(())
}

/// Every crate packs and then builds from its package alone: nothing that it
/// includes lies outside its folder. One target folder for all of them, kept
/// from run to run, so that dependencies are built once.
pub(crate) fn package(context: &mut Context) -> JobResult {
    let target = test::target_folder(context)?.join("packages");
    let mut command =
        cargo(context, "package --quiet --workspace --exclude xtask --allow-dirty --target-dir");
    run(command.arg(target))
}

/// The lock files are complete; in continuous integration, where nobody meant
/// to change them, they are also still as committed.
pub(crate) fn lockfile(context: &mut Context) -> JobResult {
    let manifests = ["Cargo.toml", "fuzz/Cargo.toml"];
    for manifest in manifests.into_iter().filter(|path| context.root.join(path).is_file()) {
        let arguments =
            format!("metadata --locked --quiet --format-version 1 --manifest-path {manifest}");
        process::output(&mut cargo(context, &arguments))?;
        println!("{}: the lock file is complete", lock_of(manifest));
    }
    if context.ci {
        let mut git = process::command(context, "git");
        run(git.args(["diff", "--exit-code", "HEAD", "--"]).args(manifests.map(lock_of)))?;
    }
    Ok(())
}

fn lock_of(manifest: &str) -> String {
    Path::new(manifest).with_extension("lock").to_string_lossy().into_owned()
}
