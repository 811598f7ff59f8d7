//! Tools from PyPI, in virtual environments outside the checkout.

use std::path::{Path, PathBuf};

use crate::cache;
use crate::debian;
use crate::job::{Context, JobResult, Stop};
use crate::process;

/// The folder with the programs of a virtual environment that holds exactly
/// `requirements` (`name==version` each): made once, then found again.
pub(crate) fn tools(context: &Context, requirements: &[&str]) -> Result<PathBuf, Stop> {
    let cache = cache::folder()?;
    let python = find_python(context)?;
    let version = process::output(process::command(context, &python).arg("--version"))?;
    let environment = cache.join(format!("python-{:016x}", cache::key(&version, requirements)));
    // One whose interpreter is gone works no more.
    cache::make(
        &environment,
        |place| works(context, place),
        |build| fill(context, &python, build, requirements),
    )?;
    Ok(environment.join("bin"))
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
