//! Jobs `leaf-builds`, `package` and `lockfile`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::job::{Context, JobResult, Stop};
use crate::metadata::CORES;
use crate::process::{self, cargo, run};
use crate::test;

/// Each core, and the facade, builds alone without its default features.
pub(crate) fn leaves(context: &mut Context) -> JobResult {
    for name in CORES.into_iter().chain(["sealwire"]) {
        run(&mut cargo(context, &format!("build --quiet --package {name} --no-default-features")))?;
    }
    Ok(())
}

/// Every crate packs and then builds from its package alone: nothing that it
/// includes lies outside its folder. In the folder of the tests, which have built
/// the dependencies: the profile is in `.cargo/config.toml`, and so that of a
/// package too.
pub(crate) fn package(context: &mut Context) -> JobResult {
    forget_unpacked().map_err(|error| Stop::Fail(format!("an unpacked package stays: {error}")))?;
    let mut command =
        cargo(context, "package --quiet --workspace --exclude xtask --allow-dirty --target-dir");
    run(command.arg(test::target_folder(context)?))
}

/// Removes our packages from cargo's source cache. Cargo unpacks them there under a registry
/// without a host, whose name begins with a dash, and takes an unpacked package of the same
/// version for the new one: the build would be of what stood here before.
fn forget_unpacked() -> std::io::Result<()> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let Some(Ok(registries)) = home.map(|home| fs::read_dir(home.join("registry/src"))) else {
        return Ok(());
    };
    for registry in registries {
        let registry = registry?;
        if !registry.file_name().as_encoded_bytes().starts_with(b"-") {
            continue;
        }
        for unpacked in fs::read_dir(registry.path())? {
            let unpacked = unpacked?;
            if unpacked.file_name().as_encoded_bytes().starts_with(b"sealwire") {
                fs::remove_dir_all(unpacked.path())?;
            }
        }
    }
    Ok(())
}

/// The lock files are complete; in continuous integration, where nobody meant
/// to change them, they are also still as committed.
pub(crate) fn lockfile(context: &mut Context) -> JobResult {
    let manifests = ["Cargo.toml", "fuzz/Cargo.toml", "xtask/constant-work/Cargo.toml"];
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
