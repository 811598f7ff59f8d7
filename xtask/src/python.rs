//! Tools from PyPI, in virtual environments outside the checkout.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::debian;
use crate::job::{Context, JobResult, Stop};
use crate::process;

/// The folder with the programs of a virtual environment that holds exactly
/// `requirements` (`name==version` each): made once, then found again.
pub(crate) fn tools(context: &Context, requirements: &[&str]) -> Result<PathBuf, Stop> {
    let cache = cache_folder()?;
    let python = find_python(context)?;
    let version = process::output(process::command(context, &python).arg("--version"))?;
    let environment = cache.join(format!("python-{:016x}", key(&version, requirements)));
    if environment.exists() && !works(context, &environment) {
        remove(&environment)?; // The interpreter that it was made with is gone.
    }
    if !environment.exists() {
        make(context, &python, &environment, requirements)?;
    }
    Ok(environment.join("bin"))
}

/// Builds the environment beside its final place and moves it there whole, so
/// that neither a failed install nor a second run ever shows a half one.
fn make(context: &Context, python: &Path, place: &Path, requirements: &[&str]) -> JobResult {
    let build = place.with_extension(format!("{}.tmp", std::process::id()));
    remove(&build)?;
    let made = fill(context, python, &build, requirements).and_then(|()| {
        match fs::rename(&build, place) {
            Err(_) if works(context, place) => Ok(()), // Another run was faster.
            moved => moved.map_err(Stop::io(place.display())),
        }
    });
    remove(&build)?;
    made
}

fn fill(context: &Context, python: &Path, build: &Path, requirements: &[&str]) -> JobResult {
    process::run(process::command(context, python).args(["-m", "venv"]).arg(build))?;
    let mut pip = process::command(context, build.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    process::run(pip.args(requirements))
}

fn works(context: &Context, environment: &Path) -> bool {
    process::succeeds(process::command(context, environment.join("bin/python")).args(["-c", ""]))
}

fn remove(folder: &Path) -> JobResult {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Stop::fail(format!("{}: {error}", folder.display())))
        }
        _ => Ok(()),
    }
}

/// The interpreter, with the modules that make an environment; Debian packs
/// the two apart.
fn find_python(context: &Context) -> Result<PathBuf, Stop> {
    if process::find("python3").is_none() {
        debian::install(context, &["python3", "python3-venv"])?;
    }
    let python = process::find("python3").ok_or_else(|| Stop::fail("python3 was not installed"))?;
    let probe = ["-c", "import venv, ensurepip"];
    if !process::succeeds(process::command(context, &python).args(probe)) {
        debian::install(context, &["python3-venv"])?;
    }
    Ok(python)
}

/// `$SEALWIRE_CACHE`, else the user's cache folder.
fn cache_folder() -> Result<PathBuf, Stop> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("SEALWIRE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("sealwire")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/sealwire")))
        .ok_or_else(|| {
            Stop::skip("there is no HOME to keep tools in", "export SEALWIRE_CACHE=DIR")
        })?;
    fs::create_dir_all(&folder).map_err(Stop::io(folder.display()))?;
    fs::canonicalize(&folder).map_err(Stop::io(folder.display()))
}

/// FNV-1a over the version of Python and the requirements: a name for the
/// environment, nothing that security rests on.
fn key(version: &str, requirements: &[&str]) -> u64 {
    let words = std::iter::once(version).chain(requirements.iter().copied());
    let bytes = words.flat_map(|word| word.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_and_the_version_make_the_key() {
        let base = key("Python 3.11.7", &["a==1", "b==2"]);
        assert_eq!(base, key("Python 3.11.7", &["a==1", "b==2"]));
        assert_ne!(base, key("Python 3.12.0", &["a==1", "b==2"]));
        assert_ne!(base, key("Python 3.11.7", &["a==1", "b==3"]));
        assert_ne!(base, key("Python 3.11.7", &["a==1b==2"]));
    }
}
